/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one function of the made-up card has on one tile, and what the driver takes there: limits, rounding, refusals.
 * "§" names the section of the reference that a rule is from. */
#include "machine/sim-provision.h"

#define QUANTUM_MAX_MS 100000 /* §2.4: GuC clamps at 100 s */
#define PREEMPT_MAX_US 100000000
#define GGTT_SIZE (4 * GIB) /* with the firmware's part, which no quota reaches (inferred) */

/* §2.6, §3.2: what the PF keeps at the least. */
static const uint64_t spare_minimum[VF_RESOURCE_MAX] = {
	[VF_ATTR_VRAM] = 128 * MIB,
	[VF_ATTR_GGTT] = 64 * MIB,
	[VF_ATTR_CONTEXTS] = 256,
	[VF_ATTR_DOORBELLS] = 0,
};

static bool is_xe(const struct sim_gpu *g)
{
	return streq_ptr(g->driver, "xe");
}

static uint64_t round_up(uint64_t value, uint64_t grain)
{
	return (value + grain - 1) / grain * grain;
}

bool sim_stock_exists(const struct sim_gpu *g, enum vf_attribute resource)
{
	return sim_stock_total(g, resource) > 0;
}

uint64_t sim_stock_total(const struct sim_gpu *g, enum vf_attribute resource)
{
	return resource == VF_ATTR_VRAM ? g->spec.vram_bytes / g->spec.tiles : g->spec.stock[resource];
}

uint64_t sim_stock_grain(const struct sim_gpu *g, enum vf_attribute resource)
{
	if (resource == VF_ATTR_VRAM)
		return 2 * MIB; /* §2.6, §3.2 */
	if (resource == VF_ATTR_GGTT) /* §2.6: 64 KiB on DG2/ATS-M class; §3.2: 4 KiB */
		return is_xe(g) && g->spec.device_id >> 8 == 0x56 ? 64 * KIB : 4 * KIB;
	return resource == VF_ATTR_CONTEXTS && !is_xe(g) ? 128 : 1; /* §3.2; §2.6 */
}

static struct sim_given *given(const struct sim_gpu *g, unsigned function)
{
	return function > 0 ? &g->vfs[function - 1].given : (struct sim_given *)&g->pf;
}

uint64_t sim_stock_get(const struct sim_gpu *g, unsigned function, unsigned tile, enum vf_attribute attribute)
{
	uint64_t value = given(g, function)->values[tile][attribute];

	if (function > 0 || attribute >= VF_RESOURCE_MAX || !sim_stock_exists(g, attribute))
		return value;
	return MAX_OF(value, spare_minimum[attribute]);
}

void sim_stock_put(struct sim_gpu *g, unsigned function, unsigned tile, enum vf_attribute attribute, uint64_t value)
{
	given(g, function)->values[tile][attribute] = value;
}

void sim_stock_clear(struct sim_gpu *g, unsigned function)
{
	*given(g, function) = (struct sim_given){0};
}

bool sim_stock_has_any(const struct sim_gpu *g, unsigned function, bool vram)
{
	for (unsigned tile = 0; tile < g->spec.tiles; tile++)
		for (int a = 0; a < VF_RESOURCE_MAX; a++)
			if (given(g, function)->values[tile][a] > 0 && (vram || a != VF_ATTR_VRAM))
				return true;
	return false;
}

uint64_t sim_stock_free(const struct sim_gpu *g, unsigned tile, enum vf_attribute resource)
{
	uint64_t used = sim_stock_get(g, 0, tile, resource), total = sim_stock_total(g, resource);
	uint64_t grain = sim_stock_grain(g, resource);

	for (unsigned v = 1; v <= g->spec.hardware_vfs; v++)
		used += sim_stock_get(g, v, tile, resource);
	return total > used ? (total - used) / grain * grain : 0;
}

/* §3.2: E2BIG over the total, EDQUOT over what is left.  (inferred) i915 without contexts or doorbells: ENOSPC; xe
 * without space or memory: ENOSPC, without contexts or doorbells: EDQUOT. */
static int refusal(const struct sim_gpu *g, enum vf_attribute resource, uint64_t value)
{
	bool counted = resource == VF_ATTR_CONTEXTS || resource == VF_ATTR_DOORBELLS;

	if (is_xe(g))
		return counted ? -EDQUOT : -ENOSPC;
	if (resource == VF_ATTR_GGTT && value > GGTT_SIZE)
		return -E2BIG;
	return counted ? -ENOSPC : -EDQUOT;
}

/* (inferred) i915 by its source: a VF that nobody uses does not run, whether it is on or not. */
static bool is_on(const struct sim_gpu *g, unsigned vf)
{
	bool used = !g->spec.live_quotas || is_xe(g) || g->vfs[vf - 1].held;

	return vf <= g->num_vfs && used;
}

static int set_quota(struct sim_gpu *g, unsigned vf, unsigned tile, enum vf_attribute resource, uint64_t value)
{
	uint64_t *now = &g->vfs[vf - 1].given.values[tile][resource], before = *now;
	uint64_t grain = sim_stock_grain(g, resource);
	bool counted = resource == VF_ATTR_CONTEXTS || resource == VF_ATTR_DOORBELLS;

	if (before > 0 && value <= before && round_up(value, grain) == before)
		return 0;
	if (is_on(g, vf))
		return -EIO; /* §2.5, §3.3: only while the VF does not run; that it is always EIO is (inferred) */
	if (is_xe(g) && counted && value > sim_stock_total(g, resource))
		return -EINVAL; /* (inferred) more than there can be */
	/* (inferred) What it had is given up first: a write that fails leaves nothing, but for i915's contexts. */
	*now = 0;
	if (value <= sim_stock_total(g, resource)) {
		value = round_up(value, grain);
		if (value <= sim_stock_free(g, tile, resource)) {
			*now = value;
			return 0;
		}
	}
	if (resource == VF_ATTR_CONTEXTS && !is_xe(g))
		*now = before;
	return refusal(g, resource, value);
}

/* §3.2: EINVAL below the minimum; 0 = the minimum (inferred). */
static int set_spare(struct sim_gpu *g, unsigned tile, enum vf_attribute resource, uint64_t value)
{
	if ((value > 0 && value < spare_minimum[resource]) || value > sim_stock_total(g, resource))
		return -EINVAL;
	if (resource != VF_ATTR_CONTEXTS)
		value = round_up(value, sim_stock_grain(g, resource));
	g->pf.values[tile][resource] = value;
	return 0;
}

/* §2.4: u32, clamped at 100 s.  (inferred) xe shows what the firmware took, i915 what was written. */
static int set_schedule(struct sim_gpu *g, unsigned function, unsigned tile, enum vf_attribute attribute,
			uint64_t value)
{
	if (value > UINT32_MAX)
		return -ERANGE; /* (inferred) as the kernel reads numbers */
	if (attribute == VF_ATTR_PRIORITY && value >= VF_PRIORITY_MAX)
		return -EINVAL;
	if (is_xe(g) && attribute == VF_ATTR_EXEC_QUANTUM)
		value = MIN_OF(value, (uint64_t)QUANTUM_MAX_MS);
	if (is_xe(g) && attribute == VF_ATTR_PREEMPT_TIMEOUT)
		value = MIN_OF(value, (uint64_t)PREEMPT_MAX_US);
	given(g, function)->values[tile][attribute] = value;
	return 0;
}

int sim_stock_set(struct sim_gpu *g, unsigned function, unsigned tile, enum vf_attribute attribute, uint64_t value)
{
	if (attribute >= VF_RESOURCE_MAX)
		return set_schedule(g, function, tile, attribute, value);
	return function > 0 ? set_quota(g, function, tile, attribute, value) :
			      set_spare(g, tile, attribute, value);
}
