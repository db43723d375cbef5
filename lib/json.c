/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strict reading and plain writing of JSON, for everything that speaks or stores it. */
#include "lib/json.h"

#include <stdio.h>

#include "lib/clock.h"
#include "lib/escape.h"

static int parse_error(json_error_t *error, const char *text, size_t at, const char *what)
{
	size_t i;

	if (!error)
		return -EINVAL;

	memset(error, 0, sizeof(*error));
	error->line = 1;
	error->column = 1;
	error->position = (int)at;
	for (i = 0; i < at; i++) {
		error->column++;
		if (text[i] == '\n') {
			error->line++;
			error->column = 1;
		}
	}
	snprintf(error->source, sizeof(error->source), "<buffer>");
	snprintf(error->text, sizeof(error->text), "%s", what);
	return -EINVAL;
}

/* Nesting is counted before parsing: jansson's parser recurses, and its own limit is far above ours.
 * Brackets in strings do not count. */
static int check_bytes(const char *text, size_t size, json_error_t *error)
{
	bool in_string = false;
	unsigned depth = 0;
	size_t i;

	for (i = 0; i < size; i++) {
		char c = text[i];

		if (c == '\0')
			return parse_error(error, text, i, "NUL byte in the text");
		if (in_string) {
			if (c == '\\' && i + 1 < size && text[i + 1] != '\0')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > JSON_DEPTH_MAX)
				return parse_error(error, text, i, "nested too deeply");
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
	}
	return 0;
}

int json_parse(const char *text, size_t size, json_t **ret, json_error_t *ret_error)
{
	json_t *value;
	int r;

	r = check_bytes(text, size, ret_error);
	if (r < 0)
		return r;

	value = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, ret_error);
	if (!value)
		return -EINVAL;

	*ret = value;
	return 0;
}

char *json_text(const json_t *value)
{
	/* 15 digits: a decimal number that came in with up to 15 goes out as it was written. */
	const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15);
	char buffer[1024]; /* most are shorter, and json_dumps() would grow theirs from 16 bytes */
	size_t size = json_dumpb(value, buffer, sizeof(buffer), flags);

	return size > 0 && size <= sizeof(buffer) ? strndup(buffer, size) : json_dumps(value, flags);
}

int json_put(json_t *object, const char *name, json_t *value)
{
	if (!value)
		return -ENOMEM;

	return json_object_set_new(object, name, value) < 0 ? -ENOMEM : 0;
}

int json_put_string(json_t *object, const char *name, const char *value)
{
	_cleanup_free_ char *escaped = NULL;

	if (!value)
		return json_put(object, name, json_null());
	if (utf8_is_valid(value, strlen(value)))
		return json_put(object, name, json_string_nocheck(value));

	/* Foreign bytes (a file name, a driver's text) must not make an answer impossible. */
	escaped = escape_terminal(value, strlen(value), true);
	return escaped ? json_put(object, name, json_string(escaped)) : -ENOMEM;
}

int json_put_uint(json_t *object, const char *name, uint64_t value)
{
	/* JSON numbers end at INT64_MAX here; above are only our words for "none" and "for ever". */
	return json_put(object, name, value > INT64_MAX ? json_null() : json_integer((json_int_t)value));
}

int json_put_uint_known(json_t *object, const char *name, bool known, uint64_t value)
{
	return known ? json_put_uint(object, name, value) : json_put(object, name, json_null());
}

int json_put_bool(json_t *object, const char *name, bool value)
{
	return json_put(object, name, json_boolean(value));
}

int json_put_time(json_t *object, const char *name, uint64_t usec)
{
	char buf[RFC3339_STRLEN];

	return json_put_string(object, name, usec == 0 ? NULL : rfc3339_format(usec, buf));
}

const char *json_get_string(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

uint64_t json_get_uint(const json_t *object, const char *name, uint64_t fallback)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return fallback;

	return (uint64_t)json_integer_value(value);
}

int64_t json_get_int(const json_t *object, const char *name, int64_t fallback)
{
	const json_t *value = json_object_get(object, name);

	return json_is_integer(value) ? (int64_t)json_integer_value(value) : fallback;
}

bool json_get_bool(const json_t *object, const char *name, bool fallback)
{
	const json_t *value = json_object_get(object, name);

	return json_is_boolean(value) ? json_is_true(value) : fallback;
}
