/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layout → ordered steps, pure: no I/O.  Each step is one host request.  The order is that of the
 * reference: autoprobe off, to 0, automatic provisioning restored, quotas before the enable, enable,
 * scheduling values after it, every value read back.  The way back from a failure is a plan, too. */
#pragma once

#include "host/host-ops.h"
#include "lib/jsonrpc.h"
#include "policy/layout.h"

struct partition_step {
	struct host_request request;
	char *text;	     /* "write 4 to sriov_numvfs (now 0)" */
	const char *file;    /* "sriov_numvfs": the attribute that is written, a constant */
	struct known before; /* what it shows now; unknown where nothing tells, or there is no VF yet */
	bool expect;	     /* the answer's value is compared … */
	uint64_t at_least;   /* … and must be ≥ this (values are rounded up) */
	uint64_t exactly;    /* … or equal to this, when at_least is 0 */
	bool optional;	     /* failing is a warning: what it is for is reached without it */
};

struct partition_plan {
	struct partition_step *steps;
	size_t n_steps;
	char **notes; /* what the reader should know: what is left to the driver, what was computed */
	size_t n_notes;
	bool removes_vfs; /* a write to sriov_numvfs takes VFs away: nobody may hold one */
	char hash[33];	  /* of facts, layout and steps: apply --plan HASH compares */
};

struct partition_plan *partition_plan_free(struct partition_plan *p);
DEFINE_CLEANUP(struct partition_plan *, partition_plan_free);

/* {"text", "attribute", "vf" (null = the card), "tile" (null = all), "before" (null = unknown),
 * "after"}; a priority is its word.  Returns new. */
json_t *partition_step_to_json(const struct partition_step *step);

/* Checks the layout against what the card has; every refusal names the field and what would do.
 * Returns 0, or -ECANCELED with error set.  A layout that the card shows already gives a plan of no steps. */
int partition_plan_make(const struct gpu_facts *gpu, const struct layout *layout,
			struct partition_plan **ret, struct rpc_error *ret_error);

/* The way back after a failed or cancelled plan.
 *
 * now: what the card shows after the failure, read again.  before: what it showed when the plan was
 * made, by partition_present().  done: the first n_done steps of forward took; the one after them, if
 * there is one, failed and may have taken.  After a crash, when nobody knows: n_done = n_steps.
 *
 * The plan takes away VFs that came up, gives back quotas that were written for them (by restoring
 * automatic provisioning where the card shows that it is off, or where any quota turns it off; else one by
 * one), makes the layout before again, and puts autoprobe back where no VF was there before.  Run its steps
 * in order; a step that is not optional and fails means that the card is in neither layout.  Afterwards
 * partition_matches() with `before` decides.  Returns 0, or -ECANCELED with the error set: the layout before
 * can no longer be had. */
int partition_undo_make(const struct gpu_facts *now, const struct layout *before,
			const struct partition_plan *forward, size_t n_done,
			struct partition_plan **ret, struct rpc_error *ret_error);

/* True when the kernel shows what the layout wants; otherwise *ret_why (new, may be NULL) says the
 * first difference.  Values that a driver rounds up are the same within one grain for each tile; a share
 * is met within 1/32 of itself, because what it is a share of moves with what the PF uses. */
bool partition_matches(const struct gpu_facts *gpu, const struct layout *layout, char **ret_why);

/* What the card shows, as a layout that gives the same when it is applied: quotas in bytes where they
 * were set by hand or nobody can tell, nothing where the driver shares by itself.  Returns new, NULL = no
 * memory. */
struct layout *partition_present(const struct gpu_facts *gpu);

/* How many VFs of a shape there are and could be. Unknown where nothing tells. */
struct partition_fits {
	struct known free_now;	  /* free VFs that have at least what the shape wants */
	struct known after_recut; /* if the card were cut for this shape alone, with nobody on it */
};

/* vf_is_free has gpu->n_vfs entries. */
struct partition_fits partition_fits(const struct gpu_facts *gpu, const struct vf_shape *shape,
				     const bool *vf_is_free);

/* What all VFs together can have of a hard resource: what is free now and what present VFs and quotas that
 * stand without a VF would give back.  Unknown where nothing tells. */
struct known partition_capacity(const struct gpu_facts *gpu, enum vf_attribute attribute);

/* Where VRAM's grain is unknown. */
#define PARTITION_VRAM_GRAIN (2 * MIB)
