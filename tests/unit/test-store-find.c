/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit trail as the store sees it: found page by page, by time and by words; old rows leave in small steps. */
#include <stdio.h>

#include "lib/clock.h"
#include "lib/units.h"
#include "tests/support/store-bench.h"

#define SECOND USEC_PER_SEC
#define BEGIN (1000000 * SECOND)

static void put_audit(struct store *s, unsigned from, unsigned to)
{
	struct store_batch *b = store_batch_new();

	for (unsigned i = from; i < to; i++) {
		json_t *doc = json_pack("{s:i,s:i,s:s,s:s}", "audit", (int)i, "uid", (int)(i % 3), "method",
					i % 2 ? "vf.assign" : "vf.release", "subject", i % 5 ? "gpu0/vf1" : "gpu0");
		char id[24];

		snprintf(id, sizeof(id), "%020u", i);
		json_put_time(doc, "at", BEGIN + i * SECOND);
		assert_int_equal(store_batch_put(b, STORE_AUDIT, id, doc), 0);
	}
	store_submit(s, b, NULL, NULL);
}

struct found {
	unsigned calls;
	size_t n;
	int first, last;
	char *next;
};

static void on_found(void *userdata, int r, const char *message, json_t *rows, const char *next)
{
	struct found *f = userdata;

	assert_int_equal(r, 0);
	assert_null(message);
	f->calls++;
	f->n = json_array_size(rows);
	f->first = f->n ? (int)json_get_int(json_array_get(rows, 0), "audit", -1) : -1;
	f->last = f->n ? (int)json_get_int(json_array_get(rows, f->n - 1), "audit", -1) : -1;
	(void)free_and_strdup(&f->next, next);
}

static void find(struct store *s, struct store_find what, struct found *f)
{
	unsigned calls = f->calls;

	assert_int_equal(store_find(s, &what, on_found, f), 0);
	store_flush(s);
	assert_int_equal(f->calls, calls + 1);
}

static void test_pages(void **state)
{
	struct store *s = open_store();
	struct found f = { 0 };
	int expected = 24;

	/* A question comes after what was submitted before it, committed or not yet. */
	put_audit(s, 0, 25);
	find(s, (struct store_find){ .limit = 10 }, &f);
	while (f.next) {
		_cleanup_free_ char *after = strdup(f.next);

		assert_int_equal(f.first, expected);
		expected = f.last - 1;
		find(s, (struct store_find){ .limit = 10, .after = after }, &f);
	}
	assert_int_equal(f.n, 5);
	assert_int_equal(f.last, 0);
	find(s, (struct store_find){ .limit = 10, .oldest_first = true }, &f);
	assert_int_equal(f.first, 0);
	assert_int_equal(f.last, 9);
	assert_null(f.next);
	store_free(s);
}

/* A clock that was wrong at first: what is old is told by the time. */
static void test_oldest_by_time(void **state)
{
	struct store *s = open_store();
	struct store_batch *b = store_batch_new();
	struct found f = { 0 };

	assert_int_equal(store_batch_put(b, STORE_AUDIT, "00000000000000000000",
					 json_pack("{s:i,s:s}", "audit", 777, "at", "2099-01-01T00:00:00.000Z")),
			 0);
	assert_int_equal(store_batch_put(b, STORE_AUDIT, "00000000000000000001", json_pack("{s:i}", "audit", 778)), 0);
	store_submit(s, b, NULL, NULL);
	put_audit(s, 5, 10);
	find(s, (struct store_find){ .limit = 1, .oldest_first = true }, &f);
	assert_int_equal(f.first, 5);
	store_free(s);
}

static void test_words(void **state)
{
	struct store *s = open_store();
	struct found f = { 0 };
	char since[RFC3339_STRLEN], until[RFC3339_STRLEN];

	put_audit(s, 0, 30);
	find(s, (struct store_find){ .limit = 100, .uid = "1" }, &f);
	assert_int_equal(f.n, 10);
	find(s, (struct store_find){ .limit = 100, .uid = "1", .method = "vf.assign" }, &f);
	assert_int_equal(f.n, 5);
	find(s, (struct store_find){ .limit = 100, .subject = "gpu0" }, &f);
	assert_int_equal(f.n, 6);
	rfc3339_format(BEGIN + 10 * SECOND, since);
	rfc3339_format(BEGIN + 20 * SECOND, until);
	find(s, (struct store_find){ .limit = 100, .since = since, .until = until }, &f);
	assert_int_equal(f.n, 10);
	assert_int_equal(f.first, 19);
	assert_int_equal(f.last, 10);
	assert_null(f.next);
	find(s, (struct store_find){ .limit = 100, .method = "no.such" }, &f);
	assert_int_equal(f.n, 0);
	assert_null(f.next);
	store_free(s);
}

/* Whoever looks for one row among many gets there, and holds nobody up on the way. */
static void test_bounded(void **state)
{
	struct store *s = open_store();
	struct found f = { 0 };
	char since[RFC3339_STRLEN];
	unsigned calls = 1, n = 12000;

	put_audit(s, 0, n);
	find(s, (struct store_find){ .limit = 100, .subject = "gpu7" }, &f);
	while (f.next) {
		_cleanup_free_ char *after = strdup(f.next);

		assert_int_equal(f.n, 0);
		find(s, (struct store_find){ .limit = 100, .subject = "gpu7", .after = after }, &f);
		calls++;
	}
	assert_int_equal(calls, 3);

	/* Rows long before `since` are not looked at. */
	put_audit(s, n + 200000, n + 200010);
	rfc3339_format(BEGIN + (n + 200000) * SECOND, since);
	find(s, (struct store_find){ .limit = 100, .since = since }, &f);
	assert_int_equal(f.n, 10);
	assert_null(f.next);
	store_free(s);
}

static void prune(struct store *s, uint64_t before)
{
	struct store_batch *b = store_batch_new();
	char at[RFC3339_STRLEN];

	assert_int_equal(store_batch_prune(b, rfc3339_format(before, at)), 0);
	store_submit(s, b, NULL, NULL);
	store_flush(s);
}

static void test_prune(void **state)
{
	struct store *s = open_store();
	struct found f = { 0 };

	put_audit(s, 0, 1300);
	prune(s, BEGIN + 1200 * SECOND);
	find(s, (struct store_find){ .limit = 1, .oldest_first = true }, &f);
	assert_int_equal(f.first, 500);
	prune(s, BEGIN + 1200 * SECOND);
	prune(s, BEGIN + 1200 * SECOND);
	prune(s, BEGIN + 1200 * SECOND);
	find(s, (struct store_find){ .limit = 1000 }, &f);
	assert_int_equal(f.n, 100);
	assert_int_equal(f.last, 1200);
	assert_null(f.next);
	store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_pages),
		STORE_TEST(test_oldest_by_time),
		STORE_TEST(test_words),
		STORE_TEST(test_bounded),
		STORE_TEST(test_prune),
	};

	return cmocka_run_group_tests_name("store-find", tests, NULL, NULL);
}
