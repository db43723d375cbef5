/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts waiting jobs in order and gives each the best place that is left; the reasons for those that
 * must wait are in wait-reason.c. */
#include "scheduler/scheduler-inner.h"

const char *const sched_wait_names[SCHED_WAIT_MAX] = {
	[SCHED_PLACED] = "placed",
	[SCHED_WAIT_QUEUE_LIMIT] = "queue_limit",
	[SCHED_WAIT_USER_LIMIT] = "user_limit",
	[SCHED_WAIT_NO_VM] = "no_vm",
	[SCHED_WAIT_VM_OFF] = "vm_off",
	[SCHED_WAIT_VM_WEDGED] = "vm_wedged",
	[SCHED_WAIT_VM_QUARANTINED] = "vm_quarantined",
	[SCHED_WAIT_NO_AGENT] = "no_agent",
	[SCHED_WAIT_VM_BUSY] = "vm_busy",
	[SCHED_WAIT_NO_PORT] = "no_port",
	[SCHED_WAIT_NO_MEMORY] = "no_memory",
	[SCHED_WAIT_NO_FIT] = "no_fit",
	[SCHED_WAIT_VF_BUSY] = "vf_busy",
	[SCHED_WAIT_VM_START] = "vm_starting",
	[SCHED_WAIT_GPU] = "gpu_not_ready",
	[SCHED_WAIT_PREEMPT] = "preempting",
};
DEFINE_ENUM_TABLE(sched_wait, enum sched_wait, SCHED_WAIT_MAX);

static int compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* Best first. */
static int compare_jobs(const void *pa, const void *pb, void *userdata)
{
	const struct sched_snapshot *s = userdata;
	const struct sched_job *a = &s->jobs[*(const size_t *)pa];
	const struct sched_job *b = &s->jobs[*(const size_t *)pb];
	int r;

	r = compare_numbers(b->queue_priority, a->queue_priority);
	if (r == 0 && a->priority != b->priority)
		r = a->priority > b->priority ? -1 : 1;
	if (r == 0)
		r = compare_numbers(a->submitted_at, b->submitted_at);
	return r != 0 ? r : compare_numbers(a->id, b->id);
}

bool sched_vf_fits(const struct sched_vf *vf, const struct sched_job *job)
{
	if (job->profile && !streq_ptr(vf->profile, job->profile))
		return false;
	/* A VF of unknown size may be too small: it takes only jobs that ask for nothing. */
	return job->vram_bytes == 0 ||
	       (vf->vram_bytes.known && vf->vram_bytes.value >= job->vram_bytes);
}

/* Among equal VFs one of a GPU in use is better: it leaves whole cards for a re-cut. */
static bool gpu_is_used(const struct sched_round *round, const struct pci_address *gpu)
{
	size_t i;

	for (i = 0; i < round->s->n_vfs; i++)
		if (pci_address_equal(&round->s->vfs[i].gpu, gpu) &&
		    (round->s->vfs[i].state != VF_FREE || round->taken[i]))
			return true;
	return false;
}

/* Negative when a is the better place for a job that both fit. A VF of unknown size comes last: it
 * may be larger than all others. */
static int compare_vfs(const struct sched_round *round, size_t ia, size_t ib)
{
	const struct sched_vf *a = &round->s->vfs[ia], *b = &round->s->vfs[ib];
	uint64_t size_a = a->vram_bytes.known ? a->vram_bytes.value : UINT64_MAX;
	uint64_t size_b = b->vram_bytes.known ? b->vram_bytes.value : UINT64_MAX;
	int r;

	if (a->kept != b->kept) /* one that is there already costs nothing */
		return a->kept ? -1 : 1;
	r = compare_numbers(size_a, size_b);
	if (r == 0)
		r = (int)gpu_is_used(round, &b->gpu) - (int)gpu_is_used(round, &a->gpu);
	if (r == 0)
		r = pci_address_compare(&a->gpu, &b->gpu);
	return r != 0 ? r : compare_numbers(a->index, b->index);
}

/* The last job of the same user left it in this VM. */
static bool is_kept_for(const struct sched_vf *vf, const struct sched_job *job, size_t vm)
{
	return vf->kept && vf->vm == vm && vf->uid == job->uid;
}

bool sched_vf_is_free(const struct sched_vf *vf, const struct sched_job *job)
{
	return vf->state == VF_FREE && vf->gpu_ready && (!vf->only_for.known || vf->only_for.value == job->uid);
}

bool sched_vf_is_open(const struct sched_round *round, const struct sched_job *job, size_t i,
		      size_t vm)
{
	const struct sched_vf *vf = &round->s->vfs[i];

	if (round->taken[i] || vf->has_job || vf->gpu_draining)
		return false;
	if (round->s->vms[vm].mode == VM_VF_ASSIGNED)
		return vf->state == VF_ATTACHED && vf->vm == vm;
	if (round->s->vms[vm].mode == VM_VF_KEEP && is_kept_for(vf, job, vm))
		return vf->state == VF_ATTACHED;
	return sched_vf_is_free(vf, job);
}

size_t sched_best_vf(const struct sched_round *round, const struct sched_job *job, size_t vm)
{
	size_t best = SCHED_NONE, i;

	for (i = 0; i < round->s->n_vfs; i++) {
		if (!sched_vf_is_open(round, job, i, vm) || !sched_vf_fits(&round->s->vfs[i], job))
			continue;
		if (best == SCHED_NONE || compare_vfs(round, i, best) < 0)
			best = i;
	}
	return best;
}

bool sched_needs_port(const struct sched_round *round, const struct sched_job *job, size_t vm,
		      size_t vf)
{
	size_t i;

	if (job->vfs == 0 || round->s->vms[vm].mode == VM_VF_ASSIGNED)
		return false;
	if (vf != SCHED_NONE)
		return !round->s->vfs[vf].kept;
	for (i = 0; i < round->s->n_vfs; i++)
		if (round->s->vfs[i].kept && sched_vf_is_open(round, job, i, vm) &&
		    sched_vf_fits(&round->s->vfs[i], job))
			return false;
	return true;
}

enum sched_wait sched_vm_state(const struct sched_round *round, const struct sched_job *job,
			       size_t i)
{
	const struct sched_vm *vm = &round->s->vms[i];

	if (vm->wedged)
		return SCHED_WAIT_VM_WEDGED;
	if (!vm->running)
		return SCHED_WAIT_VM_OFF;
	if (vm->quarantined)
		return SCHED_WAIT_VM_QUARANTINED;
	if (!vm->agent)
		return SCHED_WAIT_NO_AGENT;
	if (round->used[i] >= vm->slots)
		return SCHED_WAIT_VM_BUSY;
	if (!vm->no_memory && round->ports[i] != 0)
		return SCHED_PLACED;
	if (sched_needs_port(round, job, i, SCHED_NONE))
		return vm->no_memory ? SCHED_WAIT_NO_MEMORY : SCHED_WAIT_NO_PORT;
	return SCHED_PLACED;
}

static bool is_kept(const struct sched_round *round, size_t vf)
{
	return vf != SCHED_NONE && round->s->vfs[vf].kept;
}

/* Where a VF waits for this very job, then fewest running jobs, then the name. */
static bool place_is_better(const struct sched_round *round, size_t a, size_t vf_a, size_t b,
			    size_t vf_b)
{
	if (is_kept(round, vf_a) != is_kept(round, vf_b))
		return is_kept(round, vf_a);
	if (round->used[a] != round->used[b])
		return round->used[a] < round->used[b];
	return strcmp(round->s->vms[a].name, round->s->vms[b].name) < 0;
}

bool sched_find_place(const struct sched_round *round, const struct sched_job *job, size_t *ret_vm,
		      size_t *ret_vf)
{
	size_t best = SCHED_NONE, best_place = SCHED_NONE, i, vf;

	for (i = 0; i < job->n_vms; i++) {
		size_t vm = job->vms[i];

		if (sched_vm_state(round, job, vm) != SCHED_PLACED)
			continue;
		vf = job->vfs > 0 ? sched_best_vf(round, job, vm) : SCHED_NONE;
		if (job->vfs > 0 && vf == SCHED_NONE)
			continue;
		if (best != SCHED_NONE && !place_is_better(round, vm, vf, best, best_place))
			continue;
		best = vm;
		best_place = vf;
	}
	*ret_vm = best;
	*ret_vf = best_place;
	return best != SCHED_NONE;
}

/* Jobs of one user that run in one queue, with those placed in this round. */
unsigned sched_user_running(const struct sched_round *round, const struct sched_job *job)
{
	unsigned running = 0;
	size_t i;

	for (i = 0; i < round->s->n_usages; i++)
		if (round->s->usages[i].queue == job->queue && round->s->usages[i].uid == job->uid)
			running += round->s->usages[i].running;
	for (i = 0; i < round->result->n_decisions; i++) {
		const struct sched_decision *d = &round->result->decisions[i];
		const struct sched_job *other = &round->s->jobs[d->job];

		if ((d->wait == SCHED_PLACED || d->wait == SCHED_WAIT_VM_START || d->promised) &&
		    other->queue == job->queue && other->uid == job->uid)
			running++;
	}
	return running;
}

enum sched_wait sched_check_limits(const struct sched_round *round, const struct sched_job *job)
{
	const struct sched_queue *queue = &round->s->queues[job->queue];

	if (queue->limit_running > 0 && round->running[job->queue] >= queue->limit_running)
		return SCHED_WAIT_QUEUE_LIMIT;
	if (queue->limit_running_per_user > 0 &&
	    sched_user_running(round, job) >= queue->limit_running_per_user)
		return SCHED_WAIT_USER_LIMIT;
	return SCHED_PLACED;
}

void sched_take_place(struct sched_round *round, const struct sched_job *job, size_t vm, size_t vf)
{
	round->used[vm]++;
	round->running[job->queue]++;
	if (vf != SCHED_NONE)
		round->taken[vf] = true;
	if (round->ports[vm] > 0 && sched_needs_port(round, job, vm, vf))
		round->ports[vm]--;
}

static int decide_one(struct sched_round *round, size_t index)
{
	const struct sched_job *job = &round->s->jobs[index];
	struct sched_decision d = { .job = index, .vm = SCHED_NONE, .vf = SCHED_NONE, .victim = SCHED_NONE,
				    .unsure_vm = SCHED_NONE, .lacking_vm = SCHED_NONE };

	d.wait = sched_check_limits(round, job);
	if (d.wait == SCHED_PLACED && !sched_find_place(round, job, &d.vm, &d.vf))
		d.wait = sched_wait_reason(round, job);
	if (d.wait == SCHED_PLACED) {
		sched_take_place(round, job, d.vm, d.vf);
		round->result->n_placed++;
	} else {
		d.text = sched_wait_text(round, job, d.wait);
		if (!d.text)
			return -ENOMEM;
	}
	round->result->decisions[round->result->n_decisions++] = d;
	return 0;
}

static void round_done(struct sched_round *round)
{
	free(round->vfs);
	free(round->taken);
	free(round->used);
	free(round->ports);
	free(round->running);
	sched_result_free(round->result);
}

static int round_init(struct sched_round *round, const struct sched_snapshot *s)
{
	size_t i;

	round->own = *s;
	round->s = &round->own;
	round->own.vfs = round->vfs = calloc(s->n_vfs + 1, sizeof(*round->vfs));
	round->taken = calloc(s->n_vfs + 1, sizeof(*round->taken));
	round->used = calloc(s->n_vms + 1, sizeof(*round->used));
	round->ports = calloc(s->n_vms + 1, sizeof(*round->ports));
	round->running = calloc(s->n_queues + 1, sizeof(*round->running));
	round->result = calloc(1, sizeof(*round->result));
	if (!round->vfs || !round->taken || !round->used || !round->ports || !round->running || !round->result)
		return -ENOMEM;
	round->result->decisions = calloc(s->n_jobs + 1, sizeof(*round->result->decisions));
	if (!round->result->decisions)
		return -ENOMEM;

	if (s->n_vfs > 0)
		memcpy(round->vfs, s->vfs, s->n_vfs * sizeof(*s->vfs));
	for (i = 0; i < s->n_vms; i++) {
		round->used[i] = s->vms[i].used;
		round->ports[i] = s->vms[i].free_ports;
	}
	for (i = 0; i < s->n_queues; i++)
		round->running[i] = s->queues[i].running;
	return 0;
}

int sched_decide(const struct sched_snapshot *snapshot, struct sched_result **ret)
{
	_cleanup_(round_done) struct sched_round round = { 0 };
	_cleanup_free_ size_t *order = calloc(snapshot->n_jobs + 1, sizeof(*order));
	size_t i;
	int r;

	r = order ? round_init(&round, snapshot) : -ENOMEM;
	if (r < 0)
		return r;

	for (i = 0; i < snapshot->n_jobs; i++)
		order[i] = i;
	qsort_r(order, snapshot->n_jobs, sizeof(*order), compare_jobs, (void *)snapshot);
	for (i = 0; i < snapshot->n_jobs && r == 0; i++)
		r = decide_one(&round, order[i]);
	if (r == 0)
		r = sched_start_vms(&round);
	if (r == 0)
		r = sched_preempt(&round);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(round.result);
	return 0;
}

struct sched_result *sched_result_free(struct sched_result *r)
{
	size_t i;

	if (!r)
		return NULL;
	for (i = 0; i < r->n_decisions; i++)
		free(r->decisions[i].text);
	free(r->decisions);
	free(r);
	return NULL;
}
