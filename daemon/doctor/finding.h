/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the doctor says: findings with id, severity, evidence and cure, and their JSON (the result
 * of daemon.doctor).  Filled by the judges and by the manager. */
#pragma once

#include "doctor/note.h"

enum severity {
	SEVERITY_ERROR, /* it cannot work so */
	SEVERITY_WARNING,
	SEVERITY_INFO,
	SEVERITY_OK,
	SEVERITY_MAX,
};
DECLARE_ENUM_TABLE(severity, enum severity);

enum subject_kind {
	SUBJECT_HOST,
	SUBJECT_DAEMON,
	SUBJECT_GPU,
	SUBJECT_VM,
	SUBJECT_KIND_MAX,
};
DECLARE_ENUM_TABLE(subject_kind, enum subject_kind);

struct finding {
	const char *id; /* a string that lives as long as the program, or owned_id */
	char *owned_id;
	enum severity severity;
	enum subject_kind kind;
	char *subject; /* "host", a GPU's address or name, a VM's name */
	char *address; /* of a GPU that subject calls by its name; else NULL */
	bool unlooked; /* what matters could not be looked at: this is neither good nor bad news */
	char *what;
	json_t *evidence; /* [{source, value, problem}] */
	char *cure;       /* NULL = nothing to do */
};

struct findings {
	struct finding *list;
	size_t n;
	bool incomplete; /* memory ran out */
};

void findings_done(struct findings *f);

/* Never NULL: when memory is out, a finding that goes nowhere. */
struct finding *findings_add(struct findings *f, const char *id, enum severity severity,
			     enum subject_kind kind, const char *subject);
void finding_what(struct finding *f, const char *format, ...) _printf_(2, 3);
void finding_cure(struct finding *f, const char *format, ...) _printf_(2, 3);
/* note may be NULL: then nothing is added. */
void finding_evidence(struct finding *f, const struct note *note);
void finding_evidence_text(struct finding *f, const char *source, const char *value);

/* Drops what is not about this subject. */
void findings_keep(struct findings *f, enum subject_kind kind, const char *subject);
/* The worst first; ties stay in order. */
void findings_sort(struct findings *f);
size_t findings_count(const struct findings *f, enum severity severity);

/* {findings: […], counts: {…}, examined_at, incomplete}.  Returns new. */
json_t *findings_to_json(const struct findings *f);
/* Strict; -EINVAL when it is no such result. */
int findings_from_json(const json_t *json, struct findings *ret);
