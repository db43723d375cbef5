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

METHOD_HANDLER(daemon_status);
METHOD_HANDLER(operation_list);
METHOD_HANDLER(operation_get);
METHOD_HANDLER(operation_cancel);

static const struct event_subscribe_params subscribe_defaults = { .since = UINT64_MAX };
static const struct json_field subscribe_fields[] = {
	{ "since", JSON_FIELD_UINT, offsetof(struct event_subscribe_params, since),
	  .summary = "seq of the first event wanted; from now on when not said" },
	{ "types", JSON_FIELD_STRINGS, offsetof(struct event_subscribe_params, types),
	  .max_length = EVENT_TYPE_MAX, .summary = "types of events; all when not said" },
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
