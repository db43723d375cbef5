/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables: alignment, wide characters, foreign text, colour. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/table.h"

static const struct table_column columns[] = {
	{ "NAME" }, { "STATE", .state = true }, { "VRAM", .right = true }, { NULL },
};

static char *print(struct table *t, bool color)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	table_print(t, out, color);
	fclose(out);
	return text;
}

static void test_columns_are_aligned(void **state)
{
	_cleanup_(table_freep) struct table *t = table_new(columns);
	_cleanup_free_ char *text = NULL;

	TABLE_ADD(t, strdup("gpu0"), strdup("ready"), strdup("16.0GiB"));
	TABLE_ADD(t, strdup("gpu0/vf1"), strdup("free"), strdup("4GiB"));
	TABLE_ADD(t, strdup("x"), NULL, NULL);
	assert_int_equal(table_rows(t), 3);
	text = print(t, false);
	assert_string_equal(text, "NAME      STATE     VRAM\n"
				  "gpu0      ready  16.0GiB\n"
				  "gpu0/vf1  free      4GiB\n"
				  "x\n");
}

static void test_wide_characters(void **state)
{
	_cleanup_(table_freep) struct table *t = table_new(columns);
	_cleanup_free_ char *text = NULL;

	assert_int_equal(text_columns("abc"), 3);
	assert_int_equal(text_columns("ä"), 1);
	assert_int_equal(text_columns("e\xcc\x81"), 1); /* a letter and a combining accent */
	assert_int_equal(text_columns("訓練"), 4);
	assert_int_equal(text_columns("\xf0\x9f\x98\x80"), 2);

	TABLE_ADD(t, strdup("訓練"), strdup("a"), strdup("1"));
	TABLE_ADD(t, strdup("größe"), strdup("b"), strdup("2"));
	text = print(t, false);
	assert_string_equal(text, "NAME   STATE  VRAM\n"
				  "訓練   a         1\n"
				  "größe  b         2\n");
}

/* A VM's name must not reach the terminal as a command to it, nor make a row of its own. */
static void test_foreign_text(void **state)
{
	_cleanup_(table_freep) struct table *t = table_new(columns);
	_cleanup_free_ char *text = NULL;

	TABLE_ADD(t, strdup("a\033[2Jb\nc"), strdup("\xff"), strdup("\xc2\x9b" "31m"));
	text = print(t, true);
	assert_null(strstr(text, "\033[2J"));
	assert_null(strstr(text, "\nc"));
	assert_null(strchr(text, '\xff'));
	assert_null(strstr(text, "\xc2\x9b"));
	assert_non_null(strstr(text, "[2Jb"));
}

static void test_colors(void **state)
{
	_cleanup_(table_freep) struct table *t = table_new(columns);
	_cleanup_free_ char *plain = NULL, *colored = NULL;

	TABLE_ADD(t, strdup("ready"), strdup("wedged"), strdup("1"));
	plain = print(t, false);
	colored = print(t, true);
	assert_null(strchr(plain, '\033'));
	assert_non_null(strstr(colored, "\033[31mwedged\033[0m")); /* the state's column */
	assert_null(strstr(colored, "\033[32mready"));		   /* and no other */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns_are_aligned),
		cmocka_unit_test(test_wide_characters),
		cmocka_unit_test(test_foreign_text),
		cmocka_unit_test(test_colors),
	};

	return cmocka_run_group_tests_name("cli-table", tests, NULL, NULL);
}
