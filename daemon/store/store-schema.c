/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables of state.db and the steps that lead from each older version to the present one.
 * Called once, at open.  A step that was released is never changed: add one. */
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

#define DOCUMENT_TABLE(name)                                                                       \
	"CREATE TABLE " name " (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL);"

/* The generated columns of job are for people and reports that read the file. */
const struct store_migration store_migrations[] = {
	{ 1, "PRAGMA application_id = 0x47705666;"
	     DOCUMENT_TABLE("meta")
	     DOCUMENT_TABLE("gpu")
	     DOCUMENT_TABLE("lease")
	     "CREATE TABLE job (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL,"
	     " state TEXT GENERATED ALWAYS AS (json_extract(doc, '$.state')) VIRTUAL,"
	     " user TEXT GENERATED ALWAYS AS (json_extract(doc, '$.user')) VIRTUAL);"
	     "CREATE INDEX job_state ON job (state);"
	     "CREATE INDEX job_user ON job (user);"
	     DOCUMENT_TABLE("operation")
	     DOCUMENT_TABLE("request")
	     DOCUMENT_TABLE("event")
	     DOCUMENT_TABLE("audit") },
};
const size_t store_n_migrations = ARRAY_SIZE(store_migrations);

const char *store_kind_table(enum store_kind kind)
{
	return kind_tables[kind];
}

int store_schema_version(void)
{
	return store_migrations[store_n_migrations - 1].version;
}

static int read_number(sqlite3 *db, const char *sql, int *ret)
{
	sqlite3_stmt *statement = NULL;
	int code;

	code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
	if (code == SQLITE_OK) {
		code = sqlite3_step(statement);
		if (code == SQLITE_ROW) {
			*ret = sqlite3_column_int(statement, 0);
			code = SQLITE_OK;
		}
	}
	sqlite3_finalize(statement);
	return code == SQLITE_OK ? 0 : store_errno(db, code);
}

/* ret_why (new, on failure) is SQLite's text, taken before ROLLBACK overwrites it. */
static int apply(sqlite3 *db, const struct store_migration *m, char **ret_why)
{
	char stamp[48];
	int code, r;

	snprintf(stamp, sizeof(stamp), "PRAGMA user_version = %d", m->version);
	code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, m->sql, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, stamp, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		return 0;

	r = store_errno(db, code);
	*ret_why = strdup(sqlite3_errmsg(db));
	if (!sqlite3_get_autocommit(db))
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* closing would do it too */
	return r;
}

/* A database with tables that are not ours must not be touched. */
static int check_owner(sqlite3 *db, const char *path, int version, char **ret_message)
{
	int application = 0, tables = 0, r;

	r = read_number(db, "PRAGMA application_id", &application);
	if (r >= 0)
		r = read_number(db, "SELECT count(*) FROM sqlite_master", &tables);
	if (r < 0)
		return store_refuse(ret_message, r, "cannot read %s: %s", path, sqlite3_errmsg(db));

	if (application == APPLICATION_ID || (application == 0 && version == 0 && tables == 0))
		return 0;
	return store_refuse(ret_message, -EMEDIUMTYPE,
			    "%s is a database of another program: move it away, or choose another "
			    "directory with --state-dir",
			    path);
}

int store_schema_upgrade(sqlite3 *db, const char *path, const struct store_migration *migrations,
			 size_t n_migrations, char **ret_message)
{
	int version = 0, newest = migrations[n_migrations - 1].version, r;
	size_t i;

	r = read_number(db, "PRAGMA user_version", &version);
	if (r < 0)
		return store_refuse(ret_message, r, "cannot read %s: %s", path, sqlite3_errmsg(db));
	r = check_owner(db, path, version, ret_message);
	if (r < 0)
		return r;
	if (version > newest)
		return store_refuse(ret_message, -EPROTONOSUPPORT,
				    "%s was written by a newer gpuvfd (schema %d, this one knows %d): "
				    "install the newer gpuvfd again, or move the file away",
				    path, version, newest);

	for (i = 0; i < n_migrations; i++) {
		_cleanup_free_ char *why = NULL;

		if (migrations[i].version <= version)
			continue;
		r = apply(db, &migrations[i], &why);
		if (r < 0)
			return store_refuse(ret_message, r,
					    "cannot bring %s from schema %d to %d: %s", path, version,
					    migrations[i].version, strempty(why));
		if (version > 0)
			log_info("%s: schema %d is now %d", path, version, migrations[i].version);
		version = migrations[i].version;
	}
	return 0;
}
