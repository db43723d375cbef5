/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "doctor/examination.h"

void examination_done(struct examination *e)
{
	size_t i;

	for (i = 0; i < e->n; i++) {
		free(e->subjects[i].name);
		free(e->subjects[i].silent);
		notebook_done(&e->subjects[i].book);
	}
	free(e->subjects);
	json_decref(e->daemon);
	*e = (struct examination){0};
}

struct subject *examination_add(struct examination *e, enum subject_kind kind, const char *name)
{
	struct subject *grown = reallocarray(e->subjects, e->n + 1, sizeof(*grown));
	char *copy = strdup(name);

	if (grown)
		e->subjects = grown;
	if (!grown || !copy) {
		free(copy);
		e->incomplete = true;
		return NULL;
	}
	grown[e->n] = (struct subject){.kind = kind, .name = copy};
	return &grown[e->n++];
}

const struct subject *examination_find(const struct examination *e, enum subject_kind kind,
				       const char *name)
{
	size_t i;

	for (i = 0; i < e->n; i++)
		if (e->subjects[i].kind == kind && streq(e->subjects[i].name, name))
			return &e->subjects[i];
	return NULL;
}

const struct notebook *examination_host(const struct examination *e)
{
	static const struct notebook nothing;
	const struct subject *host = examination_find(e, SUBJECT_HOST, "host");

	return host ? &host->book : &nothing;
}
