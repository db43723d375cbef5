/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes, shares and durations: exact values, both ways, and refusals with the way out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/units.h"

static const struct {
	const char *text;
	uint64_t bytes;
} sizes[] = {
	{ "0B", 0 },
	{ "17B", 17 },
	{ "4KiB", 4096 },
	{ "4kB", 4000 },
	{ "512MiB", 512 * MIB },
	{ "4GiB", 4 * GIB },
	{ "4GB", 4000000000 },
	{ "1.5GiB", 3 * GIB / 2 },
	{ "1.5GB", 1500000000 },
	{ "0.000001TB", 1000000 },
	{ "0.3KiB", 307 }, /* rounded down to a byte */
	{ "2TiB", 2048 * GIB },
	{ "2TB", 2000000000000 },
	{ "8388607TiB", (uint64_t)8388607 << 40 },
	{ "9223372036854775807B", INT64_MAX },
};

static void test_size(void **state)
{
	const char *hint = NULL;
	uint64_t bytes;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_int_equal(size_parse(sizes[i].text, &bytes, &hint), 0);
		assert_true(bytes == sizes[i].bytes);
		assert_null(hint);
	}
}

struct refusal {
	const char *text;
	int r;
	const char *hint;
};

static const struct refusal size_refusals[] = {
	{ "4G", -EINVAL, "GiB (2^30 bytes) or GB (10^9 bytes)" },
	{ "4g", -EINVAL, "GiB (2^30 bytes) or GB (10^9 bytes)" },
	{ "4M", -EINVAL, "MiB (2^20 bytes) or MB (10^6 bytes)" },
	{ "4K", -EINVAL, "KiB (2^10 bytes) or kB (10^3 bytes)" },
	{ "4k", -EINVAL, "KiB (2^10 bytes) or kB (10^3 bytes)" },
	{ "4T", -EINVAL, "TiB (2^40 bytes) or TB (10^12 bytes)" },
	{ "4", -EINVAL, "MiB (2^20 bytes) or MB (10^6 bytes)" },
	{ "4.5", -EINVAL, "add a unit" },
	{ "4Gib", -EINVAL, "units of size are" },
	{ "4KB", -EINVAL, "units of size are" },
	{ "4 GiB", -EINVAL, "units of size are" },
	{ "4GiB ", -EINVAL, "units of size are" },
	{ "4GiBx", -EINVAL, "units of size are" },
	{ "0x4GiB", -EINVAL, "units of size are" },
	{ "1e3B", -EINVAL, "units of size are" },
	{ "4%", -EINVAL, "units of size are" },
	{ "", -EINVAL, "write a size as" },
	{ "GiB", -EINVAL, "write a size as" },
	{ " 4GiB", -EINVAL, "write a size as" },
	{ "+4GiB", -EINVAL, "write a size as" },
	{ ".5GiB", -EINVAL, "write a size as" },
	{ "4.GiB", -EINVAL, "write a size as" },
	{ "0.1234567GiB", -EINVAL, "write a size as" },
	{ "-4GiB", -EINVAL, "cannot be negative" },
	{ "1.5B", -EINVAL, "a byte has no parts" },
	{ "8388608TiB", -ERANGE, "8 EiB" },
	{ "9223372036854775808B", -ERANGE, "8 EiB" },
	{ "99999999999999999999B", -ERANGE, "8 EiB" },
	{ "18446744073709551616TiB", -ERANGE, "8 EiB" },
};

static void check_refusal(const struct refusal *row, int r, const char *hint)
{
	if (r != row->r || !hint || !strstr(hint, row->hint))
		fail_msg("\"%s\": %d, hint: %s", row->text, r, strempty(hint));
}

static void test_size_refusals(void **state)
{
	uint64_t bytes = 7;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(size_refusals); i++) {
		const char *hint = NULL;
		int r = size_parse(size_refusals[i].text, &bytes, &hint);

		check_refusal(&size_refusals[i], r, hint);
		assert_int_equal(size_parse(size_refusals[i].text, &bytes, NULL), r);
	}
	assert_int_equal(bytes, 7);
}

static void test_amount(void **state)
{
	static const struct {
		const char *text;
		struct amount amount;
	} rows[] = {
		{ "fair", { AMOUNT_FAIR, 0 } },
		{ "25%", { AMOUNT_PERCENT, 2500 } },
		{ "12.5%", { AMOUNT_PERCENT, 1250 } },
		{ "33.33%", { AMOUNT_PERCENT, 3333 } },
		{ "0.01%", { AMOUNT_PERCENT, 1 } },
		{ "100%", { AMOUNT_PERCENT, 10000 } },
		{ "4GiB", { AMOUNT_BYTES, 4 * GIB } },
	};
	const char *hint = NULL;
	struct amount a;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(amount_parse(rows[i].text, &a, &hint), 0);
		assert_int_equal(a.kind, rows[i].amount.kind);
		assert_true(a.value == rows[i].amount.value);
	}
}

static const struct refusal amount_refusals[] = {
	{ "0%", -ERANGE, "between 0.01% and 100%" },
	{ "101%", -ERANGE, "between 0.01% and 100%" },
	{ "100.01%", -ERANGE, "between 0.01% and 100%" },
	{ "9999999999999999999%", -EINVAL, "write a share" },
	{ "12.555%", -EINVAL, "write a share" },
	{ "%", -EINVAL, "write a share" },
	{ "25%%", -EINVAL, "write a share" },
	{ "-5%", -EINVAL, "write a share" },
	{ "Fair", -EINVAL, "write a size" },
	{ "4G", -EINVAL, "GiB (2^30 bytes) or GB (10^9 bytes)" },
	{ "", -EINVAL, "write a size" },
};

static void test_amount_refusals(void **state)
{
	struct amount a = { AMOUNT_UNSET, 7 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(amount_refusals); i++) {
		const char *hint = NULL;
		int r = amount_parse(amount_refusals[i].text, &a, &hint);

		check_refusal(&amount_refusals[i], r, hint);
	}
	assert_int_equal(a.value, 7);
}

static void test_duration(void **state)
{
	static const struct {
		const char *text;
		uint64_t usec;
	} rows[] = {
		{ "0s", 0 },
		{ "500us", 500 },
		{ "20ms", 20000 },
		{ "90s", 90000000 },
		{ "1h30m", 5400000000 },
		{ "2d", 172800000000 },
		{ "1w1d1h1m1s1ms1us", 694861001001 },
		{ "1y", 31536000000000 },
		{ "1y1w", 32140800000000 },
	};
	const char *hint = NULL;
	uint64_t usec;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(duration_parse(rows[i].text, &usec, &hint), 0);
		assert_true(usec == rows[i].usec);
	}
}

static const struct refusal duration_refusals[] = {
	{ "", -EINVAL, "write a time as" },
	{ "s", -EINVAL, "write a time as" },
	{ "5", -EINVAL, "add a unit" },
	{ "1h30", -EINVAL, "add a unit" },
	{ "1.5h", -EINVAL, "write a time as" },
	{ "5 s", -EINVAL, "write a time as" },
	{ "5S", -EINVAL, "write a time as" },
	{ "5min", -EINVAL, "write a time as" },
	{ "5s ", -EINVAL, "write a time as" },
	{ "+5s", -EINVAL, "write a time as" },
	{ "-5s", -EINVAL, "cannot be negative" },
	{ "30m1h", -EINVAL, "larger before smaller" },
	{ "1h1h", -EINVAL, "each unit once" },
	{ "99999999999w", -ERANGE, "longest" },
	{ "9223372036854775808us", -ERANGE, "longest" },
	{ "15250284w4000w", -EINVAL, "each unit once" },
	{ "15250284w6d", -ERANGE, "longest" },
};

static void test_duration_refusals(void **state)
{
	uint64_t usec = 7;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(duration_refusals); i++) {
		const char *hint = NULL;
		int r = duration_parse(duration_refusals[i].text, &usec, &hint);

		check_refusal(&duration_refusals[i], r, hint);
	}
	assert_int_equal(usec, 7);
}

static void test_size_format(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0B" },		      { 17, "17B" },
		{ 1023, "1023B" },	      { 1024, "1KiB" },
		{ 1536, "1.5KiB" },	      { 512 * MIB, "512MiB" },
		{ 4 * GIB, "4.0GiB" },	      { 15 * GIB + 900 * MIB, "15.9GiB" },
		{ GIB - 1, "1.0GiB" },	      { MIB - 1, "1MiB" },
		{ 3 * 1024 * GIB, "3.0TiB" }, { UINT64_MAX, "16777216.0TiB" },
	};
	char buf[32];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(size_format(rows[i].bytes, buf, sizeof(buf)), rows[i].text);
}

static void test_size_format_exact(void **state)
{
	static const uint64_t values[] = { 0,	 1,	    1000,	    1024,      4 * GIB,
					   5760 * MIB, 6039797761, 4000000000, INT64_MAX, 3 << 20 };
	char buf[32];
	uint64_t back;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		size_format_exact(values[i], buf, sizeof(buf));
		assert_int_equal(size_parse(buf, &back, NULL), 0);
		assert_true(back == values[i]);
	}
	assert_string_equal(size_format_exact(0, buf, sizeof(buf)), "0B");
	assert_string_equal(size_format_exact(4 * GIB, buf, sizeof(buf)), "4GiB");
	assert_string_equal(size_format_exact(5760 * MIB, buf, sizeof(buf)), "5760MiB");
}

static void test_duration_format(void **state)
{
	static const uint64_t values[] = { 0, 1, 20000, 90000000, 5400000000, 694861001001, INT64_MAX };
	char buf[64], narrow[8];
	uint64_t back;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		duration_format(values[i], buf, sizeof(buf));
		assert_int_equal(duration_parse(buf, &back, NULL), 0);
		assert_true(back == values[i]);
	}
	assert_string_equal(duration_format(5400000000, buf, sizeof(buf)), "1h30m");
	assert_string_equal(duration_format(0, buf, sizeof(buf)), "0s");
	assert_string_equal(duration_format(USEC_INFINITY, buf, sizeof(buf)), "infinity");
	assert_string_equal(duration_format(694861001001, narrow, sizeof(narrow)), "1w1d");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size),	      cmocka_unit_test(test_size_refusals),
		cmocka_unit_test(test_amount),	      cmocka_unit_test(test_amount_refusals),
		cmocka_unit_test(test_duration),      cmocka_unit_test(test_duration_refusals),
		cmocka_unit_test(test_size_format),   cmocka_unit_test(test_size_format_exact),
		cmocka_unit_test(test_duration_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
