/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One attempt from its lease on: attach → the runner (ready, start, follow, collect), which tells manager-runner-events.c →
 * detach and reset → ended, or back into the queue (manager-attempt.c).  Every step finds its job by id: jobs may be gone. */
#include "manager-state.h"
#include "runner/runner.h"

/* ---- the beginning ---- */

/* As often it is tried for a command that certainly does not run: then the job has failed, and its VF goes to others. */
#define FOLLOW_TRIES 4

static void follow(struct manager *m, struct job *job, bool was_started, bool inherited)
{
	bool may_run = was_started || (inherited && job_attempt_may_have_begun(job));
	_cleanup_free_ char *message = NULL, *reason = NULL;
	int r;

	if (!may_run && !job_may_begin(m, job)) {
		attempt_not_begun(m, job);
		return;
	}
	r = job_runner_new(m, job, was_started, may_run, &message);
	if (r == 0) {
		rejoin_done(m, job);
		if (job->cancel_stored)
			runner_stop(job->runner, RUNNER_STOP_CANCEL, false);
		else if (job_is_over_limit(job))
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
		attempt_failed_start(m, job, error->message);
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
	/* It failed and the guest has it all the same: it is not this job's, which may begin elsewhere. */
	if (error && vf->gpu && !m->ending && vf->state == VF_ATTACHED && vf->lease.owner == LEASE_JOB)
		vf_lease_pass(m, vf, LEASE_VM, 0);
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

	if (barrier_holds(m, job->vm_uuid))
		return;
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
