/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations: slow actions that callers can wait for, find again and cancel.  An operation is stored when it
 * is accepted and goes on when its caller leaves, and over a restart of the daemon. */
#include "manager-state.h"

#define OPERATIONS_KEPT 1000 /* ended ones, the newest */

struct waiter {
	struct manager *m;
	struct operation *op;
	struct reply *reply;
	sd_event_source *timer;
	struct waiter *next;
};

struct operation *operation_find(struct manager *m, const char *name)
{
	struct operation *op = NULL;

	if (name)
		HASH_FIND_STR(m->operations, name, op);
	return op;
}

bool operation_is_apply(const struct operation *op)
{
	return streq(op->method, OPERATION_APPLY) || streq(op->method, OPERATION_HEAL);
}

json_t *operation_to_json(const struct operation *op)
{
	json_t *json = json_pack("{s:s,s:s,s:s?,s:I,s:s,s:O?,s:b}", "operation", op->name, "method",
				 op->method, "subject", op->subject, "uid", (json_int_t)op->uid, "state",
				 operation_state_to_string(op->state), "result", op->result, "cancel",
				 (int)op->cancel);

	json_put(json, "error", op->error.code ? rpc_error_to_json(&op->error) : json_null());
	json_put_time(json, "created_at", op->created_at);
	json_put_time(json, "ended_at", op->ended_at);
	return json;
}

void operation_store(struct manager *m, struct operation *op)
{
	json_t *doc = json_pack("{s:s,s:s?,s:I,s:s,s:I,s:I,s:I}", "method", op->method, "subject", op->subject, "uid",
				(json_int_t)op->uid, "state", operation_state_to_string(op->state), "id",
				(json_int_t)op->id, "created_usec", (json_int_t)op->created_at, "pid",
				(json_int_t)op->pid);

	if (op->ended_at)
		json_put_uint(doc, "ended_usec", op->ended_at);
	if (op->own)
		json_put_bool(doc, "own", true);
	if (op->cancel)
		json_put_bool(doc, "cancel", true);
	if (op->cancel && op->cancelled_by.known) {
		json_put_uint(doc, "cancel_uid", op->cancelled_by.uid);
		json_put_uint(doc, "cancel_pid", (uint64_t)op->cancelled_by.pid);
	}
	if (op->error.code)
		json_put(doc, "error", rpc_error_to_json(&op->error));
	if (op->result)
		json_put(doc, "result", json_incref(op->result));
	if (op->input)
		json_put(doc, "input", json_incref(op->input));
	outbox_put(m, STORE_OPERATION, op->name, doc);
}

void operation_set_input_vfs(struct operation *op, json_t *names)
{
	json_object_set(op->input, "vfs", names);
	op->input_vfs = json_object_get(op->input, "vfs");
}

static void operation_add(struct manager *m, struct operation *op)
{
	op->input_gpu = json_get_string(op->input, "gpu");
	op->input_vfs = json_object_get(op->input, "vfs");
	HASH_ADD_KEYPTR(hh, m->operations, op->name, strlen(op->name), op);
	if (op->state <= OPERATION_RUNNING)
		HASH_ADD_KEYPTR(hh_open, m->open_operations, op->name, strlen(op->name), op);
}

int operation_load(void *manager, const char *id, const json_t *doc)
{
	struct manager *m = manager;
	struct operation *op;
	json_t *error = json_object_get(doc, "error");
	int state = operation_state_from_string(strempty(json_get_string(doc, "state")));

	if (state < 0 || !json_get_string(doc, "method") || json_get_uint(doc, "id", 0) == 0)
		return -EBADMSG;
	op = calloc(1, sizeof(*op));
	if (!op)
		return -ENOMEM;
	op->id = json_get_uint(doc, "id", 0);
	op->name = strdup(id);
	op->method = strdup(strempty(json_get_string(doc, "method")));
	op->subject = json_get_string(doc, "subject") ? strdup(json_get_string(doc, "subject")) : NULL;
	op->uid = (uid_t)json_get_uint(doc, "uid", 0);
	op->pid = (pid_t)json_get_uint(doc, "pid", 0);
	op->own = json_get_bool(doc, "own", false);
	op->state = (enum operation_state)state;
	op->cancel = json_get_bool(doc, "cancel", false);
	op->cancelled_by.known = json_object_get(doc, "cancel_uid") != NULL;
	op->cancelled_by.uid = (uid_t)json_get_uint(doc, "cancel_uid", 0);
	op->cancelled_by.pid = (pid_t)json_get_uint(doc, "cancel_pid", 0);
	op->inherited = true;
	op->created_at = json_get_uint(doc, "created_usec", 0);
	op->ended_at = json_get_uint(doc, "ended_usec", 0);
	op->result = json_incref(json_object_get(doc, "result"));
	op->input = json_incref(json_object_get(doc, "input"));
	if (json_is_object(error))
		(void)rpc_error_from_json(error, &op->error);
	operation_add(m, op);
	if (op->id >= m->next_operation)
		m->next_operation = op->id + 1;
	return 0;
}

struct operation *operation_new(struct manager *m, const char *method, const char *subject,
				uid_t uid, json_t *input)
{
	struct operation *op = calloc(1, sizeof(*op));

	if (!op) {
		json_decref(input);
		return NULL;
	}
	op->id = m->next_operation++;
	op->name = xasprintf("op/%llu", (unsigned long long)op->id);
	op->method = strdup(method);
	op->subject = subject ? strdup(subject) : NULL;
	op->uid = uid;
	op->input = input;
	op->state = OPERATION_ACCEPTED;
	op->created_at = now_realtime();
	operation_add(m, op);
	audit_operation_begun(m, op);
	operation_store(m, op);
	return op;
}

void operation_free(struct manager *m, struct operation *op)
{
	HASH_DEL(m->operations, op);
	if (op->state <= OPERATION_RUNNING)
		HASH_DELETE(hh_open, m->open_operations, op);
	while (op->waiters) {
		struct waiter *next = op->waiters->next;

		reply_refuse(op->waiters->reply, RPC_INTERNAL_ERROR, "the daemon is ending; %s goes on",
			     op->name);
		sd_event_source_unref(op->waiters->timer);
		free(op->waiters);
		op->waiters = next;
	}
	free(op->name);
	free(op->method);
	free(op->subject);
	json_decref(op->result);
	json_decref(op->input);
	rpc_error_done(&op->error);
	free(op);
}

static void tell(struct manager *m, const struct operation *op)
{
	manager_emit_owned(m, "operation.changed", op->name, op->uid,
			   json_pack("{s:s,s:s,s:s?,s:s?}", "state", operation_state_to_string(op->state),
				     "method", op->method, "about", op->subject, "trouble", op->error.message));
}

static void changed(struct manager *m, struct operation *op)
{
	operation_store(m, op);
	tell(m, op);
}

static void set_state(struct manager *m, struct operation *op, enum operation_state state)
{
	if (!state_edge_cause(operation_edges, (int)op->state, (int)state)) {
		log_warning(0, "%s: no edge %s → %s", op->name, operation_state_to_string(op->state),
			    operation_state_to_string(state));
		return;
	}
	if (op->state <= OPERATION_RUNNING && state > OPERATION_RUNNING)
		HASH_DELETE(hh_open, m->open_operations, op);
	op->state = state;
	changed(m, op);
}

void operation_begin(struct manager *m, struct operation *op)
{
	if (op->state == OPERATION_ACCEPTED)
		set_state(m, op, OPERATION_RUNNING);
}

/* The method's own answer: what it adds, and the operation. */
static json_t *answer(const struct operation *op)
{
	json_t *json = op->result ? json_copy(op->result) : json_object();

	json_put_string(json, "operation", op->name);
	json_put_string(json, "operation_state", operation_state_to_string(op->state));
	return json;
}

static void answer_waiter(struct waiter *w)
{
	if (w->op->error.code)
		outbox_reply_error(w->m, w->reply, &w->op->error);
	else
		outbox_reply(w->m, w->reply, answer(w->op));
	sd_event_source_unref(w->timer);
	free(w);
}

/* Old ended operations leave, so that neither memory nor the store grows without end. */
void operations_forget_old(struct manager *m)
{
	struct operation *op, *tmp;
	size_t n = HASH_COUNT(m->operations);

	HASH_ITER(hh, m->operations, op, tmp) {
		if (n <= OPERATIONS_KEPT)
			return;
		if (op->state <= OPERATION_RUNNING || op->waiters)
			continue;
		outbox_delete(m, STORE_OPERATION, op->name);
		operation_free(m, op);
		n--;
	}
}

static void answer_all(struct operation *op)
{
	struct waiter *w = TAKE_PTR(op->waiters);

	while (w) {
		struct waiter *next = w->next;

		answer_waiter(w);
		w = next;
	}
}

static void copy_error(struct operation *op, const struct rpc_error *error)
{
	rpc_error_done(&op->error);
	op->error = (struct rpc_error){ 0 };
	rpc_error_set(&op->error, error->code ? error->code : RPC_INTERNAL_ERROR, "%s",
		      error->message ? error->message : "failed");
	rpc_error_detail(&op->error, error->reason, error->field, error->hint);
	op->error.errnum = error->errnum;
	op->error.holders = json_incref(error->holders);
}

static void operation_end(struct manager *m, struct operation *op, enum operation_state state)
{
	op->ended_at = now_realtime();
	set_state(m, op, state);
	audit_operation(m, op);
	answer_all(op);
}

void operation_done(struct manager *m, struct operation *op, json_t *result)
{
	json_decref(op->result);
	op->result = result;
	if (op->state == OPERATION_ACCEPTED) {
		op->state = OPERATION_RUNNING; /* and over at once: one row says both */
		tell(m, op);
	}
	operation_end(m, op, OPERATION_DONE);
}

void operation_failed(struct manager *m, struct operation *op, const struct rpc_error *error)
{
	copy_error(op, error);
	log_info("%s (%s %s) failed: %s", op->name, op->method, strempty(op->subject),
		 op->error.message);
	operation_end(m, op, op->cancel ? OPERATION_CANCELLED : OPERATION_FAILED);
}

void operation_hangs(struct manager *m, struct operation *op, const struct rpc_error *error)
{
	copy_error(op, error);
	changed(m, op);
	answer_all(op);
}

void operation_goes_on(struct manager *m, struct operation *op)
{
	rpc_error_done(&op->error);
	op->error = (struct rpc_error){ 0 };
	changed(m, op);
}

void operation_drop(struct manager *m, struct operation *op)
{
	while (op->waiters) {
		struct waiter *w = op->waiters;

		op->waiters = w->next;
		reply_refuse(w->reply, RPC_DEGRADED, "nothing was changed: %s",
			     m->degraded ? m->degraded : "the daemon is ending");
		sd_event_source_unref(w->timer);
		free(w);
	}
	operation_free(m, op);
}

static int on_wait_over(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct waiter *w = userdata;

	for (struct waiter **at = &w->op->waiters; *at; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			break;
		}
	answer_waiter(w);
	return 0;
}

void operation_reply(struct manager *m, struct operation *op, uint64_t wait_usec, struct reply *reply)
{
	struct waiter *w;

	if (reply->request_key)
		manager_remember_request(m, reply->request_key,
			   json_pack("{s:s,s:s,s:I}", "body", reply->request_body, "operation", op->name,
				     "at", (json_int_t)now_realtime()));
	w = calloc(1, sizeof(*w));
	if (!w || wait_usec == 0 || op->state > OPERATION_RUNNING) {
		free(w);
		if (op->error.code)
			outbox_reply_error(m, reply, &op->error);
		else
			outbox_reply(m, reply, answer(op));
		return;
	}
	*w = (struct waiter){ .m = m, .op = op, .reply = reply, .next = op->waiters };
	if (wait_usec < USEC_INFINITY / 2)
		(void)sd_event_add_time_relative(m->event, &w->timer, CLOCK_BOOTTIME, wait_usec, 0,
						 on_wait_over, w);
	op->waiters = w;
}

/* ---- methods ---- */

static bool may_see(const struct caller *caller, const struct operation *op)
{
	return caller->role >= ROLE_OPERATOR || caller->uid == op->uid;
}

void manager_operation_list(struct manager *m, const struct caller *caller,
			    const struct operation_list_params *p, struct reply *reply)
{
	json_t *items = json_array();
	struct operation *op, *tmp;

	HASH_ITER(hh, m->operations, op, tmp)
		if (may_see(caller, op) && (p->state < 0 || p->state == (int)op->state))
			json_array_append_new(items, operation_to_json(op));
	page_reply(m, reply, items, &p->page);
}

static struct operation *find_for(struct manager *m, const struct caller *caller, const char *name,
				  struct reply *reply)
{
	struct operation *op = operation_find(m, name);

	if (op && may_see(caller, op))
		return op;
	reply_refuse(reply, RPC_NOT_FOUND, "no operation \"%s\" (see operation.list)", name);
	return NULL;
}

void manager_operation_get(struct manager *m, const struct caller *caller,
			   const struct name_params *p, struct reply *reply)
{
	struct operation *op = find_for(m, caller, p->name, reply);

	if (op)
		view_reply(m, reply, operation_to_json(op));
}

static void cancel_committed(struct manager *m, void *userdata)
{
	manager_pump(m);
	free(userdata);
}

static void cancel_not_committed(struct manager *m, void *userdata)
{
	struct operation *op = operation_find(m, userdata);

	if (op && op->state <= OPERATION_RUNNING)
		op->cancel = false;
	free(userdata);
}

void manager_operation_cancel(struct manager *m, const struct caller *caller,
			      const struct name_params *p, struct reply *reply)
{
	struct operation *op = find_for(m, caller, p->name, reply);

	if (!op || manager_refuses_changes(m, reply))
		return;
	if (op->state > OPERATION_RUNNING) {
		outbox_reply(m, reply, json_pack("{s:b,s:s,s:s}", "changed", 0, "operation", op->name,
						 "state", operation_state_to_string(op->state)));
		return;
	}
	if (!operation_is_apply(op) && !streq(op->method, "gpu.drain")) {
		reply_refuse(reply, RPC_UNSUPPORTED, "%s is a %s, which cannot be stopped half-way (undo it when it is done)",
			     op->name, op->method);
		return;
	}
	/* The action looks at this between its steps, or while it waits, and undoes what it did. */
	if (!op->cancel) { /* who was first */
		op->cancelled_by.known = true;
		op->cancelled_by.uid = caller->uid;
		op->cancelled_by.pid = caller->pid;
	}
	op->cancel = true;
	audit_operation_cancel(m, op);
	operation_store(m, op);
	outbox_add(m, cancel_committed, cancel_not_committed, strdup(op->name));
	outbox_reply(m, reply, json_pack("{s:b,s:s,s:s}", "changed", 1, "operation", op->name, "state",
					 operation_state_to_string(op->state)));
}
