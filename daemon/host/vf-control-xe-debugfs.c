/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quotas through xe's debugfs, in its old layout (gt0/vf1/…) and its new one
 * (sriov/vf1/tile0/gt0/…).  Each write makes the PF "custom": the driver shares nothing by itself
 * and keeps the quotas when VFs go, until automatic provisioning is restored.  Scheduling values go
 * through sriov_admin where that exists, which does not make the PF custom. */
#include "host/vf-control.h"

#include <stdio.h>

#include "host/debugfs-text.h"
#include "lib/units.h"

#define DRI "kernel/debug/dri"
#define VRAM_GRAIN (2 * MIB)
#define GGTT_GRAIN (4 * KIB)
#define GGTT_GRAIN_DG2 (64 * KIB) /* of DG2 and of Flex, which is made of it: ids 56xx */
/* The driver's own numbers of GuC ids; debugfs shows what is given, not what there is. */
#define CONTEXTS_TOTAL 65535
#define DOORBELLS_TOTAL 256

static int old_path(const struct vf_tree *t, const char *who, const struct vf_tree_gt *gt,
		    bool of_tile, const char *name, char buf[static VF_TREE_PATH_MAX])
{
	int n = snprintf(buf, VF_TREE_PATH_MAX, "%s/%s/%s/%s", t->base, gt->name, who, name);

	return n < VF_TREE_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int new_path(const struct vf_tree *t, const char *who, const struct vf_tree_gt *gt,
		    bool of_tile, const char *name, char buf[static VF_TREE_PATH_MAX])
{
	int n = snprintf(buf, VF_TREE_PATH_MAX, "%s/sriov/%s/tile%u%s%s/%s", t->base, who, gt->tile,
			 of_tile ? "" : "/", of_tile ? "" : gt->name, name);

	return n < VF_TREE_PATH_MAX ? 0 : -ENAMETOOLONG;
}

#define XE_LAYOUT(vram, make_path)                                                                 \
	{                                                                                          \
		.files =                                                                           \
			{                                                                          \
				[VF_ATTR_VRAM] = vram "_quota",                                    \
				[VF_ATTR_GGTT] = "ggtt_quota",                                     \
				[VF_ATTR_CONTEXTS] = "contexts_quota",                             \
				[VF_ATTR_DOORBELLS] = "doorbells_quota",                           \
				[VF_ATTR_EXEC_QUANTUM] = "exec_quantum_ms",                        \
				[VF_ATTR_PREEMPT_TIMEOUT] = "preempt_timeout_us",                  \
				[VF_ATTR_PRIORITY] = "sched_priority",                             \
			},                                                                         \
		.spares =                                                                          \
			{                                                                          \
				[VF_ATTR_VRAM] = vram "_spare",                                    \
				[VF_ATTR_GGTT] = "ggtt_spare",                                     \
				[VF_ATTR_CONTEXTS] = "contexts_spare",                             \
				[VF_ATTR_DOORBELLS] = "doorbells_spare",                           \
			},                                                                         \
		.if_idle = "sched_if_idle", .path = make_path,                                     \
	}
static const struct vf_tree_layout old_layout = XE_LAYOUT("lmem", old_path);
static const struct vf_tree_layout new_layout = XE_LAYOUT("vram", new_path);

/* ---- finding ---- */

/* A kernel with the new layout may keep links of the old one: the new one is looked for first. */
static bool find_new(struct sysfs *s, struct vf_tree *t)
{
	char name[8];
	unsigned tile, gt;

	for (tile = 0; sysfs_exists(s, "%s/sriov/vf1/tile%u", t->base, tile); tile++) {
		bool first = true;

		for (gt = 0; gt < VF_TREE_GTS_MAX; gt++) {
			snprintf(name, sizeof(name), "gt%u", gt);
			if (!sysfs_exists(s, "%s/sriov/vf1/tile%u/%s", t->base, tile, name))
				continue;
			vf_tree_add_gt(t, name, first);
			first = false;
		}
	}
	t->layout = &new_layout;
	return t->n_gts > 0;
}

static bool find_old(struct sysfs *s, struct vf_tree *t)
{
	char name[8];
	unsigned gt;

	for (gt = 0; gt < VF_TREE_GTS_MAX; gt++) {
		snprintf(name, sizeof(name), "gt%u", gt);
		if (sysfs_exists(s, "%s/%s/vf1", t->base, name))
			vf_tree_add_gt(t, name,
				       t->n_gts == 0 || sysfs_exists(s, "%s/%s/vf1/ggtt_quota",
								     t->base, name));
	}
	t->layout = &old_layout;
	return t->n_gts > 0;
}

/* By address, or by the number of its DRM node, as older kernels call the folder. */
static bool find_tree(struct sysfs *s, const char *gpu, struct vf_tree *t)
{
	unsigned card;

	snprintf(t->base, sizeof(t->base), DRI "/%s", gpu);
	if (!sysfs_exists(s, "%s", t->base)) {
		if (vf_control_card(s, gpu, &card) < 0)
			return false;
		snprintf(t->base, sizeof(t->base), DRI "/%u", card);
	}
	return find_new(s, t) || find_old(s, t);
}

enum vf_debugfs vf_debugfs_find(struct sysfs *s, struct vf_surface *c)
{
	_cleanup_free_ char *lockdown = NULL;
	char path[VF_TREE_PATH_MAX];
	struct vf_tree t = {0};
	int r;

	if (!s->allow_debugfs)
		return VF_DEBUGFS_FORBIDDEN;
	if (sysfs_read(s, &lockdown, "kernel/security/lockdown") == 0 &&
	    debugfs_is_locked(lockdown))
		return VF_DEBUGFS_LOCKED;
	if (!find_tree(s, c->gpu, &t) ||
	    t.layout->path(&t, "vf1", &t.gts[0], true, t.layout->files[VF_ATTR_GGTT], path) < 0 ||
	    !sysfs_is_writable(s, "%s", path))
		return VF_DEBUGFS_ABSENT;
	/* Mode bits say nothing of lockdown: only the kernel's own answer does.  Opening changes
	 * nothing. */
	r = sysfs_try_write(s, "%s", path);
	if (r < 0)
		return r == -EPERM ? VF_DEBUGFS_LOCKED : VF_DEBUGFS_ABSENT;

	c->tree = t;
	return VF_DEBUGFS_USABLE;
}

/* ---- reading ---- */

/* Why no more than that; NULL = nothing is missing. */
static const char *why_not(enum vf_attribute attribute, enum vf_access access)
{
	if (access == VF_ACCESS_WRITE)
		return NULL;
	if (access == VF_ACCESS_READ)
		return "debugfs shows it for reading only";
	return attribute == VF_ATTR_VRAM ? "the card has no memory of its own"
					 : "debugfs has no such file here";
}

static int read_pf_scheduling(struct sysfs *s, const struct vf_surface *c, struct gpu_facts *f)
{
	enum vf_attribute a;
	int r = 0;

	for (a = VF_RESOURCE_MAX; a < VF_ATTRIBUTE_MAX && r == 0; a++) {
		enum vf_access access = vf_tree_access(s, &c->tree, a);

		if (a == VF_ATTR_PRIORITY && access != VF_ACCESS_WRITE &&
		    vf_tree_has_policy(s, &c->tree))
			r = vf_control_set_ability(
				f, a, VF_ACCESS_BULK,
				"there is one policy for all VFs (sched_if_idle), so "
				"low or normal for all at once");
		else
			r = vf_control_set_ability(f, a, access, why_not(a, access));
	}
	return r;
}

static int debugfs_read_pf(struct sysfs *s, const struct vf_surface *c, struct gpu_facts *f)
{
	const struct vf_tree *t = &c->tree;
	enum vf_attribute a;
	int r;

	r = c->admin ? vf_control_xe.read_pf(s, c, f) : read_pf_scheduling(s, c, f);
	for (a = 0; a < VF_RESOURCE_MAX && r == 0; a++) {
		enum vf_access access = vf_tree_access(s, t, a);

		r = vf_control_set_ability(f, a, access, why_not(a, access));
	}
	f->tiles = t->n_tiles;
	f->resources[VF_ATTR_VRAM].grain =
		f->can[VF_ATTR_VRAM].access == VF_ACCESS_NONE ? 0 : VRAM_GRAIN * t->n_tiles;
	f->resources[VF_ATTR_GGTT].grain =
		(f->device_id >> 8 == 0x56 ? GGTT_GRAIN_DG2 : GGTT_GRAIN) * t->n_tiles;
	f->resources[VF_ATTR_CONTEXTS].grain = 1;
	f->resources[VF_ATTR_DOORBELLS].grain = 1;
	return r;
}

/* A text file of the PF, or of the card for its VRAM, of each tile in turn. */
static int read_text(struct sysfs *s, const struct vf_tree *t, const struct vf_tree_gt *gt,
		     bool of_vram, char **ret)
{
	char path[VF_TREE_PATH_MAX];
	int r;

	if (!of_vram) {
		r = t->layout->path(t, "pf", gt, true, "ggtt_available", path);
		return r < 0 ? r : sysfs_read(s, ret, "%s", path);
	}
	r = sysfs_read(s, ret, "%s/tile%u/vram_mm", t->base, gt->tile);
	return r == -ENOENT ? sysfs_read(s, ret, "%s/vram%u_mm", t->base, gt->tile) : r;
}

/* Sums up what the tiles' texts say; one that says nothing makes the sum unknown. */
static void read_texts(struct sysfs *s, const struct vf_tree *t, struct known *ret_ggtt,
		       struct debugfs_vram *ret_vram)
{
	struct known ggtt = {true, 0};
	struct debugfs_vram vram = {{true, 0}, {true, 0}};
	size_t i;

	for (i = 0; i < t->n_gts; i++) {
		_cleanup_free_ char *holes = NULL, *mm = NULL;
		struct known avail = {0};
		struct debugfs_vram one = {0};

		if (!t->gts[i].main)
			continue;
		if (read_text(s, t, &t->gts[i], false, &holes) == 0)
			avail = debugfs_ggtt_available(holes);
		if (read_text(s, t, &t->gts[i], true, &mm) == 0)
			one = debugfs_vram_mm(mm);
		ggtt = (struct known){ggtt.known && avail.known, ggtt.value + avail.value};
		vram.size = (struct known){vram.size.known && one.size.known,
					   vram.size.value + one.size.value};
		vram.free = (struct known){vram.free.known && one.free.known,
					   vram.free.value + one.free.value};
	}
	*ret_ggtt = ggtt;
	*ret_vram = vram;
}

/* What is left of GuC's ids: the driver's total less the PF's part and what VFs have. */
static struct known ids_left(struct sysfs *s, const struct vf_surface *c, const struct gpu_facts *f,
			     enum vf_attribute resource, uint64_t total)
{
	const struct known *spare = &f->resources[resource].spare;
	unsigned vf;

	if (!spare->known)
		return (struct known){0};

	total *= c->tree.n_tiles;
	total -= MIN_OF(spare->value, total);
	for (vf = 1; vf <= f->total_vfs; vf++) {
		struct known taken = vf_tree_read_taken(s, &c->tree, vf, resource);

		if (!taken.known)
			return (struct known){0};
		total -= MIN_OF(taken.value, total);
	}
	return (struct known){true, total};
}

/* No file says whether the PF is custom.  The driver by itself gives VFs equal shares and takes
 * them back when they go: a quota on a VF that is off, and shares that differ, are somebody's. */
static bool is_custom(const struct gpu_facts *f)
{
	enum vf_attribute a;
	size_t i;

	for (a = 0; a < VF_RESOURCE_MAX; a++) {
		if (f->resources[a].standing > 0)
			return true;
		for (i = 1; i < f->n_vfs; i++)
			if (f->vfs[i].values[a].known && f->vfs[0].values[a].known &&
			    f->vfs[i].values[a].value != f->vfs[0].values[a].value)
				return true;
	}
	return false;
}

static void debugfs_read_stock(struct sysfs *s, const struct vf_surface *c, struct gpu_facts *f)
{
	const struct vf_tree *t = &c->tree;
	struct resource_facts *r = f->resources;
	struct debugfs_vram vram;
	enum vf_attribute a;

	for (a = 0; a < VF_RESOURCE_MAX; a++)
		if (f->can[a].access != VF_ACCESS_NONE)
			r[a].spare = vf_tree_read_spare(s, t, a);
	read_texts(s, t, &r[VF_ATTR_GGTT].free, &vram);
	if (f->can[VF_ATTR_VRAM].access != VF_ACCESS_NONE) {
		uint64_t spare = r[VF_ATTR_VRAM].spare.value; /* 0 when unknown */

		f->vram_bytes = vram.size;
		r[VF_ATTR_VRAM].free = (struct known){
			vram.free.known, vram.free.value - MIN_OF(spare, vram.free.value)};
	}
	r[VF_ATTR_CONTEXTS].free = ids_left(s, c, f, VF_ATTR_CONTEXTS, CONTEXTS_TOTAL);
	r[VF_ATTR_DOORBELLS].free = ids_left(s, c, f, VF_ATTR_DOORBELLS, DOORBELLS_TOTAL);
	vf_tree_read_standing(s, t, f);
	f->custom_provisioning = is_custom(f);
}

static void debugfs_read_vf(struct sysfs *s, const struct vf_surface *c, struct vf_facts *vf)
{
	char who[VF_TREE_WHO_MAX];
	enum vf_attribute a;

	vf_tree_who(vf->index, who);
	if (c->admin)
		vf_control_xe.read_vf(s, c, vf);
	for (a = 0; a < (c->admin ? VF_RESOURCE_MAX : VF_ATTRIBUTE_MAX); a++)
		vf->values[a] = vf_tree_read(s, &c->tree, who, a);
	if (!vf->values[VF_ATTR_PRIORITY].known && !c->admin)
		vf->values[VF_ATTR_PRIORITY] = vf_tree_read_policy(s, &c->tree);
}

/* ---- writing ---- */

static int debugfs_set_vf(struct sysfs *s, const struct vf_surface *c,
			  const struct host_request *request, uint64_t *ret)
{
	char who[VF_TREE_WHO_MAX];
	uint64_t total;

	if (c->admin && request->attribute >= VF_RESOURCE_MAX)
		return vf_control_xe.set_vf(s, c, request, ret);
	if (request->vf == 0)
		return -EINVAL;
	if (sysfs_read_uint(s, &total, SYSFS_PCI "/sriov_totalvfs", c->gpu) == 0 && request->vf > total)
		return -ENOENT;

	return vf_tree_write(s, &c->tree, vf_tree_who(request->vf, who), request->attribute,
			     request->value, request->tile, ret);
}

static int debugfs_set_bulk(struct sysfs *s, const struct vf_surface *c,
			    enum vf_attribute attribute, uint64_t value, uint64_t *ret)
{
	if (c->admin)
		return vf_control_xe.set_bulk(s, c, attribute, value, ret);

	return attribute == VF_ATTR_PRIORITY ? vf_tree_write_policy(s, &c->tree, value, ret)
					     : -EOPNOTSUPP;
}

static int debugfs_set_pf(struct sysfs *s, const struct vf_surface *c, enum vf_attribute attribute,
			  uint64_t value, uint64_t *ret)
{
	return c->admin ? vf_control_xe.set_pf(s, c, attribute, value, ret)
			: vf_tree_write(s, &c->tree, "pf", attribute, value, 0, ret);
}

/* The old layout knows no modes: without quotas the driver shares by itself again. */
static int debugfs_restore_auto(struct sysfs *s, const struct vf_surface *c, unsigned total)
{
	if (sysfs_exists(s, "%s/sriov/restore_auto_provisioning", c->tree.base))
		return sysfs_write_uint(s, 1, "%s/sriov/restore_auto_provisioning", c->tree.base);

	return vf_tree_clear_quotas(s, &c->tree, total);
}

const struct vf_control_ops vf_control_xe_debugfs = {
	.kind = VF_CONTROL_XE_DEBUGFS,
	.read_pf = debugfs_read_pf,
	.read_stock = debugfs_read_stock,
	.read_vf = debugfs_read_vf,
	.set_vf = debugfs_set_vf,
	.set_bulk = debugfs_set_bulk,
	.set_pf = debugfs_set_pf,
	.restore_auto = debugfs_restore_auto,
};
