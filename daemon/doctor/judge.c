/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all judges use, and the walk over checks and subjects. */
#include <stdarg.h>
#include <stdio.h>

#include "doctor/examination.h"

static struct finding *add(struct consultation *c, enum severity severity)
{
	return findings_add(c->findings, c->id, severity, c->subject->kind, c->subject->name);
}

struct finding *say(struct consultation *c, enum severity severity, const char *format, ...)
{
	struct finding *f = add(c, severity);
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&f->what, format, ap) < 0)
		f->what = NULL;
	va_end(ap);
	return f;
}

struct finding *say_unknown(struct consultation *c, const struct note *note, const char *what)
{
	struct finding *f = add(c, SEVERITY_INFO);

	f->unlooked = true;
	finding_what(f, "not known: %s", what);
	finding_evidence(f, note);
	if (note && note->outcome == NOTE_FORBIDDEN)
		finding_cure(f, "ask as root: sudo gpuvf doctor");
	return f;
}

const struct note *asked(const struct consultation *c, const char *key)
{
	return note_find(&c->subject->book, key);
}

const struct note *asked_host(const struct consultation *c, const char *key)
{
	return note_find(c->host, key);
}

char *cmdline_value(const struct consultation *c, const char *name)
{
	const char *line = note_value(asked_host(c, "cmdline")), *p = line;
	size_t n = strlen(name);

	while (p && (p = strstr(p, name))) {
		bool begins = p == line || p[-1] == ' ';

		p += n;
		if (begins && *p == '=')
			return strndup(p + 1, strcspn(p + 1, " \n"));
		if (begins && (*p == ' ' || *p == '\n' || !*p))
			return strdup("");
	}
	return NULL;
}

const struct note *kernel_log_next(const struct consultation *c, const char *const *words,
				   size_t *i)
{
	const struct note *note;
	size_t k;

	while ((note = note_next(c->host, "klog.", i))) {
		const char *line = strempty(note_value(note));

		for (k = 0; words[k] && strstr(line, words[k]); k++)
			;
		if (!words[k])
			return note;
	}
	return NULL;
}

bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);
	const char *p = text;

	while (p && (p = strstr(p, word))) {
		if ((p == text || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
			return true;
		p += n;
	}
	return false;
}

static void judge_subject(struct consultation *c)
{
	const struct check *check;

	for (check = doctor_checks; check->id; check++) {
		if (check->kind != c->subject->kind)
			continue;
		/* of a GPU that was not heard nothing else is known */
		if (c->subject->silent && !streq(check->id, "gpu-answers"))
			continue;
		c->id = check->id;
		check->judge(c);
	}
}

void examination_judge(const struct examination *e, const struct known_bad *known_bad,
		       struct findings *ret)
{
	size_t i;

	for (i = 0; i < e->n; i++) {
		struct consultation c = {
			.all = e,
			.subject = &e->subjects[i],
			.host = examination_host(e),
			.known_bad = known_bad,
			.findings = ret,
		};

		judge_subject(&c);
	}
	ret->incomplete |= e->incomplete;
	findings_sort(ret);
}
