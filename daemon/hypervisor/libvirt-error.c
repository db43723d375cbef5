/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt's errors in our words.  Where libvirt has no code of its own for a case, its text
 * decides; the texts are untranslated because the daemon sets no locale. */
#include <libvirt/virterror.h>

#include "hypervisor/agent-answer.h"
#include "hypervisor/libvirt-ops.h"

#define ANY_OP HV_OP_MAX
#define ANY_CODE (-1)

/* First match wins. */
static const struct rule {
	enum hv_op op;
	int code;
	const char *text; /* NULL = any */
	enum hv_failure failure;
} rules[] = {
	{ ANY_OP, VIR_ERR_NO_DOMAIN, NULL, HV_NO_DOMAIN },
	{ ANY_OP, VIR_ERR_RPC, NULL, HV_DISCONNECTED },
	{ ANY_OP, VIR_ERR_NO_CONNECT, NULL, HV_DISCONNECTED },
	{ ANY_OP, VIR_ERR_INVALID_CONN, NULL, HV_DISCONNECTED },
	{ ANY_OP, VIR_ERR_INTERNAL_ERROR, "client socket is closed", HV_DISCONNECTED },
	{ ANY_OP, VIR_ERR_OPERATION_INVALID, "is not running", HV_NOT_RUNNING },
	/* the domain's job lock was not to be had in 30 s */
	{ HV_LIST, VIR_ERR_OPERATION_TIMEOUT, NULL, HV_TIMEOUT },
	{ HV_GET, VIR_ERR_OPERATION_TIMEOUT, NULL, HV_TIMEOUT },
	{ HV_ATTACH, VIR_ERR_OPERATION_TIMEOUT, NULL, HV_TIMEOUT },
	{ HV_DETACH, VIR_ERR_OPERATION_TIMEOUT, NULL, HV_TIMEOUT },
	{ HV_START, VIR_ERR_OPERATION_TIMEOUT, NULL, HV_TIMEOUT },
	{ HV_SHUTDOWN, VIR_ERR_OPERATION_TIMEOUT, NULL, HV_TIMEOUT },
	{ HV_DESTROY, VIR_ERR_OPERATION_TIMEOUT, NULL, HV_TIMEOUT },

	{ HV_ATTACH, ANY_CODE, "No more available PCI", HV_NO_PORT },
	{ HV_ATTACH, ANY_CODE, "doesn't support hotplug", HV_NO_PORT },
	{ HV_ATTACH, ANY_CODE, "already exists in the domain", HV_ALREADY },
	{ HV_ATTACH, ANY_CODE, "already in the domain", HV_ALREADY },

	{ HV_DETACH, VIR_ERR_DEVICE_MISSING, NULL, HV_ALREADY },
	{ HV_DETACH, ANY_CODE, "not found in", HV_ALREADY },
	{ HV_DETACH, ANY_CODE, "not present in", HV_ALREADY },
	{ HV_DETACH, ANY_CODE, "rejected by the guest", HV_GUEST_REFUSED },

	{ HV_START, VIR_ERR_OPERATION_INVALID, "already running", HV_ALREADY },
	{ HV_START, ANY_CODE, "No more available PCI", HV_NO_PORT },

	{ HV_AGENT, VIR_ERR_AGENT_UNRESPONSIVE, NULL, HV_AGENT_UNRESPONSIVE },
	{ HV_AGENT, VIR_ERR_AGENT_UNSYNCED, NULL, HV_AGENT_UNRESPONSIVE },
	{ HV_AGENT, VIR_ERR_OPERATION_TIMEOUT, NULL, HV_AGENT_UNRESPONSIVE },
	{ HV_AGENT, ANY_CODE, "agent is not connected", HV_AGENT_UNRESPONSIVE },
	{ HV_AGENT, ANY_CODE, "agent is not responding", HV_AGENT_UNRESPONSIVE },
	{ HV_AGENT, ANY_CODE, "agent not available", HV_AGENT_UNRESPONSIVE },
	{ HV_AGENT, ANY_CODE, "agent is not available", HV_AGENT_UNRESPONSIVE },
	{ HV_AGENT, ANY_CODE, "agent disappeared", HV_AGENT_UNRESPONSIVE },
	{ HV_AGENT, ANY_CODE, "agent is not configured", HV_AGENT_ABSENT },
	{ HV_AGENT, ANY_CODE, "cannot parse json", HV_AGENT_GARBAGE },
	{ HV_AGENT, ANY_CODE, "agent reply", HV_AGENT_GARBAGE },
	{ HV_AGENT, ANY_CODE, "agent response", HV_AGENT_GARBAGE },
};

enum hv_failure libvirt_failure(enum hv_op op, int code, const char *message)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		const struct rule *rule = &rules[i];

		if ((rule->op == ANY_OP || rule->op == op) &&
		    (rule->code == ANY_CODE || rule->code == code) &&
		    (!rule->text || strcasestr(message, rule->text)))
			return rule->failure;
	}
	/* "… QEMU agent command 'guest-exec': Command guest-exec has been disabled" */
	if (op == HV_AGENT && strstr(message, "unable to execute QEMU agent command"))
		return agent_error_classify(message);
	return HV_FAILED;
}
