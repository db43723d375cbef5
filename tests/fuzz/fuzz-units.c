/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes, amounts, durations and time stamps: values in range, exact text reads back, each refusal
 * has its hint. */
#include "fuzz.h"
#include "lib/clock.h"
#include "lib/units.h"

static void check_size(const char *text)
{
	const char *hint = NULL;
	char buf[32], narrow[4];
	uint64_t n, back;

	if (size_parse(text, &n, &hint) < 0) {
		FUZZ_CHECK(hint);
		return;
	}
	FUZZ_CHECK(n <= INT64_MAX);
	FUZZ_CHECK(size_parse(size_format_exact(n, buf, sizeof(buf)), &back, NULL) == 0);
	FUZZ_CHECK(back == n);
	FUZZ_CHECK(strlen(size_format(n, narrow, sizeof(narrow))) < sizeof(narrow));
}

static void check_amount(const char *text)
{
	const char *hint = NULL;
	struct amount a;

	if (amount_parse(text, &a, &hint) < 0) {
		FUZZ_CHECK(hint);
		return;
	}
	FUZZ_CHECK(a.kind > AMOUNT_UNSET && a.kind < _AMOUNT_MAX);
	FUZZ_CHECK(a.kind != AMOUNT_PERCENT || (a.value >= 1 && a.value <= 10000));
}

static void check_duration(const char *text)
{
	const char *hint = NULL;
	char buf[64], narrow[4];
	uint64_t n, back;

	if (duration_parse(text, &n, &hint) < 0) {
		FUZZ_CHECK(hint);
		return;
	}
	FUZZ_CHECK(n <= INT64_MAX);
	FUZZ_CHECK(duration_parse(duration_format(n, buf, sizeof(buf)), &back, NULL) == 0);
	FUZZ_CHECK(back == n);
	FUZZ_CHECK(strlen(duration_format(n, narrow, sizeof(narrow))) < sizeof(narrow));
}

static void check_time(const char *text)
{
	char buf[RFC3339_STRLEN];
	uint64_t n, back;

	if (rfc3339_parse(text, &n) < 0)
		return;
	/* An offset can lead past the year 9999, which text has no room for. */
	if (n / USEC_PER_SEC >= 253402300800)
		return;
	FUZZ_CHECK(rfc3339_parse(rfc3339_format(n, buf), &back) == 0);
	FUZZ_CHECK(back == n - n % USEC_PER_MSEC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_string(data, size);

	check_size(text);
	check_amount(text);
	check_duration(text);
	check_time(text);
	return 0;
}
