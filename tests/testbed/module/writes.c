// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Counts the writes of each attribute of a card, as they arrive and whatever comes of them: a test
 * shows with it that something wrote nothing.
 *
 * The PCI core answers some writes of sriov_numvfs itself, and all of sriov_drivers_autoprobe: both
 * are counted where they enter the kernel.
 */
#include <linux/kprobes.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "testgpu.h"

struct write {
	struct list_head link;
	char attribute[96];
	unsigned int count;
};

static struct testgpu *gpu_of_call(struct pt_regs *regs)
{
	struct device *dev = (struct device *)regs_get_kernel_argument(regs, 0);

	return testgpu_of_bus(to_pci_dev(dev)->bus);
}

static int numvfs_written(struct kprobe *probe, struct pt_regs *regs)
{
	struct testgpu *gpu = gpu_of_call(regs);

	if (gpu)
		atomic_inc(&gpu->numvfs_writes);
	return 0;
}

static int autoprobe_written(struct kprobe *probe, struct pt_regs *regs)
{
	struct testgpu *gpu = gpu_of_call(regs);

	if (gpu)
		atomic_inc(&gpu->autoprobe_writes);
	return 0;
}

static struct kprobe numvfs_probe = {
	.symbol_name = "sriov_numvfs_store",
	.pre_handler = numvfs_written,
};

static struct kprobe autoprobe_probe = {
	.symbol_name = "sriov_drivers_autoprobe_store",
	.pre_handler = autoprobe_written,
};

int writes_start(void)
{
	int ret;

	ret = register_kprobe(&numvfs_probe);
	if (ret)
		return ret;
	ret = register_kprobe(&autoprobe_probe);
	if (ret)
		unregister_kprobe(&numvfs_probe);
	return ret;
}

void writes_stop(void)
{
	unregister_kprobe(&autoprobe_probe);
	unregister_kprobe(&numvfs_probe);
}

void writes_init(struct testgpu *gpu)
{
	INIT_LIST_HEAD(&gpu->writes);
}

void writes_count(struct testgpu *gpu, const char *attribute)
{
	struct write *fresh, *write;

	/* Counted where it enters the kernel. */
	if (!strcmp(attribute, "sriov_numvfs"))
		return;
	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL | __GFP_NOFAIL);
	strscpy(fresh->attribute, attribute, sizeof(fresh->attribute));
	fresh->count = 1;
	spin_lock(&gpu->fault_lock);
	list_for_each_entry(write, &gpu->writes, link) {
		if (strcmp(write->attribute, attribute))
			continue;
		write->count++;
		kfree(fresh);
		fresh = NULL;
		break;
	}
	if (fresh)
		list_add_tail(&fresh->link, &gpu->writes);
	spin_unlock(&gpu->fault_lock);
}

void writes_show(struct testgpu *gpu, struct seq_file *out)
{
	unsigned int numvfs = atomic_read(&gpu->numvfs_writes);
	unsigned int autoprobe = atomic_read(&gpu->autoprobe_writes);
	unsigned int total = numvfs + autoprobe;
	struct write *write;

	spin_lock(&gpu->fault_lock);
	list_for_each_entry(write, &gpu->writes, link)
		total += write->count;
	seq_printf(out, "total %u\n", total);
	seq_printf(out, "sriov_numvfs %u\nsriov_drivers_autoprobe %u\n", numvfs, autoprobe);
	list_for_each_entry(write, &gpu->writes, link)
		seq_printf(out, "%s %u\n", write->attribute, write->count);
	spin_unlock(&gpu->fault_lock);
}

void writes_clear(struct testgpu *gpu)
{
	struct write *write, *next;
	LIST_HEAD(old);

	spin_lock(&gpu->fault_lock);
	list_splice_init(&gpu->writes, &old);
	spin_unlock(&gpu->fault_lock);
	atomic_set(&gpu->numvfs_writes, 0);
	atomic_set(&gpu->autoprobe_writes, 0);
	list_for_each_entry_safe(write, next, &old, link)
		kfree(write);
}
