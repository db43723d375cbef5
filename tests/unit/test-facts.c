/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts survive a copy and the wire; a wrong word on the wire is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/facts.h"

static const char gpu_text[] =
	"{\"address\":\"0000:03:00.0\",\"device_id\":22208,\"class_code\":229376,"
	"\"model\":\"Flex 170\",\"serial\":null,\"driver\":\"xe\",\"vfio\":false,\"vf_control\":\"xe\","
	"\"sriov_capable\":true,\"total_vfs\":31,\"num_vfs\":2,\"vf_offset\":1,\"vf_stride\":1,\"autoprobe\":false,"
	"\"numa_node\":-1,\"display\":false,\"vram_bytes\":17179869184,\"tiles\":1,"
	"\"can\":{\"vram_quota\":{\"access\":\"writable\",\"why\":null},"
	"\"sched_priority\":{\"access\":\"read-only\",\"why\":\"w\"}},\"control_note\":\"n\","
	"\"custom_provisioning\":true,\"resources\":{\"ggtt_quota\":{\"free\":1,"
	"\"max_quota\":null,\"spare\":0,\"standing\":8,\"grain\":4096}},\"iommu\":true,"
	"\"power\":\"active\",\"survivability\":\"lost\",\"reason\":null,\"vfs\":["
	"{\"index\":1,\"address\":\"0000:03:00.1\",\"driver\":\"xe-vfio-pci\",\"vfio\":true,\"iommu_group\":12,"
	"\"values\":{\"vram_quota\":4294967296,\"exec_quantum_ms\":20,\"preempt_timeout_us\":0,"
	"\"sched_priority\":0}},"
	"{\"index\":2,\"address\":\"0000:03:00.2\",\"driver\":null,\"vfio\":false,\"iommu_group\":-1,"
	"\"values\":{}}]}";

static const char domain_text[] =
	"{\"uuid\":\"6e8bc430-9c3a-11d9-9669-0800200c9a66\",\"name\":\"vm1\",\"state\":\"running\","
	"\"persistent\":true,\"id\":7,\"agent\":\"connected\",\"memory_bytes\":1024,\"free_ports\":-1,\"saved\":true,\"hostdevs_unknown\":true,\"guest_root\":\"\","
	"\"hostdevs\":[{\"address\":\"0000:03:00.1\",\"alias\":\"ua-gpuvf-1\",\"live\":true,"
	"\"config\":false},{\"address\":\"0000:04:00.1\",\"alias\":null,\"live\":false,"
	"\"config\":true}]}";

static json_t *parse(const char *text)
{
	json_t *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), &json, NULL), 0);
	return json;
}

static void assert_gpu_text(const struct gpu_facts *f, const char *text)
{
	_cleanup_json_ json_t *json = gpu_facts_to_json(f);
	_cleanup_free_ char *got = NULL;

	assert_non_null(json);
	got = json_text(json);
	assert_string_equal(got, text);
}

static void test_gpu_round_trip(void **state)
{
	_cleanup_json_ json_t *json = parse(gpu_text);
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL;
	_cleanup_(gpu_facts_freep) struct gpu_facts *copy = NULL;

	assert_int_equal(gpu_facts_from_json(json, &f), 0);
	assert_string_equal(f->model, "Flex 170");
	assert_int_equal(f->n_vfs, 2);
	assert_true(f->vfs[0].values[VF_ATTR_PREEMPT_TIMEOUT].known);
	assert_int_equal(f->vfs[0].values[VF_ATTR_PREEMPT_TIMEOUT].value, 0);
	assert_false(f->vfs[1].values[VF_ATTR_VRAM].known);
	assert_false(f->resources[VF_ATTR_VRAM].free.known);
	assert_gpu_text(f, gpu_text);

	copy = gpu_facts_copy(f);
	assert_non_null(copy);
	f = gpu_facts_free(f);
	assert_gpu_text(copy, gpu_text);
}

static void test_domain_round_trip(void **state)
{
	_cleanup_json_ json_t *json = parse(domain_text);
	_cleanup_(domain_facts_freep) struct domain_facts *f = NULL;
	_cleanup_(domain_facts_freep) struct domain_facts *copy = NULL;
	_cleanup_json_ json_t *back = NULL;
	_cleanup_free_ char *text = NULL;

	assert_int_equal(domain_facts_from_json(json, &f), 0);
	assert_string_equal(f->hostdevs[0].alias, "ua-gpuvf-1");
	assert_null(f->hostdevs[1].alias);
	copy = domain_facts_copy(f);
	assert_non_null(copy);
	f = domain_facts_free(f);
	back = domain_facts_to_json(copy);
	text = json_text(back);
	assert_string_equal(text, domain_text);
}

/* Each change to a good text that must be refused: member and its bad value; NULL = left out. */
static const struct {
	const char *member;
	const char *value;
} gpu_faults[] = {
	{ "address", NULL },
	{ "address", "\"gpu0\"" },
	{ "device_id", "65536" },
	{ "device_id", "\"56c0\"" },
	{ "vf_control", "\"magic\"" },
	{ "total_vfs", "-1" },
	{ "num_vfs", "3" }, /* but two VFs are listed */
	{ "vfs", "null" },
	{ "vfs", "[7,8]" },
	{ "vfs", "[{\"index\":2,\"address\":\"0000:03:00.2\"},"
		 "{\"index\":1,\"address\":\"0000:03:00.1\"}]" },
	{ "vfs", "[{\"index\":1,\"address\":\"0000:03:00.1\"},{\"index\":2}]" },
	{ "colour", "1" },
}, domain_faults[] = {
	{ "uuid", "\"short\"" },
	{ "name", NULL },
	{ "name", "\"\"" },
	{ "state", "\"asleep\"" },
	{ "agent", "\"asleep\"" },
	{ "hostdevs", "[{\"alias\":null}]" },
	{ "hostdevs", "[{\"address\":\"0000:03:00.9\"}]" },
	{ "hostdevs", "{}" },
};

static json_t *with_fault(const char *text, const char *member, const char *value)
{
	json_t *json = parse(text);

	if (value)
		assert_int_equal(json_object_set_new(json, member, parse(value)), 0);
	else
		assert_int_equal(json_object_del(json, member), 0);
	return json;
}

static void test_gpu_refusals(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(gpu_faults); i++) {
		_cleanup_json_ json_t *json =
			with_fault(gpu_text, gpu_faults[i].member, gpu_faults[i].value);
		struct gpu_facts *f = NULL;

		assert_int_equal(gpu_facts_from_json(json, &f), -EINVAL);
		assert_null(f);
	}
}

static void test_domain_refusals(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(domain_faults); i++) {
		_cleanup_json_ json_t *json =
			with_fault(domain_text, domain_faults[i].member, domain_faults[i].value);
		struct domain_facts *f = NULL;

		assert_int_equal(domain_facts_from_json(json, &f), -EINVAL);
		assert_null(f);
	}
}

/* Also those that are not there now; the last ones may lie on the next bus. */
static void test_addresses_of_vfs(void **state)
{
	static const struct {
		const char *address;
		unsigned offset, stride, total;
		bool may;
	} cases[] = {
		{ "0000:03:00.0", 1, 1, 7, false }, /* the PF */
		{ "0000:03:00.1", 1, 1, 7, true },
		{ "0000:03:00.7", 1, 1, 7, true },
		{ "0000:03:01.0", 1, 1, 7, false },
		{ "0000:03:01.0", 1, 1, 8, true },
		{ "0001:03:00.1", 1, 1, 7, false },
		{ "0000:02:00.1", 1, 1, 7, false },
		{ "0000:03:00.3", 1, 2, 7, true },
		{ "0000:03:00.2", 1, 2, 7, false },
		{ "0000:04:00.0", 256, 1, 7, true },
		{ "0000:03:00.2", 2, 0, 7, true },
		{ "0000:03:00.3", 2, 0, 7, false },
		{ "0000:03:00.1", 0, 0, 7, false }, /* the kernel does not tell */
		{ "0000:03:00.1", 1, 1, 0, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct gpu_facts f = { .address = { 0, 3, 0, 0 }, .vf_offset = cases[i].offset,
				       .vf_stride = cases[i].stride, .total_vfs = cases[i].total };
		struct pci_address address;

		assert_int_equal(pci_address_parse(cases[i].address, &address), 0);
		if (gpu_may_have_vf(&f, &address) != cases[i].may)
			fail_msg("case %zu: %s", i, cases[i].address);
	}
}

static void test_names(void **state)
{
	int i;

	for (i = 0; i < VF_CONTROL_MAX; i++)
		assert_int_equal(vf_control_from_string(vf_control_to_string(i)), i);
	assert_int_equal(vf_control_from_string("XE"), -EINVAL);
	assert_null(vf_control_to_string(VF_CONTROL_MAX));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpu_round_trip),	cmocka_unit_test(test_domain_round_trip),
		cmocka_unit_test(test_gpu_refusals),	cmocka_unit_test(test_domain_refusals),
		cmocka_unit_test(test_addresses_of_vfs),	cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
