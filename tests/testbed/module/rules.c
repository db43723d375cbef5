// SPDX-License-Identifier: GPL-2.0-or-later
/* How the card's memory and scheduling values are given out and taken back: R 2.4, 2.5, 2.6. */
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/sizes.h>

#include "testgpu.h"

/* R 2.6: kept for the PF, and the granularity, for the one tile that the emulated cards have. */
#define VRAM_SPARE SZ_128M
#define VRAM_STEP SZ_2M

static u64 usable(const struct testgpu *gpu)
{
	return gpu->vram > VRAM_SPARE ? gpu->vram - VRAM_SPARE : 0;
}

static u64 given(const struct testgpu *gpu)
{
	u64 sum = 0;
	unsigned int i;

	for (i = 1; i <= gpu->totalvfs; i++)
		sum += gpu->profiles[i].vram_quota;
	return sum;
}

int rules_set_quota(struct testgpu *gpu, unsigned int vfid, u64 bytes)
{
	struct profile *profile = &gpu->profiles[vfid];
	u64 others = given(gpu) - profile->vram_quota;

	/* R 2.5: change only while the VF is not running; (inferred) the refusal is EIO. */
	if (vfid <= gpu->numvfs)
		return -EIO;
	if (bytes > gpu->vram)
		return -ENOSPC;
	/* R 2.4: rounded up to tiles x 2 MiB. */
	bytes = roundup(bytes, VRAM_STEP);
	/* (inferred) R 2.3 has ENOSPC for "nothing left to share". */
	if (bytes > usable(gpu) || others > usable(gpu) - bytes)
		return -ENOSPC;
	profile->vram_quota = bytes;
	return 0;
}

int rules_set_all_quotas(struct testgpu *gpu, u64 bytes)
{
	unsigned int i;
	int ret;

	/* R 2.5: every VF up to totalvfs, not only those about to be enabled. */
	for (i = 1; i <= gpu->totalvfs; i++) {
		ret = rules_set_quota(gpu, i, bytes);
		/* R 2.4: EUCLEAN when a bulk write ended part way. */
		if (ret)
			return i == 1 ? ret : -EUCLEAN;
	}
	return 0;
}

/* R 2.5 (newer rule, where vram_quota exists) and 2.6 (older). */
static u64 automatic_share(const struct testgpu *gpu, unsigned int num)
{
	u64 free = usable(gpu) - given(gpu);
	bool has_display = gpu->pci_class >> 8 == PCI_CLASS_DISPLAY_VGA;
	u64 share, profile;

	if (!gpu->has_quota)
		return free > SZ_128M ? rounddown(div_u64(free - SZ_128M, num), VRAM_STEP) : 0;
	share = rounddown(div_u64(free, num), VRAM_STEP);
	profile = usable(gpu) > SZ_128M ? rounddown(usable(gpu) - SZ_128M, (u64)SZ_1G) : 0;
	profile = div_u64(profile, has_display ? num + 1 : num);
	if (has_display && profile)
		profile = rounddown_pow_of_two(profile);
	/* (inferred) a card too small for the profile is shared as it is. */
	profile = rounddown(profile, VRAM_STEP);
	return profile ? min(share, profile) : share;
}

int rules_provision(struct testgpu *gpu, unsigned int num)
{
	unsigned int i;
	u64 share;

	if (!gpu->vram)
		return 0;
	/* R 2.5: a quota on any VF blocks the automatic sharing for all of them. */
	if (given(gpu)) {
		for (i = 1; i <= num; i++)
			if (!gpu->profiles[i].vram_quota)
				pci_notice(gpu->pf, "VF%u has no VRAM\n", i);
		return 0;
	}
	share = automatic_share(gpu, num);
	/* R 2.3: nothing left to share. */
	if (!share)
		return -ENOSPC;
	for (i = 1; i <= num; i++)
		gpu->profiles[i].vram_quota = share;
	return 0;
}

void rules_release(struct testgpu *gpu, unsigned int num)
{
	unsigned int i;

	/* R 2.5: quotas are released; R 2.4 (inferred): scheduling values are zeroed. */
	for (i = 1; i <= num; i++)
		memset(&gpu->profiles[i], 0, sizeof(gpu->profiles[i]));
}
