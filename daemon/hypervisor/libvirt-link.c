/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Three connections to libvirt: opened on a thread, watched, given up together, opened again after
 * a pause. */
#include "hypervisor/libvirt-internal.h"
#include "hypervisor/libvirt-library.h"
#include "lib/units.h"
#include "log/log.h"

/* libvirtd that does not answer for this long is gone: 5 s between probes, 4 of them. */
#define KEEPALIVE_SECONDS 5
#define KEEPALIVE_COUNT 4

#define PAUSE_MIN_USEC USEC_PER_SEC
#define PAUSE_MAX_USEC (30 * USEC_PER_SEC)

struct connect_work {
	struct outbox *outbox;
	struct libvirt *owner;
	unsigned generation;
	char *uri;
	char *message; /* why it failed, NULL = connected */
	virConnectPtr connections[LINE_MAX];
	struct libvirt_subscription *subscriptions[LINE_MAX];
};

/* On a thread: everything here may block until the connection is known to be dead. */
static void disconnect_all(struct connect_work *w)
{
	for (size_t i = 0; i < LINE_MAX; i++) {
		w->subscriptions[i] = libvirt_events_unsubscribe(w->subscriptions[i]);
		if (w->connections[i])
			vir.ConnectClose(w->connections[i]);
		w->connections[i] = NULL;
	}
}

static void connect_work_free(void *payload)
{
	struct connect_work *w = payload;

	disconnect_all(w);
	outbox_unref(w->outbox);
	free(w->uri);
	free(w->message);
	free(w);
}

static struct connect_work *connect_work_new(struct libvirt *l)
{
	struct connect_work *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->uri = strdup(l->uri);
	if (!w->uri) {
		free(w);
		return NULL;
	}
	w->outbox = outbox_ref(l->outbox);
	w->owner = l;
	w->generation = l->generation;
	return w;
}

static bool connect_line(struct connect_work *w, enum line line)
{
	virConnectPtr connection = vir.ConnectOpen(w->uri);
	int r;

	w->connections[line] = connection;
	if (!connection) {
		w->message = xasprintf("%s", vir.GetLastErrorMessage());
		return false;
	}
	/* a driver inside this process has none, and needs none */
	(void)vir.ConnectSetKeepAlive(connection, KEEPALIVE_SECONDS, KEEPALIVE_COUNT);

	if (line == LINE_QUERIES)
		r = libvirt_events_subscribe(connection, w->outbox, libvirt_on_event, w->owner,
					     w->generation, &w->subscriptions[line], &w->message);
	else
		r = libvirt_events_watch_close(connection, w->outbox, libvirt_on_event, w->owner,
					       w->generation, &w->subscriptions[line]);
	if (r < 0 && !w->message)
		w->message = strdup("out of memory");
	return r >= 0;
}

static void on_connect_done(void *payload);

static void run_connect(virConnectPtr unused, void *payload)
{
	struct connect_work *w = payload;
	_cleanup_(outbox_unrefp) struct outbox *outbox = outbox_ref(w->outbox);

	for (enum line line = 0; line < LINE_MAX; line++)
		if (!connect_line(w, line)) {
			disconnect_all(w);
			break;
		}
	(void)outbox_post(outbox, on_connect_done, w, connect_work_free);
}

static void run_disconnect(virConnectPtr unused, void *payload)
{
	connect_work_free(payload);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	libvirt_begin_connect(userdata);
	return 0;
}

static void retry_later(struct libvirt *l)
{
	int r;

	l->pause_usec = MIN_OF(MAX_OF(l->pause_usec * 2, PAUSE_MIN_USEC), PAUSE_MAX_USEC);
	l->retry = sd_event_source_disable_unref(l->retry);
	r = sd_event_add_time_relative(l->event, &l->retry, CLOCK_MONOTONIC, l->pause_usec, 0,
				       on_retry, l);
	if (r < 0)
		log_error(r, "cannot set the timer for reconnecting to libvirt");
}

void libvirt_begin_connect(struct libvirt *l)
{
	struct connect_work *w;

	l->generation++;
	l->closed_early = NULL;
	w = connect_work_new(l);
	if (!w ||
	    call_pool_submit(l->pools[LINE_QUERIES], NULL, run_connect, w, connect_work_free) < 0) {
		if (w)
			connect_work_free(w);
		retry_later(l);
	}
}

/* Takes what the loop holds of the connections into work that gives it back. */
static struct connect_work *take_connections(struct libvirt *l)
{
	struct connect_work *w = connect_work_new(l);

	for (size_t i = 0; i < LINE_MAX; i++)
		call_pool_set_connection(l->pools[i], NULL);
	if (!w)
		return NULL; /* without memory they stay open, unused */
	for (size_t i = 0; i < LINE_MAX; i++) {
		w->connections[i] = TAKE_PTR(l->connections[i]);
		w->subscriptions[i] = TAKE_PTR(l->subscriptions[i]);
	}
	return w;
}

void libvirt_disconnect(struct libvirt *l, enum line line)
{
	struct connect_work *w = take_connections(l);

	if (w && call_pool_submit(l->pools[line], NULL, run_disconnect, w, NULL) < 0)
		connect_work_free(w);
}

void libvirt_lose_connection(struct libvirt *l, const char *reason)
{
	const struct hv_event event = { .type = HV_EVENT_LOST_CONNECTION, .reason = reason };
	const uint64_t newest = l->last_id;
	struct refresh *next;

	l->connected = false;
	l->generation++; /* results and events of the old connection are dropped from here on */
	log_warning(0, "lost libvirt: %s", reason);

	libvirt_disconnect(l, LINE_QUERIES);
	libvirt_forget_late(l);
	for (; l->refreshes; l->refreshes = next) {
		next = l->refreshes->next;
		free(l->refreshes);
	}
	retry_later(l);
	libvirt_emit(l, &event);
	/* oldest last; what callers ask anew in their callbacks is refused at once by itself */
	while (l->calls && !l->connected) {
		struct call *call = l->calls;

		while (call && call->id > newest)
			call = call->next;
		if (!call)
			break;
		libvirt_call_fail(call, HV_DISCONNECTED, reason);
	}
}

static void on_connect_done(void *payload)
{
	struct connect_work *w = payload;
	struct libvirt *l = w->owner;
	const struct hv_event event = { .type = HV_EVENT_CONNECTED };

	if (w->message || l->closed_early) {
		log_ratelimited(LOG_WARNING, 0, NULL, NULL, "cannot connect to libvirt at %s: %s",
				l->uri, w->message ? w->message : l->closed_early);
		if (call_pool_submit(l->pools[LINE_QUERIES], NULL, run_disconnect, w, NULL) < 0)
			connect_work_free(w);
		retry_later(l);
		return;
	}
	for (size_t i = 0; i < LINE_MAX; i++) {
		l->connections[i] = TAKE_PTR(w->connections[i]);
		l->subscriptions[i] = TAKE_PTR(w->subscriptions[i]);
		call_pool_set_connection(l->pools[i], l->connections[i]);
	}
	connect_work_free(w);
	l->connected = true;
	l->pause_usec = 0;
	log_info("connected to libvirt at %s", l->uri);
	libvirt_emit(l, &event);
}
