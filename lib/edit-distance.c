/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Optimal string alignment over short words, in three rows of the usual matrix. */
#include "lib/edit-distance.h"

#define WORD_MAX 64

size_t edit_distance(const char *a, const char *b)
{
	size_t before[WORD_MAX + 1], above[WORD_MAX + 1], row[WORD_MAX + 1];
	size_t la = strlen(a), lb = strlen(b), i, j, best;

	if (la > WORD_MAX || lb > WORD_MAX)
		return SIZE_MAX;

	for (j = 0; j <= lb; j++)
		above[j] = j;
	memset(before, 0, sizeof(before));

	for (i = 1; i <= la; i++) {
		row[0] = i;
		for (j = 1; j <= lb; j++) {
			best = above[j - 1] + (a[i - 1] != b[j - 1]);
			best = MIN_OF(best, above[j] + 1);
			best = MIN_OF(best, row[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN_OF(best, before[j - 2] + 1);
			row[j] = best;
		}
		memcpy(before, above, sizeof(before));
		memcpy(above, row, sizeof(above));
	}
	return above[lb];
}

const char *edit_distance_nearest(const char *word, const char *const *names, size_t count)
{
	const char *nearest = NULL;
	size_t least = SIZE_MAX, i;

	for (i = 0; i < count; i++) {
		size_t distance = names[i] ? edit_distance(word, names[i]) : SIZE_MAX;

		if (distance < least) {
			least = distance;
			nearest = names[i];
		}
	}

	/* A third of the word may be wrong, else every short name resembles every other. */
	return nearest && least <= (strlen(word) + 2) / 3 ? nearest : NULL;
}
