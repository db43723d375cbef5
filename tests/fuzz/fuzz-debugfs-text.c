/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts of debugfs: whatever they say, a number is in range or unknown, and what is free is there.
 */
#include "fuzz.h"
#include "host/debugfs-text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_string(data, size);
	struct known ggtt = debugfs_ggtt_available(text);
	struct debugfs_vram vram = debugfs_vram_mm(text);

	FUZZ_CHECK(ggtt.known ? ggtt.value <= INT64_MAX : ggtt.value == 0);
	FUZZ_CHECK(vram.size.known ? vram.size.value <= INT64_MAX : vram.size.value == 0);
	FUZZ_CHECK(vram.free.known ? vram.free.value <= INT64_MAX : vram.free.value == 0);
	FUZZ_CHECK(!vram.size.known || !vram.free.known || vram.free.value <= vram.size.value);
	(void)debugfs_is_locked(text);
	return 0;
}
