/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The made-up machine as a whole: takes requests to its kernel, its libvirt and itself, applies latencies and
 * faults, answers when the machine would, and tells what happened by events.  Knows no socket: sim-server.c carries. */
#pragma once

#include "host/host-ops.h"
#include "machine/sim-hypervisor.h"

struct sd_event;
struct sim_machine;

/* reply is new and the function's own.  Runs exactly once, perhaps inside sim_machine_request(). */
typedef void (*sim_reply_fn)(void *userdata, json_t *reply);
/* kill -9 to whoever asked; runs in place of the reply. */
typedef void (*sim_kill_fn)(void *userdata);
/* event is borrowed. */
typedef void (*sim_event_fn)(void *userdata, const json_t *event);

/* Takes document.  guests_dir: "STATE_DIR/guests".  event: an sd_event, borrowed. */
int sim_machine_new(struct sd_event *event, struct sim_document *document, const char *guests_dir,
		    sim_event_fn on_event, sim_kill_fn on_kill, void *userdata,
		    struct sim_machine **ret);
/* Ends every guest and its processes; waiting requests are dropped. */
struct sim_machine *sim_machine_free(struct sim_machine *m);
DEFINE_CLEANUP(struct sim_machine *, sim_machine_free);

/* Which part of the machine a request is for: the member's name in the message. */
enum sim_part { SIM_PART_HOST, SIM_PART_HYPERVISOR, SIM_PART_MACHINE, SIM_PART_MAX };
DECLARE_ENUM_TABLE(sim_part, enum sim_part);

/* debugfs: whoever asks may use it, as the daemon's configuration says (allow_debugfs). */
void sim_machine_request(struct sim_machine *m, enum sim_part part, const json_t *request,
			 bool debugfs, sim_reply_fn fn, void *userdata);

/* What a new listener must know first: whether libvirt is there. */
void sim_machine_greet(struct sim_machine *m, sim_event_fn fn, void *userdata);

uint64_t sim_machine_linger(const struct sim_machine *m); /* µs */
bool sim_machine_stopping(const struct sim_machine *m);   /* somebody asked it to stop */
