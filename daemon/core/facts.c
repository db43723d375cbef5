/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about a GPU and its VFs as values: names, release, copy.  Called by whoever reads the kernel
 * and by whoever remembers it; reads nothing itself. */
#include "core/facts.h"

const char *const vf_control_names[VF_CONTROL_MAX] = {
	[VF_CONTROL_NONE] = "none",
	[VF_CONTROL_XE] = "xe",
	[VF_CONTROL_XE_DEBUGFS] = "xe-debugfs",
	[VF_CONTROL_I915] = "i915",
	[VF_CONTROL_GENERIC] = "generic",
};
DEFINE_ENUM_TABLE(vf_control, enum vf_control, VF_CONTROL_MAX);

const char *const vf_attribute_names[VF_ATTRIBUTE_MAX] = {
	[VF_ATTR_VRAM] = "vram_quota",
	[VF_ATTR_GGTT] = "ggtt_quota",
	[VF_ATTR_CONTEXTS] = "contexts_quota",
	[VF_ATTR_DOORBELLS] = "doorbells_quota",
	[VF_ATTR_EXEC_QUANTUM] = "exec_quantum_ms",
	[VF_ATTR_PREEMPT_TIMEOUT] = "preempt_timeout_us",
	[VF_ATTR_PRIORITY] = "sched_priority",
};
DEFINE_ENUM_TABLE(vf_attribute, enum vf_attribute, VF_ATTRIBUTE_MAX);

const char *const vf_priority_names[VF_PRIORITY_MAX] = {
	[VF_PRIORITY_LOW] = "low",
	[VF_PRIORITY_NORMAL] = "normal",
	[VF_PRIORITY_HIGH] = "high",
};
DEFINE_ENUM_TABLE(vf_priority, enum vf_priority, VF_PRIORITY_MAX);

const char *const vf_access_names[VF_ACCESS_MAX] = {
	[VF_ACCESS_NONE] = "none",
	[VF_ACCESS_READ] = "read-only",
	[VF_ACCESS_BULK] = "bulk",
	[VF_ACCESS_WRITE] = "writable",
};
DEFINE_ENUM_TABLE(vf_access, enum vf_access, VF_ACCESS_MAX);

void vf_facts_done(struct vf_facts *vf)
{
	free(vf->driver);
	*vf = (struct vf_facts){ 0 };
}

struct gpu_facts *gpu_facts_free(struct gpu_facts *f)
{
	size_t i;

	if (!f)
		return NULL;

	for (i = 0; i < f->n_vfs; i++)
		vf_facts_done(&f->vfs[i]);
	free(f->vfs);
	for (i = 0; i < VF_ATTRIBUTE_MAX; i++)
		free(f->can[i].why);
	free(f->control_note);
	free(f->power);
	free(f->survivability);
	free(f->reason);
	free(f->driver);
	free(f->serial);
	free(f->model);
	free(f);
	return NULL;
}

/* The texts of a copy that still borrows them: each becomes its own. */
static int own_texts(struct gpu_facts *copy, const struct gpu_facts *f)
{
	size_t i;

	copy->model = copy->serial = copy->driver = copy->reason = copy->control_note = NULL;
	copy->power = copy->survivability = NULL;
	for (i = 0; i < VF_ATTRIBUTE_MAX; i++)
		copy->can[i].why = NULL;
	for (i = 0; i < VF_ATTRIBUTE_MAX; i++)
		if (free_and_strdup(&copy->can[i].why, f->can[i].why) < 0)
			return -ENOMEM;
	if (free_and_strdup(&copy->model, f->model) < 0 ||
	    free_and_strdup(&copy->serial, f->serial) < 0 ||
	    free_and_strdup(&copy->driver, f->driver) < 0 ||
	    free_and_strdup(&copy->control_note, f->control_note) < 0 ||
	    free_and_strdup(&copy->power, f->power) < 0 ||
	    free_and_strdup(&copy->survivability, f->survivability) < 0 ||
	    free_and_strdup(&copy->reason, f->reason) < 0)
		return -ENOMEM;
	return 0;
}

struct gpu_facts *gpu_facts_copy(const struct gpu_facts *f)
{
	_cleanup_(gpu_facts_freep) struct gpu_facts *copy = malloc(sizeof(*copy));
	size_t i;

	if (!copy)
		return NULL;

	*copy = *f;
	copy->vfs = NULL;
	copy->n_vfs = 0;
	if (own_texts(copy, f) < 0)
		return NULL;

	copy->vfs = calloc(MAX_OF(f->n_vfs, (size_t)1), sizeof(*copy->vfs));
	if (!copy->vfs)
		return NULL;
	for (i = 0; i < f->n_vfs; i++) {
		copy->vfs[i] = f->vfs[i];
		copy->vfs[i].driver = NULL;
		copy->n_vfs = i + 1;
		if (free_and_strdup(&copy->vfs[i].driver, f->vfs[i].driver) < 0)
			return NULL;
	}
	return TAKE_PTR(copy);
}

bool gpu_may_have_vf(const struct gpu_facts *f, const struct pci_address *address)
{
	unsigned pf = pci_routing_id(&f->address), vf = pci_routing_id(address), n;

	if (f->vf_offset == 0 || address->domain != f->address.domain || vf < pf + f->vf_offset)
		return false;
	n = vf - pf - f->vf_offset;
	if (n == 0)
		return f->total_vfs > 0;
	return f->vf_stride > 0 && n % f->vf_stride == 0 && n / f->vf_stride < f->total_vfs;
}
