/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "doctor/finding.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/clock.h"

const char *const severity_names[SEVERITY_MAX] = {
	[SEVERITY_ERROR] = "error",
	[SEVERITY_WARNING] = "warning",
	[SEVERITY_INFO] = "info",
	[SEVERITY_OK] = "ok",
};
DEFINE_ENUM_TABLE(severity, enum severity, SEVERITY_MAX);

const char *const subject_kind_names[SUBJECT_KIND_MAX] = {
	[SUBJECT_HOST] = "host",
	[SUBJECT_DAEMON] = "daemon",
	[SUBJECT_GPU] = "gpu",
	[SUBJECT_VM] = "vm",
};
DEFINE_ENUM_TABLE(subject_kind, enum subject_kind, SUBJECT_KIND_MAX);

static void finding_done(struct finding *f)
{
	free(f->owned_id);
	free(f->subject);
	free(f->address);
	free(f->what);
	free(f->cure);
	json_decref(f->evidence);
}

void findings_done(struct findings *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		finding_done(&f->list[i]);
	free(f->list);
	*f = (struct findings){0};
}

struct finding *findings_add(struct findings *f, const char *id, enum severity severity,
			     enum subject_kind kind, const char *subject)
{
	static struct finding nowhere;
	struct finding *grown = reallocarray(f->list, f->n + 1, sizeof(*grown));
	struct finding finding = {.id = id, .severity = severity, .kind = kind};

	if (grown)
		f->list = grown;
	finding.subject = strdup(subject);
	finding.evidence = json_array();
	if (!grown || !finding.subject || !finding.evidence) {
		finding_done(&finding);
		finding_done(&nowhere);
		nowhere = (struct finding){.id = id};
		f->incomplete = true;
		return &nowhere;
	}
	grown[f->n] = finding;
	return &grown[f->n++];
}

static void set_text(char **text, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void set_text(char **text, const char *format, va_list ap)
{
	free(*text);
	if (vasprintf(text, format, ap) < 0)
		*text = NULL;
}

void finding_what(struct finding *f, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	set_text(&f->what, format, ap);
	va_end(ap);
}

void finding_cure(struct finding *f, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	set_text(&f->cure, format, ap);
	va_end(ap);
}

void finding_evidence(struct finding *f, const struct note *note)
{
	if (note && f->evidence)
		(void)json_array_append_new(
			f->evidence, json_pack("{s:s,s:s?,s:s?}", "source", note->source, "value",
					       note_value(note), "problem", note_problem(note)));
}

void finding_evidence_text(struct finding *f, const char *source, const char *value)
{
	if (f->evidence)
		(void)json_array_append_new(
			f->evidence,
			json_pack("{s:s,s:s,s:n}", "source", source, "value", value, "problem"));
}

void findings_keep(struct findings *f, enum subject_kind kind, const char *subject)
{
	size_t i, n = 0;

	for (i = 0; i < f->n; i++)
		if (f->list[i].kind == kind && streq(f->list[i].subject, subject))
			f->list[n++] = f->list[i];
		else
			finding_done(&f->list[i]);
	f->n = n;
}

/* Stable: an insertion sort, of some dozens. */
void findings_sort(struct findings *f)
{
	size_t i, j;

	for (i = 1; i < f->n; i++) {
		struct finding moved = f->list[i];

		for (j = i; j > 0 && f->list[j - 1].severity > moved.severity; j--)
			f->list[j] = f->list[j - 1];
		f->list[j] = moved;
	}
}

size_t findings_count(const struct findings *f, enum severity severity)
{
	size_t i, n = 0;

	for (i = 0; i < f->n; i++)
		n += f->list[i].severity == severity;
	return n;
}

static json_t *finding_to_json(const struct finding *f)
{
	const char *address = f->address ? f->address : f->kind == SUBJECT_GPU ? f->subject : NULL;

	return json_pack("{s:s,s:s,s:s,s:s,s:s?,s:b,s:s,s:O,s:s?}", "id", f->id, "severity",
			 severity_to_string(f->severity), "kind", subject_kind_to_string(f->kind),
			 "subject", f->subject, "address", address, "looked", (int)!f->unlooked,
			 "what", strempty(f->what), "evidence", f->evidence, "cure", f->cure);
}

json_t *findings_to_json(const struct findings *f)
{
	_cleanup_json_ json_t *array = json_array(), *counts = json_object(), *result = NULL;
	enum severity severity;
	size_t i;

	for (i = 0; i < f->n; i++)
		if (json_array_append_new(array, finding_to_json(&f->list[i])) < 0)
			return NULL;
	for (severity = 0; severity < SEVERITY_MAX; severity++)
		if (json_put_uint(counts, severity_to_string(severity),
				  findings_count(f, severity)) < 0)
			return NULL;
	result = json_pack("{s:O,s:O,s:b}", "findings", array, "counts", counts, "incomplete",
			   (int)f->incomplete);
	if (!result || json_put_time(result, "examined_at", now_realtime()) < 0)
		return NULL;
	return TAKE_PTR(result);
}

static int take_finding(const json_t *json, struct findings *ret)
{
	const char *id = json_get_string(json, "id"), *subject = json_get_string(json, "subject");
	const char *severity_word = json_get_string(json, "severity");
	const char *kind_word = json_get_string(json, "kind");
	const char *what = json_get_string(json, "what"), *cure = json_get_string(json, "cure");
	json_t *evidence = json_object_get(json, "evidence");
	int severity = severity_word ? severity_from_string(severity_word) : -EINVAL;
	int kind = kind_word ? subject_kind_from_string(kind_word) : -EINVAL;
	struct finding *f;

	if (!id || !subject || !what || severity < 0 || kind < 0 || !json_is_array(evidence))
		return -EINVAL;
	f = findings_add(ret, NULL, (enum severity)severity, (enum subject_kind)kind, subject);
	f->owned_id = strdup(id);
	f->id = f->owned_id;
	f->unlooked = !json_get_bool(json, "looked", true);
	f->what = strdup(what);
	f->cure = cure ? strdup(cure) : NULL;
	json_decref(f->evidence);
	f->evidence = json_incref(evidence);
	return ret->incomplete || !f->id || !f->what ? -ENOMEM : 0;
}

int findings_from_json(const json_t *json, struct findings *ret)
{
	const json_t *array = json_object_get(json, "findings");
	struct findings found = {0};
	json_t *one;
	size_t i;
	int r;

	if (!json_is_array(array))
		return -EINVAL;
	json_array_foreach((json_t *)array, i, one)
	{
		r = take_finding(one, &found);
		if (r < 0) {
			findings_done(&found);
			return r;
		}
	}
	*ret = found;
	return 0;
}
