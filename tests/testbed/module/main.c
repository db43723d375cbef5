// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module's parameters, its start and its end.
 *
 * gpus=KEY=VALUE:...,...  one word of keys for each card; `options` below tells what there is.
 * "slot" is the slot of the root port that the card sits below.
 * faults=[INDEX@]ATTRIBUTE:NTH:ERRNO|hang|fewer,...  see faults.c.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "testgpu.h"

struct testgpu testgpus[TESTGPU_MAX];
unsigned int testgpu_count;

static char *gpus;
module_param(gpus, charp, 0444);
MODULE_PARM_DESC(gpus, "what cards to make: KEY=VALUE:...,...");

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

static const char *const flavours[] = { "xe", "i915", NULL };
static const char *const quotas[] = { "no", "yes", "ro", NULL };
static const char *const layouts[] = { "none", "old", "new", NULL };
static const char *const homes[] = { "prelim_iov", "iov", "both", NULL };
static const char *const gts[] = { "gt", "gtn", NULL };

/* A key takes one of its words, or a number in the base that is given. */
static const struct option {
	const char *name;
	size_t offset;
	const char *const *words;
	unsigned int base;
} options[] = {
	{ "slot", offsetof(struct testgpu, slot), NULL, 16 },
	{ "device", offsetof(struct testgpu, device), NULL, 16 },
	{ "class", offsetof(struct testgpu, pci_class), NULL, 16 },
	{ "vram", offsetof(struct testgpu, vram), NULL, 10 },
	{ "driver", offsetof(struct testgpu, flavour), flavours },
	{ "bound", offsetof(struct testgpu, bound), NULL, 10 },
	{ "hook", offsetof(struct testgpu, hook), NULL, 10 },
	{ "max_vfs", offsetof(struct testgpu, max_vfs), NULL, 10 },
	{ "tiles", offsetof(struct testgpu, tiles), NULL, 10 },
	{ "media", offsetof(struct testgpu, media), NULL, 10 },
	{ "display", offsetof(struct testgpu, display), NULL, 10 },
	{ "admin", offsetof(struct testgpu, admin), NULL, 10 },
	{ "quota", offsetof(struct testgpu, quota), quotas },
	{ "debugfs", offsetof(struct testgpu, layout), layouts },
	{ "euclean", offsetof(struct testgpu, euclean), NULL, 10 },
	{ "live", offsetof(struct testgpu, live), NULL, 10 },
	{ "tree", offsetof(struct testgpu, home), homes },
	{ "gt", offsetof(struct testgpu, gt_numbered), gts },
};

static int set_option(struct testgpu *gpu, const struct option *option, const char *text)
{
	void *field = (char *)gpu + option->offset;
	int word;

	if (option->offset == offsetof(struct testgpu, vram))
		return kstrtou64(text, option->base, field);
	if (!option->words)
		return kstrtouint(text, option->base, field);
	word = match_string(option->words, -1, text);
	if (word < 0)
		return word;
	*(unsigned int *)field = word;
	return 0;
}

static int parse_option(struct testgpu *gpu, char *text)
{
	char *name = strsep(&text, "=");
	unsigned int i;

	for (i = 0; text && i < ARRAY_SIZE(options); i++)
		if (!strcmp(options[i].name, name))
			return set_option(gpu, &options[i], text);
	return -EINVAL;
}

static int parse_gpu(char *word, unsigned int index)
{
	struct testgpu *gpu = &testgpus[index];
	char *text;
	int ret = 0;

	gpu->index = index;
	gpu->bound = true;
	gpu->hook = true;
	gpu->max_vfs = UINT_MAX;
	gpu->tiles = 1;
	gpu->admin = true;
	gpu->gt_numbered = true;
	while (!ret && (text = strsep(&word, ":")))
		ret = parse_option(gpu, text);
	if (gpu->tiles < 1 || gpu->tiles + !!gpu->media > TESTGPU_GTS)
		ret = -EINVAL;
	mutex_init(&gpu->lock);
	INIT_LIST_HEAD(&gpu->nodes);
	INIT_LIST_HEAD(&gpu->places);
	faults_init(gpu);
	writes_init(gpu);
	return ret;
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
			pr_err("gpus: cannot use card %u\n", testgpu_count);
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

	drivers_unregister();
	for (i = 0; i < dressed; i++)
		disguise_take_off(&testgpus[i]);
	writes_stop();
	control_root(false);
	for (i = 0; i < testgpu_count; i++) {
		faults_clear(&testgpus[i]);
		writes_clear(&testgpus[i]);
	}
}

static int start(void)
{
	int ret;

	control_root(true);
	ret = writes_start();
	if (ret)
		return ret;
	ret = drivers_register();
	if (ret)
		writes_stop();
	return ret;
}

static int __init testgpu_init(void)
{
	unsigned int i;
	int ret;

	ret = parse_gpus();
	if (!ret)
		ret = parse_faults();
	if (!ret)
		ret = start();
	if (ret) {
		control_root(false);
		for (i = 0; i < testgpu_count; i++)
			faults_clear(&testgpus[i]);
		return ret;
	}
	for (i = 0; i < testgpu_count; i++) {
		ret = disguise_put_on(&testgpus[i]);
		if (ret) {
			pr_err("no card below slot %#x: %d\n", testgpus[i].slot, ret);
			undo(i);
			return ret;
		}
	}
	return 0;
}

static void __exit testgpu_exit(void)
{
	undo(testgpu_count);
}

module_init(testgpu_init);
module_exit(testgpu_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Emulated Intel GPU with SR-IOV for the tests of gpuvf");
