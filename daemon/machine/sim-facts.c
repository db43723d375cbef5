/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a helper would read of a made-up GPU, what its driver knows, and the count of writes to it: no rule is here, only
 * how things show. */
#include "core/model-table.h"
#include "machine/sim-provision.h"
#include "machine/sim-way.h"

static int fill_vf(const struct sim_gpu *g, bool debugfs, unsigned v, struct vf_facts *out)
{
	const struct sim_vf *vf = &g->vfs[v];

	*out = (struct vf_facts){
		.index = v + 1,
		.address = vf->address,
		.iommu_group = vf->iommu_group,
		.vfio = vf->vfio,
	};
	for (int a = 0; a < VF_ATTRIBUTE_MAX; a++)
		out->values[a] = sim_way_read(g, debugfs, v + 1, a);
	return vf->driver[0] ? free_and_strdup(&out->driver, vf->driver) : 0;
}

static int fill_abilities(const struct sim_gpu *g, bool debugfs, struct gpu_facts *f)
{
	for (int a = 0; a < VF_ATTRIBUTE_MAX; a++) {
		const char *why = NULL;

		f->can[a].access = sim_way_access(g, debugfs, a, &why);
		if (free_and_strdup(&f->can[a].why, why) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* What quotas hold whose VF is not enabled. */
static uint64_t standing(const struct sim_gpu *g, enum vf_attribute resource)
{
	uint64_t sum = 0;

	for (unsigned v = g->num_vfs + 1; v <= g->total_vfs; v++)
		for (unsigned tile = 0; tile < g->spec.tiles; tile++)
			sum += sim_stock_get(g, v, tile, resource);
	return sum;
}

/* All of it adds up over the tiles: a VF is on one of them, or takes from each. */
static void fill_stock(const struct sim_gpu *g, enum vf_attribute resource, struct resource_facts *out)
{
	bool spread = resource == VF_ATTR_VRAM || resource == VF_ATTR_GGTT;
	uint64_t least = UINT64_MAX, most = 0, all = 0, spare = 0;

	for (unsigned tile = 0; tile < g->spec.tiles; tile++) {
		uint64_t one = sim_stock_free(g, tile, resource);

		least = MIN_OF(least, one);
		most = MAX_OF(most, one);
		all += one;
		spare += sim_stock_get(g, 0, tile, resource);
	}
	out->free = (struct known){true, all};
	out->max_quota = (struct known){true, MAX_OF(least * g->spec.tiles, most)};
	out->spare = (struct known){true, spare};
	out->standing = standing(g, resource);
	out->grain = sim_stock_grain(g, resource) * (spread ? g->spec.tiles : 1);
}

/* sriov_admin tells what each VF has of the VRAM, not what is left: the helper takes that from the model, less what
 * VFs have. */
static void guess_vram(const struct gpu_facts *f, struct resource_facts *out)
{
	const struct gpu_model *model = gpu_model_find(f->device_id);
	uint64_t left = f->vram_bytes.value - MIN_OF(f->vram_bytes.value, (uint64_t)128 * MIB);

	if (model && model->vf_vram_bytes > 0)
		left = MIN_OF(left, model->vf_vram_bytes);
	left -= MIN_OF(left, out->standing);
	for (size_t v = 0; v < f->n_vfs; v++)
		left -= MIN_OF(left, f->vfs[v].values[VF_ATTR_VRAM].value);
	out->free = (struct known){true, left};
	out->max_quota = out->spare = (struct known){0};
}

/* The driver by itself gives VFs equal shares and takes them back: a quota without a VF, and shares that differ, are
 * somebody's.  i915 says it (auto_provisioning); sriov_admin's sharing is seen when VFs are off only. */
static bool is_custom(const struct sim_gpu *g, const struct gpu_facts *f)
{
	if (f->vf_control == VF_CONTROL_I915)
		return g->auto_off;
	for (int a = 0; a < VF_RESOURCE_MAX; a++) {
		if (f->resources[a].standing > 0)
			return true;
		for (size_t v = 1; f->vf_control == VF_CONTROL_XE_DEBUGFS && v < f->n_vfs; v++)
			if (f->vfs[v].values[a].known && f->vfs[0].values[a].known &&
			    f->vfs[v].values[a].value != f->vfs[0].values[a].value)
				return true;
	}
	return false;
}

/* By way: the trees show it all, but for the largest quota, which is i915's only. */
static void fill_resources(const struct sim_gpu *g, struct gpu_facts *f)
{
	for (int a = 0; a < VF_RESOURCE_MAX; a++) {
		if (f->can[a].access == VF_ACCESS_NONE)
			continue;
		fill_stock(g, a, &f->resources[a]);
		if (f->vf_control == VF_CONTROL_XE_DEBUGFS)
			f->resources[a].max_quota = (struct known){0};
	}
	if (f->vf_control == VF_CONTROL_XE && f->can[VF_ATTR_VRAM].access != VF_ACCESS_NONE)
		guess_vram(f, &f->resources[VF_ATTR_VRAM]);
	f->custom_provisioning = is_custom(g, f);
}

struct gpu_facts *sim_gpu_facts(const struct sim_gpu *g, bool debugfs)
{
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = calloc(1, sizeof(*f));
	const struct sim_gpu_spec *s = &g->spec;
	const char *note = NULL;

	if (!f)
		return NULL;
	f->address = s->address;
	f->device_id = s->device_id;
	f->class_code = s->class_code;
	f->vf_control = sim_way_find(g, debugfs, &note);
	f->sriov_capable = s->sriov;
	f->total_vfs = g->total_vfs;
	f->num_vfs = g->num_vfs;
	f->vf_offset = s->sriov ? SIM_VF_OFFSET : 0;
	f->vf_stride = s->sriov ? SIM_VF_STRIDE : 0;
	f->autoprobe = g->autoprobe;
	f->numa_node = s->numa_node;
	f->display = s->display;
	f->vram_bytes = (struct known){s->vram_bytes > 0, s->vram_bytes};
	f->tiles = s->tiles;
	f->iommu = g->iommu_group >= 0;
	f->vfio = sim_gpu_on_vfio(g);
	if (free_and_strdup(&f->model, s->model) < 0 || free_and_strdup(&f->serial, s->serial) < 0 ||
	    free_and_strdup(&f->driver, g->driver) < 0 ||
	    free_and_strdup(&f->control_note, note) < 0 ||
	    free_and_strdup(&f->reason, sim_way_obstacle(g)) < 0 || fill_abilities(g, debugfs, f) < 0)
		return NULL;
	f->vfs = calloc(g->num_vfs + 1, sizeof(*f->vfs));
	if (!f->vfs)
		return NULL;
	for (unsigned v = 0; v < g->num_vfs; v++) {
		f->n_vfs = v + 1;
		if (fill_vf(g, debugfs, v, &f->vfs[v]) < 0)
			return NULL;
	}
	fill_resources(g, f);
	return TAKE_PTR(f);
}

json_t *sim_gpu_given(const struct sim_gpu *g)
{
	_cleanup_json_ json_t *list = json_array();

	for (unsigned v = 1; v <= g->spec.hardware_vfs; v++) {
		for (unsigned tile = 0; tile < g->spec.tiles; tile++) {
			json_t *one = json_pack("{s:i, s:i}", "vf", v, "tile", tile);
			bool any = false;

			for (int a = 0; a < VF_ATTRIBUTE_MAX; a++) {
				uint64_t value = sim_stock_get(g, v, tile, a);

				any = any || value > 0;
				if (value > 0)
					(void)json_put_uint(one, vf_attribute_to_string(a), value);
			}
			if (any)
				(void)json_array_append(list, one);
			json_decref(one);
		}
	}
	return TAKE_PTR(list);
}

json_t *sim_gpu_not_reset(const struct sim_gpu *g)
{
	json_t *list = json_array();

	for (unsigned v = 0; v < g->num_vfs; v++)
		if (g->vfs[v].used)
			(void)json_array_append_new(list, json_integer(v + 1));
	return list;
}

json_t *sim_gpu_writes(const struct sim_gpu *g)
{
	const struct sim_writes *w = &g->writes;
	json_t *json = json_object();
	unsigned total = 0;

	for (int point = 0; point < SIM_WRITE; point++) {
		if (!sim_point_is_write(point))
			continue;
		total += w->of[point];
		(void)json_put_uint(json, sim_point_to_string(point), w->of[point]);
	}
	(void)json_put_uint(json, "total", total);
	(void)json_put_uint(json, "sriov_numvfs_while_held", w->numvfs_while_held);
	(void)json_put_uint(json, "sriov_numvfs_while_reserved", w->numvfs_while_reserved);
	(void)json_put_uint(json, "attached_without_reset", w->attached_without_reset);
	(void)json_put_uint(json, "vf_attributes", w->vf_attributes);
	(void)json_put_uint(json, "pf_attributes", w->pf_attributes);
	(void)json_put_uint(json, "bulk_attributes", w->bulk_attributes);
	return json;
}
