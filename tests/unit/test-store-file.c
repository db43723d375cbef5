/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.db that is cut short, damaged, missing, old, somebody else's: refused with the way back and left as it is,
 * or nothing of it is lost. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/io.h"
#include "tests/support/store-bench.h"

#define ROWS 120

/* ---- states to be damaged ---- */

static void put_rows(struct store *s, unsigned from, unsigned to)
{
	char id[16];

	for (unsigned i = from; i < to; i++) {
		snprintf(id, sizeof(id), "%06u", i);
		store_submit(s, batch_put(STORE_JOB, id, json_pack("{s:s,s:s,s:i}", "state", "queued", "user",
								   "eve", "n", (int)i)),
			     NULL, NULL);
		store_flush(s); /* one transaction each */
	}
}

static void make_state(unsigned n)
{
	struct store *s = open_store();

	put_rows(s, 0, n);
	store_free(s);
}

/* All of it is in state.db-wal. */
static void make_state_and_die(unsigned n)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		put_rows(open_store(), 0, n);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGKILL);
}

static char *slurp(const char *name, size_t *ret_size)
{
	char *text = NULL;

	assert_int_equal(read_file_at(AT_FDCWD, path_of(name), 64 << 20, &text, ret_size), 0);
	return text;
}

static void spill(const char *name, const char *data, size_t size)
{
	assert_int_equal(write_file_atomic_at(AT_FDCWD, path_of(name), data, size, 0600), 0);
}

static off_t size_of(const char *name)
{
	struct stat st;

	return stat(path_of(name), &st) < 0 ? -1 : st.st_size;
}

static void assert_same(const char *name, const char *data, size_t size)
{
	size_t now_size;
	_cleanup_free_ char *now = slurp(name, &now_size);

	assert_int_equal(now_size, size);
	assert_memory_equal(now, data, size);
}

static void count_aside(void *userdata, const char *kind, const char *id, const char *at, const char *why)
{
	++*(unsigned *)userdata;
}

/* Jobs that are there, and rows that were put aside. */
static unsigned count_rows(struct store *s, unsigned *ret_aside)
{
	json_t *rows = load(s, STORE_JOB);
	unsigned n = (unsigned)json_object_size(rows);

	json_decref(rows);
	*ret_aside = 0;
	assert_int_equal(store_aside(s, count_aside, ret_aside), 0);
	return n;
}

/* ---- damaged ---- */

static void test_garbage(void **state)
{
	char garbage[8000];

	memset(garbage, 'g', sizeof(garbage));
	spill("state.db", garbage, sizeof(garbage));
	refuse_store(-EBADMSG, "is damaged");
	refuse_store(-EBADMSG, "--restore-backup FILE");
	refuse_store(-EBADMSG, "mv ");
	assert_same("state.db", garbage, sizeof(garbage));
	/* However often it is started: one copy. */
	assert_int_equal(count_files("state.db.damaged-"), 1);
}

static void test_few_copies_of_damaged_files(void **state)
{
	for (int i = 0; i < 5; i++) {
		struct timespec times[2] = { { .tv_sec = 1000000 + i }, { .tv_sec = 1000000 + i } };

		spill("state.db", "garbage", 7);
		assert_int_equal(utimensat(AT_FDCWD, path_of("state.db"), times, 0), 0);
		refuse_store(-EBADMSG, i < 3 ? "a copy of it is " : "no copy of it could be made");
	}
	assert_int_equal(count_files("state.db.damaged-"), 3);
}

static void test_cut_short(void **state)
{
	size_t size, cut;
	_cleanup_free_ char *whole = NULL;

	make_state(ROWS);
	whole = slurp("state.db", &size);
	assert_true(size > 10 * 4096);
	for (cut = 0; cut < size; cut += cut < 128 ? 16 : 4096 - cut % 4096 ? 4096 - cut % 4096 : 4096) {
		spill("state.db", whole, cut);
		refuse_store(cut ? -EBADMSG : -ENODATA, cut ? "is damaged" : "is empty");
		assert_int_equal(size_of("state.db"), (off_t)cut);
	}
	spill("state.db", whole, size - 1);
	refuse_store(-EBADMSG, "is damaged");
	spill("state.db", whole, size);
	store_free(open_store());
}

/* Bytes that changed: refused, or every row is there or was put aside. */
static void test_changed_bytes(void **state)
{
	unsigned seed = getenv("GPUVF_SEED") ? (unsigned)atoi(getenv("GPUVF_SEED")) : (unsigned)getpid();
	unsigned refusals = 0, asides = 0;
	size_t size;
	_cleanup_free_ char *whole = NULL;

	print_message("# GPUVF_SEED=%u\n", seed);
	srand(seed);
	make_state(ROWS);
	whole = slurp("state.db", &size);
	for (int round = 0; round < 150; round++) {
		_cleanup_free_ char *message = NULL, *copy = malloc(size);
		struct store *s = NULL;
		unsigned aside, n;

		memcpy(copy, whole, size);
		for (int i = 0; i < 1 + round % 20; i++)
			copy[(size_t)rand() % size] ^= (char)(1 << rand() % 8);
		clear_directory();
		spill("state.db", copy, size);
		if (store_open(directory, &s, &message) < 0) {
			assert_non_null(strstr(message, "state.db"));
			assert_same("state.db", copy, size);
			refusals++;
			continue;
		}
		n = count_rows(s, &aside);
		if (n + aside != ROWS)
			fail_msg("round %d: %u rows are there and %u aside, of %d", round, n, aside, ROWS);
		asides += aside;
		store_free(s);
	}
	/* Both happen, or this tests nothing. */
	assert_true(refusals > 0);
	assert_true(asides > 0);
}

static void test_table_is_missing(void **state)
{
	make_state(1);
	run_sql("state.db", "DROP TABLE lease");
	refuse_store(-EBADMSG, "lease");
}

/* One bit of a name: SQLite finds nothing wrong with it. */
static void test_changed_definition(void **state)
{
	static const char *const changes[] = { "at TEXT",		 "ay TEXT",
					       "job_user",		 "job_usex",
					       "$.state",		 "$.statd",
					       "sqlite_sequence(name,seq)", "sqlite_sequence(name,seu)",
					       "indexjob_userjob",	 "indexjob_userjoc" };
	size_t size;

	for (size_t i = 0; i < ARRAY_SIZE(changes); i += 2) {
		_cleanup_free_ char *whole = NULL;
		char *at;

		clear_directory();
		make_state(1);
		whole = slurp("state.db", &size);
		at = memmem(whole, size, changes[i], strlen(changes[i]));
		assert_non_null(at);
		memcpy(at, changes[i + 1], strlen(changes[i + 1]));
		spill("state.db", whole, size);
		refuse_store(-EBADMSG, "is damaged");
		assert_same("state.db", whole, size);
	}
}

/* What a large file is not checked for is the audit trail. */
static void test_large_file(void **state)
{
	static const struct {
		const char *table;
		int r;
	} rows[] = { { "job", -EBADMSG }, { "audit", 0 } };
	off_t before = store_check_whole_max;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char sql[128], page[4096];
		_cleanup_free_ char *whole = NULL;
		int64_t root;
		size_t size;

		clear_directory();
		make_state(1);
		snprintf(sql, sizeof(sql), "SELECT rootpage FROM sqlite_master WHERE name = '%s'", rows[i].table);
		root = ask_sql("state.db", sql);
		whole = slurp("state.db", &size);
		memset(page, 0x5a, sizeof(page));
		memcpy(whole + (root - 1) * 4096, page, sizeof(page));
		spill("state.db", whole, size);
		store_check_whole_max = 0;
		if (rows[i].r < 0)
			refuse_store(rows[i].r, "is damaged");
		else
			store_free(open_store());
		store_check_whole_max = before;
		refuse_store(-EBADMSG, "is damaged");
	}
}

/* ---- transactions that are lost ---- */

static void test_wal_cut_short(void **state)
{
	size_t size, wal_size, mark_size;
	_cleanup_free_ char *db = NULL, *wal = NULL, *mark = NULL;
	unsigned aside;
	struct store *s;

	make_state_and_die(30);
	db = slurp("state.db", &size);
	wal = slurp("state.db-wal", &wal_size);
	mark = slurp("state.mark", &mark_size);
	for (size_t cut = 0; cut < wal_size; cut += 1 + wal_size / 40) {
		clear_directory();
		spill("state.db", db, size);
		spill("state.db-wal", wal, cut);
		spill("state.mark", mark, mark_size);
		refuse_store(-ESTALE, "has lost its last changes");
		refuse_store(-ESTALE, "--restore-backup");
		assert_same("state.db-wal", wal, cut);
	}
	assert_int_equal(unlink(path_of("state.db-wal")), 0);
	refuse_store(-ESTALE, "has lost its last changes");

	clear_directory();
	spill("state.db", db, size);
	spill("state.db-wal", wal, wal_size);
	spill("state.mark", mark, mark_size);
	s = open_store();
	assert_int_equal(count_rows(s, &aside), 30);
	store_free(s);
}

static void test_old_copy(void **state)
{
	size_t size;
	_cleanup_free_ char *old = NULL;
	struct store *s;

	make_state(5);
	old = slurp("state.db", &size);
	s = open_store();
	put_rows(s, 5, 6);
	store_free(s);
	spill("state.db", old, size);
	refuse_store(-ESTALE, "an older copy was put in its place");
}

/* A mark that is behind, as after a power cut, or that makes no sense. */
static void test_mark_that_knows_less(void **state)
{
	static const char *const marks[] = { "gpuvf state, transactions: 00000000000000000001\n", "what?", "" };
	unsigned aside;

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		struct store *s;

		clear_directory();
		make_state(5);
		spill("state.mark", marks[i], strlen(marks[i]));
		s = open_store();
		assert_int_equal(count_rows(s, &aside), 5);
		store_free(s);
		spill("state.mark", marks[i], strlen(marks[i]));
		assert_int_equal(unlink(path_of("state.db")), 0);
		refuse_store(-ENODATA, "there was state here");
	}
}

/* ---- nothing there ---- */

static void test_missing(void **state)
{
	make_state(1);
	assert_int_equal(unlink(path_of("state.db")), 0);
	refuse_store(-ENODATA, "is missing");
	refuse_store(-ENODATA, "state.mark");
	refuse_store(-ENODATA, "mv ");
	assert_int_equal(size_of("state.db"), -1);

	spill("state.db", "", 0);
	refuse_store(-ENODATA, "is empty");
	assert_int_equal(size_of("state.db"), 0);

	/* An empty database of SQLite's is not ours either. */
	run_sql("state.db", "CREATE TABLE t (a); DROP TABLE t");
	refuse_store(-ENODATA, "is an empty database");

	/* State of before there were marks. */
	clear_directory();
	assert_int_equal(mkdir(path_of("jobs"), 0700), 0);
	refuse_store(-ENODATA, "jobs/");
	clear_directory();
	spill("state.db-wal", "some of it", 10);
	refuse_store(-ENODATA, "state.db-wal");
}

static void test_fresh(void **state)
{
	/* Somebody died over the first start. */
	spill("state.db", "", 0);
	make_state(1);
	assert_int_equal(size_of("state.mark"), 48);
	assert_int_equal(unlink(path_of("state.mark")), 0);
	store_free(open_store());
	assert_int_equal(size_of("state.mark"), 48);
}

/* ---- whose it is ---- */

/* Whoever makes the first state.db dies inside a page of it: SQLite's journal takes back what there is. */
static void test_died_while_making_it(void **state)
{
	static const char rows[] =
		"PRAGMA cache_size = 2; BEGIN; CREATE TABLE t (doc TEXT);"
		"INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)"
		" SELECT hex(randomblob(500)) FROM n";
	unsigned aside;
	struct store *s;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		sqlite3 *db = NULL;

		(void)umask(077);
		if (sqlite3_open(path_of("state.db"), &db) == SQLITE_OK)
			(void)sqlite3_exec(db, rows, NULL, NULL, NULL);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(size_of("state.db-journal") > 0);
	assert_true(size_of("state.db") > 4096);
	assert_int_equal(truncate(path_of("state.db"), size_of("state.db") - 1000), 0);

	s = open_store();
	assert_int_equal(count_rows(s, &aside), 0);
	store_free(s);
}

static void test_owner_and_mode(void **state)
{
	static const char *const names[] = { "state.db", "state.db-wal", "state.db-shm" };
	struct stat st;

	make_state(1);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (i > 0)
			spill(names[i], "", 0);
		assert_int_equal(chmod(path_of(names[i]), 0620), 0);
		refuse_store(-EPERM, "others can write");
		refuse_store(-EPERM, "chmod 0600");
		assert_int_equal(chmod(path_of(names[i]), 0600), 0);
		if (geteuid() == 0) {
			assert_int_equal(chown(path_of(names[i]), 65534, 65534), 0);
			refuse_store(-EPERM, "belongs to uid 65534");
			refuse_store(-EPERM, "chown 0 ");
			assert_int_equal(chown(path_of(names[i]), 0, 0), 0);
		}
		if (i > 0)
			assert_int_equal(unlink(path_of(names[i])), 0);
	}
	assert_int_equal(chmod(path_of("state.db"), 0644), 0);
	store_free(open_store());
	assert_int_equal(stat(path_of("state.db"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_cannot_be_written(void **state)
{
	bool root = geteuid() == 0;

	/* Root writes to everything: it is somebody else for a moment. */
	if (root)
		assert_int_equal(chown(directory, 65534, 65534) < 0 || seteuid(65534) < 0, 0);
	make_state(1);
	assert_int_equal(chmod(path_of("state.db"), 0400), 0);
	refuse_store(-EACCES, "cannot be written");
	if (root)
		assert_int_equal(seteuid(0), 0);
}

static void test_no_file(void **state)
{
	assert_int_equal(symlink("/tmp/elsewhere", path_of("state.db")), 0);
	refuse_store(-ELOOP, "state.db is a link");
	clear_directory();
	assert_int_equal(mkdir(path_of("state.db"), 0700), 0);
	refuse_store(-EINVAL, "not a regular file");
}

static void test_another_program(void **state)
{
	run_sql("state.db", "CREATE TABLE bookmarks (url TEXT)");
	refuse_store(-EMEDIUMTYPE, "another program");
	assert_int_equal(ask_sql("state.db", "SELECT count(*) FROM bookmarks"), 0);
}

/* ---- other schemas ---- */

static void make_first_schema(void)
{
	run_sql("state.db", "PRAGMA journal_mode = WAL");
	run_sql("state.db", store_migrations[0].sql);
	run_sql("state.db", "PRAGMA user_version = 1;"
			    "INSERT INTO job (id, doc) VALUES ('1', '{\"state\":\"queued\",\"user\":\"eve\"}');"
			    "INSERT INTO audit (id, doc) VALUES ('1', '{}')");
	assert_int_equal(chmod(path_of("state.db"), 0600), 0);
}

static void test_first_schema_is_brought_up(void **state)
{
	unsigned aside;
	struct store *s;

	make_first_schema();
	s = open_store();
	assert_int_equal(count_rows(s, &aside), 1);
	put_rows(s, 2, 3);
	store_free(s);
	assert_int_equal(ask_sql("state.db", "PRAGMA user_version"), store_schema_version());
	assert_int_equal(ask_sql("state.db", "SELECT count(*) FROM job WHERE state = 'queued' AND user = 'eve'"), 2);
	assert_int_equal(ask_sql("state.db.schema-1.bak", "PRAGMA user_version"), 1);
	/* Such a file, put back by hand, is an old copy. */
	clear_directory();
	make_first_schema();
	spill("state.mark", "gpuvf state, transactions: 00000000000000000001\n", 48);
	refuse_store(-ESTALE, "an older copy");
}

static void test_newer_schema(void **state)
{
	_cleanup_free_ char *before = NULL;
	char sql[64];
	size_t size;

	make_state(3);
	snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", store_schema_version() + 1);
	run_sql("state.db", sql);
	before = slurp("state.db", &size);
	refuse_store(-EPROTONOSUPPORT, "newer gpuvfd");
	refuse_store(-EPROTONOSUPPORT, "--restore-backup");
	assert_same("state.db", before, size);
}

/* ---- rows that cannot be read ---- */

static int refuse_two(void *userdata, const char *id, const json_t *doc)
{
	++*(unsigned *)userdata;
	return streq(id, "000002") ? -EBADMSG : 0;
}

static void test_row_makes_no_sense(void **state)
{
	struct store *s;
	unsigned aside, seen = 0;

	make_state(5);
	s = open_store();
	assert_int_equal(store_load(s, STORE_JOB, refuse_two, &seen), 0);
	assert_int_equal(seen, 5);
	assert_int_equal(count_rows(s, &aside), 4);
	assert_int_equal(aside, 1);
	store_free(s);
	assert_int_equal(ask_sql("state.db", "SELECT count(*) FROM aside WHERE kind = 'job' AND id = '000002'"
					     " AND json_extract(doc, '$.n') = 2 AND why <> '' AND at <> ''"),
			 1);
	s = open_store();
	assert_int_equal(count_rows(s, &aside), 4);
	assert_int_equal(aside, 1);
	store_free(s);
}

/* A document that changed on the disk: its indexes still have what it was. */
static void test_row_is_no_json(void **state)
{
	static const char was[] = "{\"state\":\"queued\",\"user\":\"eve\",\"n\":3}";
	_cleanup_free_ char *whole = NULL;
	char *row;
	struct store *s;
	unsigned aside;
	size_t size;

	make_state(5);
	whole = slurp("state.db", &size);
	row = memmem(whole, size, was, strlen(was));
	assert_non_null(row);
	memcpy(row, "{\"stale\":'", 10);
	spill("state.db", whole, size);
	s = open_store();
	assert_int_equal(count_rows(s, &aside), 4);
	assert_int_equal(aside, 1);
	store_free(s);
	assert_int_equal(ask_sql("state.db", "SELECT count(*) FROM aside WHERE doc LIKE '{\"stale\"%' AND why LIKE"
					     " 'it is no JSON%'"),
			 1);
	/* Its indexes did not agree with it: what was found is kept. */
	assert_int_equal(count_files("state.db.damaged-"), 1);
	store_free(open_store());
}

/* ---- the way back ---- */

static void restore(const char *name, int expected, const char *word)
{
	_cleanup_free_ char *file = strdup(path_of(name)), *kept = NULL, *message = NULL;
	int r = store_restore(directory, file, &kept, &message);

	if (r != expected)
		fail_msg("%d instead of %d: %s", r, expected, strempty(message));
	if (r < 0 && !strstr(strempty(message), word))
		fail_msg("\"%s\" is not in: %s", word, strempty(message));
	if (r == 0 && word) {
		assert_non_null(kept);
		assert_non_null(strstr(kept, word));
	}
}

static void make_backup_and_damage(void)
{
	make_first_schema();
	store_free(open_store()); /* leaves state.db.schema-1.bak */
	spill("state.db", "damaged", 7);
	refuse_store(-EBADMSG, "state.db.schema-1.bak");
}

static void assert_restored(void)
{
	struct store *s = open_store();
	json_t *meta = load(s, STORE_META);
	unsigned aside;

	assert_int_equal(count_rows(s, &aside), 1);
	assert_true(json_get_uint(json_object_get(meta, "restored"), "at", 0) > 0);
	json_decref(meta);
	store_free(s);
}

static void test_restore(void **state)
{
	struct stat st;

	make_backup_and_damage();
	restore("state.db.schema-1.bak", 0, "state.db.replaced-");
	assert_restored();
	assert_int_equal(stat(path_of("state.db"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(count_files("state.db.replaced-"), 1);
	/* Again: nothing that was kept is written over. */
	restore("state.db.schema-1.bak", 0, "state.db.replaced-");
	assert_int_equal(count_files("state.db.replaced-"), 2);
	assert_restored();
}

static void test_restore_what_has_lost_some(void **state)
{
	struct store *s;
	unsigned aside;
	json_t *meta;

	make_state(3);
	spill("state.mark", "gpuvf state, transactions: 00000000000000000999\n", 48);
	refuse_store(-ESTALE, "state.db");
	restore("state.db", 0, "state.db.replaced-");
	s = open_store();
	assert_int_equal(count_rows(s, &aside), 3);
	meta = load(s, STORE_META);
	assert_non_null(json_object_get(meta, "restored"));
	json_decref(meta);
	store_free(s);
}

/* A copy that somebody made with cp while the daemon ran: its -wal belongs to it. */
static void test_restore_with_wal(void **state)
{
	size_t size, wal_size;
	_cleanup_free_ char *db = NULL, *wal = NULL;
	struct store *s;
	unsigned aside;

	make_state_and_die(7);
	db = slurp("state.db", &size);
	wal = slurp("state.db-wal", &wal_size);
	clear_directory();
	spill("copy", db, size);
	spill("copy-wal", wal, wal_size);
	restore("copy", 0, NULL);
	s = open_store();
	assert_int_equal(count_rows(s, &aside), 7);
	store_free(s);
}

static void test_restore_is_refused(void **state)
{
	struct store *s;
	char sql[64];

	make_state(2);
	spill("garbage", "garbage", 7);
	restore("garbage", -EBADMSG, "name another copy");
	restore("nowhere", -ENOENT, "nowhere");
	run_sql("foreign", "CREATE TABLE bookmarks (url TEXT)");
	restore("foreign", -EMEDIUMTYPE, "another program");
	run_sql("empty", "CREATE TABLE t (a); DROP TABLE t");
	restore("empty", -ENODATA, "holds no state");
	run_sql("newer", "PRAGMA application_id = 0x47705666; CREATE TABLE meta (id TEXT, doc TEXT)");
	snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", store_schema_version() + 1);
	run_sql("newer", sql);
	restore("newer", -EPROTONOSUPPORT, "newer gpuvfd");
	s = open_store();
	restore("state.db", -EBUSY, "another gpuvfd");
	store_free(s);
	/* None of it changed anything. */
	assert_int_equal(count_files("state.db.replaced-"), 0);
	assert_int_equal(ask_sql("state.db", "SELECT count(*) FROM job"), 2);
}

static const char *deadly;
static unsigned deadly_count;

static void die_at(const char *name)
{
	if (streq(name, deadly) && deadly_count-- == 0)
		raise(SIGKILL);
}

static void test_killed_while_restoring(void **state)
{
	static const struct {
		const char *step;
		unsigned count;
	} kills[] = {
		{ "restore-written", 0 }, { "restore-marked", 0 }, { "restore-moved", 0 }, { "restore-moved", 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kills); i++) {
		pid_t pid;
		int status;

		clear_directory();
		make_backup_and_damage();
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			deadly = kills[i].step;
			deadly_count = kills[i].count;
			store_step_hook = die_at;
			restore("state.db.schema-1.bak", 0, NULL);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		/* What is there is the damaged file or none: nothing is begun, and the way back is open still. */
		refuse_store(size_of("state.db") < 0 ? -ENODATA : -EBADMSG, "--restore-backup");
		restore("state.db.schema-1.bak", 0, NULL);
		assert_restored();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_garbage),
		STORE_TEST(test_few_copies_of_damaged_files),
		STORE_TEST(test_cut_short),
		STORE_TEST(test_changed_bytes),
		STORE_TEST(test_changed_definition),
		STORE_TEST(test_table_is_missing),
		STORE_TEST(test_large_file),
		STORE_TEST(test_wal_cut_short),
		STORE_TEST(test_old_copy),
		STORE_TEST(test_mark_that_knows_less),
		STORE_TEST(test_missing),
		STORE_TEST(test_fresh),
		STORE_TEST(test_died_while_making_it),
		STORE_TEST(test_owner_and_mode),
		STORE_TEST(test_cannot_be_written),
		STORE_TEST(test_no_file),
		STORE_TEST(test_another_program),
		STORE_TEST(test_first_schema_is_brought_up),
		STORE_TEST(test_newer_schema),
		STORE_TEST(test_row_makes_no_sense),
		STORE_TEST(test_row_is_no_json),
		STORE_TEST(test_restore),
		STORE_TEST(test_restore_what_has_lost_some),
		STORE_TEST(test_restore_with_wal),
		STORE_TEST(test_restore_is_refused),
		STORE_TEST(test_killed_while_restoring),
	};

	return cmocka_run_group_tests_name("store-file", tests, NULL, NULL);
}
