/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job.submit: what is refused at once, and what becomes a job in the queue.  A job that could never run
 * anywhere is refused here; where one that can will run is manager-place.c. */
#include "manager-state.h"

#define QUEUED_MAX 100000 /* of all users: a bound on memory, far above any queue's own limit */

static unsigned count_jobs(struct manager *m, const char *queue, bool one_user, uid_t uid)
{
	struct job *job, *tmp;
	unsigned n = 0;

	HASH_ITER(hh, m->jobs, job, tmp)
		n += job->state != JOB_ENDED && (job->state == JOB_QUEUED || job->state == JOB_HELD) &&
		     (!queue || streq(job->queue, queue)) && (!one_user || job->uid == uid);
	return n;
}

static int check_queue(struct manager *m, const struct caller *caller, const struct job_document *d,
		       const struct policy_queue **ret, struct rpc_error *error)
{
	const struct policy_queue *queue =
		d->queue ? policy_find_queue(m->policy, d->queue) : policy_default_queue(m->policy);

	if (!queue) {
		rpc_error_set(error, RPC_NOT_FOUND, "no queue \"%s\"", d->queue ? d->queue : "default");
		return rpc_error_detail(error, "no_queue", "queue", "see `gpuvf list queues`");
	}
	if (queue->n_allow > 0 &&
	    !principals_allow(queue->allow, queue->n_allow, caller->uid, caller->gids, caller->n_gids)) {
		rpc_error_set(error, RPC_NOT_PERMITTED, "queue \"%s\" is not open to you: its `allow` names others",
			      queue->name);
		return rpc_error_detail(error, "queue_closed", "queue", "see `gpuvf list queues`");
	}
	if (d->priority > queue->max_priority && caller->role < ROLE_OPERATOR) {
		rpc_error_set(error, RPC_NOT_PERMITTED, "priority %lld is more than queue \"%s\" lets users ask for (%d)",
			      (long long)d->priority, queue->name, queue->max_priority);
		return rpc_error_detail(error, "priority", "priority", "operators may");
	}
	if (queue->max_time_usec && d->time_limit_usec > queue->max_time_usec) {
		char buf[48];

		rpc_error_set(error, RPC_LIMIT, "time_limit is more than queue \"%s\" allows (%s)", queue->name,
			      duration_format(queue->max_time_usec, buf, sizeof(buf)));
		return rpc_error_detail(error, "max_time", "time_limit", NULL);
	}
	*ret = queue;
	return 0;
}

static int check_limits(struct manager *m, const struct caller *caller, const struct policy_queue *queue,
			struct rpc_error *error)
{
	if (HASH_COUNT(m->jobs) >= QUEUED_MAX)
		rpc_error_set(error, RPC_LIMIT, "the daemon holds %u jobs, the most it takes", QUEUED_MAX);
	else if (queue->limit_queued && count_jobs(m, queue->name, false, 0) >= queue->limit_queued)
		rpc_error_set(error, RPC_LIMIT, "queue \"%s\" is full: %u jobs wait in it", queue->name,
			      queue->limit_queued);
	else if (queue->limit_queued_per_user &&
		 count_jobs(m, queue->name, true, caller->uid) >= queue->limit_queued_per_user)
		rpc_error_set(error, RPC_LIMIT, "you have %u jobs waiting in queue \"%s\", its limit per user",
			      queue->limit_queued_per_user, queue->name);
	else
		return 0;
	return rpc_error_detail(error, "queue_full", "queue", "wait until some have started, or cancel some");
}

static bool vm_rule_opens(const struct policy_vm_rule *rule, const struct caller *caller)
{
	return rule && rule->run_as &&
	       principals_allow(rule->allow, rule->n_allow, caller->uid, caller->gids, caller->n_gids);
}

/* Some VM must be open to the caller: a job that nobody lets run anywhere is refused, not queued. */
static int check_vms(struct manager *m, const struct caller *caller, const struct job_document *d,
		     struct rpc_error *error)
{
	const struct policy_vm_rule *rule;

	if (d->vm) {
		rule = policy_match_vm(m->policy, d->vm);
		if (m->hypervisor_connected && !vm_find(m, d->vm)) {
			rpc_error_set(error, RPC_NOT_FOUND, "no VM \"%s\"", d->vm);
			return rpc_error_detail(error, "no_vm", "run_in/vm", "see `gpuvf list vms`");
		}
		if (vm_rule_opens(rule, caller))
			return 0;
		if (!rule)
			rpc_error_set(error, RPC_NOT_PERMITTED, "no `vms` rule of the policy opens VM %s to jobs", d->vm);
		else
			rpc_error_set(error, RPC_NOT_PERMITTED, "VM %s is not open to you: %s %s", d->vm, rule->label,
				      rule->run_as ? "allows others" : "names no run_as");
		return rpc_error_detail(error, "vm_closed", "run_in/vm", "ask for the rule to be widened, or name another VM");
	}
	for (size_t i = 0; i < m->policy->n_vms; i++)
		if (vm_rule_opens(&m->policy->vms[i], caller))
			return 0;
	rpc_error_set(error, RPC_NOT_PERMITTED, "no VM is open to you: no `vms` rule of the policy allows you");
	return rpc_error_detail(error, "no_vm_open", "run_in", "ask for a `vms` rule that allows you");
}

static int check_profile(struct manager *m, const struct job_document *d, struct rpc_error *error)
{
	if (!d->profile || policy_find_profile(m->policy, d->profile))
		return 0;
	rpc_error_set(error, RPC_NOT_FOUND, "no profile \"%s\"", d->profile);
	return rpc_error_detail(error, "no_profile", "profile", "see `gpuvf list profiles`");
}

/* Sizes of uploaded files, which the document could not know. */
static int check_uploads(struct manager *m, const struct caller *caller, struct job_document *d,
			 struct rpc_error *error)
{
	json_t *files = json_object_get(d->json, "files");
	uint64_t total = 0;

	for (size_t i = 0; i < d->n_files; i++) {
		struct job_file *file = &d->files[i];

		if (file->upload && upload_size(m, file->upload, caller->uid, &file->size) < 0) {
			rpc_error_set(error, RPC_NOT_FOUND, "files/%zu: no upload \"%s\" of yours", i, file->upload);
			return rpc_error_detail(error, "no_upload", "files", "uploads are kept for an hour");
		}
		json_put_uint(json_array_get(files, i), "size_bytes", file->size);
		total += file->size;
	}
	if (total <= JOB_FILES_MAX)
		return 0;
	rpc_error_set(error, RPC_LIMIT, "files: %llu MiB in all, more than the 64 MiB of one job",
		      (unsigned long long)(total / MIB));
	return rpc_error_detail(error, "files_size", "files", "keep large data in the VM");
}

static int job_check(struct manager *m, const struct caller *caller, const json_t *json,
		     struct job_document **ret, const struct policy_queue **ret_queue,
		     struct rpc_error *error)
{
	_cleanup_(job_document_freep) struct job_document *d = NULL;
	struct json_fault fault = { 0 };

	if (job_document_parse(json, &d, &fault) < 0) {
		rpc_error_set(error, RPC_INVALID_DOCUMENT, "job%s: %s", strempty(fault.pointer),
			      strempty(fault.what));
		rpc_error_detail(error, "invalid_job", fault.pointer && fault.pointer[0] ? fault.pointer + 1 : "job",
				 fault.hint);
		json_fault_done(&fault);
		return -ECANCELED;
	}
	if (check_queue(m, caller, d, ret_queue, error) < 0 || check_vms(m, caller, d, error) < 0 ||
	    check_profile(m, d, error) < 0 || check_uploads(m, caller, d, error) < 0 ||
	    check_limits(m, caller, *ret_queue, error) < 0)
		return -ECANCELED;
	*ret = TAKE_PTR(d);
	return 0;
}

static void submit_committed(struct manager *m, void *userdata)
{
	manager_pump(m);
	free(userdata);
}

static void submit_not_committed(struct manager *m, void *userdata)
{
	struct job *job = job_find(m, userdata);

	if (job)
		job_free(m, job);
	free(userdata);
}

/* What the submitter should know although the job is taken. */
static json_t *warnings_for(struct manager *m, const struct job *job)
{
	json_t *warnings = json_array();

	if (!m->hypervisor_connected)
		json_array_append_new(warnings, json_string("libvirt is away: the job waits until it is back"));
	if (!m->gpus)
		json_array_append_new(warnings, json_string("this host has no GPU that gpuvf knows"));
	return warnings;
}

void manager_job_submit(struct manager *m, const struct caller *caller,
			const struct job_submit_params *p, struct reply *reply)
{
	struct job_document *document = NULL;
	const struct policy_queue *queue = NULL;
	struct rpc_error error = { 0 };
	struct job *job;
	int r;

	if (manager_refuses_changes(m, reply))
		return;
	if (job_check(m, caller, p->job, &document, &queue, &error) < 0) {
		reply_error_done(reply, &error);
		return;
	}
	if (p->dry_run) {
		job_document_free(document);
		view_reply(m, reply, json_pack("{s:n,s:s,s:[]}", "id", "queue", queue->name, "warnings"));
		return;
	}
	job = job_new(m, m->next_job++);
	if (!job) {
		job_document_free(document);
		reply_refuse(reply, RPC_INTERNAL_ERROR, "out of memory");
		return;
	}
	job->document = document;
	job->uid = caller->uid;
	job->user = strdup(caller->name);
	job->gids = calloc(caller->n_gids + 1, sizeof(*job->gids));
	if (job->gids && caller->n_gids)
		memcpy(job->gids, caller->gids, caller->n_gids * sizeof(*job->gids));
	job->n_gids = job->gids ? caller->n_gids : 0;
	job->queue = strdup(queue->name);
	job->priority = document->priority;
	job->time_limit = job_time_limit(document, queue);
	job->submitted_at = now_realtime();
	job->state = document->hold ? JOB_HELD : JOB_QUEUED;
	r = job_snapshot_files(m, job);
	if (r < 0) {
		job_free(m, job);
		reply_refuse(reply, RPC_HOST_ERROR, "files: the snapshot cannot be written: %s", strerror(-r));
		return;
	}
	job_set_state(m, job, job->state, NULL);
	outbox_add(m, submit_committed, submit_not_committed, strdup(job->name));
	outbox_reply(m, reply, json_pack("{s:s,s:s,s:o}", "id", job->name, "queue", job->queue,
					 "warnings", warnings_for(m, job)));
}
