/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ways in which a driver lets VFs be shaped, each one const record.  Found by probing what
 * is there and writable; driver and kernel versions are not asked (docs/VF-CONTROL.md).  Used in
 * the helper process only. */
#pragma once

#include "host/host-ops.h"
#include "host/sysfs.h"
#include "host/vf-tree.h"

/* One GPU and how it is steered.  Made by vf_control_find(), good for one request: files may come
 * and go with the driver. */
struct vf_surface {
	const struct vf_control_ops *ops;
	char gpu[PCI_ADDRESS_STRLEN];
	struct vf_tree tree; /* of i915 and of xe's debugfs */
	bool admin;          /* sriov_admin/ of xe is there */
	bool integrated;     /* by its model: without memory of its own */
	char *note;          /* why not a richer way; NULL = this is the richest */
};

struct vf_control_ops {
	enum vf_control kind;
	/* Fills can[], tiles and grains of f: what links and modes tell, nothing that waits for a
	 * lock. Returns 0 or -ENOMEM. */
	int (*read_pf)(struct sysfs *s, const struct vf_surface *c, struct gpu_facts *f);
	/* Fills resources[] and custom_provisioning, as far as it tells.  Asks the driver: may
	 * hang. */
	void (*read_stock)(struct sysfs *s, const struct vf_surface *c, struct gpu_facts *f);
	/* Fills values[] of vf->index; what is not offered, and on what tiles disagree, stays
	 * unknown. */
	void (*read_vf)(struct sysfs *s, const struct vf_surface *c, struct vf_facts *vf);
	/* Each writes and reads back.  -EOPNOTSUPP when the attribute is not there or is read-only;
	 * an operation that the way has not is NULL. */
	int (*set_vf)(struct sysfs *s, const struct vf_surface *c,
		      const struct host_request *request, uint64_t *ret);
	int (*set_bulk)(struct sysfs *s, const struct vf_surface *c, enum vf_attribute attribute,
			uint64_t value, uint64_t *ret);
	int (*set_pf)(struct sysfs *s, const struct vf_surface *c, enum vf_attribute attribute,
		      uint64_t value, uint64_t *ret);
	/* All VFs are off.  total is the largest number that they can have. */
	int (*restore_auto)(struct sysfs *s, const struct vf_surface *c, unsigned total);
};

extern const struct vf_control_ops vf_control_xe;
extern const struct vf_control_ops vf_control_xe_debugfs;
extern const struct vf_control_ops vf_control_i915;
extern const struct vf_control_ops vf_control_generic;

/* Chooses the way.  ret->ops NULL = no SR-IOV here.  Returns 0 or -ENOMEM. */
int vf_control_find(struct sysfs *s, const char *gpu, struct vf_surface *ret);
void vf_surface_done(struct vf_surface *c);

/* ---- for the ways ---- */

int vf_control_set_ability(struct gpu_facts *f, enum vf_attribute attribute, enum vf_access access,
			   const char *why);

/* vfN of the driver, by its link, must be the function that virtfn(N-1) is, or a value would go to
 * somebody else's VF.  home is the folder that has vfN/.  Returns 0, -EINVAL for no number,
 * -ESTALE. */
int vf_control_check_number(struct sysfs *s, const struct vf_surface *c, const char *home,
			    unsigned vf);

/* The DRM card of this very PF: its number, or -ENOENT. */
int vf_control_card(struct sysfs *s, const char *gpu, unsigned *ret);

/* Finds i915's tree.  Returns true with c->tree filled, or false; *ret_mode is new, or NULL when
 * there is no tree at all, else what its mode file says. */
bool vf_i915_find(struct sysfs *s, struct vf_surface *c, char **ret_mode);

/* What xe's debugfs is good for. */
enum vf_debugfs {
	VF_DEBUGFS_USABLE,    /* c->tree is filled */
	VF_DEBUGFS_FORBIDDEN, /* not allowed by the configuration */
	VF_DEBUGFS_LOCKED,    /* the kernel's lockdown closes it */
	VF_DEBUGFS_ABSENT,    /* not mounted, or without quota files of this card */
};
enum vf_debugfs vf_debugfs_find(struct sysfs *s, struct vf_surface *c);
