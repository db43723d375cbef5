/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A job that runs makes way for one that waits: the scheduler says which (scheduler/preempt.c), the mark goes into the
 * attempt and is durable before the signal is sent, so that the next daemon sends it again.  Then it is an attempt that
 * ends like others, and the job is queued again where it was before; which job gets the VF is the scheduler's word anew.
 *
 * How the attempt ended the guest says: a command that ended before a signal was sent has its own result.  One of which
 * nobody knows how it ended (its VM went off) was preempted, too: it is tried again either way. */
#include "manager-state.h"
#include "runner/runner.h"

/* ---- the mark ---- */

bool job_is_preempted(const struct job *job)
{
	return json_get_string(job_attempt(job), "preempted_for") != NULL;
}

uint64_t job_preempted_for(const struct job *job)
{
	const char *id = json_get_string(job_attempt(job), "preempted_for");
	bool under_way = job->state == JOB_RUNNING || job->state == JOB_UNREACHABLE || job->state == JOB_STOPPING;

	return id && under_way ? strtoull(id, NULL, 10) : 0;
}

/* NULL when it is not. */
static char *mark_text(const struct job *job)
{
	const json_t *attempt = job_attempt(job);
	const char *id = json_get_string(attempt, "preempted_for");

	return id ? xasprintf("preempted for job %s (queue %s)", id, strempty(json_get_string(attempt, "preempted_queue"))) :
		    NULL;
}

static void mark_drop(struct job *job)
{
	json_t *attempt = job_attempt(job);

	json_object_del(attempt, "preempted_for");
	json_object_del(attempt, "preempted_queue");
	json_object_del(attempt, "preempted_at");
}

/* ---- the signal ---- */

void job_preempt_signal(struct manager *m, struct job *job)
{
	const struct policy_queue *queue = policy_find_queue(m->policy, job->queue);

	if (!job->runner || job->cancel_stored)
		return;
	if (queue && queue->preempt_grace_usec > 0)
		runner_set_grace(job->runner, queue->preempt_grace_usec);
	runner_stop(job->runner, RUNNER_STOP_PREEMPT, false);
}

struct marking {
	char *job;
	unsigned attempt;
};

/* The job, if that is its present attempt still. */
static struct job *marking_over(struct manager *m, struct marking *marking)
{
	struct job *job = job_find(m, marking->job);
	bool is_present = job && job->attempt == marking->attempt;

	free(marking->job);
	free(marking);
	return is_present ? job : NULL;
}

static void preempt_committed(struct manager *m, void *userdata)
{
	struct job *job = marking_over(m, userdata);

	if (job && (job->state == JOB_RUNNING || job->state == JOB_UNREACHABLE) && job_is_preempted(job))
		job_preempt_signal(m, job);
}

static void preempt_not_committed(struct manager *m, void *userdata)
{
	struct job *job = marking_over(m, userdata);

	if (!job || json_get_string(job_attempt(job), "result"))
		return; /* it is over, and was told so */
	mark_drop(job);
	if (job->state == JOB_RUNNING)
		(void)free_and_strdup(&job->reason, NULL);
}

void job_preempt(struct manager *m, struct job *job, const struct job *by)
{
	struct marking *marking = calloc(1, sizeof(*marking));
	_cleanup_free_ char *text = NULL;
	json_t *attempt = job_attempt(job);

	if (!marking)
		return; /* the next round tries again */
	*marking = (struct marking){ strdup(job->name), job->attempt };
	json_put_string(attempt, "preempted_for", by->name);
	json_put_string(attempt, "preempted_queue", by->queue);
	json_put_time(attempt, "preempted_at", now_realtime());
	text = mark_text(job);
	log_job(job->name, LOG_NOTICE, 0, "%s", strempty(text));
	job_set_state(m, job, job->state, text);
	outbox_add(m, preempt_committed, preempt_not_committed, marking);
}

/* ---- its end ---- */

char *job_stop_text(const struct job *job, const char *reason)
{
	char *text = streq_ptr(reason, "preempted") ? mark_text(job) : NULL;

	return text || !reason ? text : strdup(reason);
}

enum job_result job_preempted_result(const struct job *job, enum job_result result, char **reason)
{
	char *text = result == JOB_PREEMPTED || result == JOB_LOST ? mark_text(job) : NULL;

	if (!text)
		return result;
	if (result == JOB_LOST && *reason) {
		char *both = xasprintf("%s; %s", text, *reason);

		free(text);
		text = both;
	}
	free(*reason);
	*reason = text;
	return JOB_PREEMPTED;
}

unsigned job_attempts_counted(const struct job *job)
{
	unsigned n = 0;
	json_t *attempt;
	size_t i;

	json_array_foreach(job->attempts, i, attempt)
		n += !streq_ptr(json_get_string(attempt, "result"), job_result_to_string(JOB_PREEMPTED));
	return n;
}

/* ---- one that has not run long enough ---- */

static int on_preempt_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	m->preempt_timer = sd_event_source_disable_unref(m->preempt_timer);
	manager_pump(m);
	return 0;
}

void preempt_again(struct manager *m, uint64_t usec)
{
	m->preempt_timer = sd_event_source_disable_unref(m->preempt_timer);
	if (usec > 0)
		(void)sd_event_add_time_relative(m->event, &m->preempt_timer, CLOCK_BOOTTIME, usec, USEC_PER_SEC / 10,
						 on_preempt_timer, m);
}
