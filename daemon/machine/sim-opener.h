/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes of the host that have a VF open and are no VM: real ones, so that their pid, start time and end are what
 * they are on a host.  Told to come and go by sim-control-host.c; know nothing of what the daemon makes of them. */
#pragma once

#include "machine/sim-machine-internal.h"

#define SIM_OPENER_COMMAND "media-server"

/* A process opens the VF's render node.  Returns its pid, or a negative errno. */
int sim_opener_start(struct sim_machine *m, struct sim_vf *vf);
/* It closes the node; ends: and is gone.  False: none has it open. */
bool sim_opener_close(struct sim_machine *m, struct sim_vf *vf, bool ends);
void sim_openers_free(struct sim_machine *m);
