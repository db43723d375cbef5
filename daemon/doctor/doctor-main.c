/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `gpuvfd --doctor`, and the small things around an examination. */
#include <fcntl.h>
#include <stdio.h>

#include "doctor/doctor.h"
#include "doctor/known-bad.h"
#include "lib/finding-text.h"
#include "lib/io.h"

#define EXIT_ERRORS 1
#define EXIT_NOT_FOUND 5
#define EXIT_CONFLICT 6

struct known_bad *doctor_load_known_bad(const char *data_dir, struct findings *findings)
{
	_cleanup_free_ char *path = xasprintf("%s/data/known-bad.json", data_dir), *text = NULL;
	struct json_fault fault = {0};
	struct known_bad *k = NULL;
	struct finding *f;
	size_t size;
	int r;

	if (!path)
		return NULL;
	r = read_file_at(AT_FDCWD, path, KNOWN_BAD_MAX, &text, &size);
	if (r == 0)
		r = known_bad_parse(text, size, &k, &fault);
	if (r == 0)
		return k;
	f = findings_add(findings, "known-bad", SEVERITY_WARNING, SUBJECT_HOST, "host");
	f->unlooked = true;
	finding_what(f, "the list of combinations that users have trouble with cannot be used");
	if (fault.what) {
		_cleanup_free_ char *where =
			xasprintf("%s: %s: %s", path, strempty(fault.pointer), fault.what);

		finding_evidence_text(f, strempty(where), strempty(fault.hint));
	} else {
		finding_evidence_text(f, path, strerror(-r));
	}
	finding_cure(f, "install gpuvf's data again");
	json_fault_done(&fault);
	return NULL;
}

/* A GPU by its address, or a VM by its name.  False when there is no such thing. */
static bool keep_object(const char *object, const struct examination *e, struct findings *f)
{
	struct pci_address address;
	char name[PCI_ADDRESS_STRLEN];
	enum subject_kind kind = SUBJECT_VM;

	if (pci_address_parse(object, &address) == 0) {
		kind = SUBJECT_GPU;
		object = pci_address_format(&address, name);
	}
	if (!examination_find(e, kind, object))
		return false;
	findings_keep(f, kind, object);
	return true;
}

static int print(const struct findings *f, bool json, bool wide)
{
	const struct finding_text_options options = {.all = wide};
	_cleanup_json_ json_t *result = findings_to_json(f);
	_cleanup_free_ char *text = NULL;

	if (!result)
		return -ENOMEM;
	if (json)
		text = json_text(result);
	else
		text = finding_text(result, &options);
	if (!text)
		return -ENOMEM;
	printf(json ? "%s\n" : "%s", text);
	return fflush(stdout) == 0 ? 0 : -EIO;
}

int doctor_main(const struct doctor_options *o)
{
	struct findings findings = {0};
	_cleanup_(known_bad_freep) struct known_bad *known_bad = NULL;
	_cleanup_close_ int bundle = -1;
	struct examination e;
	int status = 0, r = 0;

	if (o->bundle)
		r = doctor_bundle_create(o->bundle, o->force, &bundle);
	if (r < 0)
		return r == -EEXIST ? EXIT_CONFLICT : EXIT_ERRORS;
	doctor_examine(&o->gather, o->spare, &e);
	known_bad = doctor_load_known_bad(o->data_dir, &findings);
	examination_judge(&e, known_bad, &findings);
	if (o->object && !keep_object(o->object, &e, &findings)) {
		fprintf(stderr,
			"gpuvfd: no GPU or VM \"%s\" here (a GPU is named by its PCI address: "
			"names such as gpu0 are the daemon's)\n",
			o->object);
		status = EXIT_NOT_FOUND;
	} else if (o->bundle) {
		status =
			doctor_bundle_write(o->bundle, bundle, &e, &findings) < 0 ? EXIT_ERRORS : 0;
	} else if (print(&findings, o->json, o->wide) < 0) {
		fputs("gpuvfd: the findings cannot be written\n", stderr);
		status = EXIT_ERRORS;
	} else if (findings_count(&findings, SEVERITY_ERROR) > 0) {
		status = EXIT_ERRORS;
	}
	findings_done(&findings);
	examination_done(&e);
	return status;
}
