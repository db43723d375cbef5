/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hostile bytes made harmless; valid names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/escape.h"

static void escapes(const char *in, size_t size, const char *expected)
{
	_cleanup_free_ char *out = escape_terminal(in, size, false);

	assert_string_equal(out, expected);
}

static void test_escape(void **state)
{
	escapes("", 0, "");
	escapes("plain é 漢 🙂", strlen("plain é 漢 🙂"), "plain é 漢 🙂");
	escapes("\x1b[31mred", 8, "\\x1b[31mred");
	escapes("\x1b]0;title\x07", 10, "\\x1b]0;title\\x07");
	escapes("a\nb\tc\rd", 7, "a\\x0ab\\x09c\\x0dd");
	escapes("a\0b", 3, "a\\x00b");
	escapes("\x7f", 1, "\\x7f");
	escapes("\xc2\x9b" "31m", 5, "\\u{9b}31m");    /* C1 CSI as UTF-8 */
	escapes("\xc2\x80\xc2\x9f\xc2\xa0", 6, "\\u{80}\\u{9f}\xc2\xa0");
	escapes("\x9b" "31m", 4, "\\x9b31m");	       /* the same as one byte */
	escapes("\xe2\x80\xae" "exe", 6, "\\u{202e}exe"); /* right-to-left override */
	escapes("\xe2\x81\xa6\xe2\x81\xa9", 6, "\\u{2066}\\u{2069}");
	escapes("\xe2\x80\x8f\xd8\x9c", 5, "\\u{200f}\\u{61c}");
	escapes("\xe2\x80\xa8", 3, "\\u{2028}");
}

static void test_invalid_utf8(void **state)
{
	/* The first and last character of each length is left alone. */
	escapes("\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 8, "\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf");
	escapes("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8, "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
	escapes("\xed\x9f\xbf\xee\x80\x80", 6, "\xed\x9f\xbf\xee\x80\x80");
	escapes("\xff\xfe", 2, "\\xff\\xfe");
	escapes("\xc0\xaf", 2, "\\xc0\\xaf");		  /* overlong */
	escapes("\xe0\x80\xaf", 3, "\\xe0\\x80\\xaf");	  /* overlong */
	escapes("\xf0\x80\x80\xaf", 4, "\\xf0\\x80\\x80\\xaf");
	escapes("\xed\xa0\x80", 3, "\\xed\\xa0\\x80");	  /* surrogate */
	escapes("\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80"); /* past U+10FFFF */
	escapes("\xe2\x82", 2, "\\xe2\\x82");		  /* cut off */
	escapes("\xe2" "a", 2, "\\xe2" "a");
	escapes("\x80", 1, "\\x80");
}

static void test_keep_newlines(void **state)
{
	_cleanup_free_ char *out = escape_terminal("a\n\tb\r\x1b", 6, true);

	assert_string_equal(out, "a\n\tb\\x0d\\x1b");
}

static void test_utf8(void **state)
{
	assert_true(utf8_is_valid("", 0));
	assert_true(utf8_is_valid("é\x1b", 3));
	assert_true(utf8_is_valid("\xf4\x8f\xbf\xbf", 4));
	assert_false(utf8_is_valid("a\0b", 3));
	assert_false(utf8_is_valid("\xc3", 1));
	assert_false(utf8_is_valid("\xc1\xbf", 2));
	assert_false(utf8_is_valid("\xf8\x88\x80\x80\x80", 5));
}

static void test_names(void **state)
{
	static const char *const good[] = { "a", "trainer-0", "llama 3", "é", "a.b_c:d", "12345678" };
	static const char *const bad[] = { "",	      "123456789", "a/b",	   "a\nb",
					   "\x1b[0m", "\x7f",	   "\xc2\x85",	   "\xff",
					   "/",	      "\xe2\x80\xae", "é\xc3" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(name_is_valid(good[i], 8 + (i == 1)));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(name_is_valid(bad[i], 8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),	     cmocka_unit_test(test_invalid_utf8),
		cmocka_unit_test(test_keep_newlines), cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
