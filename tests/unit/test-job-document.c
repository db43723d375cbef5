/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Job documents: what is accepted, what is refused and where, and the stored form. */
#include "policy/job-document.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static json_t *json_of(const char *text)
{
	json_error_t error;
	json_t *json = json_loads(text, 0, &error);

	if (!json)
		fail_msg("%s: %s", text, error.text);
	return json;
}

static struct job_document *job_of(const char *text)
{
	_cleanup_(json_fault_done) struct json_fault fault = { NULL };
	_cleanup_json_ json_t *json = json_of(text);
	struct job_document *d = NULL;

	if (job_document_parse(json, &d, &fault) < 0)
		fail_msg("%s: %s", strempty(fault.pointer), strempty(fault.what));
	return d;
}

static void assert_refused(const char *text, const char *pointer, const char *what)
{
	_cleanup_(json_fault_done) struct json_fault fault = { NULL };
	_cleanup_json_ json_t *json = json_of(text);
	struct job_document *d = NULL;

	assert_int_equal(job_document_parse(json, &d, &fault), -EINVAL);
	assert_null(d);
	assert_string_equal(fault.pointer, pointer);
	if (!strstr(fault.what, what))
		fail_msg("%s: wanted \"%s\", got \"%s\"", text, what, fault.what);
}

static void test_smallest(void **state)
{
	_cleanup_(job_document_freep) struct job_document *d = job_of("{\"command\": [\"true\"]}");

	assert_null(d->name);
	assert_int_equal(d->priority, 0);
	assert_int_equal(d->vfs, 1);
	assert_int_equal(d->vram.kind, AMOUNT_UNSET);
	assert_int_equal(d->time_limit_usec, 0);
	assert_false(d->checkpoint);
	assert_string_equal(d->checkpoint_signal, "SIGTERM");
	assert_int_equal(d->checkpoint_grace_usec, JOB_GRACE_USEC);
	assert_int_equal(d->progress, JOB_PROGRESS_AUTO);
}

static const char full[] =
	"{\"version\": 1, \"$schema\": \"x\", \"description\": \"d\", \"name\": \"lora on pets\","
	" \"queue\": \"night\", \"priority\": -5, \"shell\": \"./train.sh\", \"setup\": [\"set "
	"-e\"],"
	" \"env\": {\"SEED\": \"4\"}, \"workdir\": \"/home/trainer/run\","
	" \"files\": [{\"from\": \"t.sh\", \"to\": \"train.sh\", \"mode\": \"0755\", \"content\": "
	"\"aGkK\"},"
	"   {\"to\": \"/tmp/a..b\", \"content\": \"\"}],"
	" \"outputs\": [\"adapter/**\"], \"run_in\": {\"vms\": \"trainer-*\"}, \"vram\": "
	"\"3.5GiB\","
	" \"vfs\": 1, \"time_limit\": \"1h30m\", \"retries\": 2, \"retry_on\": [\"lost\"],"
	" \"checkpoint\": {\"signal\": \"SIGUSR1\", \"grace\": \"120s\", \"scope\": \"vm\"},"
	" \"progress\": \"jsonl\", \"hold\": true}";

static void test_full(void **state)
{
	_cleanup_(job_document_freep) struct job_document *d = job_of(full);

	assert_string_equal(d->name, "lora on pets");
	assert_int_equal(d->priority, -5);
	assert_null(d->command);
	assert_string_equal(d->shell, "./train.sh");
	assert_int_equal(d->n_files, 2);
	assert_int_equal(d->files[0].mode, 0755);
	assert_int_equal(d->files[0].size, 3);
	assert_string_equal(json_string_value(d->files[0].content), "aGkK");
	assert_int_equal(d->files[1].mode, 0644);
	assert_int_equal(d->files[1].size, 0);
	assert_string_equal(d->vms, "trainer-*");
	assert_null(d->vm);
	assert_int_equal(d->vram.value, 7 * GIB / 2);
	assert_int_equal(d->time_limit_usec, 5400 * USEC_PER_SEC);
	assert_int_equal(d->retries, 2);
	assert_string_equal(d->checkpoint_signal, "SIGUSR1");
	assert_int_equal(d->checkpoint_grace_usec, 120 * USEC_PER_SEC);
	assert_int_equal(d->progress, JOB_PROGRESS_JSONL);
	assert_true(d->hold);
}

static void test_uploaded_file(void **state)
{
	_cleanup_(job_document_freep) struct job_document *d = job_of(
		"{\"command\": [\"true\"], \"files\": [{\"to\": \"a\", \"upload\": \"u1\"}]}");

	assert_string_equal(d->files[0].upload, "u1");
	assert_null(d->files[0].content);
	assert_null(
		json_object_get(json_array_get(json_object_get(d->json, "files"), 0), "upload"));
}

/* Contents leave the stored form, which reads back to the same job. */
static void test_stored_form(void **state)
{
	_cleanup_(job_document_freep) struct job_document *d = job_of(full), *again = NULL;
	_cleanup_free_ char *text = json_text(d->json);
	_cleanup_json_ json_t *submitted = json_of(full);

	assert_null(strstr(text, "aGkK"));
	assert_non_null(strstr(text, "\"size_bytes\":3"));
	assert_int_equal(job_document_load(d->json, &again), 0);
	assert_true(json_equal(d->json, again->json));
	assert_int_equal(again->files[0].size, 3);
	assert_null(again->files[0].content);
	assert_string_equal(again->files[0].to, "train.sh");

	again = job_document_free(again);
	assert_int_equal(job_document_load(submitted, &again), -EINVAL);
}

#define JOB(members) "{\"command\": [\"true\"], " members "}"

static void test_refusals_of_commands(void **state)
{
	assert_refused("{}", "", "either \"command\" or \"shell\"");
	assert_refused("{\"command\": []}", "/command", "must not be empty");
	assert_refused("{\"command\": [\"\"]}", "/command/0", "must not be empty");
	assert_refused("{\"command\": \"true\"}", "/command", "must be an array of strings");
	assert_refused("{\"command\": [4]}", "/command/0", "must be a string");
	assert_refused(JOB("\"shell\": \"true\""), "/shell", "either");
	assert_refused("{\"comand\": [\"true\"]}", "/comand", "unknown member");
	assert_refused(JOB("\"version\": 2"), "/version", "is 2");
	assert_refused(JOB("\"env\": {\"1A\": \"x\"}"), "/env/1A", "not the name of a variable");
	assert_refused(JOB("\"env\": {\"A\": 1}"), "/env/A", "must be a string");
	assert_refused(JOB("\"env\": {\"GPUVF_VF\": \"x\"}"), "/env/GPUVF_VF", "set by gpuvf");
	assert_refused(JOB("\"workdir\": \"run\""), "/workdir", "absolute path");
	assert_refused(JOB("\"workdir\": \"/a/../b\""), "/workdir", "..");
	assert_refused(JOB("\"name\": \"a\\u001b[31m\""), "/name", "is not a name");
	assert_refused(JOB("\"name\": \"a/b\""), "/name", "is not a name");
	assert_refused(JOB("\"queue\": \"a b\""), "/queue", "is not a name");
}

static void test_session(void **state)
{
	static const char *const of_commands[] = {
		"\"command\": [\"true\"]", "\"shell\": \"true\"", "\"setup\": []",   "\"env\": {}",
		"\"workdir\": \"/tmp\"",	 "\"files\": []",	    "\"outputs\": []", "\"retries\": 0",
		"\"retry_on\": [\"lost\"]", "\"checkpoint\": {}",	    "\"progress\": \"auto\"",
	};
	_cleanup_(job_document_freep) struct job_document *again = NULL;
	_cleanup_(job_document_freep) struct job_document *d = job_of(
		"{\"session\": true, \"command\": null, \"vfs\": 1, \"time_limit\": \"2h\", \"vram\": \"1GiB\"}");

	assert_true(d->session);
	assert_null(d->command);
	assert_null(d->shell);
	assert_int_equal(d->vfs, 1);
	assert_int_equal(job_document_load(d->json, &again), 0);
	assert_true(again->session);

	for (size_t i = 0; i < ARRAY_SIZE(of_commands); i++) {
		_cleanup_free_ char *text = xasprintf("{\"session\": true, %s}", of_commands[i]);
		_cleanup_free_ char *pointer = xasprintf("/%.*s", (int)strcspn(of_commands[i] + 1, "\""), of_commands[i] + 1);

		assert_refused(text, pointer, "beside \"session\"");
	}
	assert_refused("{\"session\": true, \"vfs\": 0}", "/vfs", "a session holds a VF");
	assert_refused("{\"session\": \"yes\"}", "/session", "must be true or false");
	assert_refused("{\"session\": false}", "", "either \"command\" or \"shell\"");
	assert_refused("{\"session\": true, \"vram\": \"1GiB\", \"profile\": \"p\"}", "/profile", "beside vram");
}

static void test_refusals_of_files(void **state)
{
	assert_refused(JOB("\"files\": [{\"from\": \"a\", \"to\": \"a\"}]"), "/files/0/content",
		       "either content or upload");
	assert_refused(JOB("\"files\": [{\"to\": \"a\", \"content\": \"\", \"upload\": \"u\"}]"),
		       "/files/0/upload", "either content or upload");
	assert_refused(JOB("\"files\": [{\"content\": \"\"}]"), "/files/0/to", "is missing");
	assert_refused(JOB("\"files\": [{\"to\": \"../a\", \"content\": \"\"}]"), "/files/0/to",
		       "..");
	assert_refused(JOB("\"files\": [{\"to\": \"a/\", \"content\": \"\"}]"), "/files/0/to",
		       "file");
	assert_refused(JOB("\"files\": [{\"to\": \"a\", \"content\": \"x\"}]"), "/files/0/content",
		       "is not base64");
	assert_refused(JOB("\"files\": [{\"to\": \"a\", \"content\": \"\", \"mode\": \"4755\"}]"),
		       "/files/0/mode", "octal");
	assert_refused(JOB("\"files\": [{\"to\": \"a\", \"content\": \"\", \"mode\": \"888\"}]"),
		       "/files/0/mode", "octal");
	assert_refused(JOB("\"files\": [{\"to\": \"a\", \"content\": \"\"}, {\"to\": \"a\", "
			   "\"content\": \"\"}]"),
		       "/files/1/to", "files[0] already");
	assert_refused(JOB("\"files\": [{\"to\": \"a\", \"content\": \"\", \"size_bytes\": 1}]"),
		       "/files/0/size_bytes", "unknown member");
	assert_refused(JOB("\"outputs\": [\"/etc/*\"]"), "/outputs/0", "must be relative");
	assert_refused(JOB("\"outputs\": [\"a\", \"b/..\"]"), "/outputs/1", "..");
}

static void test_refusals_of_needs(void **state)
{
	assert_refused(JOB("\"run_in\": {}"), "/run_in", "either \"vm\" or \"vms\"");
	assert_refused(JOB("\"run_in\": {\"vm\": \"a\", \"vms\": \"b\"}"), "/run_in", "either");
	assert_refused(JOB("\"run_in\": {\"vm\": \"a\\n\"}"), "/run_in/vm", "is not a pattern");
	assert_refused(JOB("\"run_in\": {\"host\": true}"), "/run_in/host", "not supported");
	assert_refused(JOB("\"run_in\": {\"template\": \"t\"}"), "/run_in/template",
		       "not supported");
	assert_refused(JOB("\"vram\": \"25%\""), "/vram", "is not a size");
	assert_refused(JOB("\"vram\": \"0B\""), "/vram", "at least 1B");
	assert_refused(JOB("\"vram\": \"1GiB\", \"profile\": \"p\""), "/profile", "beside vram");
	assert_refused(JOB("\"vram\": \"1GiB\", \"vfs\": 0"), "/vfs", "is 0");
	assert_refused(JOB("\"vfs\": 2"), "/vfs", "more than one VF is not supported");
	assert_refused(JOB("\"priority\": 101"), "/priority", "between -100 and 100");
	assert_refused(JOB("\"time_limit\": 60"), "/time_limit", "a bare number has no unit");
	assert_refused(JOB("\"time_limit\": \"1ms\""), "/time_limit", "at least 1s");
	assert_refused(JOB("\"retries\": 101"), "/retries", "is 101");
	assert_refused(JOB("\"retry_on\": [\"oom\"]"), "/retry_on", "not supported");
	assert_refused(JOB("\"checkpoint\": {\"signal\": \"SIGKILL\"}"), "/checkpoint/signal",
		       "not known");
	assert_refused(JOB("\"checkpoint\": {\"scope\": \"shared\"}"), "/checkpoint/scope",
		       "not supported");
	assert_refused(JOB("\"progress\": \"tqdm\""), "/progress", "not known");
}

static void test_members_of_later_versions(void **state)
{
	static const char *const names[] = { "secret_env", "finetune", "gpu",	"deadline",
					     "after",	   "array",    "begin_at" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *text = xasprintf(JOB("\"%s\": {}"), names[i]);
		_cleanup_free_ char *pointer = xasprintf("/%s", names[i]);

		assert_refused(text, pointer, "is not supported by this version");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smallest),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_uploaded_file),
		cmocka_unit_test(test_stored_form),
		cmocka_unit_test(test_refusals_of_commands),
		cmocka_unit_test(test_session),
		cmocka_unit_test(test_refusals_of_files),
		cmocka_unit_test(test_refusals_of_needs),
		cmocka_unit_test(test_members_of_later_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
