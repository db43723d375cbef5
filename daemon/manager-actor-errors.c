/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What libvirt and the kernel refuse, in the words of the API.  For whoever asked them something on behalf of a
 * caller; knows no object. */
#include "manager-state.h"

static const struct {
	enum rpc_code code;
	const char *reason;
	const char *hint;
	const char *field;
} hv_errors[HV_FAILURE_MAX] = {
	[HV_DISCONNECTED] = { RPC_HOST_ERROR, "no_libvirt", "is libvirtd (or virtqemud) running?" },
	[HV_NO_DOMAIN] = { RPC_NOT_FOUND, "no_vm", "see `gpuvf list vms`" },
	[HV_NOT_RUNNING] = { RPC_CONFLICT, "vm_off", "start the VM, or use --config" },
	[HV_NO_PORT] = { RPC_NO_FIT, "no_port", NO_PORT_HINT, "vm" },
	[HV_NO_MEMORY] = { RPC_NO_FIT, "no_memory",
			   "shut another VM down or give it, or this one, less memory; ballooning does not help a VM with a VF",
			   "vm" },
	[HV_SAVED] = { RPC_CONFLICT, "vm_saved",
		       "start the VM and use --live, or drop its saved state: virsh managedsave-remove VM", "vm" },
	[HV_ALREADY] = { RPC_CONFLICT, "already", NULL },
	[HV_AGENT_ABSENT] = { RPC_CONFLICT, "no_agent",
			      "add an org.qemu.guest_agent.0 channel to the VM's XML" },
	[HV_AGENT_UNRESPONSIVE] = { RPC_HOST_ERROR, "agent_silent", "is qemu-guest-agent running in the VM?" },
	[HV_AGENT_DISABLED] = { RPC_UNSUPPORTED, "agent_disabled",
				"allow guest-exec and guest-file-* in the guest agent's configuration" },
	[HV_AGENT_REFUSED] = { RPC_HOST_ERROR, "agent_refused", NULL },
	[HV_AGENT_GARBAGE] = { RPC_HOST_ERROR, "agent_garbage", NULL },
	[HV_GUEST_REFUSED] = { RPC_CONFLICT, "guest_refused", "stop what uses the device in the guest, and try again" },
	[HV_TIMEOUT] = { RPC_TIMEOUT, "hypervisor_timeout", NULL },
	[HV_FAILED] = { RPC_HOST_ERROR, "libvirt", NULL },
};

void rpc_error_from_hv(struct rpc_error *error, const struct hv_reply *reply, const char *what)
{
	const char *name = hv_failure_to_string(reply->failure);

	rpc_error_set(error, hv_errors[reply->failure].code ? hv_errors[reply->failure].code : RPC_HOST_ERROR,
		      "%s: %s", what, reply->message ? reply->message : strempty(name));
	rpc_error_detail(error, hv_errors[reply->failure].reason, hv_errors[reply->failure].field,
			 hv_errors[reply->failure].hint);
}

json_t *host_holders_texts(const struct host_reply *reply)
{
	json_t *texts = json_array();

	for (size_t i = 0; i < reply->n_holders; i++) {
		_cleanup_free_ char *text =
			xasprintf("vf%u: %s (pid %d) has %s open", reply->holders[i].vf,
				  strempty(reply->holders[i].command), reply->holders[i].pid,
				  strempty(reply->holders[i].path));

		json_array_append_new(texts, json_string(strempty(text)));
	}
	return texts;
}

void rpc_error_from_host(struct rpc_error *error, const struct host_reply *reply, const char *what)
{
	enum rpc_code code = reply->r == -ETIMEDOUT ? RPC_WEDGED : RPC_HOST_ERROR;

	if (reply->r == -EBUSY && reply->n_holders > 0)
		code = RPC_CONFLICT;
	rpc_error_set(error, code, "%s: %s%s%s", what, strempty(reply->attribute),
		      reply->attribute ? ": " : "", reply->message ? reply->message : strerror(-reply->r));
	error->errnum = -reply->r;
	if (reply->n_holders > 0 && !error->holders)
		error->holders = host_holders_texts(reply);
}
