/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What decodes encodes to the same text, and any bytes survive both ways. */
#include "fuzz.h"
#include "lib/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ void *bytes = NULL, *back = NULL;
	_cleanup_free_ char *text = NULL, *again = NULL;
	size_t n = 0;

	if (base64_decode((const char *)data, size, &bytes, &n) == 0) {
		again = base64_encode(bytes, n);
		FUZZ_CHECK(again && strlen(again) == size && memcmp(again, data, size) == 0);
	}

	text = base64_encode(data, size);
	FUZZ_CHECK(text && base64_decode(text, strlen(text), &back, &n) == 0);
	FUZZ_CHECK(n == size && memcmp(back, data, size) == 0);
	return 0;
}
