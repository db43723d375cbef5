/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One client: lines in, lines out, never blocking.  The server makes and reaps it, dispatch gets
 * its lines, whoever has an answer sends it, even when the client has long gone.
 *
 * A failure is a sticky status: sending to a connection that is over does nothing, and only the
 * server, from the loop, takes it down.  So nobody frees a connection under its own handler. */
#pragma once

#include <systemd/sd-event.h>

#include "policy/policy.h"
#include "rpc/quota.h"

struct connection;

struct connection_handler {
	/* One message without its newline, NUL-terminated, for the time of the call. */
	void (*on_line)(struct connection *c, char *line, size_t size);
	/* The output fell below the pause mark again. */
	void (*on_drained)(struct connection *c);
	/* It is over.  Comes from the loop, once; the receiver calls connection_close(). */
	void (*on_end)(struct connection *c);
};

/* Takes fd and user's reference and its counted connection, also on failure.  handler must be
 * static. */
int connection_new(sd_event *event, int fd, struct rpc_user *user,
		   const struct connection_handler *handler, void *userdata,
		   struct connection **ret);

struct connection *connection_ref(struct connection *c);
struct connection *connection_unref(struct connection *c);
DEFINE_CLEANUP(struct connection *, connection_unref);

void *connection_userdata(const struct connection *c);
/* Who is at the other end: filled by the server; uid and gids do not change. */
struct caller *connection_caller(struct connection *c);
struct rpc_user *connection_user(struct connection *c); /* borrowed */

/* Ends it now: no more input, output or callbacks.  Calls that are still open keep references. */
void connection_close(struct connection *c);
bool connection_is_over(const struct connection *c);

/* Queues one message.  Takes json; NULL (no memory) ends the connection. */
void connection_send(struct connection *c, json_t *json);
/* True when so much output waits that events should be held back. */
bool connection_is_congested(const struct connection *c);

/* Answers with the error, then takes no more input, and closes when the rest is answered. */
void connection_refuse(struct connection *c, const struct rpc_error *error);

/* A call that must be answered before a half-closed connection may close. */
void connection_call_begin(struct connection *c);
void connection_call_end(struct connection *c);
