/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages, error objects, and every malformed request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/jsonrpc.h"

static json_t *parse(const char *text)
{
	json_t *value = NULL;

	assert_int_equal(json_parse(text, strlen(text), &value, NULL), 0);
	return value;
}

static const struct {
	const char *text;
	enum rpc_code code;
	const char *field;
	bool has_id;
} malformed[] = {
	{ "[]", RPC_INVALID_REQUEST, NULL, false },
	{ "1", RPC_INVALID_REQUEST, NULL, false },
	{ "null", RPC_INVALID_REQUEST, NULL, false },
	{ "{}", RPC_INVALID_REQUEST, "jsonrpc", false },
	{ "{\"id\":1}", RPC_INVALID_REQUEST, "jsonrpc", true },
	{ "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"m\"}", RPC_INVALID_REQUEST, "jsonrpc", true },
	{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"m\"}", RPC_INVALID_REQUEST, "jsonrpc", true },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1}", RPC_INVALID_REQUEST, "method", true },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", RPC_INVALID_REQUEST, "method", true },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\"}", RPC_INVALID_REQUEST, "method", true },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":null}", RPC_INVALID_REQUEST, "method", true },
	{ "{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":\"m\"}", RPC_INVALID_REQUEST, "id", false },
	{ "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"m\"}", RPC_INVALID_REQUEST, "id", false },
	{ "{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"m\"}", RPC_INVALID_REQUEST, "id", false },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"param\":{}}", RPC_INVALID_REQUEST, "param",
	  true },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"result\":1}", RPC_INVALID_REQUEST, "result",
	  true },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":[]}", RPC_INVALID_PARAMS, "params",
	  true },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":1}", RPC_INVALID_PARAMS, "params",
	  true },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":null}", RPC_INVALID_PARAMS,
	  "params", true },
};

static void test_malformed(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(malformed); i++) {
		_cleanup_json_ json_t *message = parse(malformed[i].text);
		_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
		struct rpc_call call;

		assert_int_equal(rpc_call_parse(message, &call, &error), -ECANCELED);
		assert_int_equal(error.code, malformed[i].code);
		assert_non_null(error.message);
		assert_true(streq_ptr(error.field, malformed[i].field));
		assert_int_equal(call.id != NULL, malformed[i].has_id);
	}
}

static void accepted(const char *text, bool has_id, bool has_params)
{
	_cleanup_json_ json_t *message = parse(text);
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	struct rpc_call call;

	assert_int_equal(rpc_call_parse(message, &call, &error), 0);
	assert_int_equal(error.code, 0);
	assert_string_equal(call.method, "m");
	assert_int_equal(call.id != NULL, has_id);
	assert_int_equal(call.params != NULL, has_params);
}

static void test_accepted(void **state)
{
	accepted("{\"jsonrpc\":\"2.0\",\"method\":\"m\"}", false, false);
	accepted("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":null}", true, false);
	accepted("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":\"x\",\"params\":{}}", true, true);
	accepted("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":1.5}", true, false);
}

/* Takes value. */
static void writes(json_t *value, const char *expected)
{
	_cleanup_free_ char *text = json_text(value);

	assert_non_null(value);
	assert_string_equal(text, expected);
	json_decref(value);
}

static void test_messages(void **state)
{
	_cleanup_json_ json_t *id = json_integer(7);

	writes(rpc_request(id, "m", json_object()),
	       "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"m\",\"params\":{}}");
	writes(rpc_request(id, "m", NULL), "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"m\"}");
	writes(rpc_response(id, json_null()), "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":null}");
	writes(rpc_response(NULL, json_true()), "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":true}");
	writes(rpc_notification("event", json_object()),
	       "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{}}");
	assert_null(rpc_response(id, NULL));
}

static void test_error_object(void **state)
{
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 }, back = { 0 };
	_cleanup_json_ json_t *json = NULL;

	assert_int_equal(rpc_error_set(&error, RPC_CONFLICT, "%s is held", "gpu0/vf1"), -ECANCELED);
	assert_int_equal(rpc_error_set(&error, RPC_TIMEOUT, "later"), -ECANCELED);
	assert_int_equal(rpc_error_detail(&error, "held", "vf", "release it"), -ECANCELED);
	assert_int_equal(rpc_error_detail(&error, NULL, NULL, NULL), -ECANCELED);
	error.errnum = 16;
	error.holders = json_pack("[s]", "vm/a");

	json = rpc_error_to_json(&error);
	writes(json_incref(json),
	       "{\"code\":-32003,\"message\":\"gpu0/vf1 is held\",\"data\":{\"reason\":\"held\","
	       "\"field\":\"vf\",\"hint\":\"release it\",\"errno\":16,\"holders\":[\"vm/a\"]}}");
	writes(rpc_response_error(NULL, &(struct rpc_error){ .code = RPC_TIMEOUT }),
	       "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32008,\"message\":\"timeout\","
	       "\"data\":{\"reason\":\"timeout\"}}}");

	assert_int_equal(rpc_error_from_json(json, &back), 0);
	assert_int_equal(back.code, RPC_CONFLICT);
	assert_string_equal(back.message, "gpu0/vf1 is held");
	assert_string_equal(back.reason, "held");
	assert_int_equal(back.errnum, 16);
	assert_int_equal(json_array_size(back.holders), 1);
}

static void test_error_from_garbage(void **state)
{
	static const char *const bad[] = {
		"null",
		"{}",
		"{\"code\":-1}",
		"{\"message\":\"m\"}",
		"{\"code\":0,\"message\":\"m\"}",
		"{\"code\":\"1\",\"message\":\"m\"}",
		"{\"code\":99999999999,\"message\":\"m\"}",
		"{\"code\":1,\"message\":[]}",
	};
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	_cleanup_json_ json_t *odd = parse("{\"code\":5,\"message\":\"m\",\"data\":[1]}");
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_json_ json_t *json = parse(bad[i]);

		assert_int_equal(rpc_error_from_json(json, &error), -EINVAL);
	}
	assert_int_equal(rpc_error_from_json(odd, &error), 0); /* data of another kind: no details */
	assert_null(error.reason);
}

static void test_move(void **state)
{
	_cleanup_(rpc_error_done) struct rpc_error a = { 0 }, b = { 0 };

	(void)rpc_error_set(&a, RPC_LIMIT, "a");
	(void)rpc_error_set(&b, RPC_WEDGED, "b");
	rpc_error_move(&a, &b);
	assert_int_equal(a.code, RPC_WEDGED);
	assert_string_equal(a.message, "b");
	assert_int_equal(b.code, 0);
	assert_null(b.message);
	rpc_error_move(&a, &a);
	assert_string_equal(a.message, "b");
}

static void test_codes(void **state)
{
	static const struct {
		enum rpc_code code;
		int exit;
	} rows[] = {
		{ RPC_HOST_ERROR, 1 }, { RPC_WEDGED, 1 },	  { RPC_INVALID_PARAMS, 2 },
		{ RPC_NOT_PERMITTED, 4 }, { RPC_NOT_FOUND, 5 },	  { RPC_CONFLICT, 6 },
		{ RPC_TIMEOUT, 7 },	  { RPC_INVALID_DOCUMENT, 8 }, { RPC_NO_FIT, 9 },
		{ RPC_LIMIT, 9 },	  { RPC_UNSUPPORTED, 10 }, { RPC_DEGRADED, 1 },
		{ RPC_INTERNAL_ERROR, 1 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(rpc_code_to_exit(rows[i].code), rows[i].exit);
	assert_int_equal(rpc_code_to_exit((enum rpc_code)12345), 1);
	assert_string_equal(rpc_code_to_string(RPC_NO_FIT), "no_fit");
	assert_string_equal(rpc_code_to_string((enum rpc_code)12345), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_malformed),    cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_messages),     cmocka_unit_test(test_error_object),
		cmocka_unit_test(test_error_from_garbage), cmocka_unit_test(test_move),
		cmocka_unit_test(test_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
