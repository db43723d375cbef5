/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Migrations: each once, in order, whole or not at all; newer and foreign files are left alone. */
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/support/store-bench.h"

static const struct store_migration steps[] = {
	{ 1, "PRAGMA application_id = 0x47705666; CREATE TABLE t (a TEXT);"
	     "INSERT INTO t VALUES ('one')" },
	{ 2, "ALTER TABLE t ADD COLUMN b TEXT; INSERT INTO t VALUES ('two', 'b')" },
	{ 3, "INSERT INTO t VALUES ('three', 'b')" },
};

static const struct store_migration broken_steps[] = {
	{ 1, "PRAGMA application_id = 0x47705666; CREATE TABLE t (a TEXT);" },
	{ 2, "INSERT INTO t VALUES ('kept?'); INSERT INTO no_such_table VALUES (1)" },
};

static sqlite3 *open_memory(void)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	return db;
}

static void run(sqlite3 *db, const char *sql)
{
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static int number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement = NULL;
	int n;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	n = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return n;
}

static void upgrade(sqlite3 *db, const struct store_migration *m, size_t n)
{
	_cleanup_free_ char *message = NULL;

	assert_int_equal(store_schema_upgrade(db, directory, m, n, &message), 0);
	assert_null(message);
}

static void refuse(sqlite3 *db, const struct store_migration *m, size_t n, int r, const char *word)
{
	_cleanup_free_ char *message = NULL;

	assert_int_equal(store_schema_upgrade(db, directory, m, n, &message), r);
	assert_non_null(message);
	assert_non_null(strstr(message, word));
}

static void test_twice_is_once(void **state)
{
	sqlite3 *db = open_memory();
	int changes;

	upgrade(db, store_migrations, store_n_migrations);
	assert_int_equal(number(db, "PRAGMA user_version"), store_schema_version());
	run(db, "INSERT INTO job (id, doc) VALUES ('1', '{\"state\":\"queued\",\"user\":\"eve\"}')");

	changes = number(db, "SELECT total_changes()");
	upgrade(db, store_migrations, store_n_migrations);
	assert_int_equal(number(db, "SELECT total_changes()"), changes);
	assert_int_equal(number(db, "SELECT count(*) FROM job WHERE state = 'queued'"
				    " AND user = 'eve'"), 1);
	sqlite3_close(db);
}

static void test_every_kind_has_a_table(void **state)
{
	sqlite3 *db = open_memory();
	char sql[64];
	int kind;

	upgrade(db, store_migrations, store_n_migrations);
	for (kind = 0; kind < STORE_KIND_MAX; kind++) {
		assert_non_null(store_kind_table(kind));
		snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", store_kind_table(kind));
		assert_int_equal(number(db, sql), 0);
	}
	sqlite3_close(db);
}

/* Schema 3: who had a VF in use had its memory; who was only promised one, or has none, did not. */
static void test_last_users(void **state)
{
	sqlite3 *db = open_memory();

	upgrade(db, store_migrations, 2);
	run(db, "INSERT INTO lease (id, doc) VALUES"
		" ('a', '{\"state\":\"attached\",\"owner\":\"vm\",\"uid\":7}'),"
		" ('b', '{\"state\":\"resetting\",\"owner\":\"job\",\"uid\":8}'),"
		" ('c', '{\"state\":\"leased\",\"owner\":\"vm\",\"uid\":7}'),"
		" ('d', '{\"state\":\"free\",\"owner\":\"none\",\"uid\":7}'),"
		" ('e', 'damaged')");
	upgrade(db, store_migrations, store_n_migrations);
	assert_int_equal(number(db, "SELECT json_extract(doc, '$.last_uid') FROM lease WHERE id = 'a'"), 7);
	assert_int_equal(number(db, "SELECT json_extract(doc, '$.last_uid') FROM lease WHERE id = 'b'"), 8);
	assert_int_equal(number(db, "SELECT count(*) FROM lease WHERE doc LIKE '%last_uid%'"), 2);
	assert_int_equal(number(db, "SELECT count(*) FROM lease WHERE doc = 'damaged'"), 1);
	sqlite3_close(db);
}

static void test_versions_are_in_order(void **state)
{
	size_t i;

	for (i = 0; i < store_n_migrations; i++)
		assert_int_equal(store_migrations[i].version, i + 1);
}

static void test_each_step_from_each_version(void **state)
{
	size_t have;

	for (have = 1; have <= ARRAY_SIZE(steps); have++) {
		sqlite3 *db = open_memory();

		upgrade(db, steps, have);
		assert_int_equal(number(db, "PRAGMA user_version"), have);
		upgrade(db, steps, ARRAY_SIZE(steps));
		assert_int_equal(number(db, "PRAGMA user_version"), 3);
		assert_int_equal(number(db, "SELECT count(*) FROM t"), 3);
		sqlite3_close(db);
	}
}

static void test_failed_step_leaves_nothing(void **state)
{
	sqlite3 *db = open_memory();

	upgrade(db, broken_steps, 1);
	refuse(db, broken_steps, ARRAY_SIZE(broken_steps), -EIO, "no_such_table");
	assert_int_equal(number(db, "PRAGMA user_version"), 1);
	assert_int_equal(number(db, "SELECT count(*) FROM t"), 0);
	assert_true(sqlite3_get_autocommit(db));
	sqlite3_close(db);
}

static void test_newer_is_refused(void **state)
{
	sqlite3 *db = open_memory();

	upgrade(db, steps, 3);
	refuse(db, steps, 2, -EPROTONOSUPPORT, "newer gpuvfd");
	assert_int_equal(number(db, "PRAGMA user_version"), 3);
	sqlite3_close(db);
}

static void test_foreign_is_refused(void **state)
{
	sqlite3 *db = open_memory();

	run(db, "CREATE TABLE bookmarks (url TEXT)");
	refuse(db, store_migrations, store_n_migrations, -EMEDIUMTYPE, "another program");
	assert_int_equal(number(db, "SELECT count(*) FROM sqlite_master"), 1);
	sqlite3_close(db);
}

/* ---- the copy before an upgrade ---- */

static sqlite3 *open_file(const char *name)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path_of(name), &db), SQLITE_OK);
	return db;
}

static void test_a_copy_is_kept(void **state)
{
	sqlite3 *db = open_file("state.db"), *copy;
	struct stat st;

	upgrade(db, steps, 1);
	assert_int_equal(access(path_of("state.db.schema-0.bak"), F_OK), -1);
	upgrade(db, steps, 3);
	sqlite3_close(db);

	assert_int_equal(stat(path_of("state.db.schema-1.bak"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	copy = open_file("state.db.schema-1.bak");
	assert_int_equal(number(copy, "PRAGMA user_version"), 1);
	assert_int_equal(number(copy, "PRAGMA application_id"), 0x47705666);
	assert_int_equal(number(copy, "SELECT count(*) FROM t"), 1);
	sqlite3_close(copy);
	assert_int_equal(access(path_of("state.db.schema-1.bak.new"), F_OK), -1);
}

static void test_few_copies_are_kept(void **state)
{
	static const struct store_migration many[] = {
		{ 1, "PRAGMA application_id = 0x47705666; CREATE TABLE t (a TEXT)" },
		{ 2, "SELECT 1" }, { 3, "SELECT 1" }, { 4, "SELECT 1" }, { 5, "SELECT 1" }, { 6, "SELECT 1" },
	};
	sqlite3 *db = open_file("state.db");
	size_t n;

	for (n = 1; n <= ARRAY_SIZE(many); n++)
		upgrade(db, many, n);
	sqlite3_close(db);
	assert_int_equal(access(path_of("state.db.schema-2.bak"), F_OK), -1);
	assert_int_equal(access(path_of("state.db.schema-3.bak"), F_OK), 0);
	assert_int_equal(access(path_of("state.db.schema-5.bak"), F_OK), 0);
}

static void test_no_copy_no_upgrade(void **state)
{
	sqlite3 *db = open_file("state.db");

	upgrade(db, steps, 1);
	/* Nothing can be put where a folder with something in it is. */
	assert_int_equal(mkdir(path_of("state.db.schema-1.bak"), 0700), 0);
	assert_int_equal(mkdir(path_of("state.db.schema-1.bak/x"), 0700), 0);
	refuse(db, steps, 3, -EISDIR, "no copy of it could be made");
	assert_int_equal(number(db, "PRAGMA user_version"), 1);
	assert_int_equal(access(path_of("state.db.schema-1.bak.new"), F_OK), -1);
	sqlite3_close(db);
}

/* ---- kill -9 at every step ---- */

static const char *deadly;
static unsigned deadly_count;

static void die_at(const char *name)
{
	if (streq(name, deadly) && deadly_count-- == 0)
		raise(SIGKILL);
}

static void upgrade_in_child(const char *step, unsigned count, bool dies)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		_cleanup_free_ char *message = NULL;
		sqlite3 *db = open_file("state.db");

		deadly = step;
		deadly_count = count;
		store_step_hook = die_at;
		_exit(store_schema_upgrade(db, directory, steps, 3, &message) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WIFSIGNALED(status) ? WTERMSIG(status) : 0, dies ? SIGKILL : 0);
}

/* The old schema or the new one, whole, and the next daemon gets to the new one. */
static void check_after_kill(const char *step)
{
	sqlite3 *db = open_file("state.db");
	int version = number(db, "PRAGMA user_version"), rows = number(db, "SELECT count(*) FROM t");

	if (streq(step, "migration-committed"))
		assert_int_equal(version, 3);
	else
		assert_int_equal(version, 1);
	assert_int_equal(rows, version);
	upgrade(db, steps, 3);
	assert_int_equal(number(db, "PRAGMA user_version"), 3);
	assert_int_equal(number(db, "SELECT count(*) FROM t"), 3);
	sqlite3_close(db);
	db = open_file("state.db.schema-1.bak");
	assert_int_equal(number(db, "SELECT count(*) FROM t"), 1);
	sqlite3_close(db);
}

static void test_killed_at_each_step(void **state)
{
	static const struct {
		const char *step;
		unsigned count;
	} kills[] = {
		{ "backup-begun", 0 },	  { "backup-written", 0 }, { "backup-kept", 0 }, { "migration-begun", 0 },
		{ "migration-step", 0 },  { "migration-step", 1 }, { "migration-committed", 0 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kills); i++) {
		sqlite3 *db = open_file("state.db");

		run(db, "PRAGMA journal_mode = WAL");
		upgrade(db, steps, 1);
		sqlite3_close(db);
		upgrade_in_child(kills[i].step, kills[i].count, true);
		check_after_kill(kills[i].step);
		clear_directory();
	}
	upgrade_in_child("no such step", 0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_twice_is_once),
		STORE_TEST(test_every_kind_has_a_table),
		STORE_TEST(test_last_users),
		STORE_TEST(test_versions_are_in_order),
		STORE_TEST(test_each_step_from_each_version),
		STORE_TEST(test_failed_step_leaves_nothing),
		STORE_TEST(test_newer_is_refused),
		STORE_TEST(test_foreign_is_refused),
		STORE_TEST(test_a_copy_is_kept),
		STORE_TEST(test_few_copies_are_kept),
		STORE_TEST(test_no_copy_no_upgrade),
		STORE_TEST(test_killed_at_each_step),
	};

	return cmocka_run_group_tests_name("store-schema", tests, NULL, NULL);
}
