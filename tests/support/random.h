/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers for property tests: the same from the same seed on every machine. */
#pragma once

#include <stdio.h>

#include "lib/clock.h"

struct random {
	uint64_t state;
};

/* Prints the seed; GPUVF_SEED=N repeats a run. */
static inline struct random random_begin(void)
{
	const char *given = getenv("GPUVF_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : now_realtime();

	printf("# seed %llu: GPUVF_SEED=%llu repeats this run\n", (unsigned long long)seed,
	       (unsigned long long)seed);
	return (struct random){ seed | 1 };
}

/* xorshift64* */
static inline uint64_t random_below(struct random *r, uint64_t below)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return (r->state * UINT64_C(2685821657736338717) >> 16) % below;
}

static inline bool random_one_in(struct random *r, unsigned n)
{
	return random_below(r, n) == 0;
}
