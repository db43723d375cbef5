/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes and removes the small files of a made-up guest's /sys and /proc. */
#include "machine/sim-guest-tree.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "lib/io.h"

#define DRIVER "xe"
#define MODULE_FILE "kernel/drivers/gpu/drm/" DRIVER "/" DRIVER ".ko"
#define FIRST_RENDER_NODE 128 /* DRM minors from here on are render nodes */
#define BAR_BASE UINT64_C(0x3800000000)
#define BAR_STEP UINT64_C(0x20000000)

/* Makes the directories that lead to path.  Most are there, so the deepest is tried first. */
static int make_parents(const char *path)
{
	const char *end = strrchr(path, '/');
	char parent[PATH_MAX];
	int r;

	if (!end || end == path)
		return 0;
	if (end - path >= PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(parent, sizeof(parent), "%.*s", (int)(end - path), path);
	if (mkdir(parent, 0755) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -errno;
	r = make_parents(parent);
	if (r < 0)
		return r;
	return mkdir(parent, 0755) == 0 || errno == EEXIST ? 0 : -errno;
}

/* Formats ROOT/… into a path, or gives -ENAMETOOLONG. */
static int _printf_(3, 4)
	put_path(char path[static PATH_MAX], const char *root, const char *format, ...)
{
	va_list ap;
	int n, m;

	n = snprintf(path, PATH_MAX, "%s/", root);
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	va_start(ap, format);
	m = vsnprintf(path + n, (size_t)(PATH_MAX - n), format, ap);
	va_end(ap);
	return m >= PATH_MAX - n ? -ENAMETOOLONG : 0;
}

static int put_file(const char *directory, const char *name, const char *text)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int r;

	r = put_path(path, directory, "%s", name);
	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 && errno == ENOENT) { /* the first of its directory */
		r = make_parents(path);
		if (r < 0)
			return r;
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	}
	return fd < 0 ? -errno : write_all(fd, text, strlen(text));
}

static int put_directory(const char *root, const char *name)
{
	char path[PATH_MAX];
	int r;

	r = put_path(path, root, "%s/", name);
	return r < 0 ? r : make_parents(path);
}

static int put_link(const char *directory, const char *name, const char *target)
{
	char path[PATH_MAX];
	int r;

	r = put_path(path, directory, "%s", name);
	if (r < 0)
		return r;
	return symlink(target, path) < 0 && errno != EEXIST ? -errno : 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)remove(path); /* what stays behind is seen when the tree is made again */
	return 0;
}

static void remove_tree(const char *root, const char *name)
{
	char path[PATH_MAX];

	if (put_path(path, root, "%s", name) == 0 && unlink(path) < 0 && errno != ENOENT)
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

static int put_function(const char *directory, unsigned vendor, unsigned device,
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
static int put_module(const char *root)
{
	char path[PATH_MAX];
	struct utsname host; /* what `uname -r` says in the guest too */
	int r;

	if (uname(&host) < 0)
		return -errno;
	r = put_path(path, root, "lib/modules/%s", host.release);
	if (r >= 0)
		r = put_file(path, "modules.alias", "alias pci:v00008086d*sv*sd*bc03sc*i* " DRIVER "\n");
	if (r >= 0)
		r = put_file(path, "modules.dep", MODULE_FILE ":\n");
	if (r >= 0)
		r = put_file(path, MODULE_FILE, "");
	return r >= 0 ? put_directory(root, "sys/bus/pci/drivers/" DRIVER) : r;
}

void sim_guest_tree_off(const char *root)
{
	remove_tree(root, "sys");
	remove_tree(root, "proc");
	remove_tree(root, "run");
}

int sim_guest_tree_boot(const char *root, bool has_driver)
{
	static const char *const directories[] = {"var/lib", "var/tmp", "tmp",
						  "run",     "home",    "sys/bus/pci/drivers"};
	char boot_id[38], path[PATH_MAX];
	int r;

	sim_guest_tree_off(root);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		r = put_directory(root, directories[i]);
		if (r < 0)
			return r;
	}
	r = new_boot_id(boot_id);
	if (r >= 0)
		r = put_file(root, "proc/sys/kernel/random/boot_id", boot_id);
	if (r >= 0)
		r = put_path(path, root, "sys/bus/pci/devices/0000:00:00.0");
	if (r >= 0)
		r = put_function(path, 0x8086, 0x29c0, 0x060000, 0); /* the host bridge of q35 */
	remove_tree(root, "lib/modules");
	return r >= 0 && has_driver ? put_module(root) : r;
}

static int device_path(char path[static PATH_MAX], const char *root, unsigned port)
{
	return put_path(path, root, "sys/bus/pci/devices/0000:%02x:00.0", port + 1);
}

int sim_guest_tree_plug(const char *root, const struct sim_guest_device *device)
{
	char path[PATH_MAX], drivers[PATH_MAX], node[32], name[24], target[48];
	int r;

	r = device_path(path, root, device->port);
	if (r < 0)
		return r;
	if (device->driver) {
		snprintf(node, sizeof(node), "drm/renderD%u", FIRST_RENDER_NODE + device->port);
		snprintf(name, sizeof(name), "0000:%02x:00.0", device->port + 1);
		snprintf(target, sizeof(target), "../../devices/%s", name);
		r = put_directory(path, node);
		if (r >= 0)
			r = put_link(path, "driver", "../../drivers/" DRIVER);
		if (r >= 0)
			r = put_path(drivers, root, "sys/bus/pci/drivers/" DRIVER);
		if (r >= 0)
			r = put_link(drivers, name, target);
		if (r < 0)
			return r;
	}
	/* "class" comes last: who looks for a display finds the function complete. */
	return put_function(path, 0x8086, device->device_id, device->class_code,
			    device->bars ? BAR_BASE + device->port * BAR_STEP : 0);
}

void sim_guest_tree_unplug(const char *root, unsigned port)
{
	char name[64];

	snprintf(name, sizeof(name), "sys/bus/pci/devices/0000:%02x:00.0", port + 1);
	remove_tree(root, name);
	snprintf(name, sizeof(name), "sys/bus/pci/drivers/" DRIVER "/0000:%02x:00.0", port + 1);
	remove_tree(root, name);
}
