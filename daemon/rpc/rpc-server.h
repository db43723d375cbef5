/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON-RPC server on a Unix socket: accepts, knows every connection, reaps.  main.c makes it,
 * with the manager that answers and the tables of rpc/methods.h. */
#pragma once

#include <systemd/sd-event.h>

#include "rpc/dispatch.h"

struct rpc_server;

struct rpc_server_options {
	sd_event *event;	 /* borrowed */
	struct manager *manager; /* borrowed: ends after the server */
	const struct rpc_method *const *methods; /* rpc_methods of rpc/methods.h */
	int listen_fd;		 /* from systemd or rpc_socket_open(); taken, also on failure */
	struct rpc_limits limits;
};

/* Starts to accept at once.  Returns 0 or a negative errno. */
int rpc_server_new(const struct rpc_server_options *options, struct rpc_server **ret);

/* Closes every connection; calls that the manager still holds are answered into the void. */
struct rpc_server *rpc_server_free(struct rpc_server *s);
DEFINE_CLEANUP(struct rpc_server *, rpc_server_free);

size_t rpc_server_connections(const struct rpc_server *s);

/* Takes over a connected socket, as if it had been accepted.  Returns 0 or a negative errno; fd is
 * taken in any case. */
int rpc_server_add(struct rpc_server *s, int fd);
