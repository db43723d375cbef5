/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpu.export: the state of GPUs as a policy document that makes the same state again.  Every GPU is read for it.
 * Where the kernel shows what is wanted the wish itself is written (shares stay shares, names stay names), with the
 * scheduling values that it leaves open; else what the kernel shows, in numbers. */
#include "manager-state.h"
#include "policy/policy-export.h"

/* A time slice that a job has for its queue's weight is the job's, not the layout's. */
static void without_weights(const struct gpu *gpu, struct layout *present)
{
	for (size_t i = 0; i < gpu->n_vfs && i < present->n_vfs; i++) {
		const struct vf_weighted *w = &gpu->vfs[i]->weighted;

		if (w->on || w->writing)
			present->vfs[i].shape.wanted[VF_ATTR_EXEC_QUANTUM] =
				w->before.known ? amount_of(w->before.value) : (struct amount){ .kind = AMOUNT_UNSET };
	}
}

static void add_open_values(struct layout *layout, const struct layout *present)
{
	for (size_t i = 0; i < layout->n_vfs && i < present->n_vfs; i++)
		for (size_t a = VF_RESOURCE_MAX; a < VF_ATTRIBUTE_MAX; a++) {
			const struct amount *is = &present->vfs[i].shape.wanted[a];

			if (layout->vfs[i].shape.wanted[a].kind == AMOUNT_UNSET && is->kind == AMOUNT_BYTES && is->value > 0)
				layout->vfs[i].shape.wanted[a] = *is;
		}
}

/* Returns new; NULL = no memory. */
static struct layout *layout_of(struct manager *m, const struct gpu *gpu, const struct gpu_facts *facts)
{
	_cleanup_(layout_freep) struct layout *present = partition_present(facts);
	_cleanup_(layout_freep) struct layout *expected = gpu_expected(m, gpu);
	struct layout *wanted;

	if (!present)
		return NULL;
	without_weights(gpu, present);
	if (!expected || !partition_matches(facts, expected, NULL))
		return TAKE_PTR(present);
	wanted = gpu_wanted(m, gpu);
	if (wanted && wanted->scheduler == SCHEDULER_NONE)
		add_open_values(wanted, present);
	return wanted;
}

/* ---- what comes from the host ---- */

static void leave_out(struct question *q, const struct gpu *gpu, const char *why)
{
	_cleanup_free_ char *text =
		xasprintf("%s at %s is left out: %s", gpu->name, PCI_ADDRESS_STR(&gpu->address), why);

	json_array_append_new(json_object_get(q->answer, "left_out"), json_string(strempty(text)));
}

static void on_read(struct question *q, const char *name, const struct host_reply *reply)
{
	const struct gpu *gpu = gpu_find(q->m, name);
	_cleanup_(layout_freep) struct layout *layout = NULL;

	if (!gpu)
		return;
	if (reply->r == 0 && reply->n_facts > 0)
		layout = layout_of(q->m, gpu, reply->facts[0]);
	if (layout)
		json_array_append_new(json_object_get(q->answer, "cards"),
				      json_pack("{s:s,s:o}", "address", PCI_ADDRESS_STR(&gpu->address), "layout",
						layout_to_json(layout)));
	else
		leave_out(q, gpu, reply->message ? reply->message : strerror(reply->r < 0 ? -reply->r : ENOMEM));
}

/* ---- the document ---- */

static void cards_free(struct policy_export_card *cards, struct layout **layouts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		layout_free(layouts[i]);
	free(layouts);
	free(cards);
}

static const struct policy_gpu_rule *rule_of(struct manager *m, const struct pci_address *address)
{
	const struct gpu *gpu = gpu_find_address(m, address);

	return gpu && gpu->facts ? policy_match_gpu(m->policy, gpu->facts) : NULL;
}

static json_t *document_of(struct manager *m, const json_t *from)
{
	size_t n = json_array_size(from), i;
	struct policy_export_card *cards = calloc(n + 1, sizeof(*cards));
	struct layout **layouts = calloc(n + 1, sizeof(*layouts));
	json_t *document = NULL, *card;
	int r = cards && layouts ? 0 : -ENOMEM;

	json_array_foreach((json_t *)from, i, card) {
		if (r == 0)
			r = layout_load(json_object_get(card, "layout"), &layouts[i]);
		if (r == 0)
			r = pci_address_parse(strempty(json_get_string(card, "address")), &cards[i].address);
		if (r < 0)
			break;
		cards[i].layout = layouts[i];
		cards[i].rule = rule_of(m, &cards[i].address);
	}
	if (r == 0 && policy_export(cards, n, &document) < 0)
		document = NULL;
	cards_free(cards, layouts, layouts ? n : 0);
	return document;
}

/* The answer is the document itself; what it lacks stands in its description. */
static json_t *finish(struct question *q)
{
	json_t *document = document_of(q->m, json_object_get(q->answer, "cards")), *text;
	_cleanup_free_ char *description = strdup("written by gpuvf export");
	size_t i;

	json_array_foreach(json_object_get(q->answer, "left_out"), i, text) {
		char *longer = xasprintf("%s; %s", strempty(description), json_string_value(text));

		free(description);
		description = longer;
	}
	if (document)
		json_put_string(document, "description", description);
	return document;
}

void manager_gpu_export(struct manager *m, const struct caller *caller,
			const struct gpu_some_params *p, struct reply *reply)
{
	struct gpu *only = p->gpu ? gpu_present(m, p->gpu, reply) : NULL, *gpu, *tmp;
	struct question *q;

	if (p->gpu && !only)
		return;
	q = question_new(m, reply, json_pack("{s:[],s:[]}", "cards", "left_out"));
	if (!q)
		return;
	q->finish = finish;
	HASH_ITER(hh, m->gpus, gpu, tmp) {
		if (only ? gpu != only : gpu->state == GPU_ABSENT)
			continue;
		/* One that nobody cut and nobody wants cut is left as it is by a document without it, too. */
		if (!only && gpu->facts && gpu->facts->num_vfs == 0 && !gpu_layout_source(m, gpu))
			continue;
		if (gpu->stuck || !gpu->facts || gpu->apply)
			leave_out(q, gpu, gpu->apply ? "it is being cut right now" : strempty(gpu->reason));
		else
			question_ask(q, gpu, HOST_READ, on_read);
	}
	question_less(q);
}
