/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sections that say how cards are cut: profiles, layouts, gpus. */
#include "policy/policy-build.h"

#include <ctype.h>
#include <stdio.h>

#define FIELD(type, member, kind, ...)                                                             \
	{ #member, kind, offsetof(struct type, member), __VA_ARGS__ }

struct profile_fields {
	char *name;
	struct vf_shape_fields shape;
	char *description;
};

static const struct json_field profile_fields[] = {
	FIELD(profile_fields, name, JSON_FIELD_STRING, .required = true,
	      .max_length = POLICY_NAME_MAX, .summary = POLICY_NAME_HINT),
	VF_SHAPE_FIELDS(profile_fields, shape),
	FIELD(profile_fields, description, JSON_FIELD_STRING),
	{ "$schema", JSON_FIELD_IGNORED },
	{ NULL },
};

int policy_read_profile(struct policy_builder *b, const json_t *item, const char *pointer,
			void *out, struct json_fault *fault)
{
	struct profile_fields f = { .shape = VF_SHAPE_FIELDS_INIT };
	struct policy_profile *profile = out;
	int r;

	r = json_fields_decode(item, pointer, profile_fields, &f, fault);
	if (r < 0)
		return r;

	profile->name = TAKE_PTR(f.name);
	profile->description = TAKE_PTR(f.description);
	r = policy_check_name(profile->name, pointer, "name", fault);
	return r < 0 ? r : vf_shape_from_fields(&f.shape, pointer, &profile->shape, fault);
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
				      "a card without a rule is left alone; a layout of \"vfs\": 0 takes its VFs away",
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
	uint64_t vfs;
	bool defaults;
	int scheduler;
};

#define VFS_ABSENT UINT64_MAX

static const struct json_field layout_fields[] = {
	FIELD(layout_fields, name, JSON_FIELD_STRING, .required = true,
	      .max_length = POLICY_NAME_MAX, .summary = POLICY_NAME_HINT),
	FIELD(layout_fields, slices, JSON_FIELD_ARRAY,
	      .summary = "[{\"profile\": NAME, \"count\": N}]"),
	FIELD(layout_fields, vfs, JSON_FIELD_UINT, .max = POLICY_VFS_MAX,
	      .summary = "how many VFs that leave everything open, instead of slices"),
	POLICY_DEFAULTS_FIELDS(layout_fields),
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

/* One slice without a profile; no VFs are no slice. */
static int read_count(uint64_t vfs, struct policy_layout *layout)
{
	if (vfs == 0)
		return 0;
	layout->slices = calloc(1, sizeof(*layout->slices));
	if (!layout->slices)
		return -ENOMEM;
	layout->slices[0].count = (unsigned)vfs;
	layout->n_slices = 1;
	return 0;
}

static int check_layout(const struct layout_fields *f, const char *pointer, struct json_fault *fault)
{
	if (!f->slices == (f->vfs == VFS_ABSENT))
		return json_fault_set(fault, pointer, NULL,
				      "\"slices\": [{profile, count}], or \"vfs\": 4",
				      "must have either \"slices\" or \"vfs\"");
	if (f->vfs == 0 && (f->defaults || f->scheduler))
		return json_fault_set(fault, pointer, "vfs", "leave defaults and scheduler out",
				      "is 0: there is nothing that could have values");
	return 0;
}

int policy_read_layout(struct policy_builder *b, const json_t *item, const char *pointer, void *out,
		       struct json_fault *fault)
{
	_cleanup_free_ char *inner = xasprintf("%s/slices", pointer);
	struct layout_fields f = { .vfs = VFS_ABSENT };
	_cleanup_json_ json_t *slices = NULL;
	struct policy_layout *layout = out;
	int r;

	if (!inner)
		return -ENOMEM;
	r = json_fields_decode(item, pointer, layout_fields, &f, fault);
	if (r < 0)
		return r;

	layout->name = f.name;
	layout->defaults = f.defaults;
	layout->scheduler = (enum scheduler_preset)f.scheduler;
	slices = f.slices;
	r = policy_check_name(layout->name, pointer, "name", fault);
	if (r == 0)
		r = check_layout(&f, pointer, fault);
	if (r < 0)
		return r;
	return slices ? policy_read_slices(slices, inner, layout, fault) : read_count(f.vfs, layout);
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

const char *const vf_reuse_names[VF_REUSE_MAX] = {
	[VF_REUSE_ANY] = "any",
	[VF_REUSE_SAME_USER] = "same-user",
	[VF_REUSE_SCRUBBED] = "scrubbed",
};
DEFINE_ENUM_TABLE(vf_reuse, enum vf_reuse, VF_REUSE_MAX);

struct gpu_rule_fields {
	json_t *match, *layout;
	bool heal;
	int reuse;
};

static const struct json_field gpu_rule_fields[] = {
	FIELD(gpu_rule_fields, match, JSON_FIELD_OBJECT, .required = true,
	      .summary = "{} matches every card; members: model, device_id, address, driver, "
			 "numa_node"),
	FIELD(gpu_rule_fields, layout, JSON_FIELD_ANY, .required = true,
	      .summary = "name of a layout, or an array of slices"),
	FIELD(gpu_rule_fields, heal, JSON_FIELD_BOOL,
	      .summary = "true: drift is mended without being asked"),
	FIELD(gpu_rule_fields, reuse, JSON_FIELD_ENUM, .names = vf_reuse_names, .names_max = VF_REUSE_MAX,
	      .summary = "same-user: a VF that somebody had is given to nobody else before the next re-cut; scrubbed: "
			 "nor before its memory was cleared, where a way to do so is there"),
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
	rule->reuse = (enum vf_reuse)f.reuse;
	rule->heal_said = json_is_boolean(json_object_get(rest, "heal"));

	rule->label = policy_label(b, pointer);
	if (!rule->label)
		return -ENOMEM;
	r = read_match(match, pointer, rule, fault);
	return r < 0 ? r : read_rule_layout(layout, pointer, rule, fault);
}
