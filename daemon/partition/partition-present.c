/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a card shows now, as a layout: where an undo leads back to. */
#include "partition/partition-inner.h"

static bool all_show_the_same(const struct gpu_facts *gpu, enum vf_attribute attribute)
{
	const struct known *first = gpu->n_vfs > 0 ? &gpu->vfs[0].values[attribute] : NULL;
	size_t i;

	for (i = 0; i < gpu->n_vfs; i++)
		if (!gpu->vfs[i].values[attribute].known ||
		    gpu->vfs[i].values[attribute].value != first->value)
			return false;
	return first != NULL;
}

/* False: the driver gave it and would give the same again. */
static bool is_ours(const struct gpu_facts *gpu, enum vf_attribute attribute)
{
	if (!gpu_can_set(gpu, attribute))
		return gpu_can_set_all(gpu, attribute) && all_show_the_same(gpu, attribute);
	return attribute >= VF_RESOURCE_MAX || !partition_is_moded(gpu) || partition_keeps_quotas(gpu);
}

struct layout *partition_present(const struct gpu_facts *gpu)
{
	struct layout *l = layout_new(NULL, gpu->n_vfs);
	size_t i, a;

	for (a = 0; l && a < VF_ATTRIBUTE_MAX; a++) {
		if (!is_ours(gpu, (enum vf_attribute)a))
			continue;
		for (i = 0; i < gpu->n_vfs; i++) {
			const struct known *value = &gpu->vfs[i].values[a];

			if (value->known && (value->value > 0 || a >= VF_RESOURCE_MAX))
				l->vfs[i].shape.wanted[a] = amount_of(value->value);
		}
	}
	return l;
}
