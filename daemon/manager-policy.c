/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy in force: loaded off the loop (names of users and groups are resolved there), swapped whole; a
 * set that is refused changes nothing. */
#include <pthread.h>
#include <sys/eventfd.h>

#include "lib/mailbox.h"
#include "manager-state.h"

static struct policy *empty_policy(void)
{
	static const char text[] = "{\"version\": 1}";
	const struct policy_source source = { "built-in", text, sizeof(text) - 1 };
	struct policy *policy = NULL;
	json_t *errors = NULL;

	if (policy_build(&source, 1, &policy, &errors) < 0)
		json_decref(errors);
	return policy;
}

static void say_errors(const json_t *errors)
{
	size_t i;
	json_t *error;

	json_array_foreach((json_t *)errors, i, error)
		log_error(0, "%s", strempty(json_string_value(error)));
}

int manager_load_policy(struct manager *m)
{
	json_t *errors = NULL;

	if (policy_load(m->policy_dir, m->policy_fallback, &m->policy, &errors) == 0) {
		log_info("Policy revision %s is in force", m->policy->revision);
		return 0;
	}
	say_errors(errors);
	log_error(0, "The policy is refused: nothing is cut, and only root may act, until it is mended and reloaded");
	m->policy_errors = errors;
	m->policy = empty_policy();
	return m->policy ? 0 : -ENOMEM;
}

void manager_caller_update(struct manager *m, struct caller *caller)
{
	caller->role = policy_role(m->policy, caller->uid, caller->gids, caller->n_gids, m->socket_gid,
				   m->own_uid);
	if (!caller->name)
		caller->name = user_name(caller->uid);
}

/* ---- reload ---- */

struct reload {
	struct manager *m;
	struct mailbox *mailbox;
	pthread_t thread;
	sd_event_source *source;
	struct reply *reply;
	struct caller who; /* uid and pid only */
	bool again; /* a signal came meanwhile: files may have changed since they were read */
	struct caller again_who;
	struct policy *policy;
	json_t *errors;
	char *directory, *fallback;
};

static void reload_free(struct reload *r)
{
	sd_event_source_unref(r->source);
	mailbox_free(r->mailbox);
	json_decref(r->errors);
	policy_unref(r->policy);
	free(r->directory);
	free(r->fallback);
	free(r);
}

static void refuse_document(struct reply *reply, json_t *errors)
{
	struct rpc_error error = { 0 };
	const char *first = json_string_value(json_array_get(errors, 0));

	rpc_error_set(&error, RPC_INVALID_DOCUMENT, "%s", first ? first : "the policy is refused");
	rpc_error_detail(&error, "invalid_policy", NULL,
			 json_array_size(errors) > 1 ? "there are more; gpuvf policy check tells all of them"
						     : "the policy in force stays");
	reply_error_done(reply, &error);
}

static void swap(struct manager *m, struct policy *policy)
{
	_cleanup_free_ char *before = strdup(m->policy->revision);
	struct gpu *gpu, *tmp;
	struct vm *vm, *tmp_vm;

	HASH_ITER(hh, m->vms, vm, tmp_vm)
		fixed_try_again(vm);
	rejoin_all_soon(m);
	policy_unref(m->policy);
	m->policy = policy;
	audit_policy(m, strempty(before));
	json_decref(m->policy_errors);
	m->policy_errors = NULL;
	HASH_ITER(hh, m->gpus, gpu, tmp) {
		if (gpu->state == GPU_READY || gpu->state == GPU_UNMANAGED)
			gpu_set_state(m, gpu, gpu_layout_source(m, gpu) ? GPU_READY : GPU_UNMANAGED, NULL);
		gpu_check_drift(m, gpu);
		half_cut_look(m, gpu); /* what it shows may be what is wanted now */
	}
	log_notice("Policy revision %s is in force", policy->revision);
	manager_emit(m, "policy.loaded", policy->revision, NULL);
	manager_pump(m);
}

static void on_loaded(void *payload)
{
	struct reload *r = payload;
	struct manager *m = r->m;

	if (!r->policy) {
		say_errors(r->errors);
		refuse_document(r->reply, r->errors);
		return;
	}
	if (streq(m->policy->revision, r->policy->revision)) {
		outbox_reply(m, r->reply, json_pack("{s:b,s:s,s:O}", "changed", 0, "revision",
						    m->policy->revision, "warnings", m->policy->warnings));
		return;
	}
	manager_call_begin(m, &r->who, "policy.reload");
	swap(m, TAKE_PTR(r->policy));
	manager_call_end(m);
	outbox_reply(m, r->reply, json_pack("{s:b,s:s,s:O}", "changed", 1, "revision", m->policy->revision,
					    "warnings", m->policy->warnings));
}

static void *load_thread(void *userdata)
{
	struct reload *r = userdata;

	if (policy_load(r->directory, r->fallback, &r->policy, &r->errors) < 0)
		r->policy = NULL;
	(void)mailbox_post(r->mailbox, on_loaded, r, NULL);
	return NULL;
}

static int on_mail(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct reload *r = userdata;

	if (mailbox_dispatch(r->mailbox) > 0) {
		struct manager *m = r->m;
		const struct caller who = r->again_who;
		bool again = r->again;

		(void)pthread_join(r->thread, NULL); /* its message was its last deed */
		m->reload = NULL;
		reload_free(r);
		if (again)
			manager_policy_signal(m, &who);
	}
	return 0;
}

void policy_reload_end(struct manager *m)
{
	struct reload *r = TAKE_PTR(m->reload);

	if (!r)
		return;
	(void)pthread_join(r->thread, NULL);
	reply_refuse(r->reply, RPC_INTERNAL_ERROR, "the daemon is ending");
	reload_free(r);
}

void manager_policy_reload(struct manager *m, const struct caller *caller,
			   const struct none_params *p, struct reply *reply)
{
	struct reload *r = calloc(1, sizeof(*r));

	if (!r || m->reload) {
		free(r);
		reply_refuse(reply, RPC_CONFLICT, "the policy is being loaded right now");
		return;
	}
	r->m = m;
	r->reply = reply;
	r->who = (struct caller){ .uid = caller->uid, .pid = caller->pid };
	r->directory = strdup(m->policy_dir);
	r->fallback = strdup(m->policy_fallback);
	if (mailbox_new(&r->mailbox) < 0 ||
	    sd_event_add_io(m->event, &r->source, mailbox_fd(r->mailbox), EPOLLIN, on_mail, r) < 0 ||
	    pthread_create(&r->thread, NULL, load_thread, r) != 0) {
		reload_free(r);
		reply_refuse(reply, RPC_INTERNAL_ERROR, "the policy cannot be loaded now");
		return;
	}
	m->reload = r;
}

/* ---- SIGHUP ---- */

/* Nobody waits for the answer: what is wrong with the files was logged, and what is in force, too. */
static void on_signal_answered(struct reply *reply, json_t *result, const struct rpc_error *error)
{
	if (error)
		log_error(0, "SIGHUP: the policy was not reloaded: %s", strempty(error->message));
	else if (!json_get_bool(result, "changed", false))
		log_info("SIGHUP: the policy is the same as before");
	json_decref(result);
	free(reply);
}

void manager_policy_signal(struct manager *m, const struct caller *who)
{
	struct reply *reply;

	if (m->reload) {
		m->reload->again = true;
		m->reload->again_who = *who;
		return;
	}
	reply = calloc(1, sizeof(*reply));
	if (!reply)
		return;
	reply->done = on_signal_answered;
	manager_policy_reload(m, who, &(struct none_params){ 0 }, reply);
}

/* ---- show, check, and what the policy lists ---- */

void manager_policy_show(struct manager *m, const struct caller *caller,
			 const struct none_params *p, struct reply *reply)
{
	json_t *json = json_pack("{s:s,s:O,s:O,s:O}", "revision", m->policy->revision, "sources",
				 m->policy->sources, "document", m->policy->document, "warnings",
				 m->policy->warnings);

	json_put(json, "refused", m->policy_errors ? json_incref(m->policy_errors) : json_null());
	view_reply(m, reply, json);
}

#define CHECK_FILES_MAX 256

void manager_policy_check(struct manager *m, const struct caller *caller,
			  const struct policy_check_params *p, struct reply *reply)
{
	struct policy_source sources[CHECK_FILES_MAX];
	size_t i, n = json_array_size(p->files);
	_cleanup_(policy_unrefp) struct policy *policy = NULL;
	_cleanup_json_ json_t *errors = NULL;
	json_t *file;

	if (n == 0 || n > CHECK_FILES_MAX) {
		reply_refuse(reply, RPC_INVALID_PARAMS, "files: give 1 to %d files", CHECK_FILES_MAX);
		return;
	}
	json_array_foreach(p->files, i, file) {
		json_t *text = json_object_get(file, "text");

		sources[i].name = json_get_string(file, "name");
		sources[i].text = json_string_value(text);
		sources[i].size = json_string_length(text);
		if (!sources[i].name || !sources[i].text || json_object_size(file) != 2) {
			reply_refuse(reply, RPC_INVALID_PARAMS, "files/%zu: give {\"name\", \"text\"}", i);
			return;
		}
	}
	if (policy_check(sources, n, &policy, &errors) < 0) {
		view_reply(m, reply, json_pack("{s:b,s:O,s:[]}", "valid", 0, "errors", errors, "warnings"));
		return;
	}
	view_reply(m, reply, json_pack("{s:b,s:[],s:O,s:s}", "valid", 1, "errors", "warnings",
				       policy->warnings, "revision", policy->revision));
}

/* Whole where it is.  Returns new. */
static json_t *seconds_view(uint64_t usec)
{
	if (usec % USEC_PER_SEC == 0)
		return json_integer((json_int_t)(usec / USEC_PER_SEC));
	return json_real((double)usec / (double)USEC_PER_SEC);
}

void manager_queue_list(struct manager *m, const struct caller *caller,
			const struct none_params *p, struct reply *reply)
{
	json_t *items = json_array();

	for (size_t i = 0; i < m->policy->n_queues; i++) {
		const struct policy_queue *queue = &m->policy->queues[i];
		uint64_t queued = 0, running = 0;
		struct job *job, *tmp;
		json_t *item;

		HASH_ITER(hh, m->jobs, job, tmp) {
			if (!streq(job->queue, queue->name) || job->state == JOB_ENDED)
				continue;
			queued += job->state == JOB_QUEUED || job->state == JOB_HELD;
			running += job->state >= JOB_STARTING;
		}
		item = json_pack("{s:s,s:b,s:I,s:I,s:I,s:b}", "name", queue->name, "default",
				 (int)queue->is_default, "priority", (json_int_t)queue->priority, "queued",
				 (json_int_t)queued, "running", (json_int_t)running, "open",
				 (int)(queue->n_allow == 0 ||
				       principals_allow(queue->allow, queue->n_allow, caller->uid,
							caller->gids, caller->n_gids)));
		json_put_uint_known(item, "limit_running", queue->limit_running > 0, queue->limit_running);
		json_put(item, "preempts", queue->preempts ? json_deep_copy(queue->preempts) : json_array());
		json_put(item, "preempt_grace_seconds",
			 queue->preempt_grace_usec > 0 ? seconds_view(queue->preempt_grace_usec) : json_null());
		json_put(item, "min_runtime_seconds", seconds_view(queue->min_runtime_usec));
		json_array_append_new(items, item);
	}
	view_reply(m, reply, json_pack("{s:o,s:n}", "items", items, "next"));
}
