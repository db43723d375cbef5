// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What one function has on one GT, and what each driver takes: limits, rounding, refusals. The same
 * for all trees; where the drivers differ, it says so. R 2.4, 2.6, 3.2.
 */
#include <linux/math64.h>
#include <linux/sizes.h>

#include "testgpu.h"

/* R 2.6, 3.2: what one GT has. GGTT is of the main GT of a tile only; of 4 GiB a part is the
 * firmware's (inferred). */
#define GGTT_SIZE (4ull * SZ_1G)
#define GGTT_USABLE 0xfee00000ull
#define CONTEXTS 65535
#define DOORBELLS 256
#define QUANTUM_MAX_MS 100000u
#define TIMEOUT_MAX_US 100000000u

/* R 2.6, 3.2: kept for the PF at least. */
static const u64 spare_minimum[VALUE_HARD_COUNT] = {
	[VALUE_GGTT] = SZ_64M,
	[VALUE_CONTEXTS] = 256,
	[VALUE_DOORBELLS] = 0,
	[VALUE_VRAM] = SZ_128M,
};

/* One GT per tile; a card of one tile may have a media GT besides. */
unsigned int values_gt_count(const struct testgpu *gpu)
{
	return gpu->tiles + (gpu->media ? 1 : 0);
}

bool values_gt_is_media(const struct testgpu *gpu, unsigned int gt)
{
	return gt >= gpu->tiles;
}

bool values_exist(const struct testgpu *gpu, unsigned int gt, enum value value)
{
	if (value == VALUE_VRAM && !gpu->vram)
		return false;
	return !values_gt_is_media(gpu, gt) || (value != VALUE_GGTT && value != VALUE_VRAM);
}

u64 values_total(const struct testgpu *gpu, unsigned int gt, enum value value)
{
	if (!values_exist(gpu, gt, value))
		return 0;
	switch (value) {
	case VALUE_GGTT:
		return GGTT_USABLE;
	case VALUE_CONTEXTS:
		return CONTEXTS;
	case VALUE_DOORBELLS:
		return DOORBELLS;
	case VALUE_VRAM:
		return div_u64(gpu->vram, gpu->tiles);
	default:
		return 0;
	}
}

u64 values_step(const struct testgpu *gpu, enum value value)
{
	bool xe = gpu->flavour == FLAVOUR_XE;

	switch (value) {
	case VALUE_GGTT:
		/* R 2.6: 64 KiB on DG2/ATS-M class under xe; R 3.2: 4 KiB under i915. */
		return xe && gpu->device >> 8 == 0x56 ? SZ_64K : SZ_4K;
	case VALUE_CONTEXTS:
		/* R 3.2: a multiple of 128 under i915. */
		return xe ? 1 : 128;
	case VALUE_VRAM:
		return SZ_2M;
	default:
		return 1;
	}
}

u64 values_get(const struct testgpu *gpu, unsigned int vfid, unsigned int gt, enum value value)
{
	u64 number = gpu->functions[vfid].values[gt][value];

	if (vfid || value >= VALUE_HARD_COUNT || !values_exist(gpu, gt, value))
		return number;
	return max(number, spare_minimum[value]);
}

u64 values_free(const struct testgpu *gpu, unsigned int gt, enum value value)
{
	u64 used = values_get(gpu, 0, gt, value);
	u64 total = values_total(gpu, gt, value);
	unsigned int i;

	for (i = 1; i <= gpu->totalvfs; i++)
		used += gpu->functions[i].values[gt][value];
	return total > used ? rounddown(total - used, values_step(gpu, value)) : 0;
}

/* R 3.2: E2BIG over total, EDQUOT over maximum. (inferred) i915 without contexts or doorbells:
 * ENOSPC; xe without space or memory: ENOSPC, without contexts or doorbells: EDQUOT. */
static int refusal(const struct testgpu *gpu, enum value value, u64 number)
{
	bool counted = value == VALUE_CONTEXTS || value == VALUE_DOORBELLS;

	if (gpu->flavour == FLAVOUR_XE)
		return counted ? -EDQUOT : -ENOSPC;
	if (value == VALUE_GGTT && number > GGTT_SIZE)
		return -E2BIG;
	return counted ? -ENOSPC : -EDQUOT;
}

static int set_quota(struct testgpu *gpu, unsigned int vfid, unsigned int gt, enum value value,
		     u64 number)
{
	u64 *now = &gpu->functions[vfid].values[gt][value];
	bool keeps = gpu->flavour == FLAVOUR_I915 && value == VALUE_CONTEXTS;
	u64 before = *now;

	if (before && number <= before && roundup(number, values_step(gpu, value)) == before)
		return 0;
	/* R 2.5, 3.3: change only while the VF is not running; (inferred) the refusal is EIO. */
	if (vfid <= gpu->numvfs && !(gpu->live && gpu->flavour == FLAVOUR_I915))
		return -EIO;
	/* (inferred) more than there can be of it. */
	if (gpu->flavour == FLAVOUR_XE && value != VALUE_GGTT && value != VALUE_VRAM &&
	    number > values_total(gpu, gt, value))
		return -EINVAL;
	/*
	 * (inferred) What the VF had is given up first: a write that fails leaves it with nothing.
	 * Contexts under i915 are the exception.
	 */
	*now = 0;
	if (number > GGTT_USABLE && number > values_total(gpu, gt, value))
		return refusal(gpu, value, number);
	number = roundup(number, values_step(gpu, value));
	if (number <= values_free(gpu, gt, value)) {
		*now = number;
		return 0;
	}
	if (keeps)
		*now = before;
	return refusal(gpu, value, number);
}

/* R 3.2: spares have a minimum, EINVAL below. (inferred) 0 is the minimum too; xe has the same. */
static int set_spare(struct testgpu *gpu, unsigned int gt, enum value value, u64 number)
{
	if (number && number < spare_minimum[value])
		return -EINVAL;
	if (number > values_total(gpu, gt, value))
		return -EINVAL;
	if (value != VALUE_CONTEXTS)
		number = roundup(number, values_step(gpu, value));
	gpu->functions[0].values[gt][value] = number;
	return 0;
}

static int set_other(struct testgpu *gpu, unsigned int vfid, unsigned int gt, enum value value,
		     u64 number)
{
	/* R 2.4: the firmware clamps at 100 s. (inferred) xe keeps what the firmware does, i915
	 * what was written. */
	if (gpu->flavour == FLAVOUR_XE && value == VALUE_QUANTUM)
		number = min_t(u64, number, QUANTUM_MAX_MS);
	if (gpu->flavour == FLAVOUR_XE && value == VALUE_TIMEOUT)
		number = min_t(u64, number, TIMEOUT_MAX_US);
	if (value == VALUE_PRIORITY && number >= PRIORITY_COUNT)
		return -EINVAL;
	gpu->functions[vfid].values[gt][value] = number;
	return 0;
}

int values_set(struct testgpu *gpu, unsigned int vfid, unsigned int gt, enum value value,
	       u64 number)
{
	if (value >= VALUE_HARD_COUNT)
		return set_other(gpu, vfid, gt, value, number);
	return vfid ? set_quota(gpu, vfid, gt, value, number) : set_spare(gpu, gt, value, number);
}
