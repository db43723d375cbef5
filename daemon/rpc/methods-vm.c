/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods about libvirt's domains. */
#include "rpc/methods.h"

METHOD_HANDLER(vm_list);
METHOD_HANDLER(vm_get);
METHOD_HANDLER(vm_heal);

bool rpc_waits_for_hypervisor(struct manager *m, const void *params)
{
	return manager_awaits_hypervisor(m);
}

static const struct vm_list_params list_defaults = { .state = -1 };
static const struct json_field list_fields[] = {
	STATE_FIELD(struct vm_list_params, vm_state_names, VM_STATE_MAX),
	PAGE_FIELDS(struct vm_list_params),
	{ NULL },
};

static const struct json_field name_fields[] = {
	NAME_FIELD("vm", "name or uuid of a libvirt domain"),
	{ NULL },
};

const struct rpc_method rpc_methods_vm[] = { /* keep sorted */
	{ "vm.get", ROLE_VIEWER, METHOD_NAME(name_fields), .handler = handle_vm_get, .waits = rpc_waits_for_hypervisor,
	  .summary = "one VM", .result = "vm" },
	{ "vm.heal", ROLE_OPERATOR, .mutates = true, METHOD_NAME(name_fields),
	  .handler = handle_vm_heal, .waits = rpc_waits_for_hypervisor, .summary = "takes a VM out of quarantine",
	  .result = "healed" },
	{ "vm.list", ROLE_VIEWER, .fields = list_fields,
	  .params_size = sizeof(struct vm_list_params), .defaults = &list_defaults,
	  .handler = handle_vm_list, .waits = rpc_waits_for_hypervisor, .summary = "libvirt's domains and the VFs they hold",
	  .result = "vm[]" },
	{ NULL },
};
