/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts in numbers: from a policy, from an API document, and the form that is
 * stored and shown. */
#include "policy/layout.h"

#include <stdio.h>

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

static struct layout *layout_new(const char *name, size_t n_vfs)
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

static int vf_from_profile(struct layout_vf *vf, const struct policy_profile *profile)
{
	vf->vram = profile->vram;
	vf->exec_quantum_ms = profile->exec_quantum_ms;
	vf->preempt_timeout_us = profile->preempt_timeout_us;
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

	for (i = 0; i < from->n_slices; i++) {
		const struct policy_profile *profile =
			policy_find_profile(p, strempty(from->slices[i].profile));

		if (!profile)
			return -EINVAL;
		for (k = 0; k < from->slices[i].count; k++)
			if (vf_from_profile(&l->vfs[vf++], profile) < 0)
				return -ENOMEM;
	}
	*ret = TAKE_PTR(l);
	return 0;
}

static int refuse_profile(const struct policy *p, const char *base, const char *name,
			  struct json_fault *fault)
{
	return json_fault_set(fault, base, "profile",
			      p->n_profiles > 0 ? "`gpuvf list profiles` shows them" :
						  "the policy has none",
			      "no profile \"%s\"", name);
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
	struct amount vram;
	char *profile;
	uint64_t exec_quantum, preempt_timeout;
	json_t *slices;
};

#define VFS_ABSENT UINT64_MAX

static const struct json_field manual_fields[] = {
	FIELD(manual_fields, vfs, JSON_FIELD_UINT, .max = POLICY_VFS_MAX,
	      .summary = "how many equal VFs, 0 removes them"),
	FIELD(manual_fields, vram, JSON_FIELD_AMOUNT, .min = 1,
	      .summary = "for each VF: a size, a share of what is free to VFs, or \"fair\""),
	FIELD(manual_fields, profile, JSON_FIELD_STRING,
	      .summary = "name of a profile of the policy"),
	FIELD(manual_fields, exec_quantum, JSON_FIELD_DURATION, .max = POLICY_TIMESLICE_MAX,
	      .summary = "whole milliseconds, 0ms = no limit"),
	FIELD(manual_fields, preempt_timeout, JSON_FIELD_DURATION, .max = POLICY_TIMESLICE_MAX,
	      .summary = "0us = no limit"),
	FIELD(manual_fields, slices, JSON_FIELD_ARRAY,
	      .summary = "[{\"profile\": NAME, \"count\": N}], instead of vfs"),
	{ NULL },
};

/* One kind of VF, as often as asked; what is said beside the profile goes before the profile. */
static int from_manual(const struct policy *p, const struct manual_fields *f, struct layout **ret,
		       struct json_fault *fault)
{
	_cleanup_(layout_freep) struct layout *l = NULL;
	const struct policy_profile *profile = NULL;
	struct known quantum = { false, 0 };
	size_t i;

	if (f->profile) {
		profile = policy_find_profile(p, f->profile);
		if (!profile)
			return refuse_profile(p, "", f->profile, fault);
	}
	if (policy_check_quantum(f->exec_quantum, "", &quantum, fault) < 0)
		return -EINVAL;

	l = layout_new(NULL, f->vfs);
	if (!l)
		return -ENOMEM;
	for (i = 0; i < l->n_vfs; i++) {
		struct layout_vf *vf = &l->vfs[i];

		if (profile && vf_from_profile(vf, profile) < 0)
			return -ENOMEM;
		if (f->vram.kind != AMOUNT_UNSET)
			vf->vram = f->vram;
		if (quantum.known)
			vf->exec_quantum_ms = quantum;
		if (f->preempt_timeout != USEC_INFINITY)
			vf->preempt_timeout_us = (struct known){ true, f->preempt_timeout };
	}
	*ret = TAKE_PTR(l);
	return 0;
}

static int from_object(const struct policy *p, const json_t *json, struct layout **ret,
		       struct json_fault *fault)
{
	struct manual_fields f = { .vfs = VFS_ABSENT,
				   .exec_quantum = USEC_INFINITY,
				   .preempt_timeout = USEC_INFINITY };
	bool more;
	int r;

	r = json_fields_decode(json, "", manual_fields, &f, fault);
	if (r < 0)
		return r;

	more = f.vram.kind != AMOUNT_UNSET || f.profile || f.exec_quantum != USEC_INFINITY ||
	       f.preempt_timeout != USEC_INFINITY;
	if (!f.slices == (f.vfs == VFS_ABSENT))
		r = json_fault_set(fault, "", NULL, "\"vfs\": 4, or \"slices\": [{profile, count}]",
				   "must have either \"vfs\" or \"slices\"");
	else if (f.slices && more)
		r = json_fault_set(
			fault, "", "slices", "put the values into profiles of the policy",
			"stands alone: vram, profile, exec_quantum and preempt_timeout go "
			"with vfs");
	else if (f.vfs == 0 && more)
		r = json_fault_set(fault, "", "vfs", "leave the others out",
				   "is 0: there is nothing that could have vram or a profile");
	else
		r = f.slices ? from_slices(p, f.slices, ret, fault)
			     : from_manual(p, &f, ret, fault);
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

static json_t *amount_to_json(const struct amount *amount)
{
	char buf[32];

	switch (amount->kind) {
	case AMOUNT_BYTES:
		return json_string(size_format_exact(amount->value, buf, sizeof(buf)));
	case AMOUNT_PERCENT:
		snprintf(buf, sizeof(buf), "%llu.%02llu%%", (unsigned long long)amount->value / 100,
			 (unsigned long long)amount->value % 100);
		return json_string(buf);
	case AMOUNT_FAIR:
		return json_string("fair");
	case AMOUNT_UNSET:
	case _AMOUNT_MAX:
		break;
	}
	return json_null();
}

static json_t *vf_to_json(const struct layout_vf *vf)
{
	_cleanup_json_ json_t *o = json_object();

	if (!o || json_put_string(o, "profile", vf->profile) < 0 ||
	    json_put(o, "vram", amount_to_json(&vf->vram)) < 0 ||
	    json_put_uint_known(o, "exec_quantum_ms", vf->exec_quantum_ms.known,
				vf->exec_quantum_ms.value) < 0 ||
	    json_put_uint_known(o, "preempt_timeout_us", vf->preempt_timeout_us.known,
				vf->preempt_timeout_us.value) < 0)
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
	return TAKE_PTR(o);
}

struct stored_vf {
	char *profile;
	struct amount vram;
	int64_t exec_quantum_ms, preempt_timeout_us;
};

static const struct json_field stored_vf_fields[] = {
	FIELD(stored_vf, profile, JSON_FIELD_STRING),
	FIELD(stored_vf, vram, JSON_FIELD_AMOUNT),
	FIELD(stored_vf, exec_quantum_ms, JSON_FIELD_INT),
	FIELD(stored_vf, preempt_timeout_us, JSON_FIELD_INT),
	{ NULL },
};

struct stored_layout {
	char *name;
	json_t *vfs;
};

static const struct json_field stored_fields[] = {
	FIELD(stored_layout, name, JSON_FIELD_STRING),
	FIELD(stored_layout, vfs, JSON_FIELD_ARRAY, .required = true, .max_length = POLICY_VFS_MAX),
	{ NULL },
};

static struct known known_from(int64_t n)
{
	return (struct known){ n >= 0, n >= 0 ? (uint64_t)n : 0 };
}

static int load_vf(const json_t *json, struct layout_vf *vf)
{
	struct stored_vf f = { .exec_quantum_ms = -1, .preempt_timeout_us = -1 };
	int r;

	r = json_fields_decode(json, "", stored_vf_fields, &f, NULL);
	if (r < 0)
		return r;
	vf->profile = f.profile;
	vf->vram = f.vram;
	vf->exec_quantum_ms = known_from(f.exec_quantum_ms);
	vf->preempt_timeout_us = known_from(f.preempt_timeout_us);
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
	for (i = 0; l && i < l->n_vfs && r == 0; i++)
		r = load_vf(json_array_get(f.vfs, i), &l->vfs[i]);
	json_fields_done(stored_fields, &f);
	if (r == 0)
		*ret = TAKE_PTR(l);
	return r;
}

static bool known_equal(struct known a, struct known b)
{
	return a.known == b.known && (!a.known || a.value == b.value);
}

static bool vf_equal(const struct layout_vf *a, const struct layout_vf *b)
{
	return streq_ptr(a->profile, b->profile) && a->vram.kind == b->vram.kind &&
	       (a->vram.kind == AMOUNT_UNSET || a->vram.value == b->vram.value) &&
	       known_equal(a->exec_quantum_ms, b->exec_quantum_ms) &&
	       known_equal(a->preempt_timeout_us, b->preempt_timeout_us);
}

bool layout_equal(const struct layout *a, const struct layout *b)
{
	size_t i;

	if (a->n_vfs != b->n_vfs || !streq_ptr(a->name, b->name))
		return false;
	for (i = 0; i < a->n_vfs; i++)
		if (!vf_equal(&a->vfs[i], &b->vfs[i]))
			return false;
	return true;
}
