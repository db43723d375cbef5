#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Bad input and a bad day: each refusal has its exit code and says what and why, nothing is changed and
# nothing is lost. Cards that cannot be cut, VMs that cannot take a VF or a job, users that may not,
# a policy with a typo, a second daemon, no libvirt, a full disk, hands that are not ours.
# Takes about 130 s.
# testbed: --gpus flex170:vfs=7,a380,flex170:driver=no --limit 900
. "$TESTBED_SRC/lib.sh"

pf=$(pf_folder 0)
state=/var/lib/gpuvf

numvfs_writes() {
	awk '/^sriov_numvfs:1000000:/ { print $NF }' \
		"/sys/kernel/debug/gpuvf_testgpu/$(pf_address 0)/faults"
}

policy() {
	cat >/etc/gpuvf/policies.d/50-test.json
}

# ---- the host: little room for the state, guests, users, a policy

mkdir -p /etc/gpuvf/policies.d
systemctl stop gpuvfd.service 2>/dev/null
rm -rf ${state:?}/*
check "the state's disk is small" mount -t tmpfs -o size=4m,mode=0700 small $state
echo '{"deadlines": {"guest_ready": "20s"}}' >/etc/gpuvf/gpuvfd.json
check "users" eval "add_user alice gpuvf && add_user carol gpuvf && add_user bob"
check "a guest whose agent may not run programs" start_guest trainer-noexec noexec
check "a guest without agent and without a free port" start_guest trainer-bare noagent noport
check "a VM that is off" define_guest trainer-off
policy <<-JSON
{
	"version": 1,
	"vms": [ {"match": "trainer-*", "allow": ["user:alice"], "run_as": "trainer", "vf": "per-job"} ],
	"queues": [ {"name": "default", "default": true, "priority": 50} ]
}
JSON
# libvirt accepts what steers a terminal: C1 control characters and the reversal of a line.
sed '/<uuid>/d; s|<name>.*</name>|<name>evil\&#x9b;31m\&#x202e;dlo</name>|' /run/guest-trainer-off.xml >/run/evil.xml
if virsh define /run/evil.xml >/run/evil.out 2>&1; then
	evil=yes
else
	evil=no
	note "libvirt refuses the hostile name: $(cat /run/evil.out)"
fi
start_gpuvfd
check "the daemon answers" gpuvf status || bail_out "$(journalctl -u gpuvfd --no-pager -n 30)"
check "it sees the VMs" wait_for 60 connected true

# ---- cards

note "$(gpuvf -o wide list gpus)"
is "three cards have names" "$(gpuvf -q list gpus | xargs)" "gpu0 gpu1 gpu2"
is "in the order of their addresses" \
	"$(gpuvf call gpu.list '{}' | sed -n 's/^      "address": "\(.*\)",$/\1/p' | xargs)" \
	"$(pf_address 0) $(pf_address 1) $(pf_address 2)"
like "one without SR-IOV says so" "$(member gpu.get '{"gpu": "gpu1"}' cannot_be_cut)" "SR-IOV"
like "one without driver says so" "$(member gpu.get '{"gpu": "gpu2"}' cannot_be_cut)" "driver"
refused 10 "SR-IOV" gpuvf apply gpu1 --vfs 2
refused 10 "driver" gpuvf apply gpu2 --vfs 2
fault 0 sriov_numvfs:1000000:EIO
refused 9 "at most 7" gpuvf apply gpu0 --vfs 8
refused 9 "VRAM" gpuvf apply gpu0 --vfs 2 --vram 12GiB
refused 2 "4G" gpuvf apply gpu0 --vfs 2 --vram 4G
refused 5 "gpu9" gpuvf apply gpu9 --vfs 2
refused 5 "gpu0" gpuvf plan gpu0
is "none of that wrote" "$(numvfs_writes) $(cat "$pf/sriov_numvfs")" "0 0"
refused 9 "no free VF" gpuvf assign trainer-noexec
check "2 VFs" gpuvf apply gpu0 --vfs 2

# ---- names that are not there

refused 5 "nobody" gpuvf assign nobody
refused 5 "vf99" gpuvf assign trainer-noexec --vf gpu0/vf99
refused 5 "gpu9" gpuvf assign trainer-noexec --gpu gpu9
refused 5 "vf99" gpuvf release gpu0/vf99
refused 5 "4711" gpuvf logs 4711
refused 5 "4711" gpuvf cancel 4711
refused 5 "4711" gpuvf wait 4711
refused 5 "gpu9" gpuvf show gpu9

# ---- VMs that cannot take it

refused 6 "off" gpuvf assign trainer-off --live
refused 9 "port" gpuvf assign trainer-bare
refused 9 "port" gpuvf assign trainer-bare --vf gpu0/vf1
is "both VFs are free" "$(gpuvf list vfs | grep -c ' free ')" 2
check "a VM that is off may have one in its XML" gpuvf assign trainer-off --config
like "libvirt keeps it" "$(virsh dumpxml trainer-off)" "ua-gpuvf-"
refused 6 "trainer-off" gpuvf apply gpu0 --vfs 0
check "and gives it back" gpuvf release trainer-off
check_fails "libvirt has forgotten it" eval "virsh dumpxml trainer-off | grep hostdev"

# ---- users

refused 4 "" as bob gpuvf status
check "a member of the group may look" as carol gpuvf list
refused 4 "" as carol gpuvf apply gpu0 --vfs 0
refused 4 "" as carol gpuvf assign trainer-noexec
refused 4 "trainer-noexec" as carol gpuvf submit --vm trainer-noexec -- true
refused 4 "open" as carol gpuvf submit -- true
refused 4 "" as carol gpuvf policy reload

# ---- jobs where they cannot run

deaf=$(as alice gpuvf submit --vm trainer-bare -- true)
is "a job for a VM without agent waits" "$(job_member "$deaf" state)" queued
like "and says why" "$(job_member "$deaf" reason)" "agent"
refused 4 "job $deaf is $(id -u alice)'s" as carol gpuvf logs "$deaf"
refused 4 "job $deaf is $(id -u alice)'s" as carol gpuvf cancel "$deaf"
check "it can be cancelled" as alice gpuvf cancel "$deaf"
check "the agent that runs nothing answers" wait_agent trainer-noexec || bail_out "no agent"
job=$(as alice gpuvf submit --vm trainer-noexec -- true)
quarantined() {
	[ "$(member vm.get '{"vm": "trainer-noexec"}' reason)" != null ]
}
check "where exec is disabled, the VM is quarantined" wait_for 120 quarantined ||
	note "$(virsh dumpxml trainer-noexec | grep -B3 guest_agent)"
note "$(gpuvf show trainer-noexec)"
like "after three attempts, with the reason" "$(member vm.get '{"vm": "trainer-noexec"}' reason)" \
	"3 jobs.*exec"
check "the job is not lost: it waits" wait_for 20 job_is "$job" queued
is "after its third attempt" "$(job_member "$job" attempt)" 3
like "and says so" "$(job_member "$job" reason)" "quarantined"
check "status shows it" eval "gpuvf status | grep -q trainer-noexec"
check "it can be cancelled" as alice gpuvf cancel "$job"
check "both VFs come back" wait_for 20 eval "[ \$(gpuvf list vfs | grep -c ' free ') -eq 2 ]"

# ---- a policy with a typo

revision=$(member daemon.status '{}' policy_revision)
policy <<-JSON
{
	"version": 1,
	"vms": [ {"match": "trainer-*",
		"alow": ["user:alice"], "run_as": "trainer"} ]
}
JSON
refused 8 "50-test.json:4:[0-9]+:.*alow" gpuvf policy reload
refused 8 "50-test.json:4:[0-9]+:.*alow" gpuvf policy check /etc/gpuvf/policies.d/50-test.json
is "the old one stays" "$(member daemon.status '{}' policy_revision)" "$revision"
refused 4 "trainer-noexec" as carol gpuvf submit --vm trainer-noexec -- true
rm /etc/gpuvf/policies.d/50-test.json

# ---- a second daemon

refused 1 "$(main_pid)|lock|another" timeout 20 /usr/sbin/gpuvfd --foreground --socket /run/second.sock
check "the first one does not mind" gpuvf status

# ---- hands that are not ours

before=$(numvfs_writes)
group=$(basename "$(readlink "$pf/virtfn0/iommu_group")")
exec 9<>"/dev/vfio/$group"
check "a program has the VF's VFIO group open" test /proc/$$/fd/9 -ef "/dev/vfio/$group"
refused 6 "pid $$\).*/dev/vfio/$group" gpuvf apply gpu0 --vfs 0
is "the kernel was not asked" "$(numvfs_writes) $(cat "$pf/sriov_numvfs")" "$before 2"
exec 9>&-

hostdev_xml "$(vf_address 0 0)" ua-by-hand >/run/hand.xml
check "somebody attaches a VF with virsh" virsh attach-device trainer-noexec /run/hand.xml --live
check "it is seen" wait_for 20 vf_is gpu0/vf1 attached
like "with its VM and whose it is" "$(gpuvf call vf.get '{"vf": "gpu0/vf1"}' | xargs)" \
	"vm: trainer-noexec.*owner: foreign"
refused 6 "trainer-noexec" gpuvf apply gpu0 --vfs 0
refused 6 "trainer-noexec" gpuvf assign trainer-off --vf gpu0/vf1 --config
is "the kernel was not asked" "$(numvfs_writes) $(cat "$pf/sriov_numvfs")" "$before 2"
resets=$(vf_resets 0 0)
check "and detaches it" virsh detach-device trainer-noexec /run/hand.xml --live
check "it is free again" wait_for 30 vf_is gpu0/vf1 free
check "after a reset" test "$(vf_resets 0 0)" -gt "$resets"

# ---- a VM is destroyed while it has a VF

check "a VF is assigned" gpuvf assign trainer-noexec --vf gpu0/vf2
resets=$(vf_resets 0 1)
check "its VM is destroyed" virsh destroy trainer-noexec
check "the VF is free again" wait_for 30 vf_is gpu0/vf2 free
check "after a reset" test "$(vf_resets 0 1)" -gt "$resets"

# ---- a name that steers the terminal

if [ $evil = yes ]; then
	like "as JSON it is what libvirt says" "$(gpuvf -o json list vms)" "evil"
	script -qec "gpuvf list vms" /dev/null >/run/evil.tty 2>&1 </dev/null
	like "on a terminal it is shown" "$(cat /run/evil.tty)" "evil"
	check_fails "but steers nothing" grep -q $'\xc2\x9b\|\xe2\x80\xae' /run/evil.tty
	check_fails "nor in an error" eval \
		"script -qec \"gpuvf assign \$'evil\u009b31m\u202edlo' --live\" /dev/null </dev/null 2>&1 |
		grep -q \$'\xc2\x9b\\|\xe2\x80\xae'"
fi

# ---- libvirt goes away

pid=$(main_pid)
systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd.service 2>/dev/null
check "libvirt is away: seen" wait_for 30 connected false
like "status says so" "$(gpuvf status)" "libvirt"
refused 1 "libvirt" gpuvf assign trainer-off --config
refused 1 "libvirt" gpuvf apply gpu0 --vfs 0
check "the rest is answered" gpuvf list
systemctl start libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket
check "libvirt is back: seen" wait_for 60 connected true
is "by the same daemon" "$(main_pid)" "$pid"
check "which works on" gpuvf apply gpu0 --vfs 1

# ---- the disk is full

dd if=/dev/zero of=$state/filler bs=64k 2>/dev/null
dd if=/dev/zero of=$state/filler bs=1k oflag=append conv=notrunc 2>/dev/null
full() {
	gpuvf apply gpu0 --vfs 3 >/run/full.out 2>&1
	[ $? -eq 1 ] && grep -q "cannot be written" /run/full.out
}
check "on a full disk a change is refused" full
note "$(cat /run/full.out)"
is "and not made" "$(cat "$pf/sriov_numvfs")" 1
refused 1 "cannot be written" as alice gpuvf submit -- true
like "status says so" "$(gpuvf status)" "cannot be written|degraded"
check "questions are answered" gpuvf list
rm $state/filler
healthy() {
	[ "$(member daemon.status '{}' degraded)" = null ]
}
check "with room again it mends itself" wait_for 30 healthy
check "and takes changes" gpuvf apply gpu0 --vfs 3
is "there are 3" "$(cat "$pf/sriov_numvfs")" 3

# ---- names stay

names=$(gpuvf call gpu.list '{}' | sed -n 's/^      "\(name\|address\)": "\(.*\)",$/\2/p' | xargs)
check "the daemon is restarted" systemctl restart gpuvfd.service
is "names and addresses are the same" \
	"$(gpuvf call gpu.list '{}' | sed -n 's/^      "\(name\|address\)": "\(.*\)",$/\2/p' | xargs)" "$names"
is "as are the VFs" "$(gpuvf list vfs | grep -c ' free ')" 3
check "libvirt is seen again" wait_for 60 connected true
check "the card is given back" gpuvf apply gpu0 --vfs 0
is "there are no VFs" "$(cat "$pf/sriov_numvfs")" 0
done_testing
