/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The made-up kernel obeys the rules of sysfs, refusals first. */
#include "machine/sim-kernel.h"
#include "machine/sim-way.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct world {
	struct sim_document *document;
	struct sim_kernel k;
	struct sim_gpu *g; /* the first GPU */
};

static struct world *world_new(const char *gpus)
{
	_cleanup_free_ char *text = xasprintf("{\"gpus\": [%s]}", gpus), *message = NULL;
	struct world *w = calloc(1, sizeof(*w));

	if (sim_document_parse("d", text, strlen(text), &w->document, &message) < 0)
		fail_msg("%s", message);
	assert_int_equal(sim_kernel_init(&w->k, w->document), 0);
	w->g = &w->k.gpus[0];
	return w;
}

static void world_free(struct world *w)
{
	sim_kernel_done(&w->k);
	sim_document_free(w->document);
	free(w);
}
DEFINE_CLEANUP(struct world *, world_free);
#define WORLD(gpus) _cleanup_(world_freep) struct world *w = world_new(gpus)
#define FLEX "{\"model\": \"Flex 170\"}"

static int numvfs(struct world *w, uint64_t n)
{
	return sim_gpu_set_numvfs(&w->k, w->g, n, 0);
}

static uint64_t vram_of(struct world *w, unsigned vf)
{
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = sim_gpu_facts(w->g, false);

	assert_non_null(f);
	assert_true(vf >= 1 && vf <= f->n_vfs);
	assert_true(f->vfs[vf - 1].values[VF_ATTR_VRAM].known);
	return f->vfs[vf - 1].values[VF_ATTR_VRAM].value;
}

static int set(struct world *w, unsigned vf, enum vf_attribute attribute, uint64_t value,
	       uint64_t *ret_value)
{
	const struct sim_write write = {.vf = vf, .attribute = attribute, .value = value};

	return sim_way_write(w->g, &write, ret_value);
}

static void test_only_through_zero(void **state)
{
	WORLD(FLEX);

	assert_int_equal(numvfs(w, 4), 0);
	assert_int_equal(w->g->num_vfs, 4);
	assert_int_equal(numvfs(w, 4), 0); /* the same: nothing happens */
	assert_int_equal(numvfs(w, 5), -EBUSY);
	assert_int_equal(numvfs(w, 3), -EBUSY);
	assert_int_equal(w->g->num_vfs, 4);
	assert_int_equal(numvfs(w, 0), 0);
	assert_int_equal(numvfs(w, 5), 0);
}

static void test_range(void **state)
{
	WORLD(FLEX);

	assert_int_equal(numvfs(w, 32), -ERANGE);
	assert_int_equal(numvfs(w, 70000), -ERANGE);
	assert_int_equal(numvfs(w, 31), 0);
}

static void test_no_driver(void **state)
{
	WORLD("{\"model\": \"Flex 170\", \"driver\": null}");
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = sim_gpu_facts(w->g, false);

	assert_int_equal(numvfs(w, 1), -ENOENT);
	assert_int_equal(numvfs(w, 0), 0); /* it is 0 already */
	assert_null(f->driver);
	assert_int_equal(f->vf_control, VF_CONTROL_GENERIC);
	assert_non_null(f->reason);
	assert_int_equal(f->total_vfs, 31);
}

static void test_driver_without_hook(void **state)
{
	WORLD("{\"model\": \"Flex 170\", \"driver\": \"vfio-pci\", \"sriov_admin\": false}");

	assert_int_equal(numvfs(w, 1), -ENOENT);
}

static void test_not_capable(void **state)
{
	WORLD("{\"model\": \"Arc B580\"}");
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = sim_gpu_facts(w->g, false);

	assert_false(f->sriov_capable);
	assert_int_equal(numvfs(w, 1), -ENOENT);
	assert_int_equal(sim_gpu_set_autoprobe(w->g, 0), -ENOENT);
	assert_int_equal(w->g->writes.of[SIM_NUMVFS], 0);
}

static void test_fewer(void **state)
{
	WORLD(FLEX);

	assert_int_equal(sim_gpu_set_numvfs(&w->k, w->g, 4, 1), 0);
	assert_int_equal(w->g->num_vfs, 3);
}

static void test_hang(void **state)
{
	WORLD(FLEX);

	assert_int_equal(numvfs(w, 2), 0);
	sim_vf_hold(&w->g->vfs[1], "trainer", 7);
	assert_int_equal(sim_gpu_held(w->g), 1);
	assert_int_equal(numvfs(w, 0), -EINPROGRESS);
	assert_int_equal(w->g->num_vfs, 2);
	assert_false(sim_kernel_settle(&w->k, w->g));
	sim_vf_release(&w->g->vfs[1]);
	assert_true(sim_kernel_settle(&w->k, w->g));
	assert_int_equal(w->g->num_vfs, 0);
	assert_false(sim_kernel_settle(&w->k, w->g));
	assert_int_equal(w->g->writes.numvfs_while_held, 1);
}

static void test_addresses(void **state)
{
	WORLD("{\"model\": \"Flex 170\", \"address\": \"0000:03:1f.0\"}");
	struct sim_gpu *of = NULL;
	struct pci_address a;

	assert_int_equal(numvfs(w, 9), 0);
	assert_string_equal(PCI_ADDRESS_STR(&w->g->vfs[0].address), "0000:03:1f.1");
	assert_string_equal(PCI_ADDRESS_STR(&w->g->vfs[6].address), "0000:03:1f.7");
	assert_string_equal(PCI_ADDRESS_STR(&w->g->vfs[7].address), "0000:04:00.0"); /* next bus */
	assert_int_equal(pci_address_parse("04:00.1", &a), 0);
	assert_ptr_equal(sim_kernel_find_vf(&w->k, &a, &of), &w->g->vfs[8]);
	assert_ptr_equal(of, w->g);
	assert_int_equal(numvfs(w, 0), 0);
	assert_null(sim_kernel_find_vf(&w->k, &a, NULL));
}

static void test_groups(void **state)
{
	WORLD(FLEX ", " FLEX);

	assert_int_equal(w->k.gpus[0].iommu_group, 0);
	assert_int_equal(w->k.gpus[1].iommu_group, 1);
	assert_int_equal(numvfs(w, 2), 0);
	assert_int_equal(w->g->vfs[0].iommu_group, 2);
	assert_int_equal(w->g->vfs[1].iommu_group, 3);
	assert_int_equal(numvfs(w, 0), 0);
	assert_int_equal(numvfs(w, 1), 0);
	assert_int_equal(w->g->vfs[0].iommu_group, 2); /* numbers are used again */
}

static void test_autoprobe(void **state)
{
	WORLD(FLEX);

	assert_int_equal(numvfs(w, 1), 0);
	assert_string_equal(w->g->vfs[0].driver, "xe"); /* the host took it */
	assert_int_equal(sim_gpu_set_autoprobe(w->g, 0), 0);
	assert_string_equal(w->g->vfs[0].driver, "xe"); /* VFs that exist are not touched */
	assert_int_equal(numvfs(w, 0), 0);
	assert_int_equal(numvfs(w, 1), 0);
	assert_string_equal(w->g->vfs[0].driver, "");
	assert_int_equal(sim_gpu_set_autoprobe(w->g, 2), -EINVAL);
}

static void test_automatic_sharing(void **state)
{
	WORLD(FLEX);

	assert_int_equal(numvfs(w, 4), 0);
	assert_int_equal(vram_of(w, 1), 15 * GIB / 4);
	assert_int_equal(numvfs(w, 0), 0);
	assert_int_equal(numvfs(w, 3), 0);
	assert_int_equal(vram_of(w, 3), 5 * GIB);
}

static void test_nothing_to_share(void **state)
{
	WORLD("{\"model\": \"Flex 170\", \"vram\": \"129MiB\"}");

	assert_int_equal(numvfs(w, 1), -ENOSPC);
	assert_int_equal(w->g->num_vfs, 0);
}

static void test_quota_rounding(void **state)
{
	WORLD(FLEX);
	uint64_t value = 0;

	assert_int_equal(set(w, 1, VF_ATTR_VRAM, 1, &value), 0);
	assert_int_equal(value, 2 * MIB);
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, GIB, &value), 0);
	assert_int_equal(value, GIB);
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, GIB + 1, &value), 0);
	assert_int_equal(value, GIB + 2 * MIB);
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, 0, &value), 0);
	assert_int_equal(value, 0);
}

static void test_quota_all_or_none(void **state)
{
	WORLD(FLEX);
	uint64_t value;

	assert_int_equal(set(w, 2, VF_ATTR_VRAM, 4 * GIB, &value), 0);
	assert_int_equal(numvfs(w, 3), 0);
	assert_int_equal(vram_of(w, 1), 0); /* comes up without */
	assert_int_equal(vram_of(w, 2), 4 * GIB);
	assert_int_equal(vram_of(w, 3), 0);
}

static void test_quota_space(void **state)
{
	WORLD(FLEX);
	uint64_t value;

	assert_int_equal(set(w, 1, VF_ATTR_VRAM, 16 * GIB, &value), -ENOSPC);
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, 16 * GIB - 128 * MIB, &value), 0);
	assert_int_equal(set(w, 2, VF_ATTR_VRAM, 2 * MIB, &value), -ENOSPC);
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, 8 * GIB, &value), 0); /* its own counts as free */
	assert_int_equal(set(w, 2, VF_ATTR_VRAM, 7 * GIB, &value), 0);
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, UINT64_MAX, &value), -ENOSPC);
}

static void test_quota_of_running(void **state)
{
	WORLD(FLEX);
	uint64_t value;

	assert_int_equal(numvfs(w, 1), 0);
	assert_int_equal(set(w, 1, VF_ATTR_VRAM, GIB, &value), -EIO);
	assert_int_equal(set(w, 2, VF_ATTR_VRAM, 512 * MIB, &value), 0); /* it is not on */
	assert_int_equal(set(w, 1, VF_ATTR_EXEC_QUANTUM, 20, &value), 0); /* those may change any time */
}

static void test_values_vanish(void **state)
{
	WORLD(FLEX);
	uint64_t value;

	assert_int_equal(set(w, 1, VF_ATTR_VRAM, GIB, &value), 0);
	assert_int_equal(set(w, 1, VF_ATTR_EXEC_QUANTUM, 20, &value), 0);
	assert_int_equal(set(w, 1, VF_ATTR_PREEMPT_TIMEOUT, 5000, &value), 0);
	assert_int_equal(set(w, 0, VF_ATTR_EXEC_QUANTUM, 64, &value), 0);
	assert_int_equal(numvfs(w, 1), 0);
	assert_int_equal(w->g->vfs[0].given.values[0][VF_ATTR_EXEC_QUANTUM], 20);
	assert_int_equal(numvfs(w, 0), 0);
	assert_int_equal(w->g->vfs[0].given.values[0][VF_ATTR_VRAM], 0);
	assert_int_equal(w->g->vfs[0].given.values[0][VF_ATTR_EXEC_QUANTUM], 0);
	assert_int_equal(w->g->vfs[0].given.values[0][VF_ATTR_PREEMPT_TIMEOUT], 0);
	assert_int_equal(w->g->pf.values[0][VF_ATTR_EXEC_QUANTUM], 64);
}

static void test_schedule_limits(void **state)
{
	WORLD(FLEX);
	uint64_t value;

	assert_int_equal(set(w, 1, VF_ATTR_EXEC_QUANTUM, 200000, &value), 0);
	assert_int_equal(value, 100000);
	assert_int_equal(set(w, 31, VF_ATTR_PREEMPT_TIMEOUT, 200000000, &value), 0);
	assert_int_equal(value, 100000000);
	assert_int_equal(set(w, 1, VF_ATTR_EXEC_QUANTUM, UINT64_C(1) << 32, &value), -ERANGE);
	assert_int_equal(set(w, 32, VF_ATTR_EXEC_QUANTUM, 1, &value), -ENOENT);
	assert_int_equal(set(w, 0, VF_ATTR_VRAM, GIB, &value), -EOPNOTSUPP);
}

static void test_generic(void **state)
{
	WORLD("{\"model\": \"Flex 170\", \"driver\": \"i915\", \"tree\": \"none\"}");
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL;
	uint64_t value;

	assert_int_equal(set(w, 1, VF_ATTR_EXEC_QUANTUM, 20, &value), -EOPNOTSUPP);
	assert_int_equal(numvfs(w, 2), 0);
	f = sim_gpu_facts(w->g, false);
	assert_int_equal(f->vf_control, VF_CONTROL_GENERIC);
	assert_false(gpu_can_set(f, VF_ATTR_VRAM) || gpu_can_set(f, VF_ATTR_EXEC_QUANTUM));
	assert_false(f->vfs[0].values[VF_ATTR_VRAM].known); /* unknown, not 0 */
	assert_false(f->resources[VF_ATTR_VRAM].free.known);
	assert_false(f->vfs[0].values[VF_ATTR_PRIORITY].known);
}

static void test_no_quota_file(void **state)
{
	WORLD("{\"model\": \"Flex 170\", \"vram_quota\": false}");
	uint64_t value;

	assert_int_equal(set(w, 1, VF_ATTR_VRAM, GIB, &value), -EOPNOTSUPP);
	assert_int_equal(set(w, 1, VF_ATTR_EXEC_QUANTUM, 20, &value), 0);
}

static void test_bind(void **state)
{
	WORLD(FLEX);

	assert_int_equal(sim_gpu_bind_vfio(w->g, 1), -ENOENT);
	assert_int_equal(numvfs(w, 2), 0);
	assert_int_equal(sim_gpu_bind_vfio(w->g, 1), 0); /* the host's xe lets go */
	assert_string_equal(w->g->vfs[0].driver, "vfio-pci");
	assert_int_equal(sim_gpu_bind_vfio(w->g, 1), 0);
	sim_vf_hold(&w->g->vfs[0], "trainer", 7);
	assert_int_equal(sim_gpu_unbind(w->g, 1), -EBUSY);
	assert_int_equal(sim_gpu_reset_vf(w->g, 1), -EBUSY);
	sim_vf_release(&w->g->vfs[0]);
	assert_int_equal(sim_gpu_reset_vf(w->g, 1), 0);
	assert_int_equal(sim_gpu_unbind(w->g, 1), 0);
	assert_string_equal(w->g->vfs[0].driver, "");
	assert_int_equal(sim_gpu_reset_vf(w->g, 3), -ENOENT);
	assert_int_equal(sim_gpu_unbind(w->g, 0), -ENOENT);
	sim_vf_hold(&w->g->vfs[1], NULL, 8); /* a host process uses the render node */
	assert_int_equal(sim_gpu_bind_vfio(w->g, 2), -EBUSY);
}

static void test_bind_variant(void **state)
{
	WORLD("{\"model\": \"Flex 170\", \"vfio_driver\": \"xe-vfio-pci\"}");
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL;

	assert_int_equal(numvfs(w, 2), 0);
	assert_int_equal(sim_gpu_bind_vfio(w->g, 1), 0);
	f = sim_gpu_facts(w->g, false);
	assert_string_equal(f->vfs[0].driver, "xe-vfio-pci");
	assert_true(f->vfs[0].vfio && !f->vfs[1].vfio && !f->vfio);
	assert_int_equal(sim_gpu_unbind(w->g, 1), 0);
	assert_false(w->g->vfs[0].vfio);
}

static void test_no_iommu(void **state)
{
	WORLD("{\"model\": \"Flex 170\", \"iommu\": false}");

	assert_int_equal(numvfs(w, 1), 0);
	assert_int_equal(w->g->vfs[0].iommu_group, -1);
	assert_int_equal(sim_gpu_bind_vfio(w->g, 1), -EINVAL);
}

static void test_unplug(void **state)
{
	WORLD(FLEX);
	struct pci_address a = w->g->spec.address;

	assert_int_equal(numvfs(w, 2), 0);
	sim_gpu_set_present(&w->k, w->g, false);
	assert_null(sim_kernel_find(&w->k, &a));
	assert_ptr_equal(sim_kernel_find_name(&w->k, "gpu0"), w->g);
	sim_gpu_set_present(&w->k, w->g, true);
	assert_ptr_equal(sim_kernel_find(&w->k, &a), w->g);
	assert_int_equal(w->g->num_vfs, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_through_zero), cmocka_unit_test(test_range),
		cmocka_unit_test(test_no_driver),	  cmocka_unit_test(test_driver_without_hook),
		cmocka_unit_test(test_not_capable),	  cmocka_unit_test(test_fewer),
		cmocka_unit_test(test_hang),		  cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_groups),		  cmocka_unit_test(test_autoprobe),
		cmocka_unit_test(test_automatic_sharing), cmocka_unit_test(test_nothing_to_share),
		cmocka_unit_test(test_quota_rounding),	  cmocka_unit_test(test_quota_all_or_none),
		cmocka_unit_test(test_quota_space),	  cmocka_unit_test(test_quota_of_running),
		cmocka_unit_test(test_values_vanish),	  cmocka_unit_test(test_schedule_limits),
		cmocka_unit_test(test_generic),		  cmocka_unit_test(test_no_quota_file),
		cmocka_unit_test(test_bind),		  cmocka_unit_test(test_bind_variant),
		cmocka_unit_test(test_no_iommu),
		cmocka_unit_test(test_unplug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
