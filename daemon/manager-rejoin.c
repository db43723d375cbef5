/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs that have begun, or may have, and whose runner cannot be made now: their folder cannot be opened, there are no
 * descriptors or no memory left.  Their command goes on all the same, so they stay what they were and keep their VF;
 * it is tried again, at once when they are cancelled, their VM goes off or the policy is reloaded.  For that they are
 * what they would be to the next daemon: inherited (job_resume()).  Asked by the pump. */
#include "manager-state.h"

#define FIRST_USEC USEC_PER_SEC /* doubled each time, up to 64 times that */
#define DOUBLED_MAX 6

void rejoin_later(struct manager *m, struct job *job, const char *reason)
{
	if (job->rejoin.failures == 0)
		log_job(job->name, LOG_ERR, 0, "%s; tried again until it can be", reason);
	job->inherited = true;
	job->rejoin.at = now_boottime() + (FIRST_USEC << MIN_OF(job->rejoin.failures, (unsigned)DOUBLED_MAX));
	job->rejoin.failures++;
	if (!streq_ptr(job->reason, reason))
		job_set_state(m, job, job->state, reason);
	manager_pump(m);
}

bool rejoin_is_due(const struct job *job)
{
	return job->rejoin.at > 0;
}

void rejoin_soon(struct job *job)
{
	if (rejoin_is_due(job))
		job->rejoin.at = 1;
}

void rejoin_all_soon(struct manager *m)
{
	struct job *job, *tmp;

	HASH_ITER(hh, m->jobs, job, tmp)
		rejoin_soon(job);
}

void rejoin_done(struct manager *m, struct job *job)
{
	_cleanup_free_ char *text = job_is_preempted(job) ? job_stop_text(job, "preempted") : NULL;
	/* the reason may be an earlier daemon's, which did not come to follow it */
	bool is_over = job->rejoin.failures > 0 || job->state == JOB_RUNNING;

	if (job->rejoin.failures > 0)
		log_job(job->name, LOG_NOTICE, 0, "it is followed again");
	rejoin_forget(job);
	if (is_over && !streq_ptr(job->reason, text))
		job_set_state(m, job, job->state, text);
}

void rejoin_forget(struct job *job)
{
	job->inherited = false;
	job->rejoin.failures = 0;
	job->rejoin.at = 0;
}

static bool has_no_guest(struct manager *m, const struct job *job)
{
	const struct vm *vm = vm_find_uuid(m, job->vm_uuid);

	return !vm || vm->facts->state == VM_OFF || vm->facts->state == VM_GONE || vm->facts->state == VM_CRASHED;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	m->rejoin_timer = sd_event_source_disable_unref(m->rejoin_timer);
	manager_pump(m);
	return 0;
}

void rejoin_pump(struct manager *m)
{
	uint64_t next = UINT64_MAX, now = now_boottime();
	struct job *job, *tmp;

	if (!m->hypervisor_connected || m->sleeping)
		return; /* both ask the pump when that is over */
	HASH_ITER(hh, m->jobs, job, tmp) {
		if (rejoin_is_due(job) && (job->rejoin.at <= now || has_no_guest(m, job))) {
			job->rejoin.at = 0;
			job_resume(m, job);
		}
		if (rejoin_is_due(job))
			next = MIN_OF(next, job->rejoin.at);
	}
	m->rejoin_timer = sd_event_source_disable_unref(m->rejoin_timer);
	if (next != UINT64_MAX)
		(void)sd_event_add_time(m->event, &m->rejoin_timer, CLOCK_BOOTTIME, next, USEC_PER_MSEC, on_timer, m);
}
