/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The helper's wire form: every op goes there and back, and nothing else is accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/host-ops.h"

static json_t *parse(const char *text)
{
	json_t *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), &json, NULL), 0);
	return json;
}

/* One good text per op. */
static const char *const requests[HOST_OP_MAX] = {
	[HOST_SCAN] = "{\"op\":\"scan\"}",
	[HOST_LINKS] = "{\"op\":\"links\",\"gpu\":\"0000:03:00.0\"}",
	[HOST_READ] = "{\"op\":\"read\",\"gpu\":\"0000:03:00.0\"}",
	[HOST_HOLDERS] = "{\"op\":\"holders\",\"gpu\":\"10000:e1:00.0\"}",
	[HOST_SET_AUTOPROBE] = "{\"op\":\"set-autoprobe\",\"gpu\":\"0000:03:00.0\",\"value\":0}",
	[HOST_SET_NUMVFS] = "{\"op\":\"set-numvfs\",\"gpu\":\"0000:03:00.0\",\"value\":4,"
			    "\"deadline_usec\":2000000}",
	[HOST_SET_VF_ATTR] = "{\"op\":\"set-vf-attr\",\"gpu\":\"0000:03:00.0\",\"vf\":1,"
			     "\"attribute\":\"vram_quota\",\"value\":4294967296,\"tile\":2}",
	[HOST_SET_PF_ATTR] = "{\"op\":\"set-pf-attr\",\"gpu\":\"0000:03:00.0\","
			     "\"attribute\":\"exec_quantum_ms\",\"value\":20}",
	[HOST_SET_BULK_ATTR] = "{\"op\":\"set-bulk-attr\",\"gpu\":\"0000:03:00.0\","
			       "\"attribute\":\"sched_priority\",\"value\":1}",
	[HOST_RESTORE_AUTO] = "{\"op\":\"restore-auto\",\"gpu\":\"0000:03:00.0\"}",
	[HOST_BIND_VFIO] = "{\"op\":\"bind-vfio\",\"gpu\":\"0000:03:00.0\",\"vf\":2}",
	[HOST_UNBIND] = "{\"op\":\"unbind\",\"gpu\":\"0000:03:00.0\",\"vf\":2}",
	[HOST_WAIT_CLOSED] = "{\"op\":\"wait-closed\",\"gpu\":\"0000:03:00.0\",\"vf\":2}",
	[HOST_RESET_VF] = "{\"op\":\"reset-vf\",\"gpu\":\"0000:03:00.0\",\"vf\":2}",
	[HOST_PROBE_VF] = "{\"op\":\"probe-vf\",\"gpu\":\"0000:03:00.0\",\"vf\":31}",
};

static void test_every_request(void **state)
{
	int op;

	for (op = 0; op < HOST_OP_MAX; op++) {
		_cleanup_json_ json_t *json = parse(requests[op]);
		_cleanup_json_ json_t *back = NULL;
		_cleanup_free_ char *text = NULL;
		struct host_request request;

		assert_int_equal(host_request_from_json(json, &request), 0);
		assert_int_equal(request.op, op);
		back = host_request_to_json(&request);
		text = json_text(back);
		assert_string_equal(text, requests[op]);
		assert_true(host_op_deadline(op) > 0);
	}
	assert_int_equal(host_op_deadline(HOST_OP_MAX), 0);
}

static void test_request_refusals(void **state)
{
	static const char *const bad[] = {
		"[]",
		"{}",
		"{\"op\":\"format-disk\"}",
		"{\"op\":\"scan\",\"gpu\":\"0000:03:00.0\"}",
		"{\"op\":\"read\"}",
		"{\"op\":\"read\",\"gpu\":\"../../etc\"}",
		"{\"op\":\"read\",\"gpu\":\"0000:03:00.0\",\"value\":1}",
		"{\"op\":\"read\",\"gpu\":\"0000:03:00.0\",\"vf\":1}",
		"{\"op\":\"set-numvfs\",\"gpu\":\"0000:03:00.0\"}",
		"{\"op\":\"set-numvfs\",\"gpu\":\"0000:03:00.0\",\"value\":65536}",
		"{\"op\":\"set-numvfs\",\"gpu\":\"0000:03:00.0\",\"value\":-1}",
		"{\"op\":\"set-autoprobe\",\"gpu\":\"0000:03:00.0\",\"value\":2}",
		"{\"op\":\"bind-vfio\",\"gpu\":\"0000:03:00.0\"}",
		"{\"op\":\"bind-vfio\",\"gpu\":\"0000:03:00.0\",\"vf\":0}",
		"{\"op\":\"set-vf-attr\",\"gpu\":\"0000:03:00.0\",\"vf\":1,\"value\":1,"
		"\"attribute\":\"../../../driver/unbind\"}",
		"{\"op\":\"set-vf-attr\",\"gpu\":\"0000:03:00.0\",\"vf\":1,\"value\":1}",
		"{\"op\":\"set-pf-attr\",\"gpu\":\"0000:03:00.0\",\"value\":1,"
		"\"attribute\":\"vram_quota\"}",
		"{\"op\":\"set-pf-attr\",\"gpu\":\"0000:03:00.0\",\"value\":1,\"tile\":1,"
		"\"attribute\":\"exec_quantum_ms\"}",
		"{\"op\":\"set-vf-attr\",\"gpu\":\"0000:03:00.0\",\"vf\":1,\"value\":1,\"tile\":1,"
		"\"attribute\":\"exec_quantum_ms\"}",
		"{\"op\":\"set-bulk-attr\",\"gpu\":\"0000:03:00.0\",\"value\":3,"
		"\"attribute\":\"sched_priority\"}",
		"{\"op\":\"scan\",\"shell\":\"true\"}",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_json_ json_t *json = parse(bad[i]);
		struct host_request request = { .value = 4711 };

		assert_int_equal(host_request_from_json(json, &request), -EINVAL);
		assert_int_equal(request.value, 4711);
	}
}

static void test_holders_of_one_vf(void **state)
{
	_cleanup_json_ json_t *json = parse("{\"op\":\"holders\",\"gpu\":\"10000:e1:00.0\",\"vf\":3}");
	_cleanup_json_ json_t *back = NULL;
	struct host_request request = { 0 };

	assert_int_equal(host_request_from_json(json, &request), 0);
	assert_int_equal(request.vf, 3);
	back = host_request_to_json(&request);
	assert_true(json_equal(back, json));
}

static const char reply_text[] =
	"{\"r\":-16,\"attribute\":\"sriov_numvfs\",\"message\":\"held\",\"value\":4,\"driver\":\"xe-vfio-pci\",\"facts\":["
	"{\"address\":\"0000:03:00.0\",\"device_id\":22208,\"class_code\":229376,"
	"\"model\":null,\"serial\":null,\"driver\":null,\"vfio\":false,\"vf_control\":\"generic\","
	"\"sriov_capable\":true,\"total_vfs\":7,\"num_vfs\":0,\"vf_offset\":0,\"vf_stride\":0,\"autoprobe\":true,"
	"\"numa_node\":0,\"display\":true,\"vram_bytes\":null,\"tiles\":1,"
	"\"can\":{},\"control_note\":null,\"custom_provisioning\":false,\"resources\":{},"
	"\"iommu\":false,\"power\":null,\"survivability\":null,\"reason\":\"no driver\","
	"\"vfs\":[]}],"
	"\"holders\":[{\"vf\":1,\"pid\":4711,\"started\":815,\"uid\":null,\"command\":\"qemu\",\"path\":\"/dev/vfio/12\"}]}";

static void test_reply_round_trip(void **state)
{
	_cleanup_json_ json_t *json = parse(reply_text);
	_cleanup_json_ json_t *back = NULL;
	_cleanup_(host_reply_done) struct host_reply reply = { 0 };
	_cleanup_free_ char *text = NULL;

	assert_int_equal(host_reply_from_json(json, &reply), 0);
	assert_int_equal(reply.r, -EBUSY);
	assert_int_equal(reply.n_facts, 1);
	assert_int_equal(reply.n_holders, 1);
	back = host_reply_to_json(&reply);
	text = json_text(back);
	assert_string_equal(text, reply_text);
}

static void test_reply_refusals(void **state)
{
	static const char *const bad[] = {
		"7",
		"{}",
		"{\"r\":1}",
		"{\"r\":-5000}",
		"{\"r\":0,\"value\":-1}",
		"{\"r\":0,\"facts\":[{}]}",
		"{\"r\":0,\"facts\":{}}",
		"{\"r\":0,\"holders\":[{\"vf\":1}]}",
		"{\"r\":0,\"holders\":[{\"vf\":1,\"pid\":5,\"path\":\"a\"},{\"vf\":0,\"pid\":5}]}",
		"{\"r\":0,\"holders\":[{\"vf\":1,\"pid\":5,\"uid\":-1}]}",
		"{\"r\":0,\"extra\":1}",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_json_ json_t *json = parse(bad[i]);
		struct host_reply reply = { 0 };

		assert_int_equal(host_reply_from_json(json, &reply), -EINVAL);
		assert_null(reply.facts);
		assert_null(reply.holders);
	}
}

static void test_names(void **state)
{
	int op;

	for (op = 0; op < HOST_OP_MAX; op++)
		assert_int_equal(host_op_from_string(host_op_to_string(op)), op);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_request),	 cmocka_unit_test(test_request_refusals),
		cmocka_unit_test(test_holders_of_one_vf),
		cmocka_unit_test(test_reply_round_trip), cmocka_unit_test(test_reply_refusals),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
