/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must hold for every decision, over random snapshots.  The seed is printed; GPUVF_SEED=N
 * repeats a run. */
#include "scheduler/scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/support/random.h"

#define ROUNDS 3000
#define JOBS_MAX 24
#define VMS_MAX 6
#define VFS_MAX 16
#define QUEUES_MAX 3
#define USERS 3

static struct random rnd;

static uint64_t random_number(uint64_t below)
{
	return random_below(&rnd, below);
}

static bool one_in(unsigned n)
{
	return random_one_in(&rnd, n);
}

struct world {
	struct sched_job jobs[JOBS_MAX];
	size_t job_vms[JOBS_MAX][VMS_MAX];
	struct sched_vm vms[VMS_MAX];
	char vm_names[VMS_MAX][24];
	struct sched_vf vfs[VFS_MAX];
	struct sched_queue queues[QUEUES_MAX];
	struct sched_usage usages[QUEUES_MAX * USERS];
	struct sched_job rest[JOBS_MAX]; /* those that were not placed */
	struct sched_holder holders[VFS_MAX + VMS_MAX];
	size_t preempts[QUEUES_MAX][QUEUES_MAX];
	struct sched_snapshot s;
};

static void make_vms(struct world *w)
{
	size_t i;

	for (i = 0; i < w->s.n_vms; i++) {
		snprintf(w->vm_names[i], sizeof(w->vm_names[i]), "vm%zu", i);
		w->vms[i] = (struct sched_vm){ .name = w->vm_names[i],
					       .running = !one_in(8),
					       .agent = !one_in(8),
					       .quarantined = one_in(12),
					       .can_start = one_in(2),
					       .starting = one_in(2),
					       .slots = (unsigned)random_number(3) + 1,
					       .used = (unsigned)random_number(3),
					       .free_ports = (int)random_number(4) - 1,
					       .mode = (int)random_number(VM_VF_MODE_MAX) };
		w->vms[i].can_start = w->vms[i].can_start && !w->vms[i].running;
		w->vms[i].starting = w->vms[i].starting && !w->vms[i].agent;
	}
}

static void make_vfs(struct world *w)
{
	static const char *const profiles[] = { NULL, "quarter", "half" };
	size_t i;

	for (i = 0; i < w->s.n_vfs; i++) {
		struct sched_vf *vf = &w->vfs[i];

		*vf = (struct sched_vf){ .name = "vf",
					 .gpu = { 0, (uint8_t)(i / 4), 0, 0 },
					 .index = (unsigned)(i % 4) + 1,
					 .state = one_in(2) ? VF_FREE
							    : (int)random_number(VF_STATE_MAX),
					 .gpu_ready = !one_in(6),
					 .vram_bytes = { !one_in(6), (random_number(4) + 1) * GIB },
					 .profile = profiles[random_number(3)],
					 .vm = SCHED_NONE };
		if (vf->state == VF_ATTACHED && w->s.n_vms > 0) {
			vf->vm = random_number(w->s.n_vms);
			vf->has_job = one_in(2);
			vf->kept = !vf->has_job && one_in(2);
			vf->uid = (uint32_t)random_number(USERS);
		}
	}
}

static void make_jobs(struct world *w)
{
	size_t i, k;

	for (i = 0; i < w->s.n_jobs; i++) {
		struct sched_job *job = &w->jobs[i];

		*job = (struct sched_job){ .id = i + 1,
					   .queue = random_number(w->s.n_queues),
					   .uid = (uint32_t)random_number(USERS),
					   .priority = (int64_t)random_number(5) - 2,
					   .submitted_at = random_number(6),
					   .vfs = one_in(5) ? 0 : 1,
					   .vms = w->job_vms[i] };
		job->queue_priority = (unsigned)job->queue * 10;
		if (job->vfs > 0 && one_in(2))
			job->vram_bytes = (random_number(5) + 1) * GIB;
		else if (job->vfs > 0 && one_in(4))
			job->profile = "quarter";
		for (k = 0; k < w->s.n_vms; k++)
			if (!one_in(3))
				w->job_vms[i][job->n_vms++] = k;
	}
}

static void make_world(struct world *w)
{
	size_t i;

	memset(w, 0, sizeof(*w));
	w->s = (struct sched_snapshot){ .jobs = w->jobs,
					.n_jobs = random_number(JOBS_MAX + 1),
					.vms = w->vms,
					.n_vms = random_number(VMS_MAX + 1),
					.vfs = w->vfs,
					.n_vfs = random_number(VFS_MAX + 1),
					.queues = w->queues,
					.n_queues = random_number(QUEUES_MAX) + 1,
					.usages = w->usages,
					.n_usages = QUEUES_MAX * USERS };
	for (i = 0; i < w->s.n_usages; i++)
		w->usages[i] = (struct sched_usage){ .queue = i / USERS, .uid = i % USERS,
						     .running = (unsigned)random_number(2) };
	for (i = 0; i < QUEUES_MAX; i++) {
		w->queues[i] = (struct sched_queue){ .name = "q" };
		w->queues[i].running = w->usages[i * USERS].running +
				       w->usages[i * USERS + 1].running +
				       w->usages[i * USERS + 2].running;
		if (one_in(3))
			w->queues[i].limit_running = (unsigned)random_number(4) + 1;
		if (one_in(3))
			w->queues[i].limit_running_per_user = (unsigned)random_number(3) + 1;
	}
	make_vms(w);
	make_vfs(w);
	make_jobs(w);
}

static bool job_may_use_vm(const struct sched_job *job, size_t vm)
{
	size_t i;

	for (i = 0; i < job->n_vms; i++)
		if (job->vms[i] == vm)
			return true;
	return false;
}

/* One placed job against the snapshot as it was. */
static void check_placed(const struct world *w, const struct sched_decision *d)
{
	const struct sched_job *job = &w->jobs[d->job];
	const struct sched_vm *vm = &w->vms[d->vm];
	const struct sched_vf *vf;

	assert_true(job_may_use_vm(job, d->vm));
	assert_true(vm->running && vm->agent && !vm->quarantined);
	assert_null(d->text);
	if (job->vfs == 0) {
		assert_int_equal(d->vf, SCHED_NONE);
		return;
	}
	assert_true(d->vf < w->s.n_vfs);
	vf = &w->vfs[d->vf];
	assert_false(vf->has_job);
	if (vm->mode == VM_VF_ASSIGNED)
		assert_true(vf->state == VF_ATTACHED && vf->vm == d->vm);
	else if (vf->kept)
		assert_true(vm->mode == VM_VF_KEEP && vf->state == VF_ATTACHED &&
			    vf->vm == d->vm && vf->uid == job->uid);
	else
		assert_true(vf->state == VF_FREE && vf->gpu_ready);
	if (job->vram_bytes > 0)
		assert_true(vf->vram_bytes.known && vf->vram_bytes.value >= job->vram_bytes);
	if (job->profile)
		assert_true(streq_ptr(vf->profile, job->profile));
}

/* No VF twice, no VM over its slots or ports, no queue or user over a limit. */
static void check_totals(const struct world *w, const struct sched_result *r)
{
	unsigned by_vm[VMS_MAX] = { 0 }, plugged[VMS_MAX] = { 0 }, by_queue[QUEUES_MAX] = { 0 };
	unsigned by_user[QUEUES_MAX][USERS] = { 0 }, by_vf[VFS_MAX] = { 0 };
	size_t placed = 0, i;

	for (i = 0; i < r->n_decisions; i++) {
		const struct sched_decision *d = &r->decisions[i];
		const struct sched_job *job = &w->jobs[d->job];
		const struct sched_queue *queue = &w->queues[job->queue];

		if (d->wait != SCHED_PLACED)
			continue;
		placed++;
		check_placed(w, d);
		if (d->vf != SCHED_NONE)
			assert_int_equal(++by_vf[d->vf], 1);
		assert_true(++by_vm[d->vm] + w->vms[d->vm].used <= w->vms[d->vm].slots);
		if (d->vf != SCHED_NONE && w->vms[d->vm].mode != VM_VF_ASSIGNED &&
		    !w->vfs[d->vf].kept && w->vms[d->vm].free_ports >= 0)
			assert_true(++plugged[d->vm] <= (unsigned)w->vms[d->vm].free_ports);
		by_queue[job->queue]++;
		if (queue->limit_running > 0)
			assert_true(by_queue[job->queue] + queue->running <= queue->limit_running);
		by_user[job->queue][job->uid]++;
		if (queue->limit_running_per_user > 0)
			assert_true(by_user[job->queue][job->uid] +
					    w->usages[job->queue * USERS + job->uid].running <=
				    queue->limit_running_per_user);
	}
	assert_int_equal(placed, r->n_placed);
}

/* A VM that is started for a job is open to it and has a slot, and a VF that nobody else was given. */
static void check_starts(const struct world *w, const struct sched_result *r)
{
	unsigned by_vm[VMS_MAX] = { 0 };
	size_t i;

	for (i = 0; i < r->n_decisions; i++) {
		const struct sched_decision *d = &r->decisions[i];
		const struct sched_vm *vm = &w->vms[d->vm == SCHED_NONE ? 0 : d->vm];

		if (d->wait == SCHED_PLACED)
			by_vm[d->vm]++;
		if (d->wait != SCHED_WAIT_VM_START)
			continue;
		assert_true(job_may_use_vm(&w->jobs[d->job], d->vm));
		assert_true((vm->can_start || vm->starting) && !vm->quarantined);
		assert_int_equal(d->vf, SCHED_NONE);
		by_vm[d->vm]++;
	}
	for (i = 0; i < w->s.n_vms; i++)
		assert_true(by_vm[i] == 0 || by_vm[i] + w->vms[i].used <= w->vms[i].slots);
}

static bool comes_before(const struct sched_job *a, const struct sched_job *b)
{
	if (a->queue_priority != b->queue_priority)
		return a->queue_priority > b->queue_priority;
	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (a->submitted_at != b->submitted_at)
		return a->submitted_at < b->submitted_at;
	return a->id < b->id;
}

static bool same_needs(const struct sched_job *a, const struct sched_job *b)
{
	return a->queue == b->queue && a->uid == b->uid && a->vfs == b->vfs &&
	       a->vram_bytes == b->vram_bytes && streq_ptr(a->profile, b->profile) &&
	       a->n_vms == b->n_vms && memcmp(a->vms, b->vms, a->n_vms * sizeof(*a->vms)) == 0;
}

/* Every job once, in order; of two with equal needs the later one never starts alone. */
static void check_order(const struct world *w, const struct sched_result *r)
{
	bool seen[JOBS_MAX] = { false };
	size_t i, k;

	assert_int_equal(r->n_decisions, w->s.n_jobs);
	for (i = 0; i < r->n_decisions; i++) {
		const struct sched_decision *d = &r->decisions[i];

		assert_false(seen[d->job]);
		seen[d->job] = true;
		if (d->wait != SCHED_PLACED)
			assert_true(d->text && strlen(d->text) > 0);
		for (k = 0; k < i; k++) {
			const struct sched_decision *before = &r->decisions[k];

			assert_true(comes_before(&w->jobs[before->job], &w->jobs[d->job]));
			if (same_needs(&w->jobs[before->job], &w->jobs[d->job]))
				assert_false(before->wait != SCHED_PLACED &&
					     d->wait == SCHED_PLACED);
		}
	}
}

/* What was placed has gone in. */
static void apply_placed(struct world *w, const struct sched_result *r)
{
	size_t n = 0, i;

	for (i = 0; i < r->n_decisions; i++) {
		const struct sched_decision *d = &r->decisions[i];
		const struct sched_job *job = &w->jobs[d->job];
		struct sched_vm *vm = &w->vms[d->vm == SCHED_NONE ? 0 : d->vm];

		if (d->wait != SCHED_PLACED) {
			w->rest[n++] = *job;
			continue;
		}
		vm->used++;
		w->queues[job->queue].running++;
		w->usages[job->queue * USERS + job->uid].running++;
		if (d->vf == SCHED_NONE)
			continue;
		if (vm->mode != VM_VF_ASSIGNED && !w->vfs[d->vf].kept && vm->free_ports > 0)
			vm->free_ports--;
		w->vfs[d->vf].state = VF_ATTACHED;
		w->vfs[d->vf].vm = d->vm;
		w->vfs[d->vf].has_job = true;
	}
	w->s.jobs = w->rest;
	w->s.n_jobs = n;
}

/* Deciding again then finds nothing more: no place was overlooked. */
static void check_nothing_left(struct world *w, const struct sched_result *r)
{
	struct sched_result *again = NULL;

	apply_placed(w, r);
	assert_int_equal(sched_decide(&w->s, &again), 0);
	assert_int_equal(again->n_placed, 0);
	sched_result_free(again);
}

static void test_properties(void **state)
{
	struct sched_result *r = NULL;
	size_t placed = 0;
	struct world w;
	int i;

	rnd = random_begin();
	for (i = 0; i < ROUNDS; i++) {
		make_world(&w);
		assert_int_equal(sched_decide(&w.s, &r), 0);
		check_order(&w, r);
		check_starts(&w, r);
		check_totals(&w, r);
		check_nothing_left(&w, r);
		placed += r->n_placed;
		r = sched_result_free(r);
	}
	/* The worlds are such that something happens in them. */
	assert_true(placed > ROUNDS);
}

/* ---- who is stopped for whom ---- */

/* Every VF with a job has one that holds it, some hold a slot alone; nothing comes back by itself. */
static void make_holders(struct world *w)
{
	size_t i, k;

	for (i = 0; i < QUEUES_MAX; i++) {
		w->queues[i].priority = (unsigned)i * 10;
		w->queues[i].min_runtime_usec = random_number(3);
		w->queues[i].preempts = w->preempts[i];
		for (k = 0; k < i; k++)
			if (!one_in(3))
				w->preempts[i][w->queues[i].n_preempts++] = k;
	}
	for (i = 0; i < w->s.n_vms; i++) {
		w->vms[i].can_start = w->vms[i].starting = false;
		w->vms[i].used = 0;
	}
	for (i = 0; i < w->s.n_vfs + w->s.n_vms; i++) {
		struct sched_vf *vf = i < w->s.n_vfs ? &w->vfs[i] : NULL;
		size_t vm;

		if (vf && w->s.n_vms > 0 && !one_in(4)) { /* most are in use */
			vf->state = VF_ATTACHED;
			vf->vm = random_number(w->s.n_vms);
			vf->has_job = true;
			vf->kept = false;
			w->vms[vf->vm].slots += !one_in(3);
		}
		vm = vf ? vf->vm : i - w->s.n_vfs;
		if (vf && (vf->kept || vf->state == VF_DETACHING || vf->state == VF_RESETTING)) {
			vf->kept = false;
			vf->state = VF_RESERVED;
		}
		if (vf ? !vf->has_job || vm == SCHED_NONE : one_in(2))
			continue;
		w->vms[vm].used++;
		w->holders[w->s.n_holders++] = (struct sched_holder){
			.id = 100 + i, .queue = random_number(w->s.n_queues), .priority = (int64_t)random_number(3),
			.vm = vm, .vf = vf ? i : SCHED_NONE, .assigned = w->vms[vm].mode == VM_VF_ASSIGNED,
			.running = !one_in(4), .ran_usec = random_number(4) };
	}
	w->s.holders = w->holders;
}

static bool may_stop(const struct world *w, const struct sched_job *job, const struct sched_holder *h)
{
	const struct sched_queue *queue = &w->queues[job->queue];

	for (size_t i = 0; i < queue->n_preempts; i++)
		if (queue->preempts[i] == h->queue)
			return h->running && h->ran_usec >= w->queues[h->queue].min_runtime_usec;
	return false;
}

/* a is stopped before b. */
static bool goes_first(const struct sched_holder *a, const struct sched_holder *b)
{
	if (a->queue != b->queue) /* their priorities are in that order */
		return a->queue < b->queue;
	if (a->priority != b->priority)
		return a->priority < b->priority;
	if (a->ran_usec != b->ran_usec)
		return a->ran_usec < b->ran_usec;
	return a->id > b->id;
}

/* The scheduler itself says whether the job would be placed if that one had ended. */
static bool placed_after(const struct world *before, uint64_t job, size_t holder)
{
	struct world *w = malloc(sizeof(*w));
	struct sched_result *r = NULL;
	struct sched_holder *h;
	bool placed = false;

	assert_non_null(w);
	*w = *before;
	w->s.jobs = w->rest;
	w->s.vms = w->vms;
	w->s.vfs = w->vfs;
	w->s.holders = w->holders;
	h = &w->holders[holder];
	w->vms[h->vm].used--;
	if (h->vf != SCHED_NONE) {
		w->vfs[h->vf].has_job = false;
		if (!h->assigned) {
			w->vfs[h->vf].state = VF_FREE;
			w->vfs[h->vf].vm = SCHED_NONE;
			w->vms[h->vm].free_ports += w->vms[h->vm].free_ports >= 0;
		}
	}
	h->vm = h->vf = SCHED_NONE;
	h->running = false;
	assert_int_equal(sched_decide(&w->s, &r), 0);
	for (size_t i = 0; i < r->n_decisions; i++)
		placed |= w->s.jobs[r->decisions[i].job].id == job && r->decisions[i].wait == SCHED_PLACED;
	sched_result_free(r);
	free(w);
	return placed;
}

/* Of the first that waits and may begin: somebody is stopped for it exactly if that helps, and it is the right one. */
static size_t check_first(const struct world *w, const struct sched_result *r)
{
	for (size_t i = 0; i < r->n_decisions; i++) {
		const struct sched_decision *d = &r->decisions[i];
		const struct sched_job *job = &w->s.jobs[d->job];

		if (d->wait == SCHED_WAIT_QUEUE_LIMIT || d->wait == SCHED_WAIT_USER_LIMIT) {
			assert_int_equal(d->victim, SCHED_NONE);
			continue;
		}
		for (size_t h = 0; h < w->s.n_holders; h++) {
			if (!may_stop(w, job, &w->holders[h]))
				assert_int_not_equal(d->victim, h);
			else if (d->victim == h)
				assert_true(placed_after(w, job->id, h));
			else if (d->victim == SCHED_NONE || goes_first(&w->holders[h], &w->holders[d->victim]))
				assert_false(placed_after(w, job->id, h));
		}
		return d->victim != SCHED_NONE;
	}
	return 0;
}

/* Nobody is stopped twice. */
static void check_victims(const struct world *w, const struct sched_result *r)
{
	bool seen[VFS_MAX + VMS_MAX] = { false };

	for (size_t i = 0; i < r->n_decisions; i++) {
		const struct sched_decision *d = &r->decisions[i];

		if (d->victim == SCHED_NONE)
			continue;
		assert_true(d->victim < w->s.n_holders);
		assert_true(may_stop(w, &w->s.jobs[d->job], &w->holders[d->victim]));
		assert_false(seen[d->victim]);
		seen[d->victim] = true;
	}
}

static void test_preempting(void **state)
{
	struct sched_result *r = NULL;
	size_t stopped = 0;
	struct world w;

	rnd = random_begin();
	for (int i = 0; i < ROUNDS; i++) {
		make_world(&w);
		make_holders(&w);
		assert_int_equal(sched_decide(&w.s, &r), 0);
		apply_placed(&w, r);
		r = sched_result_free(r);
		assert_int_equal(sched_decide(&w.s, &r), 0);
		check_victims(&w, r);
		stopped += check_first(&w, r);
		r = sched_result_free(r);
	}
	assert_true(stopped > ROUNDS / 30); /* twice as many, mostly */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_properties),
		cmocka_unit_test(test_preempting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
