/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of a cut.  One place knows the order in which a card wants its writes. */
#include "partition/partition-inner.h"

#include <stdio.h>

#include "lib/hash.h"

/* ---- scheduling values: also while VFs run ---- */

static char *tune_text(enum vf_attribute attribute, uint64_t value, const char *whose)
{
	if (attribute == VF_ATTR_PRIORITY)
		return xasprintf("write %s to %s of %s", vf_priority_to_string((enum vf_priority)value),
				 vf_attribute_to_string(attribute), whose);
	return xasprintf("write %llu to %s of %s", (unsigned long long)value,
			 vf_attribute_to_string(attribute), whose);
}

static int add_tune(struct partition_plan *p, const struct gpu_facts *gpu, unsigned vf,
		    enum vf_attribute attribute, struct known before, uint64_t value)
{
	struct partition_step step = {
		.request = { .op = HOST_SET_VF_ATTR, .gpu = gpu->address, .vf = vf,
			     .attribute = attribute, .value = value },
		.file = vf_attribute_to_string(attribute),
		.before = before,
		.expect = true,
		.exactly = value,
	};
	char whose[16];

	snprintf(whose, sizeof(whose), "vf%u", vf);
	return partition_add_step(p, step, tune_text(attribute, value, whose));
}

/* Bulk files are write-only: what came of it is seen when the VFs are read afterwards. */
static int add_bulk(struct partition_plan *p, const struct gpu_facts *gpu, enum vf_attribute attribute,
		    struct known before, uint64_t value)
{
	struct partition_step step = {
		.request = { .op = HOST_SET_BULK_ATTR, .gpu = gpu->address, .attribute = attribute,
			     .value = value },
		.file = vf_attribute_to_string(attribute),
		.before = before,
	};

	return partition_add_step(p, step, tune_text(attribute, value, "all VFs"));
}

static bool is_so(const struct known *present, uint64_t value)
{
	return present && present->known && present->value == value;
}

/* Nothing for those that have it already; fresh VFs have nothing that is known. */
static int add_bulk_when_needed(struct partition_plan *p, const struct gpu_facts *gpu,
				const struct partition_wants *w, enum vf_attribute attribute, bool fresh)
{
	const struct known *wanted = &w->vfs[0].want[attribute].value;
	struct known before = fresh ? (struct known){ 0 } : gpu->vfs[0].values[attribute];
	bool needed = fresh;
	size_t i;

	if (!wanted->known)
		return 0;
	for (i = 0; i < w->n_vfs && !fresh; i++) {
		needed |= !is_so(&gpu->vfs[i].values[attribute], wanted->value);
		if (!is_so(&gpu->vfs[i].values[attribute], before.value))
			before.known = false;
	}
	return needed ? add_bulk(p, gpu, attribute, before, wanted->value) : 0;
}

static int add_tunes_of_vf(struct partition_plan *p, const struct gpu_facts *gpu,
			   const struct partition_wants *w, size_t i, bool fresh)
{
	size_t a;
	int r = 0;

	for (a = VF_RESOURCE_MAX; a < VF_ATTRIBUTE_MAX && r == 0; a++) {
		const struct known *wanted = &w->vfs[i].want[a].value;
		const struct known *present = fresh ? NULL : &gpu->vfs[i].values[a];

		if (gpu_can_set(gpu, (enum vf_attribute)a) && wanted->known &&
		    !is_so(present, wanted->value))
			r = add_tune(p, gpu, (unsigned)i + 1, (enum vf_attribute)a,
				     present ? *present : (struct known){ 0 }, wanted->value);
	}
	return r;
}

static int add_schedule(struct partition_plan *p, const struct gpu_facts *gpu,
			const struct partition_wants *w, bool fresh)
{
	size_t i, a;
	int r = 0;

	for (i = 0; i < w->n_vfs && r == 0; i++)
		r = add_tunes_of_vf(p, gpu, w, i, fresh);
	for (a = VF_RESOURCE_MAX; a < VF_ATTRIBUTE_MAX && r == 0 && w->n_vfs > 0; a++)
		if (gpu->can[a].access == VF_ACCESS_BULK)
			r = add_bulk_when_needed(p, gpu, w, (enum vf_attribute)a, fresh);
	return r;
}

/* ---- the cut ---- */

static int add_quotas(struct partition_plan *p, const struct gpu_facts *gpu,
		      const struct partition_wants *w)
{
	const struct known unknown = { 0 };
	size_t i, a;
	int r = 0;

	for (a = 0; a < VF_RESOURCE_MAX && r == 0; a++)
		if (gpu->can[a].access == VF_ACCESS_BULK && w->vfs[0].want[a].value.known)
			r = add_bulk(p, gpu, (enum vf_attribute)a, unknown,
				     w->vfs[0].want[a].value.value);
	for (i = 0; i < w->n_vfs && r == 0; i++)
		for (a = 0; a < VF_RESOURCE_MAX && r == 0; a++)
			if (gpu_can_set(gpu, (enum vf_attribute)a) && w->vfs[i].want[a].value.known)
				r = partition_add_quota(p, gpu, (unsigned)i + 1, w->vfs[i].tile,
							(enum vf_attribute)a, unknown,
							w->vfs[i].want[a].value.value);
	return r;
}

/* True when every hard resource that the way can set is set: then nothing hangs on the driver's own
 * sharing. */
static bool sets_all_hard(const struct gpu_facts *gpu, const struct partition_wants *w)
{
	bool any = false;
	size_t i, a;

	for (a = 0; a < VF_RESOURCE_MAX; a++)
		for (i = 0; gpu_can_set(gpu, (enum vf_attribute)a) && i < w->n_vfs; i++) {
			if (!w->vfs[i].want[a].value.known && a != VF_ATTR_DOORBELLS)
				return false;
			any = true;
		}
	return any;
}

/* Autoprobe off, through 0, old quotas given back, new ones, enable, scheduling values. Quotas that
 * stay on VFs that are off hold nothing up when no VF is wanted, or when all are written anew. */
static int add_cut(struct partition_plan *p, const struct gpu_facts *gpu,
		   const struct partition_wants *w)
{
	int r = 0;

	if (gpu->autoprobe && w->n_vfs > 0)
		r = partition_add_autoprobe(p, gpu, false);
	if (r == 0 && gpu->num_vfs > 0)
		r = partition_add_numvfs(p, gpu, gpu->num_vfs, 0);
	if (r == 0 && partition_keeps_quotas(gpu))
		r = partition_add_restore(p, gpu, w->n_vfs == 0 || sets_all_hard(gpu, w));
	if (r < 0 || w->n_vfs == 0)
		return r;

	r = add_quotas(p, gpu, w);
	if (r == 0)
		r = partition_add_numvfs(p, gpu, 0, (unsigned)w->n_vfs);
	return r < 0 ? r : add_schedule(p, gpu, w, true);
}

int partition_fill_plan(struct partition_plan *p, const struct gpu_facts *gpu,
			const struct layout *layout, const struct partition_wants *w)
{
	_cleanup_free_ char *why = NULL;
	bool leftovers = layout->n_vfs == 0 && gpu->custom_provisioning;

	/* Scheduling values may change while VFs run; count and hard resources may not. */
	if (partition_shape_matches(gpu, layout, &why) && !leftovers)
		return add_schedule(p, gpu, w, false);
	return add_cut(p, gpu, w);
}

/* ---- the hash ---- */

static void hash_number(struct hash *h, uint64_t n)
{
	hash_add(h, &n, sizeof(n));
}

static void hash_known(struct hash *h, struct known n)
{
	hash_number(h, n.known);
	hash_number(h, n.known ? n.value : 0);
}

static void hash_facts(struct hash *h, const struct gpu_facts *gpu)
{
	size_t i, a;

	hash_add_string(h, PCI_ADDRESS_STR(&gpu->address));
	hash_add_string(h, strempty(gpu->serial));
	hash_add_string(h, strempty(gpu->driver));
	hash_number(h, gpu->vf_control);
	hash_number(h, gpu->total_vfs);
	hash_number(h, gpu->num_vfs);
	hash_number(h, gpu->autoprobe);
	hash_number(h, gpu->tiles);
	hash_number(h, gpu->custom_provisioning);
	for (a = 0; a < VF_ATTRIBUTE_MAX; a++)
		hash_number(h, gpu->can[a].access);
	for (a = 0; a < VF_RESOURCE_MAX; a++) {
		hash_known(h, gpu->resources[a].free);
		hash_known(h, gpu->resources[a].max_quota);
		hash_known(h, gpu->resources[a].spare);
		hash_number(h, gpu->resources[a].standing);
		hash_number(h, gpu->resources[a].grain);
	}
	for (i = 0; i < gpu->n_vfs; i++)
		for (a = 0; a < VF_ATTRIBUTE_MAX; a++)
			hash_known(h, gpu->vfs[i].values[a]);
}

/* What the plan was made from: a card that changed since gives another hash. */
int partition_set_hash(struct partition_plan *p, const struct gpu_facts *gpu,
		       const struct layout *layout)
{
	_cleanup_json_ json_t *json = layout_to_json(layout);
	_cleanup_free_ char *text = json ? json_text(json) : NULL;
	struct hash h;
	size_t i;

	if (!text)
		return -ENOMEM;
	hash_init(&h);
	hash_facts(&h, gpu);
	hash_add_string(&h, text);
	for (i = 0; i < p->n_steps; i++) {
		hash_add_string(&h, p->steps[i].text);
		hash_known(&h, p->steps[i].before);
		hash_number(&h, p->steps[i].optional);
	}
	hash_hex(&h, p->hash);
	return 0;
}

int partition_plan_make(const struct gpu_facts *gpu, const struct layout *layout,
			struct partition_plan **ret, struct rpc_error *ret_error)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
	_cleanup_(partition_wants_done) struct partition_wants w = { 0 };
	int r;

	r = partition_check(gpu, layout, &w, ret_error);
	if (r < 0)
		return r;

	p = calloc(1, sizeof(*p));
	if (!p || partition_fill_plan(p, gpu, layout, &w) < 0 || partition_set_hash(p, gpu, layout) < 0)
		return rpc_error_set(ret_error, RPC_INTERNAL_ERROR, "out of memory");
	p->notes = TAKE_PTR(w.notes);
	p->n_notes = w.n_notes;
	w.n_notes = 0;
	*ret = TAKE_PTR(p);
	return 0;
}
