/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes the OpenRPC document.  Nothing is described by hand here: names, roles and parameters come
 * from the rows, results from result-schema.c. */
#include "rpc/discover.h"

#include "rpc/result-schema.h"

#define OPENRPC_VERSION "1.2.6"
#define SERVER_ERROR_FIRST RPC_NOT_PERMITTED
#define SERVER_ERROR_LAST RPC_DEGRADED

static const struct json_field request_id_fields[] = {
	{ "request_id", JSON_FIELD_STRING, 0, .nonempty = true, .max_length = RPC_REQUEST_ID_MAX,
	  .summary = "the same id again within 7 days gives the first answer again" },
	{ NULL },
};

/* One content descriptor per field, in the order of the table. */
static int add_params(json_t *params, const struct json_field *fields)
{
	_cleanup_json_ json_t *schema = json_fields_schema(fields);
	const json_t *properties = json_object_get(schema, "properties");
	size_t i;

	if (!properties)
		return -ENOMEM;
	for (i = 0; fields[i].name; i++) {
		json_t *row = json_pack("{s:s,s:b,s:O}", "name", fields[i].name, "required",
					fields[i].required, "schema",
					json_object_get(properties, fields[i].name));

		if (json_array_append_new(params, row) < 0)
			return -ENOMEM;
	}
	return 0;
}

static json_t *method_description(const struct rpc_method *m)
{
	_cleanup_json_ json_t *params = json_array();
	json_t *result = m->result ? result_schema(m->result) : json_object();

	if (!params || add_params(params, m->fields) < 0 ||
	    (m->mutates && add_params(params, request_id_fields) < 0)) {
		json_decref(result);
		return NULL;
	}
	return json_pack("{s:s,s:s,s:s,s:O,s:{s:s,s:o},s:s,s:b}", "name", m->name, "summary",
			 m->summary, "paramStructure", "by-name", "params", params, "result", "name",
			 m->result ? m->result : "result", "schema", result, "x-role",
			 role_to_string(m->role), "x-mutates", m->mutates);
}

/* Codes by their names: {"not_found": {"code": -32002, "message": "not_found"}}. */
static json_t *error_components(void)
{
	_cleanup_json_ json_t *errors = json_object();
	int code;

	if (!errors)
		return NULL;
	for (code = SERVER_ERROR_FIRST; code >= SERVER_ERROR_LAST; code--) {
		const char *name = rpc_code_to_string((enum rpc_code)code);

		if (json_put(errors, name,
			     json_pack("{s:i,s:s}", "code", code, "message", name)) < 0)
			return NULL;
	}
	return TAKE_PTR(errors);
}

json_t *discover_document(const struct dispatch *d)
{
	_cleanup_json_ json_t *methods = json_array();
	const struct rpc_method *const *rows;
	size_t i, n;

	if (!methods)
		return NULL;
	rows = dispatch_methods(d, &n);
	for (i = 0; i < n; i++)
		if (json_array_append_new(methods, method_description(rows[i])) < 0)
			return NULL;

	return json_pack("{s:s,s:{s:s,s:s,s:{s:s}},s:O,s:{s:o,s:o}}", "openrpc", OPENRPC_VERSION,
			 "info", "title", "gpuvf", "version", API_VERSION, "license", "name",
			 "GPL-2.0-or-later", "methods", methods, "components", "schemas",
			 result_schema_components(), "errors", error_components());
}

void rpc_discover(struct rpc_session *session, const void *params, struct reply *reply)
{
	reply_result(reply, discover_document(session->dispatch));
}
