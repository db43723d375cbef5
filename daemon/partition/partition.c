/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a layout means on one card, and whether the card shows it already. */
#include "partition/partition-inner.h"

#include <stdio.h>

/* Quotas come back rounded up to tiles × grain; no card has more than four tiles. */
#define VRAM_SLACK (4 * PARTITION_VRAM_GRAIN)

struct known partition_capacity(const struct gpu_facts *gpu)
{
	struct known capacity = gpu->resources[VF_ATTR_VRAM].free;
	size_t i;

	for (i = 0; i < gpu->n_vfs && capacity.known; i++)
		if (gpu->vfs[i].values[VF_ATTR_VRAM].known)
			capacity.value += gpu->vfs[i].values[VF_ATTR_VRAM].value;
	return capacity;
}

uint64_t partition_vram(const struct gpu_facts *gpu, const struct layout_vf *vf)
{
	unsigned __int128 share;
	struct known capacity;

	switch (vf->vram.kind) {
	case AMOUNT_BYTES:
		return (vf->vram.value + PARTITION_VRAM_GRAIN - 1) / PARTITION_VRAM_GRAIN *
		       PARTITION_VRAM_GRAIN;
	case AMOUNT_PERCENT:
		capacity = partition_capacity(gpu);
		if (!capacity.known)
			return 0;
		share = (unsigned __int128)capacity.value * vf->vram.value / 10000;
		return (uint64_t)(share / PARTITION_VRAM_GRAIN * PARTITION_VRAM_GRAIN);
	case AMOUNT_UNSET:
	case AMOUNT_FAIR:
	case _AMOUNT_MAX:
		break;
	}
	return 0;
}

static bool vram_is_as_wanted(const struct gpu_facts *gpu, const struct vf_facts *is,
			      const struct layout_vf *wanted)
{
	uint64_t bytes = partition_vram(gpu, wanted);

	return bytes == 0 || (is->values[VF_ATTR_VRAM].known && is->values[VF_ATTR_VRAM].value >= bytes &&
			      is->values[VF_ATTR_VRAM].value - bytes < VRAM_SLACK);
}

static char *vram_difference(const struct gpu_facts *gpu, const struct vf_facts *is,
			     const struct layout_vf *wanted)
{
	char is_text[32], wanted_text[32];

	size_format(partition_vram(gpu, wanted), wanted_text, sizeof(wanted_text));
	if (!is->values[VF_ATTR_VRAM].known)
		return xasprintf("vf%u shows no VRAM quota, wanted is %s", is->index, wanted_text);
	size_format(is->values[VF_ATTR_VRAM].value, is_text, sizeof(is_text));
	return xasprintf("vf%u has %s of VRAM, wanted is %s", is->index, is_text, wanted_text);
}

static bool is_as_wanted(struct known is, struct known wanted)
{
	return !wanted.known || (is.known && is.value == wanted.value);
}

static char *number_difference(unsigned vf, const char *attribute, struct known is,
			       struct known wanted)
{
	if (!is.known)
		return xasprintf("vf%u shows no %s, wanted is %llu", vf, attribute,
				 (unsigned long long)wanted.value);
	return xasprintf("vf%u has %s %llu, wanted is %llu", vf, attribute,
			 (unsigned long long)is.value, (unsigned long long)wanted.value);
}

/* "fair" means that nobody has more than the others. */
static bool is_fair(const struct gpu_facts *gpu)
{
	uint64_t least = UINT64_MAX, most = 0;
	size_t i;

	for (i = 0; i < gpu->n_vfs; i++) {
		if (!gpu->vfs[i].values[VF_ATTR_VRAM].known)
			return true;
		least = MIN_OF(least, gpu->vfs[i].values[VF_ATTR_VRAM].value);
		most = MAX_OF(most, gpu->vfs[i].values[VF_ATTR_VRAM].value);
	}
	return gpu->n_vfs == 0 || most - least < VRAM_SLACK;
}

bool partition_shape_matches(const struct gpu_facts *gpu, const struct layout *layout,
			     char **ret_why)
{
	size_t i;

	if (gpu->num_vfs != layout->n_vfs || gpu->n_vfs != layout->n_vfs) {
		*ret_why = xasprintf("%u VFs, wanted are %zu", gpu->num_vfs, layout->n_vfs);
		return false;
	}
	for (i = 0; i < layout->n_vfs; i++) {
		const struct layout_vf *wanted = &layout->vfs[i];

		if (wanted->vram.kind == AMOUNT_FAIR && !is_fair(gpu)) {
			*ret_why = xasprintf("the VFs have unequal VRAM, wanted is a fair share");
			return false;
		}
		if (!vram_is_as_wanted(gpu, &gpu->vfs[i], wanted)) {
			*ret_why = vram_difference(gpu, &gpu->vfs[i], wanted);
			return false;
		}
	}
	return true;
}

static bool schedule_matches(const struct vf_facts *is, const struct layout_vf *wanted,
			     char **ret_why)
{
	if (!is_as_wanted(is->values[VF_ATTR_EXEC_QUANTUM], wanted->exec_quantum_ms)) {
		*ret_why = number_difference(is->index, "exec_quantum_ms", is->values[VF_ATTR_EXEC_QUANTUM],
					     wanted->exec_quantum_ms);
		return false;
	}
	if (!is_as_wanted(is->values[VF_ATTR_PREEMPT_TIMEOUT], wanted->preempt_timeout_us)) {
		*ret_why = number_difference(is->index, "preempt_timeout_us",
					     is->values[VF_ATTR_PREEMPT_TIMEOUT], wanted->preempt_timeout_us);
		return false;
	}
	return true;
}

bool partition_matches(const struct gpu_facts *gpu, const struct layout *layout, char **ret_why)
{
	_cleanup_free_ char *why = NULL;
	bool match = partition_shape_matches(gpu, layout, &why);
	size_t i;

	for (i = 0; i < layout->n_vfs && match; i++)
		match = schedule_matches(&gpu->vfs[i], &layout->vfs[i], &why);
	if (!match && ret_why)
		*ret_why = TAKE_PTR(why);
	return match;
}
