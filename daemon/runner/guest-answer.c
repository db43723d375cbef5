/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks the answers of a guest agent that got past agent_answer_parse(). */
#include "runner/guest-answer.h"

#include "lib/base64.h"
#include "lib/escape.h"

#define COMMANDS_MAX 1000 /* an agent has about 50 */

static int number(const json_t *object, const char *name, json_int_t min, json_int_t max,
		  json_int_t *ret)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_integer(value) || json_integer_value(value) < min ||
	    json_integer_value(value) > max)
		return -EBADMSG;
	*ret = json_integer_value(value);
	return 0;
}

int guest_answer_info(const json_t *result, const char **ret_missing)
{
	static const char *const needed[] = {
		"guest-exec",      "guest-exec-status", "guest-file-open", "guest-file-close",
		"guest-file-read", "guest-file-write",  "guest-file-seek",
	};
	const json_t *commands = json_object_get(result, "supported_commands"), *command;
	bool enabled[ARRAY_SIZE(needed)] = { false };
	size_t index;

	if (!json_is_array(commands) || json_array_size(commands) > COMMANDS_MAX)
		return -EBADMSG;
	json_array_foreach(commands, index, command)
	{
		const char *name = json_get_string(command, "name");

		if (!name)
			return -EBADMSG;
		for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
			if (streq(name, needed[i]))
				enabled[i] = json_get_bool(command, "enabled", false);
	}
	*ret_missing = NULL;
	for (size_t i = ARRAY_SIZE(needed); i > 0; i--)
		if (!enabled[i - 1])
			*ret_missing = needed[i - 1];
	return 0;
}

int guest_answer_pid(const json_t *result, uint64_t *ret_pid)
{
	json_int_t pid;
	int r;

	r = number(result, "pid", 1, INT32_MAX, &pid);
	if (r < 0)
		return r;
	*ret_pid = (uint64_t)pid;
	return 0;
}

static int decode(const json_t *object, const char *name, size_t max, void **ret, size_t *ret_size)
{
	const json_t *value = json_object_get(object, name);
	size_t size;
	void *data;

	if (!value) {
		*ret_size = 0;
		*ret = strdup("");
		return *ret ? 0 : -ENOMEM;
	}
	if (!json_is_string(value) ||
	    base64_decode(json_string_value(value), json_string_length(value), &data, &size) < 0)
		return -EBADMSG;
	if (size > max) {
		free(data);
		return -EBADMSG;
	}
	*ret = data;
	*ret_size = size;
	return 0;
}

void guest_exec_status_done(struct guest_exec_status *status)
{
	free(status->out);
	free(status->err);
	*status = (struct guest_exec_status){ 0 };
}

int guest_answer_exec_status(const json_t *result, struct guest_exec_status *ret)
{
	_cleanup_(guest_exec_status_done) struct guest_exec_status status = { .exit_code = -1 };
	json_int_t value;
	void *data;

	if (!json_is_boolean(json_object_get(result, "exited")))
		return -EBADMSG;
	status.exited = json_get_bool(result, "exited", false);
	if (!status.exited) {
		*ret = status;
		return 0;
	}
	if (number(result, "exitcode", 0, INT32_MAX, &value) >= 0)
		status.exit_code = (int)value;
	else if (number(result, "signal", 1, INT32_MAX, &value) >= 0)
		status.signal = (int)value;
	else
		return -EBADMSG;

	if (decode(result, "out-data", GUEST_CAPTURE_MAX, &data, &status.out_size) < 0)
		return -EBADMSG;
	status.out = data;
	if (decode(result, "err-data", GUEST_CAPTURE_MAX, &data, &status.err_size) < 0)
		return -EBADMSG;
	status.err = data;
	*ret = status;
	status = (struct guest_exec_status){ 0 };
	return 0;
}

int guest_answer_handle(const json_t *result, uint64_t *ret_handle)
{
	if (!json_is_integer(result) || json_integer_value(result) < 0)
		return -EBADMSG;
	*ret_handle = (uint64_t)json_integer_value(result);
	return 0;
}

int guest_answer_read(const json_t *result, size_t max, void **ret_data, size_t *ret_size,
		      bool *ret_eof)
{
	_cleanup_free_ void *data = NULL;
	json_int_t count;
	size_t size;

	if (number(result, "count", 0, (json_int_t)max, &count) < 0 ||
	    !json_is_boolean(json_object_get(result, "eof")) ||
	    decode(result, "buf-b64", max, &data, &size) < 0 || size != (size_t)count)
		return -EBADMSG;
	*ret_data = TAKE_PTR(data);
	*ret_size = size;
	*ret_eof = json_get_bool(result, "eof", false);
	return 0;
}

int guest_answer_number(const json_t *result, const char *member, uint64_t expected)
{
	json_int_t value;

	if (number(result, member, 0, INT64_MAX, &value) < 0 || (uint64_t)value != expected)
		return -EBADMSG;
	return 0;
}
