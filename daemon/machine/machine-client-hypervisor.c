/* SPDX-License-Identifier: GPL-2.0-or-later */
/* struct hypervisor over the machine's connection.  The machine keeps libvirt's deadlines itself; the ones here are
 * for a machine that does not answer at all. */
#include "machine/machine-client.h"

#include "lib/units.h"
#include "machine/machine-message.h"

/* For a machine that a busy host leaves no processor. */
#define SLACK (30 * USEC_PER_SEC)

static struct machine *of_hypervisor(struct hypervisor *hv)
{
	return (struct machine *)((char *)hv - offsetof(struct machine, hypervisor));
}

static void answer_failure(struct machine_call *call, enum hv_failure failure, const char *message)
{
	struct hv_reply reply = { .failure = failure, .message = (char *)message };
	hv_reply_fn fn = call->hv_fn;
	void *userdata = call->userdata;

	machine_call_end(call);
	fn(userdata, &reply);
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata)
{
	answer_failure(userdata, HV_TIMEOUT, "the made-up machine does not answer");
	return 0;
}

void machine_hypervisor_answer(struct machine_call *call, const json_t *json)
{
	_cleanup_(hv_reply_done) struct hv_reply reply = { 0 };
	hv_reply_fn fn = call->hv_fn;
	void *userdata = call->userdata;

	if (!json) {
		answer_failure(call, HV_DISCONNECTED, "the made-up machine has ended");
		return;
	}
	if (hv_reply_from_json(json, &reply) < 0) {
		reply.failure = HV_FAILED;
		reply.message = strdup("the made-up machine's answer cannot be read");
	}
	machine_call_end(call);
	fn(userdata, &reply);
}

static void tell(struct machine *m, const struct hv_event *event)
{
	if (m->hypervisor_started && m->hypervisor.on_event)
		m->hypervisor.on_event(m->hypervisor.userdata, event);
}

void machine_hypervisor_event(struct machine *m, const json_t *json)
{
	struct domain_facts *domain = NULL;
	struct hv_event event;

	if (machine_hv_event_from_json(json, &event, &domain) < 0)
		return;
	if (event.type == HV_EVENT_CONNECTED) {
		m->libvirt_up = true;
		m->tell_connected = false;
	}
	if (event.type == HV_EVENT_LOST_CONNECTION)
		m->libvirt_up = false;
	tell(m, &event);
	domain_facts_free(domain);
}

/* What start() promised and what the end of the connection means. */
void machine_hypervisor_deferred(struct machine *m)
{
	struct hv_event connected = { .type = HV_EVENT_CONNECTED };
	struct hv_event lost = { .type = HV_EVENT_LOST_CONNECTION,
				 .reason = "the made-up machine has ended" };

	if (m->tell_connected && m->libvirt_up && !m->lost)
		tell(m, &connected);
	m->tell_connected = false;
	if (m->tell_lost && m->libvirt_up)
		tell(m, &lost);
	m->tell_lost = false;
}

/* CONNECTED comes now if libvirt is known to be up, else with the machine's own word. */
static int hv_start(struct hypervisor *hv)
{
	struct machine *m = of_hypervisor(hv);

	m->hypervisor_started = true;
	m->tell_connected = true;
	return sd_event_source_set_enabled(m->defer, SD_EVENT_ONESHOT);
}

static int hv_request(struct hypervisor *hv, const struct hv_request *request, hv_reply_fn fn,
		      void *userdata)
{
	struct machine *m = of_hypervisor(hv);
	uint64_t limit = request->deadline_usec ? request->deadline_usec :
						  hv_op_deadline(request->op);
	struct hv_request told;
	_cleanup_json_ json_t *json = NULL;
	struct machine_call *call;
	int r;

	r = hv_request_check(request);
	if (r < 0)
		return r;
	told = *request;
	told.deadline_usec = limit; /* as this daemon is configured: the machine is another process */
	json = hv_request_to_json(&told);
	call = json ? machine_call_new(m, userdata) : NULL;
	if (!call)
		return -ENOMEM;
	call->hv_fn = fn;
	r = machine_call_deadline(call, limit + SLACK, on_deadline);
	if (r < 0) {
		free(call);
		return r;
	}
	return machine_send(m, call, "hypervisor", TAKE_PTR(json));
}

static void hv_nothing(struct hypervisor *hv)
{
	/* freed with the machine */
}

static const struct hypervisor_ops ops = {
	.name = "machine",
	.start = hv_start,
	.request = hv_request,
	.free = hv_nothing,
};

void machine_hypervisor_init(struct machine *m)
{
	m->hypervisor.ops = &ops;
}
