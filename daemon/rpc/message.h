/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One received line on its way to its answer: a call or a batch of calls.  Lives until its last
 * call is answered, which may be after the client left. */
#pragma once

#include "rpc/connection.h"

struct rpc_message;

/* size: bytes of the line; n_calls ≥ 1.  Returns 0, or -ECANCELED with the error set. */
int rpc_message_new(struct connection *c, size_t size, size_t n_calls, bool batch,
		    struct rpc_message **ret, struct rpc_error *ret_error);

struct connection *rpc_message_connection(const struct rpc_message *m);

/* Answers one of the calls: the last one sends a batch and frees the message.  Takes response; NULL
 * is a call that gets no answer. */
void rpc_message_answer(struct rpc_message *m, json_t *response);

/* The same for a call that failed; id NULL = JSON null. */
void rpc_message_answer_error(struct rpc_message *m, const json_t *id,
			      const struct rpc_error *error);
