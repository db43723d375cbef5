/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything that was gathered: a notebook per subject.  Judging it is pure. */
#pragma once

#include "doctor/finding.h"

struct known_bad;

struct subject {
	enum subject_kind kind;
	char *name; /* "host", a PCI address, a VM's name */
	struct notebook book;
	char *silent; /* GPU: what it was asked when it did not answer; NULL = it answered */
	bool spared;  /* … and it was not asked at all, because it is known not to answer */
};

struct examination {
	struct subject *subjects; /* the host is always the first */
	size_t n;
	bool incomplete;
	json_t *daemon; /* for a bundle: method → result, as the daemon answered; may be NULL */
};

void examination_done(struct examination *e);
/* Borrowed until the next is added; NULL = no memory. */
struct subject *examination_add(struct examination *e, enum subject_kind kind, const char *name);
const struct subject *examination_find(const struct examination *e, enum subject_kind kind,
				       const char *name);
/* The host's notes. */
const struct notebook *examination_host(const struct examination *e);

/* ---- judging ---- */

/* What a judge sees: one check of one subject. */
struct consultation {
	const struct examination *all;
	const struct subject *subject;
	const struct notebook *host;
	const struct known_bad *known_bad; /* NULL = the file could not be had */
	const char *id;
	struct findings *findings;
};

struct check {
	const char *id;
	enum subject_kind kind;
	const char *what; /* one line, as docs/DOCTOR.md has it */
	/* Adds one or more findings, or none when the check does not apply. */
	void (*judge)(struct consultation *c);
};

/* Ended by a row without an id. */
extern const struct check doctor_checks[];

/* All checks of all subjects, sorted. */
void examination_judge(const struct examination *e, const struct known_bad *known_bad,
		       struct findings *ret);

/* ---- what judges say (judge.c) ---- */

/* A finding of this check.  The text is what is the matter, built as by printf(). */
struct finding *say(struct consultation *c, enum severity severity, const char *format, ...)
	_printf_(3, 4);
/* A finding that it could not be looked at, with the note as evidence and the way to look. */
struct finding *say_unknown(struct consultation *c, const struct note *note, const char *what);
/* A note of the subject, and of the host. */
const struct note *asked(const struct consultation *c, const char *key);
const struct note *asked_host(const struct consultation *c, const char *key);
/* The value of NAME= in the kernel command line, or NULL; "" for a word without '='.  Returns new.
 */
char *cmdline_value(const struct consultation *c, const char *name);
/* The next line of the kernel log that holds all these words (NULL-ended); *i counts on from 0. */
const struct note *kernel_log_next(const struct consultation *c, const char *const *words,
				   size_t *i);
/* The first one. */
#define kernel_log(c, ...)                                                                         \
	kernel_log_next((c), (const char *const[]){__VA_ARGS__, NULL}, &(size_t){0})
/* Words are parted by blanks. */
bool has_word(const char *text, const char *word);
