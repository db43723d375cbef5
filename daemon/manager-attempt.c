/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of an attempt, however it came: its outcome is noted, its VF goes back, and then the job ends or is queued
 * again.  Called by whoever follows the attempt (manager-run.c, manager-runner-events.c). */
#include "manager-state.h"
#include "runner/runner.h"

json_t *attempt_put_time(struct job *job, const char *name)
{
	json_t *attempt = job_attempt(job);

	if (attempt)
		json_put_time(attempt, name, now_realtime());
	return attempt;
}

void job_end(struct manager *m, struct job *job, enum job_result result, const char *reason)
{
	job->result = result;
	job->ended_at = now_realtime();
	job_set_state(m, job, JOB_ENDED, reason);
	manager_pump(m);
}

void attempt_over(struct manager *m, struct job *job)
{
	json_t *attempt = attempt_put_time(job, "ended_at");
	int result = job_result_from_string(strempty(json_get_string(attempt, "result")));
	_cleanup_free_ char *reason = NULL;

	if (result < 0)
		result = JOB_LOST;
	if (json_get_string(attempt, "reason"))
		reason = strdup(json_get_string(attempt, "reason"));
	job->vm_uuid[0] = '\0';
	rejoin_forget(job);
	if (job->cancel_stored && result != JOB_SUCCEEDED)
		result = JOB_CANCELLED;
	if ((json_get_bool(attempt, "retry", false) || result == JOB_PREEMPTED ||
	     (result == JOB_LOST && job_attempts_counted(job) <= job->document->retries)) &&
	    !job->cancel_stored) {
		job->has_exit_code = false; /* that was the attempt's */
		(void)free_and_strdup(&job->signal, NULL);
		if (job->state == JOB_STOPPING || job->state == JOB_STARTING || job->state == JOB_WAITING_GUEST)
			job_set_state(m, job, JOB_QUEUED, reason);
		job_hold_restored(m, job);
		manager_pump(m);
		return;
	}
	job_end(m, job, (enum job_result)result, reason);
}

void attempt_note(struct job *job, enum job_result result, const char *reason, bool retry)
{
	json_t *attempt = job_attempt(job);

	if (!attempt)
		return;
	json_put_string(attempt, "result", job_result_to_string(result));
	json_put_string(attempt, "reason", reason);
	json_put_bool(attempt, "retry", retry);
}

static void given_back(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	struct job *job = job_find(m, userdata);

	free(userdata);
	if (!job)
		return;
	if (error)
		log_job(job->name, LOG_WARNING, 0, "its VF did not come back: %s",
			strempty(error->message));
	if (error && streq_ptr(error->reason, "no_libvirt"))
		return; /* job_resume() tries again once it is back */
	if (error && vf->state == VF_ATTACHED) {
		/* The guest keeps it.  The job is over all the same; the lease stays until somebody helps. */
		vf_lease_pass(m, vf, LEASE_VM, 0);
	}
	attempt_over(m, job);
}

/* The VF may stay in its VM for the next job of the same user; the next round of the scheduler says whether there
 * is one.  Not after an attempt that left doubts about the guest. */
static bool may_keep(struct manager *m, const struct job *job, const struct vf *vf)
{
	const struct vm *vm = vm_find_uuid(m, job->vm_uuid);
	const struct policy_vm_rule *rule = vm ? policy_match_vm(m->policy, vm->facts->name) : NULL;
	const json_t *attempt = job_attempt(job);
	int result = job_result_from_string(strempty(json_get_string(attempt, "result")));

	/* Nothing tells that whoever worked in a session has let go of it. */
	if (job->document->session)
		return false;
	return rule && rule->vf == VM_VF_KEEP && vm->facts->state == VM_RUNNING && vf->state == VF_ATTACHED &&
	       !json_get_bool(attempt, "retry", false) && json_get_string(attempt, "boot_id") &&
	       (result == JOB_SUCCEEDED || result == JOB_FAILED || result == JOB_CANCELLED || result == JOB_TIMEOUT);
}

void attempt_give_back(struct manager *m, struct job *job)
{
	struct vf *vf = vf_find(m, job->vf_name);

	if (!vf || job->vf_assigned || vf->lease.owner != LEASE_JOB || vf->lease.job != job->id) {
		attempt_over(m, job);
		return;
	}
	if (vf->handover)
		return; /* its end comes back here through attached() or given_back() */
	if (barrier_holds(m, vf->lease.vm_uuid))
		return; /* job_resume() comes back here */
	if (vf->state == VF_LEASED && !vf->doubtful) {
		vf_let_go(m, vf, VF_FREE, NULL);
		vm_adopt_vf(m, vf); /* named or taken by hand meanwhile */
		attempt_over(m, job);
		return;
	}
	if (vf->state == VF_LEASED || vf->state == VF_RESETTING || vf->state == VF_QUARANTINED) {
		/* Out of the guest already: an earlier daemon ended here. */
		handover_reset(m, vf, given_back, strdup(job->name));
		return;
	}
	if (may_keep(m, job, vf)) {
		vf_lease_pass(m, vf, LEASE_KEPT, 0);
		attempt_over(m, job);
		return;
	}
	handover_detach(m, vf, given_back, strdup(job->name));
}

void job_vf_back(struct manager *m, const char *vf_name)
{
	struct job *job, *tmp;

	HASH_ITER(hh, m->jobs, job, tmp)
		if (job->state == JOB_STOPPING && !job->runner && !job->ending && streq_ptr(job->vf_name, vf_name) &&
		    json_get_string(job_attempt(job), "result"))
			attempt_give_back(m, job);
}

void attempt_not_begun(struct manager *m, struct job *job)
{
	static const char reason[] = "the policy was changed, and no longer lets it begin there";

	if (job->runner)
		runner_clean(job->runner);
	job->runner = runner_free(job->runner);
	attempt_note(job, JOB_LOST, reason, true);
	job_set_state(m, job, JOB_STOPPING, reason);
	attempt_give_back(m, job);
}

void attempt_failed_start(struct manager *m, struct job *job, const char *reason)
{
	struct vm *vm = vm_find_uuid(m, job->vm_uuid);

	if (vm)
		vm_failed_start(m, vm, reason);
}
