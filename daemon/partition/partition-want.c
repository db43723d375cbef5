/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a layout means on one card: the table of the device filled in, shares as numbers, hard resources
 * completed where a driver wants all of them or none.  Used for planning, which refuses, and for
 * comparing, which does not. */
#include "partition/partition-inner.h"

#include <stdio.h>

#include "partition/device-defaults.h"

/* GuC's own numbers, per GT; the PF keeps 256 contexts (reference 2.6). */
#define CONTEXTS_MAX 65535
#define CONTEXTS_OF_PF 256
#define DOORBELLS_MAX 256

/* The share of GGTT above that many VFs, where a power of two would waste too much (reference 2.6). */
#define GGTT_MANY_VFS 56
#define GGTT_MANY_SHARE (56 * MIB)

const char *partition_gpu_name(const struct gpu_facts *gpu, char buf[static GPU_NAME_SIZE])
{
	snprintf(buf, GPU_NAME_SIZE, "%.100s at %s", gpu->model ? gpu->model : "GPU",
		 PCI_ADDRESS_STR(&gpu->address));
	return buf;
}

const char *partition_amount(enum vf_attribute attribute, uint64_t value, char *buf, size_t size)
{
	if (attribute == VF_ATTR_VRAM || attribute == VF_ATTR_GGTT)
		return size_format(value, buf, size);
	snprintf(buf, size, "%llu", (unsigned long long)value);
	return buf;
}

void partition_wants_done(struct partition_wants *w)
{
	size_t i;

	for (i = 0; i < w->n_notes; i++)
		free(w->notes[i]);
	free(w->notes);
	free(w->vfs);
	*w = (struct partition_wants){ 0 };
}

int partition_note(char ***notes, size_t *n_notes, char *text)
{
	char **longer = text ? reallocarray(*notes, *n_notes + 1, sizeof(*longer)) : NULL;

	if (!longer) {
		free(text);
		return -ENOMEM;
	}
	*notes = longer;
	longer[(*n_notes)++] = text;
	return 0;
}

bool partition_is_moded(const struct gpu_facts *gpu)
{
	return gpu->vf_control == VF_CONTROL_I915 || gpu->vf_control == VF_CONTROL_XE_DEBUGFS;
}

/* debugfs of xe has no file that says the mode: while VFs are on, nobody can tell. */
bool partition_keeps_quotas(const struct gpu_facts *gpu)
{
	return gpu->custom_provisioning || (gpu->vf_control == VF_CONTROL_XE_DEBUGFS && gpu->num_vfs > 0);
}

unsigned partition_places(const struct gpu_facts *gpu, size_t n_vfs)
{
	return gpu->tiles > 1 && n_vfs > 1 && partition_is_moded(gpu) ? gpu->tiles : 1;
}

/* A VF of several tiles has as many contexts and doorbells on each of them. */
static bool is_of_each_tile(const struct gpu_facts *gpu, enum vf_attribute attribute)
{
	return (attribute == VF_ATTR_CONTEXTS || attribute == VF_ATTR_DOORBELLS) && partition_is_moded(gpu);
}

struct known partition_place_stock(const struct gpu_facts *gpu, enum vf_attribute attribute, size_t n_vfs,
				   struct known of_all)
{
	of_all.value /= is_of_each_tile(gpu, attribute) ? MAX_OF(gpu->tiles, 1u) : partition_places(gpu, n_vfs);
	return of_all;
}

uint64_t partition_grain(const struct gpu_facts *gpu, enum vf_attribute attribute)
{
	static const uint64_t usual[VF_RESOURCE_MAX] = {
		[VF_ATTR_VRAM] = PARTITION_VRAM_GRAIN,
		[VF_ATTR_GGTT] = 4 * KIB,
		[VF_ATTR_CONTEXTS] = 1,
		[VF_ATTR_DOORBELLS] = 1,
	};

	return gpu->resources[attribute].grain ? gpu->resources[attribute].grain : usual[attribute];
}

struct known partition_capacity(const struct gpu_facts *gpu, enum vf_attribute attribute)
{
	struct known capacity = gpu->resources[attribute].free;
	bool spread = is_of_each_tile(gpu, attribute) && partition_places(gpu, gpu->n_vfs) == 1;
	size_t i;

	if (__builtin_add_overflow(capacity.value, gpu->resources[attribute].standing, &capacity.value))
		capacity.value = UINT64_MAX;
	for (i = 0; i < gpu->n_vfs && capacity.known; i++) {
		const struct known *has = &gpu->vfs[i].values[attribute];

		if (has->known && __builtin_add_overflow(capacity.value, has->value * (spread ? MAX_OF(gpu->tiles, 1u) : 1),
							 &capacity.value))
			capacity.value = UINT64_MAX;
	}
	return capacity;
}

struct known partition_stock(const struct gpu_facts *gpu, enum vf_attribute attribute)
{
	struct known stock = partition_capacity(gpu, attribute);
	uint64_t tiles = MAX_OF(gpu->tiles, 1u), most;

	if (attribute != VF_ATTR_CONTEXTS && attribute != VF_ATTR_DOORBELLS)
		return stock;
	most = tiles * (attribute == VF_ATTR_CONTEXTS ? CONTEXTS_MAX - CONTEXTS_OF_PF : DOORBELLS_MAX);
	return (struct known){ true, stock.known ? MIN_OF(stock.value, most) : most };
}

/* ---- the table of the device ---- */

static int refuse_defaults(const struct gpu_facts *gpu, const struct device_defaults *d, size_t n,
			   struct rpc_error *error)
{
	_cleanup_free_ char *counts = d ? device_defaults_counts(d) : NULL, *hint = NULL;
	char name[GPU_NAME_SIZE];

	partition_gpu_name(gpu, name);
	if (!d) {
		rpc_error_set(error, RPC_UNSUPPORTED,
			      "the table of devices has no defaults for %s (%04x)", name, gpu->device_id);
		return rpc_error_detail(error, "no_defaults", "defaults",
					"leave defaults out: the driver shares equally");
	}
	hint = xasprintf("ask for one of %s VFs, or leave defaults out", strempty(counts));
	rpc_error_set(error, RPC_NO_FIT, "the table of devices has no defaults for %zu VFs on %s", n, name);
	return rpc_error_detail(error, "no_defaults_for_count", "vfs", hint);
}

/* The column with ECC, when all VFs together find no room by the other one. */
static uint64_t vram_of(const struct gpu_facts *gpu, const struct device_share *share, size_t n)
{
	struct known room = partition_capacity(gpu, VF_ATTR_VRAM);

	if (!room.known)
		room = gpu->vram_bytes;
	return room.known && share->vram_bytes > room.value / n ? share->vram_ecc_bytes :
								  share->vram_bytes;
}

static int fill_defaults(const struct gpu_facts *gpu, struct layout *l, struct partition_wants *notes,
			 struct rpc_error *error)
{
	const struct device_defaults *d = device_defaults_find(gpu->device_id);
	struct device_share share;
	uint64_t values[VF_RESOURCE_MAX];
	size_t i, a;
	int r = 0;

	if (!d || !device_defaults_share(d, (unsigned)l->n_vfs, &share))
		return error ? refuse_defaults(gpu, d, l->n_vfs, error) : 0;

	values[VF_ATTR_VRAM] = vram_of(gpu, &share, l->n_vfs);
	values[VF_ATTR_GGTT] = share.ggtt_bytes;
	values[VF_ATTR_CONTEXTS] = share.contexts;
	values[VF_ATTR_DOORBELLS] = share.doorbells;
	for (a = 0; a < VF_RESOURCE_MAX && r == 0; a++) {
		uint64_t value = values[a] - values[a] % partition_grain(gpu, (enum vf_attribute)a);

		if (!gpu_can_set(gpu, (enum vf_attribute)a)) {
			r = partition_note(&notes->notes, &notes->n_notes,
					   xasprintf("%s is left to the driver: this way cannot set it",
						     vf_attribute_to_string((enum vf_attribute)a)));
			continue;
		}
		for (i = 0; i < l->n_vfs && value > 0; i++)
			if (l->vfs[i].shape.wanted[a].kind == AMOUNT_UNSET)
				l->vfs[i].shape.wanted[a] = amount_of(value);
	}
	return r;
}

static int fill_preset(const struct gpu_facts *gpu, struct layout *l, struct rpc_error *error)
{
	char name[GPU_NAME_SIZE];
	size_t i;

	if (!device_has_preset(gpu->device_id, l->scheduler)) {
		if (!error)
			return 0;
		rpc_error_set(error, RPC_UNSUPPORTED, "%s is not for %s",
			      scheduler_preset_to_string(l->scheduler), partition_gpu_name(gpu, name));
		return rpc_error_detail(error, "no_preset", "scheduler",
					"burstable is for every card; or give exec_quantum and "
					"preempt_timeout");
	}
	for (i = 0; i < l->n_vfs; i++)
		scheduler_preset_fill(l->scheduler, (unsigned)l->n_vfs, &l->vfs[i].shape);
	return 0;
}

int partition_expand(const struct gpu_facts *gpu, const struct layout *layout, struct layout **ret,
		     struct partition_wants *notes, struct rpc_error *error)
{
	_cleanup_(layout_freep) struct layout *l = layout_copy(layout);
	int r = 0;

	if (!l)
		return -ENOMEM;
	if (l->n_vfs > 0 && l->defaults)
		r = fill_defaults(gpu, l, notes, error);
	if (r == 0 && l->n_vfs > 0 && l->scheduler != SCHEDULER_NONE)
		r = fill_preset(gpu, l, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(l);
	return 0;
}

/* ---- shares become numbers ---- */

static int refuse_share_unknown(const struct gpu_facts *gpu, enum vf_attribute attribute,
				struct rpc_error *error)
{
	const char *member = vf_shape_member_to_string(attribute);
	_cleanup_free_ char *reason = xasprintf("%s_unknown", member);
	char name[GPU_NAME_SIZE];

	rpc_error_set(error, RPC_UNSUPPORTED,
		      "%s does not tell how much %s is free, so a share of it is unknown",
		      partition_gpu_name(gpu, name), attribute == VF_ATTR_VRAM ? "VRAM" : "GGTT");
	return rpc_error_detail(error, reason, member, "write a size such as \"4GiB\"");
}

static int refuse_share_small(const struct gpu_facts *gpu, enum vf_attribute attribute, size_t vf,
			      uint64_t capacity, struct rpc_error *error)
{
	const char *member = vf_shape_member_to_string(attribute);
	_cleanup_free_ char *reason = xasprintf("%s_too_small", member), *hint = NULL;
	uint64_t grain = partition_grain(gpu, attribute), least;
	char name[GPU_NAME_SIZE], grain_text[32], capacity_text[32];

	/* hundredths of a percent, rounded up */
	least = capacity > 0 ? (uint64_t)(((unsigned __int128)grain * 10000 + capacity - 1) / capacity) : 0;
	size_format_exact(grain, grain_text, sizeof(grain_text));
	if (least > 0 && least <= 10000)
		hint = xasprintf("it comes in pieces of %s: at least %llu.%02llu%%", grain_text,
				 (unsigned long long)least / 100, (unsigned long long)least % 100);
	else
		hint = xasprintf("all that is free to VFs is %s; leave %s out",
				 size_format_exact(capacity, capacity_text, sizeof(capacity_text)), member);
	rpc_error_set(error, RPC_NO_FIT, "%s: the share of vf%zu is less than %s",
		      partition_gpu_name(gpu, name), vf + 1,
		      size_format(grain, grain_text, sizeof(grain_text)));
	return rpc_error_detail(error, reason, member, hint);
}

/* 128 bits: a share of 2^63 bytes, in hundredths of a percent. */
static int share_number(const struct gpu_facts *gpu, enum vf_attribute attribute, size_t vf,
			const struct amount *amount, struct partition_want *ret, struct rpc_error *error)
{
	struct known capacity = partition_capacity(gpu, attribute);
	uint64_t grain = partition_grain(gpu, attribute), share;

	if (!capacity.known)
		return error ? refuse_share_unknown(gpu, attribute, error) : 0;
	share = (uint64_t)((unsigned __int128)capacity.value * amount->value / 10000);
	share -= share % grain;
	if (share == 0)
		return error ? refuse_share_small(gpu, attribute, vf, capacity.value, error) : 0;
	*ret = (struct partition_want){ .value = { true, share }, .share = true };
	return 0;
}

static uint64_t round_up(uint64_t value, uint64_t grain)
{
	uint64_t rest = value % grain;

	if (rest > 0 && __builtin_add_overflow(value, grain - rest, &value))
		return UINT64_MAX;
	return value;
}

static int want_number(const struct gpu_facts *gpu, enum vf_attribute attribute, size_t vf,
		       const struct amount *amount, struct partition_want *ret, struct rpc_error *error)
{
	switch (amount->kind) {
	case AMOUNT_BYTES:
		ret->value = (struct known){ true, amount->value };
		if (attribute < VF_RESOURCE_MAX)
			ret->value.value = round_up(amount->value, partition_grain(gpu, attribute));
		return 0;
	case AMOUNT_PERCENT:
		return share_number(gpu, attribute, vf, amount, ret, error);
	case AMOUNT_UNSET:
	case AMOUNT_FAIR:
	case _AMOUNT_MAX:
		break;
	}
	return 0;
}

int partition_number(const struct gpu_facts *gpu, const struct layout *expanded,
		     struct partition_wants *ret, struct rpc_error *error)
{
	unsigned places = partition_places(gpu, expanded->n_vfs);
	size_t i, a;
	int r = 0;

	ret->vfs = calloc(MAX_OF(expanded->n_vfs, (size_t)1), sizeof(*ret->vfs));
	if (!ret->vfs)
		return -ENOMEM;
	ret->n_vfs = expanded->n_vfs;
	for (i = 0; i < ret->n_vfs && r == 0; i++) {
		/* VF k sits on tile k mod tiles (reference 5.1) */
		ret->vfs[i].tile = places > 1 ? (unsigned)(i + 1) % places + 1 : 0;
		for (a = 0; a < VF_ATTRIBUTE_MAX && r == 0; a++)
			r = want_number(gpu, (enum vf_attribute)a, i, &expanded->vfs[i].shape.wanted[a],
					&ret->vfs[i].want[a], error);
	}
	return r;
}

/* ---- all hard resources, or none ---- */

static uint64_t power_of_two_below(uint64_t n)
{
	return n > 0 ? (uint64_t)1 << (63 - __builtin_clzll(n)) : 0;
}

/* What the driver itself would give each of n out of `left` (reference 2.6). */
static uint64_t fair_share(const struct gpu_facts *gpu, enum vf_attribute attribute, uint64_t left,
			   uint64_t n)
{
	const struct known *hole = &gpu->resources[attribute].max_quota;
	uint64_t share = 0;

	switch (attribute) {
	case VF_ATTR_VRAM:
		share = left / n;
		break;
	case VF_ATTR_GGTT:
		if (hole->known && gpu->num_vfs == 0)
			left = MIN_OF(left, hole->value);
		share = n > GGTT_MANY_VFS ? MIN_OF(left / n, GGTT_MANY_SHARE) :
					    power_of_two_below(left / n);
		break;
	case VF_ATTR_CONTEXTS:
		share = power_of_two_below(left / n);
		break;
	case VF_ATTR_DOORBELLS:
		share = power_of_two_below(left / (n + 1));
		break;
	case VF_ATTR_EXEC_QUANTUM:
	case VF_ATTR_PREEMPT_TIMEOUT:
	case VF_ATTR_PRIORITY:
	case VF_ATTRIBUTE_MAX:
		break;
	}
	return share - share % partition_grain(gpu, attribute);
}

static int refuse_incomplete(const struct gpu_facts *gpu, enum vf_attribute attribute, size_t n,
			     struct known stock, struct rpc_error *error)
{
	const char *member = vf_shape_member_to_string(attribute);
	_cleanup_free_ char *reason = NULL, *hint = NULL;
	uint64_t grain = partition_grain(gpu, attribute);
	uint64_t each = stock.value / n - stock.value / n % grain;
	char name[GPU_NAME_SIZE], text[32];

	partition_gpu_name(gpu, name);
	if (!stock.known) {
		reason = xasprintf("%s_unknown", member);
		rpc_error_set(error, RPC_UNSUPPORTED,
			      "%s shares nothing by itself once one quota is set, and does not tell how much "
			      "%s is free",
			      name, member);
		hint = xasprintf("give %s to every VF, or leave all quotas to the driver", member);
		return rpc_error_detail(error, reason, member, hint);
	}
	reason = xasprintf("%s_used_up", member);
	rpc_error_set(error, RPC_NO_FIT,
		      "%s shares nothing by itself once one quota is set, and there is no %s left for the VFs "
		      "that name none",
		      name, member);
	if (each > 0)
		hint = xasprintf("at most %s for each of %zu VFs",
				 attribute == VF_ATTR_CONTEXTS || attribute == VF_ATTR_DOORBELLS ?
					 partition_amount(attribute, each, text, sizeof(text)) :
					 size_format_exact(each, text, sizeof(text)),
				 n);
	else if (stock.value >= grain)
		hint = xasprintf("ask for at most %llu VFs", (unsigned long long)(stock.value / grain));
	else
		hint = xasprintf("leave all quotas to the driver");
	return rpc_error_detail(error, reason, member, hint);
}

/* What the VFs of one place that name no amount can each have of what the others leave; UINT64_MAX =
 * every VF there names one. */
static uint64_t share_of_place(const struct gpu_facts *gpu, const struct partition_wants *w, unsigned tile,
			       enum vf_attribute attribute, uint64_t stock)
{
	uint64_t left = stock, missing = 0;
	size_t i;

	for (i = 0; i < w->n_vfs; i++) {
		const struct known *value = &w->vfs[i].want[attribute].value;

		if (w->vfs[i].tile != tile)
			continue;
		missing += !value->known;
		if (value->known)
			left -= MIN_OF(left, value->value);
	}
	return missing > 0 ? fair_share(gpu, attribute, left, missing) : UINT64_MAX;
}

/* All that name no amount get the same, also on another tile. */
static int complete(const struct gpu_facts *gpu, struct partition_wants *w, enum vf_attribute attribute,
		    struct rpc_error *error)
{
	unsigned places = partition_places(gpu, w->n_vfs), t;
	struct known stock = partition_place_stock(gpu, attribute, w->n_vfs, partition_stock(gpu, attribute));
	uint64_t share = UINT64_MAX;
	size_t i;

	for (t = 0; t < places; t++)
		share = MIN_OF(share, share_of_place(gpu, w, places > 1 ? t + 1 : 0, attribute,
						     stock.known ? stock.value : 0));
	stock.value *= places;
	if (share == UINT64_MAX || (share == 0 && stock.known && attribute == VF_ATTR_DOORBELLS))
		return 0; /* nobody, or a VF can do without */
	if (share == 0)
		return refuse_incomplete(gpu, attribute, w->n_vfs, stock, error);
	for (i = 0; i < w->n_vfs; i++)
		if (!w->vfs[i].want[attribute].value.known)
			w->vfs[i].want[attribute] = (struct partition_want){
				.value = { true, share }, .computed = true };
	return 0;
}

static bool asks_hard(const struct partition_wants *w)
{
	size_t i, a;

	for (i = 0; i < w->n_vfs; i++)
		for (a = 0; a < VF_RESOURCE_MAX; a++)
			if (w->vfs[i].want[a].value.known)
				return true;
	return false;
}

static int note_computed(struct partition_wants *w, enum vf_attribute attribute)
{
	uint64_t share = 0;
	char text[32];
	size_t i;

	for (i = 0; i < w->n_vfs; i++)
		if (w->vfs[i].want[attribute].computed)
			share = w->vfs[i].want[attribute].value.value;
	if (share == 0)
		return 0;
	return partition_note(&w->notes, &w->n_notes,
			      xasprintf("%s was not asked for and is computed as the driver would share it (%s): "
					"it shares nothing once one quota is set",
					vf_attribute_to_string(attribute),
					partition_amount(attribute, share, text, sizeof(text))));
}

int partition_complete(const struct gpu_facts *gpu, struct partition_wants *w, struct rpc_error *error)
{
	size_t a;
	int r = 0;

	if (!partition_is_moded(gpu) || !asks_hard(w))
		return 0;
	for (a = 0; a < VF_RESOURCE_MAX && r == 0; a++) {
		enum vf_attribute attribute = (enum vf_attribute)a;

		if (!gpu_can_set(gpu, attribute))
			continue;
		r = complete(gpu, w, attribute, error);
		if (r == 0)
			r = note_computed(w, attribute);
	}
	return r;
}
