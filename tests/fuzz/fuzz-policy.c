/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policy texts: a refusal has a place and a reason, an accepted set is complete in itself, and
 * every layout of it survives its stored form. */
#include "fuzz.h"
#include "policy/layout.h"

/* Expanding a layout of 65,535 VFs each time would leave no time for anything else. */
#define EXPANDED_MAX 256

static void check_refusal(json_t *errors)
{
	size_t i;

	FUZZ_CHECK(json_array_size(errors) > 0);
	for (i = 0; i < json_array_size(errors); i++) {
		const char *text = json_string_value(json_array_get(errors, i));
		unsigned line = 0, column = 0;

		if (strncmp(text, "…", strlen("…")) == 0)
			continue; /* the count of those that are not told */
		FUZZ_CHECK(sscanf(text, "fuzz.json:%u:%u: /", &line, &column) == 2);
		FUZZ_CHECK(line >= 1 && column >= 1);
	}
	json_decref(errors);
}

static void check_layout(const struct policy *p, const struct policy_layout *from)
{
	_cleanup_(layout_freep) struct layout *l = NULL, *again = NULL;
	_cleanup_json_ json_t *json = NULL;
	size_t total = 0, i;

	for (i = 0; i < from->n_slices; i++)
		total += from->slices[i].count;
	if (total > EXPANDED_MAX)
		return;
	FUZZ_CHECK(layout_from_policy(p, from, &l) == 0);
	FUZZ_CHECK(l->n_vfs == total);
	json = layout_to_json(l);
	FUZZ_CHECK(json && layout_load(json, &again) == 0);
	FUZZ_CHECK(layout_equal(l, again));
}

static void check_policy(const struct policy *p)
{
	const struct gpu_facts gpu = { .numa_node = -1 };
	size_t i;

	FUZZ_CHECK(policy_default_queue(p));
	FUZZ_CHECK(strlen(p->revision) == 16);
	for (i = 0; i < p->n_layouts; i++)
		check_layout(p, &p->layouts[i]);
	for (i = 0; i < p->n_gpus; i++)
		check_layout(p, p->gpus[i].layout);
	for (i = 0; i < p->n_vms; i++)
		FUZZ_CHECK(p->vms[i].slots >= 1);
	(void)policy_match_gpu(p, &gpu);
	(void)policy_match_vm(p, "trainer-1");
	FUZZ_CHECK(policy_role(p, 1, NULL, 0, 1, 0) < ROLE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_string(data, size);
	struct policy_source source = { "fuzz.json", text, size };
	_cleanup_(policy_unrefp) struct policy *p = NULL, *again = NULL;
	json_t *errors = NULL;

	if (policy_build(&source, 1, &p, &errors) < 0) {
		check_refusal(errors);
		return 0;
	}
	check_policy(p);
	FUZZ_CHECK(policy_build(&source, 1, &again, &errors) == 0);
	FUZZ_CHECK(streq(p->revision, again->revision));
	return 0;
}
