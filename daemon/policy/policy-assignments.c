/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The section "assignments": VFs that VMs shall have, with or without jobs. */
#include "policy/policy-build.h"

#include <ctype.h>

#define FIELD(type, member, kind, ...)                                                             \
	{ #member, kind, offsetof(struct type, member), __VA_ARGS__ }

const char *const assignment_mode_names[ASSIGNMENT_MODE_MAX] = {
	[ASSIGNMENT_LIVE] = "live",
	[ASSIGNMENT_CONFIG] = "config",
	[ASSIGNMENT_BOTH] = "both",
};
DEFINE_ENUM_TABLE(assignment_mode, enum assignment_mode, ASSIGNMENT_MODE_MAX);

struct assignment_fields {
	char *vm, *profile, *vf;
	uint64_t vram;
	int mode;
	bool shared;
};

static const struct json_field assignment_fields[] = {
	FIELD(assignment_fields, vm, JSON_FIELD_STRING, .required = true, .max_length = 255,
	      .summary = "a pattern of VM names, such as \"trainer-*\""),
	FIELD(assignment_fields, profile, JSON_FIELD_STRING, .max_length = POLICY_NAME_MAX,
	      .summary = "name of a profile"),
	FIELD(assignment_fields, vf, JSON_FIELD_STRING, .max_length = 64,
	      .summary = "\"gpu0/vf1\", or a PCI address"),
	FIELD(assignment_fields, vram, JSON_FIELD_SIZE, .min = 1,
	      .summary = "so much at least, such as \"4GiB\""),
	FIELD(assignment_fields, mode, JSON_FIELD_ENUM, .names = assignment_mode_names,
	      .names_max = ASSIGNMENT_MODE_MAX),
	FIELD(assignment_fields, shared, JSON_FIELD_BOOL,
	      .summary = "true: others may have the VF while the VM is off"),
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

static bool is_vf_name(const char *s)
{
	struct pci_address address;
	size_t digits;

	if (pci_address_parse(s, &address) == 0)
		return true;
	if (strncmp(s, "gpu", 3) != 0)
		return false;
	s += 3;
	digits = strspn(s, "0123456789");
	if (digits == 0 || strncmp(s + digits, "/vf", 3) != 0)
		return false;
	s += digits + 3;
	return *s >= '1' && *s <= '9' && s[strspn(s, "0123456789")] == '\0';
}

static bool is_pattern(const char *glob)
{
	return strpbrk(glob, "*?[") != NULL;
}

static int check(const struct policy_assignment *a, const struct assignment_fields *f, bool has_vram,
		 const char *pointer, struct json_fault *fault)
{
	int r = policy_check_glob(a->vm, pointer, "vm", fault);

	if (r < 0)
		return r;
	if ((a->profile != NULL) + (a->vf != NULL) + has_vram != 1)
		return json_fault_set(fault, pointer, NULL, "an assignment for each VF",
				      "must have one of \"profile\", \"vf\" and \"vram\"");
	if (a->vf && !is_vf_name(a->vf))
		return json_fault_set(fault, pointer, "vf", "such as \"gpu0/vf1\", or a PCI address",
				      "\"%.64s\" names no VF", a->vf);
	if (a->vf && is_pattern(a->vm))
		return json_fault_set(fault, pointer, "vf", "name one VM, or use profile or vram",
				      "several VMs (\"%.64s\") cannot have one VF", a->vm);
	if (f->shared && f->mode >= 0 && f->mode != ASSIGNMENT_LIVE)
		return json_fault_set(fault, pointer, "shared", "write \"mode\": \"live\"",
				      "a VF in a stored definition is nobody else's while its VM is off");
	return 0;
}

int policy_read_assignment(struct policy_builder *b, const json_t *item, const char *pointer, void *out,
			   struct json_fault *fault)
{
	struct assignment_fields f = { .mode = -1 };
	struct policy_assignment *a = out;
	const json_t *vram = json_object_get(item, "vram");
	int r;

	r = json_fields_decode(item, pointer, assignment_fields, &f, fault);
	if (r < 0)
		return r;

	a->vm = f.vm;
	a->profile = f.profile;
	a->vf = f.vf;
	a->vram_bytes = f.vram;
	a->mode = f.mode >= 0 ? (enum assignment_mode)f.mode :
		  f.shared    ? ASSIGNMENT_LIVE :
				ASSIGNMENT_BOTH;
	a->label = policy_label(b, pointer);
	if (!a->label)
		return -ENOMEM;
	return check(a, &f, vram && !json_is_null(vram), pointer, fault);
}

void policy_assignment_done(void *item)
{
	struct policy_assignment *a = item;

	free(a->label);
	free(a->vm);
	free(a->profile);
	free(a->vf);
}

/* One VF for two VMs, or twice for one. */
static int check_vf(struct policy_builder *b, size_t i)
{
	const struct policy_assignment *a = &b->policy->assignments[i];
	size_t k;

	for (k = 0; k < i && a->vf; k++) {
		const struct policy_assignment *other = &b->policy->assignments[k];
		_cleanup_free_ char *at = NULL;

		if (!streq_ptr(a->vf, other->vf))
			continue;
		at = policy_place_text(b, &b->places[POLICY_ASSIGNMENTS][k], "vf");
		return at ? policy_complain_text(b, &b->places[POLICY_ASSIGNMENTS][i], "vf",
						 "give one of the two another VF",
						 "%s is VM %s's already, at %s", a->vf, other->vm, at)
			  : -ENOMEM;
	}
	return 0;
}

int policy_check_assignments(struct policy_builder *b)
{
	size_t i;
	int r = 0;

	for (i = 0; i < b->policy->n_assignments && r == 0; i++) {
		const char *profile = b->policy->assignments[i].profile;

		r = check_vf(b, i);
		if (r == 0 && profile && !policy_find_profile(b->policy, profile))
			r = policy_complain_missing(b, &b->places[POLICY_ASSIGNMENTS][i], "profile",
						    POLICY_PROFILES, profile);
	}
	return r;
}
