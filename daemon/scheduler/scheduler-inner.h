/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One round of decisions: what was given away since the snapshot. */
#pragma once

#include "scheduler/scheduler.h"

struct sched_round {
	const struct sched_snapshot *s; /* `own` */
	struct sched_snapshot own;	/* the caller's, but for vfs */
	struct sched_vf *vfs;		/* as they are, or will be in preempt.c */
	bool *taken;	   /* by VF */
	unsigned *used;	   /* by VM: slots */
	int *ports;	   /* by VM: free ones, −1 = unknown */
	unsigned *running; /* by queue */
	struct sched_result *result;
};

/* Has what the job asks for, whoever holds it. */
bool sched_vf_fits(const struct sched_vf *vf, const struct sched_job *job);

/* Could be given to the job in this VM now. */
bool sched_vf_is_free(const struct sched_vf *vf, const struct sched_job *job); /* and may be given to that user */
bool sched_vf_is_open(const struct sched_round *round, const struct sched_job *job, size_t vf,
		      size_t vm);

/* For jobs that wait and have a place in a VM that is off: says which, best job first.  After all
 * that can be placed is placed. */
int sched_start_vms(struct sched_round *round);

/* For jobs that a job which runs keeps out: which of those is to be stopped.  After sched_start_vms(). */
int sched_preempt(struct sched_round *round);

/* The best place that is left for the job; false when there is none.  *ret_vf is SCHED_NONE for one without a VF. */
bool sched_find_place(const struct sched_round *round, const struct sched_job *job, size_t *ret_vm, size_t *ret_vf);
void sched_take_place(struct sched_round *round, const struct sched_job *job, size_t vm, size_t vf);
/* The best VF that is open to the job in that VM, or SCHED_NONE. */
size_t sched_best_vf(const struct sched_round *round, const struct sched_job *job, size_t vm);
enum sched_wait sched_check_limits(const struct sched_round *round, const struct sched_job *job);

/* SCHED_PLACED when the VM could take the job now, else what is in the way. */
enum sched_wait sched_vm_state(const struct sched_round *round, const struct sched_job *job,
			       size_t vm);

/* Nothing has to be plugged in for it on this VF (SCHED_NONE: on any of its VM's). */
bool sched_needs_port(const struct sched_round *round, const struct sched_job *job, size_t vm,
		      size_t vf);
unsigned sched_user_running(const struct sched_round *round, const struct sched_job *job);

/* Why sched_find_place() found nothing. */
enum sched_wait sched_wait_reason(const struct sched_round *round, const struct sched_job *job);

/* New text with the numbers; NULL = no memory. */
char *sched_wait_text(const struct sched_round *round, const struct sched_job *job,
		      enum sched_wait wait);
