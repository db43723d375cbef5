/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network: three dense layers with ReLU between them, and the low-rank
 * adapter on top of it.  Forward and backward for one image at a time; knows
 * no optimizer and no file but its own. */
#pragma once

#include "data.h"
#include "rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAYERS 3
#define ADAPTED 2	/* the hidden layers; the last one maps to ten classes and stays as it is */
#define HIDDEN 48
#define WIDEST IMAGE_PIXELS
#define RANK_MAX HIDDEN	/* a product of higher rank than the smaller side says nothing more */

struct model {
	float *values;		/* per layer: weights [in][out], then biases [out] */
	size_t count;
};

struct adapter {
	uint32_t rank;
	float alpha;
	float *values;		/* per adapted layer: A [in][rank], then B [rank][out] */
	size_t count;
};

/* What one forward pass leaves for the backward pass. */
struct pass {
	float input[LAYERS + 1][WIDEST];	/* of layer l; the last one: the logits */
	float low[ADAPTED][RANK_MAX];		/* A x */
	float chance[CLASSES];			/* softmax of the logits */
};

int model_new(struct model *ret_model, struct rng *rng);
int model_load(struct model *ret_model, const char *path);
int model_save(const struct model *model, const char *path);
uint64_t model_sum(const struct model *model);
void model_done(struct model *model);

/* B is zero, so that training begins from exactly the base's answers. */
int adapter_new(struct adapter *ret_adapter, uint32_t rank, float alpha, struct rng *rng);
int adapter_load(struct adapter *ret_adapter, const char *path, const struct model *base);
int adapter_save(const struct adapter *adapter, const char *path, const struct model *base);
void adapter_done(struct adapter *adapter);

/* Fills pass; adapter may be NULL. */
void model_forward(const struct model *model, const struct adapter *adapter, const float *image,
		   struct pass *pass);

/* The cross-entropy of the last forward pass against the right digit. */
double pass_loss(const struct pass *pass, int label);

/* Adds the gradients of that loss to model_grad or adapter_grad: laid out as
 * the values are; each may be NULL. */
void model_backward(const struct model *model, const struct adapter *adapter, struct pass *pass,
		    int label, float *model_grad, float *adapter_grad);

/* The share of the rows [first, end) that is recognised. */
double model_accuracy(const struct model *model, const struct adapter *adapter,
		      const struct data *data, uint32_t first, uint32_t end);
