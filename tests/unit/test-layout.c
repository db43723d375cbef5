/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts: from the policy, from API documents, and the stored form both ways. */
#include "policy/layout.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char document[] =
	"{\"version\": 1, \"profiles\": [{\"name\": \"quarter\", \"vram\": \"25%\", "
	"\"exec_quantum\": \"20ms\"}, {\"name\": \"big\", \"vram\": \"8GiB\", \"preempt_timeout\": "
	"\"40ms\"}], \"layouts\": [{\"name\": \"mixed\", \"slices\": [{\"profile\": \"big\", "
	"\"count\": "
	"1}, {\"profile\": \"quarter\", \"count\": 2}]}]}";

static int setup(void **state)
{
	struct policy_source source = { "a.json", document, strlen(document) };
	struct policy *p = NULL;
	json_t *errors = NULL;

	if (policy_build(&source, 1, &p, &errors) < 0)
		return -1;
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	policy_unref(*state);
	return 0;
}

static json_t *json_of(const char *text)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(json);
	return json;
}

static struct layout *layout_of(const struct policy *p, const char *text)
{
	_cleanup_(json_fault_done) struct json_fault fault = { NULL };
	_cleanup_json_ json_t *json = json_of(text);
	struct layout *l = NULL;

	if (layout_from_json(p, json, &l, &fault) < 0)
		fail_msg("%s: %s: %s", text, strempty(fault.pointer), strempty(fault.what));
	return l;
}

static void assert_refused(const struct policy *p, const char *text, const char *pointer,
			   const char *what)
{
	_cleanup_(json_fault_done) struct json_fault fault = { NULL };
	_cleanup_json_ json_t *json = json_of(text);
	struct layout *l = NULL;

	assert_int_equal(layout_from_json(p, json, &l, &fault), -EINVAL);
	assert_null(l);
	assert_string_equal(fault.pointer, pointer);
	if (!strstr(fault.what, what))
		fail_msg("wanted \"%s\", got \"%s\"", what, fault.what);
}

static void test_by_name(void **state)
{
	_cleanup_(layout_freep) struct layout *l = layout_of(*state, "\"mixed\"");

	assert_string_equal(l->name, "mixed");
	assert_int_equal(l->n_vfs, 3);
	assert_string_equal(l->vfs[0].profile, "big");
	assert_int_equal(l->vfs[0].shape.wanted[VF_ATTR_VRAM].value, 8 * GIB);
	assert_int_equal(l->vfs[0].shape.wanted[VF_ATTR_PREEMPT_TIMEOUT].value, 40000);
	assert_false(vf_shape_number(&l->vfs[0].shape, VF_ATTR_EXEC_QUANTUM).known);
	assert_int_equal(l->vfs[2].shape.wanted[VF_ATTR_VRAM].kind, AMOUNT_PERCENT);
	assert_int_equal(l->vfs[2].shape.wanted[VF_ATTR_EXEC_QUANTUM].value, 20);
}

static void test_manual(void **state)
{
	_cleanup_(layout_freep) struct layout *l =
		layout_of(*state, "{\"vfs\": 4, \"vram\": \"3GiB\", \"profile\": \"quarter\", "
				  "\"preempt_timeout\": \"1ms\"}");
	_cleanup_(layout_freep) struct layout *none = layout_of(*state, "{\"vfs\": 0}");
	_cleanup_(layout_freep) struct layout *slices =
		layout_of(*state, "{\"slices\": [{\"profile\": \"big\", \"count\": 2}]}");

	/* What is said beside the profile goes before the profile. */
	assert_null(l->name);
	assert_int_equal(l->n_vfs, 4);
	assert_int_equal(l->vfs[3].shape.wanted[VF_ATTR_VRAM].value, 3 * GIB);
	assert_int_equal(l->vfs[3].shape.wanted[VF_ATTR_EXEC_QUANTUM].value, 20);
	assert_int_equal(l->vfs[3].shape.wanted[VF_ATTR_PREEMPT_TIMEOUT].value, 1000);
	assert_int_equal(none->n_vfs, 0);
	assert_int_equal(slices->n_vfs, 2);
}

static void test_refusals(void **state)
{
	assert_refused(*state, "4", "", "must be the name of a layout or an object");
	assert_refused(*state, "\"quarter\"", "", "no layout \"quarter\"");
	assert_refused(*state, "{}", "", "either \"vfs\" or \"slices\"");
	assert_refused(*state, "{\"vfs\": 1, \"slices\": []}", "", "either");
	assert_refused(*state, "{\"vfs\": -1}", "/vfs", "is -1");
	assert_refused(*state, "{\"vfs\": 65536}", "/vfs", "between 0 and 65535");
	assert_refused(*state, "{\"vfs\": 1, \"vram\": \"4G\"}", "/vram", "is not an amount");
	assert_refused(*state, "{\"vfs\": 1, \"profile\": \"no\"}", "/profile",
		       "no profile \"no\"");
	assert_refused(*state, "{\"vfs\": 0, \"vram\": \"1GiB\"}", "/vfs", "is 0");
	assert_refused(*state, "{\"vfs\": 1, \"exec_quantum\": \"1us\"}", "/exec_quantum",
		       "whole milliseconds");
	assert_refused(*state, "{\"slices\": [{\"profile\": \"no\", \"count\": 1}]}",
		       "/slices/0/profile", "no profile \"no\"");
	assert_refused(*state,
		       "{\"slices\": [{\"profile\": \"big\", \"count\": 1}], \"vram\": \"1GiB\"}",
		       "/slices", "stands alone");
	assert_refused(*state, "{\"vf\": 1}", "/vf", "unknown member");
	assert_refused(*state, "{\"vfs\": 1, \"contexts\": 0}", "/contexts", "is 0");
	assert_refused(*state, "{\"vfs\": 1, \"doorbells\": 1025}", "/doorbells", "between 1 and 1024");
	assert_refused(*state, "{\"vfs\": 1, \"ggtt\": 4}", "/ggtt", "a bare number has no unit");
	assert_refused(*state, "{\"vfs\": 1, \"priority\": \"high\"}", "/priority", "high");
	assert_refused(*state, "{\"vfs\": 1, \"scheduler\": \"fast\"}", "/scheduler", "fast");
	assert_refused(*state, "{\"vfs\": 0, \"defaults\": true}", "/vfs", "is 0");
}

static void test_stored_form(void **state)
{
	static const char *const texts[] = {
		"\"mixed\"",
		"{\"vfs\": 0}",
		"{\"vfs\": 2, \"vram\": \"fair\", \"exec_quantum\": \"0ms\"}",
		"{\"vfs\": 1, \"vram\": \"12.05%\"}",
		"{\"vfs\": 1, \"vram\": \"5767168B\", \"preempt_timeout\": \"7us\"}",
		"{\"vfs\": 2, \"ggtt\": \"33.33%\", \"contexts\": 1, \"doorbells\": 1024, "
		"\"priority\": \"normal\"}",
		"{\"vfs\": 3, \"defaults\": true, \"scheduler\": \"fixed-30fps\"}",
		"{\"slices\": [{\"profile\": \"big\", \"count\": 1}], \"scheduler\": \"burstable\"}",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_(layout_freep) struct layout *l = layout_of(*state, texts[i]),
						      *again = NULL;
		_cleanup_json_ json_t *json = layout_to_json(l);

		assert_non_null(json);
		assert_int_equal(layout_load(json, &again), 0);
		assert_true(layout_equal(l, again));
	}
}

/* What daemons before these members were there have stored. */
static void test_older_stored_form(void **state)
{
	_cleanup_json_ json_t *json =
		json_of("{\"name\": null, \"vfs\": [{\"profile\": \"big\", \"vram\": \"8GiB\", "
			"\"exec_quantum_ms\": null, \"preempt_timeout_us\": 40000}]}");
	_cleanup_(layout_freep) struct layout *l = NULL;

	assert_int_equal(layout_load(json, &l), 0);
	assert_int_equal(l->n_vfs, 1);
	assert_int_equal(l->vfs[0].shape.wanted[VF_ATTR_VRAM].value, 8 * GIB);
	assert_int_equal(l->vfs[0].shape.wanted[VF_ATTR_GGTT].kind, AMOUNT_UNSET);
	assert_int_equal(l->vfs[0].shape.wanted[VF_ATTR_PREEMPT_TIMEOUT].value, 40000);
	assert_false(l->defaults);
}

static void test_stored_form_is_checked(void **state)
{
	static const char *const texts[] = { "{}", "{\"vfs\": 4}", "{\"vfs\": [4]}",
					     "{\"vfs\": [{\"vram\": \"x\"}]}", "[]" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_json_ json_t *json = json_of(texts[i]);
		struct layout *l = NULL;

		assert_int_equal(layout_load(json, &l), -EINVAL);
		assert_null(l);
	}
}

static void test_equal_sees_each_member(void **state)
{
	static const char *const different[] = {
		"{\"vfs\": 1}",
		"{\"vfs\": 2}",
		"{\"vfs\": 1, \"vram\": \"fair\"}",
		"{\"vfs\": 1, \"vram\": \"1GiB\"}",
		"{\"vfs\": 1, \"vram\": \"2GiB\"}",
		"{\"vfs\": 1, \"exec_quantum\": \"0ms\"}",
		"{\"vfs\": 1, \"exec_quantum\": \"1ms\"}",
		"{\"vfs\": 1, \"preempt_timeout\": \"1us\"}",
		"{\"vfs\": 1, \"profile\": \"quarter\"}",
		"{\"vfs\": 1, \"ggtt\": \"1MiB\"}",
		"{\"vfs\": 1, \"ggtt\": \"10%\"}",
		"{\"vfs\": 1, \"contexts\": 1024}",
		"{\"vfs\": 1, \"doorbells\": 16}",
		"{\"vfs\": 1, \"priority\": \"low\"}",
		"{\"vfs\": 1, \"priority\": \"normal\"}",
		"{\"vfs\": 1, \"defaults\": true}",
		"{\"vfs\": 1, \"scheduler\": \"burstable\"}",
	};
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(different); i++)
		for (k = 0; k < ARRAY_SIZE(different); k++) {
			_cleanup_(layout_freep) struct layout *a = layout_of(*state, different[i]);
			_cleanup_(layout_freep) struct layout *b = layout_of(*state, different[k]);

			assert_int_equal(layout_equal(a, b), i == k);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_name),
		cmocka_unit_test(test_manual),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_stored_form),
		cmocka_unit_test(test_older_stored_form),
		cmocka_unit_test(test_stored_form_is_checked),
		cmocka_unit_test(test_equal_sees_each_member),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
