/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a card shows now, as a layout: where an undo leads back to. */
#include "partition/partition.h"

struct layout *partition_present(const struct gpu_facts *gpu)
{
	_cleanup_(layout_freep) struct layout *layout = calloc(1, sizeof(*layout));
	size_t i;

	if (!layout)
		return NULL;
	layout->vfs = calloc(gpu->n_vfs + 1, sizeof(*layout->vfs));
	if (!layout->vfs)
		return NULL;
	layout->n_vfs = gpu->n_vfs;
	for (i = 0; i < gpu->n_vfs; i++) {
		const struct known *values = gpu->vfs[i].values;

		if (gpu_can_set(gpu, VF_ATTR_VRAM) && values[VF_ATTR_VRAM].known &&
		    values[VF_ATTR_VRAM].value)
			layout->vfs[i].vram =
				(struct amount){ AMOUNT_BYTES, values[VF_ATTR_VRAM].value };
		if (gpu_can_set(gpu, VF_ATTR_EXEC_QUANTUM)) {
			layout->vfs[i].exec_quantum_ms = values[VF_ATTR_EXEC_QUANTUM];
			layout->vfs[i].preempt_timeout_us = values[VF_ATTR_PREEMPT_TIMEOUT];
		}
	}
	return TAKE_PTR(layout);
}
