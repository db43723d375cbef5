/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the loop's files of the libvirt layer share: libvirt.c (requests, the interface),
 * libvirt-link.c (connecting and losing), libvirt-facts.c (events become fresh facts).  All of it
 * runs on the loop's thread. */
#pragma once

#include <systemd/sd-event.h>

#include "hypervisor/libvirt-calls.h"
#include "hypervisor/libvirt-events.h"
#include "hypervisor/libvirt-ops.h"

/* Reads of many, changes of one VM's devices, and guests that may not answer: none waits behind
 * another kind. */
enum line { LINE_QUERIES, LINE_DEVICES, LINE_AGENTS, LINE_MAX };

/* A request between request() and its answer. */
struct call {
	struct call *next, **link;
	uint64_t id;
	enum hv_op op;
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct pci_address address;
	char *alias;
	bool waiting; /* HV_DETACH: libvirt asked the guest; facts without the device end it */
	hv_reply_fn fn;
	void *userdata;
	sd_event_source *deadline;
	struct libvirt *owner;
};

/* A call whose deadline has passed and that has not returned: of a VM, or of none (uuid ""). */
struct late {
	struct late *next;
	uint64_t id;
	char uuid[VIR_UUID_STRING_BUFLEN];
};

/* A domain whose facts are being read again; dirty: something happened since that began. */
struct refresh {
	struct refresh *next;
	char uuid[VIR_UUID_STRING_BUFLEN];
	bool dirty;
};

struct libvirt {
	struct hypervisor base;
	sd_event *event;
	char *uri;
	struct outbox *outbox;
	sd_event_source *outbox_source;
	sd_event_source *retry;
	uint64_t pause_usec; /* before the last try; 0 = none was needed */

	bool connected;
	const char *closed_early; /* it broke before on_connect_done() */
	unsigned generation;      /* of the connection; what carries an older one is dropped */
	struct call_pool *pools[LINE_MAX];
	virConnectPtr connections[LINE_MAX];
	struct libvirt_subscription *subscriptions[LINE_MAX];

	uint64_t last_id;
	struct call *calls;
	struct late *late;
	struct refresh *refreshes;
};

/* ---- libvirt.c ---- */

void libvirt_emit(struct libvirt *l, const struct hv_event *event);
void libvirt_call_free(struct call *call);
void libvirt_call_answer(struct call *call, const struct hv_reply *reply);
void libvirt_call_fail(struct call *call, enum hv_failure failure, const char *message);
void libvirt_forget_late(struct libvirt *l); /* they go with their connection */
/* Hands an operation to its pool; id 0: a refresh. */
int libvirt_submit(struct libvirt *l, const struct hv_request *request, uint64_t id);

/* ---- libvirt-link.c ---- */

void libvirt_begin_connect(struct libvirt *l);
void libvirt_lose_connection(struct libvirt *l, const char *reason);
/* Gives the connections back on a thread of this line's pool. */
void libvirt_disconnect(struct libvirt *l, enum line line);

/* ---- libvirt-facts.c ---- */

/* Reads the domain again, once for all events that come while it is being read. */
void libvirt_refresh(struct libvirt *l, const char *uuid);
void libvirt_on_refreshed(struct libvirt *l, const char *uuid, const struct hv_reply *reply);
/* A mailbox function: takes a struct libvirt_event. */
void libvirt_on_event(void *payload);
