// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Faults on demand: the Nth write of an attribute fails, or hangs beyond the reach of any signal
 * until it is released, as a stuck device does.
 *
 * ATTRIBUTE:NTH:WHAT - ATTRIBUTE is sriov_numvfs or a path below sriov_admin, such as
 * vf2/profile/vram_quota, or its last part alone for any function; NTH counts from 1 from the
 * moment the fault is set, 0 means every write; WHAT is an errno's name, "hang", or "fewer" (only
 * sriov_numvfs: one VF fewer than asked).
 *
 * In debugfs, gpuvf_testgpu/<address of the PF>/: "faults" takes such a line, or "clear", and shows
 * what is set; a write to "release" lets go all that hangs; "resets" counts resets by function.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "testgpu.h"

#define FAULT_HANG 2

struct fault {
	struct list_head link;
	char attribute[64];
	unsigned int nth;
	unsigned int seen;
	int what;
};

static const struct {
	const char *name;
	int what;
} what_names[] = {
	{ "hang", FAULT_HANG },
	{ "fewer", FAULT_FEWER },
	{ "EBUSY", -EBUSY },
	{ "ECANCELED", -ECANCELED },
	{ "EINVAL", -EINVAL },
	{ "EIO", -EIO },
	{ "ENODEV", -ENODEV },
	{ "ENOENT", -ENOENT },
	{ "ENOKEY", -ENOKEY },
	{ "ENOMEM", -ENOMEM },
	{ "ENOSPC", -ENOSPC },
	{ "EOPNOTSUPP", -EOPNOTSUPP },
	{ "EPERM", -EPERM },
	{ "ERANGE", -ERANGE },
	{ "EUCLEAN", -EUCLEAN },
};

static DECLARE_WAIT_QUEUE_HEAD(released);
static atomic_t releases = ATOMIC_INIT(0);
static struct dentry *debugfs_root;

void faults_init(struct testgpu *gpu)
{
	spin_lock_init(&gpu->fault_lock);
	INIT_LIST_HEAD(&gpu->faults);
}

int faults_add(struct testgpu *gpu, const char *text)
{
	struct fault *fault;
	char word[16];
	unsigned int i;

	fault = kzalloc(sizeof(*fault), GFP_KERNEL);
	if (!fault)
		return -ENOMEM;
	if (sscanf(text, "%63[^:]:%u:%15[^\n]", fault->attribute, &fault->nth, word) != 3)
		goto refuse;
	for (i = 0; i < ARRAY_SIZE(what_names); i++)
		if (!strcmp(what_names[i].name, word))
			fault->what = what_names[i].what;
	if (!fault->what)
		goto refuse;
	spin_lock(&gpu->fault_lock);
	list_add_tail(&fault->link, &gpu->faults);
	spin_unlock(&gpu->fault_lock);
	return 0;

refuse:
	kfree(fault);
	return -EINVAL;
}

void faults_clear(struct testgpu *gpu)
{
	struct fault *fault, *next;
	LIST_HEAD(old);

	spin_lock(&gpu->fault_lock);
	list_splice_init(&gpu->faults, &old);
	spin_unlock(&gpu->fault_lock);
	list_for_each_entry_safe(fault, next, &old, link)
		kfree(fault);
}

static bool matches(const struct fault *fault, const char *attribute)
{
	const char *last = strrchr(attribute, '/');

	return !strcmp(fault->attribute, attribute) ||
	       (last && !strcmp(fault->attribute, last + 1));
}

int faults_check(struct testgpu *gpu, const char *attribute)
{
	int before = atomic_read(&releases);
	struct fault *fault;
	int what = 0;

	spin_lock(&gpu->fault_lock);
	list_for_each_entry(fault, &gpu->faults, link) {
		if (!matches(fault, attribute))
			continue;
		fault->seen++;
		if (!what && (!fault->nth || fault->seen == fault->nth))
			what = fault->what;
	}
	spin_unlock(&gpu->fault_lock);
	if (what != FAULT_HANG)
		return what;
	pr_info("a write of %s hangs now\n", attribute);
	wait_event(released, atomic_read(&releases) != before);
	pr_info("a write of %s was released\n", attribute);
	return 0;
}

static int faults_show(struct seq_file *file, void *unused)
{
	struct testgpu *gpu = file->private;
	struct fault *fault;

	spin_lock(&gpu->fault_lock);
	list_for_each_entry(fault, &gpu->faults, link)
		seq_printf(file, "%s:%u:%d seen %u\n", fault->attribute, fault->nth, fault->what,
			   fault->seen);
	spin_unlock(&gpu->fault_lock);
	return 0;
}

static int faults_open(struct inode *inode, struct file *file)
{
	return single_open(file, faults_show, inode->i_private);
}

static ssize_t faults_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	struct testgpu *gpu = file_inode(file)->i_private;
	char text[128];
	int ret = 0;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, from, count))
		return -EFAULT;
	text[count] = '\0';
	if (sysfs_streq(text, "clear"))
		faults_clear(gpu);
	else
		ret = faults_add(gpu, text);
	return ret ?: count;
}

static const struct file_operations faults_fops = {
	.owner = THIS_MODULE,
	.open = faults_open,
	.read = seq_read,
	.write = faults_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static ssize_t release_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	atomic_inc(&releases);
	wake_up_all(&released);
	return count;
}

static const struct file_operations release_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = release_write,
};

static int resets_show(struct seq_file *file, void *unused)
{
	struct testgpu *gpu = file->private;
	unsigned int devfn;

	for (devfn = 0; devfn < ARRAY_SIZE(gpu->resets); devfn++)
		if (atomic_read(&gpu->resets[devfn]))
			seq_printf(file, "vf%u %d\n", testgpu_vfid(gpu, devfn),
				   atomic_read(&gpu->resets[devfn]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(resets);

/* The folder stays when the driver lets the card go: a fault is the card's, not the driver's. */
void faults_debugfs_add(struct testgpu *gpu)
{
	struct pci_dev *dev;

	if (gpu->debugfs)
		return;
	dev = pci_get_slot(gpu->bus, 0);
	if (!dev)
		return;
	gpu->debugfs = debugfs_create_dir(pci_name(dev), debugfs_root);
	pci_dev_put(dev);
	debugfs_create_file("faults", 0600, gpu->debugfs, gpu, &faults_fops);
	debugfs_create_file("release", 0200, gpu->debugfs, gpu, &release_fops);
	debugfs_create_file("resets", 0400, gpu->debugfs, gpu, &resets_fops);
}

void faults_debugfs_root(bool present)
{
	if (present) {
		debugfs_root = debugfs_create_dir("gpuvf_testgpu", NULL);
		return;
	}
	debugfs_remove_recursive(debugfs_root);
	debugfs_root = NULL;
}
