// SPDX-License-Identifier: GPL-2.0-or-later
/* The tree sriov_admin/ below the PF's device: R 2.4. Values and refusals are in rules.c. */
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "testgpu.h"

/* The node of no one function: .bulk_profile sets all of them. */
#define VFID_BULK UINT_MAX

struct admin_node {
	struct kobject kobj;
	struct testgpu *gpu;
	unsigned int vfid;
};

struct admin_tree {
	struct admin_node *root;
	unsigned int count;
	/* [0] is pf, [n] is vf<n> */
	struct admin_node *nodes[];
};

struct admin_attribute {
	struct attribute attr;
	ssize_t (*show)(const struct profile *profile, char *buf);
	int (*store)(struct testgpu *gpu, unsigned int vfid, const char *buf);
};

static const char *const priority_names[] = {
	[PRIORITY_LOW] = "low",
	[PRIORITY_NORMAL] = "normal",
	[PRIORITY_HIGH] = "high",
};

static struct admin_node *to_node(struct kobject *kobj)
{
	return container_of(kobj, struct admin_node, kobj);
}

static struct admin_attribute *to_attribute(struct attribute *attr)
{
	return container_of(attr, struct admin_attribute, attr);
}

static ssize_t node_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	struct admin_node *node = to_node(kobj);
	ssize_t ret;

	/* R 2.4: EPERM on reading a write-only file. */
	if (!to_attribute(attr)->show || node->vfid == VFID_BULK)
		return -EPERM;
	mutex_lock(&node->gpu->lock);
	ret = to_attribute(attr)->show(&node->gpu->profiles[node->vfid], buf);
	mutex_unlock(&node->gpu->lock);
	return ret;
}

static ssize_t node_store(struct kobject *kobj, struct attribute *attr, const char *buf,
			  size_t count)
{
	struct admin_node *node = to_node(kobj);
	bool bulk = node->vfid == VFID_BULK;
	char path[64];
	int ret;

	if (!strcmp(attr->name, "stop"))
		snprintf(path, sizeof(path), "%s/stop", kobject_name(kobj));
	else if (bulk)
		snprintf(path, sizeof(path), ".bulk_profile/%s", attr->name);
	else
		snprintf(path, sizeof(path), "%s/profile/%s", kobject_name(kobj), attr->name);
	ret = faults_check(node->gpu, path);
	if (ret < 0)
		return ret;
	mutex_lock(&node->gpu->lock);
	ret = to_attribute(attr)->store(node->gpu, node->vfid, buf);
	mutex_unlock(&node->gpu->lock);
	return ret ?: count;
}

static const struct sysfs_ops node_sysfs_ops = {
	.show = node_show,
	.store = node_store,
};

/*
 * R 2.4: exec_quantum_ms, preempt_timeout_us: u32, 0 = unlimited. (inferred) The ceiling of 100 s
 * is the firmware's; the file keeps what was written.
 */
static int store_u32(struct testgpu *gpu, unsigned int vfid, const char *buf, size_t field)
{
	unsigned int i;
	u32 value;
	int ret;

	ret = kstrtou32(buf, 0, &value);
	if (ret)
		return ret;
	for (i = 0; i <= gpu->totalvfs; i++)
		/* (inferred) the bulk files set the PF too */
		if (vfid == VFID_BULK || vfid == i)
			*(u32 *)((char *)&gpu->profiles[i] + field) = value;
	return 0;
}

static ssize_t exec_quantum_show(const struct profile *profile, char *buf)
{
	return sysfs_emit(buf, "%u\n", profile->exec_quantum_ms);
}

static int exec_quantum_store(struct testgpu *gpu, unsigned int vfid, const char *buf)
{
	return store_u32(gpu, vfid, buf, offsetof(struct profile, exec_quantum_ms));
}

static ssize_t preempt_timeout_show(const struct profile *profile, char *buf)
{
	return sysfs_emit(buf, "%u\n", profile->preempt_timeout_us);
}

static int preempt_timeout_store(struct testgpu *gpu, unsigned int vfid, const char *buf)
{
	return store_u32(gpu, vfid, buf, offsetof(struct profile, preempt_timeout_us));
}

static ssize_t priority_show(const struct profile *profile, char *buf)
{
	ssize_t length = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(priority_names); i++)
		length += sysfs_emit_at(buf, length, i == profile->priority ? "%s[%s]" : "%s%s",
					i ? " " : "", priority_names[i]);
	return length + sysfs_emit_at(buf, length, "\n");
}

static int priority_store(struct testgpu *gpu, unsigned int vfid, const char *buf)
{
	int priority = sysfs_match_string(priority_names, buf);
	unsigned int i;

	if (priority < 0)
		return -EINVAL;
	if (vfid == VFID_BULK) {
		/* R 2.4: the bulk file takes low and normal only. */
		if (priority == PRIORITY_HIGH)
			return -EINVAL;
		for (i = 0; i <= gpu->totalvfs; i++)
			gpu->profiles[i].priority = priority;
		return 0;
	}
	/* R 2.4: only the PF's priority can be changed alone. */
	if (vfid != 0)
		return -EOPNOTSUPP;
	gpu->profiles[0].priority = priority;
	return 0;
}

static ssize_t quota_show(const struct profile *profile, char *buf)
{
	return sysfs_emit(buf, "%llu\n", profile->vram_quota);
}

static int quota_store(struct testgpu *gpu, unsigned int vfid, const char *buf)
{
	u64 bytes;
	int ret;

	ret = kstrtou64(buf, 0, &bytes);
	if (ret)
		return ret;
	return vfid == VFID_BULK ? rules_set_all_quotas(gpu, bytes)
				 : rules_set_quota(gpu, vfid, bytes);
}

/* R 2.4: stop: bool, 0 = no-op; only a reset of the VF revives it (see disguise.c). */
static int stop_store(struct testgpu *gpu, unsigned int vfid, const char *buf)
{
	bool yes;
	int ret;

	ret = kstrtobool(buf, &yes);
	if (ret)
		return ret;
	if (yes)
		gpu->profiles[vfid].stopped = true;
	return 0;
}

#define ADMIN_ATTRIBUTE(_var, _name, _mode, _show, _store) \
	static struct admin_attribute _var = { \
		.attr = { .name = _name, .mode = _mode }, \
		.show = _show, \
		.store = _store, \
	}

ADMIN_ATTRIBUTE(quantum_attribute, "exec_quantum_ms", 0644, exec_quantum_show,
		exec_quantum_store);
ADMIN_ATTRIBUTE(timeout_attribute, "preempt_timeout_us", 0644, preempt_timeout_show,
		preempt_timeout_store);
ADMIN_ATTRIBUTE(priority_attribute, "sched_priority", 0644, priority_show, priority_store);
ADMIN_ATTRIBUTE(quota_attribute, "vram_quota", 0644, quota_show, quota_store);
ADMIN_ATTRIBUTE(stop_attribute, "stop", 0200, NULL, stop_store);

static struct attribute *profile_attributes[] = {
	&quantum_attribute.attr,
	&timeout_attribute.attr,
	&priority_attribute.attr,
	&quota_attribute.attr,
	NULL,
};

static umode_t profile_visible(struct kobject *kobj, struct attribute *attr, int unused)
{
	struct admin_node *node = to_node(kobj);

	/* R 2.4: only on cards with memory, not in every kernel; the PF has none. */
	if (attr == &quota_attribute.attr && (!node->gpu->has_quota || node->vfid == 0))
		return 0;
	if (node->vfid == VFID_BULK)
		return 0200;
	/* R 2.4: a VF's priority is read-only. */
	if (attr == &priority_attribute.attr && node->vfid != 0)
		return 0444;
	return attr->mode;
}

static const struct attribute_group profile_group = {
	.name = "profile",
	.attrs = profile_attributes,
	.is_visible = profile_visible,
};

static const struct attribute_group bulk_group = {
	.name = ".bulk_profile",
	.attrs = profile_attributes,
	.is_visible = profile_visible,
};

static struct attribute *vf_attributes[] = {
	&stop_attribute.attr,
	NULL,
};

static const struct attribute_group vf_group = {
	.attrs = vf_attributes,
};

static const struct attribute_group *root_groups[] = { &bulk_group, NULL };
static const struct attribute_group *pf_groups[] = { &profile_group, NULL };
static const struct attribute_group *vf_groups[] = { &vf_group, &profile_group, NULL };

static void node_release(struct kobject *kobj)
{
	kfree(to_node(kobj));
}

static struct kobj_type root_type = {
	.release = node_release,
	.sysfs_ops = &node_sysfs_ops,
	.default_groups = root_groups,
};

static struct kobj_type pf_type = {
	.release = node_release,
	.sysfs_ops = &node_sysfs_ops,
	.default_groups = pf_groups,
};

static struct kobj_type vf_type = {
	.release = node_release,
	.sysfs_ops = &node_sysfs_ops,
	.default_groups = vf_groups,
};

static struct admin_node *node_new(struct testgpu *gpu, unsigned int vfid, struct kobj_type *type,
				   struct kobject *parent, const char *name)
{
	struct admin_node *node = kzalloc(sizeof(*node), GFP_KERNEL);

	if (!node)
		return NULL;
	node->gpu = gpu;
	node->vfid = vfid;
	if (kobject_init_and_add(&node->kobj, type, parent, "%s", name)) {
		kobject_put(&node->kobj);
		return NULL;
	}
	return node;
}

static int add_function(struct testgpu *gpu, unsigned int vfid)
{
	struct admin_tree *tree = gpu->admin;
	char name[16] = "pf";

	if (vfid)
		snprintf(name, sizeof(name), "vf%u", vfid);
	tree->nodes[vfid] = node_new(gpu, vfid, vfid ? &vf_type : &pf_type, &tree->root->kobj,
				     name);
	if (!tree->nodes[vfid])
		return -ENOMEM;
	tree->count++;
	if (vfid)
		return 0;
	return sysfs_create_link(&tree->nodes[0]->kobj, &gpu->pf->dev.kobj, "device");
}

int admin_create(struct testgpu *gpu)
{
	unsigned int i;
	int ret = 0;

	gpu->admin = kzalloc(struct_size(gpu->admin, nodes, gpu->totalvfs + 1), GFP_KERNEL);
	if (!gpu->admin)
		return -ENOMEM;
	gpu->admin->root = node_new(gpu, VFID_BULK, &root_type, &gpu->pf->dev.kobj, "sriov_admin");
	if (!gpu->admin->root)
		ret = -ENOMEM;
	/* R 2.4: vf1 ... vf<totalvfs> exist always, also with no VF enabled. */
	for (i = 0; !ret && i <= gpu->totalvfs; i++)
		ret = add_function(gpu, i);
	if (ret)
		admin_destroy(gpu);
	return ret;
}

void admin_destroy(struct testgpu *gpu)
{
	struct admin_tree *tree = gpu->admin;
	unsigned int i;

	if (!tree)
		return;
	for (i = 0; i < tree->count; i++) {
		kobject_del(&tree->nodes[i]->kobj);
		kobject_put(&tree->nodes[i]->kobj);
	}
	if (tree->root) {
		kobject_del(&tree->root->kobj);
		kobject_put(&tree->root->kobj);
	}
	kfree(tree);
	gpu->admin = NULL;
}

/* All VFs of an emulated card are on the PF's own bus. */
static struct pci_dev *vf_device(struct testgpu *gpu, unsigned int vfid)
{
	return pci_get_slot(gpu->bus, pci_iov_virtfn_devfn(gpu->pf, vfid - 1));
}

/* R 2.4: vf<N>/device, a link that is present only while VFs are enabled. */
void admin_link_vfs(struct testgpu *gpu, unsigned int num)
{
	struct pci_dev *vf;
	unsigned int i;

	for (i = 1; i <= num; i++) {
		vf = vf_device(gpu, i);
		if (!vf || sysfs_create_link(&gpu->admin->nodes[i]->kobj, &vf->dev.kobj, "device"))
			pci_notice(gpu->pf, "no device link in vf%u\n", i);
		pci_dev_put(vf);
	}
}

void admin_unlink_vfs(struct testgpu *gpu, unsigned int num)
{
	unsigned int i;

	for (i = 1; i <= num; i++)
		sysfs_remove_link(&gpu->admin->nodes[i]->kobj, "device");
}
