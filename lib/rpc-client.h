/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A blocking JSON-RPC client over a Unix socket: the command line and tests use it. */
#pragma once

#include "lib/jsonrpc.h"
#include "lib/line-buffer.h"

struct rpc_client;

/* Called for every notification that arrives while a call waits, or in rpc_client_receive(). */
typedef void (*rpc_notification_fn)(void *userdata, const char *method, const json_t *params);

/* Connects.  Returns 0 or a negative errno (-ENOENT, -ECONNREFUSED, -EACCES, …). */
int rpc_client_connect(const char *path, struct rpc_client **ret);
struct rpc_client *rpc_client_free(struct rpc_client *c);
DEFINE_CLEANUP(struct rpc_client *, rpc_client_free);

int rpc_client_fd(const struct rpc_client *c);
void rpc_client_on_notification(struct rpc_client *c, rpc_notification_fn fn, void *userdata);

/* Sends a request and waits for its answer.  Takes params (NULL = {}).  Returns 0 with new *ret_result;
 * -ECANCELED with ret_error filled when the daemon refused; -EINTR when a signal handler
 * ran while waiting (the daemon goes on with the request, the connection can be used further); another
 * negative errno when the connection broke (-EPIPE: closed, -EBADMSG: not JSON-RPC).  A request above
 * RPC_MESSAGE_MAX is refused here, with RPC_LIMIT. */
int rpc_client_call(struct rpc_client *c, const char *method, json_t *params, json_t **ret_result,
		    struct rpc_error *ret_error);

/* Waits for one notification and dispatches it.  timeout in ms, -1 = for ever.  Returns 1, 0 on
 * timeout, or a negative errno (-EPIPE: the daemon closed, -EINTR: a signal handler ran). */
int rpc_client_receive(struct rpc_client *c, int timeout_ms);
