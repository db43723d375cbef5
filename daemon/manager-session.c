/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions: jobs without a command, which hold a VF of a VM for interactive work.  They are queued, placed and made
 * ready as any job is (manager-place.c, manager-run.c); from then on nobody follows them in their guest.  Here they
 * begin, get more time, and are over: their time, a cancel, or a VM or VF that they no longer have.  The end is a time
 * of the boot clock, as that of a lease.  Asked by the pump. */
#include "manager-state.h"

/* ---- how long, and what is told ---- */

#define SESSION_DEFAULT (3600 * USEC_PER_SEC) /* nobody said how long: an hour, so that none holds a VF for ever */

uint64_t job_time_limit(const struct job_document *d, const struct policy_queue *queue)
{
	if (d->time_limit_usec)
		return d->time_limit_usec;
	if (queue->default_time_usec || !d->session)
		return queue->default_time_usec;
	return queue->max_time_usec ? MIN_OF(queue->max_time_usec, SESSION_DEFAULT) : SESSION_DEFAULT;
}

static bool is_ready(const struct job *job)
{
	return job->document->session && job->state == JOB_RUNNING;
}

uint64_t session_ends_at(const struct job *job)
{
	return is_ready(job) ? expiry_wall(job->ends) : 0;
}

char *session_way_in(const struct job *job)
{
	const json_t *attempt = job_attempt(job);
	const char *address = json_get_string(attempt, "guest_address"), *render = json_get_string(attempt, "guest_render");
	uint64_t n = json_get_uint(attempt, "guest_functions", 1);
	_cleanup_free_ char *others = n > 1 ? xasprintf("one of %llu, the first of which is ", (unsigned long long)n) : NULL;

	return xasprintf("VM %s has %s: %s%s%s%s%s", job->vm_name, job->vf_name, strempty(others),
			 render ? "/dev/dri/" : "", render ? render : strempty(address), render ? " at " : "",
			 render ? strempty(address) : "");
}

char *session_reason(const struct job *job)
{
	char end[RFC3339_STRLEN];

	if (!is_ready(job) || !job->reason)
		return job->reason ? strdup(job->reason) : NULL;
	return xasprintf("%s, until %s", job->reason, rfc3339_format(session_ends_at(job), end));
}

json_t *session_view(const struct job *job)
{
	const json_t *attempt = job_attempt(job);
	json_t *view;

	if (!job->document->session)
		return json_null();
	view = json_object();
	json_put_time(view, "ends_at", session_ends_at(job));
	json_put_string(view, "guest_address", json_get_string(attempt, "guest_address"));
	json_put_string(view, "guest_driver", json_get_string(attempt, "guest_driver"));
	json_put_string(view, "guest_render", json_get_string(attempt, "guest_render"));
	return view;
}

const char *job_word(const struct job *job)
{
	return job && job->document->session ? "session" : "job";
}

/* ---- ready ---- */

void session_begin(struct manager *m, struct job *job, unsigned functions)
{
	const struct vm *vm = vm_find_uuid(m, job->vm_uuid);
	json_t *attempt = job_attempt(job);
	_cleanup_free_ char *reason = NULL;

	/* Its time belongs to this run of the VM: another one has not its VF any more. */
	json_put_uint_known(attempt, "domain_id", vm && vm->facts->id >= 0, vm ? (uint64_t)vm->facts->id : 0);
	json_put_uint(attempt, "guest_functions", functions);
	json_put_time(attempt, "started_at", now_realtime());
	job->started_at = now_realtime();
	job->ends = now_boottime() + job->time_limit;
	reason = session_way_in(job);
	job_set_state(m, job, JOB_RUNNING, reason);
	manager_pump(m);
}

/* ---- over ---- */

static void over_committed(struct manager *m, void *userdata)
{
	struct job *job = job_find(m, userdata);

	free(userdata);
	if (!job)
		return;
	job->ending = false;
	if (job->state == JOB_STOPPING)
		attempt_give_back(m, job);
}

/* Nothing is done that is not stored: it is looked at again once that works. */
static void over_not_committed(struct manager *m, void *userdata)
{
	struct job *job = job_find(m, userdata);

	free(userdata);
	if (!job)
		return;
	job->ending = false;
	if (job->state != JOB_STOPPING)
		return;
	json_put_string(job_attempt(job), "result", NULL);
	json_put_string(job_attempt(job), "reason", NULL);
	free(job->reason);
	job->reason = session_way_in(job);
	job->state = JOB_RUNNING;
}

/* How it ended is stored, then its VF goes back. */
static void over(struct manager *m, struct job *job, enum job_result result, const char *reason)
{
	job->ending = true;
	attempt_note(job, result, reason, false);
	job_set_state(m, job, JOB_STOPPING, reason);
	outbox_add(m, over_committed, over_not_committed, strdup(job->name));
}

/* Of a VF that is not there, but whose card has a name. */
static bool row_is_of(struct manager *m, const char *id, const char *vf_name)
{
	const char *number = vf_name ? strstr(vf_name, "/vf") : NULL;
	_cleanup_free_ char *card = number ? strndup(vf_name, (size_t)(number - vf_name)) : NULL, *its = NULL;
	const struct gpu *gpu = gpu_find(m, card);

	if (gpu)
		its = vf_row_id(gpu, (unsigned)strtoul(number + strlen("/vf"), NULL, 10));
	return streq_ptr(its, id);
}

/* A VF that its card does not show yet after a start has its row still. */
static bool waits_for_its_row(struct manager *m, const struct job *job)
{
	const char *id;
	json_t *row;

	json_object_foreach(m->lease_rows, id, row) {
		bool its = job->vf_assigned ? streq_ptr(json_get_string(row, "vm_uuid"), job->vm_uuid) &&
						      row_is_of(m, id, job->vf_name) :
					      json_get_uint(row, "job", 0) == job->id;

		if (its && !json_get_bool(row, "gone", false))
			return true;
	}
	return false;
}

static const char *lost_vf(struct manager *m, const struct job *job)
{
	const struct vf *vf = vf_find(m, job->vf_name);

	if (!vf)
		return waits_for_its_row(m, job) ? NULL : "its VF is gone from the host";
	if (vf->handover)
		return NULL; /* which may fail: its end asks the pump again */
	if (vf->state == VF_ATTACHED && streq(vf->lease.vm_uuid, job->vm_uuid) &&
	    (job->vf_assigned || (vf->lease.owner == LEASE_JOB && vf->lease.job == job->id)))
		return NULL;
	return "its VM no longer has its VF";
}

/* Why it has nothing to work with any more; NULL = it has.  What happens while somebody looks is an event
 * (job_vm_off); this is what is found afterwards. */
static const char *lost(struct manager *m, const struct job *job)
{
	const struct vm *vm = vm_find_uuid(m, job->vm_uuid);
	const json_t *run = json_object_get(job_attempt(job), "domain_id");

	if (job->booted)
		return "the host was booted";
	if (!vm || vm->facts->state == VM_OFF)
		return "its VM went off";
	if (vm->facts->state == VM_CRASHED)
		return "its VM crashed";
	if (json_is_integer(run) && vm->facts->id >= 0 && vm->facts->id != json_integer_value(run))
		return "its VM went off, and was started again";
	return lost_vf(m, job);
}

/* When it is to be looked at again, by the boot clock. */
static uint64_t look(struct manager *m, struct job *job)
{
	const char *why = lost(m, job);

	if (why)
		over(m, job, JOB_LOST, why);
	else if (job->cancel_stored)
		over(m, job, JOB_CANCELLED, NULL);
	else if (job->ends <= now_boottime())
		over(m, job, JOB_TIMEOUT, "its time is over");
	else
		return job->ends;
	return UINT64_MAX;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	m->session_timer = sd_event_source_unref(m->session_timer);
	manager_pump(m);
	return 0;
}

void sessions_pump(struct manager *m)
{
	uint64_t next = UINT64_MAX, now;
	struct job *job, *tmp;

	if (m->degraded || !m->hypervisor_connected || m->sleeping)
		return;
	HASH_ITER(hh, m->jobs, job, tmp)
		if (is_ready(job) && !job->inherited && !barrier_holds(m, job->vm_uuid)) {
			uint64_t at = look(m, job);

			next = MIN_OF(next, at);
		}
	m->session_timer = sd_event_source_disable_unref(m->session_timer);
	now = now_boottime();
	if (next != UINT64_MAX)
		(void)sd_event_add_time_relative(m->event, &m->session_timer, CLOCK_BOOTTIME, next > now ? next - now : 0,
						 USEC_PER_MSEC, on_timer, m);
}

/* ---- job.extend ---- */

struct extended {
	char *job;
	uint64_t by;
};

static void extend_committed(struct manager *m, void *userdata)
{
	struct extended *extended = userdata;

	free(extended->job);
	free(extended);
	manager_pump(m);
}

static void extend_not_committed(struct manager *m, void *userdata)
{
	struct extended *extended = userdata;
	struct job *job = job_find(m, extended->job);

	if (job) {
		job->time_limit -= extended->by;
		job->ends -= job->ends ? extended->by : 0;
	}
	extend_committed(m, userdata);
}

static int refuse_time(const struct job *job, uint64_t max, const char *where, struct rpc_error *error)
{
	char longest[48], has[48], more[48];
	_cleanup_free_ char *hint = NULL;
	uint64_t left = max > job->time_limit ? max - job->time_limit : 0;

	rpc_error_set(error, RPC_LIMIT, "session %s may last %s%s, and has %s of that: at most %s more", job->name,
		      duration_format(max, longest, sizeof(longest)), where,
		      duration_format(job->time_limit, has, sizeof(has)), duration_format(left, more, sizeof(more)));
	hint = left ? xasprintf("ask for %s at most", more) : strdup("submit another one after it");
	return rpc_error_detail(error, "max_time", "time_seconds", strempty(hint));
}

static int check_extend(struct manager *m, const struct job *job, uint64_t by, struct rpc_error *error)
{
	const struct policy_queue *queue = policy_find_queue(m->policy, job->queue);
	_cleanup_free_ char *where = NULL;
	uint64_t max;

	if (!job->document->session) {
		rpc_error_set(error, RPC_CONFLICT, "job %s is no session: its time limit is what it was submitted with",
			      job->name);
		return rpc_error_detail(error, "no_session", "id", "submit it with more time (--time)");
	}
	if (job->cancel || job->state >= JOB_STOPPING) {
		rpc_error_set(error, RPC_CONFLICT, "session %s is over", job->name);
		return rpc_error_detail(error, "over", "id", "submit another one");
	}
	if (!queue) {
		rpc_error_set(error, RPC_CONFLICT, "queue \"%s\" of session %s is no longer in the policy", job->queue,
			      job->name);
		return rpc_error_detail(error, "no_queue", "id", "it goes on until its end");
	}
	max = queue->max_time_usec ? MIN_OF(queue->max_time_usec, JOB_TIME_MAX) : JOB_TIME_MAX;
	if (job->time_limit <= max && by <= max - job->time_limit)
		return 0;
	where = queue->max_time_usec ? xasprintf(" in queue \"%s\"", queue->name) : NULL;
	return refuse_time(job, max, strempty(where), error);
}

static json_t *extend_view(const struct job *job)
{
	json_t *view = json_pack("{s:b,s:s}", "changed", 1, "state", job_state_to_string(job->state));

	json_put_uint(view, "time_limit_seconds", job->time_limit / USEC_PER_SEC);
	json_put_time(view, "ends_at", session_ends_at(job));
	return view;
}

void manager_job_extend(struct manager *m, const struct caller *caller, const struct job_extend_params *p,
			struct reply *reply)
{
	struct rpc_error error = { 0 };
	struct extended *extended;
	struct job *job;

	if (manager_refuses_changes(m, reply))
		return;
	job = job_for(m, caller, p->id, reply);
	if (!job)
		return;
	if (check_extend(m, job, p->time_usec, &error) < 0) {
		reply_error_done(reply, &error);
		return;
	}
	extended = calloc(1, sizeof(*extended));
	if (!extended) {
		reply_refuse(reply, RPC_INTERNAL_ERROR, "out of memory");
		return;
	}
	*extended = (struct extended){ strdup(job->name), p->time_usec };
	job->time_limit += p->time_usec;
	job->ends += job->ends ? p->time_usec : 0;
	job_set_state(m, job, job->state, job->reason); /* tells the new end */
	outbox_add(m, extend_committed, extend_not_committed, extended);
	outbox_reply(m, reply, extend_view(job));
}
