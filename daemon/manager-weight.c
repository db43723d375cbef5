/* SPDX-License-Identifier: GPL-2.0-or-later */
/* quantum_by_weight: VFs of one GPU on which jobs run share its time as the weights of their queues say.
 *
 *     quantum of a VF = base × weight × n ÷ (sum of the weights)        rounded to whole ms, at least 1 ms
 *
 * over the n VFs of that GPU on which jobs run; base is what the wanted layout gives the VF, or 20 ms when that is
 * nothing or no limit.  A queue of average weight gets the base, and a job that runs alone, too.  Looked at in every
 * round of the pump, so it follows the start and the end of jobs; afterwards the VF has what it had before.  What
 * was written so is expected, and no drift. */
#include "manager-state.h"

#define QUANTUM_BASE_MS 20     /* where a layout names none: long enough that switching costs little */
#define QUANTUM_MAX_MS 100000 /* GuC clamps above it (reference 2.4) */

static bool runs(const struct job *job)
{
	return job->vf_name && job->state >= JOB_WAITING_GUEST && job->state < JOB_ENDED;
}

/* The weight of the queue whose job runs on the VF; 0 = no job does. */
static unsigned weight_of(struct manager *m, const struct vf *vf)
{
	const struct policy_queue *queue;
	struct job *job, *tmp;

	HASH_ITER(hh, m->jobs, job, tmp) {
		if (!runs(job) || !streq(job->vf_name, vf->name))
			continue;
		queue = policy_find_queue(m->policy, job->queue);
		return (queue ? queue : policy_default_queue(m->policy))->weight;
	}
	return 0;
}

static uint64_t base_of(const struct layout *wanted, const struct vf *vf)
{
	struct known quantum = { 0 };

	if (wanted && vf->index <= wanted->n_vfs)
		quantum = vf_shape_number(&wanted->vfs[vf->index - 1].shape, VF_ATTR_EXEC_QUANTUM);
	return quantum.known && quantum.value > 0 ? quantum.value : QUANTUM_BASE_MS;
}

void weights_expect(const struct gpu *gpu, struct layout *layout)
{
	for (size_t i = 0; i < gpu->n_vfs && i < layout->n_vfs; i++) {
		struct amount *wanted = &layout->vfs[i].shape.wanted[VF_ATTR_EXEC_QUANTUM];

		if (gpu->vfs[i]->weighted.writing)
			*wanted = (struct amount){ .kind = AMOUNT_UNSET }; /* both are right */
		else if (gpu->vfs[i]->weighted.on)
			*wanted = amount_of(gpu->vfs[i]->weighted.value);
	}
}

struct layout *gpu_expected(struct manager *m, const struct gpu *gpu)
{
	struct layout *wanted = gpu_wanted(m, gpu);

	if (wanted)
		weights_expect(gpu, wanted);
	return wanted;
}

/* ---- writing ---- */

struct weighing {
	struct manager *m;
	char *vf;
	struct vf_weighted old; /* when it cannot be written */
	bool on;		/* false: what it had before its job */
	uint64_t value;
};

static void weighing_free(struct weighing *w)
{
	free(w->vf);
	free(w);
}

static void refused(struct weighing *w, struct vf *vf, int r)
{
	/* Said once: the same is not tried again. */
	log_vf(vf->name, LOG_WARNING, r, "its time slice could not be set to %llu ms", (unsigned long long)w->value);
	vf->weighted = w->old;
	vf->weighted.writing = false;
	vf->weighted.failed = true;
	vf->weighted.tried = w->value;
}

static void on_written(void *userdata, const struct host_reply *reply)
{
	struct weighing *w = userdata;
	struct vf *vf = vf_find(w->m, w->vf);
	uint64_t value = reply->value.known ? reply->value.value : w->value;

	if (vf && reply->r < 0) {
		refused(w, vf, reply->r);
	} else if (vf) {
		log_vf(vf->name, LOG_INFO, 0, "time slice %llu ms%s", (unsigned long long)value,
		       w->on ? " by the weight of its job's queue" : ", as before its job");
		vf->weighted.on = w->on;
		vf->weighted.value = value;
		vf->weighted.writing = vf->weighted.failed = false;
		vf->gpu->facts->vfs[vf->index - 1].values[VF_ATTR_EXEC_QUANTUM] = (struct known){ true, value };
	}
	if (vf) {
		vf_store(w->m, vf);
		gpu_check_drift(w->m, vf->gpu);
	}
	manager_pump(w->m);
	weighing_free(w);
}

static void write_committed(struct manager *m, void *userdata)
{
	struct weighing *w = userdata;
	struct vf *vf = vf_find(m, w->vf);
	struct host_request request = { .op = HOST_SET_VF_ATTR, .attribute = VF_ATTR_EXEC_QUANTUM,
					.value = w->value };
	struct host_reply reply = { .r = -ENODEV };

	if (vf) {
		request.gpu = vf->gpu->address;
		request.vf = vf->index;
		reply.r = m->host->ops->request(m->host, &request, on_written, w);
	}
	if (reply.r < 0)
		on_written(w, &reply);
}

static void write_not_committed(struct manager *m, void *userdata)
{
	struct weighing *w = userdata;
	struct vf *vf = vf_find(m, w->vf);

	if (vf) {
		vf->weighted = w->old;
		vf->weighted.writing = false;
	}
	weighing_free(w);
}

/* The row says what it is going to be, and what it was, before anything is written: a daemon that finds it
 * afterwards can put it back. */
static void write_quantum(struct manager *m, struct vf *vf, bool on, uint64_t value)
{
	struct weighing *w;

	if (vf->weighted.failed && vf->weighted.tried == value)
		return;
	w = calloc(1, sizeof(*w));
	if (!w)
		return;
	*w = (struct weighing){ .m = m, .vf = strdup(vf->name), .old = vf->weighted, .on = on, .value = value };
	vf->weighted.writing = true;
	if (on && !vf->weighted.on)
		vf->weighted.before = vf_facts_of(vf)->values[VF_ATTR_EXEC_QUANTUM];
	if (on) {
		vf->weighted.on = true;
		vf->weighted.value = value;
		vf_store(m, vf);
	}
	outbox_add(m, write_committed, write_not_committed, w);
}

/* ---- what it should be ---- */

struct weights {
	unsigned *of; /* by VF; 0 = no job */
	uint64_t sum, n;
};

static bool weigh(struct manager *m, const struct gpu *gpu, struct weights *ret)
{
	*ret = (struct weights){ .of = calloc(gpu->n_vfs + 1, sizeof(*ret->of)) };
	for (size_t i = 0; ret->of && i < gpu->n_vfs && m->policy->scheduling.quantum_by_weight; i++) {
		ret->of[i] = weight_of(m, gpu->vfs[i]);
		ret->sum += ret->of[i];
		ret->n += ret->of[i] > 0;
	}
	return ret->of != NULL;
}

static uint64_t share_of(const struct weights *w, size_t i, uint64_t base)
{
	uint64_t quantum = (base * w->of[i] * w->n + w->sum / 2) / w->sum;

	return MIN_OF(MAX_OF(quantum, (uint64_t)1), (uint64_t)QUANTUM_MAX_MS);
}

/* The kernel's word when the VF got its first share; the layout's, should it name one. */
static void put_back(struct manager *m, struct vf *vf, const struct layout *wanted)
{
	struct known before = vf->weighted.before;

	if (wanted && vf->index <= wanted->n_vfs) {
		struct known quantum = vf_shape_number(&wanted->vfs[vf->index - 1].shape, VF_ATTR_EXEC_QUANTUM);

		before = quantum.known ? quantum : before;
	}
	write_quantum(m, vf, false, before.known ? before.value : 0);
}

static void update_vf(struct manager *m, struct vf *vf, const struct weights *w, const struct layout *wanted)
{
	size_t i = vf->index - 1;
	struct known now = vf->gpu->facts->vfs[i].values[VF_ATTR_EXEC_QUANTUM];
	uint64_t share;

	if (vf->weighted.writing)
		return;
	if (w->of[i] == 0) {
		if (vf->weighted.on)
			put_back(m, vf, wanted);
		return;
	}
	share = share_of(w, i, base_of(wanted, vf));
	if (!vf->weighted.on || vf->weighted.value != share || !now.known || now.value != share)
		write_quantum(m, vf, true, share);
}

/* Somebody's time follows a weight, or may. */
static bool concerned(struct manager *m, const struct gpu *gpu)
{
	bool any = m->policy->scheduling.quantum_by_weight;

	for (size_t i = 0; i < gpu->n_vfs && !any; i++)
		any = gpu->vfs[i]->weighted.on;
	return any && gpu->n_vfs > 0 && gpu->n_vfs == gpu->facts->n_vfs &&
	       gpu_can_set(gpu->facts, VF_ATTR_EXEC_QUANTUM);
}

void weights_update(struct manager *m)
{
	struct gpu *gpu, *tmp;

	/* Whose job runs is known once the jobs of an earlier daemon were looked at. */
	if (!m->hypervisor_connected || m->degraded)
		return;
	HASH_ITER(hh, m->gpus, gpu, tmp) {
		_cleanup_(layout_freep) struct layout *wanted = NULL;
		struct weights w = { 0 };

		if (!gpu->facts || gpu->stuck || gpu->apply || gpu->tunes || !concerned(m, gpu))
			continue;
		wanted = gpu_wanted(m, gpu);
		if (weigh(m, gpu, &w))
			for (size_t i = 0; i < gpu->n_vfs; i++)
				update_vf(m, gpu->vfs[i], &w, wanted);
		free(w.of);
	}
}
