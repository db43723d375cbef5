/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AdamW over one flat array of values, and the state of a training run that a
 * checkpoint holds.  Knows nothing of the network. */
#pragma once

#include "rng.h"

#include <stddef.h>
#include <stdint.h>

/* What must be the same in a run and in the checkpoint that it goes on from. */
struct recipe {
	uint64_t base_sum;
	uint64_t data_sum;
	uint64_t seed;
	uint32_t steps;
	uint32_t batch;
	uint32_t rank;
	double alpha;
	double rate;
	double decay;
};

struct run {
	struct rng rng;
	uint32_t step;			/* steps done */
	double beta1_power, beta2_power;	/* beta^step, for the bias correction */
	double loss_sum;		/* since the last report */
	uint32_t loss_count;
	float *values;			/* what is trained; borrowed */
	float *moment1, *moment2;
	float *grad;
	size_t count;
};

int run_init(struct run *run, float *values, size_t count, uint64_t seed);
void run_done(struct run *run);

/* One step of AdamW with the mean of the batch's gradients; clears them.  The
 * rate falls in a straight line to zero over all steps. */
void run_update(struct run *run, const struct recipe *recipe);

/* Both name the file in DIR; resume refuses one of another recipe. */
int run_save_checkpoint(const struct run *run, const struct recipe *recipe, const char *dir);
int run_resume(struct run *run, const struct recipe *recipe, const char *dir);
