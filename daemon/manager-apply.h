/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What manager-apply.c and manager-undo.c share: one apply under way.  Nobody else includes this. */
#pragma once

#include "manager-state.h"

enum apply_phase { APPLY_LISTING, APPLY_FORWARD, APPLY_CHECKING, APPLY_UNDO_READ, APPLY_UNDO, APPLY_UNDO_CHECK };

struct apply {
	struct manager *m;
	struct gpu *gpu;
	struct operation *op;
	enum apply_phase phase;
	struct layout *target;
	struct layout *before; /* what the kernel showed when it was accepted: an undo leads there */
	struct partition_plan *plan; /* NULL: not made yet, or an earlier daemon's */
	struct partition_plan *undo;
	size_t step;	/* of the one that runs */
	size_t written; /* steps of the plan that were done */
	struct rpc_error error; /* the first cause; the undo's own goes to the reason */
	char *undo_failure; /* why the way back failed */
	enum { BEGUN_UNKNOWN, BEGUN_STORED, BEGUN_NOT_STORED } begun; /* whether its row says so */
	bool waits; /* … for that, with its first step */
	bool resumed; /* an earlier daemon had begun it */
	bool touched; /* it may have written: this daemon, or an earlier one */
	bool hanging; /* an access does not return: it goes on when it does */
};

/* Asks the apply's GPU; fn runs with an error when that cannot be asked. */
int apply_ask(struct apply *a, const struct host_request *request, host_reply_fn fn);
/* False when the card is gone, or another one is in its place. */
bool apply_update_facts(struct apply *a, const struct host_reply *reply);
void apply_step_done(struct apply *a, const struct partition_step *step, const struct host_reply *reply);
/* Begins the way back; a->error has the cause. */
void apply_undo(struct apply *a);

/* Ends: each of these frees a. */
void apply_failed(struct apply *a, const char *wedged); /* wedged: why nothing is left to try, or NULL */
void apply_gone(struct apply *a);
/* Does not end: it goes on when the access returns. */
void apply_hangs(struct apply *a, const char *what, const struct host_reply *reply);
