/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Batches of rows: filled on the loop, written by the store's thread inside one transaction.  A
 * document becomes text as soon as it is put, so the thread never touches JSON. */
#include "store/store-internal.h"

#include <stdio.h>

struct store_batch *store_batch_new(void)
{
	return calloc(1, sizeof(struct store_batch));
}

void store_batch_forget_rows(struct store_batch *b)
{
	while (b->n_rows > 0) {
		b->n_rows--;
		free(b->rows[b->n_rows].id);
		free(b->rows[b->n_rows].text);
	}
}

struct store_batch *store_batch_free(struct store_batch *b)
{
	if (!b)
		return NULL;

	store_batch_forget_rows(b);
	free(b->rows);
	free(b->message);
	store_query_free(b->query);
	free(b);
	return NULL;
}

/* Takes text, also on failure. */
static int add_row(struct store_batch *b, enum store_op op, enum store_kind kind, const char *id,
		   char *text)
{
	_cleanup_free_ char *owned = text;
	struct store_row *rows;
	char *copy;

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

	b->rows[b->n_rows++] = (struct store_row){
		.op = op, .kind = kind, .id = copy, .text = TAKE_PTR(owned)
	};
	return 0;
}

int store_batch_put_text(struct store_batch *b, enum store_kind kind, const char *id, char *text)
{
	return text ? add_row(b, STORE_PUT, kind, id, text) : -ENOMEM;
}

int store_batch_put(struct store_batch *b, enum store_kind kind, const char *id, json_t *doc)
{
	_cleanup_json_ _unused_ json_t *owned = doc;

	return store_batch_put_text(b, kind, id, doc ? json_text(doc) : NULL);
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
