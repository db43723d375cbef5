/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names, default deadlines and the wire form of hypervisor requests and replies.  Used by whoever
 * answers them (libvirt.c, the made-up machine) and by tests; knows neither libvirt nor a socket.
 */
#include "hypervisor/hypervisor-ops.h"

#include "lib/units.h"

const char *const hv_op_names[HV_OP_MAX] = {
	[HV_LIST] = "list",     [HV_GET] = "get",     [HV_ATTACH] = "attach",
	[HV_DETACH] = "detach", [HV_AGENT] = "agent", [HV_START] = "start",
	[HV_SHUTDOWN] = "shutdown", [HV_DESTROY] = "destroy",
};
DEFINE_ENUM_TABLE(hv_op, enum hv_op, HV_OP_MAX);

const char *const hv_failure_names[HV_FAILURE_MAX] = {
	[HV_OK] = "ok",
	[HV_DISCONNECTED] = "disconnected",
	[HV_NO_DOMAIN] = "no-domain",
	[HV_NOT_RUNNING] = "not-running",
	[HV_NO_PORT] = "no-port",
	[HV_NO_MEMORY] = "no-memory",
	[HV_SAVED] = "saved",
	[HV_ALREADY] = "already",
	[HV_AGENT_ABSENT] = "agent-absent",
	[HV_AGENT_UNRESPONSIVE] = "agent-unresponsive",
	[HV_AGENT_DISABLED] = "agent-disabled",
	[HV_AGENT_REFUSED] = "agent-refused",
	[HV_AGENT_GARBAGE] = "agent-garbage",
	[HV_GUEST_REFUSED] = "guest-refused",
	[HV_TIMEOUT] = "timeout",
	[HV_FAILED] = "failed",
};
DEFINE_ENUM_TABLE(hv_failure, enum hv_failure, HV_FAILURE_MAX);

const char *const hv_event_type_names[HV_EVENT_MAX] = {
	[HV_EVENT_CONNECTED] = "connected",
	[HV_EVENT_LOST_CONNECTION] = "lost-connection",
	[HV_EVENT_DOMAIN] = "domain",
	[HV_EVENT_DOMAIN_GONE] = "domain-gone",
	[HV_EVENT_DEVICE_REMOVED] = "device-removed",
	[HV_EVENT_DEVICE_ADDED] = "device-added",
	[HV_EVENT_STUCK] = "stuck",
	[HV_EVENT_UNSTUCK] = "unstuck",
};
DEFINE_ENUM_TABLE(hv_event_type, enum hv_event_type, HV_EVENT_MAX);

static uint64_t op_deadlines[HV_OP_MAX] = {
	/* a hypervisor that cannot describe its domains in this time is as good as gone */
	[HV_LIST] = 30 * USEC_PER_SEC,
	/* 30 s is what libvirt itself waits for the job lock of a domain */
	[HV_GET] = 45 * USEC_PER_SEC,
	/* and more by the guest's memory: hv_pinning_deadline() */
	[HV_ATTACH] = 120 * USEC_PER_SEC,
	/* a guest that means to let go does so in seconds, an emulated one in some tens */
	[HV_DETACH] = 60 * USEC_PER_SEC,
	/* libvirt spends up to 5 s on its own guest-sync before the command gets the rest */
	[HV_AGENT] = 20 * USEC_PER_SEC,
	/* QEMU comes up in a second; with a VF in its XML it pins all of its memory first: likewise */
	[HV_START] = 180 * USEC_PER_SEC,
	/* the agent's part of it: libvirt asks by ACPI when that does not answer */
	[HV_SHUTDOWN] = 30 * USEC_PER_SEC,
	/* libvirt waits up to 40 s for QEMU to die of SIGTERM, then SIGKILL, and 2 s more for each host
	 * device (virProcessKillPainfullyDelay); then up to 30 s for the domain's job lock */
	[HV_DESTROY] = 90 * USEC_PER_SEC,
};

uint64_t hv_op_deadline(enum hv_op op)
{
	return (size_t)op < HV_OP_MAX ? op_deadlines[op] : 0;
}

void hv_op_set_deadline(enum hv_op op, uint64_t usec)
{
	if ((size_t)op < HV_OP_MAX)
		op_deadlines[op] = usec;
}

const char *hv_op_late_text(enum hv_op op)
{
	static const char *const texts[HV_OP_MAX] = {
		[HV_LIST] = "libvirt did not list its domains in time",
		[HV_GET] = "libvirt did not describe the domain in time",
		[HV_ATTACH] = "libvirt did not attach the device in time",
		[HV_DETACH] = "the guest did not let go of the device in time",
		[HV_AGENT] = "the guest agent did not answer in time",
		[HV_START] = "libvirt did not start the domain in time",
		[HV_SHUTDOWN] = "libvirt did not ask the guest to shut down in time",
		[HV_DESTROY] = "libvirt did not power the domain off in time",
	};

	return texts[op];
}

uint64_t hv_pinning_deadline(enum hv_op op, uint64_t memory_bytes)
{
	return hv_op_deadline(op) + (memory_bytes >> 30) * USEC_PER_SEC;
}

/* What each operation needs besides its name. */
enum {
	NEEDS_UUID = 1 << 0,
	NEEDS_DEVICE = 1 << 1,
	NEEDS_COMMAND = 1 << 2,
};

static const unsigned op_needs[HV_OP_MAX] = {
	[HV_LIST] = 0,
	[HV_GET] = NEEDS_UUID,
	[HV_ATTACH] = NEEDS_UUID | NEEDS_DEVICE,
	[HV_DETACH] = NEEDS_UUID | NEEDS_DEVICE,
	[HV_AGENT] = NEEDS_UUID | NEEDS_COMMAND,
	[HV_START] = NEEDS_UUID,
	[HV_SHUTDOWN] = NEEDS_UUID,
	[HV_DESTROY] = NEEDS_UUID,
};

int hv_request_check(const struct hv_request *request)
{
	unsigned needs;

	if ((size_t)request->op >= HV_OP_MAX)
		return -EINVAL;
	needs = op_needs[request->op];

	if ((needs & NEEDS_UUID) && (!request->uuid || strlen(request->uuid) != 36))
		return -EINVAL;
	if ((needs & NEEDS_DEVICE) && !request->live && !request->config)
		return -EINVAL;
	if ((needs & NEEDS_COMMAND) && !json_is_object(request->command))
		return -EINVAL;
	return 0;
}

json_t *hv_request_to_json(const struct hv_request *request)
{
	_cleanup_json_ json_t *json = json_object();
	int r;

	r = json_put_string(json, "op", hv_op_to_string(request->op));
	if (r >= 0 && request->uuid)
		r = json_put_string(json, "uuid", request->uuid);
	if (r >= 0 && (op_needs[request->op] & NEEDS_DEVICE)) {
		r = json_put_string(json, "address", PCI_ADDRESS_STR(&request->address));
		if (r >= 0 && request->alias)
			r = json_put_string(json, "alias", request->alias);
		if (r >= 0)
			r = json_put_bool(json, "live", request->live);
		if (r >= 0)
			r = json_put_bool(json, "config", request->config);
		if (r >= 0 && request->managed)
			r = json_put_bool(json, "managed", true);
	}
	if (r >= 0 && request->barrier)
		r = json_put_bool(json, "barrier", true);
	if (r >= 0 && request->command)
		r = json_put(json, "command", json_incref(request->command));
	if (r >= 0 && request->deadline_usec)
		r = json_put_uint(json, "deadline_usec", request->deadline_usec);
	return r < 0 ? NULL : TAKE_PTR(json);
}

int hv_request_from_json(const json_t *json, struct hv_request *ret)
{
	struct hv_request request = { 0 };
	const char *address;
	int op, r;

	op = hv_op_from_string(strempty(json_get_string(json, "op")));
	if (op < 0)
		return -EINVAL;
	request.op = op;

	address = json_get_string(json, "address");
	if (op_needs[op] & NEEDS_DEVICE) {
		r = address ? pci_address_parse(address, &request.address) : -EINVAL;
		if (r < 0)
			return -EINVAL;
	}

	request.uuid = json_get_string(json, "uuid");
	request.alias = json_get_string(json, "alias");
	request.live = json_get_bool(json, "live", false);
	request.config = json_get_bool(json, "config", false);
	request.managed = json_get_bool(json, "managed", false);
	request.barrier = json_get_bool(json, "barrier", false);
	request.command = json_object_get(json, "command");
	request.deadline_usec = json_get_uint(json, "deadline_usec", 0);

	r = hv_request_check(&request);
	if (r < 0)
		return r;
	*ret = request;
	return 0;
}

json_t *hv_reply_to_json(const struct hv_reply *reply)
{
	_cleanup_json_ json_t *json = json_object();
	int r;

	r = json_put_string(json, "failure", hv_failure_to_string(reply->failure));
	if (r >= 0 && reply->message)
		r = json_put_string(json, "message", reply->message);
	if (r >= 0 && reply->tried)
		r = json_put_bool(json, "tried", true);
	if (r >= 0 && reply->result)
		r = json_put(json, "result", json_incref(reply->result));
	if (r >= 0 && reply->domains) {
		_cleanup_json_ json_t *domains = json_array();

		for (size_t i = 0; i < reply->n_domains; i++)
			if (json_array_append_new(domains,
						  domain_facts_to_json(reply->domains[i])) < 0)
				return NULL;
		r = json_put(json, "domains", TAKE_PTR(domains));
	}
	return r < 0 ? NULL : TAKE_PTR(json);
}

/* More domains than one host ever runs: a bound against a broken peer. */
#define DOMAINS_MAX 16384

static int domains_from_json(const json_t *json, struct hv_reply *reply)
{
	size_t n = json_array_size(json);

	if (!json)
		return 0;
	if (!json_is_array(json) || n > DOMAINS_MAX)
		return -EINVAL;
	reply->domains = calloc(n + 1, sizeof(*reply->domains));
	if (!reply->domains)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int r;

		r = domain_facts_from_json(json_array_get(json, i), &reply->domains[i]);
		if (r < 0)
			return r;
		reply->n_domains++;
	}
	return 0;
}

int hv_reply_from_json(const json_t *json, struct hv_reply *ret)
{
	_cleanup_(hv_reply_done) struct hv_reply reply = { 0 };
	int failure, r;

	failure = hv_failure_from_string(strempty(json_get_string(json, "failure")));
	if (failure < 0)
		return -EINVAL;
	reply.failure = failure;
	reply.tried = json_get_bool(json, "tried", false);

	r = free_and_strdup(&reply.message, json_get_string(json, "message"));
	if (r < 0)
		return r;

	r = domains_from_json(json_object_get(json, "domains"), &reply);
	if (r < 0)
		return r;

	reply.result = json_incref(json_object_get(json, "result"));
	*ret = reply;
	reply = (struct hv_reply){ 0 };
	return 0;
}

bool hv_attach_may_have_begun(enum hv_failure failure, const char *message)
{
	switch (failure) {
	case HV_OK:
	case HV_NO_PORT:
	case HV_NO_MEMORY:
	case HV_SAVED:
	case HV_ALREADY:
		return false;
	default:
		/* virHostdevPreparePCIDevices(): some VM, or the host, has it */
		return !message || !strstr(message, " is in use by ");
	}
}

void hv_reply_done(struct hv_reply *reply)
{
	for (size_t i = 0; i < reply->n_domains; i++)
		domain_facts_free(reply->domains[i]);
	free(reply->domains);
	free(reply->message);
	json_decref(reply->result);
	*reply = (struct hv_reply){ 0 };
}
