/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls and batches: who may call what with which parameters, and what every refusal says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/support/rpc-bench.h"

static struct bench bench;
static struct bench_client client;

static int start(void **state)
{
	bench_start(&bench, NULL, NULL);
	bench_connect(&bench, &client);
	return 0;
}

static int stop(void **state)
{
	bench_disconnect(&client);
	bench_stop(&bench);
	return 0;
}

#define CALL(id, method, params)                                                                   \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":" params "}"

static void expect_result(const char *line, const char *result)
{
	bench_send(&client, line);
	bench_expect_result(&client, "1", result);
}

static void expect_error(const char *line, const char *id, enum rpc_code code, const char *word,
			 const char *field)
{
	bench_send(&client, line);
	bench_expect_error(&client, id, code, word, field);
}

static void test_ids(void **state)
{
	bench_send(&client, CALL("\"x\"", "test.echo", "{\"text\":\"a\"}"));
	bench_expect_result(&client, "\"x\"", "{\"text\":\"a\"}");
	bench_send(&client, CALL("null", "test.echo", "{\"text\":\"a\"}"));
	bench_expect_result(&client, "null", "{\"text\":\"a\"}");
	bench_send(&client, CALL("-7", "test.echo", "{\"text\":\"a\"}"));
	bench_expect_result(&client, "-7", "{\"text\":\"a\"}");
	expect_error(CALL("[1]", "test.echo", "{}"), "null", RPC_INVALID_REQUEST, "id must be",
		     "id");
}

static void test_invalid_requests(void **state)
{
	expect_error("7", "null", RPC_INVALID_REQUEST, "must be an object", NULL);
	expect_error("{}", "null", RPC_INVALID_REQUEST, "jsonrpc", "jsonrpc");
	expect_error("{\"id\":1,\"method\":\"test.echo\"}", "1", RPC_INVALID_REQUEST, "jsonrpc",
		     "jsonrpc");
	expect_error("{\"jsonrpc\":\"2.0\",\"id\":1}", "1", RPC_INVALID_REQUEST, "method",
		     "method");
	expect_error("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", "1", RPC_INVALID_REQUEST,
		     "method", "method");
	expect_error("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.echo\",\"parms\":{}}", "1",
		     RPC_INVALID_REQUEST, "unknown member", "parms");
	expect_error(CALL("1", "test.echo", "[\"a\"]"), "1", RPC_INVALID_PARAMS, "object",
		     "params");
}

static void test_unknown_method(void **state)
{
	json_t *message;

	bench_send(&client, CALL("1", "test.ehco", "{}"));
	message = bench_receive(&client);
	assert_string_equal(
		json_get_string(json_object_get(json_object_get(message, "error"), "data"), "hint"),
		"did you mean \"test.echo\"?");
	json_decref(message);
	expect_error(CALL("1", "no.such.thing", "{}"), "1", RPC_METHOD_NOT_FOUND,
		     "no method \"no.such.thing\"", "method");
}

static void test_invalid_params(void **state)
{
	expect_error(CALL("1", "test.echo", "{}"), "1", RPC_INVALID_PARAMS,
		     "required member \"text\" is missing", "text");
	expect_error(CALL("1", "test.echo", "{\"text\":7}"), "1", RPC_INVALID_PARAMS,
		     "must be a string", "text");
	expect_error(CALL("1", "test.echo", "{\"text\":\"a\",\"txet\":1}"), "1", RPC_INVALID_PARAMS,
		     "unknown member", "txet");
	expect_error(CALL("1", "test.change", "{\"n\":101}"), "1", RPC_INVALID_PARAMS,
		     "between 0 and 100", "n");
	expect_error("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.echo\"}", "1",
		     RPC_INVALID_PARAMS, "missing", "text");
	assert_int_equal(bench.n_changes, 0);
}

static void test_roles(void **state)
{
	static const struct {
		enum role role;
		const char *method;
		bool may;
	} rows[] = {
		{ ROLE_NONE, "test.later", false },	{ ROLE_VIEWER, "test.change", false },
		{ ROLE_USER, "test.change", false },	{ ROLE_OPERATOR, "test.change", true },
		{ ROLE_OPERATOR, "test.admin", false }, { ROLE_ADMIN, "test.admin", true },
	};
	char line[128];
	json_t *message;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		bench.manager.role = rows[i].role;
		snprintf(line, sizeof(line), CALL("1", "%s", "{}"), rows[i].method);
		bench_send(&client, line);
		if (!rows[i].may) {
			bench_expect_error(&client, "1", RPC_NOT_PERMITTED, rows[i].method, NULL);
			continue;
		}
		message = bench_receive(&client);
		assert_non_null(json_object_get(message, "result"));
		json_decref(message);
	}
	assert_int_equal(bench.n_changes, 1);
	assert_int_equal(bench.n_later, 0);
}

/* The words say who, which role it has, and which it needs. */
static void test_refusal_of_a_role(void **state)
{
	bench.manager.role = ROLE_USER;
	expect_error(CALL("1", "test.admin", "{}"), "1", RPC_NOT_PERMITTED,
		     "test.admin needs role admin, user eve has role user", NULL);
	bench.manager.role = ROLE_NONE;
	expect_error(CALL("1", "test.admin", "{}"), "1", RPC_NOT_PERMITTED,
		     "no access rule matches", NULL);
}

/* Mutating calls are told to the audit trail, and those that are refused for want of a right. */
static void test_audit(void **state)
{
	bench.manager.role = ROLE_OPERATOR;
	expect_result(CALL("1", "test.echo", "{\"text\":\"a\"}"), "{\"text\":\"a\"}");
	assert_int_equal(bench.manager.calls_begun, 0);
	bench_send(&client, CALL("1", "test.change", "{}"));
	json_decref(bench_receive(&client));
	assert_int_equal(bench.manager.calls_begun, 1);
	assert_int_equal(bench.manager.calls_ended, 1);
	assert_int_equal(bench.manager.refusals, 0);

	bench.manager.role = ROLE_USER;
	bench_send(&client, CALL("1", "test.change", "{\"vf\":\"gpu0/vf1\"}"));
	bench_expect_error(&client, "1", RPC_NOT_PERMITTED, "test.change", NULL);
	assert_int_equal(bench.manager.refusals, 1);
	assert_string_equal(bench.manager.last_refusal,
			    "test.change gpu0/vf1 1: test.change needs role operator, user eve has role user");
	/* What only looks is none of its business, and a wrong parameter neither. */
	bench.manager.role = ROLE_NONE;
	expect_error(CALL("1", "test.echo", "{\"text\":\"a\"}"), "1", RPC_NOT_PERMITTED, "access", NULL);
	bench.manager.role = ROLE_OPERATOR;
	expect_error(CALL("1", "test.change", "{\"n\":101}"), "1", RPC_INVALID_PARAMS, "between", "n");
	assert_int_equal(bench.manager.refusals, 1);
	/* The manager itself refuses somebody else's thing. */
	expect_error(CALL("1", "test.change", "{\"n\":13}"), "1", RPC_NOT_PERMITTED, "not yours", NULL);
	assert_int_equal(bench.manager.refusals, 2);
	assert_string_equal(bench.manager.last_refusal, "test.change - 1: not yours");
}

static void test_notifications(void **state)
{
	bench_send(&client, "{\"jsonrpc\":\"2.0\",\"method\":\"test.change\",\"params\":{}}");
	assert_int_equal(bench.n_changes, 1);
	bench_send(&client, "{\"jsonrpc\":\"2.0\",\"method\":\"no.such\"}");
	bench_send(&client, "{\"jsonrpc\":\"2.0\",\"method\":\"test.echo\",\"params\":[]}");
	bench_send(&client, "{\"jsonrpc\":\"2.0\",\"method\":\"test.echo\",\"params\":{\"x\":1}}");
	bench_send(&client, "{\"jsonrpc\":\"2.0\",\"method\":\"test.later\"}");
	bench_answer_later(&bench, 0);
	bench.manager.role = ROLE_NONE;
	bench_send(&client, "{\"jsonrpc\":\"2.0\",\"method\":\"test.change\",\"params\":{}}");
	assert_int_equal(bench.n_changes, 1);
	bench_expect_silence(&client);
}

static void test_order_of_completion(void **state)
{
	bench_send(&client, CALL("1", "test.later", "{}"));
	bench_send(&client, CALL("2", "test.later", "{}"));
	expect_result(CALL("1", "test.echo", "{\"text\":\"a\"}"), "{\"text\":\"a\"}");
	bench_answer_later(&bench, 1);
	bench_expect_result(&client, "2", "1");
	bench_answer_later(&bench, 0);
	bench_expect_result(&client, "1", "0");
}

static void test_batch(void **state)
{
	json_t *answers;

	bench_send(&client, "[" CALL("1", "test.echo", "{\"text\":\"a\"}") ","
			    CALL("2", "test.later", "{}") ","
			    "{\"jsonrpc\":\"2.0\",\"method\":\"test.change\"},"
			    "7,"
			    CALL("3", "no.such", "{}") "]");
	bench_expect_silence(&client);
	assert_int_equal(bench.n_changes, 1);
	bench_answer_later(&bench, 0);
	answers = bench_receive(&client);
	assert_true(json_is_array(answers));
	assert_int_equal(json_array_size(answers), 4);
	json_decref(answers);
	bench_expect_silence(&client);
}

static void test_batch_of_notifications(void **state)
{
	bench_send(&client, "[{\"jsonrpc\":\"2.0\",\"method\":\"test.change\"},"
			    "{\"jsonrpc\":\"2.0\",\"method\":\"test.change\"}]");
	bench_expect_silence(&client);
	assert_int_equal(bench.n_changes, 2);
}

static void test_batch_limits(void **state)
{
	char *line = calloc(1, 100 * 64);
	json_t *answers;
	int i;

	expect_error("[]", "null", RPC_INVALID_REQUEST, "empty", NULL);

	strcpy(line, "[");
	for (i = 0; i < RPC_BATCH_MAX; i++) {
		strcat(line, i ? "," : "");
		strcat(line, CALL("1", "test.change", "{}"));
	}
	strcat(line, "]");
	bench_send(&client, line);
	answers = bench_receive(&client);
	assert_int_equal(json_array_size(answers), RPC_BATCH_MAX);
	json_decref(answers);
	assert_int_equal(bench.n_changes, RPC_BATCH_MAX);

	line[strlen(line) - 1] = '\0';
	strcat(line, "," CALL("1", "test.change", "{}") "]");
	expect_error(line, "null", RPC_LIMIT, "65 requests, at most 64", NULL);
	assert_int_equal(bench.n_changes, RPC_BATCH_MAX);
	free(line);
}

static void test_batch_survives_the_client(void **state)
{
	bench_send(&client, "[" CALL("1", "test.later", "{}") "," CALL("2", "test.later", "{}") "]");
	assert_int_equal(bench.n_later, 2);
	bench_disconnect(&client);
	bench_answer_later(&bench, 1);
	bench_answer_later(&bench, 0);
	bench_connect(&bench, &client);
}

static void test_request_id(void **state)
{
	expect_result(CALL("1", "test.change", "{\"n\":3,\"request_id\":\"abc\"}"), "{\"n\":3}");
	assert_string_equal(bench.manager.last_request, "test.change abc {\"n\":3}");
	bench.manager.request_seen = true;
	expect_result(CALL("1", "test.change", "{\"n\":3,\"request_id\":\"abc\"}"), "\"seen\"");
	assert_int_equal(bench.n_changes, 1);

	/* Absent or null: none. */
	expect_result(CALL("1", "test.change", "{\"n\":4,\"request_id\":null}"), "{\"n\":4}");
	assert_int_equal(bench.n_changes, 2);
}

static void test_request_id_refusals(void **state)
{
	char line[512], id[RPC_REQUEST_ID_MAX + 2];

	expect_error(CALL("1", "test.change", "{\"request_id\":7}"), "1", RPC_INVALID_PARAMS,
		     "request_id", "request_id");
	expect_error(CALL("1", "test.change", "{\"request_id\":\"\"}"), "1", RPC_INVALID_PARAMS,
		     "request_id", "request_id");
	expect_error(CALL("1", "test.change", "{\"request_id\":\"a/b\"}"), "1", RPC_INVALID_PARAMS,
		     "request_id", "request_id");
	memset(id, 'x', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	snprintf(line, sizeof(line), CALL("1", "test.change", "{\"request_id\":\"%s\"}"), id);
	expect_error(line, "1", RPC_INVALID_PARAMS, "request_id", "request_id");

	/* A method that changes nothing does not know it. */
	expect_error(CALL("1", "test.echo", "{\"text\":\"a\",\"request_id\":\"abc\"}"), "1",
		     RPC_INVALID_PARAMS, "unknown member", "request_id");
	/* Wrong parameters are refused before the id is remembered. */
	expect_error(CALL("1", "test.change", "{\"n\":101,\"request_id\":\"abc\"}"), "1",
		     RPC_INVALID_PARAMS, "100", "n");
	assert_null(bench.manager.last_request);
}

/* ---- calls that wait for libvirt ---- */

static void test_waits_for_libvirt(void **state)
{
	bench.manager.awaits_hypervisor = true;
	bench_send(&client, CALL("1", "test.needs", "{\"n\":1,\"request_id\":\"abc\"}"));
	bench_send(&client, CALL("2", "test.needs", "{\"n\":2}"));
	bench_expect_silence(&client);
	/* The others do not, nor does a call that is refused anyway. */
	bench_send(&client, CALL("3", "test.change", "{\"n\":3}"));
	bench_expect_result(&client, "3", "{\"n\":3}");
	expect_error(CALL("1", "test.needs", "{\"n\":101}"), "1", RPC_INVALID_PARAMS, "100", "n");
	assert_int_equal(bench.n_changes, 1);
	assert_null(bench.manager.last_request);

	fake_manager_hypervisor_known(&bench.manager);
	bench_expect_result(&client, "1", "{\"n\":1}");
	bench_expect_result(&client, "2", "{\"n\":2}");
	assert_string_equal(bench.manager.last_request, "test.needs abc {\"n\":1}");
	assert_int_equal(bench.manager.calls_begun, 3);
	assert_int_equal(bench.manager.calls_ended, 3);
	expect_result(CALL("1", "test.needs", "{\"n\":4}"), "{\"n\":4}");
}

static void test_role_after_the_wait(void **state)
{
	bench.manager.awaits_hypervisor = true;
	bench_send(&client, CALL("1", "test.needs", "{\"n\":1}"));
	bench_expect_silence(&client);
	bench.manager.role = ROLE_VIEWER;
	fake_manager_hypervisor_known(&bench.manager);
	bench_expect_error(&client, "1", RPC_NOT_PERMITTED, "test.needs", NULL);
	assert_int_equal(bench.n_changes, 0);
	assert_int_equal(bench.manager.refusals, 1);
}

/* Nothing is done for a client that has left, and one that only sends no more gets its answer. */
static void test_client_leaves_while_it_waits(void **state)
{
	bench.manager.awaits_hypervisor = true;
	bench_send(&client, CALL("1", "test.needs", "{\"n\":1}"));
	bench_disconnect(&client);
	bench_connect(&bench, &client);
	bench_send(&client, CALL("2", "test.needs", "{\"n\":2}"));
	bench_half_close(&client);
	bench_run(&bench);
	fake_manager_hypervisor_known(&bench.manager);
	bench_expect_result(&client, "2", "{\"n\":2}");
	assert_int_equal(bench.n_changes, 1);
}

static void test_server_ends_while_a_call_waits(void **state)
{
	bench.manager.awaits_hypervisor = true;
	bench_send(&client, CALL("1", "test.needs", "{\"n\":1,\"request_id\":\"abc\"}"));
	bench_send(&client, "[" CALL("2", "test.needs", "{}") "," CALL("3", "test.later", "{}") "]");
	bench_run(&bench);
	bench_answer_later(&bench, 0);
	assert_int_equal(bench.n_changes, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ids),
		TEST(test_invalid_requests),
		TEST(test_unknown_method),
		TEST(test_invalid_params),
		TEST(test_roles),
		TEST(test_refusal_of_a_role),
		TEST(test_audit),
		TEST(test_notifications),
		TEST(test_order_of_completion),
		TEST(test_batch),
		TEST(test_batch_of_notifications),
		TEST(test_batch_limits),
		TEST(test_batch_survives_the_client),
		TEST(test_request_id),
		TEST(test_request_id_refusals),
		TEST(test_waits_for_libvirt),
		TEST(test_role_after_the_wait),
		TEST(test_client_leaves_while_it_waits),
		TEST(test_server_ends_while_a_call_waits),
	};

	return cmocka_run_group_tests_name("rpc-dispatch", tests, NULL, NULL);
}
