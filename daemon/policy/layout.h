/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A layout: what each VF of one GPU shall get.  Made from a policy layout and its profiles, or from a
 * manual `apply --vfs 4 --vram 3GiB`; what it means in numbers on a card, and whether the card can have
 * it, is said by partition/ before anything is written. */
#pragma once

#include "policy/policy.h"

struct layout_vf {
	char *profile; /* NULL = none named */
	struct vf_shape shape;
};

struct layout {
	char *name; /* of the policy layout; NULL = manual */
	struct layout_vf *vfs;
	size_t n_vfs; /* 0 = no VFs wanted */
	/* What the VFs leave open is taken from the table of the device, by their number (partition/). */
	bool defaults;
	enum scheduler_preset scheduler; /* the same for time slices */
};

/* n_vfs VFs that leave everything to the driver.  Returns new; name NULL = manual. */
struct layout *layout_new(const char *name, size_t n_vfs);
struct layout *layout_copy(const struct layout *l); /* returns new, NULL = no memory */
struct layout *layout_free(struct layout *l);
DEFINE_CLEANUP(struct layout *, layout_free);

/* From the policy.  -EINVAL cannot happen for a loaded policy. */
int layout_from_policy(const struct policy *p, const struct policy_layout *from,
		       struct layout **ret);

/* layout-document.c: from an API document: "NAME" of a layout, or {"vfs": N, "profile": NAME?, and the
 * members of a profile beside it: "vram", "ggtt", "contexts", "doorbells", "exec_quantum",
 * "preempt_timeout", "priority"}, or {"slices": [{profile, count}]}; both objects take "defaults" and
 * "scheduler".  Refusals name the field. */
int layout_from_json(const struct policy *p, const json_t *json, struct layout **ret,
		     struct json_fault *ret_fault);

/* The exact form that is stored and shown: {"name", "vfs": [{profile, vram, ggtt, …}], "defaults",
 * "scheduler"}; reads back by layout_load(), which also takes what earlier versions stored. */
json_t *layout_to_json(const struct layout *l);
int layout_load(const json_t *json, struct layout **ret);
bool layout_equal(const struct layout *a, const struct layout *b);
