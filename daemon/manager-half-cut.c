/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A GPU whose cutting failed, and the way back too: it is wedged with the reason, whatever the kernel shows of it, and
 * for the next daemon as well, until an apply goes well or it is found whole. */
#include "manager-state.h"

void half_cut_done(struct gpu *gpu)
{
	free(TAKE_PTR(gpu->half_cut));
	layout_free(TAKE_PTR(gpu->half_cut_before));
}

void half_cut_set(struct manager *m, struct gpu *gpu, const char *reason, const struct layout *before)
{
	/* The layout before the first of several is the one that was whole. */
	if (!gpu->half_cut)
		gpu->half_cut_before = before ? layout_copy(before) : NULL;
	(void)free_and_strdup(&gpu->half_cut, reason);
	gpu_set_state(m, gpu, GPU_WEDGED, reason);
	gpu_store(m, gpu);
}

void half_cut_over(struct manager *m, struct gpu *gpu, const char *why)
{
	if (!gpu->half_cut)
		return;
	log_gpu(gpu->name, LOG_NOTICE, 0, "no longer half cut: %s", why);
	half_cut_done(gpu);
	gpu_store(m, gpu);
}

/* Also that nothing is left of quotas where there are no VFs that could have them. */
static bool is_cut_as(const struct gpu *gpu, const struct layout *layout)
{
	return layout && partition_matches(gpu->facts, layout, NULL) &&
	       !(layout->n_vfs == 0 && gpu->facts->custom_provisioning);
}

void half_cut_check(struct manager *m, struct gpu *gpu)
{
	_cleanup_(layout_freep) struct layout *wanted = NULL;

	if (!gpu->half_cut || !gpu->facts || gpu->apply || gpu->apply_accepted)
		return;
	wanted = gpu_expected(m, gpu);
	if (!gpu->facts->driver)
		half_cut_over(m, gpu, "its driver let it go");
	else if (is_cut_as(gpu, wanted))
		half_cut_over(m, gpu, "it is as wanted");
	else if (is_cut_as(gpu, gpu->half_cut_before))
		half_cut_over(m, gpu, "it is as before");
}

void half_cut_look(struct manager *m, struct gpu *gpu)
{
	if (!gpu->half_cut || gpu->state != GPU_WEDGED || gpu->stuck)
		return;
	half_cut_check(m, gpu);
	gpu_calm(m, gpu);
}

json_t *half_cut_row(const struct gpu *gpu)
{
	json_t *row;

	if (!gpu->half_cut)
		return json_null();
	row = json_object();
	json_put_string(row, "reason", gpu->half_cut);
	json_put(row, "before", gpu->half_cut_before ? layout_to_json(gpu->half_cut_before) : json_null());
	return row;
}

void half_cut_from_row(struct gpu *gpu, const json_t *row)
{
	const json_t *before = json_object_get(row, "before");

	if (!json_is_object(row))
		return;
	gpu->half_cut = strdup(strempty(json_get_string(row, "reason")));
	if (json_is_object(before))
		(void)layout_load(before, &gpu->half_cut_before);
}
