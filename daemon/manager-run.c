/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One attempt from its lease to the VF's return: attach → the runner (ready, start, follow, collect) → detach
 * and reset → ended, or back into the queue.  Every step finds its job by id: jobs may be gone. */
#include "manager-state.h"
#include "runner/runner.h"

/* ---- the runner's word ---- */

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

/* The policy was changed since it was placed: back into the queue, and placed by the one in force. */
static void not_begun(struct manager *m, struct job *job)
{
	static const char reason[] = "the policy was changed, and no longer lets it begin there";

	if (job->runner)
		runner_clean(job->runner);
	job->runner = runner_free(job->runner);
	attempt_note(job, JOB_LOST, reason, true);
	job_set_state(m, job, JOB_STOPPING, reason);
	attempt_give_back(m, job);
}

/* What may run in the guest is known to the next daemon before it can: it asks there, and begins nothing elsewhere. */
static void on_start(void *userdata)
{
	struct job *job = userdata;
	struct starting *s;

	if (!job_may_begin(job->manager, job)) {
		not_begun(job->manager, job);
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

static bool is_over_limit(const struct job *job)
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

static void count_failed_start(struct manager *m, struct job *job, const char *reason)
{
	struct vm *vm = vm_find_uuid(m, job->vm_uuid);

	if (vm)
		vm_failed_start(m, vm, reason);
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
		not_begun(m, job);
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
		count_failed_start(m, job, reason);
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

/* ---- the beginning ---- */

static const struct runner_callbacks callbacks = {
	on_step, on_device, on_start, on_started, on_output, on_progress, on_unreachable, on_reachable, on_limit, on_ended,
	on_stuck,
};

/* As often it is tried for a command that certainly does not run: then the job has failed, and its VF goes to others. */
#define FOLLOW_TRIES 4

static void follow(struct manager *m, struct job *job, bool was_started, bool inherited)
{
	bool may_run = was_started || (inherited && job_attempt_may_have_begun(job));
	_cleanup_free_ char *message = NULL, *reason = NULL;
	int r;

	if (!may_run && !job_may_begin(m, job)) {
		not_begun(m, job);
		return;
	}
	r = job_runner_new(m, job, was_started, may_run, &callbacks, &message);
	if (r == 0) {
		rejoin_done(m, job);
		if (job->cancel_stored)
			runner_stop(job->runner, RUNNER_STOP_CANCEL, false);
		else if (is_over_limit(job))
			runner_stop(job->runner, RUNNER_STOP_TIMEOUT, false);
		else if (job_is_preempted(job))
			job_preempt_signal(m, job);
		return;
	}
	reason = xasprintf("the attempt cannot be %s: %s", may_run ? "followed" : "run", message ? message : strerror(-r));
	/* What may run keeps its VF, whatever the host lacks now; what is wrong with the job itself stays so. */
	if (may_run || (r != -EINVAL && job->rejoin.failures < FOLLOW_TRIES)) {
		rejoin_later(m, job, reason);
		return;
	}
	attempt_note(job, JOB_FAILED, reason, false);
	job_set_state(m, job, JOB_STOPPING, reason);
	attempt_give_back(m, job);
}

/* The host has no memory to spare for it: that was no attempt, and the scheduler leaves the VM out for a while. */
static void attach_postponed(struct manager *m, struct job *job, struct vm *vm, const struct rpc_error *error)
{
	vm_no_memory(vm, error->message);
	job_unplace(job);
	if (job->cancel_stored) {
		job_end(m, job, JOB_CANCELLED, NULL);
		return;
	}
	job_set_state(m, job, JOB_QUEUED, error->message);
	job_hold_restored(m, job);
	manager_pump(m);
}

static void attach_failed(struct manager *m, struct job *job, const struct rpc_error *error)
{
	struct vm *vm = vm_find_uuid(m, job->vm_uuid);

	if (vm && streq_ptr(error->reason, "no_memory")) {
		attach_postponed(m, job, vm, error);
		return;
	}
	log_job(job->name, LOG_WARNING, 0, "%s", strempty(error->message));
	/* Neither the host's troubles nor libvirt's absence are the VM's fault. */
	if (!error->errnum && !streq_ptr(error->reason, "no_libvirt"))
		count_failed_start(m, job, error->message);
	attempt_note(job, JOB_FAILED, error->message, true);
	attempt_over(m, job);
}

static void not_used(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	manager_pump(m);
}

/* Its VF is in its VM, as far as libvirt has told. */
static bool is_in_its_vm(const struct job *job, const struct vf *vf)
{
	return vf && vf->state == VF_ATTACHED && streq(vf->lease.vm_uuid, job->vm_uuid) &&
	       (job->vf_assigned || (vf->lease.owner == LEASE_JOB && vf->lease.job == job->id));
}

static void attached(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	struct job *job = job_find(m, userdata);

	free(userdata);
	if (!job || job->state != JOB_STARTING) {
		if (!error) /* nobody is left to use it */
			handover_detach(m, vf, not_used, NULL);
		return;
	}
	if (error) {
		attach_failed(m, job, error);
		return;
	}
	job_set_state(m, job, JOB_WAITING_GUEST, NULL);
	if (!job->cancel_stored) {
		follow(m, job, false, false);
		return;
	}
	attempt_note(job, JOB_CANCELLED, NULL, false);
	job_set_state(m, job, JOB_STOPPING, NULL);
	attempt_give_back(m, job);
}

void job_run(struct manager *m, struct job *job)
{
	struct vf *vf = vf_find(m, job->vf_name);

	if (job->vf_name && (!vf || (!job->vf_assigned && vf->lease.job != job->id))) {
		struct rpc_error error = { .errnum = ENODEV };

		rpc_error_set(&error, RPC_NOT_FOUND, "%s is gone from the host", job->vf_name);
		attach_failed(m, job, &error);
		rpc_error_done(&error);
		return;
	}
	if (job->vf_assigned && !is_in_its_vm(job, vf)) { /* taken out since the round chose it */
		struct rpc_error error = { .errnum = ENODEV };

		rpc_error_set(&error, RPC_CONFLICT, "%s is no longer in its VM", strempty(job->vf_name));
		attach_failed(m, job, &error);
		rpc_error_done(&error);
		return;
	}
	if (vf && !job->vf_assigned && vf->state != VF_ATTACHED) { /* unless it was kept there for it */
		handover_attach(m, vf, attached, strdup(job->name));
		return;
	}
	job_set_state(m, job, JOB_WAITING_GUEST, NULL);
	follow(m, job, false, false);
}

/* ---- what comes from outside ---- */

void job_stop(struct manager *m, struct job *job)
{
	switch (job->state) {
	case JOB_HELD:
	case JOB_QUEUED:
		job_end(m, job, JOB_CANCELLED, NULL);
		break;
	case JOB_STARTING:
		break; /* attached() looks at job->cancel_stored */
	case JOB_WAITING_GUEST:
	case JOB_RUNNING:
	case JOB_UNREACHABLE:
	case JOB_STOPPING:
		if (job->runner)
			runner_stop(job->runner, RUNNER_STOP_CANCEL, false);
		else
			rejoin_soon(job);
		break;
	case JOB_ENDED:
	case JOB_STATE_MAX:
		break;
	}
}

/* A dead guest lets go of nothing: the job does not wait for that, the lease stays until the VM is off. */
static void leave_vf(struct manager *m, const struct job *job)
{
	struct vf *vf = vf_find(m, job->vf_name);

	if (vf && vf->lease.owner == LEASE_JOB && vf->lease.job == job->id && vf->state == VF_ATTACHED && !vf->handover)
		vf_lease_pass(m, vf, LEASE_VM, 0);
}

void job_vm_off(struct manager *m, struct job *job)
{
	/* A runner knows whether it sent the start; without one the row says whether an earlier daemon may have. */
	bool ran = job->runner ? runner_may_have_started(job->runner) : job_attempt_may_have_begun(job);
	struct vm *vm = vm_find_uuid(m, job->vm_uuid);
	bool crashed = vm && vm->facts->state == VM_CRASHED;
	_cleanup_free_ char *reason = strdup(crashed ? "its VM crashed" : "its VM went off");
	enum job_result result = job_preempted_result(job, JOB_LOST, &reason);

	if (job->state < JOB_WAITING_GUEST || job->state > JOB_UNREACHABLE)
		return;
	job->runner = runner_free(job->runner);
	/* A command that never began is simply tried again; one that ran, or may have, is lost. */
	attempt_note(job, result, reason, !ran);
	if (!ran && vm)
		vm_failed_start(m, vm, reason); /* one that never comes up is not tried for ever */
	job_set_state(m, job, JOB_STOPPING, reason);
	if (crashed)
		leave_vf(m, job);
	attempt_over(m, job);
}

/* It was being stopped when an earlier daemon ended, and nobody knows how far it came. */
static void stopped_in_vm_off(struct manager *m, struct job *job)
{
	_cleanup_free_ char *reason = strdup("its VM went off");
	enum job_result result = job_preempted_result(job, JOB_LOST, &reason);

	attempt_note(job, result, reason, false);
	attempt_over(m, job);
}

void job_resume(struct manager *m, struct job *job)
{
	struct vm *vm = vm_find_uuid(m, job->vm_uuid);
	struct vf *vf = vf_find(m, job->vf_name);
	bool attached_now = is_in_its_vm(job, vf), inherited = job->inherited;

	job->inherited = false;
	if (job->runner || job->ending || job->state < JOB_STARTING || job->state == JOB_ENDED)
		return;
	if (job->state == JOB_STOPPING && json_get_string(job_attempt(job), "result")) {
		attempt_give_back(m, job);
		return;
	}
	if (job->document->session && job->state == JOB_RUNNING)
		return; /* sessions_pump() says what became of it */
	if (!inherited)
		return; /* libvirt was away for a while: whoever acts on the job hears of it */
	/* In a VM that is paused it goes on when the VM does. */
	if (!vm || vm->facts->state == VM_OFF || vm->facts->state == VM_CRASHED || vm->facts->state == VM_GONE) {
		if (job->state == JOB_STARTING) {
			struct rpc_error error = { 0 };

			rpc_error_set(&error, RPC_CONFLICT, "its VM is off");
			attempt_note(job, JOB_LOST, error.message, true);
			rpc_error_done(&error);
			attempt_give_back(m, job);
			return;
		}
		if (job->state == JOB_STOPPING)
			stopped_in_vm_off(m, job);
		else
			job_vm_off(m, job);
		return;
	}
	log_job(job->name, LOG_NOTICE, 0, "found %s after a restart",
		job_state_to_string(job->state));
	if (job->state == JOB_STARTING && !job->vf_assigned && job->vf_name && !attached_now) {
		if (vf && vf->state == VF_LEASED && vf->lease.job == job->id && !vf->handover)
			handover_attach(m, vf, attached, strdup(job->name));
		else {
			attempt_note(job, JOB_LOST, "the daemon was restarted before its VF was attached", true);
			attempt_over(m, job);
		}
		return;
	}
	if (job->state <= JOB_WAITING_GUEST && job->vf_name && !attached_now && !job_attempt_may_have_begun(job)) {
		attempt_note(job, JOB_LOST, "its VF left its VM while no daemon ran", true);
		job_set_state(m, job, JOB_STOPPING, "its VF left its VM while no daemon ran");
		attempt_give_back(m, job);
		return;
	}
	if (job->state == JOB_STARTING)
		job_set_state(m, job, JOB_WAITING_GUEST, NULL);
	follow(m, job, job_attempt_began(job), true);
}
