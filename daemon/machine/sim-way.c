/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which way there is, and what a read or write through it does.  "§" names the section of the reference that a rule
 * is from; the choice is that of host/vf-control.c. */
#include "machine/sim-way.h"

#include "machine/sim-provision.h"

/* ---- which way --------------------------------------------------------------------------------- */

const char *sim_way_obstacle(const struct sim_gpu *g)
{
	if (!g->spec.sriov)
		return "the card or the kernel has no SR-IOV for it";
	if (!g->driver)
		return "no driver is bound to it";
	if (sim_gpu_on_vfio(g))
		return "the whole card is bound to VFIO, as for passing it to one VM";
	if (g->total_vfs == 0)
		return "its driver allows no VFs (max_vfs, GuC or firmware)";
	return NULL;
}

static bool has_admin(const struct sim_gpu *g)
{
	return g->spec.sriov_admin && g->driver && streq(g->driver, "xe");
}

static bool has_memory(const struct sim_gpu *g)
{
	return g->spec.vram_bytes > 0;
}

/* §2.7: lockdown closes debugfs for writing.  NULL = it can be used. */
static const char *debugfs_obstacle(const struct sim_gpu *g, bool debugfs)
{
	if (!debugfs)
		return "xe's debugfs may offer more, at the price of automatic provisioning "
		       "(\"allow_debugfs\": true in gpuvfd.json)";
	if (g->spec.lockdown)
		return "kernel lockdown closes debugfs";
	return g->spec.debugfs == SIM_DEBUGFS_NONE ? "debugfs is not mounted or has no quotas of this card" : NULL;
}

static enum vf_control find_xe(const struct sim_gpu *g, bool debugfs, const char **note)
{
	const char *obstacle = debugfs_obstacle(g, debugfs);

	if (has_admin(g) && (!has_memory(g) || g->spec.vram_quota == SIM_QUOTA_WRITABLE))
		return VF_CONTROL_XE;
	*note = obstacle ? obstacle :
			   "debugfs is used: the driver then shares nothing by itself until automatic provisioning "
			   "is restored";
	if (!obstacle)
		return VF_CONTROL_XE_DEBUGFS;
	return has_admin(g) ? VF_CONTROL_XE : VF_CONTROL_GENERIC;
}

enum vf_control sim_way_find(const struct sim_gpu *g, bool debugfs, const char **ret_note)
{
	const char *note = NULL;
	enum vf_control way = VF_CONTROL_GENERIC;

	if (!g->spec.sriov) {
		way = VF_CONTROL_NONE;
	} else if (!sim_gpu_has_sriov_hook(g) || g->total_vfs == 0) {
		note = g->driver ? "the driver offers the number of VFs only" :
				   "no driver offers the number of VFs only";
	} else if (streq(g->driver, "xe")) {
		way = find_xe(g, debugfs, &note);
	} else if (g->spec.tree != SIM_TREE_NONE) {
		way = VF_CONTROL_I915;
	} else {
		note = "the driver offers the number of VFs only";
	}
	if (ret_note)
		*ret_note = note;
	return way;
}

/* ---- what it can ------------------------------------------------------------------------------- */

static enum vf_access answer(enum vf_access access, const char *why, const char **ret_why)
{
	*ret_why = access == VF_ACCESS_WRITE ? NULL : why;
	return access;
}

/* §2.4 */
static enum vf_access admin_access(const struct sim_gpu *g, enum vf_attribute attribute, const char **ret_why)
{
	static const enum vf_access quota[SIM_QUOTA_FILE_MAX] = {
		[SIM_QUOTA_ABSENT] = VF_ACCESS_NONE,
		[SIM_QUOTA_READ_ONLY] = VF_ACCESS_READ,
		[SIM_QUOTA_WRITABLE] = VF_ACCESS_WRITE,
	};

	switch (attribute) {
	case VF_ATTR_VRAM:
		if (!has_memory(g))
			return answer(VF_ACCESS_NONE, "the card has no memory of its own", ret_why);
		return answer(quota[g->spec.vram_quota],
			      g->spec.vram_quota == SIM_QUOTA_ABSENT ?
				      "sriov_admin has no vram_quota here: it came to xe after the rest of sriov_admin" :
				      "the driver shows it for reading only",
			      ret_why);
	case VF_ATTR_EXEC_QUANTUM:
	case VF_ATTR_PREEMPT_TIMEOUT:
		return answer(VF_ACCESS_WRITE, NULL, ret_why);
	case VF_ATTR_PRIORITY:
		return answer(VF_ACCESS_BULK, "of one VF the driver shows it for reading only: low or normal for all at once",
			      ret_why);
	case VF_ATTR_GGTT:
	case VF_ATTR_CONTEXTS:
	case VF_ATTR_DOORBELLS:
	case VF_ATTRIBUTE_MAX:
		break;
	}
	return answer(VF_ACCESS_NONE, "xe shares it out by itself; only its debugfs sets it", ret_why);
}

/* §2.7, §3.2: quota files of each kind, scheduling values, and one policy for all. */
static enum vf_access tree_access(const struct sim_gpu *g, enum vf_attribute attribute, const char **ret_why)
{
	if (attribute == VF_ATTR_VRAM && !has_memory(g))
		return answer(VF_ACCESS_NONE, "the card has no memory of its own", ret_why);
	if (attribute == VF_ATTR_PRIORITY)
		return answer(VF_ACCESS_BULK, "there is one policy for all VFs (sched_if_idle): low or normal for all at once",
			      ret_why);
	return answer(VF_ACCESS_WRITE, NULL, ret_why);
}

enum vf_access sim_way_access(const struct sim_gpu *g, bool debugfs, enum vf_attribute attribute,
			      const char **ret_why)
{
	switch (sim_way_find(g, debugfs, NULL)) {
	case VF_CONTROL_XE:
		return admin_access(g, attribute, ret_why);
	case VF_CONTROL_XE_DEBUGFS: /* scheduling goes through sriov_admin where that is, to stay automatic */
		if (has_admin(g) && attribute >= VF_RESOURCE_MAX)
			return admin_access(g, attribute, ret_why);
		return tree_access(g, attribute, ret_why);
	case VF_CONTROL_I915:
		return tree_access(g, attribute, ret_why);
	case VF_CONTROL_GENERIC:
		return answer(VF_ACCESS_NONE, "the driver offers the number of VFs only", ret_why);
	case VF_CONTROL_NONE:
	case VF_CONTROL_MAX:
		break;
	}
	return answer(VF_ACCESS_NONE, NULL, ret_why);
}

/* ---- reading ----------------------------------------------------------------------------------- */

static bool is_of_tile(enum vf_attribute attribute)
{
	return attribute == VF_ATTR_VRAM || attribute == VF_ATTR_GGTT;
}

/* §2.4: one file for all tiles, which is EUCLEAN when they disagree. */
static struct known read_admin(const struct sim_gpu *g, unsigned vf, enum vf_attribute attribute)
{
	uint64_t value = sim_stock_get(g, vf, 0, attribute);

	for (unsigned tile = 1; tile < g->spec.tiles; tile++)
		if (sim_stock_get(g, vf, tile, attribute) != value)
			return (struct known){0};
	return (struct known){true, attribute == VF_ATTR_VRAM ? value * g->spec.tiles : value};
}

/* A file on each tile: space and memory add up; of all else each tile has the same, or none of it. */
static struct known read_tree(const struct sim_gpu *g, unsigned vf, enum vf_attribute attribute)
{
	uint64_t value = sim_stock_get(g, vf, 0, attribute);

	if (attribute == VF_ATTR_PRIORITY)
		return (struct known){true, g->if_idle ? VF_PRIORITY_NORMAL : VF_PRIORITY_LOW};
	for (unsigned tile = 1; tile < g->spec.tiles; tile++) {
		uint64_t one = sim_stock_get(g, vf, tile, attribute);

		if (is_of_tile(attribute))
			value += one;
		else if (attribute < VF_RESOURCE_MAX && (value == 0 || one == 0))
			value = MAX_OF(value, one);
		else if (one != value)
			return (struct known){0};
	}
	return (struct known){true, value};
}

/* Whether the attribute goes through sriov_admin rather than a tree of quotas. */
static bool by_admin(const struct sim_gpu *g, bool debugfs, enum vf_attribute attribute)
{
	enum vf_control way = sim_way_find(g, debugfs, NULL);

	return way == VF_CONTROL_XE || (way == VF_CONTROL_XE_DEBUGFS && has_admin(g) && attribute >= VF_RESOURCE_MAX);
}

struct known sim_way_read(const struct sim_gpu *g, bool debugfs, unsigned vf, enum vf_attribute attribute)
{
	const char *why;

	if (sim_way_access(g, debugfs, attribute, &why) == VF_ACCESS_NONE)
		return (struct known){0};
	return by_admin(g, debugfs, attribute) ? read_admin(g, vf, attribute) : read_tree(g, vf, attribute);
}

/* ---- writing ----------------------------------------------------------------------------------- */

/* §2.4: rounded up to tiles × 2 MiB, then equal parts; a tile that refuses leaves those before as they are. */
static int write_admin(struct sim_gpu *g, unsigned vf, enum vf_attribute attribute, uint64_t value)
{
	uint64_t grain = sim_stock_grain(g, VF_ATTR_VRAM) * g->spec.tiles;
	int r = 0;

	if (attribute == VF_ATTR_VRAM) {
		if (value > g->spec.vram_bytes)
			return -ENOSPC;
		value = (value + grain - 1) / grain * grain / g->spec.tiles;
	}
	for (unsigned tile = 0; r == 0 && tile < g->spec.tiles; tile++)
		r = sim_stock_set(g, vf, tile, attribute, value);
	return r;
}

/* What a write of a file in debugfs or in i915's tree does besides. */
static void after_tree_write(struct sim_gpu *g, unsigned vf, enum vf_attribute attribute, uint64_t value,
			     uint64_t before)
{
	/* §2.7; (inferred) kernels with the old layout know no custom mode */
	if (streq(g->driver, "xe"))
		g->custom = g->custom || g->spec.debugfs == SIM_DEBUGFS_NEW;
	/* §3.2: a quota that is not 0, or a changed one; (inferred) scheduling values that are not 0 too */
	else if (vf > 0 && (value > 0 || (attribute < VF_RESOURCE_MAX && before > 0)))
		g->auto_off = true;
}

static uint64_t part_of(const struct sim_gpu *g, const struct sim_write *w, unsigned tile)
{
	if (w->attribute >= VF_RESOURCE_MAX)
		return w->value;
	if (w->tile > 0)
		return w->tile - 1 == tile ? w->value : 0;
	if (!is_of_tile(w->attribute))
		return w->value;
	return w->value / g->spec.tiles + (w->value % g->spec.tiles > 0);
}

/* §3.2, (inferred): numbers of contexts and doorbells are 16 bits wide in i915's tree, 32 in debugfs. */
static int check_width(const struct sim_gpu *g, enum vf_attribute attribute, uint64_t value)
{
	bool counted = attribute == VF_ATTR_CONTEXTS || attribute == VF_ATTR_DOORBELLS;

	if (is_of_tile(attribute))
		return 0;
	if (streq(g->driver, "xe"))
		return value > UINT32_MAX ? -EOVERFLOW : 0;
	return value > (counted ? UINT16_MAX : UINT32_MAX) ? -ERANGE : 0;
}

/* The helper writes a file on each tile, those that are given back first. */
static int write_tree(struct sim_gpu *g, const struct sim_write *w)
{
	int r;

	if (w->tile > g->spec.tiles)
		return -EINVAL;
	for (int zeros = 1; zeros >= 0; zeros--) {
		for (unsigned tile = 0; tile < g->spec.tiles; tile++) {
			uint64_t part = part_of(g, w, tile), before;

			if ((part == 0) != zeros)
				continue;
			before = sim_stock_get(g, w->vf, tile, w->attribute);
			r = check_width(g, w->attribute, part);
			if (r == 0)
				r = sim_stock_set(g, w->vf, tile, w->attribute, part);
			if (r < 0)
				return r;
			after_tree_write(g, w->vf, w->attribute, part, before);
		}
	}
	return 0;
}

static void count(struct sim_gpu *g, enum vf_attribute attribute, unsigned *who)
{
	sim_gpu_count_write(g, sim_point_from_string(vf_attribute_to_string(attribute)));
	(*who)++;
}

/* The PF's priority alone can be set on xe (§2.4), and what it keeps (§3.2) by somebody else. */
static bool may_write(const struct sim_gpu *g, const struct sim_write *w)
{
	enum vf_control way = sim_way_find(g, w->debugfs, NULL);
	const char *why;

	if (w->vf == 0 && w->attribute == VF_ATTR_PRIORITY)
		return way == VF_CONTROL_XE || way == VF_CONTROL_XE_DEBUGFS;
	if (w->vf == 0 && w->attribute < VF_RESOURCE_MAX && way == VF_CONTROL_XE)
		return false;
	return sim_way_access(g, w->debugfs, w->attribute, &why) == VF_ACCESS_WRITE;
}

int sim_way_write(struct sim_gpu *g, const struct sim_write *w, uint64_t *ret)
{
	bool admin = by_admin(g, w->debugfs, w->attribute);
	struct known back;
	int r;

	if (w->vf > g->total_vfs)
		return -ENOENT; /* §2.4: vf1 … vf<totalvfs> exist always, nothing beyond */
	if (!may_write(g, w) || (admin && w->tile > 0))
		return -EOPNOTSUPP;
	count(g, w->attribute, w->vf > 0 ? &g->writes.vf_attributes : &g->writes.pf_attributes);
	r = admin ? write_admin(g, w->vf, w->attribute, w->value) : write_tree(g, w);
	if (r < 0)
		return r;
	back = admin || w->attribute == VF_ATTR_PRIORITY ? read_admin(g, w->vf, w->attribute) :
							   read_tree(g, w->vf, w->attribute);
	if (!back.known)
		return -EUCLEAN;
	*ret = back.value;
	return 0;
}

/* §2.4: what the bulk files do, to the PF too (inferred); the priority is a policy, which has no "high". */
static int write_all_admin(struct sim_gpu *g, enum vf_attribute attribute, uint64_t value)
{
	int r = 0;

	if (attribute == VF_ATTR_PRIORITY && value > VF_PRIORITY_NORMAL)
		return -EINVAL;
	if (attribute == VF_ATTR_PRIORITY)
		g->if_idle = value == VF_PRIORITY_NORMAL;
	for (unsigned v = 0; r == 0 && v <= g->total_vfs; v++)
		r = write_admin(g, v, attribute, value);
	return r;
}

/* The helper offers no VRAM in bulk: it would go to every VF that the card can have (§2.5). */
int sim_way_write_all(struct sim_gpu *g, bool debugfs, enum vf_attribute attribute, uint64_t value, uint64_t *ret)
{
	enum vf_control way = sim_way_find(g, debugfs, NULL);
	bool admin = by_admin(g, debugfs, attribute);

	if (way == VF_CONTROL_NONE || way == VF_CONTROL_GENERIC || attribute < VF_RESOURCE_MAX ||
	    (!admin && attribute != VF_ATTR_PRIORITY))
		return -EOPNOTSUPP;
	if (attribute == VF_ATTR_PRIORITY && !admin && value > VF_PRIORITY_NORMAL)
		return -EINVAL; /* the helper's: the policy is a switch */
	count(g, attribute, &g->writes.bulk_attributes);
	if (admin) {
		int r = write_all_admin(g, attribute, value);

		if (r < 0)
			return r;
		*ret = sim_stock_get(g, 1, 0, attribute);
		return 0;
	}
	g->if_idle = value == VF_PRIORITY_NORMAL;
	after_tree_write(g, 0, attribute, value, 0);
	*ret = value;
	return 0;
}

/* ---- back to automatic -------------------------------------------------------------------------- */

/* The helper's way where no switch exists: every quota to 0, what stands only. */
static int clear_quotas(struct sim_gpu *g, bool vram_only)
{
	int r = 0;

	for (unsigned v = 1; v <= g->total_vfs; v++)
		for (int a = 0; a < VF_RESOURCE_MAX; a++)
			for (unsigned tile = 0; r == 0 && tile < g->spec.tiles; tile++)
				if (sim_stock_get(g, v, tile, a) > 0 && (!vram_only || a == VF_ATTR_VRAM))
					r = sim_stock_set(g, v, tile, a, 0);
	return r;
}

int sim_way_restore_auto(struct sim_gpu *g, bool debugfs)
{
	enum vf_control way = sim_way_find(g, debugfs, NULL);
	int r;

	if (g->num_vfs > 0)
		return -EBUSY; /* §2.7; the helper looks before it does anything, in all ways */
	if (way == VF_CONTROL_NONE || way == VF_CONTROL_GENERIC ||
	    (way == VF_CONTROL_XE && (!has_memory(g) || g->spec.vram_quota != SIM_QUOTA_WRITABLE)))
		return -EOPNOTSUPP;
	sim_gpu_count_write(g, SIM_RESTORE_AUTO);
	if (way == VF_CONTROL_XE_DEBUGFS && g->spec.debugfs == SIM_DEBUGFS_NEW) {
		sim_provision_xe_auto(g);
		return 0;
	}
	r = clear_quotas(g, way == VF_CONTROL_XE);
	return r == 0 && way == VF_CONTROL_I915 ? sim_provision_i915_auto(g) : r;
}
