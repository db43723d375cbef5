/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time stamps, their refusals, and the identity of processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "lib/clock.h"
#include "lib/units.h"

static void test_format(void **state)
{
	char buf[RFC3339_STRLEN];

	assert_string_equal(rfc3339_format(0, buf), "1970-01-01T00:00:00.000Z");
	assert_string_equal(rfc3339_format(1795400523456789, buf), "2026-11-23T02:22:03.456Z");
	assert_non_null(strchr(rfc3339_format(UINT64_MAX, buf), 'Z')); /* far off, but whole */
}

static const struct {
	const char *text;
	uint64_t usec;
} good[] = {
	{ "1970-01-01T00:00:00Z", 0 },
	{ "1970-01-01t00:00:01z", 1000000 },
	{ "1970-01-01 00:00:01Z", 1000000 },
	{ "1970-01-01T00:00:00.5Z", 500000 },
	{ "1970-01-01T00:00:00.1234567890Z", 123456 },
	{ "1970-01-01T02:00:00+01:30", 1800 * 1000000ull },
	{ "1969-12-31T23:00:00-01:00", 0 },
	{ "1970-01-01T23:59:59+23:59", 59 * 1000000ull },
	{ "2024-02-29T00:00:00Z", 1709164800 * 1000000ull },
	{ "2016-12-31T23:59:60Z", 1483228800 * 1000000ull },
};

static void test_parse(void **state)
{
	char buf[RFC3339_STRLEN];
	uint64_t usec = 1, back;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(rfc3339_parse(good[i].text, &usec), 0);
		assert_true(usec == good[i].usec);
		assert_int_equal(rfc3339_parse(rfc3339_format(usec, buf), &back), 0);
		assert_true(back == usec / 1000 * 1000);
	}
}

static void test_refusals(void **state)
{
	static const char *const bad[] = {
		"",
		"now",
		"2026-11-23",
		"2026-11-23T01:02:03",
		"2026-11-23T01:02Z",
		"2026-11-23T01:02:03ZZ",
		"2026-11-23T01:02:03.Z",
		"2026-11-23T01:02:03+0100",
		"2026-11-23T01:02:03+24:00",
		"2026-11-23T01:02:03+23:60",
		"2026-11-23T01:02:03+1:00",
		"2026-11-23T1:02:03Z",
		"2026-11-23T01:02:Z",
		"2026-11-23T01:02:03+-1:00",
		"2026-00-23T01:02:03Z",
		"2026-13-23T01:02:03Z",
		"2026-11-31T01:02:03Z",
		"2026-02-29T01:02:03Z",
		"2100-02-29T01:02:03Z",
		"2026-11-00T01:02:03Z",
		"2026-11-23T24:00:00Z",
		"2026-11-23T01:60:00Z",
		"2026-11-23T01:00:61Z",
		"1969-12-31T23:59:59Z",
		" 2026-11-23T01:02:03Z",
		"+026-11-23T01:02:03Z",
	};
	uint64_t usec = 7;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (rfc3339_parse(bad[i], &usec) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(usec, 7);
}

static void test_now(void **state)
{
	uint64_t before = now_boottime();

	assert_true(now_boottime() >= before);
	assert_true(now_realtime() > 1700000000 * USEC_PER_SEC);
}

static void test_boot_id(void **state)
{
	char a[37], b[37];

	assert_int_equal(boot_id_read(a), 0);
	assert_int_equal(boot_id_read(b), 0);
	assert_int_equal(strlen(a), 36);
	assert_string_equal(a, b);
}

static void test_process_start_time(void **state)
{
	uint64_t a = 0, b = 0;
	int64_t age;

	assert_int_equal(process_start_time(getpid(), &a), 0);
	assert_int_equal(process_start_time(getpid(), &b), 0);
	assert_true(a > 0 && a == b);

	/* It is the start that was read: this process began before now, and not long ago. */
	age = (int64_t)(now_boottime() / USEC_PER_SEC) - (int64_t)a / sysconf(_SC_CLK_TCK);
	assert_in_range(age + 1, 0, 600);
	assert_int_equal(process_start_time(0x7fffffff, &a), -ESRCH);
	assert_int_equal(process_start_time(-1, &a), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),	 cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_now),
		cmocka_unit_test(test_boot_id),	 cmocka_unit_test(test_process_start_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
