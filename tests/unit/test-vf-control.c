/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which way is chosen; writing what shapes VFs through xe's sysfs: quota and scheduling values,
 * their number, autoprobe; and every refusal that must come before the write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "host/sriov.h"
#include "host/vf-control.h"
#include "lib/units.h"
#include "tests/support/fake-gpu.h"

#define PF "0000:03:00.0"
#define PROFILE SYSFS_PCI "/sriov_admin/%s/profile/%s"

struct stage {
	struct fake_gpu fake;
	struct sysfs s;
	struct host_request request;
};

/* What opening a debugfs file for writing is answered with; 0 = what the file system says.  (ld
 * --wrap) */
static int open_error;
int __real_sysfs_try_write(struct sysfs *s, const char *format, ...) _printf_(2, 3);
int __wrap_sysfs_try_write(struct sysfs *s, const char *format, ...) _printf_(2, 3);
int __wrap_sysfs_try_write(struct sysfs *s, const char *format, ...)
{
	const char *path;
	va_list ap;

	va_start(ap, format);
	path = va_arg(ap, const char *);
	va_end(ap);
	assert_string_equal(format, "%s");
	return open_error < 0 ? open_error : __real_sysfs_try_write(s, "%s", path);
}

static int setup(void **state)
{
	static struct stage stage;

	stage = (struct stage){ 0 };
	open_error = 0;
	fake_gpu_init(&stage.fake);
	fake_gpu_add_pf(&stage.fake, PF, 7);
	fake_gpu_add_sriov_admin(&stage.fake, PF, 7);
	assert_int_equal(sysfs_open(stage.fake.root, &stage.s), 0);
	assert_int_equal(pci_address_parse(PF, &stage.request.gpu), 0);
	*state = &stage;
	return 0;
}

static int teardown(void **state)
{
	struct stage *stage = *state;

	sysfs_done(&stage->s);
	fake_gpu_done(&stage->fake);
	return 0;
}

static void assert_file(struct stage *stage, const char *folder, const char *name, const char *want)
{
	_cleanup_free_ char *text = fake_gpu_read(&stage->fake, PROFILE, PF, folder, name);

	assert_string_equal(text, want);
}

static struct gpu_facts *facts_of(struct stage *stage)
{
	struct gpu_facts *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->address = stage->request.gpu;
	f->tiles = 1;
	f->total_vfs = 7;
	return f;
}

static const struct host_request *to_vf(unsigned vf, enum vf_attribute attribute, uint64_t value)
{
	static struct host_request request;

	request = (struct host_request){ .op = HOST_SET_VF_ATTR, .vf = vf, .attribute = attribute,
					 .value = value };
	return &request;
}

static void test_xe(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = facts_of(stage);
	_cleanup_(vf_surface_done) struct vf_surface c = {0};
	uint64_t value = 0;

	assert_int_equal(vf_control_find(&stage->s, PF, &c), 0);
	assert_ptr_equal(c.ops, &vf_control_xe);
	assert_null(c.note);
	assert_int_equal(c.ops->read_pf(&stage->s, &c, f), 0);
	assert_true(gpu_can_set(f, VF_ATTR_VRAM) && gpu_can_set(f, VF_ATTR_EXEC_QUANTUM) &&
		    gpu_can_set(f, VF_ATTR_PREEMPT_TIMEOUT));
	assert_null(f->can[VF_ATTR_VRAM].why);
	assert_int_equal(f->can[VF_ATTR_PRIORITY].access, VF_ACCESS_BULK);
	assert_non_null(strstr(f->can[VF_ATTR_PRIORITY].why, "for all at once"));
	assert_int_equal(f->can[VF_ATTR_GGTT].access, VF_ACCESS_NONE);
	assert_non_null(strstr(f->can[VF_ATTR_GGTT].why, "debugfs"));
	assert_int_equal(c.ops->set_vf(&stage->s, &c, to_vf(3, VF_ATTR_VRAM, 2097152), &value), 0);
	assert_int_equal(value, 2097152);
	assert_file(stage, "vf3", "vram_quota", "2097152");
	assert_file(stage, "vf2", "vram_quota", "0");
	assert_int_equal(c.ops->set_pf(&stage->s, &c, VF_ATTR_EXEC_QUANTUM, 20, &value), 0);
	assert_file(stage, "pf", "exec_quantum_ms", "20");
}

static void test_xe_refusals(void **state)
{
	struct stage *stage = *state;
	_cleanup_(vf_surface_done) struct vf_surface c = {0};
	struct host_request tiled = *to_vf(1, VF_ATTR_VRAM, 1);
	uint64_t value = 4711;

	assert_int_equal(vf_control_find(&stage->s, PF, &c), 0);
	/* more VFs than the card has; no VF at all; attribute not offered; read-only; of one tile
	 */
	assert_int_equal(c.ops->set_vf(&stage->s, &c, to_vf(8, VF_ATTR_VRAM, 1), &value), -ENOENT);
	assert_int_equal(c.ops->set_vf(&stage->s, &c, to_vf(0, VF_ATTR_VRAM, 1), &value), -EINVAL);
	assert_int_equal(c.ops->set_pf(&stage->s, &c, VF_ATTR_VRAM, 1, &value), -EOPNOTSUPP);
	assert_int_equal(c.ops->set_vf(&stage->s, &c,
				       to_vf(1, VF_ATTR_PRIORITY, VF_PRIORITY_NORMAL), &value),
			 -EOPNOTSUPP);
	assert_int_equal(c.ops->set_vf(&stage->s, &c, to_vf(1, VF_ATTR_GGTT, 1), &value),
			 -EOPNOTSUPP);
	tiled.tile = 1;
	assert_int_equal(c.ops->set_vf(&stage->s, &c, &tiled, &value), -EOPNOTSUPP);
	fake_gpu_chmod(&stage->fake, 0444, PROFILE, PF, "vf1", "vram_quota");
	assert_int_equal(c.ops->set_vf(&stage->s, &c, to_vf(1, VF_ATTR_VRAM, 1), &value),
			 -EOPNOTSUPP);

	/* vf1 of the driver is not the VF 1 of the kernel */
	fake_gpu_enable_vfs(&stage->fake, PF, 2, 10);
	fake_gpu_link(&stage->fake, "../../../0000:03:00.2",
		      SYSFS_PCI "/sriov_admin/vf1/device", PF);
	assert_int_equal(c.ops->set_vf(&stage->s, &c, to_vf(1, VF_ATTR_EXEC_QUANTUM, 1), &value),
			 -ESTALE);
	assert_file(stage, "vf1", "exec_quantum_ms", "0");
	assert_int_equal(value, 4711);
}

/* The bulk files are write-only: what all VFs show afterwards counts. */
static void test_xe_bulk(void **state)
{
	struct stage *stage = *state;
	_cleanup_(vf_surface_done) struct vf_surface c = {0};
	_cleanup_free_ char *text = NULL;
	uint64_t value = 4711;
	char vf[16];
	unsigned i;

	assert_int_equal(vf_control_find(&stage->s, PF, &c), 0);
	for (i = 1; i <= 7; i++) { /* what the driver does for the write */
		snprintf(vf, sizeof(vf), "vf%u", i);
		fake_gpu_write(&stage->fake, "low [normal] high\n", PROFILE, PF, vf,
			       "sched_priority");
	}
	assert_int_equal(
		c.ops->set_bulk(&stage->s, &c, VF_ATTR_PRIORITY, VF_PRIORITY_NORMAL, &value), 0);
	assert_int_equal(value, VF_PRIORITY_NORMAL);
	text = fake_gpu_read(&stage->fake, SYSFS_PCI "/sriov_admin/.bulk_profile/sched_priority",
			     PF);
	assert_string_equal(text, "normal");

	value = 4711;
	fake_gpu_write(&stage->fake, "20\n", PROFILE, PF, "vf7", "exec_quantum_ms");
	assert_int_equal(c.ops->set_bulk(&stage->s, &c, VF_ATTR_EXEC_QUANTUM, 20, &value),
			 -EUCLEAN);
	/* VRAM in bulk goes to all VFs that the card could have */
	assert_int_equal(c.ops->set_bulk(&stage->s, &c, VF_ATTR_VRAM, 1, &value), -EOPNOTSUPP);
	fake_gpu_remove(&stage->fake, SYSFS_PCI "/sriov_admin/.bulk_profile", PF);
	assert_int_equal(c.ops->set_bulk(&stage->s, &c, VF_ATTR_PRIORITY, VF_PRIORITY_LOW, &value),
			 -EOPNOTSUPP);
	assert_int_equal(value, 4711);
}

/* A quota that stands without VFs keeps VRAM from being shared; going back clears it. */
static void test_xe_restore(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = facts_of(stage);
	_cleanup_(vf_surface_done) struct vf_surface c = {0};
	_cleanup_(host_reply_done) struct host_reply on = {0}, off = {0};

	fake_gpu_write(&stage->fake, "2097152\n", PROFILE, PF, "vf5", "vram_quota");
	assert_int_equal(vf_control_find(&stage->s, PF, &c), 0);
	assert_int_equal(c.ops->read_pf(&stage->s, &c, f), 0);
	c.ops->read_stock(&stage->s, &c, f);
	assert_true(f->custom_provisioning);
	assert_int_equal(f->resources[VF_ATTR_VRAM].standing, 2097152);

	fake_gpu_enable_vfs(&stage->fake, PF, 2, 10);
	stage->request.op = HOST_RESTORE_AUTO;
	assert_int_equal(sriov_restore_auto(&stage->s, &stage->request, &on), -EBUSY);
	assert_non_null(strstr(on.message, "turn them off"));
	assert_file(stage, "vf5", "vram_quota", "2097152");
	fake_gpu_disable_vfs(&stage->fake, PF);
	assert_int_equal(sriov_restore_auto(&stage->s, &stage->request, &off), 0);
	assert_file(stage, "vf5", "vram_quota", "0");
	f->custom_provisioning = false;
	f->resources[VF_ATTR_VRAM].standing = 0;
	c.ops->read_stock(&stage->s, &c, f);
	assert_false(f->custom_provisioning);
}

static void test_generic(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = facts_of(stage);
	_cleanup_(vf_surface_done) struct vf_surface c = {0}, none = {0};
	_cleanup_(host_reply_done) struct host_reply reply = {0};
	struct vf_facts vf = { .index = 1 };

	fake_gpu_remove(&stage->fake, SYSFS_PCI "/sriov_admin", PF);
	assert_int_equal(vf_control_find(&stage->s, PF, &c), 0);
	assert_ptr_equal(c.ops, &vf_control_generic);
	assert_non_null(strstr(c.note, "allow_debugfs"));
	assert_int_equal(c.ops->read_pf(&stage->s, &c, f), 0);
	assert_int_equal(f->can[VF_ATTR_VRAM].access, VF_ACCESS_NONE);
	assert_non_null(f->can[VF_ATTR_VRAM].why);
	assert_null(c.ops->set_vf);
	assert_null(c.ops->set_pf);
	c.ops->read_vf(&stage->s, &c, &vf);
	assert_false(vf.values[VF_ATTR_VRAM].known || vf.values[VF_ATTR_EXEC_QUANTUM].known);
	assert_int_equal(sriov_restore_auto(&stage->s, &stage->request, &reply), -EOPNOTSUPP);
	assert_non_null(strstr(reply.message, "nothing to restore"));
	fake_gpu_remove(&stage->fake, SYSFS_PCI "/sriov_totalvfs", PF);
	assert_int_equal(vf_control_find(&stage->s, PF, &none), 0);
	assert_null(none.ops);
}

static void assert_way(struct stage *stage, const struct vf_control_ops *way, const char *note)
{
	_cleanup_(vf_surface_done) struct vf_surface c = {0};

	assert_int_equal(vf_control_find(&stage->s, PF, &c), 0);
	assert_ptr_equal(c.ops, way);
	if (note)
		assert_non_null(strstr(strempty(c.note), note));
	else
		assert_null(c.note);
}

/* sriov_admin is there in all of these; the quota, debugfs and the lockdown differ. */
static void test_choice_with_admin(void **state)
{
	struct stage *stage = *state;

	fake_gpu_add_debugfs(&stage->fake, PF, true, 1, 7, 16 * GIB);
	stage->s.allow_debugfs = true;
	assert_way(stage, &vf_control_xe, NULL); /* sysfs costs nothing */
	fake_gpu_chmod(&stage->fake, 0444, PROFILE, PF, "vf1", "vram_quota");
	assert_way(stage, &vf_control_xe_debugfs, "until automatic provisioning is restored");
	fake_gpu_remove(&stage->fake, PROFILE, PF, "vf1", "vram_quota");
	assert_way(stage, &vf_control_xe_debugfs, "until automatic provisioning is restored");

	fake_gpu_lockdown(&stage->fake, "none");
	assert_way(stage, &vf_control_xe_debugfs, "sriov_admin sets no VRAM quotas");
	fake_gpu_lockdown(&stage->fake, "integrity");
	assert_way(stage, &vf_control_xe, "kernel lockdown closes debugfs: no VRAM quotas");
	fake_gpu_lockdown(&stage->fake, "none");
	open_error = -EPERM; /* a lockdown that no file tells of */
	assert_way(stage, &vf_control_xe, "kernel lockdown closes debugfs: no VRAM quotas");
	open_error = -ENODEV;
	assert_way(stage, &vf_control_xe, "not mounted or has no quotas of this card");
	open_error = 0;
	stage->s.allow_debugfs = false;
	assert_way(stage, &vf_control_xe, "\"allow_debugfs\": true");
	stage->s.allow_debugfs = true;

	/* debugfs offers no more than sysfs: VRAM for reading only, none, or no card at all */
	fake_gpu_chmod(&stage->fake, 0444, "kernel/debug/dri/" PF "/sriov/vf1/tile0/vram_quota");
	assert_way(stage, &vf_control_xe, "debugfs offers none for this card either");
	fake_gpu_remove(&stage->fake, "kernel/debug/dri/" PF);
	assert_way(stage, &vf_control_xe, "not mounted or has no quotas of this card");
	fake_gpu_write(&stage->fake, "0x46d1\n", SYSFS_PCI "/device", PF); /* Alder Lake-N */
	assert_way(stage, &vf_control_xe, NULL);
}

static void test_choice_without_admin(void **state)
{
	struct stage *stage = *state;

	fake_gpu_remove(&stage->fake, SYSFS_PCI "/sriov_admin", PF);
	stage->s.allow_debugfs = true;
	assert_way(stage, &vf_control_generic, "debugfs is not mounted");
	fake_gpu_add_debugfs(&stage->fake, "1", false, 1, 7, 16 * GIB);
	fake_gpu_write(&stage->fake, "", SYSFS_PCI "/drm/card0/uevent", PF);
	assert_way(stage, &vf_control_generic,
		   "no quotas of this card"); /* dri/1 is somebody else's */
	fake_gpu_add_debugfs(&stage->fake, "0", false, 1, 7, 16 * GIB);
	assert_way(stage, &vf_control_xe_debugfs, "xe has no sriov_admin here");
	fake_gpu_lockdown(&stage->fake, "confidentiality");
	assert_way(stage, &vf_control_generic, "kernel lockdown closes debugfs: no quotas");

	fake_gpu_add_i915(&stage->fake, PF, 0, "gt", 7, 16 * GIB);
	assert_way(stage, &vf_control_i915, NULL);
	fake_gpu_write(&stage->fake, "non virtualized\n", SYSFS_PCI "/drm/card0/prelim_iov/mode",
		       PF);
	assert_way(stage, &vf_control_generic, "i915 is not in PF mode (\"non virtualized\")");
	fake_gpu_remove(&stage->fake, SYSFS_PCI "/drm/card0/prelim_iov", PF);
	assert_way(stage, &vf_control_generic, "the driver i915 offers the number of VFs only");
	fake_gpu_set_driver(&stage->fake, PF, NULL);
	assert_way(stage, &vf_control_generic, "no driver");
}

/* Sets the number; returns what the helper would answer. */
static int set_numvfs(struct stage *stage, uint64_t n, char **ret_message)
{
	_cleanup_(host_reply_done) struct host_reply reply = { 0 };
	int r;

	stage->request.value = n;
	r = sriov_set_numvfs(&stage->s, &stage->request, &reply);
	if (r == 0)
		assert_true(reply.value.known && reply.value.value == n);
	if (ret_message) {
		assert_int_equal(free_and_strdup(ret_message, reply.message), 0);
		assert_string_equal(stage->s.at, "sriov_numvfs");
	}
	return r;
}

static void assert_numvfs(struct stage *stage, const char *want)
{
	_cleanup_free_ char *text = fake_gpu_read(&stage->fake, SYSFS_PCI "/sriov_numvfs", PF);

	assert_string_equal(text, want);
}

static void test_numvfs(void **state)
{
	struct stage *stage = *state;
	_cleanup_free_ char *message = NULL;

	assert_int_equal(set_numvfs(stage, 0, NULL), 0); /* already so */
	assert_int_equal(set_numvfs(stage, 8, &message), -ERANGE);
	assert_non_null(strstr(message, "at most 7"));
	assert_int_equal(set_numvfs(stage, 3, NULL), 0);
	assert_int_equal(set_numvfs(stage, 3, NULL), 0);
	assert_int_equal(set_numvfs(stage, 4, &message), -EBUSY);
	assert_non_null(strstr(message, "only through 0"));
	assert_numvfs(stage, "3");
	assert_int_equal(set_numvfs(stage, 0, NULL), 0);
	assert_numvfs(stage, "0");

	fake_gpu_set_driver(&stage->fake, PF, NULL);
	assert_int_equal(set_numvfs(stage, 3, &message), -ENOENT);
	assert_non_null(strstr(message, "no driver"));
	assert_numvfs(stage, "0");
}

static void test_autoprobe(void **state)
{
	struct stage *stage = *state;
	_cleanup_(host_reply_done) struct host_reply reply = { 0 };
	_cleanup_free_ char *text = NULL;

	assert_int_equal(sriov_set_autoprobe(&stage->s, &stage->request, &reply), 0);
	assert_true(reply.value.known);
	assert_int_equal(reply.value.value, 0);
	text = fake_gpu_read(&stage->fake, SYSFS_PCI "/sriov_drivers_autoprobe", PF);
	assert_string_equal(text, "0");
	fake_gpu_remove(&stage->fake, SYSFS_PCI "/sriov_drivers_autoprobe", PF);
	assert_int_equal(sriov_set_autoprobe(&stage->s, &stage->request, &reply), -ENOENT);
	assert_string_equal(stage->s.at, "sriov_drivers_autoprobe");
}

static void test_reset(void **state)
{
	struct stage *stage = *state;
	_cleanup_(host_reply_done) struct host_reply held = { 0 }, reply = { 0 };
	_cleanup_free_ char *text = NULL, *untouched = NULL;
	int fd;

	stage->request.vf = 2;
	assert_int_equal(sriov_reset_vf(&stage->s, &stage->request, &reply), -ENOENT);
	fake_gpu_enable_vfs(&stage->fake, PF, 2, 10);
	fd = fake_gpu_open(&stage->fake, "dev/vfio/11");
	assert_int_equal(sriov_reset_vf(&stage->s, &stage->request, &held), -EBUSY);
	assert_int_equal(held.n_holders, 1);
	untouched = fake_gpu_read(&stage->fake, SYSFS_PCI "/reset", "0000:03:00.2");
	assert_string_equal(untouched, "");
	safe_close(fd);

	assert_int_equal(sriov_reset_vf(&stage->s, &stage->request, &reply), 0);
	text = fake_gpu_read(&stage->fake, SYSFS_PCI "/reset", "0000:03:00.2");
	assert_string_equal(text, "1");
	fake_gpu_write(&stage->fake, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		       SYSFS_PCI "/config", "0000:03:00.2");
	assert_int_equal(sriov_reset_vf(&stage->s, &stage->request, &reply), -EIO);
	fake_gpu_remove(&stage->fake, SYSFS_PCI "/reset", "0000:03:00.2");
	assert_int_equal(sriov_reset_vf(&stage->s, &stage->request, &reply), -EOPNOTSUPP);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_xe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_xe_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_xe_bulk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_xe_restore, setup, teardown),
		cmocka_unit_test_setup_teardown(test_generic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_choice_with_admin, setup, teardown),
		cmocka_unit_test_setup_teardown(test_choice_without_admin, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numvfs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_autoprobe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
