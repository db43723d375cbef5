/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A layout in numbers: what each VF of one GPU shall get.  Made from a policy layout and its
 * profiles, or from a manual `apply --vfs 4 --vram 3GiB`; checked by partition/ before anything is
 * written. */
#pragma once

#include "policy/policy.h"

struct layout_vf {
	char *profile;		     /* NULL = none named */
	struct amount vram;	     /* AMOUNT_UNSET / AMOUNT_FAIR: the driver shares equally */
	struct known exec_quantum_ms;
	struct known preempt_timeout_us;
};

struct layout {
	char *name; /* of the policy layout; NULL = manual */
	struct layout_vf *vfs;
	size_t n_vfs; /* 0 = no VFs wanted */
};

struct layout *layout_free(struct layout *l);
DEFINE_CLEANUP(struct layout *, layout_free);

/* From the policy.  -EINVAL cannot happen for a loaded policy. */
int layout_from_policy(const struct policy *p, const struct policy_layout *from,
		       struct layout **ret);

/* From an API document: "NAME" of a layout, or {"vfs": N, "vram": AMOUNT?, "profile": NAME?,
 * "exec_quantum": D?, "preempt_timeout": D?}, or {"slices": [{profile, count}]}.  Refusals name the
 * field. */
int layout_from_json(const struct policy *p, const json_t *json, struct layout **ret,
		     struct json_fault *ret_fault);

/* The exact form that is stored and shown: {"name", "vfs": [{profile, vram, exec_quantum_ms, …}]};
 * reads back by layout_load(). */
json_t *layout_to_json(const struct layout *l);
int layout_load(const json_t *json, struct layout **ret);
bool layout_equal(const struct layout *a, const struct layout *b);
