// SPDX-License-Identifier: GPL-2.0-or-later
/* The tree prelim_iov/ (or iov/) below the PF's DRM card under the out-of-tree i915: R 3.2. */
#include <drm/drm_device.h>
#include <drm/drm_file.h>
#include <linux/sysfs.h>

#include "testgpu.h"

static ssize_t mode_show(struct tree_node *node, const struct tree_file *file, char *buf)
{
	return sysfs_emit(buf, "SR-IOV PF\n");
}

static ssize_t auto_show(struct tree_node *node, const struct tree_file *file, char *buf)
{
	return sysfs_emit(buf, "%d\n", !node->gpu->auto_off);
}

static int auto_store(struct tree_node *node, const struct tree_file *file, const char *buf)
{
	bool on;
	int ret;

	ret = kstrtobool(buf, &on);
	return ret ?: rules_set_auto(node->gpu, on);
}

static ssize_t id_show(struct tree_node *node, const struct tree_file *file, char *buf)
{
	return sysfs_emit(buf, "%u\n", node->vfid);
}

static int control_store(struct tree_node *node, const struct tree_file *file, const char *buf)
{
	return rules_command(node->gpu, node->vfid, buf);
}

static ssize_t number_show(struct tree_node *node, const struct tree_file *file, char *buf)
{
	return sysfs_emit(buf, "%llu\n",
			  values_get(node->gpu, node->vfid, node->gt, file->value));
}

/* Contexts and doorbells are 16 bits wide, space and memory 64, policies two of them bool. */
static int parse(enum value value, const char *buf, u64 *number)
{
	bool yes;
	u16 small;
	u32 word;
	int ret;

	switch (value) {
	case VALUE_GGTT:
	case VALUE_VRAM:
		return kstrtou64(buf, 0, number);
	case VALUE_CONTEXTS:
	case VALUE_DOORBELLS:
		ret = kstrtou16(buf, 0, &small);
		*number = small;
		return ret;
	case VALUE_SCHED_IF_IDLE:
	case VALUE_RESET_ENGINE:
		ret = kstrtobool(buf, &yes);
		*number = yes;
		return ret;
	default:
		ret = kstrtou32(buf, 0, &word);
		*number = word;
		return ret;
	}
}

static int number_store(struct tree_node *node, const struct tree_file *file, const char *buf)
{
	struct testgpu *gpu = node->gpu;
	u64 number = 0, before;
	int ret;

	ret = parse(file->value, buf, &number);
	if (ret)
		return ret;
	before = values_get(gpu, node->vfid, node->gt, file->value);
	ret = values_set(gpu, node->vfid, node->gt, file->value, number);
	/*
	 * R 3.2: a quota that is not zero, or a changed one, turns automatic provisioning off.
	 * (inferred) So does a VF's scheduling value or threshold that is not zero.
	 */
	if (!ret && node->vfid && (number || (file->value < VALUE_HARD_COUNT && before)))
		gpu->auto_off = true;
	return ret;
}

static ssize_t free_show(struct tree_node *node, const struct tree_file *file, char *buf)
{
	return sysfs_emit(buf, "%llu\n", values_free(node->gpu, node->gt, file->value));
}

#define NUMBER(_name, _value) TREE_FILE(_name, 0644, _value, number_show, number_store)
#define LEFT(_name, _value) TREE_FILE(_name, 0444, _value, free_show, NULL)

static const struct tree_file home_file = TREE_FILE("mode", 0444, VALUE_COUNT, mode_show, NULL);
static const struct tree_file pf_file =
	TREE_FILE("auto_provisioning", 0644, VALUE_COUNT, auto_show, auto_store);
static const struct tree_file vf_files[] = {
	TREE_FILE("id", 0444, VALUE_COUNT, id_show, NULL),
	TREE_FILE("control", 0200, VALUE_COUNT, NULL, control_store),
};

static const struct tree_file scheduling_files[] = {
	NUMBER("exec_quantum_ms", VALUE_QUANTUM),
	NUMBER("preempt_timeout_us", VALUE_TIMEOUT),
};

static const struct tree_file spare_files[] = {
	NUMBER("ggtt_spare", VALUE_GGTT),
	NUMBER("contexts_spare", VALUE_CONTEXTS),
	NUMBER("doorbells_spare", VALUE_DOORBELLS),
	NUMBER("lmem_spare", VALUE_VRAM),
};

static const struct tree_file quota_files[] = {
	NUMBER("ggtt_quota", VALUE_GGTT),
	NUMBER("contexts_quota", VALUE_CONTEXTS),
	NUMBER("doorbells_quota", VALUE_DOORBELLS),
	NUMBER("lmem_quota", VALUE_VRAM),
};

/* The emulated card has no holes: the largest single allocation is all that is free. */
static const struct tree_file available_files[] = {
	LEFT("ggtt_free", VALUE_GGTT),
	LEFT("ggtt_max_quota", VALUE_GGTT),
	LEFT("contexts_free", VALUE_CONTEXTS),
	LEFT("contexts_max_quota", VALUE_CONTEXTS),
	LEFT("doorbells_free", VALUE_DOORBELLS),
	LEFT("doorbells_max_quota", VALUE_DOORBELLS),
	LEFT("lmem_free", VALUE_VRAM),
	LEFT("lmem_max_quota", VALUE_VRAM),
};

static const struct tree_file policy_files[] = {
	NUMBER("sched_if_idle", VALUE_SCHED_IF_IDLE),
	NUMBER("engine_reset", VALUE_RESET_ENGINE),
	NUMBER("sample_period_ms", VALUE_SAMPLE_PERIOD),
};

static const struct tree_file threshold_files[] = {
	NUMBER("cat_error_count", VALUE_CAT_ERRORS),
	NUMBER("engine_reset_count", VALUE_ENGINE_RESETS),
	NUMBER("page_fault_count", VALUE_PAGE_FAULTS),
	NUMBER("h2g_time_us", VALUE_GUC_TIME),
	NUMBER("irq_time_us", VALUE_IRQ_TIME),
	NUMBER("doorbell_time_us", VALUE_DOORBELL_TIME),
};

static umode_t mode_of(const struct tree_node *node, const struct tree_file *file)
{
	if (file->value == VALUE_VRAM && !values_exist(node->gpu, node->gt, VALUE_VRAM))
		return 0;
	/* R 3.2: read-only on the media GT. */
	if (file->value == VALUE_GGTT && values_gt_is_media(node->gpu, node->gt))
		return file->attr.mode & 0444;
	return file->attr.mode;
}

static int add_folder(struct tree_node *gt, const char *name, const struct tree_file *files,
		      size_t count)
{
	struct tree_node *node = tree_add_below(gt, name);

	return node ? tree_add_files(node, files, count, mode_of) : -ENOMEM;
}

static int add_gt(struct tree_node *function, unsigned int gt)
{
	char name[8] = "gt";
	struct tree_node *node;
	int ret;

	/* R 3.2: gt0, gt1 ..., or plain gt on single-tile parts of the backport. */
	if (function->gpu->gt_numbered)
		snprintf(name, sizeof(name), "gt%u", gt);
	node = tree_add_below(function, name);
	if (!node)
		return -ENOMEM;
	node->gt = gt;
	ret = tree_add_files(node, scheduling_files, ARRAY_SIZE(scheduling_files), mode_of);
	if (function->vfid) {
		ret = ret ?: tree_add_files(node, quota_files, ARRAY_SIZE(quota_files), mode_of);
		return ret ?: add_folder(node, "threshold", threshold_files,
					 ARRAY_SIZE(threshold_files));
	}
	ret = ret ?: tree_add_files(node, spare_files, ARRAY_SIZE(spare_files), mode_of);
	ret = ret ?: add_folder(node, "available", available_files, ARRAY_SIZE(available_files));
	return ret ?: add_folder(node, "policies", policy_files, ARRAY_SIZE(policy_files));
}

static int add_function(struct tree_node *home, unsigned int vfid)
{
	struct tree_node *node;
	char name[16] = "pf";
	unsigned int gt;
	int ret;

	if (vfid)
		snprintf(name, sizeof(name), "vf%u", vfid);
	node = tree_add_below(home, name);
	if (!node)
		return -ENOMEM;
	node->vfid = vfid;
	if (vfid)
		ret = tree_add_files(node, vf_files, ARRAY_SIZE(vf_files), mode_of);
	else
		ret = tree_add_file(node, &pf_file, pf_file.attr.mode) ?:
		      sysfs_create_link(&node->kobj, &home->gpu->pf->dev.kobj, "device");
	for (gt = 0; !ret && gt < values_gt_count(home->gpu); gt++)
		ret = add_gt(node, gt);
	return ret;
}

int i915_create(struct testgpu *gpu)
{
	struct kobject *card = &gpu->card->primary->kdev->kobj;
	struct tree_node *home;
	unsigned int i;
	int ret;

	home = tree_add(gpu, card, gpu->home == HOME_IOV ? "iov" : "prelim_iov");
	if (!home)
		return -ENOMEM;
	ret = tree_add_file(home, &home_file, home_file.attr.mode);
	for (i = 0; !ret && i <= gpu->totalvfs; i++)
		ret = add_function(home, i);
	/* R 3.2: the backport makes prelim_iov and a link iov. */
	if (!ret && gpu->home == HOME_BOTH)
		ret = sysfs_create_link(card, &home->kobj, "iov");
	return ret;
}
