/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The least that every SR-IOV driver offers: a number of VFs, each with the driver's equal
 * share. */
#include "host/vf-control.h"

static int generic_read_pf(struct sysfs *s, const struct vf_surface *c, struct gpu_facts *f)
{
	enum vf_attribute a;
	int r = 0;

	for (a = 0; a < VF_ATTRIBUTE_MAX && r == 0; a++)
		r = vf_control_set_ability(f, a, VF_ACCESS_NONE,
					   "the driver offers the number of VFs only");
	return r;
}

static void generic_read_stock(struct sysfs *s, const struct vf_surface *c, struct gpu_facts *f)
{
	/* Nothing tells what is left. */
}

static void generic_read_vf(struct sysfs *s, const struct vf_surface *c, struct vf_facts *vf)
{
	/* Nothing tells what a VF got. */
}

const struct vf_control_ops vf_control_generic = {
	.kind = VF_CONTROL_GENERIC,
	.read_pf = generic_read_pf,
	.read_stock = generic_read_stock,
	.read_vf = generic_read_vf,
};
