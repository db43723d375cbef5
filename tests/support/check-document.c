/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Says of each file whether the loader accepts it, for the test that compares schema and loader:
 *	check-document policy|job FILE…
 * prints "accept FILE" or "refuse FILE: why" for each, and exits 0 when it could read them all. */
#include <fcntl.h>
#include <stdio.h>

#include "lib/io.h"
#include "policy/job-document.h"
#include "policy/policy.h"

#define DOCUMENT_MAX (4 * MIB)

/* Returns new: the first error, or NULL when the document is accepted. */
static char *check_policy(const char *path, const char *text, size_t size)
{
	struct policy_source source = { path, text, size };
	_cleanup_(policy_unrefp) struct policy *policy = NULL;
	_cleanup_json_ json_t *errors = NULL;
	int r = policy_build(&source, 1, &policy, &errors);

	if (r == 0)
		return NULL;
	if (errors)
		return strdup(json_string_value(json_array_get(errors, 0)));
	return strdup(strerror(-r));
}

static char *check_job(const char *path, const char *text, size_t size)
{
	_cleanup_(json_fault_done) struct json_fault fault = { NULL };
	_cleanup_(job_document_freep) struct job_document *job = NULL;
	_cleanup_json_ json_t *json = NULL;
	json_error_t error;

	if (json_parse(text, size, &json, &error) < 0)
		return strdup(error.text);
	if (job_document_parse(json, &job, &fault) == 0)
		return NULL;
	return xasprintf("%s: %s", strempty(fault.pointer), strempty(fault.what));
}

int main(int argc, char **argv)
{
	char *(*check)(const char *path, const char *text, size_t size);
	int i, r, status = 0;

	if (argc < 2 || (!streq(argv[1], "policy") && !streq(argv[1], "job"))) {
		fprintf(stderr, "usage: check-document policy|job FILE…\n");
		return 2;
	}
	check = streq(argv[1], "policy") ? check_policy : check_job;

	for (i = 2; i < argc; i++) {
		_cleanup_free_ char *text = NULL, *why = NULL;
		size_t size = 0;

		r = read_file_at(AT_FDCWD, argv[i], DOCUMENT_MAX, &text, &size);
		if (r < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
			status = 1;
			continue;
		}
		why = check(argv[i], text, size);
		if (why)
			printf("refuse %s: %s\n", argv[i], why);
		else
			printf("accept %s\n", argv[i]);
	}
	return status;
}
