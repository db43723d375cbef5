/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods about the policy and what it defines. */
#include "rpc/methods.h"

METHOD_HANDLER(policy_check);
METHOD_HANDLER(policy_reload);
METHOD_HANDLER(policy_show);
METHOD_HANDLER(profile_list);
METHOD_HANDLER(queue_list);

#define POLICY_FILES_MAX 256

static const struct json_field check_fields[] = {
	{ "files", JSON_FIELD_ARRAY, offsetof(struct policy_check_params, files),
	  .required = true, .nonempty = true, .max_length = POLICY_FILES_MAX,
	  .summary = "the files of one set: [{\"name\", \"text\"}]" },
	{ NULL },
};

const struct rpc_method rpc_methods_policy[] = { /* keep sorted */
	{ "policy.check", ROLE_VIEWER, .fields = check_fields,
	  .params_size = sizeof(struct policy_check_params), .handler = handle_policy_check,
	  .summary = "tells whether these policy files would be accepted",
	  .result = "policy_check" },
	{ "policy.reload", ROLE_ADMIN, .mutates = true, METHOD_NONE,
	  .handler = handle_policy_reload, .summary = "reads the policy directory again",
	  .result = "policy_reload" },
	{ "policy.show", ROLE_VIEWER, METHOD_NONE, .handler = handle_policy_show,
	  .summary = "the policy in force, as one document", .result = "policy" },
	{ "profile.list", ROLE_VIEWER, METHOD_NONE, .handler = handle_profile_list,
	  .summary = "profiles: shapes of VFs", .result = "profile[]" },
	{ "queue.list", ROLE_VIEWER, METHOD_NONE, .handler = handle_queue_list,
	  .summary = "queues with their limits and how full they are", .result = "queue[]" },
	{ NULL },
};
