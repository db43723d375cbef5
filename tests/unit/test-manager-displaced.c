/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: a lease waits while another VM has its VF by somebody else's hand, and a store that fails.  train-b is
 * off. */
#include "tests/support/manager-bench.h"

#define VF "gpu0/vf1"

static void assign(struct bench *b)
{
	expect_changed(b, bench_assign(b, "train-b", VF, FOREVER), true);
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
}

/* train-a has it in its guest, or not any more. */
static void by_hand(struct bench *b, bool there)
{
	fake_set_hostdev(&b->actors, 0, 1, there, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_settle(b);
}

static void expect_back(struct bench *b, uint64_t epoch)
{
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	assert_int_equal(bench_vf(b, VF)->lease.epoch, epoch);
	assert_string_equal(bench_vf(b, VF)->lease.vm_name, "train-b");
	assert_null(bench_vf(b, VF)->displaced);
}

static size_t n_stored(const struct bench *b)
{
	return b->actors.vms[1]->n_hostdevs;
}

static struct answer *release(struct bench *b)
{
	struct vf_release_params p = { .vm = (char *)"train-b", .wait_usec = FOREVER };

	return bench_release_as(b, &p);
}

/* Nothing is asked of libvirt that is not stored. */
static void a_release_that_cannot_be_stored(void **state)
{
	struct bench *b = *state;
	uint64_t epoch;

	assign(b);
	epoch = bench_vf(b, VF)->lease.epoch;
	by_hand(b, true);
	expect_vf(b, VF, VF_ATTACHED, LEASE_FOREIGN);
	bench_break_store(b, true);
	expect_error(b, release(b), RPC_DEGRADED, NULL);
	bench_settle(b);
	assert_int_equal(n_stored(b), 1);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	bench_settle(b);
	assert_int_equal(n_stored(b), 1);
	by_hand(b, false);
	expect_back(b, epoch);

	by_hand(b, true);
	expect_changed(b, release(b), true);
	bench_settle(b);
	assert_int_equal(n_stored(b), 0);
	expect_changed(b, release(b), false);
	by_hand(b, false);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

/* It was taken while nothing could be stored: what waits is stored when that can be. */
static void taken_while_the_store_failed(void **state)
{
	struct bench *b = *state;
	uint64_t epoch;

	assign(b);
	epoch = bench_vf(b, VF)->lease.epoch;
	bench_break_store(b, true);
	by_hand(b, true);
	bench_until(b, b->m->degraded);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	bench_settle(b);
	bench_restart(b);
	expect_vf(b, VF, VF_ATTACHED, LEASE_FOREIGN);
	assert_non_null(bench_vf(b, VF)->displaced);
	by_hand(b, false);
	expect_back(b, epoch);
}

/* What somebody else wrote there, or put back, is known by no alias of ours: nothing waits. */
static void only_what_we_wrote_waits(void **state)
{
	struct bench *b = *state;

	fake_set_hostdev(&b->actors, 1, 1, false, true);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	bench_settle(b);
	expect_vf(b, VF, VF_RESERVED, LEASE_FOREIGN);
	by_hand(b, true);
	expect_vf(b, VF, VF_ATTACHED, LEASE_FOREIGN);
	assert_null(bench_vf(b, VF)->displaced);
	by_hand(b, false);
	expect_vf(b, VF, VF_RESERVED, LEASE_FOREIGN);
	assert_string_equal(bench_vf(b, VF)->lease.vm_name, "train-b");
}

/* Out of one guest and into another: the other is told of first. */
static void the_taker_is_seen_first(void **state)
{
	struct bench *b = *state;
	uint64_t epoch;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	epoch = bench_vf(b, VF)->lease.epoch;
	fake_set_hostdev(&b->actors, 0, 1, true, true);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_settle(b);
	fake_set_hostdev(&b->actors, 0, 1, false, true);
	fake_set_hostdev(&b->actors, 1, 1, true, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_settle(b);
	expect_vf(b, VF, VF_ATTACHED, LEASE_FOREIGN);
	assert_string_equal(bench_vf(b, VF)->lease.vm_name, "train-b");
	fake_set_hostdev(&b->actors, 1, 1, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	bench_settle(b);
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	assert_int_equal(bench_vf(b, VF)->lease.epoch, epoch);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up_cut, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_release_that_cannot_be_stored),
		TEST(taken_while_the_store_failed),
		TEST(only_what_we_wrote_waits),
		TEST(the_taker_is_seen_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
