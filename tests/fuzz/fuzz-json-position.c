/* SPDX-License-Identifier: GPL-2.0-or-later */
/* First line: a pointer; the rest: a text.  Any pair must be survived.  In a text that jansson accepts,
 * each value's own pointer must lead to the place where jansson reads that same value. */
#include "fuzz.h"
#include "lib/json-field.h"
#include "lib/json-position.h"

#define VALUES_MAX 64 /* of one document */

struct document {
	const char *text;
	size_t size;
	unsigned checked;
};

static size_t offset_of(const struct document *d, unsigned line, unsigned column)
{
	size_t at = 0;

	for (; line > 1; line--) {
		const char *newline = memchr(d->text + at, '\n', d->size - at);

		FUZZ_CHECK(newline);
		at = (size_t)(newline - d->text) + 1;
	}
	at += column - 1;
	FUZZ_CHECK(at < d->size);
	return at;
}

static void check_value(struct document *d, const json_t *value, const char *pointer)
{
	_cleanup_json_ json_t *found = NULL;
	unsigned line = 0, column = 0;
	size_t at;

	FUZZ_CHECK(json_position_find(d->text, d->size, pointer, &line, &column) == 0);
	at = offset_of(d, line, column);
	found = json_loadb(d->text + at, d->size - at, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK,
			   NULL);
	FUZZ_CHECK(found && json_equal(found, value));
}

/* The pointer of a member, as the messages make it. */
static char *pointer_of(const char *base, const char *name)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };

	(void)json_fault_set(&fault, base, name, NULL, "x");
	FUZZ_CHECK(fault.pointer);
	return TAKE_PTR(fault.pointer);
}

static void check_tree(struct document *d, const json_t *value, const char *pointer)
{
	const char *name;
	char index[24];
	json_t *child;
	size_t i;

	if (d->checked++ >= VALUES_MAX)
		return;
	check_value(d, value, pointer);

	json_object_foreach((json_t *)value, name, child) {
		_cleanup_free_ char *deeper = pointer_of(pointer, name);

		check_tree(d, child, deeper);
	}
	json_array_foreach((json_t *)value, i, child) {
		_cleanup_free_ char *deeper = NULL;

		snprintf(index, sizeof(index), "%zu", i);
		deeper = pointer_of(pointer, index);
		check_tree(d, child, deeper);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
	_cleanup_free_ char *pointer = NULL;
	_cleanup_json_ json_t *value = NULL;
	struct document d = { 0 };
	unsigned line, column;
	int r;

	if (!newline)
		return 0;

	pointer = fuzz_string(data, (size_t)(newline - data));
	d.text = (const char *)newline + 1;
	d.size = size - (size_t)(newline + 1 - data);
	r = json_position_find(d.text, d.size, pointer, &line, &column);
	FUZZ_CHECK(r == 0 || r == -EINVAL);
	if (r == 0 && d.size > 0)
		(void)offset_of(&d, line, column);

	if (json_parse(d.text, d.size, &value, NULL) == 0)
		check_tree(&d, value, "");
	return 0;
}
