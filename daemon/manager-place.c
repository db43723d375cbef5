/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pump's round of the scheduler: a snapshot of what waits and what is free, its decisions carried out as
 * leases, and for every job that waits the reason. */
#include "manager-state.h"
#include "runner/runner.h"
#include "scheduler/scheduler.h"

struct round {
	struct job **jobs;
	struct vm **vms;
	const struct policy_vm_rule **rules; /* per VM; NULL = closed to jobs */
	struct vf **vfs;
	struct sched_snapshot s;
	struct sched_job *sched_jobs;
	struct sched_vm *sched_vms;
	struct sched_vf *sched_vfs;
	struct sched_queue *sched_queues;
	struct sched_usage *usages;
	struct sched_holder *holders;
	struct job **holder_jobs;
	size_t *preempts;  /* of all queues */
	size_t **open_vms; /* per job */
};

static void round_free(struct round *r)
{
	for (size_t i = 0; r->open_vms && i < r->s.n_jobs; i++)
		free(r->open_vms[i]);
	free(r->open_vms);
	free(r->jobs);
	free(r->vms);
	free(r->rules);
	free(r->vfs);
	free(r->sched_jobs);
	free(r->sched_vms);
	free(r->sched_vfs);
	free(r->sched_queues);
	free(r->usages);
	free(r->holders);
	free(r->holder_jobs);
	free(r->preempts);
}

static bool is_active(const struct job *job)
{
	return job->state >= JOB_STARTING && job->state < JOB_ENDED;
}

static size_t queue_index(const struct manager *m, const char *name)
{
	for (size_t i = 0; i < m->policy->n_queues; i++)
		if (streq(m->policy->queues[i].name, name))
			return i;
	return SCHED_NONE;
}

static size_t vm_index(const struct round *r, const char *uuid)
{
	for (size_t i = 0; i < r->s.n_vms; i++)
		if (streq(r->vms[i]->uuid, uuid))
			return i;
	return SCHED_NONE;
}

static void fill_vms(struct manager *m, struct round *r)
{
	struct vm *vm, *tmp;

	HASH_ITER(hh, m->vms, vm, tmp) {
		size_t i = r->s.n_vms++;

		r->vms[i] = vm;
		r->rules[i] = policy_match_vm(m->policy, vm->facts->name);
		r->sched_vms[i] = (struct sched_vm){
			.name = vm->facts->name,
			.running = vm->facts->state == VM_RUNNING && !vm->pool.stopping,
			.can_start = pool_may_start(m, vm, r->rules[i]),
			.starting = vm->pool.starting,
			.saved = vm->facts->saved,
			.agent = vm->facts->agent == VM_AGENT_CONNECTED,
			.quarantined = vm->quarantine != NULL,
			.wedged = vm->wedged.reason != NULL,
			.slots = r->rules[i] ? r->rules[i]->slots : 0,
			.free_ports = vm->facts->free_ports,
			.no_memory = vm_lacks_memory(vm),
			.memory = !vm->memory.failure		? SCHED_MEMORY_SUFFICED
				  : vm->memory.stop_at > now_boottime() ? SCHED_MEMORY_LACKED
									: SCHED_MEMORY_UNSURE,
			.mode = r->rules[i] ? r->rules[i]->vf : VM_VF_PER_JOB,
		};
	}
}

static void fill_vfs(struct manager *m, struct round *r)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++) {
			struct vf *vf = gpu->vfs[i];
			const struct vf_facts *facts = vf_facts_of(vf);

			r->vfs[r->s.n_vfs] = vf;
			r->sched_vfs[r->s.n_vfs++] = (struct sched_vf){
				.name = vf->name,
				.gpu = gpu->address,
				.index = vf->index,
				/* One that is being bound or reset is not yet free. */
				.state = vf->state == VF_FREE && vf->handover ? VF_RESETTING : vf->state,
				.gpu_ready = gpu->state == GPU_READY,
				.gpu_draining = gpu_is_draining(gpu),
				.vram_bytes = facts ? facts->values[VF_ATTR_VRAM] : (struct known){ 0 },
				.profile = vf->profile,
				.kept = vf->lease.owner == LEASE_KEPT && !vf->handover,
				.uid = vf->lease.uid,
				.only_for = vf->state != VF_FREE && vf_wants_scrub(m, vf) ? (struct known){ 0 } :
											   vf_only_for(m, vf),
				.vm = vf->lease.owner != LEASE_NONE ? vm_index(r, vf->lease.vm_uuid) : SCHED_NONE,
			};
		}
}

static size_t vf_at(const struct round *r, const char *name)
{
	for (size_t i = 0; name && i < r->s.n_vfs; i++)
		if (streq(r->vfs[i]->name, name))
			return i;
	return SCHED_NONE;
}

/* What an active job holds.  One whose guest is silent has no end that could be confirmed, also when it is to end; one
 * that SIGKILL does not end may have none. */
static void fill_holder(struct manager *m, struct round *r, struct job *job)
{
	bool silent = job->state == JOB_UNREACHABLE || rejoin_is_due(job) || (job->runner && runner_is_silent(job->runner));
	bool stuck = job->runner && runner_is_stuck(job->runner);
	bool ending = job->cancel || job->state == JOB_STOPPING || job_is_preempted(job);
	struct sched_holder h = {
		.id = job->id,
		.queue = queue_index(m, job->queue),
		.priority = job->priority,
		.uid = job->uid,
		.vm = vm_index(r, job->vm_uuid),
		.vf = vf_at(r, job->vf_name),
		.assigned = job->vf_assigned,
		/* who works in a session has no checkpoint to go on from */
		.running = job->state == JOB_RUNNING && !ending && !silent && !job->document->session,
		.ran_usec = job_ran(job),
		.leaving = ending && !silent && !stuck,
	};

	if (h.leaving)
		h.preempted_for = job_preempted_for(job);
	if (h.vm != SCHED_NONE)
		r->sched_vms[h.vm].used++;
	if (h.vf != SCHED_NONE)
		r->sched_vfs[h.vf].has_job = true;
	r->holder_jobs[r->s.n_holders] = job;
	r->holders[r->s.n_holders++] = h;
}

/* Few, however many wait or have ended. */
static void fill_use(struct manager *m, struct round *r)
{
	struct job *job, *tmp;

	HASH_ITER(hh, m->jobs, job, tmp)
		if (is_active(job))
			fill_holder(m, r, job);
}

static void fill_preempts(struct manager *m, struct round *r, size_t queue)
{
	const struct policy_queue *from = &m->policy->queues[queue];
	size_t *list = r->preempts + queue * m->policy->n_queues, n = 0;
	const json_t *name;
	size_t i;

	json_array_foreach((json_t *)from->preempts, i, name)
		list[n++] = queue_index(m, json_string_value(name));
	r->sched_queues[queue].preempts = list;
	r->sched_queues[queue].n_preempts = n;
}

static void fill_queues(struct manager *m, struct round *r)
{
	struct job *job, *tmp;

	for (size_t i = 0; i < m->policy->n_queues; i++) {
		r->sched_queues[i] = (struct sched_queue){
			.name = m->policy->queues[i].name,
			.limit_running = m->policy->queues[i].limit_running,
			.limit_running_per_user = m->policy->queues[i].limit_running_per_user,
			.priority = m->policy->queues[i].priority,
			.min_runtime_usec = m->policy->queues[i].min_runtime_usec,
		};
		fill_preempts(m, r, i);
	}
	r->s.n_queues = m->policy->n_queues;
	HASH_ITER(hh, m->jobs, job, tmp) {
		size_t queue = queue_index(m, job->queue), i = 0;

		if (!is_active(job) || queue == SCHED_NONE)
			continue;
		r->sched_queues[queue].running++;
		while (i < r->s.n_usages && (r->usages[i].queue != queue || r->usages[i].uid != job->uid))
			i++;
		if (i == r->s.n_usages)
			r->usages[r->s.n_usages++] = (struct sched_usage){ .queue = queue, .uid = job->uid };
		r->usages[i].running++;
	}
}

/* The VM in which the checkpoint of a job that was preempted lies; NULL = it may go anywhere.  What came to nothing
 * since then has left it there. */
static const struct vm *vm_of_checkpoint(struct manager *m, const struct job *job)
{
	const char *preempted = job_result_to_string(JOB_PREEMPTED);

	if (!job->document->checkpoint)
		return NULL;
	for (size_t i = json_array_size(job->attempts); i > 0; i--) {
		const json_t *attempt = json_array_get(job->attempts, i - 1);

		if (streq(strempty(json_get_string(attempt, "result")), preempted))
			return vm_find_uuid(m, json_get_string(attempt, "vm_uuid"));
		if (!json_get_bool(attempt, "retry", false))
			break; /* it ran, and what it left is another's */
	}
	return NULL;
}

static bool vm_open_to(struct manager *m, const struct round *r, size_t i, const struct job *job,
		       const struct policy_queue *queue)
{
	const struct policy_vm_rule *rule = r->rules[i];
	const struct vm *only = vm_of_checkpoint(m, job);
	const char *name = r->vms[i]->facts->name;
	bool named = json_array_size(queue->vms) == 0;

	/* Nobody is let past the rule, operators neither: what it does not open stays closed. */
	if (!rule_is_open_to(rule, job))
		return false;
	if (only && only != r->vms[i])
		return false;
	if (job->document->vm && !streq(job->document->vm, name) &&
	    !streq(job->document->vm, r->vms[i]->uuid))
		return false;
	if (job->document->vms && !glob_match(job->document->vms, name))
		return false;
	for (size_t j = 0; !named && j < json_array_size(queue->vms); j++)
		named = glob_match(strempty(json_string_value(json_array_get(queue->vms, j))), name);
	return named;
}

static void fill_job(struct manager *m, struct round *r, struct job *job, size_t queue)
{
	const struct policy_queue *q = &m->policy->queues[queue];
	size_t i = r->s.n_jobs++, n = 0;
	size_t *open = calloc(r->s.n_vms + 1, sizeof(*open));

	for (size_t v = 0; open && v < r->s.n_vms; v++)
		if (vm_open_to(m, r, v, job, q))
			open[n++] = v;
	r->jobs[i] = job;
	r->open_vms[i] = open;
	r->sched_jobs[i] = (struct sched_job){
		.id = job->id,
		.queue = queue,
		.uid = job->uid,
		.queue_priority = q->priority,
		.priority = job->priority,
		.submitted_at = job->submitted_at,
		.vfs = job->document->vfs,
		.vram_bytes = job->document->vram.kind == AMOUNT_BYTES ? job->document->vram.value : 0,
		.profile = job->document->profile,
		.vms = open,
		.n_vms = n,
	};
}

static int round_fill(struct manager *m, struct round *r)
{
	size_t n_jobs = 1, n_vms = HASH_COUNT(m->vms) + 1, n_vfs = 1;
	struct gpu *gpu, *tmp_gpu;
	struct job *job, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp_gpu)
		n_vfs += gpu->n_vfs;
	HASH_ITER(hh, m->jobs, job, tmp)
		n_jobs += job->state == JOB_QUEUED || is_active(job);
	r->jobs = calloc(n_jobs, sizeof(*r->jobs));
	r->open_vms = calloc(n_jobs, sizeof(*r->open_vms));
	r->sched_jobs = calloc(n_jobs, sizeof(*r->sched_jobs));
	r->usages = calloc(n_jobs, sizeof(*r->usages));
	r->vms = calloc(n_vms, sizeof(*r->vms));
	r->rules = calloc(n_vms, sizeof(*r->rules));
	r->sched_vms = calloc(n_vms, sizeof(*r->sched_vms));
	r->vfs = calloc(n_vfs, sizeof(*r->vfs));
	r->sched_vfs = calloc(n_vfs, sizeof(*r->sched_vfs));
	r->sched_queues = calloc(m->policy->n_queues + 1, sizeof(*r->sched_queues));
	r->holders = calloc(n_jobs, sizeof(*r->holders));
	r->holder_jobs = calloc(n_jobs, sizeof(*r->holder_jobs));
	r->preempts = calloc(m->policy->n_queues * m->policy->n_queues + 1, sizeof(*r->preempts));
	if (!r->jobs || !r->open_vms || !r->sched_jobs || !r->usages || !r->vms || !r->rules ||
	    !r->sched_vms || !r->vfs || !r->sched_vfs || !r->sched_queues || !r->holders || !r->holder_jobs ||
	    !r->preempts)
		return -ENOMEM;

	fill_vms(m, r);
	fill_vfs(m, r);
	fill_use(m, r);
	fill_queues(m, r);
	HASH_ITER(hh, m->jobs, job, tmp) {
		size_t queue = queue_index(m, job->queue);

		if (job->state != JOB_QUEUED || job->cancel)
			continue;
		if (queue == SCHED_NONE) {
			if (!streq_ptr(job->reason, "its queue is no longer in the policy"))
				job_set_state(m, job, JOB_QUEUED, "its queue is no longer in the policy");
			continue;
		}
		fill_job(m, r, job, queue);
	}
	r->s.jobs = r->sched_jobs;
	r->s.vms = r->sched_vms;
	r->s.vfs = r->sched_vfs;
	r->s.queues = r->sched_queues;
	r->s.usages = r->usages;
	r->s.holders = r->holders;
	return 0;
}

/* ---- carrying it out ---- */

static void placed_committed(struct manager *m, void *userdata)
{
	struct job *job = job_find(m, userdata);

	if (job && job->state == JOB_STARTING)
		job_run(m, job);
	free(userdata);
}

void job_unplace(struct job *job)
{
	job->vm_uuid[0] = '\0';
	json_array_remove(job->attempts, json_array_size(job->attempts) - 1);
	job->attempt--;
}

static void placed_not_committed(struct manager *m, void *userdata)
{
	struct job *job = job_find(m, userdata);
	struct vf *vf = job ? vf_find(m, job->vf_name) : NULL;

	if (vf && vf->lease.owner == LEASE_JOB && vf->lease.job == job->id && vf->state == VF_ATTACHED) {
		vf->lease.owner = LEASE_KEPT;
	} else if (vf && vf->lease.owner == LEASE_JOB && vf->lease.job == job->id) {
		vf->state = VF_FREE;
		vf_lease_end(m, vf);
	}
	if (job && job->state == JOB_STARTING) {
		job->state = JOB_QUEUED;
		job_unplace(job);
	}
	free(userdata);
}

static void place(struct manager *m, struct job *job, struct vm *vm, struct vf *vf, bool assigned, const char *run_as)
{
	json_t *attempt = json_pack("{s:I,s:s,s:s,s:s?,s:n,s:n,s:n,s:n}", "attempt", (json_int_t)job->attempt + 1,
				    "vm", vm->facts->name, "vm_uuid", vm->uuid, "vf", vf ? vf->name : NULL,
				    "result", "reason", "exit_code", "start_sent_at");

	/* Whoever follows it later has its rule no more, maybe. */
	json_put_string(attempt, "run_as", run_as);
	json_put_time(attempt, "placed_at", now_realtime());
	json_array_append_new(job->attempts, attempt);
	job->attempt++;
	snprintf(job->vm_uuid, sizeof(job->vm_uuid), "%s", vm->uuid);
	(void)free_and_strdup(&job->vm_name, vm->facts->name);
	(void)free_and_strdup(&job->vf_name, vf ? vf->name : NULL);
	job->vf_assigned = assigned;
	if (vf && !assigned && vf->lease.owner == LEASE_KEPT) {
		vf_lease_pass(m, vf, LEASE_JOB, job->id);
	} else if (vf && !assigned) {
		vf_lease(m, vf, LEASE_JOB, vm, job->id, job->uid, true, false);
		vf_set_state(m, vf, VF_LEASED, NULL);
	}
	if (vf && !assigned)
		json_object_set_new(attempt, "epoch", json_integer((json_int_t)vf->lease.epoch));
	job_set_state(m, job, JOB_STARTING, NULL);
	outbox_add(m, placed_committed, placed_not_committed, strdup(job->name));
}

/* A VM that is not started for a job because it would not have its VF then; else NULL. */
static const char *saved_text(const struct round *r, size_t vm)
{
	return r->sched_vms[vm].saved && r->sched_vms[vm].mode == VM_VF_ASSIGNED ? HV_SAVED_TEXT : NULL;
}

/* Why nobody makes way for it; NULL = that is not for the memory of a VM.  Returns new. */
static char *lacking_text(const struct round *r, const struct sched_decision *d)
{
	const struct vm *vm = d->lacking_vm == SCHED_NONE ? NULL : r->vms[d->lacking_vm];
	char at[RFC3339_STRLEN];

	return vm ? xasprintf("; no job makes way for it in VM %s before %s (gpuvf heal %s lets one now): %s", vm->facts->name,
			      rfc3339_format(expiry_wall(vm->memory.stop_at), at), vm->facts->name, vm->memory.failure) :
		    NULL;
}

/* Why a job waits; a VM says itself why it takes none, or why it could not be started.  Returns new. */
static char *waiting_text(struct manager *m, const struct round *r, const struct sched_decision *d)
{
	_cleanup_free_ char *processes = d->wait == SCHED_WAIT_VF_BUSY ? processes_text(m, NULL) : NULL;
	const struct sched_job *job = &r->sched_jobs[d->job];
	_cleanup_free_ char *reuse =
		d->wait == SCHED_WAIT_VF_BUSY ? reuse_text(m, NULL, r->jobs[d->job]->uid, NULL) : NULL;
	const struct vm *only = vm_of_checkpoint(m, r->jobs[d->job]);
	_cleanup_free_ char *lacking = lacking_text(r, d);
	const char *why = processes ? processes : reuse;

	for (size_t i = 0; i < job->n_vms && !why; i++) {
		const struct vm *vm = r->vms[job->vms[i]];

		if (d->wait == SCHED_WAIT_VM_WEDGED)
			why = vm->wedged.reason;
		else if (d->wait == SCHED_WAIT_VM_QUARANTINED)
			why = vm->quarantine;
		else if (d->wait == SCHED_WAIT_NO_MEMORY)
			why = vm->memory.failure;
		else if (d->wait == SCHED_WAIT_VM_OFF || d->wait == SCHED_WAIT_NO_AGENT)
			why = vm->quarantine	 ? vm->quarantine
			      : vm->pool.failure ? vm->pool.failure
						 : saved_text(r, job->vms[i]);
	}
	if (only && job->n_vms == 0)
		return xasprintf("its checkpoint is in VM %s, which is not open to it any more; open it in the policy, or "
				 "cancel the job and submit it anew",
				 only->facts->name);
	return xasprintf("%s%s%s%s%s%s%s", only ? "its checkpoint is in VM " : "", only ? only->facts->name : "",
			 only ? ": " : "", strempty(d->text), why ? ": " : "", strempty(why), strempty(lacking));
}

/* ---- VFs that were left in their VM for the next job ---- */

static void kept_back(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	if (error && vf->state == VF_ATTACHED && !streq_ptr(error->reason, "no_libvirt"))
		vf_lease_pass(m, vf, LEASE_VM, 0); /* the guest keeps it: until somebody helps */
	manager_pump(m);
}

/* No job that waits takes it: it goes back through the gate. */
static void give_kept_back(struct manager *m)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (gpu->vfs[i]->lease.owner == LEASE_KEPT && gpu->vfs[i]->state == VF_ATTACHED &&
			    !gpu->vfs[i]->handover && !barrier_holds(m, gpu->vfs[i]->lease.vm_uuid))
				handover_detach(m, gpu->vfs[i], kept_back, NULL);
}

bool job_place(struct manager *m)
{
	_cleanup_(sched_result_freep) struct sched_result *result = NULL;
	struct round r = { 0 };
	bool placed = false;

	if (m->degraded || !m->hypervisor_connected)
		return false;
	if (!m->jobs || round_fill(m, &r) < 0 || r.s.n_jobs == 0 || sched_decide(&r.s, &result) < 0) {
		round_free(&r);
		give_kept_back(m);
		return false;
	}
	for (size_t i = 0; i < result->n_decisions; i++) {
		const struct sched_decision *d = &result->decisions[i];
		struct job *job = r.jobs[d->job];

		if (d->wait != SCHED_PLACED) {
			_cleanup_free_ char *text = waiting_text(m, &r, d);

			if (!streq_ptr(job->reason, text))
				job_set_state(m, job, JOB_QUEUED, text);
			if (d->wait == SCHED_WAIT_VM_START)
				pool_start(m, r.vms[d->vm]);
			if (d->victim != SCHED_NONE)
				job_preempt(m, r.holder_jobs[d->victim], job);
			if (d->unsure_vm != SCHED_NONE)
				vm_stopped_for(r.vms[d->unsure_vm]);
			continue;
		}
		place(m, job, r.vms[d->vm], d->vf == SCHED_NONE ? NULL : r.vfs[d->vf],
		      r.sched_vms[d->vm].mode == VM_VF_ASSIGNED, r.rules[d->vm]->run_as);
		placed = true;
	}
	preempt_again(m, result->again_usec);
	round_free(&r);
	give_kept_back(m);
	return placed;
}
