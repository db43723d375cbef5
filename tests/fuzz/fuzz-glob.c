/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Patterns against names, held against the plain recursive definition.  Input: pattern, a newline,
 * name. */
#include "fuzz.h"
#include "policy/policy.h"

/* Small enough for the recursion. */
#define TEXT_MAX 12

/* Understands * and ? of ASCII only. */
static bool plain_match(const char *p, const char *s)
{
	if (*p == '\0')
		return *s == '\0';
	if (*p == '*')
		return plain_match(p + 1, s) || (*s && plain_match(p, s + 1));
	return *s && (*p == '?' || *p == *s) && plain_match(p + 1, s + 1);
}

static bool is_plain(const char *s)
{
	size_t i;

	for (i = 0; s[i]; i++)
		if (s[i] == '[' || (unsigned char)s[i] >= 0x80)
			return false;
	return i <= TEXT_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *pattern = fuzz_string(data, size);
	char *name = strchr(pattern, '\n');
	bool match;

	if (!name)
		return 0;
	*name++ = '\0';
	match = glob_match(pattern, name);
	if (is_plain(pattern) && is_plain(name))
		FUZZ_CHECK(match == plain_match(pattern, name));
	if (streq(pattern, "*"))
		FUZZ_CHECK(match);
	return 0;
}
