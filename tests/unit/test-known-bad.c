/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of known-bad combinations: what its reader takes and refuses; releases compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "doctor/known-bad.h"

#define HEAD "\"id\": \"x\", \"severity\": \"info\", \"what\": \"w\", \"cure\": \"c\", "
#define SOURCE "\"source\": \"https://example.org/1\", "

static const struct {
	const char *entry;
	const char *pointer; /* NULL = it is taken */
	const char *words;
} cases[] = {
	{"{" HEAD SOURCE "\"when\": {\"driver\": \"xe\"}}", NULL, NULL},
	{"{" HEAD SOURCE
	 "\"when\": {\"devices\": [\"7d67\", \"4680-4693\"], \"module\": \"in-tree\"}}",
	 NULL, NULL},
	{"{" HEAD SOURCE "\"when\": {\"log\": [\"a\", \"b\"]}}", NULL, NULL},
	{"{" HEAD "\"when\": {\"driver\": \"xe\"}}", "/entries/0/source", "missing"},
	{"{" HEAD "\"source\": \"http://example.org\", \"when\": {\"driver\": \"xe\"}}",
	 "/entries/0/source", "everybody"},
	{"{" HEAD SOURCE "\"when\": {}}", "/entries/0/when", "every host"},
	{"{" HEAD SOURCE "\"when\": {\"kernel_below\": \"6.1\"}}", "/entries/0/when", "every host"},
	{"{" HEAD SOURCE "\"when\": {\"driver\": \"xe\", \"kernal\": \"6\"}}",
	 "/entries/0/when/kernal", "unknown"},
	{"{" HEAD SOURCE "\"when\": {\"devices\": [\"7d6\"]}}", "/entries/0/when/devices", "7d6"},
	{"{" HEAD SOURCE "\"when\": {\"devices\": [\"4693-4680\"]}}", "/entries/0/when/devices",
	 "4693-4680"},
	{"{" HEAD SOURCE "\"when\": {\"devices\": [\"7d67x\"]}}", "/entries/0/when/devices",
	 "7d67x"},
	{"{" HEAD SOURCE "\"when\": {\"driver\": \"xe\", \"module\": \"dkms\"}}",
	 "/entries/0/when/module", "dkms"},
	{"{\"id\": \"x\", \"severity\": \"ok\", \"what\": \"w\", \"cure\": \"c\", " SOURCE
	 "\"when\": {\"driver\": \"xe\"}}",
	 "/entries/0/severity", "ok"},
	{"7", "/entries/0", "object"},
};

static void test_entries(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text =
			xasprintf("{\"version\": 1, \"entries\": [%s]}", cases[i].entry);
		_cleanup_(known_bad_freep) struct known_bad *k = NULL;
		struct json_fault fault = {0};
		int r = known_bad_parse(text, strlen(text), &k, &fault);

		if (!cases[i].pointer) {
			if (r < 0)
				fail_msg("%s: %s: %s", cases[i].entry, fault.pointer, fault.what);
			assert_int_equal(k->n, 1);
			continue;
		}
		assert_int_equal(r, -EINVAL);
		assert_string_equal(fault.pointer, cases[i].pointer);
		if (!strstr(fault.what, cases[i].words))
			fail_msg("%s: \"%s\" is missing", fault.what, cases[i].words);
		json_fault_done(&fault);
	}
}

static void test_documents(void **state)
{
	static const char *const refused[] = {"",
					      "[]",
					      "{}",
					      "{\"version\": 2, \"entries\": []}",
					      "{\"version\": 1}",
					      "{\"version\": 1, \"entries\": {}}",
					      "{\"version\": 1, \"entries\": [], \"x\": 1}"};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		struct known_bad *k = NULL;
		struct json_fault fault = {0};

		assert_int_equal(known_bad_parse(refused[i], strlen(refused[i]), &k, &fault),
				 -EINVAL);
		assert_non_null(fault.what);
		json_fault_done(&fault);
	}
}

static void test_releases(void **state)
{
	static const struct {
		const char *release, *wanted;
		int sign;
	} releases[] = {
		{"6.8.12-20-pve", "6.8.12-12", 1},
		{"6.8.12-11-pve", "6.8.12-12", -1},
		{"6.8.12-12-pve", "6.8.12-12", 0},
		{"6.17.0", "6.17", 0},
		{"6.9", "6.17", -1},
		{"7.0.14", "6.17", 1},
		{"6.17", "6.17.1", -1},
		{"", "6", -1},
		{"6", "", 0},
		{"no number", "1", -1},
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(releases); i++) {
		int r = release_compare(releases[i].release, releases[i].wanted);

		if ((r > 0) - (r < 0) != releases[i].sign)
			fail_msg("%s against %s gives %d", releases[i].release, releases[i].wanted,
				 r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_releases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
