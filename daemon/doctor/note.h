/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was looked at and what was seen there: a notebook per subject (the host, a GPU, a VM).  Each
 * note names its source, a file or a call, so that a finding's evidence is what was really read;
 * that it could not be read is a note too.  Plain data: gathering fills it, judging reads it. */
#pragma once

#include "lib/enum-table.h"
#include "lib/json.h"

enum note_outcome {
	NOTE_SEEN,      /* value holds what is there */
	NOTE_ABSENT,    /* there is no such thing */
	NOTE_FORBIDDEN, /* we may not look */
	NOTE_FAILED,    /* the look failed; value holds why */
	NOTE_OUTCOME_MAX,
};
DECLARE_ENUM_TABLE(note_outcome, enum note_outcome);

struct note {
	char *key;    /* what judges ask for: "sriov_totalvfs" */
	char *source; /* where it was looked for: "/sys/bus/pci/devices/…" */
	enum note_outcome outcome;
	char *value; /* of NOTE_SEEN and NOTE_FAILED */
};

struct notebook {
	struct note *notes;
	size_t n;
	bool incomplete; /* memory ran out: something is missing */
};

void notebook_done(struct notebook *book);

/* Adds a note; value may be NULL.  The first of a key stays the one that is found. */
void notebook_add(struct notebook *book, const char *key, const char *source,
		  enum note_outcome outcome, const char *value);
/* The same for something seen, built as by printf(). */
void notebook_seen(struct notebook *book, const char *key, const char *source, const char *format,
		   ...) _printf_(4, 5);

/* NULL when nobody looked. */
const struct note *note_find(const struct notebook *book, const char *key);
/* The next whose key begins so; *i counts on from 0. */
const struct note *note_next(const struct notebook *book, const char *prefix, size_t *i);

/* Of a note that may be NULL.  Seen value, or NULL. */
const char *note_value(const struct note *note);
/* False unless it was seen and is a number: decimal, or hexadecimal with 0x. */
bool note_number(const struct note *note, uint64_t *ret);
/* True when it was seen, and is the text. */
bool note_is(const struct note *note, const char *text);
/* Nobody could tell: forbidden, failed, or not looked at. */
bool note_unknown(const struct note *note);
/* "permission denied", "not there", the failure; NULL when it was seen. */
const char *note_problem(const struct note *note);

/* [[key, source, outcome, value], …] */
json_t *notebook_to_json(const struct notebook *book);            /* returns new */
int notebook_from_json(const json_t *json, struct notebook *ret); /* -EINVAL, -ENOMEM */
