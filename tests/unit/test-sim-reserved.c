/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which VFs the definitions of VMs that are off hold: those that they were written for. */
#include "machine/sim-reserved.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define DOCUMENT "{\"gpus\": [{\"model\": \"Flex 170\", \"count\": 2}], " \
		 "\"vms\": [{\"name\": \"a\", \"state\": \"off\"}]}"

struct world {
	struct sim_document *document;
	struct sim_kernel k;
	struct sim_hypervisor hv;
	struct sim_gpu *g;
	char *message;
};

/* Two GPUs with two VFs each; the definition of a VM that is off names the second of the first. */
static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	if (sim_document_parse("d", DOCUMENT, strlen(DOCUMENT), &w->document, &w->message) < 0)
		fail_msg("%s", w->message);
	assert_int_equal(sim_kernel_init(&w->k, w->document), 0);
	assert_int_equal(sim_hypervisor_init(&w->hv, w->document, "/g", 42), 0);
	w->g = w->k.gpus;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(sim_gpu_set_numvfs(&w->k, &w->g[i], 2, 0), 0);
	return w;
}

static void world_free(struct world *w)
{
	sim_hypervisor_done(&w->hv);
	sim_kernel_done(&w->k);
	sim_document_free(w->document);
	free(w->message);
	free(w);
}
DEFINE_CLEANUP(struct world *, world_free);
#define WORLD _cleanup_(world_freep) struct world *w = world_new()

static struct hv_request of_second(struct world *w)
{
	return (struct hv_request){ .address = sim_gpu_vf_address(&w->g[0], 2), .config = true, .alias = "ua-gpuvf-x" };
}

static void write_definition(struct world *w)
{
	struct hv_request r = of_second(w);
	struct sim_hostdev *none;

	assert_int_equal(sim_vm_attach(&w->hv, &w->k, &w->hv.vms[0], &r, &none, &w->message), HV_OK);
}

static void cut(struct world *w, unsigned n)
{
	assert_int_equal(sim_gpu_set_numvfs(&w->k, w->g, 0, 0), 0);
	assert_int_equal(sim_gpu_set_numvfs(&w->k, w->g, n, 0), 0);
	sim_reserved_lapse(&w->hv, w->g, n);
}

static void test_of_a_vm_that_is_off(void **state)
{
	WORLD;

	assert_false(sim_reserved_has(&w->hv, &w->g[0]));
	write_definition(w);
	assert_true(sim_reserved_has(&w->hv, &w->g[0]));
	assert_false(sim_reserved_has(&w->hv, &w->g[1]));
	w->hv.vms[0].state = VM_RUNNING;
	assert_false(sim_reserved_has(&w->hv, &w->g[0]));
}

static void test_cut_with_it(void **state)
{
	WORLD;

	write_definition(w);
	cut(w, 2); /* it is there as before */
	assert_true(sim_reserved_has(&w->hv, w->g));
}

static void test_cut_without_it(void **state)
{
	WORLD;

	write_definition(w);
	cut(w, 1);
	assert_false(sim_reserved_has(&w->hv, w->g));
	cut(w, 2); /* another one is where it was */
	assert_false(sim_reserved_has(&w->hv, w->g));
}

static void test_another_card(void **state)
{
	struct pci_address of_first;
	WORLD;

	write_definition(w);
	of_first = w->g[0].spec.address;
	sim_reserved_lapse(&w->hv, &w->g[0], 0);
	for (unsigned i = 0; i < 2; i++)
		sim_gpu_set_present(&w->k, &w->g[i], false);
	w->g[0].spec.address = w->g[1].spec.address;
	w->g[1].spec.address = of_first;
	for (unsigned i = 0; i < 2; i++) {
		sim_gpu_set_present(&w->k, &w->g[i], true);
		assert_int_equal(sim_gpu_set_numvfs(&w->k, &w->g[i], 2, 0), 0);
		assert_false(sim_reserved_has(&w->hv, &w->g[i]));
	}
}

static void test_written_again(void **state)
{
	struct sim_hostdev gone;
	struct hv_request r;
	WORLD;

	write_definition(w);
	cut(w, 1);
	cut(w, 2);
	r = of_second(w);
	assert_int_equal(sim_vm_detach_check(&w->hv.vms[0], &r, &w->message), HV_OK);
	sim_vm_detach(&w->k, &w->hv.vms[0], &r, &gone);
	sim_hostdev_done(&gone);
	write_definition(w);
	assert_true(sim_reserved_has(&w->hv, w->g));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_a_vm_that_is_off), cmocka_unit_test(test_cut_with_it),
		cmocka_unit_test(test_cut_without_it),	    cmocka_unit_test(test_another_card),
		cmocka_unit_test(test_written_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
