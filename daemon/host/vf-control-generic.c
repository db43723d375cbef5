/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The least that every SR-IOV driver offers: a number of VFs, each with the driver's equal
 * share. */
#include "host/vf-control.h"

static bool generic_probe(struct sysfs *s, const char *gpu)
{
	return sysfs_exists(s, SYSFS_PCI "/sriov_totalvfs", gpu);
}

static int generic_read_pf(struct sysfs *s, const char *gpu, struct gpu_facts *f)
{
	size_t i;

	for (i = 0; i < VF_ATTRIBUTE_MAX; i++)
		if (free_and_strdup(&f->can[i].why, "the driver offers the number of VFs only") < 0)
			return -ENOMEM;
	return 0;
}

static void generic_read_vf(struct sysfs *s, const char *gpu, struct vf_facts *vf)
{
	/* Nothing tells what a VF got. */
}

const struct vf_control_ops vf_control_generic = {
	.kind = VF_CONTROL_GENERIC,
	.probe = generic_probe,
	.read_pf = generic_read_pf,
	.read_vf = generic_read_vf,
};

const struct vf_control_ops *vf_control_find(struct sysfs *s, const char *gpu)
{
	static const struct vf_control_ops *const surfaces[] = {
		/* richest first */
		&vf_control_xe,
		&vf_control_generic,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(surfaces); i++)
		if (surfaces[i]->probe(s, gpu))
			return surfaces[i];
	return NULL;
}
