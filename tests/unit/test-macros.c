/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small helpers of lib/macros.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/macros.h"

static void test_free_and_strdup(void **state)
{
	char *p = NULL;

	assert_int_equal(free_and_strdup(&p, "one"), 0);
	assert_string_equal(p, "one");
	assert_int_equal(free_and_strdup(&p, p), 0); /* its own value: copied before it is freed */
	assert_string_equal(p, "one");
	assert_int_equal(free_and_strdup(&p, NULL), 0);
	assert_null(p);
}

static void test_take(void **state)
{
	_cleanup_free_ char *p = strdup("x");
	char *q = TAKE_PTR(p);
	int fd = 7;

	assert_null(p);
	assert_string_equal(q, "x");
	free(q);
	assert_int_equal(TAKE_FD(fd), 7);
	assert_int_equal(fd, -1);
}

static void test_strings(void **state)
{
	_cleanup_free_ char *s = xasprintf("%d-%s", 3, "a");

	assert_string_equal(s, "3-a");
	assert_true(streq_ptr(NULL, NULL));
	assert_false(streq_ptr(NULL, ""));
	assert_false(streq_ptr("", NULL));
	assert_true(streq_ptr("a", "a"));
	assert_string_equal(strempty(NULL), "");
}

static void test_safe_close(void **state)
{
	errno = ENOENT;
	assert_int_equal(safe_close(-1), -1);
	assert_int_equal(safe_close(1000000), -1); /* EBADF inside */
	assert_int_equal(errno, ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_free_and_strdup),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_safe_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
