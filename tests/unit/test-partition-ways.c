/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans on ways that take every attribute: completing, limits, tiles, bulk, the table of devices, quotas that
 * stay; what a card shows as a layout, and how many fit. */
#include "tests/support/plan-stage.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ENOKEY is what a driver says to VFs that have only part of it (reference 2.6). */
static void test_one_quota_completes_the_others(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *q = NULL;
	struct card c;

	card_i915(&c);
	p = plan_of(&c, wants(2, VF_ATTR_VRAM, bytes(4 * GIB)));
	assert_steps(p, "write 4294967296 to vram_quota of vf1 (4.0GiB)\n"
			"write 1073741824 to ggtt_quota of vf1 (1.0GiB)\n"
			"write 16384 to contexts_quota of vf1\n"
			"write 64 to doorbells_quota of vf1\n"
			"write 4294967296 to vram_quota of vf2 (4.0GiB)\n"
			"write 1073741824 to ggtt_quota of vf2 (1.0GiB)\n"
			"write 16384 to contexts_quota of vf2\n"
			"write 64 to doorbells_quota of vf2\n"
			"write 2 to sriov_numvfs (now 0)\n");
	assert_note(p, "ggtt_quota was not asked for and is computed");
	q = plan_of(&c, layout_of(2, none, 20, -1));
	assert_steps(q, "write 2 to sriov_numvfs (now 0)\n"
			"write 20 to exec_quantum_ms of vf1\nwrite 20 to exec_quantum_ms of vf2\n");
	assert_int_equal(q->n_notes, 0);
}

static void test_refusals_of_completing(void **state)
{
	struct card c;
	struct layout *l;

	card_i915(&c);
	c.facts.resources[VF_ATTR_GGTT].free.known = false;
	assert_refused(&c, wants(2, VF_ATTR_VRAM, bytes(GIB)), RPC_UNSUPPORTED, "ggtt_unknown",
		       "does not tell how much ggtt is free", "give ggtt to every VF");
	card_i915(&c);
	l = wants(2, VF_ATTR_CONTEXTS, (struct amount){ 0 });
	l->vfs[0].shape.wanted[VF_ATTR_CONTEXTS] = amount_of(65279 / 128 * 128);
	assert_refused(&c, l, RPC_NO_FIT, "contexts_used_up", "no contexts left",
		       "at most 32512 for each of 2 VFs");
}

static void test_limits_of_each_resource(void **state)
{
	struct card c;

	card_i915(&c);
	assert_refused(&c, wants(4, VF_ATTR_GGTT, bytes(2 * GIB)), RPC_NO_FIT, "ggtt_exceeded",
		       "has 3.9GiB of GGTT for VFs, 4 VFs ask for 8.0GiB together",
		       "at most 1000MiB for each of 4 VFs");
	assert_refused(&c, wants(2, VF_ATTR_CONTEXTS, amount_of(40000)), RPC_NO_FIT, "contexts_exceeded",
		       "has 65279 of contexts for VFs, 2 VFs ask for 80128 together",
		       "at most 32512 for each of 2 VFs");
	assert_refused(&c, wants(2, VF_ATTR_DOORBELLS, amount_of(129)), RPC_NO_FIT, "doorbells_exceeded",
		       "2 VFs ask for 258 together", "at most 128 for each of 2 VFs");
	c.facts.resources[VF_ATTR_VRAM].max_quota = (struct known){ true, 5 * GIB };
	assert_refused(&c, wants(1, VF_ATTR_VRAM, bytes(6 * GIB)), RPC_NO_FIT, "vram_too_large",
		       "can give one VF at most 5.0GiB of VRAM now, 6.0GiB were asked for",
		       "at most 5GiB for each of 1 VFs");
	c.facts.resources[VF_ATTR_VRAM].free.value = 4 * MIB;
	assert_refused(&c, layout_of(5, none, -1, -1), RPC_NO_FIT, "vram_exceeded",
		       "too little to be shared among 5", "ask for at most 2 VFs");
	c.facts.resources[VF_ATTR_GGTT].free.known = false;
	assert_refused(&c, wants(1, VF_ATTR_GGTT, percent(10)), RPC_UNSUPPORTED, "ggtt_unknown",
		       "does not tell how much GGTT is free", "write a size");
	card_init(&c);
	assert_refused(&c, wants(1, VF_ATTR_GGTT, bytes(GIB)), RPC_UNSUPPORTED, "no_ggtt_quota",
		       "takes no GGTT quota", "leave ggtt out");
	c.facts.can[VF_ATTR_CONTEXTS].why = (char *)"sriov_admin has no such file here";
	assert_refused(&c, wants(1, VF_ATTR_CONTEXTS, amount_of(4)), RPC_UNSUPPORTED, "no_contexts_quota",
		       "takes no contexts quota: sriov_admin has no such file here", "leave contexts out");
	assert_refused(&c, wants(1, VF_ATTR_DOORBELLS, amount_of(4)), RPC_UNSUPPORTED, "no_doorbells_quota",
		       "takes no doorbells quota", "leave doorbells out");
}

/* Max 1550: VF k sits on tile k mod 2, one VF spans both, an odd number is refused. */
static void test_two_tiles(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *one = NULL;
	struct layout *l;
	struct card c;

	card_i915(&c);
	c.facts.tiles = 2;
	c.facts.resources[VF_ATTR_CONTEXTS].free.value = 2 * 65152;
	assert_refused(&c, layout_of(3, none, -1, -1), RPC_NO_FIT, "uneven_tiles",
		       "has 2 tiles: 3 VFs cannot be spread evenly", "ask for 2 or 4");
	c.facts.total_vfs = 3;
	assert_refused(&c, layout_of(3, none, -1, -1), RPC_NO_FIT, "uneven_tiles", "evenly", "ask for 2");
	p = plan_of(&c, layout_of(2, percent(50), -1, -1));
	assert_int_equal(p->steps[0].request.tile, 2);
	assert_int_equal(p->steps[4].request.vf, 2);
	assert_int_equal(p->steps[4].request.tile, 1);
	assert_string_equal(p->steps[0].text, "write 8321499136 to vram_quota of vf1 on tile 1 (7.8GiB)");
	one = plan_of(&c, layout_of(1, percent(100), -1, -1));
	assert_int_equal(one->steps[0].request.tile, 0);
	/* It has its contexts on each tile, so no more than one tile has of them. */
	assert_int_equal(one->steps[2].request.attribute, VF_ATTR_CONTEXTS);
	assert_int_equal(one->steps[2].request.value, 32768);
	assert_refused(&c, wants(1, VF_ATTR_CONTEXTS, amount_of(65280)), RPC_NO_FIT, "contexts_exceeded",
		       "has 65152 of contexts for VFs", "at most 65152 for each of 1 VFs");

	/* 60 % of both tiles is more than one of them has. */
	l = layout_of(2, percent(40), -1, -1);
	l->vfs[0].shape.wanted[VF_ATTR_VRAM] = percent(60);
	assert_refused(&c, l, RPC_NO_FIT, "vram_exceeded", "has 7.8GiB of VRAM for VFs on each tile",
		       "at most 7936MiB for each of 2 VFs");
}

static void test_priority_for_all_together(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *q = NULL, *s = NULL;
	struct layout *l;
	struct card c;

	card_init(&c);
	c.facts.can[VF_ATTR_PRIORITY].access = VF_ACCESS_BULK;
	p = plan_of(&c, wants(2, VF_ATTR_PRIORITY, amount_of(VF_PRIORITY_NORMAL)));
	assert_steps(p, "write 0 to sriov_drivers_autoprobe\nwrite 2 to sriov_numvfs (now 0)\n"
			"write normal to sched_priority of all VFs\n");
	assert_int_equal(p->steps[2].request.op, HOST_SET_BULK_ATTR);

	card_cut(&c, 2, 0);
	c.vfs[0].values[VF_ATTR_PRIORITY] = c.vfs[1].values[VF_ATTR_PRIORITY] =
		(struct known){ true, VF_PRIORITY_NORMAL };
	q = plan_of(&c, wants(2, VF_ATTR_PRIORITY, amount_of(VF_PRIORITY_NORMAL)));
	assert_int_equal(q->n_steps, 0);
	s = plan_of(&c, wants(2, VF_ATTR_PRIORITY, amount_of(VF_PRIORITY_LOW)));
	assert_steps(s, "write low to sched_priority of all VFs\n");

	l = wants(2, VF_ATTR_PRIORITY, amount_of(VF_PRIORITY_NORMAL));
	l->vfs[1].shape.wanted[VF_ATTR_PRIORITY] = none;
	assert_refused(&c, l, RPC_UNSUPPORTED, "bulk_only", "takes one priority for all VFs together only",
		       "give every VF the same priority");
	c.facts.can[VF_ATTR_PRIORITY].access = VF_ACCESS_READ;
	assert_refused(&c, wants(2, VF_ATTR_PRIORITY, amount_of(VF_PRIORITY_LOW)), RPC_UNSUPPORTED,
		       "no_priority", "takes no priority", "make it low");
}

/* What every driver gives needs no write, and is no reason to refuse. */
static void test_low_priority_is_taken_for_granted(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
	struct layout *l;
	struct card c;

	card_generic(&c);
	p = plan_of(&c, wants(1, VF_ATTR_PRIORITY, amount_of(VF_PRIORITY_LOW)));
	assert_int_equal(p->n_steps, 2);
	card_cut(&c, 1, 0);
	l = wants(1, VF_ATTR_PRIORITY, amount_of(VF_PRIORITY_LOW));
	assert_true(partition_matches(&c.facts, l, NULL));
	layout_free(l);
	assert_refused(&c, wants(1, VF_ATTR_PRIORITY, amount_of(VF_PRIORITY_NORMAL)), RPC_UNSUPPORTED,
		       "no_priority", "the driver offers the number of VFs only", "leave priority out");
}

/* ---- the table of devices ---- */

static struct layout *defaults_of(size_t n, enum scheduler_preset preset)
{
	struct layout *l = layout_of(n, none, -1, -1);

	l->defaults = true;
	l->scheduler = preset;
	return l;
}

static void test_defaults_of_the_device(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *q = NULL, *ecc = NULL;
	struct layout *l;
	struct card c;

	card_i915(&c);
	c.facts.resources[VF_ATTR_VRAM].free.value = 16384 * MIB;
	p = plan_of(&c, defaults_of(4, SCHEDULER_NONE));
	assert_int_equal(p->n_steps, 17);
	assert_int_equal(p->steps[0].request.value, 4194304000);
	assert_int_equal(p->steps[1].request.value, 1006632960);
	assert_int_equal(p->steps[2].request.value, 1024);
	assert_int_equal(p->steps[3].request.value, 60);

	/* The card has less memory with ECC on: the other column. */
	c.facts.resources[VF_ATTR_VRAM].free.value = 14 * GIB;
	ecc = plan_of(&c, defaults_of(4, SCHEDULER_NONE));
	assert_int_equal(ecc->steps[0].request.value, 3548381184);

	/* What is said goes before the table; a way that cannot set a thing leaves it out. */
	card_init(&c);
	l = defaults_of(4, SCHEDULER_BURSTABLE);
	l->vfs[3].shape.wanted[VF_ATTR_VRAM] = bytes(GIB);
	q = plan_of(&c, l);
	assert_int_equal(q->steps[1].request.value, 3548381184);
	assert_int_equal(q->steps[4].request.value, GIB);
	assert_int_equal(q->steps[6].request.attribute, VF_ATTR_EXEC_QUANTUM);
	assert_int_equal(q->steps[6].request.value, 50);
	assert_int_equal(q->n_steps, 14);
	assert_note(q, "contexts_quota is left to the driver");
}

static void test_refusals_of_defaults(void **state)
{
	struct card c;

	card_init(&c);
	assert_refused(&c, defaults_of(3, SCHEDULER_NONE), RPC_NO_FIT, "no_defaults_for_count",
		       "no defaults for 3 VFs", "ask for one of 1, 2, 4, 5, 8, 16 VFs");
	c.facts.device_id = 0x0bd5;
	assert_refused(&c, defaults_of(2, SCHEDULER_FIXED_30FPS), RPC_UNSUPPORTED, "no_preset",
		       "fixed-30fps is not for", "burstable is for every card");
	c.facts.device_id = 0x46a6;
	assert_refused(&c, defaults_of(3, SCHEDULER_NONE), RPC_UNSUPPORTED, "no_defaults",
		       "has no defaults for Flex 170 at 0000:03:00.0 (46a6)", "leave defaults out");
}

static void test_defaults_match_what_they_made(void **state)
{
	struct layout *l = defaults_of(4, SCHEDULER_FLEXIBLE_30FPS);
	struct card c;
	char *why = NULL;
	unsigned i;

	card_init(&c);
	card_cut(&c, 4, 3548381184);
	for (i = 0; i < 4; i++) {
		c.vfs[i].values[VF_ATTR_EXEC_QUANTUM].value = 8;
		c.vfs[i].values[VF_ATTR_PREEMPT_TIMEOUT].value = 16000;
	}
	assert_true(partition_matches(&c.facts, l, NULL));
	c.vfs[2].values[VF_ATTR_EXEC_QUANTUM].value = 9;
	assert_false(partition_matches(&c.facts, l, &why));
	assert_string_equal(why, "vf3 has exec_quantum_ms 9, wanted is 8");
	free(why);
	layout_free(l);
}

/* ---- quotas that stay ---- */

static void test_custom_cards_are_restored(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *q = NULL, *s = NULL, *t = NULL;
	struct card c;

	card_i915(&c);
	card_cut(&c, 2, GIB);
	c.facts.custom_provisioning = true;
	p = plan_of(&c, layout_of(3, none, -1, -1));
	assert_steps(p, "write 0 to sriov_numvfs (now 2)\n"
			"restore automatic provisioning: quotas set by hand are given back\n"
			"write 3 to sriov_numvfs (now 0)\n");
	assert_false(p->steps[1].optional);
	q = plan_of(&c, layout_of(1, bytes(GIB), -1, -1));
	assert_true(q->steps[1].optional); /* every quota is written anew */
	s = plan_of(&c, layout_of(0, none, -1, -1));
	assert_steps(s, "write 0 to sriov_numvfs (now 2)\n"
			"restore automatic provisioning: quotas set by hand are given back\n");
	c.facts.num_vfs = 0;
	c.facts.n_vfs = 0;
	t = plan_of(&c, layout_of(0, none, -1, -1));
	assert_int_equal(t->n_steps, 1);
}

/* While VFs are on, xe's debugfs cannot tell its driver's shares from quotas that somebody set. */
static void test_debugfs_is_restored_anyway(void **state)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *q = NULL;
	_cleanup_(layout_freep) struct layout *present = NULL;
	struct card c;

	card_i915(&c);
	card_cut(&c, 2, GIB);
	c.facts.vf_control = VF_CONTROL_XE_DEBUGFS;
	p = plan_of(&c, layout_of(3, none, -1, -1));
	assert_steps(p, "write 0 to sriov_numvfs (now 2)\n"
			"restore automatic provisioning: quotas set by hand are given back\n"
			"write 3 to sriov_numvfs (now 0)\n");
	present = partition_present(&c.facts);
	assert_int_equal(present->vfs[0].shape.wanted[VF_ATTR_VRAM].value, GIB);
	c.facts.num_vfs = 0;
	c.facts.n_vfs = 0;
	q = plan_of(&c, layout_of(3, none, -1, -1));
	assert_steps(q, "write 3 to sriov_numvfs (now 0)\n");
}

static void test_present(void **state)
{
	_cleanup_(layout_freep) struct layout *xe = NULL, *automatic = NULL, *custom = NULL;
	struct card c;

	card_init(&c);
	card_cut(&c, 2, GIB);
	c.vfs[1].values[VF_ATTR_EXEC_QUANTUM].value = 20;
	xe = partition_present(&c.facts);
	assert_int_equal(xe->n_vfs, 2);
	assert_int_equal(xe->vfs[0].shape.wanted[VF_ATTR_VRAM].value, GIB);
	assert_int_equal(xe->vfs[1].shape.wanted[VF_ATTR_EXEC_QUANTUM].value, 20);
	assert_int_equal(xe->vfs[1].shape.wanted[VF_ATTR_GGTT].kind, AMOUNT_UNSET);

	/* What the driver shared by itself it shares again; what was set by hand is set again. */
	card_i915(&c);
	card_cut(&c, 1, GIB);
	c.vfs[0].values[VF_ATTR_CONTEXTS] = (struct known){ true, 1024 };
	c.vfs[0].values[VF_ATTR_PRIORITY] = (struct known){ true, VF_PRIORITY_NORMAL };
	automatic = partition_present(&c.facts);
	assert_int_equal(automatic->vfs[0].shape.wanted[VF_ATTR_VRAM].kind, AMOUNT_UNSET);
	assert_int_equal(automatic->vfs[0].shape.wanted[VF_ATTR_PRIORITY].value, VF_PRIORITY_NORMAL);
	c.facts.custom_provisioning = true;
	custom = partition_present(&c.facts);
	assert_int_equal(custom->vfs[0].shape.wanted[VF_ATTR_VRAM].value, GIB);
	assert_int_equal(custom->vfs[0].shape.wanted[VF_ATTR_CONTEXTS].value, 1024);
}

/* ---- fits ---- */

static void assert_fits(const struct card *c, const struct vf_shape *shape, const bool *vf_is_free,
			int64_t now, int64_t after)
{
	struct partition_fits fits = partition_fits(&c->facts, shape, vf_is_free);

	assert_int_equal(fits.free_now.known ? (int64_t)fits.free_now.value : -1, now);
	assert_int_equal(fits.after_recut.known ? (int64_t)fits.after_recut.value : -1, after);
}

static void test_fits(void **state)
{
	static const bool is_free[VFS_MAX] = { true, true, false, true };
	struct vf_shape big = { .wanted[VF_ATTR_VRAM] = { AMOUNT_BYTES, 3 * GIB } },
			small = { .wanted[VF_ATTR_VRAM] = { AMOUNT_BYTES, GIB } },
			quarter = { .wanted[VF_ATTR_VRAM] = { AMOUNT_PERCENT, 2500 } },
			slice = { .wanted[VF_ATTR_EXEC_QUANTUM] = { AMOUNT_BYTES, 20 } }, any = { 0 };
	struct card c;

	card_init(&c);
	assert_fits(&c, &quarter, is_free, 0, 4);
	card_cut(&c, 4, 2 * GIB);
	c.vfs[1].values[VF_ATTR_VRAM].value = 4 * GIB;
	c.facts.resources[VF_ATTR_VRAM].free.value -= 2 * GIB;
	c.vfs[3].values[VF_ATTR_EXEC_QUANTUM].value = 20;
	assert_fits(&c, &any, is_free, 3, 31);
	assert_fits(&c, &small, is_free, 3, 15);
	assert_fits(&c, &big, is_free, 1, 5);
	assert_fits(&c, &quarter, is_free, 1, 4);
	assert_fits(&c, &slice, is_free, 1, 31);

	/* Nobody knows what they have. */
	c.vfs[0].values[VF_ATTR_VRAM].known = false;
	assert_fits(&c, &big, is_free, -1, 4); /* 4.5, without what that one would give back */
	c.facts.resources[VF_ATTR_VRAM].free.known = false;
	assert_fits(&c, &big, is_free, -1, -1);
	/* No way to make one, whatever the card has. */
	c.facts.can[VF_ATTR_VRAM].access = VF_ACCESS_READ;
	assert_fits(&c, &big, is_free, -1, 0);
	card_i915(&c);
	c.facts.tiles = 2;
	assert_fits(&c, &big, is_free, 0, 4);
	assert_fits(&c, &any, is_free, 0, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_quota_completes_the_others),
		cmocka_unit_test(test_refusals_of_completing),
		cmocka_unit_test(test_limits_of_each_resource),
		cmocka_unit_test(test_two_tiles),
		cmocka_unit_test(test_priority_for_all_together),
		cmocka_unit_test(test_low_priority_is_taken_for_granted),
		cmocka_unit_test(test_defaults_of_the_device),
		cmocka_unit_test(test_refusals_of_defaults),
		cmocka_unit_test(test_defaults_match_what_they_made),
		cmocka_unit_test(test_custom_cards_are_restored),
		cmocka_unit_test(test_debugfs_is_restored_anyway),
		cmocka_unit_test(test_present),
		cmocka_unit_test(test_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
