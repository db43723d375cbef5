/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading and writing of quota trees: one value of ours is a file on each tile or GT. */
#include "host/vf-tree.h"

#include <stdio.h>

const char *vf_tree_who(unsigned vf, char buf[static VF_TREE_WHO_MAX])
{
	snprintf(buf, VF_TREE_WHO_MAX, "vf%u", vf);
	return buf;
}

void vf_tree_add_gt(struct vf_tree *t, const char *name, bool is_main)
{
	struct vf_tree_gt *gt;

	if (t->n_gts == VF_TREE_GTS_MAX)
		return;

	if (is_main || t->n_gts == 0)
		t->n_tiles++;
	gt = &t->gts[t->n_gts++];
	snprintf(gt->name, sizeof(gt->name), "%s", name);
	gt->tile = t->n_tiles - 1;
	gt->main = is_main;
}

/* Whether the attribute is the tile's: then it has one file for each tile, at the main GT. */
static bool is_of_tile(enum vf_attribute attribute)
{
	return attribute == VF_ATTR_VRAM || attribute == VF_ATTR_GGTT;
}

/* Whether a file of that kind is at this GT. */
static bool is_at(const struct vf_tree_gt *gt, bool of_tile)
{
	return !of_tile || gt->main;
}

static int read_number(struct sysfs *s, const struct vf_tree *t, const char *who,
		       const struct vf_tree_gt *gt, bool of_tile, const char *name, uint64_t *ret)
{
	char path[VF_TREE_PATH_MAX];
	int r;

	r = t->layout->path(t, who, gt, of_tile, name, path);
	if (r < 0)
		return r;

	return sysfs_read_uint(s, ret, "%s", path);
}

static int write_number(struct sysfs *s, const struct vf_tree *t, const char *who,
			const struct vf_tree_gt *gt, bool of_tile, const char *name, uint64_t value)
{
	char path[VF_TREE_PATH_MAX];
	int r;

	r = t->layout->path(t, who, gt, of_tile, name, path);
	if (r < 0)
		return r;
	if (!sysfs_is_writable(s, "%s", path))
		return -EOPNOTSUPP;

	return sysfs_write_uint(s, value, "%s", path);
}

enum vf_access vf_tree_access(struct sysfs *s, const struct vf_tree *t, enum vf_attribute attribute)
{
	const char *name = t->layout->files[attribute];
	char path[VF_TREE_PATH_MAX];

	if (!name || t->n_gts == 0 ||
	    t->layout->path(t, "vf1", &t->gts[0], is_of_tile(attribute), name, path) < 0 ||
	    !sysfs_exists(s, "%s", path))
		return VF_ACCESS_NONE;

	return sysfs_is_writable(s, "%s", path) ? VF_ACCESS_WRITE : VF_ACCESS_READ;
}

/* What the tiles say.  A tile's GTs must agree.  Returns how many, 0 = not all can be read, or they
 * differ. */
static size_t read_tiles(struct sysfs *s, const struct vf_tree *t, const char *who,
			 enum vf_attribute attribute, const char *name, bool least,
			 uint64_t values[static VF_TREE_GTS_MAX])
{
	bool of_tile = is_of_tile(attribute);
	size_t i, n = 0;

	for (i = 0; name && i < t->n_gts; i++) {
		const struct vf_tree_gt *gt = &t->gts[i];
		uint64_t value;

		if (!is_at(gt, of_tile))
			continue;
		if (read_number(s, t, who, gt, of_tile, name, &value) < 0)
			return 0;
		if (gt->tile == n)
			values[n++] = value;
		else if (least)
			values[gt->tile] = MIN_OF(values[gt->tile], value);
		else if (values[gt->tile] != value)
			return 0;
	}
	return n;
}

static uint64_t sum_of(const uint64_t *values, size_t n)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < n; i++)
		sum += values[i];
	return sum;
}

struct known vf_tree_read(struct sysfs *s, const struct vf_tree *t, const char *who,
			  enum vf_attribute attribute)
{
	uint64_t values[VF_TREE_GTS_MAX], value;
	size_t n = read_tiles(s, t, who, attribute, t->layout->files[attribute], false, values);
	size_t i;

	if (n == 0)
		return (struct known){0};
	if (is_of_tile(attribute))
		return (struct known){true, sum_of(values, n)};

	value = values[0];
	for (i = 1; i < n; i++) {
		if (values[i] == value)
			continue;
		/* A VF may be on some tiles only: it has its contexts and doorbells there. */
		if (attribute >= VF_RESOURCE_MAX || (value > 0 && values[i] > 0))
			return (struct known){0};
		value = MAX_OF(value, values[i]);
	}
	return (struct known){true, value};
}

struct known vf_tree_read_taken(struct sysfs *s, const struct vf_tree *t, unsigned vf,
				enum vf_attribute resource)
{
	uint64_t values[VF_TREE_GTS_MAX];
	char who[VF_TREE_WHO_MAX];
	size_t n;

	n = read_tiles(s, t, vf_tree_who(vf, who), resource, t->layout->files[resource], false,
		       values);

	return (struct known){n > 0, sum_of(values, n)};
}

void vf_tree_read_standing(struct sysfs *s, const struct vf_tree *t, struct gpu_facts *f)
{
	enum vf_attribute a;
	unsigned vf;

	for (vf = (unsigned)f->n_vfs + 1; vf <= f->total_vfs; vf++) {
		for (a = 0; a < VF_RESOURCE_MAX; a++) {
			struct known taken = {0};

			if (f->can[a].access != VF_ACCESS_NONE)
				taken = vf_tree_read_taken(s, t, vf, a);
			if (taken.known)
				f->resources[a].standing += taken.value;
		}
	}
}

/* What one GT gets of it. */
static uint64_t part_of(const struct vf_tree *t, const struct vf_tree_gt *gt,
			enum vf_attribute attribute, uint64_t value, unsigned tile)
{
	if (attribute >= VF_RESOURCE_MAX)
		return value;
	if (tile > 0)
		return gt->tile == tile - 1 ? value : 0;

	return is_of_tile(attribute) ? value / t->n_tiles + (value % t->n_tiles > 0) : value;
}

int vf_tree_write(struct sysfs *s, const struct vf_tree *t, const char *who,
		  enum vf_attribute attribute, uint64_t value, unsigned tile, uint64_t *ret)
{
	const char *name = t->layout->files[attribute];
	bool of_tile = is_of_tile(attribute);
	struct known back;
	bool zeros;
	size_t i;
	int r;

	if (!name)
		return -EOPNOTSUPP;
	if (tile > t->n_tiles)
		return -EINVAL;

	/* What is given back comes first: the other tile may need it. */
	for (zeros = true;; zeros = false) {
		for (i = 0; i < t->n_gts; i++) {
			uint64_t part = part_of(t, &t->gts[i], attribute, value, tile);

			if (!is_at(&t->gts[i], of_tile) || (part == 0) != zeros)
				continue;
			r = write_number(s, t, who, &t->gts[i], of_tile, name, part);
			if (r < 0)
				return r;
		}
		if (!zeros)
			break;
	}

	back = vf_tree_read(s, t, who, attribute);
	if (!back.known)
		return -EUCLEAN;
	*ret = back.value;
	return 0;
}

struct known vf_tree_read_stock(struct sysfs *s, const struct vf_tree *t,
				enum vf_attribute resource, const char *name)
{
	uint64_t values[VF_TREE_GTS_MAX];
	size_t n = read_tiles(s, t, "pf", resource, name, true, values);

	return (struct known){n > 0, sum_of(values, n)};
}

struct known vf_tree_read_largest(struct sysfs *s, const struct vf_tree *t,
				  enum vf_attribute resource, const char *name)
{
	uint64_t values[VF_TREE_GTS_MAX], least = UINT64_MAX, most = 0;
	size_t n = read_tiles(s, t, "pf", resource, name, true, values);
	size_t i;

	for (i = 0; i < n; i++) {
		least = MIN_OF(least, values[i]);
		most = MAX_OF(most, values[i]);
	}
	if (n == 0)
		return (struct known){0};

	return (struct known){true, MAX_OF(least * n, most)};
}

struct known vf_tree_read_spare(struct sysfs *s, const struct vf_tree *t,
				enum vf_attribute resource)
{
	return vf_tree_read_stock(s, t, resource, t->layout->spares[resource]);
}

bool vf_tree_has_policy(struct sysfs *s, const struct vf_tree *t)
{
	char path[VF_TREE_PATH_MAX];

	return t->layout->path(t, "pf", &t->gts[0], false, t->layout->if_idle, path) == 0 &&
	       sysfs_is_writable(s, "%s", path);
}

struct known vf_tree_read_policy(struct sysfs *s, const struct vf_tree *t)
{
	uint64_t values[VF_TREE_GTS_MAX];
	size_t n = read_tiles(s, t, "pf", VF_ATTR_PRIORITY, t->layout->if_idle, false, values);
	size_t i;

	for (i = 1; i < n; i++)
		if (values[i] != values[0])
			return (struct known){0};

	return (struct known){n > 0, n > 0 && values[0] ? VF_PRIORITY_NORMAL : VF_PRIORITY_LOW};
}

int vf_tree_write_policy(struct sysfs *s, const struct vf_tree *t, uint64_t priority, uint64_t *ret)
{
	struct known back;
	size_t i;
	int r;

	if (priority != VF_PRIORITY_LOW && priority != VF_PRIORITY_NORMAL)
		return -EINVAL;

	for (i = 0; i < t->n_gts; i++) {
		r = write_number(s, t, "pf", &t->gts[i], false, t->layout->if_idle,
				 priority == VF_PRIORITY_NORMAL);
		if (r < 0)
			return r;
	}
	back = vf_tree_read_policy(s, t);
	if (!back.known)
		return -EUCLEAN;
	*ret = back.value;
	return 0;
}

static int clear(struct sysfs *s, const char *path)
{
	uint64_t value;

	if (sysfs_read_uint(s, &value, "%s", path) < 0 || value == 0)
		return 0;

	return sysfs_write_uint(s, 0, "%s", path);
}

static int clear_vf(struct sysfs *s, const struct vf_tree *t, const char *who)
{
	char path[VF_TREE_PATH_MAX];
	enum vf_attribute resource;
	size_t i;
	int r;

	for (resource = 0; resource < VF_RESOURCE_MAX; resource++) {
		const char *name = t->layout->files[resource];
		bool of_tile = is_of_tile(resource);

		for (i = 0; name && i < t->n_gts; i++) {
			if (!is_at(&t->gts[i], of_tile))
				continue;
			r = t->layout->path(t, who, &t->gts[i], of_tile, name, path);
			if (r == 0)
				r = clear(s, path);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int vf_tree_clear_quotas(struct sysfs *s, const struct vf_tree *t, unsigned total)
{
	char who[VF_TREE_WHO_MAX];
	unsigned vf;
	int r = 0;

	for (vf = 1; vf <= total && r == 0; vf++)
		r = clear_vf(s, t, vf_tree_who(vf, who));
	return r;
}
