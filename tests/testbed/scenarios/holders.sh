#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Who else can have a VF, with the real kernel and libvirt: a program of the host that has the VFIO group open, libvirt's
# own driver work, a guest that does not let go or crashed, a VM that was given the whole card, and the user before;
# VMs that cannot take one: saved, or too large to be pinned; VMs that are renamed and undefined; and a guest that is a
# pc, which VFs leave by ACPI, in place of a q35.
# Takes about 215 s.
# testbed: --gpus flex170:vfs=7,flex140 --limit 900
. "$TESTBED_SRC/lib.sh"

pf=$(pf_folder 0) second=$(pf_address 1)

guest_is_off() {
	[ "$(virsh domstate "$1")" = "shut off" ]
}

check "a guest starts" start_guest trainer-on panic
check "another is off" define_guest trainer-off
check "another user" add_user operator-1 gpuvf
mkdir -p /etc/gpuvf/policies.d
cat >/etc/gpuvf/policies.d/holders.json <<JSON
{
  "version": 1,
  "profiles": [{"name": "slice", "vram": "1GiB"}],
  "gpus": [{"match": {"address": "$(pf_address 0)"}, "layout": [{"profile": "slice", "count": 3}],
            "reuse": "same-user"}],
  "vms": [{"match": "trainer-on", "managed": "yes"}],
  "access": [{"user": "root", "role": "admin"}, {"user": "operator-1", "role": "operator"}]
}
JSON
check "the policy is right" gpuvf policy check /etc/gpuvf/policies.d/holders.json
start_gpuvfd
check "libvirt is there" wait_for 60 connected
check "the policy is in force" gpuvf policy reload
check "3 VFs, as the policy says" gpuvf apply gpu0 --policy
is "the kernel shows 3" "$(cat "$pf/sriov_numvfs")" 3
check "the agent of the guest answers" wait_agent trainer-on || done_testing

# ---- a program of the host

group=$(vf_member gpu0/vf1 iommu_group)
python3 -c 'import sys, time; held = open(sys.argv[1], "r+b", buffering=0); time.sleep(3600)' "/dev/vfio/$group" &
program=$!
check "a program opens the VFIO group of a VF" wait_for 20 test "/proc/$program/fd/3" -ef "/dev/vfio/$group"
refused 6 "python3.*$program|$program.*python3" gpuvf assign trainer-off --vf gpu0/vf1 --config
is "the VF is held" "$(vf_member gpu0/vf1 state)" held
like "by that program" "$(gpuvf show gpu0/vf1)" "python3.*$program|$program.*python3"
refused 6 "$program" gpuvf apply gpu0 --vfs 2
is "nothing was taken away" "$(cat "$pf/sriov_numvfs")" 3
resets=$(vf_resets 0 0)
kill $program
wait $program
check "its end makes the VF free" wait_for 20 vf_is gpu0/vf1 free
check "by way of a reset" test "$(vf_resets 0 0)" -gt "$resets"

# ---- VMs that cannot take one

check "a guest as large as the host starts" start_guest trainer-large noagent 3900
refused 9 "pins all of the guest's memory" gpuvf assign trainer-large --vf gpu0/vf3 --live
is "libvirt was not asked" "$(virsh dumpxml trainer-large | grep -c '<hostdev')" 0
check "it is ended" virsh destroy trainer-large
check "the memory of the running guest is saved" virsh managedsave trainer-on
refused 6 "saved.*managedsave-remove|managedsave-remove" gpuvf assign trainer-on --vf gpu0/vf1 --config
is "its definition is as it was" "$(virsh dumpxml --inactive trainer-on | grep -c '<hostdev')" 0
check "it goes on from there" virsh start trainer-on
check "its agent, too" wait_for 60 guest_ping trainer-on

# ---- a guest that does not let go; libvirt binds the drivers itself

check "the guest gets a VF" gpuvf assign trainer-on --vf gpu0/vf2
like "which libvirt manages" "$(virsh dumpxml trainer-on)" "<hostdev[^>]*managed='yes'"
check "it gives it back" gpuvf release gpu0/vf2
is "the VF is free" "$(vf_member gpu0/vf2 state)" free
is "and bound for the next one" "$(basename "$(readlink "$pf/virtfn1/driver")")" vfio-pci
check "the guest gets it again" gpuvf assign trainer-on --vf gpu0/vf2
check "and then stands still" virsh suspend trainer-on
gpuvf release trainer-on --wait 0s >/run/release.out 2>&1
check "it does not let go" wait_for 30 vf_is gpu0/vf2 detaching
said=$(gpuvf release trainer-on --force 2>&1)
check "force wants a yes" test $? -ne 0
like "and says what it breaks" "$said" "trainer-on.*power|power.*trainer-on"
check_fails "nothing was broken" guest_is_off trainer-on
resets=$(vf_resets 0 1)
check "with a yes the VF comes back" gpuvf release trainer-on --force --yes-power-off --wait 60s
check "the guest is off" guest_is_off trainer-on
is "the VF is free" "$(vf_member gpu0/vf2 state)" free
check "by way of a reset" test "$(vf_resets 0 1)" -gt "$resets"
note "$(gpuvf -o json call audit.list '{}' | grep -c powering-off) rows of the audit trail tell of it"

# ---- a guest that crashes

crashed() {
	[ "$(virsh domstate trainer-on)" = crashed ] && gpuvf show trainer-on | grep -q crashed
}
check "the guest starts again" virsh start trainer-on
check "its agent answers" wait_agent trainer-on
check "it gets a VF" gpuvf assign trainer-on --vf gpu0/vf2
guest_exec trainer-on sh -c 'echo c >/proc/sysrq-trigger' >/dev/null 2>&1 &
check "its kernel dies" wait_for 60 crashed
is "its QEMU has the VF still" "$(vf_member gpu0/vf2 state)" attached
refused 6 "gpu0/vf2" gpuvf apply gpu0 --vfs 0
resets=$(vf_resets 0 1)
check "it is ended" virsh destroy trainer-on
check "then the VF is free" wait_for 60 vf_is gpu0/vf2 free
check "by way of a reset" test "$(vf_resets 0 1)" -gt "$resets"

# ---- the user before

check "a pc starts" start_guest trainer-pc pc # it boots beside what follows
refused 6 "kept for VM trainer-on" gpuvf assign trainer-off --vf gpu0/vf2 --config
check "the VM that had it last gets it" gpuvf assign trainer-on --vf gpu0/vf2 --config
check "and gives it back" gpuvf release trainer-on --config
refused 6 "last user \(uid 0\)" as operator-1 gpuvf assign trainer-off --vf gpu0/vf1 --config
like "what is known of memory between users is said" "$(gpuvf show gpu0/vf2)" "memory_between_users.*same-user"

# ---- the whole card

refused 6 "gpu0 itself" gpuvf assign trainer-off --vf gpu0 --config
hostdev_xml "$second" ua-whole >/run/whole.xml
check "somebody gives a VM the whole second card" virsh attach-device trainer-off /run/whole.xml --config
# libvirt tells nobody of it; it is asked before a card is cut.
refused 6 "trainer-off" gpuvf apply gpu1 --vfs 2
like "gpuvf shows it" "$(gpuvf show gpu1)" "passed_through.*trainer-off"
check "and takes it back" virsh detach-device trainer-off /run/whole.xml --config
check "then it can be cut" wait_for 30 gpuvf apply gpu1 --vfs 2

# ---- a VM that is renamed, and undefined

vm_is_listed() {
	gpuvf -q list vms | grep -qx "$1"
}
epoch_of() {
	gpuvf show "$1" | awk '$1 == "epoch" { print $2 }'
}
# libvirt tells nobody of this either.
hostdev_xml "$(vf_member gpu0/vf3 address)" ua-by-hand >/run/by-hand.xml
check "somebody writes a VF into a definition" virsh attach-device trainer-off /run/by-hand.xml --config
check "it is seen" wait_for 20 vf_is gpu0/vf3 reserved
is "it is that VM's" "$(vf_member gpu0/vf3 vm)" trainer-off
check "and it is taken out" virsh detach-device trainer-off /run/by-hand.xml --config
check "which is seen, too" wait_for 30 vf_is gpu0/vf3 free

# ---- another layout

definition_names() {
	local address bus
	address=$(vf_member "$1" address) && bus=${address#*:}
	virsh dumpxml --inactive trainer-off |
		grep -q "bus='0x${bus%%:*}' slot='0x$(expr "$bus" : '..:\(..\)')' function='0x${address##*.}'"
}
is_on_vfio() {
	[ "$(basename "$(readlink "$pf/$1/driver")")" = vfio-pci ]
}
check "a VM that is off gets any VF of the card" gpuvf assign trainer-off --gpu gpu0 --config
check "and another" gpuvf assign trainer-off --gpu gpu0 --config --add
check "the first" definition_names gpu0/vf1
check "and the third" definition_names gpu0/vf3
are_gone() {
	! gpuvf show gpu0/vf1 >/dev/null 2>&1
}
check "somebody else takes them away" sh -c "echo 0 >$pf/sriov_numvfs"
check "which is seen" wait_for 20 are_gone # with them their last users
check "and makes two" sh -c "echo 2 >$pf/sriov_numvfs"
check "the definition names the second in place of the third" wait_for 60 definition_names gpu0/vf2
check "and the first, which is there again" definition_names gpu0/vf1
is "and no other" "$(virsh dumpxml --inactive trainer-off | grep -c '<hostdev')" 2
is "they are that VM's" "$(vf_member gpu0/vf1 state) $(vf_member gpu0/vf2 vm)" "reserved trainer-off"
check "and on VFIO for its start" wait_for 20 is_on_vfio virtfn0
check "both" wait_for 20 is_on_vfio virtfn1
check "they are given back" gpuvf release trainer-off --all
is "and out of the definition" "$(virsh dumpxml --inactive trainer-off | grep -c '<hostdev')" 0
check "3 VFs again" gpuvf apply gpu0 --policy
check "a VM that is off gets a VF by its name" gpuvf assign trainer-off --vf gpu0/vf3 --config
check "somebody else cuts the card again" sh -c "echo 0 >$pf/sriov_numvfs && echo 2 >$pf/sriov_numvfs"
is_told() {
	gpuvf show trainer-off | grep -q "cannot_start.*gpu0/vf3.*by name"
}
check "it is told before the VM fails to start" wait_for 60 is_told
check_fails "which it does" virsh start trainer-off
check "3 VFs bring it back" gpuvf apply gpu0 --policy
check "it is the VM's as before" wait_for 30 vf_is gpu0/vf3 reserved
check_fails "nothing is told any more" is_told
check "it is given back, too" gpuvf release trainer-off

# ---- a VM that is renamed, and undefined, goes on

check "a VM that is off gets a VF" gpuvf assign trainer-off --vf gpu0/vf3 --config
epoch=$(epoch_of gpu0/vf3)
check "it is renamed" virsh domrename trainer-off trainer-other
check "its new name is listed" wait_for 20 vm_is_listed trainer-other
check_fails "its old one is not" vm_is_listed trainer-off
is "the VF is its own" "$(vf_member gpu0/vf3 state) $(vf_member gpu0/vf3 vm)" "reserved trainer-other"
is "under the same lease" "$(epoch_of gpu0/vf3)" "$epoch"
check "it is undefined" virsh undefine trainer-other
check "then the VF is free" wait_for 30 vf_is gpu0/vf3 free
check_fails "and nobody lists the VM" vm_is_listed trainer-other

# ---- a pc

has_no_hostdev() {
	! virsh dumpxml "$1" | grep -q '<hostdev'
}
epoch_is_not() {
	[ -n "$(epoch_of gpu0/vf3)" ] && [ "$(epoch_of gpu0/vf3)" != "$1" ]
}
check "the agent of the pc answers" wait_agent trainer-pc
check "it gets a VF while it runs" gpuvf assign trainer-pc --vf gpu0/vf3
like "which is plugged into the bus itself" "$(virsh dumpxml trainer-pc | sed -n '/<hostdev/,/<.hostdev/p')" \
	"type='pci' domain='0x0000' bus='0x00'"
check "the guest sees it" wait_for 20 guest_exec trainer-pc gpu-ok
check "its definition gets it as well" gpuvf assign trainer-pc --vf gpu0/vf3 --both
is "and names it" "$(virsh dumpxml --inactive trainer-pc | grep -c '<hostdev')" 1
check "the definition alone loses it" gpuvf release trainer-pc --config
is "and names none" "$(virsh dumpxml --inactive trainer-pc | grep -c '<hostdev')" 0
is "the guest has it" "$(vf_member gpu0/vf3 state)" attached
epoch=$(epoch_of gpu0/vf3)
check "the daemon is stopped" systemctl stop gpuvfd.socket gpuvfd.service
check "somebody takes the VF out" virsh --quiet detach-device trainer-pc /run/by-hand.xml --live
check "the guest lets it go" wait_for 30 has_no_hostdev trainer-pc
check "and it is put back" virsh --quiet attach-device trainer-pc /run/by-hand.xml --live
start_gpuvfd
check "the next daemon sees that" wait_for 60 epoch_is_not "$epoch"
is "it is the VM's" "$(vf_member gpu0/vf3 state) $(vf_member gpu0/vf3 vm)" "attached trainer-pc"
resets=$(vf_resets 0 2)
check "and the guest lets it go" gpuvf release trainer-pc
is "libvirt shows none" "$(virsh dumpxml trainer-pc | grep -c '<hostdev')" 0
is "the VF is free" "$(vf_member gpu0/vf3 state)" free
check "by way of a reset" test "$(vf_resets 0 2)" -gt "$resets"
check_fails "the guest does not see it any more" guest_exec trainer-pc gpu-ok
check "the pc is ended" virsh destroy trainer-pc
check "the second is given back" gpuvf apply gpu1 --vfs 0
check "the first too" gpuvf apply gpu0 --vfs 0
done_testing
