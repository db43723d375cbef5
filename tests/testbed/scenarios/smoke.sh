#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The testbed itself, with a plain shell and virsh, without gpuvf: an emulated GPU is cut into VFs,
# one goes into a running guest, which sees it, and all is given back.
# Takes about 65 s.
# testbed: --no-install --gpus flex170 --limit 900
. "$TESTBED_SRC/lib.sh"

pf=$(pf_folder 0) || bail_out "there is no GPU"
admin=$pf/sriov_admin

driver_of() {
	basename "$(readlink "$1/driver")"
}

guest_has_gpu() {
	guest_exec trainer-a gpu-ok
}

group_of() {
	basename "$(readlink "$pf/virtfn$1/iommu_group")"
}

note "libvirtd and the guest start first; the rest goes on meanwhile"
check "a guest starts" start_guest trainer-a || bail_out "no guest"

is "the PF is an Intel Flex 170" "$(cat "$pf/vendor" "$pf/device" "$pf/class" | xargs)" \
	"0x8086 0x56c0 0x038000"
is "its driver is xe" "$(driver_of "$pf")" xe
check "it has DRM nodes" test -c /dev/dri/card0 -a -c /dev/dri/renderD128
is "it offers 31 VFs" "$(cat "$pf/sriov_totalvfs")" 31

check "a quota is taken" put 3000001 "$admin/vf1/profile/vram_quota"
is "and rounded up to 2 MiB" "$(cat "$admin/vf1/profile/vram_quota")" 4194304
check "and taken back" put 0 "$admin/vf1/profile/vram_quota"
check_fails "more than the card has is refused" put 99999999999 "$admin/vf1/profile/vram_quota"
check_fails "'high' for all at once is refused" put high "$admin/.bulk_profile/sched_priority"
check_fails "a bulk file cannot be read" cat "$admin/.bulk_profile/exec_quantum_ms"
check "a quantum for all at once" put 20 "$admin/.bulk_profile/exec_quantum_ms"
is "reaches a VF" "$(cat "$admin/vf31/profile/exec_quantum_ms")" 20

check "host drivers are kept away" put 0 "$pf/sriov_drivers_autoprobe"
check_fails "32 VFs are refused" put 32 "$pf/sriov_numvfs"
check "4 VFs" put 4 "$pf/sriov_numvfs"
is "there are 4 VFs" "$(cat "$pf/sriov_numvfs")" 4
check_fails "2 VFs straight from 4 are refused" put 2 "$pf/sriov_numvfs"
is "each VF has an IOMMU group of its own" \
	"$(for k in 0 1 2 3; do group_of $k; done | sort -u | wc -l)" 4
is "memory was shared out" "$(cat "$admin/vf4/profile/vram_quota")" 4026531840
check "vf1 links its device" test -e "$admin/vf1/device"
check_fails "vf5 does not" test -e "$admin/vf5/device"

vf=$(vf_address 0 0)
check "VF 0 goes to vfio-pci" take_vf "$vf"
resets=$(vf_resets 0 0)
check "VF 0 is reset" put 1 "/sys/bus/pci/devices/$vf/reset"
is "the card saw the reset" "$(vf_resets 0 0)" $((resets + 1))

check "the guest's agent answers" wait_agent trainer-a || bail_out "no agent"
is "the guest has no GPU" "$(guest_exec trainer-a lspci -d 8086::0380)" ""
hostdev_xml "$vf" ua-gpuvf-0 >/run/vf.xml
check "the VF goes into the running guest" virsh attach-device trainer-a /run/vf.xml --live
check "the guest finds it" wait_for 30 guest_has_gpu
like "its own PCI listing shows it" "$(guest_exec trainer-a lspci -nn -d 8086::0380)" \
	'Display controller .*8086:56c0'
note "$(guest_exec trainer-a lspci -nn)"
like "the alias is kept" "$(virsh dumpxml trainer-a)" "alias name='ua-gpuvf-0'"
is "programs run as the guest's user" \
	"$(guest_exec trainer-a setpriv --reuid 1000 --regid 1000 --init-groups id -un)" trainer
check "the VF leaves the guest" virsh detach-device-alias trainer-a ua-gpuvf-0 --live
gone() {
	! virsh dumpxml trainer-a | grep -q hostdev
}
check "libvirt says that it is gone" wait_for 30 gone
check_fails "the guest has no GPU any more" guest_has_gpu
check "no VFs" put 0 "$pf/sriov_numvfs"
is "the quantum of a VF that was on is zero" "$(cat "$admin/vf1/profile/exec_quantum_ms")" 0
is "as is its memory" "$(cat "$admin/vf1/profile/vram_quota")" 0
check "the guest is ended" virsh destroy trainer-a
done_testing
