#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# gpuvf doctor on a real kernel: a good card, one without SR-IOV, one without driver; VMs without agent
# and without a free port; VFs taken by the host, a PF given away, a write that hangs; with a daemon,
# without one, as nobody; and the bundle.
# testbed: --gpus flex170:vfs=7,a380,flex170:driver=no --limit 600
. "$TESTBED_SRC/lib.sh"

first=$(pf_address 0) second=$(pf_address 1) third=$(pf_address 2)
pf=$(pf_folder 0)
mkdir -p /run/doctor

# look COMMAND...: keeps what it answers, one finding a line, and its exit status.
look() {
	"$@" >/run/doctor/answer 2>/run/doctor/stderr
	status=$?
	python3 - >/run/doctor/findings 2>/dev/null <<-'PYTHON'
	import json
	for f in json.load(open("/run/doctor/answer"))["findings"]:
	    evidence = "; ".join(f'{e["source"]} = {e["value"]}' if e["value"] is not None
	                         else f'{e["source"]}: {e["problem"]}' for e in f["evidence"])
	    words = [f["subject"], f["id"], f["severity"], str(f["looked"]), f["what"], f["cure"], evidence]
	    print("\x1f".join(" ".join(str(w).split()) for w in words))
	PYTHON
}

# finding SUBJECT ID MEMBER: of the answer that was kept; evidence as "source = value; ...".
finding() {
	awk -F'\x1f' -v subject="$1" -v id="$2" -v member="$3" '
		BEGIN {
			split("subject id severity looked what cure evidence", names, " ")
			for (i in names)
				column[names[i]] = i
		}
		$1 == subject && $2 == id {
			print $column[member]
			exit
		}' /run/doctor/findings
}

# told SUBJECT ID SEVERITY [EVIDENCE]: the finding is there, so, with this in its evidence.
told() {
	is "$1: $2 is $3" "$(finding "$1" "$2" severity)" "$3" || note "$(finding "$1" "$2" what)"
	[ -z "${4:-}" ] || like "$1: $2 names $4" "$(finding "$1" "$2" evidence)" "$4"
}

doctors_in_d() {
	local pid n=0
	for pid in /proc/[0-9]*; do
		grep -qz -- --doctor "$pid/cmdline" 2>/dev/null &&
			grep -q '^State:.D' "$pid/status" 2>/dev/null && n=$((n + 1))
	done
	echo $n
}

check "a user" add_user bob
check "a guest with agent" start_guest trainer-a
check "a guest without agent and without a free port" start_guest trainer-bare noagent noport

# ---- no daemon runs

systemctl stop gpuvfd.socket gpuvfd.service # udev may have started it, before all cards were there
rm -rf /var/lib/gpuvf/*
check "libvirt answers" wait_for 60 virsh list
look gpuvf -o json doctor
is "without a daemon it ends with 1: a card has no driver" $status 1
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
told "$first" vf-control ok "vram_quota"
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
is "lockdown is not taken for fine" "$(finding host debugfs looked)" "$(
	setpriv --reuid bob --clear-groups cat /sys/kernel/security/lockdown >/dev/null 2>&1 && echo True || echo False)"

# ---- a daemon

start_gpuvfd
check "the daemon answers" gpuvf status || bail_out "$(journalctl -u gpuvfd --no-pager -n 30)"
look gpuvf -o json doctor
is "with a daemon it ends with 1 too" $status 1
told gpu0 vfs-allowed ok "sriov_totalvfs = 7"
told gpu1 sriov-capability info "no extended capability"
told gpu2 gpu-driver error
told daemon daemon-degraded ok
told host socket-permissions ok "0660 0"
told host mandatory-access ok
told host examination ok
told trainer-bare vm-agent warning
note "$(gpuvf doctor)"
is "ids only" "$(gpuvf -q doctor | grep -c '^gpu-driver$')" 1
check "of one good GPU it ends with 0" gpuvf doctor gpu0
check_fails "of one without driver with 1" gpuvf doctor gpu2

# ---- VFs by hand, and the host takes them

check "2 VFs by hand" eval "echo 2 >$pf/sriov_numvfs"
vf=$(vf_address 0 0)
check "the host's driver has them" wait_for 10 test -e "/sys/bus/pci/devices/$vf/driver"
look gpuvf -o json doctor gpu0
told gpu0 vf-host-driver warning "$vf/driver = xe"
told gpu0 vf-autoprobe warning "sriov_drivers_autoprobe = 1"
told gpu0 iommu-group ok
check "gpuvf makes it right" eval "echo 0 >$pf/sriov_numvfs && gpuvf apply gpu0 --vfs 2"
look gpuvf -o json doctor gpu0
told gpu0 vf-host-driver ok
told gpu0 vf-autoprobe ok "= 0"

# ---- the whole GPU is given away

hostdev_xml "$third" ua-by-hand >/run/doctor/pf.xml
define_guest trainer-off
check "somebody gives a VM the PF" virsh attach-device trainer-off /run/doctor/pf.xml --config
look gpuvf -o json doctor gpu2
told gpu2 pf-passed-through error "XML of trainer-off"
like "and that is shouted" "$(finding gpu2 pf-passed-through what)" "WHOLE GPU.*trainer-off"
check "and takes it back" virsh detach-device trainer-off /run/doctor/pf.xml --config
check "the PF goes to vfio-pci" take_vf "$third"
look gpuvf -o json doctor gpu2
told gpu2 pf-passed-through error "/driver = vfio-pci"

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
is "it is not written over" "$status" 6

# ---- a write that hangs

fault 0 sriov_numvfs:1:hang
gpuvf apply gpu0 --vfs 0 --wait 0s >/dev/null
check "the write hangs" wait_for 20 grep -q . "/sys/kernel/debug/gpuvf_testgpu/$first/faults"
wedged() {
	look gpuvf -o json doctor
	[ "$(finding gpu0 gpu-answers severity)" != ok ]
}
check "doctor tells" wait_for 90 wedged
before=$SECONDS
look gpuvf -o json doctor
check "and in time" test $((SECONDS - before)) -lt 20
told gpu1 gpu-answers ok
told host iommu ok
is "nobody else was sent there" "$(doctors_in_d)" 0
wait_for 90 eval "gpuvf -o json list gpus | grep -q wedged"
look gpuvf -o json doctor
told gpu0 gpu-answers error "sriov_numvfs"
systemctl stop gpuvfd.socket gpuvfd.service
look gpuvf -o json doctor
told "$first" gpu-answers error "sriov_numvfs"
is "without a daemon its leftover is seen, and nobody else is sent there" "$(doctors_in_d)" 0
release_hang 0
check "when the write has returned" wait_for 20 eval "test \"\$(cat $pf/sriov_numvfs)\" = 0"
look gpuvf -o json doctor
told "$first" gpu-answers ok
done_testing
