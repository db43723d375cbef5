#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# gpuvf doctor on a host without an IOMMU: it says so, says where to switch it on, and ends with 1.
# Takes about 35 s.
# testbed: --iommu none --gpus flex170 --limit 900
. "$TESTBED_SRC/lib.sh"

systemctl stop gpuvfd.socket gpuvfd.service
look gpuvf -o json doctor
is "it ends with 1" $? 1
told host iommu error "/sys/kernel/iommu_groups = 0"
like "the cure names both makers' names for it" "$(finding host iommu cure)" "VT-d.*AMD-Vi"
like "the firmware's tables were looked for" "$(finding host iommu evidence)" "DMAR: not there.*IVRS: not there"
is "of groups nothing is said" "$(finding "$(pf_address 0)" iommu-group severity)" ""
told "$(pf_address 0)" vfs-allowed ok
note "$(gpuvf doctor 2>/dev/null)"
done_testing
