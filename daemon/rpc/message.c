/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps together what one line asked for, so that a batch is answered in one line. */
#include "rpc/message.h"

struct rpc_message {
	struct connection *connection; /* a reference */
	size_t charge;		       /* bytes counted for the user */
	size_t n_open;		       /* calls without an answer */
	json_t *answers;	       /* of a batch, in order of completion; else NULL */
};

static void message_free(struct rpc_message *m)
{
	rpc_user_release(connection_user(m->connection), m->charge);
	connection_unref(m->connection);
	json_decref(m->answers);
	free(m);
}

int rpc_message_new(struct connection *c, size_t size, size_t n_calls, bool batch,
		    struct rpc_message **ret, struct rpc_error *ret_error)
{
	_cleanup_json_ json_t *answers = batch ? json_array() : NULL;
	_cleanup_free_ struct rpc_message *m = calloc(1, sizeof(*m));
	size_t i;
	int r;

	if (!m || (batch && !answers))
		return rpc_error_set(ret_error, RPC_INTERNAL_ERROR, "out of memory");
	m->charge = size + n_calls * RPC_CALL_BYTES;
	r = rpc_user_charge(connection_user(c), m->charge, ret_error);
	if (r < 0)
		return r;

	m->connection = connection_ref(c);
	m->n_open = n_calls;
	m->answers = TAKE_PTR(answers);
	for (i = 0; i < n_calls; i++)
		connection_call_begin(c);
	*ret = TAKE_PTR(m);
	return 0;
}

struct connection *rpc_message_connection(const struct rpc_message *m)
{
	return m->connection;
}

/* Memory ran out for one answer of a batch: the client cannot be told, so it is cut off. */
static void add_answer(struct rpc_message *m, json_t *response)
{
	if (json_array_append_new(m->answers, response) < 0)
		connection_send(m->connection, NULL);
}

void rpc_message_answer(struct rpc_message *m, json_t *response)
{
	bool last = m->n_open == 1;

	if (response && m->answers)
		add_answer(m, response);
	else if (response)
		connection_send(m->connection, response);
	if (last && m->answers && json_array_size(m->answers) > 0)
		connection_send(m->connection, json_incref(m->answers));

	m->n_open--;
	connection_call_end(m->connection);
	if (last)
		message_free(m);
}

void rpc_message_answer_error(struct rpc_message *m, const json_t *id,
			      const struct rpc_error *error)
{
	json_t *response = rpc_response_error(id, error);

	if (!response)
		connection_send(m->connection, NULL);
	rpc_message_answer(m, response);
}
