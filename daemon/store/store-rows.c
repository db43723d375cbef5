/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Batches of rows: filled on the loop, written by the store's thread inside one transaction.  Of what is put more
 * than once only the last is written; documents become text when the batch is submitted, so the thread never touches
 * JSON. */
#include "store/store-internal.h"

#include <stdio.h>

/* A row that is put again was put a moment ago: what lies farther back is not looked for. */
#define LOOK_BACK 64

struct store_batch *store_batch_new(void)
{
	return calloc(1, sizeof(struct store_batch));
}

struct store_batch *store_batch_free(struct store_batch *b)
{
	if (!b)
		return NULL;

	while (b->n_rows > 0) {
		b->n_rows--;
		free(b->rows[b->n_rows].id);
		json_decref(b->rows[b->n_rows].doc);
		free(b->rows[b->n_rows].text);
	}
	free(b->rows);
	free(b->message);
	store_query_free(b->query);
	free(b);
	return NULL;
}

/* The batch's row of that name; NULL: none that could be changed in place.  Events and the audit trail have a new name
 * for each row. */
static struct store_row *find_row(const struct store_batch *b, enum store_kind kind, const char *id)
{
	size_t last = b->n_rows > LOOK_BACK ? b->n_rows - LOOK_BACK : 0;

	if (kind == STORE_EVENT || kind == STORE_AUDIT)
		return NULL;
	for (size_t i = b->n_rows; i > last; i--) {
		struct store_row *row = &b->rows[i - 1];

		if (row->op > STORE_DELETE)
			return NULL; /* it is about many rows */
		if (row->kind == kind && streq(row->id, id))
			return row;
	}
	return NULL;
}

/* Takes doc, also on failure. */
static int add_row(struct store_batch *b, enum store_op op, enum store_kind kind, const char *id, json_t *doc)
{
	_cleanup_json_ json_t *owned = doc;
	struct store_row *rows, *before = op <= STORE_DELETE ? find_row(b, kind, id) : NULL;
	char *copy;

	if (before) {
		json_decref(before->doc);
		before->op = op;
		before->doc = TAKE_PTR(owned);
		return 0;
	}
	if (b->n_rows == b->n_allocated) {
		size_t n = MAX_OF(2 * b->n_allocated, (size_t)4);

		rows = reallocarray(b->rows, n, sizeof(*rows));
		if (!rows)
			return -ENOMEM;
		b->rows = rows;
		b->n_allocated = n;
	}
	copy = strdup(id);
	if (!copy)
		return -ENOMEM;

	b->rows[b->n_rows++] = (struct store_row){ .op = op, .kind = kind, .id = copy, .doc = TAKE_PTR(owned) };
	return 0;
}

int store_batch_put(struct store_batch *b, enum store_kind kind, const char *id, json_t *doc)
{
	return doc ? add_row(b, STORE_PUT, kind, id, doc) : -ENOMEM;
}

int store_batch_seal(struct store_batch *b)
{
	for (size_t i = 0; i < b->n_rows; i++) {
		struct store_row *row = &b->rows[i];

		if (!row->doc)
			continue;
		row->text = json_text(row->doc);
		if (!row->text)
			return -ENOMEM;
		json_decref(row->doc);
		row->doc = NULL;
	}
	return 0;
}

int store_batch_delete(struct store_batch *b, enum store_kind kind, const char *id)
{
	return add_row(b, STORE_DELETE, kind, id, NULL);
}

int store_batch_delete_before(struct store_batch *b, enum store_kind kind, const char *id)
{
	return add_row(b, STORE_DELETE_BEFORE, kind, id, NULL);
}

int store_batch_prune(struct store_batch *b, const char *before)
{
	return add_row(b, STORE_PRUNE, STORE_AUDIT, before, NULL);
}

bool store_batch_is_empty(const struct store_batch *b)
{
	return b->n_rows == 0;
}

void store_statements_done(struct store_statements *s)
{
	size_t op, kind;

	for (op = 0; op < STORE_OP_MAX; op++)
		for (kind = 0; kind < STORE_KIND_MAX; kind++) {
			sqlite3_finalize(s->write[op][kind]);
			s->write[op][kind] = NULL;
		}
	sqlite3_finalize(s->count);
	s->count = NULL;
}

static int prepare(sqlite3 *db, enum store_op op, enum store_kind kind, sqlite3_stmt **ret)
{
	static const char *const templates[STORE_OP_MAX] = {
		[STORE_PUT] = ("INSERT INTO \"%w\" (id, doc) VALUES (?1, ?2)"
			       " ON CONFLICT (id) DO UPDATE SET doc = excluded.doc"),
		[STORE_DELETE] = "DELETE FROM \"%w\" WHERE id = ?1",
		[STORE_DELETE_BEFORE] = "DELETE FROM \"%w\" WHERE id < ?1",
		/* Some milliseconds; more than is written in between, so that it gets to the end. */
		[STORE_PRUNE] = ("DELETE FROM \"%w\" WHERE rowid IN"
				 " (SELECT rowid FROM audit WHERE at < ?1 ORDER BY at LIMIT 500)"),
	};
	char *sql;
	int code;

	sql = sqlite3_mprintf(templates[op], store_kind_table(kind));
	if (!sql)
		return SQLITE_NOMEM;
	code = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);
	sqlite3_free(sql);
	return code;
}

static int write_row(sqlite3 *db, struct store_statements *s, const struct store_row *row)
{
	sqlite3_stmt **slot = &s->write[row->op][row->kind];
	int code = SQLITE_OK;

	if (!*slot)
		code = prepare(db, row->op, row->kind, slot);
	if (code == SQLITE_OK)
		code = sqlite3_bind_text(*slot, 1, row->id, -1, SQLITE_STATIC);
	if (code == SQLITE_OK && row->text)
		code = sqlite3_bind_text(*slot, 2, row->text, -1, SQLITE_STATIC);
	if (code == SQLITE_OK) {
		code = sqlite3_step(*slot);
		if (code == SQLITE_DONE)
			code = SQLITE_OK;
	}
	if (*slot) {
		sqlite3_reset(*slot);
		sqlite3_clear_bindings(*slot);
	}
	return code;
}

int store_batch_write(sqlite3 *db, struct store_statements *s, const struct store_batch *b)
{
	int code = SQLITE_OK;
	size_t i;

	for (i = 0; i < b->n_rows && code == SQLITE_OK; i++)
		code = write_row(db, s, &b->rows[i]);
	return code;
}

int store_count_commit(sqlite3 *db, struct store_statements *s)
{
	int code = SQLITE_OK;

	if (!s->count)
		code = sqlite3_prepare_v3(db, "UPDATE commits SET n = n + 1", -1, SQLITE_PREPARE_PERSISTENT,
					  &s->count, NULL);
	if (code == SQLITE_OK) {
		code = sqlite3_step(s->count);
		if (code == SQLITE_DONE)
			code = SQLITE_OK;
	}
	sqlite3_reset(s->count);
	return code;
}
