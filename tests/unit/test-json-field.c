/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decoding by tables: every kind, and every way to refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/clock.h"
#include "lib/json-field.h"

enum mode { MODE_LIVE, MODE_CONFIG, MODE_BOTH, MODE_MAX };

static const char *const mode_names[MODE_MAX] = { "live", "config", "both" };

struct all {
	char *name;
	bool flag;
	uint64_t count, port, vram_bytes, memory, wait_seconds, quantum_ms, grace, at;
	int64_t priority, offset;
	int mode;
	struct amount vram;
	json_t *env, *list, *strings, *any;
};

static const struct json_field all_fields[] = {
	{ "name", JSON_FIELD_STRING, offsetof(struct all, name), .required = true, .max_length = 8,
	  .nonempty = true, .summary = "what it is called" },
	{ "flag", JSON_FIELD_BOOL, offsetof(struct all, flag) },
	{ "count", JSON_FIELD_UINT, offsetof(struct all, count) },
	{ "port", JSON_FIELD_UINT, offsetof(struct all, port), .min = 1, .max = 31 },
	{ "priority", JSON_FIELD_INT, offsetof(struct all, priority), .min = -100, .max = 0 },
	{ "offset", JSON_FIELD_INT, offsetof(struct all, offset) },
	{ "mode", JSON_FIELD_ENUM, offsetof(struct all, mode), .names = mode_names,
	  .names_max = MODE_MAX },
	{ "vram_bytes", JSON_FIELD_SIZE, offsetof(struct all, vram_bytes) },
	{ "memory", JSON_FIELD_SIZE, offsetof(struct all, memory), .min = 1024, .max = 1 << 20 },
	{ "vram", JSON_FIELD_AMOUNT, offsetof(struct all, vram) },
	{ "slice_bytes", JSON_FIELD_AMOUNT, offsetof(struct all, vram), .min = 1 << 20 },
	{ "wait_seconds", JSON_FIELD_DURATION, offsetof(struct all, wait_seconds) },
	{ "quantum_ms", JSON_FIELD_DURATION, offsetof(struct all, quantum_ms) },
	{ "grace", JSON_FIELD_DURATION, offsetof(struct all, grace), .max = 60 * 1000000 },
	{ "at", JSON_FIELD_TIME, offsetof(struct all, at) },
	{ "strings", JSON_FIELD_STRINGS, offsetof(struct all, strings), .max_length = 2 },
	{ "env", JSON_FIELD_OBJECT, offsetof(struct all, env) },
	{ "list", JSON_FIELD_ARRAY, offsetof(struct all, list), .nonempty = true, .max_length = 3 },
	{ "any", JSON_FIELD_ANY, offsetof(struct all, any) },
	{ "a/b~c", JSON_FIELD_BOOL, offsetof(struct all, flag) },
	{ "$schema", JSON_FIELD_IGNORED },
	{ NULL },
};

static int decode(const char *text, struct all *all, struct json_fault *fault)
{
	_cleanup_json_ json_t *o = NULL;

	assert_int_equal(json_parse(text, strlen(text), &o, NULL), 0);
	return json_fields_decode(o, "/base", all_fields, all, fault);
}

static void test_all_kinds(void **state)
{
	struct json_fault fault = { 0 };
	struct all a = { .offset = 42 };

	assert_int_equal(
		decode("{\"name\":\"n\",\"flag\":true,\"count\":9223372036854775807,\"port\":31,"
		       "\"priority\":-100,\"mode\":\"both\",\"vram_bytes\":\"4GiB\",\"memory\":\"1MiB\","
		       "\"vram\":\"12.5%\",\"wait_seconds\":3,\"quantum_ms\":\"20ms\",\"grace\":\"1m\","
		       "\"at\":\"1970-01-01T00:00:02Z\",\"strings\":[\"a\",\"b\"],\"env\":{\"A\":\"1\"},"
		       "\"list\":[1,2,3],\"any\":false,\"$schema\":{\"x\":[]},\"offset\":null}",
		       &a, &fault),
		0);
	assert_null(fault.what);
	assert_string_equal(a.name, "n");
	assert_true(a.flag);
	assert_true(a.count == INT64_MAX);
	assert_int_equal(a.port, 31);
	assert_int_equal(a.priority, -100);
	assert_int_equal(a.offset, 42); /* null: left alone */
	assert_int_equal(a.mode, MODE_BOTH);
	assert_true(a.vram_bytes == 4 * GIB);
	assert_true(a.memory == MIB);
	assert_int_equal(a.vram.kind, AMOUNT_PERCENT);
	assert_int_equal(a.vram.value, 1250);
	assert_int_equal(a.wait_seconds, 3 * USEC_PER_SEC);
	assert_int_equal(a.quantum_ms, 20 * USEC_PER_MSEC);
	assert_int_equal(a.grace, 60 * USEC_PER_SEC);
	assert_int_equal(a.at, 2 * USEC_PER_SEC);
	assert_int_equal(json_array_size(a.strings), 2);
	assert_int_equal(json_object_size(a.env), 1);
	assert_int_equal(json_array_size(a.list), 3);
	assert_true(json_is_false(a.any));

	json_fields_done(all_fields, &a);
	assert_null(a.name);
	assert_null(a.env);
	json_fields_done(all_fields, &a); /* twice is fine */
}

static void test_bare_numbers(void **state)
{
	struct all a = { 0 };

	assert_int_equal(decode("{\"name\":\"n\",\"vram_bytes\":17,\"quantum_ms\":20}", &a, NULL), 0);
	assert_int_equal(a.vram_bytes, 17);
	assert_int_equal(a.quantum_ms, 20000);
	json_fields_done(all_fields, &a);
}

/* Each row adds one member to a good document. */
static const struct {
	const char *member, *pointer, *what, *hint;
} refusals[] = {
	{ "\"nmae\":1", "/base/nmae", "unknown member \"nmae\"", "did you mean \"name\"?" },
	{ "\"vrambytes\":1", "/base/vrambytes", "unknown member \"vrambytes\"",
	  "did you mean \"vram_bytes\"?" },
	{ "\"x/y~\":1", "/base/x~1y~0", "unknown member \"x/y~\"", "one of: name, flag" },
	{ "\"a/b~c\":1", "/base/a~1b~0c", "must be true or false, not a number", NULL },
	{ "\"flag\":\"yes\"", "/base/flag", "must be true or false, not a string", NULL },
	{ "\"flag\":0", "/base/flag", "must be true or false, not a number", NULL },
	{ "\"count\":-1", "/base/count", "is -1, must be at least 0", NULL },
	{ "\"count\":1.5", "/base/count", "must be a whole number, not a number", NULL },
	{ "\"count\":\"1\"", "/base/count", "must be a whole number, not a string", NULL },
	{ "\"port\":0", "/base/port", "is 0, must be between 1 and 31", NULL },
	{ "\"port\":32", "/base/port", "is 32, must be between 1 and 31", NULL },
	{ "\"priority\":1", "/base/priority", "is 1, must be between -100 and 0", NULL },
	{ "\"priority\":-101", "/base/priority", "is -101, must be between -100 and 0", NULL },
	{ "\"offset\":[]", "/base/offset", "must be a whole number, not an array", NULL },
	{ "\"mode\":\"lvie\"", "/base/mode", "\"lvie\" is not known here", "did you mean \"live\"?" },
	{ "\"mode\":\"zzz\"", "/base/mode", "\"zzz\" is not known here", "one of: live, config, both" },
	{ "\"mode\":1", "/base/mode", "must be a string, not a number", NULL },
	{ "\"vram_bytes\":\"4G\"", "/base/vram_bytes", "\"4G\" is not a size",
	  "write GiB (2^30 bytes) or GB (10^9 bytes)" },
	{ "\"vram_bytes\":-1", "/base/vram_bytes", "must not be negative", "write a size" },
	{ "\"vram_bytes\":1.5", "/base/vram_bytes", "must be a whole number", "write a size" },
	{ "\"vram_bytes\":{}", "/base/vram_bytes", "must be a size, not an object", NULL },
	{ "\"memory\":4096", "/base/memory", "a bare number has no unit", "write a size" },
	{ "\"memory\":\"1kB\"", "/base/memory", "is 1000B, must be at least 1KiB", NULL },
	{ "\"memory\":\"2MiB\"", "/base/memory", "is 2MiB, must be at most 1MiB", NULL },
	{ "\"vram\":4", "/base/vram", "a bare number has no unit", "a share such as" },
	{ "\"vram\":\"101%\"", "/base/vram", "\"101%\" is not an amount", "between 0.01% and 100%" },
	{ "\"slice_bytes\":4096", "/base/slice_bytes", "is 4KiB, must be at least 1MiB", NULL },
	{ "\"slice_bytes\":-1", "/base/slice_bytes", "must not be negative", NULL },
	{ "\"vram\":true", "/base/vram", "must be an amount, not a boolean", NULL },
	{ "\"grace\":5", "/base/grace", "a bare number has no unit", "write a time" },
	{ "\"grace\":\"61s\"", "/base/grace", "is 1m1s, must be at most 1m", NULL },
	{ "\"grace\":\"30m1h\"", "/base/grace", "\"30m1h\" is not a time", "larger before smaller" },
	{ "\"grace\":[]", "/base/grace", "must be a time, not an array", NULL },
	{ "\"wait_seconds\":9223372036854775807", "/base/wait_seconds", "is too large", NULL },
	{ "\"at\":\"tomorrow\"", "/base/at", "\"tomorrow\" is not a date and time", "RFC 3339" },
	{ "\"at\":1", "/base/at", "must be a date and time, not a number", NULL },
	{ "\"strings\":\"a\"", "/base/strings", "must be an array of strings, not a string", NULL },
	{ "\"strings\":[\"a\",1]", "/base/strings/1", "must be a string, not a number", NULL },
	{ "\"strings\":[\"a\",\"b\",\"c\"]", "/base/strings", "has 3 items, at most 2 are allowed", NULL },
	{ "\"env\":[]", "/base/env", "must be an object, not an array", NULL },
	{ "\"list\":{}", "/base/list", "must be an array, not an object", NULL },
	{ "\"list\":[]", "/base/list", "must not be empty", NULL },
	{ "\"list\":[1,2,3,4]", "/base/list", "has 4 items, at most 3 are allowed", NULL },
};

static void test_refusals(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		_cleanup_(json_fault_done) struct json_fault fault = { 0 };
		_cleanup_free_ char *text = xasprintf("{\"name\":\"n\",\"any\":[1],%s}",
						      refusals[i].member);
		struct all a = { 0 };

		assert_int_equal(decode(text, &a, &fault), -EINVAL);
		assert_string_equal(fault.pointer, refusals[i].pointer);
		assert_string_equal(fault.what, refusals[i].what);
		if (refusals[i].hint && (!fault.hint || !strstr(fault.hint, refusals[i].hint)))
			fail_msg("%s: hint is %s", refusals[i].member, strempty(fault.hint));
		assert_null(a.name); /* released again */
		assert_null(a.any);
		assert_int_equal(decode(text, &a, NULL), -EINVAL);
	}
}

static void refused(const char *text, const char *pointer, const char *what)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	struct all a = { 0 };

	assert_int_equal(decode(text, &a, &fault), -EINVAL);
	assert_string_equal(fault.pointer, pointer);
	assert_string_equal(fault.what, what);
	assert_null(a.name);
}

static void test_required(void **state)
{
	refused("{}", "/base/name", "required member \"name\" is missing");
	refused("{\"name\":null}", "/base/name", "must be a string, not null");
	refused("{\"name\":\"\"}", "/base/name", "must not be empty");
	refused("{\"name\":\"123456789\"}", "/base/name", "has 9 bytes, at most 8 are allowed");
	refused("{\"name\":7}", "/base/name", "must be a string, not a number");
	refused("[]", "/base", "must be an object, not an array");
	refused("null", "/base", "must be an object, not null");
}

static void test_long_string_item(void **state)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	_cleanup_free_ char *big = calloc(1, JSON_STRING_MAX + 2), *text = NULL;
	struct all a = { 0 };

	memset(big, 'x', JSON_STRING_MAX + 1);
	big[JSON_STRING_MAX] = '\0'; /* the longest that is accepted */
	text = xasprintf("{\"name\":\"n\",\"strings\":[\"%s\"],\"memory\":\"1KiB\","
			 "\"wait_seconds\":0}", big);
	assert_int_equal(decode(text, &a, NULL), 0);
	json_fields_done(all_fields, &a);

	big[JSON_STRING_MAX] = 'x';
	free(text);
	text = xasprintf("{\"name\":\"n\",\"strings\":[\"%s\"]}", big);
	assert_int_equal(decode(text, &a, &fault), -EINVAL);
	assert_string_equal(fault.pointer, "/base/strings/0");
	assert_string_equal(fault.what, "has 4097 bytes, at most 4096 are allowed");
}

static void test_no_object(void **state)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	struct all a = { 0 };

	assert_int_equal(json_fields_decode(NULL, "", all_fields, &a, &fault), -EINVAL);
	assert_string_equal(fault.pointer, "");
	assert_string_equal(fault.what, "must be an object, not nothing");
}

static void test_no_members(void **state)
{
	static const struct json_field none[] = { { NULL } };
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	_cleanup_json_ json_t *o = json_pack("{s:i}", "x", 1), *empty = json_object();
	char out;

	assert_int_equal(json_fields_decode(empty, "", none, &out, &fault), 0);
	assert_int_equal(json_fields_decode(o, "", none, &out, &fault), -EINVAL);
	assert_string_equal(fault.pointer, "/x");
	assert_string_equal(fault.hint, "no members are taken here");
}

static void test_fault_first_wins(void **state)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };

	assert_int_equal(json_fault_set(&fault, "/a", "b/c", "h", "first %d", 1), -EINVAL);
	assert_int_equal(json_fault_set(&fault, "/x", NULL, NULL, "second"), -EINVAL);
	assert_string_equal(fault.pointer, "/a/b~1c");
	assert_string_equal(fault.what, "first 1");
	assert_string_equal(fault.hint, "h");
}

static void test_schema(void **state)
{
	static const struct json_field few[] = {
		{ "vm", JSON_FIELD_STRING, 0, .required = true, .max_length = 10, .summary = "a VM" },
		{ "n", JSON_FIELD_UINT, 0, .max = 3 },
		{ "mode", JSON_FIELD_ENUM, 0, .names = mode_names, .names_max = MODE_MAX },
		{ "vram_bytes", JSON_FIELD_SIZE, 0 },
		{ "any", JSON_FIELD_ANY, 0 },
		{ NULL },
	};
	_cleanup_json_ json_t *schema = json_fields_schema(few);
	_cleanup_json_ json_t *all = json_fields_schema(all_fields);
	_cleanup_free_ char *text = json_text(schema);

	assert_non_null(all);
	assert_string_equal(
		text,
		"{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
		"\"vm\":{\"type\":\"string\",\"maxLength\":10,\"description\":\"a VM\"},"
		"\"n\":{\"type\":[\"integer\",\"null\"],\"minimum\":0,\"maximum\":3},"
		"\"mode\":{\"type\":[\"string\",\"null\"],\"enum\":[\"live\",\"config\",\"both\",null]},"
		"\"vram_bytes\":{\"type\":[\"string\",\"integer\",\"null\"],"
		"\"pattern\":\"^([0-9]+(\\\\.[0-9]{1,6})?(KiB|MiB|GiB|TiB|kB|MB|GB|TB)|[0-9]+B)$\"},"
		"\"any\":{}},\"required\":[\"vm\"]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_kinds),	 cmocka_unit_test(test_bare_numbers),
		cmocka_unit_test(test_refusals),	 cmocka_unit_test(test_required),
		cmocka_unit_test(test_long_string_item), cmocka_unit_test(test_no_object),
		cmocka_unit_test(test_no_members),	 cmocka_unit_test(test_fault_first_wins),
		cmocka_unit_test(test_schema),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
