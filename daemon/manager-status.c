/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daemon.status: how the daemon itself is, and what is wrong. */
#include "manager-state.h"

static json_t *troubles(struct manager *m)
{
	json_t *list = json_array();
	struct gpu *gpu, *tmp;
	struct vm *vm, *tmp_vm;

	HASH_ITER(hh, m->gpus, gpu, tmp) {
		_cleanup_free_ char *given = pf_text(m, gpu);

		if (given)
			json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "subject", gpu->name, "what",
							      "passed-through", "reason", given));
		if (gpu->state == GPU_WEDGED)
			json_array_append_new(list, json_pack("{s:s,s:s,s:s?}", "subject", gpu->name, "what",
							      "wedged", "reason", gpu->reason));
		if (gpu->drift)
			json_array_append_new(list, json_pack("{s:s,s:s,s:s?}", "subject", gpu->name, "what",
							      "drift", "reason", gpu->drift));
		for (size_t i = 0; i < gpu->n_vfs; i++) {
			_cleanup_free_ char *unbound = bind_text(gpu->vfs[i]), *kept = kept_text(m, gpu->vfs[i]);

			if (kept)
				json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "subject", gpu->vfs[i]->name, "what",
								      "not-released", "reason", kept));
			if (unbound || gpu->vfs[i]->state == VF_QUARANTINED || vf_is_in_process(gpu->vfs[i]))
				json_array_append_new(
					list, json_pack("{s:s,s:s,s:s?}", "subject", gpu->vfs[i]->name, "what",
							unbound ? "off-vfio" : vf_state_to_string(gpu->vfs[i]->state),
							"reason", unbound ? unbound : gpu->vfs[i]->reason));
		}
	}
	HASH_ITER(hh, m->vms, vm, tmp_vm) {
		_cleanup_free_ char *missing = vm_missing_text(m, vm), *taken = vm_taken_text(m, vm);

		if (vm->quarantine)
			json_array_append_new(list, json_pack("{s:s,s:s,s:s?}", "subject", vm->facts->name, "what",
							      "quarantined", "reason", vm->quarantine));
		if (missing)
			json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "subject", vm->facts->name, "what",
							      "vf-missing", "reason", missing));
		if (taken)
			json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "subject", vm->facts->name, "what",
							      "vf-taken", "reason", taken));
	}
	wedged_troubles(m, list);
	aside_view(m, list);
	return list;
}

static json_t *status_view(struct manager *m, enum role role)
{
	size_t vfs = 0, free_vfs = 0, queued = 0, running = 0;
	struct gpu *gpu, *tmp;
	struct job *job, *tmp_job;
	json_t *json;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++) {
			vfs++;
			free_vfs += gpu->vfs[i]->state == VF_FREE;
		}
	HASH_ITER(hh, m->jobs, job, tmp_job) {
		queued += job->state == JOB_QUEUED || job->state == JOB_HELD;
		running += job->state >= JOB_STARTING && job->state < JOB_ENDED;
	}
	json = json_pack("{s:s,s:s,s:I,s:b,s:s,s:s?,s:b,s:s?,s:o}", "version", PACKAGE_VERSION, "api_version",
			 API_VERSION, "pid", (json_int_t)getpid(), "simulated", (int)m->simulated,
			 "policy_revision", m->policy->revision, "degraded", m->degraded,
			 "hypervisor_connected", (int)m->hypervisor_connected, "hypervisor_reason",
			 m->hypervisor_reason ? m->hypervisor_reason : m->hypervisor_wedged.reason, "troubles", troubles(m));
	json_put_time(json, "started_at", m->started_at);
	json_put_bool(json, "policy_refused", m->policy_errors != NULL);
	json_put(json, "sleep_lock", sleep_view(m));
	json_put(json, "counts",
		 json_pack("{s:I,s:I,s:I,s:I,s:I}", "gpus", (json_int_t)HASH_COUNT(m->gpus), "vfs",
			   (json_int_t)vfs, "free_vfs", (json_int_t)free_vfs, "queued", (json_int_t)queued,
			   "running", (json_int_t)running));
	json_put_string(json, "role", role_to_string(role));
	return json;
}

/* One whose answer waits for what it may have seen to be durable. */
struct status_wait {
	struct reply *reply;
	json_t *view; /* NULL: it is made when it is given */
	enum role role;
};

static void status_now(struct manager *m, void *userdata)
{
	_cleanup_free_ struct status_wait *w = userdata;

	reply_result(w->reply, w->view ? w->view : status_view(m, w->role));
}

/* Just then it is asked for. What it had seen is being undone, so it looks once more after that. */
static void status_not_stored(struct manager *m, void *userdata)
{
	struct status_wait *w = userdata;

	if (m->ending) {
		reply_refuse(w->reply, RPC_DEGRADED, "the daemon is ending");
		json_decref(w->view);
		free(w);
		return;
	}
	json_decref(w->view);
	w->view = NULL;
	outbox_add(m, status_now, status_now, w);
}

void manager_daemon_status(struct manager *m, const struct caller *caller,
			   const struct none_params *p, struct reply *reply)
{
	json_t *view = status_view(m, caller->role);
	struct status_wait *w = outbox_is_empty(m) ? NULL : calloc(1, sizeof(*w));

	survey_asked(m); /* of what it finds the next one tells: a libvirt that is slow holds up no status */
	if (!w) {
		reply_result(reply, view);
		return;
	}
	*w = (struct status_wait){ .reply = reply, .view = view, .role = caller->role };
	outbox_add(m, status_now, status_not_stored, w);
}
