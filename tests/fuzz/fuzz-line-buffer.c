/* SPDX-License-Identifier: GPL-2.0-or-later */
/* First byte: the longest line; second: the size of a chunk; the rest: a stream.  Lines must be those
 * of a plain search, however the stream is cut. */
#include "fuzz.h"
#include "lib/line-buffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(line_buffer_done) struct line_buffer b = { 0 };
	const uint8_t *stream, *expected, *end;
	size_t chunk, at, length;
	char *line;
	int r = 0;

	if (size < 2)
		return 0;
	line_buffer_init(&b, data[0]);
	chunk = 1 + data[1];
	stream = expected = data + 2;
	end = data + size;

	for (at = 0; r >= 0 && stream + at < end; at += chunk) {
		size_t n = MIN_OF(chunk, (size_t)(end - stream) - at);

		FUZZ_CHECK(line_buffer_append(&b, stream + at, n) == 0);
		while ((r = line_buffer_next(&b, &line, &length)) == 1) {
			const uint8_t *newline = memchr(expected, '\n', (size_t)(end - expected));

			FUZZ_CHECK(newline && length == (size_t)(newline - expected));
			FUZZ_CHECK(length <= b.max && memcmp(line, expected, length) == 0);
			FUZZ_CHECK(line[length] == '\0');
			expected = newline + 1;
		}
		FUZZ_CHECK(r == 0 || r == -EMSGSIZE);
	}

	/* What is left is a line without an end, or one that was refused for its length. */
	if (r == 0)
		FUZZ_CHECK(expected == end || !memchr(expected, '\n', (size_t)(end - expected)));
	else
		FUZZ_CHECK((size_t)(end - expected) > b.max &&
			   !memchr(expected, '\n', b.max + 1));
	return 0;
}
