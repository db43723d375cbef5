// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module's parameters, its start and its end.
 *
 * gpus=SLOT:DEVICE:CLASS:VRAM:QUOTA:BOUND,...  SLOT (hex) is the slot of the root port that the
 * card sits below; DEVICE and CLASS are hex, VRAM is bytes, QUOTA and BOUND are 0 or 1.
 * faults=[INDEX@]ATTRIBUTE:NTH:ERRNO|hang|fewer,...  see faults.c.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "testgpu.h"

struct testgpu testgpus[TESTGPU_MAX];
unsigned int testgpu_count;

static char *gpus;
module_param(gpus, charp, 0444);
MODULE_PARM_DESC(gpus, "what cards to make: SLOT:DEVICE:CLASS:VRAM:QUOTA:BOUND,...");

static char *faults;
module_param(faults, charp, 0444);
MODULE_PARM_DESC(faults, "faults from the start on: [INDEX@]ATTRIBUTE:NTH:ERRNO|hang|fewer,...");

/* R 2.2: xe.max_vfs, unsigned, read-only after load, 0 = no VFs, default unlimited. */
unsigned int testgpu_max_vfs = UINT_MAX;
module_param_named(max_vfs, testgpu_max_vfs, uint, 0444);
MODULE_PARM_DESC(max_vfs, "most VFs of a card; 0 = none");

struct testgpu *testgpu_of_bus(const struct pci_bus *bus)
{
	unsigned int i;

	for (i = 0; i < testgpu_count; i++)
		if (testgpus[i].bus == bus)
			return &testgpus[i];
	return NULL;
}

unsigned int testgpu_vfid(const struct testgpu *gpu, unsigned int devfn)
{
	if (devfn < gpu->vf_offset || !gpu->vf_stride)
		return 0;
	return (devfn - gpu->vf_offset) / gpu->vf_stride + 1;
}

static int parse_gpu(const char *word, unsigned int index)
{
	struct testgpu *gpu = &testgpus[index];
	unsigned int quota, bound, device;

	if (sscanf(word, "%x:%x:%x:%llu:%u:%u", &gpu->slot, &device, &gpu->pci_class, &gpu->vram,
		   &quota, &bound) != 6)
		return -EINVAL;
	gpu->index = index;
	gpu->device = device;
	gpu->has_quota = quota && gpu->vram;
	gpu->start_bound = bound;
	mutex_init(&gpu->lock);
	faults_init(gpu);
	return 0;
}

static int parse_gpus(void)
{
	char *copy, *rest, *word;
	int ret = 0;

	copy = kstrdup(gpus ?: "", GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	rest = copy;
	while (!ret && (word = strsep(&rest, ","))) {
		if (!*word)
			continue;
		if (testgpu_count == TESTGPU_MAX)
			ret = -E2BIG;
		else
			ret = parse_gpu(word, testgpu_count);
		if (!ret)
			testgpu_count++;
		else
			pr_err("gpus: cannot use '%s'\n", word);
	}
	kfree(copy);
	return ret;
}

static int parse_fault(const char *word)
{
	const char *at = strchr(word, '@');
	unsigned int index = 0;

	if (at && sscanf(word, "%u@", &index) != 1)
		return -EINVAL;
	if (index >= testgpu_count)
		return -EINVAL;
	return faults_add(&testgpus[index], at ? at + 1 : word);
}

static int parse_faults(void)
{
	char *copy, *rest, *word;
	int ret = 0;

	copy = kstrdup(faults ?: "", GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	rest = copy;
	while (!ret && (word = strsep(&rest, ","))) {
		if (*word)
			ret = parse_fault(word);
		if (ret)
			pr_err("faults: cannot use '%s'\n", word);
	}
	kfree(copy);
	return ret;
}

static void undo(unsigned int dressed)
{
	unsigned int i;

	driver_unregister_xe();
	for (i = 0; i < dressed; i++)
		disguise_take_off(&testgpus[i]);
	faults_debugfs_root(false);
	for (i = 0; i < testgpu_count; i++)
		faults_clear(&testgpus[i]);
}

static int __init testgpu_init(void)
{
	unsigned int i;
	int ret;

	ret = parse_gpus();
	if (!ret)
		ret = parse_faults();
	if (ret)
		goto clear;
	faults_debugfs_root(true);
	ret = driver_register_xe();
	if (ret)
		goto clear;
	for (i = 0; i < testgpu_count; i++) {
		ret = disguise_put_on(&testgpus[i]);
		if (ret) {
			pr_err("no card below slot %#x: %d\n", testgpus[i].slot, ret);
			undo(i);
			return ret;
		}
	}
	return 0;

clear:
	faults_debugfs_root(false);
	for (i = 0; i < testgpu_count; i++)
		faults_clear(&testgpus[i]);
	return ret;
}

static void __exit testgpu_exit(void)
{
	undo(testgpu_count);
}

module_init(testgpu_init);
module_exit(testgpu_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Emulated Intel GPU with SR-IOV for the tests of gpuvf");
