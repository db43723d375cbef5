/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The made-up machine as the daemon sees it: the same host and hypervisor operations, answered over
 * STATE_DIR/machine.sock by gpuvf-machine. */
#pragma once

#include "host/host-ops.h"
#include "hypervisor/hypervisor-ops.h"

struct machine;

/* Connects to the machine that listens on socket_path; if none does and document is not NULL, starts
 * `program` (gpuvf-machine) with that simulation document, detached from us, and waits until it listens
 * (deadline 5 s).  allow_debugfs: requests over this connection may steer a GPU through debugfs.  Returns 0 or a negative errno; *ret_message (may be set on failure, new) says why. */
int machine_connect(struct sd_event *event, const char *program, const char *socket_path,
		    const char *document, bool allow_debugfs, struct machine **ret, char **ret_message);

/* Borrowed from the machine; freed with it. */
struct host *machine_host(struct machine *m);
struct hypervisor *machine_hypervisor(struct machine *m);

struct machine *machine_free(struct machine *m); /* disconnects; the machine lives on */
DEFINE_CLEANUP(struct machine *, machine_free);
