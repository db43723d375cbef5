/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of the reference (2.4 to 2.7, 3.2, 5.1) over plain numbers; what is shown, and what
 * restoring does, as the helper has it. */
#include "tests/support/model-card.h"

#include "lib/units.h"

static bool is_moded(const struct model_card *c)
{
	return c->facts.vf_control == VF_CONTROL_I915 || c->facts.vf_control == VF_CONTROL_XE_DEBUGFS;
}

/* Contexts and doorbells are there on each tile: a VF of several has its number on each of them. */
static bool is_of_each_tile(const struct model_card *c, enum vf_attribute a)
{
	return is_moded(c) && (a == VF_ATTR_CONTEXTS || a == VF_ATTR_DOORBELLS);
}

static uint64_t grain_of(const struct model_card *c, enum vf_attribute a)
{
	return c->facts.resources[a].grain ? c->facts.resources[a].grain : 1;
}

static uint64_t given_to(const struct model_card *c, unsigned vf, enum vf_attribute a)
{
	uint64_t sum = 0;
	unsigned t;

	for (t = 0; t < c->facts.tiles; t++)
		sum += c->quota[vf][a][t];
	return sum;
}

/* As the driver shows it. */
static uint64_t quota_of(const struct model_card *c, unsigned vf, enum vf_attribute a)
{
	uint64_t most = 0;
	unsigned t;

	if (!is_of_each_tile(c, a))
		return given_to(c, vf, a);
	for (t = 0; t < c->facts.tiles; t++)
		most = MAX_OF(most, c->quota[vf][a][t]);
	return most;
}

static uint64_t given_on(const struct model_card *c, enum vf_attribute a, unsigned tile)
{
	uint64_t sum = 0;
	unsigned vf;

	for (vf = 0; vf < MODEL_VFS_MAX; vf++)
		sum += c->quota[vf][a][tile];
	return sum;
}

struct gpu_facts *model_card_show(struct model_card *c)
{
	struct gpu_facts *f = &c->facts;
	unsigned vf;
	bool anything_stands = false;
	size_t a;

	f->vfs = c->shown;
	f->n_vfs = f->num_vfs;
	for (a = 0; a < VF_RESOURCE_MAX; a++) {
		uint64_t standing = 0;

		for (vf = f->num_vfs; vf < MODEL_VFS_MAX; vf++)
			standing += given_to(c, vf, (enum vf_attribute)a);
		f->resources[a].standing = standing;
		f->resources[a].free =
			(struct known){ c->tells[a], c->tells[a] ? c->stock[a] - standing : 0 };
		anything_stands |= standing > 0;
	}
	f->custom_provisioning = f->vf_control == VF_CONTROL_I915 ? c->custom : anything_stands;
	for (vf = 0; vf < f->num_vfs; vf++) {
		c->shown[vf] = (struct vf_facts){ .index = vf + 1, .iommu_group = -1 };
		for (a = 0; a < VF_ATTRIBUTE_MAX; a++) {
			bool shown = f->can[a].access != VF_ACCESS_NONE;
			uint64_t value = a < VF_RESOURCE_MAX ? quota_of(c, vf, (enum vf_attribute)a) :
							       c->tune[vf][a];

			c->shown[vf].values[a] = (struct known){ shown, shown ? value : 0 };
			if (a < VF_RESOURCE_MAX && c->tells[a])
				f->resources[a].free.value -= shown ? given_to(c, vf, (enum vf_attribute)a) : 0;
		}
	}
	return f;
}

static void clear_quotas(struct model_card *c)
{
	memset(c->quota, 0, sizeof(c->quota));
}

/* Each of n VFs gets the same, on the tile where it sits. */
static int share(struct model_card *c, enum vf_attribute a, unsigned n)
{
	unsigned tiles = c->facts.tiles, vf, t;
	bool spread = n == 1 || !is_moded(c), whole = is_of_each_tile(c, a);
	uint64_t each = !spread ? c->stock[a] / tiles / (n / tiles) : c->stock[a] / (whole ? tiles : 1) / n;

	each -= each % grain_of(c, a);
	if (each == 0 && a != VF_ATTR_DOORBELLS)
		return -ENOSPC;
	for (vf = 0; vf < n; vf++)
		for (t = 0; t < tiles; t++)
			if (spread && whole)
				c->quota[vf][a][t] = each;
			else if (spread)
				c->quota[vf][a][t] = each / tiles + (t == 0 ? each % tiles : 0);
			else if (t == (vf + 1) % tiles)
				c->quota[vf][a][t] = each;
	return 0;
}

static int provision(struct model_card *c, unsigned n)
{
	bool by_hand = false, complete = true;
	unsigned vf;
	size_t a;
	int r = 0;

	for (vf = 0; vf < n; vf++)
		for (a = 0; a < VF_RESOURCE_MAX; a++) {
			bool has = given_to(c, vf, (enum vf_attribute)a) > 0;

			by_hand |= has;
			if (c->facts.can[a].access == VF_ACCESS_WRITE && a != VF_ATTR_DOORBELLS)
				complete &= has;
		}
	if (is_moded(c) && c->custom)
		return complete ? 0 : -ENOKEY;
	for (a = 0; a < VF_RESOURCE_MAX && r == 0; a++)
		if (c->facts.can[a].access != VF_ACCESS_NONE && !by_hand)
			r = share(c, (enum vf_attribute)a, n);
	return r;
}

static int set_numvfs(struct model_card *c, uint64_t n)
{
	int r;

	if (n > c->facts.total_vfs)
		return -ERANGE;
	if (n > 0 && c->facts.num_vfs > 0)
		return n == c->facts.num_vfs ? 0 : -EBUSY;
	if (n == 0) {
		if (!is_moded(c) || !c->custom)
			clear_quotas(c);
		memset(c->tune, 0, sizeof(c->tune));
		c->facts.num_vfs = 0;
		return 0;
	}
	if (c->facts.tiles > 1 && n > 1 && n % c->facts.tiles)
		return -EINVAL;
	r = provision(c, (unsigned)n);
	if (r == 0)
		c->facts.num_vfs = (unsigned)n;
	return r;
}

static int set_quota(struct model_card *c, const struct host_request *q, struct known *ret)
{
	unsigned tiles = c->facts.tiles, vf = q->vf - 1, t;
	unsigned places = q->tile > 0 || is_of_each_tile(c, q->attribute) ? 1 : tiles;
	uint64_t grain = grain_of(c, q->attribute);
	uint64_t value = (q->value + grain - 1) / grain * grain, each = (value + places - 1) / places;

	if (c->facts.num_vfs > 0)
		return -EIO;
	for (t = 0; t < tiles; t++) {
		uint64_t wanted = q->tile == 0 || q->tile == t + 1 ? each : 0;

		if (given_on(c, q->attribute, t) - c->quota[vf][q->attribute][t] + wanted >
		    c->stock[q->attribute] / tiles)
			return -ENOSPC;
	}
	for (t = 0; t < tiles; t++)
		c->quota[vf][q->attribute][t] = q->tile == 0 || q->tile == t + 1 ? each : 0;
	c->custom = is_moded(c);
	*ret = (struct known){ true, quota_of(c, vf, q->attribute) };
	return 0;
}

static int set_bulk(struct model_card *c, const struct host_request *q)
{
	unsigned vf;

	if (c->facts.can[q->attribute].access < VF_ACCESS_BULK)
		return -EOPNOTSUPP;
	for (vf = 0; vf < MODEL_VFS_MAX; vf++)
		c->tune[vf][q->attribute] = q->value;
	return 0;
}

int model_card_do(struct model_card *c, const struct host_request *q, struct known *ret)
{
	int r;

	*ret = (struct known){ true, q->value };
	if (q->op == HOST_SET_AUTOPROBE) {
		c->facts.autoprobe = q->value;
		return 0;
	}
	if (q->op == HOST_SET_NUMVFS) {
		r = set_numvfs(c, q->value);
		ret->value = c->facts.num_vfs;
		return r;
	}
	if (q->op == HOST_RESTORE_AUTO) {
		if (c->facts.vf_control == VF_CONTROL_GENERIC)
			return -EOPNOTSUPP;
		if (c->facts.num_vfs > 0)
			return -EBUSY;
		clear_quotas(c);
		c->custom = false;
		return 0;
	}
	if (q->op == HOST_SET_BULK_ATTR)
		return set_bulk(c, q);
	if (q->op != HOST_SET_VF_ATTR || c->facts.can[q->attribute].access != VF_ACCESS_WRITE)
		return -EOPNOTSUPP;
	if (q->vf == 0 || q->vf > c->facts.total_vfs)
		return -ENOENT;
	if (q->attribute < VF_RESOURCE_MAX)
		return set_quota(c, q, ret);
	c->tune[q->vf - 1][q->attribute] = q->value;
	return 0;
}

bool model_card_has_leftovers(const struct model_card *c)
{
	unsigned vf;
	size_t a;

	for (vf = c->facts.num_vfs; vf < MODEL_VFS_MAX; vf++)
		for (a = 0; a < VF_RESOURCE_MAX; a++)
			if (given_to(c, vf, (enum vf_attribute)a) > 0)
				return true;
	return false;
}
