/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Binding by driver_override.  With sriov_drivers_autoprobe off the kernel refuses every driver,
 * also an explicit bind, for a VF whose override is empty; so the override stays set while a
 * driver shall keep the VF, and giving it back to the host's driver needs an override as well. */
#include "host/vfio.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "host/vfio-alias.h"
#include "lib/io.h"

#define VFIO_DRIVER "vfio-pci"
#define VFIO_MODULE "vfio_pci"
#define ALIASES_MAX ((size_t)64 << 20) /* distributions' files have 1 to 2 MiB */
#define MODALIAS_MAX 256
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

bool vfio_has(struct sysfs *s, const char *device, const char *driver)
{
	return driver && (streq(driver, VFIO_DRIVER) || sysfs_exists(s, SYSFS_PCI "/vfio-dev", device));
}

/* ---- which driver ---- */

/* The driver that a loaded module brings: its name is not always the module's (xe_vfio_pci has xe-vfio-pci).  Returns
 * new, or NULL. */
static char *driver_of_module(struct sysfs *s, const char *module)
{
	_cleanup_(sysfs_closedirp) DIR *drivers = sysfs_opendir(s, "module/%s/drivers", module);
	struct dirent *entry;

	while (drivers && (entry = readdir(drivers)))
		if (strncmp(entry->d_name, "pci:", 4) == 0 &&
		    sysfs_exists(s, "bus/pci/drivers/%s", entry->d_name + 4))
			return strdup(entry->d_name + 4);
	return NULL;
}

/* Reads the aliases again when depmod has written them anew. */
static int look_at_aliases(struct sysfs *s)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	struct utsname kernel;
	struct stat st;
	size_t size = 0;
	char *lines;

	if (uname(&kernel) < 0)
		return -errno;
	path = xasprintf("%s/%s/modules.alias", s->modules_root, kernel.release);
	if (!path)
		return -ENOMEM;
	if (stat(path, &st) < 0)
		return -errno;
	if (s->aliases.file == st.st_ino && s->aliases.changed.tv_sec == st.st_mtim.tv_sec &&
	    s->aliases.changed.tv_nsec == st.st_mtim.tv_nsec)
		return 0;
	if (read_file_at(AT_FDCWD, path, ALIASES_MAX, &text, &size) < 0)
		return -EIO;
	lines = vfio_alias_lines(text, size, &size);
	if (!lines)
		return -ENOMEM;
	free(s->aliases.lines);
	s->aliases.file = st.st_ino;
	s->aliases.changed = st.st_mtim;
	s->aliases.lines = lines;
	s->aliases.size = size;
	return 0;
}

/* Returns new: the variant of vfio-pci that is meant for this function and that is loaded; NULL = vfio-pci itself. */
static char *find_variant(struct sysfs *s, const char *vf)
{
	_cleanup_free_ char *module = NULL;
	char modalias[MODALIAS_MAX];

	if (look_at_aliases(s) < 0 || s->aliases.size == 0 ||
	    sysfs_read_line(s, modalias, sizeof(modalias), SYSFS_PCI "/modalias", vf) < 0 ||
	    vfio_alias_find(s->aliases.lines, s->aliases.size, modalias, &module) < 0 || streq(module, VFIO_MODULE))
		return NULL;
	return driver_of_module(s, module);
}

/* ---- there and back ---- */

/* From no driver.  What a variant does not take, vfio-pci does. */
static int probe_vfio(struct sysfs *s, const char *vf, char **ret_driver)
{
	_cleanup_free_ char *variant = find_variant(s, vf);
	int r;

	if (variant && probe_as(s, vf, variant) == 0) {
		*ret_driver = TAKE_PTR(variant);
		return 0;
	}
	r = probe_as(s, vf, VFIO_DRIVER);
	if (r < 0)
		return r;

	*ret_driver = strdup(VFIO_DRIVER);
	return *ret_driver ? 0 : -ENOMEM;
}

int vfio_bind(struct sysfs *s, const struct pci_address *address, char **ret_driver, char **ret_message)
{
	const char *vf = PCI_ADDRESS_STR(address);
	_cleanup_free_ char *before = driver_of(s, vf);
	int r;

	if (!sysfs_exists(s, SYSFS_PCI "/physfn", vf))
		return -ENODEV; /* never the PF: without its driver every VF is gone */
	if (vfio_has(s, vf, before)) {
		/* the override keeps the host's driver away when somebody probes again */
		r = sysfs_write(s, before, SYSFS_PCI "/driver_override", vf);
		if (r == 0)
			*ret_driver = TAKE_PTR(before);
		return r;
	}
	if (!sysfs_exists(s, "bus/pci/drivers/" VFIO_DRIVER)) {
		*ret_message = strdup("the driver vfio-pci is not loaded: modprobe vfio-pci");
		return -ENOENT;
	}

	if (before) {
		r = unbind(s, vf, before);
		if (r < 0)
			return r;
	}
	r = probe_vfio(s, vf, ret_driver);
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
