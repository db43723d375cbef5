/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans: the order of the steps, every refusal with the number that would do, and what counts as the same. */
#include "tests/support/plan-stage.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_first_cut(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
	struct card c;

	card_init(&c);
	p = plan_of(&c, layout_of(2, bytes(3 * GIB), 20, 40000));
	assert_steps(p, "write 0 to sriov_drivers_autoprobe\n"
			"write 3221225472 to vram_quota of vf1 (3.0GiB)\n"
			"write 3221225472 to vram_quota of vf2 (3.0GiB)\n"
			"write 2 to sriov_numvfs (now 0)\n"
			"write 20 to exec_quantum_ms of vf1\n"
			"write 40000 to preempt_timeout_us of vf1\n"
			"write 20 to exec_quantum_ms of vf2\n"
			"write 40000 to preempt_timeout_us of vf2\n");
	assert_false(p->removes_vfs);
	assert_int_equal(strlen(p->hash), 32);
	assert_int_equal(p->steps[1].at_least, 3 * GIB);
	assert_int_equal(p->steps[1].request.vf, 1);
	assert_int_equal(p->steps[1].request.attribute, VF_ATTR_VRAM);
	assert_int_equal(p->steps[3].exactly, 2);
	assert_true(p->steps[3].expect);
}

static void test_recut_goes_through_zero(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
	struct card c;

	card_init(&c);
	card_cut(&c, 2, 0);
	p = plan_of(&c, layout_of(3, none, -1, -1));
	assert_steps(p, "write 0 to sriov_numvfs (now 2)\nwrite 3 to sriov_numvfs (now 0)\n");
	assert_true(p->removes_vfs);
}

static void test_remove(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *q = NULL;
	struct card c;

	card_init(&c);
	q = plan_of(&c, layout_of(0, none, -1, -1));
	assert_int_equal(q->n_steps, 0);
	card_cut(&c, 2, 0);
	p = plan_of(&c, layout_of(0, none, -1, -1));
	assert_steps(p, "write 0 to sriov_numvfs (now 2)\n");
	assert_true(p->removes_vfs);
}

static void test_same_again_is_no_step(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *q = NULL, *s = NULL;
	struct card c;

	/* A quarter of what is free to VFs stays a quarter when the VFs have it. */
	card_init(&c);
	card_cut(&c, 4, 3968 * MIB);
	p = plan_of(&c, layout_of(4, percent(25), 0, 0));
	assert_int_equal(p->n_steps, 0);
	q = plan_of(&c, layout_of(4, fair, -1, -1));
	assert_int_equal(q->n_steps, 0);
	s = plan_of(&c, layout_of(4, bytes(3968 * MIB - 1), -1, -1));
	assert_int_equal(s->n_steps, 0);
}

static void test_scheduling_alone_keeps_vfs(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
	struct card c;

	card_init(&c);
	card_cut(&c, 2, 3 * GIB);
	c.vfs[1].values[VF_ATTR_EXEC_QUANTUM].value = 20;
	p = plan_of(&c, layout_of(2, bytes(3 * GIB), 20, -1));
	assert_steps(p, "write 20 to exec_quantum_ms of vf1\n");
	assert_false(p->removes_vfs);
}

static void test_smaller_quota_is_a_recut(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
	struct card c;

	card_init(&c);
	card_cut(&c, 1, 4 * GIB);
	p = plan_of(&c, layout_of(1, bytes(2 * GIB), -1, -1));
	assert_int_equal(p->n_steps, 3);
	assert_true(p->removes_vfs);
}

static uint64_t vram_written(const struct card *c, struct amount vram)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = plan_of(c, layout_of(1, vram, -1, -1));

	assert_int_equal(p->steps[1].request.attribute, VF_ATTR_VRAM);
	return p->steps[1].request.value;
}

static void test_vram_in_grains(void **state)
{
	struct card c;

	card_init(&c);
	assert_int_equal(vram_written(&c, bytes(3 * MIB)), 4 * MIB);
	c.facts.resources[VF_ATTR_VRAM].grain = 8 * MIB;
	assert_int_equal(vram_written(&c, bytes(3 * MIB)), 8 * MIB);
	c.facts.resources[VF_ATTR_VRAM].grain = 0;
	c.facts.resources[VF_ATTR_VRAM].free.value = 100 * MIB;
	assert_int_equal(vram_written(&c, (struct amount){ AMOUNT_PERCENT, 3333 }), 32 * MIB);
}

/* Whatever is free: the parts of a whole are rounded down, so they are never more than it. */
static void test_shares_of_a_whole_always_fit(void **state)
{
	uint64_t free_bytes;
	struct card c;

	card_init(&c);
	for (free_bytes = 64 * MIB; free_bytes < 200 * MIB; free_bytes += 700001) {
		_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
		struct layout *l = layout_of(3, percent(25), -1, -1);

		l->vfs[0].shape.wanted[VF_ATTR_VRAM] = percent(50);
		c.facts.resources[VF_ATTR_VRAM].free.value = free_bytes;
		p = plan_of(&c, l);
		assert_int_equal(p->n_steps, 5);
		assert_true(p->steps[1].request.value + 2 * p->steps[2].request.value <= free_bytes);
	}
}

static void test_generic_cuts_by_number(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
	struct card c;

	card_generic(&c);
	p = plan_of(&c, layout_of(7, fair, -1, -1));
	assert_steps(p, "write 0 to sriov_drivers_autoprobe\nwrite 7 to sriov_numvfs (now 0)\n");
}

static void test_refusals_of_generic(void **state)
{
	struct card c;

	card_generic(&c);
	assert_refused(&c, layout_of(2, bytes(GIB), -1, -1), RPC_UNSUPPORTED, "no_vram_quota",
		       "the driver offers the number of VFs only", "leave vram out");
	assert_refused(&c, layout_of(2, none, 20, -1), RPC_UNSUPPORTED, "no_scheduling",
		       "takes no exec quantum", "leave exec_quantum out");
	assert_refused(&c, layout_of(2, none, -1, 20), RPC_UNSUPPORTED, "no_scheduling",
		       "the number of VFs only", NULL);
}

static void test_refusals_of_numbers(void **state)
{
	struct card c;
	struct layout *l;

	card_init(&c);
	assert_refused(&c, layout_of(40, none, -1, -1), RPC_NO_FIT, "too_many_vfs",
		       "Flex 170 at 0000:03:00.0 has at most 31 VFs, 40 were asked for",
		       "ask for at most 31");
	assert_refused(&c, layout_of(4, bytes(5 * GIB), -1, -1), RPC_NO_FIT, "vram_exceeded",
		       "has 15.5GiB of VRAM for VFs, 4 VFs ask for 20.0GiB together",
		       "at most 3968MiB for each of 4 VFs");
	assert_refused(&c, layout_of(31, (struct amount){ AMOUNT_PERCENT, 1 }, -1, -1), RPC_NO_FIT,
		       "vram_too_small", "less than 2MiB", "at least 0.02%");

	l = layout_of(3, bytes(GIB), -1, -1);
	l->vfs[1].shape.wanted[VF_ATTR_VRAM] = none;
	assert_refused(&c, l, RPC_UNSUPPORTED, "vram_all_or_none", "2 of 3 VFs ask for VRAM",
		       "to every VF, or to none");

	c.facts.resources[VF_ATTR_VRAM].free.known = false;
	assert_refused(&c, layout_of(1, percent(25), -1, -1), RPC_UNSUPPORTED, "vram_unknown",
		       "does not tell how much VRAM is free", "write a size");
	c.facts.can[VF_ATTR_VRAM].access = VF_ACCESS_NONE;
	assert_refused(&c, layout_of(1, bytes(GIB), -1, -1), RPC_UNSUPPORTED, "no_vram_quota",
		       "does not let it be written", NULL);
}

static void test_a_full_card_may_be_cut_again(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
	struct card c;

	card_init(&c);
	card_cut(&c, 4, 3968 * MIB);
	assert_int_equal(c.facts.resources[VF_ATTR_VRAM].free.value, 0);
	p = plan_of(&c, layout_of(2, bytes(7 * GIB), -1, -1));
	assert_int_equal(p->n_steps, 4);
}

static void test_refusals_of_cards(void **state)
{
	struct card c;

	card_init(&c);
	c.facts.total_vfs = 0;
	c.facts.reason = (char *)"xe.max_vfs is 0";
	assert_refused(&c, layout_of(1, none, -1, -1), RPC_UNSUPPORTED, "vfs_off",
		       "cannot be cut: xe.max_vfs is 0", "max_vfs");
	c.facts.driver = NULL;
	c.facts.reason = NULL;
	assert_refused(&c, layout_of(1, none, -1, -1), RPC_UNSUPPORTED, "no_driver",
		       "no driver is bound", "load xe or i915");
	c.facts.sriov_capable = false;
	assert_refused(&c, layout_of(1, none, -1, -1), RPC_UNSUPPORTED, "no_sriov",
		       "the kernel shows no SR-IOV", NULL);
}

static void test_matches_says_the_difference(void **state)
{
	struct card c;
	struct layout *l = layout_of(2, bytes(3 * GIB), 20, -1);
	char *why = NULL;

	card_init(&c);
	assert_false(partition_matches(&c.facts, l, &why));
	assert_string_equal(why, "0 VFs, wanted are 2");
	free(why);
	card_cut(&c, 2, 2 * GIB);
	assert_false(partition_matches(&c.facts, l, &why));
	assert_string_equal(why, "vf1 has 2.0GiB of VRAM, wanted is 3.0GiB");
	free(why);
	c.vfs[0].values[VF_ATTR_VRAM].value = c.vfs[1].values[VF_ATTR_VRAM].value = 3 * GIB + 2 * MIB;
	assert_false(partition_matches(&c.facts, l, &why));
	assert_string_equal(why, "vf1 has exec_quantum_ms 0, wanted is 20");
	free(why);
	assert_false(partition_matches(&c.facts, l, NULL));
	c.vfs[0].values[VF_ATTR_EXEC_QUANTUM].value = c.vfs[1].values[VF_ATTR_EXEC_QUANTUM].value = 20;
	why = NULL;
	assert_true(partition_matches(&c.facts, l, &why));
	assert_null(why);

	l->vfs[0].shape.wanted[VF_ATTR_VRAM] = l->vfs[1].shape.wanted[VF_ATTR_VRAM] = fair;
	c.vfs[0].values[VF_ATTR_VRAM].value = GIB;
	assert_false(partition_matches(&c.facts, l, &why));
	assert_string_equal(why, "the VFs have unequal VRAM, wanted is a fair share");
	free(why);
	layout_free(l);
}

static void test_hash_follows_facts_and_layout(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *a = NULL, *b = NULL, *d = NULL,
							      *e = NULL;
	struct card c;

	card_init(&c);
	a = plan_of(&c, layout_of(2, none, -1, -1));
	b = plan_of(&c, layout_of(2, none, -1, -1));
	d = plan_of(&c, layout_of(3, none, -1, -1));
	assert_string_equal(a->hash, b->hash);
	assert_string_not_equal(a->hash, d->hash);
	c.facts.total_vfs = 30;
	e = plan_of(&c, layout_of(2, none, -1, -1));
	assert_string_not_equal(a->hash, e->hash);
}

/* ---- how it is shown ---- */

static void assert_json(const struct partition_step *step, const char *wanted)
{
	_cleanup_json_ json_t *json = partition_step_to_json(step);
	_cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);

	assert_string_equal(text, wanted);
}

static void test_steps_as_json(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
	struct layout *l = layout_of(2, bytes(GIB), -1, -1);
	struct card c;

	card_i915(&c);
	c.facts.tiles = 2;
	card_cut(&c, 4, 0);
	c.facts.custom_provisioning = true;
	l->vfs[0].shape.wanted[VF_ATTR_PRIORITY] = l->vfs[1].shape.wanted[VF_ATTR_PRIORITY] =
		amount_of(VF_PRIORITY_NORMAL);
	p = plan_of(&c, l);
	assert_json(&p->steps[0], "{\"text\":\"write 0 to sriov_numvfs (now 4)\",\"attribute\":"
				  "\"sriov_numvfs\",\"vf\":null,\"tile\":null,\"before\":4,\"after\":0}");
	assert_json(&p->steps[1],
		    "{\"text\":\"restore automatic provisioning: quotas set by hand are given back\","
		    "\"attribute\":\"restore_auto_provisioning\",\"vf\":null,\"tile\":null,\"before\":"
		    "\"custom\",\"after\":\"auto\"}");
	assert_json(&p->steps[2], "{\"text\":\"write 1073741824 to vram_quota of vf1 on tile 1 (1.0GiB)\","
				  "\"attribute\":\"vram_quota\",\"vf\":1,\"tile\":1,\"before\":null,"
				  "\"after\":1073741824}");
	assert_json(&p->steps[p->n_steps - 1],
		    "{\"text\":\"write normal to sched_priority of all VFs\",\"attribute\":"
		    "\"sched_priority\",\"vf\":null,\"tile\":null,\"before\":null,\"after\":"
		    "\"normal\"}");
}

static void test_matches_each_attribute(void **state)
{
	static const struct {
		enum vf_attribute attribute;
		uint64_t is, wanted, close;
		const char *why;
	} rows[] = {
		{ VF_ATTR_GGTT, GIB, 2 * GIB, 2 * GIB + 64 * KIB - 1, "vf1 has 1.0GiB of GGTT, wanted is 2.0GiB" },
		{ VF_ATTR_CONTEXTS, 512, 1024, 1024 + 127, "vf1 has contexts_quota 512, wanted is 1024" },
		{ VF_ATTR_DOORBELLS, 8, 16, 16, "vf1 has doorbells_quota 8, wanted is 16" },
		{ VF_ATTR_PREEMPT_TIMEOUT, 8, 16, 16, "vf1 has preempt_timeout_us 8, wanted is 16" },
		{ VF_ATTR_PRIORITY, 0, 1, 1, "vf1 has sched_priority low, wanted is normal" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct layout *l = wants(1, rows[i].attribute, amount_of(rows[i].wanted));
		struct card c;
		char *why = NULL;

		card_i915(&c);
		card_cut(&c, 1, GIB);
		c.vfs[0].values[rows[i].attribute] = (struct known){ true, rows[i].is };
		assert_false(partition_matches(&c.facts, l, &why));
		assert_string_equal(why, rows[i].why);
		free(why);
		c.vfs[0].values[rows[i].attribute].value = rows[i].close;
		assert_true(partition_matches(&c.facts, l, NULL));
		c.vfs[0].values[rows[i].attribute].value = rows[i].close + 1;
		assert_false(partition_matches(&c.facts, l, NULL));
		layout_free(l);
	}
}

/* What a share is of moves with what the PF uses: that is no drift. */
static void test_shares_move_a_little(void **state)
{
	struct layout *l = layout_of(4, percent(25), -1, -1);
	struct card c;

	card_init(&c);
	card_cut(&c, 4, 3968 * MIB);
	c.facts.resources[VF_ATTR_VRAM].free.value += 400 * MIB;
	assert_true(partition_matches(&c.facts, l, NULL));
	c.facts.resources[VF_ATTR_VRAM].free.value += 1024 * MIB;
	assert_false(partition_matches(&c.facts, l, NULL));
	layout_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_cut),
		cmocka_unit_test(test_recut_goes_through_zero),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_same_again_is_no_step),
		cmocka_unit_test(test_scheduling_alone_keeps_vfs),
		cmocka_unit_test(test_smaller_quota_is_a_recut),
		cmocka_unit_test(test_vram_in_grains),
		cmocka_unit_test(test_shares_of_a_whole_always_fit),
		cmocka_unit_test(test_generic_cuts_by_number),
		cmocka_unit_test(test_refusals_of_generic),
		cmocka_unit_test(test_refusals_of_numbers),
		cmocka_unit_test(test_a_full_card_may_be_cut_again),
		cmocka_unit_test(test_refusals_of_cards),
		cmocka_unit_test(test_matches_says_the_difference),
		cmocka_unit_test(test_hash_follows_facts_and_layout),
		cmocka_unit_test(test_steps_as_json),
		cmocka_unit_test(test_matches_each_attribute),
		cmocka_unit_test(test_shares_move_a_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
