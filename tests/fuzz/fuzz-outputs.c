/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest packed as outputs, in pieces of any size: nothing lands outside the directory, no
 * name that is not valid, no more bytes than allowed. */
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "runner/outputs.h"

#define BYTES_MAX 1000

unsigned fuzz_cost = 50; /* a folder and files for each input */

static uint64_t bytes;

static int check_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	FUZZ_CHECK(S_ISDIR(st->st_mode) || S_ISREG(st->st_mode));
	if (S_ISREG(st->st_mode))
		bytes += (uint64_t)st->st_size;
	FUZZ_CHECK(remove(path) == 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char top[] = "/tmp/gpuvf-fuzz-outputs-XXXXXX";
	_cleanup_json_ json_t *globs = json_pack("[s,s]", "**", "a/*.txt");
	struct outputs *outputs;
	size_t at = 0, piece = size > 0 ? 1 + data[0] % 16 : 1;
	int directory, r = 0;

	FUZZ_CHECK(mkdtemp(top));
	directory = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(directory >= 0 && globs);
	FUZZ_CHECK(outputs_new(directory, globs, BYTES_MAX, &outputs) == 0);
	for (; at < size && r >= 0; at += piece)
		r = outputs_feed(outputs, data + at, MIN_OF(piece, size - at));
	FUZZ_CHECK(r >= 0 || !outputs_complete(outputs) || at > 0);
	outputs_free(outputs);
	close(directory);
	bytes = 0;
	FUZZ_CHECK(nftw(top, check_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
	FUZZ_CHECK(bytes <= BYTES_MAX);
	return 0;
}
