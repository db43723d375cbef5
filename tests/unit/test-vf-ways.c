/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ways with a tree of quota files: i915's sysfs and both layouts of xe's debugfs, with one tile
 * and with two; what is read, written, summed, refused and restored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "host/gpu-read.h"
#include "host/sriov.h"
#include "host/vf-control.h"
#include "lib/units.h"
#include "tests/support/fake-gpu.h"

#define PF "0000:03:00.0"
#define HOME SYSFS_PCI "/drm/card3/prelim_iov"
#define DEBUG "kernel/debug/dri/" PF

struct stage {
	struct fake_gpu fake;
	struct sysfs s;
	struct host_request request;
	struct vf_surface c;
};

static int setup(void **state)
{
	static struct stage stage;

	stage = (struct stage){0};
	fake_gpu_init(&stage.fake);
	fake_gpu_add_pf(&stage.fake, PF, 7);
	assert_int_equal(sysfs_open(stage.fake.root, &stage.s), 0);
	stage.s.allow_debugfs = true;
	assert_int_equal(pci_address_parse(PF, &stage.request.gpu), 0);
	*state = &stage;
	return 0;
}

static int teardown(void **state)
{
	struct stage *stage = *state;

	vf_surface_done(&stage->c);
	sysfs_done(&stage->s);
	fake_gpu_done(&stage->fake);
	return 0;
}

static void find(struct stage *stage, const struct vf_control_ops *want)
{
	vf_surface_done(&stage->c);
	assert_int_equal(vf_control_find(&stage->s, PF, &stage->c), 0);
	assert_ptr_equal(stage->c.ops, want);
}

static struct gpu_facts *read_gpu(struct stage *stage)
{
	struct gpu_facts *f = NULL;

	assert_int_equal(gpu_read(&stage->s, &stage->request.gpu, &f), 0);
	return f;
}

static int set(struct stage *stage, unsigned vf, enum vf_attribute attribute, uint64_t value,
	       unsigned tile, uint64_t *ret)
{
	struct host_request request = {.op = HOST_SET_VF_ATTR,
				       .vf = vf,
				       .attribute = attribute,
				       .value = value,
				       .tile = tile};

	return stage->c.ops->set_vf(&stage->s, &stage->c, &request, ret);
}

/* Sets and expects what is read back. */
static void assert_set(struct stage *stage, unsigned vf, enum vf_attribute attribute,
		       uint64_t value, unsigned tile)
{
	uint64_t back = UINT64_MAX;

	assert_int_equal(set(stage, vf, attribute, value, tile, &back), 0);
	assert_int_equal(back, value);
}

static void assert_text(struct stage *stage, const char *want, const char *path)
{
	_cleanup_free_ char *text = fake_gpu_read(&stage->fake, "%s", path);

	assert_string_equal(text, want);
}

#define ASSERT_FILE(stage, want, format, ...)                                                      \
	do {                                                                                       \
		char _path[256];                                                                   \
		snprintf(_path, sizeof(_path), format, ##__VA_ARGS__);                             \
		assert_text((stage), (want), _path);                                               \
	} while (0)

static void assert_known(struct known k, uint64_t want)
{
	assert_true(k.known);
	assert_int_equal(k.value, want);
}

/* ---- i915 ---- */

/* Flex: one GT called "gt", with memory. */
static void test_i915_flex(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL;
	enum vf_attribute a;
	uint64_t value = 0;

	fake_gpu_add_i915(&stage->fake, PF, 3, "gt", 7, 14 * GIB);
	find(stage, &vf_control_i915);
	assert_set(stage, 2, VF_ATTR_VRAM, 2 * GIB, 0);
	assert_set(stage, 2, VF_ATTR_GGTT, 503316480, 0);
	assert_set(stage, 2, VF_ATTR_CONTEXTS, 1024, 0);
	assert_set(stage, 2, VF_ATTR_DOORBELLS, 30, 1);
	assert_set(stage, 2, VF_ATTR_EXEC_QUANTUM, 20, 0);
	assert_set(stage, 2, VF_ATTR_PREEMPT_TIMEOUT, 40000, 0);
	ASSERT_FILE(stage, "2147483648", HOME "/vf2/gt/lmem_quota", PF);
	ASSERT_FILE(stage, "0", HOME "/vf1/gt/lmem_quota", PF);
	assert_int_equal(
		stage->c.ops->set_pf(&stage->s, &stage->c, VF_ATTR_EXEC_QUANTUM, 64, &value), 0);
	ASSERT_FILE(stage, "64", HOME "/pf/gt/exec_quantum_ms", PF);

	fake_gpu_enable_vfs(&stage->fake, PF, 3, 10);
	f = read_gpu(stage);
	assert_int_equal(f->vf_control, VF_CONTROL_I915);
	assert_null(f->control_note);
	assert_int_equal(f->tiles, 1);
	for (a = 0; a < VF_ATTR_PRIORITY; a++) {
		assert_true(gpu_can_set(f, a));
		assert_null(f->can[a].why);
	}
	assert_int_equal(f->can[VF_ATTR_PRIORITY].access, VF_ACCESS_BULK);
	assert_known(f->vfs[1].values[VF_ATTR_VRAM], 2 * GIB);
	assert_known(f->vfs[1].values[VF_ATTR_GGTT], 503316480);
	assert_known(f->vfs[1].values[VF_ATTR_CONTEXTS], 1024);
	assert_known(f->vfs[1].values[VF_ATTR_DOORBELLS], 30);
	assert_known(f->vfs[1].values[VF_ATTR_EXEC_QUANTUM], 20);
	assert_known(f->vfs[1].values[VF_ATTR_PRIORITY], VF_PRIORITY_LOW);
	assert_known(f->resources[VF_ATTR_VRAM].free, 14 * GIB);
	assert_known(f->resources[VF_ATTR_VRAM].spare, 128 * MIB);
	assert_known(f->resources[VF_ATTR_GGTT].max_quota, 4026531840);
	assert_known(f->resources[VF_ATTR_CONTEXTS].max_quota, 65152);
	assert_int_equal(f->resources[VF_ATTR_CONTEXTS].grain, 128);
	assert_int_equal(f->resources[VF_ATTR_VRAM].grain, 2 * MIB);
	assert_false(f->custom_provisioning);
}

/* An integrated GPU with a media GT: GGTT is the main GT's alone, contexts are of both, no VRAM. */
static void test_i915_media(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL, *torn = NULL;

	fake_gpu_add_i915(&stage->fake, PF, 3, "gt0 gt1m", 7, 0);
	find(stage, &vf_control_i915);
	assert_set(stage, 1, VF_ATTR_GGTT, 268435456, 0);
	assert_set(stage, 1, VF_ATTR_CONTEXTS, 4096, 0);
	assert_set(stage, 1, VF_ATTR_EXEC_QUANTUM, 16, 0);
	ASSERT_FILE(stage, "268435456", HOME "/vf1/gt0/ggtt_quota", PF);
	ASSERT_FILE(stage, "0", HOME "/vf1/gt1/ggtt_quota", PF);
	ASSERT_FILE(stage, "4096", HOME "/vf1/gt1/contexts_quota", PF);
	ASSERT_FILE(stage, "16", HOME "/vf1/gt1/exec_quantum_ms", PF);

	fake_gpu_enable_vfs(&stage->fake, PF, 1, 10);
	f = read_gpu(stage);
	assert_int_equal(f->tiles, 1);
	assert_int_equal(f->can[VF_ATTR_VRAM].access, VF_ACCESS_NONE);
	assert_non_null(strstr(f->can[VF_ATTR_VRAM].why, "no memory of its own"));
	assert_int_equal(f->resources[VF_ATTR_VRAM].grain, 0);
	assert_false(f->vfs[0].values[VF_ATTR_VRAM].known);
	assert_known(f->vfs[0].values[VF_ATTR_GGTT], 268435456);

	/* GTs that disagree have no value to show */
	fake_gpu_write(&stage->fake, "99\n", HOME "/vf1/gt1/exec_quantum_ms", PF);
	fake_gpu_write(&stage->fake, "128\n", HOME "/vf1/gt1/contexts_quota", PF);
	torn = read_gpu(stage);
	assert_false(torn->vfs[0].values[VF_ATTR_EXEC_QUANTUM].known);
	assert_false(torn->vfs[0].values[VF_ATTR_CONTEXTS].known);
	assert_known(torn->vfs[0].values[VF_ATTR_PREEMPT_TIMEOUT], 0);
}

/* Max 1550: two tiles, each with its own stock. */
static void test_i915_two_tiles(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL;
	uint64_t value = 0;

	fake_gpu_add_i915(&stage->fake, PF, 3, "gt0 gt1", 7, 60 * GIB);
	fake_gpu_write(&stage->fake, "2147483648\n", HOME "/pf/gt1/available/lmem_max_quota", PF);
	fake_gpu_write(&stage->fake, "300\n", HOME "/pf/gt1/available/contexts_free", PF);
	find(stage, &vf_control_i915);
	assert_set(stage, 1, VF_ATTR_VRAM, 4 * GIB, 0);
	ASSERT_FILE(stage, "2147483648", HOME "/vf1/gt0/lmem_quota", PF);
	ASSERT_FILE(stage, "2147483648", HOME "/vf1/gt1/lmem_quota", PF);
	assert_set(stage, 1, VF_ATTR_VRAM, 4 * GIB, 2);
	ASSERT_FILE(stage, "0", HOME "/vf1/gt0/lmem_quota", PF);
	ASSERT_FILE(stage, "4294967296", HOME "/vf1/gt1/lmem_quota", PF);
	assert_set(stage, 1, VF_ATTR_CONTEXTS, 1024, 2);
	ASSERT_FILE(stage, "0", HOME "/vf1/gt0/contexts_quota", PF);
	ASSERT_FILE(stage, "1024", HOME "/vf1/gt1/contexts_quota", PF);
	assert_set(stage, 1, VF_ATTR_DOORBELLS, 15, 0);
	ASSERT_FILE(stage, "15", HOME "/vf1/gt0/doorbells_quota", PF);
	ASSERT_FILE(stage, "15", HOME "/vf1/gt1/doorbells_quota", PF);
	assert_set(stage, 1, VF_ATTR_EXEC_QUANTUM, 8, 0);
	ASSERT_FILE(stage, "8", HOME "/vf1/gt0/exec_quantum_ms", PF);
	/* an odd number of bytes is rounded up, never down */
	assert_int_equal(set(stage, 2, VF_ATTR_VRAM, 4097, 0, &value), 0);
	assert_int_equal(value, 4098);
	assert_int_equal(set(stage, 2, VF_ATTR_VRAM, 4096, 3, &value), -EINVAL);

	fake_gpu_enable_vfs(&stage->fake, PF, 2, 10);
	f = read_gpu(stage);
	assert_int_equal(f->tiles, 2);
	assert_known(f->vfs[0].values[VF_ATTR_VRAM], 4 * GIB);
	assert_known(f->vfs[0].values[VF_ATTR_CONTEXTS], 1024);
	assert_known(f->resources[VF_ATTR_VRAM].free, 120 * GIB);
	assert_known(f->resources[VF_ATTR_VRAM].max_quota, 60 * GIB); /* all from tile 0 */
	assert_known(f->resources[VF_ATTR_CONTEXTS].free, 65279 + 300);
	assert_known(f->resources[VF_ATTR_DOORBELLS].max_quota, 2 * 240);
	assert_known(f->resources[VF_ATTR_CONTEXTS].spare, 2 * 256);
	assert_int_equal(f->resources[VF_ATTR_VRAM].grain, 4 * MIB);
}

static void test_i915_policy(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL;
	uint64_t value = 4711;

	fake_gpu_add_i915(&stage->fake, PF, 3, "gt0 gt1", 7, 0);
	find(stage, &vf_control_i915);
	assert_int_equal(stage->c.ops->set_bulk(&stage->s, &stage->c, VF_ATTR_PRIORITY,
						VF_PRIORITY_HIGH, &value),
			 -EINVAL);
	assert_int_equal(
		stage->c.ops->set_bulk(&stage->s, &stage->c, VF_ATTR_EXEC_QUANTUM, 1, &value),
		-EOPNOTSUPP);
	assert_int_equal(set(stage, 1, VF_ATTR_PRIORITY, VF_PRIORITY_LOW, 0, &value), -EOPNOTSUPP);
	assert_int_equal(value, 4711);
	assert_int_equal(stage->c.ops->set_bulk(&stage->s, &stage->c, VF_ATTR_PRIORITY,
						VF_PRIORITY_NORMAL, &value),
			 0);
	assert_int_equal(value, VF_PRIORITY_NORMAL);
	ASSERT_FILE(stage, "1", HOME "/pf/gt1/policies/sched_if_idle", PF);
	fake_gpu_enable_vfs(&stage->fake, PF, 1, 10);
	f = read_gpu(stage);
	assert_known(f->vfs[0].values[VF_ATTR_PRIORITY], VF_PRIORITY_NORMAL);
}

/* The other name, refusals, and a neighbour's card that must not be taken. */
static void test_i915_refusals(void **state)
{
	struct stage *stage = *state;
	_cleanup_free_ char *old = xasprintf("%s/" HOME, stage->fake.root, PF);
	_cleanup_free_ char *new =
		xasprintf("%s/" SYSFS_PCI "/drm/card3/iov", stage->fake.root, PF);
	uint64_t value = 4711;

	fake_gpu_add_pf(&stage->fake, "0000:04:00.0", 7);
	fake_gpu_add_i915(&stage->fake, "0000:04:00.0", 0, "gt", 7, 0);
	fake_gpu_write(&stage->fake, "", SYSFS_PCI "/drm/card3/uevent", PF);
	fake_gpu_write(&stage->fake, "", SYSFS_PCI "/drm/renderD131/uevent", PF);
	find(stage, &vf_control_generic);

	fake_gpu_add_i915(&stage->fake, PF, 3, "gt", 7, 0);
	assert_int_equal(rename(old, new), 0);
	find(stage, &vf_control_i915);
	assert_int_equal(set(stage, 8, VF_ATTR_GGTT, 1, 0, &value), -ENOENT);
	assert_int_equal(set(stage, 0, VF_ATTR_GGTT, 1, 0, &value), -EINVAL);
	assert_int_equal(set(stage, 1, VF_ATTR_VRAM, 1, 0, &value), -EOPNOTSUPP);
	fake_gpu_chmod(&stage->fake, 0444, SYSFS_PCI "/drm/card3/iov/vf1/gt/contexts_quota", PF);
	assert_int_equal(set(stage, 1, VF_ATTR_CONTEXTS, 128, 0, &value), -EOPNOTSUPP);
	fake_gpu_enable_vfs(&stage->fake, PF, 2, 10);
	fake_gpu_link(&stage->fake, "../../../../../0000:03:00.2",
		      SYSFS_PCI "/drm/card3/iov/vf1/device", PF);
	assert_int_equal(set(stage, 1, VF_ATTR_GGTT, 4096, 0, &value), -ESTALE);
	assert_int_equal(value, 4711);
	/* what is asked of the card goes on without a mode that says PF */
	fake_gpu_remove(&stage->fake, SYSFS_PCI "/drm/card3/iov/vf1", PF);
	find(stage, &vf_control_generic);
}

static void test_i915_restore(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *custom = NULL;
	_cleanup_(host_reply_done) struct host_reply on = {0}, off = {0};

	fake_gpu_add_i915(&stage->fake, PF, 3, "gt0 gt1", 7, GIB);
	find(stage, &vf_control_i915);
	assert_set(stage, 1, VF_ATTR_VRAM, 4 * MIB, 0);
	assert_set(stage, 7, VF_ATTR_CONTEXTS, 128, 2);
	fake_gpu_write(&stage->fake, "0\n", HOME "/pf/auto_provisioning", PF);
	custom = read_gpu(stage);
	assert_true(custom->custom_provisioning);
	assert_int_equal(custom->resources[VF_ATTR_VRAM].standing, 4 * MIB);
	assert_int_equal(custom->resources[VF_ATTR_CONTEXTS].standing, 128);

	fake_gpu_enable_vfs(&stage->fake, PF, 1, 10);
	assert_int_equal(sriov_restore_auto(&stage->s, &stage->request, &on), -EBUSY);
	ASSERT_FILE(stage, "0", HOME "/pf/auto_provisioning", PF);
	fake_gpu_disable_vfs(&stage->fake, PF);
	assert_int_equal(sriov_restore_auto(&stage->s, &stage->request, &off), 0);
	ASSERT_FILE(stage, "1", HOME "/pf/auto_provisioning", PF);
	ASSERT_FILE(stage, "0", HOME "/vf1/gt1/lmem_quota", PF);
	ASSERT_FILE(stage, "0", HOME "/vf7/gt1/contexts_quota", PF);
}

/* ---- xe's debugfs ---- */

static void test_debugfs_new(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL;
	uint64_t value = 0;

	fake_gpu_add_debugfs(&stage->fake, PF, true, 2, 7, 8 * GIB);
	/* what a new kernel keeps of the old layout must not be taken for it */
	fake_gpu_write(&stage->fake, "0\n", DEBUG "/gt0/vf1/ggtt_quota");
	find(stage, &vf_control_xe_debugfs);
	assert_set(stage, 3, VF_ATTR_VRAM, 4 * GIB, 0);
	ASSERT_FILE(stage, "2147483648", DEBUG "/sriov/vf3/tile1/vram_quota");
	assert_set(stage, 3, VF_ATTR_GGTT, 268435456, 1);
	ASSERT_FILE(stage, "268435456", DEBUG "/sriov/vf3/tile0/ggtt_quota");
	ASSERT_FILE(stage, "0", DEBUG "/sriov/vf3/tile1/ggtt_quota");
	assert_set(stage, 3, VF_ATTR_CONTEXTS, 1024, 0);
	ASSERT_FILE(stage, "1024", DEBUG "/sriov/vf3/tile0/gt1/contexts_quota");
	ASSERT_FILE(stage, "1024", DEBUG "/sriov/vf3/tile1/gt2/contexts_quota");
	assert_set(stage, 3, VF_ATTR_DOORBELLS, 16, 1);
	ASSERT_FILE(stage, "16", DEBUG "/sriov/vf3/tile0/gt1/doorbells_quota");
	ASSERT_FILE(stage, "0", DEBUG "/sriov/vf3/tile1/gt3/doorbells_quota");
	assert_set(stage, 3, VF_ATTR_PRIORITY, VF_PRIORITY_NORMAL, 0);
	ASSERT_FILE(stage, "1", DEBUG "/sriov/vf3/tile1/gt2/sched_priority");
	assert_int_equal(
		stage->c.ops->set_pf(&stage->s, &stage->c, VF_ATTR_PREEMPT_TIMEOUT, 9, &value), 0);
	ASSERT_FILE(stage, "9", DEBUG "/sriov/pf/tile1/gt3/preempt_timeout_us");

	f = read_gpu(stage);
	assert_true(f->custom_provisioning); /* a quota stands, and no VF is on */
	assert_int_equal(f->tiles, 2);
	assert_true(gpu_can_set(f, VF_ATTR_VRAM) && gpu_can_set(f, VF_ATTR_PRIORITY));
	assert_known(f->vram_bytes, 16 * GIB);
	assert_known(f->resources[VF_ATTR_VRAM].free, 16 * GIB - 256 * MIB);
	assert_known(f->resources[VF_ATTR_GGTT].free, 2 * 4194304000ULL);
	assert_int_equal(f->resources[VF_ATTR_VRAM].standing, 4 * GIB);
	assert_int_equal(f->resources[VF_ATTR_CONTEXTS].standing, 2 * 1024); /* of each tile */
	assert_known(f->resources[VF_ATTR_CONTEXTS].free, 2 * (65535 - 256 - 1024));
	assert_known(f->resources[VF_ATTR_DOORBELLS].free, 2 * 256 - 16);
	assert_false(f->resources[VF_ATTR_GGTT].max_quota.known);      /* nothing tells */
	assert_int_equal(f->resources[VF_ATTR_GGTT].grain, 128 * KIB); /* Flex, two tiles */
}

/* By the number of the card's DRM node, as older kernels call the folder; a media GT has no memory.
 */
static void test_debugfs_old(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL, *mute = NULL;
	uint64_t value = 4711;

	fake_gpu_write(&stage->fake, "", SYSFS_PCI "/drm/card5/uevent", PF);
	fake_gpu_add_debugfs(&stage->fake, "5", false, 1, 7, 8 * GIB);
	fake_gpu_remove(&stage->fake, "kernel/debug/dri/5/gt0/vf1/sched_priority");
	find(stage, &vf_control_xe_debugfs);
	assert_set(stage, 1, VF_ATTR_VRAM, GIB, 0);
	assert_set(stage, 1, VF_ATTR_CONTEXTS, 512, 0);
	assert_set(stage, 1, VF_ATTR_EXEC_QUANTUM, 10, 0);
	ASSERT_FILE(stage, "1073741824", "kernel/debug/dri/5/gt0/vf1/lmem_quota");
	ASSERT_FILE(stage, "512", "kernel/debug/dri/5/gt1/vf1/contexts_quota");
	assert_int_equal(set(stage, 1, VF_ATTR_PRIORITY, VF_PRIORITY_LOW, 0, &value), -EOPNOTSUPP);
	assert_int_equal(set(stage, 9, VF_ATTR_VRAM, GIB, 0, &value), -ENOENT);
	assert_int_equal(value, 4711);
	assert_int_equal(stage->c.ops->set_bulk(&stage->s, &stage->c, VF_ATTR_PRIORITY,
						VF_PRIORITY_NORMAL, &value),
			 0);
	ASSERT_FILE(stage, "1", "kernel/debug/dri/5/gt1/pf/sched_if_idle");

	fake_gpu_enable_vfs(&stage->fake, PF, 2, 10);
	f = read_gpu(stage);
	assert_int_equal(f->tiles, 1);
	assert_int_equal(f->can[VF_ATTR_PRIORITY].access, VF_ACCESS_BULK);
	assert_known(f->vfs[0].values[VF_ATTR_VRAM], GIB);
	assert_known(f->vfs[0].values[VF_ATTR_PRIORITY], VF_PRIORITY_NORMAL);
	assert_known(f->resources[VF_ATTR_VRAM].free, 8 * GIB - 128 * MIB);
	assert_true(
		f->custom_provisioning); /* the driver would not give to one and not to the other */
	assert_int_equal(f->resources[VF_ATTR_VRAM].standing, 0);

	/* texts without a form that anybody promised */
	fake_gpu_write(&stage->fake, "nothing to see\n",
		       "kernel/debug/dri/5/gt0/pf/ggtt_available");
	fake_gpu_remove(&stage->fake, "kernel/debug/dri/5/vram0_mm");
	mute = read_gpu(stage);
	assert_false(mute->resources[VF_ATTR_GGTT].free.known);
	assert_known(mute->vram_bytes, 16 * GIB); /* the model's */
}

/* Quotas through debugfs, scheduling through sriov_admin, which does not make the PF custom. */
static void test_debugfs_mixed(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL;

	fake_gpu_add_sriov_admin(&stage->fake, PF, 7);
	fake_gpu_chmod(&stage->fake, 0444, SYSFS_PCI "/sriov_admin/vf1/profile/vram_quota", PF);
	fake_gpu_add_debugfs(&stage->fake, PF, true, 1, 7, 8 * GIB);
	find(stage, &vf_control_xe_debugfs);
	assert_set(stage, 1, VF_ATTR_VRAM, GIB, 0);
	assert_set(stage, 1, VF_ATTR_EXEC_QUANTUM, 20, 0);
	ASSERT_FILE(stage, "1073741824", DEBUG "/sriov/vf1/tile0/vram_quota");
	ASSERT_FILE(stage, "20", SYSFS_PCI "/sriov_admin/vf1/profile/exec_quantum_ms", PF);
	ASSERT_FILE(stage, "0", DEBUG "/sriov/vf1/tile0/gt0/exec_quantum_ms");

	fake_gpu_enable_vfs(&stage->fake, PF, 1, 10);
	f = read_gpu(stage);
	assert_true(gpu_can_set(f, VF_ATTR_VRAM) && gpu_can_set(f, VF_ATTR_GGTT));
	assert_int_equal(f->can[VF_ATTR_PRIORITY].access, VF_ACCESS_BULK);
	assert_known(f->vfs[0].values[VF_ATTR_VRAM], GIB);
	assert_known(f->vfs[0].values[VF_ATTR_EXEC_QUANTUM], 20);
	assert_known(f->vfs[0].values[VF_ATTR_PRIORITY], VF_PRIORITY_LOW);
	assert_false(f->custom_provisioning); /* one VF alone could have it from the driver */
}

static void test_debugfs_restore(void **state)
{
	struct stage *stage = *state;
	_cleanup_(host_reply_done) struct host_reply by_file = {0}, by_hand = {0};

	fake_gpu_add_debugfs(&stage->fake, PF, true, 1, 7, 8 * GIB);
	find(stage, &vf_control_xe_debugfs);
	assert_int_equal(sriov_restore_auto(&stage->s, &stage->request, &by_file), 0);
	ASSERT_FILE(stage, "1", DEBUG "/sriov/restore_auto_provisioning");

	fake_gpu_remove(&stage->fake, DEBUG);
	fake_gpu_add_debugfs(&stage->fake, PF, false, 1, 7, 8 * GIB);
	find(stage, &vf_control_xe_debugfs);
	assert_set(stage, 2, VF_ATTR_VRAM, GIB, 0);
	assert_set(stage, 2, VF_ATTR_DOORBELLS, 3, 0);
	assert_int_equal(sriov_restore_auto(&stage->s, &stage->request, &by_hand), 0);
	ASSERT_FILE(stage, "0", DEBUG "/gt0/vf2/lmem_quota");
	ASSERT_FILE(stage, "0", DEBUG "/gt1/vf2/doorbells_quota");
}

/* The tiles that xe's sysfs shows, and those that only the model tells. */
static void test_tiles(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *shown = NULL, *model = NULL;

	fake_gpu_add_sriov_admin(&stage->fake, PF, 7);
	fake_gpu_write(&stage->fake, "", SYSFS_PCI "/tile0/uevent", PF);
	fake_gpu_write(&stage->fake, "", SYSFS_PCI "/tile1/uevent", PF);
	shown = read_gpu(stage);
	assert_int_equal(shown->tiles, 2);
	assert_int_equal(shown->resources[VF_ATTR_VRAM].grain, 4 * MIB);
	fake_gpu_remove(&stage->fake, SYSFS_PCI "/tile0", PF);
	fake_gpu_write(&stage->fake, "0x0bd5\n", SYSFS_PCI "/device", PF);
	model = read_gpu(stage);
	assert_string_equal(model->model, "Max 1550");
	assert_int_equal(model->tiles, 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_i915_flex, setup, teardown),
		cmocka_unit_test_setup_teardown(test_i915_media, setup, teardown),
		cmocka_unit_test_setup_teardown(test_i915_two_tiles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_i915_policy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_i915_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_i915_restore, setup, teardown),
		cmocka_unit_test_setup_teardown(test_debugfs_new, setup, teardown),
		cmocka_unit_test_setup_teardown(test_debugfs_old, setup, teardown),
		cmocka_unit_test_setup_teardown(test_debugfs_mixed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_debugfs_restore, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tiles, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
