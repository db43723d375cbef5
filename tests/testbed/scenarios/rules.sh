#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the emulated GPUs do besides the plain case: other models, a PF without driver, faults, a
# write that hangs; and guests without agent, without exec, without a free port.
# Takes about 55 s.
# testbed: --no-install --gpus flex170:vfs=7,b60:quota=no,a380,flex170:driver=no --limit 900
. "$TESTBED_SRC/lib.sh"

first=$(pf_folder 0) second=$(pf_folder 1) third=$(pf_folder 2) fourth=$(pf_folder 3)

note "guests start first; the rest goes on meanwhile"
check "a guest whose agent may not run programs" start_guest noexec noexec
check "a guest without agent and without a free port" start_guest bare noagent noport

is "an Arc Pro B60 is a VGA device" "$(cat "$second/device" "$second/class" | xargs)" "0xe211 0x030000"
check_fails "without vram_quota there is none" test -e "$second/sriov_admin/vf1/profile/vram_quota"
check "but the rest is there" test -e "$second/sriov_admin/vf24/profile/exec_quantum_ms"
is "a card without SR-IOV has the driver" "$(basename "$(readlink "$third/driver")")" xe
check_fails "but no sriov_totalvfs" test -e "$third/sriov_totalvfs"
check_fails "and no sriov_admin" test -e "$third/sriov_admin"
check_fails "a PF can be without driver" test -e "$fourth/driver"
like "then VFs are refused" "$(errno_of 2 "$fourth/sriov_numvfs")" "No such file"
check "binding it by hand works" put "$(pf_address 3)" /sys/bus/pci/drivers/xe/bind
check "and it gets sriov_admin" test -d "$fourth/sriov_admin"

admin=$first/sriov_admin
check "a quota for all VFs" put $((1 << 30)) "$admin/.bulk_profile/vram_quota"
is "reaches the last" "$(cat "$admin/vf7/profile/vram_quota")" $((1 << 30))
is "too much for all ends part way" \
	"$(errno_of $((4 << 30)) "$admin/.bulk_profile/vram_quota")" "Structure needs cleaning"
check "quotas are taken back" put 0 "$admin/.bulk_profile/vram_quota"
check "one VF alone gets a quota" put $((1 << 30)) "$admin/vf1/profile/vram_quota"
check "host drivers are kept away" put 0 "$first/sriov_drivers_autoprobe"
check "2 VFs" put 2 "$first/sriov_numvfs"
is "the other is without memory" "$(cat "$admin/vf2/profile/vram_quota")" 0
is "no quota while VFs are on" "$(errno_of 0 "$admin/vf1/profile/vram_quota")" "Input/output error"
check "a VF is stopped" put 1 "$admin/vf1/stop"
check "no VFs" put 0 "$first/sriov_numvfs"

fault 0 sriov_numvfs:1:ENOKEY
is "a fault: ENOKEY" "$(errno_of 2 "$first/sriov_numvfs")" "Required key not available"
check "only once" put 2 "$first/sriov_numvfs"
check "no VFs" put 0 "$first/sriov_numvfs"
fault 0 sriov_numvfs:1:fewer
check "a fault: fewer VFs than asked" put 3 "$first/sriov_numvfs"
is "there are fewer" "$(cat "$first/sriov_numvfs")" 2
check "no VFs" put 0 "$first/sriov_numvfs"
fault 0 vf2/profile/exec_quantum_ms:2:EIO
check "the first write of a quantum works" put 10 "$admin/vf2/profile/exec_quantum_ms"
is "the second fails" "$(errno_of 20 "$admin/vf2/profile/exec_quantum_ms")" "Input/output error"
is "and changed nothing" "$(cat "$admin/vf2/profile/exec_quantum_ms")" 10

fault 0 sriov_numvfs:1:hang
put 4 "$first/sriov_numvfs" &
writer=$!
# is_stuck PID: it sleeps where no signal reaches it.
is_stuck() {
	[ "$(awk '/^State:/ { print $2 }' "/proc/$1/status")" = D ]
}
# is_stuck_in PID FUNCTION: there, in the kernel.
is_stuck_in() {
	is_stuck "$1" && grep -q "$2" "/proc/$1/stack"
}
# was_killed PID: SIGKILL waits for it.
was_killed() {
	[[ $(awk '/^SigPnd:/ { print $2 }' "/proc/$1/status") == *[13579bdf]?? ]]
}
check "a write hangs" wait_for 10 is_stuck $writer
kill -9 $writer
check "kill -9 reaches it" wait_for 10 was_killed $writer
cat "$first/sriov_numvfs" >/run/reader.out &
reader=$!
check "a reader of sriov_numvfs hangs too" wait_for 10 is_stuck_in $reader sriov_numvfs_show
check "and kill -9 has not ended the writer" is_stuck $writer
# Writes to another card's sriov_numvfs may wait too: newer kernels hold one lock for all of PCI.
is "the other card can be read" "$(cat "$second/sriov_numvfs")" 0
release_hang 0
wait $writer
wait $reader
is "the write goes on when it is released" "$(cat /run/reader.out)" 4
check "no VFs" put 0 "$first/sriov_numvfs"

check "the guest's agent answers" wait_agent noexec
check_fails "but runs nothing" guest_exec noexec true
check_fails "the other has no agent" guest_ping bare
check "host drivers are kept away from the second card" put 0 "$second/sriov_drivers_autoprobe"
check "2 VFs of it" put 2 "$second/sriov_numvfs"
check "a VF of the second card goes to vfio-pci" take_vf "$(vf_address 1 0)"
hostdev_xml "$(vf_address 1 0)" ua-test >/run/vf.xml
like "no free port: libvirt refuses" "$(virsh attach-device bare /run/vf.xml --live 2>&1)" \
	"No more available PCI"
done_testing
