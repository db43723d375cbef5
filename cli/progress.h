/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A display of jobs that are under way: on a terminal redrawn in place, else a line for each
 * change. */
#pragma once

#include "cli/cli.h"

/* Until the named jobs have ended; without names, all of the caller's that have not ended now.
 * Returns an exit code: EXIT_ENDED_OTHERWISE when one did not succeed. */
int progress_run(struct cli *cli, const char *const *ids, size_t n_ids);
