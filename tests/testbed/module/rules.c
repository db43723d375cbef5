// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How the card's resources are shared out when VFs are enabled, and taken back when they are
 * disabled: R 2.3 to 2.7 for xe, 3.2 and 3.3 for i915.
 */
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/sizes.h>

#include "testgpu.h"

/* R 2.6: the usable part of the GGTT, down to 512 MiB (inferred). */
#define GGTT_SHARED (7ull * SZ_512M)

static const char *const commands[] = { "pause", "resume", "stop", "clear", NULL };

bool rules_is_given(const struct testgpu *gpu, unsigned int vfid)
{
	unsigned int gt, value;

	for (gt = 0; gt < values_gt_count(gpu); gt++)
		for (value = 0; value < VALUE_HARD_COUNT; value++)
			if (gpu->functions[vfid].values[gt][value])
				return true;
	return false;
}

/* Whether any of the first `num` VFs has something; all but VRAM, when `but_vram`. */
static bool any_given(const struct testgpu *gpu, unsigned int num, bool but_vram)
{
	unsigned int i, gt, value;

	for (i = 1; i <= num; i++)
		for (gt = 0; gt < values_gt_count(gpu); gt++)
			for (value = 0; value < (but_vram ? VALUE_VRAM : VALUE_HARD_COUNT); value++)
				if (gpu->functions[i].values[gt][value])
					return true;
	return false;
}

/*
 * R 2.6, trap 11: a VF needs GGTT, contexts and, on a card with memory, VRAM; doorbells are
 * optional; anything in between is ENOKEY, nothing at all ENODATA. Space and memory are the main
 * GT's, contexts each GT's. R 5.1: on a card of two tiles a VF may sit on one of them (inferred).
 */
static int check_tile(const struct testgpu *gpu, unsigned int vfid, unsigned int tile)
{
	const struct function *function = &gpu->functions[vfid];
	const u64 *main = function->values[tile];
	bool all = main[VALUE_GGTT] && main[VALUE_CONTEXTS] && (main[VALUE_VRAM] || !gpu->vram);
	bool any = main[VALUE_GGTT] || main[VALUE_CONTEXTS] || main[VALUE_DOORBELLS] ||
		   main[VALUE_VRAM];

	if (gpu->media) {
		const u64 *media = function->values[gpu->tiles];

		all = all && media[VALUE_CONTEXTS];
		any = any || media[VALUE_CONTEXTS] || media[VALUE_DOORBELLS];
	}
	if (all)
		return 0;
	return any ? -ENOKEY : -ENODATA;
}

static int check_function(const struct testgpu *gpu, unsigned int vfid)
{
	unsigned int tile, full = 0;
	int ret;

	for (tile = 0; tile < gpu->tiles; tile++) {
		ret = check_tile(gpu, vfid, tile);
		if (ret == -ENOKEY)
			return ret;
		if (!ret)
			full++;
	}
	return full ? 0 : -ENODATA;
}

/* ENODATA: all are empty; ENOKEY: one has only a part. Empty ones beside full ones are let
 * through (inferred). */
static int check_functions(const struct testgpu *gpu, unsigned int num)
{
	unsigned int i, full = 0;
	int ret;

	for (i = 1; i <= num; i++) {
		ret = check_function(gpu, i);
		if (ret == -ENOKEY)
			return ret;
		if (!ret)
			full++;
	}
	return full ? 0 : -ENODATA;
}

static u64 rounded(u64 number)
{
	return number ? rounddown_pow_of_two(number) : 0;
}

/* R 2.5 (newer rule, where vram_quota exists) and 2.6 (older). */
static u64 xe_vram_share(const struct testgpu *gpu, unsigned int gt, unsigned int num)
{
	u64 share = rounddown(div_u64(values_free(gpu, gt, VALUE_VRAM), num), SZ_2M);
	u64 usable = values_total(gpu, gt, VALUE_VRAM);
	bool has_display = gpu->pci_class >> 8 == PCI_CLASS_DISPLAY_VGA;
	u64 profile;

	/* The 128 MiB of the older rule are what the PF keeps: they are not free. */
	if (gpu->quota == QUOTA_ABSENT)
		return share;
	profile = usable > SZ_128M ? rounddown(usable - SZ_128M, (u64)SZ_1G) : 0;
	profile = div_u64(profile, has_display ? num + 1 : num);
	if (has_display)
		profile = rounded(profile);
	/* (inferred) a card too small for the profile is shared as it is. */
	profile = rounddown(profile, SZ_2M);
	return profile ? min(share, profile) : share;
}

/* R 2.6, the table. */
static u64 xe_share(const struct testgpu *gpu, unsigned int gt, enum value value, unsigned int num)
{
	u64 fair = rounddown(div_u64(values_free(gpu, gt, value), num), values_step(gpu, value));
	u64 most = GGTT_SHARED;

	switch (value) {
	case VALUE_GGTT:
		most = num > 56 ? 56 * SZ_1M : rounded(div_u64(most, num));
		return min(fair, most);
	case VALUE_CONTEXTS:
		return min_t(u64, fair, rounded(65535 / num));
	case VALUE_DOORBELLS:
		return min_t(u64, fair, rounded(256 / (num + 1)));
	default:
		return xe_vram_share(gpu, gt, num);
	}
}

/* R 3.3 has "automatic sharing" and no formula. (inferred) The PF keeps a share of the GGTT. */
static u64 i915_share(const struct testgpu *gpu, unsigned int gt, enum value value,
		      unsigned int num)
{
	u64 free = values_free(gpu, gt, value);

	return rounddown(div_u64(free, value == VALUE_GGTT ? num + 1 : num),
			 values_step(gpu, value));
}

static int share_out(struct testgpu *gpu, unsigned int gt, enum value value, unsigned int num)
{
	bool xe = gpu->flavour == FLAVOUR_XE;
	unsigned int i;
	u64 share;

	if (!values_exist(gpu, gt, value))
		return 0;
	share = xe ? xe_share(gpu, gt, value, num) : i915_share(gpu, gt, value, num);
	/* R 2.3: nothing left to share. R 2.6: doorbells are optional. */
	if (!share && !(xe && value == VALUE_DOORBELLS))
		return -ENOSPC;
	for (i = 1; i <= num; i++)
		gpu->functions[i].values[gt][value] = share;
	return 0;
}

void rules_clear(struct testgpu *gpu, unsigned int vfid)
{
	memset(&gpu->functions[vfid], 0, sizeof(gpu->functions[vfid]));
}

void rules_release(struct testgpu *gpu, unsigned int num)
{
	unsigned int i;

	if (gpu->flavour == FLAVOUR_XE) {
		/* R 2.7: quotas survive in custom mode. R 2.5: else they are released; R 2.4
		 * (inferred): scheduling values are zeroed. */
		for (i = 1; !gpu->custom && i <= num; i++)
			rules_clear(gpu, i);
		return;
	}
	/* R 3.2: automatic release only in automatic mode; (inferred) of all VFs. */
	for (i = 1; gpu->auto_shared && i <= gpu->totalvfs; i++)
		rules_clear(gpu, i);
	gpu->auto_shared = false;
}

static int share_all(struct testgpu *gpu, unsigned int num, bool but_vram)
{
	unsigned int gt, value;
	int ret = 0;

	for (gt = 0; !ret && gt < values_gt_count(gpu); gt++)
		for (value = 0; !ret && value < (but_vram ? VALUE_VRAM : VALUE_HARD_COUNT); value++)
			ret = share_out(gpu, gt, value, num);
	/* (inferred) what did not go all the way is taken back. */
	if (ret)
		rules_release(gpu, num);
	return ret;
}

/* R 2.5: a quota on any VF blocks the automatic sharing for all of them. */
static bool vram_is_given(const struct testgpu *gpu)
{
	unsigned int i, gt;
	bool given = false;

	for (i = 1; i <= gpu->totalvfs; i++)
		for (gt = 0; gt < gpu->tiles; gt++)
			given = given || gpu->functions[i].values[gt][VALUE_VRAM];
	return given;
}

static void say_without_vram(const struct testgpu *gpu, unsigned int num)
{
	unsigned int i, gt;

	for (i = 1; i <= num; i++)
		for (gt = 0; gt < gpu->tiles; gt++)
			if (!gpu->functions[i].values[gt][VALUE_VRAM])
				pci_notice(gpu->pf, "VF%u has no VRAM in tile %u\n", i, gt);
}

static int empty_is_fine(int ret)
{
	/* (inferred) VFs that nobody gave anything come up with nothing. */
	return ret == -ENODATA ? 0 : ret;
}

static int xe_provision(struct testgpu *gpu, unsigned int num)
{
	bool vram_given = vram_is_given(gpu);
	int ret;

	/* R 2.7: no automatic sharing in custom mode. */
	if (gpu->custom)
		return empty_is_fine(check_functions(gpu, num));
	/* R 2.3: 6.19/7.0, automatic mode, and some VF already holds resources. */
	if (gpu->euclean && any_given(gpu, num, false))
		return -EUCLEAN;
	/* (inferred) older kernels have no custom mode: what is there is taken as it is. */
	if (any_given(gpu, num, true))
		return check_functions(gpu, num);
	ret = share_all(gpu, num, vram_given);
	if (!ret && vram_given)
		say_without_vram(gpu, num);
	return ret;
}

static int i915_provision(struct testgpu *gpu, unsigned int num)
{
	int ret = check_functions(gpu, num);

	/* R 3.3: nothing there: automatic sharing; partly: ENOKEY. */
	if (ret != -ENODATA || gpu->auto_off)
		return empty_is_fine(ret);
	gpu->auto_shared = true;
	return share_all(gpu, num, false);
}

int rules_provision(struct testgpu *gpu, unsigned int num)
{
	/* R 2.3, 2.9: a wedged PF. (inferred) i915 says EIO. */
	if (gpu->wedged)
		return gpu->flavour == FLAVOUR_XE ? -ECANCELED : -EIO;
	/* R 2.3: something holds the guard. */
	if (gpu->lockdowns)
		return -EBUSY;
	return gpu->flavour == FLAVOUR_XE ? xe_provision(gpu, num) : i915_provision(gpu, num);
}

/* R 2.7, 3.2: what control takes. */
int rules_command(struct testgpu *gpu, unsigned int vfid, const char *word)
{
	int which = __sysfs_match_string(commands, ARRAY_SIZE(commands) - 1, word);
	struct function *function = &gpu->functions[vfid];

	if (which < 0 || (which == 3 && gpu->flavour == FLAVOUR_XE))
		return -EINVAL;
	if (which == 3)
		rules_clear(gpu, vfid);
	else if (which == 2)
		function->stopped = true;
	else
		function->paused = which == 0;
	return 0;
}

/* R 3.2: turning on needs everything empty, else ESTALE. */
int rules_set_auto(struct testgpu *gpu, bool on)
{
	unsigned int i;

	for (i = 1; on && gpu->auto_off && i <= gpu->totalvfs; i++)
		if (rules_is_given(gpu, i))
			return -ESTALE;
	gpu->auto_off = !on;
	return 0;
}

/* R 2.7: EBUSY while VFs are on. (inferred) It takes back all that VFs were given. */
int rules_restore_auto(struct testgpu *gpu)
{
	unsigned int i;

	if (gpu->numvfs)
		return -EBUSY;
	for (i = 1; gpu->custom && i <= gpu->totalvfs; i++)
		rules_clear(gpu, i);
	gpu->custom = false;
	return 0;
}
