/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Brings state.db to the present schema, whole or not at all: a backup first, then every step in one
 * transaction.  Whoever dies on the way leaves the old schema or the new one.  Called once, at open. */
#include "store/store-internal.h"

#include <stdio.h>

#include "log/log.h"

/* "GpVf": tells our file from any other SQLite database. */
#define APPLICATION_ID 0x47705666

static const char *const kind_tables[STORE_KIND_MAX] = {
	[STORE_META] = "meta",
	[STORE_GPU] = "gpu",
	[STORE_LEASE] = "lease",
	[STORE_JOB] = "job",
	[STORE_OPERATION] = "operation",
	[STORE_REQUEST] = "request",
	[STORE_EVENT] = "event",
	[STORE_AUDIT] = "audit",
};

const char *store_kind_table(enum store_kind kind)
{
	return kind_tables[kind];
}

int store_schema_version(void)
{
	return store_migrations[store_n_migrations - 1].version;
}

int store_read_number(sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *statement = NULL;
	int code;

	code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
	if (code == SQLITE_OK) {
		code = sqlite3_step(statement);
		if (code == SQLITE_ROW) {
			*ret = sqlite3_column_int64(statement, 0);
			code = SQLITE_OK;
		}
	}
	sqlite3_finalize(statement);
	return code == SQLITE_OK ? 0 : store_errno(db, code);
}

int store_schema_of(sqlite3 *db, const char *path, int *ret_version, char **ret_message)
{
	int64_t version = 0, application = 0, tables = 0;
	int r;

	r = store_read_number(db, "PRAGMA user_version", &version);
	if (r >= 0)
		r = store_read_number(db, "PRAGMA application_id", &application);
	if (r >= 0)
		r = store_read_number(db, "SELECT count(*) FROM sqlite_master", &tables);
	if (r < 0)
		return store_refuse(ret_message, r, "cannot read %s: %s", path, sqlite3_errmsg(db));
	/* A database with tables that are not ours must not be touched. */
	if (application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0))
		return store_refuse(ret_message, -EMEDIUMTYPE,
				    "%s is a database of another program: move it away, or choose another "
				    "directory with --state-dir",
				    path);
	*ret_version = (int)version;
	return 0;
}

static int set_version(sqlite3 *db, int version)
{
	char sql[48];

	snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", version);
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* ret_why (new, on failure) is SQLite's text, taken before ROLLBACK overwrites it. */
static int apply(sqlite3 *db, int version, const struct store_migration *migrations, size_t n, char **ret_why)
{
	int code, r;
	size_t i;

	code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	store_step("migration-begun");
	for (i = 0; i < n && code == SQLITE_OK; i++) {
		if (migrations[i].version <= version)
			continue;
		code = sqlite3_exec(db, migrations[i].sql, NULL, NULL, NULL);
		if (code == SQLITE_OK)
			code = set_version(db, migrations[i].version);
		store_step("migration-step");
	}
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	if (code == SQLITE_OK) {
		store_step("migration-committed");
		return 0;
	}

	r = store_errno(db, code);
	*ret_why = strdup(sqlite3_errmsg(db));
	if (!sqlite3_get_autocommit(db))
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* closing would do it too */
	return r;
}

/* What the steps up to the version make, in memory.  Returns SQLite's code. */
static int make_reference(int version, sqlite3 **ret)
{
	int code = sqlite3_open(":memory:", ret);
	size_t i;

	for (i = 0; i < store_n_migrations && code == SQLITE_OK && store_migrations[i].version <= version; i++)
		code = sqlite3_exec(*ret, store_migrations[i].sql, NULL, NULL, NULL);
	return code;
}

/* Steps the statement over one object of the schema; ret_name and ret_sql are SQLite's. */
static bool next_object(sqlite3_stmt *statement, const char **ret_name, const char **ret_sql)
{
	if (sqlite3_step(statement) != SQLITE_ROW)
		return false;
	*ret_name = strempty((const char *)sqlite3_column_text(statement, 0));
	*ret_sql = strempty((const char *)sqlite3_column_text(statement, 1));
	return true;
}

int store_schema_check(sqlite3 *db, int version, char **ret_why)
{
	/* SQLite's own among them: with a damaged sqlite_sequence all can be read, and no row be put aside. */
#define OBJECTS "SELECT name, type || ' ' || tbl_name || ' ' || ifnull(sql, '') FROM sqlite_master"
	static const char every[] = OBJECTS, one[] = OBJECTS " WHERE name = ?1";
#undef OBJECTS
	sqlite3_stmt *expected = NULL, *found = NULL;
	const char *name, *sql, *found_name, *found_sql;
	sqlite3 *reference = NULL;
	int code, r = 0;

	code = make_reference(version, &reference);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(reference, every, -1, &expected, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(db, one, -1, &found, NULL);
	while (code == SQLITE_OK && r == 0 && next_object(expected, &name, &sql)) {
		code = sqlite3_bind_text(found, 1, name, -1, SQLITE_STATIC);
		if (code != SQLITE_OK)
			break;
		if (!next_object(found, &found_name, &found_sql) || !streq(sql, found_sql)) {
			*ret_why = xasprintf("its definition of \"%s\" is not ours", name);
			r = -EBADMSG;
		}
		sqlite3_reset(found);
	}
	if (code != SQLITE_OK) {
		*ret_why = strdup(sqlite3_errstr(code));
		r = store_errno(NULL, code);
	}
	sqlite3_finalize(found);
	sqlite3_finalize(expected);
	sqlite3_close(reference);
	return r;
}

int store_schema_upgrade(sqlite3 *db, const char *state_dir, const struct store_migration *migrations,
			 size_t n_migrations, char **ret_message)
{
	_cleanup_free_ char *path = xasprintf("%s/state.db", state_dir), *why = NULL;
	int version = 0, newest = migrations[n_migrations - 1].version, r;

	if (!path)
		return -ENOMEM;
	r = store_schema_of(db, path, &version, ret_message);
	if (r < 0)
		return r;
	if (version > newest)
		return store_refuse(ret_message, -EPROTONOSUPPORT,
				    "%s was written by a newer gpuvfd (schema %d, this one knows %d): install "
				    "the newer gpuvfd again; or go back to a copy that was kept before its "
				    "upgrade, if there is one: gpuvfd --state-dir %s --restore-backup "
				    "%s.schema-%d.bak",
				    path, version, newest, state_dir, path, newest);
	if (version == newest)
		return 0;

	if (version > 0) {
		r = store_backup_before(db, state_dir, version, ret_message);
		if (r < 0)
			return r;
	}
	r = apply(db, version, migrations, n_migrations, &why);
	if (r < 0)
		return store_refuse(ret_message, r,
				    "cannot bring %s from schema %d to %d: %s; nothing was changed", path,
				    version, newest, strempty(why));
	if (version > 0) {
		log_notice("%s: schema %d is now %d; the file before is %s.schema-%d.bak", path, version,
			   newest, path, version);
		store_backup_prune(state_dir);
	}
	return 0;
}
