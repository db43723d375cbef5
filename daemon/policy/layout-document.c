/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts as people write them by hand: `gpuvf apply --vfs 4`, `--slices`, `--layout`, `--file`, and
 * the parameter `layout` of gpu.plan and gpu.apply. */
#include "policy/layout.h"

#include <stdio.h>

#include "policy/policy-build.h"

#define FIELD(type, member, kind, ...)                                                             \
	{ #member, kind, offsetof(struct type, member), __VA_ARGS__ }

static int refuse_profile(const struct policy *p, const char *base, const char *name,
			  struct json_fault *fault)
{
	return json_fault_set(fault, base, "profile",
			      p->n_profiles > 0 ? "`gpuvf list profiles` shows them" :
						  "the policy has none",
			      "no profile \"%.64s\"", name);
}

static int from_name(const struct policy *p, const char *name, struct layout **ret,
		     struct json_fault *fault)
{
	const struct policy_layout *named = policy_find_layout(p, name);

	if (named)
		return layout_from_policy(p, named, ret);
	return json_fault_set(fault, "", NULL,
			      p->n_layouts > 0 ? "`gpuvf policy show` shows them" :
						 "the policy has none",
			      "no layout \"%.64s\"", name);
}

static int from_slices(const struct policy *p, const json_t *array, struct layout **ret,
		       struct json_fault *fault)
{
	struct policy_layout slices = { NULL };
	char base[32];
	size_t i;
	int r;

	r = policy_read_slices(array, "/slices", &slices, fault);
	for (i = 0; i < slices.n_slices && r == 0; i++) {
		snprintf(base, sizeof(base), "/slices/%zu", i);
		if (!policy_find_profile(p, slices.slices[i].profile))
			r = refuse_profile(p, base, slices.slices[i].profile, fault);
	}
	if (r == 0)
		r = layout_from_policy(p, &slices, ret);
	policy_layout_done(&slices);
	return r;
}

struct manual_fields {
	uint64_t vfs;
	char *profile;
	struct vf_shape_fields shape;
	json_t *slices;
	bool defaults;
	int scheduler;
};

#define VFS_ABSENT UINT64_MAX

static const struct json_field manual_fields[] = {
	FIELD(manual_fields, vfs, JSON_FIELD_UINT, .max = POLICY_VFS_MAX,
	      .summary = "how many equal VFs, 0 removes them"),
	FIELD(manual_fields, profile, JSON_FIELD_STRING,
	      .summary = "name of a profile of the policy"),
	VF_SHAPE_FIELDS(manual_fields, shape),
	FIELD(manual_fields, slices, JSON_FIELD_ARRAY,
	      .summary = "[{\"profile\": NAME, \"count\": N}], instead of vfs"),
	POLICY_DEFAULTS_FIELDS(manual_fields),
	{ NULL },
};

/* One kind of VF, as often as asked; what is said beside the profile goes before the profile. */
static int from_manual(const struct policy *p, const struct manual_fields *f,
		       const struct vf_shape *shape, struct layout **ret, struct json_fault *fault)
{
	_cleanup_(layout_freep) struct layout *l = NULL;
	const struct policy_profile *profile = NULL;
	size_t i;

	if (f->profile) {
		profile = policy_find_profile(p, f->profile);
		if (!profile)
			return refuse_profile(p, "", f->profile, fault);
	}
	l = layout_new(NULL, f->vfs);
	if (!l)
		return -ENOMEM;
	for (i = 0; i < l->n_vfs; i++) {
		struct layout_vf *vf = &l->vfs[i];

		if (profile) {
			vf->shape = profile->shape;
			if (free_and_strdup(&vf->profile, profile->name) < 0)
				return -ENOMEM;
		}
		vf_shape_merge(&vf->shape, shape);
	}
	*ret = TAKE_PTR(l);
	return 0;
}

static int check_manual(const struct manual_fields *f, const struct vf_shape *shape,
			struct json_fault *fault)
{
	bool more = f->profile || !vf_shape_is_empty(shape);

	if (!f->slices == (f->vfs == VFS_ABSENT))
		return json_fault_set(fault, "", NULL,
				      "\"vfs\": 4, or \"slices\": [{profile, count}]",
				      "must have either \"vfs\" or \"slices\"");
	if (f->slices && more)
		return json_fault_set(fault, "", "slices",
				      "put the values into profiles of the policy",
				      "stands alone: a profile and its values go with vfs");
	if (f->vfs == 0 && (more || f->defaults || f->scheduler))
		return json_fault_set(fault, "", "vfs", "leave the others out",
				      "is 0: there is nothing that could have values");
	return 0;
}

static int from_object(const struct policy *p, const json_t *json, struct layout **ret,
		       struct json_fault *fault)
{
	struct manual_fields f = { .vfs = VFS_ABSENT, .shape = VF_SHAPE_FIELDS_INIT };
	struct vf_shape shape;
	int r;

	r = json_fields_decode(json, "", manual_fields, &f, fault);
	if (r < 0)
		return r;

	r = vf_shape_from_fields(&f.shape, "", &shape, fault);
	if (r == 0)
		r = check_manual(&f, &shape, fault);
	if (r == 0)
		r = f.slices ? from_slices(p, f.slices, ret, fault) :
			       from_manual(p, &f, &shape, ret, fault);
	if (r == 0) {
		(*ret)->defaults = f.defaults;
		(*ret)->scheduler = (enum scheduler_preset)f.scheduler;
	}
	json_fields_done(manual_fields, &f);
	return r;
}

int layout_from_json(const struct policy *p, const json_t *json, struct layout **ret,
		     struct json_fault *ret_fault)
{
	if (json_is_string(json))
		return from_name(p, json_string_value(json), ret, ret_fault);
	if (json_is_object(json))
		return from_object(p, json, ret, ret_fault);
	return json_fault_set(ret_fault, "", NULL,
			      "write \"NAME\", {\"vfs\": 4, …} or {\"slices\": […]}",
			      "must be the name of a layout or an object");
}
