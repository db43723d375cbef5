/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The object "scheduling": scalars of the whole set, so each may be set in one file only.  Called by the
 * builder for every file that has one. */
#include "policy/policy-build.h"

struct scheduling_fields {
	bool quantum_by_weight;
};

static const struct json_field scheduling_fields[] = {
	{ "quantum_by_weight", JSON_FIELD_BOOL, offsetof(struct scheduling_fields, quantum_by_weight),
	  .summary = "true: time slices follow the weights of the queues" },
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

static const struct unsupported scheduling_unsupported[] = {
	{ "weights", NULL, "jobs run by queue priority, then their own, then age" },
	{ "fair_share_half_life", NULL, "jobs run by queue priority, then their own, then age" },
	{ "age_cap", NULL, "jobs run by queue priority, then their own, then age" },
	{ "backfill", NULL, NULL },
	{ "predict", "false", NULL },
	{ "oom_margin", NULL, NULL },
	{ "oom_retry", "false", NULL },
	{ NULL },
};

/* 1 = it is new here, 0 = the file does not set it, -EINVAL = another file has set it. */
static int claim(struct policy_builder *b, const json_t *scheduling, const char *member,
		 struct policy_place *place, struct json_fault *fault)
{
	const json_t *value = json_object_get(scheduling, member);

	if (!value || json_is_null(value))
		return 0;
	if (place->pointer) {
		_cleanup_free_ char *at = policy_place_text(b, place, NULL);

		return at ? json_fault_set(fault, "/scheduling", member, "one file can set it",
					   "is written at %s already", at) :
			    -ENOMEM;
	}
	*place = (struct policy_place){ b->source, json_pointer_join("/scheduling", member) };
	return place->pointer ? 1 : -ENOMEM;
}

/* Members that this file sets, as written, into the merged document. */
static int document_merge(struct policy_builder *b, const json_t *scheduling)
{
	json_t *merged = json_object_get(b->policy->document, "scheduling");

	if (merged)
		return json_object_update_missing(merged, (json_t *)scheduling) < 0 ? -ENOMEM : 0;
	return json_put(b->policy->document, "scheduling", json_copy((json_t *)scheduling));
}

int policy_read_scheduling(struct policy_builder *b, const json_t *scheduling, struct json_fault *fault)
{
	_cleanup_json_ json_t *rest = NULL;
	struct scheduling_fields f = { 0 };
	int r;

	r = unsupported_check(scheduling, "/scheduling", scheduling_unsupported, &rest, fault);
	if (r < 0)
		return r;
	r = json_fields_decode(rest, "/scheduling", scheduling_fields, &f, fault);
	if (r < 0)
		return r;
	r = claim(b, scheduling, "quantum_by_weight", &b->quantum_by_weight, fault);
	if (r < 0)
		return r;
	if (r > 0)
		b->policy->scheduling.quantum_by_weight = f.quantum_by_weight;
	return document_merge(b, scheduling);
}
