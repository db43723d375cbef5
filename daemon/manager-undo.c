/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way back of an apply that failed or was cancelled: what the kernel shows is read, partition/ makes a plan
 * from it to the layout that stood when the apply was accepted, and its steps run.  After a way back that fails
 * the GPU is wedged with the reason. */
#include "manager-apply.h"

static void on_rest_read(void *userdata, const struct host_reply *reply)
{
	struct apply *a = userdata;
	_cleanup_free_ char *reason = NULL;

	if (reply->r == -ETIMEDOUT) {
		apply_hangs(a, "what a failed undo left could not be read", reply);
		return;
	}
	if (reply->r == 0 && !apply_update_facts(a, reply)) {
		apply_gone(a);
		return;
	}
	reason = TAKE_PTR(a->undo_failure);
	apply_failed(a, strempty(reason));
}

/* Takes reason.  What is told from here on is what the way back has left, not what it began with. */
static void undo_failed(struct apply *a, char *reason)
{
	struct host_request request = { .op = HOST_READ, .gpu = a->gpu->address };

	free(a->undo_failure);
	a->undo_failure = reason;
	a->phase = APPLY_UNDO_CHECK;
	apply_ask(a, &request, on_rest_read);
}

static void on_undo_checked(void *userdata, const struct host_reply *reply)
{
	struct apply *a = userdata;
	_cleanup_free_ char *why = NULL;

	if (reply->r == -ETIMEDOUT) {
		apply_hangs(a, "the layout before could not be read back", reply);
		return;
	}
	if (reply->r == 0) {
		if (!apply_update_facts(a, reply)) {
			apply_gone(a);
			return;
		}
		if (partition_matches(a->gpu->facts, a->before, &why)) {
			apply_failed(a, NULL);
			return;
		}
	}
	undo_failed(a, xasprintf("the layout before could not be restored: %s",
				 why ? why : reply->message ? reply->message : strerror(-reply->r)));
}

static void undo_step(struct apply *a);

static void on_undo_step(void *userdata, const struct host_reply *reply)
{
	struct apply *a = userdata;
	const struct partition_step *step = &a->undo->steps[a->step];

	if (reply->r == -ETIMEDOUT) {
		apply_hangs(a, step->text, reply);
		return;
	}
	if (reply->r < 0 && !step->optional) {
		undo_failed(a, xasprintf("the undo failed at \"%s\": %s", step->text,
					 reply->message ? reply->message : strerror(-reply->r)));
		return;
	}
	if (reply->r < 0)
		log_gpu(a->gpu->name, LOG_WARNING, reply->r, "undo: %s", step->text);
	apply_step_done(a, step, reply);
	a->step++;
	undo_step(a);
}

static void undo_step(struct apply *a)
{
	struct host_request request = { .op = HOST_READ, .gpu = a->gpu->address };

	if (a->step < a->undo->n_steps) {
		log_gpu(a->gpu->name, LOG_INFO, 0, "undo: %s", a->undo->steps[a->step].text);
		apply_ask(a, &a->undo->steps[a->step].request, on_undo_step);
		return;
	}
	a->phase = APPLY_UNDO_CHECK;
	apply_ask(a, &request, on_undo_checked);
}

/* From what the kernel shows now and what was written: an earlier daemon's writes count as all done. */
static void undo_run(struct apply *a)
{
	struct rpc_error error = { 0 };
	int r = 0;

	partition_plan_free(a->undo);
	a->undo = NULL;
	a->step = 0;
	a->phase = APPLY_UNDO;
	if (!a->plan) {
		r = partition_plan_make(a->gpu->facts, a->target, &a->plan, &error);
		a->written = r < 0 ? 0 : a->plan->n_steps;
		rpc_error_done(&error);
		error = (struct rpc_error){ 0 };
	}
	if (r == 0)
		r = partition_undo_make(a->gpu->facts, a->before, a->plan, a->written, &a->undo, &error);
	else
		r = partition_plan_make(a->gpu->facts, a->before, &a->undo, &error);
	if (r < 0)
		undo_failed(a, xasprintf("the layout before cannot be restored: %s", strempty(error.message)));
	rpc_error_done(&error);
	if (r == 0)
		undo_step(a);
}

static void on_undo_read(void *userdata, const struct host_reply *reply)
{
	struct apply *a = userdata;

	if (reply->r == -ETIMEDOUT)
		apply_hangs(a, "what a failed apply left could not be read", reply);
	else if (reply->r < 0)
		undo_failed(a, strdup("the GPU cannot be read after a failed apply"));
	else if (!apply_update_facts(a, reply))
		apply_gone(a);
	else if (!a->before)
		undo_failed(a, strdup("the layout before is not known"));
	else
		undo_run(a);
}

void apply_undo(struct apply *a)
{
	struct host_request request = { .op = HOST_READ, .gpu = a->gpu->address };

	log_gpu(a->gpu->name, LOG_WARNING, 0, "%s; undoing", strempty(a->error.message));
	a->phase = APPLY_UNDO_READ;
	apply_ask(a, &request, on_undo_read);
}
