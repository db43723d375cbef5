/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The testbed's GPU: an emulated SR-IOV function that looks and acts, for user space, like an Intel
 * GPU under the xe or the out-of-tree i915 driver. What the files share.
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
#define TESTGPU_GTS 2

struct drm_device;

enum flavour {
	FLAVOUR_XE,
	FLAVOUR_I915,
};

/* Whether sriov_admin has vram_quota: R 2.4. */
enum quota_file {
	QUOTA_ABSENT,
	QUOTA_WRITABLE,
	QUOTA_READ_ONLY,
};

/* R 2.7 */
enum layout {
	LAYOUT_NONE,
	LAYOUT_OLD,
	LAYOUT_NEW,
};

/* Where the i915 tree is: R 3.2. */
enum home {
	HOME_PRELIM_IOV,
	HOME_IOV,
	HOME_BOTH,
};

/* What one function can be given on one GT. Of the PF the first four are what it keeps (spare). */
enum value {
	VALUE_GGTT,
	VALUE_CONTEXTS,
	VALUE_DOORBELLS,
	VALUE_VRAM,
#define VALUE_HARD_COUNT VALUE_QUANTUM
	VALUE_QUANTUM,
	VALUE_TIMEOUT,
	VALUE_PRIORITY,
	VALUE_CAT_ERRORS,
	VALUE_ENGINE_RESETS,
	VALUE_PAGE_FAULTS,
	VALUE_GUC_TIME,
	VALUE_IRQ_TIME,
	VALUE_DOORBELL_TIME,
	/* policies: of the PF only */
	VALUE_SCHED_IF_IDLE,
	VALUE_RESET_ENGINE,
	VALUE_SAMPLE_PERIOD,
	VALUE_COUNT,
};

enum priority {
	PRIORITY_LOW,
	PRIORITY_NORMAL,
	PRIORITY_HIGH,
	PRIORITY_COUNT,
};

/* Index 0 is the PF, as in the drivers' own numbering. */
struct function {
	u64 values[TESTGPU_GTS][VALUE_COUNT];
	bool stopped;
	bool paused;
};

struct testgpu {
	/* From the module's parameter. */
	unsigned int index;
	unsigned int slot;
	unsigned int device;
	u32 pci_class;
	u64 vram;
	unsigned int flavour;
	unsigned int bound;
	unsigned int hook;
	unsigned int max_vfs;
	unsigned int tiles;
	unsigned int media;
	unsigned int display;
	unsigned int admin;
	unsigned int quota;
	unsigned int layout;
	unsigned int euclean;
	unsigned int live;
	unsigned int home;
	unsigned int gt_numbered;

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
	struct drm_device *card;
	struct mutex lock;
	unsigned int totalvfs;
	unsigned int numvfs;
	struct function *functions;
	struct list_head nodes;
	bool wedged;

	/* rules.c */
	bool custom;
	bool auto_off;
	bool auto_shared;

	/* debug.c */
	struct dentry *card_folder;
	struct list_head places;
	unsigned int lockdowns;

	/* faults.c, writes.c */
	spinlock_t fault_lock;
	struct list_head faults;
	struct list_head writes;
	atomic_t numvfs_writes;
	atomic_t autoprobe_writes;
	struct dentry *debugfs;
};

struct seq_file;

extern struct testgpu testgpus[TESTGPU_MAX];
extern unsigned int testgpu_count;
extern unsigned int testgpu_max_vfs;

struct testgpu *testgpu_of_bus(const struct pci_bus *bus);
/* Number of a VF from 1, or 0 for the PF. */
unsigned int testgpu_vfid(const struct testgpu *gpu, unsigned int devfn);

/* disguise.c */
int disguise_put_on(struct testgpu *gpu);
void disguise_take_off(struct testgpu *gpu);

/* resets.c */
/* A function-level reset is on its way to the function; false when a fault says that it gets lost. */
bool resets_note(struct testgpu *gpu, unsigned int devfn);
/* All VFs are new. */
void resets_note_enable(struct testgpu *gpu);
void resets_show(struct testgpu *gpu, struct seq_file *out);
void resets_show_log(struct testgpu *gpu, struct seq_file *out);

/* driver.c */
int drivers_register(void);
void drivers_unregister(void);

/* drm.c */
int drm_card_add(struct testgpu *gpu, struct pci_dev *pdev);
void drm_card_remove(struct pci_dev *pdev);
int drm_card_wedge(struct testgpu *gpu, const char *recovery);

/* values.c: all with the GPU's lock held */
unsigned int values_gt_count(const struct testgpu *gpu);
bool values_gt_is_media(const struct testgpu *gpu, unsigned int gt);
/* Whether functions have this value on that GT at all. */
bool values_exist(const struct testgpu *gpu, unsigned int gt, enum value value);
u64 values_total(const struct testgpu *gpu, unsigned int gt, enum value value);
u64 values_step(const struct testgpu *gpu, enum value value);
/* What is left for VFs. */
u64 values_free(const struct testgpu *gpu, unsigned int gt, enum value value);
u64 values_get(const struct testgpu *gpu, unsigned int vfid, unsigned int gt, enum value value);
int values_set(struct testgpu *gpu, unsigned int vfid, unsigned int gt, enum value value,
	       u64 number);

/* rules.c: all with the GPU's lock held */
bool rules_is_given(const struct testgpu *gpu, unsigned int vfid);
int rules_provision(struct testgpu *gpu, unsigned int num);
void rules_release(struct testgpu *gpu, unsigned int num);
void rules_clear(struct testgpu *gpu, unsigned int vfid);
int rules_command(struct testgpu *gpu, unsigned int vfid, const char *word);
int rules_set_auto(struct testgpu *gpu, bool on);
int rules_restore_auto(struct testgpu *gpu);

/* tree.c: folders and files in sysfs */
struct tree_node {
	struct kobject kobj;
	struct list_head link;
	struct testgpu *gpu;
	unsigned int vfid;
	unsigned int gt;
	/* below the tree's home, for faults; with a slash at its end */
	char path[48];
};

struct tree_file {
	struct attribute attr;
	enum value value;
	ssize_t (*show)(struct tree_node *node, const struct tree_file *file, char *buf);
	int (*store)(struct tree_node *node, const struct tree_file *file, const char *buf);
};

#define TREE_FILE(_name, _mode, _value, _show, _store) { \
	.attr = { .name = _name, .mode = _mode }, \
	.value = _value, \
	.show = _show, \
	.store = _store, \
}

struct tree_node *tree_add(struct testgpu *gpu, struct kobject *parent, const char *name);
struct tree_node *tree_add_below(struct tree_node *parent, const char *name);
int tree_add_file(struct tree_node *node, const struct tree_file *file, umode_t mode);
/* The mode of a file at that node, 0 where there is none. */
typedef umode_t tree_mode(const struct tree_node *node, const struct tree_file *file);
int tree_add_files(struct tree_node *node, const struct tree_file *files, size_t count,
		   tree_mode *mode_of);
void tree_remove(struct testgpu *gpu);
struct pci_dev *tree_vf_device(struct testgpu *gpu, unsigned int vfid);
/* R 2.4, 3.2: vf<N>/device, a link that is present only while VFs are enabled. */
void tree_link_vfs(struct testgpu *gpu, unsigned int num);
void tree_unlink_vfs(struct testgpu *gpu, unsigned int num);

/* admin.c, i915.c: in the list of nodes of the GPU */
int admin_create(struct testgpu *gpu);
int i915_create(struct testgpu *gpu);

/* debug.c, debug-old.c, debug-new.c: the driver's own files in debugfs */
struct debug_place {
	struct list_head link;
	struct testgpu *gpu;
	unsigned int vfid;
	unsigned int gt;
	char path[40];
};

struct debug_file {
	const char *name;
	umode_t mode;
	enum value value;
	int (*show)(struct seq_file *out, const struct debug_place *place,
		    const struct debug_file *file);
	int (*store)(const struct debug_place *place, const struct debug_file *file,
		     const char *text);
};

/* The dentry of a new folder with the place of its parent, path extended by the name. */
struct dentry *debug_folder(struct testgpu *gpu, struct dentry *parent, const char *name,
			    unsigned int vfid, unsigned int gt);
void debug_add(struct dentry *folder, const struct debug_file *files, size_t count);
void debug_create(struct testgpu *gpu);
void debug_remove(struct testgpu *gpu);
const char *debug_function_name(unsigned int vfid, char *buf, size_t size);
int debug_show_number(struct seq_file *out, const struct debug_place *place,
		      const struct debug_file *file);
int debug_store_number(const struct debug_place *place, const struct debug_file *file,
		       const char *text);
int debug_show_available(struct seq_file *out, const struct debug_place *place,
			 const struct debug_file *file);
int debug_show_provisioned(struct seq_file *out, const struct debug_place *place,
			   const struct debug_file *file);
int debug_show_control(struct seq_file *out, const struct debug_place *place,
		       const struct debug_file *file);
int debug_store_control(const struct debug_place *place, const struct debug_file *file,
			const char *text);
int debug_show_vram(struct seq_file *out, const struct debug_place *place,
		    const struct debug_file *file);
/* Files of one function on one GT that both layouts have. */
void debug_add_gt_files(struct testgpu *gpu, struct dentry *folder, unsigned int vfid);
void debug_old_create(struct testgpu *gpu);
void debug_new_create(struct testgpu *gpu);

/* faults.c */
#define FAULT_FEWER 1
#define FAULT_LOST 3

int faults_add(struct testgpu *gpu, const char *text);
/*
 * Called once per write (or read) of an attribute. Returns 0, a negative errno to fail with, or
 * FAULT_FEWER; a fault that hangs returns only after it was released.
 */
int faults_check_write(struct testgpu *gpu, const char *attribute);
int faults_check_read(struct testgpu *gpu, const char *attribute);
/* Whether a reset gets lost that `by` asks for; may be called with interrupts off. */
bool faults_lose_reset(struct testgpu *gpu, const char *by);
void faults_release_all(void);
void faults_show(struct testgpu *gpu, struct seq_file *out);
void faults_init(struct testgpu *gpu);
void faults_clear(struct testgpu *gpu);

/* writes.c: counts writes */
int writes_start(void);
void writes_stop(void);
void writes_init(struct testgpu *gpu);
void writes_count(struct testgpu *gpu, const char *attribute);
void writes_show(struct testgpu *gpu, struct seq_file *out);
void writes_clear(struct testgpu *gpu);

/* control.c: the testbed's own files in debugfs */
void control_add(struct testgpu *gpu);
void control_root(bool present);

#endif
