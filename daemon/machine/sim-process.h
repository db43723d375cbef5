/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ends everything that a made-up guest started.  Called by the guest's own process only, which is the subreaper
 * of all of it: what is found below it is surely its own. */
#pragma once

#include <sys/types.h>

/* SIGKILL to all descendants of the calling process and waits for them; also for those that are forked meanwhile. */
void sim_process_kill_descendants(void);
