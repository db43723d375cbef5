/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every fuzz target includes.  A target has one function; it runs under libFuzzer, or under
 * fuzz-main.c, which knows nothing of the parser either. */
#pragma once

#include <stdio.h>

#include "lib/macros.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A slow target defines how many times slower than a parser it is: it gets so many runs less. */
extern unsigned fuzz_cost;

/* Like assert(), but never compiled out. */
#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The input as a string, in memory of exactly its size, so that a sanitizer sees each byte too far.
 * Returns new. */
static inline char *fuzz_string(const uint8_t *data, size_t size)
{
	char *s = malloc(size + 1);

	FUZZ_CHECK(s);
	if (size > 0)
		memcpy(s, data, size);
	s[size] = '\0';
	return s;
}
