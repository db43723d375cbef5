/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Refuses layouts that a card cannot have, before anything is written; each refusal names the field and
 * says what would do. */
#include "partition/partition-inner.h"

#include <stdio.h>

static int refuse(struct rpc_error *error, const char *reason, const char *field, const char *hint)
{
	return rpc_error_detail(error, reason, field, hint);
}

/* The helper's own words when it has some: it saw the files. */
static int check_capable(const struct gpu_facts *gpu, struct rpc_error *error)
{
	char name[GPU_NAME_SIZE];

	partition_gpu_name(gpu, name);
	if (!gpu->sriov_capable) {
		rpc_error_set(error, RPC_UNSUPPORTED, "%s cannot be cut: %s", name,
			      gpu->reason ? gpu->reason : "the kernel shows no SR-IOV on it");
		return refuse(error, "no_sriov", NULL, "`gpuvf doctor` shows what the kernel says");
	}
	if (!gpu->driver) {
		rpc_error_set(error, RPC_UNSUPPORTED, "%s cannot be cut: %s", name,
			      gpu->reason ? gpu->reason : "no driver is bound to it");
		return refuse(error, "no_driver", NULL, "load xe or i915 for this card");
	}
	if (gpu->total_vfs == 0 || gpu->vf_control == VF_CONTROL_NONE) {
		rpc_error_set(error, RPC_UNSUPPORTED, "%s cannot be cut: %s", name,
			      gpu->reason ? gpu->reason : "its driver allows no VFs");
		return refuse(error, "vfs_off", NULL, "see the driver's max_vfs parameter");
	}
	return 0;
}

static int check_count(const struct gpu_facts *gpu, size_t n, struct rpc_error *error)
{
	_cleanup_free_ char *hint = NULL;
	char name[GPU_NAME_SIZE];

	partition_gpu_name(gpu, name);
	if (n > gpu->total_vfs) {
		hint = xasprintf("ask for at most %u", gpu->total_vfs);
		rpc_error_set(error, RPC_NO_FIT, "%s has at most %u VFs, %zu were asked for", name,
			      gpu->total_vfs, n);
		return refuse(error, "too_many_vfs", "vfs", hint);
	}
	if (gpu->tiles > 1 && n > 1 && n % gpu->tiles != 0) {
		size_t fewer = n - n % gpu->tiles, more = fewer + gpu->tiles;

		fewer = MAX_OF(fewer, (size_t)1);
		hint = more <= gpu->total_vfs ? xasprintf("ask for %zu or %zu", fewer, more) :
						xasprintf("ask for %zu", fewer);
		rpc_error_set(error, RPC_NO_FIT, "%s has %u tiles: %zu VFs cannot be spread evenly", name,
			      gpu->tiles, n);
		return refuse(error, "uneven_tiles", "vfs", hint);
	}
	return 0;
}

static bool asks(const struct layout *l, size_t vf, enum vf_attribute attribute)
{
	const struct amount *a = &l->vfs[vf].shape.wanted[attribute];

	return a->kind == AMOUNT_BYTES || a->kind == AMOUNT_PERCENT;
}

static size_t count_asking(const struct layout *l, enum vf_attribute attribute)
{
	size_t i, n = 0;

	for (i = 0; i < l->n_vfs; i++)
		n += asks(l, i, attribute);
	return n;
}

static bool all_ask_the_same(const struct layout *l, enum vf_attribute attribute)
{
	const struct amount *first = &l->vfs[0].shape.wanted[attribute];
	size_t i;

	for (i = 0; i < l->n_vfs; i++) {
		const struct amount *a = &l->vfs[i].shape.wanted[attribute];

		if (a->kind != first->kind || a->value != first->value)
			return false;
	}
	return true;
}

static const struct {
	const char *words, *reason, *hint;
} attributes[VF_ATTRIBUTE_MAX] = {
	[VF_ATTR_VRAM] = { "VRAM quota", "no_vram_quota",
			   "leave vram out: the driver shares it equally" },
	[VF_ATTR_GGTT] = { "GGTT quota", "no_ggtt_quota",
			   "leave ggtt out: the driver shares it equally" },
	[VF_ATTR_CONTEXTS] = { "contexts quota", "no_contexts_quota",
			       "leave contexts out: the driver shares them equally" },
	[VF_ATTR_DOORBELLS] = { "doorbells quota", "no_doorbells_quota",
				"leave doorbells out: the driver shares them equally" },
	[VF_ATTR_EXEC_QUANTUM] = { "exec quantum", "no_scheduling", "leave exec_quantum out" },
	[VF_ATTR_PREEMPT_TIMEOUT] = { "preempt timeout", "no_scheduling", "leave preempt_timeout out" },
	[VF_ATTR_PRIORITY] = { "priority", "no_priority", "leave priority out, or make it low" },
};

/* "low" is what a driver gives by itself: fine where it cannot be written, unless something else is
 * shown. */
static bool is_what_drivers_give(const struct gpu_facts *gpu, const struct layout *l,
				 enum vf_attribute attribute)
{
	size_t i;

	if (attribute != VF_ATTR_PRIORITY)
		return false;
	for (i = 0; i < l->n_vfs; i++)
		if (asks(l, i, attribute) && l->vfs[i].shape.wanted[attribute].value != VF_PRIORITY_LOW)
			return false;
	for (i = 0; i < gpu->n_vfs; i++)
		if (gpu->vfs[i].values[attribute].known &&
		    gpu->vfs[i].values[attribute].value != VF_PRIORITY_LOW)
			return false;
	return true;
}

static int check_offered(const struct gpu_facts *gpu, const struct layout *l,
			 enum vf_attribute attribute, struct rpc_error *error)
{
	const struct vf_ability *can = &gpu->can[attribute];
	const char *field = vf_shape_member_to_string(attribute), *why = can->why;
	_cleanup_free_ char *hint = NULL;
	char name[GPU_NAME_SIZE];

	if (count_asking(l, attribute) == 0 || can->access == VF_ACCESS_WRITE)
		return 0;
	partition_gpu_name(gpu, name);
	if (can->access == VF_ACCESS_BULK) {
		if (all_ask_the_same(l, attribute))
			return 0;
		rpc_error_set(error, RPC_UNSUPPORTED, "%s takes one %s for all VFs together only", name,
			      attributes[attribute].words);
		hint = xasprintf("give every VF the same %s, or leave it out", field);
		return refuse(error, "bulk_only", field, hint);
	}
	if (is_what_drivers_give(gpu, l, attribute))
		return 0;
	if (!why)
		why = gpu->vf_control == VF_CONTROL_GENERIC ? "the driver offers the number of VFs only" :
							      "the driver does not let it be written";
	rpc_error_set(error, RPC_UNSUPPORTED, "%s takes no %s: %s", name, attributes[attribute].words, why);
	if (l->scheduler != SCHEDULER_NONE && attribute >= VF_RESOURCE_MAX)
		hint = xasprintf("%s, and scheduler, too", attributes[attribute].hint);
	return refuse(error, attributes[attribute].reason, field,
		      hint ? hint : attributes[attribute].hint);
}

/* One VF with a quota ends the driver's sharing: the others would come up without VRAM. */
static int check_all_or_none(const struct gpu_facts *gpu, const struct layout *l,
			     struct rpc_error *error)
{
	size_t asking = count_asking(l, VF_ATTR_VRAM);
	char name[GPU_NAME_SIZE];

	if (asking == 0 || asking == l->n_vfs)
		return 0;
	rpc_error_set(error, RPC_UNSUPPORTED,
		      "%s: %zu of %zu VFs ask for VRAM, the others would get none",
		      partition_gpu_name(gpu, name), asking, l->n_vfs);
	return refuse(error, "vram_all_or_none", "vram", "give vram to every VF, or to none");
}

/* What one hard resource has to give, and what is asked of it. */
struct limit {
	enum vf_attribute attribute;
	unsigned places; /* 1, or tiles that hold VFs by turns */
	uint64_t stock;	 /* of a place; UINT64_MAX = unknown */
	uint64_t single; /* largest quota; UINT64_MAX = unknown */
	uint64_t n;	 /* VFs of a place */
};

/* Without VFs the largest hole is what one quota can be; with VFs the holes change before it is needed. */
static struct limit limit_of(const struct gpu_facts *gpu, size_t n_vfs, enum vf_attribute attribute)
{
	unsigned places = partition_places(gpu, n_vfs);
	struct known stock = partition_place_stock(gpu, attribute, n_vfs, partition_stock(gpu, attribute));
	const struct known *hole = &gpu->resources[attribute].max_quota;
	struct limit l = { attribute, places, UINT64_MAX, UINT64_MAX, n_vfs / places };

	if (stock.known)
		l.stock = stock.value;
	if (hole->known && gpu->num_vfs == 0 && !gpu->custom_provisioning)
		l.single = partition_place_stock(gpu, attribute, n_vfs, *hole).value;
	/* In bulk every VF gets it that the driver allows, also those that stay off. */
	if (gpu->can[attribute].access == VF_ACCESS_BULK)
		l.n = gpu->total_vfs;
	return l;
}

static const char *exact(enum vf_attribute attribute, uint64_t value, char *buf, size_t size)
{
	if (attribute == VF_ATTR_VRAM || attribute == VF_ATTR_GGTT)
		return size_format_exact(value, buf, size);
	return partition_amount(attribute, value, buf, size);
}

/* An amount that all VFs can have, or how many VFs there can be. */
static char *limit_hint(const struct gpu_facts *gpu, const struct limit *l, size_t n_vfs)
{
	uint64_t grain = partition_grain(gpu, l->attribute);
	uint64_t each = MIN_OF(l->stock / l->n, l->single);
	char text[32];

	each -= each % grain;
	if (each > 0)
		return xasprintf("at most %s for each of %zu VFs",
				 exact(l->attribute, each, text, sizeof(text)), n_vfs);
	if (l->single < grain || l->stock < grain)
		return xasprintf("nothing is left of it; leave %s out",
				 vf_shape_member_to_string(l->attribute));
	return xasprintf("ask for at most %llu VFs",
			 (unsigned long long)(l->stock / grain * l->places));
}

static const char *words_of(enum vf_attribute attribute)
{
	return attribute == VF_ATTR_VRAM ? "VRAM" :
	       attribute == VF_ATTR_GGTT ? "GGTT" :
					   vf_shape_member_to_string(attribute);
}

static int refuse_limit(const struct gpu_facts *gpu, const struct limit *l, size_t n_vfs, uint64_t asked,
			bool single, struct rpc_error *error)
{
	const char *member = vf_shape_member_to_string(l->attribute);
	_cleanup_free_ char *hint = limit_hint(gpu, l, n_vfs);
	_cleanup_free_ char *reason = xasprintf("%s_%s", member, single ? "too_large" : "exceeded");
	char name[GPU_NAME_SIZE], asked_text[32], has_text[32];

	partition_gpu_name(gpu, name);
	partition_amount(l->attribute, asked, asked_text, sizeof(asked_text));
	partition_amount(l->attribute, single ? l->single : l->stock, has_text, sizeof(has_text));
	if (single)
		rpc_error_set(error, RPC_NO_FIT,
			      "%s can give one VF at most %s of %s now, %s were asked for", name, has_text,
			      words_of(l->attribute), asked_text);
	else
		rpc_error_set(error, RPC_NO_FIT, "%s has %s of %s for VFs%s, %llu VFs ask for %s together",
			      name, has_text, words_of(l->attribute),
			      l->places > 1 ? " on each tile" : "", (unsigned long long)l->n, asked_text);
	return refuse(error, reason, member, hint);
}

static int check_place(const struct gpu_facts *gpu, const struct partition_wants *w,
		       const struct limit *l, unsigned tile, struct rpc_error *error)
{
	bool bulk = gpu->can[l->attribute].access == VF_ACCESS_BULK;
	uint64_t sum = 0, value;
	size_t i;

	for (i = 0; i < w->n_vfs; i++) {
		if (w->vfs[i].tile != tile || !w->vfs[i].want[l->attribute].value.known)
			continue;
		value = w->vfs[i].want[l->attribute].value.value;
		if (value > l->single)
			return refuse_limit(gpu, l, w->n_vfs, value, true, error);
		if (bulk && __builtin_mul_overflow(value, (uint64_t)gpu->total_vfs, &sum))
			sum = UINT64_MAX;
		else if (!bulk && __builtin_add_overflow(sum, value, &sum))
			sum = UINT64_MAX;
	}
	return sum > l->stock ? refuse_limit(gpu, l, w->n_vfs, sum, false, error) : 0;
}

/* What is left to the driver must do for all, too. */
static int check_shared(const struct gpu_facts *gpu, const struct partition_wants *w,
			const struct limit *l, struct rpc_error *error)
{
	uint64_t grain = partition_grain(gpu, l->attribute);
	uint64_t most = l->stock / grain * l->places, single = l->stock >= grain / l->places;
	_cleanup_free_ char *reason = NULL, *hint = NULL;
	char name[GPU_NAME_SIZE], text[32];
	size_t i;

	if (gpu->can[l->attribute].access == VF_ACCESS_NONE || l->attribute == VF_ATTR_DOORBELLS)
		return 0;
	for (i = 0; i < w->n_vfs; i++)
		if (w->vfs[i].want[l->attribute].value.known)
			return 0;
	if (most >= w->n_vfs)
		return 0;
	reason = xasprintf("%s_exceeded", vf_shape_member_to_string(l->attribute));
	most = MAX_OF(most, single); /* one VF is spread over all tiles */
	hint = most > 0 ? xasprintf("ask for at most %llu VFs", (unsigned long long)most) :
			  strdup("the PF or somebody else has it: `gpuvf show` says what is free");
	rpc_error_set(error, RPC_NO_FIT, "%s has %s of %s for VFs: too little to be shared among %zu",
		      partition_gpu_name(gpu, name),
		      partition_amount(l->attribute, l->stock, text, sizeof(text)), words_of(l->attribute),
		      w->n_vfs);
	return refuse(error, reason, "vfs", hint);
}

static int check_limits(const struct gpu_facts *gpu, const struct partition_wants *w,
			struct rpc_error *error)
{
	size_t a;
	unsigned t;
	int r = 0;

	for (a = 0; a < VF_RESOURCE_MAX && r == 0 && w->n_vfs > 0; a++) {
		struct limit l = limit_of(gpu, w->n_vfs, (enum vf_attribute)a);

		for (t = 0; t < l.places && r == 0; t++)
			r = check_place(gpu, w, &l, l.places > 1 ? t + 1 : 0, error);
		if (r == 0)
			r = check_shared(gpu, w, &l, error);
	}
	return r;
}

static int check_layout(const struct gpu_facts *gpu, const struct layout *expanded,
			struct partition_wants *w, struct rpc_error *error)
{
	size_t a;
	int r = 0;

	for (a = 0; a < VF_ATTRIBUTE_MAX && r == 0; a++)
		r = check_offered(gpu, expanded, (enum vf_attribute)a, error);
	if (r == 0)
		r = check_all_or_none(gpu, expanded, error);
	if (r == 0)
		r = partition_number(gpu, expanded, w, error);
	if (r == 0)
		r = partition_complete(gpu, w, error);
	return r < 0 ? r : check_limits(gpu, w, error);
}

int partition_check(const struct gpu_facts *gpu, const struct layout *layout,
		    struct partition_wants *ret, struct rpc_error *error)
{
	_cleanup_(layout_freep) struct layout *expanded = NULL;
	struct partition_wants w = { 0 };
	int r = 0;

	if (layout->n_vfs > 0)
		r = check_capable(gpu, error);
	if (r == 0 && layout->n_vfs > 0)
		r = check_count(gpu, layout->n_vfs, error);
	if (r == 0)
		r = partition_expand(gpu, layout, &expanded, &w, error);
	if (r == 0)
		r = check_layout(gpu, expanded, &w, error);
	if (r == -ENOMEM)
		r = rpc_error_set(error, RPC_INTERNAL_ERROR, "out of memory");
	if (r < 0) {
		partition_wants_done(&w);
		return r;
	}
	*ret = w;
	return 0;
}
