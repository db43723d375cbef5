/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rpc/call-params.h"

#include "lib/escape.h"

/* "/job/name" is told as "job.name", an array's index as "vms.0". */
static char *pointer_to_field(const char *pointer)
{
	char *field = strdup(*pointer == '/' ? pointer + 1 : pointer), *p;

	for (p = field; p && *p; p++)
		if (*p == '/')
			*p = '.';
	return field;
}

static int refuse_params(const struct json_fault *fault, struct rpc_error *error)
{
	_cleanup_free_ char *field = pointer_to_field(strempty(fault->pointer));

	if (!fault->what)
		return rpc_error_set(error, RPC_INTERNAL_ERROR, "out of memory");
	(void)rpc_error_set(error, RPC_INVALID_PARAMS, "%s%s%s", strempty(field),
			    field && *field ? ": " : "", fault->what);
	return rpc_error_detail(error, NULL, field && *field ? field : "params", fault->hint);
}

int call_split_request_id(const struct rpc_method *method, const json_t *params, json_t **ret_rest,
			  const char **ret_id, struct rpc_error *error)
{
	const json_t *id = method->mutates ? json_object_get(params, "request_id") : NULL;
	json_t *rest = params ? json_copy((json_t *)params) : json_object();

	if (!rest)
		return rpc_error_set(error, RPC_INTERNAL_ERROR, "out of memory");
	*ret_rest = rest;
	if (!id)
		return 0;

	(void)json_object_del(rest, "request_id");
	if (json_is_null(id))
		return 0;
	if (!json_is_string(id) || !name_is_valid(json_string_value(id), RPC_REQUEST_ID_MAX)) {
		(void)rpc_error_set(error, RPC_INVALID_PARAMS,
				    "request_id: must be 1 to %d printable characters without '/'",
				    RPC_REQUEST_ID_MAX);
		return rpc_error_detail(error, NULL, "request_id", "a UUID does well");
	}
	*ret_id = json_string_value(id);
	return 0;
}

int call_decode_params(const struct rpc_method *method, const json_t *params, void *out, struct rpc_error *error)
{
	struct json_fault fault = { 0 };
	int r;

	r = json_fields_decode(params, "", method->fields, out, &fault);
	if (r == -EINVAL)
		r = refuse_params(&fault, error);
	else if (r < 0)
		r = rpc_error_set(error, RPC_INTERNAL_ERROR, "out of memory");
	json_fault_done(&fault);
	return r;
}
