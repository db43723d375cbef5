/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Follows a JSON pointer through JSON text.  Used for the messages of policy and job documents; it
 * never decides whether a document is valid. */
#include "lib/json-position.h"

#include "lib/json.h"

struct cursor {
	const char *p, *end;
};

static void skip_space(struct cursor *c)
{
	while (c->p < c->end && memchr(" \t\r\n", *c->p, 4))
		c->p++;
}

static bool take(struct cursor *c, char wanted)
{
	skip_space(c);
	if (c->p == c->end || *c->p != wanted)
		return false;
	c->p++;
	return true;
}

/* Takes a string with its quotes. */
static bool take_string(struct cursor *c, const char **ret, size_t *ret_size)
{
	const char *start;

	if (!take(c, '"'))
		return false;

	start = c->p - 1;
	for (; c->p < c->end; c->p++) {
		if (*c->p == '\\') {
			if (++c->p == c->end)
				return false;
		} else if (*c->p == '"') {
			c->p++;
			*ret = start;
			*ret_size = (size_t)(c->p - start);
			return true;
		}
	}
	return false;
}

/* Skips a value of any kind.  Brackets are counted, not matched by kind: the text was accepted. */
static bool skip_value(struct cursor *c)
{
	const char *string;
	size_t size;
	unsigned depth = 0;

	do {
		skip_space(c);
		if (c->p == c->end)
			return false;
		if (*c->p == '"') {
			if (!take_string(c, &string, &size))
				return false;
		} else if (*c->p == '{' || *c->p == '[') {
			depth++;
			c->p++;
		} else if (*c->p == '}' || *c->p == ']') {
			if (depth == 0)
				return false;
			depth--;
			c->p++;
		} else if (depth > 0 && (*c->p == ',' || *c->p == ':')) {
			c->p++;
		} else {
			const char *start = c->p;

			while (c->p < c->end && !memchr(",:]}[{\" \t\r\n", *c->p, 11))
				c->p++;
			if (c->p == start)
				return false;
		}
	} while (depth > 0);
	return true;
}

/* Takes one part of the pointer and undoes ~0 and ~1.  Returns new. */
static char *take_token(const char **pointer)
{
	size_t length = strcspn(++*pointer, "/"), i;
	char *token, *out;

	token = out = malloc(length + 1);
	if (!token)
		return NULL;

	for (i = 0; i < length; i++) {
		char c = (*pointer)[i];

		if (c == '~' && i + 1 < length && ((*pointer)[i + 1] == '0' || (*pointer)[i + 1] == '1'))
			c = (*pointer)[++i] == '0' ? '~' : '/';
		*out++ = c;
	}
	*out = '\0';
	*pointer += length;
	return token;
}

static bool name_matches(const char *quoted, size_t size, const char *token)
{
	_cleanup_json_ json_t *name = NULL;

	if (!memchr(quoted, '\\', size))
		return size - 2 == strlen(token) && memcmp(quoted + 1, token, size - 2) == 0;

	name = json_loadb(quoted, size, JSON_DECODE_ANY, NULL);
	return json_is_string(name) && streq(json_string_value(name), token);
}

/* Moves to the member's value.  Returns 1, 0 when there is none, -EINVAL. */
static int enter_object(struct cursor *c, const char *token)
{
	const char *name;
	size_t size;

	c->p++;
	if (take(c, '}'))
		return 0;
	do {
		skip_space(c);
		if (!take_string(c, &name, &size) || !take(c, ':'))
			return -EINVAL;
		skip_space(c);
		if (name_matches(name, size, token))
			return c->p < c->end ? 1 : -EINVAL;
		if (!skip_value(c))
			return -EINVAL;
	} while (take(c, ','));

	return take(c, '}') ? 0 : -EINVAL;
}

static int enter_array(struct cursor *c, const char *token)
{
	unsigned long long wanted, i = 0;
	char *end;

	/* An index has one spelling: no sign, no leading zero. */
	if (token[0] < '0' || token[0] > '9' || (token[0] == '0' && token[1] != '\0'))
		return 0;
	wanted = strtoull(token, &end, 10);
	if (*end != '\0')
		return 0;

	c->p++;
	if (take(c, ']'))
		return 0;
	do {
		skip_space(c);
		if (i++ == wanted)
			return c->p < c->end ? 1 : -EINVAL;
		if (!skip_value(c))
			return -EINVAL;
	} while (take(c, ','));

	return take(c, ']') ? 0 : -EINVAL;
}

/* Finds the value; stops at the last one on the way when a part is missing. */
static int follow(struct cursor *c, const char *pointer, const char **ret_at)
{
	const char *at = c->p;
	int r;

	while (*pointer == '/') {
		_cleanup_free_ char *token = take_token(&pointer);

		if (!token)
			return -ENOMEM;
		if (*c->p == '{')
			r = enter_object(c, token);
		else if (*c->p == '[')
			r = enter_array(c, token);
		else
			r = 0;
		if (r < 0)
			return r;
		if (r == 0)
			break;
		at = c->p;
	}

	*ret_at = at;
	return 0;
}

int json_position_find(const char *text, size_t size, const char *pointer, unsigned *ret_line,
		       unsigned *ret_column)
{
	struct cursor c = { text, text + size };
	unsigned line = 1, column = 1;
	const char *at = text, *p;
	int r;

	skip_space(&c);
	if (c.p == c.end || (*pointer != '\0' && *pointer != '/'))
		return -EINVAL;

	r = follow(&c, pointer, &at);
	if (r < 0)
		return r;

	for (p = text; p < at; p++) {
		column++;
		if (*p == '\n') {
			line++;
			column = 1;
		}
	}
	*ret_line = line;
	*ret_column = column;
	return 0;
}
