/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A card as far as plans need one: obeys the reference's rules about quotas, modes and tiles, and shows
 * itself as facts.  Pure memory. */
#pragma once

#include "host/host-ops.h"

#define MODEL_VFS_MAX 64
#define MODEL_TILES_MAX 2

struct model_card {
	struct gpu_facts facts; /* model_card_show() brings it up to date */
	struct vf_facts shown[MODEL_VFS_MAX];
	uint64_t stock[VF_RESOURCE_MAX]; /* over all tiles */
	bool tells[VF_RESOURCE_MAX];	 /* shows what is free */
	bool custom;			 /* shown by i915; on xe it shows by what stands only */
	/* of each VF, also of those that are off: quotas by tile */
	uint64_t quota[MODEL_VFS_MAX][VF_RESOURCE_MAX][MODEL_TILES_MAX];
	uint64_t tune[MODEL_VFS_MAX][VF_ATTRIBUTE_MAX];
};

/* Brings facts up to date; returns them. */
struct gpu_facts *model_card_show(struct model_card *c);
/* Does what the kernel would; returns 0 or a negative errno, and the value read back. */
int model_card_do(struct model_card *c, const struct host_request *request, struct known *ret);
/* Quotas on VFs that are off. */
bool model_card_has_leftovers(const struct model_card *c);
