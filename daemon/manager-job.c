/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs as records: submit, list, get, cancel; their rows and their snapshotted files.  How one runs is
 * manager-run.c, where it runs is manager-place.c. */
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>

#include "lib/base64.h"
#include "lib/io.h"
#include "manager-state.h"
#include "runner/runner.h"

#define QUEUED_MAX 100000	/* of all users: a bound on memory, far above any queue's own limit */
#define ENDED_KEPT 10000	/* ended jobs that stay in memory and in the store */
#define ENDED_SLACK 64		/* … so that they are sorted once in a while only */

struct job *job_find(struct manager *m, const char *id)
{
	struct job *job = NULL;

	if (id)
		HASH_FIND_STR(m->jobs, id, job);
	return job;
}

json_t *job_attempt(const struct job *job)
{
	size_t n = json_array_size(job->attempts);

	return n ? json_array_get(job->attempts, n - 1) : NULL;
}

void job_free(struct manager *m, struct job *job)
{
	HASH_DEL(m->jobs, job);
	runner_free(job->runner);
	job_document_free(job->document);
	json_decref(job->attempts);
	json_decref(job->progress);
	free(job->name);
	free(job->gids);
	free(job->user);
	free(job->queue);
	free(job->reason);
	free(job->vm_name);
	free(job->vf_name);
	free(job->signal);
	free(job);
}

/* ---- views and rows ---- */

static json_t *spec_view(const struct job *job)
{
	json_t *spec = json_deep_copy(job->document->json), *secrets = json_object_get(spec, "secret_env");
	const char *name;
	json_t *value;
	void *tmp;

	json_object_foreach_safe(secrets, tmp, name, value)
		json_object_set_new(secrets, name, json_string("***"));
	return spec;
}

json_t *job_to_json(const struct job *job, bool all)
{
	json_t *json = json_pack("{s:s,s:s?,s:s,s:s,s:s,s:s?,s:s?,s:I,s:I}", "id", job->name, "name",
				 job->document->name, "user", job->user, "queue", job->queue, "state",
				 job_state_to_string(job->state), "result",
				 job->result ? job_result_to_string(job->result) : NULL, "reason", job->reason,
				 "attempt", (json_int_t)job->attempt, "priority", (json_int_t)job->priority);

	json_put_time(json, "submitted_at", job->submitted_at);
	json_put_time(json, "started_at", job->started_at);
	json_put_time(json, "ended_at", job->ended_at);
	json_put(json, "vfs", job->vf_name ? json_pack("[s]", job->vf_name) : json_array());
	json_put_string(json, "vm", job->vm_name);
	json_put(json, "exit_code", job->has_exit_code ? json_integer(job->exit_code) : json_null());
	json_put_string(json, "signal", job->signal);
	json_put(json, "progress", job->progress ? json_incref(job->progress) : json_null());
	json_put_uint_known(json, "request_bytes", job->document->vram.kind == AMOUNT_BYTES,
			    job->document->vram.value);
	json_put_bool(json, "cancel", job->cancel);
	if (all) {
		json_put(json, "attempts", json_deep_copy(job->attempts));
		json_put(json, "spec", spec_view(job));
	}
	return json;
}

void job_store(struct manager *m, struct job *job)
{
	json_t *gids = json_array();
	json_t *doc = json_pack("{s:I,s:I,s:s,s:s,s:s,s:s,s:s?,s:I,s:b,s:I,s:s,s:s?,s:s?,s:b,s:i,s:s?,s:b}", "id",
				(json_int_t)job->id, "uid", (json_int_t)job->uid, "user", job->user, "queue",
				job->queue, "state", job_state_to_string(job->state), "result",
				job_result_to_string(job->result), "reason", job->reason, "priority",
				(json_int_t)job->priority, "cancel", (int)job->cancel, "attempt",
				(json_int_t)job->attempt, "vm_uuid", job->vm_uuid, "vm_name", job->vm_name,
				"vf_name", job->vf_name, "has_exit_code", (int)job->has_exit_code,
				"exit_code", job->exit_code, "signal", job->signal, "vf_assigned",
				(int)job->vf_assigned);

	for (size_t i = 0; i < job->n_gids; i++)
		json_array_append_new(gids, json_integer(job->gids[i]));
	json_put(doc, "gids", gids);
	json_put_uint(doc, "submitted_usec", job->submitted_at);
	json_put_uint(doc, "started_usec", job->started_at);
	json_put_uint(doc, "ended_usec", job->ended_at);
	/* Copies: the store's thread reads them while the loop goes on changing ours. */
	json_put(doc, "attempts", json_deep_copy(job->attempts));
	json_put(doc, "document", json_deep_copy(job->document->json));
	if (job->progress)
		json_put(doc, "progress", json_deep_copy(job->progress));
	outbox_put(m, STORE_JOB, job->name, doc);
}

static struct job *job_new(struct manager *m, uint64_t id)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->manager = m;
	job->id = id;
	job->name = xasprintf("%llu", (unsigned long long)id);
	job->attempts = json_array();
	HASH_ADD_KEYPTR(hh, m->jobs, job->name, strlen(job->name), job);
	return job;
}

static void load_words(struct job *job, const json_t *doc)
{
	int state = job_state_from_string(strempty(json_get_string(doc, "state")));
	int result = job_result_from_string(strempty(json_get_string(doc, "result")));

	job->state = state < 0 ? JOB_ENDED : (enum job_state)state;
	job->result = result < 0 ? JOB_LOST : (enum job_result)result;
	(void)free_and_strdup(&job->user, strempty(json_get_string(doc, "user")));
	(void)free_and_strdup(&job->queue, strempty(json_get_string(doc, "queue")));
	(void)free_and_strdup(&job->reason, json_get_string(doc, "reason"));
	(void)free_and_strdup(&job->vm_name, json_get_string(doc, "vm_name"));
	(void)free_and_strdup(&job->vf_name, json_get_string(doc, "vf_name"));
	(void)free_and_strdup(&job->signal, json_get_string(doc, "signal"));
	snprintf(job->vm_uuid, sizeof(job->vm_uuid), "%s", strempty(json_get_string(doc, "vm_uuid")));
}

int job_load(void *manager, const char *id, const json_t *doc)
{
	struct manager *m = manager;
	struct job_document *document = NULL;
	json_t *gids = json_object_get(doc, "gids");
	struct job *job;

	if (job_document_load(json_object_get(doc, "document"), &document) < 0) {
		log_job(id, LOG_ERR, 0, "The stored job %s cannot be read; its row is left alone", id);
		return 0;
	}
	job = job_new(m, json_get_uint(doc, "id", 0));
	if (!job) {
		job_document_free(document);
		return -ENOMEM;
	}
	job->document = document;
	job->inherited = true;
	load_words(job, doc);
	job->uid = (uid_t)json_get_uint(doc, "uid", 0);
	job->priority = json_get_int(doc, "priority", 0);
	job->cancel = json_get_bool(doc, "cancel", false);
	job->attempt = (unsigned)json_get_uint(doc, "attempt", 0);
	job->has_exit_code = json_get_bool(doc, "has_exit_code", false);
	job->exit_code = (int)json_get_int(doc, "exit_code", 0);
	job->vf_assigned = json_get_bool(doc, "vf_assigned", false);
	job->submitted_at = json_get_uint(doc, "submitted_usec", 0);
	job->started_at = json_get_uint(doc, "started_usec", 0);
	job->ended_at = json_get_uint(doc, "ended_usec", 0);
	json_decref(job->attempts);
	job->attempts = json_deep_copy(json_object_get(doc, "attempts"));
	job->progress = json_deep_copy(json_object_get(doc, "progress"));
	job->gids = calloc(json_array_size(gids) + 1, sizeof(*job->gids));
	for (size_t i = 0; job->gids && i < json_array_size(gids); i++)
		job->gids[job->n_gids++] = (gid_t)json_integer_value(json_array_get(gids, i));
	if (job->id >= m->next_job)
		m->next_job = job->id + 1;
	return 0;
}

static int oldest_first(const struct job *a, const struct job *b)
{
	return a->id > b->id ? 1 : a->id < b->id ? -1 : 0;
}

/* Ended jobs leave, oldest first, so that neither memory nor the store grows without end. */
void jobs_forget_old(struct manager *m)
{
	struct job *job, *tmp;
	size_t ended = 0;

	if (HASH_COUNT(m->jobs) <= ENDED_KEPT)
		return;
	HASH_ITER(hh, m->jobs, job, tmp)
		ended += job->state == JOB_ENDED;
	if (ended <= ENDED_KEPT + ENDED_SLACK)
		return;
	HASH_SRT(hh, m->jobs, oldest_first);
	HASH_ITER(hh, m->jobs, job, tmp) {
		if (ended <= ENDED_KEPT)
			return;
		if (job->state != JOB_ENDED || job->runner)
			continue;
		outbox_delete(m, STORE_JOB, job->name);
		job_free(m, job);
		ended--;
	}
}

void job_set_state(struct manager *m, struct job *job, enum job_state state, const char *reason)
{
	enum job_state old = job->state;

	(void)free_and_strdup(&job->reason, reason);
	if (old != state) {
		if (!state_edge_cause(job_edges, (int)old, (int)state))
			log_job(job->name, LOG_ERR, 0, "no edge %s → %s in the table of states",
				job_state_to_string(old), job_state_to_string(state));
		log_job(job->name, LOG_INFO, 0, "%s → %s%s%s", job_state_to_string(old),
			job_state_to_string(state), reason ? ": " : "", strempty(reason));
		job->state = state;
	}
	job_store(m, job);
	manager_emit(m, "job.state", job->name,
		     json_pack("{s:s,s:s?,s:s?,s:I,s:s?,s:s?}", "state", job_state_to_string(state), "result",
			       job->result ? job_result_to_string(job->result) : NULL, "reason", job->reason,
			       "attempt", (json_int_t)job->attempt, "vm", job->vm_name, "vf", job->vf_name));
}

/* ---- folders: STATE_DIR/jobs/ID/ATTEMPT, opened by descriptor ---- */

static int open_dir(int dirfd, const char *name, bool create)
{
	if (create && mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	dirfd = openat(dirfd, name, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_RDONLY);
	return dirfd < 0 ? -errno : dirfd;
}

int job_attempt_dir(struct manager *m, const struct job *job, unsigned attempt, bool create)
{
	_cleanup_close_ int dir = open_dir(m->jobs_fd, job->name, create);
	char number[16];

	if (dir < 0)
		return dir;
	if (attempt == 0)
		return TAKE_FD(dir);
	snprintf(number, sizeof(number), "%u", attempt);
	return open_dir(dir, number, create);
}

/* The files as they were at submit: in/0, in/1, … (B14: code that changes between submit and start). */
static int snapshot_files(struct manager *m, struct job *job)
{
	_cleanup_close_ int dir = job_attempt_dir(m, job, 0, true), in = -1;

	if (dir < 0)
		return dir;
	in = open_dir(dir, "in", true);
	if (in < 0)
		return in;
	for (size_t i = 0; i < job->document->n_files; i++) {
		struct job_file *file = &job->document->files[i];
		_cleanup_free_ void *data = NULL;
		char name[24];
		size_t size = 0;
		int r;

		snprintf(name, sizeof(name), "%zu", i);
		if (file->upload) {
			r = upload_move(m, file->upload, job->uid, in, name);
			if (r < 0)
				return r;
		}
		if (!file->content)
			continue;
		r = base64_decode(json_string_value(file->content), json_string_length(file->content), &data,
				  &size);
		if (r < 0)
			return r;
		r = write_file_atomic_at(in, name, data, size, 0600);
		if (r < 0)
			return r;
		json_decref(file->content);
		file->content = NULL;
	}
	return 0;
}

/* ---- submit ---- */

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
	if (d->time_limit_usec == 0)
		d->time_limit_usec = (*ret_queue)->default_time_usec;
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
		reply_error(reply, &error);
		rpc_error_done(&error);
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
	job->submitted_at = now_realtime();
	job->state = document->hold ? JOB_HELD : JOB_QUEUED;
	r = snapshot_files(m, job);
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

/* ---- list, get, cancel ---- */

static bool owns(const struct caller *caller, const struct job *job)
{
	return caller->role >= ROLE_OPERATOR || caller->uid == job->uid;
}

struct job *job_for(struct manager *m, const struct caller *caller, const char *id, struct reply *reply)
{
	struct job *job = job_find(m, id);
	struct rpc_error error = { 0 };

	if (job && owns(caller, job))
		return job;
	if (job)
		rpc_error_set(&error, RPC_NOT_PERMITTED, "job %s is %s's", id, job->user);
	else
		rpc_error_set(&error, RPC_NOT_FOUND, "no job \"%s\"", id);
	rpc_error_detail(&error, job ? "not_yours" : "no_job", "id", "see `gpuvf jobs --all`");
	reply_error(reply, &error);
	rpc_error_done(&error);
	return NULL;
}

static int newest_first(const struct job *a, const struct job *b)
{
	return oldest_first(b, a);
}

void manager_job_list(struct manager *m, const struct caller *caller,
		      const struct job_list_params *p, struct reply *reply)
{
	json_t *items = json_array();
	struct job *job, *tmp;

	HASH_SRT(hh, m->jobs, newest_first);
	HASH_ITER(hh, m->jobs, job, tmp) {
		if (p->user ? !streq(p->user, "*") && !streq(p->user, job->user) : job->uid != caller->uid)
			continue;
		if ((p->queue && !streq(p->queue, job->queue)) || (p->state >= 0 && p->state != (int)job->state) ||
		    (p->state < 0 && !p->ended && job->state == JOB_ENDED) || job->submitted_at < p->since_usec)
			continue;
		json_array_append_new(items, job_to_json(job, owns(caller, job)));
	}
	page_reply(m, reply, items, &p->page);
}

void manager_job_get(struct manager *m, const struct caller *caller, const struct name_params *p,
		     struct reply *reply)
{
	struct job *job = job_find(m, p->name);

	if (!job) {
		(void)job_for(m, caller, p->name, reply);
		return;
	}
	view_reply(m, reply, job_to_json(job, owns(caller, job)));
}

static void cancel_committed(struct manager *m, void *userdata)
{
	struct job *job = job_find(m, userdata);

	if (job)
		job_stop(m, job);
	manager_pump(m);
	free(userdata);
}

static void cancel_not_committed(struct manager *m, void *userdata)
{
	struct job *job = job_find(m, userdata);

	if (job)
		job->cancel = false;
	free(userdata);
}

void manager_job_cancel(struct manager *m, const struct caller *caller,
			const struct job_cancel_params *p, struct reply *reply)
{
	struct job *job;

	if (manager_refuses_changes(m, reply))
		return;
	job = job_for(m, caller, p->id, reply);
	if (!job)
		return;
	if (job->state == JOB_ENDED || job->cancel) {
		outbox_reply(m, reply, json_pack("{s:b,s:s}", "changed", 0, "state",
						 job_state_to_string(job->state)));
		return;
	}
	job->cancel = true;
	job_store(m, job);
	outbox_add(m, cancel_committed, cancel_not_committed, strdup(job->name));
	outbox_reply(m, reply, json_pack("{s:b,s:s}", "changed", 1, "state", job_state_to_string(job->state)));
}

/* ---- hold, unhold ---- */

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
