/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which job is stopped for which: one small scene for each rule, and how long a large round takes. */
#include "scheduler/scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

enum { BATCH, NORMAL, URGENT, QUEUES };
#define MINUTE (60 * USEC_PER_SEC)

/* One card with four VFs of 4 GiB, two VMs with four slots each.  Queue urgent preempts the other two.  Job 1 waits in
 * it; jobs 11 to 14 of batch run, on a VF each, two in each VM, one minute longer each. */
struct scene {
	struct sched_job jobs[4];
	struct sched_vm vms[2];
	struct sched_vf vfs[4];
	struct sched_queue queues[QUEUES];
	struct sched_usage usages[1];
	struct sched_holder holders[4];
	struct sched_snapshot s;
	struct sched_result *result;
};

static const size_t both_vms[] = { 0, 1 };
static const size_t lower_queues[] = { BATCH, NORMAL };
static const char *const vf_names[] = { "gpu0/vf1", "gpu0/vf2", "gpu0/vf3", "gpu0/vf4" };

static struct sched_job job(uint64_t id, size_t queue, unsigned priority)
{
	return (struct sched_job){ .id = id, .queue = queue, .uid = 1000, .queue_priority = priority,
				   .submitted_at = 100 + id, .vfs = 1, .vms = both_vms, .n_vms = 2 };
}

static void scene_init(struct scene *c, size_t n_jobs)
{
	memset(c, 0, sizeof(*c));
	c->queues[BATCH] = (struct sched_queue){ .name = "batch", .priority = 10 };
	c->queues[NORMAL] = (struct sched_queue){ .name = "normal", .priority = 50 };
	c->queues[URGENT] = (struct sched_queue){ .name = "urgent", .priority = 90, .preempts = lower_queues, .n_preempts = 2 };
	for (size_t i = 0; i < 4; i++) {
		c->jobs[i] = job(i + 1, URGENT, 90);
		c->vfs[i] = (struct sched_vf){ .name = vf_names[i], .gpu = { 0, 3, 0, 0 }, .index = (unsigned)i + 1,
					       .state = VF_ATTACHED, .gpu_ready = true, .vram_bytes = { true, 4 * GIB },
					       .vm = i / 2, .has_job = true };
		c->holders[i] = (struct sched_holder){ .id = 11 + i, .queue = BATCH, .uid = 1001, .vm = i / 2, .vf = i,
						       .running = true, .ran_usec = (i + 1) * MINUTE };
	}
	for (size_t i = 0; i < 2; i++)
		c->vms[i] = (struct sched_vm){ .name = i ? "vm-b" : "vm-a", .running = true, .agent = true, .slots = 4,
					       .used = 2, .free_ports = 4 };
	c->s = (struct sched_snapshot){ .jobs = c->jobs, .n_jobs = n_jobs, .vms = c->vms, .n_vms = 2, .vfs = c->vfs,
					.n_vfs = 4, .queues = c->queues, .n_queues = QUEUES, .usages = c->usages,
					.holders = c->holders, .n_holders = 4 };
}

static const struct sched_decision *decide(struct scene *c, size_t i)
{
	c->result = sched_result_free(c->result);
	assert_int_equal(sched_decide(&c->s, &c->result), 0);
	return &c->result->decisions[i];
}

/* Frees the result: each scene is decided many times. */
static void assert_victim(struct scene *c, size_t i, size_t victim)
{
	const struct sched_decision *d = decide(c, i);
	_cleanup_free_ char *text = NULL;

	assert_int_equal(d->victim, victim);
	if (victim != SCHED_NONE) {
		text = xasprintf("job %llu is preempted for it", (unsigned long long)c->holders[victim].id);
		assert_int_equal(d->wait, SCHED_WAIT_PREEMPT);
		assert_string_equal(d->text, text);
		assert_int_equal(d->vm, SCHED_NONE);
	} else {
		assert_int_not_equal(d->wait, SCHED_PLACED);
	}
	c->result = sched_result_free(c->result);
}

static void assert_nobody(struct scene *c, size_t i)
{
	assert_victim(c, i, SCHED_NONE);
}

static void test_which_of_several(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	assert_victim(&c, 0, 0); /* ran shortest */
	c.holders[2].ran_usec = c.holders[0].ran_usec;
	assert_victim(&c, 0, 2); /* the higher id */
	c.holders[3].priority = -5;
	assert_victim(&c, 0, 3); /* the lower priority */
	for (size_t i = 1; i < 4; i++)
		c.holders[i].queue = NORMAL;
	assert_victim(&c, 0, 0); /* the lower queue */
}

/* Whoever was placed in such a VM came back: nobody is stopped again for the same. */
static void test_not_for_a_vm_that_lacked_memory(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.vms[0].memory = c.vms[1].memory = SCHED_MEMORY_LACKED;
	assert_nobody(&c, 0);
	assert_int_not_equal(decide(&c, 0)->lacking_vm, SCHED_NONE); /* it is told why */
	c.holders[0].queue = c.holders[1].queue = c.holders[2].queue = c.holders[3].queue = URGENT;
	assert_int_equal(decide(&c, 0)->lacking_vm, SCHED_NONE); /* they would not make way anyhow */
	c.result = sched_result_free(c.result);
	scene_init(&c, 1);
	c.vms[0].memory = SCHED_MEMORY_LACKED;
	assert_int_equal(decide(&c, 0)->unsure_vm, SCHED_NONE);
	assert_int_equal(decide(&c, 0)->lacking_vm, SCHED_NONE);
	assert_victim(&c, 0, 0); /* its VF goes to the other VM */
}

/* Once that is long ago one job shows whether it is so still, however many wait. */
static void test_one_for_a_vm_that_may_have_memory_again(void **state)
{
	struct scene c;
	unsigned victims = 0, lacking = 0;

	scene_init(&c, 4);
	c.vms[0].memory = SCHED_MEMORY_LACKED;
	c.vms[1].memory = SCHED_MEMORY_UNSURE;
	assert_int_equal(decide(&c, 0)->unsure_vm, 1);
	for (size_t i = 0; i < 4; i++) {
		const struct sched_decision *d = &c.result->decisions[i];

		victims += d->victim != SCHED_NONE;
		lacking += d->lacking_vm != SCHED_NONE;
	}
	assert_int_equal(victims, 1);
	assert_int_equal(lacking, 3);
	c.vms[0].memory = SCHED_MEMORY_UNSURE;
	(void)decide(&c, 0);
	victims = 0;
	for (size_t i = 0; i < 4; i++)
		victims += c.result->decisions[i].victim != SCHED_NONE;
	assert_int_equal(victims, 2); /* one in each */
	c.jobs[0].vfs = 0;
	c.vms[0].slots = c.vms[1].slots = 2;
	assert_int_equal(decide(&c, 0)->unsure_vm, SCHED_NONE); /* it needs no memory */
	assert_int_not_equal(c.result->decisions[0].victim, SCHED_NONE);
	c.result = sched_result_free(c.result);
}

static void test_only_where_the_queue_says_so(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.queues[URGENT].n_preempts = 0;
	assert_nobody(&c, 0);
	c.queues[URGENT].n_preempts = 1; /* batch alone */
	for (size_t i = 0; i < 4; i++)
		c.holders[i].queue = i == 2 ? BATCH : NORMAL;
	assert_victim(&c, 0, 2);
	c.holders[2].queue = URGENT;
	assert_nobody(&c, 0);
	c.holders[2].queue = SCHED_NONE; /* no queue of the policy any more */
	assert_nobody(&c, 0);
}

static void test_only_what_runs(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.holders[0].running = false; /* it is on its way, or its guest is silent */
	assert_victim(&c, 0, 1);
	for (size_t i = 0; i < 4; i++)
		c.holders[i].running = false;
	assert_nobody(&c, 0);
}

static void test_min_runtime(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.queues[BATCH].min_runtime_usec = 3 * MINUTE;
	assert_victim(&c, 0, 2); /* exactly so long is enough */
	c.queues[BATCH].min_runtime_usec = 5 * MINUTE;
	assert_nobody(&c, 0);
	(void)decide(&c, 0);
	assert_int_equal(c.result->again_usec, MINUTE); /* then the one that ran four */
	c.vfs[3].gpu_draining = true; /* … if that is of use */
	(void)decide(&c, 0);
	assert_int_equal(c.result->again_usec, 2 * MINUTE);
	c.vfs[3].gpu_draining = false;
	c.queues[URGENT].n_preempts = 0;
	(void)decide(&c, 0);
	assert_int_equal(c.result->again_usec, 0);
	c.queues[URGENT].n_preempts = 2;
	c.result = sched_result_free(c.result);
	c.queues[BATCH].min_runtime_usec = 0;
	c.queues[URGENT].min_runtime_usec = 5 * MINUTE; /* of its own jobs */
	assert_victim(&c, 0, 0);
}

static void test_one_for_each(void **state)
{
	struct scene c;

	scene_init(&c, 4);
	for (size_t i = 0; i < 4; i++)
		assert_victim(&c, i, i);
	c.s.n_holders = 2; /* the others are no jobs' */
	c.vfs[2].has_job = c.vfs[3].has_job = false;
	assert_victim(&c, 1, 1);
	assert_nobody(&c, 2);
}

static void test_one_that_is_stopped_already(void **state)
{
	struct scene c;

	scene_init(&c, 2);
	c.holders[3] = (struct sched_holder){ .id = 14, .queue = BATCH, .vm = 1, .vf = 3, .leaving = true, .preempted_for = 1 };
	assert_nobody(&c, 0);
	assert_string_equal(decide(&c, 0)->text, "job 14 is preempted for it");
	assert_true(c.result->decisions[0].promised);
	assert_int_equal(c.result->decisions[1].victim, 0); /* the other job gets its own */
	c.result = sched_result_free(c.result);
	c.jobs[1].priority = 5; /* it comes first, and will have the VF: no second one is stopped for job 1 */
	assert_string_equal(decide(&c, 1)->text, "job 14 is preempted for it");
	assert_int_equal(c.result->decisions[0].victim, SCHED_NONE);
	assert_int_equal(c.result->decisions[1].victim, SCHED_NONE);
	c.result = sched_result_free(c.result);
	c.queues[URGENT].n_preempts = 0; /* the policy was changed: what is under way goes on, and is told */
	assert_string_equal(decide(&c, 1)->text, "job 14 is preempted for it");
	c.result = sched_result_free(c.result);
}

/* What comes back by itself is waited for. */
static void test_not_what_comes_back(void **state)
{
	struct scene c;

	scene_init(&c, 2);
	c.holders[3].running = false;
	c.holders[3].leaving = true;
	assert_nobody(&c, 0);
	assert_victim(&c, 1, 0);
	c.jobs[0].vram_bytes = 6 * GIB; /* that is of no use to it */
	c.vfs[1].vram_bytes.value = 8 * GIB;
	assert_victim(&c, 0, 1);
	assert_nobody(&c, 1);
	scene_init(&c, 2);
	c.s.n_holders = 3;
	c.vfs[3].has_job = false;
	assert_victim(&c, 0, 0); /* a VM has it, for good */
	c.vfs[3].state = VF_DETACHING;
	assert_nobody(&c, 0);
	assert_victim(&c, 1, 0);
	c.vfs[3].state = VF_RESETTING;
	assert_nobody(&c, 0);
	c.vfs[3].state = VF_ATTACHED;
	c.vfs[3].kept = true; /* its user's next job did not come */
	assert_nobody(&c, 0);
	c.vfs[3].state = VF_QUARANTINED;
	c.vfs[3].kept = false;
	assert_victim(&c, 0, 0);
}

static void test_none_that_could_be_placed_anyway(void **state)
{
	const struct sched_decision *d;
	struct scene c;

	scene_init(&c, 2);
	c.s.n_holders = 3;
	c.vfs[3].has_job = false;
	c.vfs[3].state = VF_FREE;
	d = decide(&c, 0);
	assert_int_equal(d->wait, SCHED_PLACED);
	assert_int_equal(d->victim, SCHED_NONE);
	assert_victim(&c, 1, 0);
	c.s.n_jobs = 1;
	c.vms[0].running = false; /* … nor one for which a VM is started */
	c.vms[0].can_start = true;
	c.vms[0].used = 0;
	c.s.n_holders = 1;
	c.holders[0].vm = c.vfs[0].vm = 1;
	c.jobs[0].vms = both_vms;
	c.jobs[0].n_vms = 1;
	assert_int_equal(decide(&c, 0)->wait, SCHED_WAIT_VM_START);
	assert_int_equal(c.result->decisions[0].victim, SCHED_NONE);
	c.result = sched_result_free(c.result);
}

static void test_limits(void **state)
{
	struct scene c;

	scene_init(&c, 2);
	c.queues[URGENT].limit_running = c.queues[URGENT].running = 1;
	assert_nobody(&c, 0);
	c.queues[URGENT].running = 0; /* one it may have, and one is promised */
	assert_victim(&c, 0, 0);
	assert_nobody(&c, 1);
	c.queues[URGENT].limit_running = 0;
	c.queues[URGENT].limit_running_per_user = 1;
	assert_victim(&c, 0, 0);
	assert_nobody(&c, 1);
	c.jobs[1].uid = 1001;
	assert_victim(&c, 1, 1);
	c.usages[0] = (struct sched_usage){ .queue = URGENT, .uid = 1000, .running = 1 };
	c.s.n_usages = 1;
	assert_nobody(&c, 0);
	assert_victim(&c, 1, 0);
}

static void test_a_slot(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.jobs[0].vfs = 0;
	c.jobs[0].vms = &both_vms[1];
	c.jobs[0].n_vms = 1;
	c.vms[0].slots = c.vms[1].slots = 2;
	c.holders[2].vf = SCHED_NONE; /* it has a slot only */
	assert_victim(&c, 0, 2);
	c.jobs[0].vfs = 1; /* … and that is not enough: nobody is stopped in vain */
	assert_victim(&c, 0, 3);
	c.holders[3].running = false;
	assert_nobody(&c, 0); /* the others' VFs are in the other VM, and this one is full */
	c.vms[1].slots = 3;
	assert_victim(&c, 0, 0);
}

static void test_a_port(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.vms[0].free_ports = c.vms[1].free_ports = 0;
	c.jobs[0].vms = &both_vms[1];
	c.jobs[0].n_vms = 1;
	assert_victim(&c, 0, 2);
	c.vfs[0].state = VF_FREE; /* its VF is not what is missing */
	c.vfs[0].has_job = false;
	c.holders[0].vf = SCHED_NONE;
	assert_victim(&c, 0, 2);
	c.holders[2].vf = c.holders[3].vf = SCHED_NONE; /* these have no port */
	assert_nobody(&c, 0);
	c.vms[1].no_memory = true;
	c.holders[2].vf = 2;
	assert_nobody(&c, 0);
}

static void test_the_vf_must_fit(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.jobs[0].vram_bytes = 6 * GIB;
	assert_nobody(&c, 0);
	c.vfs[3].vram_bytes.value = 8 * GIB;
	assert_victim(&c, 0, 3);
	c.vfs[3].gpu_draining = true;
	assert_nobody(&c, 0);
	c.vfs[3].gpu_draining = false;
	c.vfs[3].gpu_ready = false;
	assert_nobody(&c, 0);
}

/* "reuse": "same-user": it comes back for its last user alone. */
static void test_memory_of_its_user(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	for (size_t i = 0; i < 4; i++)
		c.vfs[i].only_for = (struct known){ true, 1001 };
	assert_nobody(&c, 0);
	c.vfs[2].only_for.value = 1000;
	assert_victim(&c, 0, 2);
	c.jobs[0].uid = 1001;
	assert_victim(&c, 0, 0);
}

/* A VF that is its VM's stays there. */
static void test_assigned(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.vms[0].mode = VM_VF_ASSIGNED;
	c.holders[0].assigned = c.holders[1].assigned = true;
	c.jobs[0].vms = &both_vms[1];
	c.jobs[0].n_vms = 1;
	assert_victim(&c, 0, 2); /* those of the other VM are of no use */
	c.jobs[0].vms = &both_vms[0];
	assert_victim(&c, 0, 0);
	c.vms[0].free_ports = 0; /* nothing is plugged in */
	assert_victim(&c, 0, 0);
	c.vms[0].mode = VM_VF_KEEP; /* it will be plugged in, and out before */
	c.holders[0].assigned = c.holders[1].assigned = false;
	assert_victim(&c, 0, 0);
}

static void test_a_vm_that_takes_none(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.jobs[0].vms = &both_vms[0];
	c.jobs[0].n_vms = 1;
	c.vms[0].quarantined = true;
	assert_nobody(&c, 0);
	c.vms[0].quarantined = false;
	c.vms[0].wedged = true;
	assert_nobody(&c, 0);
	c.vms[0].wedged = false;
	c.vms[0].agent = false;
	assert_nobody(&c, 0);
	c.jobs[0].n_vms = 0;
	assert_nobody(&c, 0);
}

/* An earlier job that may stop nobody would have the place: nobody is stopped so that it goes on waiting. */
static void test_nobody_for_an_earlier_one(void **state)
{
	struct scene c;

	scene_init(&c, 2);
	c.queues[NORMAL].priority = 95;
	c.jobs[1] = job(2, NORMAL, 95);
	assert_int_equal(decide(&c, 0)->job, 1);
	assert_int_equal(c.result->decisions[0].victim, SCHED_NONE);
	assert_int_equal(c.result->decisions[1].victim, SCHED_NONE);
	c.result = sched_result_free(c.result);
	c.jobs[1].vram_bytes = 6 * GIB; /* … unless it is none for that one */
	assert_victim(&c, 1, 0);
	c.jobs[1].vram_bytes = 0;
	c.queues[NORMAL].limit_running = c.queues[NORMAL].running = 1; /* … or it may not begin */
	assert_victim(&c, 1, 0);
	c.queues[NORMAL].limit_running = 0;
	c.holders[3].running = false; /* … or it will have another */
	c.holders[3].leaving = true;
	assert_victim(&c, 1, 0);
}

static void test_snapshot_is_left_as_it_is(void **state)
{
	struct scene c, before;

	scene_init(&c, 4);
	before = c;
	assert_victim(&c, 0, 0);
	assert_memory_equal(c.vfs, before.vfs, sizeof(c.vfs));
	assert_memory_equal(c.vms, before.vms, sizeof(c.vms));
	assert_memory_equal(c.holders, before.holders, sizeof(c.holders));
}

/* ---- a large round ---- */

#define LARGE_JOBS 1000
#define LARGE_VFS 512
#define LARGE_VMS 64

struct large {
	struct sched_job jobs[LARGE_JOBS];
	struct sched_vm vms[LARGE_VMS];
	char names[LARGE_VMS][16];
	size_t all[LARGE_VMS];
	struct sched_vf vfs[LARGE_VFS];
	struct sched_holder holders[LARGE_VFS];
	struct sched_queue queues[QUEUES];
	struct sched_snapshot s;
};

static struct large *large_new(void)
{
	struct large *c = calloc(1, sizeof(*c));
	struct scene small;

	assert_non_null(c);
	scene_init(&small, 0);
	memcpy(c->queues, small.queues, sizeof(c->queues));
	for (size_t i = 0; i < LARGE_VMS; i++) {
		snprintf(c->names[i], sizeof(c->names[i]), "vm-%zu", i);
		c->all[i] = i;
		c->vms[i] = (struct sched_vm){ .name = c->names[i], .running = true, .agent = true, .slots = 8, .used = 8,
					       .free_ports = -1 };
	}
	for (size_t i = 0; i < LARGE_VFS; i++) {
		size_t vm = i % LARGE_VMS;

		c->vfs[i] = (struct sched_vf){ .name = "vf", .gpu = { 0, (uint8_t)(i / 8), 0, 0 }, .index = i % 8 + 1,
					       .state = VF_ATTACHED, .gpu_ready = true, .vram_bytes = { true, 4 * GIB },
					       .vm = vm, .has_job = true };
		c->holders[i] = (struct sched_holder){ .id = 10000 + i, .queue = BATCH, .vm = vm, .vf = i, .running = true,
						       .ran_usec = i * MINUTE };
	}
	for (size_t i = 0; i < LARGE_JOBS; i++) {
		c->jobs[i] = job(i + 1, URGENT, 90);
		c->jobs[i].uid = (uint32_t)i; /* no two are alike */
		c->jobs[i].vms = c->all;
		c->jobs[i].n_vms = LARGE_VMS;
	}
	c->s = (struct sched_snapshot){ .jobs = c->jobs, .n_jobs = LARGE_JOBS, .vms = c->vms, .n_vms = LARGE_VMS,
					.vfs = c->vfs, .n_vfs = LARGE_VFS, .queues = c->queues, .n_queues = QUEUES,
					.holders = c->holders, .n_holders = LARGE_VFS };
	return c;
}

static uint64_t large_round(struct large *c, const char *what, size_t wanted)
{
	struct sched_result *result = NULL;
	struct timespec begin, end;
	size_t victims = 0;
	uint64_t usec;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	assert_int_equal(sched_decide(&c->s, &result), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	for (size_t i = 0; i < result->n_decisions; i++)
		victims += result->decisions[i].victim != SCHED_NONE;
	assert_int_equal(victims, wanted);
	sched_result_free(result);
	usec = (uint64_t)((end.tv_sec - begin.tv_sec) * 1000000 + (end.tv_nsec - begin.tv_nsec) / 1000);
	print_message("# %d jobs that wait, %d VFs in %d VMs, %s: %llu us\n", LARGE_JOBS, LARGE_VFS, LARGE_VMS, what,
		      (unsigned long long)usec);
	return usec;
}

/* Measured were 12, 8, 9, 24 and 21 ms, in the order below.  A sanitizer needs some times as long; looking at every VF
 * for each pair of jobs would take two seconds. */
static void test_large_rounds(void **state)
{
	struct large *c = large_new();
	uint64_t all;

	all = large_round(c, "half of them get a victim", LARGE_VFS);
	c->queues[URGENT].n_preempts = 0;
	all += large_round(c, "no queue preempts", 0);
	c->queues[URGENT].n_preempts = 2;
	c->queues[BATCH].min_runtime_usec = LARGE_VFS * MINUTE;
	all += large_round(c, "all ran too short", 0);
	for (size_t i = 0; i < LARGE_JOBS; i++)
		c->jobs[i].vram_bytes = 6 * GIB;
	all += large_round(c, "no VF fits, every VM is full", 0);
	for (size_t i = 0; i < LARGE_VFS; i++) {
		c->vfs[i].vram_bytes.value = 8 * GIB;
		c->vfs[i].vm = SCHED_NONE;
		c->holders[i].vf = SCHED_NONE;
	}
	all += large_round(c, "slots would come back, VFs would not", 0);
	assert_true(all < USEC_PER_SEC * 3 / 2);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_of_several),
		cmocka_unit_test(test_not_for_a_vm_that_lacked_memory),
		cmocka_unit_test(test_one_for_a_vm_that_may_have_memory_again),
		cmocka_unit_test(test_only_where_the_queue_says_so),
		cmocka_unit_test(test_only_what_runs),
		cmocka_unit_test(test_min_runtime),
		cmocka_unit_test(test_one_for_each),
		cmocka_unit_test(test_one_that_is_stopped_already),
		cmocka_unit_test(test_not_what_comes_back),
		cmocka_unit_test(test_none_that_could_be_placed_anyway),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_a_slot),
		cmocka_unit_test(test_a_port),
		cmocka_unit_test(test_the_vf_must_fit),
		cmocka_unit_test(test_memory_of_its_user),
		cmocka_unit_test(test_assigned),
		cmocka_unit_test(test_a_vm_that_takes_none),
		cmocka_unit_test(test_nobody_for_an_earlier_one),
		cmocka_unit_test(test_snapshot_is_left_as_it_is),
		cmocka_unit_test(test_large_rounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
