/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every refusal that does not need the manager is made here, with the field's name and a hint. */
#include "rpc/dispatch.h"

#include <stdio.h>

#include "lib/edit-distance.h"
#include "lib/escape.h"
#include "log/log.h"
#include "rpc/call-params.h"
#include "rpc/message.h"

#define SUBJECT_MAX 256 /* longer names are nobody's */

struct dispatch {
	struct manager *manager;
	const struct rpc_method **methods; /* sorted by name */
	const char **names;		   /* in the same order */
	size_t n_methods;
	struct pending *waiting, **last; /* calls that wait for libvirt's first word, in the order of coming */
};

/* A call that was handed to its method.  Freed when it was answered and its handler returned. */
struct pending {
	struct reply reply;
	unsigned ref;
	struct rpc_message *message;
	const struct rpc_method *method;
	json_t *id; /* NULL: nobody waits for the answer */
	void *params;

	/* While it waits for libvirt. */
	struct pending *next;
	json_t *rest; /* parameters without request_id */
	char *request_id;

	/* For the audit trail, when the call is refused: its connection may be gone by then. */
	struct manager *manager;
	uid_t uid;
	pid_t pid;
	char *subject;
};

/* ---- the table ---- */

static void waiting_go(void *userdata);
static void waiting_drop(struct dispatch *d);

static int compare_methods(const void *a, const void *b)
{
	const struct rpc_method *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

int dispatch_new(struct manager *manager, const struct rpc_method *const *tables,
		 struct dispatch **ret)
{
	_cleanup_(dispatch_freep) struct dispatch *d = calloc(1, sizeof(*d));
	const struct rpc_method *row;
	size_t i, n = 0;

	if (!d)
		return -ENOMEM;
	for (i = 0; tables[i]; i++)
		for (row = tables[i]; row->name; row++)
			n++;
	d->manager = manager;
	d->last = &d->waiting;
	d->methods = calloc(n + 1, sizeof(*d->methods));
	d->names = calloc(n + 1, sizeof(*d->names));
	if (!d->methods || !d->names)
		return -ENOMEM;

	for (i = 0; tables[i]; i++)
		for (row = tables[i]; row->name; row++)
			d->methods[d->n_methods++] = row;
	qsort(d->methods, n, sizeof(*d->methods), compare_methods);
	for (i = 0; i < n; i++)
		d->names[i] = d->methods[i]->name;

	manager_on_hypervisor_known(manager, waiting_go, d);
	*ret = TAKE_PTR(d);
	return 0;
}

struct dispatch *dispatch_free(struct dispatch *d)
{
	if (!d)
		return NULL;
	manager_on_hypervisor_known(d->manager, NULL, NULL);
	waiting_drop(d);
	free(d->methods);
	free(d->names);
	free(d);
	return NULL;
}

const struct rpc_method *const *dispatch_methods(const struct dispatch *d, size_t *ret_n)
{
	*ret_n = d->n_methods;
	return d->methods;
}

static const struct rpc_method *find_method(const struct dispatch *d, const char *name,
					    struct rpc_error *error)
{
	const struct rpc_method wanted = { .name = name }, *key = &wanted, **found;
	_cleanup_free_ char *hint = NULL;
	const char *near;

	found = bsearch(&key, d->methods, d->n_methods, sizeof(*d->methods), compare_methods);
	if (found)
		return *found;

	near = edit_distance_nearest(name, d->names, d->n_methods);
	hint = near ? xasprintf("did you mean \"%s\"?", near) :
		      strdup("rpc.discover lists the methods");
	(void)rpc_error_set(error, RPC_METHOD_NOT_FOUND, "there is no method \"%.64s\"", name);
	(void)rpc_error_detail(error, NULL, "method", hint);
	return NULL;
}

/* ---- answers ---- */

static void pending_unref(struct pending *p)
{
	if (--p->ref > 0)
		return;

	json_fields_done(p->method->fields, p->params);
	free(p->params);
	free(p->reply.request_key);
	free(p->reply.request_body);
	free(p->subject);
	free(p->request_id);
	json_decref(p->rest);
	json_decref(p->id);
	free(p);
}

/* The reply's function: the manager calls it once, in the handler or much later. */
static void on_reply(struct reply *reply, json_t *result, const struct rpc_error *error)
{
	struct pending *p = (struct pending *)reply; /* its first member */
	_cleanup_json_ json_t *owned = result;
	struct rpc_error memory = { .code = RPC_INTERNAL_ERROR };

	if (error && error->code == RPC_NOT_PERMITTED && p->method->mutates)
		manager_audit_refused(p->manager, p->uid, p->pid, p->method->name, p->subject,
				      error->message);
	if (!p->id)
		rpc_message_answer(p->message, NULL);
	else if (error || !owned)
		rpc_message_answer_error(p->message, p->id, error ? error : &memory);
	else
		rpc_message_answer(p->message, rpc_response(p->id, TAKE_PTR(owned)));
	p->message = NULL;
	pending_unref(p);
}

/* What a call is about: the parameter that names it. */
static const char *subject_of(const json_t *params)
{
	static const char *const names[] = { "vf", "gpu", "vm", "id", "operation" };
	const char *subject = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(names) && !subject; i++)
		subject = json_get_string(params, names[i]);
	return subject && strlen(subject) <= SUBJECT_MAX ? subject : NULL;
}

static struct pending *pending_new(struct rpc_session *session, struct rpc_message *message,
				   const struct rpc_call *call, const struct rpc_method *method)
{
	const struct caller *caller = connection_caller(session->connection);
	const char *subject = method->mutates ? subject_of(call->params) : NULL;
	struct pending *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->params = calloc(1, MAX_OF(method->params_size, (size_t)1));
	if (!p->params) {
		free(p);
		return NULL;
	}
	if (method->defaults)
		memcpy(p->params, method->defaults, method->params_size);
	p->reply.done = on_reply;
	p->ref = 1;
	p->message = message;
	p->method = method;
	p->id = json_incref((json_t *)call->id);
	p->manager = session->manager;
	p->uid = caller->uid;
	p->pid = caller->pid;
	p->subject = subject ? strdup(subject) : NULL;
	return p;
}

/* ---- checks ---- */

static int check_role(struct manager *manager, struct caller *caller, const struct rpc_method *method,
		      struct rpc_error *error)
{
	char uid[16];

	/* Each time, so that a reloaded policy counts at once. */
	manager_caller_update(manager, caller);
	if (caller->role >= method->role)
		return 0;

	snprintf(uid, sizeof(uid), "%u", caller->uid);
	if (caller->role == ROLE_NONE)
		(void)rpc_error_set(error, RPC_NOT_PERMITTED,
				    "%s is not open to user %s: no access rule matches",
				    method->name, caller->name ? caller->name : uid);
	else
		(void)rpc_error_set(error, RPC_NOT_PERMITTED,
				    "%s needs role %s, user %s has role %s", method->name,
				    role_to_string(method->role),
				    caller->name ? caller->name : uid,
				    role_to_string(caller->role));
	return rpc_error_detail(error, NULL, NULL,
				"roles are given by the access section of the policy");
}

/* ---- calls ---- */

/* session: NULL when the call has waited; a method about the connection never waits. */
static void call_handler(struct rpc_session *session, struct pending *p)
{
	const struct caller *caller = connection_caller(rpc_message_connection(p->message));
	struct manager *manager = p->manager;
	bool mutates = p->method->mutates;

	if (mutates)
		manager_call_begin(manager, caller, p->method->name);
	if (p->method->session_handler)
		p->method->session_handler(session, p->params, &p->reply);
	else
		p->method->handler(manager, caller, p->params, &p->reply);
	if (mutates)
		manager_call_end(manager);
}

/* params: without request_id.  p is handed over: its reply frees it. */
static void hand_over(struct rpc_session *session, struct pending *p, const json_t *params,
		      const char *request_id)
{
	p->ref++; /* the handler may answer at once */
	if (!request_id ||
	    !manager_request_seen(p->manager, connection_caller(rpc_message_connection(p->message)), request_id,
				  p->method->name, params, &p->reply))
		call_handler(session, p);
	pending_unref(p);
}

/* ---- calls that wait for libvirt's first word ---- */

static bool must_wait(const struct dispatch *d, const struct pending *p)
{
	return p->method->waits && p->method->waits(d->manager, p->params);
}

static int wait_begin(struct dispatch *d, struct pending *p, json_t *params, const char *request_id,
		      struct rpc_error *error)
{
	p->request_id = request_id ? strdup(request_id) : NULL;
	if (request_id && !p->request_id)
		return rpc_error_set(error, RPC_INTERNAL_ERROR, "out of memory");
	p->rest = json_incref(params);
	*d->last = p;
	d->last = &p->next;
	return 0;
}

static void wait_end(struct pending *p)
{
	struct caller *caller = connection_caller(rpc_message_connection(p->message));
	struct rpc_error error = { 0 };

	/* The policy may have changed meanwhile. */
	if (check_role(p->manager, caller, p->method, &error) < 0)
		reply_error(&p->reply, &error);
	else
		hand_over(NULL, p, p->rest, p->request_id);
	rpc_error_done(&error);
}

/* Its client has left, or the daemon ends: nothing is done for nobody. */
static void wait_drop(struct pending *p)
{
	rpc_message_answer(p->message, NULL);
	pending_unref(p);
}

static struct pending *waiting_take(struct dispatch *d)
{
	struct pending *first = d->waiting;

	d->waiting = NULL;
	d->last = &d->waiting;
	return first;
}

static void waiting_go(void *userdata)
{
	struct pending *next;

	for (struct pending *p = waiting_take(userdata); p; p = next) {
		next = p->next;
		if (connection_is_over(rpc_message_connection(p->message)))
			wait_drop(p);
		else
			wait_end(p);
	}
}

static void waiting_drop(struct dispatch *d)
{
	struct pending *next;

	for (struct pending *p = waiting_take(d); p; p = next) {
		next = p->next;
		wait_drop(p);
	}
}

/* ---- a call as it comes ---- */

/* Everything that can be refused before the manager is asked.  On success p was handed over, or waits. */
static int start_call(struct rpc_session *session, struct pending *p, const struct rpc_call *call,
		      struct rpc_error *error)
{
	_cleanup_json_ json_t *params = NULL;
	const char *request_id = NULL;
	int r;

	r = call_split_request_id(p->method, call->params, &params, &request_id, error);
	if (r >= 0)
		r = call_decode_params(p->method, params, p->params, error);
	if (r < 0)
		return r;
	if (must_wait(session->dispatch, p))
		return wait_begin(session->dispatch, p, params, request_id, error);
	hand_over(session, p, params, request_id);
	return 0;
}

static void audit_refusal(struct rpc_session *session, const struct rpc_method *method,
			  const struct rpc_call *call, const struct rpc_error *error)
{
	const struct caller *caller = connection_caller(session->connection);

	if (method->mutates)
		manager_audit_refused(session->manager, caller->uid, caller->pid, method->name,
				      subject_of(call->params), error->message);
}

static int try_call(struct rpc_session *session, struct rpc_message *message,
		    const struct rpc_call *call, struct rpc_error *error)
{
	const struct rpc_method *method;
	struct pending *p;
	int r;

	method = find_method(session->dispatch, call->method, error);
	if (!method)
		return -ECANCELED;
	r = check_role(session->manager, connection_caller(session->connection), method, error);
	if (r < 0) {
		audit_refusal(session, method, call, error);
		return r;
	}
	p = pending_new(session, message, call, method);
	if (!p)
		return rpc_error_set(error, RPC_INTERNAL_ERROR, "out of memory");
	r = start_call(session, p, call, error);
	if (r < 0)
		pending_unref(p);
	return r;
}

/* A notification is never answered; what is no request at all is answered with id null. */
static bool wants_answer(const struct rpc_call *call, const struct rpc_error *error)
{
	return call->id || error->code == RPC_INVALID_REQUEST;
}

static void dispatch_call(struct rpc_session *session, struct rpc_message *message,
			  const json_t *request)
{
	struct rpc_error error = { 0 };
	struct rpc_call call;
	int r;

	r = rpc_call_parse(request, &call, &error);
	if (r >= 0)
		r = try_call(session, message, &call, &error);
	if (r < 0) {
		if (wants_answer(&call, &error))
			rpc_message_answer_error(message, call.id, &error);
		else
			rpc_message_answer(message, NULL);
	}
	rpc_error_done(&error);
}

/* ---- lines ---- */

static void answer_error(struct connection *c, const struct rpc_error *error)
{
	connection_send(c, rpc_response_error(NULL, error));
}

static void refuse_parse(struct connection *c, const json_error_t *where)
{
	_cleanup_free_ char *what = escape_terminal(where->text, strlen(where->text), false);
	struct rpc_error error = { 0 };

	(void)rpc_error_set(&error, RPC_PARSE_ERROR, "the line is not JSON: column %d: %s",
			    where->column, strempty(what));
	(void)rpc_error_detail(&error, NULL, NULL,
			       "one message is one line of UTF-8 JSON, ended by a newline");
	answer_error(c, &error);
	rpc_error_done(&error);
}

static int check_batch(const json_t *batch, struct rpc_error *error)
{
	if (json_array_size(batch) == 0)
		return rpc_error_set(error, RPC_INVALID_REQUEST, "the batch is empty");
	if (json_array_size(batch) <= RPC_BATCH_MAX)
		return 0;

	(void)rpc_error_set(error, RPC_LIMIT, "the batch has %zu requests, at most %d are allowed",
			    json_array_size(batch), RPC_BATCH_MAX);
	return rpc_error_detail(error, NULL, NULL, "send several batches");
}

void dispatch_line(struct rpc_session *session, const char *line, size_t size)
{
	struct connection *c = session->connection;
	_cleanup_json_ json_t *json = NULL;
	struct rpc_message *message = NULL;
	struct rpc_error error = { 0 };
	json_error_t where = { 0 };
	size_t i, n;
	int r = 0;

	if (json_parse(line, size, &json, &where) < 0) {
		refuse_parse(c, &where);
		return;
	}
	n = json_is_array(json) ? json_array_size(json) : 1;
	if (json_is_array(json))
		r = check_batch(json, &error);
	if (r >= 0)
		r = rpc_message_new(c, size, n, json_is_array(json), &message, &error);
	if (r < 0)
		answer_error(c, &error);
	for (i = 0; r >= 0 && i < n; i++)
		dispatch_call(session, message, json_is_array(json) ? json_array_get(json, i) : json);
	rpc_error_done(&error);
}
