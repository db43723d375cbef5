/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attributes below an injected root: values, links, modes, and what an error names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/sysfs.h"
#include "tests/support/fake-gpu.h"

#define PF "0000:03:00.0"

struct stage {
	struct fake_gpu fake;
	struct sysfs s;
};

static int setup(void **state)
{
	static struct stage stage;

	fake_gpu_init(&stage.fake);
	fake_gpu_add_pf(&stage.fake, PF, 7);
	assert_int_equal(sysfs_open(stage.fake.root, &stage.s), 0);
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

static void test_read(void **state)
{
	struct stage *stage = *state;
	_cleanup_free_ char *text = NULL;
	uint64_t value = 0;

	assert_int_equal(sysfs_read(&stage->s, &text, SYSFS_PCI "/vendor", PF), 0);
	assert_string_equal(text, "0x8086");
	assert_int_equal(sysfs_read_uint(&stage->s, &value, SYSFS_PCI "/device", PF), 0);
	assert_int_equal(value, 0x56c0);
	assert_int_equal(sysfs_read_uint(&stage->s, &value, SYSFS_PCI "/sriov_totalvfs", PF), 0);
	assert_int_equal(value, 7);
}

static void test_read_refusals(void **state)
{
	static const char *const bad[] = { "", "-1", " 7", "7 8", "seven", "0x", "99999999999999999999" };
	struct stage *stage = *state;
	uint64_t value = 4711;
	size_t i;

	assert_int_equal(sysfs_read_uint(&stage->s, &value, SYSFS_PCI "/nothing", PF), -ENOENT);
	assert_string_equal(stage->s.at, "nothing");
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		fake_gpu_write(&stage->fake, bad[i], SYSFS_PCI "/sriov_totalvfs", PF);
		assert_int_equal(sysfs_read_uint(&stage->s, &value, SYSFS_PCI "/sriov_totalvfs", PF),
				 -EBADMSG);
	}
	assert_int_equal(value, 4711);
	assert_int_equal(sysfs_read_uint(&stage->s, &value, SYSFS_PCI, PF), -EISDIR);
}

static void test_write(void **state)
{
	struct stage *stage = *state;
	_cleanup_free_ char *text = NULL;

	assert_int_equal(sysfs_write_uint(&stage->s, 4, SYSFS_PCI "/sriov_numvfs", PF), 0);
	text = fake_gpu_read(&stage->fake, SYSFS_PCI "/sriov_numvfs", PF);
	assert_string_equal(text, "4");
	/* it never makes a file */
	assert_int_equal(sysfs_write(&stage->s, "1", SYSFS_PCI "/new", PF), -ENOENT);
	assert_false(sysfs_exists(&stage->s, SYSFS_PCI "/new", PF));
}

static void test_links_and_modes(void **state)
{
	struct stage *stage = *state;
	_cleanup_free_ char *driver = NULL, *none = NULL;

	assert_int_equal(sysfs_link_name(&stage->s, &driver, SYSFS_PCI "/driver", PF), 0);
	assert_string_equal(driver, "xe");
	assert_int_equal(sysfs_link_name(&stage->s, &none, SYSFS_PCI "/physfn", PF), -ENOENT);
	assert_int_equal(sysfs_link_name(&stage->s, &none, SYSFS_PCI "/vendor", PF), -EINVAL);
	assert_true(sysfs_is_writable(&stage->s, SYSFS_PCI "/sriov_numvfs", PF));
	fake_gpu_chmod(&stage->fake, 0444, SYSFS_PCI "/sriov_numvfs", PF);
	assert_false(sysfs_is_writable(&stage->s, SYSFS_PCI "/sriov_numvfs", PF));
	assert_false(sysfs_is_writable(&stage->s, SYSFS_PCI "/nothing", PF));
}

/* Whoever looks at the process from outside learns where it is. */
static void test_announce(void **state)
{
	static const char *const names[] = {
		"sriov_numvfs",	     "sriov_drivers_autoprobe",	  "preempt_timeout_us", "exec_quantum_ms",
		"driver_override",   "restore_auto_provisioning", "auto_provisioning",	"contexts_quota",
		"doorbells_quota",   "doorbells_spare",		  "contexts_max_quota", "doorbells_max_quota",
		"ggtt_available",    "lmem_max_quota",
	};
	struct stage *stage = *state;
	char comm[16];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		sysfs_announce(&stage->s, names[i]);
		assert_int_equal(prctl(PR_GET_NAME, comm), 0);
		assert_string_equal(sysfs_attribute_from_comm(comm), names[i]);
	}
	assert_string_equal(sysfs_attribute_from_comm("preempt"), "preempt");
}

static void test_no_root(void **state)
{
	struct sysfs s;

	assert_int_equal(sysfs_open("/nonexistent", &s), -ENOENT);
	assert_int_equal(sysfs_open("/dev/null", &s), -ENOTDIR);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_and_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_announce, setup, teardown),
		cmocka_unit_test(test_no_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
