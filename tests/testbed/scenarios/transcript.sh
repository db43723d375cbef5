#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One script on both: the same requests to GPUs of every kind, to the daemon's helper over this kernel
# and to the made-up machine, must be answered alike. What may differ stands in transcript.py, with the
# reason. The kernel's transcript comes out, to be kept as tests/data/transcript.json.
# Mostly waits: the kernel sleeps for a second, and holds a lock of all of PCI, whenever VFs go.
# Takes about 340 s.
# testbed: --gpus flex170:vfs=7,flex170:vfs=7:quota=ro,flex170:vfs=7:quota=no:debugfs=new,flex170:vfs=7:admin=no:quota=no:debugfs=old,b60:vfs=7:media=no:euclean=yes,flex170:vfs=7:driver=i915,max1550:vfs=7,adl:driver=i915:hook=no --limit 900
. "$TESTBED_SRC/lib.sh"

script=$SOURCE/tests/support/transcript.py
keep=/testbed/run/keep
addresses=()
for n in 0 1 2 3 4 5 6 7; do
	addresses+=("$(pf_address $n)") || bail_out "GPU $n is not there"
done

# transcribe OUT WORD...: what transcript.py prints, in a file.
transcribe() {
	local out=$1
	shift
	python3 "$script" "$@" >"$out"
}

is "the cards are those of the script" "$(python3 "$script" gpus)" \
	"$(sed -n 's/^# testbed: --gpus \([^ ]*\) .*/\1/p' "$0")"
# ---- requests, one by one
check "the requests over this kernel" transcribe $keep/transcript.json real /usr/sbin/gpuvfd "${addresses[@]}"
check "the requests over the made-up machine" transcribe $keep/simulated.json simulated \
	/usr/bin/gpuvf-machine "${addresses[@]}"
check "both say the same" python3 "$script" compare $keep/transcript.json $keep/simulated.json
check "the kernel says what is recorded" python3 "$script" compare \
	$keep/transcript.json "$SOURCE/tests/data/transcript.json"

# ---- the daemon's plans and layouts
systemctl stop gpuvfd.socket gpuvfd.service
for n in 0 1 2 3 4 5 6 7; do # as a fresh machine has it
	echo 1 >"$(pf_folder $n)/sriov_drivers_autoprobe"
done
mkdir -p /etc/gpuvf
echo '{ "allow_debugfs": true }' >/etc/gpuvf/gpuvfd.json
start_gpuvfd
check "the layouts over this kernel" transcribe $keep/layouts.json daemon /run/gpuvf/gpuvf.sock "${addresses[@]}"
check "the layouts over the made-up machine" transcribe $keep/simulated-layouts.json simulated-daemon \
	/usr/sbin/gpuvfd "${addresses[@]}"
check "both say the same of layouts" python3 "$script" compare $keep/layouts.json $keep/simulated-layouts.json
for n in 0 1 2 3 4 5 6; do
	is "nothing is left on GPU $n" "$(cat "$(pf_folder $n)/sriov_numvfs")" 0
done
done_testing
