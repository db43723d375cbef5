/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real method tables: complete rows, right defaults, and a description that matches them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "rpc/discover.h"
#include "rpc/methods.h"
#include "rpc/result-schema.h"
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
	bench_stop(&bench);
	return 0;
}

static void test_rows_are_complete(void **state)
{
	const struct rpc_method *row, *before;
	json_t *schema;
	size_t i;

	for (i = 0; rpc_methods[i]; i++) {
		before = NULL;
		for (row = rpc_methods[i]; row->name; row++) {
			assert_true(!before || strcmp(before->name, row->name) < 0);
			assert_true(row->role > ROLE_NONE);
			assert_non_null(row->fields);
			assert_true(!row->handler != !row->session_handler);
			assert_non_null(row->summary);
			assert_non_null(row->result);
			schema = result_schema(row->result);
			if (!schema)
				fail_msg("%s: no result schema \"%s\"", row->name, row->result);
			json_decref(schema);
			before = row;
		}
	}
}

/* Required members with values of the right type, from the fields themselves. */
static json_t *sample_params(const struct rpc_method *row)
{
	json_t *params = json_object();
	const struct json_field *f;

	for (f = row->fields; f->name; f++) {
		if (!f->required)
			continue;
		switch (f->kind) {
		case JSON_FIELD_STRING:
			json_object_set_new(params, f->name, json_string("gpu0"));
			break;
		case JSON_FIELD_ID:
			json_object_set_new(params, f->name, json_integer(12));
			break;
		case JSON_FIELD_DURATION:
			json_object_set_new(params, f->name, json_integer(60));
			break;
		case JSON_FIELD_OBJECT:
			json_object_set_new(params, f->name, json_object());
			break;
		case JSON_FIELD_ARRAY:
			json_object_set_new(params, f->name, json_pack("[{}]"));
			break;
		default:
			fail_msg("%s: no sample for %s", row->name, f->name);
		}
	}
	return params;
}

static void check_reaches_its_function(const struct rpc_method *row)
{
	char expected[64], *dot, *line;
	json_t *id = json_integer(1), *call, *answer;

	snprintf(expected, sizeof(expected), "%s", row->name);
	dot = strchr(expected, '.');
	*dot = '_';
	call = rpc_request(id, row->name, sample_params(row));
	line = json_text(call);
	bench_send(&client, line);
	answer = bench_receive(&client);
	if (!json_object_get(answer, "result"))
		fail_msg("%s", json_text(answer));
	assert_string_equal(json_get_string(json_object_get(answer, "result"), "method"), expected);
	assert_string_equal(bench.manager.last_method, expected);
	json_decref(answer);
	json_decref(call);
	json_decref(id);
	free(line);
}

static void test_every_method_reaches_its_function(void **state)
{
	const struct rpc_method *row;
	size_t i;

	for (i = 0; rpc_methods[i]; i++)
		for (row = rpc_methods[i]; row->name; row++)
			if (row->handler)
				check_reaches_its_function(row);
}

static void call(const char *method, const char *params)
{
	_cleanup_free_ char *line =
		xasprintf("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}", method,
			  params);

	bench_send(&client, line);
}

static void expect_ok(const char *method, const char *params)
{
	json_t *answer;

	call(method, params);
	answer = bench_receive(&client);
	assert_non_null(json_object_get(answer, "result"));
	json_decref(answer);
}

static void test_defaults_and_units(void **state)
{
	expect_ok("gpu.list", "{}");
	assert_int_equal(bench.manager.last_state, -1);
	expect_ok("gpu.list", "{\"state\":\"wedged\"}");
	assert_int_equal(bench.manager.last_state, GPU_WEDGED);

	expect_ok("gpu.apply", "{\"gpu\":\"gpu0\"}");
	assert_int_equal(bench.manager.last_wait_usec, 0);
	expect_ok("gpu.apply", "{\"gpu\":\"gpu0\",\"wait_seconds\":3}");
	assert_int_equal(bench.manager.last_wait_usec, 3 * USEC_PER_SEC);
	expect_ok("gpu.apply", "{\"gpu\":\"gpu0\",\"wait_seconds\":\"2m\"}");
	assert_int_equal(bench.manager.last_wait_usec, 120 * USEC_PER_SEC);

	expect_ok("vf.release", "{\"vf\":\"gpu0/vf1\"}");
	assert_false(bench.manager.last_epoch.known);
	expect_ok("vf.release", "{\"vf\":\"gpu0/vf1\",\"if_epoch\":0}");
	assert_true(bench.manager.last_epoch.known);
	assert_int_equal(bench.manager.last_epoch.value, 0);

	/* A job's id, as it is shown, or as text. */
	expect_ok("job.get", "{\"id\":12}");
	expect_ok("job.get", "{\"id\":\"12\"}");
}

static void test_refusals_name_the_field(void **state)
{
	static const struct {
		const char *method, *params, *field;
	} rows[] = {
		{ "gpu.list", "{\"limit\":0}", "limit" },
		{ "gpu.list", "{\"limit\":1001}", "limit" },
		{ "gpu.list", "{\"state\":\"broken\"}", "state" },
		{ "gpu.get", "{}", "gpu" },
		{ "gpu.get", "{\"gpu\":\"\"}", "gpu" },
		{ "gpu.apply", "{\"gpu\":\"gpu0\",\"wait_seconds\":3601}", "wait_seconds" },
		{ "gpu.apply", "{\"gpu\":\"gpu0\",\"wait_seconds\":-1}", "wait_seconds" },
		{ "vf.assign", "{\"vf\":\"gpu0/vf1\"}", "vm" },
		{ "vf.assign", "{\"vm\":\"a\",\"vram_bytes\":\"4G\"}", "vram_bytes" },
		{ "vf.assign", "{\"vm\":\"a\",\"mode\":\"hot\"}", "mode" },
		{ "job.logs", "{\"id\":\"1\",\"stream\":\"stdin\"}", "stream" },
		{ "job.logs", "{\"id\":\"1\",\"limit\":1000000}", "limit" },
		{ "job.get", "{\"id\":-1}", "id" },
		{ "job.get", "{\"id\":1.5}", "id" },
		{ "job.submit", "{\"job\":[]}", "job" },
		{ "job.list", "{\"since\":\"yesterday\"}", "since" },
		{ "policy.check", "{\"files\":[]}", "files" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		call(rows[i].method, rows[i].params);
		bench_expect_error(&client, "1", RPC_INVALID_PARAMS, rows[i].field, rows[i].field);
	}
	assert_null(bench.manager.last_method);
}

/* References lead somewhere, parameters are those of the tables. */
static void check_references(const json_t *value, const json_t *schemas)
{
	const char *name, *reference;
	json_t *child;
	size_t i;

	reference = json_get_string(value, "$ref");
	if (reference) {
		assert_non_null(strstr(reference, "#/components/schemas/"));
		if (!json_object_get(schemas, strrchr(reference, '/') + 1))
			fail_msg("%s leads nowhere", reference);
	}
	json_object_foreach((json_t *)value, name, child)
		check_references(child, schemas);
	json_array_foreach((json_t *)value, i, child)
		check_references(child, schemas);
}

static void test_discover(void **state)
{
	const json_t *document, *methods, *row;
	json_t *answer;
	size_t i, n_apply = 0;

	call("rpc.discover", "{}");
	answer = bench_receive(&client);
	document = json_object_get(answer, "result");
	assert_string_equal(json_get_string(document, "openrpc"), "1.2.6");
	assert_string_equal(json_get_string(json_object_get(document, "info"), "version"),
			    API_VERSION);
	methods = json_object_get(document, "methods");
	assert_true(json_array_size(methods) >= 28);
	json_array_foreach((json_t *)methods, i, row) {
		assert_non_null(json_get_string(row, "summary"));
		assert_true(json_is_array(json_object_get(row, "params")));
		assert_non_null(json_object_get(json_object_get(row, "result"), "schema"));
		if (streq(json_get_string(row, "name"), "gpu.apply")) {
			n_apply = json_array_size(json_object_get(row, "params"));
			assert_string_equal(json_get_string(row, "x-role"), "operator");
		}
	}
	assert_int_equal(n_apply, 8); /* gpu … wait_seconds, and request_id */
	check_references(document,
			 json_object_get(json_object_get(document, "components"), "schemas"));
	json_decref(answer);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_complete),
		TEST(test_every_method_reaches_its_function),
		TEST(test_defaults_and_units),
		TEST(test_refusals_name_the_field),
		TEST(test_discover),
	};

	return cmocka_run_group_tests_name("rpc-methods", tests, NULL, NULL);
}
