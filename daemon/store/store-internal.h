/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the store share, and what its unit test looks at.  For nobody else. */
#pragma once

#include <sqlite3.h>

#include "store/store.h"

/* ---- store-migrations.c: what each schema adds ---- */

struct store_migration {
	int version; /* what the schema has once this was applied: 1, 2, 3 … */
	const char *sql;
};

extern const struct store_migration store_migrations[];
extern const size_t store_n_migrations;

#define STORE_SCHEMA_COMMITS 2 /* from this schema on transactions are counted */

/* ---- store-schema.c: from one schema to the next ---- */

/* Name of the kind's table. */
const char *store_kind_table(enum store_kind kind);

/* Whose the database is and what schema it has; one of somebody else is refused (-EMEDIUMTYPE).  path is for
 * messages. */
int store_schema_of(sqlite3 *db, const char *path, int *ret_version, char **ret_message);

/* Whether every table and index of that version is defined in the words of its steps; what is there besides is
 * nobody's matter.  -EBADMSG and why (new) when one is not: SQLite's own check does not look at names. */
int store_schema_check(sqlite3 *db, int version, char **ret_why);

/* Brings the database to the last version of the table: a backup, then all steps in one transaction; nothing is
 * done when it has it.  A newer one is refused (-EPROTONOSUPPORT). */
int store_schema_upgrade(sqlite3 *db, const char *state_dir, const struct store_migration *migrations,
			 size_t n_migrations, char **ret_message);

/* The number that the statement gives. */
int store_read_number(sqlite3 *db, const char *sql, int64_t *ret);

/* ---- store-rows.c: batches and how they are written ---- */

enum store_op { STORE_PUT, STORE_DELETE, STORE_DELETE_BEFORE, STORE_PRUNE, STORE_OP_MAX };

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

	/* A question travels in an empty batch, so that it comes after what was submitted before it. */
	struct store_query *query;
	store_found_fn found;
};

/* Prepared on first use, owned by whoever owns the connection. */
struct store_statements {
	sqlite3_stmt *write[STORE_OP_MAX][STORE_KIND_MAX];
	sqlite3_stmt *count;
};

void store_statements_done(struct store_statements *s);

/* Writes the rows within the transaction that is open.  Returns SQLITE_OK or SQLite's code. */
int store_batch_write(sqlite3 *db, struct store_statements *s, const struct store_batch *b);
void store_batch_forget_rows(struct store_batch *b); /* they were written, or never will be */
/* One more transaction. */
int store_count_commit(sqlite3 *db, struct store_statements *s);

/* ---- store-query.c: reading while others write ---- */

struct store_query *store_query_new(const struct store_find *what); /* copies it; NULL = no memory */
struct store_query *store_query_free(struct store_query *q);
/* On the thread.  Fills what q found; returns 0 or a negative errno with a message (new). */
int store_query_run(sqlite3 *db, struct store_query *q, char **ret_message);
json_t *store_query_take(struct store_query *q, char **ret_next); /* on the loop, after it ran */

/* ---- store-directory.c: the directory and its lock ---- */

/* Makes or checks the directory and locks it.  The descriptor holds the lock. */
int store_lock(const char *state_dir, int *ret_fd, char **ret_message);

/* ---- store-mark.c: that there was state, and how much ---- */

int store_mark_read(int dirfd, uint64_t *ret); /* -ENOENT: there is none */
int store_mark_make(int dirfd, uint64_t n);    /* whole and synced */
int store_mark_open(int dirfd);
void store_mark_set(int fd, uint64_t n);

/* ---- store-backup.c: copies ---- */

/* state.db.schema-N.bak, whole and synced, before the schema is changed. */
int store_backup_before(sqlite3 *db, const char *state_dir, int version, char **ret_message);
void store_backup_prune(const char *state_dir); /* leaves the newest few */
char *store_backup_newest(const char *state_dir); /* returns new, NULL = there is none */
/* Copies state.db and its -wal as they are, once for the same file.  Returns the copy's name (new), NULL = none. */
char *store_keep_damaged(const char *state_dir);

/* ---- store-file.c: the database file ---- */

struct store_file {
	sqlite3 *db;
	int mark_fd;
	uint64_t commits; /* transactions written so far */
};

/* Looks at what lies there, opens state.db, brings its schema up to date.  The lock must be held. */
int store_file_open(const char *state_dir, struct store_file *ret, char **ret_message);

/* Whether the file is sound.  -EBADMSG and why (new): it is damaged; ret_indexes: only indexes are, which can be
 * made again. */
int store_integrity(sqlite3 *db, bool *ret_indexes, char **ret_why);
extern off_t store_check_whole_max; /* larger files are checked without the audit trail */

/* A test ends the process at a step, by its name. */
void store_step(const char *name);
extern void (*store_step_hook)(const char *name);

/* SQLite's last answer as negative errno. */
int store_errno(sqlite3 *db, int code);

/* Formats *ret_message (which may be left NULL when memory is out) and returns r. */
int store_refuse(char **ret_message, int r, const char *format, ...) _printf_(3, 4);

/* ---- store-load.c ---- */

int store_load_rows(sqlite3 *db, enum store_kind kind, store_row_fn fn, void *userdata);
int store_load_last_id(sqlite3 *db, enum store_kind kind, char **ret);
int store_load_aside(sqlite3 *db, store_aside_fn fn, void *userdata);

/* ---- store.c ---- */

/* The connection, for a test that wants a full disk without filling one. */
sqlite3 *store_database(struct store *s);
