/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a line to the function that answers it: parses, finds the method's row, checks role and
 * parameters, calls.  Everything that a method is stands in its row. */
#pragma once

#include "lib/json-field.h"
#include "manager.h"
#include "rpc/connection.h"

struct rpc_session;

/* params and caller live until the reply was given. */
typedef void (*rpc_handler_fn)(struct manager *m, const struct caller *caller, const void *params,
			       struct reply *reply);
/* For the few methods that are about the connection itself. */
typedef void (*rpc_session_fn)(struct rpc_session *session, const void *params,
			       struct reply *reply);

/* Whether the call does better to wait for libvirt's first word since the daemon's start. */
typedef bool (*rpc_waits_fn)(struct manager *m, const void *params);

struct rpc_method {
	const char *name;
	enum role role;			 /* the least one that may call */
	bool mutates;			 /* takes request_id */
	const struct json_field *fields; /* ended by a row without a name */
	size_t params_size;
	const void *defaults; /* parameters before decoding; NULL = zeros */
	rpc_handler_fn handler;
	rpc_session_fn session_handler; /* instead of handler */
	rpc_waits_fn waits; /* NULL = never; only beside handler */
	const char *summary;
	const char *result; /* name of a result schema (result-schema.h); "[]" behind it = a page */
};

#define RPC_REQUEST_ID_MAX 128

struct dispatch;

/* tables: ended by NULL; each a table ended by a row without a name. */
int dispatch_new(struct manager *manager, const struct rpc_method *const *tables,
		 struct dispatch **ret);
struct dispatch *dispatch_free(struct dispatch *d);
DEFINE_CLEANUP(struct dispatch *, dispatch_free);

/* The rows in the order of their names. */
const struct rpc_method *const *dispatch_methods(const struct dispatch *d, size_t *ret_n);

/* What dispatch knows about one connection. */
struct event_stream;
struct rpc_session {
	struct dispatch *dispatch;
	struct manager *manager;
	struct connection *connection; /* borrowed: the session goes with it */
	struct event_stream *events;   /* NULL = not subscribed */
};

void dispatch_line(struct rpc_session *session, const char *line, size_t size);
