/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing what shapes VFs: quota and scheduling values, their number, autoprobe; and every refusal
 * that must come before the write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/sriov.h"
#include "host/vf-control.h"
#include "tests/support/fake-gpu.h"

#define PF "0000:03:00.0"
#define PROFILE SYSFS_PCI "/sriov_admin/%s/profile/%s"

struct stage {
	struct fake_gpu fake;
	struct sysfs s;
	struct host_request request;
};

static int setup(void **state)
{
	static struct stage stage;

	stage = (struct stage){ 0 };
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
	const struct vf_control_ops *control = vf_control_find(&stage->s, PF);
	uint64_t value = 0;

	assert_ptr_equal(control, &vf_control_xe);
	assert_int_equal(control->read_pf(&stage->s, PF, f), 0);
	assert_true(gpu_can_set(f, VF_ATTR_VRAM) && gpu_can_set(f, VF_ATTR_EXEC_QUANTUM) &&
		    gpu_can_set(f, VF_ATTR_PREEMPT_TIMEOUT));
	assert_int_equal(f->can[VF_ATTR_PRIORITY].access, VF_ACCESS_READ);
	assert_int_equal(control->set_vf(&stage->s, PF, to_vf(3, VF_ATTR_VRAM, 2097152), &value), 0);
	assert_int_equal(value, 2097152);
	assert_file(stage, "vf3", "vram_quota", "2097152");
	assert_file(stage, "vf2", "vram_quota", "0");
	assert_int_equal(control->set_pf(&stage->s, PF, VF_ATTR_EXEC_QUANTUM, 20, &value), 0);
	assert_file(stage, "pf", "exec_quantum_ms", "20");
}

static void test_xe_refusals(void **state)
{
	struct stage *stage = *state;
	uint64_t value = 4711;

	/* more VFs than the card has; no VF at all; attribute not offered; read-only */
	assert_int_equal(vf_control_xe.set_vf(&stage->s, PF, to_vf(8, VF_ATTR_VRAM, 1), &value), -ENOENT);
	assert_int_equal(vf_control_xe.set_vf(&stage->s, PF, to_vf(0, VF_ATTR_VRAM, 1), &value), -EINVAL);
	assert_int_equal(vf_control_xe.set_pf(&stage->s, PF, VF_ATTR_VRAM, 1, &value), -EOPNOTSUPP);
	fake_gpu_chmod(&stage->fake, 0444, PROFILE, PF, "vf1", "vram_quota");
	assert_int_equal(vf_control_xe.set_vf(&stage->s, PF, to_vf(1, VF_ATTR_VRAM, 1), &value),
			 -EOPNOTSUPP);

	/* vf1 of the driver is not the VF 1 of the kernel */
	fake_gpu_enable_vfs(&stage->fake, PF, 2, 10);
	fake_gpu_link(&stage->fake, "../../../0000:03:00.2",
		      SYSFS_PCI "/sriov_admin/vf1/device", PF);
	assert_int_equal(vf_control_xe.set_vf(&stage->s, PF, to_vf(1, VF_ATTR_EXEC_QUANTUM, 1), &value),
			 -ESTALE);
	assert_file(stage, "vf1", "exec_quantum_ms", "0");
	assert_int_equal(value, 4711);
}

static void test_generic(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = facts_of(stage);
	const struct vf_control_ops *control;
	struct vf_facts vf = { .index = 1 };

	fake_gpu_remove(&stage->fake, SYSFS_PCI "/sriov_admin", PF);
	control = vf_control_find(&stage->s, PF);
	assert_ptr_equal(control, &vf_control_generic);
	assert_int_equal(control->read_pf(&stage->s, PF, f), 0);
	assert_int_equal(f->can[VF_ATTR_VRAM].access, VF_ACCESS_NONE);
	assert_non_null(f->can[VF_ATTR_VRAM].why);
	assert_null(control->set_vf);
	assert_null(control->set_pf);
	control->read_vf(&stage->s, PF, &vf);
	assert_false(vf.values[VF_ATTR_VRAM].known || vf.values[VF_ATTR_EXEC_QUANTUM].known);
	fake_gpu_remove(&stage->fake, SYSFS_PCI "/sriov_totalvfs", PF);
	assert_null(vf_control_find(&stage->s, PF));
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
		cmocka_unit_test_setup_teardown(test_generic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numvfs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_autoprobe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
