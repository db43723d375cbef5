/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions about the audit trail, which is too long for memory: asked from the loop, answered on the store's
 * thread in between the writing.  Each answer looks at a bounded number of rows, so that nobody's COMMIT waits
 * for a reader. */
#include "store/store-internal.h"

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/units.h"

/* About 20 ms of a slow disk's host: what a COMMIT may be late. */
#define SCAN_MAX 5000

struct store_query {
	char *after, *since, *until, *uid, *method, *subject;
	char *end; /* a time so long before since that nothing behind it can be meant */
	bool oldest_first;
	size_t limit;

	/* found */
	char **texts;
	size_t n;
	char *next;
};

static const char newest_first[] =
	"SELECT id, doc, at, uid, method, subject FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
/* By time: numbers tell the order of writing, and a clock may have been wrong at first. */
static const char oldest_first[] =
	"SELECT id, doc, at, uid, method, subject FROM audit WHERE at > ?1 ORDER BY at LIMIT ?2";

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

/* Rows are in the order in which they were written.  When a clock was set back a row may be older than the one
 * before it, but not by more than this. */
#define CLOCK_JUMP_USEC (24 * 3600 * USEC_PER_SEC)

static char *end_of(const struct store_find *what)
{
	char buf[RFC3339_STRLEN];
	uint64_t since;

	if (!what->since || what->oldest_first || rfc3339_parse(what->since, &since) < 0 || since < CLOCK_JUMP_USEC)
		return NULL;
	return strdup(rfc3339_format(since - CLOCK_JUMP_USEC, buf));
}

struct store_query *store_query_new(const struct store_find *what)
{
	struct store_query *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	*q = (struct store_query){
		.after = copy(what->after), .since = copy(what->since), .until = copy(what->until),
		.uid = copy(what->uid), .method = copy(what->method), .subject = copy(what->subject),
		.end = end_of(what), .oldest_first = what->oldest_first, .limit = what->limit,
		.texts = calloc(what->limit + 1, sizeof(*q->texts)),
	};
	if (!q->texts || (what->after && !q->after) || (what->since && !q->since) || (what->until && !q->until) ||
	    (what->uid && !q->uid) || (what->method && !q->method) || (what->subject && !q->subject))
		return store_query_free(q);
	return q;
}

struct store_query *store_query_free(struct store_query *q)
{
	if (!q)
		return NULL;
	while (q->n > 0)
		free(q->texts[--q->n]);
	free(q->texts);
	free(q->next);
	free(q->after);
	free(q->since);
	free(q->until);
	free(q->uid);
	free(q->method);
	free(q->subject);
	free(q->end);
	free(q);
	return NULL;
}

static bool is(sqlite3_stmt *statement, int column, const char *wanted)
{
	return !wanted || streq(wanted, strempty((const char *)sqlite3_column_text(statement, column)));
}

static bool is_past_end(const struct store_query *q, sqlite3_stmt *statement)
{
	return q->end && strcmp(strempty((const char *)sqlite3_column_text(statement, 2)), q->end) < 0;
}

static bool matches(const struct store_query *q, sqlite3_stmt *statement)
{
	const char *at = strempty((const char *)sqlite3_column_text(statement, 2));

	return (!q->since || strcmp(at, q->since) >= 0) && (!q->until || strcmp(at, q->until) < 0) &&
	       is(statement, 3, q->uid) && is(statement, 4, q->method) && is(statement, 5, q->subject);
}

static int take_row(struct store_query *q, sqlite3_stmt *statement)
{
	char *text = copy((const char *)sqlite3_column_text(statement, 1));

	if (!text)
		return -ENOMEM;
	q->texts[q->n++] = text;
	return 0;
}

int store_query_run(sqlite3 *db, struct store_query *q, char **ret_message)
{
	const char *start = q->after ? q->after : q->oldest_first ? "" : ":"; /* ':' sorts after digits */
	sqlite3_stmt *statement = NULL;
	int code, scanned = 0, r = 0;

	code = sqlite3_prepare_v2(db, q->oldest_first ? oldest_first : newest_first, -1, &statement, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_bind_text(statement, 1, start, -1, SQLITE_STATIC);
	if (code == SQLITE_OK)
		code = sqlite3_bind_int(statement, 2, SCAN_MAX + 1);
	while (code == SQLITE_OK && r == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		code = SQLITE_OK;
		if (scanned == SCAN_MAX || q->n == q->limit)
			break; /* there is more: next tells where */
		if (is_past_end(q, statement)) {
			code = SQLITE_DONE;
			break;
		}
		if (matches(q, statement))
			r = take_row(q, statement);
		scanned++;
		if (!q->oldest_first)
			(void)free_and_strdup(&q->next, (const char *)sqlite3_column_text(statement, 0));
	}
	if (code == SQLITE_DONE) {
		free(q->next);
		q->next = NULL;
		code = SQLITE_OK;
	}
	if (r == 0 && code != SQLITE_OK) {
		r = store_errno(db, code);
		*ret_message = xasprintf("cannot read the audit trail: %s", sqlite3_errmsg(db));
	}
	sqlite3_finalize(statement);
	return r;
}

json_t *store_query_take(struct store_query *q, char **ret_next)
{
	json_t *rows = json_array();
	size_t i;

	for (i = 0; i < q->n; i++) {
		json_t *row = json_loads(q->texts[i], 0, NULL);

		if (row)
			json_array_append_new(rows, row);
	}
	*ret_next = TAKE_PTR(q->next);
	return rows;
}
