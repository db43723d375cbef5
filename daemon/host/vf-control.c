/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chooses the way in which a GPU is steered, and says why it is no richer one.  The rule, in the
 * order of what costs least: quotas by xe's sysfs; by i915's sysfs; by xe's debugfs, which makes
 * the PF "custom"; scheduling values by xe's sysfs alone; the number of VFs alone. */
#include "host/vf-control.h"

#include <stdio.h>

#include "core/model-table.h"

int vf_control_set_ability(struct gpu_facts *f, enum vf_attribute attribute, enum vf_access access,
			   const char *why)
{
	f->can[attribute].access = access;
	return free_and_strdup(&f->can[attribute].why, why);
}

int vf_control_check_number(struct sysfs *s, const struct vf_surface *c, const char *home,
			    unsigned vf)
{
	_cleanup_free_ char *by_driver = NULL, *by_core = NULL;

	if (vf == 0)
		return -EINVAL;
	if (!sysfs_exists(s, "%s/vf%u", home, vf))
		return -ENOENT;
	if (sysfs_link_name(s, &by_core, SYSFS_PCI "/virtfn%u", c->gpu, vf - 1) < 0 ||
	    sysfs_link_name(s, &by_driver, "%s/vf%u/device", home, vf) < 0)
		return 0; /* no VF enabled: the folder alone decides */

	return streq(by_core, by_driver) ? 0 : -ESTALE;
}

int vf_control_card(struct sysfs *s, const char *gpu, unsigned *ret)
{
	_cleanup_(sysfs_closedirp) DIR *nodes = sysfs_opendir(s, SYSFS_PCI "/drm", gpu);
	struct dirent *node;
	unsigned card;
	char end;

	while (nodes && (node = readdir(nodes))) {
		if (sscanf(node->d_name, "card%u%c", &card, &end) == 1) {
			*ret = card;
			return 0;
		}
	}
	return -ENOENT;
}

/* Integrated GPUs have no memory of their own, so no quota of it is missing. */
static bool is_integrated(struct sysfs *s, const char *gpu)
{
	const struct gpu_model *model;
	uint64_t id;

	if (sysfs_read_uint(s, &id, SYSFS_PCI "/device", gpu) < 0)
		return false;
	model = gpu_model_find((unsigned)id);

	return model && model->integrated;
}

/* What debugfs could add, in words.  Returns new or NULL. */
static char *debugfs_words(enum vf_debugfs debugfs, const char *lost)
{
	switch (debugfs) {
	case VF_DEBUGFS_LOCKED:
		return xasprintf("kernel lockdown closes debugfs: no %s", lost);
	case VF_DEBUGFS_FORBIDDEN:
		return xasprintf("no %s: xe's debugfs may offer them, at the price of automatic "
				 "provisioning (\"allow_debugfs\": true in gpuvfd.json)",
				 lost);
	case VF_DEBUGFS_ABSENT:
		return xasprintf("no %s: debugfs is not mounted or has no quotas of this card",
				 lost);
	case VF_DEBUGFS_USABLE:
		break;
	}
	return xasprintf("no %s: debugfs offers none for this card either", lost);
}

static int find_xe(struct sysfs *s, struct vf_surface *c)
{
	enum vf_debugfs debugfs;

	c->ops = &vf_control_xe;
	if (c->integrated ||
	    sysfs_is_writable(s, SYSFS_PCI "/sriov_admin/vf1/profile/vram_quota", c->gpu))
		return 0;

	debugfs = vf_debugfs_find(s, c);
	if (debugfs == VF_DEBUGFS_USABLE &&
	    vf_tree_access(s, &c->tree, VF_ATTR_VRAM) == VF_ACCESS_WRITE) {
		c->ops = &vf_control_xe_debugfs;
		c->note = strdup(
			"sriov_admin sets no VRAM quotas here, so debugfs does: the driver then "
			"shares nothing by itself until automatic provisioning is restored");
	} else {
		c->note = debugfs_words(debugfs, "VRAM quotas");
	}
	return c->note ? 0 : -ENOMEM;
}

static int find_without_admin(struct sysfs *s, struct vf_surface *c)
{
	_cleanup_free_ char *mode = NULL, *driver = NULL;
	enum vf_debugfs debugfs;

	if (vf_i915_find(s, c, &mode)) {
		c->ops = &vf_control_i915;
		return 0;
	}

	c->ops = &vf_control_generic;
	debugfs = vf_debugfs_find(s, c);
	(void)sysfs_link_name(s, &driver, SYSFS_PCI "/driver", c->gpu);
	if (debugfs == VF_DEBUGFS_USABLE) {
		c->ops = &vf_control_xe_debugfs;
		c->note = strdup(
			"xe has no sriov_admin here, so debugfs is used: the driver then shares "
			"nothing by itself until automatic provisioning is restored");
	} else if (mode) {
		c->note = xasprintf("i915 is not in PF mode (\"%s\"): check max_vfs and enable_guc",
				    mode);
	} else if (driver && streq(driver, "xe")) {
		c->note = debugfs_words(debugfs, "quotas and no scheduling values");
	} else {
		c->note = xasprintf("%s%s offers the number of VFs only",
				    driver ? "the driver " : "no driver", strempty(driver));
	}
	return c->note ? 0 : -ENOMEM;
}

int vf_control_find(struct sysfs *s, const char *gpu, struct vf_surface *ret)
{
	struct vf_surface c = {0};
	int r = 0;

	snprintf(c.gpu, sizeof(c.gpu), "%s", gpu);
	if (sysfs_exists(s, SYSFS_PCI "/sriov_totalvfs", gpu)) {
		c.integrated = is_integrated(s, gpu);
		c.admin = sysfs_exists(s, SYSFS_PCI "/sriov_admin", gpu);
		r = c.admin ? find_xe(s, &c) : find_without_admin(s, &c);
	}
	if (r < 0)
		return r;

	*ret = c;
	return 0;
}

void vf_surface_done(struct vf_surface *c)
{
	free(c->note);
	*c = (struct vf_surface){0};
}
