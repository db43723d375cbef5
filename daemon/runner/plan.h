/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The texts that go into the guest before a start: plan, command, list of files.  Checks everything
 * that becomes part of a path or of a shell's text.  Pure. */
#pragma once

#include "runner/runner.h"

/* 0, or -EINVAL with new *ret_message. */
int plan_check(const struct runner_options *options, char **ret_message);

/* Each returns new, NULL when memory is out.  Secrets of env are in plan_command() only. */
char *plan_variables(const struct runner_options *options, const char *checkpoint);
/* device: GPUVF_DEVICE, NULL = none. */
char *plan_command(const struct runner_options *options, const char *device);
/* "NUMBER MODE TARGET" lines. */
char *plan_files(const struct runner_options *options);

/* In single quotes, whatever it holds.  Returns new. */
char *plan_quote(const char *text);
