/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random numbers and the two functions of libm that training needs.
 *
 * They are written out here, from IEEE additions and multiplications alone, so
 * that a run gives the same bits on every machine: a C library picks another
 * exp() for another processor.  Used by all of tiny-lora; knows no model. */
#pragma once

#include <stdint.h>

struct rng {
	uint64_t state;
};

/* The next 64 random bits (splitmix64). */
uint64_t rng_next(struct rng *rng);

/* A number in [-limit, limit). */
float rng_symmetric(struct rng *rng, float limit);

/* An index in [0, count); the bias is below 2^-32 for the counts used here. */
uint32_t rng_index(struct rng *rng, uint32_t count);

double exact_exp(double x);
double exact_log(double x);
