/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a card shows what a layout wants. */
#include "partition/partition-inner.h"

#include <stdio.h>

/* Quotas come back rounded up, at most by one grain for each tile.  Where the grain is unknown: four tiles
 * of 2 MiB, the largest grain of GGTT, that of contexts under i915 (reference 2.6, 3.2). */
static uint64_t slack(const struct gpu_facts *gpu, enum vf_attribute attribute)
{
	static const uint64_t usual[VF_RESOURCE_MAX] = {
		[VF_ATTR_VRAM] = 4 * PARTITION_VRAM_GRAIN,
		[VF_ATTR_GGTT] = 64 * KIB,
		[VF_ATTR_CONTEXTS] = 128,
		[VF_ATTR_DOORBELLS] = 1,
	};
	uint64_t grain = gpu->resources[attribute].grain, tiles = MAX_OF(gpu->tiles, 1u);

	return grain > 0 ? grain * tiles : usual[attribute];
}

static bool hard_is_as_wanted(const struct gpu_facts *gpu, enum vf_attribute attribute, struct known is,
			      const struct partition_want *want)
{
	uint64_t loose = want->share ? want->value.value / PARTITION_SHARE_TOLERANCE : 0;
	uint64_t more = slack(gpu, attribute) + loose;

	if (!is.known)
		return false;
	if (is.value < want->value.value)
		return want->value.value - is.value <= loose;
	return is.value - want->value.value < more;
}

/* What nobody can write and nobody shows is what the driver gives. */
static bool is_taken_for_granted(const struct gpu_facts *gpu, enum vf_attribute attribute, struct known is,
				 struct known wanted)
{
	return attribute == VF_ATTR_PRIORITY && !is.known && !gpu_can_set_all(gpu, attribute) &&
	       wanted.value == VF_PRIORITY_LOW;
}

static bool is_as_wanted(const struct gpu_facts *gpu, const struct vf_facts *vf,
			 enum vf_attribute attribute, const struct partition_want *want)
{
	struct known is = vf->values[attribute];

	if (!want->value.known || is_taken_for_granted(gpu, attribute, is, want->value))
		return true;
	if (attribute < VF_RESOURCE_MAX)
		return hard_is_as_wanted(gpu, attribute, is, want);
	return is.known && is.value == want->value.value;
}

/* "3.0GiB of VRAM", "exec_quantum_ms 20", "sched_priority low". */
static char *value_text(enum vf_attribute attribute, uint64_t value)
{
	char text[32];

	partition_amount(attribute, value, text, sizeof(text));
	if (attribute == VF_ATTR_VRAM || attribute == VF_ATTR_GGTT)
		return xasprintf("%s of %s", text, attribute == VF_ATTR_VRAM ? "VRAM" : "GGTT");
	if (attribute == VF_ATTR_PRIORITY)
		return xasprintf("%s %s", vf_attribute_to_string(attribute),
				 strempty(vf_priority_to_string((enum vf_priority)value)));
	return xasprintf("%s %s", vf_attribute_to_string(attribute), text);
}

static char *difference(const struct vf_facts *vf, enum vf_attribute attribute, uint64_t wanted)
{
	char wanted_text[32];
	_cleanup_free_ char *is = NULL;

	partition_amount(attribute, wanted, wanted_text, sizeof(wanted_text));
	if (attribute == VF_ATTR_PRIORITY)
		snprintf(wanted_text, sizeof(wanted_text), "%s",
			 strempty(vf_priority_to_string((enum vf_priority)wanted)));
	if (!vf->values[attribute].known)
		return xasprintf("vf%u shows no %s, wanted is %s", vf->index,
				 attribute == VF_ATTR_VRAM ? "VRAM quota" :
							     vf_attribute_to_string(attribute),
				 wanted_text);
	is = value_text(attribute, vf->values[attribute].value);
	return xasprintf("vf%u has %s, wanted is %s", vf->index, strempty(is), wanted_text);
}

/* "fair" means that of those that ask for it nobody has more than the others. */
static bool is_fair(const struct gpu_facts *gpu, const struct layout *layout, enum vf_attribute attribute)
{
	uint64_t least = UINT64_MAX, most = 0;
	size_t i;

	for (i = 0; i < layout->n_vfs; i++) {
		const struct known *value = &gpu->vfs[i].values[attribute];

		if (layout->vfs[i].shape.wanted[attribute].kind != AMOUNT_FAIR)
			continue;
		if (!value->known)
			return true;
		least = MIN_OF(least, value->value);
		most = MAX_OF(most, value->value);
	}
	return least > most || most - least < slack(gpu, attribute);
}

/* Attributes from first to before last. */
static bool values_match(const struct gpu_facts *gpu, const struct partition_wants *w,
			 enum vf_attribute first, enum vf_attribute last, char **ret_why)
{
	size_t i, a;

	for (i = 0; i < w->n_vfs; i++)
		for (a = first; a < last; a++) {
			const struct partition_want *want = &w->vfs[i].want[a];

			if (is_as_wanted(gpu, &gpu->vfs[i], (enum vf_attribute)a, want))
				continue;
			*ret_why = difference(&gpu->vfs[i], (enum vf_attribute)a, want->value.value);
			return false;
		}
	return true;
}

static bool count_matches(const struct gpu_facts *gpu, const struct layout *layout, char **ret_why)
{
	size_t a;

	if (gpu->num_vfs != layout->n_vfs || gpu->n_vfs != layout->n_vfs) {
		*ret_why = xasprintf("%u VFs, wanted are %zu", gpu->num_vfs, layout->n_vfs);
		return false;
	}
	for (a = 0; a < VF_RESOURCE_MAX; a++)
		if (!is_fair(gpu, layout, (enum vf_attribute)a)) {
			*ret_why = xasprintf("the VFs have unequal %s, wanted is a fair share",
					     a == VF_ATTR_VRAM ? "VRAM" :
								 vf_attribute_to_string(
									 (enum vf_attribute)a));
			return false;
		}
	return true;
}

/* Leniently: what cannot be had on this card is not compared.  False when memory ran out. */
static bool wants_of(const struct gpu_facts *gpu, const struct layout *layout,
		     struct partition_wants *ret)
{
	_cleanup_(layout_freep) struct layout *expanded = NULL;

	return partition_expand(gpu, layout, &expanded, ret, NULL) == 0 &&
	       partition_number(gpu, expanded, ret, NULL) == 0;
}

bool partition_shape_matches(const struct gpu_facts *gpu, const struct layout *layout,
			     char **ret_why)
{
	_cleanup_(partition_wants_done) struct partition_wants w = { 0 };

	return count_matches(gpu, layout, ret_why) && wants_of(gpu, layout, &w) &&
	       values_match(gpu, &w, 0, VF_RESOURCE_MAX, ret_why);
}

bool partition_matches(const struct gpu_facts *gpu, const struct layout *layout, char **ret_why)
{
	_cleanup_(partition_wants_done) struct partition_wants w = { 0 };
	_cleanup_free_ char *why = NULL;
	bool match;

	match = count_matches(gpu, layout, &why) && wants_of(gpu, layout, &w) &&
		values_match(gpu, &w, 0, VF_RESOURCE_MAX, &why) &&
		values_match(gpu, &w, VF_RESOURCE_MAX, VF_ATTRIBUTE_MAX, &why);
	if (!match && ret_why)
		*ret_why = TAKE_PTR(why);
	return match;
}
