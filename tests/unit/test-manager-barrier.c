/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: a VM of which it is not known whether an earlier daemon's calls are over is left as it is. */
#include "tests/support/manager-bench.h"

#define VF "gpu0/vf1"
#define OTHER_VF "gpu0/vf2"

/* A row as a daemon leaves it that dies in this state. */
static void write_row(struct bench *b, enum vf_state state)
{
	struct vf *vf = bench_vf(b, VF);

	vf_lease(b->m, vf, LEASE_VM, vm_find(b->m, "train-a"), 0, 0, true, false);
	vf->state = state;
	vf_store(b->m, vf);
	bench_settle(b);
}

static void restart_behind(struct bench *b, enum hv_failure failure)
{
	b->actors.hv_fault[HV_GET] = failure;
	bench_restart(b);
	bench_settle(b);
}

static struct answer *heal_vm(struct bench *b)
{
	struct name_params p = { .name = (char *)"train-a" };
	struct answer *a = answer_new();

	manager_vm_heal(b->m, &root_caller, &p, &a->reply);
	return a;
}

/* It answers from now on, and somebody says that it is to be asked. */
static void answers_now(struct bench *b)
{
	b->actors.hv_fault[HV_GET] = HV_OK;
	expect_changed(b, heal_vm(b), false);
	bench_until(b, !vm_find(b->m, "train-a")->wedged.reason);
	bench_settle(b);
}

static void expect_held(struct bench *b, enum vf_state state)
{
	expect_vf(b, VF, state, LEASE_VM);
	assert_true(bench_vf(b, VF)->inherited);
	assert_non_null(vm_find(b->m, "train-a")->wedged.reason);
	assert_int_equal(b->actors.n_hv[HV_ATTACH] + b->actors.n_hv[HV_DETACH] + b->actors.n_host[HOST_RESET_VF], 0);
}

static void every_row_stays_until_it_answers(void **state)
{
	static const struct {
		enum vf_state row, then; /* the VM does not show it */
	} rules[] = {
		{ VF_LEASED, VF_FREE },	   { VF_ATTACHING, VF_FREE },  { VF_ATTACHED, VF_FREE },
		{ VF_DETACHING, VF_FREE }, { VF_RESETTING, VF_FREE },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		write_row(b, rules[i].row);
		restart_behind(b, HV_TIMEOUT);
		expect_held(b, rules[i].row);
		fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0); /* a sign of life, and no answer */
		bench_settle(b);
		expect_held(b, rules[i].row);
		answers_now(b);
		expect_vf(b, VF, rules[i].then, LEASE_NONE);
		assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
	}
}

static void what_it_shows_by_then_counts(void **state)
{
	struct bench *b = *state;

	write_row(b, VF_ATTACHING);
	restart_behind(b, HV_TIMEOUT);
	fake_set_hostdev(&b->actors, 0, 1, true, false); /* the dead daemon's attach ends */
	b->actors.hv_fault[HV_GET] = HV_OK;
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0); /* of which libvirt tells */
	bench_until(b, bench_vf(b, VF)->state == VF_ATTACHED);
	assert_null(vm_find(b->m, "train-a")->wedged.reason);
	expect_changed(b, bench_release(b, VF, FOREVER), true);
}

static void every_failure_is_one(void **state)
{
	struct bench *b = *state;

	for (int f = HV_OK + 1; f < HV_FAILURE_MAX; f++) {
		if (f == HV_NO_DOMAIN)
			continue;
		write_row(b, VF_ATTACHED);
		restart_behind(b, (enum hv_failure)f);
		expect_held(b, VF_ATTACHED);
		answers_now(b);
		expect_vf(b, VF, VF_FREE, LEASE_NONE);
	}
}

static void no_such_domain_is_an_answer(void **state)
{
	struct bench *b = *state;

	write_row(b, VF_ATTACHED);
	restart_behind(b, HV_NO_DOMAIN);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	assert_null(vm_find(b->m, "train-a"));
}

static void one_that_is_gone_holds_nothing_up(void **state)
{
	static const enum vf_state rows[] = { VF_LEASED, VF_ATTACHING, VF_ATTACHED, VF_RESETTING };
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct domain_facts *vm = b->actors.vms[0];

		write_row(b, rows[i]);
		restart_behind(b, HV_TIMEOUT);
		fake_hv_event(&b->actors, HV_EVENT_DOMAIN_GONE, 0);
		bench_until(b, bench_vf(b, VF)->state == VF_FREE && !bench_vf(b, VF)->handover);
		b->actors.hv_fault[HV_GET] = HV_OK;
		b->actors.vms[0] = vm;
		bench_restart(b);
	}
}

/* Nothing of it is given or taken; the rest of the host goes on. */
static void it_counts_as_wedged(void **state)
{
	struct bench *b = *state;

	write_row(b, VF_ATTACHED);
	restart_behind(b, HV_TIMEOUT);
	expect_error(b, bench_assign(b, "train-a", OTHER_VF, FOREVER), RPC_WEDGED, "wedged");
	expect_error(b, bench_release(b, VF, FOREVER), RPC_WEDGED, "wedged");
	expect_changed(b, bench_assign(b, "train-b", OTHER_VF, FOREVER), true);
	expect_changed(b, bench_release(b, OTHER_VF, FOREVER), true);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
}

static void an_end_waits(void **state)
{
	struct bench *b = *state;
	uint64_t end;

	write_row(b, VF_ATTACHED);
	end = now_boottime() + 200 * USEC_PER_MSEC; /* time for the first daemon to store it and end */
	bench_vf(b, VF)->lease.expires = end;
	vf_store(b->m, bench_vf(b, VF));
	bench_settle(b);
	fake_set_hostdev(&b->actors, 0, 1, true, false);
	restart_behind(b, HV_TIMEOUT);
	bench_until(b, now_boottime() > end);
	manager_pump(b->m);
	bench_settle(b);
	assert_int_equal(b->actors.n_hv[HV_DETACH], 0);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
	b->actors.hv_fault[HV_GET] = HV_OK;
	expect_changed(b, heal_vm(b), false);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	assert_int_equal(b->actors.n_hv[HV_DETACH], 1);
}

static void what_was_accepted_waits(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	fake_set_hostdev(&b->actors, 0, 1, true, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_settle(b);
	b->actors.hv_held = ONE(HV_DETACH);
	a = bench_release(b, VF, FOREVER);
	bench_until(b, b->actors.n_hv[HV_DETACH] == 1);
	bench_settle(b);
	restart_behind(b, HV_TIMEOUT);
	answer_free(a);
	assert_int_equal(HASH_CNT(hh_open, b->m->open_operations), 1);
	assert_int_equal(b->actors.n_hv[HV_DETACH], 0);
	b->actors.hv_fault[HV_GET] = HV_OK;
	expect_changed(b, heal_vm(b), false);
	bench_until(b, !b->m->open_operations);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

/* It is asked again when that is over, and not before: one question at a time. */
static void one_that_hangs_is_asked_when_it_returned(void **state)
{
	struct bench *b = *state;
	unsigned asked;

	write_row(b, VF_ATTACHED);
	restart_behind(b, HV_TIMEOUT);
	fake_hv_event(&b->actors, HV_EVENT_STUCK, 0);
	asked = b->actors.n_hv[HV_GET];
	expect_changed(b, heal_vm(b), false);
	bench_settle(b);
	assert_int_equal(b->actors.n_hv[HV_GET], asked);
	fake_hv_event(&b->actors, HV_EVENT_UNSTUCK, 0);
	bench_settle(b);
	assert_int_equal(b->actors.n_hv[HV_GET], asked + 1);
	expect_held(b, VF_ATTACHED); /* what returned was our question, with no answer */
	answers_now(b);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

static void by_itself_after_a_pause(void **state)
{
	struct bench *b = *state;
	struct vm *vm;

	write_row(b, VF_ATTACHED);
	restart_behind(b, HV_FAILED);
	vm = vm_find(b->m, "train-a");
	assert_true(vm->barrier.retry_at > now_boottime() && vm->barrier.retry_at <= now_boottime() + 5 * USEC_PER_SEC);
	assert_non_null(b->m->fixed_timer);
	b->actors.hv_fault[HV_GET] = HV_OK;
	vm->barrier.retry_at = now_boottime();
	assert_true(sd_event_source_set_time(b->m->fixed_timer, 1) >= 0);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
}

static void libvirt_goes_and_comes_back(void **state)
{
	struct bench *b = *state;

	write_row(b, VF_ATTACHED);
	restart_behind(b, HV_TIMEOUT);
	fake_hv_event(&b->actors, HV_EVENT_LOST_CONNECTION, 0);
	assert_null(vm_find(b->m, "train-a")->wedged.reason);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
	fake_hv_event(&b->actors, HV_EVENT_CONNECTED, 0);
	bench_until(b, b->m->hypervisor_connected);
	bench_settle(b);
	expect_held(b, VF_ATTACHED);
	answers_now(b);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_set_up_cut, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(every_row_stays_until_it_answers),
		TEST(what_it_shows_by_then_counts),
		TEST(every_failure_is_one),
		TEST(no_such_domain_is_an_answer),
		TEST(one_that_is_gone_holds_nothing_up),
		TEST(it_counts_as_wedged),
		TEST(an_end_waits),
		TEST(what_was_accepted_waits),
		TEST(one_that_hangs_is_asked_when_it_returned),
		TEST(by_itself_after_a_pause),
		TEST(libvirt_goes_and_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
