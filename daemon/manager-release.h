/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What manager-release.c and manager-releasable.c share: one vf.release.  Nobody else includes this. */
#pragma once

#include "manager-state.h"

/* What it means is in the operation's input: `vfs`, those that are not over yet, `released`, those that are, and `leases`,
 * by name: under which lease each is held, for a name alone may be another's VF by the time that it is looked at. */
struct release {
	struct operation *op;
	bool force;
	bool resumed; /* an earlier daemon accepted it */
	enum lease_side side; /* of those that have both: the other stays */
	size_t left;
	size_t n;
	struct vf **vfs;
	json_t *lost; /* leases that wait, see waiting_leases(); NULL = none */
	json_t *kept; /* what is left, see release_add_kept() */
	struct rpc_error error;
};

/* ---- manager-releasable.c ---- */
/* The VFs that the call means, into r: one by name, or those of a VM.  0 found is no refusal.  ret_kept: one of those that
 * the policy's assignments keep with the VM, borrowed; left alone where there is none. */
int release_collect(struct manager *m, const struct vf_release_params *p, struct release *r, const struct vf **ret_kept,
		    struct rpc_error *error);
bool release_is_settled(const struct vf *vf); /* nothing is under way with it */
/* Taken out of its running guest, it would be gone from under a job. */
bool release_is_used(struct manager *m, const struct vf *vf, enum lease_side side);
/* Names the jobs, and what goes all the same: of the VM of first (only = NULL), or of one VF. */
int release_refuse_job(struct manager *m, const struct vf *first, const struct vf *only, enum lease_side side,
		       struct rpc_error *error);
int release_refuse_busy(const struct vf *vf, struct rpc_error *error);
/* For `left` of the answer.  A VF that somebody has all the same: its VM on the other side; or, anew, whoever was given it
 * after it had come back. */
void release_add_kept(json_t *kept, const struct vf *vf, bool anew);
/* … one that is not free now, since it is not there.  config: the VM's stored definition keeps it.  Borrows. */
void release_add_gone(json_t *kept, const char *name, const char *vm, bool config);
