/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sections that say how cards are cut: profiles, layouts, gpus. */
#include "policy/policy-build.h"

#include <ctype.h>
#include <stdio.h>

static const char *const profile_priority_names[] = { "low" };

struct profile_fields {
	char *name;
	struct amount vram;
	uint64_t exec_quantum, preempt_timeout;
	int priority;
	char *description;
};

#define FIELD(type, member, kind, ...)                                                             \
	{ #member, kind, offsetof(struct type, member), __VA_ARGS__ }

static const struct json_field profile_fields[] = {
	FIELD(profile_fields, name, JSON_FIELD_STRING, .required = true,
	      .max_length = POLICY_NAME_MAX, .summary = POLICY_NAME_HINT),
	FIELD(profile_fields, vram, JSON_FIELD_AMOUNT, .min = 1,
	      .summary = "a size, a share of what is free to VFs, or \"fair\""),
	FIELD(profile_fields, exec_quantum, JSON_FIELD_DURATION, .max = POLICY_TIMESLICE_MAX,
	      .summary = "whole milliseconds, 0ms = no limit"),
	FIELD(profile_fields, preempt_timeout, JSON_FIELD_DURATION, .max = POLICY_TIMESLICE_MAX,
	      .summary = "0us = no limit"),
	FIELD(profile_fields, priority, JSON_FIELD_ENUM, .names = profile_priority_names,
	      .names_max = ARRAY_SIZE(profile_priority_names),
	      .summary = "xe gives every VF \"low\" and lets nobody change a single one"),
	FIELD(profile_fields, description, JSON_FIELD_STRING),
	{ "$schema", JSON_FIELD_IGNORED },
	{ NULL },
};

int policy_check_quantum(uint64_t usec, const char *base, struct known *ret_ms,
			 struct json_fault *fault)
{
	if (usec == USEC_INFINITY)
		return 0;
	if (usec % USEC_PER_MSEC != 0)
		return json_fault_set(fault, base, "exec_quantum", "such as \"20ms\"",
				      "must be whole milliseconds");
	*ret_ms = (struct known){ true, usec / USEC_PER_MSEC };
	return 0;
}

int policy_read_profile(struct policy_builder *b, const json_t *item, const char *pointer,
			void *out, struct json_fault *fault)
{
	struct profile_fields f = { .exec_quantum = USEC_INFINITY,
				    .preempt_timeout = USEC_INFINITY,
				    .priority = -1 };
	struct policy_profile *profile = out;
	int r;

	r = json_fields_decode(item, pointer, profile_fields, &f, fault);
	if (r < 0)
		return r;

	profile->name = TAKE_PTR(f.name);
	profile->description = TAKE_PTR(f.description);
	profile->vram = f.vram;
	if (f.priority >= 0) {
		profile->priority = strdup(profile_priority_names[f.priority]);
		if (!profile->priority)
			return -ENOMEM;
	}
	if (f.preempt_timeout != USEC_INFINITY)
		profile->preempt_timeout_us = (struct known){ true, f.preempt_timeout };

	r = policy_check_name(profile->name, pointer, "name", fault);
	return r < 0 ? r : policy_check_quantum(f.exec_quantum, pointer, &profile->exec_quantum_ms,
						fault);
}

struct slice_fields {
	char *profile;
	uint64_t count;
};

static const struct json_field slice_fields[] = {
	FIELD(slice_fields, profile, JSON_FIELD_STRING, .required = true,
	      .max_length = POLICY_NAME_MAX, .summary = "name of a profile"),
	FIELD(slice_fields, count, JSON_FIELD_UINT, .required = true, .min = 1,
	      .max = POLICY_VFS_MAX, .summary = "how many VFs of this profile"),
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

static int read_slice(const json_t *item, const char *base, size_t i, struct policy_slice *out,
		      struct json_fault *fault)
{
	_cleanup_free_ char *pointer = xasprintf("%s/%zu", base, i);
	struct slice_fields f = { NULL };
	int r;

	if (!pointer)
		return -ENOMEM;
	r = json_fields_decode(item, pointer, slice_fields, &f, fault);
	if (r < 0)
		return r;

	out->profile = f.profile;
	out->count = (unsigned)f.count;
	return policy_check_name(out->profile, pointer, "profile", fault);
}

int policy_read_slices(const json_t *array, const char *pointer, struct policy_layout *out,
		       struct json_fault *fault)
{
	size_t n = json_array_size(array), i;
	uint64_t total = 0;
	int r;

	if (n == 0)
		return json_fault_set(fault, pointer, NULL,
				      "leave the card out of the policy to leave it uncut",
				      "must have at least one slice");

	out->slices = calloc(n, sizeof(*out->slices));
	if (!out->slices)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		out->n_slices = i + 1;
		r = read_slice(json_array_get(array, i), pointer, i, &out->slices[i], fault);
		if (r < 0)
			return r;
		total += out->slices[i].count;
	}
	if (total > POLICY_VFS_MAX)
		return json_fault_set(fault, pointer, NULL, "no GPU has more",
				      "adds up to %llu VFs, at most %d are possible",
				      (unsigned long long)total, POLICY_VFS_MAX);
	return 0;
}

struct layout_fields {
	char *name;
	json_t *slices;
};

static const struct json_field layout_fields[] = {
	FIELD(layout_fields, name, JSON_FIELD_STRING, .required = true,
	      .max_length = POLICY_NAME_MAX, .summary = POLICY_NAME_HINT),
	FIELD(layout_fields, slices, JSON_FIELD_ARRAY, .required = true,
	      .summary = "[{\"profile\": NAME, \"count\": N}]"),
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

int policy_read_layout(struct policy_builder *b, const json_t *item, const char *pointer, void *out,
		       struct json_fault *fault)
{
	_cleanup_free_ char *inner = xasprintf("%s/slices", pointer);
	_cleanup_json_ json_t *slices = NULL;
	struct policy_layout *layout = out;
	struct layout_fields f = { NULL };
	int r;

	if (!inner)
		return -ENOMEM;
	r = json_fields_decode(item, pointer, layout_fields, &f, fault);
	if (r < 0)
		return r;

	layout->name = f.name;
	slices = f.slices;
	r = policy_check_name(layout->name, pointer, "name", fault);
	return r < 0 ? r : policy_read_slices(slices, inner, layout, fault);
}

struct match_fields {
	char *model, *device_id, *address, *driver;
	int64_t numa_node;
};

static const struct json_field match_fields[] = {
	FIELD(match_fields, model, JSON_FIELD_STRING, .max_length = 255,
	      .summary = "a pattern such as \"*Flex 170*\""),
	FIELD(match_fields, device_id, JSON_FIELD_STRING, .max_length = 6,
	      .summary = "four hex digits, such as \"56c0\""),
	FIELD(match_fields, address, JSON_FIELD_STRING, .max_length = 15,
	      .summary = "a PCI address, such as \"0000:03:00.0\""),
	FIELD(match_fields, driver, JSON_FIELD_STRING, .max_length = 64,
	      .summary = "\"xe\", \"i915\""),
	FIELD(match_fields, numa_node, JSON_FIELD_INT, .min = 0, .max = 1023),
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

/* "56c0" or "0x56c0".  0 is no device. */
static int device_id_parse(const char *s, unsigned *ret)
{
	size_t i;

	if (s[0] == '0' && s[1] == 'x')
		s += 2;
	for (i = 0; s[i]; i++)
		if (!isxdigit((unsigned char)s[i]))
			return -EINVAL;
	if (i != 4)
		return -EINVAL;
	*ret = (unsigned)strtoul(s, NULL, 16);
	return *ret == 0 ? -EINVAL : 0;
}

static int check_match(const struct match_fields *f, const char *base, struct policy_gpu_rule *rule,
		       struct json_fault *fault)
{
	int r = 0;

	if (f->device_id && device_id_parse(f->device_id, &rule->device_id) < 0)
		return json_fault_set(fault, base, "device_id", "four hex digits, such as \"56c0\"",
				      "\"%s\" is not a PCI device id", f->device_id);
	if (f->address && pci_address_parse(f->address, &rule->address) < 0)
		return json_fault_set(fault, base, "address", "such as \"0000:03:00.0\"",
				      "\"%s\" is not a PCI address", f->address);
	if (f->model)
		r = policy_check_glob(f->model, base, "model", fault);
	if (r == 0 && f->driver)
		r = policy_check_glob(f->driver, base, "driver", fault);

	rule->has_address = f->address != NULL;
	rule->has_numa_node = f->numa_node >= 0;
	rule->numa_node = (int)f->numa_node;
	return r;
}

static int read_match(const json_t *match, const char *pointer, struct policy_gpu_rule *rule,
		      struct json_fault *fault)
{
	_cleanup_free_ char *base = xasprintf("%s/match", pointer);
	struct match_fields f = { .numa_node = -1 };
	int r;

	if (!base)
		return -ENOMEM;
	r = json_fields_decode(match, base, match_fields, &f, fault);
	if (r < 0)
		return r;

	r = check_match(&f, base, rule, fault);
	rule->model = TAKE_PTR(f.model);
	rule->driver = TAKE_PTR(f.driver);
	json_fields_done(match_fields, &f);
	return r;
}

static int read_rule_layout(const json_t *layout, const char *pointer, struct policy_gpu_rule *rule,
			    struct json_fault *fault)
{
	_cleanup_free_ char *base = xasprintf("%s/layout", pointer);

	rule->layout = calloc(1, sizeof(*rule->layout));
	if (!base || !rule->layout)
		return -ENOMEM;

	if (json_is_array(layout))
		return policy_read_slices(layout, base, rule->layout, fault);
	if (!json_is_string(layout))
		return json_fault_set(fault, pointer, "layout",
				      "write \"NAME\" or [{profile, count}]",
				      "must be the name of a layout or an array of slices");

	rule->layout->name = strdup(json_string_value(layout));
	if (!rule->layout->name)
		return -ENOMEM;
	return policy_check_name(rule->layout->name, pointer, "layout", fault);
}

struct gpu_rule_fields {
	json_t *match, *layout;
	bool heal;
};

static const struct json_field gpu_rule_fields[] = {
	FIELD(gpu_rule_fields, match, JSON_FIELD_OBJECT, .required = true,
	      .summary = "{} matches every card; members: model, device_id, address, driver, "
			 "numa_node"),
	FIELD(gpu_rule_fields, layout, JSON_FIELD_ANY, .required = true,
	      .summary = "name of a layout, or an array of slices"),
	FIELD(gpu_rule_fields, heal, JSON_FIELD_BOOL,
	      .summary = "true: drift is mended without being asked"),
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

static const struct unsupported gpu_rule_unsupported[] = {
	{ "recut", NULL, "cards are cut again by `gpuvf apply` only" },
	{ NULL },
};

int policy_read_gpu_rule(struct policy_builder *b, const json_t *item, const char *pointer,
			 void *out, struct json_fault *fault)
{
	_cleanup_json_ json_t *rest = NULL, *match = NULL, *layout = NULL;
	struct gpu_rule_fields f = { NULL };
	struct policy_gpu_rule *rule = out;
	int r;

	r = unsupported_check(item, pointer, gpu_rule_unsupported, &rest, fault);
	if (r < 0)
		return r;
	r = json_fields_decode(rest, pointer, gpu_rule_fields, &f, fault);
	if (r < 0)
		return r;
	match = f.match;
	layout = f.layout;
	rule->heal = f.heal;

	rule->label = policy_label(b, pointer);
	if (!rule->label)
		return -ENOMEM;
	r = read_match(match, pointer, rule, fault);
	return r < 0 ? r : read_rule_layout(layout, pointer, rule, fault);
}
