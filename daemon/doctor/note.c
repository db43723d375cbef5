/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "doctor/note.h"

#include <stdarg.h>
#include <stdio.h>

const char *const note_outcome_names[NOTE_OUTCOME_MAX] = {
	[NOTE_SEEN] = "seen",
	[NOTE_ABSENT] = "absent",
	[NOTE_FORBIDDEN] = "forbidden",
	[NOTE_FAILED] = "failed",
};
DEFINE_ENUM_TABLE(note_outcome, enum note_outcome, NOTE_OUTCOME_MAX);

static void note_done(struct note *note)
{
	free(note->key);
	free(note->source);
	free(note->value);
}

void notebook_done(struct notebook *book)
{
	size_t i;

	for (i = 0; i < book->n; i++)
		note_done(&book->notes[i]);
	free(book->notes);
	*book = (struct notebook){0};
}

void notebook_add(struct notebook *book, const char *key, const char *source,
		  enum note_outcome outcome, const char *value)
{
	struct note *grown = reallocarray(book->notes, book->n + 1, sizeof(*grown));
	struct note note = {.outcome = outcome};

	if (!grown) {
		book->incomplete = true;
		return;
	}
	book->notes = grown;
	note.key = strdup(key);
	note.source = strdup(source);
	note.value = value ? strdup(value) : NULL;
	if (!note.key || !note.source || (value && !note.value)) {
		note_done(&note);
		book->incomplete = true;
		return;
	}
	grown[book->n++] = note;
}

void notebook_seen(struct notebook *book, const char *key, const char *source, const char *format,
		   ...)
{
	char *value = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&value, format, ap) < 0)
		value = NULL;
	va_end(ap);
	if (value)
		notebook_add(book, key, source, NOTE_SEEN, value);
	else
		book->incomplete = true;
	free(value);
}

const struct note *note_find(const struct notebook *book, const char *key)
{
	size_t i;

	for (i = 0; i < book->n; i++)
		if (streq(book->notes[i].key, key))
			return &book->notes[i];
	return NULL;
}

const struct note *note_next(const struct notebook *book, const char *prefix, size_t *i)
{
	while (*i < book->n) {
		const struct note *note = &book->notes[(*i)++];

		if (strncmp(note->key, prefix, strlen(prefix)) == 0)
			return note;
	}
	return NULL;
}

const char *note_value(const struct note *note)
{
	return note && note->outcome == NOTE_SEEN ? note->value : NULL;
}

bool note_number(const struct note *note, uint64_t *ret)
{
	const char *text = note_value(note);
	unsigned long long value;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, text[0] == '0' && text[1] == 'x' ? 16 : 10);
	if (errno != 0 || *end)
		return false;

	*ret = value;
	return true;
}

bool note_is(const struct note *note, const char *text)
{
	return streq_ptr(note_value(note), text);
}

bool note_unknown(const struct note *note)
{
	return !note || note->outcome == NOTE_FORBIDDEN || note->outcome == NOTE_FAILED;
}

const char *note_problem(const struct note *note)
{
	if (!note)
		return "not looked at";
	switch (note->outcome) {
	case NOTE_SEEN:
		return NULL;
	case NOTE_ABSENT:
		return "not there";
	case NOTE_FORBIDDEN:
		return "permission denied";
	case NOTE_FAILED:
		return note->value ? note->value : "it cannot be read";
	case NOTE_OUTCOME_MAX:
		break;
	}
	return NULL;
}

json_t *notebook_to_json(const struct notebook *book)
{
	_cleanup_json_ json_t *array = json_array();
	size_t i;

	for (i = 0; array && i < book->n; i++) {
		const struct note *note = &book->notes[i];
		json_t *row = json_pack("[s,s,s,s?]", note->key, note->source,
					note_outcome_to_string(note->outcome), note->value);

		if (!row || json_array_append_new(array, row) < 0)
			return NULL;
	}
	return TAKE_PTR(array);
}

int notebook_from_json(const json_t *json, struct notebook *ret)
{
	struct notebook book = {0};
	json_t *row;
	size_t i;

	if (!json_is_array(json))
		return -EINVAL;
	json_array_foreach((json_t *)json, i, row)
	{
		const char *key = json_string_value(json_array_get(row, 0));
		const char *source = json_string_value(json_array_get(row, 1));
		const char *word = json_string_value(json_array_get(row, 2));
		const json_t *value = json_array_get(row, 3);
		int outcome = word ? note_outcome_from_string(word) : -EINVAL;

		if (!key || !source || outcome < 0 || json_array_size(row) != 4 ||
		    !(json_is_string(value) || json_is_null(value))) {
			notebook_done(&book);
			return -EINVAL;
		}
		notebook_add(&book, key, source, (enum note_outcome)outcome,
			     json_string_value(value));
	}
	if (book.incomplete) {
		notebook_done(&book);
		return -ENOMEM;
	}
	*ret = book;
	return 0;
}
