/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exported layouts: loaded again they want the same of each VF, in the same order.  The seed of the random
 * ones is printed. */
#include "policy/policy-export.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/support/random.h"

static struct random rnd;

static struct policy *load(const json_t *document)
{
	_cleanup_free_ char *text = json_dumps(document, JSON_INDENT(1));
	struct policy_source source = { "export.json", text, text ? strlen(text) : 0 };
	json_t *errors = NULL;
	struct policy *p = NULL;

	assert_non_null(text);
	if (policy_build(&source, 1, &p, &errors) < 0)
		fail_msg("%s\n%s", json_string_value(json_array_get(errors, 0)), text);
	return p;
}

static json_t *exported(const struct policy_export_card *cards, size_t n)
{
	json_t *document = NULL;

	assert_int_equal(policy_export(cards, n, &document), 0);
	return document;
}

/* Names may differ where there were none; what is wanted may not. */
static void assert_same(const struct layout *a, const struct layout *b)
{
	size_t i;

	assert_int_equal(a->n_vfs, b->n_vfs);
	assert_int_equal(a->defaults, b->defaults);
	assert_int_equal(a->scheduler, b->scheduler);
	for (i = 0; i < a->n_vfs; i++)
		assert_true(vf_shape_equal(&a->vfs[i].shape, &b->vfs[i].shape));
}

static void assert_comes_back(const struct policy_export_card *cards, size_t n)
{
	_cleanup_json_ json_t *document = exported(cards, n);
	_cleanup_(policy_unrefp) struct policy *p = load(document);
	size_t i;

	for (i = 0; i < n; i++) {
		const struct gpu_facts gpu = { .address = cards[i].address, .numa_node = -1 };
		const struct policy_gpu_rule *rule = policy_match_gpu(p, &gpu);
		_cleanup_(layout_freep) struct layout *again = NULL;

		assert_non_null(rule);
		assert_int_equal(layout_from_policy(p, rule->layout, &again), 0);
		assert_same(cards[i].layout, again);
	}
}

static void name_vf(struct layout *l, size_t vf, const char *profile, uint64_t vram)
{
	assert_int_equal(free_and_strdup(&l->vfs[vf].profile, profile), 0);
	l->vfs[vf].shape.wanted[VF_ATTR_VRAM] = amount_of(vram);
}

static void assert_document(const struct policy_export_card *cards, size_t n, const char *wanted)
{
	_cleanup_json_ json_t *document = exported(cards, n);
	_cleanup_free_ char *text = json_dumps(document, JSON_COMPACT);

	assert_string_equal(text, wanted);
	assert_comes_back(cards, n);
}

/* Names stay, equal things are written once, unequal VFs keep their order. */
static void test_names_and_slices(void **state)
{
	_cleanup_(layout_freep) struct layout *a = layout_new("mixed", 3), *b = layout_new(NULL, 2),
					      *none = layout_new(NULL, 0);
	struct policy_export_card cards[] = {
		{ { 0, 3, 0, 0 }, a }, { { 0, 4, 0, 0 }, a }, { { 0, 5, 0, 0 }, b }, { { 0, 6, 0, 0 }, none },
	};

	name_vf(a, 0, "half", 2 * GIB);
	name_vf(a, 1, "quarter", GIB);
	name_vf(a, 2, "quarter", GIB);
	b->vfs[0].shape.wanted[VF_ATTR_EXEC_QUANTUM] = amount_of(20);
	b->vfs[1].shape.wanted[VF_ATTR_EXEC_QUANTUM] = amount_of(20);
	b->vfs[1].shape.wanted[VF_ATTR_PREEMPT_TIMEOUT] = amount_of(1);
	assert_document(
		cards, 4,
		"{\"version\":1,\"profiles\":[{\"name\":\"half\",\"vram\":\"2GiB\"},"
		"{\"name\":\"quarter\",\"vram\":\"1GiB\"},"
		"{\"name\":\"card-0000-05-00.0\",\"exec_quantum\":\"20ms\"},"
		"{\"name\":\"card-0000-05-00.0-2\",\"exec_quantum\":\"20ms\",\"preempt_timeout\":\"1us\"}],"
		"\"layouts\":[{\"name\":\"mixed\",\"slices\":[{\"profile\":\"half\",\"count\":1},"
		"{\"profile\":\"quarter\",\"count\":2}]},"
		"{\"name\":\"card-0000-05-00.0\",\"slices\":[{\"profile\":\"card-0000-05-00.0\",\"count\":1},"
		"{\"profile\":\"card-0000-05-00.0-2\",\"count\":1}]},"
		"{\"name\":\"card-0000-06-00.0\",\"vfs\":0}],"
		"\"gpus\":[{\"match\":{\"address\":\"0000:03:00.0\"},\"layout\":\"mixed\"},"
		"{\"match\":{\"address\":\"0000:04:00.0\"},\"layout\":\"mixed\"},"
		"{\"match\":{\"address\":\"0000:05:00.0\"},\"layout\":\"card-0000-05-00.0\"},"
		"{\"match\":{\"address\":\"0000:06:00.0\"},\"layout\":\"card-0000-06-00.0\"}]}");
}

/* One name that means two things becomes two. */
static void test_a_name_that_changed_its_meaning(void **state)
{
	_cleanup_(layout_freep) struct layout *a = layout_new("l", 1), *b = layout_new("l", 1);
	struct policy_export_card cards[] = { { { 0, 3, 0, 0 }, a }, { { 0, 4, 0, 0 }, b } };

	name_vf(a, 0, "p", GIB);
	name_vf(b, 0, "p", 2 * GIB);
	assert_document(cards, 2,
			"{\"version\":1,\"profiles\":[{\"name\":\"p\",\"vram\":\"1GiB\"},"
			"{\"name\":\"p-2\",\"vram\":\"2GiB\"}],\"layouts\":[{\"name\":\"l\",\"slices\":"
			"[{\"profile\":\"p\",\"count\":1}]},{\"name\":\"l-2\",\"slices\":"
			"[{\"profile\":\"p-2\",\"count\":1}]}],\"gpus\":"
			"[{\"match\":{\"address\":\"0000:03:00.0\"},\"layout\":\"l\"},"
			"{\"match\":{\"address\":\"0000:04:00.0\"},\"layout\":\"l-2\"}]}");
}

static void test_nothing(void **state)
{
	assert_document(NULL, 0, "{\"version\":1,\"profiles\":[],\"layouts\":[],\"gpus\":[]}");
}

static void random_shape(struct vf_shape *shape)
{
	static const uint64_t most[VF_ATTRIBUTE_MAX] = {
		INT64_MAX, INT64_MAX, VF_SHAPE_CONTEXTS_MAX, VF_SHAPE_DOORBELLS_MAX, 100000, 100000000, 1,
	};
	size_t a;

	for (a = 0; a < VF_ATTRIBUTE_MAX; a++) {
		bool bytes = a == VF_ATTR_VRAM || a == VF_ATTR_GGTT;

		if (random_one_in(&rnd, 2))
			continue;
		shape->wanted[a] = amount_of(random_below(&rnd, most[a]) + 1);
		if (bytes && random_one_in(&rnd, 3))
			shape->wanted[a] =
				(struct amount){ AMOUNT_PERCENT, random_below(&rnd, 10000) + 1 };
		if (bytes && random_one_in(&rnd, 5))
			shape->wanted[a] = (struct amount){ AMOUNT_FAIR, 0 };
	}
}

static struct layout *random_layout(void)
{
	static const char *const names[] = { NULL, "a", "a-2", "no name: of a policy", "b" };
	struct layout *l = layout_new(names[random_below(&rnd, ARRAY_SIZE(names))], random_below(&rnd, 9));
	struct vf_shape shapes[2] = { 0 };
	size_t i;

	assert_non_null(l);
	random_shape(&shapes[0]);
	random_shape(&shapes[1]);
	l->defaults = l->n_vfs > 0 && random_one_in(&rnd, 3);
	l->scheduler = l->n_vfs > 0 ? (enum scheduler_preset)random_below(&rnd, SCHEDULER_PRESET_MAX) :
				      SCHEDULER_NONE;
	for (i = 0; i < l->n_vfs; i++) {
		l->vfs[i].shape = shapes[random_below(&rnd, 2)];
		assert_int_equal(free_and_strdup(&l->vfs[i].profile,
						 names[random_below(&rnd, ARRAY_SIZE(names))]), 0);
	}
	return l;
}

static void test_random_layouts(void **state)
{
	struct policy_export_card cards[4];
	unsigned round;
	size_t i;

	for (round = 0; round < 1000; round++) {
		struct layout *layouts[ARRAY_SIZE(cards)];

		for (i = 0; i < ARRAY_SIZE(cards); i++) {
			layouts[i] = random_layout();
			cards[i] = (struct policy_export_card){ { 0, (unsigned)i + 1, 0, 0 }, layouts[i] };
		}
		assert_comes_back(cards, ARRAY_SIZE(cards));
		for (i = 0; i < ARRAY_SIZE(cards); i++)
			layout_free(layouts[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_slices),
		cmocka_unit_test(test_a_name_that_changed_its_meaning),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_random_layouts),
	};

	rnd = random_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
