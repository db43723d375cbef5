/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the audit trail compares objects by: their compact views.  Every setter ends in the object's store function,
 * which comes here; a view that is not the one before is a change.  States that are only passed through are none.
 * Nothing that a job keeps to itself (command, environment, output, reasons made of it) is part of a view. */
#include "manager-state.h"

/* ---- VFs ---- */

static json_t *vf_compact(const struct vf *vf)
{
	const struct lease *lease = &vf->lease;
	json_t *view = json_pack("{s:s}", "state", vf_state_to_string(vf->state));

	if (lease->owner != LEASE_NONE) {
		json_put_string(view, "owner", lease_owner_to_string(lease->owner));
		json_put_uint(view, "epoch", lease->epoch);
		json_put_string(view, "vm", lease->vm_name);
		json_put_string(view, "vm_uuid", lease->vm_uuid);
		if (lease->live)
			json_put_bool(view, "live", true);
		if (lease->config || lease->instead) /* the latter: on its way to another address, and back in a moment */
			json_put_bool(view, "config", true);
		if (lease->expires)
			json_put_time(view, "expires", lease->expires_said);
	}
	if (vf_is_in_process(vf))
		json_put(view, "process", process_view(vf));
	if (lease->owner == LEASE_JOB)
		json_put_uint(view, "job", lease->job);
	if (vf->state == VF_QUARANTINED)
		json_put_string(view, "reason", vf->reason);
	return view;
}

/* Half of a change is done, or the next step follows by itself. */
static bool vf_is_passing(const struct vf *vf)
{
	bool held = vf->lease.owner != LEASE_NONE;

	switch (vf->state) {
	case VF_ATTACHING:
	case VF_DETACHING:
	case VF_RESETTING:
		return true;
	case VF_FREE:
	case VF_GONE:
		return held;
	case VF_LEASED:
	case VF_ATTACHED:
	case VF_RESERVED:
	case VF_HELD:
		return !held;
	case VF_QUARANTINED:
	case VF_STATE_MAX:
		break;
	}
	return false;
}

static const char *vf_word(const struct vf *vf)
{
	const char *begun_by = handover_word(vf);

	if (vf->state == VF_QUARANTINED)
		return "daemon:gate";
	if (vf->state == VF_GONE)
		return "daemon:host";
	if (vf->lease.owner == LEASE_FOREIGN)
		return "daemon:adopt";
	if (vf->lease.owner == LEASE_POLICY ||
	    streq_ptr(json_get_string(vf->audited, "owner"), lease_owner_to_string(LEASE_POLICY)))
		return "daemon:policy";
	if (vf->lease.owner == LEASE_JOB || vf->lease.owner == LEASE_KEPT ||
	    streq_ptr(json_get_string(vf->audited, "owner"), lease_owner_to_string(LEASE_JOB)))
		return "daemon:job";
	return begun_by ? begun_by : "daemon:vm";
}

static void vf_undo(struct manager *m, const char *subject, const json_t *before)
{
	struct vf *vf = vf_find(m, subject);

	if (!vf)
		return;
	json_decref(vf->audited);
	vf->audited = json_incref((json_t *)before);
}

/* One that was on its way when a daemon ended is in the trail as it was before. */
static const char *state_in_trail(enum vf_state state)
{
	if (state == VF_ATTACHING)
		return vf_state_to_string(VF_LEASED);
	if (state == VF_DETACHING || state == VF_RESETTING)
		return vf_state_to_string(VF_ATTACHED);
	return vf_state_to_string(state);
}

void audit_vf_known(struct vf *vf)
{
	json_decref(vf->audited);
	vf->audited = vf_compact(vf);
	json_put_string(vf->audited, "state", state_in_trail(vf->state));
}

/* As the trail has a VF by its row; NULL when the row says nothing.  Returns new. */
static json_t *row_compact(struct manager *m, const json_t *row)
{
	struct vf *vf = row ? calloc(1, sizeof(*vf)) : NULL;
	json_t *view = NULL;

	if (vf && vf_lease_from_row(m, vf, row) == 0)
		view = json_incref(vf->audited);
	vf_free(vf);
	return view;
}

void audit_lease_row(struct manager *m, const char *name, const json_t *was, const json_t *row)
{
	json_t *before = row_compact(m, was), *view = row ? row_compact(m, row) : NULL;

	if (!view)
		view = json_pack("{s:s}", "state", vf_state_to_string(VF_FREE));
	if (before && !json_equal(before, view) && !json_get_bool(was, "gone", false)) {
		audit_write(m, &(struct audit_change){ .subject = name, .before = before, .after = view,
						       .word = "daemon:recover" });
		return;
	}
	json_decref(before);
	json_decref(view);
}

/* The VF is somebody else's, as was found: also while an operation is about it, that is nobody's asking. */
static bool is_found(const struct vf *vf)
{
	return vf->lease.owner == LEASE_FOREIGN &&
	       !streq_ptr(json_get_string(vf->audited, "owner"), lease_owner_to_string(LEASE_FOREIGN));
}

/* Its VM has it, or has it on a side on which it had it not. */
static bool has_gained(const json_t *before, const struct vf *vf)
{
	bool had = !streq_ptr(json_get_string(before, "state"), vf_state_to_string(VF_LEASED));

	return (vf->state == VF_ATTACHED || vf->state == VF_RESERVED) &&
	       (!had || (vf->lease.live && !json_get_bool(before, "live", false)) ||
		(vf->lease.config && !json_get_bool(before, "config", false)));
}

/* Who brings it about: whoever began what is under way with the VF.  That it is gone, or somebody else's, nobody did. */
static struct operation *vf_operation(struct manager *m, const struct vf *vf)
{
	if (vf->state == VF_GONE || is_found(vf))
		return NULL;
	if (vf->handover)
		return operation_find(m, handover_operation(vf));
	return has_gained(vf->audited, vf) ? audit_inherited(m, vf, "vf.assign") : NULL;
}

/* A VF that vanished from under this daemon is gone in the trail already, without a word of the lease that waits. */
bool audit_lost_over(struct manager *m, const char *name, const json_t *row)
{
	bool told = json_get_bool(row, "gone", false);
	json_t *before = row_compact(m, row);

	if (before && told)
		json_put_string(before, "state", vf_state_to_string(VF_GONE));
	audit_write(m, &(struct audit_change){ .subject = name, .before = before, .word = "daemon:follow",
					       .after = json_pack("{s:s}", "state", vf_state_to_string(VF_GONE)) });
	return !told;
}

/* The VF itself stays what it is. */
void audit_displaced_over(struct manager *m, const struct vf *vf)
{
	audit_write(m, &(struct audit_change){ .subject = vf->name, .before = row_compact(m, vf->displaced),
					       .word = "daemon:follow", .after = vf_compact(vf) });
}

void audit_vf(struct manager *m, struct vf *vf)
{
	_cleanup_acting_ struct audit_acting nobody = is_found(vf) ? audit_acts(m, NULL) : audit_acts_on(m);
	const char *word = vf_word(vf);
	struct operation *by;
	json_t *view, *before;

	if (vf_is_passing(vf))
		return;
	view = vf_compact(vf);
	before = vf->audited ? json_incref(vf->audited) : json_pack("{s:s}", "state", vf_state_to_string(VF_FREE));
	if (json_equal(view, before) || (vf->state == VF_GONE && streq_ptr(json_get_string(before, "state"), "free"))) {
		/* VFs that nobody had come and go with the layout of their GPU. */
		json_decref(view);
		json_decref(before);
		return;
	}
	by = vf_operation(m, vf);
	json_decref(vf->audited);
	vf->audited = json_incref(view);
	audit_write(m, &(struct audit_change){ .subject = vf->name, .before = before, .after = view, .by = by,
					       .word = word, .undo = vf_undo });
}

/* ---- GPUs ---- */

/* Equal VFs as one: [{"count": 4, "profile": "quarter", "vram": …}].  Returns new. */
static json_t *layout_compact(const struct layout *layout)
{
	_cleanup_json_ json_t *whole = layout_to_json(layout);
	json_t *compact = json_array(), *vf, *last = NULL, *value;
	const char *name;
	size_t i;
	void *tmp;

	json_array_foreach(json_object_get(whole, "vfs"), i, vf) {
		json_int_t count = last ? json_integer_value(json_object_get(last, "count")) : 0;

		json_object_foreach_safe(vf, tmp, name, value)
			if (json_is_null(value))
				json_object_del(vf, name);
		json_put_uint(vf, "count", (uint64_t)count);
		if (last && json_equal(last, vf)) {
			json_put_uint(last, "count", (uint64_t)count + 1);
			continue;
		}
		json_put_uint(vf, "count", 1);
		json_array_append(compact, vf);
		last = vf;
	}
	return compact;
}

static json_t *gpu_compact(struct manager *m, const struct gpu *gpu)
{
	json_t *view = json_pack("{s:s,s:s,s:s?}", "state", gpu_state_to_string(gpu->state), "address",
				 PCI_ADDRESS_STR(&gpu->address), "layout_source", gpu_layout_source(m, gpu));

	json_put_uint_known(view, "num_vfs", gpu->facts != NULL, gpu->facts ? gpu->facts->num_vfs : 0);
	json_put_bool(view, "drain", gpu->drain.asked);
	json_put(view, "manual_layout", gpu->manual ? layout_compact(gpu->manual) : json_null());
	if (gpu->state == GPU_WEDGED)
		json_put_string(view, "reason", gpu->reason);
	return view;
}

static void gpu_undo(struct manager *m, const char *subject, const json_t *before)
{
	struct gpu *gpu = gpu_find(m, subject);

	if (!gpu)
		return;
	json_decref(gpu->audited);
	gpu->audited = json_incref((json_t *)before);
}

void audit_gpu(struct manager *m, struct gpu *gpu, const char *word)
{
	json_t *view, *before = gpu->audited;

	if (gpu->state == GPU_RECUTTING || (!before && !gpu->facts))
		return;
	view = gpu_compact(m, gpu);
	if (!before || json_equal(view, before)) {
		/* How it was before this daemon looked, nobody knows. */
		json_decref(before);
		gpu->audited = view;
		return;
	}
	gpu->audited = json_incref(view);
	audit_write(m, &(struct audit_change){ .subject = gpu->name, .before = before, .after = view, .word = word,
					       .by = gpu->state == GPU_ABSENT ? NULL : apply_operation(gpu),
					       .undo = gpu_undo });
}

/* ---- jobs ---- */

static json_t *job_compact(const struct job *job, const struct job_audited *as)
{
	json_t *view = json_pack("{s:s,s:I,s:s,s:s,s:I}", "state", job_state_to_string(as->state), "attempt",
				 (json_int_t)as->attempt, "user", job->user, "queue", job->queue, "priority",
				 (json_int_t)job->priority);

	if (as->state == JOB_RUNNING && as->attempt == job->attempt) {
		json_put_string(view, "vm", job->vm_name);
		json_put_string(view, "vf", job->vf_name);
	}
	if (as->state == JOB_ENDED)
		json_put_string(view, "result", job_result_to_string(job->result));
	if (as->cancel)
		json_put_bool(view, "cancel", true);
	if (job->document->session)
		json_put_uint(view, "time_limit_seconds", as->time_limit / USEC_PER_SEC);
	if (as->preempted_for > 0)
		json_put_uint(view, "preempted_for", as->preempted_for);
	return view;
}

static void job_undo(struct manager *m, const char *subject, const json_t *before)
{
	struct job *job = job_find(m, subject);
	int state = job_state_from_string(strempty(json_get_string(before, "state")));

	if (!job)
		return;
	job->audited = (struct job_audited){ 0 };
	if (state >= 0)
		job->audited = (struct job_audited){ true, json_get_bool(before, "cancel", false),
						     (enum job_state)state,
						     (unsigned)json_get_uint(before, "attempt", 0),
						     json_get_uint(before, "time_limit_seconds", 0) * USEC_PER_SEC,
						     json_get_uint(before, "preempted_for", 0) };
}

void audit_job_known(struct job *job)
{
	struct job_audited a = { true, job->cancel, job->state, job->attempt, job->time_limit, job_preempted_for(job) };

	/* One that was on its way when a daemon ended is in the trail as it was before. */
	if (job->state == JOB_STARTING || job->state == JOB_WAITING_GUEST) {
		a.state = JOB_QUEUED;
		a.attempt -= a.attempt > 0;
	} else if (job->state == JOB_UNREACHABLE || job->state == JOB_STOPPING) {
		a.state = JOB_RUNNING;
	}
	job->audited = a;
}

static bool was_extended(const struct job *job)
{
	return job->document->session && job->audited.known && job->time_limit != job->audited.time_limit;
}

static bool job_is_passing(const struct job *job)
{
	switch (job->state) {
	case JOB_STARTING:
	case JOB_WAITING_GUEST:
	case JOB_UNREACHABLE:
	case JOB_STOPPING:
		return job->cancel == job->audited.cancel && !was_extended(job);
	case JOB_HELD:
	case JOB_QUEUED:
	case JOB_RUNNING:
	case JOB_ENDED:
	case JOB_STATE_MAX:
		break;
	}
	return false;
}

void audit_job(struct manager *m, struct job *job)
{
	const struct job_audited *a = &job->audited;
	uint64_t preempted_for = job_preempted_for(job);
	bool is_new = preempted_for > 0 && a->preempted_for != preempted_for;
	json_t *before;

	if (job_is_passing(job) || (a->known && a->state == job->state && a->attempt == job->attempt &&
				    a->cancel == job->cancel && a->preempted_for == preempted_for && !was_extended(job)))
		return;
	before = a->known ? job_compact(job, a) : NULL;
	job->audited = (struct job_audited){ true, job->cancel, job->state, job->attempt, job->time_limit,
					     preempted_for };
	audit_write(m, &(struct audit_change){ .subject = job->name, .before = before,
					       .after = job_compact(job, &job->audited),
					       .word = is_new ? "daemon:preempt" : "daemon:job",
					       .undo = job_undo });
}

/* ---- what has no row of its own, or ends ---- */

void audit_vm(struct manager *m, const struct vm *vm, const char *quarantine_before, const char *word)
{
	const char *quarantined = vf_state_to_string(VF_QUARANTINED);

	audit_write(m, &(struct audit_change){
			       .subject = vm->facts->name,
			       .before = json_pack("{s:s,s:s?}", "state", quarantine_before ? quarantined : "open", "reason",
						   quarantine_before),
			       .after = json_pack("{s:s,s:s?}", "state", vm->quarantine ? quarantined : "open", "reason",
						  vm->quarantine),
			       .word = word,
		       });
}

void audit_policy(struct manager *m, const char *before)
{
	audit_write(m, &(struct audit_change){
			       .subject = "policy",
			       .before = json_pack("{s:s}", "revision", before),
			       .after = json_pack("{s:s}", "revision", m->policy->revision),
		       });
}

/* The values that it sets, where no view of an object has them. */
json_t *audit_operation_view(const struct operation *op)
{
	json_t *view = json_pack("{s:s}", "state", operation_state_to_string(op->state));
	json_t *values = json_object_get(op->input, "values");

	if (values)
		json_object_set(view, "values", values);
	return view;
}

/* One that is done shows by what it changed, unless no object looks different after it (a reset, a tuning). */
void audit_operation(struct manager *m, const struct operation *op)
{
	enum audit_outcome outcome = op->state == OPERATION_FAILED     ? AUDIT_FAILED
				     : op->state == OPERATION_CANCELLED ? AUDIT_CANCELLED
									: AUDIT_CHANGED;

	if (op->state == OPERATION_DONE && op->shows)
		return;
	audit_write(m, &(struct audit_change){
			       .subject = op->subject,
			       .operation = op->name,
			       .outcome = outcome,
			       .before = json_pack("{s:s}", "state", operation_state_to_string(OPERATION_RUNNING)),
			       .after = audit_operation_view(op),
			       .error = op->error.message,
		       });
}

void audit_operation_cancel(struct manager *m, const struct operation *op)
{
	const char *state = operation_state_to_string(op->state);

	audit_write(m, &(struct audit_change){
			       .subject = op->subject,
			       .operation = op->name,
			       .before = json_pack("{s:s}", "state", state),
			       .after = json_pack("{s:s,s:b}", "state", state, "cancel", 1),
		       });
}
