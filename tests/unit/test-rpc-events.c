/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Subscriptions: order, filters, resuming, who sees what, and a client that reads slowly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "rpc/event-stream.h"
#include "rpc/methods.h"
#include "tests/support/rpc-bench.h"

static struct bench bench;
static struct bench_client client;

static int start(void **state)
{
	bench_start(&bench, NULL, rpc_methods);
	bench_connect(&bench, &client);
	return 0;
}

static int stop(void **state)
{
	bench_disconnect(&client);
	assert_int_equal(bench.manager.n_subscribers, 0);
	bench_stop(&bench);
	return 0;
}

#define SUBSCRIBE(params)                                                                          \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"event.subscribe\",\"params\":" params "}"

static void subscribe(const char *line, const char *result)
{
	bench_send(&client, line);
	bench_expect_result(&client, "1", result);
}

/* The next message must be this event. */
static void expect_event(uint64_t seq, const char *type)
{
	json_t *message = bench_receive(&client);
	const json_t *params = json_object_get(message, "params");

	assert_string_equal(json_get_string(message, "method"), "event");
	assert_null(json_object_get(message, "id"));
	assert_string_equal(json_get_string(params, "type"), type);
	assert_int_equal(json_get_uint(params, "seq", 0), seq);
	json_decref(message);
}

static void expect_lagged(uint64_t from, uint64_t to)
{
	json_t *message = bench_receive(&client);
	const json_t *params = json_object_get(message, "params");

	assert_string_equal(json_get_string(params, "type"), "lagged");
	assert_int_equal(json_get_uint(params, "from", 0), from);
	assert_int_equal(json_get_uint(params, "to", 0), to);
	json_decref(message);
}

static void test_from_now_on(void **state)
{
	fake_manager_emit(&bench.manager, "gpu.changed", "gpu0");
	subscribe(SUBSCRIBE("{}"), "{\"next\":2}");
	fake_manager_emit(&bench.manager, "vf.changed", "gpu0/vf1");
	fake_manager_emit(&bench.manager, "job.state", "1");
	expect_event(2, "vf.changed");
	expect_event(3, "job.state");
	bench_expect_silence(&client);
}

static void test_resume(void **state)
{
	int i;

	for (i = 0; i < 5; i++)
		fake_manager_emit(&bench.manager, "job.state", "1");
	subscribe(SUBSCRIBE("{\"since\":4}"), "{\"next\":4}");
	expect_event(4, "job.state");
	expect_event(5, "job.state");
	fake_manager_emit(&bench.manager, "job.state", "1");
	expect_event(6, "job.state");
	bench_expect_silence(&client);
}

static void test_resume_what_is_gone(void **state)
{
	uint64_t i;

	for (i = 0; i < 100; i++)
		fake_manager_emit(&bench.manager, "job.state", "1");
	subscribe(SUBSCRIBE("{\"since\":1}"), "{\"next\":1}");
	expect_lagged(1, 36);
	for (i = 37; i <= 100; i++)
		expect_event(i, "job.state");
	bench_expect_silence(&client);
}

/* The first number is 1: who asks from 0 has missed nothing. */
static void test_from_the_first(void **state)
{
	fake_manager_emit(&bench.manager, "job.state", "1");
	subscribe(SUBSCRIBE("{\"since\":0}"), "{\"next\":1}");
	expect_event(1, "job.state");
	bench_expect_silence(&client);
}

/* A number whose commit failed is missing for everybody: nothing was lost. */
static void test_gap(void **state)
{
	fake_manager_emit(&bench.manager, "job.state", "1");
	bench.manager.next_seq += 3;
	bench.manager.n_kept += 3;
	fake_manager_emit(&bench.manager, "job.state", "1");
	subscribe(SUBSCRIBE("{\"since\":1}"), "{\"next\":1}");
	expect_event(1, "job.state");
	expect_event(5, "job.state");
	bench.manager.next_seq += 2;
	fake_manager_emit(&bench.manager, "job.state", "1");
	expect_event(8, "job.state");
	bench_expect_silence(&client);
}

/* The client remembers numbers of a state that is gone. */
static void test_resume_from_the_future(void **state)
{
	subscribe(SUBSCRIBE("{\"since\":5000}"), "{\"next\":1}");
	fake_manager_emit(&bench.manager, "job.state", "1");
	expect_event(1, "job.state");
}

static void test_types(void **state)
{
	subscribe(SUBSCRIBE("{\"types\":[\"job.state\",\"lease.changed\"]}"), "{\"next\":1}");
	fake_manager_emit(&bench.manager, "gpu.changed", "gpu0");
	fake_manager_emit(&bench.manager, "lease.changed", "gpu0/vf1");
	fake_manager_emit(&bench.manager, "vm.changed", "a");
	fake_manager_emit(&bench.manager, "job.state", "1");
	expect_event(2, "lease.changed");
	expect_event(4, "job.state");
	bench_expect_silence(&client);
}

static void test_refusals(void **state)
{
	bench_send(&client, SUBSCRIBE("{\"types\":[\"job.sate\"]}"));
	bench_expect_error(&client, "1", RPC_INVALID_PARAMS, "no event type \"job.sate\"", "types");
	bench_send(&client, SUBSCRIBE("{\"since\":-1}"));
	bench_expect_error(&client, "1", RPC_INVALID_PARAMS, "since", "since");
	assert_int_equal(bench.manager.n_subscribers, 0);
	bench.manager.role = ROLE_NONE;
	bench_send(&client, SUBSCRIBE("{}"));
	bench_expect_error(&client, "1", RPC_NOT_PERMITTED, "event.subscribe", NULL);
}

static void test_what_others_own(void **state)
{
	bench.manager.role = ROLE_USER;
	bench.manager.owned = true;
	bench.manager.owner = getuid() + 1;
	subscribe(SUBSCRIBE("{}"), "{\"next\":1}");
	fake_manager_emit(&bench.manager, "job.output", "1");
	bench.manager.owner = getuid();
	fake_manager_emit(&bench.manager, "job.output", "2");
	expect_event(2, "job.output");
	bench_expect_silence(&client);
}

static void test_audit_is_for_operators(void **state)
{
	bench.manager.role = ROLE_USER;
	subscribe(SUBSCRIBE("{}"), "{\"next\":1}");
	fake_manager_emit(&bench.manager, "audit", "uid 0");
	bench_expect_silence(&client);
	/* A new policy counts at once. */
	bench.manager.role = ROLE_OPERATOR;
	fake_manager_emit(&bench.manager, "policy.loaded", "abc");
	fake_manager_emit(&bench.manager, "audit", "uid 0");
	expect_event(2, "policy.loaded");
	expect_event(3, "audit");
	bench.manager.role = ROLE_NONE;
	fake_manager_emit(&bench.manager, "policy.loaded", "def");
	fake_manager_emit(&bench.manager, "gpu.changed", "gpu0");
	bench_expect_silence(&client);
}

static void test_unsubscribe(void **state)
{
	subscribe(SUBSCRIBE("{}"), "{\"next\":1}");
	subscribe(SUBSCRIBE("{\"types\":[\"audit\"]}"), "{\"next\":1}");
	assert_int_equal(bench.manager.n_subscribers, 1);
	bench_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"event.unsubscribe\"}");
	bench_expect_result(&client, "2", "{\"changed\":true}");
	assert_int_equal(bench.manager.n_subscribers, 0);
	bench_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"event.unsubscribe\"}");
	bench_expect_result(&client, "3", "{\"changed\":false}");
}

/* Emits until the connection is full and many more have come. */
static uint64_t flood(void)
{
	static char subject[20000];
	uint64_t i;

	memset(subject, 'x', sizeof(subject) - 1);
	for (i = 0; i < 200; i++)
		fake_manager_emit(&bench.manager, "job.output", subject);
	return bench.manager.next_seq - 1;
}

/* What is still kept comes after all; for the rest there is one "lagged", and no number twice. */
static void test_slow_reader(void **state)
{
	uint64_t last, next = 1, n_lagged = 0;

	subscribe(SUBSCRIBE("{}"), "{\"next\":1}");
	last = flood();
	while (next <= last) {
		json_t *message = bench_receive(&client);
		const json_t *params = json_object_get(message, "params");

		if (streq(json_get_string(params, "type"), "lagged")) {
			assert_int_equal(json_get_uint(params, "from", 0), next);
			next = json_get_uint(params, "to", 0) + 1;
			n_lagged++;
		} else {
			assert_int_equal(json_get_uint(params, "seq", 0), next);
			next++;
		}
		json_decref(message);
	}
	assert_int_equal(n_lagged, 1);
	fake_manager_emit(&bench.manager, "job.state", "1");
	expect_event(last + 1, "job.state");
	bench_expect_silence(&client);
}

static void test_slow_reader_leaves(void **state)
{
	subscribe(SUBSCRIBE("{}"), "{\"next\":1}");
	flood();
	bench_disconnect(&client);
	assert_int_equal(bench.manager.n_subscribers, 0);
	flood();
	bench_connect(&bench, &client);
}

static void test_names(void **state)
{
	int i;

	for (i = 0; i < EVENT_TYPE_MAX; i++)
		assert_int_equal(event_type_from_string(event_type_to_string(i)), i);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_from_now_on),
		TEST(test_resume),
		TEST(test_resume_what_is_gone),
		TEST(test_from_the_first),
		TEST(test_gap),
		TEST(test_resume_from_the_future),
		TEST(test_types),
		TEST(test_refusals),
		TEST(test_what_others_own),
		TEST(test_audit_is_for_operators),
		TEST(test_unsubscribe),
		TEST(test_slow_reader),
		TEST(test_slow_reader_leaves),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("rpc-events", tests, NULL, NULL);
}
