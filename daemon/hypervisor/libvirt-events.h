/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt's events on their way to the loop.  One thread of the process runs libvirt's own event
 * loop; its callbacks copy what they got and post it.  libvirt changes its handles from whichever
 * thread calls it, so it cannot live on sd-event. */
#pragma once

#include <libvirt/libvirt.h>

#include "hypervisor/outbox.h"

enum libvirt_event_type {
	LIBVIRT_EVENT_DOMAIN, /* lifecycle, reboot, agent: the domain is to be read again */
	LIBVIRT_EVENT_DEVICE_ADDED,
	LIBVIRT_EVENT_DEVICE_REMOVED,
	LIBVIRT_EVENT_REMOVAL_FAILED, /* the guest refused to let go */
	LIBVIRT_EVENT_CLOSED,         /* the connection broke; reason */
};

struct libvirt_event {
	enum libvirt_event_type type;
	unsigned generation; /* of the connection */
	char uuid[VIR_UUID_STRING_BUFLEN];
	char *alias;
	const char *reason; /* constant text */
	void *owner;
};

void libvirt_event_free(struct libvirt_event *event);

/* Before the first libvirt call of the process; again does nothing.  Loads libvirt and starts the thread, which never
 * ends. Returns 0 or a negative errno; *ret_message (new) is set where there is more to say. */
int libvirt_events_start(char **ret_message);

struct libvirt_subscription;

/* On a worker thread, with a fresh connection: registers for domain events and for its end.  fn
 * runs on the loop with a new struct libvirt_event that carries owner and generation.  Returns 0,
 * -ENOMEM, or -EIO with libvirt's words in *ret_message (new). */
int libvirt_events_subscribe(virConnectPtr connection, struct outbox *outbox, mailbox_fn fn,
			     void *owner, unsigned generation, struct libvirt_subscription **ret,
			     char **ret_message);

/* Only for its end: the other connections. */
int libvirt_events_watch_close(virConnectPtr connection, struct outbox *outbox, mailbox_fn fn,
			       void *owner, unsigned generation, struct libvirt_subscription **ret);

/* On a worker thread; the connection may be broken.  Accepts NULL. */
struct libvirt_subscription *libvirt_events_unsubscribe(struct libvirt_subscription *s);
