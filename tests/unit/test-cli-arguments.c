/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wrong usage: exit code 2, a message that says what would be right, and nothing sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/job-options.h"
#include "fake-daemon.h"

static const struct option options[] = {
	{ "--flag", OPTION_FLAG, NULL, "", .letter = 'f' },
	{ "--text", OPTION_TEXT, "T", "" },
	{ "--count", OPTION_UINT, "N", "" },
	{ "--signed", OPTION_INT, "N", "" },
	{ "--size", OPTION_SIZE, "S", "" },
	{ "--time", OPTION_DURATION, "T", "" },
	{ "--many", OPTION_LIST, "X", "" },
	{ NULL },
};

static int parse(struct arguments *a, bool takes_command, const char *const *words)
{
	_cleanup_free_ char *error = NULL;
	int argc = 0;

	while (words[argc])
		argc++;
	return arguments_parse(a, options, takes_command, argc, (char *const *)words, NULL, NULL,
			       &error);
}

static void test_values(void **state)
{
	static const char *const words[] = { "a",      "-f",       "--text=x=y", "--count",
					     "7",      "--signed", "-5",         "b",
					     "--size", "4GiB",     "--time",     "1h30m",
					     "--many", "p",        "--many=q",   "--",
					     "--flag", NULL };
	struct arguments a;
	uint64_t number;

	assert_int_equal(parse(&a, false, words), 0);
	assert_int_equal(a.n_words, 3);
	assert_string_equal(arguments_word(&a, 1), "b");
	assert_string_equal(arguments_word(&a, 2), "--flag"); /* behind "--" all are words */
	assert_null(arguments_word(&a, 3));
	assert_true(arguments_flag(&a, "--flag"));
	assert_string_equal(arguments_text(&a, "--text"), "x=y");
	assert_true(arguments_number(&a, "--count", &number));
	assert_int_equal(number, 7);
	assert_true(arguments_number(&a, "--signed", &number));
	assert_int_equal((int64_t)number, -5);
	assert_true(arguments_number(&a, "--size", &number));
	assert_int_equal(number, 4 * GIB);
	assert_true(arguments_number(&a, "--time", &number));
	assert_int_equal(number, 5400 * USEC_PER_SEC);
	assert_int_equal(json_array_size(arguments_list(&a, "--many")), 2);
	arguments_done(&a);
}

static void test_command_behind_dashes(void **state)
{
	static const char *const words[] = { "--flag", "--", "run", "--flag", "--", "x", NULL };
	struct arguments a;

	assert_int_equal(parse(&a, true, words), 0);
	assert_true(a.has_command);
	assert_int_equal(a.n_words, 0);
	assert_int_equal(a.n_command, 4);
	assert_string_equal(a.command[1], "--flag");
	arguments_done(&a);
}

struct refusal {
	const char *arguments[12];
	const char *says;
};

static const struct refusal refusals[] = {
	{ { NULL }, "no verb" },
	{ { "lst" }, "unknown verb \"lst\" (did you mean list?)" },
	{ { "zzzzzz" }, "gpuvf help" },
	{ { "--sokket", "x", "list" }, "unknown option --sokket" },
	{ { "-o", "yaml", "list" }, "table, wide, json or ndjson" },
	{ { "list", "-o" }, "-o needs a value" },
	{ { "--socket", "", "list" }, "--socket: the value is empty" },
	{ { "list", "vf" }, "unknown list \"vf\" (did you mean vfs?)" },
	{ { "list", "vfs", "gpus" }, "\"gpus\" is too much: gpuvf list" },
	{ { "list", "--wide" }, "unknown option --wide" },
	{ { "list", "-q=1" }, "unknown option -q=1" },
	{ { "list", "--quiet=1" }, "--quiet takes no value" },
	{ { "show" }, "something is missing: gpuvf show OBJECT" },
	{ { "plan", "gpu0", "--vfs", "many" }, "--vfs many: wrong value (a whole number" },
	{ { "plan", "gpu0", "--vfs", "-1" }, "--vfs -1: wrong value" },
	{ { "plan", "gpu0", "--vfs" }, "--vfs needs a value: --vfs N" },
	{ { "plan", "gpu0", "--vfs", "2", "--vfs", "3" }, "--vfs is given twice" },
	{ { "apply", "gpu0", "--vfs", "2", "--vram", "4G" }, "write GiB" },
	{ { "apply", "gpu0", "--vram", "4GiB" }, "--vram goes with --vfs N" },
	{ { "apply", "gpu0", "--vfs", "2", "--slices", "a:1" }, "only one of --vfs" },
	{ { "apply", "gpu0", "--slices", "a" }, "such as small:2,large:1" },
	{ { "apply", "gpu0", "--slices", "a:1,:2" }, "such as small:2,large:1" },
	{ { "apply", "gpu0", "--slices", "a:99999" }, "such as small:2,large:1" },
	{ { "apply", "gpu0", "--all" }, "either a GPU or --all" },
	{ { "apply", "gpu0", "--policy", "--vfs", "1" }, "leave the other one out" },
	{ { "apply", "--all", "--plan", "abc" }, "--plan is of one GPU" },
	{ { "apply", "gpu0", "--wait", "5" }, "--wait 5: wrong value" },
	{ { "apply", "gpu0", "--vf", "3" }, "did you mean --vfs?" },
	{ { "assign" }, "gpuvf assign VM" },
	{ { "assign", "vm", "--live", "--both" }, "only one of --live, --config, --both" },
	{ { "assign", "vm", "--vf", "gpu0/vf1", "--vram", "1GiB" },
	  "leave --profile and --vram out" },
	{ { "assign", "vm", "--for", "2" }, "--for 2: wrong value" },
	{ { "assign", "\xff" }, "not valid UTF-8" },
	{ { "release", "gpu0/vf1", "--all" }, "--all is of a VM" },
	{ { "submit" }, "gpuvf submit" },
	{ { "submit", "--" }, "no command behind --" },
	{ { "submit", "x", "--", "y" }, "either files or a command" },
	{ { "submit", "a", "b", "--follow" }, "--follow is for one job" },
	{ { "submit", "a", "b", "--request-id", "r" }, "--request-id is for one job" },
	{ { "submit", "--dry-run", "--wait", "a" }, "--dry-run queues nothing" },
	{ { "submit", "--vm", "a", "--vms", "b", "--", "x" }, "either --vm or --vms" },
	{ { "submit", "--env", "NOVALUE", "--", "x" }, "write NAME=VALUE" },
	{ { "submit", "--env", "=v", "--", "x" }, "write NAME=VALUE" },
	{ { "submit", "--file", "a:", "--", "x" }, "write SOURCE or SOURCE:TARGET" },
	{ { "submit", "--priority", "high", "--", "x" }, "a whole number" },
	{ { "submit", "--time", "90", "--", "x" }, "--time 90: wrong value" },
	{ { "submit", "--template", "t", "--", "x" },
	  "--template is not supported by this version (use --vm" },
	{ { "submit", "--host", "--", "x" }, "--host is not supported" },
	{ { "submit", "--finetune", "f", "--", "x" }, "--finetune is not supported" },
	{ { "submit", "--secret", "k", "--", "x" }, "--secret is not supported" },
	{ { "submit", "--after", "ok:1", "--", "x" },
	  "--after is not supported by this version (use gpuvf wait)" },
	{ { "submit", "--array", "0-9", "--", "x" }, "--array is not supported" },
	{ { "submit", "--begin", "20:00", "--", "x" }, "--begin is not supported" },
	{ { "jobs", "--since", "yesterday" }, "2h, 20:00 or" },
	{ { "jobs", "--ended", "--state", "queued" }, "leave one out" },
	{ { "jobs", "--limit", "0" }, "1 or more" },
	{ { "cancel", "3", "gpu0" }, "neither a job's id (12) nor an operation (op/7)" },
	{ { "wait", "abc" }, "neither a job's id" },
	{ { "wait", "1", "--for", "runing" }, "did you mean running?" },
	{ { "wait", "1", "2", "--exit-code" }, "--exit-code is for one job" },
	{ { "wait", "op/1", "--exit-code" }, "--exit-code is for one job" },
	{ { "logs", "gpu0" }, "not a job's id" },
	{ { "logs", "1", "--attempt", "0" }, "count from 1" },
	{ { "logs", "1", "-f", "--attempt", "1" }, "leave --attempt out" },
	{ { "fetch", "x" }, "not a job's id" },
	{ { "fetch", "1", "--attempt", "0" }, "count from 1" },
	{ { "policy" }, "gpuvf policy check" },
	{ { "policy", "chek" }, "did you mean check?" },
	{ { "policy", "check" }, "which files?" },
	{ { "policy", "check", "--", "-x" }, "write ./-x" },
	{ { "policy", "reload", "x" }, "takes no files" },
	{ { "watch", "12" }, "ids go with --progress" },
	{ { "watch", "--progress", "x" }, "not a job's id" },
	{ { "watch", "--progress", "--types", "job.state" }, "leave --types, --audit and --since out" },
	{ { "watch", "--progress", "--audit" }, "leave --types, --audit and --since out" },
	{ { "audit", "--limit", "0" }, "1 or more" },
	{ { "audit", "--since", "soon" }, "--since soon: wrong value" },
	{ { "audit", "--user", "no such user" }, "a uid does as well" },
	{ { "call" }, "gpuvf call METHOD" },
	{ { "call", "gpu.list", "[1]" }, "a JSON object" },
	{ { "completion", "fish" }, "unknown shell \"fish\"" },
	{ { "help", "aply" }, "did you mean apply?" },
};

static void test_refusals(void **state)
{
	static const struct canned none[] = { { NULL } };
	struct fake_daemon *d = fake_daemon_start(none);
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		const char *arguments[14] = { "gpuvf" };
		_cleanup_run_ struct run run = { 0 };

		for (k = 0; refusals[i].arguments[k]; k++)
			arguments[k + 1] = refusals[i].arguments[k];
		run = run_gpuvf(NULL, arguments);
		if (run.code != EXIT_USAGE || !strstr(run.err, refusals[i].says))
			fail_msg("row %zu: code %d, said: %s wanted: %s", i, run.code, run.err,
				 refusals[i].says);
		assert_string_equal(run.out, "");
		assert_memory_equal(run.err, "gpuvf: ", 7);
		assert_ptr_equal(strchr(run.err, '\n'), run.err + strlen(run.err) - 1);
	}
	assert_int_equal(fake_daemon_requests(d), 0);
	fake_daemon_stop(d);
}

/* With -o json the refusal is an error object, of the client's own as well. */
static void test_refusal_as_json(void **state)
{
	_cleanup_run_ struct run run = GPUVF("-o", "json", "logs", "1", "-f");
	_cleanup_json_ json_t *error = json_loads(run.err, 0, NULL);

	assert_int_equal(run.code, EXIT_USAGE);
	assert_non_null(error);
	assert_int_equal(json_get_int(error, "code", 0), RPC_INVALID_PARAMS);
	assert_string_equal(json_get_string(json_object_get(error, "data"), "reason"), "usage");
	assert_non_null(strstr(json_get_string(error, "message"), "leave -o out"));
}

static void test_help(void **state)
{
	_cleanup_run_ struct run all = GPUVF("help"), one = GPUVF("help", "apply");
	_cleanup_run_ struct run option = GPUVF("apply", "--help"), version = GPUVF("--version");
	size_t i;

	assert_int_equal(all.code, 0);
	for (i = 0; verbs[i]; i++) {
		_cleanup_free_ char *line =
			xasprintf("\n  %-12s %s\n", verbs[i]->name, verbs[i]->summary);

		assert_non_null(strstr(all.out, line));
	}
	assert_int_equal(one.code, 0);
	assert_non_null(strstr(one.out, "--slices P:2,Q:1"));
	assert_string_equal(one.out, option.out);
	assert_string_equal(version.out, "gpuvf " PACKAGE_VERSION "\n");
}

static void test_split_words(void **state)
{
	size_t n = 0;
	_cleanup_free_ char **words =
		split_words("  --env 'A=b c' --name \"x \\\" y\"z a\\ b ''  # --time 1h", &n);

	assert_non_null(words);
	assert_int_equal(n, 6);
	assert_string_equal(words[0], "--env");
	assert_string_equal(words[1], "A=b c");
	assert_string_equal(words[3], "x \" yz");
	assert_string_equal(words[4], "a b");
	assert_string_equal(words[5], "");
	assert_null(split_words("a 'b", &n));
}

static void test_words(void **state)
{
	assert_true(is_operation_name("op/7"));
	assert_false(is_operation_name("op/"));
	assert_false(is_operation_name("op/7x"));
	assert_true(is_job_id("12"));
	assert_true(is_job_id("12_3"));
	assert_false(is_job_id("12_"));
	assert_false(is_job_id("-1"));
	assert_true(is_vf_name("gpu0/vf12"));
	assert_true(is_vf_name("0000:03:00.1"));
	assert_false(is_vf_name("gpu0"));
	assert_false(is_vf_name("gpu/vf1"));
	assert_true(is_gpu_name("gpu10"));
	assert_false(is_gpu_name("gpu"));
	assert_false(is_gpu_name("trainer-1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),	       cmocka_unit_test(test_command_behind_dashes),
		cmocka_unit_test(test_refusals),       cmocka_unit_test(test_refusal_as_json),
		cmocka_unit_test(test_help),	       cmocka_unit_test(test_split_words),
		cmocka_unit_test(test_words),
	};

	unsetenv("GPUVF_SOCKET");
	return cmocka_run_group_tests_name("cli-arguments", tests, NULL, NULL);
}
