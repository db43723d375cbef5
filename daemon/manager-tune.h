/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vf.tune's check (manager-tune.c) and its doing (manager-tune-run.c) share. */
#pragma once

#include "manager-state.h"

/* The values that there are, by their members in parameters, rows and answers. */
struct tunable {
	enum vf_attribute attribute;
	const char *member;
	const char *option; /* of gpuvf tune, for hints */
};

#define TUNABLES 3
extern const struct tunable tunables[TUNABLES];

json_t *tune_values_json(const struct known *values); /* by enum vf_attribute; returns new */
/* What stands in the way of any change at this moment; vf 0 = of all VFs. */
int tune_check_gpu(const struct gpu *gpu, unsigned vf, struct rpc_error *error);
