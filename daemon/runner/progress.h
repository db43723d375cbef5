/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Progress as a job tells it: JSON lines with "step", "total" (or "max_steps"), "loss",
 * "vram_peak_bytes", between whatever else it prints.  Lines that are not such are passed over. */
#pragma once

#include "runner/runner.h"

#define PROGRESS_LINE_MAX 4096

/* Cuts one stream into lines. */
struct progress_reader {
	char line[PROGRESS_LINE_MAX];
	size_t size;
	bool too_long; /* the present line is thrown away up to its end */
};

/* Takes the next bytes; progress keeps the newest of each number.  Returns true when it changed. */
bool progress_feed(struct progress_reader *reader, const char *data, size_t size,
		   struct runner_progress *progress);
