// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The driver's own files in debugfs, below the folder of the PF's DRM card: R 2.7. What both
 * layouts share; which file is where is in debug-old.c and debug-new.c.
 *
 * A file belongs to the place (function, GT) that its folder stands for: the folder's inode knows.
 */
#include <drm/drm_device.h>
#include <drm/drm_file.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "testgpu.h"

static const struct debug_place *place_of(const struct dentry *entry)
{
	return entry->d_parent->d_inode->i_private;
}

static void path_of(const struct dentry *entry, char *path, size_t size)
{
	const struct debug_file *file = entry->d_inode->i_private;

	snprintf(path, size, "%s%s", place_of(entry)->path, file->name);
}

static int file_show(struct seq_file *out, void *unused)
{
	const struct dentry *entry = out->private;
	const struct debug_file *file = entry->d_inode->i_private;
	const struct debug_place *place = place_of(entry);
	char path[80];
	int ret;

	path_of(entry, path, sizeof(path));
	ret = faults_check_read(place->gpu, path);
	if (ret < 0)
		return ret;
	mutex_lock(&place->gpu->lock);
	ret = file->show(out, place, file);
	mutex_unlock(&place->gpu->lock);
	return ret;
}

static int file_open(struct inode *inode, struct file *file)
{
	const struct debug_file *what = inode->i_private;

	if (!what->show)
		return nonseekable_open(inode, file);
	return single_open(file, file_show, file_dentry(file));
}

static int file_release(struct inode *inode, struct file *file)
{
	const struct debug_file *what = inode->i_private;

	return what->show ? single_release(inode, file) : 0;
}

static ssize_t file_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	const struct debug_file *what = file_inode(file)->i_private;

	return what->show ? seq_read(file, to, count, pos) : -EACCES;
}

static ssize_t file_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	const struct dentry *entry = file_dentry(file);
	const struct debug_file *what = entry->d_inode->i_private;
	const struct debug_place *place = place_of(entry);
	char text[32], path[80];
	int ret;

	if (!what->store)
		return -EACCES;
	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, from, count))
		return -EFAULT;
	text[count] = '\0';
	path_of(entry, path, sizeof(path));
	ret = faults_check_write(place->gpu, path);
	if (ret < 0)
		return ret;
	mutex_lock(&place->gpu->lock);
	ret = what->store(place, what, text);
	mutex_unlock(&place->gpu->lock);
	return ret ?: count;
}

static const struct file_operations file_fops = {
	.owner = THIS_MODULE,
	.open = file_open,
	.read = file_read,
	.write = file_write,
	.llseek = no_llseek,
	.release = file_release,
};

static struct debug_place *new_place(struct testgpu *gpu, struct dentry *folder, unsigned int vfid,
				     unsigned int gt)
{
	struct debug_place *place = kzalloc(sizeof(*place), GFP_KERNEL);

	if (!place)
		return NULL;
	place->gpu = gpu;
	place->vfid = vfid;
	place->gt = gt;
	list_add_tail(&place->link, &gpu->places);
	folder->d_inode->i_private = place;
	return place;
}

struct dentry *debug_folder(struct testgpu *gpu, struct dentry *parent, const char *name,
			    unsigned int vfid, unsigned int gt)
{
	const struct debug_place *above = parent->d_inode->i_private;
	struct dentry *folder = debugfs_create_dir(name, parent);
	struct debug_place *place;

	if (IS_ERR(folder))
		return NULL;
	place = new_place(gpu, folder, vfid, gt);
	if (!place)
		return NULL;
	snprintf(place->path, sizeof(place->path), "%s%s/", above->path, name);
	return folder;
}

/* Only files of values that the place has. */
void debug_add(struct dentry *folder, const struct debug_file *files, size_t count)
{
	const struct debug_place *place = folder ? folder->d_inode->i_private : NULL;
	size_t i;

	for (i = 0; place && i < count; i++)
		if (files[i].value == VALUE_COUNT ||
		    values_exist(place->gpu, place->gt, files[i].value))
			debugfs_create_file(files[i].name, files[i].mode, folder, (void *)&files[i],
					    &file_fops);
}

const char *debug_function_name(unsigned int vfid, char *buf, size_t size)
{
	if (vfid)
		snprintf(buf, size, "vf%u", vfid);
	else
		snprintf(buf, size, "pf");
	return buf;
}

int debug_show_number(struct seq_file *out, const struct debug_place *place,
		      const struct debug_file *file)
{
	seq_printf(out, "%llu\n", values_get(place->gpu, place->vfid, place->gt, file->value));
	return 0;
}

static u64 widest(enum value value)
{
	switch (value) {
	case VALUE_GGTT:
	case VALUE_VRAM:
		return U64_MAX;
	case VALUE_SCHED_IF_IDLE:
	case VALUE_RESET_ENGINE:
		return 1;
	default:
		return U32_MAX;
	}
}

int debug_store_number(const struct debug_place *place, const struct debug_file *file,
		       const char *text)
{
	u64 number;
	int ret;

	ret = kstrtou64(text, 0, &number);
	if (ret)
		return ret;
	/* (inferred) what does not fit is EOVERFLOW here and ERANGE in sysfs. */
	if (number > widest(file->value))
		return -EOVERFLOW;
	ret = values_set(place->gpu, place->vfid, place->gt, file->value, number);
	/* R 2.7: a successful write switches the PF to custom mode. (inferred) Kernels with the old
	 * layout know no such mode. */
	if (!ret && place->gpu->layout == LAYOUT_NEW)
		place->gpu->custom = true;
	return ret;
}

/* (inferred) The text of this and the next; only the names are told. */
int debug_show_available(struct seq_file *out, const struct debug_place *place,
			 const struct debug_file *file)
{
	u64 free = values_free(place->gpu, place->gt, file->value);

	seq_printf(out, "total:\t%llu\navail:\t%llu\n", free, free);
	return 0;
}

int debug_show_provisioned(struct seq_file *out, const struct debug_place *place,
			   const struct debug_file *file)
{
	unsigned int i;
	u64 number;

	for (i = 1; i <= place->gpu->totalvfs; i++) {
		number = values_get(place->gpu, i, place->gt, file->value);
		if (number)
			seq_printf(out, "VF%u:\t%llu\n", i, number);
	}
	return 0;
}

int debug_show_control(struct seq_file *out, const struct debug_place *place,
		       const struct debug_file *file)
{
	seq_puts(out, "stop\npause\nresume\n");
	return 0;
}

int debug_store_control(const struct debug_place *place, const struct debug_file *file,
			const char *text)
{
	return rules_command(place->gpu, place->vfid, text);
}

/* R 2.7: free VRAM, of one tile. (inferred) The text. */
int debug_show_vram(struct seq_file *out, const struct debug_place *place,
		    const struct debug_file *file)
{
	const struct testgpu *gpu = place->gpu;
	u64 total = values_total(gpu, place->gt, VALUE_VRAM);
	u64 used = 0;
	unsigned int i;

	for (i = 1; i <= gpu->totalvfs; i++)
		used += values_get(gpu, i, place->gt, VALUE_VRAM);
	seq_printf(out, "size: %llu\nusage: %llu\nvisible_avail: %lluMiB\nvisible_size: %lluMiB\n",
		   total, used, div_u64(total - used, SZ_1M), div_u64(total, SZ_1M));
	return 0;
}

/* R 2.7: mode, and total, supported and enabled VFs. (inferred) The text. */
static int show_info(struct seq_file *out, const struct debug_place *place,
		     const struct debug_file *file)
{
	const struct testgpu *gpu = place->gpu;

	seq_printf(out, "supported: yes\nenabled: yes\nmode: SR-IOV PF\n");
	seq_printf(out, "total: %u\nsupported: %u\nenabled: %u\n", gpu->totalvfs, gpu->totalvfs,
		   gpu->numvfs);
	return 0;
}

#define NUMBER(_name, _value) { _name, 0644, _value, debug_show_number, debug_store_number }
#define TEXT(_name, _value, _show) { _name, 0444, _value, _show, NULL }

static const struct debug_file common_files[] = {
	NUMBER("exec_quantum_ms", VALUE_QUANTUM),
	NUMBER("preempt_timeout_us", VALUE_TIMEOUT),
	NUMBER("threshold_cat_error_count", VALUE_CAT_ERRORS),
	NUMBER("threshold_doorbell_time_us", VALUE_DOORBELL_TIME),
	NUMBER("threshold_engine_reset_count", VALUE_ENGINE_RESETS),
	NUMBER("threshold_guc_time_us", VALUE_GUC_TIME),
	NUMBER("threshold_irq_time_us", VALUE_IRQ_TIME),
	NUMBER("threshold_page_fault_count", VALUE_PAGE_FAULTS),
};

static const struct debug_file pf_files[] = {
	NUMBER("contexts_spare", VALUE_CONTEXTS),
	NUMBER("doorbells_spare", VALUE_DOORBELLS),
	NUMBER("sched_priority", VALUE_PRIORITY),
	NUMBER("sched_if_idle", VALUE_SCHED_IF_IDLE),
	NUMBER("reset_engine", VALUE_RESET_ENGINE),
	NUMBER("sample_period_ms", VALUE_SAMPLE_PERIOD),
	TEXT("contexts_provisioned", VALUE_CONTEXTS, debug_show_provisioned),
	TEXT("doorbells_provisioned", VALUE_DOORBELLS, debug_show_provisioned),
};

static const struct debug_file vf_files[] = {
	NUMBER("contexts_quota", VALUE_CONTEXTS),
	NUMBER("doorbells_quota", VALUE_DOORBELLS),
	{ "control", 0600, VALUE_COUNT, debug_show_control, debug_store_control },
};

void debug_add_gt_files(struct testgpu *gpu, struct dentry *folder, unsigned int vfid)
{
	debug_add(folder, common_files, ARRAY_SIZE(common_files));
	if (vfid)
		debug_add(folder, vf_files, ARRAY_SIZE(vf_files));
	else
		debug_add(folder, pf_files, ARRAY_SIZE(pf_files));
}

static const struct debug_file info_file =
	TEXT("sriov_info", VALUE_COUNT, show_info);

void debug_create(struct testgpu *gpu)
{
	if (gpu->layout == LAYOUT_NONE || !gpu->card->primary->debugfs_root)
		return;
	gpu->card_folder = gpu->card->primary->debugfs_root;
	/* DRM made the folder and keeps nothing in it. */
	if (!new_place(gpu, gpu->card_folder, 0, 0))
		return;
	debug_add(gpu->card_folder, &info_file, 1);
	if (gpu->layout == LAYOUT_OLD)
		debug_old_create(gpu);
	else
		debug_new_create(gpu);
}

/* DRM takes its own folder away; here goes what was put into it. */
static void remove_files(struct dentry *folder)
{
	static const char *const numbered[] = { "gt%u", "tile%u", "vram%u_mm" };
	unsigned int i, k;
	char name[16];

	debugfs_lookup_and_remove("sriov", folder);
	debugfs_lookup_and_remove("sriov_info", folder);
	for (i = 0; i < ARRAY_SIZE(numbered); i++) {
		for (k = 0; k < TESTGPU_GTS; k++) {
			snprintf(name, sizeof(name), numbered[i], k);
			debugfs_lookup_and_remove(name, folder);
		}
	}
}

void debug_remove(struct testgpu *gpu)
{
	struct debug_place *place, *next;

	if (!gpu->card_folder)
		return;
	if (gpu->layout == LAYOUT_NEW)
		debugfs_lookup_and_remove(pci_name(gpu->pf), gpu->card_folder->d_parent);
	/* Waits for those who are inside a file; then nobody knows the places any more. */
	remove_files(gpu->card_folder);
	gpu->card_folder->d_inode->i_private = NULL;
	gpu->card_folder = NULL;
	list_for_each_entry_safe(place, next, &gpu->places, link) {
		list_del(&place->link);
		kfree(place);
	}
}
