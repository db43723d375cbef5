/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpu.assert: what is wanted of a GPU against what its kernel shows at this moment.  Every GPU is read for it;
 * nothing is written. */
#include "manager-state.h"

/* ---- all differences ---- */

static void add_text(json_t *texts, const char *text)
{
	json_t *known;
	size_t i;

	json_array_foreach(texts, i, known)
		if (streq(json_string_value(known), text))
			return;
	json_array_append_new(texts, json_string(text));
}

/* One wish alone: partition/ tells the first difference only. */
static void compare_one(const struct gpu_facts *facts, const struct layout *wanted, size_t i,
			enum vf_attribute attribute, json_t *texts)
{
	_cleanup_(layout_freep) struct layout *one = layout_new(NULL, wanted->n_vfs);
	_cleanup_free_ char *why = NULL;

	if (!one || wanted->vfs[i].shape.wanted[attribute].kind == AMOUNT_UNSET)
		return;
	one->vfs[i].shape.wanted[attribute] = wanted->vfs[i].shape.wanted[attribute];
	if (!partition_matches(facts, one, &why) && why)
		add_text(texts, why);
}

/* In words; an empty array when the kernel shows what is wanted.  Returns new. */
static json_t *differences(const struct gpu_facts *facts, const struct layout *wanted)
{
	_cleanup_free_ char *why = NULL;
	json_t *texts = json_array();

	if (partition_matches(facts, wanted, &why))
		return texts;
	for (size_t i = 0; i < wanted->n_vfs && facts->n_vfs == wanted->n_vfs; i++)
		for (size_t a = 0; a < VF_ATTRIBUTE_MAX; a++)
			compare_one(facts, wanted, i, (enum vf_attribute)a, texts);
	if (json_array_size(texts) == 0)
		add_text(texts, why ? why : "the kernel shows another layout");
	return texts;
}

/* ---- answers ---- */

/* Takes differences; NULL = nothing is wanted. */
static void answer_for(struct question *q, const struct gpu *gpu, const struct layout *wanted,
		       json_t *differences)
{
	bool same = json_array_size(differences) == 0;
	const struct policy_gpu_rule *rule =
		gpu->facts ? policy_match_gpu(q->m->policy, gpu->facts) : NULL;
	json_t *json = json_pack("{s:s,s:s,s:b,s:o,s:o,s:s}", "gpu", gpu->name, "address",
				 PCI_ADDRESS_STR(&gpu->address), "same", (int)same, "layout",
				 wanted ? layout_to_json(wanted) : json_null(), "differences", differences, "state",
				 gpu_state_to_string(gpu->state));

	json_put_string(json, "layout_source", gpu_layout_source(q->m, gpu));
	json_put_bool(json, "pinned", gpu->manual && rule && rule->layout);
	json_array_append_new(json_object_get(q->answer, "gpus"), json);
	if (!same)
		json_put_bool(q->answer, "same", false);
}

static json_t *one_difference(char *text) /* takes text */
{
	json_t *texts = json_array();

	json_array_append_new(texts, json_string(strempty(text)));
	free(text);
	return texts;
}

static void on_read(struct question *q, const char *name, const struct host_reply *reply)
{
	struct gpu *gpu = gpu_find(q->m, name);
	_cleanup_(layout_freep) struct layout *wanted = gpu ? gpu_expected(q->m, gpu) : NULL;
	struct gpu_facts *copy = NULL;

	if (!gpu || !wanted) /* it vanished, or its last wish went meanwhile */
		return;
	if (reply->r < 0 || reply->n_facts == 0) {
		answer_for(q, gpu, wanted,
			   one_difference(xasprintf("it cannot be read: %s",
						    reply->message ? reply->message : strerror(-reply->r))));
		return;
	}
	answer_for(q, gpu, wanted, differences(reply->facts[0], wanted));
	copy = gpu->apply ? NULL : gpu_facts_copy(reply->facts[0]);
	if (copy)
		gpu_update(q->m, copy); /* what assert has seen, drift shows too */
}

static void assert_gpu(struct question *q, struct gpu *gpu)
{
	_cleanup_(layout_freep) struct layout *wanted = gpu_expected(q->m, gpu);

	if (!wanted)
		answer_for(q, gpu, NULL, json_array());
	else if (gpu->stuck)
		answer_for(q, gpu, wanted, one_difference(xasprintf("it cannot be read: %s", strempty(gpu->reason))));
	else if (gpu->apply)
		answer_for(q, gpu, wanted, one_difference(strdup("it is being cut right now")));
	else
		question_ask(q, gpu, HOST_READ, on_read);
}

void manager_gpu_assert(struct manager *m, const struct caller *caller,
			const struct gpu_some_params *p, struct reply *reply)
{
	struct gpu *only = p->gpu ? gpu_present(m, p->gpu, reply) : NULL, *gpu, *tmp;
	struct question *q;

	if (p->gpu && !only)
		return;
	q = question_new(m, reply, json_pack("{s:b,s:[]}", "same", 1, "gpus"));
	if (!q)
		return;
	HASH_ITER(hh, m->gpus, gpu, tmp)
		if (gpu == only || (!only && gpu->state != GPU_ABSENT))
			assert_gpu(q, gpu);
	question_less(q);
}
