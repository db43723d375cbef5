/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What VFs of the made-up card are given: quotas, automatic sharing, scheduling values.  Called by sim-kernel.c when
 * VFs come, and for each write of an attribute.  "§" names the section of the reference that a rule is from. */
#include "machine/sim-provision.h"

#define QUANTUM_MAX_MS 100000 /* §2.4: GuC clamps at 100 s */
#define PREEMPT_MAX_US 100000000

static uint64_t quota_sum(const struct sim_gpu *g)
{
	uint64_t sum = 0;

	for (unsigned v = 0; v < g->spec.total_vfs; v++)
		sum += g->vfs[v].quota_bytes + g->vfs[v].share_bytes;
	return sum;
}

uint64_t sim_provision_vram_free(const struct sim_gpu *g)
{
	uint64_t used = VRAM_SPARE + quota_sum(g);

	return g->spec.vram_bytes > used ? g->spec.vram_bytes - used : 0;
}

/* §2.5: a quota on any VF stops automatic sharing for all; VFs without one come up without VRAM.
 * §2.6: else each gets the same share, down to the grain; ENOSPC when nothing is left to share
 * (§2.3). */
int sim_provision_share(struct sim_gpu *g, unsigned n)
{
	uint64_t share;

	if (g->spec.vram_bytes == 0 || quota_sum(g) > 0)
		return 0;
	share = sim_provision_vram_free(g) / n / VRAM_GRAIN * VRAM_GRAIN;
	if (share == 0)
		return -ENOSPC;
	for (unsigned v = 0; v < n; v++)
		g->vfs[v].share_bytes = share;
	return 0;
}

static int set_quota(struct sim_gpu *g, struct sim_vf *vf, bool running, uint64_t value,
		     uint64_t *ret_value)
{
	uint64_t rounded, own = vf->quota_bytes + vf->share_bytes;

	if (!g->spec.vram_quota)
		return -EOPNOTSUPP; /* §2.5: it may be missing */
	if (running)
		return -EIO; /* §2.5: GuC may refuse while the VF runs; that it always does is
				(inferred) */
	if (value > INT64_MAX)
		return -EINVAL;
	rounded = (value + VRAM_GRAIN - 1) / VRAM_GRAIN * VRAM_GRAIN;
	if (rounded > sim_provision_vram_free(g) + own)
		return -ENOSPC;
	vf->quota_bytes = rounded;
	vf->share_bytes = 0;
	*ret_value = rounded;
	return 0;
}

static int set_schedule(uint64_t *target, uint64_t value, uint64_t max, uint64_t *ret_value)
{
	if (value > UINT32_MAX)
		return -EINVAL; /* §2.4: u32 */
	*target = MIN_OF(value, max);
	*ret_value = *target;
	return 0;
}

int sim_gpu_set_attribute(struct sim_gpu *g, unsigned index, enum vf_attribute attribute, uint64_t value,
			  uint64_t *ret_value)
{
	struct sim_vf *vf;

	if (!g->spec.sriov_admin)
		return -EOPNOTSUPP;
	if (index > g->spec.total_vfs)
		return -ENOENT; /* §2.4: vf1 … vf<totalvfs> exist always, nothing beyond */
	if (index == 0)
		g->writes.pf_attributes++;
	else
		g->writes.vf_attributes++;
	vf = index > 0 ? &g->vfs[index - 1] : NULL;
	if (attribute == VF_ATTR_EXEC_QUANTUM)
		return set_schedule(vf ? &vf->exec_quantum_ms : &g->pf_exec_quantum_ms, value,
				    QUANTUM_MAX_MS, ret_value);
	if (attribute == VF_ATTR_PREEMPT_TIMEOUT)
		return set_schedule(vf ? &vf->preempt_timeout_us : &g->pf_preempt_timeout_us, value,
				    PREEMPT_MAX_US, ret_value);
	if (attribute == VF_ATTR_VRAM && vf) /* §2.4: the PF has none */
		return set_quota(g, vf, vf->held, value, ret_value);
	return -EOPNOTSUPP;
}
