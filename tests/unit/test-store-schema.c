/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Migrations: each once, in order, whole or not at all; newer and foreign files are left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/store-internal.h"

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

	assert_int_equal(store_schema_upgrade(db, "state.db", m, n, &message), 0);
	assert_null(message);
}

static void refuse(sqlite3 *db, const struct store_migration *m, size_t n, int r, const char *word)
{
	_cleanup_free_ char *message = NULL;

	assert_int_equal(store_schema_upgrade(db, "state.db", m, n, &message), r);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_twice_is_once),
		cmocka_unit_test(test_every_kind_has_a_table),
		cmocka_unit_test(test_versions_are_in_order),
		cmocka_unit_test(test_each_step_from_each_version),
		cmocka_unit_test(test_failed_step_leaves_nothing),
		cmocka_unit_test(test_newer_is_refused),
		cmocka_unit_test(test_foreign_is_refused),
	};

	return cmocka_run_group_tests_name("store-schema", tests, NULL, NULL);
}
