/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines out of chunks of any size; lines that are too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "lib/line-buffer.h"

static void expect_line(struct line_buffer *b, const char *expected)
{
	size_t size = 0;
	char *line;

	assert_int_equal(line_buffer_next(b, &line, &size), 1);
	assert_int_equal(size, strlen(expected));
	assert_memory_equal(line, expected, size + 1);
}

static void expect_none(struct line_buffer *b, int expected)
{
	size_t size;
	char *line;

	assert_int_equal(line_buffer_next(b, &line, &size), expected);
}

static void test_one_byte_at_a_time(void **state)
{
	_cleanup_(line_buffer_done) struct line_buffer b;
	const char *stream = "one\n\ntwo\r\nthree";
	const char *lines[] = { "one", "", "two\r" };
	size_t i, n = 0;

	line_buffer_init(&b, 10);
	for (i = 0; i < strlen(stream); i++) {
		assert_int_equal(line_buffer_append(&b, stream + i, 1), 0);
		if (stream[i] == '\n')
			expect_line(&b, lines[n++]);
		expect_none(&b, 0);
	}
	assert_int_equal(n, 3);
	assert_int_equal(line_buffer_append(&b, "\n", 1), 0);
	expect_line(&b, "three");
}

static void test_many_in_one(void **state)
{
	_cleanup_(line_buffer_done) struct line_buffer b;

	line_buffer_init(&b, 10);
	assert_int_equal(line_buffer_append(&b, "a\nbb\n\nc", 7), 0);
	assert_int_equal(line_buffer_append(&b, "", 0), 0);
	expect_line(&b, "a");
	expect_line(&b, "bb");
	expect_line(&b, "");
	expect_none(&b, 0);
	assert_int_equal(line_buffer_append(&b, "d\n", 2), 0);
	expect_line(&b, "cd");
	expect_none(&b, 0);
}

static void test_too_long(void **state)
{
	_cleanup_(line_buffer_done) struct line_buffer b;

	line_buffer_init(&b, 4);
	assert_int_equal(line_buffer_append(&b, "1234\n12345\nx\n", 13), 0);
	expect_line(&b, "1234"); /* exactly the longest */
	expect_none(&b, -EMSGSIZE);
	expect_none(&b, -EMSGSIZE); /* stays: what follows cannot be trusted */
}

static void test_too_long_without_end(void **state)
{
	_cleanup_(line_buffer_done) struct line_buffer b;

	line_buffer_init(&b, 4);
	assert_int_equal(line_buffer_append(&b, "1234", 4), 0);
	expect_none(&b, 0);
	assert_int_equal(line_buffer_append(&b, "5", 1), 0);
	expect_none(&b, -EMSGSIZE);
	assert_int_equal(line_buffer_append(&b, "\n", 1), 0);
	expect_none(&b, -EMSGSIZE);
}

static void test_nul_is_kept(void **state)
{
	_cleanup_(line_buffer_done) struct line_buffer b;
	size_t size = 0;
	char *line;

	line_buffer_init(&b, 10);
	assert_int_equal(line_buffer_append(&b, "a\0b\n", 4), 0);
	assert_int_equal(line_buffer_next(&b, &line, &size), 1);
	assert_int_equal(size, 3); /* the size tells; json_parse() refuses it */
	assert_memory_equal(line, "a\0b", 4);
}

static void test_read(void **state)
{
	_cleanup_(line_buffer_done) struct line_buffer b;
	int fds[2];

	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	line_buffer_init(&b, 100);
	assert_int_equal(line_buffer_read(&b, fds[0]), -EAGAIN);
	assert_int_equal(write(fds[1], "ab\nc", 4), 4);
	assert_int_equal(line_buffer_read(&b, fds[0]), 4);
	expect_line(&b, "ab");
	expect_none(&b, 0);
	close(fds[1]);
	assert_int_equal(line_buffer_read(&b, fds[0]), 0);
	close(fds[0]);
	assert_int_equal(line_buffer_read(&b, -1), -EBADF);
}

static void test_memory_is_given_back(void **state)
{
	_cleanup_(line_buffer_done) struct line_buffer b;
	_cleanup_free_ char *big = malloc(1 << 20);
	size_t size = 0;
	char *line;

	line_buffer_init(&b, 1 << 20);
	memset(big, 'x', 1 << 20);
	assert_int_equal(line_buffer_append(&b, big, 1 << 20), 0);
	expect_none(&b, 0);
	assert_int_equal(line_buffer_append(&b, "\n", 1), 0);
	assert_int_equal(line_buffer_next(&b, &line, &size), 1);
	assert_int_equal(size, 1 << 20);
	assert_int_equal(line_buffer_append(&b, "y\n", 2), 0);
	assert_true(b.allocated < 1 << 17);
	expect_line(&b, "y");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_byte_at_a_time),
		cmocka_unit_test(test_many_in_one),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_too_long_without_end),
		cmocka_unit_test(test_nul_is_kept),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_memory_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
