/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sriov_admin/ of xe: a folder per VF, counted from 1, there also while no VF is enabled.
 * vram_quota came later than the rest and is missing or read-only on some cards, so each
 * attribute is probed. */
#include "host/vf-control.h"

#include <stdio.h>

#define XE_PROFILE SYSFS_PCI "/sriov_admin/%s/profile/%s"
#define XE_FOLDER_MAX 16

static const char *vf_folder(unsigned vf, char buf[static XE_FOLDER_MAX])
{
	snprintf(buf, XE_FOLDER_MAX, "vf%u", vf);
	return buf;
}

static bool xe_probe(struct sysfs *s, const char *gpu, struct vf_control_abilities *ret)
{
	if (!sysfs_exists(s, SYSFS_PCI "/sriov_totalvfs", gpu) ||
	    !sysfs_exists(s, SYSFS_PCI "/sriov_admin", gpu))
		return false;

	*ret = (struct vf_control_abilities){
		.vram = sysfs_is_writable(s, XE_PROFILE, gpu, "vf1", "vram_quota"),
		.schedule = sysfs_is_writable(s, XE_PROFILE, gpu, "vf1", "exec_quantum_ms") &&
			    sysfs_is_writable(s, XE_PROFILE, gpu, "vf1", "preempt_timeout_us"),
	};
	return true;
}

static struct known read_known(struct sysfs *s, const char *gpu, const char *folder,
			       const char *attribute)
{
	uint64_t value;

	/* EUCLEAN: tiles disagree; EPERM: write-only.  Either way nobody can say the value. */
	if (sysfs_read_uint(s, &value, XE_PROFILE, gpu, folder, attribute) < 0)
		return (struct known){ 0 };

	return (struct known){ true, value };
}

/* "low [normal] high" → "normal". */
static char *bracketed(const char *text)
{
	const char *open = strchr(text, '[');
	const char *close = open ? strchr(open, ']') : NULL;

	return close && close > open + 1 ? strndup(open + 1, (size_t)(close - open - 1)) : NULL;
}

static void xe_read_vf(struct sysfs *s, const char *gpu, struct vf_facts *vf)
{
	_cleanup_free_ char *priorities = NULL;
	char folder[XE_FOLDER_MAX];

	vf_folder(vf->index, folder);
	vf->vram_bytes = read_known(s, gpu, folder, "vram_quota");
	vf->exec_quantum_ms = read_known(s, gpu, folder, "exec_quantum_ms");
	vf->preempt_timeout_us = read_known(s, gpu, folder, "preempt_timeout_us");
	if (sysfs_read(s, &priorities, XE_PROFILE, gpu, folder, "sched_priority") == 0)
		vf->priority = bracketed(priorities);
}

static int set_and_read(struct sysfs *s, const char *gpu, const char *folder, const char *attribute,
			uint64_t value, uint64_t *ret)
{
	int r;

	if (!sysfs_exists(s, SYSFS_PCI "/sriov_admin/%s", gpu, folder))
		return -ENOENT;
	if (!sysfs_is_writable(s, XE_PROFILE, gpu, folder, attribute))
		return -EOPNOTSUPP;
	r = sysfs_write_uint(s, value, XE_PROFILE, gpu, folder, attribute);
	if (r < 0)
		return r;

	return sysfs_read_uint(s, ret, XE_PROFILE, gpu, folder, attribute);
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

static int xe_set_vf(struct sysfs *s, const char *gpu, unsigned vf, const char *attribute,
		     uint64_t value, uint64_t *ret)
{
	char folder[XE_FOLDER_MAX];
	int r;

	r = check_numbering(s, gpu, vf);
	if (r < 0)
		return r;

	return set_and_read(s, gpu, vf_folder(vf, folder), attribute, value, ret);
}

static int xe_set_pf(struct sysfs *s, const char *gpu, const char *attribute, uint64_t value,
		     uint64_t *ret)
{
	return set_and_read(s, gpu, "pf", attribute, value, ret);
}

const struct vf_control_ops vf_control_xe = {
	.kind = VF_CONTROL_XE,
	.probe = xe_probe,
	.read_vf = xe_read_vf,
	.set_vf = xe_set_vf,
	.set_pf = xe_set_pf,
};
