/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way back after a plan that failed half-way. */
#include "tests/support/plan-stage.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct partition_plan *undo_of(const struct card *now, const struct layout *before,
				      const struct partition_plan *forward, size_t n_done)
{
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	struct partition_plan *p = NULL;

	if (partition_undo_make(&now->facts, before, forward, n_done, &p, &error) < 0)
		fail_msg("%s", strempty(error.message));
	return p;
}

/* xe: nothing clears what was written for VFs that never came up. */
static void test_undo_clears_quotas(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *u = NULL, *v = NULL;
	_cleanup_(layout_freep) struct layout *before = NULL;
	struct card c;

	card_init(&c);
	before = partition_present(&c.facts);
	p = plan_of(&c, layout_of(3, bytes(GIB), -1, -1));
	c.facts.autoprobe = false;
	u = undo_of(&c, before, p, 2); /* vf2's failed */
	assert_steps(u, "write 0 to vram_quota of vf2 (0B)\nwrite 0 to vram_quota of vf1 (0B)\n"
			"write 1 to sriov_drivers_autoprobe\n");
	assert_true(u->steps[0].optional); /* it may not have taken */
	assert_false(u->steps[1].optional);
	assert_true(u->steps[2].optional);
	v = undo_of(&c, before, p, p->n_steps); /* nobody knows how far */
	assert_int_equal(v->n_steps, 4);
}

static void test_undo_takes_away_what_came_up(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *u = NULL;
	_cleanup_(layout_freep) struct layout *before = NULL;
	struct card c;

	card_init(&c);
	card_cut(&c, 1, 2 * GIB);
	before = partition_present(&c.facts);
	p = plan_of(&c, layout_of(2, bytes(GIB), -1, -1));
	card_init(&c);
	card_cut(&c, 1, GIB); /* one instead of two */
	u = undo_of(&c, before, p, 3);
	assert_steps(u, "write 0 to sriov_numvfs (now 1)\n"
			"write 0 to vram_quota of vf2 (0B)\nwrite 0 to vram_quota of vf1 (0B)\n"
			"write 2147483648 to vram_quota of vf1 (2.0GiB)\n"
			"write 1 to sriov_numvfs (now 0)\n"
			"write 0 to exec_quantum_ms of vf1\nwrite 0 to preempt_timeout_us of vf1\n");
	assert_true(u->removes_vfs);
	assert_true(u->steps[2].optional); /* written anew right after */
}

/* i915: the mode goes back as well. */
static void test_undo_restores_the_mode(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *u = NULL;
	_cleanup_(layout_freep) struct layout *before = NULL;
	struct card c;

	card_i915(&c);
	before = layout_of(2, none, -1, -1);
	p = plan_of(&c, layout_of(1, bytes(GIB), -1, -1));
	c.facts.custom_provisioning = true;
	u = undo_of(&c, before, p, 1);
	assert_steps(u, "restore automatic provisioning: quotas set by hand are given back\n"
			"write 2 to sriov_numvfs (now 0)\n");
	assert_false(u->steps[0].optional);
}

/* The first write was refused, because somebody holds a VF: nothing has changed. */
static void test_undo_of_nothing(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *u = NULL;
	_cleanup_(layout_freep) struct layout *before = NULL;
	struct card c;

	card_init(&c);
	card_cut(&c, 2, GIB);
	before = partition_present(&c.facts);
	p = plan_of(&c, layout_of(0, none, -1, -1));
	u = undo_of(&c, before, p, 0);
	assert_int_equal(u->n_steps, 0);
}

static void test_undo_of_tuning(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *u = NULL;
	_cleanup_(layout_freep) struct layout *before = NULL;
	struct card c;

	card_init(&c);
	card_cut(&c, 2, GIB);
	before = partition_present(&c.facts);
	p = plan_of(&c, layout_of(2, bytes(GIB), 20, -1));
	c.vfs[0].values[VF_ATTR_EXEC_QUANTUM].value = 20;
	u = undo_of(&c, before, p, 1);
	assert_steps(u, "write 0 to exec_quantum_ms of vf1\n");
	assert_int_equal(u->steps[0].before.value, 20);
}

static void test_undo_to_what_no_longer_fits(void **state)
{
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
	_cleanup_(layout_freep) struct layout *before = layout_of(2, bytes(20 * GIB), -1, -1);
	struct partition_plan *u = NULL;
	struct card c;

	card_init(&c);
	p = plan_of(&c, layout_of(1, bytes(GIB), -1, -1));
	assert_int_equal(partition_undo_make(&c.facts, before, p, 1, &u, &error), -ECANCELED);
	assert_null(u);
	assert_string_equal(error.reason, "vram_exceeded");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_undo_clears_quotas),
		cmocka_unit_test(test_undo_takes_away_what_came_up),
		cmocka_unit_test(test_undo_restores_the_mode),
		cmocka_unit_test(test_undo_of_nothing),
		cmocka_unit_test(test_undo_of_tuning),
		cmocka_unit_test(test_undo_to_what_no_longer_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
