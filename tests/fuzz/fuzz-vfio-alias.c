/* SPDX-License-Identifier: GPL-2.0-or-later */
/* modules.alias behind a modalias on the first line: a module's name that stands in the text, or a refusal. */
#include "fuzz.h"
#include "host/vfio-alias.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *input = fuzz_string(data, size), *module = NULL, *lines = NULL, *again = NULL;
	char *text = strchr(input, '\n');
	size_t length = strlen(input), n;
	int r;

	if (!text)
		return 0;
	*text++ = '\0';
	length -= (size_t)(text - input);

	r = vfio_alias_find(text, length, input, &module);
	lines = vfio_alias_lines(text, length, &n);
	FUZZ_CHECK(lines && n <= length + 1);
	FUZZ_CHECK(vfio_alias_find(lines, n, input, &again) == r);
	FUZZ_CHECK(r < 0 || strcmp(again, module) == 0);
	if (r < 0) {
		FUZZ_CHECK(!module);
		FUZZ_CHECK(r == -EINVAL || r == -ENOENT);
		FUZZ_CHECK((r == -EINVAL) == (strncmp(input, "pci:", 4) != 0));
		return 0;
	}
	FUZZ_CHECK(strstr(text, "alias vfio_pci:"));
	FUZZ_CHECK(*module && strlen(module) <= 55 && strstr(text, module));
	FUZZ_CHECK(!strpbrk(module, "/. \n"));
	return 0;
}
