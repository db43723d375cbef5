/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cards and layouts in a few words, for the tests of plans; each check ends the test when it fails. */
#pragma once

#include "partition/partition.h"

#define VFS_MAX 8

/* A Flex 170 on xe with 15.5 GiB for VFs; VFs are filled in by with_vfs(). */
struct card {
	struct gpu_facts facts;
	struct vf_facts vfs[VFS_MAX];
};

void card_init(struct card *c);
/* n VFs are up and have that much VRAM each (0: it shows none). */
void card_cut(struct card *c, unsigned n, uint64_t vram);
void card_generic(struct card *c);
/* A card under the out-of-tree i915: sets everything by hand, or nothing. */
void card_i915(struct card *c);

extern const struct amount none, fair;
struct amount bytes(uint64_t n);
struct amount percent(uint64_t n);

/* All VFs alike; -1 = not asked for.  Returns new. */
struct layout *layout_of(size_t n, struct amount vram, int64_t quantum, int64_t timeout);
struct layout *wants(size_t n, enum vf_attribute attribute, struct amount amount);

/* Takes the layout; returns new. */
struct partition_plan *plan_of(const struct card *c, struct layout *l);
/* wanted has a line for each step. */
void assert_steps(const struct partition_plan *p, const char *wanted);
void assert_note(const struct partition_plan *p, const char *wanted);
/* Takes the layout.  hint may be NULL. */
void assert_refused(const struct card *c, struct layout *l, enum rpc_code code, const char *reason,
		    const char *message, const char *hint);
