/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A manager for tests of rpc/: answers each method with its name, gives out roles, keeps events. */
#pragma once

#include "manager.h"

/* Only what a test looks at; zeros are fine. */
struct manager {
	enum role role;		 /* what every caller has */
	bool request_seen;	 /* answer of manager_request_seen(), which then replies "seen" */
	char *last_request;	 /* "METHOD ID PARAMS" of its last call */
	const char *last_method; /* that a handler was called for */
	uint64_t last_wait_usec;
	unsigned calls_begun, calls_ended; /* of mutating methods */
	unsigned refusals;
	char *last_refusal; /* "METHOD SUBJECT OURS: WHY"; OURS = 1: the pid is this process */
	int last_state;
	struct known last_epoch;
	bool awaits_hypervisor; /* nothing is known of libvirt yet */
	void (*hypervisor_known)(void *userdata);
	void *hypervisor_known_userdata;

	manager_event_fn on_event;
	void *on_event_userdata;
	unsigned n_subscribers;
	uint64_t next_seq;
	json_t *events[64]; /* the last kept ones: seq % 64 */
	unsigned n_kept;
	bool owned; /* of the events that are emitted */
	uid_t owner;
};

void fake_manager_done(struct manager *m);

/* The end of that. */
void fake_manager_hypervisor_known(struct manager *m);

/* Emits one event to the subscriber and keeps it. */
void fake_manager_emit(struct manager *m, const char *type, const char *subject);
