#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every write that an apply makes on a real kernel, once as an error, once as a hang and once as a kill -9 of the
# daemon while it hangs: each ends in the old layout or the new one, as the kernel shows it, and what the operation
# says is what there is.  test-inject.py does the same over the made-up machine, for every way.
#
# inject.sh [all|SEED]: every second write has one of the three, by the seed, unless all are asked for.
# Takes about 100 s.
# testbed: --gpus flex170:vfs=7 --limit 900
. "$TESTBED_SRC/lib.sh"

GIB=$((1 << 30))
pf=$(pf_folder 0)
config=/etc/gpuvf/gpuvfd.json
old_layout=(--vfs 2 --vram 1GiB --quantum 10ms)
new_layout=(--vfs 3 --vram 2GiB --quantum 20ms)
old="2: $GIB/10 $GIB/10 0/0"
new="3: $((2 * GIB))/20 $((2 * GIB))/20 $((2 * GIB))/20"

# kernel_layout: what the kernel shows, in a line.
kernel_layout() {
	local k line
	line="$(cat "$pf/sriov_numvfs"):"
	for k in 1 2 3; do
		line+=" $(cat "$pf/sriov_admin/vf$k/profile/vram_quota")/$(cat "$pf/sriov_admin/vf$k/profile/exec_quantum_ms")"
	done
	echo "$line"
}

# operation_state: of the last operation that cut the GPU.
operation_state() {
	gpuvf -o json call operation.list '{}' | awk -F '"' '
		/{/ { method = state = "" }
		$2 == "method" { method = $4 }
		$2 == "state" { state = $4 }
		method == "gpu.apply" && state { last = state }
		END { print last }'
}

over() {
	[[ $(operation_state) =~ ^(done|failed|cancelled)$ ]]
}

# settled NAME: the layout is the old one or the new one, the operation says which, and the GPU is ready.
settled() {
	local name=$1 layout state
	if ! wait_for 60 gpu_is gpu0 ready || ! wait_for 60 over; then
		miss "$name: settles"
		note "$(gpu_member gpu0 state): $(gpu_member gpu0 reason); operation $(operation_state)"
		return 1
	fi
	layout=$(kernel_layout) state=$(operation_state)
	case $state:$layout in
	"done:$new" | "failed:$old") pass "$name: $state, as the kernel shows" ;;
	*)
		miss "$name: $state"
		note "the kernel shows $layout"
		;;
	esac
	ends[$state]=$((${ends[$state]:-0} + 1))
}

declare -A ends
mkdir -p "${config%/*}"
echo '{"deadlines": {"sriov_numvfs": "8s", "attribute": "6s"}}' >$config
check "the configuration is right" gpuvfd --check-config
start_gpuvfd
check "gpuvfd has it" systemctl restart gpuvfd.service
check "it sees the card" wait_for 60 gpu_is gpu0 unmanaged || bail_out "$(gpuvf list)"
check "and libvirt" wait_for 90 connected
check "the old layout" gpuvf apply gpu0 "${old_layout[@]}"
is "the kernel shows it" "$(kernel_layout)" "$old"
forget_writes 0
check "the new layout" gpuvf apply gpu0 "${new_layout[@]}"
is "the kernel shows it" "$(kernel_layout)" "$new"

# points: "ATTRIBUTE NTH", one for each write of that.
mapfile -t points < <(awk '$1 != "total" { for (i = 1; i <= $2; i++) print $1, i }' "$(control_file 0 writes)")
note "${#points[@]} writes: ${points[*]}"
check "there are writes to fail" test ${#points[@]} -ge 5

seed=${1:-${GPUVF_SEED:-$RANDOM}}
note "seed $seed"
[ "$seed" = all ] || RANDOM=$seed
tried=0 turn=$((RANDOM % 2))
for point in "${points[@]}"; do
	read -r attribute nth <<<"$point"
	hows=(EIO hang kill)
	if [ "$seed" != all ]; then
		turn=$((1 - turn))
		[ $turn = 1 ] || continue
		hows=("${hows[RANDOM % 3]}")
	fi
	for how in "${hows[@]}"; do
		name="$attribute, write $nth, $how"
		tried=$((tried + 1))
		gpuvf apply gpu0 "${old_layout[@]}" >/dev/null && [ "$(kernel_layout)" = "$old" ] ||
			bail_out "$name: the old layout cannot be made: $(gpuvf show gpu0)"
		fault 0 "$attribute:$nth:${how/kill/hang}"
		if [ $how = EIO ]; then
			gpuvf apply gpu0 "${new_layout[@]}" >/run/said 2>&1
			clear_faults 0
			settled "$name" || note "$(cat /run/said)"
			continue
		fi
		gpuvf apply gpu0 "${new_layout[@]}" --wait 0s >/run/said 2>&1 || note "$(cat /run/said)"
		wait_for 30 helper_hangs || miss "$name: hangs"
		if [ $how = kill ]; then
			kill -9 "$(systemctl show -P MainPID gpuvfd.service)"
			wait_for 60 gpu_is gpu0 wedged || miss "$name: the next daemon knows"
		else
			wait_for 30 gpu_is gpu0 wedged || miss "$name: wedged"
			[[ $(gpu_member gpu0 reason) == *"${attribute##*/}"* ]] ||
				miss "$name: the reason names the attribute: $(gpu_member gpu0 reason)"
		fi
		release_hang 0
		settled "$name"
	done
done
note "$tried points tried: $(for state in "${!ends[@]}"; do echo "${ends[$state]} $state"; done | xargs)"
check "nothing is left" gpuvf apply gpu0 --vfs 0
is "the kernel shows it" "$(kernel_layout)" "0: 0/0 0/0 0/0"
done_testing
