/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Intel GPUs by PCI device id: a name people know, the memory of the card and what its driver needs.
 * Data only.  Whether a card can be cut is what the kernel says, never what stands here: on
 * integrated GPUs even a VF has the id of its PF. */
#pragma once

#include "lib/macros.h"

struct gpu_model {
	unsigned first_id; /* PCI device ids, both included */
	unsigned last_id;
	const char *name;
	uint64_t vram_bytes;	/* as the card is sold; 0 = unknown, or it has none of its own */
	uint64_t vf_vram_bytes; /* what Intel's own tool shares out among VFs; 0 = not listed */
	unsigned max_vfs;	/* seen or listed; the kernel's sriov_totalvfs decides */
	const char *drivers;	/* what cuts it, for messages; NULL = nothing that we know */
	bool integrated;
	unsigned tiles; /* 0 = one */
};

/* NULL when the id is not listed. */
const struct gpu_model *gpu_model_find(unsigned device_id);

/* The first row of that name, as policies and simulation documents write it; NULL = none. */
const struct gpu_model *gpu_model_find_name(const char *name);

/* The whole table, ended by a row without name. */
extern const struct gpu_model gpu_models[];
