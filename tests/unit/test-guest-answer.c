/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers of a guest agent, progress lines, and the shell text of a plan: good ones and refusals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "runner/guest-answer.h"
#include "runner/plan.h"
#include "runner/progress.h"

static json_t *json(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(value);
	return value;
}

static void test_info(void **state)
{
	_cleanup_json_ json_t *all =
		json("{\"supported_commands\": [{\"name\": \"guest-exec\", \"enabled\": true},"
		     "{\"name\": \"guest-exec-status\", \"enabled\": true},"
		     "{\"name\": \"guest-file-open\", \"enabled\": true},"
		     "{\"name\": \"guest-file-close\", \"enabled\": true},"
		     "{\"name\": \"guest-file-read\", \"enabled\": true},"
		     "{\"name\": \"guest-file-write\", \"enabled\": true},"
		     "{\"name\": \"guest-file-seek\", \"enabled\": true}]}");
	_cleanup_json_ json_t *one = json("{\"supported_commands\": [{\"name\": \"guest-exec\"}]}");
	_cleanup_json_ json_t *bad = json("{\"supported_commands\": [{\"nam\": \"guest-exec\"}]}");
	const char *missing = "unset";

	assert_int_equal(guest_answer_info(all, &missing), 0);
	assert_null(missing);
	assert_int_equal(guest_answer_info(one, &missing), 0);
	assert_string_equal(missing, "guest-exec");
	assert_int_equal(guest_answer_info(bad, &missing), -EBADMSG);
}

static void test_exec_status(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"exited\": 1}",
		"{\"exited\": true}",
		"{\"exited\": true, \"exitcode\": -1}",
		"{\"exited\": true, \"signal\": 0}",
		"{\"exited\": true, \"exitcode\": 0, \"out-data\": 7}",
		"{\"exited\": true, \"exitcode\": 0, \"out-data\": \"YQ\"}",
		"{\"exited\": true, \"exitcode\": 0, \"err-data\": \"Y===\"}",
	};
	_cleanup_json_ json_t *runs = json("{\"exited\": false}");
	_cleanup_json_ json_t *done =
		json("{\"exited\": true, \"exitcode\": 3, \"out-data\": \"aGk=\"}");
	struct guest_exec_status status;

	assert_int_equal(guest_answer_exec_status(runs, &status), 0);
	assert_false(status.exited);
	assert_int_equal(guest_answer_exec_status(done, &status), 0);
	assert_int_equal(status.exit_code, 3);
	assert_string_equal(status.out, "hi");
	assert_string_equal(status.err, "");
	guest_exec_status_done(&status);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_json_ json_t *value = json(bad[i]);

		assert_int_equal(guest_answer_exec_status(value, &status), -EBADMSG);
	}
}

static void test_read(void **state)
{
	static const char *const bad[] = {
		"{\"count\": 3, \"buf-b64\": \"aGk=\", \"eof\": false}",
		"{\"count\": 2, \"buf-b64\": \"aGk=\"}",
		"{\"count\": \"2\", \"buf-b64\": \"aGk=\", \"eof\": false}",
		"{\"count\": 17, \"buf-b64\": \"MDEyMzQ1Njc4OWFiY2RlZmc=\", \"eof\": false}",
	};
	_cleanup_json_ json_t *good = json("{\"count\": 2, \"buf-b64\": \"aGk=\", \"eof\": true}");
	size_t size;
	void *data;
	bool eof;

	assert_int_equal(guest_answer_read(good, 16, &data, &size, &eof), 0);
	assert_memory_equal(data, "hi", 2);
	assert_true(eof);
	free(data);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_json_ json_t *value = json(bad[i]);

		assert_int_equal(guest_answer_read(value, 16, &data, &size, &eof), -EBADMSG);
	}
}

static bool feed(struct progress_reader *reader, const char *text, struct runner_progress *progress)
{
	return progress_feed(reader, text, strlen(text), progress);
}

static void test_progress(void **state)
{
	_cleanup_free_ struct progress_reader *reader = calloc(1, sizeof(*reader));
	_cleanup_free_ char *long_line = malloc(10001);
	struct runner_progress p = { 0 };

	assert_false(feed(reader, "words\n{\"step\": ", &p));
	assert_true(feed(reader, "1, \"max_steps\": 20, \"loss\": 2}\n", &p));
	assert_int_equal(p.step.value, 1);
	assert_int_equal(p.total.value, 20);
	assert_true(p.loss == 2.0);
	assert_false(feed(reader, "{\"step\": 1}\n", &p)); /* nothing new */
	assert_true(feed(reader, "  {\"step\": 2}\n", &p));
	assert_false(feed(
		reader, "{\"step\": -1}\n{\"step\": \"3\"}\n{\"loss\": null}\n{\"step\": 3\n[3]\n",
		&p));
	assert_int_equal(p.step.value, 2);

	memset(long_line, ' ', 10000);
	memcpy(long_line, "{\"step\": 9}", 11);
	long_line[10000] = '\0';
	assert_false(feed(reader, long_line, &p));
	assert_true(feed(reader, "\n{\"step\": 4}\n", &p));
	assert_int_equal(p.step.value, 4);
}

static void test_quote(void **state)
{
	_cleanup_free_ char *plain = plan_quote("a b"), *quotes = plan_quote("it's $(x) `y` \\ \"");

	assert_string_equal(plain, "'a b'");
	assert_string_equal(quotes, "'it'\\''s $(x) `y` \\ \"'");
}

static void test_command(void **state)
{
	_cleanup_json_ json_t *env = json("{\"A\": \"x'y\", \"GPUVF_JOB_ID\": \"forged\"}");
	_cleanup_json_ json_t *words = json("[\"echo\", \"$HOME; reboot\"]");
	const struct runner_options options = {
		.job_id = "12_3",
		.attempt = 2,
		.env = env,
		.command = words,
	};
	_cleanup_free_ char *text = plan_command(&options, NULL);

	assert_non_null(strstr(text, "export A='x'\\''y'\n"));
	assert_non_null(strstr(text, "export GPUVF_JOB_ID='12_3'\n"));
	assert_non_null(strstr(text, "export GPUVF_ATTEMPT='2'\n"));
	assert_null(strstr(text, "forged"));
	assert_null(strstr(text, "GPUVF_DEVICE"));
	assert_non_null(strstr(text, "exec 'echo' '$HOME; reboot'\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_info),  cmocka_unit_test(test_exec_status),
		cmocka_unit_test(test_read),  cmocka_unit_test(test_progress),
		cmocka_unit_test(test_quote), cmocka_unit_test(test_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
