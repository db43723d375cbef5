#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# gpuvf doctor on a real kernel: a good card, one without SR-IOV, one without driver; VMs without agent
# and without a free port; VFs taken by the host, a PF given away, a write that hangs; with a daemon,
# without one, as nobody; and the bundle.
# Takes about 170 s.
# testbed: --gpus flex170:vfs=7,a380,flex170:driver=no --limit 900
. "$TESTBED_SRC/lib.sh"

first=$(pf_address 0) second=$(pf_address 1) third=$(pf_address 2)
pf=$(pf_folder 0)
mkdir -p /run/doctor

# How many of its processes hang in the kernel.
doctors_in_d() {
	ps -eo stat=,args= | awk '$1 ~ /^D/ && /--doctor/ { n++ } END { print n + 0 }'
}

check "a user" add_user bob
check "a guest with agent" start_guest trainer-a
check "a guest without agent and without a free port" start_guest trainer-bare noagent noport
# A guest that starts keeps an emulated machine so busy that libvirt answers late, and doctor says so.
check "the first is up" wait_agent trainer-a

# ---- no daemon runs

systemctl stop gpuvfd.socket gpuvfd.service # udev may have started it, before all cards were there
rm -rf /var/lib/gpuvf/*
check "libvirt answers" wait_for 60 virsh list
look gpuvf -o json doctor
is "without a daemon it ends with 1: a card has no driver" $? 1
like "and says that no daemon answers" "$(cat /run/doctor/stderr)" "no daemon"
note "$(gpuvf doctor 2>/dev/null)"
told host iommu ok "/sys/class/iommu = dmar"
told host gpus-found ok
told host vfio-driver ok
told host libvirt ok
told host libvirt-daemons ok "libvirt-sock"
told host libvirt-memlock ok "/limits = "
told host versions ok "/proc/sys/kernel/osrelease"
told host mandatory-access ok
told host debugfs ok "lockdown"
told host examination ok
told host socket-permissions info "gpuvf.sock: not there"
told "$first" gpu-answers ok
told "$first" sriov-capability ok "/config = extended capability 0010"
told "$first" gpu-driver ok "/driver = xe"
told "$first" vfs-allowed ok "sriov_totalvfs = 7"
told "$first" vf-control ok "as the daemon reads it. = xe"
told "$first" iommu-group ok
told "$first" pf-passed-through ok
told "$first" mmio-space ok
told "$second" sriov-capability info "/config = no extended capability"
told "$third" gpu-driver error "/driver: not there"
told trainer-bare vm-agent warning "agent|XML of trainer-bare"
told trainer-bare vm-free-port warning
told trainer-a vm-free-port ok
told trainer-a vm-memory ok "/proc/meminfo"
check_fails "what is fine is said nothing of: a card without SR-IOV has no driver to miss" \
	grep -q . <<<"$(finding "$second" gpu-driver severity)"

# ---- nobody

look as bob gpuvf -o json doctor
told host iommu ok
is "who may not read configuration space is told so" \
	"$(finding "$second" sriov-capability looked)" False
like "with the way to look" "$(finding "$second" sriov-capability cure)" "root"

# ---- a daemon

echo '{"deadlines": {"sriov_numvfs": "15s"}}' >/etc/gpuvf/gpuvfd.json
start_gpuvfd
check "the daemon answers" gpuvf status || bail_out "$(journalctl -u gpuvfd --no-pager -n 30)"
look gpuvf -o json doctor
is "with a daemon it ends with 1 too" $? 1
like "its own names are used" "$(cat /run/doctor/answer)" "\"subject\": \"gpu[012]\""
told "$first" vfs-allowed ok "sriov_totalvfs = 7"
told "$second" sriov-capability info "no extended capability"
told "$third" gpu-driver error
told daemon daemon-degraded ok
told host socket-permissions ok "0660 0"
told host mandatory-access ok
told host examination ok
told trainer-bare vm-agent warning
note "$(gpuvf doctor)"
is "ids only" "$(gpuvf -q doctor | grep -c '^gpu-driver$')" 1
check "of one good GPU it ends with 0" gpuvf doctor "$first"
check_fails "of one without driver with 1" gpuvf doctor "$third"

# ---- VFs by hand, and the host takes them

check "2 VFs by hand" eval "echo 2 >$pf/sriov_numvfs"
vf=$(vf_address 0 0)
check "the host's driver has them" wait_for 10 test -e "/sys/bus/pci/devices/$vf/driver"
look gpuvf -o json doctor "$first"
told "$first" vf-host-driver warning "$vf/driver = xe"
told "$first" vf-autoprobe warning "sriov_drivers_autoprobe = 1"
told "$first" iommu-group ok
check "gpuvf makes it right" eval "echo 0 >$pf/sriov_numvfs && gpuvf apply $first --vfs 2"
look gpuvf -o json doctor "$first"
told "$first" vf-host-driver ok
told "$first" vf-autoprobe ok "= 0"

# ---- the whole GPU is given away

hostdev_xml "$third" ua-by-hand >/run/doctor/pf.xml
define_guest trainer-off
check "somebody gives a VM the PF" virsh attach-device trainer-off /run/doctor/pf.xml --config
look gpuvf -o json doctor "$third"
told "$third" pf-passed-through error "XML of trainer-off"
like "and that is shouted" "$(finding "$third" pf-passed-through what)" "WHOLE GPU.*trainer-off"
check "and takes it back" virsh detach-device trainer-off /run/doctor/pf.xml --config
check "the PF goes to vfio-pci" take_vf "$third"
look gpuvf -o json doctor "$third"
told "$third" pf-passed-through error "/driver = vfio-pci"

# ---- the bundle

check "a VM with a password" eval "virsh dumpxml trainer-off --inactive |
	sed 's|<devices>|<devices><graphics type=\"vnc\" passwd=\"planted7\"/>|' >/run/doctor/vnc.xml &&
	virsh define /run/doctor/vnc.xml"
check "a bundle" gpuvf doctor --bundle /run/doctor/bundle.tar
is "is for its owner only" "$(stat -c %a /run/doctor/bundle.tar)" 600
note "$(tar tf /run/doctor/bundle.tar | xargs)"
check "has the kernel's log" eval "tar xOf /run/doctor/bundle.tar kernel-log.txt | grep -q $first"
check "the daemon's journal" eval "tar xOf /run/doctor/bundle.tar journal.txt | grep -q 'is ready'"
check "configuration space" eval "tar xOf /run/doctor/bundle.tar gpu-$first.txt | grep -q '^config.*8680c056'"
check "the daemon's GPUs" eval "tar xOf /run/doctor/bundle.tar daemon/gpus.json | grep -q '\"gpu0\"'"
check "VMs" eval "tar xOf /run/doctor/bundle.tar vm-1.xml | grep -q '<domain'"
check_fails "but no password" grep -q planted7 /run/doctor/bundle.tar
look gpuvf doctor --bundle /run/doctor/bundle.tar
is "it is not written over" $? 6

# ---- a write that hangs

fault 0 sriov_numvfs:1:hang
gpuvf apply $first --vfs 0 --wait 0s >/dev/null
check "the write hangs" wait_for 60 pgrep -x sriov_numvfs
wedged() {
	look gpuvf -o json doctor
	[ "$(finding "$first" gpu-answers severity)" = error ]
}
check "doctor tells" wait_for 90 wedged
before=$SECONDS
look gpuvf -o json doctor
check "and in time" test $((SECONDS - before)) -lt 20
told "$second" gpu-answers ok
told host iommu ok
is "nobody else was sent there" "$(doctors_in_d)" 0
wait_for 90 eval "gpuvf -o json list gpus | grep -q wedged"
look gpuvf -o json doctor
told "$first" gpu-answers error "sriov_numvfs"
systemctl stop gpuvfd.socket gpuvfd.service
look gpuvf -o json doctor
told "$first" gpu-answers error "sriov_numvfs"
is "without a daemon its leftover is seen, and nobody else is sent there" "$(doctors_in_d)" 0
release_hang 0
check "when the write has returned" wait_for 20 eval "test \"\$(cat $pf/sriov_numvfs)\" = 0"
look gpuvf -o json doctor
told "$first" gpu-answers ok
done_testing
