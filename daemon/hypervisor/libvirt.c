/* SPDX-License-Identifier: GPL-2.0-or-later */
/* struct hypervisor over libvirt: the loop's side.  Hands operations to the pools and keeps their
 * deadlines.  Makes no libvirt call by itself that could block. */
#include "hypervisor/libvirt-internal.h"
#include "lib/units.h"
#include "log/log.h"

/* For the threads at the end; a call that is stuck in libvirt is left behind. */
#define STOP_PATIENCE_USEC (2 * USEC_PER_SEC)

static struct libvirt *libvirt_of(struct hypervisor *hv)
{
	return (struct libvirt *)((char *)hv - offsetof(struct libvirt, base));
}

void libvirt_emit(struct libvirt *l, const struct hv_event *event)
{
	if (l->base.on_event)
		l->base.on_event(l->base.userdata, event);
}

/* ---- Calls --------------------------------------------------------------------------------- */

void libvirt_call_free(struct call *call)
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

void libvirt_call_answer(struct call *call, const struct hv_reply *reply)
{
	hv_reply_fn fn = call->fn;
	void *userdata = call->userdata;

	/* first out of the list: fn may ask again, or free everything */
	libvirt_call_free(call);
	fn(userdata, reply);
}

void libvirt_call_fail(struct call *call, enum hv_failure failure, const char *message)
{
	const struct hv_reply reply = { .failure = failure, .message = (char *)message };

	libvirt_call_answer(call, &reply);
}

static struct call *call_find(struct libvirt *l, uint64_t id)
{
	for (struct call *call = l->calls; call; call = call->next)
		if (call->id == id)
			return call;
	return NULL;
}

/* ---- Calls that are late ------------------------------------------------------------------- */

static bool is_late(const struct libvirt *l, const char *uuid)
{
	for (const struct late *late = l->late; late; late = late->next)
		if (streq(late->uuid, uuid))
			return true;
	return false;
}

/* A detach that waits for the guest has had libvirt's answer, and an agent's silence is the guest's. */
static void note_late(struct libvirt *l, const struct call *call)
{
	struct hv_event event = { .type = HV_EVENT_STUCK, .uuid = call->uuid[0] ? call->uuid : NULL };
	bool news = !is_late(l, call->uuid);
	struct late *late;

	if (call->waiting || call->op == HV_AGENT)
		return;
	late = calloc(1, sizeof(*late));
	if (!late)
		return; /* whoever asked is told all the same */
	late->id = call->id;
	memcpy(late->uuid, call->uuid, sizeof(late->uuid));
	late->next = l->late;
	l->late = late;
	event.reason = call->op == HV_DETACH ? "libvirt did not ask the guest for the device in time"
					     : hv_op_late_text(call->op);
	if (news)
		libvirt_emit(l, &event);
}

/* Its result is nobody's by now; that it came is news. */
static void late_returned(struct libvirt *l, uint64_t id)
{
	struct late **at = &l->late, *late;
	struct hv_event event = { .type = HV_EVENT_UNSTUCK };

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	late = *at;
	if (!late)
		return;
	*at = late->next;
	event.uuid = late->uuid[0] ? late->uuid : NULL;
	if (!is_late(l, late->uuid))
		libvirt_emit(l, &event);
	free(late);
}

void libvirt_forget_late(struct libvirt *l)
{
	for (struct late *next; l->late; l->late = next) {
		next = l->late->next;
		free(l->late);
	}
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct call *call = userdata;

	note_late(call->owner, call);
	/* the late result finds no call of its id and is dropped */
	libvirt_call_fail(call, HV_TIMEOUT, hv_op_late_text(call->op));
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
	return request->op == HV_LIST || request->op == HV_GET ? LINE_QUERIES : LINE_DEVICES;
}

#define ORDER_SIZE 40 /* a uuid, a mark, and what call_pool_submit() keeps of it */

/* What runs in order on a line: the calls about one VM.  A destroy is for the VM whose other calls hang, so it
 * has an order of its own. */
static const char *order_of(const struct hv_request *request, enum line line, char buffer[static ORDER_SIZE])
{
	if (line == LINE_QUERIES)
		return NULL;
	snprintf(buffer, ORDER_SIZE, "%s%s", request->uuid, request->op == HV_DESTROY ? "!" : "");
	return buffer;
}

int libvirt_submit(struct libvirt *l, const struct hv_request *request, uint64_t id)
{
	enum line line = line_of(request);
	char order[ORDER_SIZE];
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
		r = call_pool_submit(l->pools[line], order_of(request, line, order), run_op, w, op_work_free);
	if (r < 0)
		op_work_free(w);
	return r;
}

/* ---- Results ------------------------------------------------------------------------------- */

static void call_done(struct libvirt *l, struct call *call, struct libvirt_op *op)
{
	if (op->reply.failure == HV_OK && op->pending) {
		/* an event may have come while the thread was on its way back: look once more */
		call->waiting = true;
		if (!call->alias)
			call->alias = TAKE_PTR(op->alias);
		libvirt_refresh(l, call->uuid);
		return;
	}
	libvirt_call_answer(call, &op->reply);
}

static void on_op_done(void *payload)
{
	struct op_work *w = payload;
	struct libvirt *l = w->owner;

	if (w->generation == l->generation && l->connected &&
	    w->op.reply.failure == HV_DISCONNECTED) {
		/* the call noticed before libvirt's event came */
		libvirt_lose_connection(l, "the connection broke");
	} else if (w->generation == l->generation) {
		struct call *call = w->id ? call_find(l, w->id) : NULL;

		if (call)
			call_done(l, call, &w->op);
		else if (w->id == 0)
			libvirt_on_refreshed(l, w->op.uuid, &w->op.reply);
		else
			late_returned(l, w->id);
	}
	op_work_free(w);
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
	libvirt_begin_connect(libvirt_of(hv));
	return 0;
}

/* Without a connection the refusal still comes from the loop, not from within request(). */
static int on_refused(sd_event_source *source, uint64_t usec, void *userdata)
{
	libvirt_call_fail(userdata, HV_DISCONNECTED, "no connection to libvirt");
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
		libvirt_call_free(call);
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
		r = libvirt_submit(l, request, l->last_id + 1);
		if (r < 0) {
			libvirt_call_free(call);
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
		libvirt_call_free(l->calls);
	libvirt_forget_late(l);
	for (; l->refreshes; l->refreshes = next) {
		next = l->refreshes->next;
		free(l->refreshes);
	}
	if (l->outbox && l->pools[LINE_MAX - 1])
		libvirt_disconnect(l, LINE_DEVICES);
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

static int libvirt_init(struct libvirt *l, sd_event *event, const char *uri, char **ret_message)
{
	int r;

	l->base.ops = &libvirt_ops;
	l->event = sd_event_ref(event);
	l->uri = strdup(uri ? uri : "qemu:///system");
	if (!l->uri)
		return -ENOMEM;

	r = libvirt_events_start(ret_message);
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

int hypervisor_libvirt_new(struct sd_event *event, const char *uri, struct hypervisor **ret, char **ret_message)
{
	struct libvirt *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	r = libvirt_init(l, event, uri, ret_message);
	if (r < 0) {
		libvirt_free(&l->base);
		return r;
	}
	*ret = &l->base;
	return 0;
}
