/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts from sysfs: which functions are GPUs, what they can do, and why not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/model-table.h"
#include "host/gpu-read.h"
#include "host/pci-scan.h"
#include "lib/units.h"
#include "tests/support/fake-gpu.h"

#define PF "0000:03:00.0"
#define OTHER "0000:04:00.0"

struct stage {
	struct fake_gpu fake;
	struct sysfs s;
	struct pci_address pf;
};

static int setup(void **state)
{
	static struct stage stage;

	fake_gpu_init(&stage.fake);
	fake_gpu_add_pf(&stage.fake, PF, 7);
	fake_gpu_add_sriov_admin(&stage.fake, PF, 7);
	assert_int_equal(sysfs_open(stage.fake.root, &stage.s), 0);
	assert_int_equal(pci_address_parse(PF, &stage.pf), 0);
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

static struct gpu_facts *read_pf(struct stage *stage)
{
	struct gpu_facts *f = NULL;

	assert_int_equal(gpu_read(&stage->s, &stage->pf, &f), 0);
	return f;
}

static void test_card(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = read_pf(stage);

	assert_string_equal(f->model, "Flex 170");
	assert_int_equal(f->device_id, 0x56c0);
	assert_int_equal(f->class_code, 0x038000);
	assert_string_equal(f->driver, "xe");
	assert_int_equal(f->vf_control, VF_CONTROL_XE);
	assert_true(f->sriov_capable && f->autoprobe && gpu_can_set(f, VF_ATTR_VRAM) && gpu_can_set(f, VF_ATTR_EXEC_QUANTUM) && f->iommu);
	assert_false(f->display);
	assert_int_equal(f->total_vfs, 7);
	assert_int_equal(f->num_vfs, 0);
	assert_int_equal(f->numa_node, -1);
	assert_true(f->vram_bytes.known);
	assert_int_equal(f->vram_bytes.value, 16 * GIB);
	assert_true(f->resources[VF_ATTR_VRAM].free.known);
	assert_true(f->resources[VF_ATTR_VRAM].free.value <= 16 * GIB - 128 * MIB);
	assert_null(f->reason);
	assert_null(f->serial); /* 64 bytes of configuration space show none */
}

static void test_vfs(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL;

	fake_gpu_enable_vfs(&stage->fake, PF, 3, 10);
	fake_gpu_set_driver(&stage->fake, "0000:03:00.2", "vfio-pci");
	fake_gpu_set_driver(&stage->fake, "0000:03:00.3", "xe-vfio-pci");
	fake_gpu_write(&stage->fake, "", SYSFS_PCI "/vfio-dev/vfio0/dev", "0000:03:00.3");
	fake_gpu_write(&stage->fake, "4294967296\n",
		       SYSFS_PCI "/sriov_admin/vf2/profile/vram_quota", PF);
	fake_gpu_write(&stage->fake, "20\n", SYSFS_PCI "/sriov_admin/vf2/profile/exec_quantum_ms",
		       PF);
	fake_gpu_write(&stage->fake, "low [normal] high\n",
		       SYSFS_PCI "/sriov_admin/vf2/profile/sched_priority", PF);
	f = read_pf(stage);
	assert_int_equal(f->num_vfs, 3);
	assert_int_equal(f->n_vfs, 3);
	assert_int_equal(f->vfs[1].index, 2);
	assert_string_equal(PCI_ADDRESS_STR(&f->vfs[1].address), "0000:03:00.2");
	assert_int_equal(f->vfs[1].iommu_group, 11);
	assert_string_equal(f->vfs[1].driver, "vfio-pci");
	assert_true(f->vfs[1].vfio);
	assert_null(f->vfs[0].driver);
	assert_false(f->vfs[0].vfio || f->vfio);
	assert_string_equal(f->vfs[2].driver, "xe-vfio-pci");
	assert_true(f->vfs[2].vfio);
	assert_true(f->vfs[1].values[VF_ATTR_VRAM].known);
	assert_int_equal(f->vfs[1].values[VF_ATTR_VRAM].value, 4 * GIB);
	assert_int_equal(f->vfs[1].values[VF_ATTR_EXEC_QUANTUM].value, 20);
	assert_int_equal(f->vfs[1].values[VF_ATTR_PRIORITY].value, VF_PRIORITY_NORMAL);
	assert_int_equal(f->vfs[0].values[VF_ATTR_PRIORITY].value, VF_PRIORITY_LOW);
}

/* VFs have vendor, class and id of their card, and are none; other functions are none either. */
static void test_scan(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *links = NULL;
	struct gpu_facts **facts = NULL;
	size_t n = 0, i;

	fake_gpu_enable_vfs(&stage->fake, PF, 3, 10);
	fake_gpu_add_pf(&stage->fake, OTHER, 7);
	fake_gpu_write(&stage->fake, "0x10de\n", SYSFS_PCI "/vendor", OTHER);
	fake_gpu_add_pf(&stage->fake, "0000:05:00.0", 7);
	fake_gpu_write(&stage->fake, "0x020000\n", SYSFS_PCI "/class", "0000:05:00.0");
	fake_gpu_add_pf(&stage->fake, "10000:01:00.0", 7);
	fake_gpu_hang(&stage->fake, SYSFS_PCI "/sriov_numvfs", PF); /* a scan must not ask it */

	assert_int_equal(gpu_scan(&stage->s, &facts, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(PCI_ADDRESS_STR(&facts[0]->address), PF);
	assert_int_equal(facts[0]->num_vfs, 0); /* it looks at cards, not at VFs */
	assert_string_equal(PCI_ADDRESS_STR(&facts[1]->address), "10000:01:00.0");
	for (i = 0; i < n; i++)
		gpu_facts_free(facts[i]);
	free(facts);

	/* one that does not answer still shows its VFs, by their links */
	assert_int_equal(gpu_links(&stage->s, &stage->pf, &links), 0);
	assert_int_equal(links->num_vfs, 3);
	assert_int_equal(links->vfs[2].iommu_group, 12);
	assert_false(links->vfs[2].values[VF_ATTR_VRAM].known);
}

static void assert_reason(struct stage *stage, const char *part)
{
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = read_pf(stage);

	assert_non_null(f->reason);
	assert_non_null(strstr(f->reason, part));
}

static void test_reasons(void **state)
{
	struct stage *stage = *state;

	fake_gpu_write(&stage->fake, "0\n", SYSFS_PCI "/sriov_totalvfs", PF);
	assert_reason(stage, "sriov_totalvfs is 0");
	fake_gpu_set_driver(&stage->fake, PF, "vfio-pci");
	assert_reason(stage, "vfio-pci");
	fake_gpu_set_driver(&stage->fake, PF, "other-vfio-pci");
	fake_gpu_write(&stage->fake, "", SYSFS_PCI "/vfio-dev/vfio0/dev", PF);
	assert_reason(stage, "the whole card is bound to other-vfio-pci");
	fake_gpu_set_driver(&stage->fake, PF, NULL);
	assert_reason(stage, "no driver is bound");
	fake_gpu_remove(&stage->fake, SYSFS_PCI "/sriov_totalvfs", PF);
	assert_reason(stage, "no SR-IOV capability");
}

static void test_surfaces(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *no_quota = NULL, *generic = NULL, *none = NULL;

	/* without LMTT the driver shows the quota read-only */
	fake_gpu_chmod(&stage->fake, 0444, SYSFS_PCI "/sriov_admin/vf1/profile/vram_quota", PF);
	no_quota = read_pf(stage);
	assert_false(gpu_can_set(no_quota, VF_ATTR_VRAM));
	assert_true(gpu_can_set(no_quota, VF_ATTR_EXEC_QUANTUM));

	fake_gpu_remove(&stage->fake, SYSFS_PCI "/sriov_admin", PF);
	generic = read_pf(stage);
	assert_int_equal(generic->vf_control, VF_CONTROL_GENERIC);
	assert_false(gpu_can_set(generic, VF_ATTR_VRAM) || gpu_can_set(generic, VF_ATTR_EXEC_QUANTUM));

	fake_gpu_remove(&stage->fake, SYSFS_PCI "/sriov_totalvfs", PF);
	none = read_pf(stage);
	assert_int_equal(none->vf_control, VF_CONTROL_NONE);
	assert_false(none->sriov_capable);
}

static void test_display(void **state)
{
	struct stage *stage = *state;
	_cleanup_(gpu_facts_freep) struct gpu_facts *dark = NULL, *screen = NULL, *console = NULL;

	fake_gpu_write(&stage->fake, "disconnected\n", SYSFS_PCI "/drm/card0/card0-DP-1/status", PF);
	fake_gpu_write(&stage->fake, "0\n", SYSFS_PCI "/boot_vga", PF);
	dark = read_pf(stage);
	assert_false(dark->display);
	fake_gpu_write(&stage->fake, "connected\n", SYSFS_PCI "/drm/card0/card0-DP-2/status", PF);
	screen = read_pf(stage);
	assert_true(screen->display);
	fake_gpu_remove(&stage->fake, SYSFS_PCI "/drm", PF);
	fake_gpu_write(&stage->fake, "1\n", SYSFS_PCI "/boot_vga", PF);
	console = read_pf(stage);
	assert_true(console->display);
}

static void test_gone(void **state)
{
	struct stage *stage = *state;
	struct gpu_facts *f = NULL;
	struct pci_address vf;

	fake_gpu_enable_vfs(&stage->fake, PF, 1, 10);
	assert_int_equal(pci_address_parse("0000:03:00.1", &vf), 0);
	assert_int_equal(gpu_read(&stage->s, &vf, &f), -ENODEV); /* a VF is no GPU */
	assert_int_equal(gpu_vf_address(&stage->s, &stage->pf, 1, &vf), 0);
	assert_int_equal(gpu_vf_address(&stage->s, &stage->pf, 2, &vf), -ENOENT);
	assert_int_equal(gpu_vf_address(&stage->s, &stage->pf, 0, &vf), -EINVAL);
	fake_gpu_remove_pf(&stage->fake, PF);
	assert_int_equal(gpu_read(&stage->s, &stage->pf, &f), -ENODEV);
	assert_null(f);
}

static void test_answers(void **state)
{
	struct stage *stage = *state;

	assert_int_equal(pci_check_answers(&stage->s, &stage->pf), 0);
	fake_gpu_write(&stage->fake, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		       SYSFS_PCI "/config", PF);
	assert_int_equal(pci_check_answers(&stage->s, &stage->pf), -EIO);
	fake_gpu_write(&stage->fake, "short", SYSFS_PCI "/config", PF);
	assert_int_equal(pci_check_answers(&stage->s, &stage->pf), -EIO);
}

static void test_models(void **state)
{
	const struct gpu_model *m, *n;

	for (m = gpu_models; m->name; m++) {
		assert_true(m->first_id <= m->last_id);
		assert_true(m->vf_vram_bytes <= m->vram_bytes + m->vram_bytes / 20);
		for (n = gpu_models; n < m; n++) /* no id twice */
			assert_true(m->last_id < n->first_id || m->first_id > n->last_id);
	}
	assert_string_equal(gpu_model_find(0x0bd6)->name, "Max 1550");
	assert_null(gpu_model_find(0xffff));
	assert_int_equal(gpu_model_find_name("arc pro b60")->first_id, 0xe211);
	assert_null(gpu_model_find_name("Voodoo"));
}

/* Configuration space with an extended serial number, as long as libpci wants to see it. */
static void add_serial(struct stage *stage, uint8_t first)
{
	uint8_t config[4096] = { 0x86, 0x80, 0xc0, 0x56 };
	char path[160];
	FILE *file;

	config[0x06] = 0x10; /* there is a list of capabilities */
	config[0x34] = 0x40;
	config[0x40] = 0x10; /* PCI Express, the last */
	config[0x100] = 0x03; /* serial number, version 1, the last */
	config[0x102] = 0x01;
	config[0x104] = first;
	snprintf(path, sizeof(path), "%s/" SYSFS_PCI "/config", stage->fake.root, PF);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(config, sizeof(config), 1, file), 1);
	assert_int_equal(fclose(file), 0);
}

static void set_power(struct stage *stage, const char *status)
{
	fake_gpu_write(&stage->fake, status, SYSFS_PCI "/power/runtime_status", PF);
}

/* A look at its configuration space would wake it. */
static void test_a_sleeping_card_is_not_woken(void **state)
{
	struct stage *stage = *state;
	struct gpu_facts *f;

	add_serial(stage, 7);
	set_power(stage, "suspended\n");
	f = read_pf(stage); /* once, to know which card it is */
	assert_string_equal(f->power, "suspended");
	assert_string_equal(f->serial, "00-00-00-00-00-00-00-07");
	gpu_facts_free(f);

	add_serial(stage, 8);
	f = read_pf(stage);
	assert_string_equal(f->serial, "00-00-00-00-00-00-00-07"); /* not looked at */
	gpu_facts_free(f);
	set_power(stage, "active\n");
	f = read_pf(stage);
	assert_string_equal(f->power, "active");
	assert_string_equal(f->serial, "00-00-00-00-00-00-00-08");
	gpu_facts_free(f);
}

static void test_survivability(void **state)
{
	struct stage *stage = *state;
	struct gpu_facts *f = read_pf(stage);

	assert_null(f->survivability);
	assert_null(f->power);
	gpu_facts_free(f);
	fake_gpu_write(&stage->fake, "0\n", SYSFS_PCI "/sriov_totalvfs", PF);
	fake_gpu_write(&stage->fake, "Capability Info: 0x1\nPostcode: 0x2\n", SYSFS_PCI "/survivability_mode", PF);
	f = read_pf(stage);
	assert_string_equal(f->survivability, "Capability Info: 0x1 Postcode: 0x2");
	assert_non_null(strstr(f->reason, "survivability mode"));
	assert_non_null(strstr(f->reason, "Postcode: 0x2"));
	assert_non_null(strstr(f->reason, "firmware"));
	gpu_facts_free(f);
}

/* What an event about one card costs does not depend on the others. */
static void test_one_card_alone(void **state)
{
	struct stage *stage = *state;
	struct gpu_facts *f;

	fake_gpu_add_pf(&stage->fake, OTHER, 7);
	fake_gpu_hang(&stage->fake, SYSFS_PCI "/vendor", OTHER); /* whoever looks there hangs */
	f = read_pf(stage);
	assert_string_equal(f->driver, "xe");
	gpu_facts_free(f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_card, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vfs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reasons, setup, teardown),
		cmocka_unit_test_setup_teardown(test_surfaces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_display, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_sleeping_card_is_not_woken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_survivability, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_card_alone, setup, teardown),
		cmocka_unit_test(test_models),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
