/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of known-bad combinations: refused with a reason, or each entry within its bounds. */
#include "doctor/known-bad.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(known_bad_freep) struct known_bad *k = NULL;
	_cleanup_free_ char *text = fuzz_string(data, size);
	struct json_fault fault = {0};

	(void)release_compare(text, "6.8.12-20-pve");
	(void)release_compare("6.8.12-20-pve", text);
	if (known_bad_parse(text, size, &k, &fault) < 0) {
		FUZZ_CHECK(!k && fault.what && *fault.what);
		json_fault_done(&fault);
		return 0;
	}
	FUZZ_CHECK(k->n <= 1000);
	for (size_t i = 0; i < k->n; i++) {
		const struct known_bad_when *when = &k->entries[i].when;

		FUZZ_CHECK(strncmp(k->entries[i].source, "https://", 8) == 0);
		FUZZ_CHECK(k->entries[i].severity >= 0 && k->entries[i].severity < SEVERITY_OK);
		FUZZ_CHECK(when->driver || when->devices || when->log);
		FUZZ_CHECK(json_array_size(when->log) <= 8);
		for (size_t n = 0; n < when->n_ranges; n++)
			FUZZ_CHECK(when->ranges[n].first <= when->ranges[n].last &&
				   when->ranges[n].last <= 0xffff);
	}
	return 0;
}
