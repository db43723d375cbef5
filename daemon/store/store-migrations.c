/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps that lead from each older schema of state.db to the present one, and nothing else: a test links a
 * longer table in its place.  A step that was released is never changed: add one. */
#include "store/store-internal.h"

#define DOCUMENT_TABLE(name)                                                                       \
	"CREATE TABLE " name " (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL);"

#define WITHOUT_ROWID(name)                                                                        \
	"ALTER TABLE " name " RENAME TO old_" name ";"                                             \
	"CREATE TABLE " name " (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID;"   \
	"INSERT INTO " name " (id, doc) SELECT id, doc FROM old_" name ";"                         \
	"DROP TABLE old_" name ";"

/* A damaged document must not be in the way of its own removal. */
#define COLUMN(table, name)                                                                        \
	"ALTER TABLE " table " ADD COLUMN " name " TEXT GENERATED ALWAYS AS"                       \
	" (CASE WHEN json_valid(doc) THEN json_extract(doc, '$." name "') END) VIRTUAL;"

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
	/* commits: how many transactions were written, to be compared with state.mark.
	 * aside: rows that could not be read, as they were found. */
	{ 2, "CREATE TABLE commits (id INTEGER PRIMARY KEY CHECK (id = 1), n INTEGER NOT NULL);"
	     "INSERT INTO commits (id, n) VALUES (1, 0);"
	     "CREATE TABLE aside (n INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"
	     " id TEXT NOT NULL, at TEXT NOT NULL, why TEXT NOT NULL, doc);"
	     "DROP INDEX job_state; DROP INDEX job_user;"
	     "ALTER TABLE job DROP COLUMN state; ALTER TABLE job DROP COLUMN user;"
	     COLUMN("job", "state")
	     COLUMN("job", "user")
	     "CREATE INDEX job_state ON job (state);"
	     "CREATE INDEX job_user ON job (user);"
	     COLUMN("audit", "at")
	     COLUMN("audit", "uid")
	     COLUMN("audit", "method")
	     COLUMN("audit", "subject")
	     "CREATE INDEX audit_at ON audit (at);" },
	/* last_uid: who may have written to a VF's memory last. */
	{ 3, "UPDATE lease SET doc = json_set(doc, '$.last_uid', json_extract(doc, '$.uid'))"
	     " WHERE CASE WHEN json_valid(doc) THEN json_extract(doc, '$.owner') <> 'none' AND"
	     " json_extract(doc, '$.state') IN ('attaching', 'attached', 'detaching', 'resetting') END;" },
	/* Several events in one row; tables whose rows are written most without a second tree. */
	{ 4, "UPDATE event SET doc = '{\"events\":[' || doc || ']}' WHERE json_valid(doc);"
	     WITHOUT_ROWID("event") WITHOUT_ROWID("lease") WITHOUT_ROWID("operation") WITHOUT_ROWID("request") },
#ifdef STORE_MIGRATION_NEXT
	STORE_MIGRATION_NEXT
#endif
};
const size_t store_n_migrations = ARRAY_SIZE(store_migrations);
