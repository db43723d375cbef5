/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of partition/ share. */
#pragma once

#include "partition/partition.h"

/* Count and VRAM only: what can be changed through 0 alone.  *ret_why is new, or NULL when it
 * matches. */
bool partition_shape_matches(const struct gpu_facts *gpu, const struct layout *layout,
			     char **ret_why);

/* Can this card give what the layout asks for?  Returns 0, or -ECANCELED with error set. */
int partition_check(const struct gpu_facts *gpu, const struct layout *layout,
		    struct rpc_error *error);
