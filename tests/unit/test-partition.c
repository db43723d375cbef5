/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans: the order of the steps, and every refusal with the number that would do. */
#include "partition/partition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define VFS_MAX 8

/* A Flex 170 on xe with 15.5 GiB for VFs; VFs are filled in by with_vfs(). */
struct card {
	struct gpu_facts facts;
	struct vf_facts vfs[VFS_MAX];
};

static void card_init(struct card *c)
{
	memset(c, 0, sizeof(*c));
	c->facts = (struct gpu_facts){
		.address = { 0, 3, 0, 0 },
		.device_id = 0x56c0,
		.model = (char *)"Flex 170",
		.driver = (char *)"xe",
		.vf_control = VF_CONTROL_XE,
		.sriov_capable = true,
		.total_vfs = 31,
		.autoprobe = true,
		.numa_node = -1,
		.vram_bytes = { true, 16 * GIB },
		.resources[VF_ATTR_VRAM].free = { true, 15 * GIB + 512 * MIB },
		.tiles = 1,
		.can = { [VF_ATTR_VRAM] = { VF_ACCESS_WRITE, NULL },
			 [VF_ATTR_EXEC_QUANTUM] = { VF_ACCESS_WRITE, NULL },
			 [VF_ATTR_PREEMPT_TIMEOUT] = { VF_ACCESS_WRITE, NULL } },
		.vfs = c->vfs,
	};
}

static void card_cut(struct card *c, unsigned n, uint64_t vram)
{
	unsigned i;

	for (i = 0; i < n; i++)
		c->vfs[i] = (struct vf_facts){ .index = i + 1,
					       .iommu_group = -1,
					       .values[VF_ATTR_VRAM] = { vram > 0, vram },
					       .values[VF_ATTR_EXEC_QUANTUM] = { true, 0 },
					       .values[VF_ATTR_PREEMPT_TIMEOUT] = { true, 0 } };
	c->facts.num_vfs = n;
	c->facts.n_vfs = n;
	c->facts.autoprobe = false;
	c->facts.resources[VF_ATTR_VRAM].free.value -= n * vram;
}

static void card_generic(struct card *c)
{
	card_init(c);
	c->facts.vf_control = VF_CONTROL_GENERIC;
	c->facts.driver = (char *)"i915";
	c->facts.can[VF_ATTR_VRAM].access = VF_ACCESS_NONE;
	c->facts.can[VF_ATTR_EXEC_QUANTUM].access = VF_ACCESS_NONE;
	c->facts.can[VF_ATTR_PREEMPT_TIMEOUT].access = VF_ACCESS_NONE;
	c->facts.resources[VF_ATTR_VRAM].free.known = false;
}

/* All VFs alike. */
static struct layout *layout_of(size_t n, struct amount vram, int64_t quantum, int64_t timeout)
{
	struct layout *l = layout_new(NULL, n);
	size_t i;

	assert_non_null(l);
	for (i = 0; i < n; i++) {
		struct amount *wanted = l->vfs[i].shape.wanted;

		wanted[VF_ATTR_VRAM] = vram;
		if (quantum >= 0)
			wanted[VF_ATTR_EXEC_QUANTUM] = amount_of((uint64_t)quantum);
		if (timeout >= 0)
			wanted[VF_ATTR_PREEMPT_TIMEOUT] = amount_of((uint64_t)timeout);
	}
	return l;
}

static const struct amount none = { AMOUNT_UNSET, 0 };
static const struct amount fair = { AMOUNT_FAIR, 0 };

static struct amount bytes(uint64_t n)
{
	return (struct amount){ AMOUNT_BYTES, n };
}

static struct amount percent(uint64_t n)
{
	return (struct amount){ AMOUNT_PERCENT, n * 100 };
}

/* Steps as lines; takes the layout. */
static struct partition_plan *plan_of(const struct card *c, struct layout *l)
{
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	struct partition_plan *p = NULL;

	if (partition_plan_make(&c->facts, l, &p, &error) < 0)
		fail_msg("%s", strempty(error.message));
	layout_free(l);
	return p;
}

static void assert_steps(const struct partition_plan *p, const char *wanted)
{
	char *all = strdup("");
	size_t i;

	for (i = 0; i < p->n_steps; i++) {
		char *longer = xasprintf("%s%s\n", all, p->steps[i].text);

		free(all);
		all = longer;
	}
	assert_string_equal(all, wanted);
	free(all);
}

static void assert_refused(const struct card *c, struct layout *l, enum rpc_code code,
			   const char *reason, const char *message, const char *hint)
{
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	struct partition_plan *p = NULL;

	assert_int_equal(partition_plan_make(&c->facts, l, &p, &error), -ECANCELED);
	assert_null(p);
	assert_int_equal(error.code, code);
	assert_string_equal(error.reason, reason);
	if (!strstr(error.message, message))
		fail_msg("wanted \"%s\", got \"%s\"", message, error.message);
	if (hint && !strstr(strempty(error.hint), hint))
		fail_msg("wanted hint \"%s\", got \"%s\"", hint, strempty(error.hint));
	layout_free(l);
}

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
