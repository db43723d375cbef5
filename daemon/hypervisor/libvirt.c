/* SPDX-License-Identifier: GPL-2.0-or-later */
/* struct hypervisor over libvirt: the loop's side.  Connects and reconnects, hands operations to
 * the pools, keeps their deadlines, turns libvirt's events into fresh facts.  Makes no libvirt call
 * by itself that could block. */
#include <libvirt/virterror.h>
#include <systemd/sd-event.h>

#include "hypervisor/libvirt-calls.h"
#include "hypervisor/libvirt-events.h"
#include "hypervisor/libvirt-ops.h"
#include "lib/units.h"
#include "log/log.h"

/* Reads of many, changes of one VM's devices, and guests that may not answer: none waits behind
 * another kind. */
enum line { LINE_QUERIES, LINE_DEVICES, LINE_AGENTS, LINE_MAX };

/* libvirtd that does not answer for this long is gone: 5 s between probes, 4 of them. */
#define KEEPALIVE_SECONDS 5
#define KEEPALIVE_COUNT 4

#define PAUSE_MIN_USEC USEC_PER_SEC
#define PAUSE_MAX_USEC (30 * USEC_PER_SEC)

/* For the threads at the end; a call that is stuck in libvirt is left behind. */
#define STOP_PATIENCE_USEC (2 * USEC_PER_SEC)

/* A request between request() and its answer. */
struct call {
	struct call *next, **link;
	uint64_t id;
	enum hv_op op;
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct pci_address address;
	char *alias;
	bool waiting; /* HV_DETACH: libvirt asked the guest; facts that no longer show the device
			 end it */
	hv_reply_fn fn;
	void *userdata;
	sd_event_source *deadline;
	struct libvirt *owner;
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
	uint64_t pause_usec;

	bool connected;
	const char *closed_early; /* it broke before on_connect_done() */
	unsigned generation;      /* of the connection; what carries an older one is dropped */
	struct call_pool *pools[LINE_MAX];
	virConnectPtr connections[LINE_MAX];
	struct libvirt_subscription *subscriptions[LINE_MAX];

	uint64_t last_id;
	struct call *calls;
	struct refresh *refreshes;
};

static struct libvirt *libvirt_of(struct hypervisor *hv)
{
	return (struct libvirt *)((char *)hv - offsetof(struct libvirt, base));
}

static void emit(struct libvirt *l, const struct hv_event *event)
{
	if (l->base.on_event)
		l->base.on_event(l->base.userdata, event);
}

/* ---- Calls --------------------------------------------------------------------------------- */

static void call_free(struct call *call)
{
	if (call->link) {
		*call->link = call->next;
		if (call->next)
			call->next->link = call->link;
	}
	sd_event_source_disable_unref(call->deadline);
	free(call->alias);
	free(call);
}

static void call_answer(struct call *call, const struct hv_reply *reply)
{
	hv_reply_fn fn = call->fn;
	void *userdata = call->userdata;

	/* first out of the list: fn may ask again, or free everything */
	call_free(call);
	fn(userdata, reply);
}

static void call_fail(struct call *call, enum hv_failure failure, const char *message)
{
	const struct hv_reply reply = { .failure = failure, .message = (char *)message };

	call_answer(call, &reply);
}

static struct call *call_find(struct libvirt *l, uint64_t id)
{
	for (struct call *call = l->calls; call; call = call->next)
		if (call->id == id)
			return call;
	return NULL;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	static const char *const messages[HV_OP_MAX] = {
		[HV_LIST] = "libvirt did not list its domains in time",
		[HV_GET] = "libvirt did not describe the domain in time",
		[HV_ATTACH] = "libvirt did not attach the device in time",
		[HV_DETACH] = "the guest did not let go of the device in time",
		[HV_AGENT] = "the guest agent did not answer in time",
	};
	struct call *call = userdata;

	/* the late result finds no call of its id and is dropped */
	call_fail(call, HV_TIMEOUT, messages[call->op]);
	return 0;
}

/* ---- Work for the pools -------------------------------------------------------------------- */

/* An operation on its way to a thread and back.  id 0: a refresh. */
struct op_work {
	struct outbox *outbox;
	struct libvirt *owner;
	unsigned generation;
	uint64_t id;
	struct libvirt_op op;
};

static void op_work_free(void *payload)
{
	struct op_work *w = payload;

	libvirt_op_done(&w->op);
	outbox_unref(w->outbox);
	free(w);
}

static void on_op_done(void *payload);

/* On a thread of a pool. */
static void run_op(virConnectPtr connection, void *payload)
{
	struct op_work *w = payload;
	_cleanup_(outbox_unrefp) struct outbox *outbox = outbox_ref(w->outbox);

	libvirt_op_run(&w->op, connection);
	(void)outbox_post(outbox, on_op_done, w, op_work_free);
}

static enum line line_of(const struct hv_request *request)
{
	/* a barrier waits behind what we ourselves still do to this VM */
	if (request->op == HV_GET && request->barrier)
		return LINE_DEVICES;
	if (request->op == HV_AGENT)
		return LINE_AGENTS;
	return request->op == HV_ATTACH || request->op == HV_DETACH ? LINE_DEVICES : LINE_QUERIES;
}

static int submit(struct libvirt *l, const struct hv_request *request, uint64_t id)
{
	enum line line = line_of(request);
	struct op_work *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->owner = l;
	w->generation = l->generation;
	w->id = id;
	w->outbox = outbox_ref(l->outbox);
	r = libvirt_op_init(&w->op, request);
	if (r >= 0)
		r = call_pool_submit(l->pools[line], line == LINE_QUERIES ? NULL : w->op.uuid,
				     run_op, w, op_work_free);
	if (r < 0)
		op_work_free(w);
	return r;
}

/* ---- Fresh facts --------------------------------------------------------------------------- */

static struct refresh **refresh_find(struct libvirt *l, const char *uuid)
{
	struct refresh **link = &l->refreshes;

	while (*link && !streq((*link)->uuid, uuid))
		link = &(*link)->next;
	return link;
}

/* Reads the domain again, once for all events that come while it is being read. */
static void refresh_domain(struct libvirt *l, const char *uuid)
{
	const struct hv_request request = { .op = HV_GET, .uuid = uuid };
	struct refresh *refresh, **link = refresh_find(l, uuid);
	int r;

	if (*link) {
		(*link)->dirty = true;
		return;
	}
	refresh = calloc(1, sizeof(*refresh));
	r = refresh ? submit(l, &request, 0) : -ENOMEM;
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
			call_answer(call, &reply);
	}
}

static void on_refreshed(struct libvirt *l, const char *uuid, const struct hv_reply *reply)
{
	struct refresh **link = refresh_find(l, uuid), *refresh = *link;
	struct domain_facts *facts = reply->n_domains > 0 ? reply->domains[0] : NULL;
	struct hv_event event = { .uuid = uuid };

	if (!refresh)
		return;
	*link = refresh->next;
	if (refresh->dirty)
		refresh_domain(l, uuid);
	free(refresh);

	if (reply->failure == HV_OK && facts) {
		settle_detaches(l, uuid, facts);
		event.type = HV_EVENT_DOMAIN;
		event.domain = facts;
		emit(l, &event);
	} else if (reply->failure == HV_NO_DOMAIN) {
		settle_detaches(l, uuid, NULL);
		event.type = HV_EVENT_DOMAIN_GONE;
		emit(l, &event);
	} else if (reply->failure != HV_DISCONNECTED) {
		log_vm(uuid, LOG_WARNING, 0, "cannot be read again: %s", strempty(reply->message));
	}
}

/* ---- Results ------------------------------------------------------------------------------- */

static void call_done(struct libvirt *l, struct call *call, struct libvirt_op *op)
{
	if (op->reply.failure == HV_OK && op->pending) {
		/* an event may have come while the thread was on its way back: look once more */
		call->waiting = true;
		if (!call->alias)
			call->alias = TAKE_PTR(op->alias);
		refresh_domain(l, call->uuid);
		return;
	}
	call_answer(call, &op->reply);
}

static void lose_connection(struct libvirt *l, const char *reason);

static void on_op_done(void *payload)
{
	struct op_work *w = payload;
	struct libvirt *l = w->owner;

	if (w->generation == l->generation && l->connected &&
	    w->op.reply.failure == HV_DISCONNECTED) {
		/* the call noticed before libvirt's event came */
		lose_connection(l, "the connection broke");
	} else if (w->generation == l->generation) {
		struct call *call = w->id ? call_find(l, w->id) : NULL;

		if (call)
			call_done(l, call, &w->op);
		else if (w->id == 0)
			on_refreshed(l, w->op.uuid, &w->op.reply);
	}
	op_work_free(w);
}

/* ---- Losing and getting the connection ----------------------------------------------------- */

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
			virConnectClose(w->connections[i]);
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

static void on_libvirt_event(void *payload);

static bool connect_line(struct connect_work *w, enum line line)
{
	virConnectPtr connection = virConnectOpen(w->uri);
	int r;

	w->connections[line] = connection;
	if (!connection) {
		w->message = xasprintf("%s", virGetLastErrorMessage());
		return false;
	}
	/* a driver inside this process has none, and needs none */
	(void)virConnectSetKeepAlive(connection, KEEPALIVE_SECONDS, KEEPALIVE_COUNT);

	if (line == LINE_QUERIES)
		r = libvirt_events_subscribe(connection, w->outbox, on_libvirt_event, w->owner,
					     w->generation, &w->subscriptions[line], &w->message);
	else
		r = libvirt_events_watch_close(connection, w->outbox, on_libvirt_event, w->owner,
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

static void begin_connect(struct libvirt *l);

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	begin_connect(userdata);
	return 0;
}

static void retry_later(struct libvirt *l)
{
	int r;

	l->retry = sd_event_source_disable_unref(l->retry);
	r = sd_event_add_time_relative(l->event, &l->retry, CLOCK_MONOTONIC, l->pause_usec, 0,
				       on_retry, l);
	if (r < 0)
		log_error(r, "cannot set the timer for reconnecting to libvirt");
	l->pause_usec = MIN_OF(l->pause_usec * 2, PAUSE_MAX_USEC);
}

static void begin_connect(struct libvirt *l)
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

static void lose_connection(struct libvirt *l, const char *reason)
{
	const struct hv_event event = { .type = HV_EVENT_LOST_CONNECTION, .reason = reason };
	const uint64_t newest = l->last_id;
	struct connect_work *w;
	struct refresh *next;

	l->connected = false;
	l->generation++; /* results and events of the old connection are dropped from here on */
	log_warning(0, "lost libvirt: %s", reason);

	w = take_connections(l);
	if (w && call_pool_submit(l->pools[LINE_QUERIES], NULL, run_disconnect, w, NULL) < 0)
		connect_work_free(w);

	for (; l->refreshes; l->refreshes = next) {
		next = l->refreshes->next;
		free(l->refreshes);
	}
	retry_later(l);
	emit(l, &event);
	/* oldest last; what callers ask anew in their callbacks is refused at once by itself */
	while (l->calls && !l->connected) {
		struct call *call = l->calls;

		while (call && call->id > newest)
			call = call->next;
		if (!call)
			break;
		call_fail(call, HV_DISCONNECTED, reason);
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
	l->pause_usec = PAUSE_MIN_USEC;
	log_info("connected to libvirt at %s", l->uri);
	emit(l, &event);
}

/* ---- Events -------------------------------------------------------------------------------- */

static void refuse_removal(struct libvirt *l, const struct libvirt_event *event)
{
	uint64_t after = 0;

	for (struct call *call; (call = waiting_call(l, event->uuid, after));) {
		after = call->id;
		if (streq_ptr(call->alias, event->alias))
			call_fail(call, HV_GUEST_REFUSED,
				  "the guest refused to let go of the device");
	}
}

static void handle_event(struct libvirt *l, const struct libvirt_event *event)
{
	struct hv_event out = { .uuid = event->uuid, .alias = event->alias };

	switch (event->type) {
	case LIBVIRT_EVENT_CLOSED:
		if (l->connected)
			lose_connection(l, event->reason);
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
		emit(l, &out);
		break;
	}
	if (l->connected)
		refresh_domain(l, event->uuid);
}

static void on_libvirt_event(void *payload)
{
	struct libvirt_event *event = payload;
	struct libvirt *l = event->owner;

	if (event->generation == l->generation)
		handle_event(l, event);
	libvirt_event_free(event);
}

/* ---- The interface ------------------------------------------------------------------------- */

static int on_outbox(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct libvirt *l = userdata;

	outbox_dispatch(l->outbox);
	return 0;
}

static int libvirt_start(struct hypervisor *hv)
{
	begin_connect(libvirt_of(hv));
	return 0;
}

/* Without a connection the refusal still comes from the loop, not from within request(). */
static int on_refused(sd_event_source *source, uint64_t usec, void *userdata)
{
	call_fail(userdata, HV_DISCONNECTED, "no connection to libvirt");
	return 0;
}

static int call_new(struct libvirt *l, const struct hv_request *request, struct call **ret)
{
	uint64_t allowed =
		request->deadline_usec ? request->deadline_usec : hv_op_deadline(request->op);
	struct call *call = calloc(1, sizeof(*call));
	int r;

	if (!call)
		return -ENOMEM;
	call->owner = l;
	call->op = request->op;
	call->address = request->address;
	if (request->uuid)
		strncpy(call->uuid, request->uuid, sizeof(call->uuid) - 1);
	r = free_and_strdup(&call->alias, request->alias);
	if (r >= 0)
		r = sd_event_add_time_relative(l->event, &call->deadline, CLOCK_MONOTONIC,
					       l->connected ? allowed : 0, USEC_PER_MSEC,
					       l->connected ? on_deadline : on_refused, call);
	if (r < 0) {
		call_free(call);
		return r;
	}
	*ret = call;
	return 0;
}

static int libvirt_request(struct hypervisor *hv, const struct hv_request *request, hv_reply_fn fn,
			   void *userdata)
{
	struct libvirt *l = libvirt_of(hv);
	struct call *call;
	int r;

	r = hv_request_check(request);
	if (r < 0)
		return r;
	r = call_new(l, request, &call);
	if (r < 0)
		return r;
	if (l->connected) {
		r = submit(l, request, l->last_id + 1);
		if (r < 0) {
			call_free(call);
			return r;
		}
	}
	call->id = ++l->last_id;
	call->fn = fn;
	call->userdata = userdata;
	call->next = l->calls;
	call->link = &l->calls;
	if (call->next)
		call->next->link = &call->next;
	l->calls = call;
	return 0;
}

static void libvirt_free(struct hypervisor *hv)
{
	struct libvirt *l = libvirt_of(hv);
	struct refresh *next;

	sd_event_source_disable_unref(l->retry);
	sd_event_source_disable_unref(l->outbox_source);
	/* callers are going away too: nobody is answered any more */
	while (l->calls)
		call_free(l->calls);
	for (; l->refreshes; l->refreshes = next) {
		next = l->refreshes->next;
		free(l->refreshes);
	}
	if (l->outbox && l->pools[LINE_MAX - 1]) {
		struct connect_work *w = take_connections(l);

		if (w &&
		    call_pool_submit(l->pools[LINE_DEVICES], NULL, run_disconnect, w, NULL) < 0)
			connect_work_free(w);
	}
	if (l->outbox)
		outbox_close(l->outbox);
	for (size_t i = 0; i < LINE_MAX; i++)
		call_pool_stop(l->pools[i], STOP_PATIENCE_USEC);
	outbox_unref(l->outbox);
	sd_event_unref(l->event);
	free(l->uri);
	free(l);
}

static const struct hypervisor_ops libvirt_ops = {
	.name = "libvirt",
	.start = libvirt_start,
	.request = libvirt_request,
	.free = libvirt_free,
};

static int libvirt_init(struct libvirt *l, sd_event *event, const char *uri)
{
	int r;

	l->base.ops = &libvirt_ops;
	l->event = sd_event_ref(event);
	l->pause_usec = PAUSE_MIN_USEC;
	l->uri = strdup(uri ? uri : "qemu:///system");
	if (!l->uri)
		return -ENOMEM;

	r = libvirt_events_start();
	if (r < 0)
		return r;
	r = outbox_new(&l->outbox);
	if (r < 0)
		return r;
	for (size_t i = 0; i < LINE_MAX; i++) {
		r = call_pool_new(&l->pools[i]);
		if (r < 0)
			return r;
	}
	r = sd_event_add_io(l->event, &l->outbox_source, outbox_fd(l->outbox), EPOLLIN, on_outbox,
			    l);
	if (r < 0)
		return r;
	(void)sd_event_source_set_description(l->outbox_source, "libvirt");
	return 0;
}

int hypervisor_libvirt_new(struct sd_event *event, const char *uri, struct hypervisor **ret)
{
	struct libvirt *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	r = libvirt_init(l, event, uri);
	if (r < 0) {
		libvirt_free(&l->base);
		return r;
	}
	*ret = &l->base;
	return 0;
}
