/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job.hold and job.unhold: a job that waits stays where it is in the queue, but is not placed. */
#include "manager-state.h"

struct hold_undo {
	char *name;
	enum job_state before;
};

static void hold_committed(struct manager *m, void *userdata)
{
	struct hold_undo *undo = userdata;

	manager_pump(m);
	free(undo->name);
	free(undo);
}

static void hold_not_committed(struct manager *m, void *userdata)
{
	struct hold_undo *undo = userdata;
	struct job *job = job_find(m, undo->name);

	if (job && (job->state == JOB_HELD || job->state == JOB_QUEUED))
		job->state = undo->before;
	free(undo->name);
	free(undo);
}

static void change_hold(struct manager *m, const struct caller *caller, const char *id, bool hold,
			struct reply *reply)
{
	enum job_state from = hold ? JOB_QUEUED : JOB_HELD, to = hold ? JOB_HELD : JOB_QUEUED;
	struct hold_undo *undo;
	struct job *job;

	if (manager_refuses_changes(m, reply))
		return;
	job = job_for(m, caller, id, reply);
	if (!job)
		return;
	if (job->state == to || (!hold && job->state != JOB_HELD)) {
		outbox_reply(m, reply, json_pack("{s:b,s:s}", "changed", 0, "state",
						 job_state_to_string(job->state)));
		return;
	}
	if (job->state != from) {
		reply_refuse(reply, RPC_CONFLICT, "id: job %s is %s; only a job that waits can be held", id,
			     job_state_to_string(job->state));
		return;
	}
	undo = calloc(1, sizeof(*undo));
	if (!undo) {
		reply_refuse(reply, RPC_INTERNAL_ERROR, "out of memory");
		return;
	}
	undo->name = strdup(job->name);
	undo->before = from;
	job->restored = false; /* whoever says so knows */
	job_set_state(m, job, to, NULL);
	outbox_add(m, hold_committed, hold_not_committed, undo);
	outbox_reply(m, reply, json_pack("{s:b,s:s}", "changed", 1, "state", job_state_to_string(to)));
}

void manager_job_hold(struct manager *m, const struct caller *caller, const struct name_params *p,
		      struct reply *reply)
{
	change_hold(m, caller, p->name, true, reply);
}

void manager_job_unhold(struct manager *m, const struct caller *caller, const struct name_params *p,
			struct reply *reply)
{
	change_hold(m, caller, p->name, false, reply);
}
