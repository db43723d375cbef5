/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Binding by driver_override.  With sriov_drivers_autoprobe off the kernel refuses every driver,
 * also an explicit bind, for a VF whose override is empty; so the override stays set while a
 * driver shall keep the VF, and giving it back to the host's driver needs an override as well. */
#include "host/vfio.h"

#define VFIO_DRIVER "vfio-pci"
#define CLEAR "\n" /* an empty write() never reaches the driver core */

static char *driver_of(struct sysfs *s, const char *vf)
{
	char *driver = NULL;

	return sysfs_link_name(s, &driver, SYSFS_PCI "/driver", vf) < 0 ? NULL : driver;
}

static int unbind(struct sysfs *s, const char *vf, const char *driver)
{
	int r;

	r = sysfs_write(s, vf, "bus/pci/drivers/%s/unbind", driver);
	return r == -ENODEV ? 0 : r; /* it lost the driver by itself */
}

static int probe_as(struct sysfs *s, const char *vf, const char *driver)
{
	_cleanup_free_ char *now = NULL;
	int r;

	r = sysfs_write(s, driver, SYSFS_PCI "/driver_override", vf);
	if (r < 0)
		return r;
	r = sysfs_write(s, vf, "bus/pci/drivers_probe");
	if (r < 0)
		return r;

	now = driver_of(s, vf);
	sysfs_announce(s, "driver");
	return now && streq(now, driver) ? 0 : -EIO;
}

/* Best effort: the first failure is the one to tell. */
static void give_back(struct sysfs *s, const char *vf, const char *driver)
{
	char at[SYSFS_NAME_MAX];

	memcpy(at, s->at, sizeof(at));
	if (driver)
		(void)probe_as(s, vf, driver);
	(void)sysfs_write(s, CLEAR, SYSFS_PCI "/driver_override", vf);
	sysfs_announce(s, at);
}

int vfio_bind(struct sysfs *s, const struct pci_address *address, char **ret_message)
{
	const char *vf = PCI_ADDRESS_STR(address);
	_cleanup_free_ char *before = driver_of(s, vf);
	int r;

	if (!sysfs_exists(s, SYSFS_PCI "/physfn", vf))
		return -ENODEV; /* never the PF: without its driver every VF is gone */
	if (!sysfs_exists(s, "bus/pci/drivers/" VFIO_DRIVER)) {
		*ret_message = strdup("the driver vfio-pci is not loaded: modprobe vfio-pci");
		return -ENOENT;
	}
	if (before && streq(before, VFIO_DRIVER))
		/* the override keeps the host's driver away when somebody probes again */
		return sysfs_write(s, VFIO_DRIVER, SYSFS_PCI "/driver_override", vf);

	if (before) {
		r = unbind(s, vf, before);
		if (r < 0)
			return r;
	}
	r = probe_as(s, vf, VFIO_DRIVER);
	if (r < 0) {
		*ret_message = xasprintf("vfio-pci did not take the VF%s%s: see the kernel log",
					 before ? "; it was given back to " : "", strempty(before));
		give_back(s, vf, before);
		return r;
	}
	return 0;
}

int vfio_unbind(struct sysfs *s, const struct pci_address *address)
{
	const char *vf = PCI_ADDRESS_STR(address);
	_cleanup_free_ char *before = driver_of(s, vf);
	_cleanup_free_ char *after = NULL;
	int r;

	if (!sysfs_exists(s, SYSFS_PCI "/physfn", vf))
		return -ENODEV;
	if (before) {
		r = unbind(s, vf, before);
		if (r < 0)
			return r;
	}
	r = sysfs_write(s, CLEAR, SYSFS_PCI "/driver_override", vf);
	if (r < 0)
		return r;

	after = driver_of(s, vf);
	sysfs_announce(s, "unbind");
	return after ? -EIO : 0;
}
