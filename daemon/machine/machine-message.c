/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wire form of events between gpuvf-machine and the daemon. */
#include "machine/machine-message.h"

static const char *const host_event_names[HOST_EVENT_MAX] = {
	[HOST_EVENT_CHANGED] = "changed", [HOST_EVENT_BOUND] = "bound",
	[HOST_EVENT_WEDGED] = "wedged",   [HOST_EVENT_REMOVED] = "removed",
	[HOST_EVENT_RESCAN] = "rescan",   [HOST_EVENT_SETTLED] = "settled",
	[HOST_EVENT_STUCK] = "stuck",
	[HOST_EVENT_UNSTUCK] = "unstuck",
};

const char *machine_host_attribute(const struct host_request *request)
{
	static const char *const names[HOST_OP_MAX] = {
		[HOST_SCAN] = "devices",
		[HOST_LINKS] = "devices",
		[HOST_READ] = "sriov_numvfs",
		[HOST_HOLDERS] = "vfio",
		[HOST_SET_AUTOPROBE] = "sriov_drivers_autoprobe",
		[HOST_SET_NUMVFS] = "sriov_numvfs",
		[HOST_BIND_VFIO] = "driver_override",
		[HOST_UNBIND] = "unbind",
		[HOST_WAIT_CLOSED] = "vfio",
		[HOST_RESET_VF] = "reset",
		[HOST_PROBE_VF] = "config",
		[HOST_RESTORE_AUTO] = "restore_auto_provisioning",
	};

	return host_op_takes_attribute(request->op) ? vf_attribute_to_string(request->attribute) :
						      names[request->op];
}

json_t *machine_host_event_to_json(const struct host_event *event)
{
	_cleanup_json_ json_t *json = json_object();

	if (json_put_string(json, "event", "host") < 0 ||
	    json_put_string(json, "type", host_event_names[event->type]) < 0 ||
	    json_put_string(json, "gpu", PCI_ADDRESS_STR(&event->gpu)) < 0 ||
	    json_put_string(json, "attribute", event->attribute) < 0)
		return NULL;
	return TAKE_PTR(json);
}

int machine_host_event_from_json(const json_t *json, struct host_event *ret)
{
	const char *gpu = json_get_string(json, "gpu");
	struct host_event event = {.attribute = json_get_string(json, "attribute")};
	int type = enum_from_string(host_event_names, HOST_EVENT_MAX,
				    strempty(json_get_string(json, "type")));

	if (type < 0 || !gpu || pci_address_parse(gpu, &event.gpu) < 0)
		return -EINVAL;
	event.type = type;
	*ret = event;
	return 0;
}

json_t *machine_hv_event_to_json(const struct hv_event *event)
{
	_cleanup_json_ json_t *json = json_object();

	if (json_put_string(json, "event", "hypervisor") < 0 ||
	    json_put_string(json, "type", hv_event_type_to_string(event->type)) < 0 ||
	    json_put_string(json, "uuid", event->uuid) < 0 ||
	    json_put_string(json, "alias", event->alias) < 0 ||
	    json_put_string(json, "reason", event->reason) < 0)
		return NULL;
	if (event->domain && json_put(json, "domain", domain_facts_to_json(event->domain)) < 0)
		return NULL;
	return TAKE_PTR(json);
}

int machine_hv_event_from_json(const json_t *json, struct hv_event *ret,
			       struct domain_facts **ret_domain)
{
	_cleanup_(domain_facts_freep) struct domain_facts *domain = NULL;
	const json_t *facts = json_object_get(json, "domain");
	int type = hv_event_type_from_string(strempty(json_get_string(json, "type"))), r;

	if (type < 0)
		return -EINVAL;
	if (facts) {
		r = domain_facts_from_json(facts, &domain);
		if (r < 0)
			return r;
	}
	*ret = (struct hv_event){
		.type = type,
		.uuid = json_get_string(json, "uuid"),
		.alias = json_get_string(json, "alias"),
		.reason = json_get_string(json, "reason"),
		.domain = domain,
	};
	*ret_domain = TAKE_PTR(domain);
	return 0;
}
