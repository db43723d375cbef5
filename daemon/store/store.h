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

/* Opens STATE_DIR/state.db (made when there never was state, 0600), takes the lock that keeps a second daemon
 * off this state (-EBUSY), checks that it can be believed and brings the schema up to date.  Refused, and left as
 * it is: a damaged file (-EBADMSG), none or an empty one where there was state (-ENODATA), one that has lost its
 * last transactions (-ESTALE), a schema newer than ours (-EPROTONOSUPPORT), another program's (-EMEDIUMTYPE).
 * ret_message (new, on failure) says what and the way out.  A mailbox of its own delivers results: watch
 * store_fd(), call store_dispatch(). */
int store_open(const char *state_dir, struct store **ret, char **ret_message);
/* Writes what was submitted, then closes. */
struct store *store_free(struct store *s);
DEFINE_CLEANUP(struct store *, store_free);

/* Puts a copy in the place of state.db; what was there is moved aside to ret_kept (new, NULL = nothing was there).
 * The copy gets a row in STORE_META, "restored", for whoever loads it. */
int store_restore(const char *state_dir, const char *file, char **ret_kept, char **ret_message);

int store_fd(const struct store *s);
void store_dispatch(struct store *s);

/* Reads every row of a kind, in the order of ids, before the loop runs.  fn borrows doc; it returns 0, -EBADMSG
 * for a row that makes no sense, -EUCLEAN when only a part of it does not and the object will write it anew, or
 * another negative errno, which ends the reading.  A row that makes no sense, or is no JSON, is put aside: it leaves
 * the kind (with -EUCLEAN it does not) and is kept as it was found. */
typedef int (*store_row_fn)(void *userdata, const char *id, const json_t *doc);
int store_load(struct store *s, enum store_kind kind, store_row_fn fn, void *userdata);

/* The last id of a kind (new), NULL when it has no rows. */
int store_last_id(struct store *s, enum store_kind kind, char **ret);

/* What was put aside, now and by earlier daemons. */
typedef void (*store_aside_fn)(void *userdata, const char *kind, const char *id, const char *at, const char *why);
int store_aside(struct store *s, store_aside_fn fn, void *userdata);

struct store_batch *store_batch_new(void); /* NULL = no memory */
struct store_batch *store_batch_free(struct store_batch *b);
DEFINE_CLEANUP(struct store_batch *, store_batch_free);
int store_batch_put_text(struct store_batch *b, enum store_kind kind, const char *id,
			 char *text); /* takes text, a JSON document; NULL = no memory */
int store_batch_put(struct store_batch *b, enum store_kind kind, const char *id,
		    json_t *doc); /* takes doc: must not be changed by anyone afterwards */
int store_batch_delete(struct store_batch *b, enum store_kind kind, const char *id);
/* Deletes every row of the kind whose id sorts before this one (events, old requests). */
int store_batch_delete_before(struct store_batch *b, enum store_kind kind, const char *id);
/* Deletes some of the oldest rows of STORE_AUDIT whose time is before this one (RFC 3339, UTC); the next call
 * goes on.  A transaction stays short however many there are. */
int store_batch_prune(struct store_batch *b, const char *before);
bool store_batch_is_empty(const struct store_batch *b);

/* fn runs on the loop (in store_dispatch) with 0 after COMMIT returned, or with a negative errno (-ENOSPC,
 * -EIO, …) and a text when nothing was written.  Takes b. */
typedef void (*store_done_fn)(void *userdata, int r, const char *message);
int store_submit(struct store *s, struct store_batch *b, store_done_fn fn, void *userdata);

/* A question about STORE_AUDIT, answered after what was submitted before it is written.  Rows come in the order of
 * their ids, the newest first; or by their times, the oldest first, and then without `after`.  NULL = any. */
struct store_find {
	const char *after; /* the `next` of the answer before */
	const char *since, *until; /* times, RFC 3339 in UTC */
	const char *uid, *method, *subject;
	bool oldest_first;
	size_t limit;
};

/* rows is an array of documents (borrowed); next is where to go on, NULL = that was all.  There may be a next
 * although few rows or none were found: each answer looks at a bounded number. */
typedef void (*store_found_fn)(void *userdata, int r, const char *message, json_t *rows, const char *next);
int store_find(struct store *s, const struct store_find *what, store_found_fn fn, void *userdata);

/* Waits until all that was submitted is written and its callbacks ran: for the end of the daemon. */
void store_flush(struct store *s);

int store_schema_version(void);
