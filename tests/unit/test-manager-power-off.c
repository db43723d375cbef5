/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: release --force.  What is refused, what is said first, and that a VM that does not go off keeps its VF. */
#include "tests/support/manager-bench.h"

#define VF "gpu0/vf1"

static struct answer *force(struct bench *b, const char *vf, bool yes)
{
	return bench_release_as(b, &(struct vf_release_params){ .vf = (char *)vf,
								.force = true,
								.yes_power_off = yes,
								.wait_usec = FOREVER });
}

static void what_it_breaks_is_said_first(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	expect_changed(b, bench_assign(b, "train-a", "gpu0/vf2", FOREVER), true);
	a = force(b, VF, false);
	bench_wait(b, a);
	assert_non_null(strstr(a->message, "VM train-a would be powered off hard"));
	assert_non_null(strstr(a->message, "it also loses gpu0/vf2"));
	expect_error(b, a, RPC_CONFLICT, "power_off");
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
	assert_int_equal(b->actors.n_hv[HV_DESTROY], 0);
}

static void refusals_name_the_way_out(void **state)
{
	struct bench *b = *state;

	expect_error(b,
		     bench_release_as(b, &(struct vf_release_params){ .vf = (char *)VF, .yes_power_off = true }),
		     RPC_INVALID_PARAMS, NULL);
	expect_changed(b, force(b, VF, true), false); /* nobody has it: nothing is powered off */
	expect_error(b, force(b, "gpu0/vf9", true), RPC_NOT_FOUND, "no_vf");
	/* A VM that is off has it in its definition only. */
	expect_changed(b, bench_assign(b, "train-b", VF, FOREVER), true);
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	expect_error(b, force(b, VF, true), RPC_CONFLICT, "vm_off");
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	fake_hv_event(&b->actors, HV_EVENT_LOST_CONNECTION, 0);
	expect_error(b, force(b, VF, true), RPC_HOST_ERROR, "no_libvirt");
	assert_int_equal(b->actors.n_hv[HV_DESTROY], 0);
}

static void the_vm_goes_off_and_the_vf_through_the_gate(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	expect_changed(b, force(b, VF, true), true);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
	assert_int_equal(b->actors.vms[0]->state, VM_OFF);
	assert_int_equal(b->actors.n_hv[HV_DESTROY], 1);
	assert_int_equal(b->actors.n_host[HOST_WAIT_CLOSED], 1);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
	assert_int_equal(b->actors.n_host[HOST_PROBE_VF], 1);
	bench_settle(b);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM audit WHERE doc LIKE '%powering-off%'"), 1);
}

static void all_of_a_vm_power_it_off_once(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	expect_changed(b, bench_assign(b, "train-a", "gpu0/vf2", FOREVER), true);
	expect_changed(b,
		       bench_release_as(b, &(struct vf_release_params){ .vm = (char *)"train-a",
									.all = true,
									.force = true,
									.yes_power_off = true,
									.wait_usec = FOREVER }),
		       true);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
	assert_int_equal(bench_vf(b, "gpu0/vf2")->state, VF_FREE);
	assert_int_equal(b->actors.n_hv[HV_DESTROY], 1);
}

/* However it fails, nobody else gets the VF, and the next try is as the first. */
static void a_vm_that_does_not_go_off_keeps_its_vf(void **state)
{
	static const enum hv_failure failures[] = { HV_TIMEOUT, HV_DISCONNECTED, HV_FAILED };
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		b->actors.hv_fault[HV_DESTROY] = failures[i];
		expect_error(b, force(b, VF, true), failures[i] == HV_TIMEOUT ? RPC_TIMEOUT : RPC_HOST_ERROR, NULL);
		expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
		assert_non_null(strstr(bench_vf(b, VF)->reason, "VM train-a could not be powered off"));
		expect_error(b, bench_assign(b, "train-b", VF, FOREVER), RPC_CONFLICT, "not_free");
	}
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 0);
	b->actors.hv_fault[HV_DESTROY] = HV_OK;
	expect_changed(b, force(b, VF, true), true);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

/* A release that waits for the guest ends as well, whether libvirt tells it or its time is over. */
static void a_detach_under_way_is_helped(void **state)
{
	struct bench *b = *state;
	struct answer *patient, *forced;

	for (int lost = 0; lost < 2; lost++) {
		b->actors.vms[0]->state = VM_RUNNING;
		b->actors.vms[0]->id = 7 + lost;
		fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
		expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
		b->actors.hv_held = ONE(HV_DETACH);
		patient = bench_release(b, VF, FOREVER);
		bench_until(b, fake_waiting(&b->actors) == 1);
		forced = force(b, VF, true);
		bench_until(b, b->actors.vms[0]->state == VM_OFF);
		bench_settle(b);
		/* A third one hears that there is enough of it. */
		expect_error(b, force(b, VF, true), RPC_CONFLICT, "busy");
		b->actors.hv_fault[HV_DETACH] = lost ? HV_TIMEOUT : HV_NOT_RUNNING;
		b->actors.hv_fault_once = true;
		fake_release(&b->actors, 0, ~0U);
		expect_changed(b, forced, true);
		expect_changed(b, patient, true);
		expect_vf(b, VF, VF_FREE, LEASE_NONE);
	}
}

static void a_detach_under_way_outlives_a_failure(void **state)
{
	struct bench *b = *state;
	struct answer *patient;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	b->actors.hv_held = ONE(HV_DETACH);
	b->actors.hv_fault[HV_DESTROY] = HV_FAILED;
	patient = bench_release(b, VF, FOREVER);
	bench_until(b, fake_waiting(&b->actors) == 1);
	expect_error(b, force(b, VF, true), RPC_HOST_ERROR, NULL);
	assert_int_equal(bench_vf(b, VF)->state, VF_DETACHING);
	fake_release(&b->actors, 0, ~0U);
	expect_changed(b, patient, true);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

/* The next daemon goes on, but not against a VM that somebody has started since. */
static void it_goes_on_after_a_restart(void **state)
{
	struct bench *b = *state;

	for (int anew = 0; anew < 2; anew++) {
		struct answer *a;

		b->actors.vms[0]->state = VM_RUNNING;
		b->actors.vms[0]->id = 7;
		fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
		expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
		b->actors.n_hv[HV_DESTROY] = 0;
		b->actors.hv_held = ONE(HV_DESTROY);
		a = force(b, VF, true);
		bench_until(b, b->actors.n_hv[HV_DESTROY] == 1);
		bench_settle(b);
		if (anew)
			b->actors.vms[0]->id = 9;
		bench_restart(b);
		expect_error(b, a, RPC_INTERNAL_ERROR, NULL);
		fake_release(&b->actors, 0, ~0U);
		bench_until(b, bench_vf(b, VF)->state == VF_FREE);
		assert_int_equal(b->actors.n_hv[HV_DESTROY], anew ? 0 : 1); /* of this daemon */
		assert_int_equal(b->actors.vms[0]->state, anew ? VM_RUNNING : VM_OFF);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_set_up_cut, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_it_breaks_is_said_first),
		TEST(refusals_name_the_way_out),
		TEST(the_vm_goes_off_and_the_vf_through_the_gate),
		TEST(all_of_a_vm_power_it_off_once),
		TEST(a_vm_that_does_not_go_off_keeps_its_vf),
		TEST(a_detach_under_way_is_helped),
		TEST(a_detach_under_way_outlives_a_failure),
		TEST(it_goes_on_after_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
