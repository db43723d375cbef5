/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes and removes the small files of a made-up guest's /sys and /proc. */
#include "machine/sim-guest-tree.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "lib/io.h"

#define DEVICES "sys/bus/pci/devices"
#define DRIVERS "sys/bus/pci/drivers"
#define DRIVER "xe"
#define MODULE_FILE "kernel/drivers/gpu/drm/" DRIVER "/" DRIVER ".ko"
#define FIRST_RENDER_NODE 128 /* DRM minors from here on are render nodes */
#define BAR_BASE UINT64_C(0x3800000000)
#define BAR_STEP UINT64_C(0x20000000)

/* Makes the directories that lead to path.  Most are there, so the deepest is tried first. */
static int make_parents(int root, const char *path)
{
	const char *end = strrchr(path, '/');
	char parent[PATH_MAX];
	int r;

	if (!end || end == path)
		return 0;
	if (end - path >= PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(parent, sizeof(parent), "%.*s", (int)(end - path), path);
	if (mkdirat(root, parent, 0755) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -errno;
	r = make_parents(root, parent);
	if (r < 0)
		return r;
	return mkdirat(root, parent, 0755) == 0 || errno == EEXIST ? 0 : -errno;
}

/* All below is relative to a directory that is open: the way to a guest's root is long, and 64 guests that get and
 * lose a device a thousand times a second each time have a score of files made and removed. */
static int open_directory(int root, const char *path)
{
	int fd = openat(root, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int put_file(int directory, const char *name, const char *text)
{
	const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
	_cleanup_close_ int fd = openat(directory, name, flags, 0644);
	int r;

	if (fd < 0 && errno == ENOENT) { /* the first of its directory */
		r = make_parents(directory, name);
		if (r < 0)
			return r;
		fd = openat(directory, name, flags, 0644);
	}
	return fd < 0 ? -errno : write_all(fd, text, strlen(text));
}

/* Its name ends in '/'. */
static int put_directory(int root, const char *name)
{
	return make_parents(root, name);
}

static int put_link(int directory, const char *name, const char *target)
{
	return symlinkat(target, directory, name) < 0 && errno != EEXIST ? -errno : 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)remove(path); /* what stays behind is seen when the tree is made again */
	return 0;
}

static void remove_tree(const char *root, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", root, name) < PATH_MAX && unlink(path) < 0 && errno != ENOENT)
		(void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int new_boot_id(char ret[static 38])
{
	unsigned char b[16];

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return -EIO;
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(ret, 38, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n",
		 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		 b[13], b[14], b[15]);
	return 0;
}

static int put_function(int directory, unsigned vendor, unsigned device,
			unsigned class_code, uint64_t bar)
{
	char vendor_text[16], device_text[16], class_text[16], modalias[80], resource[256];
	int r;

	snprintf(vendor_text, sizeof(vendor_text), "0x%04x\n", vendor);
	snprintf(device_text, sizeof(device_text), "0x%04x\n", device);
	snprintf(class_text, sizeof(class_text), "0x%06x\n", class_code);
	snprintf(modalias, sizeof(modalias), "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X\n", vendor, device,
		 vendor, 0, class_code >> 16 & 0xff, class_code >> 8 & 0xff, class_code & 0xff);
	/* start, end, flags of the first BAR (64 bit, prefetchable) and of its upper half */
	snprintf(resource, sizeof(resource),
		 "0x%016llx 0x%016llx 0x%016llx\n0x%016x 0x%016x 0x%016x\n",
		 (unsigned long long)bar, (unsigned long long)(bar ? bar + BAR_STEP - 1 : 0),
		 bar ? 0x14220cULL : 0ULL, 0, 0, 0);
	r = put_file(directory, "vendor", vendor_text);
	if (r >= 0)
		r = put_file(directory, "device", device_text);
	if (r >= 0)
		r = put_file(directory, "modalias", modalias);
	if (r >= 0)
		r = put_file(directory, "resource", resource);
	if (r >= 0)
		r = put_file(directory, "class", class_text);
	return r;
}

/* The module that a guest has for the device, as depmod would have written it down: so that "the guest has a driver
 * and it is not bound" can be told from "the guest has none". */
static int put_module(int root)
{
	_cleanup_close_ int modules = -1;
	struct utsname host; /* what `uname -r` says in the guest too */
	char path[sizeof(host.release) + sizeof("lib/modules//")];
	int r;

	if (uname(&host) < 0)
		return -errno;
	snprintf(path, sizeof(path), "lib/modules/%s/", host.release);
	r = put_directory(root, path);
	if (r >= 0)
		r = modules = open_directory(root, path);
	if (r >= 0)
		r = put_file(modules, "modules.alias", "alias pci:v00008086d*sv*sd*bc03sc*i* " DRIVER "\n");
	if (r >= 0)
		r = put_file(modules, "modules.dep", MODULE_FILE ":\n");
	if (r >= 0)
		r = put_file(modules, MODULE_FILE, "");
	return r >= 0 ? put_directory(root, DRIVERS "/" DRIVER "/") : r;
}

void sim_guest_tree_off(const char *root)
{
	remove_tree(root, "sys");
	remove_tree(root, "proc");
	remove_tree(root, "run");
}

int sim_guest_tree_boot(const char *root, bool has_driver)
{
	static const char *const directories[] = { "var/lib/", "var/tmp/", "tmp/", "run/", "home/", DRIVERS "/",
						   DEVICES "/0000:00:00.0/" };
	_cleanup_close_ int root_fd = -1, bridge = -1;
	char boot_id[38], path[PATH_MAX];
	int r;

	sim_guest_tree_off(root);
	if (snprintf(path, sizeof(path), "%s/", root) >= PATH_MAX)
		return -ENAMETOOLONG;
	r = put_directory(AT_FDCWD, path);
	if (r >= 0)
		r = root_fd = open_directory(AT_FDCWD, root);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(directories); i++)
		r = put_directory(root_fd, directories[i]);
	if (r >= 0)
		r = new_boot_id(boot_id);
	if (r >= 0)
		r = put_file(root_fd, "proc/sys/kernel/random/boot_id", boot_id);
	if (r >= 0)
		r = bridge = open_directory(root_fd, DEVICES "/0000:00:00.0");
	if (r >= 0)
		r = put_function(bridge, 0x8086, 0x29c0, 0x060000, 0); /* the host bridge of q35 */
	remove_tree(root, "lib/modules");
	return r >= 0 && has_driver ? put_module(root_fd) : r;
}

/* ---- devices ---- */

struct device_names {
	char device[48]; /* below the guest's root */
	char driver[48]; /* the driver's link to it */
	char target[48]; /* … and where that leads */
	char node[24];	 /* below the device */
};

static void name_device(unsigned port, struct device_names *ret)
{
	char name[24];

	snprintf(name, sizeof(name), "0000:%02x:00.0", port + 1);
	snprintf(ret->device, sizeof(ret->device), DEVICES "/%s", name);
	snprintf(ret->driver, sizeof(ret->driver), DRIVERS "/" DRIVER "/%s", name);
	snprintf(ret->target, sizeof(ret->target), "../../devices/%s", name);
	snprintf(ret->node, sizeof(ret->node), "drm/renderD%u", FIRST_RENDER_NODE + port);
}

static int put_driver(int root, int directory, const struct device_names *names)
{
	int r = mkdirat(directory, "drm", 0755) < 0 && errno != EEXIST ? -errno : 0;

	if (r >= 0 && mkdirat(directory, names->node, 0755) < 0 && errno != EEXIST)
		r = -errno;
	if (r >= 0)
		r = put_link(directory, "driver", "../../drivers/" DRIVER);
	return r >= 0 ? put_link(root, names->driver, names->target) : r;
}

int sim_guest_tree_plug(const char *root, const struct sim_guest_device *device)
{
	_cleanup_close_ int root_fd = open_directory(AT_FDCWD, root), directory = -1;
	struct device_names names;
	int r;

	if (root_fd < 0)
		return root_fd;
	name_device(device->port, &names);
	if (mkdirat(root_fd, names.device, 0755) < 0 && errno != EEXIST)
		return -errno;
	directory = open_directory(root_fd, names.device);
	if (directory < 0)
		return directory;
	r = device->driver ? put_driver(root_fd, directory, &names) : 0;
	if (r < 0)
		return r;
	/* "class" comes last: who looks for a display finds the function complete. */
	return put_function(directory, 0x8086, device->device_id, device->class_code,
			    device->bars ? BAR_BASE + device->port * BAR_STEP : 0);
}

void sim_guest_tree_unplug(const char *root, unsigned port)
{
	static const char *const files[] = { "class", "resource", "modalias", "device", "vendor", "driver" };
	_cleanup_close_ int root_fd = open_directory(AT_FDCWD, root), directory = -1;
	struct device_names names;

	if (root_fd < 0)
		return;
	name_device(port, &names);
	(void)unlinkat(root_fd, names.driver, 0);
	directory = open_directory(root_fd, names.device);
	if (directory < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		(void)unlinkat(directory, files[i], 0);
	(void)unlinkat(directory, names.node, AT_REMOVEDIR);
	(void)unlinkat(directory, "drm", AT_REMOVEDIR);
	if (unlinkat(root_fd, names.device, AT_REMOVEDIR) < 0)
		remove_tree(root, names.device); /* the guest put something there */
}
