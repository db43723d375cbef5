/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the store share, and what its unit test looks at.  For nobody else. */
#pragma once

#include <sqlite3.h>

#include "store/store.h"

/* ---- store-schema.c: tables and their versions ---- */

struct store_migration {
	int version; /* what the schema has once this was applied: 1, 2, 3 … */
	const char *sql;
};

/* Name of the kind's table. */
const char *store_kind_table(enum store_kind kind);

/* Brings the database to the last version of the table, one transaction per step; nothing is done
 * when it has it.  A newer one is refused (-EPROTONOSUPPORT), a database of somebody else too
 * (-EMEDIUMTYPE).  path is for messages. */
int store_schema_upgrade(sqlite3 *db, const char *path, const struct store_migration *migrations,
			 size_t n_migrations, char **ret_message);

extern const struct store_migration store_migrations[];
extern const size_t store_n_migrations;

/* ---- store-rows.c: batches and how they are written ---- */

enum store_op { STORE_PUT, STORE_DELETE, STORE_DELETE_BEFORE, STORE_OP_MAX };

struct store_row {
	enum store_op op;
	enum store_kind kind;
	char *id;
	char *text; /* the document; NULL unless STORE_PUT */
};

struct store_batch {
	struct store_row *rows;
	size_t n_rows, n_allocated;

	/* From store_submit() on. */
	struct store_batch *next;
	store_done_fn fn;
	void *userdata;
	int r;
	char *message; /* only when r < 0 */
};

/* Prepared on first use, owned by whoever owns the connection. */
struct store_statements {
	sqlite3_stmt *write[STORE_OP_MAX][STORE_KIND_MAX];
};

void store_statements_done(struct store_statements *s);

/* Writes the rows within the transaction that is open.  Returns SQLITE_OK or SQLite's code. */
int store_batch_write(sqlite3 *db, struct store_statements *s, const struct store_batch *b);

/* ---- store-file.c: directory, lock, database file ---- */

/* Makes or checks the directory and locks it.  The descriptor holds the lock. */
int store_lock(const char *state_dir, int *ret_fd, char **ret_message);

/* Opens state.db: settings, integrity.  The lock must be held. */
int store_database_open(const char *state_dir, sqlite3 **ret, char **ret_message);

/* SQLite's last answer as negative errno. */
int store_errno(sqlite3 *db, int code);

/* Formats *ret_message (which may be left NULL when memory is out) and returns r. */
int store_refuse(char **ret_message, int r, const char *format, ...) _printf_(3, 4);

/* ---- store.c ---- */

/* The connection, for a test that wants a full disk without filling one. */
sqlite3 *store_database(struct store *s);
