// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a scenario steers the cards with: in debugfs, gpuvf_testgpu/<address of the PF>/:
 *
 *   faults   takes a fault (see faults.c), or "clear"; shows what is set
 *   release  a write lets go all that hangs
 *   resets   counts resets by function
 *   reset_log  each of them in its turn, and by whom; see resets.c
 *   writes   counts writes by attribute, "total N" first
 *   forget_writes  a write begins the count again
 *   wedge    takes what WEDGED= is to say, such as "rebind,bus-reset"
 *
 * Under kernel lockdown nothing here can be written, and "resets", "reset_log" and "writes" can be read.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include "testgpu.h"

static struct dentry *debugfs_root;

static int set_faults(struct testgpu *gpu, const char *text)
{
	if (!sysfs_streq(text, "clear"))
		return faults_add(gpu, text);
	faults_clear(gpu);
	return 0;
}

static int release_hangs(struct testgpu *gpu, const char *text)
{
	faults_release_all();
	return 0;
}

static int forget_writes(struct testgpu *gpu, const char *text)
{
	writes_clear(gpu);
	return 0;
}

static const struct control {
	const char *name;
	umode_t mode;
	void (*show)(struct testgpu *gpu, struct seq_file *out);
	int (*store)(struct testgpu *gpu, const char *text);
} controls[] = {
	{ "faults", 0600, faults_show, set_faults },
	{ "release", 0200, NULL, release_hangs },
	{ "resets", 0400, resets_show, NULL },
	{ "reset_log", 0400, resets_show_log, NULL },
	{ "writes", 0400, writes_show, NULL },
	{ "forget_writes", 0200, NULL, forget_writes },
	{ "wedge", 0200, NULL, drm_card_wedge },
};

static struct testgpu *gpu_of(const struct dentry *entry)
{
	return entry->d_parent->d_inode->i_private;
}

static int control_show(struct seq_file *out, void *unused)
{
	const struct dentry *entry = out->private;
	const struct control *control = entry->d_inode->i_private;

	if (control->show)
		control->show(gpu_of(entry), out);
	return 0;
}

static int control_open(struct inode *inode, struct file *file)
{
	return single_open(file, control_show, file_dentry(file));
}

static ssize_t control_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	const struct control *control = file_inode(file)->i_private;
	char text[160];
	int ret;

	if (!control->store || count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, from, count))
		return -EFAULT;
	text[count] = '\0';
	ret = control->store(gpu_of(file_dentry(file)), strim(text));
	return ret ?: count;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = control_open,
	.read = seq_read,
	.write = control_write,
	.llseek = seq_lseek,
	.release = single_release,
};

/* The folder stays when the driver lets the card go: a fault is the card's, not the driver's. */
void control_add(struct testgpu *gpu)
{
	struct pci_dev *dev;
	unsigned int i;

	if (gpu->debugfs)
		return;
	dev = pci_get_slot(gpu->bus, 0);
	if (!dev)
		return;
	gpu->debugfs = debugfs_create_dir(pci_name(dev), debugfs_root);
	pci_dev_put(dev);
	if (IS_ERR(gpu->debugfs))
		return;
	gpu->debugfs->d_inode->i_private = gpu;
	for (i = 0; i < ARRAY_SIZE(controls); i++)
		debugfs_create_file(controls[i].name, controls[i].mode, gpu->debugfs,
				    (void *)&controls[i], &control_fops);
}

void control_root(bool present)
{
	if (present) {
		debugfs_root = debugfs_create_dir("gpuvf_testgpu", NULL);
		return;
	}
	debugfs_remove_recursive(debugfs_root);
	debugfs_root = NULL;
}
