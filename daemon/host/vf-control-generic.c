/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The least that every SR-IOV driver offers: a number of VFs, each with the driver's equal
 * share. */
#include "host/vf-control.h"

static bool generic_probe(struct sysfs *s, const char *gpu, struct vf_control_abilities *ret)
{
	*ret = (struct vf_control_abilities){ 0 };
	return sysfs_exists(s, SYSFS_PCI "/sriov_totalvfs", gpu);
}

static void generic_read_vf(struct sysfs *s, const char *gpu, struct vf_facts *vf)
{
	/* Nothing tells what a VF got. */
}

static int generic_set_vf(struct sysfs *s, const char *gpu, unsigned vf, const char *attribute,
			  uint64_t value, uint64_t *ret)
{
	sysfs_announce(s, attribute);
	return -EOPNOTSUPP;
}

static int generic_set_pf(struct sysfs *s, const char *gpu, const char *attribute, uint64_t value,
			  uint64_t *ret)
{
	sysfs_announce(s, attribute);
	return -EOPNOTSUPP;
}

const struct vf_control_ops vf_control_generic = {
	.kind = VF_CONTROL_GENERIC,
	.probe = generic_probe,
	.read_vf = generic_read_vf,
	.set_vf = generic_set_vf,
	.set_pf = generic_set_pf,
};

const struct vf_control_ops *vf_control_find(struct sysfs *s, const char *gpu,
					     struct vf_control_abilities *ret)
{
	static const struct vf_control_ops *const surfaces[] = {
		/* richest first */
		&vf_control_xe,
		&vf_control_generic,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(surfaces); i++)
		if (surfaces[i]->probe(s, gpu, ret))
			return surfaces[i];
	return NULL;
}
