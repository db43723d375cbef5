/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The wire form of hypervisor requests and replies goes both ways and refuses what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "hypervisor/hypervisor-ops.h"

#define UUID "11111111-2222-3333-4444-555555555555"

static void test_names(void **state)
{
	for (int i = 0; i < HV_OP_MAX; i++) {
		assert_int_equal(hv_op_from_string(hv_op_to_string(i)), i);
		assert_true(hv_op_deadline(i) > 0);
	}
	for (int i = 0; i < HV_FAILURE_MAX; i++)
		assert_int_equal(hv_failure_from_string(hv_failure_to_string(i)), i);
	for (int i = 0; i < HV_EVENT_MAX; i++)
		assert_int_equal(hv_event_type_from_string(hv_event_type_to_string(i)), i);
	assert_int_equal(hv_op_deadline(HV_OP_MAX), 0);
	assert_int_equal(hv_pinning_deadline(HV_ATTACH, 0), hv_op_deadline(HV_ATTACH));
	assert_int_equal(hv_pinning_deadline(HV_ATTACH, 512ULL << 30), hv_op_deadline(HV_ATTACH) + 512 * 1000000ULL);
	assert_int_equal(hv_pinning_deadline(HV_START, 512ULL << 30), hv_op_deadline(HV_START) + 512 * 1000000ULL);
}

static void test_request(void **state)
{
	_cleanup_json_ json_t *command = json_pack("{s:s}", "execute", "guest-ping");
	const struct hv_request requests[] = {
		{ .op = HV_LIST },
		{ .op = HV_GET, .uuid = UUID, .barrier = true },
		{ .op = HV_ATTACH,
		  .uuid = UUID,
		  .alias = "ua-gpuvf-1",
		  .live = true,
		  .managed = true,
		  .address = { .bus = 3, .function = 1 },
		  .deadline_usec = 5 },
		{ .op = HV_DETACH, .uuid = UUID, .config = true, .address = { .bus = 3 } },
		{ .op = HV_AGENT, .uuid = UUID, .command = command },
	};

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		const struct hv_request *a = &requests[i];
		_cleanup_json_ json_t *json = hv_request_to_json(a);
		struct hv_request b;

		assert_int_equal(hv_request_from_json(json, &b), 0);
		assert_int_equal(a->op, b.op);
		assert_true(streq_ptr(a->uuid, b.uuid));
		assert_true(streq_ptr(a->alias, b.alias));
		assert_true(pci_address_equal(&a->address, &b.address));
		assert_true(a->live == b.live && a->config == b.config && a->barrier == b.barrier &&
			    a->managed == b.managed);
		assert_int_equal(a->deadline_usec, b.deadline_usec);
		assert_true(!a->command || json_equal(a->command, b.command));
	}
}

static void test_request_refusals(void **state)
{
	static const char *const bad[] = {
		"[]",
		"{}",
		"{\"op\": \"reboot\"}",
		"{\"op\": 1}",
		"{\"op\": \"get\"}",
		"{\"op\": \"get\", \"uuid\": \"short\"}",
		"{\"op\": \"attach\", \"uuid\": \"" UUID "\", \"live\": true}",
		"{\"op\": \"attach\", \"uuid\": \"" UUID "\", \"live\": true, \"address\": \"x\"}",
		"{\"op\": \"attach\", \"uuid\": \"" UUID "\", \"address\": \"0000:03:00.1\"}",
		"{\"op\": \"agent\", \"uuid\": \"" UUID "\"}",
		"{\"op\": \"agent\", \"uuid\": \"" UUID "\", \"command\": \"guest-ping\"}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_json_ json_t *json = json_loads(bad[i], 0, NULL);
		struct hv_request request;

		assert_non_null(json);
		assert_int_equal(hv_request_from_json(json, &request), -EINVAL);
	}
}

static void test_reply(void **state)
{
	_cleanup_(hv_reply_done) struct hv_reply a = { .failure = HV_NO_PORT }, b = { 0 };
	_cleanup_json_ json_t *json = NULL;

	a.message = strdup("no more ports");
	a.result = json_pack("{s:i}", "pid", 7);
	a.domains = calloc(1, sizeof(*a.domains));
	a.domains[0] = calloc(1, sizeof(**a.domains));
	a.n_domains = 1;
	strcpy(a.domains[0]->uuid, UUID);
	a.domains[0]->name = strdup("trainer-1");
	a.domains[0]->free_ports = 2;

	json = hv_reply_to_json(&a);
	assert_non_null(json);
	assert_int_equal(hv_reply_from_json(json, &b), 0);
	assert_int_equal(b.failure, HV_NO_PORT);
	assert_string_equal(b.message, "no more ports");
	assert_true(json_equal(a.result, b.result));
	assert_int_equal(b.n_domains, 1);
	assert_string_equal(b.domains[0]->name, "trainer-1");
	assert_int_equal(b.domains[0]->free_ports, 2);
}

static void test_reply_refusals(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"failure\": \"fine\"}",
		"{\"failure\": \"ok\", \"domains\": {}}",
		"{\"failure\": \"ok\", \"domains\": [{}]}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_json_ json_t *json = json_loads(bad[i], 0, NULL);
		struct hv_reply reply;

		assert_int_equal(hv_reply_from_json(json, &reply), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_request_refusals),
		cmocka_unit_test(test_reply),
		cmocka_unit_test(test_reply_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
