// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * R 2.7, the old layout (up to 6.18): gt<G>/pf/... and gt<G>/vf<N>/... in the card's folder, which
 * is named after the minor number. The folder of a media GT has no file of space or memory.
 */
#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "testgpu.h"

static int show_nothing(struct seq_file *out, const struct debug_place *place,
			const struct debug_file *file)
{
	return 0;
}

/* vram<T>_mm of each tile is in the card's own folder. */
static int show_second_vram(struct seq_file *out, const struct debug_place *place,
			    const struct debug_file *file)
{
	struct debug_place second = *place;

	second.gt = 1;
	return debug_show_vram(out, &second, file);
}

static const struct debug_file card_files[] = {
	{ "vram0_mm", 0444, VALUE_VRAM, debug_show_vram, NULL },
	{ "vram1_mm", 0444, VALUE_VRAM, show_second_vram, NULL },
};

static const struct debug_file pf_files[] = {
	{ "ggtt_spare", 0644, VALUE_GGTT, debug_show_number, debug_store_number },
	{ "lmem_spare", 0644, VALUE_VRAM, debug_show_number, debug_store_number },
	{ "ggtt_available", 0444, VALUE_GGTT, debug_show_available, NULL },
	{ "ggtt_provisioned", 0444, VALUE_GGTT, debug_show_provisioned, NULL },
	{ "lmem_provisioned", 0444, VALUE_VRAM, debug_show_provisioned, NULL },
	{ "adverse_events", 0444, VALUE_COUNT, show_nothing, NULL },
};

static const struct debug_file vf_files[] = {
	{ "ggtt_quota", 0644, VALUE_GGTT, debug_show_number, debug_store_number },
	{ "lmem_quota", 0644, VALUE_VRAM, debug_show_number, debug_store_number },
};

static void add_function(struct testgpu *gpu, struct dentry *folder, unsigned int vfid,
			 unsigned int gt)
{
	char name[16];

	folder = debug_folder(gpu, folder, debug_function_name(vfid, name, sizeof(name)), vfid, gt);
	if (!folder)
		return;
	debug_add_gt_files(gpu, folder, vfid);
	if (vfid)
		debug_add(folder, vf_files, ARRAY_SIZE(vf_files));
	else
		debug_add(folder, pf_files, ARRAY_SIZE(pf_files));
}

void debug_old_create(struct testgpu *gpu)
{
	struct dentry *folder;
	unsigned int gt, i;
	char name[16];

	debug_add(gpu->card_folder, card_files, gpu->tiles);
	for (gt = 0; gt < values_gt_count(gpu); gt++) {
		snprintf(name, sizeof(name), "gt%u", gt);
		folder = debug_folder(gpu, gpu->card_folder, name, 0, gt);
		for (i = 0; folder && i <= gpu->totalvfs; i++)
			add_function(gpu, folder, i, gt);
	}
}
