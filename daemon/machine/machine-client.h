/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's connection to gpuvf-machine, shared by its parts: machine-client.c (the connection),
 * machine-client-spawn.c (starting the program), machine-client-host.c and machine-client-hypervisor.c (the two
 * sets of operations).  Nobody outside machine/ includes this. */
#pragma once

#include <systemd/sd-event.h>
#include "lib/line-buffer.h"
#include "machine/machine-ops.h"
#include "machine/sim-wire.h"

/* A request that was sent, or that waits to be refused on the loop. */
struct machine_call {
	struct machine *m;
	struct machine_call *next;
	uint64_t id;
	bool is_host;
	int refuse; /* negative errno: not sent, to be answered so by the loop; 0 = sent */
	struct host_request host; /* attribute points into attribute_names of the wire or is NULL */
	host_reply_fn host_fn;	  /* NULL once it was answered with -ETIMEDOUT: it is late */
	hv_reply_fn hv_fn;
	void *userdata;
	sd_event_source *deadline;
};

struct machine {
	sd_event *event;
	int fd;
	sd_event_source *source;
	sd_event_source *defer; /* refusals, the first CONNECTED, the end of the connection */
	struct line_buffer in;
	struct sim_out out;
	uint64_t last_id;
	struct machine_call *calls;
	struct host host;
	struct hypervisor hypervisor;
	bool host_started;
	bool hypervisor_started;
	bool libvirt_up;   /* what the machine said last */
	bool tell_connected;
	bool lost;
	bool tell_lost;
};

/* ---- machine-client.c */
/* Sends {"id", part: request} and adds the call, or adds it as refused with -EPIPE when the machine is gone.  Takes
 * request; takes call, also on failure. */
int machine_send(struct machine *m, struct machine_call *call, const char *part, json_t *request);
/* To be answered with r by the loop.  Takes call. */
void machine_refuse(struct machine *m, struct machine_call *call, int r);
struct machine_call *machine_call_new(struct machine *m, void *userdata);
int machine_call_deadline(struct machine_call *call, uint64_t usec, sd_event_time_handler_t fn);
/* Takes it out of the list and frees it. */
void machine_call_end(struct machine_call *call);

/* ---- machine-client-spawn.c */
/* Starts the program for that socket, waits until it listens.  0 or a negative errno with new *ret_message. */
int machine_spawn(const char *program, const char *socket_path, const char *document,
		  char **ret_message);

/* ---- machine-client-host.c */
void machine_host_init(struct machine *m);
void machine_host_answer(struct machine_call *call, const json_t *reply); /* NULL: the machine is gone */
void machine_host_event(struct machine *m, const json_t *event);

/* ---- machine-client-hypervisor.c */
void machine_hypervisor_init(struct machine *m);
void machine_hypervisor_answer(struct machine_call *call, const json_t *reply);
void machine_hypervisor_event(struct machine *m, const json_t *event);
void machine_hypervisor_deferred(struct machine *m);
