/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two halves of a guest share: guest.c (commands, programs) and guest-file.c. */
#pragma once

#include <systemd/sd-event.h>

#include "runner/guest.h"

typedef void (*guest_step_fn)(struct guest *g, const struct hv_reply *reply);

struct guest {
	sd_event *event;
	struct hypervisor *hypervisor;
	char *uuid;
	struct flight *flight; /* what is under way */
	sd_event_source *timer;
	guest_step_fn step; /* takes the answer of the command under way */
	guest_fn fn;
	void *userdata;

	/* of the thing under way */
	enum hv_failure early; /* what finish_later() will say */
	uint64_t pid, deadline, pause;
	uint64_t handle, offset;
	size_t max, written;
	int fd;
	bool handle_open; /* to be closed when the rest fails */
};

/* A thing begins: its commands follow one by one, and it ends once. */
void guest_begin(struct guest *g, guest_fn fn, void *userdata);
/* Takes arguments; step runs with the answer, unless that is a failure, which ends the thing. */
void guest_command(struct guest *g, const char *execute, json_t *arguments, guest_step_fn step);

/* Each calls fn, which may free the guest: nothing may follow. */
void guest_end(struct guest *g, const struct guest_answer *a);
void guest_end_done(struct guest *g);
void guest_end_failed(struct guest *g, enum hv_failure failure, const char *message); /* NULL = the failure's name */
void guest_end_garbage(struct guest *g, const char *what);
