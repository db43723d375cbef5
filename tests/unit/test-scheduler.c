/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who starts where, and why the others wait: one small scene for each rule. */
#include "scheduler/scheduler.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Two cards with two VFs of 4 GiB each, two VMs with one slot, one queue, up to four jobs. */
struct scene {
	struct sched_job jobs[4];
	struct sched_vm vms[2];
	struct sched_vf vfs[4];
	struct sched_queue queues[2];
	struct sched_usage usages[1];
	struct sched_snapshot s;
	struct sched_result *result;
};

static const size_t both_vms[] = { 0, 1 };
static const char *const vf_names[] = { "gpu0/vf1", "gpu0/vf2", "gpu1/vf1", "gpu1/vf2" };

static void scene_init(struct scene *c, size_t n_jobs)
{
	size_t i;

	memset(c, 0, sizeof(*c));
	for (i = 0; i < 4; i++) {
		c->vfs[i] = (struct sched_vf){ .name = vf_names[i],
					       .gpu = { 0, (uint8_t)(3 + i / 2), 0, 0 },
					       .index = (unsigned)i % 2 + 1,
					       .state = VF_FREE,
					       .gpu_ready = true,
					       .vram_bytes = { true, 4 * GIB },
					       .vm = SCHED_NONE };
		c->jobs[i] = (struct sched_job){ .id = i + 1,
						 .uid = 1000,
						 .queue_priority = 50,
						 .submitted_at = 100 + i,
						 .vfs = 1,
						 .vms = both_vms,
						 .n_vms = 2 };
	}
	for (i = 0; i < 2; i++) {
		c->vms[i] = (struct sched_vm){ .name = i ? "vm-b" : "vm-a", .running = true,
					       .agent = true, .slots = 1, .free_ports = 4 };
		c->queues[i] = (struct sched_queue){ .name = i ? "other" : "default" };
	}
	c->usages[0] = (struct sched_usage){ .uid = 1000 };
	c->s = (struct sched_snapshot){ .jobs = c->jobs,
					.n_jobs = n_jobs,
					.vms = c->vms,
					.n_vms = 2,
					.vfs = c->vfs,
					.n_vfs = 4,
					.queues = c->queues,
					.n_queues = 2,
					.usages = c->usages,
					.n_usages = 1 };
}

static const struct sched_decision *decide(struct scene *c, size_t i)
{
	c->result = sched_result_free(c->result);
	assert_int_equal(sched_decide(&c->s, &c->result), 0);
	assert_int_equal(c->result->n_decisions, c->s.n_jobs);
	return &c->result->decisions[i];
}

static void scene_done(struct scene *c)
{
	c->result = sched_result_free(c->result);
}

/* The first job waits for this reason, and the text tells these words. */
static void assert_waits(struct scene *c, enum sched_wait wait, const char *words)
{
	const struct sched_decision *d = decide(c, 0);

	assert_string_equal(sched_wait_to_string(d->wait), sched_wait_to_string(wait));
	assert_int_equal(d->vm, SCHED_NONE);
	assert_int_equal(d->vf, SCHED_NONE);
	if (!strstr(d->text, words))
		fail_msg("wanted \"%s\", got \"%s\"", words, d->text);
}

static void test_order(void **state)
{
	static const size_t wanted[] = { 2, 1, 3, 0 };
	struct scene c;
	size_t i;

	scene_init(&c, 4);
	c.jobs[0].priority = -10;
	c.jobs[2].queue_priority = 60;
	c.jobs[2].priority = -100;
	c.jobs[3].submitted_at = c.jobs[1].submitted_at; /* then the lower id */
	for (i = 0; i < 4; i++)
		assert_int_equal(decide(&c, i)->job, wanted[i]);
	assert_int_equal(c.result->n_placed, 2);
	scene_done(&c);
}

static void test_smallest_that_fits(void **state)
{
	const struct sched_decision *d;
	struct scene c;

	scene_init(&c, 1);
	c.vfs[0].vram_bytes.value = 8 * GIB;
	c.vfs[1].vram_bytes.known = false;
	c.vfs[2].vram_bytes.value = 2 * GIB;
	c.jobs[0].vram_bytes = 3 * GIB;
	d = decide(&c, 0);
	assert_int_equal(d->wait, SCHED_PLACED);
	assert_int_equal(d->vf, 3);
	assert_null(d->text);
	c.jobs[0].vram_bytes = 0;
	assert_int_equal(decide(&c, 0)->vf, 2);
	scene_done(&c);
}

static void test_ties(void **state)
{
	struct scene c;

	scene_init(&c, 2);
	assert_int_equal(decide(&c, 0)->vf, 0); /* lower address, lower index */
	assert_int_equal(decide(&c, 1)->vf, 1); /* the card that is used now */
	c.vfs[3].state = VF_ATTACHED;
	assert_int_equal(decide(&c, 0)->vf, 2); /* the other card is in use already */
	scene_done(&c);
}

static void test_vm_with_fewest_jobs(void **state)
{
	struct scene c;

	scene_init(&c, 2);
	assert_int_equal(decide(&c, 0)->vm, 0); /* by name */
	assert_int_equal(decide(&c, 1)->vm, 1);
	c.vms[0].slots = c.vms[1].slots = 3;
	c.vms[0].used = 1;
	assert_int_equal(decide(&c, 0)->vm, 1);
	assert_int_equal(decide(&c, 1)->vm, 0);
	scene_done(&c);
}

static void test_profile(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.vfs[2].profile = "quarter";
	c.jobs[0].profile = "quarter";
	assert_int_equal(decide(&c, 0)->vf, 2);
	c.jobs[0].profile = "half";
	assert_waits(&c, SCHED_WAIT_NO_FIT, "a VF of profile half; none of 4 VFs has that profile");
	scene_done(&c);
}

static void test_job_without_vf(void **state)
{
	const struct sched_decision *d;
	struct scene c;

	scene_init(&c, 1);
	c.s.n_vfs = 0;
	c.vms[0].free_ports = 0;
	c.jobs[0].vfs = 0;
	d = decide(&c, 0);
	assert_int_equal(d->wait, SCHED_PLACED);
	assert_int_equal(d->vm, 0);
	assert_int_equal(d->vf, SCHED_NONE);
	scene_done(&c);
}

static void test_assigned_mode(void **state)
{
	struct scene c;

	scene_init(&c, 2);
	c.s.n_vms = 1;
	c.jobs[0].n_vms = c.jobs[1].n_vms = 1;
	c.vms[0].mode = VM_VF_ASSIGNED;
	c.vms[0].slots = 4;
	c.vms[0].free_ports = 0; /* nothing is plugged in */
	assert_waits(&c, SCHED_WAIT_NO_FIT, "needs a VF; there is none that it may use");

	c.vfs[3].state = VF_ATTACHED;
	c.vfs[3].vm = 0;
	assert_int_equal(decide(&c, 0)->vf, 3);
	assert_int_equal(decide(&c, 1)->wait, SCHED_WAIT_VF_BUSY);
	assert_string_equal(c.result->decisions[1].text, "needs a VF; all 1 that fit are in use");
	c.vfs[3].has_job = true;
	assert_waits(&c, SCHED_WAIT_VF_BUSY, "in use");
	scene_done(&c);
}

static void test_a_job_that_fits_nowhere_blocks_nobody(void **state)
{
	struct scene c;

	scene_init(&c, 2);
	c.jobs[0].vram_bytes = 6 * GIB;
	c.jobs[0].priority = 10;
	assert_waits(&c, SCHED_WAIT_NO_FIT,
		     "needs a VF with 6.0GiB of VRAM; the largest of 4 has 4.0GiB");
	assert_int_equal(c.result->decisions[1].wait, SCHED_PLACED);
	scene_done(&c);
}

static void test_unknown_vram_fits_no_wish(void **state)
{
	struct scene c;
	size_t i;

	scene_init(&c, 1);
	for (i = 0; i < 4; i++)
		c.vfs[i].vram_bytes = (struct known){ false, 0 };
	assert_int_equal(decide(&c, 0)->wait, SCHED_PLACED);
	c.jobs[0].vram_bytes = 1;
	assert_waits(&c, SCHED_WAIT_NO_FIT, "the VRAM of 4 VFs is unknown");
	scene_done(&c);
}

static void test_vm_reasons(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.vms[0].running = false;
	c.vms[1].agent = false;
	assert_waits(&c, SCHED_WAIT_NO_AGENT, "1 of 2 VMs open to it are running but their guest");
	c.vms[1].quarantined = true;
	assert_waits(&c, SCHED_WAIT_VM_OFF, "1 of 2 VMs open to it are not running");
	c.vms[1] = (struct sched_vm){ .name = "vm-b", .running = true, .agent = true, .slots = 2,
				      .used = 2, .free_ports = 1 };
	assert_waits(&c, SCHED_WAIT_VM_BUSY, "1 of 2 VMs open to it are full");
	c.jobs[0].vms = &both_vms[1];
	c.jobs[0].n_vms = 1;
	assert_waits(&c, SCHED_WAIT_VM_BUSY, "VM vm-b is full: 2 of 2 slots have a job");
	c.vms[1].used = 0;
	c.vms[1].free_ports = 0;
	assert_waits(&c, SCHED_WAIT_NO_PORT, "VM vm-b is without a free PCIe port");
	c.vms[1].no_memory = true; /* the larger obstacle */
	assert_waits(&c, SCHED_WAIT_NO_MEMORY, "the host lacks the memory that a VF for VM vm-b would pin");
	c.vms[0].can_start = true; /* a host without memory starts no other VM for it */
	c.jobs[0].vms = both_vms;
	c.jobs[0].n_vms = 2;
	assert_waits(&c, SCHED_WAIT_NO_MEMORY, "1 of 2 VMs open to it are such that the host lacks the memory");
	c.vms[0] = (struct sched_vm){ .name = "vm-a", .running = true, .agent = true, .slots = 1, .free_ports = 1 };
	assert_int_equal(decide(&c, 0)->wait, SCHED_PLACED); /* in the other one */
	c.vms[0].running = false;
	c.vms[1].mode = VM_VF_ASSIGNED; /* nothing is plugged in */
	c.vfs[3].state = VF_ATTACHED;
	c.vfs[3].vm = 1;
	assert_int_equal(decide(&c, 0)->wait, SCHED_PLACED);
	c.vms[1].mode = VM_VF_PER_JOB;
	c.jobs[0].vms = &both_vms[1];
	c.jobs[0].n_vms = 1;
	c.vms[1].no_memory = false;
	c.vms[1].free_ports = -1; /* unknown: try */
	assert_int_equal(decide(&c, 0)->wait, SCHED_PLACED);
	c.jobs[0].n_vms = 0;
	assert_waits(&c, SCHED_WAIT_NO_VM, "no vms rule of the policy lets its user in");
	scene_done(&c);
}

/* A VM that is off is started for the job that nothing which runs can take. */
static void test_vm_is_started_on_demand(void **state)
{
	struct scene c;

	scene_init(&c, 3);
	c.vms[1].running = false;
	c.vms[1].can_start = true;
	assert_int_equal(decide(&c, 0)->vm, 0);
	assert_int_equal(decide(&c, 1)->wait, SCHED_WAIT_VM_START);
	assert_int_equal(c.result->decisions[1].vm, 1);
	assert_string_equal(c.result->decisions[1].text, "VM vm-b is being started");
	assert_int_equal(c.result->decisions[2].wait, SCHED_WAIT_VM_BUSY); /* one slot, one job */

	c.vms[1].running = c.vms[1].starting = true; /* it runs, its agent is not there yet */
	c.vms[1].agent = c.vms[1].can_start = false;
	assert_int_equal(decide(&c, 1)->wait, SCHED_WAIT_VM_START);

	c.vms[1].quarantined = true;
	assert_int_equal(decide(&c, 1)->wait, SCHED_WAIT_VM_BUSY);
	scene_done(&c);
}

/* None is started for a job that could not run there either. */
static void test_vm_is_not_started_in_vain(void **state)
{
	struct scene c;
	size_t i;

	scene_init(&c, 1);
	for (i = 0; i < 2; i++) {
		c.vms[i].running = false;
		c.vms[i].can_start = true;
	}
	assert_int_equal(decide(&c, 0)->vm, 0);
	c.queues[0].limit_running = c.queues[0].running = 1;
	assert_waits(&c, SCHED_WAIT_QUEUE_LIMIT, "queue default runs 1");
	c.queues[0].limit_running = 0;
	c.jobs[0].vram_bytes = 6 * GIB;
	assert_waits(&c, SCHED_WAIT_NO_FIT, "needs a VF with 6.0GiB");
	c.jobs[0].vram_bytes = 0;
	for (i = 0; i < 4; i++)
		c.vfs[i].gpu_draining = true;
	assert_int_not_equal(decide(&c, 0)->wait, SCHED_WAIT_VM_START);
	scene_done(&c);

	scene_init(&c, 1);
	c.vms[0].running = false;
	c.vms[0].can_start = true;
	c.vms[0].mode = VM_VF_ASSIGNED; /* its VF waits in its stored definition */
	c.vms[1].wedged = true; /* whatever else it is */
	assert_waits(&c, SCHED_WAIT_VM_WEDGED, "wedged");
	c.vms[1].wedged = false;
	c.vms[1].quarantined = true;
	assert_waits(&c, SCHED_WAIT_VM_QUARANTINED, "quarantined");
	c.vfs[2].state = VF_RESERVED;
	c.vfs[2].vm = 0;
	assert_int_equal(decide(&c, 0)->wait, SCHED_WAIT_VM_START);
	assert_int_equal(c.result->decisions[0].vm, 0);
	c.vms[0].saved = true; /* it would start without that VF */
	assert_int_not_equal(decide(&c, 0)->wait, SCHED_WAIT_VM_START);
	c.vms[0].mode = VM_VF_PER_JOB; /* plugged in when it runs */
	assert_int_equal(decide(&c, 0)->wait, SCHED_WAIT_VM_START);
	scene_done(&c);
}

/* The limits hold for jobs whose VMs are only on their way up, too. */
static void test_starts_count_for_limits(void **state)
{
	struct scene c;
	size_t i;

	scene_init(&c, 2);
	for (i = 0; i < 2; i++) {
		c.vms[i].running = false;
		c.vms[i].can_start = true;
	}
	c.queues[0].limit_running_per_user = 1;
	assert_int_equal(decide(&c, 0)->wait, SCHED_WAIT_VM_START);
	assert_int_not_equal(c.result->decisions[1].wait, SCHED_WAIT_VM_START);
	c.queues[0].limit_running_per_user = 0;
	assert_int_equal(decide(&c, 1)->wait, SCHED_WAIT_VM_START);
	assert_int_equal(c.result->decisions[1].vm, 1);
	scene_done(&c);
}

static void test_kept_vf_waits_for_its_user(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.vms[1].mode = VM_VF_KEEP;
	c.vms[1].free_ports = 0; /* nothing has to be plugged in */
	c.vfs[3].state = VF_ATTACHED;
	c.vfs[3].vm = 1;
	c.vfs[3].kept = true;
	c.vfs[3].uid = 1000;
	assert_int_equal(decide(&c, 0)->vf, 3);
	assert_int_equal(c.result->decisions[0].vm, 1);

	c.jobs[0].uid = 1001;
	assert_int_equal(decide(&c, 0)->vf, 2); /* somebody else's job gets a fresh one */
	c.jobs[0].uid = 1000;
	c.jobs[0].profile = "half";
	assert_waits(&c, SCHED_WAIT_NO_FIT, "profile half");
	c.jobs[0].profile = NULL;
	c.vms[1].mode = VM_VF_PER_JOB; /* the rule was changed */
	assert_int_equal(decide(&c, 0)->vf, 2);
	scene_done(&c);
}

/* Nobody else's job is given what a user may have left in a VF's memory, and no VM is started for it. */
static void test_a_vf_is_only_for_its_last_user(void **state)
{
	struct scene c;
	size_t i;

	scene_init(&c, 1);
	c.jobs[0].uid = 1001;
	for (i = 0; i < c.s.n_vfs; i++)
		c.vfs[i].only_for = (struct known){ true, 1000 };
	assert_waits(&c, SCHED_WAIT_VF_BUSY, "");
	for (i = 0; i < c.s.n_vms; i++) {
		c.vms[i].running = false;
		c.vms[i].can_start = true;
	}
	assert_int_not_equal(decide(&c, 0)->wait, SCHED_WAIT_VM_START);
	c.jobs[0].uid = 1000;
	assert_int_equal(decide(&c, 0)->wait, SCHED_WAIT_VM_START);
	scene_done(&c);

	scene_init(&c, 1);
	c.jobs[0].uid = 1000;
	c.vfs[0].only_for = (struct known){ true, 1000 };
	assert_int_equal(decide(&c, 0)->wait, SCHED_PLACED);
	scene_done(&c);
}

static void test_ports_are_counted_in_a_round(void **state)
{
	struct scene c;

	scene_init(&c, 2);
	c.s.n_vms = 1;
	c.jobs[0].n_vms = c.jobs[1].n_vms = 1;
	c.vms[0].slots = 4;
	c.vms[0].free_ports = 1;
	assert_int_equal(decide(&c, 0)->wait, SCHED_PLACED);
	assert_int_equal(decide(&c, 1)->wait, SCHED_WAIT_NO_PORT);
	scene_done(&c);
}

static void test_vf_reasons(void **state)
{
	struct scene c;
	size_t i;

	scene_init(&c, 1);
	for (i = 0; i < 4; i++)
		c.vfs[i].state = VF_ATTACHED;
	assert_waits(&c, SCHED_WAIT_VF_BUSY, "needs a VF; all 4 that fit are in use");
	c.vfs[0].state = VF_QUARANTINED;
	assert_waits(&c, SCHED_WAIT_VF_BUSY, "of 4 that fit 1 are quarantined");
	c.vfs[2].state = VF_FREE;
	c.vfs[2].gpu_ready = false;
	assert_waits(&c, SCHED_WAIT_GPU, "1 of 4 that fit are free, on a GPU that is draining");
	c.s.n_vfs = 0;
	assert_waits(&c, SCHED_WAIT_NO_FIT, "there is none that it may use");
	scene_done(&c);
}

/* A VF that a VM holds anyway takes no job either while its GPU is drained. */
static void test_draining_gpu_takes_no_job(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.s.n_vms = c.jobs[0].n_vms = 1;
	c.vms[0].mode = VM_VF_ASSIGNED;
	c.vfs[0].state = VF_ATTACHED;
	c.vfs[0].vm = 0;
	assert_int_equal(decide(&c, 0)->wait, SCHED_PLACED);
	scene_done(&c);

	scene_init(&c, 1);
	c.s.n_vms = c.jobs[0].n_vms = 1;
	c.vms[0].mode = VM_VF_ASSIGNED;
	c.vfs[0].state = VF_ATTACHED;
	c.vfs[0].vm = 0;
	c.vfs[0].gpu_draining = true;
	assert_waits(&c, SCHED_WAIT_GPU, "1 of 1 that fit are free, on a GPU that is draining");
	scene_done(&c);
}

/* An idle VM that can never have a fitting VF does not hide what is really waited for. */
static void test_reason_looks_at_vms_that_can_fit(void **state)
{
	struct scene c;

	scene_init(&c, 1);
	c.vms[0].mode = VM_VF_ASSIGNED;
	c.vms[1].used = 1;
	assert_waits(&c, SCHED_WAIT_VM_BUSY, "full");
	scene_done(&c);
}

static void test_limits(void **state)
{
	struct scene c;

	scene_init(&c, 3);
	c.vms[0].slots = c.vms[1].slots = 4;
	c.queues[0].limit_running = 3;
	c.queues[0].running = 1;
	assert_int_equal(decide(&c, 1)->wait, SCHED_PLACED);
	assert_int_equal(decide(&c, 2)->wait, SCHED_WAIT_QUEUE_LIMIT);
	assert_string_equal(c.result->decisions[2].text, "queue default runs 3 of at most 3 jobs");

	c.queues[0].limit_running = 0;
	c.queues[0].limit_running_per_user = 2;
	c.usages[0].running = 1;
	assert_int_equal(decide(&c, 0)->wait, SCHED_PLACED);
	assert_int_equal(decide(&c, 1)->wait, SCHED_WAIT_USER_LIMIT);
	assert_string_equal(c.result->decisions[1].text,
			    "queue default runs 2 of at most 2 jobs of one user");
	c.jobs[1].uid = 1001; /* another user is not held up */
	assert_int_equal(decide(&c, 1)->wait, SCHED_PLACED);
	c.jobs[2].queue = 1; /* nor another queue */
	assert_int_equal(decide(&c, 2)->wait, SCHED_PLACED);
	scene_done(&c);
}

static void test_names_round_trip(void **state)
{
	int i;

	for (i = 0; i < SCHED_WAIT_MAX; i++)
		assert_int_equal(sched_wait_from_string(sched_wait_to_string(i)), i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_smallest_that_fits),
		cmocka_unit_test(test_ties),
		cmocka_unit_test(test_vm_with_fewest_jobs),
		cmocka_unit_test(test_profile),
		cmocka_unit_test(test_job_without_vf),
		cmocka_unit_test(test_assigned_mode),
		cmocka_unit_test(test_a_job_that_fits_nowhere_blocks_nobody),
		cmocka_unit_test(test_unknown_vram_fits_no_wish),
		cmocka_unit_test(test_vm_reasons),
		cmocka_unit_test(test_vm_is_started_on_demand),
		cmocka_unit_test(test_vm_is_not_started_in_vain),
		cmocka_unit_test(test_starts_count_for_limits),
		cmocka_unit_test(test_kept_vf_waits_for_its_user),
		cmocka_unit_test(test_a_vf_is_only_for_its_last_user),
		cmocka_unit_test(test_ports_are_counted_in_a_round),
		cmocka_unit_test(test_vf_reasons),
		cmocka_unit_test(test_draining_gpu_takes_no_job),
		cmocka_unit_test(test_reason_looks_at_vms_that_can_fit),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_names_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
