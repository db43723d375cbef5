/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which VM that is off is to be started for which waiting job.  The last part of a round: what runs
 * goes first, and a VM that is on its way up is meant for as many jobs as it has slots.  A promise
 * holds for this round only: it keeps nothing from a job that can start meanwhile. */
#include "scheduler/scheduler-inner.h"

/* The VF would be there for the job once its VM runs. */
static bool will_be_open(const struct sched_round *round, const struct sched_job *job, size_t i,
			 size_t vm)
{
	const struct sched_vf *vf = &round->s->vfs[i];

	if (round->taken[i] || vf->has_job || vf->gpu_draining || !sched_vf_fits(vf, job))
		return false;
	if (round->s->vms[vm].mode == VM_VF_ASSIGNED)
		return ((vf->state == VF_RESERVED && !round->s->vms[vm].saved) || vf->state == VF_ATTACHED) &&
		       vf->vm == vm;
	return sched_vf_is_free(vf, job);
}

static size_t promised_vf(const struct sched_round *round, const struct sched_job *job, size_t vm)
{
	size_t i;

	for (i = 0; i < round->s->n_vfs; i++)
		if (will_be_open(round, job, i, vm))
			return i;
	return SCHED_NONE;
}

/* One that is on its way already, then the lower name. */
static bool is_better(const struct sched_vm *a, const struct sched_vm *b)
{
	if (a->starting != b->starting)
		return a->starting;
	return strcmp(a->name, b->name) < 0;
}

static bool find_vm(const struct sched_round *round, const struct sched_job *job, size_t *ret_vm,
		    size_t *ret_vf)
{
	size_t best = SCHED_NONE, best_vf = SCHED_NONE, i;

	for (i = 0; i < job->n_vms; i++) {
		size_t at = job->vms[i], vf = SCHED_NONE;
		const struct sched_vm *vm = &round->s->vms[at];

		if ((!vm->can_start && !vm->starting) || vm->quarantined || vm->wedged ||
		    round->used[at] >= vm->slots)
			continue;
		if (best != SCHED_NONE && !is_better(vm, &round->s->vms[best]))
			continue;
		if (job->vfs > 0)
			vf = promised_vf(round, job, at);
		if (job->vfs > 0 && vf == SCHED_NONE)
			continue;
		best = at;
		best_vf = vf;
	}
	*ret_vm = best;
	*ret_vf = best_vf;
	return best != SCHED_NONE;
}

static int promise(struct sched_round *round, struct sched_decision *d, size_t vm, size_t vf)
{
	char *text = xasprintf("VM %s is being started", round->s->vms[vm].name);

	if (!text)
		return -ENOMEM;
	free(d->text);
	d->text = text;
	d->wait = SCHED_WAIT_VM_START;
	d->vm = vm;
	round->used[vm]++;
	round->running[round->s->jobs[d->job].queue]++;
	if (vf != SCHED_NONE)
		round->taken[vf] = true;
	return 0;
}

int sched_start_vms(struct sched_round *round)
{
	size_t i, vm, vf;
	int r = 0;

	for (i = 0; i < round->result->n_decisions && r == 0; i++) {
		struct sched_decision *d = &round->result->decisions[i];
		const struct sched_job *job = &round->s->jobs[d->job];

		/* a host without memory for this one has none for another */
		if (d->wait == SCHED_PLACED || d->wait == SCHED_WAIT_NO_MEMORY || sched_check_limits(round, job) != SCHED_PLACED)
			continue;
		if (find_vm(round, job, &vm, &vf))
			r = promise(round, d, vm, vf);
	}
	return r;
}
