/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The made-up GPU in each of the ways in which it can be cut: what there is, how numbers are rounded, what is refused,
 * what is shared out and taken back. */
#include "machine/sim-way.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "machine/sim-provision.h"

struct world {
	struct sim_document *document;
	struct sim_kernel k;
	struct sim_gpu *g; /* the first GPU */
	bool debugfs;
};

static struct world *world_new(const char *members, bool debugfs)
{
	_cleanup_free_ char *text = xasprintf("{\"gpus\": [{%s}]}", members), *message = NULL;
	struct world *w = calloc(1, sizeof(*w));

	if (sim_document_parse("d", text, strlen(text), &w->document, &message) < 0)
		fail_msg("%s", message);
	assert_int_equal(sim_kernel_init(&w->k, w->document), 0);
	w->g = &w->k.gpus[0];
	w->debugfs = debugfs;
	return w;
}

static void world_free(struct world *w)
{
	sim_kernel_done(&w->k);
	sim_document_free(w->document);
	free(w);
}
DEFINE_CLEANUP(struct world *, world_free);
#define WORLD(members, debugfs) _cleanup_(world_freep) struct world *w = world_new(members, debugfs)

#define FLEX "\"model\": \"Flex 170\", \"total_vfs\": 7"
#define NEW_DEBUGFS FLEX ", \"vram_quota\": \"absent\", \"debugfs\": \"new\""
#define OLD_DEBUGFS FLEX ", \"sriov_admin\": false, \"debugfs\": \"old\""
#define I915 FLEX ", \"driver\": \"i915\""
#define MAX "\"model\": \"Max 1550\", \"driver\": \"i915\", \"total_vfs\": 8"

static int numvfs(struct world *w, uint64_t n)
{
	return sim_gpu_set_numvfs(&w->k, w->g, n, 0);
}

/* The value that reads back, or the negative errno. */
static int64_t set_on(struct world *w, unsigned vf, enum vf_attribute attribute, uint64_t value, unsigned tile)
{
	const struct sim_write write = {w->debugfs, vf, attribute, value, tile};
	uint64_t back = 0;
	int r = sim_way_write(w->g, &write, &back);

	return r < 0 ? r : (int64_t)back;
}

static int64_t set(struct world *w, unsigned vf, enum vf_attribute attribute, uint64_t value)
{
	return set_on(w, vf, attribute, value, 0);
}

static int64_t get(struct world *w, unsigned vf, enum vf_attribute attribute)
{
	struct known k = sim_way_read(w->g, w->debugfs, vf, attribute);

	return k.known ? (int64_t)k.value : -1;
}

static void test_which_way(void **state)
{
	static const struct {
		const char *members;
		bool debugfs;
		enum vf_control way;
		const char *note; /* NULL = none */
	} rows[] = {
		{FLEX, false, VF_CONTROL_XE, NULL},
		{FLEX, true, VF_CONTROL_XE, NULL},
		{FLEX ", \"debugfs\": \"new\"", true, VF_CONTROL_XE, NULL}, /* sysfs has all that costs nothing */
		{FLEX ", \"vram_quota\": \"absent\"", true, VF_CONTROL_XE, "no quotas of this card"},
		{FLEX ", \"vram_quota\": \"read-only\"", true, VF_CONTROL_XE, "no quotas of this card"},
		{NEW_DEBUGFS, false, VF_CONTROL_XE, "allow_debugfs"},
		{NEW_DEBUGFS, true, VF_CONTROL_XE_DEBUGFS, "shares nothing by itself"},
		{NEW_DEBUGFS ", \"lockdown\": true", true, VF_CONTROL_XE, "lockdown"},
		{OLD_DEBUGFS, true, VF_CONTROL_XE_DEBUGFS, "shares nothing"},
		{OLD_DEBUGFS, false, VF_CONTROL_GENERIC, "allow_debugfs"},
		{OLD_DEBUGFS ", \"lockdown\": true", true, VF_CONTROL_GENERIC, "lockdown"},
		{I915, false, VF_CONTROL_I915, NULL},
		{I915 ", \"lockdown\": true", true, VF_CONTROL_I915, NULL},
		{I915 ", \"tree\": \"iov\"", false, VF_CONTROL_I915, NULL},
		{I915 ", \"tree\": \"none\"", false, VF_CONTROL_GENERIC, "number of VFs only"},
		{I915 ", \"hook\": false", false, VF_CONTROL_GENERIC, "number of VFs only"},
		{FLEX ", \"max_vfs\": 0", false, VF_CONTROL_GENERIC, "number of VFs only"},
		{"\"model\": \"Arc B580\"", false, VF_CONTROL_NONE, NULL},
		{"\"model\": \"Tiger Lake\"", true, VF_CONTROL_XE, NULL}, /* no memory, so nothing is missing */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		WORLD(rows[i].members, rows[i].debugfs);
		_cleanup_(gpu_facts_freep) struct gpu_facts *f = sim_gpu_facts(w->g, w->debugfs);

		if (f->vf_control != rows[i].way)
			fail_msg("row %zu: %s", i, vf_control_to_string(f->vf_control));
		if (rows[i].note ? !f->control_note || !strstr(f->control_note, rows[i].note) : !!f->control_note)
			fail_msg("row %zu: %s", i, f->control_note ? f->control_note : "no note");
	}
}

static void test_what_it_can(void **state)
{
	static const struct {
		const char *members;
		enum vf_access can[VF_ATTRIBUTE_MAX]; /* vram ggtt contexts doorbells quantum timeout priority */
	} rows[] = {
		{FLEX, {3, 0, 0, 0, 3, 3, 2}},
		{FLEX ", \"vram_quota\": \"read-only\"", {1, 0, 0, 0, 3, 3, 2}},
		{FLEX ", \"vram_quota\": \"absent\"", {0, 0, 0, 0, 3, 3, 2}},
		{NEW_DEBUGFS, {3, 3, 3, 3, 3, 3, 2}},
		{OLD_DEBUGFS, {3, 3, 3, 3, 3, 3, 2}},
		{I915, {3, 3, 3, 3, 3, 3, 2}},
		{"\"model\": \"Alder Lake-S\", \"driver\": \"i915\"", {0, 3, 3, 3, 3, 3, 2}},
		{I915 ", \"tree\": \"none\"", {0, 0, 0, 0, 0, 0, 0}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		WORLD(rows[i].members, true);
		_cleanup_(gpu_facts_freep) struct gpu_facts *f = sim_gpu_facts(w->g, true);

		for (int a = 0; a < VF_ATTRIBUTE_MAX; a++) {
			if (f->can[a].access != rows[i].can[a])
				fail_msg("row %zu: %s is %s", i, vf_attribute_to_string(a),
					 vf_access_to_string(f->can[a].access));
			assert_int_equal(!f->can[a].why, f->can[a].access == VF_ACCESS_WRITE);
		}
	}
}

/* One write to VF 1 of a fresh card: the value that reads back or the errno. */
static void test_one_write(void **state)
{
	static const struct {
		const char *members;
		enum vf_attribute attribute;
		uint64_t value;
		int64_t wanted;
	} rows[] = {
		/* xe's sysfs: §2.4 */
		{FLEX, VF_ATTR_VRAM, 1, 2 * MIB},
		{FLEX, VF_ATTR_VRAM, 16 * GIB, -ENOSPC},
		{FLEX, VF_ATTR_VRAM, 16 * GIB - 128 * MIB, 16 * GIB - 128 * MIB},
		{FLEX, VF_ATTR_GGTT, GIB, -EOPNOTSUPP},
		{FLEX, VF_ATTR_PRIORITY, VF_PRIORITY_NORMAL, -EOPNOTSUPP},
		{FLEX, VF_ATTR_EXEC_QUANTUM, 200000, 100000},
		{FLEX, VF_ATTR_EXEC_QUANTUM, UINT64_C(1) << 32, -ERANGE},
		{FLEX ", \"vram_quota\": \"read-only\"", VF_ATTR_VRAM, GIB, -EOPNOTSUPP},
		/* xe's debugfs: §2.6, §2.7 */
		{NEW_DEBUGFS, VF_ATTR_GGTT, 1, 64 * KIB},
		{NEW_DEBUGFS, VF_ATTR_GGTT, 5 * GIB, -ENOSPC},
		{NEW_DEBUGFS, VF_ATTR_CONTEXTS, 1, 1},
		{NEW_DEBUGFS, VF_ATTR_CONTEXTS, 65536, -EINVAL},
		{NEW_DEBUGFS, VF_ATTR_CONTEXTS, 65400, -EDQUOT},
		{NEW_DEBUGFS, VF_ATTR_DOORBELLS, 257, -EINVAL},
		{NEW_DEBUGFS, VF_ATTR_DOORBELLS, 256, 256},
		{NEW_DEBUGFS, VF_ATTR_VRAM, 3 * MIB, 4 * MIB},
		{NEW_DEBUGFS, VF_ATTR_PREEMPT_TIMEOUT, 200000000, 100000000},
		{OLD_DEBUGFS, VF_ATTR_EXEC_QUANTUM, UINT64_C(1) << 32, -EOVERFLOW},
		/* i915: §3.2 */
		{I915, VF_ATTR_GGTT, 1, 4 * KIB},
		{I915, VF_ATTR_GGTT, 5 * GIB, -E2BIG},
		{I915, VF_ATTR_GGTT, 4 * GIB, -EDQUOT},
		{I915, VF_ATTR_CONTEXTS, 1, 128},
		{I915, VF_ATTR_CONTEXTS, 65535, -ENOSPC},
		{I915, VF_ATTR_CONTEXTS, 65536, -ERANGE},
		{I915, VF_ATTR_DOORBELLS, 257, -ENOSPC},
		{I915, VF_ATTR_VRAM, 1, 2 * MIB},
		{I915, VF_ATTR_VRAM, 16 * GIB, -EDQUOT},
		{I915, VF_ATTR_EXEC_QUANTUM, 200000, 200000},
		{I915, VF_ATTR_PRIORITY, VF_PRIORITY_LOW, -EOPNOTSUPP},
		{I915 ", \"tree\": \"none\"", VF_ATTR_EXEC_QUANTUM, 1, -EOPNOTSUPP},
		/* two tiles: equal parts of space and memory, the same of all else */
		{MAX, VF_ATTR_VRAM, 2 * MIB, 4 * MIB},
		{MAX, VF_ATTR_VRAM, 6 * GIB, 6 * GIB},
		{MAX, VF_ATTR_GGTT, 4097, 8 * KIB},
		{MAX, VF_ATTR_CONTEXTS, 256, 256},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		WORLD(rows[i].members, true);
		int64_t got = set(w, 1, rows[i].attribute, rows[i].value);

		if (got != rows[i].wanted)
			fail_msg("row %zu: %lld", i, (long long)got);
	}
}

static void test_no_such_vf(void **state)
{
	WORLD(I915, false);

	assert_int_equal(set(w, 8, VF_ATTR_CONTEXTS, 128), -ENOENT);
	assert_int_equal(w->g->writes.vf_attributes, 0);
}

/* §2.6, §3.2: the PF keeps its part; what one has another cannot get; what a failed write leaves. */
static void test_stock(void **state)
{
	WORLD(I915, false);
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL;

	assert_int_equal(set(w, 1, VF_ATTR_CONTEXTS, 65000), 65024);
	assert_int_equal(set(w, 2, VF_ATTR_CONTEXTS, 256), -ENOSPC);
	assert_int_equal(set(w, 2, VF_ATTR_CONTEXTS, 128), 128);
	assert_int_equal(set(w, 1, VF_ATTR_CONTEXTS, 65500), -ENOSPC);
	assert_int_equal(get(w, 1, VF_ATTR_CONTEXTS), 65024); /* it keeps them */
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, GIB), GIB);
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, 17 * GIB), -EDQUOT);
	assert_int_equal(get(w, 1, VF_ATTR_VRAM), 0); /* and loses that */
	f = sim_gpu_facts(w->g, false);
	assert_int_equal(f->resources[VF_ATTR_VRAM].free.value, 16 * GIB - 128 * MIB);
	assert_int_equal(f->resources[VF_ATTR_VRAM].max_quota.value, 16 * GIB - 128 * MIB);
	assert_int_equal(f->resources[VF_ATTR_VRAM].spare.value, 128 * MIB);
	assert_int_equal(f->resources[VF_ATTR_CONTEXTS].free.value, 0);
	assert_int_equal(f->resources[VF_ATTR_CONTEXTS].grain, 128);
	assert_true(f->custom_provisioning);
}

static void test_spare(void **state)
{
	WORLD(I915, false);

	assert_int_equal(set(w, 0, VF_ATTR_VRAM, 64 * MIB), -EINVAL); /* below what it keeps at least */
	assert_int_equal(set(w, 0, VF_ATTR_VRAM, GIB), GIB);
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, 15 * GIB), 15 * GIB);
	assert_int_equal(set(w, 2, VF_ATTR_VRAM, 2 * MIB), -EDQUOT);
	assert_int_equal(set(w, 0, VF_ATTR_VRAM, 0), 128 * MIB);
	assert_int_equal(set(w, 2, VF_ATTR_VRAM, 2 * MIB), 2 * MIB);
}

/* A partly provisioned VF is refused by every driver: §2.3, §3.3. */
static void test_partly(void **state)
{
	static const char *const members[] = {NEW_DEBUGFS, OLD_DEBUGFS, I915};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		WORLD(members[i], true);

		assert_true(set(w, 1, VF_ATTR_GGTT, GIB) > 0);
		assert_int_equal(numvfs(w, 1), -ENOKEY);
		assert_true(set(w, 1, VF_ATTR_CONTEXTS, 1024) > 0);
		assert_int_equal(numvfs(w, 1), -ENOKEY);
		assert_true(set(w, 1, VF_ATTR_VRAM, GIB) > 0);
		assert_int_equal(numvfs(w, 1), 0); /* doorbells are optional */
		assert_int_equal(set(w, 1, VF_ATTR_VRAM, 2 * GIB), -EIO);
		assert_int_equal(set(w, 1, VF_ATTR_VRAM, GIB), GIB); /* the same is no change */
	}
}

static void fill(struct world *w, unsigned vf)
{
	assert_true(set(w, vf, VF_ATTR_GGTT, 256 * MIB) > 0);
	assert_true(set(w, vf, VF_ATTR_CONTEXTS, 1024) > 0);
	assert_true(set(w, vf, VF_ATTR_VRAM, GIB) > 0);
	assert_true(set(w, vf, VF_ATTR_EXEC_QUANTUM, 20) > 0);
}

/* (inferred) A VF that nobody uses does not run, even if it is on. */
static void test_live_quotas(void **state)
{
	WORLD(I915 ", \"live_quotas\": true", false);

	fill(w, 1);
	assert_int_equal(numvfs(w, 1), 0);
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, 0), 0);
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, GIB), GIB);
	w->g->vfs[0].held = true;
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, 0), -EIO);
	w->g->vfs[0].held = false;
}

/* §2.7, trap 9: what debugfs was told stays, until automatic provisioning is restored. */
static void test_custom_sticks(void **state)
{
	WORLD(FLEX ", \"sriov_admin\": false, \"debugfs\": \"new\"", true);
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL;

	fill(w, 1);
	assert_int_equal(numvfs(w, 2), 0);
	assert_int_equal(get(w, 2, VF_ATTR_VRAM), 0); /* nothing is shared */
	assert_int_equal(sim_way_restore_auto(w->g, true), -EBUSY);
	assert_int_equal(numvfs(w, 0), 0);
	assert_int_equal(get(w, 1, VF_ATTR_VRAM), GIB);
	assert_int_equal(get(w, 1, VF_ATTR_EXEC_QUANTUM), 20);
	f = sim_gpu_facts(w->g, true);
	assert_true(f->custom_provisioning);
	assert_int_equal(sim_way_restore_auto(w->g, true), 0);
	assert_int_equal(get(w, 1, VF_ATTR_VRAM), 0);
	assert_int_equal(numvfs(w, 2), 0);
	assert_true(get(w, 2, VF_ATTR_VRAM) > 0);
}

/* Also when what was set is taken back: VFs come up with nothing. */
static void test_empty_by_hand(void **state)
{
	static const char *const members[] = {NEW_DEBUGFS, I915};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		WORLD(members[i], true);

		assert_true(set(w, 1, VF_ATTR_CONTEXTS, 128) > 0);
		assert_int_equal(set(w, 1, VF_ATTR_CONTEXTS, 0), 0);
		assert_int_equal(numvfs(w, 2), 0);
		assert_int_equal(get(w, 1, VF_ATTR_CONTEXTS), 0);
		assert_int_equal(get(w, 2, VF_ATTR_VRAM), 0);
		assert_int_equal(numvfs(w, 0), 0);
		assert_int_equal(sim_way_restore_auto(w->g, true), 0);
		assert_int_equal(numvfs(w, 2), 0);
		assert_true(get(w, 2, VF_ATTR_VRAM) > 0);
	}
}

/* Kernels with the old layout know no custom mode: what was set goes with the VFs. */
static void test_old_layout(void **state)
{
	WORLD(OLD_DEBUGFS, true);

	fill(w, 1);
	assert_int_equal(numvfs(w, 1), 0);
	assert_int_equal(numvfs(w, 0), 0);
	assert_int_equal(get(w, 1, VF_ATTR_VRAM), 0);
	fill(w, 3);
	assert_int_equal(sim_way_restore_auto(w->g, true), 0); /* the helper sets every quota to 0 */
	assert_int_equal(get(w, 3, VF_ATTR_VRAM), 0);
	assert_int_equal(get(w, 3, VF_ATTR_EXEC_QUANTUM), 20);
}

/* §3.2: a quota turns automatic provisioning off, and quotas stay. */
static void test_i915_automatic(void **state)
{
	WORLD(I915, false);

	assert_int_equal(numvfs(w, 4), 0);
	assert_int_equal(get(w, 4, VF_ATTR_VRAM), (16 * GIB - 128 * MIB) / 4);
	assert_int_equal(get(w, 1, VF_ATTR_CONTEXTS), 16256);
	assert_int_equal(get(w, 1, VF_ATTR_DOORBELLS), 64);
	assert_int_equal(numvfs(w, 0), 0);
	assert_int_equal(get(w, 4, VF_ATTR_VRAM), 0);
	fill(w, 2);
	assert_true(w->g->auto_off);
	assert_int_equal(numvfs(w, 2), 0);
	assert_int_equal(get(w, 1, VF_ATTR_VRAM), 0);
	assert_int_equal(numvfs(w, 0), 0);
	assert_int_equal(get(w, 2, VF_ATTR_VRAM), GIB);
	assert_int_equal(sim_provision_i915_auto(w->g), -ESTALE);
	assert_int_equal(sim_way_restore_auto(w->g, false), 0); /* the helper empties first */
	assert_false(w->g->auto_off);
	assert_int_equal(numvfs(w, 4), 0);
	assert_true(get(w, 1, VF_ATTR_VRAM) > 0);
}

/* §2.6: the shares of n VFs under xe. */
static void test_shares(void **state)
{
	WORLD(FLEX ", \"sriov_admin\": false, \"debugfs\": \"new\"", true);

	assert_int_equal(numvfs(w, 7), 0);
	assert_int_equal(get(w, 7, VF_ATTR_GGTT), 512 * MIB);
	assert_int_equal(get(w, 7, VF_ATTR_CONTEXTS), 8192);
	assert_int_equal(get(w, 7, VF_ATTR_DOORBELLS), 32);
	assert_int_equal(get(w, 7, VF_ATTR_VRAM), (16 * GIB - 128 * MIB) / 7 / (2 * MIB) * (2 * MIB));
	assert_int_equal(get(w, 7, VF_ATTR_EXEC_QUANTUM), 0);
}

/* §2.5: on a card with outputs one more share, down to a power of two. */
static void test_share_with_outputs(void **state)
{
	WORLD("\"model\": \"Arc Pro B60\"", false);

	assert_int_equal(numvfs(w, 3), 0);
	assert_int_equal(get(w, 1, VF_ATTR_VRAM), 4 * GIB); /* 23 GiB / 4 */
}

static void test_nothing_left(void **state)
{
	WORLD(I915 ", \"doorbells\": 2", false);

	assert_int_equal(numvfs(w, 3), -ENOSPC);
	assert_int_equal(get(w, 1, VF_ATTR_GGTT), 0); /* taken back */
	assert_int_equal(numvfs(w, 2), 0);
}

/* §2.3: leftovers under 6.19/7.0. */
static void test_euclean(void **state)
{
	WORLD(FLEX ", \"euclean\": true", false);

	assert_int_equal(set(w, 3, VF_ATTR_VRAM, GIB), GIB);
	assert_int_equal(numvfs(w, 2), 0); /* VF 3 is not among them */
	assert_int_equal(numvfs(w, 0), 0);
	assert_int_equal(numvfs(w, 3), -EUCLEAN);
	assert_int_equal(sim_way_restore_auto(w->g, false), 0);
	assert_int_equal(numvfs(w, 3), 0);
}

/* A VF may sit on one tile; there it needs all. */
static void test_two_tiles(void **state)
{
	WORLD(MAX, false);

	assert_int_equal(set_on(w, 1, VF_ATTR_VRAM, GIB, 3), -EINVAL);
	assert_int_equal(set_on(w, 1, VF_ATTR_VRAM, GIB, 2), GIB);
	assert_int_equal(set_on(w, 1, VF_ATTR_GGTT, GIB, 2), GIB);
	assert_int_equal(numvfs(w, 1), -ENOKEY);
	assert_int_equal(set_on(w, 1, VF_ATTR_CONTEXTS, 1024, 2), 1024);
	assert_int_equal(sim_stock_get(w->g, 1, 0, VF_ATTR_VRAM), 0);
	assert_int_equal(sim_stock_get(w->g, 1, 1, VF_ATTR_VRAM), GIB);
	assert_int_equal(get(w, 1, VF_ATTR_CONTEXTS), 1024);
	assert_int_equal(numvfs(w, 1), 0);
	/* 64 GiB a tile: more than one tile has is refused although the card has it */
	assert_int_equal(set_on(w, 2, VF_ATTR_VRAM, 70 * GIB, 1), -EDQUOT);
	assert_int_equal(set(w, 2, VF_ATTR_VRAM, 70 * GIB), 70 * GIB);
}

/* xe's sriov_admin has one file for both tiles. */
static void test_tiles_of_sysfs(void **state)
{
	WORLD("\"model\": \"Max 1550\", \"total_vfs\": 8", false);

	assert_int_equal(set_on(w, 1, VF_ATTR_VRAM, GIB, 1), -EOPNOTSUPP);
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, 2 * MIB), 4 * MIB);
	sim_stock_put(w->g, 1, 1, VF_ATTR_VRAM, 0);
	assert_int_equal(get(w, 1, VF_ATTR_VRAM), -1); /* tiles disagree: unknown */
}

static void test_bulk(void **state)
{
	WORLD(FLEX, false);
	uint64_t back = 0;

	assert_int_equal(sim_way_write_all(w->g, false, VF_ATTR_PRIORITY, VF_PRIORITY_HIGH, &back), -EINVAL);
	assert_int_equal(sim_way_write_all(w->g, false, VF_ATTR_PRIORITY, VF_PRIORITY_NORMAL, &back), 0);
	assert_int_equal(back, VF_PRIORITY_NORMAL);
	assert_int_equal(get(w, 7, VF_ATTR_PRIORITY), VF_PRIORITY_NORMAL);
	assert_int_equal(sim_way_write_all(w->g, false, VF_ATTR_EXEC_QUANTUM, 30, &back), 0);
	assert_int_equal(get(w, 7, VF_ATTR_EXEC_QUANTUM), 30);
	assert_int_equal(sim_way_write_all(w->g, false, VF_ATTR_VRAM, GIB, &back), -EOPNOTSUPP);
	assert_int_equal(w->g->writes.bulk_attributes, 3);
	assert_int_equal(w->g->writes.of[SIM_SCHED_PRIORITY], 2);
}

static void test_policy_for_all(void **state)
{
	WORLD(I915, false);
	uint64_t back = 0;

	assert_int_equal(sim_way_write_all(w->g, false, VF_ATTR_PRIORITY, VF_PRIORITY_HIGH, &back), -EINVAL);
	assert_int_equal(sim_way_write_all(w->g, false, VF_ATTR_PRIORITY, VF_PRIORITY_NORMAL, &back), 0);
	assert_int_equal(get(w, 1, VF_ATTR_PRIORITY), VF_PRIORITY_NORMAL);
	assert_int_equal(sim_way_write_all(w->g, false, VF_ATTR_EXEC_QUANTUM, 5, &back), -EOPNOTSUPP);
	assert_false(w->g->auto_off); /* no VF was given anything */
}

static void test_pf(void **state)
{
	WORLD(FLEX, false);

	assert_int_equal(set(w, 0, VF_ATTR_PRIORITY, VF_PRIORITY_HIGH), VF_PRIORITY_HIGH);
	assert_int_equal(set(w, 0, VF_ATTR_EXEC_QUANTUM, 64), 64);
	assert_int_equal(w->g->writes.pf_attributes, 2);
}

/* §1.1: without a driver sriov_totalvfs is the hardware's; §2.9: binding ends what was. */
static void test_driver(void **state)
{
	WORLD(FLEX ", \"max_vfs\": 4", false);

	assert_int_equal(w->g->total_vfs, 4);
	assert_int_equal(numvfs(w, 5), -ERANGE);
	assert_true(set(w, 1, VF_ATTR_VRAM, GIB) > 0);
	assert_int_equal(numvfs(w, 2), 0);
	w->g->wedged = true;
	sim_gpu_set_bound(&w->k, w->g, false);
	assert_int_equal(w->g->num_vfs, 0);
	assert_int_equal(w->g->total_vfs, 7);
	assert_int_equal(numvfs(w, 2), -ENOENT);
	sim_gpu_set_bound(&w->k, w->g, true);
	assert_int_equal(w->g->total_vfs, 4);
	assert_int_equal(get(w, 1, VF_ATTR_VRAM), 0);
	assert_int_equal(numvfs(w, 2), 0);
}

static void test_max_vfs_off(void **state)
{
	WORLD(FLEX ", \"max_vfs\": 0", false);
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = sim_gpu_facts(w->g, false);

	assert_int_equal(f->total_vfs, 0);
	assert_true(f->sriov_capable);
	assert_non_null(strstr(f->reason, "max_vfs"));
	assert_int_equal(numvfs(w, 1), -ERANGE);
}

static void test_wedged(void **state)
{
	WORLD(FLEX, false);

	w->g->wedged = true;
	assert_int_equal(numvfs(w, 1), -ECANCELED);
	w->g->wedged = false;
	w->g->guarded = true;
	assert_int_equal(numvfs(w, 1), -EBUSY);
	w->g->guarded = false;
	assert_int_equal(numvfs(w, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_way),	  cmocka_unit_test(test_what_it_can),
		cmocka_unit_test(test_one_write),	  cmocka_unit_test(test_no_such_vf),
		cmocka_unit_test(test_stock),		  cmocka_unit_test(test_spare),
		cmocka_unit_test(test_partly),		  cmocka_unit_test(test_custom_sticks),
		cmocka_unit_test(test_empty_by_hand),
		cmocka_unit_test(test_old_layout),	  cmocka_unit_test(test_i915_automatic),
		cmocka_unit_test(test_shares),		  cmocka_unit_test(test_share_with_outputs),
		cmocka_unit_test(test_nothing_left),	  cmocka_unit_test(test_euclean),
		cmocka_unit_test(test_live_quotas),
		cmocka_unit_test(test_two_tiles),	  cmocka_unit_test(test_tiles_of_sysfs),
		cmocka_unit_test(test_bulk),		  cmocka_unit_test(test_policy_for_all),
		cmocka_unit_test(test_pf),		  cmocka_unit_test(test_driver),
		cmocka_unit_test(test_max_vfs_off),	  cmocka_unit_test(test_wedged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
