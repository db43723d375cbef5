/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a helper would read of a made-up GPU, and the count of writes to it: no rule is here, only how things show. */
#include "machine/sim-provision.h"

/* Why it cannot be cut; NULL = it can. */
static const char *reason(const struct sim_gpu *g)
{
	if (!g->spec.sriov)
		return "the card or the kernel has no SR-IOV for it";
	if (!g->spec.driver)
		return "no driver is bound to it";
	if (!sim_gpu_has_sriov_hook(g))
		return "its driver has no SR-IOV support";
	if (g->spec.total_vfs == 0)
		return "its driver allows no VFs (max_vfs, GuC or firmware)";
	return NULL;
}

static int fill_vf(const struct sim_gpu *g, unsigned v, struct vf_facts *out)
{
	const struct sim_vf *vf = &g->vfs[v];

	*out = (struct vf_facts){
		.index = v + 1,
		.address = vf->address,
		.iommu_group = vf->iommu_group,
		.values = {
			[VF_ATTR_VRAM] = {g->spec.vram_quota, vf->quota_bytes + vf->share_bytes},
			[VF_ATTR_EXEC_QUANTUM] = {g->spec.sriov_admin, vf->exec_quantum_ms},
			[VF_ATTR_PREEMPT_TIMEOUT] = {g->spec.sriov_admin, vf->preempt_timeout_us},
			[VF_ATTR_PRIORITY] = {g->spec.sriov_admin, VF_PRIORITY_LOW},
		},
	};
	return vf->driver[0] ? free_and_strdup(&out->driver, vf->driver) : 0;
}

struct gpu_facts *sim_gpu_facts(const struct sim_gpu *g)
{
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = calloc(1, sizeof(*f));
	const struct sim_gpu_spec *s = &g->spec;

	if (!f)
		return NULL;
	f->address = s->address;
	f->device_id = s->device_id;
	f->class_code = s->class_code;
	f->vf_control = reason(g)        ? VF_CONTROL_NONE
			: s->sriov_admin ? VF_CONTROL_XE
					 : VF_CONTROL_GENERIC;
	f->sriov_capable = s->sriov;
	f->total_vfs = s->total_vfs;
	f->num_vfs = g->num_vfs;
	f->autoprobe = g->autoprobe;
	f->numa_node = s->numa_node;
	f->display = s->display;
	f->vram_bytes = (struct known){s->vram_bytes > 0, s->vram_bytes};
	f->tiles = 1;
	if (s->vram_quota)
		f->resources[VF_ATTR_VRAM] = (struct resource_facts){
			.free = {true, sim_provision_vram_free(g)}, .grain = VRAM_GRAIN};
	if (s->vram_quota && s->sriov_admin)
		f->can[VF_ATTR_VRAM].access = VF_ACCESS_WRITE;
	if (s->sriov_admin) {
		f->can[VF_ATTR_EXEC_QUANTUM].access = VF_ACCESS_WRITE;
		f->can[VF_ATTR_PREEMPT_TIMEOUT].access = VF_ACCESS_WRITE;
		f->can[VF_ATTR_PRIORITY].access = VF_ACCESS_READ;
	}
	f->iommu = g->iommu_group >= 0;
	if (free_and_strdup(&f->model, s->model) < 0 ||
	    free_and_strdup(&f->serial, s->serial) < 0 ||
	    free_and_strdup(&f->driver, s->driver) < 0 ||
	    free_and_strdup(&f->reason, reason(g)) < 0)
		return NULL;
	f->vfs = calloc(g->num_vfs + 1, sizeof(*f->vfs));
	if (!f->vfs)
		return NULL;
	for (unsigned v = 0; v < g->num_vfs; v++) {
		f->n_vfs = v + 1;
		if (fill_vf(g, v, &f->vfs[v]) < 0)
			return NULL;
	}
	return TAKE_PTR(f);
}

json_t *sim_gpu_writes(const struct sim_gpu *g)
{
	const struct sim_writes *w = &g->writes;

	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "sriov_numvfs", w->numvfs,
			 "sriov_numvfs_while_held", w->numvfs_while_held, "sriov_drivers_autoprobe",
			 w->autoprobe, "vf_attributes", w->vf_attributes, "pf_attributes",
			 w->pf_attributes, "binds", w->binds, "resets", w->resets);
}
