/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layout → ordered steps, pure: no I/O.  Each step is one host request; the way back from a failure
 * is a plan to the layout before, made from what the card shows then.  The order is that of the
 * reference: autoprobe off, to 0, quotas before the enable, enable, scheduling values after it,
 * every value read back. */
#pragma once

#include "host/host-ops.h"
#include "lib/jsonrpc.h"
#include "policy/layout.h"

struct partition_step {
	struct host_request request; /* attribute points to a constant */
	char *text;		     /* "write 4 to sriov_numvfs (now 0)" */
	bool expect;		     /* the answer's value is compared … */
	uint64_t at_least;	     /* … and must be ≥ this (values are rounded up) */
	uint64_t exactly;	     /* … or equal to this, when at_least is 0 */
	bool optional;		     /* failing is a warning (a value the driver does not offer) */
};

struct partition_plan {
	struct partition_step *steps;
	size_t n_steps;
	bool removes_vfs; /* a write to sriov_numvfs takes VFs away: nobody may hold one */
	char hash[33];	  /* of facts and layout: apply --plan HASH compares */
};

struct partition_plan *partition_plan_free(struct partition_plan *p);
DEFINE_CLEANUP(struct partition_plan *, partition_plan_free);

/* Checks the layout against what the card has; every refusal says the number that would fit.
 * Returns 0, or -ECANCELED with error set. An equal layout gives a plan of no steps. */
int partition_plan_make(const struct gpu_facts *gpu, const struct layout *layout,
			struct partition_plan **ret, struct rpc_error *ret_error);

/* True when the kernel shows what the layout wants; otherwise *ret_why (new, may be NULL) says the
 * first difference. */
bool partition_matches(const struct gpu_facts *gpu, const struct layout *layout, char **ret_why);

/* What the card shows now, as far as the way in use lets it be set again.  Returns new; NULL = no
 * memory. */
struct layout *partition_present(const struct gpu_facts *gpu);

/* VRAM is given in pieces of this size (per tile). */
#define PARTITION_VRAM_GRAIN (2 * MIB)

/* VRAM that all VFs together can have: what is free now and what the present VFs would give back.
 * Unknown where nothing tells. */
struct known partition_capacity(const struct gpu_facts *gpu);

/* VRAM bytes that layout_vf asks of this GPU, in whole grains: a size is rounded up, a share down;
 * 0 = left to the driver's equal share, or a share of an unknown amount. */
uint64_t partition_vram(const struct gpu_facts *gpu, const struct layout_vf *vf);
