/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs as records: their rows, list, get, cancel.  How one begins is manager-job-submit.c, how one runs is
 * manager-run.c, where it runs is manager-place.c. */
#include "manager-state.h"
#include "runner/runner.h"

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

bool job_attempt_began(const struct job *job)
{
	return json_get_string(job_attempt(job), "started_at") != NULL;
}

bool job_attempt_may_have_begun(const struct job *job)
{
	const json_t *at = json_object_get(job_attempt(job), "start_sent_at");

	return job_attempt_began(job) || !at || !json_is_null(at); /* an earlier version did not note it */
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
	_cleanup_free_ char *reason = session_reason(job);
	json_t *json = json_pack("{s:s,s:s?,s:s,s:s,s:s,s:s?,s:s?,s:I,s:I}", "id", job->name, "name",
				 job->document->name, "user", job->user, "queue", job->queue, "state",
				 job_state_to_string(job->state), "result",
				 job->result ? job_result_to_string(job->result) : NULL, "reason", reason,
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
	json_put_uint_known(json, "time_limit_seconds", job->time_limit > 0, job->time_limit / USEC_PER_SEC);
	json_put(json, "session", session_view(job));
	if (all) {
		json_put(json, "attempts", json_deep_copy(job->attempts));
		json_put(json, "spec", spec_view(job));
	}
	return json;
}

void job_store(struct manager *m, struct job *job)
{
	json_t *gids = json_array(), *doc;

	audit_job(m, job);
	doc = json_pack("{s:I,s:I,s:s,s:s,s:s,s:s,s:s?,s:I,s:b,s:I,s:s,s:s?,s:s?,s:b,s:i,s:s?,s:b}", "id",
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
	json_put_bool(doc, "restored", job->restored);
	json_put_uint(doc, "submitted_usec", job->submitted_at);
	json_put_uint(doc, "started_usec", job->started_at);
	json_put_uint(doc, "ended_usec", job->ended_at);
	json_put_uint(doc, "time_limit_usec", job->time_limit);
	if (job->ends && job->state == JOB_RUNNING)
		json_put(doc, "ends", expiry_row(job->ends));
	/* Copies: the store's thread reads them while the loop goes on changing ours. */
	json_put(doc, "attempts", json_deep_copy(job->attempts));
	json_put(doc, "document", json_deep_copy(job->document->json));
	if (job->progress)
		json_put(doc, "progress", json_deep_copy(job->progress));
	outbox_put(m, STORE_JOB, job->name, doc);
}

struct job *job_new(struct manager *m, uint64_t id)
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
	int state = job_state_from_string(strempty(json_get_string(doc, "state")));
	int result = job_result_from_string(strempty(json_get_string(doc, "result")));
	struct job *job;

	if (state < 0 || result < 0 || json_get_uint(doc, "id", 0) == 0 ||
	    job_document_load(json_object_get(doc, "document"), &document) < 0)
		return -EBADMSG;
	job = job_new(m, json_get_uint(doc, "id", 0));
	if (!job) {
		job_document_free(document);
		return -ENOMEM;
	}
	job->document = document;
	job->inherited = true;
	job->state = (enum job_state)state;
	job->result = (enum job_result)result;
	load_words(job, doc);
	job->uid = (uid_t)json_get_uint(doc, "uid", 0);
	job->priority = json_get_int(doc, "priority", 0);
	job->cancel = job->cancel_stored = json_get_bool(doc, "cancel", false);
	job->attempt = (unsigned)json_get_uint(doc, "attempt", 0);
	job->has_exit_code = json_get_bool(doc, "has_exit_code", false);
	job->exit_code = (int)json_get_int(doc, "exit_code", 0);
	job->vf_assigned = json_get_bool(doc, "vf_assigned", false);
	job->restored = json_get_bool(doc, "restored", false);
	job->submitted_at = json_get_uint(doc, "submitted_usec", 0);
	job->started_at = json_get_uint(doc, "started_usec", 0);
	job->ended_at = json_get_uint(doc, "ended_usec", 0);
	job->time_limit = json_get_uint(doc, "time_limit_usec", document->time_limit_usec);
	job->ends = expiry_from_row(json_object_get(doc, "ends"));
	job->booted = job->ends && !expiry_is_of_this_boot(json_object_get(doc, "ends"));
	json_decref(job->attempts);
	job->attempts = json_deep_copy(json_object_get(doc, "attempts"));
	job->progress = json_deep_copy(json_object_get(doc, "progress"));
	job->gids = calloc(json_array_size(gids) + 1, sizeof(*job->gids));
	for (size_t i = 0; job->gids && i < json_array_size(gids); i++)
		job->gids[job->n_gids++] = (gid_t)json_integer_value(json_array_get(gids, i));
	if (job->id >= m->next_job)
		m->next_job = job->id + 1;
	audit_job_known(job);
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
	json_t *more;

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
	more = json_pack("{s:s,s:s?,s:s?,s:I,s:s?,s:s?}", "state", job_state_to_string(state), "result",
			 job->result ? job_result_to_string(job->result) : NULL, "reason", job->reason,
			 "attempt", (json_int_t)job->attempt, "vm", job->vm_name, "vf", job->vf_name);
	if (job->document->session)
		json_put_time(more, "ends_at", session_ends_at(job));
	manager_emit(m, "job.state", job->name, more);
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
	reply_error_done(reply, &error);
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

	if (job) {
		job->cancel_stored = true;
		job_stop(m, job);
	}
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
