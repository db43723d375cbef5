/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `gpuvf submit` makes of documents, scripts and commands, and what it refuses before it
 * sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "fake-daemon.h"
#include "lib/io.h"

static char folder[] = "/tmp/gpuvf-test-submit-XXXXXX";
static const struct canned one_job[] = {
	{ "job.submit", "{\"id\":7,\"queue\":\"q\",\"warnings\":[]}" }, { NULL }
};

static char *in_folder(const char *name)
{
	return xasprintf("%s/%s", folder, name);
}

/* Returns the new path. */
static char *write_file(const char *name, const char *text, size_t size, mode_t mode)
{
	char *path = in_folder(name);
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, mode);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write_all(fd, text, size), 0);
	close(fd);
	return path;
}

/* Submits, and gives the job that was sent as new JSON. */
static json_t *submit(const char *input, const char *const *arguments)
{
	struct fake_daemon *d = fake_daemon_start(one_job);
	_cleanup_run_ struct run run = run_gpuvf(input, arguments);
	const json_t *request = fake_daemon_request(d, 0);
	json_t *job;

	assert_string_equal(run.err, "");
	assert_int_equal(run.code, 0);
	assert_string_equal(run.out, "7\n");
	assert_int_equal(fake_daemon_requests(d), 1);
	assert_string_equal(json_get_string(request, "method"), "job.submit");
	job = json_deep_copy(json_object_get(json_object_get(request, "params"), "job"));
	fake_daemon_stop(d);
	return job;
}

#define SUBMIT(...) submit(NULL, (const char *const[]){ "gpuvf", "submit", __VA_ARGS__, NULL })

static void assert_json(const json_t *value, const char *wanted)
{
	_cleanup_json_ json_t *json = json_loads(wanted, 0, NULL);
	_cleanup_free_ char *text = json_text(value);

	assert_non_null(json);
	if (!json_equal(value, json))
		fail_msg("is %s, not %s", text, wanted);
}

static void test_command(void **state)
{
	_cleanup_free_ char *env = write_file("env", "# c\nA=1\n\n B=x=y\n", 15, 0644);
	_cleanup_json_ json_t *job =
		SUBMIT("--vm", "trainer-1", "--time", "4h", "--vram", "4GiB", "--priority", "-3",
		       "--env-file", env, "--env", "A=2", "--output", "a/**", "--output", "b",
		       "--hold", "--retries", "2", "--queue", "night", "--workdir", "/run/x", "--",
		       "./dir/train", "--lr", "0.1");

	assert_json(
		job,
		"{\"version\":1,\"name\":\"train\",\"command\":[\"./dir/train\",\"--lr\",\"0.1\"],"
		"\"run_in\":{\"vm\":\"trainer-1\"},\"time_limit\":\"4h\",\"vram\":\"4GiB\","
		"\"priority\":-3,"
		"\"env\":{\"A\":\"2\",\"B\":\"x=y\"},\"outputs\":[\"a/**\",\"b\"],\"hold\":true,"
		"\"retries\":2,\"queue\":\"night\",\"workdir\":\"/run/x\"}");
}

/* Files are read now; their paths are the document's, their mode the file's own. */
static void test_document(void **state)
{
	_cleanup_free_ char *a = write_file("tool", "abc", 3, 0755),
			    *b = write_file("data", "d", 1, 0600);
	static const char text[] =
		" {\"command\": [\"./tool\"], \"name\": \"n\", \"env\": {\"K\": \"1\"},\n"
		"\"files\": [{\"from\": \"tool\", \"to\": \"bin/tool\"},\n"
		"{\"from\": \"data\", \"mode\": \"0640\"}]}";
	_cleanup_free_ char *path = write_file("job.json", text, strlen(text), 0644);
	_cleanup_free_ char *wanted = xasprintf(
		"{\"command\":[\"./"
		"tool\"],\"name\":\"other\",\"env\":{\"K\":\"1\",\"L\":\"2\"},\"files\":["
		"{\"from\":\"%s\",\"to\":\"bin/tool\",\"content\":\"YWJj\",\"mode\":\"0755\"},"
		"{\"from\":\"%s\",\"mode\":\"0640\",\"content\":\"ZA==\",\"to\":\"data\"}],"
		"\"run_in\":{\"vms\":\"t-*\"}}",
		a, b);
	_cleanup_json_ json_t *job =
		SUBMIT(path, "--name", "other", "--vms", "t-*", "--env", "L=2");

	assert_json(job, wanted);
}

static void test_script(void **state)
{
	static const char text[] = "#!/bin/bash\n#GPUVF --time 4h --name \"my run\"\n#GPUVFX --no\n"
				   "#GPUVF --env A=1 --priority 5 # why\necho\n";
	_cleanup_free_ char *path = write_file("run.sh", text, strlen(text), 0644);
	_cleanup_json_ json_t *job = SUBMIT("--priority", "0", path);
	const json_t *file = json_array_get(json_object_get(job, "files"), 0);

	assert_string_equal(json_get_string(job, "name"), "my run");
	assert_string_equal(json_get_string(job, "time_limit"), "4h");
	assert_int_equal(json_get_int(job, "priority", 9), 0); /* the command line wins */
	assert_json(json_object_get(job, "env"), "{\"A\":\"1\"}");
	assert_json(json_object_get(job, "command"), "[\"./run.sh\"]");
	assert_string_equal(json_get_string(file, "to"), "run.sh");
	assert_string_equal(json_get_string(file, "mode"), "0755");
}

static void test_standard_input(void **state)
{
	static const char *const arguments[] = { "gpuvf", "submit", "-", NULL };
	_cleanup_json_ json_t *script = submit("#GPUVF --retries 1\necho hi\n", arguments);
	_cleanup_json_ json_t *document = submit("{\"shell\": \"x\"}", arguments);

	assert_json(
		script,
		"{\"version\":1,\"name\":\"stdin\",\"retries\":1,\"shell\":\"#GPUVF --retries 1\\n"
		"echo hi\\n\"}");
	assert_json(document, "{\"shell\":\"x\"}");
}

static void test_file_option(void **state)
{
	_cleanup_free_ char *path = write_file("plain", "d", 1, 0644),
			    *option = xasprintf("%s:x/y", path);
	_cleanup_json_ json_t *job = SUBMIT("--file", path, "--file", option, "--", "true");
	const json_t *files = json_object_get(job, "files");

	assert_string_equal(json_get_string(json_array_get(files, 0), "to"), "plain");
	assert_string_equal(json_get_string(json_array_get(files, 1), "to"), "x/y");
	assert_string_equal(json_get_string(json_array_get(files, 1), "content"), "ZA==");
}

/* ---- refusals: nothing is sent ---- */

static void assert_refused(int code, const char *says, const char *const *arguments,
			   const char *input)
{
	struct fake_daemon *d = fake_daemon_start(one_job);
	_cleanup_run_ struct run run = run_gpuvf(input, arguments);

	if (run.code != code || !strstr(run.err, says))
		fail_msg("code %d, said: %s wanted: %d %s", run.code, run.err, code, says);
	assert_string_equal(run.out, "");
	assert_int_equal(fake_daemon_requests(d), 0);
	fake_daemon_stop(d);
}

#define REFUSED(code, says, ...)                                                                   \
	assert_refused(code, says, (const char *const[]){ "gpuvf", "submit", __VA_ARGS__, NULL },  \
		       NULL)
#define REFUSED_INPUT(code, says, input)                                                           \
	assert_refused(code, says, (const char *const[]){ "gpuvf", "submit", "-", NULL }, input)

static void test_refused_files(void **state)
{
	_cleanup_free_ char *fifo = in_folder("fifo"), *none = in_folder("none");
	_cleanup_free_ char *binary = write_file("binary", "\x7f" "ELF\xff\x00x", 7, 0755);

	assert_int_equal(mkfifo(fifo, 0600), 0);
	REFUSED(EXIT_NOT_FOUND, "/files/0: ", "--file", none, "--", "true");
	REFUSED(EXIT_INVALID_DOCUMENT, "is a folder (name its files", "--file", folder, "--",
		"true");
	REFUSED(EXIT_INVALID_DOCUMENT, "not a regular file", "--file", fifo, "--", "true");
	REFUSED(EXIT_NOT_FOUND, "none: No such file", none);
	REFUSED(EXIT_FAILED, "Is a directory", folder);
	REFUSED(EXIT_INVALID_DOCUMENT,
		"neither a job document nor a script (a program is started by", binary);
}

static void test_refused_documents(void **state)
{
	REFUSED_INPUT(EXIT_INVALID_DOCUMENT, "-:2:", "{\n\"command\" [1]}");
	REFUSED_INPUT(EXIT_INVALID_DOCUMENT, "is empty", "");
	REFUSED_INPUT(EXIT_INVALID_DOCUMENT, "/files/0 has no \"from\"",
		      "{\"files\": [{\"to\": \"x\"}]}");
	REFUSED_INPUT(EXIT_USAGE, "stdin:1: unknown option --tme (did you mean --time?)",
		      "#GPUVF --tme 4h\n");
	REFUSED_INPUT(EXIT_USAGE, "stdin:2: a quote is not closed", "\n#GPUVF --name 'x\n");
	REFUSED_INPUT(EXIT_USAGE, "stdin:1: \"x\" is not an option", "#GPUVF x\n");
	REFUSED_INPUT(EXIT_USAGE, "stdin:1: unknown option --follow", "#GPUVF --follow\n");
	REFUSED_INPUT(EXIT_USAGE, "stdin:1: --array is not supported", "#GPUVF --array 0-9\n");
}

/* The second of two is bad: the first is not queued either. */
static void test_all_or_nothing(void **state)
{
	_cleanup_free_ char *good = write_file("good.json", "{\"shell\": \"x\"}", 14, 0644);
	_cleanup_free_ char *bad = write_file("bad.json", "{\"shell\": }", 11, 0644);

	REFUSED(EXIT_INVALID_DOCUMENT, "bad.json:1:11", good, bad);
}

/* ---- large files go ahead ---- */

static void test_upload(void **state)
{
	static const struct canned answers[] = {
		{ "job.upload", "{\"upload\":\"u1\",\"size\":522240}" },
		{ "job.upload", "{\"upload\":\"u1\",\"size\":900000}" },
		{ "job.submit", "{\"id\":7,\"warnings\":[\"libvirt is away\"]}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_free_ char *data = calloc(1, 900000), *path = NULL;
	_cleanup_run_ struct run run = { 0 };
	const json_t *first, *second, *file;

	path = write_file("large", data, 900000, 0644);
	run = GPUVF("submit", "--file", path, "--", "true");
	assert_int_equal(run.code, 0);
	assert_string_equal(run.out, "7\n");
	assert_string_equal(run.err, "gpuvf: submit: warning: libvirt is away\n");

	first = json_object_get(fake_daemon_request(d, 0), "params");
	second = json_object_get(fake_daemon_request(d, 1), "params");
	assert_null(json_object_get(first, "upload"));
	assert_int_equal(json_get_uint(first, "offset", 9), 0);
	assert_string_equal(json_get_string(second, "upload"), "u1");
	assert_int_equal(json_get_uint(second, "offset", 9), 522240);
	assert_int_equal(strlen(json_get_string(first, "data")) +
				 strlen(json_get_string(second, "data")),
			 1200000);
	file = json_array_get(
		json_object_get(
			json_object_get(json_object_get(fake_daemon_request(d, 2), "params"),
					"job"),
			"files"),
		0);
	assert_string_equal(json_get_string(file, "upload"), "u1");
	assert_null(json_object_get(file, "content"));
	fake_daemon_stop(d);
}

static void test_too_large(void **state)
{
	_cleanup_free_ char *path = in_folder("huge");
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);

	assert_int_equal(ftruncate(fd, ((off_t)64 << 20) + 1), 0);
	close(fd);
	REFUSED(EXIT_LIMIT, "at most 64 MiB (keep large data in the VM)", "--file", path, "--",
		"true");
	unlink(path);
}

/* ---- what comes after ---- */

static void test_wait_and_dry_run(void **state)
{
	static const struct canned answers[] = {
		{ "job.submit", "{\"id\":7,\"warnings\":[]}" },
		{ "event.subscribe", "{\"next\":1}" },
		{ "job.get", "{\"id\":7,\"state\":\"ended\",\"result\":\"failed\"}" },
		{ "job.submit", "{\"id\":null,\"queue\":\"batch\",\"warnings\":[]}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run wait =
		GPUVF("submit", "--wait", "--request-id", "r1", "--", "true");
	_cleanup_run_ struct run dry = GPUVF("submit", "--dry-run", "--", "true");
	const json_t *params = json_object_get(fake_daemon_request(d, 0), "params");

	assert_int_equal(wait.code, EXIT_ENDED_OTHERWISE);
	assert_string_equal(wait.out, "7\n");
	assert_string_equal(json_get_string(params, "request_id"), "r1");
	assert_int_equal(dry.code, 0);
	assert_string_equal(dry.out, "it would be queued in batch\n");
	assert_true(json_get_bool(json_object_get(fake_daemon_request(d, 3), "params"), "dry_run",
				  false));
	fake_daemon_stop(d);
}

static void test_follow(void **state)
{
	static const struct canned answers[] = {
		{ "job.submit", "{\"id\":7,\"warnings\":[]}" },
		{ "event.subscribe", "{\"next\":1}" },
		{ "job.get", "{\"id\":7,\"state\":\"queued\",\"attempt\":0}" },
		{ "job.logs",
		  "{\"data\":\"out\\n\",\"encoding\":\"utf-8\",\"next\":4,\"eof\":true}" },
		{ "job.logs",
		  "{\"data\":\"err\\n\",\"encoding\":\"utf-8\",\"next\":4,\"eof\":true}" },
		{ "job.get",
		  "{\"id\":7,\"state\":\"ended\",\"attempt\":1,\"result\":\"succeeded\"}" },
		{ "event.subscribe", "{\"next\":1}" },
		{ "job.get",
		  "{\"id\":7,\"state\":\"ended\",\"attempt\":1,\"result\":\"succeeded\"}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("submit", "--follow", "--", "true");

	assert_int_equal(run.code, 0);
	assert_string_equal(run.out, "7\nout\n");
	assert_string_equal(run.err, "err\n");
	fake_daemon_stop(d);
}

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	_cleanup_free_ char *command = xasprintf("rm -rf %s", folder);

	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command),		  cmocka_unit_test(test_document),
		cmocka_unit_test(test_script),		  cmocka_unit_test(test_standard_input),
		cmocka_unit_test(test_file_option),	  cmocka_unit_test(test_refused_files),
		cmocka_unit_test(test_refused_documents), cmocka_unit_test(test_all_or_nothing),
		cmocka_unit_test(test_upload),		  cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_wait_and_dry_run),  cmocka_unit_test(test_follow),
	};

	return cmocka_run_group_tests_name("cli-submit", tests, make_folder, remove_folder);
}
