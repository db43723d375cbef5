/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store's thread.  The loop submits batches, the thread writes everything that waits as one
 * transaction and hands the batches back with their fate; the loop runs their callbacks.
 *
 * Batches are committed in the order in which they were submitted.  When a group fails, all of it
 * fails: a later batch may build on an earlier one of the same group.
 *
 * Both queues are chains of the batches themselves, so that reporting a fate needs no memory. */
#include "store/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "log/log.h"
#include "store/store-internal.h"

/* Rows of one transaction: enough that a burst of submissions shares one fsync, few enough that
 * the first of them is not kept waiting. */
#define GROUP_ROWS_MAX 4096

struct batch_queue {
	struct store_batch *first, *last;
};

struct store {
	int lock_fd;
	int event_fd;
	struct store_file file;
	struct store_statements statements;
	pthread_mutex_t db_lock; /* held while a group is written and while rows are loaded */

	pthread_t thread;
	bool has_thread;

	pthread_mutex_t lock; /* all below */
	pthread_cond_t submitted, finished;
	struct batch_queue waiting, done;
	size_t n_unfinished; /* submitted, not yet in done */
	bool stop;
};

static void queue_push(struct batch_queue *q, struct store_batch *b)
{
	b->next = NULL;
	if (q->last)
		q->last->next = b;
	else
		q->first = b;
	q->last = b;
}

static struct store_batch *queue_pop(struct batch_queue *q)
{
	struct store_batch *b = q->first;

	if (b) {
		q->first = b->next;
		if (!q->first)
			q->last = NULL;
		b->next = NULL;
	}
	return b;
}

/* ---- on the thread ---- */

static int write_group(struct store *s, const struct batch_queue *group)
{
	const struct store_batch *b;
	int code;

	code = sqlite3_exec(s->file.db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	for (b = group->first; b && code == SQLITE_OK; b = b->next)
		code = store_batch_write(s->file.db, &s->statements, b);
	if (code == SQLITE_OK)
		code = store_count_commit(s->file.db, &s->statements);
	if (code == SQLITE_OK)
		code = sqlite3_exec(s->file.db, "COMMIT", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		store_mark_set(s->file.mark_fd, ++s->file.commits);
	return code;
}

static void commit_group(struct store *s, struct batch_queue *group)
{
	_cleanup_free_ char *message = NULL;
	struct store_batch *b;
	int code, r;

	pthread_mutex_lock(&s->db_lock);
	code = write_group(s, group);
	r = store_errno(s->file.db, code);
	if (r < 0) {
		message = xasprintf("cannot write the state: %s", sqlite3_errmsg(s->file.db));
		/* Some failures have rolled back already. */
		if (!sqlite3_get_autocommit(s->file.db))
			(void)sqlite3_exec(s->file.db, "ROLLBACK", NULL, NULL, NULL);
	}
	pthread_mutex_unlock(&s->db_lock);

	if (r < 0)
		log_ratelimited(LOG_ERR, r, NULL, NULL, "%s", strempty(message));
	for (b = group->first; b; b = b->next) {
		b->r = r;
		b->message = message ? strdup(message) : NULL;
		store_batch_forget_rows(b); /* here, where nobody waits */
	}
}

static void answer_query(struct store *s, struct store_batch *b)
{
	pthread_mutex_lock(&s->db_lock);
	b->r = store_query_run(s->file.db, b->query, &b->message);
	pthread_mutex_unlock(&s->db_lock);
}

/* Takes what waits, up to the cap; a question comes alone.  Called with the lock held. */
static size_t take_group(struct store *s, struct batch_queue *ret)
{
	size_t rows = 0, n = 0;

	while (s->waiting.first && (n == 0 || rows + s->waiting.first->n_rows <= GROUP_ROWS_MAX)) {
		struct store_batch *b;

		if (n > 0 && s->waiting.first->query)
			break;
		b = queue_pop(&s->waiting);
		rows += b->n_rows;
		queue_push(ret, b);
		n++;
		if (b->query)
			break;
	}
	return n;
}

static void wake_loop(struct store *s)
{
	uint64_t one = 1;
	ssize_t n = write(s->event_fd, &one, sizeof(one));

	(void)n; /* a full counter wakes it just as well */
}

static void *store_thread(void *userdata)
{
	struct store *s = userdata;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct batch_queue group = { 0 };
		struct store_batch *b;
		size_t n;

		while (!s->waiting.first && !s->stop)
			pthread_cond_wait(&s->submitted, &s->lock);
		n = take_group(s, &group);
		if (n == 0)
			break; /* told to stop, and all is written */
		pthread_mutex_unlock(&s->lock);

		if (group.first->query)
			answer_query(s, group.first);
		else
			commit_group(s, &group);

		pthread_mutex_lock(&s->lock);
		while ((b = queue_pop(&group)))
			queue_push(&s->done, b);
		s->n_unfinished -= n;
		pthread_cond_broadcast(&s->finished);
		wake_loop(s);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- on the loop ---- */

/* The thread takes no signals: they belong to the loop. */
static int start_thread(struct store *s)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&s->thread, NULL, store_thread, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->has_thread = r == 0;
	return -r;
}

int store_open(const char *state_dir, struct store **ret, char **ret_message)
{
	_cleanup_(store_freep) struct store *s = NULL;
	int r;

	*ret_message = NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->lock_fd = s->event_fd = s->file.mark_fd = -1;
	pthread_mutex_init(&s->db_lock, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->submitted, NULL);
	pthread_cond_init(&s->finished, NULL);

	r = store_lock(state_dir, &s->lock_fd, ret_message);
	if (r < 0)
		return r;
	r = store_file_open(state_dir, &s->file, ret_message);
	if (r < 0)
		return r;
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->event_fd < 0)
		return store_refuse(ret_message, -errno, "cannot make an eventfd: %m");
	r = start_thread(s);
	if (r < 0)
		return store_refuse(ret_message, r, "cannot start the store's thread: %s",
				    strerror(-r));

	*ret = TAKE_PTR(s);
	return 0;
}

struct store *store_free(struct store *s)
{
	struct store_batch *b;

	if (!s)
		return NULL;

	if (s->has_thread) {
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_cond_signal(&s->submitted);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
	}
	while ((b = queue_pop(&s->done)))
		store_batch_free(b);
	store_statements_done(&s->statements);
	sqlite3_close(s->file.db);
	safe_close(s->file.mark_fd);
	safe_close(s->event_fd);
	safe_close(s->lock_fd); /* last: until here the state is ours */
	pthread_cond_destroy(&s->finished);
	pthread_cond_destroy(&s->submitted);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->db_lock);
	free(s);
	return NULL;
}

int store_fd(const struct store *s)
{
	return s->event_fd;
}

sqlite3 *store_database(struct store *s)
{
	return s->file.db;
}

static void tell_found(struct store_batch *b)
{
	_cleanup_free_ char *next = NULL;
	_cleanup_json_ json_t *rows = store_query_take(b->query, &next);

	b->found(b->userdata, b->r, b->message, rows, next);
}

void store_dispatch(struct store *s)
{
	struct batch_queue done;
	struct store_batch *b;
	uint64_t count;
	ssize_t n;

	n = read(s->event_fd, &count, sizeof(count));
	(void)n; /* nothing to read: then there is nothing done, or it was seen already */

	pthread_mutex_lock(&s->lock);
	done = s->done;
	s->done = (struct batch_queue){ 0 };
	pthread_mutex_unlock(&s->lock);

	while ((b = queue_pop(&done))) {
		if (b->query)
			tell_found(b);
		else if (b->fn)
			b->fn(b->userdata, b->r, b->message);
		store_batch_free(b);
	}
}

static void enqueue(struct store *s, struct store_batch *b)
{
	pthread_mutex_lock(&s->lock);
	queue_push(&s->waiting, b);
	s->n_unfinished++;
	pthread_cond_signal(&s->submitted);
	pthread_mutex_unlock(&s->lock);
}

int store_submit(struct store *s, struct store_batch *b, store_done_fn fn, void *userdata)
{
	b->fn = fn;
	b->userdata = userdata;
	enqueue(s, b);
	return 0;
}

int store_find(struct store *s, const struct store_find *what, store_found_fn fn, void *userdata)
{
	_cleanup_(store_batch_freep) struct store_batch *b = store_batch_new();

	if (!b)
		return -ENOMEM;
	b->query = store_query_new(what);
	if (!b->query)
		return -ENOMEM;
	b->found = fn;
	b->userdata = userdata;
	enqueue(s, TAKE_PTR(b));
	return 0;
}

void store_flush(struct store *s)
{
	bool more;

	/* A callback may submit more. */
	do {
		pthread_mutex_lock(&s->lock);
		while (s->n_unfinished > 0)
			pthread_cond_wait(&s->finished, &s->lock);
		pthread_mutex_unlock(&s->lock);

		store_dispatch(s);

		pthread_mutex_lock(&s->lock);
		more = s->n_unfinished > 0 || s->done.first;
		pthread_mutex_unlock(&s->lock);
	} while (more);
}

/* ---- reading ---- */

int store_load(struct store *s, enum store_kind kind, store_row_fn fn, void *userdata)
{
	int r;

	pthread_mutex_lock(&s->db_lock);
	r = store_load_rows(s->file.db, kind, fn, userdata);
	pthread_mutex_unlock(&s->db_lock);
	return r;
}

int store_last_id(struct store *s, enum store_kind kind, char **ret)
{
	int r;

	pthread_mutex_lock(&s->db_lock);
	r = store_load_last_id(s->file.db, kind, ret);
	pthread_mutex_unlock(&s->db_lock);
	return r;
}

int store_aside(struct store *s, store_aside_fn fn, void *userdata)
{
	int r;

	pthread_mutex_lock(&s->db_lock);
	r = store_load_aside(s->file.db, fn, userdata);
	pthread_mutex_unlock(&s->db_lock);
	return r;
}
