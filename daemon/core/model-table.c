/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of models.  Ids from pci.ids and the drivers' own tables; numbers of VFs and memory
 * for VFs from the profiles of Intel's xpumanager; "needs" from the drivers' sources. */
#include "core/model-table.h"

#include <strings.h>

#include "lib/units.h"

#define BACKPORT "Intel's backported i915, or xe with force_probe from kernel 7.0 on"
#define BACKPORT_ONLY "Intel's backported i915"
#define XE_617 "xe from kernel 6.17 on, with current card firmware"
#define DKMS_OR_XE70 "the i915-sriov DKMS module, or xe with force_probe from kernel 7.0 on"
#define DKMS "the i915-sriov DKMS module"

#define IGPU(first, last, label, needs)                                                            \
	{                                                                                          \
		first, last, label, .max_vfs = 7, .drivers = needs, .integrated = true             \
	}

const struct gpu_model gpu_models[] = {
	/* Data centre */
	{ 0x56c0, 0x56c0, "Flex 170", 16 * GIB, 16777216000, 31, BACKPORT },
	{ 0x56c1, 0x56c1, "Flex 140", 6 * GIB, 6039797760, 31, BACKPORT },
	{ 0x56c2, 0x56c2, "Flex 170V", 16 * GIB, 16777216000, 31, BACKPORT },
	{ 0x0bd4, 0x0bd6, "Max 1550", 128 * GIB, 128849018880, 62, BACKPORT_ONLY, .tiles = 2 },
	{ 0x0bd7, 0x0bd8, "Max 1350", 0, 0, 0, BACKPORT_ONLY },
	{ 0x0b69, 0x0b69, "Max 1450", 0, 0, 0, BACKPORT_ONLY },
	{ 0x0bd9, 0x0bdb, "Max 1100", 48 * GIB, 47244640256, 63, BACKPORT_ONLY },
	{ 0x0b6e, 0x0b6e, "Max 1100C", 48 * GIB, 47244640256, 63, BACKPORT_ONLY },
	/* Arc Pro, Battlemage */
	{ 0xe211, 0xe211, "Arc Pro B60", 24 * GIB, 25367150592, 24, XE_617 },
	{ 0xe212, 0xe212, "Arc Pro B50", 16 * GIB, 16911433728, 24, XE_617 },
	{ 0xe222, 0xe222, "Arc Pro B65", 32 * GIB, 33285996544, 24, XE_617 },
	{ 0xe223, 0xe223, "Arc Pro B70", 32 * GIB, 29771169792, 12, XE_617 },
	/* Cards without the SR-IOV capability, so that a message can say so */
	{ 0xe20b, 0xe20b, "Arc B580", 12 * GIB },
	{ 0xe20c, 0xe20c, "Arc B570", 10 * GIB },
	/* Integrated */
	IGPU(0x9a40, 0x9a40, "Tiger Lake", DKMS_OR_XE70),
	IGPU(0x9a49, 0x9a49, "Tiger Lake", DKMS_OR_XE70),
	IGPU(0x9a59, 0x9a59, "Tiger Lake", DKMS_OR_XE70),
	IGPU(0x9a60, 0x9a60, "Tiger Lake", DKMS_OR_XE70),
	IGPU(0x9a68, 0x9a68, "Tiger Lake", DKMS_OR_XE70),
	IGPU(0x9a70, 0x9a70, "Tiger Lake", DKMS_OR_XE70),
	IGPU(0x9a78, 0x9a78, "Tiger Lake", DKMS_OR_XE70),
	IGPU(0x9ac0, 0x9ac0, "Tiger Lake", DKMS_OR_XE70),
	IGPU(0x9ac9, 0x9ac9, "Tiger Lake", DKMS_OR_XE70),
	IGPU(0x9ad9, 0x9ad9, "Tiger Lake", DKMS_OR_XE70),
	IGPU(0x9af8, 0x9af8, "Tiger Lake", DKMS_OR_XE70),
	IGPU(0x4680, 0x4680, "Alder Lake-S", DKMS_OR_XE70),
	IGPU(0x4682, 0x4682, "Alder Lake-S", DKMS_OR_XE70),
	IGPU(0x4688, 0x4688, "Alder Lake-S", DKMS_OR_XE70),
	IGPU(0x468a, 0x468b, "Alder Lake-S", DKMS_OR_XE70),
	IGPU(0x4690, 0x4690, "Alder Lake-S", DKMS_OR_XE70),
	IGPU(0x4692, 0x4693, "Alder Lake-S", DKMS_OR_XE70),
	IGPU(0x46a0, 0x46aa, "Alder Lake-P", DKMS_OR_XE70),
	IGPU(0x46b0, 0x46b3, "Alder Lake-P", DKMS_OR_XE70),
	IGPU(0x46c0, 0x46c3, "Alder Lake-P", DKMS_OR_XE70),
	IGPU(0x4626, 0x4626, "Alder Lake-P", DKMS_OR_XE70),
	IGPU(0x4628, 0x4628, "Alder Lake-P", DKMS_OR_XE70),
	IGPU(0x462a, 0x462a, "Alder Lake-P", DKMS_OR_XE70),
	IGPU(0x46d0, 0x46d4, "Alder Lake-N", DKMS_OR_XE70),
	IGPU(0xa780, 0xa78b, "Raptor Lake-S", DKMS_OR_XE70),
	IGPU(0xa720, 0xa721, "Raptor Lake-P", DKMS_OR_XE70),
	IGPU(0xa7a0, 0xa7a1, "Raptor Lake-P", DKMS_OR_XE70),
	IGPU(0xa7a8, 0xa7ad, "Raptor Lake-P", DKMS_OR_XE70),
	IGPU(0x7d40, 0x7d40, "Meteor Lake", DKMS),
	IGPU(0x7d45, 0x7d45, "Meteor Lake", DKMS),
	IGPU(0x7d55, 0x7d55, "Meteor Lake", DKMS),
	IGPU(0x7d60, 0x7d60, "Meteor Lake", DKMS),
	IGPU(0x7dd5, 0x7dd5, "Meteor Lake", DKMS),
	IGPU(0x7d41, 0x7d41, "Arrow Lake", DKMS),
	IGPU(0x7d51, 0x7d51, "Arrow Lake", DKMS),
	IGPU(0x7d67, 0x7d67, "Arrow Lake", DKMS),
	IGPU(0x7dd1, 0x7dd1, "Arrow Lake", DKMS),
	IGPU(0xb640, 0xb640, "Arrow Lake", DKMS),
	IGPU(0xb080, 0xb087, "Panther Lake", XE_617),
	IGPU(0xb08f, 0xb090, "Panther Lake", XE_617),
	IGPU(0xb0a0, 0xb0a0, "Panther Lake", XE_617),
	IGPU(0xb0b0, 0xb0b0, "Panther Lake", XE_617),
	IGPU(0xfd80, 0xfd81, "Wildcat Lake", XE_617),
	{ 0x6420, 0x6420, "Lunar Lake", .integrated = true },
	{ 0x64a0, 0x64a0, "Lunar Lake", .integrated = true },
	{ 0x64b0, 0x64b0, "Lunar Lake", .integrated = true },
	{ 0 },
};

const struct gpu_model *gpu_model_find(unsigned device_id)
{
	const struct gpu_model *m;

	for (m = gpu_models; m->name; m++)
		if (device_id >= m->first_id && device_id <= m->last_id)
			return m;
	return NULL;
}

const struct gpu_model *gpu_model_find_name(const char *name)
{
	const struct gpu_model *m;

	for (m = gpu_models; m->name; m++)
		if (strcasecmp(m->name, name) == 0)
			return m;
	return NULL;
}
