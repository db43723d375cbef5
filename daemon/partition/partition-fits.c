/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many VFs of a shape a card has free, and how many it could have.  Two numbers, because the count
 * cannot grow while VFs are used. */
#include "partition/partition-inner.h"

/* A hard resource may be larger than wanted, a time slice not: it is another one.  A share moves with what
 * the PF uses, as in partition_matches(). */
static bool satisfies(enum vf_attribute attribute, uint64_t is, const struct partition_want *want)
{
	if (attribute < VF_RESOURCE_MAX)
		return is >= want->value.value - (want->share ? want->value.value / PARTITION_SHARE_TOLERANCE : 0);
	return is == want->value.value;
}

/* 1 = yes, 0 = no, -1 = nobody can tell. */
static int vf_satisfies(const struct vf_facts *vf, const struct vf_shape *shape,
			const struct partition_vf *wanted)
{
	int verdict = 1;
	size_t a;

	for (a = 0; a < VF_ATTRIBUTE_MAX; a++) {
		const struct known *is = &vf->values[a];

		if (shape->wanted[a].kind == AMOUNT_PERCENT && !wanted->want[a].value.known)
			verdict = -1; /* a share of an unknown amount */
		if (!wanted->want[a].value.known)
			continue;
		if (!is->known)
			verdict = -1;
		else if (!satisfies((enum vf_attribute)a, is->value, &wanted->want[a]))
			return 0;
	}
	return verdict;
}

static struct known count_free(const struct gpu_facts *gpu, const struct layout *one,
			       const bool *vf_is_free)
{
	_cleanup_(partition_wants_done) struct partition_wants w = { 0 };
	struct known n = { true, 0 };
	size_t i;
	int verdict;

	if (partition_number(gpu, one, &w, NULL) < 0)
		return (struct known){ 0 };
	for (i = 0; i < gpu->n_vfs; i++) {
		if (!vf_is_free[i])
			continue;
		verdict = vf_satisfies(&gpu->vfs[i], &one->vfs[0].shape, &w.vfs[0]);
		if (verdict < 0)
			return (struct known){ 0 };
		n.value += (uint64_t)verdict;
	}
	return n;
}

/* A quota that can be set, of something whose amount nothing tells. */
static bool is_unknowable(const struct gpu_facts *gpu, const struct vf_shape *shape)
{
	size_t a;

	for (a = 0; a < VF_RESOURCE_MAX; a++)
		if ((shape->wanted[a].kind == AMOUNT_BYTES || shape->wanted[a].kind == AMOUNT_PERCENT) &&
		    gpu_can_set_all(gpu, (enum vf_attribute)a) &&
		    !partition_capacity(gpu, (enum vf_attribute)a).known)
			return true;
	return false;
}

static bool could_be_cut(const struct gpu_facts *gpu, const struct layout *layout)
{
	_cleanup_(partition_wants_done) struct partition_wants w = { 0 };
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };

	return partition_check(gpu, layout, &w, &error) == 0;
}

/* More than that cannot be, by sums alone: so that the search below is short. */
static size_t upper_bound(const struct gpu_facts *gpu, const struct partition_vf *wanted)
{
	size_t bound = gpu->total_vfs, a;

	for (a = 0; a < VF_RESOURCE_MAX; a++) {
		struct known stock = partition_stock(gpu, (enum vf_attribute)a);
		const struct known *want = &wanted->want[a].value;

		if (stock.known && want->known && want->value > 0)
			bound = MIN_OF(bound, (size_t)MIN_OF(stock.value / want->value, (uint64_t)SIZE_MAX));
	}
	return bound;
}

/* The largest number that passes: not every smaller one has to (tiles). */
static struct known count_possible(const struct gpu_facts *gpu, const struct layout *one)
{
	_cleanup_(partition_wants_done) struct partition_wants w = { 0 };
	_cleanup_(layout_freep) struct layout *l = NULL;
	size_t i;

	if (is_unknowable(gpu, &one->vfs[0].shape) || partition_number(gpu, one, &w, NULL) < 0)
		return (struct known){ 0 };
	l = layout_new(NULL, upper_bound(gpu, &w.vfs[0]));
	if (!l)
		return (struct known){ 0 };
	for (i = 0; i < l->n_vfs; i++)
		l->vfs[i].shape = one->vfs[0].shape;
	while (l->n_vfs > 0 && !could_be_cut(gpu, l))
		l->n_vfs--;
	return (struct known){ true, l->n_vfs };
}

struct partition_fits partition_fits(const struct gpu_facts *gpu, const struct vf_shape *shape,
				     const bool *vf_is_free)
{
	_cleanup_(layout_freep) struct layout *one = layout_new(NULL, 1);
	struct partition_fits fits = { 0 };

	if (!one)
		return fits;
	one->vfs[0].shape = *shape;
	fits.free_now = count_free(gpu, one, vf_is_free);
	fits.after_recut = count_possible(gpu, one);
	return fits;
}
