/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest agent's answers, hostile ones included, and libvirt's errors in our words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <libvirt/virterror.h>

#include "hypervisor/agent-answer.h"
#include "hypervisor/libvirt-ops.h"

static enum hv_failure parse(const char *text, json_t **ret_result, char **ret_message)
{
	*ret_result = NULL;
	*ret_message = NULL;
	return agent_answer_parse(text, strlen(text), ret_result, ret_message);
}

static void test_good(void **state)
{
	_cleanup_json_ json_t *result = NULL, *empty = NULL;
	char *message;

	assert_int_equal(parse("{\"return\": {\"pid\": 7}}", &result, &message), HV_OK);
	assert_int_equal(json_get_uint(result, "pid", 0), 7);
	assert_null(message);
	assert_int_equal(parse("{\"return\": {}}\n", &empty, &message), HV_OK);
}

static void test_garbage(void **state)
{
	static const char *const bad[] = {
		"",
		"null",
		"[]",
		"7",
		"\"return\"",
		"{}",
		"{\"return\": {}",
		"{\"return\": {}} {}",
		"{\"return\": {}, \"return\": {}}",
		"{\"return\": {}, \"id\": 3}",
		"{\"result\": {}}",
		"{\"error\": \"text\"}",
		"{\"error\": {\"desc\": 7}}",
		"{\"return\": \"\\u0000\"}",
		"{\"return\": \"\xff\"}",
	};
	_cleanup_free_ char *deep = malloc(10001), *long_text = malloc(AGENT_ANSWER_MAX + 2);
	char *message;
	json_t *result;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(parse(bad[i], &result, &message), HV_AGENT_GARBAGE);
		assert_null(result);
		assert_non_null(message);
		free(message);
	}

	assert_non_null(deep);
	memset(deep, '[', 10000);
	deep[10000] = '\0';
	memcpy(deep, "{\"return\":", 10);
	assert_int_equal(parse(deep, &result, &message), HV_AGENT_GARBAGE);
	free(message);

	assert_non_null(long_text);
	memset(long_text, ' ', AGENT_ANSWER_MAX + 1);
	long_text[AGENT_ANSWER_MAX + 1] = '\0';
	memcpy(long_text, "{\"return\":{}}", 13);
	assert_int_equal(parse(long_text, &result, &message), HV_AGENT_GARBAGE);
	free(message);
}

static void test_error(void **state)
{
	_cleanup_free_ char *text = NULL, *filler = malloc(100001);
	char *message;
	json_t *result;

	assert_int_equal(
		parse("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such file\"}}",
		      &result, &message),
		HV_AGENT_REFUSED);
	assert_string_equal(message, "no such file");
	free(message);
	assert_int_equal(parse("{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
			       "\"Command guest-exec has been disabled\"}}",
			       &result, &message),
			 HV_AGENT_DISABLED);
	free(message);

	assert_non_null(filler);
	memset(filler, 'a', 100000);
	filler[100000] = '\0';
	text = xasprintf("{\"error\": {\"desc\": \"%s\"}}", filler);
	assert_int_equal(parse(text, &result, &message), HV_AGENT_REFUSED);
	assert_int_equal(strlen(message), 512);
	free(message);
}

static void test_libvirt_errors(void **state)
{
	static const struct {
		enum hv_op op;
		int code;
		const char *message;
		enum hv_failure failure;
	} cases[] = {
		{ HV_GET, VIR_ERR_NO_DOMAIN, "Domain not found", HV_NO_DOMAIN },
		{ HV_GET, VIR_ERR_INTERNAL_ERROR, "internal error: client socket is closed",
		  HV_DISCONNECTED },
		{ HV_ATTACH, VIR_ERR_INTERNAL_ERROR, "internal error: No more available PCI slots",
		  HV_NO_PORT },
		{ HV_ATTACH, VIR_ERR_OPERATION_INVALID,
		  "Requested operation is not valid: domain is not running", HV_NOT_RUNNING },
		{ HV_ATTACH, VIR_ERR_OPERATION_INVALID,
		  "Requested operation is not valid: PCI device 0000:03:00.1 is in use by driver "
		  "QEMU, domain other",
		  HV_FAILED },
		{ HV_ATTACH, VIR_ERR_OPERATION_TIMEOUT,
		  "Timed out during operation: cannot acquire state change lock", HV_TIMEOUT },
		{ HV_DETACH, VIR_ERR_DEVICE_MISSING, "device not found", HV_ALREADY },
		{ HV_DETACH, VIR_ERR_OPERATION_FAILED,
		  "operation failed: unplug of device was rejected by the guest",
		  HV_GUEST_REFUSED },
		{ HV_AGENT, VIR_ERR_AGENT_UNRESPONSIVE,
		  "Guest agent is not responding: QEMU guest agent is not connected",
		  HV_AGENT_UNRESPONSIVE },
		{ HV_AGENT, VIR_ERR_ARGUMENT_UNSUPPORTED,
		  "argument unsupported: QEMU guest agent is not configured", HV_AGENT_ABSENT },
		{ HV_AGENT, VIR_ERR_INTERNAL_ERROR,
		  "internal error: unable to execute QEMU agent command 'guest-exec': Command "
		  "guest-exec has been disabled",
		  HV_AGENT_DISABLED },
		{ HV_AGENT, VIR_ERR_INTERNAL_ERROR,
		  "internal error: unable to execute QEMU agent command 'guest-file-open': failed "
		  "to open file '/x' (mode: 'r'): No such file or directory",
		  HV_AGENT_REFUSED },
		{ HV_AGENT, VIR_ERR_INTERNAL_ERROR, "internal error: cannot parse json {: bad",
		  HV_AGENT_GARBAGE },
		{ HV_LIST, VIR_ERR_INTERNAL_ERROR, "No more available PCI slots", HV_FAILED },
		{ HV_ATTACH, VIR_ERR_INTERNAL_ERROR, "", HV_FAILED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(libvirt_failure(cases[i].op, cases[i].code, cases[i].message),
				 cases[i].failure);
}

/* What libvirt refuses before QEMU hears of it, no guest has seen. */
static void test_attach_may_have_begun(void **state)
{
	assert_false(hv_attach_may_have_begun(HV_NO_PORT, NULL));
	assert_false(hv_attach_may_have_begun(HV_ALREADY, NULL));
	assert_false(hv_attach_may_have_begun(HV_FAILED, "PCI device 0000:03:00.1 is in use by driver QEMU, domain other"));
	assert_true(hv_attach_may_have_begun(HV_FAILED, "internal error: unable to execute QEMU command 'device_add': vfio …"));
	assert_true(hv_attach_may_have_begun(HV_FAILED, NULL));
	assert_true(hv_attach_may_have_begun(HV_NOT_RUNNING, "domain is no longer running"));
	assert_true(hv_attach_may_have_begun(HV_TIMEOUT, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_error),
		cmocka_unit_test(test_libvirt_errors),
		cmocka_unit_test(test_attach_may_have_begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
