/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Says why a job waits: the word for programs, the text with numbers for people.  Called only for
 * jobs that found no place. */
#include "scheduler/scheduler-inner.h"

#include <stdio.h>

/* What an open VM lacks, the nearest to running last: a job that could start if one slot were
 * free waits for the slot, not for another VM that is off. */
static const enum sched_wait vm_obstacles[] = {
	SCHED_WAIT_NO_MEMORY, SCHED_WAIT_NO_PORT, SCHED_WAIT_VM_BUSY, SCHED_WAIT_NO_AGENT,
	SCHED_WAIT_VM_OFF,    SCHED_WAIT_VM_WEDGED, SCHED_WAIT_VM_QUARANTINED,
};

/* In assigned mode only the VM's own VFs count. */
static bool vf_is_reachable(const struct sched_round *round, const struct sched_vf *vf, size_t vm)
{
	return vf->state != VF_GONE &&
	       (round->s->vms[vm].mode != VM_VF_ASSIGNED || vf->vm == vm);
}

static bool vm_can_fit(const struct sched_round *round, const struct sched_job *job, size_t vm)
{
	size_t i;

	for (i = 0; i < round->s->n_vfs && job->vfs > 0; i++)
		if (vf_is_reachable(round, &round->s->vfs[i], vm) &&
		    sched_vf_fits(&round->s->vfs[i], job))
			return true;
	return job->vfs == 0;
}

/* Those that have nothing for the job at all are no obstacle. */
static size_t count_vms(const struct sched_round *round, const struct sched_job *job,
			enum sched_wait state)
{
	size_t n = 0, i;

	for (i = 0; i < job->n_vms; i++)
		n += sched_vm_state(round, job, job->vms[i]) == state &&
		     vm_can_fit(round, job, job->vms[i]);
	return n;
}

static bool vf_is_reachable_by_any(const struct sched_round *round, const struct sched_vf *vf,
				   const struct sched_job *job)
{
	size_t i;

	for (i = 0; i < job->n_vms; i++)
		if (vf_is_reachable(round, vf, job->vms[i]))
			return true;
	return false;
}

/* Nobody uses it, and only its GPU's state keeps the job away. */
static bool vf_is_idle(const struct sched_round *round, const struct sched_vf *vf,
		       const struct sched_job *job)
{
	size_t i;

	if (vf->state == VF_FREE)
		return !vf->gpu_ready;
	for (i = 0; i < job->n_vms && vf->gpu_draining && !vf->has_job; i++)
		if (round->s->vms[job->vms[i]].mode == VM_VF_ASSIGNED && vf->vm == job->vms[i])
			return true;
	return false;
}

struct vf_counts {
	size_t fitting; /* reachable and large enough */
	size_t idle;	/* of these, free but on a GPU that is not ready */
	size_t broken;	/* of these, quarantined */
	bool known;	/* a size was seen */
	uint64_t largest;
	size_t reachable;
};

static struct vf_counts count_vfs(const struct sched_round *round, const struct sched_job *job)
{
	struct vf_counts n = { 0 };
	size_t i;

	for (i = 0; i < round->s->n_vfs; i++) {
		const struct sched_vf *vf = &round->s->vfs[i];

		if (!vf_is_reachable_by_any(round, vf, job))
			continue;
		n.reachable++;
		if (vf->vram_bytes.known) {
			n.known = true;
			n.largest = MAX_OF(n.largest, vf->vram_bytes.value);
		}
		if (!sched_vf_fits(vf, job))
			continue;
		n.fitting++;
		n.broken += vf->state == VF_QUARANTINED;
		n.idle += !round->taken[i] && vf_is_idle(round, vf, job);
	}
	return n;
}

enum sched_wait sched_wait_reason(const struct sched_round *round, const struct sched_job *job)
{
	struct vf_counts n;
	size_t i;

	if (job->n_vms == 0)
		return SCHED_WAIT_NO_VM;
	if (job->vfs > 0) {
		n = count_vfs(round, job);
		if (n.fitting == 0)
			return SCHED_WAIT_NO_FIT;
		if (count_vms(round, job, SCHED_PLACED) > 0)
			return n.idle > 0 ? SCHED_WAIT_GPU : SCHED_WAIT_VF_BUSY;
	}
	for (i = 0; i < ARRAY_SIZE(vm_obstacles); i++)
		if (count_vms(round, job, vm_obstacles[i]) > 0)
			return vm_obstacles[i];
	return SCHED_WAIT_VM_OFF;
}

/* "a VF with 6.0GiB of VRAM", "a VF of profile quarter", "a VF" */
static char *need_text(const struct sched_job *job)
{
	char size[32];

	if (job->profile)
		return xasprintf("a VF of profile %s", job->profile);
	if (job->vram_bytes > 0)
		return xasprintf("a VF with %s of VRAM",
				 size_format(job->vram_bytes, size, sizeof(size)));
	return xasprintf("a VF");
}

static char *no_fit_text(const struct vf_counts *n, const struct sched_job *job)
{
	_cleanup_free_ char *need = need_text(job);
	char size[32];

	if (!need)
		return NULL;
	if (n->reachable == 0)
		return xasprintf("needs %s; there is none that it may use", need);
	if (job->profile)
		return xasprintf("needs %s; none of %zu VFs has that profile", need, n->reachable);
	if (!n->known)
		return xasprintf("needs %s; the VRAM of %zu VFs is unknown", need, n->reachable);
	return xasprintf("needs %s; the largest of %zu has %s", need, n->reachable,
			 size_format(n->largest, size, sizeof(size)));
}

static char *vf_text(const struct sched_round *round, const struct sched_job *job,
		     enum sched_wait wait)
{
	struct vf_counts n = count_vfs(round, job);
	_cleanup_free_ char *need = need_text(job);

	if (!need)
		return NULL;
	if (wait == SCHED_WAIT_NO_FIT)
		return no_fit_text(&n, job);
	if (wait == SCHED_WAIT_GPU)
		return xasprintf(
			"needs %s; %zu of %zu that fit are free, on a GPU that is draining, "
			"being cut or wedged",
			need, n.idle, n.fitting);
	if (n.broken > 0)
		return xasprintf(
			"needs %s; of %zu that fit %zu are quarantined and the others in use", need,
			n.fitting, n.broken);
	return xasprintf("needs %s; all %zu that fit are in use", need, n.fitting);
}

static char *vm_text(const struct sched_round *round, const struct sched_job *job,
		     enum sched_wait wait)
{
	static const char *const words[] = {
		[SCHED_WAIT_VM_OFF] = "not running",
		[SCHED_WAIT_VM_WEDGED] = "wedged",
		[SCHED_WAIT_VM_QUARANTINED] = "quarantined",
		[SCHED_WAIT_NO_AGENT] = "running but their guest agent does not answer",
		[SCHED_WAIT_VM_BUSY] = "full: every slot has a job",
		[SCHED_WAIT_NO_MEMORY] = "such that the host lacks the memory that a VF would pin",
		[SCHED_WAIT_NO_PORT] = "without a free PCIe port for a VF",
	};
	const struct sched_vm *vm = &round->s->vms[job->vms[0]];

	if (job->n_vms == 1 && wait == SCHED_WAIT_VM_BUSY)
		return xasprintf("VM %s is full: %u of %u slots have a job", vm->name,
				 round->used[job->vms[0]], vm->slots);
	if (job->n_vms == 1 && wait == SCHED_WAIT_NO_AGENT)
		return xasprintf("the guest agent of VM %s does not answer", vm->name);
	if (job->n_vms == 1 && wait == SCHED_WAIT_NO_MEMORY)
		return xasprintf("the host lacks the memory that a VF for VM %s would pin", vm->name);
	if (job->n_vms == 1)
		return xasprintf("VM %s is %s", vm->name, words[wait]);
	return xasprintf("%zu of %zu VMs open to it are %s", count_vms(round, job, wait),
			 job->n_vms, words[wait]);
}

static char *limit_text(const struct sched_round *round, const struct sched_job *job,
			enum sched_wait wait)
{
	const struct sched_queue *queue = &round->s->queues[job->queue];

	if (wait == SCHED_WAIT_QUEUE_LIMIT)
		return xasprintf("queue %s runs %u of at most %u jobs", queue->name,
				 round->running[job->queue], queue->limit_running);
	return xasprintf("queue %s runs %u of at most %u jobs of one user", queue->name,
			 sched_user_running(round, job), queue->limit_running_per_user);
}

char *sched_wait_text(const struct sched_round *round, const struct sched_job *job,
		      enum sched_wait wait)
{
	switch (wait) {
	case SCHED_WAIT_QUEUE_LIMIT:
	case SCHED_WAIT_USER_LIMIT:
		return limit_text(round, job, wait);
	case SCHED_WAIT_NO_VM:
		return xasprintf(
			"no VM is open to it: no vms rule of the policy lets its user in, or "
			"the job or its queue names other VMs");
	case SCHED_WAIT_VM_OFF:
	case SCHED_WAIT_VM_WEDGED:
	case SCHED_WAIT_VM_QUARANTINED:
	case SCHED_WAIT_NO_AGENT:
	case SCHED_WAIT_VM_BUSY:
	case SCHED_WAIT_NO_PORT:
	case SCHED_WAIT_NO_MEMORY:
		return vm_text(round, job, wait);
	case SCHED_WAIT_NO_FIT:
	case SCHED_WAIT_VF_BUSY:
	case SCHED_WAIT_GPU:
		return vf_text(round, job, wait);
	case SCHED_PLACED:
	case SCHED_WAIT_VM_START: /* start-vms.c */
	case SCHED_WAIT_PREEMPT:  /* preempt.c */
	case SCHED_WAIT_MAX:
		break;
	}
	return NULL;
}
