/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Documents that users copy are accepted: the example jobs with the files they name, and what the
 * manual pages show. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "lib/base64.h"
#include "lib/io.h"
#include "policy/job-document.h"

#define DOCUMENT_MAX (1 * MIB)

static char *read_below(const char *root_variable, const char *path, size_t *ret_size)
{
	const char *root = getenv(root_variable);
	_cleanup_free_ char *full = xasprintf("%s/%s", root ? root : ".", path);
	char *text = NULL;
	int r;

	r = read_file_at(AT_FDCWD, full, DOCUMENT_MAX, &text, ret_size);
	if (r < 0)
		fail_msg("%s: %s", full, strerror(-r));
	return text;
}

static json_t *parse(const char *text, size_t size, const char *path)
{
	json_error_t error;
	json_t *json = NULL;

	if (json_parse(text, size, &json, &error) < 0)
		fail_msg("%s:%d: %s", path, error.line, error.text);
	return json;
}

/* Does the client's part: reads the files that the document names, beside it. */
static void stage_files(json_t *job, const char *folder)
{
	json_t *file;
	size_t i;

	json_array_foreach(json_object_get(job, "files"), i, file) {
		const char *from = json_get_string(file, "from");
		_cleanup_free_ char *path = xasprintf("%s/%s", folder, from);
		_cleanup_free_ char *content = NULL, *encoded = NULL;
		size_t size;

		content = read_below("abs_top_builddir", path, &size);
		encoded = base64_encode(content, size);
		assert_non_null(encoded);
		assert_int_equal(json_put_string(file, "content", encoded), 0);
	}
}

static void test_tiny_lora_job(void **state)
{
	static const char folder[] = "examples/tiny-lora/job";
	_cleanup_(json_fault_done) struct json_fault fault = { NULL };
	_cleanup_(job_document_freep) struct job_document *d = NULL;
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *job = NULL;
	size_t size;

	text = read_below("abs_top_builddir", "examples/tiny-lora/job/job.json", &size);
	job = parse(text, size, "job.json");
	stage_files(job, folder);
	if (job_document_parse(job, &d, &fault) < 0)
		fail_msg("job.json: %s: %s", fault.pointer, fault.what);
	assert_int_equal(d->n_files, 3);
	assert_string_equal(d->files[0].to, json_string_value(json_array_get(d->command, 0)) + 2);
	assert_int_equal(d->files[0].mode, 0755);
	assert_true(d->checkpoint);
	assert_string_equal(d->checkpoint_signal, "SIGTERM");
	assert_int_equal(d->progress, JOB_PROGRESS_JSONL);
}

/* Cuts out the literal block that begins with an opening brace.  Returns new. */
static char *manual_example(const char *page)
{
	_cleanup_free_ char *text = read_below("abs_top_srcdir", page, NULL);
	char *begin, *end;

	begin = strstr(text, ".Bd -literal -offset indent\n{");
	assert_non_null(begin);
	begin = strchr(begin, '{');
	end = strstr(begin, "\n.Ed");
	assert_non_null(end);
	return xasprintf("%.*s\n", (int)(end - begin), begin);
}

static void test_manual_policy(void **state)
{
	_cleanup_free_ char *text = manual_example("man/gpuvf-policy.5");
	const struct policy_source source = { "gpuvf-policy(5)", text, strlen(text) };
	_cleanup_(policy_unrefp) struct policy *p = NULL;
	_cleanup_json_ json_t *errors = NULL;

	if (policy_build(&source, 1, &p, &errors) < 0)
		fail_msg("%s", json_string_value(json_array_get(errors, 0)));
	assert_int_equal(p->n_gpus, 1);
	assert_int_equal(p->gpus[0].layout->slices[0].count, 4);
	assert_int_equal(p->n_vms, 1);
	assert_string_equal(p->vms[0].run_as, "trainer");
}

static void test_manual_job(void **state)
{
	_cleanup_(json_fault_done) struct json_fault fault = { NULL };
	_cleanup_(job_document_freep) struct job_document *d = NULL;
	_cleanup_free_ char *text = manual_example("man/gpuvf.1");
	_cleanup_json_ json_t *job = parse(text, strlen(text), "gpuvf(1)");

	stage_files(job, "examples/tiny-lora/job");
	if (job_document_parse(job, &d, &fault) < 0)
		fail_msg("gpuvf(1): %s: %s", fault.pointer, fault.what);
	assert_int_equal(d->vram.value, 4 * GIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tiny_lora_job),
		cmocka_unit_test(test_manual_policy),
		cmocka_unit_test(test_manual_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
