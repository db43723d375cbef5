/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of partition/ share. */
#pragma once

#include "partition/partition.h"

#define GPU_NAME_SIZE 128
/* "Flex 170 at 0000:03:00.0"; returns buf. */
const char *partition_gpu_name(const struct gpu_facts *gpu, char buf[static GPU_NAME_SIZE]);

/* ---- partition-want.c: a layout in numbers ---- */

/* A share counts as met within this part of itself: what it is a share of moves with what the PF uses. */
#define PARTITION_SHARE_TOLERANCE 32

struct partition_want {
	struct known value; /* not known: left to the driver */
	bool share;	    /* it was a share: compared loosely */
	bool computed;	    /* nobody asked: it completes what somebody asked for */
};

struct partition_vf {
	struct partition_want want[VF_ATTRIBUTE_MAX];
	unsigned tile; /* as in struct host_request: 0 = spread over all, else k = tile k−1 */
};

/* A layout on one card. */
struct partition_wants {
	struct partition_vf *vfs;
	size_t n_vfs;
	char **notes;
	size_t n_notes;
};

void partition_wants_done(struct partition_wants *w);
/* Takes text; NULL = -ENOMEM. */
int partition_note(char ***notes, size_t *n_notes, char *text);

/* The layout with what it takes from the table of the device filled in; without an error it is lenient:
 * what cannot be had stays open.  Returns 0, -ENOMEM, or -ECANCELED with the error set. */
int partition_expand(const struct gpu_facts *gpu, const struct layout *layout, struct layout **ret,
		     struct partition_wants *notes, struct rpc_error *error);

/* Numbers of an expanded layout, in whole grains: a size is rounded up, a share down.  Lenient without an
 * error.  Returns as above. */
int partition_number(const struct gpu_facts *gpu, const struct layout *expanded,
		     struct partition_wants *ret, struct rpc_error *error);

/* Ways whose driver shares nothing once one quota is set: hard resources that nobody asked for are
 * computed.  Returns as above; error must be given. */
int partition_complete(const struct gpu_facts *gpu, struct partition_wants *w, struct rpc_error *error);

/* True where quotas end automatic sharing of all hard resources, also for the next layout. */
bool partition_is_moded(const struct gpu_facts *gpu);
/* True when quotas may stay once the VFs are off: also where only those that stay tell the mode. */
bool partition_keeps_quotas(const struct gpu_facts *gpu);
/* Quotas of a hard resource come in multiples of this. */
uint64_t partition_grain(const struct gpu_facts *gpu, enum vf_attribute attribute);
/* As partition_capacity(); contexts and doorbells have at most what GuC has. */
struct known partition_stock(const struct gpu_facts *gpu, enum vf_attribute attribute);
/* Tiles that hold VFs by turns when there are n of them: 1 = each is spread over all. */
unsigned partition_places(const struct gpu_facts *gpu, size_t n_vfs);
/* Of a number over all tiles, what the VFs of one place share. */
struct known partition_place_stock(const struct gpu_facts *gpu, enum vf_attribute attribute, size_t n_vfs,
				   struct known of_all);
/* "3.0GiB", "1024". */
const char *partition_amount(enum vf_attribute attribute, uint64_t value, char *buf, size_t size);

/* ---- partition-check.c ---- */

/* Can this card give what the layout asks for?  Returns 0 with the numbers, or -ECANCELED with error
 * set. */
int partition_check(const struct gpu_facts *gpu, const struct layout *layout,
		    struct partition_wants *ret, struct rpc_error *error);

/* ---- partition.c ---- */

/* Count and hard resources only: what can be changed through 0 alone.  *ret_why is new, or NULL when it
 * matches. */
bool partition_shape_matches(const struct gpu_facts *gpu, const struct layout *layout,
			     char **ret_why);

/* ---- partition-plan.c ---- */

/* Takes text. */
int partition_add_step(struct partition_plan *p, struct partition_step step, char *text);
int partition_add_autoprobe(struct partition_plan *p, const struct gpu_facts *gpu, bool value);
int partition_add_numvfs(struct partition_plan *p, const struct gpu_facts *gpu, unsigned now,
			 unsigned value);
int partition_add_restore(struct partition_plan *p, const struct gpu_facts *gpu, bool optional);
int partition_add_quota(struct partition_plan *p, const struct gpu_facts *gpu, unsigned vf,
			unsigned tile, enum vf_attribute attribute, struct known before,
			uint64_t value);
/* The steps that make the layout, behind those that are there. Returns 0 or -ENOMEM. */
int partition_fill_plan(struct partition_plan *p, const struct gpu_facts *gpu,
			const struct layout *layout, const struct partition_wants *w);
int partition_set_hash(struct partition_plan *p, const struct gpu_facts *gpu,
		       const struct layout *layout);
