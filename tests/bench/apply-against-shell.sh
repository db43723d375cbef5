#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# How long `gpuvf apply` of 7 VFs takes, against a shell script that writes the same attributes, in turns on the
# same machine: the testbed's, with a real kernel. Both are programs that are started; both leave
# the same behind: 7 VFs with quota and quantum, on vfio-pci. What gpuvf does besides is in its time: it reads everything
# back, asks who holds VFs, and stores what it is about to do before it does it.
# Run by `make bench-testbed`; fails when the promised ratio of medians is broken.
# testbed: --gpus flex170:vfs=7 --limit 600
. "$TESTBED_SRC/lib.sh"

vfs=7 rounds=${1:-15} promise=1.15
pf=$(pf_folder 0)
export pf

mkdir -p /etc/gpuvf/policies.d
cat >/etc/gpuvf/policies.d/bench.json <<JSON
{
  "version": 1,
  "profiles": [{"name": "seventh", "vram": "1GiB", "exec_quantum": "20ms"}]
}
JSON

cat >/run/loop.sh <<'LOOP'
echo 0 >"$pf/sriov_drivers_autoprobe"
for k in 1 2 3 4 5 6 7; do
	echo 1073741824 >"$pf/sriov_admin/vf$k/profile/vram_quota"
done
echo 7 >"$pf/sriov_numvfs"
for k in 1 2 3 4 5 6 7; do
	echo 20 >"$pf/sriov_admin/vf$k/profile/exec_quantum_ms"
done
for link in "$pf"/virtfn*; do
	vf=$(readlink "$link")
	echo vfio-pci >"$link/driver_override"
	echo "${vf##*/}" >/sys/bus/pci/drivers_probe
done
LOOP

# state: what is there, in words that do not depend on who made it.
state() {
	cat "$pf/sriov_numvfs" "$pf/sriov_drivers_autoprobe"
	for k in 1 2 3 4 5 6 7; do
		cat "$pf/sriov_admin/vf$k/profile/vram_quota" "$pf/sriov_admin/vf$k/profile/exec_quantum_ms"
		basename "$(readlink "$pf/virtfn$((k - 1))/driver")"
	done
}

quiet() {
	udevadm settle -t 20
	gpuvf show gpu0 >/dev/null
}

start_gpuvfd
check "gpuvfd answers" gpuvf status || bail_out "no daemon"
check "libvirt too" wait_for 60 connected
systemctl service-watchdogs no # gpuvfd stands still on purpose
pid=$(main_pid)

for ((round = 0; round <= rounds; round++)); do
	quiet
	took=$(timed gpuvf apply gpu0 --slices seventh:$vfs) || bail_out "$(cat /run/bench.err)"
	ours=$(state)
	# The first round is a warm-up of both.
	[ "$round" = 0 ] || echo "$took" >>/run/ours
	gpuvf apply gpu0 --vfs 0 >/dev/null || bail_out "it cannot be undone"
	quiet
	# It must neither help nor hinder.
	kill -STOP "$pid"
	took=$(timed bash /run/loop.sh) || bail_out "$(cat /run/bench.err)"
	theirs=$(state)
	[ "$round" = 0 ] || echo "$took" >>/run/theirs
	echo 0 >"$pf/sriov_numvfs"
	kill -CONT "$pid"
done
is "both leave the same" "$ours" "$theirs"
a=$(median </run/ours) b=$(median </run/theirs)
ratio=$(awk "BEGIN { printf \"%.2f\", $a / $b }")
note "apply of $vfs VFs, $rounds runs each: gpuvf $a ms, shell $b ms (medians), ratio $ratio"
note "gpuvf: $(sort -n /run/ours | xargs)"
note "shell: $(sort -n /run/theirs | xargs)"
check "the ratio of the medians is at most $promise" awk "BEGIN { exit !($ratio <= $promise) }"
done_testing
