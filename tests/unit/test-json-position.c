/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines and columns of nested, escaped and missing values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/json-position.h"

static const char document[] = "{\n"
			       "  \"a\": 1,\n"
			       "  \"b\": [10, {\"c\": \"x,]}\"},\n"
			       "\t[true]],\n"
			       "  \"a/b\": {\"m~n\": null},\n"
			       "  \"\\u0061\\\"\": -1.5e3,\n"
			       "  \"\": {\"\": 7},\n"
			       "  \"e\": {}, \"f\": []\n"
			       "}\n";

static const struct {
	const char *pointer;
	unsigned line, column;
} rows[] = {
	{ "", 1, 1 },
	{ "/a", 2, 8 },
	{ "/b", 3, 8 },
	{ "/b/0", 3, 9 },
	{ "/b/1", 3, 13 },
	{ "/b/1/c", 3, 19 },
	{ "/b/2", 4, 2 },
	{ "/b/2/0", 4, 3 },
	{ "/a~1b", 5, 10 },
	{ "/a~1b/m~0n", 5, 18 },
	{ "/a\"", 6, 15 },
	{ "/", 7, 7 },
	{ "//", 7, 12 },
	{ "/e", 8, 8 },
	{ "/f", 8, 17 },
	/* What is missing is shown by what it would stand in. */
	{ "/nothing", 1, 1 },
	{ "/b/3", 3, 8 },
	{ "/b/-", 3, 8 },
	{ "/b/01", 3, 8 },
	{ "/b/1x", 3, 8 },
	{ "/b/99999999999999999999999", 3, 8 },
	{ "/b/1/d", 3, 13 },
	{ "/b/1/d/e/f", 3, 13 },
	{ "/a/x", 2, 8 },
	{ "/e/x", 8, 8 },
	{ "/f/0", 8, 17 },
};

static void test_found(void **state)
{
	unsigned line, column;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		line = column = 0;
		assert_int_equal(json_position_find(document, strlen(document), rows[i].pointer,
						    &line, &column),
				 0);
		if (line != rows[i].line || column != rows[i].column)
			fail_msg("%s: %u:%u", rows[i].pointer, line, column);
	}
}

static void test_scalar(void **state)
{
	unsigned line = 0, column = 0;

	assert_int_equal(json_position_find("\n 7", 3, "", &line, &column), 0);
	assert_int_equal(line, 2);
	assert_int_equal(column, 2);
}

static void test_refusals(void **state)
{
	static const char *const bad[][2] = {
		{ "", "" },	       { "  ", "" },	     { "{\"a\":1}", "a" },
		{ "{", "/a" },	       { "{\"a\"", "/a" },   { "{\"a\":", "/a" },
		{ "{\"b\":1", "/a" },  { "{\"b\":1]", "/a" }, { "{b:1}", "/a" },
		{ "[1", "/1" },	       { "[1,", "/1" },	     { "[\"x", "/1" },
		{ "[\"x\\", "/1" },    { "[]]", "/0/0x" },    { "[1 2]", "/1" },
		{ "[,1]", "/1" },      { "{\"b\":1,\"a\":", "/a" }, { "[\"a\\", "/1" },
		{ "{\"a\\", "/a" },      { "[[1,[2]", "/1" },
	};
	unsigned line = 7, column = 7;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		int r = json_position_find(bad[i][0], strlen(bad[i][0]), bad[i][1], &line, &column);

		if (streq(bad[i][0], "[]]")) /* found before the text goes wrong */
			assert_int_equal(r, 0);
		else if (r != -EINVAL)
			fail_msg("accepted: %s", bad[i][0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_scalar),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
