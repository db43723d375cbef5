/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: VFs that a process of the host has open.  The process is a real one, a child that waits to be killed;
 * that it has a VF open is the made-up host's word. */
#include "tests/support/manager-bench.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define VF "gpu0/vf1"

struct stage {
	struct bench *b;
	struct vf_holder holders[2];
	pid_t pid;
};

static int set_up(void **state)
{
	static struct stage s;

	s = (struct stage){ .pid = fork() }; /* before there is a lock that it could inherit */
	assert_true(s.pid >= 0);
	if (s.pid == 0)
		for (;;)
			pause();
	s.b = bench_new();
	bench_start(s.b);
	bench_cut(s.b, 2);
	*state = &s;
	return 0;
}

static void end_process(struct stage *s)
{
	s->b->actors.n_holders = 0;
	if (s->pid <= 0)
		return;
	(void)kill(s->pid, SIGKILL);
	(void)waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

static int tear_down(void **state)
{
	struct stage *s = *state;

	end_process(s);
	bench_free(s->b);
	return 0;
}

/* Looks show from now on that the process has the VF open. */
static void process_opens(struct stage *s)
{
	s->holders[0] = (struct vf_holder){ .vf = 1, .pid = s->pid, .started.known = true, .uid = { true, 1234 },
					    .command = (char *)"media-server", .path = (char *)"/dev/dri/renderD129" };
	assert_int_equal(process_start_time(s->pid, &s->holders[0].started.value), 0);
	s->b->actors.holders = s->holders;
	s->b->actors.n_holders = 1;
}

static void expect_held(struct stage *s)
{
	_cleanup_free_ char *pid = xasprintf("media-server (pid %d, uid 1234)", s->pid);
	struct vf *vf;

	bench_until(s->b, bench_vf(s->b, VF)->state == VF_HELD);
	vf = bench_vf(s->b, VF);
	assert_int_equal(vf->lease.owner, LEASE_FOREIGN);
	assert_int_equal(vf->lease.uid, 1234);
	assert_int_equal(vf->lease.process.pid, s->pid);
	assert_non_null(strstr(vf->reason, pid));
	assert_null(vf->handover);
}

static void expect_free(struct stage *s, unsigned resets)
{
	bench_until(s->b, bench_vf(s->b, VF)->state == VF_FREE);
	assert_int_equal(bench_vf(s->b, VF)->lease.owner, LEASE_NONE);
	assert_int_equal(bench_vf(s->b, VF)->lease.process.pid, 0);
	assert_int_equal(s->b->actors.n_host[HOST_RESET_VF], resets);
	assert_int_equal(s->b->actors.n_host[HOST_PROBE_VF], resets);
}

/* Whoever holds it is named in the refusal. */
static void expect_refused(struct stage *s, struct answer *a)
{
	_cleanup_free_ char *pid = xasprintf("(pid %d, uid 1234)", s->pid);

	bench_wait(s->b, a);
	if (!a->message || !strstr(a->message, pid))
		fail_msg("\"%s\" does not name %s", strempty(a->message), pid);
	expect_error(s->b, a, RPC_CONFLICT, "held");
}

static struct answer *reset(struct stage *s)
{
	struct vf_reset_params p = { .vf = (char *)VF, .wait_usec = FOREVER };
	struct answer *a = answer_new();

	manager_vf_reset(s->b->m, &root_caller, &p, &a->reply);
	return a;
}

static void it_is_seen_at_the_start_and_gone_with_its_end(void **state)
{
	struct stage *s = *state;

	process_opens(s);
	bench_restart(s->b);
	expect_held(s);
	expect_refused(s, bench_assign(s->b, "train-a", VF, FOREVER));
	expect_refused(s, bench_release(s->b, VF, FOREVER));
	expect_refused(s, reset(s));
	expect_error(s->b, bench_apply(s->b, 1, FOREVER), RPC_CONFLICT, "held");
	assert_int_equal(s->b->actors.n_hv[HV_ATTACH], 0);
	/* Another VF is free. */
	expect_changed(s->b, bench_assign(s->b, "train-a", NULL, FOREVER), true);
	assert_int_equal(bench_vf(s->b, "gpu0/vf2")->state, VF_ATTACHED);
	expect_error(s->b, bench_assign(s->b, "train-b", NULL, FOREVER), RPC_NO_FIT, "none_free");
	/* No look is asked for: the process itself tells. */
	end_process(s);
	expect_free(s, 1);
	expect_changed(s->b, bench_assign(s->b, "train-b", NULL, FOREVER), true);
}

static void it_is_seen_before_a_vf_is_attached(void **state)
{
	struct stage *s = *state;

	process_opens(s);
	expect_refused(s, bench_assign(s->b, "train-a", VF, FOREVER));
	expect_held(s);
	assert_int_equal(s->b->actors.n_hv[HV_ATTACH], 0);
	end_process(s);
	expect_free(s, 1);
}

static void a_restart_finds_it_by_pid_and_start_time(void **state)
{
	struct stage *s = *state;
	uint64_t epoch;

	process_opens(s);
	bench_restart(s->b);
	expect_held(s);
	epoch = bench_vf(s->b, VF)->lease.epoch;
	bench_settle(s->b);
	bench_restart(s->b);
	expect_held(s);
	assert_int_equal(bench_vf(s->b, VF)->lease.epoch, epoch);
	bench_settle(s->b);
	bench_stop(s->b);
	end_process(s);
	bench_start(s->b);
	expect_free(s, 1);
}

/* The same number is not the same process. */
static void another_process_is_another_holder(void **state)
{
	struct stage *s = *state;
	uint64_t epoch;

	process_opens(s);
	bench_restart(s->b);
	expect_held(s);
	epoch = bench_vf(s->b, VF)->lease.epoch;
	bench_settle(s->b);
	s->holders[0].started.value++;
	bench_restart(s->b);
	expect_held(s);
	bench_until(s->b, bench_vf(s->b, VF)->lease.epoch > epoch);
	assert_int_equal(s->b->actors.n_host[HOST_RESET_VF], 0);
}

/* Nobody may look into all processes: an assign goes on, and one that was seen ends with its process. */
static void without_a_look_the_process_itself_counts(void **state)
{
	struct stage *s = *state;

	process_opens(s);
	bench_restart(s->b);
	expect_held(s);
	s->b->actors.host_fault[HOST_HOLDERS] = -EACCES;
	expect_changed(s->b, bench_assign(s->b, "train-a", "gpu0/vf2", FOREVER), true);
	end_process(s);
	expect_free(s, 1);
}

static void one_that_closes_it_and_lives_is_noticed_by_a_look(void **state)
{
	struct stage *s = *state;

	process_opens(s);
	bench_restart(s->b);
	expect_held(s);
	s->b->actors.n_holders = 0;
	processes_look(s->b->m, s->b->m->gpus); /* as the timer does */
	expect_free(s, 1);
}

static void list(struct stage *s)
{
	struct vf_list_params p = { .state = -1 };
	struct answer *a = answer_new();

	manager_vf_list(s->b->m, &root_caller, &p, &a->reply);
	bench_wait(s->b, a);
	assert_int_equal(a->code, 0);
	answer_free(a);
}

/* Whoever asks begins a look, and waits for none; not more than one in ten seconds. */
static void it_is_seen_by_a_look_that_a_reader_begins(void **state)
{
	struct stage *s = *state;
	unsigned *looks = &s->b->actors.n_host[HOST_HOLDERS], before;

	bench_settle(s->b);
	before = *looks;
	s->b->actors.host_held = ONE(HOST_HOLDERS);
	list(s);
	list(s);
	assert_int_equal(*looks, before + 1);
	fake_release(&s->b->actors, ONE(HOST_HOLDERS), 0);
	bench_settle(s->b);
	process_opens(s);
	list(s);
	bench_settle(s->b);
	assert_int_equal(*looks, before + 1);
	assert_int_equal(bench_vf(s->b, VF)->state, VF_FREE);
	s->b->m->gpus->looked_at -= 10 * USEC_PER_SEC;
	list(s);
	expect_held(s);
	assert_int_equal(*looks, before + 2);
	/* libvirt is away: a VM that it started since would pass for a process */
	s->b->m->gpus->looked_at -= 10 * USEC_PER_SEC;
	fake_hv_event(&s->b->actors, HV_EVENT_LOST_CONNECTION, 0);
	list(s);
	assert_int_equal(*looks, before + 2);
}

/* QEMU's, seen before libvirt told of it. */
static void a_vm_is_no_process(void **state)
{
	struct stage *s = *state;

	process_opens(s);
	bench_restart(s->b);
	expect_held(s);
	fake_set_hostdev(&s->b->actors, 0, 1, true, false);
	fake_hv_event(&s->b->actors, HV_EVENT_DOMAIN, 0);
	bench_until(s->b, bench_vf(s->b, VF)->state == VF_ATTACHED);
	assert_string_equal(bench_vf(s->b, VF)->lease.vm_name, "train-a");
	assert_int_equal(bench_vf(s->b, VF)->lease.process.pid, 0);
	/* Its end is the VM's affair. */
	end_process(s);
	bench_settle(s->b);
	assert_int_equal(bench_vf(s->b, VF)->state, VF_ATTACHED);
}

/* Two VFs in one IOMMU group: whoever has one of them has both open. */
static void a_vm_with_another_vf_of_the_group_is_no_process(void **state)
{
	struct stage *s = *state;

	expect_changed(s->b, bench_assign(s->b, "train-a", "gpu0/vf2", FOREVER), true);
	process_opens(s);
	s->holders[1] = s->holders[0];
	s->holders[1].vf = 2;
	s->b->actors.n_holders = 2;
	expect_changed(s->b, bench_assign(s->b, "train-a", VF, FOREVER), true);
	assert_int_equal(bench_vf(s->b, VF)->state, VF_ATTACHED);
}

static void what_a_refused_cut_met_is_known(void **state)
{
	struct stage *s = *state;
	struct answer *a;

	process_opens(s);
	s->b->actors.host_fault[HOST_SET_NUMVFS] = -EBUSY;
	s->b->actors.host_fault_once = true;
	a = bench_apply(s->b, 1, FOREVER);
	bench_wait(s->b, a);
	assert_int_equal(a->code, RPC_CONFLICT);
	answer_free(a);
	expect_held(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_seen_at_the_start_and_gone_with_its_end),
		TEST(it_is_seen_before_a_vf_is_attached),
		TEST(a_restart_finds_it_by_pid_and_start_time),
		TEST(another_process_is_another_holder),
		TEST(without_a_look_the_process_itself_counts),
		TEST(one_that_closes_it_and_lives_is_noticed_by_a_look),
		TEST(it_is_seen_by_a_look_that_a_reader_begins),
		TEST(a_vm_is_no_process),
		TEST(a_vm_with_another_vf_of_the_group_is_no_process),
		TEST(what_a_refused_cut_met_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
