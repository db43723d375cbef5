/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever goes in, what comes out is valid UTF-8 without control characters, and harmless text is
 * left alone. */
#include "fuzz.h"
#include "lib/escape.h"

static void check(const char *data, size_t size, bool keep_newlines)
{
	_cleanup_free_ char *out = escape_terminal(data, size, keep_newlines), *again = NULL;
	const char *p;

	FUZZ_CHECK(out && utf8_is_valid(out, strlen(out)));
	for (p = out; *p; p++) {
		FUZZ_CHECK((unsigned char)*p >= 0x20 || (keep_newlines && (*p == '\n' || *p == '\t')));
		FUZZ_CHECK(*p != 0x7f);
		FUZZ_CHECK((unsigned char)p[0] != 0xc2 || (unsigned char)p[1] >= 0xa0);
	}

	again = escape_terminal(out, strlen(out), keep_newlines);
	FUZZ_CHECK(again && streq(again, out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_string(data, size);

	check((const char *)data, size, false);
	check((const char *)data, size, true);
	if (name_is_valid(text, 64)) {
		_cleanup_free_ char *out = escape_terminal(text, strlen(text), false);

		FUZZ_CHECK(out && streq(out, text) && utf8_is_valid(text, strlen(text)));
	}
	return 0;
}
