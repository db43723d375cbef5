/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ways in which a driver lets VFs be shaped, each one const record.  Found by probing what
 * is there; driver and kernel versions are not asked.  Used in the helper process only. */
#pragma once

#include "host/host-ops.h"
#include "host/sysfs.h"

struct vf_control_ops {
	enum vf_control kind;
	/* True when this GPU has the surface. */
	bool (*probe)(struct sysfs *s, const char *gpu);
	/* Fills can[], tiles, resources[], custom_provisioning of f, as far as it tells; waits for no
	 * lock.  Returns 0 or -ENOMEM. */
	int (*read_pf)(struct sysfs *s, const char *gpu, struct gpu_facts *f);
	/* Fills values[] of vf->index; what is not offered stays unknown. */
	void (*read_vf)(struct sysfs *s, const char *gpu, struct vf_facts *vf);
	/* Each writes and reads back.  -EOPNOTSUPP when the attribute is not there or is read-only; an
	 * operation that the way has not is NULL. */
	int (*set_vf)(struct sysfs *s, const char *gpu, const struct host_request *request, uint64_t *ret);
	int (*set_bulk)(struct sysfs *s, const char *gpu, enum vf_attribute attribute,
			uint64_t value, uint64_t *ret);
	int (*set_pf)(struct sysfs *s, const char *gpu, enum vf_attribute attribute, uint64_t value,
		      uint64_t *ret);
	int (*restore_auto)(struct sysfs *s, const char *gpu);
};

extern const struct vf_control_ops vf_control_xe;
extern const struct vf_control_ops vf_control_generic;

/* The first surface that the GPU has; NULL = no SR-IOV here. */
const struct vf_control_ops *vf_control_find(struct sysfs *s, const char *gpu);
