/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts by hand and stored ones: a refusal has a reason; what is taken survives its stored form and its
 * export, and on a card either has a plan or is refused with a field or a way out. */
#include "fuzz.h"
#include "partition/partition.h"
#include "policy/policy-export.h"

#define FREE(n, g) { .free = { true, n }, .grain = (g) }

/* Larger ones take long and show nothing more. */
#define VFS_MAX 200

static const char policy_text[] =
	"{\"version\": 1, \"profiles\": [{\"name\": \"half\", \"vram\": \"50%\"}, {\"name\": \"quarter\", "
	"\"vram\": \"25%\", \"exec_quantum\": \"20ms\"}], \"layouts\": [{\"name\": \"l\", \"slices\": "
	"[{\"profile\": \"half\", \"count\": 1}, {\"profile\": \"quarter\", \"count\": 2}]}]}";

static const struct policy *policy(void)
{
	static struct policy *p;
	struct policy_source source = { "fuzz.json", policy_text, strlen(policy_text) };
	json_t *errors = NULL;

	if (!p)
		FUZZ_CHECK(policy_check(&source, 1, &p, &errors) == 0);
	return p;
}

static const struct gpu_facts card = {
	.address = { 0, 3, 0, 0 },
	.device_id = 0x56c0,
	.driver = (char *)"i915",
	.vf_control = VF_CONTROL_I915,
	.sriov_capable = true,
	.total_vfs = 62,
	.numa_node = -1,
	.tiles = 2,
	.can = { { VF_ACCESS_WRITE, NULL }, { VF_ACCESS_WRITE, NULL }, { VF_ACCESS_WRITE, NULL },
		 { VF_ACCESS_WRITE, NULL }, { VF_ACCESS_WRITE, NULL }, { VF_ACCESS_WRITE, NULL },
		 { VF_ACCESS_BULK, NULL } },
	.resources = { FREE(16 * GIB, 2 * MIB), FREE(4 * GIB, 64 * KIB), FREE(65000, 128), FREE(256, 1) },
};

static void check_plan(const struct layout *l)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL, *undo = NULL;
	_cleanup_(layout_freep) struct layout *before = partition_present(&card);
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 }, none = { 0 };

	(void)partition_matches(&card, l, NULL);
	if (partition_plan_make(&card, l, &p, &error) < 0) {
		FUZZ_CHECK(error.message && error.reason && error.hint);
		return;
	}
	FUZZ_CHECK(strlen(p->hash) == 32);
	FUZZ_CHECK(partition_undo_make(&card, before, p, p->n_steps, &undo, &none) == 0);
}

static void check_export(const struct layout *l)
{
	struct policy_export_card cards = { card.address, l };
	_cleanup_(policy_unrefp) struct policy *p = NULL;
	_cleanup_(layout_freep) struct layout *again = NULL;
	_cleanup_json_ json_t *document = NULL;
	_cleanup_free_ char *text = NULL;
	struct policy_source source = { .name = "export.json" };
	json_t *errors = NULL;
	size_t i;

	FUZZ_CHECK(policy_export(&cards, 1, &document) == 0);
	text = json_text(document);
	FUZZ_CHECK(text);
	source.text = text;
	source.size = strlen(text);
	FUZZ_CHECK(policy_check(&source, 1, &p, &errors) == 0);
	FUZZ_CHECK(layout_from_policy(p, policy_match_gpu(p, &card)->layout, &again) == 0);
	FUZZ_CHECK(again->n_vfs == l->n_vfs && again->defaults == l->defaults &&
		   again->scheduler == l->scheduler);
	for (i = 0; i < l->n_vfs; i++)
		FUZZ_CHECK(vf_shape_equal(&again->vfs[i].shape, &l->vfs[i].shape));
}

static void check_stored(const struct layout *l)
{
	_cleanup_(layout_freep) struct layout *again = NULL;
	_cleanup_json_ json_t *json = layout_to_json(l);

	FUZZ_CHECK(json && layout_load(json, &again) == 0);
	FUZZ_CHECK(layout_equal(l, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_string(data, size);
	_cleanup_(json_fault_done) struct json_fault fault = { NULL };
	_cleanup_(layout_freep) struct layout *by_hand = NULL, *stored = NULL;
	_cleanup_json_ json_t *json = NULL;
	json_error_t error;

	if (json_parse(text, size, &json, &error) < 0)
		return 0;
	if (layout_load(json, &stored) == 0)
		check_stored(stored);
	if (stored && stored->n_vfs <= VFS_MAX)
		check_plan(stored);
	if (layout_from_json(policy(), json, &by_hand, &fault) < 0) {
		FUZZ_CHECK(fault.pointer && fault.what);
		return 0;
	}
	if (by_hand->n_vfs > VFS_MAX)
		return 0;
	check_stored(by_hand);
	check_plan(by_hand);
	check_export(by_hand);
	return 0;
}
