/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's socket: JSON lines {"id", "host" | "hypervisor" | "machine"} in, {"id", "reply"} out, events to whoever
 * asked for them with {"machine": {"op": "subscribe"}}.  Carries messages; knows nothing of GPUs. */
#pragma once

#include "machine/sim-machine.h"

struct sim_server;

/* Listens on path (0600).  Takes document.  Returns 0 or a negative errno: -EADDRINUSE when somebody listens there. */
int sim_server_new(struct sd_event *event, const char *path, const char *guests_dir,
		   struct sim_document *document, struct sim_server **ret);
/* Closes the socket and ends the machine with its guests. */
struct sim_server *sim_server_free(struct sim_server *s);
DEFINE_CLEANUP(struct sim_server *, sim_server_free);
