/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must survive: SQLite in a thread of its own.
 *
 * Rows are documents: (kind, id, JSON).  The loop puts rows into a batch and submits it; the thread writes
 * it in one transaction and its fate comes back on the loop.  Nothing of a failed batch is kept.
 * The store does not know what the documents mean. */
#pragma once

#include "lib/json.h"

enum store_kind {
	STORE_META,	 /* counters, names: id = key */
	STORE_GPU,	 /* id = gpuN: address, serial, wanted layout, who */
	STORE_LEASE,	 /* id = PF address/index: epoch, holder */
	STORE_JOB,	 /* id = job id */
	STORE_OPERATION, /* id = op/N */
	STORE_REQUEST,	 /* id = uid/request_id: first answer */
	STORE_EVENT,	 /* id = seq, zero-padded */
	STORE_AUDIT,
	STORE_KIND_MAX,
};

struct store;
struct store_batch;

/* Opens STATE_DIR/state.db (made when missing, 0600), takes the lock that keeps a second daemon off this
 * state (-EBUSY), checks integrity and brings the schema up to date.  A schema newer than ours is
 * refused (-EPROTONOSUPPORT).  ret_message (new, on failure) says what and the way out.  A mailbox of
 * its own delivers results: watch store_fd(), call store_dispatch(). */
int store_open(const char *state_dir, struct store **ret, char **ret_message);
/* Writes what was submitted, then closes. */
struct store *store_free(struct store *s);
DEFINE_CLEANUP(struct store *, store_free);

int store_fd(const struct store *s);
void store_dispatch(struct store *s);

/* Reads every row of a kind, in the order of ids, before the loop runs.  fn borrows doc; it returns 0 or a
 * negative errno, which ends the reading. */
typedef int (*store_row_fn)(void *userdata, const char *id, const json_t *doc);
int store_load(struct store *s, enum store_kind kind, store_row_fn fn, void *userdata);

struct store_batch *store_batch_new(void); /* NULL = no memory */
struct store_batch *store_batch_free(struct store_batch *b);
DEFINE_CLEANUP(struct store_batch *, store_batch_free);
int store_batch_put(struct store_batch *b, enum store_kind kind, const char *id,
		    json_t *doc); /* takes doc: must not be changed by anyone afterwards */
int store_batch_delete(struct store_batch *b, enum store_kind kind, const char *id);
/* Deletes every row of the kind whose id sorts before this one (events, old requests). */
int store_batch_delete_before(struct store_batch *b, enum store_kind kind, const char *id);
bool store_batch_is_empty(const struct store_batch *b);

/* fn runs on the loop (in store_dispatch) with 0 after COMMIT returned, or with a negative errno (-ENOSPC,
 * -EIO, …) and a text when nothing was written.  Takes b. */
typedef void (*store_done_fn)(void *userdata, int r, const char *message);
int store_submit(struct store *s, struct store_batch *b, store_done_fn fn, void *userdata);

/* Waits until all that was submitted is written and its callbacks ran: for the end of the daemon. */
void store_flush(struct store *s);

int store_schema_version(void);
