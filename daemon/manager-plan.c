/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpu.plan and gpu.apply: which layout a call means, what refuses it before anything is changed, who owns the
 * layout from then on, and what an accepted apply waits for.  gpu.apply comes through manager-look.c; what an accepted
 * one does is manager-apply.c. */
#include "manager-state.h"

/* The GPU and layout that a call names; refuses by itself. */
static struct gpu *resolve(struct manager *m, const char *name, const json_t *layout_json, bool policy,
			   struct layout **ret_layout, struct reply *reply)
{
	struct gpu *gpu = gpu_find(m, name);
	struct json_fault fault = { 0 };
	struct rpc_error error = { 0 };
	struct layout *layout = NULL;

	if (!gpu) {
		reply_refuse(reply, RPC_NOT_FOUND, "no GPU \"%s\" (see `gpuvf list gpus`)", name);
		return NULL;
	}
	if (gpu->stuck || gpu->given_up || !gpu->facts) {
		reply_refuse(reply, gpu->facts || gpu->stuck ? RPC_WEDGED : RPC_NOT_FOUND, "%s: %s", gpu->name,
			     gpu->reason ? gpu->reason : "the card is gone");
		return NULL;
	}
	if (layout_json && layout_from_json(m->policy, layout_json, &layout, &fault) < 0) {
		rpc_error_set(&error, RPC_INVALID_PARAMS, "layout%s: %s", strempty(fault.pointer),
			      strempty(fault.what));
		rpc_error_detail(&error, NULL, "layout", fault.hint);
		reply_error_done(reply, &error);
		json_fault_done(&fault);
		return NULL;
	}
	if (!layout_json && policy) {
		const struct policy_gpu_rule *rule = policy_match_gpu(m->policy, gpu->facts);

		if (rule && rule->layout)
			(void)layout_from_policy(m->policy, rule->layout, &layout);
	} else if (!layout_json) {
		layout = gpu_wanted(m, gpu);
	}
	if (!layout) {
		rpc_error_set(&error, RPC_NOT_FOUND, "no rule of the policy says how %s (%s) shall be cut",
			      gpu->name, gpu->facts->model);
		rpc_error_detail(&error, "no_layout", "layout",
				 "name a layout (--vfs N), or add a gpus rule to the policy");
		reply_error_done(reply, &error);
		return NULL;
	}
	*ret_layout = layout;
	return gpu;
}

/* What jobs have for the weight of their queues is no reason to write. */
static int plan_make(const struct gpu *gpu, const struct layout *layout, struct partition_plan **ret,
		     struct rpc_error *error)
{
	_cleanup_(layout_freep) struct layout *expected = layout_copy(layout);

	if (!expected)
		return rpc_error_set(error, RPC_INTERNAL_ERROR, "out of memory");
	weights_expect(gpu, expected);
	return partition_plan_make(gpu->facts, expected, ret, error);
}

/* ---- plan ---- */

static bool names_vf(const json_t *holders, const char *vf)
{
	json_t *text;
	size_t i, n = strlen(vf);

	json_array_foreach((json_t *)holders, i, text)
		if (strncmp(json_string_value(text), vf, n) == 0 && json_string_value(text)[n] == ':')
			return true;
	return false;
}

/* Processes of the host that have VFs open which no VM or job holds. */
static void on_holders(struct question *q, const char *gpu, const struct host_reply *reply)
{
	json_t *disturbs = json_object_get(q->answer, "disturbs");

	if (reply->r < 0)
		json_array_append_new(disturbs,
				      json_string("unknown: which processes of the host have VFs open could not be seen"));
	for (size_t i = 0; i < reply->n_holders; i++) {
		const struct vf_holder *h = &reply->holders[i];
		_cleanup_free_ char *vf = xasprintf("%s/vf%u", gpu, h->vf);
		_cleanup_free_ char *text = xasprintf("%s: process %s (pid %d) has %s open", strempty(vf),
						      strempty(h->command), h->pid, strempty(h->path));

		if (vf && text && !names_vf(disturbs, vf))
			json_array_append_new(disturbs, json_string(text));
	}
}

/* Who owns the layout once it is applied. */
static void put_ownership(struct manager *m, const struct gpu *gpu, bool given, json_t *json)
{
	const struct policy_gpu_rule *rule = policy_match_gpu(m->policy, gpu->facts);
	bool manual = given || gpu->manual;

	json_put_string(json, "layout_source", manual ? "manual" : "policy");
	json_put_bool(json, "pinned", manual && rule && rule->layout);
}

static json_t *plan_to_json(struct manager *m, const struct gpu *gpu, const struct layout *layout,
			    const struct partition_plan *plan)
{
	json_t *steps = json_array(), *disturbs = plan->removes_vfs ? gpu_holders(m, gpu) : NULL;
	json_t *notes = json_array();

	for (size_t i = 0; i < plan->n_steps; i++)
		json_array_append_new(steps, partition_step_to_json(&plan->steps[i]));
	for (size_t i = 0; i < plan->n_notes; i++)
		json_array_append_new(notes, json_string(plan->notes[i]));
	if (!disturbs)
		disturbs = json_array();
	if (plan->removes_vfs && !m->hypervisor_connected)
		json_array_append_new(disturbs, json_string("unknown: libvirt has not answered, so VMs may hold VFs"));
	if (gpu->facts->display && plan->n_steps > 0)
		json_array_append_new(disturbs, json_string("the console or a screen is driven by this GPU"));
	return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o}", "gpu", gpu->name, "hash", plan->hash, "layout",
			 layout_to_json(layout), "steps", steps, "notes", notes, "disturbs", disturbs);
}

void manager_gpu_plan(struct manager *m, const struct caller *caller,
		      const struct gpu_plan_params *p, struct reply *reply)
{
	_cleanup_(layout_freep) struct layout *layout = NULL;
	_cleanup_(partition_plan_freep) struct partition_plan *plan = NULL;
	struct gpu *gpu = resolve(m, p->gpu, p->layout, false, &layout, reply);
	struct rpc_error error = { 0 };
	struct question *q;
	json_t *answer;

	if (!gpu)
		return;
	if (plan_make(gpu, layout, &plan, &error) < 0) {
		reply_error_done(reply, &error);
		return;
	}
	answer = plan_to_json(m, gpu, layout, plan);
	put_ownership(m, gpu, p->layout != NULL, answer);
	q = question_new(m, reply, answer);
	if (!q)
		return;
	if (plan->removes_vfs)
		question_ask(q, gpu, HOST_HOLDERS, on_holders);
	question_less(q);
}

/* ---- apply: from acceptance to its turn ---- */

static int refuse_hash(const char *hash, struct rpc_error *error)
{
	rpc_error_set(error, RPC_CONFLICT, "the plan %s no longer holds: the GPU, the policy or the layout changed", hash);
	return rpc_error_detail(error, "plan_changed", "plan", "look at gpu.plan again");
}

/* Everything that refuses an apply before anything is changed. */
static int check_apply(struct manager *m, struct gpu *gpu, const struct gpu_apply_params *p,
		       const struct partition_plan *plan, struct rpc_error *error)
{
	json_t *holders;

	if (p->plan && !streq(p->plan, plan->hash))
		return refuse_hash(p->plan, error);
	if (gpu->drain.operations[DRAIN_FOR_APPLY]) {
		rpc_error_set(error, RPC_CONFLICT, "%s waits for holders to leave before it is cut (%s)", gpu->name,
			      gpu->drain.operations[DRAIN_FOR_APPLY]);
		return rpc_error_detail(error, "draining", "gpu", "wait for it, or cancel it (gpuvf cancel)");
	}
	if (gpu->apply || gpu->apply_accepted || gpu_has_inherited(m, gpu)) {
		rpc_error_set(error, RPC_CONFLICT, "%s is being cut right now, or what was begun goes on when libvirt answers",
			      gpu->name);
		return rpc_error_detail(error, "recutting", "gpu", "wait until that is done (gpuvf show)");
	}
	if (plan->n_steps == 0)
		return 0;
	if (gpu->tunes) {
		rpc_error_set(error, RPC_CONFLICT, "VFs of %s are being tuned right now", gpu->name);
		return rpc_error_detail(error, "tuning", "gpu", "try again in a moment");
	}
	/* The apply asks libvirt again, and then counts what is stored. */
	if (pf_refuse_cut(m, gpu, !m->hypervisor_connected, error) < 0)
		return -ECANCELED;
	if (gpu->facts->display && !p->yes_display) {
		rpc_error_set(error, RPC_CONFLICT, "%s drives the console or a screen", gpu->name);
		return rpc_error_detail(error, "display", "yes_display", "say --yes-display if you mean it");
	}
	if (!plan->removes_vfs)
		return 0;
	if (!m->hypervisor_connected) {
		rpc_error_set(error, RPC_HOST_ERROR, "libvirt has not answered, so nobody knows who holds VFs: %s",
			      hypervisor_away_text(m));
		return rpc_error_detail(error, "no_libvirt", NULL, "only GPUs without VFs can be cut until then");
	}
	holders = p->drain ? NULL : gpu_holders(m, gpu);
	if (!holders)
		return 0;
	rpc_error_set(error, RPC_CONFLICT, "VFs of %s are held; taking them away would hang the kernel", gpu->name);
	rpc_error_detail(error, "held", NULL, "release the holders first (gpuvf release VM), or wait for them with --drain");
	error->holders = holders;
	return -ECANCELED;
}

/* An accepted one that is refused after all: nothing was written, and the layout before is wanted again. */
static void refuse_accepted(struct manager *m, struct gpu *gpu, struct operation *op,
			    const struct rpc_error *error)
{
	_cleanup_acting_ struct audit_acting acting = audit_acts(m, op);

	gpu->apply_accepted = false;
	apply_restore_ownership(m, gpu, op);
	drain_over(m, gpu, DRAIN_FOR_APPLY);
	half_cut_look(m, gpu);
	operation_failed(m, op, error);
	manager_pump(m);
}

static void turn(struct manager *m, struct gpu *gpu, struct operation *op)
{
	_cleanup_acting_ struct audit_acting acting = audit_acts(m, op);

	gpu->apply_accepted = false;
	apply_start(m, op);
	if (!gpu->apply && op->state > OPERATION_RUNNING)
		apply_restore_ownership(m, gpu, op); /* refused before its first step */
	drain_over(m, gpu, DRAIN_FOR_APPLY);
	gpu_check_drift(m, gpu);
}

/* The last look: does the plan that was looked at still hold? */
struct last_look {
	struct manager *m;
	char *operation;
};

static int plan_holds(const struct gpu *gpu, const struct operation *op, struct rpc_error *error)
{
	_cleanup_(partition_plan_freep) struct partition_plan *plan = NULL;
	_cleanup_(layout_freep) struct layout *layout = NULL;
	const char *hash = strempty(json_get_string(op->input, "plan"));

	if (layout_load(json_object_get(op->input, "layout"), &layout) < 0)
		return rpc_error_set(error, RPC_INTERNAL_ERROR, "the stored layout cannot be read");
	if (plan_make(gpu, layout, &plan, error) < 0)
		return -ECANCELED;
	return streq(hash, plan->hash) ? 0 : refuse_hash(hash, error);
}

static void on_looked(void *userdata, const struct host_reply *reply)
{
	struct last_look *look = userdata;
	struct manager *m = look->m;
	struct operation *op = operation_find(m, look->operation);
	struct gpu *gpu = op ? gpu_find(m, op->subject) : NULL;
	struct gpu_facts *copy = reply->r == 0 && reply->n_facts ? gpu_facts_copy(reply->facts[0]) : NULL;
	struct rpc_error error = { 0 };

	free(look->operation);
	free(look);
	if (copy)
		gpu_update(m, copy);
	if (!gpu || op->state > OPERATION_RUNNING)
		return;
	if (!copy || !gpu->facts) {
		rpc_error_from_host(&error, reply, "the GPU could not be read once more before its plan");
		refuse_accepted(m, gpu, op, &error);
	} else if (plan_holds(gpu, op, &error) < 0) {
		refuse_accepted(m, gpu, op, &error);
	} else {
		turn(m, gpu, op);
	}
	rpc_error_done(&error);
}

static void look_again(struct manager *m, struct gpu *gpu, struct operation *op)
{
	struct host_request request = { .op = HOST_READ, .gpu = gpu->address };
	struct last_look *look = calloc(1, sizeof(*look));
	struct host_reply reply = { .r = -ENOMEM };
	struct rpc_error error = { 0 };

	if (look) {
		*look = (struct last_look){ .m = m, .operation = strdup(op->name) };
		reply.r = m->host->ops->request(m->host, &request, on_looked, look);
		if (reply.r < 0)
			on_looked(look, &reply);
		return;
	}
	rpc_error_from_host(&error, &reply, "the plan");
	refuse_accepted(m, gpu, op, &error);
	rpc_error_done(&error);
}

void apply_go(struct manager *m, struct operation *op)
{
	struct gpu *gpu = gpu_find(m, op->subject);
	bool fresh;

	if (!gpu) {
		apply_start(m, op); /* says that the card is gone */
		return;
	}
	gpu->apply_accepted = true;
	/* One that had begun to write goes on: what it left half-done is another card by now. */
	fresh = op->state == OPERATION_ACCEPTED;
	if (fresh && (gpu->facts || gpu->stuck) && json_get_bool(op->input, "drain", false) &&
	    drain_waits(m, gpu, DRAIN_FOR_APPLY, op))
		return; /* the pump comes back here */
	if (fresh && gpu->facts && !gpu->stuck && json_get_string(op->input, "plan"))
		look_again(m, gpu, op);
	else
		turn(m, gpu, op);
}

/* ---- apply: acceptance ---- */

struct accepted {
	struct operation *op;
	struct gpu *gpu;
	bool own;	    /* nobody called: the daemon makes what is wanted */
	bool owner_changed; /* and what follows is what was */
	struct layout *manual_before;
	uid_t uid_before;
	uint64_t at_before;
};

static void apply_committed(struct manager *m, void *userdata)
{
	struct accepted *accepted = userdata;

	layout_free(accepted->manual_before);
	accepted->gpu->apply_accepted = false;
	if (accepted->op)
		apply_go(m, accepted->op);
	else
		gpu_check_drift(m, accepted->gpu);
	free(accepted);
}

static void apply_not_committed(struct manager *m, void *userdata)
{
	struct accepted *accepted = userdata;

	accepted->gpu->apply_accepted = false;
	if (accepted->owner_changed) {
		layout_free(accepted->gpu->manual);
		accepted->gpu->manual = accepted->manual_before;
		accepted->gpu->manual_uid = accepted->uid_before;
		accepted->gpu->manual_at = accepted->at_before;
	}
	drain_over(m, accepted->gpu, DRAIN_FOR_APPLY);
	half_cut_look(m, accepted->gpu);
	if (accepted->own)
		wanted_not_stored(m, accepted->gpu);
	if (accepted->op)
		operation_drop(m, accepted->op);
	free(accepted);
}

static bool same_layout(const struct layout *a, const struct layout *b)
{
	_cleanup_json_ json_t *x = a ? layout_to_json(a) : NULL, *y = b ? layout_to_json(b) : NULL;

	return x && y && json_equal(x, y);
}

/* Who owns the layout from now on: a layout that was given is manual, --policy drops it.  The same again by the
 * same user changes nothing, and nothing is stored. */
static void take_ownership(struct manager *m, struct gpu *gpu, const struct caller *caller,
			   const struct gpu_apply_params *p, struct layout *layout,
			   struct accepted *accepted)
{
	accepted->gpu = gpu;
	gpu->unreadable = false;
	if (p->layout ? gpu->manual_uid == caller->uid && same_layout(gpu->manual, layout)
		      : !p->policy || !gpu->manual)
		return;
	accepted->owner_changed = true;
	accepted->manual_before = gpu->manual;
	accepted->uid_before = gpu->manual_uid;
	accepted->at_before = gpu->manual_at;
	if (p->layout) {
		_cleanup_json_ json_t *copy = layout_to_json(layout);

		gpu->manual = NULL;
		(void)layout_load(copy, &gpu->manual);
		gpu->manual_uid = caller->uid;
		gpu->manual_at = now_realtime();
	} else {
		gpu->manual = NULL;
	}
	gpu_store(m, gpu);
}

/* Kept with the operation: when it fails, the layout before is the wanted one again.  Returns new. */
static json_t *ownership_before(const struct accepted *accepted)
{
	if (!accepted->owner_changed)
		return json_null();
	return json_pack("{s:o,s:I,s:I}", "manual",
			 accepted->manual_before ? layout_to_json(accepted->manual_before) : json_null(), "uid",
			 (json_int_t)accepted->uid_before, "usec", (json_int_t)accepted->at_before);
}

/* The intent, complete before the first write: what is to be, what is there, and who owned the layout. */
static json_t *apply_input(const struct gpu *gpu, const struct layout *layout,
			   const struct accepted *accepted)
{
	_cleanup_(layout_freep) struct layout *was = partition_present(gpu->facts);

	return json_pack("{s:o,s:o?,s:o}", "layout", layout_to_json(layout), "was",
			 was ? layout_to_json(was) : NULL, "before", ownership_before(accepted));
}

/* … and what it waits for. */
static json_t *apply_input_of(const struct gpu *gpu, const struct layout *layout,
			      const struct accepted *accepted, const char *plan, bool drain)
{
	json_t *input = apply_input(gpu, layout, accepted);

	json_put_string(input, "plan", plan);
	json_put_bool(input, "drain", drain);
	return input;
}

void apply_wanted(struct manager *m, struct gpu *gpu, const struct layout *layout, const char *method)
{
	struct accepted *accepted = calloc(1, sizeof(*accepted));

	if (!accepted)
		return;
	accepted->gpu = gpu;
	accepted->own = gpu->apply_accepted = gpu->own.running = true;
	accepted->op = operation_new(m, method, gpu->name, m->own_uid, apply_input(gpu, layout, accepted));
	outbox_add(m, apply_committed, apply_not_committed, accepted);
}

void apply_decide(struct manager *m, const struct caller *caller, const struct gpu_apply_params *p,
		  struct reply *reply)
{
	_cleanup_(layout_freep) struct layout *layout = NULL;
	_cleanup_(partition_plan_freep) struct partition_plan *plan = NULL;
	struct rpc_error error = { 0 };
	struct accepted *accepted;
	struct gpu *gpu;
	bool drain;

	if (manager_refuses_changes(m, reply))
		return;
	gpu = resolve(m, p->gpu, p->layout, p->policy, &layout, reply);
	if (!gpu)
		return;
	if (plan_make(gpu, layout, &plan, &error) < 0 ||
	    check_apply(m, gpu, p, plan, &error) < 0) {
		reply_error_done(reply, &error);
		return;
	}
	accepted = calloc(1, sizeof(*accepted));
	if (!accepted) {
		reply_refuse(reply, RPC_INTERNAL_ERROR, "out of memory");
		return;
	}
	take_ownership(m, gpu, caller, p, layout, accepted);
	if (plan->n_steps == 0) {
		gpu_name_profiles(m, gpu, layout);
		half_cut_check(m, gpu);
		if (gpu->state == GPU_READY || gpu->state == GPU_UNMANAGED || (gpu->state == GPU_WEDGED && !gpu->stuck))
			gpu_calm(m, gpu);
		gpu_check_drift(m, gpu);
		gpu->apply_accepted = true;
		outbox_add(m, apply_committed, apply_not_committed, accepted);
		outbox_reply(m, reply, json_pack("{s:b,s:n,s:o}", "changed", 0, "operation", "gpu",
						 gpu_view(m, gpu)));
		return;
	}
	gpu->apply_accepted = true;
	drain = p->drain && plan->removes_vfs;
	accepted->op = operation_new(m, OPERATION_APPLY, gpu->name, caller->uid,
				     apply_input_of(gpu, layout, accepted, p->plan, drain));
	if (drain)
		drain_take(m, gpu, DRAIN_FOR_APPLY, accepted->op);
	outbox_add(m, apply_committed, apply_not_committed, accepted);
	operation_reply(m, accepted->op, p->wait_usec, reply);
}
