/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Job documents: a refusal has a place and a reason, an accepted one reads back from its stored
 * form, which holds no file's content. */
#include "fuzz.h"
#include "policy/job-document.h"

static void check_job(const struct job_document *d)
{
	_cleanup_(job_document_freep) struct job_document *again = NULL;
	size_t i;

	FUZZ_CHECK(d->session ? !d->command && !d->shell && d->vfs == 1 : !d->command != !d->shell);
	FUZZ_CHECK(d->vfs <= 1);
	FUZZ_CHECK(d->checkpoint_signal);
	FUZZ_CHECK(!d->vm || !d->vms);
	for (i = 0; i < d->n_files; i++) {
		FUZZ_CHECK(!strstr(d->files[i].to, "/../"));
		FUZZ_CHECK(d->files[i].mode <= 0777);
	}

	FUZZ_CHECK(job_document_load(d->json, &again) == 0);
	FUZZ_CHECK(json_equal(d->json, again->json));
	FUZZ_CHECK(again->n_files == d->n_files);
	for (i = 0; i < again->n_files; i++) {
		FUZZ_CHECK(!again->files[i].content);
		FUZZ_CHECK(again->files[i].size == d->files[i].size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(json_fault_done) struct json_fault fault = { NULL };
	_cleanup_(job_document_freep) struct job_document *d = NULL;
	_cleanup_free_ char *text = fuzz_string(data, size);
	_cleanup_json_ json_t *json = NULL;

	if (json_parse(text, size, &json, NULL) < 0)
		return 0;
	if (job_document_parse(json, &d, &fault) == 0) {
		check_job(d);
		return 0;
	}
	FUZZ_CHECK(!d);
	FUZZ_CHECK(fault.pointer && fault.what);
	return 0;
}
