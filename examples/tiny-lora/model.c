/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See model.h. */
#include "model.h"

#include "blob.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BASE_MAGIC "TLBASE01"
#define ADAPTER_MAGIC "TLLORA01"

static const uint32_t sizes[LAYERS + 1] = { IMAGE_PIXELS, HIDDEN, HIDDEN, CLASSES };

/* ---- Layout ---------------------------------------------------------------- */

static size_t layer_offset(int layer)
{
	size_t offset = 0;

	for (int l = 0; l < layer; l++)
		offset += (size_t)sizes[l] * sizes[l + 1] + sizes[l + 1];
	return offset;
}

static size_t adapter_offset(int layer, uint32_t rank)
{
	size_t offset = 0;

	for (int l = 0; l < layer; l++)
		offset += (size_t)rank * (sizes[l] + sizes[l + 1]);
	return offset;
}

/* ---- Weights and their file ------------------------------------------------- */

static int model_alloc(struct model *model)
{
	model->count = layer_offset(LAYERS);
	model->values = calloc(model->count, sizeof(float));
	return model->values ? 0 : -ENOMEM;
}

/* Uniform with the variance 2/in that keeps a ReLU network's signal level. */
int model_new(struct model *ret_model, struct rng *rng)
{
	struct model model;

	if (model_alloc(&model) < 0)
		return -ENOMEM;
	for (int l = 0; l < LAYERS; l++) {
		float *weights = model.values + layer_offset(l);
		float limit = sqrtf(6.0f / (float)sizes[l]);

		for (size_t i = 0; i < (size_t)sizes[l] * sizes[l + 1]; i++)
			weights[i] = rng_symmetric(rng, limit);
	}
	*ret_model = model;
	return 0;
}

void model_done(struct model *model)
{
	free(model->values);
	*model = (struct model){ 0 };
}

uint64_t model_sum(const struct model *model)
{
	return checksum(model->values, model->count * sizeof(float));
}

static bool all_finite(const float *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!isfinite(values[i]))
			return false;
	return true;
}

int model_load(struct model *ret_model, const char *path)
{
	struct model model = { 0 };
	struct blob blob;
	int r;

	r = blob_load(&blob, path, BASE_MAGIC, "base");
	if (r < 0)
		return r;
	for (int l = 0; l <= LAYERS && r == 0; l++) {
		uint32_t size = blob_get_u32(&blob);

		if (size != sizes[l])
			r = refuse("%s: layer %d of the base has %u units, this program's has %u",
				   path, l, size, sizes[l]);
	}
	if (r == 0)
		r = model_alloc(&model);
	if (r == 0) {
		blob_get_floats(&blob, model.values, model.count);
		r = blob_finish(&blob, path);
	}
	if (r == 0 && !all_finite(model.values, model.count))
		r = refuse("%s: the base has a weight that is no number", path);
	blob_done(&blob);
	if (r < 0) {
		model_done(&model);
		return r;
	}
	*ret_model = model;
	return 0;
}

int model_save(const struct model *model, const char *path)
{
	struct blob blob;
	int r;

	blob_init(&blob, BASE_MAGIC);
	for (int l = 0; l <= LAYERS; l++)
		blob_put_u32(&blob, sizes[l]);
	blob_put_floats(&blob, model->values, model->count);
	r = blob_save(&blob, path);
	blob_done(&blob);
	return r;
}

/* ---- The adapter and its file ------------------------------------------------ */

static int adapter_alloc(struct adapter *adapter, uint32_t rank, float alpha)
{
	adapter->rank = rank;
	adapter->alpha = alpha;
	adapter->count = adapter_offset(ADAPTED, rank);
	adapter->values = calloc(adapter->count, sizeof(float));
	return adapter->values ? 0 : -ENOMEM;
}

int adapter_new(struct adapter *ret_adapter, uint32_t rank, float alpha, struct rng *rng)
{
	struct adapter adapter;

	if (adapter_alloc(&adapter, rank, alpha) < 0)
		return -ENOMEM;
	for (int l = 0; l < ADAPTED; l++) {
		float *a = adapter.values + adapter_offset(l, rank);
		float limit = sqrtf(3.0f / (float)sizes[l]);

		for (size_t i = 0; i < (size_t)rank * sizes[l]; i++)
			a[i] = rng_symmetric(rng, limit);
	}
	*ret_adapter = adapter;
	return 0;
}

void adapter_done(struct adapter *adapter)
{
	free(adapter->values);
	*adapter = (struct adapter){ 0 };
}

int adapter_load(struct adapter *ret_adapter, const char *path, const struct model *base)
{
	struct adapter adapter = { 0 };
	struct blob blob;
	uint32_t rank;
	float alpha;
	int r = 0;

	r = blob_load(&blob, path, ADAPTER_MAGIC, "adapter");
	if (r < 0)
		return r;
	if (blob_get_u64(&blob) != model_sum(base))
		r = refuse("%s: the adapter was trained on another base", path);
	rank = blob_get_u32(&blob);
	blob_get_floats(&blob, &alpha, 1);
	if (r == 0 && (blob.error < 0 || rank < 1 || rank > RANK_MAX || !isfinite(alpha)))
		r = refuse("%s: the adapter has rank %u (1 to %d)", path, rank, RANK_MAX);
	if (r == 0)
		r = adapter_alloc(&adapter, rank, alpha);
	if (r == 0) {
		blob_get_floats(&blob, adapter.values, adapter.count);
		r = blob_finish(&blob, path);
	}
	blob_done(&blob);
	if (r < 0) {
		adapter_done(&adapter);
		return r;
	}
	*ret_adapter = adapter;
	return 0;
}

int adapter_save(const struct adapter *adapter, const char *path, const struct model *base)
{
	struct blob blob;
	int r;

	blob_init(&blob, ADAPTER_MAGIC);
	blob_put_u64(&blob, model_sum(base));
	blob_put_u32(&blob, adapter->rank);
	blob_put_floats(&blob, &adapter->alpha, 1);
	blob_put_floats(&blob, adapter->values, adapter->count);
	r = blob_save(&blob, path);
	blob_done(&blob);
	return r;
}

/* ---- Forward ------------------------------------------------------------------ */

/* Matrices lie as [in][out].  The order of every sum is fixed here, vectors
 * included, so that optimisation changes no bit; zeros (paper, ReLU) cost
 * nothing, which counts where the processor itself is emulated. */

/* Four floats at any address of floats. */
typedef float lanes __attribute__((vector_size(16), aligned(4), may_alias));

/* y[count] += factor * x[count] */
static void add_scaled(float *y, const float *x, float factor, uint32_t count)
{
	uint32_t i = 0;

	for (; i + 4 <= count; i += 4)
		*(lanes *)(y + i) += *(const lanes *)(x + i) * factor;
	for (; i < count; i++)
		y[i] += x[i] * factor;
}

static float dot(const float *a, const float *b, uint32_t count)
{
	lanes sum = { 0 };
	float rest = 0.0f;
	uint32_t i = 0;

	for (; i + 4 <= count; i += 4)
		sum += *(const lanes *)(a + i) * *(const lanes *)(b + i);
	for (; i < count; i++)
		rest += a[i] * b[i];
	return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
}

/* y[out] += scale * M^T x[in] */
static void add_product(float *y, const float *m, const float *x, uint32_t in, uint32_t out,
			float scale)
{
	for (uint32_t j = 0; j < in; j++)
		if (x[j] != 0.0f)
			add_scaled(y, m + (size_t)j * out, scale * x[j], out);
}

static void softmax(const float *logits, float *ret_chance)
{
	double e[CLASSES], total = 0.0;
	float top = logits[0];

	for (int c = 1; c < CLASSES; c++)
		top = logits[c] > top ? logits[c] : top;
	for (int c = 0; c < CLASSES; c++)
		total += e[c] = exact_exp((double)logits[c] - (double)top);
	for (int c = 0; c < CLASSES; c++)
		ret_chance[c] = (float)(e[c] / total);
}

void model_forward(const struct model *model, const struct adapter *adapter, const float *image,
		   struct pass *pass)
{
	memcpy(pass->input[0], image, IMAGE_PIXELS * sizeof(float));
	for (int l = 0; l < LAYERS; l++) {
		const float *weights = model->values + layer_offset(l);
		uint32_t in = sizes[l], out = sizes[l + 1];
		float *x = pass->input[l], *y = pass->input[l + 1];

		memcpy(y, weights + (size_t)in * out, out * sizeof(float));
		add_product(y, weights, x, in, out, 1.0f);
		if (adapter && l < ADAPTED) {
			uint32_t rank = adapter->rank;
			const float *a = adapter->values + adapter_offset(l, rank);

			memset(pass->low[l], 0, rank * sizeof(float));
			add_product(pass->low[l], a, x, in, rank, 1.0f);
			add_product(y, a + (size_t)rank * in, pass->low[l], rank, out,
				    adapter->alpha / (float)rank);
		}
		for (uint32_t i = 0; l < LAYERS - 1 && i < out; i++)
			y[i] = y[i] > 0.0f ? y[i] : 0.0f;
	}
	softmax(pass->input[LAYERS], pass->chance);
}

double pass_loss(const struct pass *pass, int label)
{
	double chance = (double)pass->chance[label];

	return -exact_log(chance > 1e-30 ? chance : 1e-30);
}

/* ---- Backward ----------------------------------------------------------------- */

/* x[in] += scale * M y[out] */
static void add_transposed(float *x, const float *m, const float *y, uint32_t in, uint32_t out,
			   float scale)
{
	for (uint32_t j = 0; j < in; j++)
		x[j] += scale * dot(m + (size_t)j * out, y, out);
}

/* G[in][out] += scale * x[in] y[out]^T */
static void add_outer(float *g, const float *x, const float *y, uint32_t in, uint32_t out,
		      float scale)
{
	for (uint32_t j = 0; j < in; j++)
		if (x[j] != 0.0f)
			add_scaled(g + (size_t)j * out, y, scale * x[j], out);
}

/* With h = A x and y = W x + b + s B h: dB = s dy h^T, dh = s B^T dy,
 * dA = dh x^T, and A^T dh is the adapter's part of dx. */
static void adapter_backward(const struct adapter *adapter, int layer, const struct pass *pass,
			     const float *dy, float *dx, float *grad)
{
	uint32_t rank = adapter->rank, in = sizes[layer], out = sizes[layer + 1];
	size_t offset = adapter_offset(layer, rank);
	const float *a = adapter->values + offset;
	float scale = adapter->alpha / (float)rank;
	float dh[RANK_MAX] = { 0 };

	add_transposed(dh, a + (size_t)rank * in, dy, rank, out, scale);
	if (grad) {
		add_outer(grad + offset + (size_t)rank * in, pass->low[layer], dy, rank, out,
			  scale);
		add_outer(grad + offset, pass->input[layer], dh, in, rank, 1.0f);
	}
	if (dx)
		add_transposed(dx, a, dh, in, rank, 1.0f);
}

void model_backward(const struct model *model, const struct adapter *adapter, struct pass *pass,
		    int label, float *model_grad, float *adapter_grad)
{
	float buffers[2][WIDEST] = { { 0 } };
	float *dy = buffers[0], *dx = buffers[1];

	memcpy(dy, pass->chance, sizeof(pass->chance));
	dy[label] -= 1.0f;
	for (int l = LAYERS - 1; l >= 0; l--) {
		const float *weights = model->values + layer_offset(l);
		uint32_t in = sizes[l], out = sizes[l + 1];
		float *swap;

		if (model_grad) {
			float *grad = model_grad + layer_offset(l);

			add_outer(grad, pass->input[l], dy, in, out, 1.0f);
			for (uint32_t i = 0; i < out; i++)
				grad[(size_t)in * out + i] += dy[i];
		}
		memset(dx, 0, in * sizeof(float));
		if (l > 0)
			add_transposed(dx, weights, dy, in, out, 1.0f);
		if (adapter && l < ADAPTED)
			adapter_backward(adapter, l, pass, dy, l > 0 ? dx : NULL, adapter_grad);
		for (uint32_t i = 0; l > 0 && i < in; i++)	/* ReLU let nothing else through */
			if (pass->input[l][i] <= 0.0f)
				dx[i] = 0.0f;
		swap = dy;
		dy = dx;
		dx = swap;
	}
}

double model_accuracy(const struct model *model, const struct adapter *adapter,
		      const struct data *data, uint32_t first, uint32_t end)
{
	uint32_t right = 0;
	struct pass pass;

	for (uint32_t row = first; row < end; row++) {
		int best = 0;

		model_forward(model, adapter, data->images[row], &pass);
		for (int c = 1; c < CLASSES; c++)
			if (pass.chance[c] > pass.chance[best])
				best = c;
		right += best == data->labels[row];
	}
	return end > first ? (double)right / (double)(end - first) : 0.0;
}
