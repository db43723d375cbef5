/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The testbed's GPU: an emulated SR-IOV function that looks and acts, for user space, like an Intel
 * GPU under the xe driver. What the files share.
 *
 * "R n.m" in a comment is a section of the reference of Intel GPU SR-IOV in user space that the
 * rules follow; "(inferred)" marks what the reference does not say outright.
 */
#ifndef GPUVF_TESTGPU_H
#define GPUVF_TESTGPU_H

#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/spinlock.h>

#define TESTGPU_MAX 8
#define TESTGPU_INTEL 0x8086

struct drm_device;
struct admin_tree;

enum priority {
	PRIORITY_LOW,
	PRIORITY_NORMAL,
	PRIORITY_HIGH,
};

/* What a function has been given; index 0 is the PF, as in the driver's own numbering. */
struct profile {
	u32 exec_quantum_ms;
	u32 preempt_timeout_us;
	enum priority priority;
	u64 vram_quota;
	bool stopped;
};

struct testgpu {
	/* From the module's parameter. */
	unsigned int index;
	unsigned int slot;
	u16 device;
	u32 pci_class;
	u64 vram;
	bool has_quota;
	bool start_bound;

	/* disguise.c */
	struct pci_bus *bus;
	struct pci_ops *real_ops;
	int sriov_cap;
	int pcie_cap;
	u16 vf_offset;
	u16 vf_stride;
	atomic_t resets[256];

	/* driver.c: while the PF is bound */
	struct pci_dev *pf;
	struct mutex lock;
	unsigned int totalvfs;
	unsigned int numvfs;
	struct profile *profiles;
	struct admin_tree *admin;

	/* faults.c */
	spinlock_t fault_lock;
	struct list_head faults;
	struct dentry *debugfs;
};

extern struct testgpu testgpus[TESTGPU_MAX];
extern unsigned int testgpu_count;
extern unsigned int testgpu_max_vfs;

struct testgpu *testgpu_of_bus(const struct pci_bus *bus);
/* Number of a VF from 1, or 0 for the PF. */
unsigned int testgpu_vfid(const struct testgpu *gpu, unsigned int devfn);

/* disguise.c */
int disguise_put_on(struct testgpu *gpu);
void disguise_take_off(struct testgpu *gpu);

/* driver.c */
int driver_register_xe(void);
void driver_unregister_xe(void);

/* drm.c */
int drm_card_add(struct pci_dev *pdev);
void drm_card_remove(struct pci_dev *pdev);

/* admin.c */
int admin_create(struct testgpu *gpu);
void admin_destroy(struct testgpu *gpu);
void admin_link_vfs(struct testgpu *gpu, unsigned int num);
void admin_unlink_vfs(struct testgpu *gpu, unsigned int num);

/* rules.c: all with the GPU's lock held */
int rules_set_quota(struct testgpu *gpu, unsigned int vfid, u64 bytes);
int rules_set_all_quotas(struct testgpu *gpu, u64 bytes);
int rules_provision(struct testgpu *gpu, unsigned int num);
void rules_release(struct testgpu *gpu, unsigned int num);

/* faults.c */
#define FAULT_FEWER 1

int faults_add(struct testgpu *gpu, const char *text);
/*
 * Called once per write of an attribute. Returns 0, a negative errno to fail with, or FAULT_FEWER;
 * a fault that hangs returns only after it was released.
 */
int faults_check(struct testgpu *gpu, const char *attribute);
void faults_debugfs_add(struct testgpu *gpu);
void faults_init(struct testgpu *gpu);
void faults_clear(struct testgpu *gpu);
void faults_debugfs_root(bool present);

#endif
