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

/* ---- every attribute, on ways that take them ---- */

/* A card under the out-of-tree i915: sets everything by hand, or nothing. */
static void card_i915(struct card *c)
{
	size_t a;

	card_init(c);
	c->facts.driver = (char *)"i915";
	c->facts.vf_control = VF_CONTROL_I915;
	c->facts.autoprobe = false;
	for (a = 0; a < VF_ATTR_PRIORITY; a++)
		c->facts.can[a].access = VF_ACCESS_WRITE;
	c->facts.can[VF_ATTR_PRIORITY].access = VF_ACCESS_BULK;
	c->facts.resources[VF_ATTR_VRAM].grain = 2 * MIB;
	c->facts.resources[VF_ATTR_GGTT] =
		(struct resource_facts){ .free = { true, 4000 * MIB }, .grain = 64 * KIB };
	c->facts.resources[VF_ATTR_CONTEXTS] =
		(struct resource_facts){ .free = { true, 65279 }, .grain = 128 };
	c->facts.resources[VF_ATTR_DOORBELLS] =
		(struct resource_facts){ .free = { true, 256 }, .grain = 1 };
}

static struct layout *wants(size_t n, enum vf_attribute attribute, struct amount amount)
{
	struct layout *l = layout_of(n, none, -1, -1);
	size_t i;

	for (i = 0; i < n; i++)
		l->vfs[i].shape.wanted[attribute] = amount;
	return l;
}

static void assert_note(const struct partition_plan *p, const char *wanted)
{
	size_t i;

	for (i = 0; i < p->n_notes; i++)
		if (strstr(p->notes[i], wanted))
			return;
	fail_msg("no note says \"%s\"", wanted);
}

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

/* ---- the way back ---- */

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
		cmocka_unit_test(test_present),
		cmocka_unit_test(test_undo_clears_quotas),
		cmocka_unit_test(test_undo_takes_away_what_came_up),
		cmocka_unit_test(test_undo_restores_the_mode),
		cmocka_unit_test(test_undo_of_nothing),
		cmocka_unit_test(test_undo_of_tuning),
		cmocka_unit_test(test_undo_to_what_no_longer_fits),
		cmocka_unit_test(test_steps_as_json),
		cmocka_unit_test(test_matches_each_attribute),
		cmocka_unit_test(test_shares_move_a_little),
		cmocka_unit_test(test_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
