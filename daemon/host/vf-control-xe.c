/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sriov_admin/ of xe: a folder per VF, counted from 1, there also while no VF is enabled.
 * vram_quota came later than the rest and is missing or read-only on some cards, so each
 * attribute is probed. */
#include "host/vf-control.h"

#include <stdio.h>

#include "lib/units.h"

#define XE_PROFILE SYSFS_PCI "/sriov_admin/%s/profile/%s"
#define XE_FOLDER_MAX 16
/* quotas are rounded up to this times the number of tiles */
#define XE_VRAM_GRAIN (2 * MIB)

static const char *vf_folder(unsigned vf, char buf[static XE_FOLDER_MAX])
{
	snprintf(buf, XE_FOLDER_MAX, "vf%u", vf);
	return buf;
}

static bool xe_probe(struct sysfs *s, const char *gpu)
{
	return sysfs_exists(s, SYSFS_PCI "/sriov_totalvfs", gpu) &&
	       sysfs_exists(s, SYSFS_PCI "/sriov_admin", gpu);
}

static int set_ability(struct gpu_facts *f, enum vf_attribute attribute, enum vf_access access,
		       const char *why)
{
	f->can[attribute].access = access;
	return free_and_strdup(&f->can[attribute].why, why);
}

/* By existence and mode bits of vf1's file: the driver's own word on what may be written. */
static int probe_attribute(struct sysfs *s, const char *gpu, enum vf_attribute attribute,
			   struct gpu_facts *f)
{
	const char *name = vf_attribute_to_string(attribute);

	if (sysfs_is_writable(s, XE_PROFILE, gpu, "vf1", name))
		return set_ability(f, attribute, VF_ACCESS_WRITE, NULL);
	if (sysfs_exists(s, XE_PROFILE, gpu, "vf1", name))
		return set_ability(f, attribute, VF_ACCESS_READ, "the driver shows it for reading only");
	return set_ability(f, attribute, VF_ACCESS_NONE, "sriov_admin has no such file here");
}

static int xe_read_pf(struct sysfs *s, const char *gpu, struct gpu_facts *f)
{
	static const enum vf_attribute offered[] = { VF_ATTR_VRAM, VF_ATTR_EXEC_QUANTUM,
						     VF_ATTR_PREEMPT_TIMEOUT, VF_ATTR_PRIORITY };
	size_t i;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(offered) && r == 0; i++)
		r = probe_attribute(s, gpu, offered[i], f);
	f->resources[VF_ATTR_VRAM].grain = XE_VRAM_GRAIN * f->tiles;
	return r;
}

static struct known read_known(struct sysfs *s, const char *gpu, const char *folder,
			       enum vf_attribute attribute)
{
	uint64_t value;

	/* EUCLEAN: tiles disagree; EPERM: write-only.  Either way nobody can say the value. */
	if (sysfs_read_uint(s, &value, XE_PROFILE, gpu, folder, vf_attribute_to_string(attribute)) < 0)
		return (struct known){ 0 };

	return (struct known){ true, value };
}

/* "low [normal] high" → VF_PRIORITY_NORMAL. */
static struct known bracketed(const char *text)
{
	const char *open = strchr(text, '[');
	const char *close = open ? strchr(open, ']') : NULL;
	_cleanup_free_ char *word = close ? strndup(open + 1, (size_t)(close - open - 1)) : NULL;
	int priority = word ? vf_priority_from_string(word) : -EINVAL;

	return priority < 0 ? (struct known){ 0 } : (struct known){ true, (uint64_t)priority };
}

static void xe_read_vf(struct sysfs *s, const char *gpu, struct vf_facts *vf)
{
	static const enum vf_attribute numbers[] = { VF_ATTR_VRAM, VF_ATTR_EXEC_QUANTUM,
						     VF_ATTR_PREEMPT_TIMEOUT };
	_cleanup_free_ char *priorities = NULL;
	char folder[XE_FOLDER_MAX];
	size_t i;

	vf_folder(vf->index, folder);
	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		vf->values[numbers[i]] = read_known(s, gpu, folder, numbers[i]);
	if (sysfs_read(s, &priorities, XE_PROFILE, gpu, folder, "sched_priority") == 0)
		vf->values[VF_ATTR_PRIORITY] = bracketed(priorities);
}

static int set_and_read(struct sysfs *s, const char *gpu, const char *folder,
			enum vf_attribute attribute, uint64_t value, uint64_t *ret)
{
	const char *name = vf_attribute_to_string(attribute);
	int r;

	if (attribute == VF_ATTR_PRIORITY)
		return -EOPNOTSUPP; /* of a VF it is read-only; of all: set_bulk */
	if (!sysfs_exists(s, SYSFS_PCI "/sriov_admin/%s", gpu, folder))
		return -ENOENT;
	if (!sysfs_is_writable(s, XE_PROFILE, gpu, folder, name))
		return -EOPNOTSUPP;
	r = sysfs_write_uint(s, value, XE_PROFILE, gpu, folder, name);
	if (r < 0)
		return r;

	return sysfs_read_uint(s, ret, XE_PROFILE, gpu, folder, name);
}

/* vfN must be the function that virtfn(N-1) is, or a value would go to somebody else's VF. */
static int check_numbering(struct sysfs *s, const char *gpu, unsigned vf)
{
	_cleanup_free_ char *by_admin = NULL, *by_core = NULL;

	if (vf == 0)
		return -EINVAL;
	if (sysfs_link_name(s, &by_core, SYSFS_PCI "/virtfn%u", gpu, vf - 1) < 0 ||
	    sysfs_link_name(s, &by_admin, SYSFS_PCI "/sriov_admin/vf%u/device", gpu, vf) < 0)
		return 0; /* no VF enabled: the folder alone decides */

	return streq(by_core, by_admin) ? 0 : -ESTALE;
}

static int xe_set_vf(struct sysfs *s, const char *gpu, const struct host_request *request,
		     uint64_t *ret)
{
	char folder[XE_FOLDER_MAX];
	int r;

	r = check_numbering(s, gpu, request->vf);
	if (r < 0)
		return r;

	return set_and_read(s, gpu, vf_folder(request->vf, folder), request->attribute, request->value,
			    ret);
}

static int xe_set_pf(struct sysfs *s, const char *gpu, enum vf_attribute attribute, uint64_t value,
		     uint64_t *ret)
{
	return set_and_read(s, gpu, "pf", attribute, value, ret);
}

const struct vf_control_ops vf_control_xe = {
	.kind = VF_CONTROL_XE,
	.probe = xe_probe,
	.read_pf = xe_read_pf,
	.read_vf = xe_read_vf,
	.set_vf = xe_set_vf,
	.set_pf = xe_set_pf,
};
