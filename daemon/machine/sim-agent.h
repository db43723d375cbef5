/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest agent of one made-up VM: commands of qemu-ga with its rules and its words.  Files are real files below
 * the guest's root, processes are real processes of whoever runs the machine.  Lives in the guest's own process
 * (sim-guest.c); unit tests call it directly.  Knows no socket and no VM. */
#pragma once

#include <poll.h>
#include "lib/json.h"

struct sim_agent;

int sim_agent_new(const char *root, struct sim_agent **ret);
struct sim_agent *sim_agent_free(struct sim_agent *a); /* closes files; processes are the caller's business */
DEFINE_CLEANUP(struct sim_agent *, sim_agent_free);

/* Carries out one command {"execute", "arguments"?}.  no_exec: guest-exec is disabled by configuration.  Returns new
 * (the "return" member), or NULL with new *ret_error, qemu-ga's description. */
json_t *sim_agent_command(struct sim_agent *a, const json_t *command, bool no_exec,
			  char **ret_error);

/* Output pipes of processes: puts at most max into fds, returns how many. */
size_t sim_agent_poll(const struct sim_agent *a, struct pollfd *fds, size_t max);
/* Reads what the pipes hold and takes note of processes that ended.  Never blocks. */
void sim_agent_pump(struct sim_agent *a);
