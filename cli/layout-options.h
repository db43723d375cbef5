/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options that describe a layout, for plan and apply. */
#pragma once

#include "cli/cli.h"

#define LAYOUT_OPTIONS                                                                             \
	{ "--vfs", OPTION_UINT, "N", "that many VFs; 0 removes them" },                            \
		{ "--vram", OPTION_AMOUNT, "SIZE",                                                 \
		  "VRAM of each: 4GiB, 25% of what is free, or fair" },                            \
		{ "--profile", OPTION_TEXT, "NAME", "each by this profile of the policy" },        \
		{ "--quantum", OPTION_DURATION, "T", "execution quantum of each, such as 20ms" },  \
		{ "--preempt-timeout", OPTION_DURATION, "T", "preemption timeout of each" },       \
		{ "--ggtt", OPTION_AMOUNT, "SIZE", "graphics address space of each: 1GiB, or 25%" }, \
		{ "--contexts", OPTION_UINT, "N", "GuC contexts of each" },                        \
		{ "--doorbells", OPTION_UINT, "N", "GuC doorbells of each" },                      \
		{ "--priority", OPTION_TEXT, "low|normal", "normal: scheduled also when idle" },   \
		{ "--defaults", OPTION_FLAG, NULL, "the rest from Intel's table of the device" },  \
		{ "--scheduler", OPTION_TEXT, "PRESET",                                            \
		  "time slices by the number: flexible-30fps, fixed-30fps, burstable" },           \
		{ "--slices", OPTION_TEXT, "P:2,Q:1", "VFs by profiles" },                         \
		{ "--layout", OPTION_TEXT, "NAME", "a layout of the policy" },                     \
		{ "--file", OPTION_TEXT, "F", "a layout as a JSON document" }

/* The layout that the options describe, or NULL when there are none.  Returns an exit code. */
int layout_from_options(struct cli *cli, json_t **ret);
