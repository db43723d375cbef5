/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log: levels, subjects, escaping, and that a storm is cut. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "lib/units.h"
#include "log/log.h"

static int saved_stderr = -1;
static int capture = -1;

static void capture_begin(void)
{
	char path[] = "/tmp/gpuvf-test-log-XXXXXX";

	capture = mkstemp(path);
	assert_true(capture >= 0);
	assert_int_equal(unlink(path), 0);
	saved_stderr = dup(STDERR_FILENO);
	assert_true(saved_stderr >= 0);
	assert_true(dup2(capture, STDERR_FILENO) >= 0);
}

/* What was written since capture_begin(). */
static const char *capture_end(void)
{
	static char text[8192];
	ssize_t n;

	assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
	saved_stderr = safe_close(saved_stderr);
	n = pread(capture, text, sizeof(text) - 1, 0);
	assert_true(n >= 0);
	text[n] = '\0';
	capture = safe_close(capture);
	return text;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void test_levels(void **state)
{
	log_setup(LOG_NOTICE, false);
	capture_begin();
	log_debug("debug");
	log_info("info");
	log_notice("notice");
	log_warning(0, "warning");
	assert_string_equal(capture_end(), "notice\nwarning\n");

	assert_int_equal(log_level_from_string("debug"), LOG_DEBUG);
	assert_int_equal(log_level_from_string("err"), LOG_ERR);
	assert_int_equal(log_level_from_string("loud"), -EINVAL);
}

static void test_errno_in_words(void **state)
{
	log_setup(LOG_INFO, false);
	capture_begin();
	log_error(-EBUSY, "cannot write %s", "sriov_numvfs");
	assert_string_equal(capture_end(), "cannot write sriov_numvfs: Device or resource busy\n");
}

static void test_subjects(void **state)
{
	log_setup(LOG_INFO, false);
	capture_begin();
	log_vf("gpu0/vf1", LOG_INFO, 0, "reset");
	log_vm("trainer-1", LOG_INFO, 0, "attached");
	log_job("12", LOG_WARNING, -ETIMEDOUT, "no answer");
	log_vf("gpu0/vf1", LOG_INFO, 0, "gpu0/vf1: said already");
	assert_string_equal(capture_end(), "gpu0/vf1: reset\n"
					   "VM trainer-1: attached\n"
					   "job 12: no answer: Connection timed out\n"
					   "gpu0/vf1: said already\n");
}

static void test_control_bytes_are_escaped(void **state)
{
	const char *text;

	log_setup(LOG_INFO, false);
	capture_begin();
	log_vm("evil\x1b[2J\nroot", LOG_INFO, 0, "a\rb");
	text = capture_end();
	assert_int_equal(count_lines(text), 1);
	assert_null(strchr(text, '\x1b'));
	assert_null(strchr(text, '\r'));
	assert_non_null(strstr(text, "evil"));
}

static void test_errno_is_kept(void **state)
{
	log_setup(LOG_INFO, false);
	capture_begin();
	errno = ENOTTY;
	log_info("line");
	assert_int_equal(errno, ENOTTY);
	capture_end();
}

/* With stderr read by the journal, each line says its level. */
static void test_prefix_for_the_journal(void **state)
{
	char stream[64];
	struct stat st;

	capture_begin();
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
	log_setup(LOG_INFO, false);
	log_error(0, "broken");
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
	log_setup(LOG_INFO, false);
	log_error(0, "plain");
	assert_string_equal(capture_end(), "<3>broken\nplain\n");
}

/* What the journal was sent. */
static char sent[2048];
int __wrap_sd_journal_sendv(const struct iovec *iov, int n);

int __wrap_sd_journal_sendv(const struct iovec *iov, int n)
{
	sent[0] = '\0';
	for (int i = 0; i < n; i++) {
		strncat(sent, iov[i].iov_base, MIN_OF(iov[i].iov_len, sizeof(sent) - strlen(sent) - 2));
		strcat(sent, "\n");
	}
	return 0;
}

static void test_fields_for_the_journal(void **state)
{
	const struct log_field fields[] = {
		{ "GPUVF_UID", "1000" }, { "GPUVF_SUBJECT", NULL }, { "GPUVF_METHOD", "vf.assign" },
	};

	log_setup(LOG_INFO, true);
	log_fields(LOG_NOTICE, fields, ARRAY_SIZE(fields), "file.c", 7, "uid %d", 1000);
	assert_non_null(strstr(sent, "MESSAGE=uid 1000\n"));
	assert_non_null(strstr(sent, "GPUVF_UID=1000\n"));
	assert_non_null(strstr(sent, "GPUVF_METHOD=vf.assign\n"));
	assert_non_null(strstr(sent, "PRIORITY=5\n"));
	assert_null(strstr(sent, "GPUVF_SUBJECT"));
	log_vf("gpu0/vf1", LOG_WARNING, -EIO, "reset");
	assert_non_null(strstr(sent, "GPUVF_VF=gpu0/vf1\n"));
	assert_non_null(strstr(sent, "ERRNO=5\n"));
	log_setup(LOG_ERR, true); /* a record is none of the lines that may be left out */
	log_fields(LOG_NOTICE, fields, ARRAY_SIZE(fields), "file.c", 7, "whatever the level");
	assert_non_null(strstr(sent, "MESSAGE=whatever the level\n"));
	sent[0] = '\0';
	log_vf("gpu0/vf1", LOG_WARNING, -EIO, "reset");
	assert_string_equal(sent, "");
	log_setup(LOG_ERR, false);
	capture_begin();
	log_fields(LOG_NOTICE, fields, ARRAY_SIZE(fields), "file.c", 7, "uid %d", 1000);
	assert_string_equal(capture_end(), "uid 1000\n");
}

static void storm_line(struct log_ratelimit *limit)
{
	if (log_ratelimit_pass(limit, __FILE__, __LINE__))
		log_info("storm");
}

static void test_ratelimit(void **state)
{
	struct log_ratelimit limit = { 0 };
	const char *text;
	int i;

	log_setup(LOG_INFO, false);
	capture_begin();
	for (i = 0; i < 25; i++)
		storm_line(&limit);
	assert_int_equal(count_lines(capture_end()), 10);
	assert_int_equal(limit.dropped, 15);

	/* The interval has passed: the count of what was left out comes first. */
	limit.begin -= 31 * USEC_PER_SEC;
	capture_begin();
	storm_line(&limit);
	text = capture_end();
	assert_string_equal(text, "15 lines like the next were left out\nstorm\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_errno_in_words),
		cmocka_unit_test(test_subjects),
		cmocka_unit_test(test_control_bytes_are_escaped),
		cmocka_unit_test(test_errno_is_kept),
		cmocka_unit_test(test_prefix_for_the_journal),
		cmocka_unit_test(test_fields_for_the_journal),
		cmocka_unit_test(test_ratelimit),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
