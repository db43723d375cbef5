/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line from the socket: JSON, the request in it, its parameters by a table of all kinds. */
#include "fuzz.h"
#include "lib/json-field.h"
#include "lib/jsonrpc.h"

enum { MODE_MAX = 3 };

static const char *const mode_names[MODE_MAX] = { "live", "config", "both" };

struct params {
	char *vm;
	bool all;
	uint64_t limit, vram_bytes, wait_seconds, at;
	int64_t priority;
	int mode;
	struct amount vram;
	json_t *types, *layout, *list, *any;
};

static const struct json_field fields[] = {
	{ "vm", JSON_FIELD_STRING, offsetof(struct params, vm), .max_length = 64 },
	{ "all", JSON_FIELD_BOOL, offsetof(struct params, all) },
	{ "limit", JSON_FIELD_UINT, offsetof(struct params, limit), .min = 1, .max = 1000 },
	{ "vram_bytes", JSON_FIELD_SIZE, offsetof(struct params, vram_bytes) },
	{ "wait_seconds", JSON_FIELD_DURATION, offsetof(struct params, wait_seconds) },
	{ "at", JSON_FIELD_TIME, offsetof(struct params, at) },
	{ "priority", JSON_FIELD_INT, offsetof(struct params, priority), .min = -100, .max = 100 },
	{ "mode", JSON_FIELD_ENUM, offsetof(struct params, mode), .names = mode_names,
	  .names_max = MODE_MAX },
	{ "vram", JSON_FIELD_AMOUNT, offsetof(struct params, vram) },
	{ "types", JSON_FIELD_STRINGS, offsetof(struct params, types), .max_length = 8 },
	{ "layout", JSON_FIELD_OBJECT, offsetof(struct params, layout) },
	{ "list", JSON_FIELD_ARRAY, offsetof(struct params, list) },
	{ "any", JSON_FIELD_ANY, offsetof(struct params, any) },
	{ NULL },
};

static void check_params(const json_t *object)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	struct params params = { 0 };
	int r;

	r = json_fields_decode(object, "/params", fields, &params, &fault);
	FUZZ_CHECK(r == 0 || r == -EINVAL);
	FUZZ_CHECK((r < 0) == (fault.what != NULL));
	if (r < 0)
		FUZZ_CHECK(!params.vm && !params.types && !params.layout && !params.any);
	json_fields_done(fields, &params);
}

static void check_call(const json_t *message)
{
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 }, back = { 0 };
	_cleanup_json_ json_t *json = NULL;
	struct rpc_call call;
	int r;

	r = rpc_call_parse(message, &call, &error);
	FUZZ_CHECK(r == 0 || (r == -ECANCELED && error.code != 0 && error.message));
	FUZZ_CHECK((r < 0) == (error.code != 0));
	if (r == 0) {
		if (call.params)
			check_params(call.params);
		return;
	}

	json = rpc_response_error(call.id, &error);
	FUZZ_CHECK(json);
	FUZZ_CHECK(rpc_error_from_json(json_object_get(json, "error"), &back) == 0);
	FUZZ_CHECK(back.code == error.code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *value = NULL, *again = NULL;
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	_cleanup_free_ char *text = NULL;
	json_t *item;
	size_t i;

	if (json_parse((const char *)data, size, &value, NULL) < 0)
		return 0;

	text = json_text(value);
	FUZZ_CHECK(text && json_parse(text, strlen(text), &again, NULL) == 0);
	(void)rpc_error_from_json(value, &error); /* accepted or not, it must not crash */

	check_call(value);
	json_array_foreach(value, i, item)
		check_call(item);
	return 0;
}
