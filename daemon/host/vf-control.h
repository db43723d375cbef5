/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ways in which a driver lets VFs be shaped, each one const record.  Found by probing what
 * is there; driver and kernel versions are not asked.  Used in the helper process only. */
#pragma once

#include "core/facts.h"
#include "host/sysfs.h"

/* What a surface offers on one GPU. */
struct vf_control_abilities {
	bool vram;     /* vram_quota may be written */
	bool schedule; /* exec_quantum_ms and preempt_timeout_us may be written */
};

struct vf_control_ops {
	enum vf_control kind;
	/* True when this GPU has the surface; fills what it offers. */
	bool (*probe)(struct sysfs *s, const char *gpu, struct vf_control_abilities *ret);
	/* Fills quota and scheduling values of vf->index; what is not offered stays unknown. */
	void (*read_vf)(struct sysfs *s, const char *gpu, struct vf_facts *vf);
	/* Writes and reads back.  -EOPNOTSUPP when the attribute is not there or is read-only. */
	int (*set_vf)(struct sysfs *s, const char *gpu, unsigned vf, const char *attribute,
		      uint64_t value, uint64_t *ret);
	int (*set_pf)(struct sysfs *s, const char *gpu, const char *attribute, uint64_t value,
		      uint64_t *ret);
};

extern const struct vf_control_ops vf_control_xe;
extern const struct vf_control_ops vf_control_generic;

/* The first surface that the GPU has; NULL = no SR-IOV here. */
const struct vf_control_ops *vf_control_find(struct sysfs *s, const char *gpu,
					     struct vf_control_abilities *ret);
