// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * R 2.7, the new layout (from 6.19 on): sriov/{pf,vf<N>}/tile<T>/gt<G>/ in the card's folder, which
 * has the PF's address as a second name.
 *
 * (inferred) Whoever knows the old layout finds it as links: gt<G> at the top, pf and vf<N> in it,
 * and there the old names of files of space and memory. So both layouts seem to be there.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "testgpu.h"

static int store_restore(const struct debug_place *place, const struct debug_file *file,
			 const char *text)
{
	bool yes;
	int ret;

	ret = kstrtobool(text, &yes);
	if (ret || !yes)
		return ret;
	return rules_restore_auto(place->gpu);
}

/* pause, resume, stop and reset: files of their own, each a bool. */
static int store_action(const struct debug_place *place, const struct debug_file *file,
			const char *text)
{
	bool yes;
	int ret;

	ret = kstrtobool(text, &yes);
	if (ret || !yes)
		return ret;
	if (strcmp(file->name, "reset"))
		return rules_command(place->gpu, place->vfid, file->name);
	place->gpu->functions[place->vfid].stopped = false;
	place->gpu->functions[place->vfid].paused = false;
	return 0;
}

static int show_vfs(struct seq_file *out, const struct debug_place *place,
		    const struct debug_file *file)
{
	seq_printf(out, "supported: %u\nenabled: %u\n", place->gpu->totalvfs, place->gpu->numvfs);
	return 0;
}

/* (inferred) The text. */
static int show_versions(struct seq_file *out, const struct debug_place *place,
			 const struct debug_file *file)
{
	seq_puts(out, "base:\t1.0\nlatest:\t1.9\n");
	return 0;
}

static const struct debug_file sriov_files[] = {
	{ "restore_auto_provisioning", 0200, VALUE_COUNT, NULL, store_restore },
};

static const struct debug_file pf_files[] = {
	{ "vfs", 0444, VALUE_COUNT, show_vfs, NULL },
	{ "versions", 0444, VALUE_COUNT, show_versions, NULL },
};

static const struct debug_file vf_files[] = {
	{ "pause", 0200, VALUE_COUNT, NULL, store_action },
	{ "resume", 0200, VALUE_COUNT, NULL, store_action },
	{ "stop", 0200, VALUE_COUNT, NULL, store_action },
	{ "reset", 0200, VALUE_COUNT, NULL, store_action },
};

static const struct debug_file pf_tile_files[] = {
	{ "ggtt_spare", 0644, VALUE_GGTT, debug_show_number, debug_store_number },
	{ "vram_spare", 0644, VALUE_VRAM, debug_show_number, debug_store_number },
	{ "ggtt_available", 0444, VALUE_GGTT, debug_show_available, NULL },
	{ "ggtt_provisioned", 0444, VALUE_GGTT, debug_show_provisioned, NULL },
	{ "vram_provisioned", 0444, VALUE_VRAM, debug_show_provisioned, NULL },
};

static const struct debug_file vf_tile_files[] = {
	{ "ggtt_quota", 0644, VALUE_GGTT, debug_show_number, debug_store_number },
	{ "vram_quota", 0644, VALUE_VRAM, debug_show_number, debug_store_number },
};

static const struct debug_file vf_gt_files[] = {
	{ "sched_priority", 0644, VALUE_PRIORITY, debug_show_number, debug_store_number },
};

static const struct debug_file vram_file = { "vram_mm", 0444, VALUE_VRAM, debug_show_vram, NULL };

/* R 2.3: no VF is enabled while somebody has this file open. (inferred) While VFs are on it does
 * not open. */
static int lockdown_open(struct inode *inode, struct file *file)
{
	struct testgpu *gpu = inode->i_private;
	int ret = 0;

	mutex_lock(&gpu->lock);
	if (gpu->numvfs)
		ret = -EBUSY;
	else
		gpu->lockdowns++;
	mutex_unlock(&gpu->lock);
	return ret;
}

static int lockdown_release(struct inode *inode, struct file *file)
{
	struct testgpu *gpu = inode->i_private;

	mutex_lock(&gpu->lock);
	gpu->lockdowns--;
	mutex_unlock(&gpu->lock);
	return 0;
}

static const struct file_operations lockdown_fops = {
	.owner = THIS_MODULE,
	.open = lockdown_open,
	.release = lockdown_release,
};

static void add_old_names(struct testgpu *gpu, struct dentry *folder, unsigned int vfid)
{
	debugfs_create_symlink(vfid ? "ggtt_quota" : "ggtt_spare", folder,
			       vfid ? "../ggtt_quota" : "../ggtt_spare");
	if (gpu->vram)
		debugfs_create_symlink(vfid ? "lmem_quota" : "lmem_spare", folder,
				       vfid ? "../vram_quota" : "../vram_spare");
	if (!vfid)
		debugfs_create_symlink("ggtt_available", folder, "../ggtt_available");
}

static void add_gt(struct testgpu *gpu, struct dentry *tile, unsigned int vfid, unsigned int gt)
{
	struct dentry *folder;
	char name[16];

	snprintf(name, sizeof(name), "gt%u", gt);
	folder = debug_folder(gpu, tile, name, vfid, gt);
	if (!folder)
		return;
	debug_add_gt_files(gpu, folder, vfid);
	if (vfid)
		debug_add(folder, vf_gt_files, ARRAY_SIZE(vf_gt_files));
	if (!values_gt_is_media(gpu, gt))
		add_old_names(gpu, folder, vfid);
}

static void add_function(struct testgpu *gpu, struct dentry *sriov, unsigned int vfid)
{
	struct dentry *folder, *tile;
	unsigned int t;
	char name[16];

	folder = debug_folder(gpu, sriov, debug_function_name(vfid, name, sizeof(name)), vfid, 0);
	if (vfid)
		debug_add(folder, vf_files, ARRAY_SIZE(vf_files));
	else
		debug_add(folder, pf_files, ARRAY_SIZE(pf_files));
	for (t = 0; folder && t < gpu->tiles; t++) {
		snprintf(name, sizeof(name), "tile%u", t);
		tile = debug_folder(gpu, folder, name, vfid, t);
		if (!tile)
			return;
		if (vfid)
			debug_add(tile, vf_tile_files, ARRAY_SIZE(vf_tile_files));
		else
			debug_add(tile, pf_tile_files, ARRAY_SIZE(pf_tile_files));
		add_gt(gpu, tile, vfid, t);
		if (gpu->media)
			add_gt(gpu, tile, vfid, gpu->tiles);
	}
}

static void add_links(struct testgpu *gpu, struct dentry *tile, unsigned int t, unsigned int gt)
{
	char name[16], target[48];
	struct dentry *folder;
	unsigned int i;

	snprintf(name, sizeof(name), "gt%u", gt);
	folder = debug_folder(gpu, tile, name, 0, gt);
	for (i = 0; folder && i <= gpu->totalvfs; i++) {
		debug_function_name(i, name, sizeof(name));
		snprintf(target, sizeof(target), "../../sriov/%s/tile%u/gt%u", name, t, gt);
		debugfs_create_symlink(name, folder, target);
	}
	snprintf(name, sizeof(name), "gt%u", gt);
	snprintf(target, sizeof(target), "tile%u/gt%u", t, gt);
	debugfs_create_symlink(name, gpu->card_folder, target);
}

static void add_tile(struct testgpu *gpu, unsigned int t)
{
	struct dentry *folder;
	char name[16];

	snprintf(name, sizeof(name), "tile%u", t);
	folder = debug_folder(gpu, gpu->card_folder, name, 0, t);
	if (!folder)
		return;
	debug_add(folder, &vram_file, 1);
	add_links(gpu, folder, t, t);
	if (gpu->media)
		add_links(gpu, folder, t, gpu->tiles);
}

void debug_new_create(struct testgpu *gpu)
{
	struct dentry *sriov = debug_folder(gpu, gpu->card_folder, "sriov", 0, 0);
	struct debug_place *place;
	unsigned int i;

	if (!sriov)
		return;
	/* A fault names what is below sriov/. */
	place = sriov->d_inode->i_private;
	place->path[0] = '\0';
	debugfs_create_symlink(pci_name(gpu->pf), gpu->card_folder->d_parent,
			       gpu->card_folder->d_name.name);
	debug_add(sriov, sriov_files, ARRAY_SIZE(sriov_files));
	debugfs_create_file("lockdown_vfs_enabling", 0600, sriov, gpu, &lockdown_fops);
	for (i = 0; i <= gpu->totalvfs; i++)
		add_function(gpu, sriov, i);
	for (i = 0; i < gpu->tiles; i++)
		add_tile(gpu, i);
}
