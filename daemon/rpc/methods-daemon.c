/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods about the daemon, the API itself, its events and its operations. */
#include "rpc/discover.h"
#include "rpc/event-stream.h"
#include "rpc/methods.h"

const struct json_field rpc_no_fields[] = { { NULL } };

const struct rpc_method *const rpc_methods[] = {
	rpc_methods_daemon, rpc_methods_gpu, rpc_methods_job, rpc_methods_policy,
	rpc_methods_vf,	    rpc_methods_vm,  NULL,
};

METHOD_HANDLER(audit_list);
METHOD_HANDLER(daemon_doctor);
METHOD_HANDLER(daemon_status);
METHOD_HANDLER(operation_list);
METHOD_HANDLER(operation_get);
METHOD_HANDLER(operation_cancel);

static const struct json_field doctor_fields[] = {
	{ "gpu", JSON_FIELD_STRING, offsetof(struct doctor_params, gpu), .nonempty = true,
	  .max_length = 256, .summary = "name or address of a GPU: what is about it only" },
	{ "vm", JSON_FIELD_STRING, offsetof(struct doctor_params, vm), .nonempty = true,
	  .max_length = 256, .summary = "name or uuid of a VM: what is about it only" },
	{ NULL },
};

static const struct event_subscribe_params subscribe_defaults = { .since = UINT64_MAX };
static const struct json_field subscribe_fields[] = {
	{ "since", JSON_FIELD_UINT, offsetof(struct event_subscribe_params, since),
	  .summary = "seq of the first event wanted; from now on when not said" },
	{ "types", JSON_FIELD_STRINGS, offsetof(struct event_subscribe_params, types),
	  .max_length = EVENT_TYPE_MAX, .summary = "types of events; all when not said" },
	{ NULL },
};

static const struct audit_list_params audit_list_defaults = { .uid = UINT64_MAX };
static const struct json_field audit_list_fields[] = {
	{ "since", JSON_FIELD_TIME, offsetof(struct audit_list_params, since_usec),
	  .summary = "changes at or after this time" },
	{ "until", JSON_FIELD_TIME, offsetof(struct audit_list_params, until_usec),
	  .summary = "changes before this time" },
	{ "uid", JSON_FIELD_UINT, offsetof(struct audit_list_params, uid), .max = UINT32_MAX,
	  .summary = "only those of this user" },
	{ "method", JSON_FIELD_STRING, offsetof(struct audit_list_params, method), .max_length = 64,
	  .summary = "only those by this method, or by the daemon under this word (\"daemon:job\")" },
	{ "subject", JSON_FIELD_STRING, offsetof(struct audit_list_params, subject), .max_length = 256,
	  .summary = "only those of this GPU, VF, VM or job, by the name that it has in them" },
	PAGE_FIELDS(struct audit_list_params),
	{ NULL },
};

static const struct operation_list_params operation_list_defaults = { .state = -1 };
static const struct json_field operation_list_fields[] = {
	STATE_FIELD(struct operation_list_params, operation_state_names, OPERATION_STATE_MAX),
	PAGE_FIELDS(struct operation_list_params),
	{ NULL },
};

static const struct json_field operation_fields[] = {
	NAME_FIELD("operation", "\"op/7\", as the method that began it answered"),
	{ NULL },
};

const struct rpc_method rpc_methods_daemon[] = { /* keep sorted */
	{ "audit.list", ROLE_OPERATOR, .fields = audit_list_fields,
	  .params_size = sizeof(struct audit_list_params), .defaults = &audit_list_defaults,
	  .handler = handle_audit_list,
	  .summary = "who changed what, the newest first; a page may be short, or empty, and have a next",
	  .result = "audit[]" },
	{ "daemon.doctor", ROLE_VIEWER, .fields = doctor_fields,
	  .params_size = sizeof(struct doctor_params), .handler = handle_daemon_doctor,
	  .summary = "what is wrong with the host, its GPUs and VMs, where that is seen, what to do",
	  .result = "doctor" },
	{ "daemon.status", ROLE_VIEWER, METHOD_NONE, .handler = handle_daemon_status,
	  .summary = "version, policy revision, what is wedged, degraded or drifted",
	  .result = "status" },
	{ "event.subscribe", ROLE_VIEWER, .fields = subscribe_fields,
	  .params_size = sizeof(struct event_subscribe_params), .defaults = &subscribe_defaults,
	  .session_handler = event_subscribe,
	  .summary = "sends \"event\" notifications on this connection from now on",
	  .result = "subscription" },
	{ "event.unsubscribe", ROLE_VIEWER, METHOD_NONE, .session_handler = event_unsubscribe,
	  .summary = "ends the notifications", .result = "changed" },
	{ "operation.cancel", ROLE_USER, .mutates = true, METHOD_NAME(operation_fields),
	  .handler = handle_operation_cancel,
	  .summary = "stops a slow action as soon as that is safe",
	  .result = "operation_changed" },
	{ "operation.get", ROLE_USER, METHOD_NAME(operation_fields),
	  .handler = handle_operation_get, .summary = "one slow action", .result = "operation" },
	{ "operation.list", ROLE_USER, .fields = operation_list_fields,
	  .params_size = sizeof(struct operation_list_params),
	  .defaults = &operation_list_defaults, .handler = handle_operation_list,
	  .summary = "slow actions, the newest first", .result = "operation[]" },
	{ "rpc.discover", ROLE_VIEWER, METHOD_NONE, .session_handler = rpc_discover,
	  .summary = "this description, as an OpenRPC document", .result = "openrpc" },
	{ NULL },
};
