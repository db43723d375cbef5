/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads rows before the loop runs.  One that cannot be read is not dropped and not left where a new one could be
 * written over it: it goes into the table "aside", as it was found, with the reason. */
#include "store/store-internal.h"

#include <stdio.h>

#include "lib/clock.h"
#include "log/log.h"

struct bad_row {
	char *id;
	char *why;
	bool stays; /* a copy is enough: its object writes it anew */
};

struct bad_rows {
	struct bad_row *rows;
	size_t n;
};

static void bad_rows_done(struct bad_rows *bad)
{
	while (bad->n > 0) {
		bad->n--;
		free(bad->rows[bad->n].id);
		free(bad->rows[bad->n].why);
	}
	free(bad->rows);
}

/* Takes why. */
static int bad_rows_add(struct bad_rows *bad, const char *id, bool stays, char *why)
{
	_cleanup_free_ char *owned = why, *copy = strdup(id);
	struct bad_row *rows = reallocarray(bad->rows, bad->n + 1, sizeof(*rows));

	if (rows)
		bad->rows = rows;
	if (!rows || !copy || !owned)
		return -ENOMEM;
	rows[bad->n++] = (struct bad_row){ TAKE_PTR(copy), TAKE_PTR(owned), stays };
	return 0;
}

/* Damaged ids would not fit into any of our objects. */
static bool text_is_valid(const char *s)
{
	_cleanup_json_ json_t *string = json_string(s); /* refuses what is not UTF-8 */

	return string && *s;
}

static int load_row(sqlite3_stmt *statement, store_row_fn fn, void *userdata, struct bad_rows *bad)
{
	const char *id = (const char *)sqlite3_column_text(statement, 0);
	const char *text = (const char *)sqlite3_column_text(statement, 1);
	_cleanup_json_ json_t *doc = NULL;
	json_error_t error;
	int r;

	if (!id || !text)
		return -ENOMEM;
	if (!text_is_valid(id))
		return bad_rows_add(bad, id, false, strdup("its id is no text"));
	/* We wrote it: our readers' limits on foreign text do not apply. */
	doc = json_loadb(text, (size_t)sqlite3_column_bytes(statement, 1),
			 JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	if (!doc)
		return bad_rows_add(bad, id, false, xasprintf("it is no JSON: %s", error.text));
	r = fn(userdata, id, doc);
	if (r == -EBADMSG || r == -EUCLEAN)
		return bad_rows_add(bad, id, r == -EUCLEAN,
				    xasprintf("gpuvfd " PACKAGE_VERSION " can make nothing of %s",
					      r == -EUCLEAN ? "a part of it" : "it"));
	return r;
}

/* ---- putting aside ---- */

static int run(sqlite3 *db, const char *sql, const char *const *values, size_t n)
{
	sqlite3_stmt *statement = NULL;
	int code;
	size_t i;

	code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
	for (i = 0; i < n && code == SQLITE_OK; i++)
		code = sqlite3_bind_text(statement, (int)i + 1, values[i], -1, SQLITE_STATIC);
	if (code == SQLITE_OK) {
		code = sqlite3_step(statement);
		if (code == SQLITE_DONE)
			code = SQLITE_OK;
	}
	sqlite3_finalize(statement);
	return code;
}

static int move_row(sqlite3 *db, enum store_kind kind, const struct bad_row *row)
{
	const char *table = store_kind_table(kind);
	char at[RFC3339_STRLEN], insert[160], delete[64];
	const char *values[] = { row->id, table, rfc3339_format(now_realtime(), at), row->why };
	int code;

	snprintf(insert, sizeof(insert),
		 "INSERT INTO aside (kind, id, at, why, doc) SELECT ?2, id, ?3, ?4, doc FROM %s WHERE id = ?1", table);
	snprintf(delete, sizeof(delete), "DELETE FROM %s WHERE id = ?1", table);
	code = run(db, insert, values, ARRAY_SIZE(values));
	if (code == SQLITE_OK && !row->stays)
		code = run(db, delete, values, 1);
	return code;
}

static int put_aside(sqlite3 *db, enum store_kind kind, const struct bad_rows *bad)
{
	char reindex[48];
	int code, r;
	size_t i;

	/* What changed a document may have left its indexes as they were. */
	snprintf(reindex, sizeof(reindex), "REINDEX %s", store_kind_table(kind));
	code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, reindex, NULL, NULL, NULL);
	for (i = 0; i < bad->n && code == SQLITE_OK; i++)
		code = move_row(db, kind, &bad->rows[i]);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	if (code == SQLITE_OK) {
		for (i = 0; i < bad->n; i++)
			log_error(0, "state.db: row \"%s\" of table %s is put aside: %s", bad->rows[i].id,
				  store_kind_table(kind), bad->rows[i].why);
		return 0;
	}
	r = store_errno(db, code);
	log_error(r, "state.db: row \"%s\" of table %s cannot be read (%s) and cannot be put aside (%s); "
		     "nothing is begun, so that nothing is written over it",
		  bad->rows[0].id, store_kind_table(kind), bad->rows[0].why, sqlite3_errmsg(db));
	if (!sqlite3_get_autocommit(db))
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int store_load_rows(sqlite3 *db, enum store_kind kind, store_row_fn fn, void *userdata)
{
	_cleanup_(bad_rows_done) struct bad_rows bad = { 0 };
	sqlite3_stmt *statement = NULL;
	char sql[64];
	int code, r = 0;

	snprintf(sql, sizeof(sql), "SELECT id, doc FROM %s ORDER BY id", store_kind_table(kind));
	code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
	while (code == SQLITE_OK && r >= 0) {
		code = sqlite3_step(statement);
		if (code != SQLITE_ROW)
			break;
		code = SQLITE_OK;
		r = load_row(statement, fn, userdata, &bad);
	}
	if (r >= 0 && code != SQLITE_OK && code != SQLITE_DONE) {
		r = store_errno(db, code);
		log_error(r, "cannot read table %s: %s", store_kind_table(kind), sqlite3_errmsg(db));
	}
	sqlite3_finalize(statement);
	if (r >= 0 && bad.n > 0)
		r = put_aside(db, kind, &bad);
	return r < 0 ? r : 0;
}

int store_load_last_id(sqlite3 *db, enum store_kind kind, char **ret)
{
	sqlite3_stmt *statement = NULL;
	const char *id;
	char sql[64];
	int code;

	*ret = NULL;
	snprintf(sql, sizeof(sql), "SELECT max(id) FROM %s", store_kind_table(kind));
	code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	id = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
	*ret = id ? strdup(id) : NULL;
	sqlite3_finalize(statement);
	return code != SQLITE_ROW ? store_errno(db, code) : id && !*ret ? -ENOMEM : 0;
}

int store_load_aside(sqlite3 *db, store_aside_fn fn, void *userdata)
{
	sqlite3_stmt *statement = NULL;
	const char *text[4];
	int code, i;

	code = sqlite3_prepare_v2(db, "SELECT kind, id, at, why FROM aside ORDER BY n", -1, &statement, NULL);
	while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		for (i = 0; i < 4; i++)
			text[i] = strempty((const char *)sqlite3_column_text(statement, i));
		fn(userdata, text[0], text[1], text[2], text[3]);
		code = SQLITE_OK;
	}
	sqlite3_finalize(statement);
	return code == SQLITE_DONE || code == SQLITE_OK ? 0 : store_errno(db, code);
}
