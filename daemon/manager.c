/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: the only place that sees both the store and the actors.  Set-up, tear-down, the pump, and what is
 * common to all answers. */
#include "manager.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "manager-state.h"

/* ---- answers ---- */

void reply_result(struct reply *reply, json_t *result)
{
	struct rpc_error error = { 0 };

	if (result) {
		reply->done(reply, result, NULL);
		return;
	}
	rpc_error_set(&error, RPC_INTERNAL_ERROR, "out of memory");
	reply->done(reply, NULL, &error);
	rpc_error_done(&error);
}

void reply_error(struct reply *reply, const struct rpc_error *error)
{
	struct rpc_error internal = { .code = RPC_INTERNAL_ERROR };

	reply->done(reply, NULL, error->code ? error : &internal);
}

void reply_error_done(struct reply *reply, struct rpc_error *error)
{
	reply_error(reply, error);
	rpc_error_done(error);
}

void reply_refuse(struct reply *reply, enum rpc_code code, const char *format, ...)
{
	struct rpc_error error = { 0 };
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	rpc_error_set(&error, code, "%s", strempty(text));
	reply->done(reply, NULL, &error);
	rpc_error_done(&error);
}

/* ---- request ids ---- */

#define REQUEST_KEPT_USEC (7 * 24 * 3600 * USEC_PER_SEC) /* interface §3 */
#define REQUESTS_KEPT 50000 /* … but no more than memory bears */

int request_load(void *manager, const char *id, const json_t *doc)
{
	struct manager *m = manager;

	if (!json_get_string(doc, "body") ||
	    (!json_object_get(doc, "result") && !json_get_string(doc, "operation")))
		return -EBADMSG;

	if (now_realtime() > json_get_uint(doc, "at", 0) + REQUEST_KEPT_USEC) {
		outbox_delete(m, STORE_REQUEST, id);
		return 0;
	}
	return json_object_set(m->requests, id, (json_t *)doc);
}

/* Method and parameters as one word: the same words mean the same request. */
static char *request_body(const char *method, const json_t *params)
{
	_cleanup_free_ char *text = params ? json_dumps(params, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a: tells mistakes apart, not attackers */

	for (const char *c = method; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3;
	for (const char *c = strempty(text); *c; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3;
	return xasprintf("%s:%016llx", method, (unsigned long long)hash);
}

static void replay(struct manager *m, const json_t *row, struct reply *reply)
{
	struct operation *op = operation_find(m, json_get_string(row, "operation"));
	json_t *result = json_object_get(row, "result");

	free(reply->request_key);
	free(reply->request_body);
	reply->request_key = reply->request_body = NULL;
	if (result)
		view_reply(m, reply, json_deep_copy(result));
	else if (op)
		operation_reply(m, op, op->state > OPERATION_RUNNING ? 0 : USEC_INFINITY, reply);
	else
		reply_refuse(reply, RPC_CONFLICT,
			     "request_id: the same request was taken as %s, which is over and no longer kept",
			     strempty(json_get_string(row, "operation")));
}

bool manager_request_seen(struct manager *m, const struct caller *caller, const char *request_id,
			  const char *method, const json_t *params, struct reply *reply)
{
	const json_t *row;

	reply->request_key = xasprintf("%u/%s", (unsigned)caller->uid, request_id);
	reply->request_body = request_body(method, params);
	if (!reply->request_key || !reply->request_body) {
		reply_refuse(reply, RPC_INTERNAL_ERROR, "out of memory");
		return true;
	}
	row = json_object_get(m->requests, reply->request_key);
	if (!row)
		return false;
	if (!streq_ptr(json_get_string(row, "body"), reply->request_body)) {
		reply_refuse(reply, RPC_CONFLICT,
			     "request_id: \"%s\" was used for another request; take a new one", request_id);
		return true;
	}
	replay(m, row, reply);
	return true;
}

/* Nothing was done, so the same request may come again. */
static void request_not_committed(struct manager *m, void *userdata)
{
	json_object_del(m->requests, userdata);
	free(userdata);
}

static void request_committed(struct manager *m, void *userdata)
{
	free(userdata);
}

/* Iteration is in the order of insertion: the oldest come first. */
static void forget_requests(struct manager *m)
{
	uint64_t now = now_realtime();
	const char *key;
	json_t *row;
	void *tmp;

	json_object_foreach_safe(m->requests, tmp, key, row) {
		if (json_object_size(m->requests) <= REQUESTS_KEPT &&
		    now <= json_get_uint(row, "at", 0) + REQUEST_KEPT_USEC)
			return;
		outbox_delete(m, STORE_REQUEST, key);
		json_object_del(m->requests, key);
	}
}

void manager_remember_request(struct manager *m, const char *key, json_t *row)
{
	json_object_set(m->requests, key, row);
	outbox_put(m, STORE_REQUEST, key, row);
	outbox_add(m, request_committed, request_not_committed, strdup(key));
	forget_requests(m);
}

/* ---- the pump ---- */

/* Without a configuration, as gpuvfd.json(5) has it. */
#define READY_WAIT_USEC (30 * USEC_PER_SEC)

static void say_ready(struct manager *m)
{
	m->ready = true;
	m->ready_deadline = sd_event_source_disable_unref(m->ready_deadline);
	hypervisor_asked(m);
	m->start.ready(m->start.userdata);
}

static int on_ready_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		if (gpu->due || gpu->own.running)
			log_gpu(gpu->name, LOG_WARNING, 0, "its layout is not there yet: ready without it");
	say_ready(m);
	return 0;
}

void manager_serve(struct manager *m)
{
	uint64_t wait = json_get_uint(json_object_get(m->config, "deadlines"), "boot_layouts_usec",
				      READY_WAIT_USEC);

	m->serving = true;
	m->start.serving(m->start.userdata);
	if (sd_event_add_time_relative(m->event, &m->ready_deadline, CLOCK_MONOTONIC, wait, 0,
				       on_ready_deadline, m) < 0)
		say_ready(m);
}

static int on_pump(sd_event_source *source, void *userdata)
{
	struct manager *m = userdata;

	hypervisor_pump(m);
	barriers_pump(m);
	drains_advance(m);
	wanted_pump(m);
	sleep_pump(m);
	if (!m->ready && wanted_settled(m))
		say_ready(m);
	rejoin_pump(m);
	/* What is queued → what can be placed → act; what that changes pumps again. */
	if (!m->sleeping)
		(void)job_place(m);
	expiry_pump(m);
	sessions_pump(m);
	displaced_pump(m);
	lost_pump(m);
	follow_pump(m);
	fixed_pump(m);
	bind_pump(m); /* after those who may want one: what is attached is bound then */
	pool_pump(m);
	weights_update(m);
	/* Here, where nobody walks over them. */
	operations_forget_old(m);
	jobs_forget_old(m);
	return 0;
}

void manager_pump(struct manager *m)
{
	if (m->pump_source && m->serving)
		(void)sd_event_source_set_enabled(m->pump_source, SD_EVENT_ONESHOT);
}

static int on_store(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct manager *m = userdata;

	store_dispatch(m->store);
	return 0;
}

/* ---- set-up ---- */

static int open_jobs(struct manager *m)
{
	_cleanup_free_ char *path = xasprintf("%s/jobs", m->state_dir);

	if (!path)
		return -ENOMEM;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	m->jobs_fd = open(path, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_RDONLY);
	return m->jobs_fd < 0 ? -errno : 0;
}

static int set_up_sources(struct manager *m)
{
	int r;

	r = sd_event_add_io(m->event, &m->store_source, store_fd(m->store), EPOLLIN, on_store, m);
	if (r < 0)
		return r;
	r = sd_event_add_defer(m->event, &m->pump_source, on_pump, m);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(m->pump_source, SD_EVENT_OFF);
}

int manager_new(const struct manager_options *options, struct manager **ret)
{
	_cleanup_(manager_freep) struct manager *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->event = sd_event_ref(options->event);
	m->host = options->host;
	m->hypervisor = options->hypervisor;
	m->store = options->store;
	m->sleep = options->sleep;
	m->config = options->config;
	m->simulated = options->simulated;
	m->own_uid = options->own_uid;
	m->sysfs_root = options->sysfs_root;
	m->libvirt_uri = options->libvirt_uri;
	m->socket = options->socket;
	m->data_dir = options->data_dir ? options->data_dir : PKGDATADIR;
	m->socket_gid = options->socket_gid;
	m->jobs_fd = -1;
	m->started_at = now_realtime();
	m->state_dir = strdup(options->state_dir);
	m->policy_dir = strdup(options->policy_dir);
	m->policy_fallback = strdup(options->policy_fallback);
	m->requests = json_object();
	if (!m->state_dir || !m->policy_dir || !m->policy_fallback || !m->requests)
		return -ENOMEM;

	r = open_jobs(m);
	if (r == 0)
		r = uploads_new(m);
	if (r == 0)
		r = survey_new(m);
	if (r == 0)
		r = outbox_begin(m);
	if (r >= 0)
		r = events_new(m);
	if (r == 0)
		r = set_up_sources(m);
	if (r >= 0)
		r = manager_load_policy(m);
	if (r == 0)
		r = audit_new(m);
	if (r == 0)
		r = manager_load(m);
	if (r < 0)
		return r;

	audit_prune_begin(m);
	m->host->on_event = manager_on_host_event;
	m->host->userdata = m;
	m->hypervisor->on_event = manager_on_hv_event;
	m->hypervisor->userdata = m;
	sleep_follow(m);
	*ret = TAKE_PTR(m);
	return 0;
}

int manager_start(struct manager *m, const struct manager_start *start)
{
	int r;

	m->start = *start;
	m->hypervisor_awaited = true;
	r = m->host->ops->start(m->host);
	if (r < 0)
		return r;
	manager_scan(m);
	return m->scan_pending ? 0 : -EIO;
}

struct manager *manager_free(struct manager *m)
{
	struct operation *op, *tmp_op;
	struct job *job, *tmp_job;
	struct gpu *gpu, *tmp_gpu;
	struct vm *vm, *tmp_vm;

	if (!m)
		return NULL;
	if (m->outbox)
		outbox_flush(m);
	m->ending = true;
	questions_end(m);
	looks_end(m);
	outbox_end(m);
	policy_reload_end(m);
	doctor_end(m);
	/* The next daemon goes on with all this; here it only lets go. */
	HASH_ITER(hh, m->gpus, gpu, tmp_gpu) {
		apply_drop(gpu);
		tunes_drop(gpu);
		for (size_t i = 0; i < gpu->n_vfs; i++)
			handover_drop(gpu->vfs[i]);
	}
	HASH_ITER(hh, m->jobs, job, tmp_job)
		job_free(m, job);
	HASH_ITER(hh, m->operations, op, tmp_op)
		operation_free(m, op);
	HASH_ITER(hh, m->vms, vm, tmp_vm)
		vm_free(m, vm);
	HASH_ITER(hh, m->gpus, gpu, tmp_gpu)
		gpu_free(m, gpu);
	events_free(m);
	audit_free(m);
	uploads_free(m);
	survey_free(m);
	sd_event_source_disable_unref(m->ready_deadline);
	sd_event_source_disable_unref(m->expiry_timer);
	sd_event_source_disable_unref(m->session_timer);
	sd_event_source_disable_unref(m->process_timer);
	sd_event_source_disable_unref(m->preempt_timer);
	sd_event_source_disable_unref(m->rejoin_timer);
	sd_event_source_unref(m->fixed_timer);
	sd_event_source_disable_unref(m->bind_timer);
	sd_event_source_unref(m->list_retry);
	sd_event_source_unref(m->scan_retry);
	sd_event_source_unref(m->hypervisor_deadline);
	sd_event_source_unref(m->pump_source);
	sd_event_source_unref(m->prune_source);
	sd_event_source_unref(m->store_source);
	policy_unref(m->policy);
	json_decref(m->policy_errors);
	json_decref(m->lease_rows);
	json_decref(m->vm_rows);
	json_decref(m->aside);
	json_decref(m->stuck_early);
	wedged_done(&m->hypervisor_wedged);
	json_decref(m->requests);
	safe_close(m->jobs_fd);
	free(m->state_dir);
	free(m->policy_dir);
	free(m->policy_fallback);
	free(m->hypervisor_reason);
	free(m->degraded);
	free(m->instance);
	free(m->stored_boot_id);
	sd_event_unref(m->event);
	free(m);
	return NULL;
}
