#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# gpuvf doctor on a host with AMD's IOMMU and a kernel that is locked down: a driver that allows no VFs, one
# that knows no SR-IOV, and a card that drives a screen.
# Takes about 65 s.
# testbed: --iommu amd --lockdown --gpus flex170:max_vfs=0,flex170:hook=no,b60:display=yes:vfs=2 --limit 900
. "$TESTBED_SRC/lib.sh"

off=$(pf_address 0) without=$(pf_address 1) screen=$(pf_address 2)
systemctl stop gpuvfd.socket gpuvfd.service

look gpuvf -o json doctor
note "$(gpuvf doctor 2>/dev/null)"
told host iommu ok "/sys/class/iommu = ivhd0"
told host debugfs info "\[integrity\]"
told "$off" vfs-allowed error "sriov_totalvfs = 0"
told "$off" vfs-off-max-vfs ok # the module's own parameter is not why
told "$off" vfs-off-bars ok
told "$off" vfs-off-wedged ok
told "$screen" console-gpu info "status = connected"
told "$screen" vfs-allowed ok "sriov_totalvfs = 2"
told "$screen" iommu-group ok
check_fails "the driver makes no VFs" eval "echo 1 >$(pf_folder 1)/sriov_numvfs"
look gpuvf -o json doctor
told "$without" driver-without-sriov error "does not support SR-IOV"
check "2 VFs" eval "echo 0 >$(pf_folder 2)/sriov_drivers_autoprobe && echo 2 >$(pf_folder 2)/sriov_numvfs"
look gpuvf -o json doctor "$screen"
told "$screen" iommu-group ok
told "$screen" vf-host-driver ok
done_testing
