/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A made-up guest that runs: one process of its own, which is its agent and the reaper of everything that it
 * starts, so that switching the VM off ends all of it and nothing else.  It ends by itself when the machine goes
 * away, however that happens.  Used by sim-machine.c. */
#pragma once

#include "lib/json.h"

struct sd_event;
struct sim_guest;

/* result is new and the function's own; NULL with error set (borrowed) when the agent refused, both NULL when the guest
 * is gone. */
typedef void (*sim_guest_fn)(void *userdata, json_t *result, const char *error);

/* Forks the guest.  root: its directory. */
int sim_guest_new(struct sd_event *event, const char *root, struct sim_guest **ret);
/* Ends the guest and waits until its processes are gone; calls that wait are answered with NULL, NULL. */
struct sim_guest *sim_guest_free(struct sim_guest *g);

/* One agent command; fn runs exactly once, later. */
int sim_guest_command(struct sim_guest *g, const json_t *command, bool no_exec, sim_guest_fn fn,
		      void *userdata);
/* The caller is not interested any more. */
void sim_guest_forget(struct sim_guest *g, void *userdata);

int sim_guest_pid(const struct sim_guest *g);
