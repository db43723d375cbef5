/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which job that runs is stopped for which that waits: the last part of a round.  Jobs that wait come in their order.
 * One that somebody's end will bring to its place, an end that is under way, is promised that and stops nobody.  For any
 * other one job is stopped, with whose end it would be placed: the places are looked for by the same code, in the round
 * as it will be then.  What an earlier job would take that may stop nobody is not freed for a later one: it would gain
 * nothing.
 *
 * Of several the first is stopped: of the lowest queue, then of the lowest priority, then the one that ran shortest, then
 * the highest id.  That order is the same for all who wait. */
#include "scheduler/scheduler-inner.h"

/* What comes back when a job ends, or a VF that nobody has any more is on its way. */
struct end {
	const struct sched_holder *holder; /* NULL: a VF alone */
	size_t slot;   /* the VM that has one slot more then */
	size_t port;   /* … one port more */
	size_t vf;
	bool assigned; /* the VF stays in its VM */
	bool over;     /* somebody counts on it, or wants it for himself */
};

/* What was there before an end. */
struct before {
	struct sched_vf vf;
	unsigned used;
	int ports;
};

struct view;

struct preempt {
	struct sched_round *round;
	struct end *leaving, *victims;
	size_t n_leaving, n_victims;
	struct view *views; /* by VM, and one more: as the job that is looked at sees them */
	bool *wanted; /* by victim, likewise: it would take that one's place, and may not stop it */
	bool *lacks;  /* by VM: nobody is stopped for a place there, the host has no memory for it */
	size_t working; /* the VM in which the job that is looked at would be placed */
	size_t lacking; /* … from which its memory alone keeps it away, or SCHED_NONE */
};

/* A VM as a job sees it. */
struct view {
	bool open;  /* policy, queue and document open it */
	bool known; /* … and it was looked whether */
	bool has_vf; /* … a VF would be there for it as it is, were there a slot and a port */
};

static bool may_preempt(const struct sched_round *round, size_t queue, size_t other)
{
	const struct sched_queue *q = &round->s->queues[queue];

	for (size_t i = 0; i < q->n_preempts; i++)
		if (q->preempts[i] == other)
			return true;
	return false;
}

/* Most hosts have no such queue, and pay nothing for it. */
static bool concerns_anybody(const struct sched_round *round)
{
	for (size_t i = 0; i < round->s->n_holders; i++)
		if (round->s->holders[i].preempted_for > 0)
			return true;
	for (size_t i = 0; i < round->result->n_decisions; i++) {
		const struct sched_decision *d = &round->result->decisions[i];

		if (d->wait != SCHED_PLACED && d->wait != SCHED_WAIT_VM_START &&
		    round->s->queues[round->s->jobs[d->job].queue].n_preempts > 0)
			return true;
	}
	return false;
}

/* ---- ends ---- */

/* Plugged into its VM now, on a port. */
static bool is_plugged(const struct sched_vf *vf)
{
	return vf->state == VF_ATTACHING || vf->state == VF_ATTACHED || vf->state == VF_DETACHING;
}

static void end_begin(struct preempt *p, const struct end *e, struct before *ret)
{
	struct sched_round *round = p->round;

	if (e->slot != SCHED_NONE) {
		ret->used = round->used[e->slot];
		round->used[e->slot] -= round->used[e->slot] > 0;
	}
	if (e->port != SCHED_NONE) {
		ret->ports = round->ports[e->port];
		round->ports[e->port] += round->ports[e->port] >= 0;
	}
	if (e->vf != SCHED_NONE) {
		struct sched_vf *vf = &round->vfs[e->vf];

		ret->vf = *vf;
		vf->has_job = false;
		if (!e->assigned && (is_plugged(vf) || vf->state == VF_LEASED || vf->state == VF_RESETTING)) {
			vf->state = VF_FREE;
			vf->kept = false;
			vf->vm = SCHED_NONE;
		}
	}
}

static void end_undo(struct preempt *p, const struct end *e, const struct before *before)
{
	if (e->slot != SCHED_NONE)
		p->round->used[e->slot] = before->used;
	if (e->port != SCHED_NONE)
		p->round->ports[e->port] = before->ports;
	if (e->vf != SCHED_NONE)
		p->round->vfs[e->vf] = before->vf;
}

/* One that was placed there before came back because the host lacked memory: it would come back again. */
static bool may_work(struct preempt *p, const struct sched_job *job, size_t vm)
{
	bool lacks = job->vfs > 0 && p->lacks[vm];

	*(lacks ? &p->lacking : &p->working) = vm;
	return !lacks;
}

/* The job, which found no place before this end, finds one after it: then it is in that VM, or on that VF. */
static bool finds_place(struct preempt *p, const struct end *e, const struct sched_job *job)
{
	const struct sched_round *round = p->round;

	if (e->slot != SCHED_NONE && p->views[e->slot].has_vf &&
	    sched_vm_state(round, job, e->slot) == SCHED_PLACED && may_work(p, job, e->slot))
		return true;
	if (e->vf == SCHED_NONE || job->vfs == 0 || !sched_vf_fits(&round->vfs[e->vf], job))
		return false;
	for (size_t i = 0; i < job->n_vms; i++)
		if (sched_vf_is_open(round, job, e->vf, job->vms[i]) &&
		    sched_vm_state(round, job, job->vms[i]) == SCHED_PLACED && may_work(p, job, job->vms[i]))
			return true;
	return false;
}

/* The job has its place for this round, if there is one now. */
static bool take_now(struct preempt *p, const struct sched_job *job)
{
	size_t vm, vf;

	if (!sched_find_place(p->round, job, &vm, &vf))
		return false;
	sched_take_place(p->round, job, vm, vf);
	return true;
}

static bool has_vf(const struct preempt *p, const struct sched_job *job, size_t vm)
{
	return job->vfs == 0 || sched_best_vf(p->round, job, vm) != SCHED_NONE;
}

/* VMs that get a VF for each job have none of their own: what there is for one of them is there for all, and is looked
 * for once. */
static void look_at_vm(struct preempt *p, const struct sched_job *job, size_t vm)
{
	struct view *view = &p->views[vm], *first = &p->views[p->round->s->n_vms];

	if (!view->open || view->known)
		return;
	if (p->round->s->vms[vm].mode != VM_VF_PER_JOB)
		view->has_vf = has_vf(p, job, vm);
	else if (first->known)
		view->has_vf = first->has_vf;
	else
		view->has_vf = first->has_vf = has_vf(p, job, vm);
	first->known |= p->round->s->vms[vm].mode == VM_VF_PER_JOB;
	view->known = true;
}

static bool would_help(struct preempt *p, const struct end *e, const struct sched_job *job)
{
	struct before before = { 0 };
	bool helps;

	if (e->slot != SCHED_NONE)
		look_at_vm(p, job, e->slot);
	end_begin(p, e, &before);
	helps = finds_place(p, e, job);
	end_undo(p, e, &before);
	return helps;
}

/* The job counts on it.  Who has it stopped may see an earlier one take it. */
static void use_end(struct preempt *p, struct end *e, const struct sched_job *job)
{
	struct before before = { 0 };

	if (e->over)
		return;
	e->over = true;
	end_begin(p, e, &before);
	(void)take_now(p, job);
}

/* ---- what there is ---- */

static struct end end_of(const struct sched_round *round, const struct sched_holder *h)
{
	bool plugged = h->vf != SCHED_NONE && !h->assigned && is_plugged(&round->vfs[h->vf]);

	return (struct end){ .holder = h, .slot = h->vm, .port = plugged ? h->vm : SCHED_NONE, .vf = h->vf,
			     .assigned = h->assigned };
}

/* On its way back from whoever had it, or left by a job for the next one, which did not come. */
static bool comes_back(const struct sched_round *round, size_t i)
{
	const struct sched_vf *vf = &round->vfs[i];

	return !vf->has_job && !round->taken[i] &&
	       (vf->kept || vf->state == VF_DETACHING || vf->state == VF_RESETTING);
}

/* The one that is stopped first comes first. */
static int compare_victims(const void *pa, const void *pb, void *userdata)
{
	const struct sched_round *round = userdata;
	const struct sched_holder *a = ((const struct end *)pa)->holder, *b = ((const struct end *)pb)->holder;
	unsigned queue_a = round->s->queues[a->queue].priority, queue_b = round->s->queues[b->queue].priority;

	if (queue_a != queue_b)
		return queue_a < queue_b ? -1 : 1;
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	if (a->ran_usec != b->ran_usec)
		return a->ran_usec < b->ran_usec ? -1 : 1;
	return a->id > b->id ? -1 : a->id < b->id;
}

static int preempt_init(struct preempt *p, struct sched_round *round)
{
	const struct sched_snapshot *s = round->s;

	p->round = round;
	p->leaving = calloc(s->n_holders + s->n_vfs + 1, sizeof(*p->leaving));
	p->victims = calloc(s->n_holders + 1, sizeof(*p->victims));
	p->views = calloc(s->n_vms + 1, sizeof(*p->views));
	p->wanted = calloc(s->n_holders + 1, sizeof(*p->wanted));
	p->lacks = calloc(s->n_vms + 1, sizeof(*p->lacks));
	if (!p->leaving || !p->victims || !p->views || !p->wanted || !p->lacks)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_vms; i++)
		p->lacks[i] = s->vms[i].memory == SCHED_MEMORY_LACKED;
	for (size_t i = 0; i < s->n_holders; i++) {
		const struct sched_holder *h = &s->holders[i];

		if (h->leaving)
			p->leaving[p->n_leaving++] = end_of(round, h);
		else if (h->running && h->queue != SCHED_NONE)
			p->victims[p->n_victims++] = end_of(round, h);
	}
	for (size_t i = 0; i < s->n_vfs; i++)
		if (comes_back(round, i))
			p->leaving[p->n_leaving++] = (struct end){
				.slot = SCHED_NONE, .port = is_plugged(&round->vfs[i]) ? round->vfs[i].vm : SCHED_NONE,
				.vf = i };
	qsort_r(p->victims, p->n_victims, sizeof(*p->victims), compare_victims, round);
	return 0;
}

static void preempt_done(struct preempt *p)
{
	free(p->leaving);
	free(p->victims);
	free(p->views);
	free(p->wanted);
	free(p->lacks);
}

/* ---- one job ---- */

static int tell(struct sched_decision *d, const struct sched_holder *h)
{
	char *text = xasprintf("job %llu is preempted for it", (unsigned long long)h->id);

	if (!text)
		return -ENOMEM;
	free(d->text);
	d->text = text;
	d->wait = SCHED_WAIT_PREEMPT;
	return 0;
}

static uint64_t min_runtime(const struct preempt *p, const struct sched_holder *h)
{
	return p->round->s->queues[h->queue].min_runtime_usec;
}

/* The one that is being stopped for it, or NULL. */
static struct end *find_his(struct preempt *p, const struct sched_job *job)
{
	for (size_t i = 0; i < p->n_leaving; i++)
		if (p->leaving[i].holder && p->leaving[i].holder->preempted_for == job->id)
			return &p->leaving[i];
	return NULL;
}

/* Another end that is under way and brings it to its place. */
static struct end *find_leaving(struct preempt *p, const struct sched_job *job)
{
	for (size_t i = 0; i < p->n_leaving; i++)
		if (!p->leaving[i].over && would_help(p, &p->leaving[i], job))
			return &p->leaving[i];
	return NULL;
}

static void note_again(struct preempt *p, uint64_t usec)
{
	uint64_t *again = &p->round->result->again_usec;

	if (*again == 0 || usec < *again)
		*again = usec;
}

/* NULL when nobody may be stopped for it; then whose place it would take all the same is nobody's to free. */
static struct end *find_victim(struct preempt *p, const struct sched_job *job, size_t *ret_lacking)
{
	for (size_t i = 0; i < p->n_victims; i++) {
		const struct sched_holder *h = p->victims[i].holder;
		bool may = may_preempt(p->round, job->queue, h->queue);

		p->lacking = SCHED_NONE;
		p->wanted[i] = !p->victims[i].over && would_help(p, &p->victims[i], job);
		if (p->wanted[i] && may && h->ran_usec >= min_runtime(p, h))
			return &p->victims[i];
		if (!p->wanted[i] && may && p->lacking != SCHED_NONE)
			*ret_lacking = p->lacking;
	}
	for (size_t i = 0; i < p->n_victims; i++) {
		const struct sched_holder *h = p->victims[i].holder;

		if (p->wanted[i] && may_preempt(p->round, job->queue, h->queue))
			note_again(p, min_runtime(p, h) - h->ran_usec);
		p->victims[i].over |= p->wanted[i];
	}
	return NULL;
}

static void views_begin(struct preempt *p, const struct sched_job *job)
{
	memset(p->views, 0, (p->round->s->n_vms + 1) * sizeof(*p->views));
	for (size_t i = 0; i < job->n_vms; i++)
		p->views[job->vms[i]].open = true;
}

static int decide_one(struct preempt *p, struct sched_decision *d)
{
	const struct sched_job *job = &p->round->s->jobs[d->job];
	struct end *e;

	views_begin(p, job);
	e = find_his(p, job);
	if (e) {
		use_end(p, e, job);
		d->promised = true;
		return tell(d, e->holder);
	}
	/* Room that the ends on which earlier ones count leave beside them, or another end. */
	d->promised = take_now(p, job);
	e = d->promised ? NULL : find_leaving(p, job);
	if (e) {
		use_end(p, e, job);
		d->promised = true;
	}
	e = d->promised ? NULL : find_victim(p, job, &d->lacking_vm);
	if (!e)
		return 0;
	use_end(p, e, job);
	d->promised = true;
	d->victim = (size_t)(e->holder - p->round->s->holders);
	d->lacking_vm = SCHED_NONE;
	if (job->vfs > 0 && p->round->s->vms[p->working].memory == SCHED_MEMORY_UNSURE) {
		p->lacks[p->working] = true; /* one shows whether it has it now */
		d->unsure_vm = p->working;
	}
	return tell(d, e->holder);
}

int sched_preempt(struct sched_round *round)
{
	_cleanup_(preempt_done) struct preempt p = { 0 };
	int r;

	if (!concerns_anybody(round))
		return 0;
	r = preempt_init(&p, round);
	for (size_t i = 0; i < round->result->n_decisions && r == 0; i++) {
		struct sched_decision *d = &round->result->decisions[i];

		if (d->wait != SCHED_PLACED && d->wait != SCHED_WAIT_VM_START &&
		    sched_check_limits(round, &round->s->jobs[d->job]) == SCHED_PLACED)
			r = decide_one(&p, d);
	}
	return r;
}
