/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt's events become fresh facts; detaches that wait for their guest end by them. */
#include "hypervisor/libvirt-internal.h"
#include "log/log.h"

/* ---- Fresh facts --------------------------------------------------------------------------- */

static struct refresh **refresh_find(struct libvirt *l, const char *uuid)
{
	struct refresh **link = &l->refreshes;

	while (*link && !streq((*link)->uuid, uuid))
		link = &(*link)->next;
	return link;
}

/* Reads the domain again, once for all events that come while it is being read. */
void libvirt_refresh(struct libvirt *l, const char *uuid)
{
	const struct hv_request request = { .op = HV_GET, .uuid = uuid };
	struct refresh *refresh, **link = refresh_find(l, uuid);
	int r;

	if (*link) {
		(*link)->dirty = true;
		return;
	}
	refresh = calloc(1, sizeof(*refresh));
	r = refresh ? libvirt_submit(l, &request, 0) : -ENOMEM;
	if (r < 0) {
		log_ratelimited(LOG_ERR, r, NULL, NULL, "cannot read a domain again");
		free(refresh);
		return;
	}
	strncpy(refresh->uuid, uuid, sizeof(refresh->uuid) - 1);
	refresh->next = l->refreshes;
	l->refreshes = refresh;
}

static bool still_live(const struct domain_facts *facts, const struct call *call)
{
	for (size_t i = 0; i < facts->n_hostdevs; i++) {
		const struct domain_hostdev *h = &facts->hostdevs[i];

		if (h->live && pci_address_equal(&h->address, &call->address) &&
		    (!call->alias || streq_ptr(h->alias, call->alias)))
			return true;
	}
	return false;
}

/* The next detach of this domain that still waits for its guest. */
static struct call *waiting_call(struct libvirt *l, const char *uuid, uint64_t after)
{
	struct call *found = NULL;

	/* the list is newest first */
	for (struct call *call = l->calls; call && call->id > after; call = call->next)
		if (call->waiting && streq(call->uuid, uuid))
			found = call;
	return found;
}

/* Detaches that wait end with facts that do not show the device any more. */
static void settle_detaches(struct libvirt *l, const char *uuid, struct domain_facts *facts)
{
	struct domain_facts *domains[] = { facts };
	struct hv_reply reply = { .failure = HV_OK, .domains = domains, .n_domains = !!facts };
	uint64_t after = 0;

	for (struct call *call; (call = waiting_call(l, uuid, after));) {
		after = call->id;
		if (!facts || !still_live(facts, call))
			libvirt_call_answer(call, &reply);
	}
}

void libvirt_on_refreshed(struct libvirt *l, const char *uuid, const struct hv_reply *reply)
{
	struct refresh **link = refresh_find(l, uuid), *refresh = *link;
	struct domain_facts *facts = reply->n_domains > 0 ? reply->domains[0] : NULL;
	struct hv_event event = { .uuid = uuid };

	if (!refresh)
		return;
	*link = refresh->next;
	if (refresh->dirty)
		libvirt_refresh(l, uuid);
	free(refresh);

	if (reply->failure == HV_OK && facts) {
		settle_detaches(l, uuid, facts);
		event.type = HV_EVENT_DOMAIN;
		event.domain = facts;
		libvirt_emit(l, &event);
	} else if (reply->failure == HV_NO_DOMAIN) {
		settle_detaches(l, uuid, NULL);
		event.type = HV_EVENT_DOMAIN_GONE;
		libvirt_emit(l, &event);
	} else if (reply->failure != HV_DISCONNECTED) {
		log_vm(uuid, LOG_WARNING, 0, "cannot be read again: %s", strempty(reply->message));
	}
}

/* ---- Events -------------------------------------------------------------------------------- */

static void refuse_removal(struct libvirt *l, const struct libvirt_event *event)
{
	uint64_t after = 0;

	for (struct call *call; (call = waiting_call(l, event->uuid, after));) {
		after = call->id;
		if (streq_ptr(call->alias, event->alias))
			libvirt_call_fail(call, HV_GUEST_REFUSED,
					  "the guest refused to let go of the device");
	}
}

static void handle_event(struct libvirt *l, const struct libvirt_event *event)
{
	struct hv_event out = { .uuid = event->uuid, .alias = event->alias };

	switch (event->type) {
	case LIBVIRT_EVENT_CLOSED:
		if (l->connected)
			libvirt_lose_connection(l, event->reason);
		else
			l->closed_early = event->reason;
		return;
	case LIBVIRT_EVENT_DOMAIN:
		break;
	case LIBVIRT_EVENT_REMOVAL_FAILED:
		refuse_removal(l, event);
		break;
	case LIBVIRT_EVENT_DEVICE_ADDED:
	case LIBVIRT_EVENT_DEVICE_REMOVED:
		out.type = event->type == LIBVIRT_EVENT_DEVICE_ADDED ? HV_EVENT_DEVICE_ADDED
								     : HV_EVENT_DEVICE_REMOVED;
		libvirt_emit(l, &out);
		break;
	}
	if (l->connected)
		libvirt_refresh(l, event->uuid);
}

void libvirt_on_event(void *payload)
{
	struct libvirt_event *event = payload;
	struct libvirt *l = event->owner;

	if (event->generation == l->generation)
		handle_event(l, event);
	libvirt_event_free(event);
}
