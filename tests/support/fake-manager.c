/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions of manager.h for tests that have no manager. */
#include "tests/support/fake-manager.h"

#include <stdarg.h>
#include <stdio.h>

const char *const assign_mode_names[ASSIGN_MODE_MAX] = {
	[ASSIGN_AUTO] = "auto",
	[ASSIGN_LIVE] = "live",
	[ASSIGN_CONFIG] = "config",
	[ASSIGN_BOTH] = "both",
};
DEFINE_ENUM_TABLE(assign_mode, enum assign_mode, ASSIGN_MODE_MAX);

void reply_result(struct reply *reply, json_t *result)
{
	reply->done(reply, result, NULL);
}

void reply_error(struct reply *reply, const struct rpc_error *error)
{
	reply->done(reply, NULL, error);
}

void reply_refuse(struct reply *reply, enum rpc_code code, const char *format, ...)
{
	struct rpc_error error = { .code = code };
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&error.message, format, ap) < 0)
		error.message = NULL;
	va_end(ap);
	reply_error(reply, &error);
	rpc_error_done(&error);
}

void manager_on_hypervisor_known(struct manager *m, void (*known)(void *userdata), void *userdata)
{
	m->hypervisor_known = known;
	m->hypervisor_known_userdata = userdata;
}

bool manager_awaits_hypervisor(const struct manager *m)
{
	return m->awaits_hypervisor;
}

bool manager_gpu_awaits_hypervisor(struct manager *m, const char *gpu)
{
	return m->awaits_hypervisor && streq(gpu, "gpu0");
}

void fake_manager_hypervisor_known(struct manager *m)
{
	m->awaits_hypervisor = false;
	m->hypervisor_known(m->hypervisor_known_userdata);
}

void manager_caller_update(struct manager *m, struct caller *caller)
{
	caller->role = m->role;
	if (!caller->name)
		caller->name = strdup("eve");
}

bool manager_request_seen(struct manager *m, const struct caller *caller, const char *request_id,
			  const char *method, const json_t *params, struct reply *reply)
{
	char *text = json_text(params);

	free(m->last_request);
	m->last_request = xasprintf("%s %s %s", method, request_id, text);
	free(text);
	reply->request_key = xasprintf("%u/%s", caller->uid, request_id);
	reply->request_body = strdup("hash");
	if (m->request_seen)
		reply_result(reply, json_string("seen"));
	return m->request_seen;
}

void manager_call_begin(struct manager *m, const struct caller *caller, const char *method)
{
	m->calls_begun++;
}

void manager_call_end(struct manager *m)
{
	m->calls_ended++;
}

void manager_audit_refused(struct manager *m, uid_t uid, pid_t pid, const char *method, const char *subject,
			   const char *why)
{
	m->refusals++;
	free(m->last_refusal);
	m->last_refusal = xasprintf("%s %s %d: %s", method, subject ? subject : "-", pid == getpid(), why);
}

/* ---- events ---- */

static bool tell(struct manager *m, json_t *json, manager_event_fn fn, void *userdata)
{
	struct manager_event event = {
		.seq = json_get_uint(json, "seq", 0),
		.type = json_get_string(json, "type"),
		.json = json,
		.owned = m->owned,
		.owner = m->owner,
	};

	return fn(userdata, &event);
}

void fake_manager_emit(struct manager *m, const char *type, const char *subject)
{
	json_t **slot = &m->events[m->next_seq % ARRAY_SIZE(m->events)];

	json_decref(*slot);
	*slot = json_pack("{s:I,s:s,s:s}", "seq", (json_int_t)m->next_seq, "type", type, "subject",
			  subject);
	m->next_seq++;
	m->n_kept = MIN_OF(m->n_kept + 1, (unsigned)ARRAY_SIZE(m->events));
	if (m->on_event)
		(void)tell(m, *slot, m->on_event, m->on_event_userdata);
}

int manager_subscribe(struct manager *m, manager_event_fn fn, void *userdata)
{
	m->n_subscribers++;
	m->on_event = fn;
	m->on_event_userdata = userdata;
	return 7;
}

void manager_unsubscribe(struct manager *m, int id)
{
	m->n_subscribers--;
	if (m->n_subscribers == 0)
		m->on_event = NULL;
}

uint64_t manager_event_next(const struct manager *m)
{
	return m->next_seq;
}

uint64_t manager_events_replay(struct manager *m, uint64_t since, manager_event_fn fn,
			       void *userdata)
{
	uint64_t first = m->next_seq - m->n_kept, seq;

	for (seq = MAX_OF(first, since); seq < m->next_seq; seq++) {
		json_t *kept = m->events[seq % ARRAY_SIZE(m->events)];

		if (json_get_uint(kept, "seq", 0) == seq && !tell(m, kept, fn, userdata))
			break;
	}
	return first;
}

void fake_manager_done(struct manager *m)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(m->events); i++)
		json_decref(m->events[i]);
	free(m->last_request);
	free(m->last_refusal);
	memset(m, 0, sizeof(*m));
}

/* ---- methods ---- */

static void answer(struct manager *m, const char *method, struct reply *reply)
{
	m->last_method = method;
	reply_result(reply, json_pack("{s:s}", "method", method));
}

#define FAKE_METHOD(name, params)                                                                  \
	MANAGER_METHOD(name, params)                                                               \
	{                                                                                          \
		answer(m, #name, reply);                                                           \
	}                                                                                          \
	struct fake_swallow_semicolon

FAKE_METHOD(daemon_doctor, doctor_params);
FAKE_METHOD(daemon_status, none_params);
FAKE_METHOD(gpu_get, name_params);
FAKE_METHOD(gpu_plan, gpu_plan_params);
FAKE_METHOD(gpu_assert, gpu_some_params);
FAKE_METHOD(gpu_export, gpu_some_params);
FAKE_METHOD(gpu_drain, gpu_drain_params);
FAKE_METHOD(gpu_undrain, name_params);
FAKE_METHOD(vf_list, vf_list_params);
FAKE_METHOD(vf_get, name_params);
FAKE_METHOD(vf_assign, vf_assign_params);
FAKE_METHOD(vf_heal, vf_reset_params);
FAKE_METHOD(vf_reset, vf_reset_params);
FAKE_METHOD(vf_tune, vf_tune_params);
FAKE_METHOD(vm_list, vm_list_params);
FAKE_METHOD(vm_get, name_params);
FAKE_METHOD(vm_heal, name_params);
FAKE_METHOD(profile_list, none_params);
FAKE_METHOD(queue_list, none_params);
FAKE_METHOD(policy_show, none_params);
FAKE_METHOD(policy_check, policy_check_params);
FAKE_METHOD(policy_reload, none_params);
FAKE_METHOD(job_submit, job_submit_params);
FAKE_METHOD(job_upload, job_upload_params);
FAKE_METHOD(job_list, job_list_params);
FAKE_METHOD(job_get, name_params);
FAKE_METHOD(job_logs, job_logs_params);
FAKE_METHOD(job_file, job_file_params);
FAKE_METHOD(job_cancel, job_cancel_params);
FAKE_METHOD(job_extend, job_extend_params);
FAKE_METHOD(job_hold, name_params);
FAKE_METHOD(job_unhold, name_params);
FAKE_METHOD(audit_list, audit_list_params);
FAKE_METHOD(operation_list, operation_list_params);
FAKE_METHOD(operation_get, name_params);
FAKE_METHOD(operation_cancel, name_params);

MANAGER_METHOD(gpu_list, gpu_list_params)
{
	m->last_state = p->state;
	answer(m, "gpu_list", reply);
}

MANAGER_METHOD(gpu_apply, gpu_apply_params)
{
	m->last_wait_usec = p->wait_usec;
	answer(m, "gpu_apply", reply);
}

MANAGER_METHOD(vf_release, vf_release_params)
{
	m->last_epoch = p->if_epoch;
	answer(m, "vf_release", reply);
}
