/* SPDX-License-Identifier: GPL-2.0-or-later */
/* prelim_iov/ (or its other name iov/) of the out-of-tree i915: below the DRM card of the PF, a
 * folder per VF, counted from 1 and there also while no VF is enabled, and in each a folder per GT.
 * It is in the DKMS module for integrated GPUs and in Intel's backports for Flex and Max. */
#include "host/vf-control.h"

#include <stdio.h>

#include "lib/units.h"

#define PF_MODE "SR-IOV PF"
#define GGTT_GRAIN (4 * KIB)
#define VRAM_GRAIN (2 * MIB)
#define CONTEXTS_GRAIN 128

static int i915_path(const struct vf_tree *t, const char *who, const struct vf_tree_gt *gt,
		     bool of_tile, const char *name, char buf[static VF_TREE_PATH_MAX])
{
	int n = snprintf(buf, VF_TREE_PATH_MAX, "%s/%s/%s/%s", t->base, who, gt->name, name);

	return n < VF_TREE_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static const struct vf_tree_layout i915_layout = {
	.files =
		{
			[VF_ATTR_VRAM] = "lmem_quota",
			[VF_ATTR_GGTT] = "ggtt_quota",
			[VF_ATTR_CONTEXTS] = "contexts_quota",
			[VF_ATTR_DOORBELLS] = "doorbells_quota",
			[VF_ATTR_EXEC_QUANTUM] = "exec_quantum_ms",
			[VF_ATTR_PREEMPT_TIMEOUT] = "preempt_timeout_us",
		},
	.spares =
		{
			[VF_ATTR_VRAM] = "lmem_spare",
			[VF_ATTR_GGTT] = "ggtt_spare",
			[VF_ATTR_CONTEXTS] = "contexts_spare",
			[VF_ATTR_DOORBELLS] = "doorbells_spare",
		},
	.if_idle = "policies/sched_if_idle",
	.path = i915_path,
};

/* "gt" of a card with one, "gt0", "gt1"… of others.  A media GT shows its GGTT for reading only: it
 * has none of its own. */
static void find_gts(struct sysfs *s, struct vf_tree *t)
{
	char name[8] = "gt";
	unsigned i;

	if (sysfs_exists(s, "%s/vf1/gt", t->base)) {
		vf_tree_add_gt(t, name, true);
		return;
	}
	for (i = 0; i < VF_TREE_GTS_MAX; i++) {
		snprintf(name, sizeof(name), "gt%u", i);
		if (!sysfs_exists(s, "%s/vf1/%s", t->base, name))
			break;
		vf_tree_add_gt(t, name,
			       i == 0 ||
				       sysfs_is_writable(s, "%s/vf1/%s/ggtt_quota", t->base, name));
	}
}

bool vf_i915_find(struct sysfs *s, struct vf_surface *c, char **ret_mode)
{
	static const char *const homes[] = {"prelim_iov", "iov"};
	struct vf_tree *t = &c->tree;
	unsigned card;
	size_t i;

	*ret_mode = NULL;
	if (vf_control_card(s, c->gpu, &card) < 0)
		return false;

	for (i = 0; i < ARRAY_SIZE(homes); i++) {
		snprintf(t->base, sizeof(t->base), SYSFS_PCI "/drm/card%u/%s", c->gpu, card,
			 homes[i]);
		if (sysfs_read(s, ret_mode, "%s/mode", t->base) == 0)
			break;
	}
	if (!*ret_mode || !streq(*ret_mode, PF_MODE))
		return false;

	find_gts(s, t);
	if (t->n_gts == 0)
		return false;
	t->layout = &i915_layout;
	return true;
}

static const char *why_not(enum vf_attribute attribute, enum vf_access access)
{
	if (access == VF_ACCESS_WRITE)
		return NULL;
	if (access == VF_ACCESS_READ)
		return "the driver shows it for reading only";
	return attribute == VF_ATTR_VRAM ? "the card has no memory of its own"
					 : "i915 has no such file here";
}

static int i915_read_pf(struct sysfs *s, const struct vf_surface *c, struct gpu_facts *f)
{
	const struct vf_tree *t = &c->tree;
	enum vf_attribute a;
	int r = 0;

	for (a = 0; a < VF_ATTR_PRIORITY && r == 0; a++) {
		enum vf_access access = vf_tree_access(s, t, a);

		r = vf_control_set_ability(f, a, access, why_not(a, access));
	}
	if (r == 0 && vf_tree_has_policy(s, t))
		r = vf_control_set_ability(
			f, VF_ATTR_PRIORITY, VF_ACCESS_BULK,
			"i915 has one policy for all VFs (sched_if_idle), so low or "
			"normal for all at once");
	else if (r == 0)
		r = vf_control_set_ability(f, VF_ATTR_PRIORITY, VF_ACCESS_NONE,
					   "i915 has no sched_if_idle policy here");

	f->tiles = t->n_tiles;
	if (f->can[VF_ATTR_VRAM].access != VF_ACCESS_NONE)
		f->resources[VF_ATTR_VRAM].grain = VRAM_GRAIN * t->n_tiles;
	f->resources[VF_ATTR_GGTT].grain = GGTT_GRAIN * t->n_tiles;
	f->resources[VF_ATTR_CONTEXTS].grain = CONTEXTS_GRAIN;
	f->resources[VF_ATTR_DOORBELLS].grain = 1;
	return r;
}

static void i915_read_stock(struct sysfs *s, const struct vf_surface *c, struct gpu_facts *f)
{
	static const char *const names[VF_RESOURCE_MAX][2] = {
		[VF_ATTR_VRAM] = {"available/lmem_free", "available/lmem_max_quota"},
		[VF_ATTR_GGTT] = {"available/ggtt_free", "available/ggtt_max_quota"},
		[VF_ATTR_CONTEXTS] = {"available/contexts_free", "available/contexts_max_quota"},
		[VF_ATTR_DOORBELLS] = {"available/doorbells_free", "available/doorbells_max_quota"},
	};
	enum vf_attribute a;
	uint64_t automatic;

	for (a = 0; a < VF_RESOURCE_MAX; a++) {
		struct resource_facts *stock = &f->resources[a];

		if (f->can[a].access == VF_ACCESS_NONE)
			continue;
		stock->free = vf_tree_read_stock(s, &c->tree, a, names[a][0]);
		stock->max_quota = vf_tree_read_largest(s, &c->tree, a, names[a][1]);
		stock->spare = vf_tree_read_spare(s, &c->tree, a);
	}
	if (sysfs_read_uint(s, &automatic, "%s/pf/auto_provisioning", c->tree.base) == 0)
		f->custom_provisioning = automatic == 0;
	if (f->custom_provisioning) /* by itself the driver leaves nothing on a VF that is off */
		vf_tree_read_standing(s, &c->tree, f);
}

static void i915_read_vf(struct sysfs *s, const struct vf_surface *c, struct vf_facts *vf)
{
	char who[VF_TREE_WHO_MAX];
	enum vf_attribute a;

	vf_tree_who(vf->index, who);
	for (a = 0; a < VF_ATTR_PRIORITY; a++)
		vf->values[a] = vf_tree_read(s, &c->tree, who, a);
	vf->values[VF_ATTR_PRIORITY] = vf_tree_read_policy(s, &c->tree);
}

static int i915_set_vf(struct sysfs *s, const struct vf_surface *c,
		       const struct host_request *request, uint64_t *ret)
{
	char who[VF_TREE_WHO_MAX];
	int r;

	r = vf_control_check_number(s, c, c->tree.base, request->vf);
	if (r < 0)
		return r;

	return vf_tree_write(s, &c->tree, vf_tree_who(request->vf, who), request->attribute,
			     request->value, request->tile, ret);
}

static int i915_set_pf(struct sysfs *s, const struct vf_surface *c, enum vf_attribute attribute,
		       uint64_t value, uint64_t *ret)
{
	return vf_tree_write(s, &c->tree, "pf", attribute, value, 0, ret);
}

static int i915_set_bulk(struct sysfs *s, const struct vf_surface *c, enum vf_attribute attribute,
			 uint64_t value, uint64_t *ret)
{
	return attribute == VF_ATTR_PRIORITY ? vf_tree_write_policy(s, &c->tree, value, ret)
					     : -EOPNOTSUPP;
}

/* The driver turns it on only while no VF has anything. */
static int i915_restore_auto(struct sysfs *s, const struct vf_surface *c, unsigned total)
{
	int r;

	r = vf_tree_clear_quotas(s, &c->tree, total);
	if (r < 0)
		return r;

	return sysfs_write_uint(s, 1, "%s/pf/auto_provisioning", c->tree.base);
}

const struct vf_control_ops vf_control_i915 = {
	.kind = VF_CONTROL_I915,
	.read_pf = i915_read_pf,
	.read_stock = i915_read_stock,
	.read_vf = i915_read_vf,
	.set_vf = i915_set_vf,
	.set_bulk = i915_set_bulk,
	.set_pf = i915_set_pf,
	.restore_auto = i915_restore_auto,
};
