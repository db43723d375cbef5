/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Builds and checks JSON-RPC 2.0 messages, for server, client and the helper protocols.  Knows no
 * method and no transport. */
#include "lib/jsonrpc.h"

#include <stdarg.h>
#include <stdio.h>

struct code_row {
	enum rpc_code code;
	const char *name;
	int exit;
};

static const struct code_row code_rows[] = {
	{ RPC_PARSE_ERROR, "parse_error", 2 },
	{ RPC_INVALID_REQUEST, "invalid_request", 2 },
	{ RPC_METHOD_NOT_FOUND, "method_not_found", 10 }, /* the daemon is older than the caller */
	{ RPC_INVALID_PARAMS, "invalid_params", 2 },
	{ RPC_INTERNAL_ERROR, "internal_error", 1 },
	{ RPC_NOT_PERMITTED, "not_permitted", 4 },
	{ RPC_NOT_FOUND, "not_found", 5 },
	{ RPC_CONFLICT, "conflict", 6 },
	{ RPC_NO_FIT, "no_fit", 9 },
	{ RPC_INVALID_DOCUMENT, "invalid_document", 8 },
	{ RPC_UNSUPPORTED, "unsupported", 10 },
	{ RPC_HOST_ERROR, "host_error", 1 },
	{ RPC_TIMEOUT, "timeout", 7 },
	{ RPC_LIMIT, "limit", 9 },
	{ RPC_WEDGED, "wedged", 1 },
	{ RPC_DEGRADED, "degraded", 1 },
};

static const struct code_row *code_find(enum rpc_code code)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(code_rows); i++)
		if (code_rows[i].code == code)
			return &code_rows[i];
	return NULL;
}

const char *rpc_code_to_string(enum rpc_code code)
{
	const struct code_row *row = code_find(code);

	return row ? row->name : "unknown";
}

int rpc_code_to_exit(enum rpc_code code)
{
	const struct code_row *row = code_find(code);

	return row ? row->exit : 1;
}

void rpc_error_done(struct rpc_error *error)
{
	free(error->message);
	free(error->reason);
	free(error->field);
	free(error->hint);
	json_decref(error->holders);
	memset(error, 0, sizeof(*error));
}

void rpc_error_move(struct rpc_error *to, struct rpc_error *from)
{
	if (to == from)
		return;

	rpc_error_done(to);
	*to = *from;
	memset(from, 0, sizeof(*from));
}

int rpc_error_set(struct rpc_error *error, enum rpc_code code, const char *format, ...)
{
	va_list ap;

	if (error->code != 0)
		return -ECANCELED;

	error->code = code;
	va_start(ap, format);
	if (vasprintf(&error->message, format, ap) < 0)
		error->message = NULL;
	va_end(ap);
	return -ECANCELED;
}

int rpc_error_detail(struct rpc_error *error, const char *reason, const char *field,
		     const char *hint)
{
	/* Details are a courtesy: without memory for them the error itself still stands. */
	if (reason)
		(void)free_and_strdup(&error->reason, reason);
	if (field)
		(void)free_and_strdup(&error->field, field);
	if (hint)
		(void)free_and_strdup(&error->hint, hint);
	return -ECANCELED;
}

static json_t *error_data(const struct rpc_error *error)
{
	_cleanup_json_ json_t *data = json_object();
	const char *reason = error->reason ? error->reason : rpc_code_to_string(error->code);

	if (!data || json_put_string(data, "reason", reason) < 0)
		return NULL;
	if (error->field && json_put_string(data, "field", error->field) < 0)
		return NULL;
	if (error->hint && json_put_string(data, "hint", error->hint) < 0)
		return NULL;
	if (error->errnum != 0 && json_put(data, "errno", json_integer(error->errnum)) < 0)
		return NULL;
	if (error->holders && json_put(data, "holders", json_incref(error->holders)) < 0)
		return NULL;

	return TAKE_PTR(data);
}

json_t *rpc_error_to_json(const struct rpc_error *error)
{
	_cleanup_json_ json_t *json = json_object();
	const char *message = error->message ? error->message : rpc_code_to_string(error->code);

	if (!json || json_put(json, "code", json_integer(error->code)) < 0 ||
	    json_put_string(json, "message", message) < 0 ||
	    json_put(json, "data", error_data(error)) < 0)
		return NULL;

	return TAKE_PTR(json);
}

int rpc_error_from_json(const json_t *json, struct rpc_error *ret)
{
	const json_t *code = json_object_get(json, "code");
	const json_t *data = json_object_get(json, "data");
	const char *message = json_get_string(json, "message");
	struct rpc_error error = { 0 };
	int64_t errnum;

	if (!json_is_integer(code) || json_integer_value(code) == 0 ||
	    json_integer_value(code) < INT32_MIN || json_integer_value(code) > INT32_MAX || !message)
		return -EINVAL;

	(void)rpc_error_set(&error, (enum rpc_code)json_integer_value(code), "%s", message);
	(void)rpc_error_detail(&error, json_get_string(data, "reason"),
			       json_get_string(data, "field"), json_get_string(data, "hint"));
	errnum = json_get_int(data, "errno", 0);
	if (errnum > 0 && errnum <= INT32_MAX)
		error.errnum = (int)errnum;
	if (json_is_array(json_object_get(data, "holders")))
		error.holders = json_incref(json_object_get(data, "holders"));

	*ret = error;
	return 0;
}

/* Every message begins with the version.  Takes the value of the last member; NULL = none. */
static json_t *message_new(const char *method, const json_t *id, bool with_id, const char *last,
			   json_t *value)
{
	_cleanup_json_ json_t *message = json_object();
	_cleanup_json_ json_t *owned = value;

	if (!message || json_put_string(message, "jsonrpc", "2.0") < 0)
		return NULL;
	if (with_id && json_put(message, "id", id ? json_incref((json_t *)id) : json_null()) < 0)
		return NULL;
	if (method && json_put_string(message, "method", method) < 0)
		return NULL;
	if (owned && json_put(message, last, TAKE_PTR(owned)) < 0)
		return NULL;

	return TAKE_PTR(message);
}

json_t *rpc_request(json_t *id, const char *method, json_t *params)
{
	return message_new(method, id, true, "params", params);
}

json_t *rpc_response(const json_t *id, json_t *result)
{
	/* A response without a result is none: NULL here is memory running out at the caller. */
	return result ? message_new(NULL, id, true, "result", result) : NULL;
}

json_t *rpc_response_error(const json_t *id, const struct rpc_error *error)
{
	json_t *json = rpc_error_to_json(error);

	return json ? message_new(NULL, id, true, "error", json) : NULL;
}

json_t *rpc_notification(const char *method, json_t *params)
{
	return message_new(method, NULL, false, "params", params);
}

static int check_members(const json_t *message, struct rpc_error *error)
{
	static const char *const known[] = { "jsonrpc", "id", "method", "params" };
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)message, name, value) {
		if (enum_from_string(known, ARRAY_SIZE(known), name) >= 0)
			continue;
		(void)rpc_error_set(error, RPC_INVALID_REQUEST, "unknown member \"%.64s\"", name);
		return rpc_error_detail(error, NULL, name,
					"a request has jsonrpc, id, method and params");
	}
	return 0;
}

/* Reads the id first, so that every other refusal can be sent to the right caller. */
static int read_id(const json_t *message, struct rpc_call *call, struct rpc_error *error)
{
	const json_t *id = json_object_get(message, "id");

	if (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id)) {
		(void)rpc_error_set(error, RPC_INVALID_REQUEST,
				    "id must be a string, a number or null");
		return rpc_error_detail(error, NULL, "id", NULL);
	}

	call->id = id;
	return 0;
}

int rpc_call_parse(const json_t *message, struct rpc_call *ret, struct rpc_error *ret_error)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!json_is_object(message))
		return rpc_error_set(ret_error, RPC_INVALID_REQUEST, "a request must be an object");

	r = read_id(message, ret, ret_error);
	if (r < 0)
		return r;

	if (!streq_ptr(json_get_string(message, "jsonrpc"), "2.0")) {
		(void)rpc_error_set(ret_error, RPC_INVALID_REQUEST, "jsonrpc must be \"2.0\"");
		return rpc_error_detail(ret_error, NULL, "jsonrpc", NULL);
	}

	ret->method = json_get_string(message, "method");
	if (!ret->method || *ret->method == '\0') {
		(void)rpc_error_set(ret_error, RPC_INVALID_REQUEST,
				    "method must be a string that is not empty");
		return rpc_error_detail(ret_error, NULL, "method",
					"rpc.discover lists the methods");
	}

	r = check_members(message, ret_error);
	if (r < 0)
		return r;

	ret->params = json_object_get(message, "params");
	if (ret->params && !json_is_object(ret->params)) {
		(void)rpc_error_set(ret_error, RPC_INVALID_PARAMS, "params must be an object");
		return rpc_error_detail(ret_error, NULL, "params",
					"parameters are given by name: {\"gpu\": \"gpu0\"}");
	}
	return 0;
}
