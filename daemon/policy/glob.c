/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shell patterns without fnmatch(): no locale, and time bounded by pattern × name, because users of
 * the socket write patterns too. */
#include "policy/policy.h"

/* Length of the UTF-8 character at s. */
static size_t character_length(const char *s)
{
	size_t n = 1;

	while (n < 4 && ((unsigned char)s[n] & 0xc0) == 0x80)
		n++;
	return n;
}

/* The bracket expression at p ("[a-z]", "[!0-9]") against one byte.  Returns its length, or 0 when
 * it is not closed: then '[' means itself. */
static size_t match_bracket(const char *p, unsigned char c, bool *ret_match)
{
	const unsigned char *s = (const unsigned char *)p + 1;
	bool negate = *s == '!' || *s == '^', match = false, first = true;

	if (negate)
		s++;
	for (; *s && (*s != ']' || first); first = false) {
		unsigned char low = *s++, high = low;

		if (s[0] == '-' && s[1] != '\0' && s[1] != ']') {
			high = s[1];
			s += 2;
		}
		if (c >= low && c <= high)
			match = true;
	}
	if (*s != ']')
		return 0;
	*ret_match = match != negate;
	return (size_t)(s - (const unsigned char *)p) + 1;
}

/* One step other than '*'.  Moves both on when they match. */
static bool match_one(const char **pattern, const char **name)
{
	bool match = false;
	size_t n;

	if (**name == '\0')
		return false;
	if (**pattern == '?') {
		(*pattern)++;
		*name += character_length(*name);
		return true;
	}
	if (**pattern == '[') {
		n = match_bracket(*pattern, (unsigned char)**name, &match);
		if (n > 0) {
			*pattern += n;
			(*name)++;
			return match;
		}
	}
	return *(*pattern)++ == *(*name)++;
}

bool glob_match(const char *pattern, const char *name)
{
	const char *star = NULL, *resume = NULL;

	while (*name || *pattern) {
		const char *p = pattern, *n = name;

		if (*pattern == '*') {
			star = ++pattern;
			resume = name;
			continue;
		}
		if (*pattern && match_one(&p, &n)) {
			pattern = p;
			name = n;
			continue;
		}
		/* Let the last star take one byte more. */
		if (!star || *resume == '\0')
			return false;
		name = ++resume;
		pattern = star;
	}
	return true;
}
