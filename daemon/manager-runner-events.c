/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the runner tells of an attempt, from its readiness to its end, and what is durable before it goes on.  Steps that
 * wait for the store find their job by id: it may be gone. */
#include "manager-state.h"
#include "runner/runner.h"

static void on_step(void *userdata, enum runner_step step, const char *reason)
{
	struct job *job = userdata;
	struct manager *m = job->manager;
	_cleanup_free_ char *text = NULL;

	if (step < RUNNER_STEP_RUNNING && job->state == JOB_WAITING_GUEST) {
		text = xasprintf("%s%s%s", strempty(runner_step_to_string(step)), reason ? ": " : "",
				 strempty(reason));
		if (!streq_ptr(text, job->reason))
			job_set_state(m, job, JOB_WAITING_GUEST, text);
	} else if ((step == RUNNER_STEP_STOPPING || step == RUNNER_STEP_OUTPUTS) &&
		   (job->state == JOB_RUNNING || job->state == JOB_UNREACHABLE)) {
		text = job_stop_text(job, reason);
		job_set_state(m, job, JOB_STOPPING, text);
	}
}

static void on_device(void *userdata, const char *address, const char *driver, const char *render)
{
	struct job *job = userdata;
	json_t *attempt = job_attempt(job);

	if (!attempt)
		return;
	json_put_string(attempt, "guest_address", address);
	json_put_string(attempt, "guest_driver", driver);
	json_put_string(attempt, "guest_render", render);
}

static void guest_was_ready(struct manager *m, struct job *job)
{
	struct vm *vm = vm_find_uuid(m, job->vm_uuid);

	if (vm && vm->failed_starts > 0) {
		vm->failed_starts = 0;
		pool_store(m, vm);
	}
}

/* ---- the start ---- */

struct starting {
	char *job;
	unsigned attempt;
};

static void starting_over(struct manager *m, struct starting *s, bool committed)
{
	struct job *job = job_find(m, s->job);

	if (job && job->attempt == s->attempt && job->runner) {
		if (!committed)
			json_put(job_attempt(job), "start_sent_at", json_null());
		runner_start_noted(job->runner, committed);
	}
	free(s->job);
	free(s);
}

static void start_committed(struct manager *m, void *userdata)
{
	starting_over(m, userdata, true);
}

static void start_not_committed(struct manager *m, void *userdata)
{
	starting_over(m, userdata, false);
}

/* What may run in the guest is known to the next daemon before it can: it asks there, and begins nothing elsewhere. */
static void on_start(void *userdata)
{
	struct job *job = userdata;
	struct starting *s;

	if (!job_may_begin(job->manager, job)) {
		attempt_not_begun(job->manager, job);
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return; /* the deadline of a guest that is not ready ends it */
	*s = (struct starting){ strdup(job->name), job->attempt };
	json_put_time(job_attempt(job), "start_sent_at", now_realtime());
	job_store(job->manager, job);
	outbox_add(job->manager, start_committed, start_not_committed, s);
}

static void on_started(void *userdata, const char *boot_id, uint64_t pid, uint64_t start_time)
{
	struct job *job = userdata;
	struct manager *m = job->manager;
	json_t *attempt = job_attempt(job);

	guest_was_ready(m, job);
	if (attempt && !json_get_string(attempt, "boot_id")) {
		json_put_string(attempt, "boot_id", boot_id);
		json_put_uint(attempt, "pid", pid);
		json_put_uint(attempt, "start_time", start_time);
		json_put_uint(attempt, "started_usec", now_realtime());
		json_put(attempt, "started_boot", expiry_row(now_boottime()));
		attempt_put_time(job, "started_at");
	}
	if (job->started_at == 0)
		job->started_at = now_realtime();
	if (job->state == JOB_WAITING_GUEST || job->state == JOB_UNREACHABLE)
		job_set_state(m, job, JOB_RUNNING, NULL);
	else
		job_store(m, job);
}

static void on_output(void *userdata, enum runner_stream stream, uint64_t size)
{
	struct job *job = userdata;

	manager_emit_owned(job->manager, "job.output", job->name, job->uid,
			   json_pack("{s:s,s:I,s:I}", "stream", runner_stream_to_string(stream), "size",
				     (json_int_t)size, "attempt", (json_int_t)job->attempt));
}

static void on_progress(void *userdata, const struct runner_progress *progress)
{
	struct job *job = userdata;
	json_t *json = json_object();

	json_put_uint_known(json, "step", progress->step.known, progress->step.value);
	json_put_uint_known(json, "total", progress->total.known, progress->total.value);
	json_put(json, "loss", progress->has_loss ? json_real(progress->loss) : json_null());
	json_put_uint_known(json, "vram_peak_bytes", progress->vram_peak_bytes.known,
			    progress->vram_peak_bytes.value);
	json_decref(job->progress);
	job->progress = json;
	manager_emit_owned(job->manager, "job.progress", job->name, job->uid, json_deep_copy(json));
}

static void on_unreachable(void *userdata, const char *reason)
{
	struct job *job = userdata;

	if (job->state == JOB_RUNNING)
		job_set_state(job->manager, job, JOB_UNREACHABLE, reason);
	manager_pump(job->manager); /* whoever counted on its end looks for another */
}

static void on_reachable(void *userdata)
{
	struct job *job = userdata;

	if (job->state == JOB_UNREACHABLE)
		job_set_state(job->manager, job, JOB_RUNNING, NULL);
	manager_pump(job->manager);
}

/* ---- its time is over ---- */

struct limit {
	char *job;
	unsigned attempt;
};

/* Also where it was not stored: while nothing can be, nobody runs longer than he may. */
static void limit_noted(struct manager *m, void *userdata)
{
	struct limit *limit = userdata;
	struct job *job = job_find(m, limit->job);

	if (job && job->attempt == limit->attempt && job->runner)
		runner_stop(job->runner, RUNNER_STOP_TIMEOUT, false);
	free(limit->job);
	free(limit);
}

/* The next daemon is to know why the command gets its signal. */
static void on_limit(void *userdata)
{
	struct job *job = userdata;
	struct limit *limit = calloc(1, sizeof(*limit));

	if (!limit) {
		runner_stop(job->runner, RUNNER_STOP_TIMEOUT, false);
		return;
	}
	*limit = (struct limit){ strdup(job->name), job->attempt };
	if (!json_get_string(job_attempt(job), "limit_at"))
		attempt_put_time(job, "limit_at");
	job_store(job->manager, job);
	outbox_add(job->manager, limit_noted, limit_noted, limit);
}

bool job_is_over_limit(const struct job *job)
{
	return json_get_string(job_attempt(job), "limit_at") != NULL;
}

/* ---- its end ---- */

static enum job_result result_of(const struct runner_result *r)
{
	switch (r->outcome) {
	case RUNNER_EXITED:
		return r->exit_code == 0 ? JOB_SUCCEEDED : JOB_FAILED;
	case RUNNER_LOST:
		return JOB_LOST;
	case RUNNER_TIMEOUT:
		return JOB_TIMEOUT;
	case RUNNER_CANCELLED:
		return JOB_CANCELLED;
	case RUNNER_PREEMPTED:
		return JOB_PREEMPTED;
	case RUNNER_SIGNALED:
	case RUNNER_IS_READY:
	case RUNNER_NEVER_READY:
	case RUNNER_START_REFUSED:
	case RUNNER_OUTCOME_MAX:
		break;
	}
	return JOB_FAILED;
}

/* How it ended is durable: its traces in the guest may go, and the VF back.  Not before: a daemon that dies in
 * between must still find in the guest how the attempt ended. */
static void end_committed(struct manager *m, void *userdata)
{
	struct job *job = job_find(m, userdata);

	free(userdata);
	if (!job || !job->runner)
		return;
	runner_clean(job->runner);
	job->runner = runner_free(job->runner);
	attempt_give_back(m, job);
}

/* Nothing can be stored: the traces stay, for a daemon that has to look again. */
static void end_not_committed(struct manager *m, void *userdata)
{
	struct job *job = job_find(m, userdata);

	free(userdata);
	if (!job || !job->runner)
		return;
	job->runner = runner_free(job->runner);
	if (m->degraded)
		attempt_give_back(m, job);
}

static void on_ended(void *userdata, const struct runner_result *r)
{
	struct job *job = userdata;
	struct manager *m = job->manager;
	json_t *attempt = job_attempt(job);
	enum job_result result = result_of(r);
	_cleanup_free_ char *reason = NULL;
	bool never = r->outcome == RUNNER_NEVER_READY;

	if (r->outcome == RUNNER_IS_READY && !job_may_begin(m, job)) {
		attempt_not_begun(m, job);
		return;
	}
	if (r->outcome == RUNNER_IS_READY) {
		job->runner = runner_free(job->runner);
		guest_was_ready(m, job);
		session_begin(m, job, vfs_in_vm(m, job->vm_uuid));
		return;
	}
	if (r->reason)
		reason = strdup(r->reason);
	else if (r->outcome == RUNNER_SIGNALED)
		reason = xasprintf("ended by signal %d (%s)", r->signal, strsignal(r->signal));
	if (never) {
		_cleanup_free_ char *text = xasprintf("the guest was not ready: %s%s%s",
						      strempty(runner_step_to_string(r->step)),
						      reason ? ": " : "", strempty(reason));

		(void)free_and_strdup(&reason, text);
		attempt_failed_start(m, job, reason);
	}
	result = job_preempted_result(job, result, &reason);
	job->has_exit_code = r->exit_code >= 0;
	job->exit_code = r->exit_code;
	if (r->signal && sigabbrev_np(r->signal)) {
		free(job->signal);
		job->signal = xasprintf("SIG%s", sigabbrev_np(r->signal));
	}
	attempt_note(job, result, reason, never);
	if (attempt) {
		json_put_uint_known(attempt, "exit_code", job->has_exit_code, (uint64_t)r->exit_code);
		json_put_bool(attempt, "stdout_truncated", r->stdout_truncated);
		json_put_bool(attempt, "stderr_truncated", r->stderr_truncated);
		json_put_bool(attempt, "outputs_truncated", r->outputs_truncated);
		json_put_uint(attempt, "outputs", r->n_outputs);
	}
	if (job->state != JOB_STOPPING)
		job_set_state(m, job, JOB_STOPPING, reason);
	else
		job_store(m, job);
	outbox_add(m, end_committed, end_not_committed, strdup(job->name));
}

/* It hangs in its guest's kernel, and may end at any time, or never. */
static void on_stuck(void *userdata, const char *reason)
{
	struct job *job = userdata;
	_cleanup_free_ char *text = job_stop_text(job, reason);
	_cleanup_free_ char *both =
		xasprintf("%s; SIGKILL has not ended it: it hangs in the kernel of VM %s, and ends with a power-off of that VM",
			  strempty(text), strempty(job->vm_name));

	log_job(job->name, LOG_WARNING, 0, "%s", strempty(both));
	if (job->state == JOB_STOPPING)
		job_set_state(job->manager, job, JOB_STOPPING, both);
	manager_pump(job->manager); /* whoever counted on its end looks for another */
}

const struct runner_callbacks job_runner_callbacks = {
	on_step, on_device, on_start, on_started, on_output, on_progress, on_unreachable, on_reachable, on_limit, on_ended,
	on_stuck,
};
