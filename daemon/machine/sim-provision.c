/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the driver of the made-up card shares it out when VFs come, and takes it back when they go: automatic and by
 * hand.  "§" names the section of the reference that a rule is from. */
#include "machine/sim-provision.h"

#define VRAM_MARGIN (128 * MIB) /* §2.5: of a profile, before it is rounded */
#define GGTT_SMALL_ABOVE 56	/* §2.6: from so many VFs on each has a fixed part */
#define GGTT_SMALL (56 * MIB)
#define GGTT_ROUND (512 * MIB) /* (inferred) the usable range is counted in these */

static bool is_xe(const struct sim_gpu *g)
{
	return streq_ptr(g->driver, "xe");
}

/* §2.6, trap 11: a VF needs GGTT, contexts and, on a card with memory, VRAM; doorbells are optional.  Some of it is
 * -ENOKEY, nothing -ENODATA.  On a card of two tiles a VF may sit on one of them (inferred). */
static int check_tile(const struct sim_gpu *g, unsigned vf, unsigned tile)
{
	const uint64_t *values = g->vfs[vf - 1].given.values[tile];
	bool memory = values[VF_ATTR_VRAM] > 0 || g->spec.vram_bytes == 0;

	if (values[VF_ATTR_GGTT] > 0 && values[VF_ATTR_CONTEXTS] > 0 && memory)
		return 0;
	for (int a = 0; a < VF_RESOURCE_MAX; a++)
		if (values[a] > 0)
			return -ENOKEY;
	return -ENODATA;
}

/* 0: each of the n VFs has all or nothing, and one has all (inferred: empty ones beside full ones come up);
 * -ENODATA: nobody has anything; -ENOKEY. */
static int check_all(const struct sim_gpu *g, unsigned n)
{
	int found = -ENODATA;

	for (unsigned v = 1; v <= n; v++) {
		for (unsigned tile = 0; tile < g->spec.tiles; tile++) {
			int r = check_tile(g, v, tile);

			if (r == -ENOKEY)
				return r;
			if (r == 0)
				found = 0;
		}
	}
	return found;
}

static bool any_has(const struct sim_gpu *g, unsigned n, bool vram)
{
	for (unsigned v = 1; v <= n; v++)
		if (sim_stock_has_any(g, v, vram))
			return true;
	return false;
}

static uint64_t power_of_two(uint64_t value)
{
	return value == 0 ? 0 : UINT64_C(1) << (63 - __builtin_clzll(value));
}

static uint64_t round_down(uint64_t value, uint64_t grain)
{
	return value / grain * grain;
}

/* §2.5 (newer, with vram_quota) and §2.6 (before). */
static uint64_t xe_vram_share(const struct sim_gpu *g, unsigned tile, unsigned n)
{
	uint64_t left = sim_stock_free(g, tile, VF_ATTR_VRAM), grain = sim_stock_grain(g, VF_ATTR_VRAM);
	uint64_t usable = sim_stock_total(g, VF_ATTR_VRAM);
	bool outputs = g->spec.class_code >> 8 == 0x0300; /* (inferred) "without display" is told by the class */
	uint64_t profile = 0;

	left = round_down(left / n, grain); /* §2.6: the 128 MiB are what the PF keeps, so not among what is left */
	if (g->spec.vram_quota == SIM_QUOTA_ABSENT)
		return left;
	if (usable > VRAM_MARGIN)
		profile = round_down(usable - VRAM_MARGIN, GIB) / (outputs ? n + 1 : n);
	profile = round_down(outputs ? power_of_two(profile) : profile, grain);
	return profile > 0 ? MIN_OF(left, profile) : left; /* (inferred) too small a card is shared as it is */
}

/* §2.6, the table. */
static uint64_t xe_share(const struct sim_gpu *g, unsigned tile, enum vf_attribute resource, unsigned n)
{
	uint64_t total = sim_stock_total(g, resource), most;
	uint64_t fair = round_down(sim_stock_free(g, tile, resource) / n, sim_stock_grain(g, resource));

	if (resource == VF_ATTR_VRAM)
		return xe_vram_share(g, tile, n);
	if (resource == VF_ATTR_GGTT)
		most = n > GGTT_SMALL_ABOVE ? GGTT_SMALL : power_of_two(round_down(total, GGTT_ROUND) / n);
	else
		most = power_of_two(total / (resource == VF_ATTR_DOORBELLS ? n + 1 : n));
	return MIN_OF(fair, most);
}

/* §3.3 says "automatic sharing" and no formula: equal parts, with one of the GGTT for the PF (inferred). */
static uint64_t i915_share(const struct sim_gpu *g, unsigned tile, enum vf_attribute resource, unsigned n)
{
	return round_down(sim_stock_free(g, tile, resource) / (resource == VF_ATTR_GGTT ? n + 1 : n),
			  sim_stock_grain(g, resource));
}

static int share_one(struct sim_gpu *g, unsigned tile, enum vf_attribute resource, unsigned n)
{
	bool optional = is_xe(g) && resource == VF_ATTR_DOORBELLS; /* §2.6 */
	uint64_t share;

	if (!sim_stock_exists(g, resource))
		return 0;
	share = is_xe(g) ? xe_share(g, tile, resource, n) : i915_share(g, tile, resource, n);
	if (share == 0 && !optional)
		return -ENOSPC; /* §2.3: nothing left to share */
	for (unsigned v = 1; v <= n; v++)
		sim_stock_put(g, v, tile, resource, share);
	return 0;
}

static int share_all(struct sim_gpu *g, unsigned n, bool vram)
{
	int r = 0;

	for (unsigned tile = 0; r == 0 && tile < g->spec.tiles; tile++)
		for (int a = 0; r == 0 && a < VF_RESOURCE_MAX; a++)
			if (a != VF_ATTR_VRAM || vram)
				r = share_one(g, tile, a, n);
	if (r < 0)
		sim_provision_release(g, n); /* trap 13: in automatic mode nothing is left (inferred) */
	return r;
}

/* §2.5: a quota on any VF, not only on those about to come, blocks automatic sharing for all. */
static bool vram_is_given(const struct sim_gpu *g)
{
	for (unsigned v = 1; v <= g->spec.hardware_vfs; v++)
		for (unsigned tile = 0; tile < g->spec.tiles; tile++)
			if (sim_stock_get(g, v, tile, VF_ATTR_VRAM) > 0)
				return true;
	return false;
}

/* (inferred) VFs that nobody gave anything come up with nothing. */
static int empty_is_fine(int r)
{
	return r == -ENODATA ? 0 : r;
}

static int xe_provision(struct sim_gpu *g, unsigned n)
{
	if (g->custom)
		return empty_is_fine(check_all(g, n)); /* §2.7: no automatic sharing */
	if (g->spec.euclean && any_has(g, n, true))
		return -EUCLEAN; /* §2.3: 6.19/7.0 */
	if (any_has(g, n, false))
		return check_all(g, n); /* (inferred) kernels before custom mode take what is there */
	return share_all(g, n, !vram_is_given(g));
}

static int i915_provision(struct sim_gpu *g, unsigned n)
{
	int r = check_all(g, n);

	/* §3.3: nothing there → automatic sharing; partly → ENOKEY */
	if (r != -ENODATA || g->auto_off)
		return empty_is_fine(r);
	g->auto_shared = true;
	return share_all(g, n, true);
}

int sim_provision_share(struct sim_gpu *g, unsigned n)
{
	if (g->wedged)
		return is_xe(g) ? -ECANCELED : -EIO; /* §2.3, §2.9; of i915 (inferred) */
	if (g->guarded)
		return -EBUSY; /* §2.3 */
	if (g->spec.tree == SIM_TREE_NONE && !is_xe(g))
		return 0;
	return is_xe(g) ? xe_provision(g, n) : i915_provision(g, n);
}

void sim_provision_release(struct sim_gpu *g, unsigned n)
{
	if (is_xe(g)) {
		/* §2.7: in custom mode quotas survive.  §2.5: else they are released, and scheduling values
		 * zeroed (§2.4, inferred), of the VFs that were on. */
		for (unsigned v = 1; !g->custom && v <= n; v++)
			sim_stock_clear(g, v);
		return;
	}
	/* §3.2: only what was shared automatically; of all VFs (inferred). */
	for (unsigned v = 1; g->auto_shared && v <= g->spec.hardware_vfs; v++)
		sim_stock_clear(g, v);
	g->auto_shared = false;
}

/* §3.2: turning it on needs everything empty, else ESTALE. */
int sim_provision_i915_auto(struct sim_gpu *g)
{
	if (g->auto_off && any_has(g, g->spec.hardware_vfs, true))
		return -ESTALE;
	g->auto_off = false;
	return 0;
}

/* §2.7: it takes back all that was given (inferred). */
void sim_provision_xe_auto(struct sim_gpu *g)
{
	for (unsigned v = 1; g->custom && v <= g->spec.hardware_vfs; v++)
		sim_stock_clear(g, v);
	g->custom = false;
}
