/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "Did you mean …?" for member names, enum words and verbs. */
#pragma once

#include "lib/macros.h"

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b; words longer than
 * 64 bytes count as far apart (SIZE_MAX). */
size_t edit_distance(const char *a, const char *b);

/* The name nearest to word, or NULL when none is near enough to be meant.  Holes (NULL) are
 * skipped. */
const char *edit_distance_nearest(const char *word, const char *const *names, size_t count);
