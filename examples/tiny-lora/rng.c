/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See rng.h. */
#include "rng.h"

#include <string.h>

#define LN2_HIGH 6.93147180369123816e-01	/* ln 2, 21 low bits zero: times k it is exact */
#define LN2_LOW  1.90821492927058770002e-10
#define INVERSE_LN2 1.4426950408889634
#define EXP_MIN  (-700.0)			/* below this e^x is no normal double */
#define LOG_TERMS 8				/* |s| <= 0.172: the next term is below 2^-45 */

/* 1/n!; |r| <= ln2/2, so the first term left out is below 2^-37: far finer than
 * the float that the result becomes. */
static const double inverse_factorial[] = {
	1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
	1.0 / 362880,
};

uint64_t rng_next(struct rng *rng)
{
	uint64_t z = (rng->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

float rng_symmetric(struct rng *rng, float limit)
{
	float unit = (float)(rng_next(rng) >> 40) * (1.0f / 16777216.0f);

	return (2.0f * unit - 1.0f) * limit;
}

uint32_t rng_index(struct rng *rng, uint32_t count)
{
	return (uint32_t)(((rng_next(rng) >> 32) * count) >> 32);
}

/* 2^k for a normal result. */
static double power_of_two(int k)
{
	uint64_t bits = (uint64_t)(k + 1023) << 52;
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* e^x for x <= 0 (what a softmax asks for), 0 below EXP_MIN. */
double exact_exp(double x)
{
	double sum = 0.0, r;
	int k;

	if (x < EXP_MIN)
		return 0.0;
	k = (int)(x * INVERSE_LN2 - 0.5);
	r = x - k * LN2_HIGH - k * LN2_LOW;
	for (int i = sizeof(inverse_factorial) / sizeof(double) - 1; i >= 0; i--)
		sum = sum * r + inverse_factorial[i];
	return sum * power_of_two(k);
}

/* ln x for a positive normal x, by ln((1+s)/(1-s)) = 2(s + s^3/3 + ...). */
double exact_log(double x)
{
	double m, s, square, power, sum = 0.0;
	uint64_t bits;
	int k;

	memcpy(&bits, &x, sizeof(bits));
	k = (int)(bits >> 52) - 1023;
	bits = (bits & UINT64_C(0x000fffffffffffff)) | UINT64_C(0x3ff0000000000000);
	memcpy(&m, &bits, sizeof(m));
	if (m > 1.4142135623730951) {
		m *= 0.5;
		k++;
	}
	s = (m - 1.0) / (m + 1.0);
	square = s * s;
	power = s;
	for (int i = 0; i < LOG_TERMS; i++) {
		sum += power / (2 * i + 1);
		power *= square;
	}
	return 2.0 * sum + k * LN2_LOW + k * LN2_HIGH;
}
