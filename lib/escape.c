/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names, messages and output come from users, guests and firmware; this is what stands between them
 * and somebody's terminal. */
#include "lib/escape.h"

#include <stdio.h>

/* Decodes one character.  Returns its length, or 0 when the bytes are not UTF-8 (overlong forms,
 * surrogates and values past U+10FFFF are not). */
static size_t utf8_decode(const char *s, size_t size, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s;
	size_t length, i;
	uint32_t c;

	if (p[0] < 0x80) {
		*ret = p[0];
		return 1;
	}

	length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || length > size)
		return 0;

	c = p[0] & (0x7fu >> length);
	for (i = 1; i < length; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;

	*ret = c;
	return length;
}

/* C0, DEL, C1. */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/* Characters that change the order of the text around them, and line ends in disguise. */
static bool is_deceptive(uint32_t c)
{
	return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

static bool is_harmless(const char *s, size_t size, bool keep_newlines)
{
	size_t i, length;
	uint32_t c;

	for (i = 0; i < size; i += length) {
		length = utf8_decode(s + i, size - i, &c);
		if (length == 0 || is_deceptive(c) || (is_control(c) && !(keep_newlines && (c == '\n' || c == '\t'))))
			return false;
	}
	return true;
}

char *escape_terminal(const char *s, size_t size, bool keep_newlines)
{
	char *text = NULL;
	size_t text_size = 0, i, length;
	uint32_t c;
	FILE *f;

	if (is_harmless(s, size, keep_newlines))
		return strndup(s, size);
	f = open_memstream(&text, &text_size);
	if (!f)
		return NULL;

	for (i = 0; i < size; i += length) {
		length = utf8_decode(s + i, size - i, &c);
		if (length == 0) {
			length = 1;
			fprintf(f, "\\x%02x", (unsigned char)s[i]);
		} else if (keep_newlines && (c == '\n' || c == '\t')) {
			fputc((int)c, f);
		} else if (is_control(c) && c < 0x80) {
			fprintf(f, "\\x%02x", c);
		} else if (is_control(c) || is_deceptive(c)) {
			fprintf(f, "\\u{%x}", c);
		} else {
			fwrite(s + i, 1, length, f);
		}
	}

	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

bool utf8_is_valid(const char *s, size_t size)
{
	size_t i, length;
	uint32_t c;

	for (i = 0; i < size; i += length) {
		length = utf8_decode(s + i, size - i, &c);
		if (length == 0 || c == 0)
			return false;
	}
	return true;
}

bool name_is_valid(const char *s, size_t max)
{
	size_t size = strlen(s), i, length;
	uint32_t c;

	if (size == 0 || size > max)
		return false;

	for (i = 0; i < size; i += length) {
		length = utf8_decode(s + i, size - i, &c);
		if (length == 0 || is_control(c) || is_deceptive(c) || c == '/')
			return false;
	}
	return true;
}
