/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "doctor/redact.h"

#include <ctype.h>
#include <stdio.h>

#define STARS "***"

static const char *const secret_words[] = {"pass", "secret", "token", "key", "auth", "cred"};

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static bool names_secret(const char *name, size_t n)
{
	size_t i, k;

	for (i = 0; i < n; i++)
		for (k = 0; k < ARRAY_SIZE(secret_words); k++)
			if (n - i >= strlen(secret_words[k]) &&
			    strncasecmp(name + i, secret_words[k], strlen(secret_words[k])) == 0)
				return true;
	return false;
}

/* Behind a secret's name: the quote of its name, '=' or ':', blanks.  Returns 0 when no value
 * follows. */
static size_t skip_to_value(const char *p)
{
	const char *start = p;

	p += *p == '"' || *p == '\'';
	p += strspn(p, " ");
	if (*p != '=' && *p != ':')
		return 0;
	p++;
	p += strspn(p, " ");
	return (size_t)(p - start);
}

/* To the bracket that closes this one, or the line's end. */
static size_t bracket_length(const char *p)
{
	const char *end = p;
	int depth = 0;

	do {
		depth += *end == '{' || *end == '[';
		depth -= *end == '}' || *end == ']';
		end++;
	} while (depth > 0 && *end && *end != '\n');
	return (size_t)(end - p);
}

/* Length of a value: in quotes, in brackets, or to the next blank. */
static size_t value_length(const char *p)
{
	const char *end;

	if (*p == '{' || *p == '[')
		return bracket_length(p);
	if (*p != '"' && *p != '\'')
		return strcspn(p, " \t\n,;}])");
	for (end = p + 1; *end && *end != *p && *end != '\n'; end++)
		end += *end == '\\' && end[1];
	return (size_t)(end - p) + (*end == *p);
}

/* "://user:password@" from its slashes on: length of what is between, 0 when it is none. */
static size_t userinfo_length(const char *p)
{
	size_t n = strcspn(p, "/ \t\n\"'@");

	return p[n] == '@' ? n : 0;
}

/* One word, or one character that is part of none.  Returns how much was read. */
static size_t copy_word(FILE *out, const char *p)
{
	size_t n = 0, gap, value;

	if (strncmp(p, "://", 3) == 0 && (value = userinfo_length(p + 3)) > 0) {
		fputs("://" STARS, out);
		return 3 + value;
	}
	while (is_name(p[n]))
		n++;
	if (n == 0) {
		fputc(*p, out);
		return 1;
	}
	fwrite(p, 1, n, out);
	gap = names_secret(p, n) ? skip_to_value(p + n) : 0;
	value = gap > 0 ? value_length(p + n + gap) : 0;
	if (value == 0)
		return n;
	fwrite(p + n, 1, gap, out);
	fputs(STARS, out);
	return n + gap + value;
}

char *redact_text(const char *text)
{
	char *copy = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&copy, &size);

	if (!out)
		return NULL;
	while (*text)
		text += copy_word(out, text);
	if (fclose(out) != 0) {
		free(copy);
		return NULL;
	}
	return copy;
}

static bool is_secret_member(const char *name)
{
	return streq(name, "env") || streq(name, "content") || names_secret(name, strlen(name));
}

static json_t *redact_object(const json_t *object)
{
	_cleanup_json_ json_t *copy = json_object();
	const char *name;
	json_t *member;

	json_object_foreach((json_t *)object, name,
			    member) if (json_put(copy, name,
						 is_secret_member(name)
							 ? json_string(STARS)
							 : redact_json(member)) < 0) return NULL;
	return TAKE_PTR(copy);
}

json_t *redact_json(const json_t *json)
{
	if (json_is_object(json))
		return redact_object(json);
	if (json_is_string(json)) {
		_cleanup_free_ char *text = redact_text(json_string_value(json));

		return text ? json_string(text) : NULL;
	}
	if (json_is_array(json)) {
		_cleanup_json_ json_t *copy = json_array();
		json_t *item;
		size_t i;

		json_array_foreach((json_t *)json, i,
				   item) if (json_array_append_new(copy, redact_json(item)) <
					     0) return NULL;
		return TAKE_PTR(copy);
	}
	return json_deep_copy(json);
}
