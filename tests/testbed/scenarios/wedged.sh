#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A write to sysfs that never returns: the GPU is wedged, the rest goes on, the daemon can be killed and
# the next one is there at once, and knows. And a write that fails half way: undone.
# Takes about 100 s.
# testbed: --gpus flex170,flex170:vfs=7 --limit 900
. "$TESTBED_SRC/lib.sh"

first=$(pf_folder 0) second=$(pf_folder 1)

quotas() {
	local k
	for k in 1 2 3 4; do
		cat "$second/sriov_admin/vf$k/profile/vram_quota"
	done | xargs
}

# Of the minute that the kernel has by default everything but a third would be waiting.
mkdir -p /etc/gpuvf
echo '{"deadlines": {"sriov_numvfs": "20s"}}' >/etc/gpuvf/gpuvfd.json
check "a VM is defined" define_guest vm-off
start_gpuvfd
check "libvirt is there" wait_for 60 connected
check "the daemon sees both cards" eval "gpu_is gpu0 unmanaged && gpu_is gpu1 unmanaged" ||
	bail_out "$(gpuvf list)"

# killed_and_ready: kills the daemon; sets took, the seconds until systemd was told that the next one is
# ready. Both clocks count from the machine's start.
killed_and_ready() {
	local killed_at
	old=$(main_pid)
	read -r killed_at _ </proc/uptime # since the machine started
	check "kill -9 of the daemon" kill -9 "$old"
	check "the next daemon answers" gpuvf status
	took=$(systemctl show -P ActiveEnterTimestampMonotonic gpuvfd.service |
		awk -v from="$killed_at" '{ printf "%.2f", $1 / 1000000 - from }')
}

# best_of_three: sets best, the least of three such times: what else the machine does only adds to them.
best_of_three() {
	best=
	for _ in 1 2 3; do
		killed_and_ready
		best=$(awk -v a="${best:-$took}" -v b="$took" 'BEGIN { print (b > 0 && b < a) ? b : a }')
	done
}

best_of_three
usual=$best
note "with nothing wrong, the next daemon was ready after $usual s"

# ---- GPU 1: a write fails half way

check "a card is cut" gpuvf apply gpu1 --vfs 3 --vram 1GiB
is "the kernel shows 3 VFs" "$(cat "$second/sriov_numvfs")" 3
before=$(quotas)
# The undo must not meet the fault again: only the first write fails.
fault 1 vf2/profile/vram_quota:1:EIO
said=$(gpuvf apply gpu1 --vfs 4 --vram 2GiB 2>&1)
is "a write that fails ends the apply" $? 1
like "the error names the attribute" "$said" "vram_quota"
is "the old number of VFs is back" "$(cat "$second/sriov_numvfs")" 3
is "and their memory" "$(quotas)" "$before"
is "no VF of the new layout is left" "$(cat "$second/sriov_admin/vf4/profile/vram_quota")" 0
is "the GPU is ready" "$(gpu_member gpu1 state)" ready
fault 1 sriov_numvfs:2:ENOMEM
said=$(gpuvf apply gpu1 --vfs 4 --vram 2GiB 2>&1)
is "enabling that fails ends the apply too" $? 1
like "the error names the attribute" "$said" "sriov_numvfs"
is "undone" "$(cat "$second/sriov_numvfs") $(quotas)" "3 $before"
fault 1 sriov_numvfs:2:fewer
said=$(gpuvf apply gpu1 --vfs 4 --vram 2GiB 2>&1)
is "fewer VFs than asked are a failure" $? 1
is "undone" "$(cat "$second/sriov_numvfs") $(quotas)" "3 $before"
check "without fault it works" gpuvf apply gpu1 --vfs 4 --vram 2GiB
is "there are 4" "$(cat "$second/sriov_numvfs") $(quotas)" "4 2147483648 2147483648 2147483648 2147483648"

# ---- GPU 0 hangs

fault 0 sriov_numvfs:1:hang
gpuvf apply gpu0 --vfs 4 >/run/apply.out 2>&1 &
applying=$!
check "the helper hangs in the kernel" wait_for 20 helper_hangs
check "the daemon answers" gpuvf status
check "it lists the cards" gpuvf list
# The kernel holds one lock for all of PCI in a write of sriov_numvfs, so the other card cannot be cut
# now either; all else of it works.
check "a VF of the other card goes to a VM" gpuvf assign vm-off --vf gpu1/vf1 --config
check "and comes back through its reset" gpuvf release vm-off
is "it is free" "$(gpuvf list vfs | grep -c '^gpu1.* free ')" 4
said=$(gpuvf apply gpu0 --vfs 2 2>&1)
is "that GPU takes no second layout" $? 6
like "and says why" "$said" "gpu0"

# ---- past its deadline

wait $applying
is "past the deadline the apply has failed" $? 1
note "$(cat /run/apply.out)"
like "the attribute is named" "$(cat /run/apply.out)" "sriov_numvfs"
is "the GPU is wedged" "$(gpu_member gpu0 state)" wedged
like "its reason names the attribute" "$(gpu_member gpu0 reason)" "sriov_numvfs"
is "the other is ready" "$(gpu_member gpu1 state)" ready
said=$(gpuvf apply gpu0 --vfs 2 2>&1)
is "a wedged GPU takes no layout" $? 1
like "and says why" "$said" "sriov_numvfs"
check "the daemon answers all the same" gpuvf status

# ---- the daemon is killed while the helper hangs

check "the helper still hangs" helper_hangs
best_of_three
# An emulated machine whose host has much else to do may need longer than 5 s for the start alone.
check "the next one was ready after $best s: in less than 5 s, or not slower than usual ($usual s)" \
	awk "BEGIN { exit !($best > 0 && ($best < 5 || $best < 2 * $usual)) }"
check "it is another process" test "$(main_pid)" != "$old"
is "to it the GPU is wedged" "$(gpu_member gpu0 state)" wedged
like "with the attribute that hangs" "$(gpu_member gpu0 reason)" "sriov_numvfs"
is "the other is as it was" "$(gpu_member gpu1 state) $(cat "$second/sriov_numvfs")" "ready 4"
check "libvirt is there" wait_for 60 connected
check "a VF of the other goes to a VM" gpuvf assign vm-off --vf gpu1/vf1 --config
check "and comes back" gpuvf release vm-off
check "the old helper hangs on" helper_hangs

# ---- it lets go

release_hang 0
check "the GPU is itself again" wait_for 20 gpu_is gpu0 ready
is "the write was done late" "$(cat "$first/sriov_numvfs") $(gpu_member gpu0 num_vfs)" "4 4"
check_fails "no helper hangs" helper_hangs
check "it can be cut again" gpuvf apply gpu0 --vfs 2
is "there are 2" "$(cat "$first/sriov_numvfs")" 2
check "both are given back" gpuvf apply gpu0 --vfs 0
check "both are given back" gpuvf apply gpu1 --vfs 0
is "there are no VFs" "$(cat "$first/sriov_numvfs" "$second/sriov_numvfs" | xargs)" "0 0"
done_testing
