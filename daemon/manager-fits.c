/* SPDX-License-Identifier: GPL-2.0-or-later */
/* profile.list, and how many VFs of each profile a GPU has free and could have (gpu.get, gpu.list). */
#include "manager-state.h"

static json_t *fit_view(const struct gpu *gpu, const struct policy_profile *profile)
{
	_cleanup_free_ bool *is_free = calloc(gpu->facts->n_vfs + 1, sizeof(*is_free));
	struct partition_fits fits;
	json_t *json = json_object();

	if (!is_free)
		return json;
	for (size_t i = 0; i < gpu->n_vfs; i++)
		for (size_t k = 0; k < gpu->facts->n_vfs && gpu->state == GPU_READY; k++)
			if (gpu->facts->vfs[k].index == gpu->vfs[i]->index)
				is_free[k] = gpu->vfs[i]->state == VF_FREE;
	fits = partition_fits(gpu->facts, &profile->shape, is_free);
	json_put_uint_known(json, "free_now", fits.free_now.known, fits.free_now.value);
	json_put_uint_known(json, "after_recut", fits.after_recut.known, fits.after_recut.value);
	return json;
}

json_t *gpu_fits_view(struct manager *m, const struct gpu *gpu)
{
	json_t *fits = json_object();

	for (size_t i = 0; i < m->policy->n_profiles; i++)
		json_put(fits, m->policy->profiles[i].name, fit_view(gpu, &m->policy->profiles[i]));
	return fits;
}

/* A size as a number of bytes, a share or "fair" as its word. */
static json_t *amount_view(const struct amount *a)
{
	char buf[32];

	switch (a->kind) {
	case AMOUNT_BYTES:
		return json_integer((json_int_t)a->value);
	case AMOUNT_PERCENT:
		snprintf(buf, sizeof(buf), "%g%%", (double)a->value / 100);
		return json_string(buf);
	case AMOUNT_FAIR:
		return json_string("fair");
	case AMOUNT_UNSET:
	case _AMOUNT_MAX:
		break;
	}
	return json_null();
}

static void put_number(json_t *json, const char *name, const struct vf_shape *shape,
		       enum vf_attribute attribute)
{
	struct known n = vf_shape_number(shape, attribute);

	json_put_uint_known(json, name, n.known, n.value);
}

static json_t *profile_view(struct manager *m, const struct policy_profile *profile)
{
	const struct vf_shape *shape = &profile->shape;
	struct known priority = vf_shape_number(shape, VF_ATTR_PRIORITY);
	json_t *json = json_pack("{s:s,s:s?}", "name", profile->name, "description", profile->description);
	json_t *fits = json_object();
	struct gpu *gpu, *tmp;

	json_put(json, "vram", amount_view(&shape->wanted[VF_ATTR_VRAM]));
	json_put(json, "ggtt", amount_view(&shape->wanted[VF_ATTR_GGTT]));
	put_number(json, "contexts", shape, VF_ATTR_CONTEXTS);
	put_number(json, "doorbells", shape, VF_ATTR_DOORBELLS);
	put_number(json, "exec_quantum_ms", shape, VF_ATTR_EXEC_QUANTUM);
	put_number(json, "preempt_timeout_us", shape, VF_ATTR_PREEMPT_TIMEOUT);
	json_put_string(json, "priority",
			priority.known ? vf_priority_to_string((enum vf_priority)priority.value) : NULL);
	HASH_ITER(hh, m->gpus, gpu, tmp)
		if (gpu->facts)
			json_put(fits, gpu->name, fit_view(gpu, profile));
	json_put(json, "fits", fits);
	return json;
}

void manager_profile_list(struct manager *m, const struct caller *caller,
			  const struct none_params *p, struct reply *reply)
{
	json_t *items = json_array();

	for (size_t i = 0; i < m->policy->n_profiles; i++)
		json_array_append_new(items, profile_view(m, &m->policy->profiles[i]));
	view_reply(m, reply, json_pack("{s:o,s:n}", "items", items, "next"));
}
