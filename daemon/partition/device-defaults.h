/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Intel's own tool gives each VF of a card, by device id and number of VFs; and its presets of
 * time slices.  Data and formulas; whether a card can have them is partition-check.c's business. */
#pragma once

#include "policy/layout.h"

/* One row: for so many VFs, each gets … */
struct device_share {
	unsigned vfs; /* 0 in device_defaults.total: the numbers are for all VFs together, but contexts */
	uint64_t vram_bytes;
	uint64_t vram_ecc_bytes; /* the same with ECC on, where the card has less memory */
	uint64_t contexts;
	uint64_t doorbells;
	uint64_t ggtt_bytes;
};

struct device_defaults {
	unsigned ids[4]; /* PCI device ids, 0 = no more */
	bool all_presets; /* else only burstable is for it */
	const struct device_share *shares; /* by number, ended by vfs 0; NULL: total is divided */
	struct device_share total;
};

/* NULL when the table does not have the card. */
const struct device_defaults *device_defaults_find(unsigned device_id);

/* Each VF's share of n.  False when the table has nothing for that number. */
bool device_defaults_share(const struct device_defaults *d, unsigned n, struct device_share *ret);

/* "1, 2, 4, 5, 8, 16", or "any number"; returns new. */
char *device_defaults_counts(const struct device_defaults *d);

/* {"known": is the card in the table, "counts": [1, 2, …] (null = any number, or not known), "schedulers":
 * ["burstable", …]}.  Returns new. */
json_t *device_defaults_view(unsigned device_id);

bool device_has_preset(unsigned device_id, enum scheduler_preset preset);

/* Time slice, preemption timeout and priority of each of n VFs, into what the shape leaves open. */
void scheduler_preset_fill(enum scheduler_preset preset, unsigned n, struct vf_shape *shape);
