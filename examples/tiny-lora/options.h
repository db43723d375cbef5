/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of tiny-lora. */
#pragma once

#include <stdint.h>

struct options {
	const char *base;
	const char *data;
	const char *out;
	const char *adapter;
	uint64_t steps, batch, rank, seed;
	double alpha, rate, decay;
};

/* Fills ret_options from the arguments behind the command's name; every
 * refusal names the option.  Which options a command needs is the caller's
 * business: a path that was not given is NULL. */
int options_parse(struct options *ret_options, int argc, char **argv);
