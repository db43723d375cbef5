/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Draining a GPU: nobody new gets one of its VFs, and what waits for that goes on when the last holder has left by
 * itself.  gpu.drain and gpu.undrain, and the first part of gpu.apply with drain.  Nothing is taken from anybody
 * here.  Who waits is found again after a restart from the rows of GPUs and operations; the pump looks who has
 * left. */
#include "manager-state.h"

/* What an operation that waits is about, and what its method is. */
static const char *const drain_methods[DRAIN_FOR_MAX] = {
	[DRAIN_FOR_GOOD] = "gpu.drain",
	[DRAIN_FOR_APPLY] = "gpu.apply",
};

bool gpu_is_draining(const struct gpu *gpu)
{
	for (size_t i = 0; i < DRAIN_FOR_MAX; i++)
		if (gpu->drain.operations[i])
			return true;
	return gpu->drain.asked;
}

/* ---- what is shown ---- */

static json_t *texts_of(const json_t *leases)
{
	json_t *texts = json_array(), *text;
	const char *key;

	json_object_foreach((json_t *)leases, key, text)
		json_array_append(texts, text);
	return texts;
}

char *drain_reason(const struct gpu *gpu)
{
	size_t n = json_object_size(gpu->drain.holders);
	const char *key;
	json_t *text;

	/* The first stands for all: `drain.holders` has them. */
	json_object_foreach(gpu->drain.holders, key, text)
		return xasprintf("waits for %zu holder%s: %s%s", n, n == 1 ? "" : "s",
				 json_string_value(text), n == 1 ? "" : ", …");
	return xasprintf("drained: nobody new gets a VF of it before gpuvf undrain %s", gpu->name);
}

json_t *drain_view(struct manager *m, const struct gpu *gpu)
{
	json_t *holders = gpu_holders(m, gpu), *json;

	if (!gpu_is_draining(gpu)) {
		json_decref(holders);
		return json_null();
	}
	json = json_pack("{s:b,s:s?,s:s?,s:o}", "asked", (int)gpu->drain.asked, "operation",
			 gpu->drain.operations[DRAIN_FOR_GOOD], "apply",
			 gpu->drain.operations[DRAIN_FOR_APPLY], "holders", holders ? holders : json_array());
	json_put_uint_known(json, "uid", gpu->drain.asked, gpu->drain.uid);
	json_put_time(json, "since", gpu->drain.since);
	return json;
}

static void show_state(struct manager *m, struct gpu *gpu)
{
	_cleanup_free_ char *reason = gpu_is_draining(gpu) ? drain_reason(gpu) : NULL;

	/* A GPU that is cut, wedged or absent comes here by itself when that is over. */
	if (gpu->state == GPU_READY || gpu->state == GPU_UNMANAGED || gpu->state == GPU_DRAINING)
		gpu_set_state(m, gpu, gpu_calm_state(m, gpu), reason);
}

/* ---- rows ---- */

json_t *drain_row(const struct gpu *gpu)
{
	if (!gpu->drain.asked)
		return json_null();
	return json_pack("{s:I,s:I}", "uid", (json_int_t)gpu->drain.uid, "usec",
			 (json_int_t)gpu->drain.since);
}

void drain_from_row(struct gpu *gpu, const json_t *row)
{
	gpu->drain.asked = json_is_object(row);
	gpu->drain.uid = (uid_t)json_get_uint(row, "uid", 0);
	gpu->drain.since = json_get_uint(row, "usec", 0);
}

void drain_done(struct gpu *gpu)
{
	for (size_t i = 0; i < DRAIN_FOR_MAX; i++)
		free(gpu->drain.operations[i]);
	json_decref(gpu->drain.holders);
}

/* ---- waiting ---- */

/* The answer of one that waits tells for whom. */
static void note_holders(struct manager *m, struct operation *op, const json_t *leases)
{
	json_t *texts = texts_of(leases);

	if (json_equal(json_object_get(op->result, "holders"), texts)) {
		json_decref(texts);
		return;
	}
	json_decref(op->result);
	op->result = json_pack("{s:b,s:o}", "changed", 1, "holders", texts);
	operation_store(m, op);
}

void drain_take(struct manager *m, struct gpu *gpu, enum drain_for what, struct operation *op)
{
	if (!gpu_is_draining(gpu))
		gpu->drain.since = now_realtime();
	(void)free_and_strdup(&gpu->drain.operations[what], op->name);
	gpu->drain.waits[what] = false;
	json_decref(gpu->drain.holders);
	gpu->drain.holders = gpu_leases(m, gpu);
	note_holders(m, op, gpu->drain.holders);
	show_state(m, gpu);
}

void drain_over(struct manager *m, struct gpu *gpu, enum drain_for what)
{
	free(gpu->drain.operations[what]);
	gpu->drain.operations[what] = NULL;
	gpu->drain.waits[what] = false;
	show_state(m, gpu);
}

static void tell_left(struct manager *m, struct gpu *gpu, const char *holder, const json_t *leases)
{
	const char *state = strrchr(holder, '('); /* the last one it was in: of no interest now */
	_cleanup_free_ char *text = xasprintf("%.*s", state ? (int)(state - holder - 1) : (int)strlen(holder), holder);

	log_gpu(gpu->name, LOG_NOTICE, 0, "draining: %s has left", strempty(text));
	manager_emit(m, "gpu.changed", gpu->name,
		     json_pack("{s:s,s:s,s:o}", "state", gpu_state_to_string(gpu->state), "left", strempty(text),
			       "holders", texts_of(leases)));
}

/* Keeps what is said of the holders true; true when nobody holds a VF any more. */
static bool look(struct manager *m, struct gpu *gpu)
{
	json_t *leases = gpu_leases(m, gpu), *before = gpu->drain.holders, *text;
	const char *key;

	gpu->drain.holders = leases;
	json_object_foreach(before, key, text)
		if (!json_object_get(leases, key))
			tell_left(m, gpu, json_string_value(text), leases);
	if (!json_equal(before, leases))
		show_state(m, gpu);
	json_decref(before);
	return json_object_size(leases) == 0;
}

bool drain_waits(struct manager *m, struct gpu *gpu, enum drain_for what, struct operation *op)
{
	if (!gpu->drain.operations[what])
		drain_take(m, gpu, what, op);
	gpu->drain.waits[what] = !look(m, gpu);
	if (gpu->drain.waits[what])
		note_holders(m, op, gpu->drain.holders);
	return gpu->drain.waits[what];
}

static void end_cancelled(struct manager *m, struct operation *op, const char *why)
{
	struct rpc_error error = { 0 };

	op->cancel = true;
	rpc_error_set(&error, RPC_CONFLICT, "%s", why);
	rpc_error_detail(&error, "cancelled", NULL, NULL);
	operation_failed(m, op, &error);
	rpc_error_done(&error);
}

static void cancelled(struct manager *m, struct gpu *gpu, enum drain_for what, struct operation *op)
{
	_cleanup_acting_ struct audit_acting acting = audit_cancels(m, op);

	if (what == DRAIN_FOR_GOOD)
		gpu->drain.asked = false;
	else
		apply_restore_ownership(m, gpu, op);
	gpu->apply_accepted = gpu->apply_accepted && what != DRAIN_FOR_APPLY;
	gpu_store(m, gpu);
	drain_over(m, gpu, what);
	gpu_check_drift(m, gpu);
	half_cut_look(m, gpu);
	end_cancelled(m, op, "cancelled while it waited for the holders of VFs; nothing was changed");
	manager_pump(m);
}

/* ---- the end of gpu.drain ---- */

struct ending {
	struct manager *m;
	char *operation;
};

/* Processes of the host are no holders that we know of before we look: the answer names them. */
static void on_holders(void *userdata, const struct host_reply *reply)
{
	struct ending *e = userdata;
	struct operation *op = operation_find(e->m, e->operation);
	struct gpu *gpu = op ? gpu_find(e->m, op->subject) : NULL;

	if (gpu && op->state == OPERATION_RUNNING && streq_ptr(gpu->drain.operations[DRAIN_FOR_GOOD], op->name)) {
		json_t *result = json_pack("{s:b,s:o}", "changed", 1, "holders",
					   reply->r < 0 ? json_null() : host_holders_texts(reply));

		if (reply->r >= 0)
			processes_note(e->m, gpu, reply);
		drain_over(e->m, gpu, DRAIN_FOR_GOOD);
		json_put(result, "gpu", gpu_view(e->m, gpu));
		operation_done(e->m, op, result);
	}
	free(e->operation);
	free(e);
}

static void drained(struct manager *m, struct gpu *gpu, struct operation *op)
{
	struct host_request request = { .op = HOST_HOLDERS, .gpu = gpu->address };
	struct ending *e = calloc(1, sizeof(*e));
	struct host_reply reply = { 0 };

	if (!e) {
		gpu->drain.waits[DRAIN_FOR_GOOD] = true; /* the pump tries again */
		return;
	}
	*e = (struct ending){ .m = m, .operation = strdup(op->name) };
	reply.r = m->host->ops->request(m->host, &request, on_holders, e);
	if (reply.r < 0)
		on_holders(e, &reply);
}

void drain_go(struct manager *m, struct operation *op)
{
	struct gpu *gpu = gpu_find(m, op->subject);
	struct rpc_error error = { 0 };

	if (!gpu) {
		rpc_error_set(&error, RPC_NOT_FOUND, "%s is gone", strempty(op->subject));
		operation_failed(m, op, &error);
		rpc_error_done(&error);
		return;
	}
	operation_begin(m, op);
	if (op->cancel)
		cancelled(m, gpu, DRAIN_FOR_GOOD, op);
	else if (!drain_waits(m, gpu, DRAIN_FOR_GOOD, op))
		drained(m, gpu, op);
}

/* ---- the pump's look ---- */

static void advance(struct manager *m, struct gpu *gpu, enum drain_for what)
{
	struct operation *op = operation_find(m, gpu->drain.operations[what]);

	if (!op || op->state > OPERATION_RUNNING)
		drain_over(m, gpu, what);
	else if (op->cancel)
		cancelled(m, gpu, what, op);
	else if (what == DRAIN_FOR_GOOD)
		drain_go(m, op);
	else
		apply_go(m, op);
}

void drains_advance(struct manager *m)
{
	struct gpu *gpu, *tmp;

	/* Without libvirt nobody can say who has left. */
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < DRAIN_FOR_MAX && m->hypervisor_connected && !m->degraded; i++)
			if (gpu->drain.waits[i])
				advance(m, gpu, (enum drain_for)i);
}

/* From the first moment of a new daemon nobody gets a VF of a GPU that was being drained. */
void drains_load(struct manager *m)
{
	struct operation *op, *tmp;

	HASH_ITER(hh_open, m->open_operations, op, tmp)
		for (size_t i = 0; i < DRAIN_FOR_MAX; i++) {
			struct gpu *gpu = streq(op->method, drain_methods[i]) ? gpu_find(m, op->subject) : NULL;

			if (!gpu || (i == DRAIN_FOR_APPLY && !json_get_bool(op->input, "drain", false)))
				continue;
			(void)free_and_strdup(&gpu->drain.operations[i], op->name);
			if (!gpu->drain.since)
				gpu->drain.since = op->created_at;
		}
}

/* ---- methods ---- */

static void drain_committed(struct manager *m, void *userdata)
{
	struct operation *op = operation_find(m, userdata);

	free(userdata);
	if (op)
		drain_go(m, op);
}

static void drain_not_committed(struct manager *m, void *userdata)
{
	struct operation *op = operation_find(m, userdata);
	struct gpu *gpu = op ? gpu_find(m, op->subject) : NULL;

	free(userdata);
	if (!gpu)
		return;
	gpu->drain.asked = false;
	drain_over(m, gpu, DRAIN_FOR_GOOD);
	operation_drop(m, op);
}

static int check_drain(const struct gpu *gpu, struct rpc_error *error)
{
	if (gpu->stuck || gpu->state == GPU_WEDGED) {
		rpc_error_set(error, RPC_WEDGED, "%s is wedged: %s", gpu->name, strempty(gpu->reason));
		return rpc_error_detail(error, "wedged", "gpu", "nobody new gets a VF of it as it is");
	}
	if (gpu->apply || (gpu->apply_accepted && !gpu->drain.operations[DRAIN_FOR_APPLY])) {
		rpc_error_set(error, RPC_CONFLICT, "%s is being cut right now", gpu->name);
		return rpc_error_detail(error, "recutting", "gpu", "wait until that is done (gpuvf show)");
	}
	return 0;
}

void manager_gpu_drain(struct manager *m, const struct caller *caller,
		       const struct gpu_drain_params *p, struct reply *reply)
{
	struct rpc_error error = { 0 };
	struct operation *op;
	struct gpu *gpu;

	if (manager_refuses_changes(m, reply))
		return;
	gpu = gpu_present(m, p->gpu, reply);
	if (!gpu)
		return;
	op = operation_find(m, gpu->drain.operations[DRAIN_FOR_GOOD]);
	if (op) { /* it is under way: the same answer as for the first who asked */
		operation_reply(m, op, p->wait_usec, reply);
		return;
	}
	if (gpu->drain.asked) {
		outbox_reply(m, reply, json_pack("{s:b,s:n,s:[],s:o}", "changed", 0, "operation", "holders", "gpu",
						 gpu_view(m, gpu)));
		return;
	}
	if (check_drain(gpu, &error) < 0) {
		reply_error_done(reply, &error);
		return;
	}
	op = operation_new(m, "gpu.drain", gpu->name, caller->uid, NULL);
	if (!op) {
		reply_refuse(reply, RPC_INTERNAL_ERROR, "out of memory");
		return;
	}
	gpu->drain.asked = true;
	gpu->drain.uid = caller->uid;
	gpu->drain.since = now_realtime();
	drain_take(m, gpu, DRAIN_FOR_GOOD, op);
	gpu_store(m, gpu);
	outbox_add(m, drain_committed, drain_not_committed, strdup(op->name));
	operation_reply(m, op, p->wait_usec, reply);
}

struct undrain {
	char *gpu;
	char *operation; /* a drain that had not ended; NULL = none */
};

static void undrain_free(struct undrain *u)
{
	free(u->gpu);
	free(u->operation);
	free(u);
}

static void undrain_committed(struct manager *m, void *userdata)
{
	struct undrain *u = userdata;
	struct operation *op = operation_find(m, u->operation);

	if (op && op->state <= OPERATION_RUNNING)
		end_cancelled(m, op, "undrained while it waited for the holders of VFs");
	undrain_free(u);
	manager_pump(m);
}

static void undrain_not_committed(struct manager *m, void *userdata)
{
	struct undrain *u = userdata;
	struct gpu *gpu = gpu_find(m, u->gpu);

	if (gpu) {
		gpu->drain.asked = true;
		gpu->drain.operations[DRAIN_FOR_GOOD] = TAKE_PTR(u->operation);
		gpu->drain.waits[DRAIN_FOR_GOOD] = gpu->drain.operations[DRAIN_FOR_GOOD] != NULL;
		show_state(m, gpu);
	}
	undrain_free(u);
}

void manager_gpu_undrain(struct manager *m, const struct caller *caller, const struct name_params *p,
			 struct reply *reply)
{
	struct rpc_error error = { 0 };
	_cleanup_free_ char *hint = NULL;
	struct undrain *u;
	struct gpu *gpu;

	if (manager_refuses_changes(m, reply))
		return;
	gpu = gpu_present(m, p->name, reply);
	if (!gpu)
		return;
	if (gpu->drain.operations[DRAIN_FOR_APPLY]) {
		hint = xasprintf("gpuvf cancel %s", gpu->drain.operations[DRAIN_FOR_APPLY]);
		rpc_error_set(&error, RPC_CONFLICT, "%s is drained for %s (gpu.apply)", gpu->name,
			      gpu->drain.operations[DRAIN_FOR_APPLY]);
		rpc_error_detail(&error, "apply_waits", "gpu", hint);
		reply_error_done(reply, &error);
		return;
	}
	if (!gpu->drain.asked) {
		outbox_reply(m, reply, json_pack("{s:b,s:o}", "changed", 0, "gpu", gpu_view(m, gpu)));
		return;
	}
	u = calloc(1, sizeof(*u));
	if (!u) {
		reply_refuse(reply, RPC_INTERNAL_ERROR, "out of memory");
		return;
	}
	u->gpu = strdup(gpu->name);
	u->operation = TAKE_PTR(gpu->drain.operations[DRAIN_FOR_GOOD]);
	gpu->drain.asked = gpu->drain.waits[DRAIN_FOR_GOOD] = false;
	show_state(m, gpu);
	gpu_store(m, gpu);
	outbox_add(m, undrain_committed, undrain_not_committed, u);
	outbox_reply(m, reply, json_pack("{s:b,s:o}", "changed", 1, "gpu", gpu_view(m, gpu)));
}
