/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings as text: what is shown, what is escaped, what is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/finding-text.h"

static const char result[] =
	"{\"findings\": ["
	"{\"id\": \"gpu-driver\", \"severity\": \"error\", \"subject\": \"gpu0\", \"looked\": true,"
	" \"what\": \"no driver\", \"evidence\": [{\"source\": \"/sys/x/driver\", \"value\": null,"
	" \"problem\": \"not there\"}, {\"source\": \"/proc/cmdline\", \"value\": \"a\\nb\"}],"
	" \"cure\": \"bind it\"},"
	"{\"id\": \"gpu-driver\", \"severity\": \"error\", \"subject\": \"evil\\u001b[2J\", "
	"\"looked\": true,"
	" \"what\": \"x\", \"evidence\": [], \"cure\": null},"
	"{\"id\": \"secure-boot\", \"severity\": \"info\", \"subject\": \"host\", \"looked\": "
	"false,"
	" \"what\": \"not known\", \"evidence\": [], \"cure\": null},"
	"{\"id\": \"iommu\", \"severity\": \"ok\", \"subject\": \"host\", \"looked\": true,"
	" \"what\": \"is on\", \"evidence\": [{\"source\": \"/sys/y\", \"value\": \"\"}], "
	"\"cure\": null}],"
	"\"counts\": {\"error\": 2, \"warning\": 0, \"info\": 1, \"ok\": 1}}";

static json_t *parse(void)
{
	json_t *json = NULL;

	assert_int_equal(json_parse(result, strlen(result), &json, NULL), 0);
	return json;
}

static void test_text(void **state)
{
	_cleanup_json_ json_t *json = parse();
	_cleanup_free_ char *text =
		finding_text(json, &(struct finding_text_options){.all = false});

	assert_string_equal(text,
			    "error    gpu0: no driver  [gpu-driver]\n"
			    "    seen  /sys/x/driver: not there\n"
			    "    seen  /proc/cmdline = a …\n"
			    "    do    bind it\n"
			    "error    evil\\x1b[2J: x  [gpu-driver]\n"
			    "unknown  host: not known  [secure-boot]\n"
			    "2 errors, 0 warnings, 1 notes, 1 checks are fine (wide output shows "
			    "them)\n");
}

static void test_wide(void **state)
{
	_cleanup_json_ json_t *json = parse();
	_cleanup_free_ char *text =
		finding_text(json, &(struct finding_text_options){.all = true, .color = true});

	assert_non_null(strstr(text, "\033[31merror   \033[0m gpu0"));
	assert_non_null(strstr(text, "host: is on  [iommu]\n    seen  /sys/y = (empty)\n"));
	assert_null(strstr(text, "wide output"));
}

static void test_ids(void **state)
{
	_cleanup_json_ json_t *json = parse();
	_cleanup_free_ char *ids = finding_ids(json);

	assert_string_equal(ids, "gpu-driver\nsecure-boot\n");
	assert_int_equal(finding_count(json, "error"), 2);
	assert_int_equal(finding_count(json, "nonsense"), 0);
}

/* Never half a character, however long a value is. */
static void test_long_value(void **state)
{
	char value[400];
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *text = NULL;
	int i;

	value[0] = 'a';
	for (i = 1; i < 399; i += 2)
		memcpy(value + i, "ü", 2);
	value[399] = '\0';
	json = json_pack("{s:[{s:s,s:s,s:s,s:s,s:[{s:s,s:s}]}]}", "findings", "id", "x", "severity",
			 "info", "subject", "host", "what", "w", "evidence", "source", "s", "value",
			 value);
	text = finding_text(json, &(struct finding_text_options){0});
	assert_non_null(strstr(text, "ü …"));
	assert_null(strstr(text, "\\x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_wide),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_long_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
