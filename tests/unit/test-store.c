/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store: what was committed is there again, in order, whatever dies; what failed is not. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/support/store-bench.h"

#define DEADLINE_MS 30000

/* The fates of batches, in the order in which they were told. */
struct fates {
	int r[64];
	size_t n;
};

static void on_done(void *userdata, int r, const char *message)
{
	struct fates *fates = userdata;

	assert_true(r == 0 ? !message : message != NULL);
	assert_true(fates->n < ARRAY_SIZE(fates->r));
	fates->r[fates->n++] = r;
}

static void test_rows_come_back(void **state)
{
	struct store *s = open_store();
	struct fates fates = { 0 };
	struct store_batch *b;
	const char *first;
	json_t *rows;

	b = batch_put(STORE_JOB, "0002", json_pack("{s:s,s:s}", "state", "queued", "user", "eve"));
	assert_int_equal(store_batch_put(b, STORE_JOB, "0001", json_pack("{s:s}", "state", "held")),
			 0);
	assert_int_equal(store_submit(s, b, on_done, &fates), 0);
	b = batch_put(STORE_JOB, "0002", json_pack("{s:s}", "state", "r\xc3\xbcnning"));
	assert_int_equal(store_submit(s, b, on_done, &fates), 0);
	b = batch_put(STORE_META, "next_job", json_integer(3));
	assert_int_equal(store_submit(s, b, NULL, NULL), 0);
	store_flush(s);
	assert_int_equal(fates.n, 2);
	assert_int_equal(fates.r[0], 0);
	assert_int_equal(fates.r[1], 0);
	store_free(s);

	s = open_store();
	rows = load(s, STORE_JOB);
	assert_int_equal(json_object_size(rows), 2);
	first = json_object_iter_key(json_object_iter(rows));
	assert_string_equal(first, "0001");
	assert_string_equal(json_get_string(json_object_get(rows, "0002"), "state"),
			    "r\xc3\xbcnning");
	json_decref(rows);
	rows = load(s, STORE_META);
	assert_int_equal(json_get_uint(rows, "next_job", 0), 3);
	json_decref(rows);
	store_free(s);
}

static void test_deletes(void **state)
{
	struct store *s = open_store();
	struct store_batch *b = store_batch_new();
	char id[16];
	json_t *rows;
	int i;

	assert_true(store_batch_is_empty(b));
	for (i = 0; i < 10; i++) {
		snprintf(id, sizeof(id), "%06d", i);
		assert_int_equal(store_batch_put(b, STORE_EVENT, id, json_integer(i)), 0);
	}
	assert_int_equal(store_batch_delete_before(b, STORE_EVENT, "000007"), 0);
	assert_int_equal(store_batch_delete(b, STORE_EVENT, "000008"), 0);
	assert_int_equal(store_batch_delete(b, STORE_EVENT, "never there"), 0);
	assert_false(store_batch_is_empty(b));
	store_submit(s, b, NULL, NULL);
	store_flush(s);

	rows = load(s, STORE_EVENT);
	assert_int_equal(json_object_size(rows), 2);
	assert_non_null(json_object_get(rows, "000007"));
	assert_non_null(json_object_get(rows, "000009"));
	json_decref(rows);
	store_free(s);
}

/* The loop's way: wait for the descriptor, then dispatch. */
static void test_descriptor_wakes(void **state)
{
	struct store *s = open_store();
	struct pollfd p = { .fd = store_fd(s), .events = POLLIN };
	struct fates fates = { 0 };

	assert_int_equal(poll(&p, 1, 0), 0);
	store_submit(s, batch_put(STORE_META, "k", json_true()), on_done, &fates);
	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	assert_int_equal(fates.n, 0);
	store_dispatch(s);
	assert_int_equal(fates.n, 1);
	assert_int_equal(poll(&p, 1, 0), 0);
	store_dispatch(s);
	assert_int_equal(fates.n, 1);
	store_free(s);
}

struct chain {
	struct store *store;
	int left;
};

static void submit_next(void *userdata, int r, const char *message)
{
	struct chain *chain = userdata;

	assert_int_equal(r, 0);
	if (chain->left-- > 0)
		store_submit(chain->store, batch_put(STORE_META, "k", json_integer(chain->left)),
			     submit_next, chain);
}

static void test_flush_follows_callbacks(void **state)
{
	struct chain chain = { open_store(), 5 };

	store_submit(chain.store, batch_put(STORE_META, "k", json_null()), submit_next, &chain);
	store_flush(chain.store);
	assert_int_equal(chain.left, -1);
	store_free(chain.store);
}

static void test_free_writes_what_waits(void **state)
{
	struct store *s = open_store();
	json_t *rows;
	char id[16];
	int i;

	for (i = 0; i < 500; i++) {
		snprintf(id, sizeof(id), "%06d", i);
		store_submit(s, batch_put(STORE_OPERATION, id, json_object()), NULL, NULL);
	}
	store_free(s);
	s = open_store();
	rows = load(s, STORE_OPERATION);
	assert_int_equal(json_object_size(rows), 500);
	json_decref(rows);
	store_free(s);
}

static int stop_reading(void *userdata, const char *id, const json_t *doc)
{
	++*(int *)userdata;
	return -ECANCELED;
}

static void test_load_stops(void **state)
{
	struct store *s = open_store();
	struct store_batch *b = batch_put(STORE_GPU, "gpu0", json_object());
	int n = 0;

	store_batch_put(b, STORE_GPU, "gpu1", json_object());
	store_submit(s, b, NULL, NULL);
	store_flush(s);
	assert_int_equal(store_load(s, STORE_GPU, stop_reading, &n), -ECANCELED);
	assert_int_equal(n, 1);
	store_free(s);
}

static void test_put_without_document(void **state)
{
	struct store_batch *b = store_batch_new();

	assert_int_equal(store_batch_put(b, STORE_JOB, "1", NULL), -ENOMEM);
	assert_true(store_batch_is_empty(b));
	store_batch_free(b);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void test_modes(void **state)
{
	struct store *s;
	mode_t before = umask(0);

	/* The store makes the directory itself. */
	assert_int_equal(rmdir(directory), 0);
	s = open_store();
	store_submit(s, batch_put(STORE_META, "k", json_true()), NULL, NULL);
	store_flush(s);
	umask(before);

	assert_int_equal(mode_of(directory), 0700);
	assert_int_equal(mode_of(path_of("state.db")), 0600);
	assert_int_equal(mode_of(path_of("state.db-wal")), 0600);
	assert_int_equal(mode_of(path_of("lock")), 0600);
	store_free(s);
}

static void test_fresh_directory_is_tightened(void **state)
{
	assert_int_equal(chmod(directory, 0777), 0);
	store_free(open_store());
	assert_int_equal(mode_of(directory), 0700);
}

static void test_directory_of_others(void **state)
{
	assert_int_equal(mkdir(path_of("somebody-elses"), 0700), 0);
	assert_int_equal(chmod(directory, 01777), 0);
	refuse_store(-EPERM, "chmod 0700");
	assert_int_equal(mode_of(directory), 01777);
}

static void test_directory_cannot_be_made(void **state)
{
	_cleanup_free_ char *message = NULL;
	struct store *s = NULL;

	assert_int_equal(store_open(path_of("no/such/parent"), &s, &message), -ENOENT);
	assert_non_null(strstr(message, "state directory"));
}

static void test_second_daemon(void **state)
{
	struct store *s = open_store();
	char pid[32];

	snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
	refuse_store(-EBUSY, pid);
	refuse_store(-EBUSY, "--state-dir");
	store_free(s);
	store_free(open_store());
}

/* ---- a disk that is full ---- */

static json_t *large_document(void)
{
	char text[20001];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	return json_pack("{s:s}", "spec", text);
}

static void limit_pages(struct store *s, int n)
{
	char sql[64];

	snprintf(sql, sizeof(sql), "PRAGMA max_page_count = %d", n);
	assert_int_equal(sqlite3_exec(store_database(s), sql, NULL, NULL, NULL), SQLITE_OK);
}

static void test_full_disk_refuses_whole_batches(void **state)
{
	struct store *s = open_store();
	struct fates fates = { 0 };
	struct store_batch *b;
	json_t *rows;

	b = batch_put(STORE_META, "counter", json_integer(1));
	store_submit(s, b, on_done, &fates);
	store_flush(s);

	limit_pages(s, 30);
	b = batch_put(STORE_META, "counter", json_integer(2));
	while (b->n_rows < 20)
		store_batch_put(b, STORE_JOB, b->n_rows % 2 ? "a" : "b", large_document());
	store_batch_put(b, STORE_JOB, "c", large_document());
	store_batch_put(b, STORE_JOB, "d", large_document());
	store_batch_put(b, STORE_JOB, "e", large_document());
	store_submit(s, b, on_done, &fates);
	store_flush(s);
	rows = load(s, STORE_META);
	assert_int_equal(json_get_uint(rows, "counter", 0), 1);
	json_decref(rows);
	rows = load(s, STORE_JOB);
	assert_int_equal(json_object_size(rows), 0);
	json_decref(rows);

	/* What fits goes on being written. */
	store_submit(s, batch_put(STORE_META, "counter", json_integer(3)), on_done, &fates);
	store_flush(s);
	assert_int_equal(fates.n, 3);
	assert_int_equal(fates.r[0], 0);
	assert_int_equal(fates.r[1], -ENOSPC);
	assert_int_equal(fates.r[2], 0);
	store_free(s);

	s = open_store();
	rows = load(s, STORE_META);
	assert_int_equal(json_get_uint(rows, "counter", 0), 3);
	json_decref(rows);
	store_free(s);
}

static void test_failed_write_is_rolled_back(void **state)
{
	struct rlimit before, tight = { 0 };
	struct store *s = open_store();
	struct fates fates = { 0 };
	json_t *rows;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	tight = (struct rlimit){ .rlim_cur = 8192, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	store_submit(s, batch_put(STORE_JOB, "1", large_document()), on_done, &fates);
	store_flush(s);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	store_submit(s, batch_put(STORE_JOB, "2", large_document()), on_done, &fates);
	store_flush(s);
	signal(SIGXFSZ, SIG_DFL);

	assert_int_equal(fates.n, 2);
	assert_int_equal(fates.r[0], -EIO);
	assert_int_equal(fates.r[1], 0);
	store_free(s);
	s = open_store();
	rows = load(s, STORE_JOB);
	assert_int_equal(json_object_size(rows), 1);
	assert_non_null(json_object_get(rows, "2"));
	json_decref(rows);
	store_free(s);
}

/* ---- a daemon that is killed ---- */

struct writer {
	struct store *store;
	int acks;
	uint32_t n_acked;
};

static void ack(void *userdata, int r, const char *message)
{
	struct writer *w = userdata;

	if (r < 0)
		_exit(1);
	w->n_acked++;
	if (write(w->acks, &w->n_acked, sizeof(w->n_acked)) < 0)
		_exit(1);
}

/* Submits batches 1, 2, 3 … for ever; each writes the counter and two rows. */
static void write_until_killed(int acks)
{
	struct writer w = { .acks = acks };
	char id[2][24];
	uint32_t i;

	w.store = open_store();
	for (i = 1;; i++) {
		struct pollfd p = { .fd = store_fd(w.store), .events = POLLIN };
		struct store_batch *b = batch_put(STORE_META, "counter", json_integer(i));

		snprintf(id[0], sizeof(id[0]), "%08u-a", i);
		snprintf(id[1], sizeof(id[1]), "%08u-b", i);
		store_batch_put(b, STORE_JOB, id[0], json_integer(i));
		store_batch_put(b, STORE_JOB, id[1], json_integer(i));
		store_submit(w.store, b, ack, &w);
		/* Some wait together, so that the kill meets groups too. */
		if (i % 7 == 0) {
			poll(&p, 1, DEADLINE_MS);
			store_dispatch(w.store);
		}
	}
}

static void check_prefix(uint32_t acked)
{
	struct store *s = open_store();
	json_t *meta = load(s, STORE_META), *jobs = load(s, STORE_JOB), *doc;
	uint32_t counter = (uint32_t)json_get_uint(meta, "counter", 0), n = 0;
	const char *id;
	char expected[24];

	assert_true(counter >= acked);
	assert_int_equal(json_object_size(jobs), 2 * counter);
	json_object_foreach(jobs, id, doc) {
		snprintf(expected, sizeof(expected), "%08u-%c", n / 2 + 1, n % 2 ? 'b' : 'a');
		assert_string_equal(id, expected);
		assert_int_equal(json_integer_value(doc), n / 2 + 1);
		n++;
	}
	json_decref(meta);
	json_decref(jobs);
	store_free(s);
}

static void kill_after(uint32_t n_acks)
{
	uint32_t acked = 0, next;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		write_until_killed(fds[1]);
		_exit(1);
	}
	close(fds[1]);
	while (acked < n_acks && read(fds[0], &next, sizeof(next)) == sizeof(next))
		acked = next;
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (read(fds[0], &next, sizeof(next)) == sizeof(next))
		acked = next;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_true(acked >= n_acks);
	check_prefix(acked);
}

static void test_killed_daemon_leaves_a_prefix(void **state)
{
	static const uint32_t kills[] = { 1, 10, 100, 300 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kills); i++) {
		kill_after(kills[i]);
		clear_directory();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_rows_come_back),
		STORE_TEST(test_deletes),
		STORE_TEST(test_descriptor_wakes),
		STORE_TEST(test_flush_follows_callbacks),
		STORE_TEST(test_free_writes_what_waits),
		STORE_TEST(test_load_stops),
		STORE_TEST(test_put_without_document),
		STORE_TEST(test_modes),
		STORE_TEST(test_fresh_directory_is_tightened),
		STORE_TEST(test_directory_of_others),
		STORE_TEST(test_directory_cannot_be_made),
		STORE_TEST(test_second_daemon),
		STORE_TEST(test_full_disk_refuses_whole_batches),
		STORE_TEST(test_failed_write_is_rolled_back),
		STORE_TEST(test_killed_daemon_leaves_a_prefix),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
