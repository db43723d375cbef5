/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files read and written whole, in a folder of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/io.h"

static char folder[] = "/tmp/gpuvf-test-io-XXXXXX";
static int dirfd_;

static int setup(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	dirfd_ = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd_ < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)unlinkat(dirfd_, "f", 0);
	(void)unlinkat(dirfd_, "link", 0);
	close(dirfd_);
	return rmdir(folder); /* fails when a temporary file was left */
}

static void expect_file(const char *name, const char *expected)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;

	assert_int_equal(read_file_at(dirfd_, name, 100, &text, &size), 0);
	assert_int_equal(size, strlen(expected));
	assert_string_equal(text, expected);
}

static void test_atomic(void **state)
{
	struct stat st;

	assert_int_equal(write_file_atomic_at(dirfd_, "f", "first", 5, 0640), 0);
	expect_file("f", "first");
	assert_int_equal(fstatat(dirfd_, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);

	assert_int_equal(write_file_atomic_at(dirfd_, "f", "second", 6, 0600), 0);
	expect_file("f", "second");
	assert_int_equal(fstatat(dirfd_, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640); /* an existing file keeps its mode */
}

static void test_atomic_with_path(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s/f", folder), *bad = xasprintf("%s/no/f", folder);

	assert_int_equal(write_file_atomic_at(AT_FDCWD, path, "x", 1, 0600), 0);
	expect_file("f", "x");
	assert_int_equal(write_file_atomic_at(AT_FDCWD, bad, "x", 1, 0600), -ENOENT);
	assert_int_equal(write_file_atomic_at(dirfd_, ".", "x", 1, 0600), -EBUSY);
}

static void test_write_existing(void **state)
{
	assert_int_equal(write_file_at(dirfd_, "nothing", "1"), -ENOENT);
	assert_int_equal(write_file_atomic_at(dirfd_, "f", "16\n", 3, 0600), 0);
	assert_int_equal(write_file_at(dirfd_, "f", "4"), 0);
	expect_file("f", "4"); /* nothing of the longer text is left */
}

static void test_read_limits(void **state)
{
	char *text = NULL;

	assert_int_equal(write_file_atomic_at(dirfd_, "f", "12345", 5, 0600), 0);
	assert_int_equal(read_file_at(dirfd_, "f", 4, &text, NULL), -EFBIG);
	assert_null(text);
	assert_int_equal(read_file_at(dirfd_, "f", 5, &text, NULL), 0);
	free(text);
	text = NULL;
	assert_int_equal(read_file_at(dirfd_, "nothing", 5, &text, NULL), -ENOENT);
	assert_int_equal(read_file_at(dirfd_, ".", 5, &text, NULL), -EISDIR);
	assert_int_equal(read_file_at(AT_FDCWD, "/dev/zero", 100000, &text, NULL), -EFBIG);
	assert_null(text);
}

static void test_write_all(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, "x", 1), -ENOSPC);
	close(fd);
	assert_int_equal(write_all(-1, "x", 1), -EBADF);
	assert_int_equal(write_all(-1, "", 0), 0);
	assert_int_equal(write_file_at(AT_FDCWD, "/dev/full", "x"), -ENOSPC);
}

static void test_trim(void **state)
{
	char a[] = "x y \t\n", b[] = "\n", c[] = "";

	assert_string_equal(trim_end(a), "x y");
	assert_string_equal(trim_end(b), "");
	assert_string_equal(trim_end(c), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_atomic),	    cmocka_unit_test(test_atomic_with_path),
		cmocka_unit_test(test_write_existing), cmocka_unit_test(test_read_limits),
		cmocka_unit_test(test_write_all),   cmocka_unit_test(test_trim),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
