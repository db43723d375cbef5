// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The tree sriov_admin/ below the PF's device under xe: R 2.4. Limits and sharing are elsewhere;
 * what is here is how one file stands for all tiles and GTs of the card.
 */
#include <linux/math64.h>
#include <linux/sizes.h>
#include <linux/sysfs.h>

#include "testgpu.h"

/* The node of no one function: .bulk_profile sets all of them. */
#define VFID_BULK UINT_MAX

static const char *const priority_names[] = {
	[PRIORITY_LOW] = "low",
	[PRIORITY_NORMAL] = "normal",
	[PRIORITY_HIGH] = "high",
};

/* R 2.4: EUCLEAN when tiles or GTs disagree on a read. */
static int read_all(const struct tree_node *node, enum value value, u64 *number)
{
	unsigned int gt;

	*number = values_get(node->gpu, node->vfid, 0, value);
	for (gt = 1; gt < values_gt_count(node->gpu); gt++)
		if (values_exist(node->gpu, gt, value) &&
		    values_get(node->gpu, node->vfid, gt, value) != *number)
			return -EUCLEAN;
	return 0;
}

static int write_all(struct testgpu *gpu, unsigned int vfid, enum value value, u64 number)
{
	unsigned int gt;
	int ret = 0;

	for (gt = 0; !ret && gt < values_gt_count(gpu); gt++)
		if (values_exist(gpu, gt, value))
			ret = values_set(gpu, vfid, gt, value, number);
	return ret;
}

static ssize_t number_show(struct tree_node *node, const struct tree_file *file, char *buf)
{
	u64 number;
	int ret;

	ret = read_all(node, file->value, &number);
	return ret ?: sysfs_emit(buf, "%llu\n", number);
}

/* R 2.4: exec_quantum_ms, preempt_timeout_us: u32, 0 = unlimited. */
static int number_store(struct tree_node *node, const struct tree_file *file, const char *buf)
{
	unsigned int i;
	u32 number;
	int ret;

	ret = kstrtou32(buf, 0, &number);
	if (ret)
		return ret;
	if (node->vfid != VFID_BULK)
		return write_all(node->gpu, node->vfid, file->value, number);
	/* (inferred) the bulk files set the PF too */
	for (i = 0; !ret && i <= node->gpu->totalvfs; i++)
		ret = write_all(node->gpu, i, file->value, number);
	return ret;
}

static ssize_t priority_show(struct tree_node *node, const struct tree_file *file, char *buf)
{
	ssize_t length = 0;
	u64 priority;
	unsigned int i;
	int ret;

	ret = read_all(node, file->value, &priority);
	if (ret)
		return ret;
	for (i = 0; i < ARRAY_SIZE(priority_names); i++)
		length += sysfs_emit_at(buf, length, i == priority ? "%s[%s]" : "%s%s",
					i ? " " : "", priority_names[i]);
	return length + sysfs_emit_at(buf, length, "\n");
}

static int priority_store(struct tree_node *node, const struct tree_file *file, const char *buf)
{
	int priority = sysfs_match_string(priority_names, buf);
	unsigned int i;

	if (priority < 0)
		return -EINVAL;
	if (node->vfid == VFID_BULK) {
		/* R 2.4: the bulk file takes low and normal only: it sets the policy. */
		if (priority == PRIORITY_HIGH)
			return -EINVAL;
		write_all(node->gpu, 0, VALUE_SCHED_IF_IDLE, priority == PRIORITY_NORMAL);
		for (i = 0; i <= node->gpu->totalvfs; i++)
			write_all(node->gpu, i, VALUE_PRIORITY, priority);
		return 0;
	}
	/* R 2.4: only the PF's priority can be changed alone. */
	if (node->vfid != 0)
		return -EOPNOTSUPP;
	return write_all(node->gpu, 0, VALUE_PRIORITY, priority);
}

/* R 2.4: bytes over all tiles. */
static ssize_t vram_show(struct tree_node *node, const struct tree_file *file, char *buf)
{
	u64 share;
	int ret;

	ret = read_all(node, VALUE_VRAM, &share);
	return ret ?: sysfs_emit(buf, "%llu\n", share * node->gpu->tiles);
}

static int set_vram(struct testgpu *gpu, unsigned int vfid, u64 bytes)
{
	if (bytes > gpu->vram)
		return -ENOSPC;
	/* R 2.4: rounded up to tiles x 2 MiB. */
	bytes = roundup(bytes, (u64)gpu->tiles * SZ_2M);
	return write_all(gpu, vfid, VALUE_VRAM, div_u64(bytes, gpu->tiles));
}

static int vram_store(struct tree_node *node, const struct tree_file *file, const char *buf)
{
	unsigned int i;
	u64 bytes;
	int ret;

	ret = kstrtou64(buf, 0, &bytes);
	if (ret)
		return ret;
	if (node->vfid != VFID_BULK)
		return set_vram(node->gpu, node->vfid, bytes);
	/* R 2.5: every VF up to totalvfs, not only those about to be enabled. */
	for (i = 1; i <= node->gpu->totalvfs; i++) {
		ret = set_vram(node->gpu, i, bytes);
		/* R 2.4: EUCLEAN when a bulk write ended part way. */
		if (ret)
			return i == 1 ? ret : -EUCLEAN;
	}
	return 0;
}

/* R 2.4: stop: bool, 0 = no-op; only a reset of the VF revives it (see disguise.c). */
static int stop_store(struct tree_node *node, const struct tree_file *file, const char *buf)
{
	bool yes;
	int ret;

	ret = kstrtobool(buf, &yes);
	if (ret)
		return ret;
	return yes ? rules_command(node->gpu, node->vfid, "stop") : 0;
}

static const struct tree_file profile_files[] = {
	TREE_FILE("exec_quantum_ms", 0644, VALUE_QUANTUM, number_show, number_store),
	TREE_FILE("preempt_timeout_us", 0644, VALUE_TIMEOUT, number_show, number_store),
	TREE_FILE("sched_priority", 0644, VALUE_PRIORITY, priority_show, priority_store),
	TREE_FILE("vram_quota", 0644, VALUE_VRAM, vram_show, vram_store),
};

static const struct tree_file bulk_files[] = {
	TREE_FILE("exec_quantum_ms", 0200, VALUE_QUANTUM, NULL, number_store),
	TREE_FILE("preempt_timeout_us", 0200, VALUE_TIMEOUT, NULL, number_store),
	TREE_FILE("sched_priority", 0200, VALUE_PRIORITY, NULL, priority_store),
	TREE_FILE("vram_quota", 0200, VALUE_VRAM, NULL, vram_store),
};

static const struct tree_file stop_file = TREE_FILE("stop", 0200, VALUE_COUNT, NULL, stop_store);

/* The mode of a file, 0 for none. */
static umode_t mode_of(const struct tree_node *node, const struct tree_file *file)
{
	const struct testgpu *gpu = node->gpu;

	if (file->value == VALUE_VRAM) {
		/* R 2.4: only on cards with memory, not in every kernel; the PF has none. */
		if (!gpu->vram || gpu->quota == QUOTA_ABSENT || node->vfid == 0)
			return 0;
		/* R 2.4: without LMTT hidden or read-only. (inferred) The bulk file is hidden. */
		if (gpu->quota == QUOTA_READ_ONLY)
			return node->vfid == VFID_BULK ? 0 : 0444;
	}
	/* R 2.4: a VF's priority is read-only. */
	if (file->value == VALUE_PRIORITY && node->vfid != 0 && node->vfid != VFID_BULK)
		return 0444;
	return file->attr.mode;
}

static int add_function(struct tree_node *root, unsigned int vfid)
{
	struct tree_node *node, *profile;
	char name[16] = "pf";
	int ret = 0;

	if (vfid)
		snprintf(name, sizeof(name), "vf%u", vfid);
	node = tree_add_below(root, name);
	if (!node)
		return -ENOMEM;
	node->vfid = vfid;
	profile = tree_add_below(node, "profile");
	if (!profile)
		return -ENOMEM;
	if (vfid)
		ret = tree_add_file(node, &stop_file, stop_file.attr.mode);
	else
		ret = sysfs_create_link(&node->kobj, &root->gpu->pf->dev.kobj, "device");
	return ret ?: tree_add_files(profile, profile_files, ARRAY_SIZE(profile_files), mode_of);
}

int admin_create(struct testgpu *gpu)
{
	struct tree_node *root, *bulk;
	unsigned int i;
	int ret;

	root = tree_add(gpu, &gpu->pf->dev.kobj, "sriov_admin");
	bulk = root ? tree_add_below(root, ".bulk_profile") : NULL;
	if (!bulk)
		return -ENOMEM;
	bulk->vfid = VFID_BULK;
	ret = tree_add_files(bulk, bulk_files, ARRAY_SIZE(bulk_files), mode_of);
	/* R 2.4: vf1 ... vf<totalvfs> exist always, also with no VF enabled. */
	for (i = 0; !ret && i <= gpu->totalvfs; i++)
		ret = add_function(root, i);
	return ret;
}
