/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See train.h. */
#include "train.h"

#include "blob.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKPOINT_MAGIC "TLCKPT01"
#define CHECKPOINT_FILE "checkpoint.bin"
#define PATH_ROOM 4096
#define BETA1 0.9
#define BETA2 0.999
#define EPSILON 1e-8

int run_init(struct run *run, float *values, size_t count, uint64_t seed)
{
	*run = (struct run){
		.rng = { .state = seed },
		.beta1_power = 1.0,
		.beta2_power = 1.0,
		.values = values,
		.moment1 = calloc(count, sizeof(float)),
		.moment2 = calloc(count, sizeof(float)),
		.grad = calloc(count, sizeof(float)),
		.count = count,
	};
	return run->moment1 && run->moment2 && run->grad ? 0 : -ENOMEM;
}

void run_done(struct run *run)
{
	free(run->moment1);
	free(run->moment2);
	free(run->grad);
	*run = (struct run){ 0 };
}

void run_update(struct run *run, const struct recipe *recipe)
{
	double rate = recipe->rate * (1.0 - (double)run->step / (double)recipe->steps);
	float b1 = (float)BETA1, b2 = (float)BETA2;
	float shrink = (float)(1.0 - rate * recipe->decay);
	float correct1, correct2;

	run->beta1_power *= BETA1;
	run->beta2_power *= BETA2;
	correct1 = (float)(rate / (1.0 - run->beta1_power));
	correct2 = (float)(1.0 / (1.0 - run->beta2_power));
	for (size_t i = 0; i < run->count; i++) {
		float g = run->grad[i] / (float)recipe->batch;
		float m = b1 * run->moment1[i] + (1.0f - b1) * g;
		float v = b2 * run->moment2[i] + (1.0f - b2) * g * g;

		run->moment1[i] = m;
		run->moment2[i] = v;
		run->values[i] = run->values[i] * shrink -
			correct1 * m / (sqrtf(v * correct2) + (float)EPSILON);
		run->grad[i] = 0.0f;
	}
	run->step++;
}

/* ---- Checkpoints ----------------------------------------------------------- */

static int checkpoint_path(char *ret_path, const char *dir)
{
	if (snprintf(ret_path, PATH_ROOM, "%s/" CHECKPOINT_FILE, dir) >= PATH_ROOM)
		return refuse("GPUVF_CHECKPOINT_DIR: the path is too long");
	return 0;
}

int run_save_checkpoint(const struct run *run, const struct recipe *recipe, const char *dir)
{
	char path[PATH_ROOM];
	struct blob blob;
	int r;

	r = checkpoint_path(path, dir);
	if (r < 0)
		return r;
	blob_init(&blob, CHECKPOINT_MAGIC);
	blob_put_u64(&blob, recipe->base_sum);
	blob_put_u64(&blob, recipe->data_sum);
	blob_put_u64(&blob, recipe->seed);
	blob_put_u32(&blob, recipe->steps);
	blob_put_u32(&blob, recipe->batch);
	blob_put_u32(&blob, recipe->rank);
	blob_put_f64(&blob, recipe->alpha);
	blob_put_f64(&blob, recipe->rate);
	blob_put_f64(&blob, recipe->decay);
	blob_put_u64(&blob, run->rng.state);
	blob_put_u32(&blob, run->step);
	blob_put_f64(&blob, run->beta1_power);
	blob_put_f64(&blob, run->beta2_power);
	blob_put_f64(&blob, run->loss_sum);
	blob_put_u32(&blob, run->loss_count);
	blob_put_floats(&blob, run->values, run->count);
	blob_put_floats(&blob, run->moment1, run->count);
	blob_put_floats(&blob, run->moment2, run->count);
	r = blob_save(&blob, path);
	blob_done(&blob);
	return r;
}

/* Reads the recipe and says which member differs. */
static int check_recipe(struct blob *blob, const struct recipe *recipe, const char *path)
{
	uint32_t steps, batch, rank;
	double alpha, rate, decay;
	uint64_t seed;

	if (blob_get_u64(blob) != recipe->base_sum)
		return refuse("%s: the checkpoint was made with another --base", path);
	if (blob_get_u64(blob) != recipe->data_sum)
		return refuse("%s: the checkpoint was made with another --data", path);
	seed = blob_get_u64(blob);
	steps = blob_get_u32(blob);
	batch = blob_get_u32(blob);
	rank = blob_get_u32(blob);
	alpha = blob_get_f64(blob);
	rate = blob_get_f64(blob);
	decay = blob_get_f64(blob);
	if (seed != recipe->seed || steps != recipe->steps || batch != recipe->batch ||
	    rank != recipe->rank)
		return refuse("%s: the checkpoint was made with --seed %llu --steps %u --batch %u "
			      "--rank %u: give the same", path, (unsigned long long)seed, steps,
			      batch, rank);
	if (alpha != recipe->alpha || rate != recipe->rate || decay != recipe->decay)
		return refuse("%s: the checkpoint was made with --alpha %g --lr %g "
			      "--weight-decay %g: give the same", path, alpha, rate, decay);
	return 0;
}

int run_resume(struct run *run, const struct recipe *recipe, const char *dir)
{
	char path[PATH_ROOM];
	struct blob blob;
	int r;

	r = checkpoint_path(path, dir);
	if (r < 0)
		return r;
	r = blob_load(&blob, path, CHECKPOINT_MAGIC, "checkpoint");
	if (r < 0)
		return r;
	r = check_recipe(&blob, recipe, path);
	if (r == 0) {
		run->rng.state = blob_get_u64(&blob);
		run->step = blob_get_u32(&blob);
		run->beta1_power = blob_get_f64(&blob);
		run->beta2_power = blob_get_f64(&blob);
		run->loss_sum = blob_get_f64(&blob);
		run->loss_count = blob_get_u32(&blob);
		blob_get_floats(&blob, run->values, run->count);
		blob_get_floats(&blob, run->moment1, run->count);
		blob_get_floats(&blob, run->moment2, run->count);
		r = blob_finish(&blob, path);
	}
	if (r == 0 && run->step > recipe->steps)
		r = refuse("%s: the checkpoint is at step %u of %u", path, run->step,
			   recipe->steps);
	blob_done(&blob);
	return r;
}
