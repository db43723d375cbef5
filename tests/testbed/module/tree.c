// SPDX-License-Identifier: GPL-2.0-or-later
/* Folders and files of a driver in sysfs: made from tables, with the faults and the count of writes
 * that all of them share. What a file means is in admin.c and i915.c. */
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "testgpu.h"

static struct tree_node *to_node(struct kobject *kobj)
{
	return container_of(kobj, struct tree_node, kobj);
}

static struct tree_file *to_file(struct attribute *attr)
{
	return container_of(attr, struct tree_file, attr);
}

static ssize_t node_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	struct tree_node *node = to_node(kobj);
	char path[96];
	ssize_t ret;

	snprintf(path, sizeof(path), "%s%s", node->path, attr->name);
	ret = faults_check_read(node->gpu, path);
	if (ret < 0)
		return ret;
	/* R 2.4: EPERM on reading a write-only file. */
	if (!to_file(attr)->show)
		return -EPERM;
	mutex_lock(&node->gpu->lock);
	ret = to_file(attr)->show(node, to_file(attr), buf);
	mutex_unlock(&node->gpu->lock);
	return ret;
}

static ssize_t node_store(struct kobject *kobj, struct attribute *attr, const char *buf,
			  size_t count)
{
	struct tree_node *node = to_node(kobj);
	char path[96];
	int ret;

	snprintf(path, sizeof(path), "%s%s", node->path, attr->name);
	ret = faults_check_write(node->gpu, path);
	if (ret < 0)
		return ret;
	mutex_lock(&node->gpu->lock);
	ret = to_file(attr)->store(node, to_file(attr), buf);
	mutex_unlock(&node->gpu->lock);
	return ret ?: count;
}

static const struct sysfs_ops node_sysfs_ops = {
	.show = node_show,
	.store = node_store,
};

static void node_release(struct kobject *kobj)
{
	kfree(to_node(kobj));
}

static struct kobj_type node_type = {
	.release = node_release,
	.sysfs_ops = &node_sysfs_ops,
};

struct tree_node *tree_add(struct testgpu *gpu, struct kobject *parent, const char *name)
{
	struct tree_node *node = kzalloc(sizeof(*node), GFP_KERNEL);

	if (!node)
		return NULL;
	node->gpu = gpu;
	if (kobject_init_and_add(&node->kobj, &node_type, parent, "%s", name)) {
		kobject_put(&node->kobj);
		return NULL;
	}
	list_add(&node->link, &gpu->nodes);
	return node;
}

struct tree_node *tree_add_below(struct tree_node *parent, const char *name)
{
	struct tree_node *node = tree_add(parent->gpu, &parent->kobj, name);

	if (!node)
		return NULL;
	node->vfid = parent->vfid;
	node->gt = parent->gt;
	snprintf(node->path, sizeof(node->path), "%s%s/", parent->path, name);
	return node;
}

int tree_add_file(struct tree_node *node, const struct tree_file *file, umode_t mode)
{
	int ret = sysfs_create_file(&node->kobj, &file->attr);

	if (!ret && mode != file->attr.mode)
		ret = sysfs_chmod_file(&node->kobj, &file->attr, mode);
	return ret;
}

int tree_add_files(struct tree_node *node, const struct tree_file *files, size_t count,
		   tree_mode *mode_of)
{
	int ret = 0;
	size_t i;

	for (i = 0; !ret && i < count; i++)
		if (mode_of(node, &files[i]))
			ret = tree_add_file(node, &files[i], mode_of(node, &files[i]));
	return ret;
}

/* The list has children before their parents. */
void tree_remove(struct testgpu *gpu)
{
	struct tree_node *node, *next;

	list_for_each_entry_safe(node, next, &gpu->nodes, link) {
		list_del(&node->link);
		kobject_del(&node->kobj);
		kobject_put(&node->kobj);
	}
}

/* All VFs of an emulated card are on the PF's own bus. */
struct pci_dev *tree_vf_device(struct testgpu *gpu, unsigned int vfid)
{
	return pci_get_slot(gpu->bus, pci_iov_virtfn_devfn(gpu->pf, vfid - 1));
}

/* The folders that are one VF's own and not a part of it. */
static bool is_folder_of_vf(const struct tree_node *node, unsigned int num)
{
	return node->vfid && node->vfid <= num && str_has_prefix(kobject_name(&node->kobj), "vf");
}

void tree_link_vfs(struct testgpu *gpu, unsigned int num)
{
	struct tree_node *node;
	struct pci_dev *vf;

	list_for_each_entry(node, &gpu->nodes, link) {
		if (!is_folder_of_vf(node, num))
			continue;
		vf = tree_vf_device(gpu, node->vfid);
		if (!vf || sysfs_create_link(&node->kobj, &vf->dev.kobj, "device"))
			pci_notice(gpu->pf, "no device link in vf%u\n", node->vfid);
		pci_dev_put(vf);
	}
}

void tree_unlink_vfs(struct testgpu *gpu, unsigned int num)
{
	struct tree_node *node;

	list_for_each_entry(node, &gpu->nodes, link)
		if (is_folder_of_vf(node, num))
			sysfs_remove_link(&node->kobj, "device");
}
