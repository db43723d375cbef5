/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON-RPC 2.0 messages and this project's error codes (interface §3). */
#pragma once

#include "lib/enum-table.h"
#include "lib/json.h"

#define API_VERSION "1.1"

/* One line of the socket, without its newline. */
#define RPC_MESSAGE_MAX ((size_t)1 << 20)
#define RPC_BATCH_MAX 64

enum rpc_code {
	RPC_PARSE_ERROR = -32700,
	RPC_INVALID_REQUEST = -32600,
	RPC_METHOD_NOT_FOUND = -32601,
	RPC_INVALID_PARAMS = -32602,
	RPC_INTERNAL_ERROR = -32603,
	RPC_NOT_PERMITTED = -32001,
	RPC_NOT_FOUND = -32002,
	RPC_CONFLICT = -32003,
	RPC_NO_FIT = -32004,
	RPC_INVALID_DOCUMENT = -32005,
	RPC_UNSUPPORTED = -32006,
	RPC_HOST_ERROR = -32007,
	RPC_TIMEOUT = -32008,
	RPC_LIMIT = -32009,
	RPC_WEDGED = -32010,
	RPC_DEGRADED = -32011,
};

/* "not_found" and so on: data.reason when nothing more exact is known. */
const char *rpc_code_to_string(enum rpc_code code);

/* Exit code of the client for an error code (interface §2). */
int rpc_code_to_exit(enum rpc_code code);

/* A refusal on its way to a caller.  Zero-initialise; release with rpc_error_done(). */
struct rpc_error {
	enum rpc_code code; /* 0 = no error */
	char *message;
	char *reason; /* NULL: the code's own name */
	char *field;
	char *hint;
	int errnum;	 /* positive errno, 0 = none */
	json_t *holders; /* array of strings, or NULL */
};

void rpc_error_done(struct rpc_error *error);
void rpc_error_move(struct rpc_error *to, struct rpc_error *from);

/* Sets code and message; the first error stays.  Returns -ECANCELED, so that a validator can end with
 * `return rpc_error_set(…)`; memory running out leaves the code set and the message NULL. */
int rpc_error_set(struct rpc_error *error, enum rpc_code code, const char *format, ...)
	_printf_(3, 4);
/* Adds details to an error that has been set; strings are copied. NULL leaves as is. Returns -ECANCELED. */
int rpc_error_detail(struct rpc_error *error, const char *reason, const char *field,
		     const char *hint);

/* {"code","message","data":{…}}.  Returns new. */
json_t *rpc_error_to_json(const struct rpc_error *error);
int rpc_error_from_json(const json_t *json, struct rpc_error *ret);

/* Whole messages.  All take params / result and borrow id; each returns new. */
json_t *rpc_request(json_t *id, const char *method, json_t *params);
json_t *rpc_response(const json_t *id, json_t *result);
json_t *rpc_response_error(const json_t *id, const struct rpc_error *error);
json_t *rpc_notification(const char *method, json_t *params);

/* A received request.  Everything is borrowed from the message. */
struct rpc_call {
	const json_t *id; /* NULL: a notification, gets no answer */
	const char *method;
	const json_t *params; /* object, or NULL */
};

/* Checks one request object: jsonrpc "2.0", method, params an object, id string/number/null, no other
 * members.  Returns 0, or -ECANCELED with error set (INVALID_REQUEST or INVALID_PARAMS); ret->id is
 * set whenever it could be read. */
int rpc_call_parse(const json_t *message, struct rpc_call *ret, struct rpc_error *ret_error);
