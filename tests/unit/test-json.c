/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strict parsing, its refusals, and the put and get helpers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/json.h"

static void refused(const char *text, size_t size)
{
	json_error_t error = { 0 };
	json_t *value = NULL;

	if (json_parse(text, size, &value, &error) != -EINVAL)
		fail_msg("accepted: %s", text);
	assert_null(value);
	assert_true(error.text[0] != '\0');
	assert_int_equal(json_parse(text, size, &value, NULL), -EINVAL);
}

static void test_refusals(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"{} {}",
		"{}x",
		"{\"a\":1,\"a\":2}",
		"{\"a\":{\"b\":1,\"b\":1}}",
		"\"\\u0000\"",
		"{\"\\u0000\":1}",
		"\"\xff\"",
		"\"\xc0\x80\"",
		"\"\xed\xa0\x80\"",
		"\"\\ud800\"",
		"\"a\nb\"",
		"01",
		"99999999999999999999",
		"1e999",
		"NaN",
		"'a'",
		"[1,]",
		"{\"a\":1,}",
		"// no\n1",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		refused(bad[i], strlen(bad[i]));
}

static void test_embedded_nul(void **state)
{
	json_error_t error;
	json_t *value = NULL;

	refused("{}\0", 3);
	refused("\0{}", 3);
	refused("{\"a\":\"b\0c\"}", 11);
	refused("\"\\\0\"", 4);

	assert_int_equal(json_parse("{}\n  \0", 6, &value, &error), -EINVAL);
	assert_int_equal(error.line, 2);
	assert_int_equal(error.column, 3);
	assert_string_equal(error.text, "NUL byte in the text");
}

static void nested(unsigned depth, char open, char close, int expected)
{
	_cleanup_free_ char *text = malloc(2 * depth + 1);
	_cleanup_json_ json_t *value = NULL;

	memset(text, open, depth);
	memset(text + depth, close, depth);
	assert_int_equal(json_parse(text, 2 * depth, &value, NULL), expected);
}

static void accepted(const char *text)
{
	_cleanup_json_ json_t *value = NULL;

	assert_int_equal(json_parse(text, strlen(text), &value, NULL), 0);
}

static void nested_objects(unsigned depth, int expected)
{
	_cleanup_free_ char *text = calloc(depth, 6);
	_cleanup_json_ json_t *value = NULL;
	unsigned i;

	for (i = 1; i < depth; i++)
		strcat(text, "{\"a\":");
	strcat(text, "{");
	for (i = 0; i < depth; i++)
		strcat(text, "}");
	assert_int_equal(json_parse(text, strlen(text), &value, NULL), expected);
}

/* Many values side by side are not deep. */
static void wide(const char *item)
{
	_cleanup_free_ char *text = calloc(4 * JSON_DEPTH_MAX, 8);
	unsigned i;

	strcat(text, "[");
	for (i = 0; i < 2 * JSON_DEPTH_MAX; i++)
		strcat(text, item);
	strcat(text, "0]");
	accepted(text);
}

static void test_depth(void **state)
{
	_cleanup_json_ json_t *value = NULL;
	const char *brackets = "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"";

	accepted("\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"");
	nested_objects(JSON_DEPTH_MAX, 0);
	nested_objects(JSON_DEPTH_MAX + 1, -EINVAL);
	wide("[],");
	wide("{},");
	wide("\"\\\\\",");
	nested(JSON_DEPTH_MAX, '[', ']', 0);
	nested(JSON_DEPTH_MAX + 1, '[', ']', -EINVAL);
	nested(100000, '[', ']', -EINVAL);
	assert_int_equal(json_parse(brackets, strlen(brackets), &value, NULL), 0);
}

static void test_text(void **state)
{
	const char *text = "{\"b\":1,\"a\":[true,null,0.1,\"\\u001bé\"]}";
	_cleanup_json_ json_t *value = NULL;
	_cleanup_free_ char *back = NULL;

	assert_int_equal(json_parse(text, strlen(text), &value, NULL), 0);
	back = json_text(value);
	assert_string_equal(back, "{\"b\":1,\"a\":[true,null,0.1,\"\\u001Bé\"]}");
}

static void test_put(void **state)
{
	_cleanup_json_ json_t *o = json_object();
	_cleanup_free_ char *text = NULL;

	assert_int_equal(json_put_string(o, "s", "x"), 0);
	assert_int_equal(json_put_string(o, "none", NULL), 0);
	assert_int_equal(json_put_string(o, "bytes", "a\xff"), 0);
	assert_int_equal(json_put_uint(o, "u", 7), 0);
	assert_int_equal(json_put_uint(o, "most", INT64_MAX), 0);
	assert_int_equal(json_put_uint(o, "huge", (uint64_t)INT64_MAX + 1), 0);
	assert_int_equal(json_put_uint_known(o, "unknown", false, 7), 0);
	assert_int_equal(json_put_bool(o, "t", true), 0);
	assert_int_equal(json_put_time(o, "never", 0), 0);
	assert_int_equal(json_put_time(o, "at", 1500000), 0);
	assert_int_equal(json_put(o, "x", NULL), -ENOMEM);

	text = json_text(o);
	assert_string_equal(text, "{\"s\":\"x\",\"none\":null,\"bytes\":\"a\\\\xff\",\"u\":7,"
				  "\"most\":9223372036854775807,\"huge\":null,\"unknown\":null,\"t\":true,\"never\":null,"
				  "\"at\":\"1970-01-01T00:00:01.500Z\"}");
}

static void test_get(void **state)
{
	const char *text = "{\"s\":\"x\",\"u\":7,\"n\":-7,\"b\":true,\"z\":null}";
	_cleanup_json_ json_t *o = NULL;

	assert_int_equal(json_parse(text, strlen(text), &o, NULL), 0);
	assert_string_equal(json_get_string(o, "s"), "x");
	assert_null(json_get_string(o, "u"));
	assert_null(json_get_string(NULL, "u"));
	assert_int_equal(json_get_uint(o, "u", 1), 7);
	assert_int_equal(json_get_uint(o, "n", 1), 1);
	assert_int_equal(json_get_int(o, "n", 1), -7);
	assert_int_equal(json_get_int(o, "z", 1), 1);
	assert_true(json_get_bool(o, "b", false));
	assert_true(json_get_bool(o, "s", true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_embedded_nul),
		cmocka_unit_test(test_depth),	 cmocka_unit_test(test_text),
		cmocka_unit_test(test_put),	 cmocka_unit_test(test_get),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
