/* SPDX-License-Identifier: GPL-2.0-or-later */
/* struct host over the machine's connection, with the deadlines of host-ops.h: an access that does not return makes
 * its GPU stuck, and only that one. */
#include "machine/machine-client.h"

#include "lib/units.h"
#include "machine/machine-message.h"

/* The machine itself ends a wait for holders at the deadline; give its answer time to come. */
#define WAIT_CLOSED_SLACK (30 * USEC_PER_SEC)

static struct machine *of_host(struct host *host)
{
	return (struct machine *)((char *)host - offsetof(struct machine, host));
}

/* A late call for that GPU means that it is stuck. */
static bool is_stuck(const struct machine *m, const struct pci_address *gpu)
{
	for (const struct machine_call *call = m->calls; call; call = call->next)
		if (call->is_host && !call->host_fn && !call->refuse &&
		    call->host.op != HOST_SCAN && pci_address_equal(&call->host.gpu, gpu))
			return true;
	return false;
}

static void tell(struct machine *m, enum host_event_type type, const struct pci_address *gpu,
		 const char *attribute)
{
	struct host_event event = { .type = type, .gpu = *gpu, .attribute = attribute };

	if (m->host_started && m->host.on_event)
		m->host.on_event(m->host.userdata, &event);
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct machine_call *call = userdata;
	struct machine *m = call->m;
	const char *attribute = machine_host_attribute(&call->host);
	struct host_reply reply = { .r = -ETIMEDOUT, .attribute = (char *)attribute };
	struct pci_address gpu = call->host.gpu;
	bool was_stuck = is_stuck(m, &gpu), is_scan = call->host.op == HOST_SCAN;
	host_reply_fn fn = TAKE_PTR(call->host_fn);

	call->deadline = sd_event_source_disable_unref(call->deadline);
	fn(call->userdata, &reply);
	if (!was_stuck && !is_scan)
		tell(m, HOST_EVENT_STUCK, &gpu, attribute);
	return 0;
}

static void answer_errno(struct machine_call *call, int r)
{
	struct host_reply reply = { .r = r,
				    .attribute = (char *)machine_host_attribute(&call->host) };
	host_reply_fn fn = call->host_fn;
	void *userdata = call->userdata;

	machine_call_end(call);
	if (fn)
		fn(userdata, &reply);
}

void machine_host_answer(struct machine_call *call, const json_t *json)
{
	struct machine *m = call->m;
	_cleanup_(host_reply_done) struct host_reply reply = { 0 };
	host_reply_fn fn = call->host_fn;
	void *userdata = call->userdata;
	struct pci_address gpu = call->host.gpu;
	const char *attribute = machine_host_attribute(&call->host);
	bool was_stuck;

	if (!json) {
		answer_errno(call, call->refuse ? call->refuse : -EPIPE);
		return;
	}
	if (host_reply_from_json(json, &reply) < 0)
		reply.r = -EBADMSG;
	was_stuck = is_stuck(m, &gpu);
	machine_call_end(call);
	if (fn)
		fn(userdata, &reply);
	else if (was_stuck && !is_stuck(m, &gpu))
		tell(m, HOST_EVENT_UNSTUCK, &gpu, attribute);
}

void machine_host_event(struct machine *m, const json_t *json)
{
	struct host_event event;

	if (machine_host_event_from_json(json, &event) >= 0)
		tell(m, event.type, &event.gpu, event.attribute);
}

static int host_start(struct host *host)
{
	of_host(host)->host_started = true;
	return 0;
}

static int host_request(struct host *host, const struct host_request *request, host_reply_fn fn,
			void *userdata)
{
	struct machine *m = of_host(host);
	uint64_t limit = request->deadline_usec ? request->deadline_usec :
						  host_op_deadline(request->op);
	struct host_request wanted = *request, checked;
	_cleanup_json_ json_t *json = NULL;
	struct machine_call *call;
	int r;

	if (request->op == HOST_WAIT_CLOSED)
		wanted.deadline_usec = limit; /* the machine does not know what the configuration says */
	json = host_request_to_json(&wanted);
	r = json ? host_request_from_json(json, &checked) : -EINVAL;
	if (r < 0)
		return r;
	call = machine_call_new(m, userdata);
	if (!call)
		return -ENOMEM;
	call->is_host = true;
	call->host = checked; /* its attribute is a constant of the wire form */
	call->host_fn = fn;
	if (request->op != HOST_SCAN && is_stuck(m, &request->gpu)) {
		machine_refuse(m, call, -EBUSY);
		return 0;
	}
	if (request->op == HOST_WAIT_CLOSED)
		limit += WAIT_CLOSED_SLACK;
	r = machine_call_deadline(call, limit, on_deadline);
	if (r < 0) {
		free(call);
		return r;
	}
	return machine_send(m, call, "host", TAKE_PTR(json));
}

static void host_nothing(struct host *host)
{
	/* freed with the machine */
}

static const struct host_ops ops = {
	.name = "machine",
	.start = host_start,
	.request = host_request,
	.free = host_nothing,
};

void machine_host_init(struct machine *m)
{
	m->host.ops = &ops;
}
