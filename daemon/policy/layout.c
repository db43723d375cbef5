/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts as objects: from a policy, copied, compared, and the form that is stored and shown. */
#include "policy/layout.h"

#include "policy/policy-build.h"

#define FIELD(type, member, kind, ...)                                                             \
	{ #member, kind, offsetof(struct type, member), __VA_ARGS__ }

struct layout *layout_free(struct layout *l)
{
	size_t i;

	if (!l)
		return NULL;
	for (i = 0; i < l->n_vfs; i++)
		free(l->vfs[i].profile);
	free(l->vfs);
	free(l->name);
	free(l);
	return NULL;
}

struct layout *layout_new(const char *name, size_t n_vfs)
{
	_cleanup_(layout_freep) struct layout *l = calloc(1, sizeof(*l));

	if (!l || free_and_strdup(&l->name, name) < 0)
		return NULL;
	l->vfs = calloc(MAX_OF(n_vfs, (size_t)1), sizeof(*l->vfs));
	if (!l->vfs)
		return NULL;
	l->n_vfs = n_vfs;
	return TAKE_PTR(l);
}

struct layout *layout_copy(const struct layout *l)
{
	_cleanup_(layout_freep) struct layout *copy = layout_new(l->name, l->n_vfs);
	size_t i;

	if (!copy)
		return NULL;
	copy->defaults = l->defaults;
	copy->scheduler = l->scheduler;
	for (i = 0; i < l->n_vfs; i++) {
		copy->vfs[i].shape = l->vfs[i].shape;
		if (free_and_strdup(&copy->vfs[i].profile, l->vfs[i].profile) < 0)
			return NULL;
	}
	return TAKE_PTR(copy);
}

/* profile NULL = the slice leaves everything open. */
static int vf_from_profile(struct layout_vf *vf, const struct policy_profile *profile)
{
	if (!profile)
		return 0;
	vf->shape = profile->shape;
	return free_and_strdup(&vf->profile, profile->name);
}

int layout_from_policy(const struct policy *p, const struct policy_layout *from,
		       struct layout **ret)
{
	_cleanup_(layout_freep) struct layout *l = NULL;
	size_t total = 0, i, vf = 0;
	unsigned k;

	for (i = 0; i < from->n_slices; i++)
		total += from->slices[i].count;
	l = layout_new(from->name, total);
	if (!l)
		return -ENOMEM;
	l->defaults = from->defaults;
	l->scheduler = from->scheduler;

	for (i = 0; i < from->n_slices; i++) {
		const struct policy_slice *slice = &from->slices[i];
		const struct policy_profile *profile =
			slice->profile ? policy_find_profile(p, slice->profile) : NULL;

		if (slice->profile && !profile)
			return -EINVAL;
		for (k = 0; k < slice->count; k++)
			if (vf_from_profile(&l->vfs[vf++], profile) < 0)
				return -ENOMEM;
	}
	*ret = TAKE_PTR(l);
	return 0;
}

static json_t *vf_to_json(const struct layout_vf *vf)
{
	_cleanup_json_ json_t *o = json_object();

	if (!o || json_put_string(o, "profile", vf->profile) < 0 ||
	    vf_shape_put_stored(o, &vf->shape) < 0)
		return NULL;
	return TAKE_PTR(o);
}

json_t *layout_to_json(const struct layout *l)
{
	_cleanup_json_ json_t *o = json_object();
	json_t *vfs = json_array();
	size_t i;

	if (!o || json_put_string(o, "name", l->name) < 0 || json_put(o, "vfs", vfs) < 0)
		return NULL;
	for (i = 0; i < l->n_vfs; i++)
		if (json_array_append_new(vfs, vf_to_json(&l->vfs[i])) < 0)
			return NULL;
	if (json_put_bool(o, "defaults", l->defaults) < 0 ||
	    json_put_string(o, "scheduler",
			    l->scheduler ? scheduler_preset_to_string(l->scheduler) : NULL) < 0)
		return NULL;
	return TAKE_PTR(o);
}

struct stored_vf {
	char *profile;
	struct vf_shape_stored shape;
};

static const struct json_field stored_vf_fields[] = {
	FIELD(stored_vf, profile, JSON_FIELD_STRING),
	VF_SHAPE_STORED_FIELDS(stored_vf, shape),
	{ NULL },
};

struct stored_layout {
	char *name;
	json_t *vfs;
	bool defaults;
	int scheduler;
};

static const struct json_field stored_fields[] = {
	FIELD(stored_layout, name, JSON_FIELD_STRING),
	FIELD(stored_layout, vfs, JSON_FIELD_ARRAY, .required = true, .max_length = POLICY_VFS_MAX),
	FIELD(stored_layout, defaults, JSON_FIELD_BOOL),
	FIELD(stored_layout, scheduler, JSON_FIELD_ENUM, .names = scheduler_preset_names,
	      .names_max = SCHEDULER_PRESET_MAX),
	{ NULL },
};

static int load_vf(const json_t *json, struct layout_vf *vf)
{
	struct stored_vf f = { .shape = VF_SHAPE_STORED_INIT };
	int r;

	r = json_fields_decode(json, "", stored_vf_fields, &f, NULL);
	if (r < 0)
		return r;
	vf->profile = f.profile;
	vf_shape_from_stored(&f.shape, &vf->shape);
	return 0;
}

int layout_load(const json_t *json, struct layout **ret)
{
	_cleanup_(layout_freep) struct layout *l = NULL;
	struct stored_layout f = { NULL };
	size_t i;
	int r;

	r = json_fields_decode(json, "", stored_fields, &f, NULL);
	if (r < 0)
		return r;

	l = layout_new(f.name, json_array_size(f.vfs));
	r = l ? 0 : -ENOMEM;
	if (l) {
		l->defaults = f.defaults;
		l->scheduler = (enum scheduler_preset)f.scheduler;
	}
	for (i = 0; l && i < l->n_vfs && r == 0; i++)
		r = load_vf(json_array_get(f.vfs, i), &l->vfs[i]);
	json_fields_done(stored_fields, &f);
	if (r == 0)
		*ret = TAKE_PTR(l);
	return r;
}

bool layout_equal(const struct layout *a, const struct layout *b)
{
	size_t i;

	if (a->n_vfs != b->n_vfs || !streq_ptr(a->name, b->name) || a->defaults != b->defaults ||
	    a->scheduler != b->scheduler)
		return false;
	for (i = 0; i < a->n_vfs; i++)
		if (!streq_ptr(a->vfs[i].profile, b->vfs[i].profile) ||
		    !vf_shape_equal(&a->vfs[i].shape, &b->vfs[i].shape))
			return false;
	return true;
}
