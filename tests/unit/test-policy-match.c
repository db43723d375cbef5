/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to a loaded policy: patterns, rules, roles. */
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct policy *build(const char *text)
{
	struct policy_source source = { "a.json", text, strlen(text) };
	struct policy *p = NULL;
	json_t *errors = NULL;

	assert_int_equal(policy_build(&source, 1, &p, &errors), 0);
	return p;
}

static void test_glob(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool match;
	} cases[] = {
		{ "", "", true },
		{ "", "a", false },
		{ "*", "", true },
		{ "*", "anything", true },
		{ "trainer-*", "trainer-1", true },
		{ "trainer-*", "trainer-", true },
		{ "trainer-*", "my-trainer-1", false },
		{ "trainer", "trainer-1", false },
		{ "trainer-1", "trainer", false },
		{ "*Flex 170*", "Intel Data Center GPU Flex 170", true },
		{ "a?c", "abc", true },
		{ "a?c", "ac", false },
		{ "a?c", "a\xc3\xa4"
			 "c",
		  true },
		{ "vm[0-9]", "vm7", true },
		{ "vm[0-9]", "vmx", false },
		{ "vm[!0-9]", "vmx", true },
		{ "vm[]x]", "vm]", true },
		{ "vm[", "vm[", true },
		{ "vm[a", "vm[a", true },
		{ "vm[a", "vma", false },
		{ "*a*b*c", "xaybzc", true },
		{ "*a*b*c", "xaybz", false },
		{ "**", "x", true },
		{ "a\\*", "a\\x", true },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		if (glob_match(cases[i].pattern, cases[i].name) != cases[i].match)
			fail_msg("%s against %s", cases[i].pattern, cases[i].name);
}

/* Would take longer than the universe if every star tried every length. */
static void test_glob_is_not_exponential(void **state)
{
	char name[4001], pattern[201];
	int i;

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (i = 0; i < 200; i++)
		pattern[i] = i % 2 ? 'a' : '*';
	pattern[199] = 'b';
	pattern[200] = '\0';
	assert_false(glob_match(pattern, name));
}

static const char gpu_rules[] =
	"{\"version\": 1, \"profiles\": [{\"name\": \"p\"}], \"gpus\": ["
	"{\"match\": {\"address\": \"0000:03:00.0\"}, \"layout\": [{\"profile\": \"p\", \"count\": "
	"1}]},"
	"{\"match\": {\"model\": \"*Flex*\", \"driver\": \"xe\"}, \"layout\": [{\"profile\": "
	"\"p\", "
	"\"count\": 2}]},"
	"{\"match\": {\"numa_node\": 1}, \"layout\": [{\"profile\": \"p\", \"count\": 3}]},"
	"{\"match\": {\"device_id\": \"e211\"}, \"layout\": [{\"profile\": \"p\", \"count\": "
	"4}]}]}";

static unsigned count_for(const struct policy *p, const struct gpu_facts *gpu)
{
	const struct policy_gpu_rule *rule = policy_match_gpu(p, gpu);

	return rule ? rule->layout->slices[0].count : 0;
}

static void test_gpu_rules(void **state)
{
	_cleanup_(policy_unrefp) struct policy *p = build(gpu_rules);
	struct gpu_facts gpu = { .address = { 0, 3, 0, 0 }, .model = (char *)"Flex 170",
				 .driver = (char *)"xe", .numa_node = -1, .device_id = 0x56c0 };

	assert_int_equal(count_for(p, &gpu), 1);
	gpu.address.bus = 4;
	assert_int_equal(count_for(p, &gpu), 2);
	gpu.driver = NULL; /* members are ANDed */
	assert_int_equal(count_for(p, &gpu), 0);
	gpu.numa_node = 1;
	assert_int_equal(count_for(p, &gpu), 3);
	gpu.numa_node = 0;
	gpu.device_id = 0xe211;
	assert_int_equal(count_for(p, &gpu), 4);
	gpu.model = NULL;
	assert_int_equal(count_for(p, &gpu), 4);
}

static void test_vm_rules(void **state)
{
	_cleanup_(policy_unrefp) struct policy *p =
		build("{\"version\": 1, \"vms\": [{\"match\": \"a-*\", \"slots\": 3}, {\"match\": "
		      "\"a*\"}]}");

	assert_int_equal(policy_match_vm(p, "a-1")->slots, 3);
	assert_int_equal(policy_match_vm(p, "ab")->slots, 1);
	assert_null(policy_match_vm(p, "b"));
	assert_int_equal(p->vms[0].n_allow, 0);
	assert_false(principals_allow(p->vms[0].allow, 0, 0, NULL, 0));
}

static void test_roles_without_rules(void **state)
{
	_cleanup_(policy_unrefp) struct policy *p = build("{\"version\": 1}");
	gid_t gids[] = { 7, 900 };

	assert_int_equal(policy_role(p, 0, NULL, 0, 900, 0), ROLE_ADMIN);
	assert_int_equal(policy_role(p, 1000, gids, 2, 900, 0), ROLE_USER);
	assert_int_equal(policy_role(p, 1000, gids, 1, 900, 0), ROLE_NONE);
	/* An unprivileged daemon serves its own user only. */
	assert_int_equal(policy_role(p, 1000, NULL, 0, 900, 1000), ROLE_ADMIN);
	assert_int_equal(policy_role(p, 0, gids, 2, 900, 1000), ROLE_NONE);
}

static void test_highest_role_wins(void **state)
{
	_cleanup_(policy_unrefp) struct policy *p =
		build("{\"version\": 1, \"access\": [{\"user\": \"70001\", \"role\": \"operator\"},"
		      "{\"group\": \"70002\", \"role\": \"viewer\"},"
		      "{\"group\": \"70003\", \"role\": \"user\"},"
		      "{\"group\": \"no-such-group-here\", \"role\": \"admin\"}]}");
	gid_t both[] = { 70002, 70003 };

	assert_int_equal(policy_role(p, 70001, both, 2, 1, 0), ROLE_OPERATOR);
	assert_int_equal(policy_role(p, 5, both, 2, 1, 0), ROLE_USER);
	assert_int_equal(policy_role(p, 5, both, 1, 1, 0), ROLE_VIEWER);
	assert_int_equal(policy_role(p, 5, NULL, 0, 1, 0), ROLE_NONE);
}

static void test_default_queue(void **state)
{
	_cleanup_(policy_unrefp) struct policy *p =
		build("{\"version\": 1, \"queues\": [{\"name\": \"a\"}, {\"name\": \"default\"}]}");
	_cleanup_(policy_unrefp) struct policy *q =
		build("{\"version\": 1, \"queues\": [{\"name\": \"a\"}, {\"name\": \"b\"}]}");

	assert_string_equal(policy_default_queue(p)->name, "default");
	assert_string_equal(policy_default_queue(q)->name, "a");
	assert_null(policy_find_queue(p, "b"));
	assert_null(policy_find_layout(p, "a"));
	assert_null(policy_find_profile(p, "a"));
}

static void test_names_round_trip(void **state)
{
	int i;

	for (i = 0; i < ROLE_MAX; i++)
		assert_int_equal(role_from_string(role_to_string(i)), i);
	for (i = 0; i < VM_VF_MODE_MAX; i++)
		assert_int_equal(vm_vf_mode_from_string(vm_vf_mode_to_string(i)), i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_glob),
		cmocka_unit_test(test_glob_is_not_exponential),
		cmocka_unit_test(test_gpu_rules),
		cmocka_unit_test(test_vm_rules),
		cmocka_unit_test(test_roles_without_rules),
		cmocka_unit_test(test_highest_role_wins),
		cmocka_unit_test(test_default_queue),
		cmocka_unit_test(test_names_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
