/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sriov_admin/ of xe: a folder per VF, counted from 1, there also while no VF is enabled.
 * vram_quota came later than the rest and is missing or read-only on some cards, so each
 * attribute is probed. */
#include "host/vf-control.h"

#include <stdio.h>

#include "lib/units.h"

#define XE_HOME SYSFS_PCI "/sriov_admin"
#define XE_PROFILE XE_HOME "/%s/profile/%s"
#define XE_BULK XE_HOME "/.bulk_profile/%s"
#define XE_HOME_MAX 64
#define PRIORITIES_MAX 64
/* quotas are rounded up to this times the number of tiles */
#define XE_VRAM_GRAIN (2 * MIB)

static const char *why_read_only(enum vf_attribute attribute)
{
	return attribute == VF_ATTR_VRAM ? "the driver shows it for reading only, as on cards "
					   "without a memory table for VFs"
					 : "the driver shows it for reading only";
}

static const char *why_missing(enum vf_attribute attribute, bool integrated)
{
	if (attribute == VF_ATTR_VRAM && integrated)
		return "the card has no memory of its own";
	return attribute == VF_ATTR_VRAM ? "sriov_admin has no vram_quota here: it came to xe "
					   "after the rest of sriov_admin"
					 : "sriov_admin has no such file here";
}

/* By existence and mode bits of vf1's file: the driver's own word on what may be written. */
static int probe_attribute(struct sysfs *s, const struct vf_surface *c, enum vf_attribute attribute,
			   struct gpu_facts *f)
{
	const char *name = vf_attribute_to_string(attribute);

	if (sysfs_is_writable(s, XE_PROFILE, c->gpu, "vf1", name))
		return vf_control_set_ability(f, attribute, VF_ACCESS_WRITE, NULL);
	/* In bulk, VRAM would go to every VF that the card could have, not only to those wanted. */
	if (attribute != VF_ATTR_VRAM && sysfs_is_writable(s, XE_BULK, c->gpu, name))
		return vf_control_set_ability(
			f, attribute, VF_ACCESS_BULK,
			attribute == VF_ATTR_PRIORITY
				? "of one VF the driver shows it for reading only: low "
				  "or normal for all at once"
				: "of one VF the driver shows it for reading only");
	if (sysfs_exists(s, XE_PROFILE, c->gpu, "vf1", name))
		return vf_control_set_ability(f, attribute, VF_ACCESS_READ,
					      why_read_only(attribute));
	return vf_control_set_ability(f, attribute, VF_ACCESS_NONE,
				      why_missing(attribute, c->integrated));
}

static int xe_read_pf(struct sysfs *s, const struct vf_surface *c, struct gpu_facts *f)
{
	static const enum vf_attribute offered[] = {VF_ATTR_VRAM, VF_ATTR_EXEC_QUANTUM,
						    VF_ATTR_PREEMPT_TIMEOUT, VF_ATTR_PRIORITY};
	static const enum vf_attribute missing[] = {VF_ATTR_GGTT, VF_ATTR_CONTEXTS,
						    VF_ATTR_DOORBELLS};
	size_t i;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(offered) && r == 0; i++)
		r = probe_attribute(s, c, offered[i], f);
	for (i = 0; i < ARRAY_SIZE(missing) && r == 0; i++)
		r = vf_control_set_ability(f, missing[i], VF_ACCESS_NONE,
					   "xe shares it out by itself; only its debugfs sets it");
	if (f->can[VF_ATTR_VRAM].access != VF_ACCESS_NONE)
		f->resources[VF_ATTR_VRAM].grain = XE_VRAM_GRAIN * f->tiles;
	return r;
}

static int read_number(struct sysfs *s, const struct vf_surface *c, unsigned vf,
		       enum vf_attribute attribute, uint64_t *ret)
{
	char who[VF_TREE_WHO_MAX];

	return sysfs_read_uint(s, ret, XE_PROFILE, c->gpu, vf_tree_who(vf, who),
			       vf_attribute_to_string(attribute));
}

/* What VFs have that are off was set by somebody: the driver takes its own shares back.  It keeps
 * VRAM from being shared at the next enable. */
static void xe_read_stock(struct sysfs *s, const struct vf_surface *c, struct gpu_facts *f)
{
	uint64_t *standing = &f->resources[VF_ATTR_VRAM].standing, value;
	unsigned vf;

	if (f->can[VF_ATTR_VRAM].access == VF_ACCESS_NONE)
		return;

	for (vf = (unsigned)f->n_vfs + 1; vf <= f->total_vfs; vf++)
		if (read_number(s, c, vf, VF_ATTR_VRAM, &value) == 0)
			*standing += value;
	f->custom_provisioning = *standing > 0;
}

/* "low [normal] high" → VF_PRIORITY_NORMAL. */
static struct known bracketed(const char *text)
{
	const char *open = strchr(text, '[');
	const char *close = open ? strchr(open, ']') : NULL;
	_cleanup_free_ char *word = close ? strndup(open + 1, (size_t)(close - open - 1)) : NULL;
	int priority = word ? vf_priority_from_string(word) : -EINVAL;

	return priority < 0 ? (struct known){0} : (struct known){true, (uint64_t)priority};
}

static struct known read_value(struct sysfs *s, const struct vf_surface *c, const char *who,
			       enum vf_attribute attribute)
{
	const char *name = vf_attribute_to_string(attribute);
	char priorities[PRIORITIES_MAX];
	uint64_t value;

	if (attribute == VF_ATTR_PRIORITY)
		return sysfs_read_line(s, priorities, sizeof(priorities), XE_PROFILE, c->gpu, who,
				       name) < 0
			       ? (struct known){0}
			       : bracketed(priorities);
	/* EUCLEAN: tiles disagree; EPERM: write-only.  Either way nobody can say the value. */
	if (sysfs_read_uint(s, &value, XE_PROFILE, c->gpu, who, name) < 0)
		return (struct known){0};

	return (struct known){true, value};
}

static void xe_read_vf(struct sysfs *s, const struct vf_surface *c, struct vf_facts *vf)
{
	static const enum vf_attribute shown[] = {VF_ATTR_VRAM, VF_ATTR_EXEC_QUANTUM,
						  VF_ATTR_PREEMPT_TIMEOUT, VF_ATTR_PRIORITY};
	char who[VF_TREE_WHO_MAX];
	size_t i;

	vf_tree_who(vf->index, who);
	for (i = 0; i < ARRAY_SIZE(shown); i++)
		vf->values[shown[i]] = read_value(s, c, who, shown[i]);
}

/* Numbers as digits, priorities as words. */
static void value_text(enum vf_attribute attribute, uint64_t value, char buf[static 24])
{
	if (attribute == VF_ATTR_PRIORITY)
		snprintf(buf, 24, "%s", strempty(vf_priority_to_string((enum vf_priority)value)));
	else
		snprintf(buf, 24, "%llu", (unsigned long long)value);
}

static int set_and_read(struct sysfs *s, const struct vf_surface *c, const char *who,
			enum vf_attribute attribute, uint64_t value, uint64_t *ret)
{
	const char *name = vf_attribute_to_string(attribute);
	struct known back;
	char text[24];
	int r;

	if (!sysfs_is_writable(s, XE_PROFILE, c->gpu, who, name))
		return -EOPNOTSUPP;
	value_text(attribute, value, text);
	r = sysfs_write(s, text, XE_PROFILE, c->gpu, who, name);
	if (r < 0)
		return r;

	back = read_value(s, c, who, attribute);
	if (!back.known)
		return -EUCLEAN;
	*ret = back.value;
	return 0;
}

static int xe_set_vf(struct sysfs *s, const struct vf_surface *c,
		     const struct host_request *request, uint64_t *ret)
{
	char home[XE_HOME_MAX], who[VF_TREE_WHO_MAX];
	int r;

	snprintf(home, sizeof(home), XE_HOME, c->gpu);
	r = vf_control_check_number(s, c, home, request->vf);
	if (r < 0)
		return r;
	if (request->tile > 0)
		return -EOPNOTSUPP; /* the driver spreads over the tiles by itself */

	return set_and_read(s, c, vf_tree_who(request->vf, who), request->attribute, request->value,
			    ret);
}

static int xe_set_pf(struct sysfs *s, const struct vf_surface *c, enum vf_attribute attribute,
		     uint64_t value, uint64_t *ret)
{
	return set_and_read(s, c, "pf", attribute, value, ret);
}

/* The bulk file cannot be read: what each VF shows afterwards is what was set. */
static int read_all(struct sysfs *s, const struct vf_surface *c, enum vf_attribute attribute,
		    uint64_t *ret)
{
	char who[VF_TREE_WHO_MAX];
	struct known all = {0};
	unsigned vf;

	for (vf = 1; sysfs_exists(s, XE_HOME "/vf%u", c->gpu, vf); vf++) {
		struct known one = read_value(s, c, vf_tree_who(vf, who), attribute);

		if (!one.known || (all.known && one.value != all.value))
			return -EUCLEAN;
		all = one;
	}
	if (!all.known)
		return -ENOENT;

	*ret = all.value;
	return 0;
}

static int xe_set_bulk(struct sysfs *s, const struct vf_surface *c, enum vf_attribute attribute,
		       uint64_t value, uint64_t *ret)
{
	const char *name = vf_attribute_to_string(attribute);
	char text[24];
	int r;

	if (attribute == VF_ATTR_VRAM || !sysfs_is_writable(s, XE_BULK, c->gpu, name))
		return -EOPNOTSUPP;
	value_text(attribute, value, text);
	r = sysfs_write(s, text, XE_BULK, c->gpu, name);
	if (r < 0)
		return r;

	return read_all(s, c, attribute, ret);
}

/* sysfs never takes the PF out of automatic mode; a quota that stands keeps VRAM from being shared.
 */
static int xe_restore_auto(struct sysfs *s, const struct vf_surface *c, unsigned total)
{
	const char *name = vf_attribute_to_string(VF_ATTR_VRAM);
	char who[VF_TREE_WHO_MAX];
	uint64_t value;
	unsigned vf;
	int r;

	if (!sysfs_is_writable(s, XE_PROFILE, c->gpu, "vf1", name))
		return -EOPNOTSUPP;

	for (vf = 1; vf <= total; vf++) {
		r = read_number(s, c, vf, VF_ATTR_VRAM, &value);
		if (r == 0 && value > 0)
			r = sysfs_write_uint(s, 0, XE_PROFILE, c->gpu, vf_tree_who(vf, who), name);
		if (r < 0)
			return r;
	}
	return 0;
}

const struct vf_control_ops vf_control_xe = {
	.kind = VF_CONTROL_XE,
	.read_pf = xe_read_pf,
	.read_stock = xe_read_stock,
	.read_vf = xe_read_vf,
	.set_vf = xe_set_vf,
	.set_bulk = xe_set_bulk,
	.set_pf = xe_set_pf,
	.restore_auto = xe_restore_auto,
};
