/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The made-up libvirt: hostdevs with managed='no', and what it refuses. */
#include "machine/sim-hypervisor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct world {
	struct sim_document *document;
	struct sim_kernel k;
	struct sim_hypervisor hv;
	char *message;
};

/* One Flex 170 with two VFs on vfio-pci and one on xe. */
static struct world *world_new(const char *vms)
{
	_cleanup_free_ char *text = xasprintf("{\"gpus\": [{\"model\": \"Flex 170\"}], \"vms\": [%s]}", vms);
	_cleanup_free_ char *message = NULL;
	struct world *w = calloc(1, sizeof(*w));

	if (sim_document_parse("d", text, strlen(text), &w->document, &message) < 0)
		fail_msg("%s", message);
	assert_int_equal(sim_kernel_init(&w->k, w->document), 0);
	assert_int_equal(sim_hypervisor_init(&w->hv, w->document, "/g", 42), 0);
	assert_int_equal(sim_gpu_set_numvfs(&w->k, &w->k.gpus[0], 3, 0), 0);
	assert_int_equal(sim_gpu_bind_vfio(&w->k.gpus[0], 1), 0);
	assert_int_equal(sim_gpu_bind_vfio(&w->k.gpus[0], 2), 0);
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
#define WORLD(vms) _cleanup_(world_freep) struct world *w = world_new(vms)
#define TWO "{\"name\": \"a\"}, {\"name\": \"b\"}"

static struct sim_vm *vm(struct world *w, const char *name)
{
	struct sim_vm *found = sim_hypervisor_find_name(&w->hv, name);

	assert_non_null(found);
	return found;
}

static struct sim_vf *vf(struct world *w, unsigned index)
{
	return sim_gpu_vf(&w->k.gpus[0], index);
}

static struct hv_request request(struct world *w, unsigned index, bool live, bool config)
{
	return (struct hv_request){ .address = vf(w, index)->address, .live = live,
				    .config = config, .alias = "ua-gpuvf-x" };
}

static enum hv_failure attach(struct world *w, const char *name, unsigned index, bool live,
			      bool config)
{
	struct hv_request r = request(w, index, live, config);
	struct sim_hostdev *h;

	return sim_vm_attach(&w->hv, &w->k, vm(w, name), &r, &h, &w->message);
}

static enum hv_failure detach(struct world *w, const char *name, unsigned index, bool live,
			      bool config)
{
	struct hv_request r = request(w, index, live, config);
	struct sim_hostdev gone;
	enum hv_failure failure;

	failure = sim_vm_detach_check(vm(w, name), &r, &w->message);
	if (failure == HV_OK) {
		sim_vm_detach(&w->k, vm(w, name), &r, &gone);
		sim_hostdev_done(&gone);
	}
	return failure;
}

static void test_attach_and_detach(void **state)
{
	WORLD(TWO);
	_cleanup_(domain_facts_freep) struct domain_facts *f = NULL;

	assert_int_equal(attach(w, "a", 1, true, false), HV_OK);
	assert_true(vf(w, 1)->held);
	assert_string_equal(vf(w, 1)->holder.vm, "a");
	assert_int_equal(vf(w, 1)->holder.pid, 42);
	f = sim_vm_facts(vm(w, "a"));
	assert_int_equal(f->n_hostdevs, 1);
	assert_string_equal(f->hostdevs[0].alias, "ua-gpuvf-x"); /* kept */
	assert_true(f->hostdevs[0].live && !f->hostdevs[0].config);
	assert_int_equal(f->free_ports, 3);
	assert_string_equal(f->guest_root, "/g/a");
	assert_int_equal(detach(w, "a", 1, true, false), HV_OK);
	assert_false(vf(w, 1)->held);
	assert_string_equal(vf(w, 1)->driver, "vfio-pci"); /* managed='no' leaves it there */
	assert_int_equal(detach(w, "a", 1, true, false), HV_ALREADY);
	assert_non_null(strstr(w->message, "not found"));
}

static enum hv_failure attach_managed(struct world *w, const char *name, unsigned index, bool live, bool config)
{
	struct hv_request r = request(w, index, live, config);
	struct sim_hostdev *h;

	r.managed = true;
	return sim_vm_attach(&w->hv, &w->k, vm(w, name), &r, &h, &w->message);
}

/* libvirt binds, and gives back what the host's driver then takes where autoprobe is on. */
static void test_managed(void **state)
{
	WORLD(TWO);

	assert_int_equal(attach_managed(w, "a", 3, true, false), HV_OK);
	assert_string_equal(vf(w, 3)->driver, "vfio-pci");
	assert_true(vf(w, 3)->vfio && vf(w, 3)->held);
	assert_int_equal(detach(w, "a", 3, true, false), HV_OK);
	assert_string_equal(vf(w, 3)->driver, "xe");
	assert_false(vf(w, 3)->vfio);
	assert_int_equal(sim_gpu_set_autoprobe(&w->k.gpus[0], 0), 0);
	assert_int_equal(attach_managed(w, "a", 3, true, true), HV_OK);
	sim_vm_stop(&w->hv, &w->k, vm(w, "a"));
	assert_string_equal(vf(w, 3)->driver, "");
	assert_int_equal(sim_vm_start(&w->hv, &w->k, vm(w, "a"), &w->message), HV_OK);
	assert_string_equal(vf(w, 3)->driver, "vfio-pci");

	/* a process of the host has it: not from under that one */
	assert_int_equal(sim_gpu_unbind(&w->k.gpus[0], 2), 0);
	sim_vf_hold(vf(w, 2), NULL, 8);
	assert_int_equal(attach_managed(w, "b", 2, true, false), HV_FAILED);
	assert_string_equal(vf(w, 2)->driver, "");
}

static void test_reset_between_users(void **state)
{
	WORLD(TWO);
	struct sim_gpu *g = &w->k.gpus[0];

	assert_int_equal(attach(w, "a", 1, true, false), HV_OK);
	assert_false(vf(w, 1)->used);
	assert_int_equal(detach(w, "a", 1, true, false), HV_OK);
	assert_true(vf(w, 1)->used);
	assert_int_equal(sim_gpu_reset_vf(g, 1), 0);
	assert_false(vf(w, 1)->used);
	assert_int_equal(attach(w, "b", 1, true, false), HV_OK);
	assert_int_equal(g->writes.attached_without_reset, 0);
	sim_vm_stop(&w->hv, &w->k, vm(w, "b"));
	assert_true(vf(w, 1)->used);
	assert_int_equal(attach(w, "a", 1, true, false), HV_OK);
	assert_int_equal(g->writes.attached_without_reset, 1);
}

static void test_alias_of_libvirt(void **state)
{
	WORLD(TWO);
	struct hv_request r = request(w, 1, true, false);
	struct sim_hostdev *h;

	r.alias = "mine"; /* not "ua-…": overwritten */
	assert_int_equal(sim_vm_attach(&w->hv, &w->k, vm(w, "a"), &r, &h, &w->message), HV_OK);
	assert_string_equal(h->alias, "hostdev0");
	r = request(w, 2, true, false);
	r.alias = NULL;
	assert_int_equal(sim_vm_attach(&w->hv, &w->k, vm(w, "a"), &r, &h, &w->message), HV_OK);
	assert_string_equal(h->alias, "hostdev1");
}

static enum hv_failure detach_alias(struct world *w, unsigned index, const char *alias, bool live, bool config)
{
	struct hv_request r = request(w, index, live, config);

	r.alias = alias;
	return sim_vm_detach_check(vm(w, "a"), &r, &w->message);
}

/* Under another alias it is another lease's device, or somebody else's: as test_device_refusals of test-libvirt.c. */
static void test_detach_by_alias(void **state)
{
	WORLD(TWO);
	struct hv_request foreign = request(w, 2, true, true);
	struct sim_hostdev *h;

	assert_int_equal(attach(w, "a", 1, true, true), HV_OK);
	assert_int_equal(detach_alias(w, 1, "ua-gpuvf-y", true, false), HV_ALREADY);
	assert_non_null(strstr(w->message, "not found"));
	assert_int_equal(detach_alias(w, 1, "ua-gpuvf-y", false, true), HV_ALREADY);
	assert_int_equal(detach_alias(w, 1, "ua-gpuvf-x", true, true), HV_OK);
	assert_int_equal(detach_alias(w, 1, NULL, true, true), HV_OK); /* whatever it is called */

	foreign.alias = NULL; /* attached by hand: libvirt names the live one only */
	assert_int_equal(sim_vm_attach(&w->hv, &w->k, vm(w, "a"), &foreign, &h, &w->message), HV_OK);
	assert_int_equal(detach_alias(w, 2, "ua-gpuvf-x", true, false), HV_ALREADY);
	assert_int_equal(detach_alias(w, 2, "ua-gpuvf-x", false, true), HV_OK);
	assert_int_equal(detach_alias(w, 2, NULL, true, false), HV_OK);
}

static void test_refused_attach(void **state)
{
	WORLD(TWO ", {\"name\": \"off\", \"state\": \"off\"}, {\"name\": \"full\", \"ports\": 0},"
		  "{\"name\": \"t\", \"persistent\": false}");
	struct hv_request r = request(w, 1, true, false);
	struct sim_hostdev *h;

	assert_int_equal(attach(w, "off", 1, true, false), HV_NOT_RUNNING);
	assert_int_equal(attach(w, "full", 1, true, false), HV_NO_PORT);
	assert_int_equal(attach(w, "a", 3, true, false), HV_FAILED); /* on xe */
	assert_non_null(strstr(w->message, "must be manually detached"));
	assert_int_equal(attach(w, "a", 1, true, false), HV_OK);
	assert_int_equal(attach(w, "a", 1, true, false), HV_ALREADY);
	assert_int_equal(attach(w, "b", 1, true, false), HV_FAILED);
	assert_non_null(strstr(w->message, "in use by driver QEMU, domain a"));
	assert_int_equal(attach(w, "t", 2, false, true), HV_FAILED);
	assert_non_null(strstr(w->message, "transient"));
	assert_int_equal(pci_address_parse("09:00.1", &r.address), 0);
	assert_int_equal(sim_vm_attach(&w->hv, &w->k, vm(w, "b"), &r, &h, &w->message), HV_FAILED);
	assert_non_null(strstr(w->message, "No such file"));
	assert_int_equal(pci_address_parse("03:00.0", &r.address), 0); /* the PF */
	assert_int_equal(sim_vm_attach(&w->hv, &w->k, vm(w, "b"), &r, &h, &w->message), HV_FAILED);
}

static void test_memory(void **state)
{
	WORLD("{\"name\": \"a\", \"memory\": \"16GiB\", \"resident\": \"4GiB\"}, {\"name\": \"b\"}");
	struct known *has = &w->hv.memory_available;

	*has = (struct known){ true, 12 * GIB };
	assert_int_equal(attach(w, "a", 1, true, true), HV_NO_MEMORY); /* nothing stays for the host */
	assert_non_null(strstr(w->message, "12.0GiB more than now"));
	assert_int_equal(vm(w, "a")->live.n + vm(w, "a")->config.n, 0);
	assert_int_equal(attach(w, "a", 1, false, true), HV_OK); /* nothing is pinned */
	assert_int_equal(detach(w, "a", 1, false, true), HV_OK);
	has->value += GIB;
	assert_int_equal(attach(w, "a", 1, true, false), HV_OK);
	assert_int_equal(has->value, GIB);
	has->value = 0;
	assert_int_equal(attach(w, "a", 2, true, false), HV_OK); /* it is pinned already */
	assert_int_equal(detach(w, "a", 2, true, false), HV_OK);
	assert_int_equal(attach(w, "b", 2, true, false), HV_OK); /* nobody knows */
	sim_vm_stop(&w->hv, &w->k, vm(w, "a"));
	assert_int_equal(has->value, 16 * GIB);
	assert_int_equal(sim_vm_start(&w->hv, &w->k, vm(w, "a"), &w->message), HV_OK);
	assert_int_equal(has->value, 12 * GIB);
	sim_vm_stop(&w->hv, &w->k, vm(w, "a"));
	assert_int_equal(sim_vm_start_check(&w->hv, vm(w, "a"), &w->message), HV_OK); /* without a VF */
	assert_int_equal(attach(w, "a", 1, false, true), HV_OK);
	assert_int_equal(sim_vm_start_check(&w->hv, vm(w, "a"), &w->message), HV_NO_MEMORY);
	assert_non_null(strstr(w->message, "16.0GiB more than now"));
	has->value += GIB;
	assert_int_equal(sim_vm_start_check(&w->hv, vm(w, "a"), &w->message), HV_OK);
}

static void test_saved(void **state)
{
	WORLD("{\"name\": \"a\", \"state\": \"off\", \"saved\": true}");
	struct hv_request foreign = request(w, 2, false, true);
	_cleanup_(domain_facts_freep) struct domain_facts *f = sim_vm_facts(vm(w, "a"));
	struct sim_hostdev *h;

	assert_true(f->saved);
	assert_int_equal(attach(w, "a", 1, false, true), HV_SAVED);
	assert_string_equal(w->message, HV_SAVED_TEXT);
	foreign.alias = NULL; /* libvirt itself writes it */
	assert_int_equal(sim_vm_attach(&w->hv, &w->k, vm(w, "a"), &foreign, &h, &w->message), HV_OK);
	assert_int_equal(sim_vm_start(&w->hv, &w->k, vm(w, "a"), &w->message), HV_OK);
	assert_int_equal(vm(w, "a")->live.n, 0); /* it is as it was when it was saved */
	sim_vm_stop(&w->hv, &w->k, vm(w, "a"));
	assert_int_equal(attach(w, "a", 1, false, true), HV_OK);
	assert_int_equal(sim_vm_start(&w->hv, &w->k, vm(w, "a"), &w->message), HV_OK);
	assert_int_equal(vm(w, "a")->live.n, 2);
}

static void test_all_or_nothing(void **state)
{
	WORLD(TWO);

	assert_int_equal(attach(w, "a", 3, true, true), HV_FAILED); /* live fails: on xe */
	assert_int_equal(vm(w, "a")->config.n, 0);
	assert_int_equal(attach(w, "a", 1, true, true), HV_OK);
	assert_int_equal(attach(w, "a", 1, false, true), HV_ALREADY);
	assert_int_equal(detach(w, "a", 1, true, true), HV_OK);
	assert_int_equal(vm(w, "a")->config.n + vm(w, "a")->live.n, 0);
}

static void test_ports(void **state)
{
	WORLD("{\"name\": \"a\", \"ports\": 2}");

	assert_int_equal(attach(w, "a", 1, true, false), HV_OK);
	assert_int_equal(attach(w, "a", 2, true, false), HV_OK);
	assert_int_equal(sim_gpu_bind_vfio(&w->k.gpus[0], 3), 0);
	assert_int_equal(attach(w, "a", 3, true, false), HV_NO_PORT);
	assert_int_equal(detach(w, "a", 1, true, false), HV_OK);
	assert_int_equal(attach(w, "a", 3, true, false), HV_OK);
	/* the lowest port is used again */
	assert_int_equal(vm(w, "a")->live.items[0].port + vm(w, "a")->live.items[1].port, 1);
}

static void test_start_and_stop(void **state)
{
	WORLD("{\"name\": \"a\", \"state\": \"off\"}, {\"name\": \"b\"}");

	assert_int_equal(attach(w, "a", 1, false, true), HV_OK);
	assert_false(vf(w, 1)->held); /* a reservation only */
	assert_int_equal(sim_vm_start(&w->hv, &w->k, vm(w, "a"), &w->message), HV_OK);
	assert_true(vf(w, 1)->held);
	assert_int_equal(vm(w, "a")->state, VM_RUNNING);
	assert_int_equal(sim_vm_start(&w->hv, &w->k, vm(w, "a"), &w->message), HV_FAILED);
	assert_int_equal(attach(w, "b", 1, true, false), HV_FAILED);
	sim_vm_stop(&w->hv, &w->k, vm(w, "a"));
	assert_false(vf(w, 1)->held);
	assert_int_equal(vm(w, "a")->state, VM_OFF);
	assert_int_equal(vm(w, "a")->config.n, 1); /* the persistent one stays */
	assert_int_equal(attach(w, "b", 1, true, false), HV_OK);
	assert_int_equal(sim_vm_start(&w->hv, &w->k, vm(w, "a"), &w->message), HV_FAILED);
	assert_int_equal(vm(w, "a")->state, VM_OFF);
}

static void test_start_needs_vfio(void **state)
{
	WORLD("{\"name\": \"a\", \"state\": \"off\"}");

	assert_int_equal(attach(w, "a", 3, false, true), HV_OK); /* nobody looks at the driver yet */
	assert_int_equal(sim_vm_start(&w->hv, &w->k, vm(w, "a"), &w->message), HV_FAILED);
	assert_non_null(strstr(w->message, "Unmanaged PCI device"));
}

static void test_transient_ends(void **state)
{
	WORLD("{\"name\": \"t\", \"persistent\": false}");

	sim_vm_stop(&w->hv, &w->k, vm(w, "t"));
	assert_int_equal(vm(w, "t")->state, VM_GONE);
	assert_null(sim_hypervisor_find(&w->hv, vm(w, "t")->uuid));
}

static void test_agent_states(void **state)
{
	WORLD("{\"name\": \"a\"}, {\"name\": \"n\", \"agent\": false},"
	      "{\"name\": \"d\", \"agent\": \"disconnected\"}, {\"name\": \"off\", \"state\": \"off\"}");
	static const struct {
		const char *name;
		enum vm_agent agent;
	} expected[] = { { "a", VM_AGENT_CONNECTED },
			 { "n", VM_AGENT_ABSENT },
			 { "d", VM_AGENT_DISCONNECTED },
			 { "off", VM_AGENT_DISCONNECTED } };

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		_cleanup_(domain_facts_freep) struct domain_facts *f =
			sim_vm_facts(vm(w, expected[i].name));

		assert_int_equal(f->agent, expected[i].agent);
	}
}

static void test_uuids(void **state)
{
	WORLD(TWO);
	struct sim_vm *a = vm(w, "a"), *b = vm(w, "b");

	assert_int_equal(strlen(a->uuid), 36);
	assert_string_not_equal(a->uuid, b->uuid);
	assert_ptr_equal(sim_hypervisor_find(&w->hv, a->uuid), a);
	assert_null(sim_hypervisor_find(&w->hv, "00000000-0000-0000-0000-000000000000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attach_and_detach), cmocka_unit_test(test_alias_of_libvirt),
		cmocka_unit_test(test_reset_between_users), cmocka_unit_test(test_managed),
		cmocka_unit_test(test_detach_by_alias),
		cmocka_unit_test(test_refused_attach),	  cmocka_unit_test(test_memory),
		cmocka_unit_test(test_saved),		  cmocka_unit_test(test_all_or_nothing),
		cmocka_unit_test(test_ports),		  cmocka_unit_test(test_start_and_stop),
		cmocka_unit_test(test_start_needs_vfio),  cmocka_unit_test(test_transient_ends),
		cmocka_unit_test(test_agent_states),	  cmocka_unit_test(test_uuids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
