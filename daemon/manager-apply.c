/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cutting a GPU: an apply under way (gpu.plan and gpu.apply begin in manager-plan.c).  It runs the plan's steps
 * one by one through the host and reads the result back; a step that fails begins the way back
 * (manager-undo.c).  VFs are never taken away while anybody holds one: the kernel does not refuse, it hangs. */
#include "manager-apply.h"

/* ---- the end of an apply ---- */

static struct apply *apply_free(struct apply *a)
{
	if (!a)
		return NULL;
	if (a->gpu)
		a->gpu->apply = NULL;
	layout_free(a->target);
	layout_free(a->before);
	partition_plan_free(a->plan);
	partition_plan_free(a->undo);
	rpc_error_done(&a->error);
	free(a->undo_failure);
	free(a);
	return NULL;
}

struct operation *apply_operation(const struct gpu *gpu)
{
	return gpu->apply ? gpu->apply->op : NULL;
}

void apply_drop(struct gpu *gpu)
{
	apply_free(gpu->apply);
}

/* Fresh VFs go to VFIO; whoever asked for them hears of it when they can be given away. */
struct binding {
	struct gpu *gpu;
	struct operation *op;
	size_t left;
};

static void binding_less(struct manager *m, struct binding *b)
{
	if (--b->left > 0)
		return;
	b->gpu->binding--;
	if (b->gpu->facts)
		gpu_refresh(m, b->gpu);
	if (b->op)
		operation_done(m, b->op, json_pack("{s:b,s:o}", "changed", 1, "gpu", gpu_view(m, b->gpu)));
	if (b->op)
		wanted_ended(m, b->gpu, NULL);
	free(b);
	manager_pump(m);
}

static void bound(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	if (error)
		log_vf(vf->name, LOG_WARNING, 0, "%s", strempty(error->message));
	binding_less(m, userdata);
}

static void bind_vfs(struct manager *m, struct gpu *gpu, struct operation *op)
{
	struct binding *b = calloc(1, sizeof(*b));

	if (!b)
		return;
	*b = (struct binding){ .gpu = gpu, .op = op, .left = 1 }; /* our own */
	gpu->binding++;
	for (size_t i = 0; i < gpu->n_vfs; i++) {
		b->left++;
		if (!handover_bind(m, gpu->vfs[i], bound, b))
			b->left--;
	}
	binding_less(m, b);
}

static void apply_succeeded(struct apply *a)
{
	struct manager *m = a->m;
	struct gpu *gpu = a->gpu;
	struct operation *op = a->op;
	_cleanup_acting_ struct audit_acting acting = audit_acts(m, op);

	gpu_name_profiles(m, gpu, a->target);
	apply_free(a);
	half_cut_over(m, gpu, "an apply went well");
	gpu_end_leases_of_absent(m, gpu);
	gpu_calm(m, gpu);
	gpu_check_drift(m, gpu);
	log_gpu(gpu->name, LOG_NOTICE, 0, "now has %zu VFs", gpu->n_vfs);
	bind_vfs(m, gpu, op);
	manager_pump(m);
}

/* A layout that could not be had is not wanted at the next boot either: the one before is. */
void apply_restore_ownership(struct manager *m, struct gpu *gpu, const struct operation *op)
{
	const json_t *before = json_object_get(op->input, "before");
	const json_t *manual = json_object_get(before, "manual");

	if (!json_is_object(before))
		return;
	layout_free(gpu->manual);
	gpu->manual = NULL;
	if (json_is_object(manual))
		(void)layout_load(manual, &gpu->manual);
	gpu->manual_uid = (uid_t)json_get_uint(before, "uid", 0);
	gpu->manual_at = json_get_uint(before, "usec", 0);
	gpu_store(m, gpu);
	gpu_check_drift(m, gpu);
}

/* Why what was begun is left as it is, or NULL: it is whole, or nothing was written since the boot.  Returns new. */
static char *left_half_made(const struct apply *a)
{
	const struct gpu_facts *facts = a->gpu->facts;

	if (!a->touched || (a->resumed && a->m->booted) || !facts || !a->before || partition_matches(facts, a->before, NULL) ||
	    partition_matches(facts, a->target, NULL))
		return NULL;
	return xasprintf("%s%s could neither go on nor be undone: %s", a->op->name,
			 a->resumed ? ", which an earlier daemon had begun," : "", strempty(a->error.message));
}

static bool is_cancelled(const struct apply *a)
{
	return streq_ptr(a->error.reason, "cancelled");
}

/* What is undone is the canceller's doing. */
static struct audit_acting acts(const struct apply *a)
{
	return is_cancelled(a) ? audit_cancels(a->m, a->op) : audit_acts(a->m, a->op);
}

void apply_failed(struct apply *a, const char *wedged)
{
	_cleanup_free_ char *left = wedged ? strdup(wedged) : left_half_made(a);
	_cleanup_(layout_freep) struct layout *before = TAKE_PTR(a->before);
	struct manager *m = a->m;
	struct gpu *gpu = a->gpu;
	struct operation *op = a->op;
	_cleanup_acting_ struct audit_acting acting = acts(a);
	struct rpc_error error = { 0 };

	rpc_error_move(&error, &a->error);
	apply_free(a);
	/* A card without a driver has no VFs and no quotas. */
	if (left && gpu->facts && gpu->facts->driver)
		half_cut_set(m, gpu, left, before);
	apply_restore_ownership(m, gpu, op);
	half_cut_check(m, gpu);
	if (!gpu->stuck && gpu->facts)
		gpu_calm(m, gpu);
	gpu_check_drift(m, gpu);
	if (error.holders)
		processes_look(m, gpu); /* whom the helper met before its write is known from now on */
	operation_failed(m, op, &error);
	wanted_ended(m, gpu, &error);
	rpc_error_done(&error);
	manager_pump(m);
}

/* An access does not return.  Nothing more can be sent, so nothing can be undone now; who waits hears of it,
 * and the apply goes on when it returns (apply_unstuck), in this daemon or the next. */
void apply_hangs(struct apply *a, const char *what, const struct host_reply *reply)
{
	_cleanup_free_ char *hint = xasprintf("it goes on when the kernel answers; gpuvf wait %s; gpuvf cancel %s",
					      a->op->name, a->op->name);
	struct rpc_error error = { 0 };

	a->hanging = true;
	rpc_error_from_host(&error, reply, what);
	rpc_error_detail(&error, "hangs", NULL, hint);
	operation_hangs(a->m, a->op, &error);
	rpc_error_done(&error);
}

/* ---- steps ---- */

int apply_ask(struct apply *a, const struct host_request *request, host_reply_fn fn)
{
	int r = a->m->host->ops->request(a->m->host, request, fn, a);

	if (r < 0) {
		struct host_reply reply = { .r = r };

		fn(a, &reply);
	}
	return r;
}

/* False when the card is gone, or another one is in its place. */
bool apply_update_facts(struct apply *a, const struct host_reply *reply)
{
	_cleanup_acting_ struct audit_acting acting = acts(a);
	struct gpu_facts *copy = reply->n_facts ? gpu_facts_copy(reply->facts[0]) : NULL;

	if (copy)
		gpu_update(a->m, copy);
	return copy && a->gpu->facts;
}

void apply_gone(struct apply *a)
{
	rpc_error_set(&a->error, RPC_NOT_FOUND, "%s: the card is gone", a->gpu->name);
	apply_failed(a, NULL);
}

static void on_checked(void *userdata, const struct host_reply *reply)
{
	struct apply *a = userdata;
	_cleanup_free_ char *why = NULL;

	if (reply->r == -ETIMEDOUT) {
		apply_hangs(a, "the result could not be read back", reply);
		return;
	}
	if (reply->r < 0) {
		rpc_error_from_host(&a->error, reply, "the result could not be read back");
		apply_undo(a);
		return;
	}
	if (!apply_update_facts(a, reply)) {
		apply_gone(a);
		return;
	}
	if (!partition_matches(a->gpu->facts, a->target, &why)) {
		rpc_error_set(&a->error, RPC_HOST_ERROR, "the kernel took every value, but shows another result: %s",
			      strempty(why));
		apply_undo(a);
		return;
	}
	apply_succeeded(a);
}

static void check(struct apply *a)
{
	struct host_request request = { .op = HOST_READ, .gpu = a->gpu->address };

	a->phase = APPLY_CHECKING;
	apply_ask(a, &request, on_checked);
}

/* NULL when the answer is what the step expects, else why not (new). */
static char *step_mismatch(const struct partition_step *step, const struct host_reply *reply)
{
	if (!step->expect)
		return NULL;
	if (!reply->value.known)
		return xasprintf("%s: nothing could be read back", step->text);
	if (step->at_least ? reply->value.value >= step->at_least : reply->value.value == step->exactly)
		return NULL;
	return xasprintf("%s: the kernel shows %llu instead of %llu", step->text,
			 (unsigned long long)reply->value.value,
			 (unsigned long long)(step->at_least ? step->at_least : step->exactly));
}

/* VFs of a re-cut are new ones, whatever had become of those before. */
void apply_step_done(struct apply *a, const struct partition_step *step, const struct host_reply *reply)
{
	_cleanup_acting_ struct audit_acting acting = acts(a);

	if (reply->r == 0 && step->request.op == HOST_SET_NUMVFS && step->request.value == 0)
		gpu_vfs_are_gone(a->m, a->gpu);
}

static void next_step(struct apply *a);

static void on_step(void *userdata, const struct host_reply *reply)
{
	struct apply *a = userdata;
	const struct partition_step *step = &a->plan->steps[a->step];
	_cleanup_free_ char *mismatch = NULL;
	bool failed = reply->r < 0;

	if (reply->r == -ETIMEDOUT) {
		apply_hangs(a, step->text, reply);
		return;
	}
	if (failed && !step->optional)
		rpc_error_from_host(&a->error, reply, step->text);
	if (!failed) {
		mismatch = step_mismatch(step, reply);
		if (mismatch && !step->optional) {
			rpc_error_set(&a->error, RPC_HOST_ERROR, "%s", mismatch);
			failed = true;
		}
		a->written = a->step + 1;
	}
	if (failed && step->optional)
		log_gpu(a->gpu->name, LOG_WARNING, reply->r, "%s", step->text);
	if (failed && !step->optional) {
		apply_undo(a);
		return;
	}
	apply_step_done(a, step, reply);
	a->step++;
	next_step(a);
}

static void cancelled(struct apply *a)
{
	rpc_error_set(&a->error, RPC_CONFLICT, "cancelled; undone to the layout before");
	rpc_error_detail(&a->error, "cancelled", NULL, NULL);
}

static void next_step(struct apply *a)
{
	if (a->op->cancel && a->step < a->plan->n_steps) {
		cancelled(a);
		apply_undo(a);
		return;
	}
	if (a->step >= a->plan->n_steps) {
		check(a);
		return;
	}
	log_gpu(a->gpu->name, LOG_INFO, 0, "%s", a->plan->steps[a->step].text);
	a->touched = true;
	apply_ask(a, &a->plan->steps[a->step].request, on_step);
}

/* ---- the beginning ---- */

/* Nothing was tried: what is wanted of itself stays due. */
static void begun_unseen(struct apply *a)
{
	rpc_error_set(&a->error, RPC_DEGRADED, "nothing was changed: %s",
		      a->m->degraded ? a->m->degraded : "the state could not be written for a while");
	a->gpu->due |= a->gpu->own.running;
	apply_failed(a, NULL);
}

/* A row that says "accepted" is of a card that was not written to: the next daemon looks at its plan once more. */
static void first_step(struct apply *a)
{
	a->waits = a->begun == BEGUN_UNKNOWN;
	if (a->begun == BEGUN_STORED)
		next_step(a);
	else if (a->begun == BEGUN_NOT_STORED)
		begun_unseen(a);
}

static void forward(struct apply *a);

/* Takes the operation's name. */
static void begun_is(struct manager *m, char *name, bool stored)
{
	/* The daemon is ending: the next one goes on. */
	bool ending = !m->outbox || sd_event_get_state(m->event) == SD_EVENT_FINISHED;
	struct operation *op = ending ? NULL : operation_find(m, name);
	struct gpu *gpu = op ? gpu_find(m, op->subject) : NULL;

	free(name);
	if (!gpu || !gpu->apply || gpu->apply->op != op)
		return;
	gpu->apply->begun = stored ? BEGUN_STORED : BEGUN_NOT_STORED;
	if (gpu->apply->waits && stored)
		forward(gpu->apply); /* who has what, and what is there, may have changed meanwhile */
	else if (gpu->apply->waits)
		begun_unseen(gpu->apply);
}

static void begun_stored(struct manager *m, void *userdata)
{
	begun_is(m, userdata, true);
}

static void begun_not_stored(struct manager *m, void *userdata)
{
	begun_is(m, userdata, false);
}

static void refuse_holders(struct apply *a, json_t *holders)
{
	rpc_error_set(&a->error, RPC_CONFLICT, "VFs of %s are held; taking them away would hang the kernel",
		      a->gpu->name);
	rpc_error_detail(&a->error, "held", NULL, "release the holders first (gpuvf release VM)");
	a->error.holders = holders;
	apply_failed(a, NULL);
}

static void forward(struct apply *a)
{
	struct rpc_error error = { 0 };
	json_t *holders;

	if (!a->gpu->facts) {
		apply_gone(a);
		return;
	}
	/* Planned again from what is there now: between acceptance and here anything may have happened. */
	partition_plan_free(a->plan);
	a->plan = NULL;
	if (partition_plan_make(a->gpu->facts, a->target, &a->plan, &error) < 0) {
		rpc_error_move(&a->error, &error);
		/* One that was begun, before it hung or by a dead daemon, must not stay half-made. */
		if (a->touched && a->before && !partition_matches(a->gpu->facts, a->before, NULL))
			apply_undo(a);
		else
			apply_failed(a, NULL);
		return;
	}
	holders = a->plan->removes_vfs ? gpu_holders(a->m, a->gpu) : NULL;
	if (holders) {
		refuse_holders(a, holders);
		return;
	}
	if (a->plan->n_steps > 0 && pf_refuse_cut(a->m, a->gpu, true, &a->error) < 0) {
		apply_failed(a, NULL);
		return;
	}
	a->phase = APPLY_FORWARD;
	a->step = a->written = 0;
	first_step(a);
}

/* libvirt's present word on who has what, asked directly before the card is cut: it tells nobody of a definition that
 * was given a device.  Without it no VF is taken away. */
static void on_listed(void *userdata, const struct hv_reply *reply)
{
	struct apply *a = userdata;

	if (reply->failure != HV_OK && a->gpu->facts && a->gpu->facts->num_vfs > 0) {
		rpc_error_from_hv(&a->error, reply, "libvirt cannot say which VMs hold VFs, so none is taken away");
		apply_failed(a, NULL);
		return;
	}
	for (size_t i = 0; i < reply->n_domains; i++) {
		struct hv_event event = { .type = HV_EVENT_DOMAIN, .uuid = reply->domains[i]->uuid,
					  .domain = reply->domains[i] };

		manager_on_hv_event(a->m, &event);
	}
	forward(a);
}

/* From what the kernel shows now: between acceptance and here anything may have happened. */
static void on_first_read(void *userdata, const struct host_reply *reply)
{
	struct apply *a = userdata;
	struct hv_request list = { .op = HV_LIST };

	if (reply->r == -ETIMEDOUT) {
		apply_hangs(a, "the GPU could not be read", reply);
		return;
	}
	if (reply->r == -ENODEV || (reply->r == 0 && !apply_update_facts(a, reply))) {
		apply_gone(a);
		return;
	}
	if (reply->r < 0) {
		rpc_error_from_host(&a->error, reply, "the GPU could not be read");
		apply_failed(a, NULL);
		return;
	}
	if (!a->before)
		a->before = partition_present(a->gpu->facts);
	if (a->gpu->facts->num_vfs == 0 && !a->m->hypervisor_connected) {
		forward(a); /* nothing to take away, and at boot VMs wait for the VFs */
		return;
	}
	if (a->m->hypervisor->ops->request(a->m->hypervisor, &list, on_listed, a) < 0) {
		struct hv_reply none = { .failure = HV_DISCONNECTED };

		on_listed(a, &none);
	}
}

static void first_read(struct apply *a)
{
	struct host_request request = { .op = HOST_READ, .gpu = a->gpu->address };

	a->phase = APPLY_LISTING;
	apply_ask(a, &request, on_first_read);
}

void apply_unstuck(struct manager *m, struct gpu *gpu)
{
	struct apply *a = gpu->apply;

	if (!a->hanging)
		return;
	a->hanging = false;
	operation_goes_on(m, a->op);
	gpu_set_state(m, gpu, GPU_RECUTTING, NULL);
	if (a->phase >= APPLY_UNDO_READ || a->op->cancel) {
		if (!a->error.code)
			cancelled(a);
		if (!a->touched)
			apply_failed(a, NULL); /* nothing was written yet */
		else
			apply_undo(a);
	} else {
		first_read(a);
	}
}

void apply_bind_vfs(struct manager *m, struct gpu *gpu)
{
	bind_vfs(m, gpu, NULL);
}

static void apply_begin(struct manager *m, struct gpu *gpu, struct operation *op,
			struct layout *target)
{
	const json_t *was = json_object_get(op->input, "was");
	struct apply *a = calloc(1, sizeof(*a));

	if (!a) {
		struct rpc_error error = { .code = RPC_INTERNAL_ERROR };

		layout_free(target);
		operation_failed(m, op, &error);
		wanted_ended(m, gpu, &error);
		return;
	}
	*a = (struct apply){ .m = m, .gpu = gpu, .op = op, .target = target,
			     .resumed = op->state == OPERATION_RUNNING };
	gpu->apply = a;
	a->touched = a->resumed;
	if (a->resumed)
		a->begun = BEGUN_STORED;
	else
		outbox_add(m, begun_stored, begun_not_stored, strdup(op->name));
	operation_begin(m, op);
	/* One that goes on after a restart may find a half-made layout: the way back leads to what was there
	 * when it was accepted. */
	if (json_is_object(was))
		(void)layout_load(was, &a->before);
	if (gpu->stuck) { /* in a call of the daemon before */
		struct host_reply reply = { .r = -ETIMEDOUT, .attribute = gpu->stuck };

		apply_hangs(a, "an earlier access", &reply);
		return;
	}
	gpu_set_state(m, gpu, GPU_RECUTTING, NULL);
	first_read(a);
}

void apply_start(struct manager *m, struct operation *op)
{
	struct gpu *gpu = gpu_find(m, op->subject);
	struct layout *target = NULL;
	struct rpc_error error = { 0 };

	if (gpu && gpu->apply)
		rpc_error_set(&error, RPC_CONFLICT, "%s is being cut by another apply", gpu->name);
	else if (!gpu || (!gpu->facts && !gpu->stuck))
		rpc_error_set(&error, RPC_NOT_FOUND, "%s: the card is gone", strempty(op->subject));
	else if (gpu->given_up)
		rpc_error_set(&error, RPC_WEDGED, "%s: %s", gpu->name, strempty(gpu->reason));
	else if (layout_load(json_object_get(op->input, "layout"), &target) < 0)
		rpc_error_set(&error, RPC_INTERNAL_ERROR, "the stored layout cannot be read");
	if (error.code) {
		layout_free(target);
		operation_failed(m, op, &error);
		if (gpu)
			wanted_ended(m, gpu, &error);
		rpc_error_done(&error);
		return;
	}
	apply_begin(m, gpu, op, target);
}

void apply_resume(struct manager *m, struct operation *op)
{
	op->inherited = false;
	log_notice("%s (%s %s) goes on after a restart", op->name, op->method, strempty(op->subject));
	apply_go(m, op);
}
