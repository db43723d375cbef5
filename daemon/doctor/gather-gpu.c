/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One GPU and its VFs.  sriov_numvfs and configuration space are read last: they are what hangs. */

#include "doctor/doctor.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "host/gpu-read.h"
#include "host/pci-scan.h"
#include "host/vfio.h"
#include "lib/io.h"

#define DEVICE "/sys/bus/pci/devices/%s"
#define VFS_MAX 256
#define CONFIG_MAX ((size_t)4096)
#define CONFIG_FOR_ALL 64

/* "vfio" = yes when the driver gives it to VFIO: its name does not tell. */
static void gather_vfio(struct looker *l, const char *prefix, const char *address, const char *driver)
{
	char key[64], source[128];

	if (!vfio_has(l->sysfs, address, driver))
		return;
	snprintf(key, sizeof(key), "%svfio", prefix);
	snprintf(source, sizeof(source), DEVICE "/vfio-dev", address);
	notebook_add(l->book, key, source, NOTE_SEEN, "yes");
}

static void gather_function(struct looker *l, const char *prefix, const char *address)
{
	char key[64];

	snprintf(key, sizeof(key), "%sdriver", prefix);
	look_link(l, key, DEVICE "/driver", address);
	gather_vfio(l, prefix, address, note_value(note_find(l->book, key)));
	snprintf(key, sizeof(key), "%siommu_group", prefix);
	look_link(l, key, DEVICE "/iommu_group", address);
	snprintf(key, sizeof(key), "%sresource", prefix);
	look_file(l, key, DEVICE "/resource", address);
}

/* "group.ADDRESS" = "0000:03:00.0 xe 0x038000": address, driver or "-" and class of each function
 * in the IOMMU group of that one, and " vfio" behind one that VFIO has. */
static void gather_group(struct looker *l, const char *address)
{
	char path[PATH_MAX], key[64];
	_cleanup_free_ char *members = NULL;
	char *member, *rest;

	snprintf(path, sizeof(path), DEVICE "/iommu_group/devices", address);
	if (look_list(l, path, &members) < 0)
		return;
	for (member = strtok_r(members, " ", &rest); member; member = strtok_r(NULL, " ", &rest)) {
		_cleanup_free_ char *driver = NULL, *class_code = NULL;
		char device[PATH_MAX];

		(void)sysfs_link_name(l->sysfs, &driver, "bus/pci/devices/%s/driver", member);
		snprintf(device, sizeof(device), DEVICE "/class", member);
		(void)look_read(l, device, 64, &class_code);
		snprintf(key, sizeof(key), "group.%s", address);
		notebook_seen(l->book, key, path, "%s %s %s%s", member, driver ? driver : "-",
			      class_code ? class_code : "-", vfio_has(l->sysfs, member, driver) ? " vfio" : "");
	}
}

static void gather_vfs(struct looker *l, const char *gpu)
{
	unsigned i;

	for (i = 0; i < VFS_MAX; i++) {
		_cleanup_free_ char *vf = NULL;
		char key[64], source[128], prefix[32];

		if (sysfs_link_name(l->sysfs, &vf, "bus/pci/devices/%s/virtfn%u", gpu, i) < 0)
			return;
		snprintf(key, sizeof(key), "virtfn.%u", i);
		snprintf(source, sizeof(source), DEVICE "/virtfn%u", gpu, i);
		notebook_add(l->book, key, source, NOTE_SEEN, vf);
		snprintf(prefix, sizeof(prefix), "vf%u.", i + 1);
		gather_function(l, prefix, vf);
		gather_group(l, vf);
	}
}

/* "connector.card0-DP-1" = connected */
static void gather_display(struct looker *l, const char *gpu)
{
	_cleanup_free_ char *cards = NULL;
	char *card, *rest, path[PATH_MAX];

	look_file(l, "boot_vga", DEVICE "/boot_vga", gpu);
	snprintf(path, sizeof(path), DEVICE "/drm", gpu);
	if (look_list(l, path, &cards) < 0)
		return;
	for (card = strtok_r(cards, " ", &rest); card; card = strtok_r(NULL, " ", &rest)) {
		_cleanup_free_ char *connectors = NULL;
		char *connector, *more, key[300];

		if (strncmp(card, "card", 4) != 0)
			continue;
		snprintf(path, sizeof(path), DEVICE "/drm/%s", gpu, card);
		if (look_list(l, path, &connectors) < 0)
			continue;
		for (connector = strtok_r(connectors, " ", &more); connector;
		     connector = strtok_r(NULL, " ", &more)) {
			if (strncmp(connector, "card", 4) != 0)
				continue;
			snprintf(key, sizeof(key), "connector.%s", connector);
			look_file(l, key, DEVICE "/drm/%s/%s/status", gpu, card, connector);
		}
	}
}

/* The module behind the driver, whatever it is called; a driver that is built in has only its name
 * in /sys/module. */
static void gather_driver(struct looker *l, const char *gpu)
{
	static const char *const parameters[] = {"max_vfs", "enable_guc"};
	const char *driver = note_value(note_find(l->book, "driver"));
	char folder[PATH_MAX], key[64];
	size_t i;

	if (!driver)
		return;
	snprintf(folder, sizeof(folder), DEVICE "/driver/module", gpu);
	if (!sysfs_exists(l->sysfs, "%s", folder + strlen("/sys/")))
		snprintf(folder, sizeof(folder), "/sys/module/%s", driver);
	look_names(l, "parameters", "%s/parameters", folder);
	look_file(l, "taint", "%s/taint", folder);
	for (i = 0; i < ARRAY_SIZE(parameters); i++) {
		snprintf(key, sizeof(key), "parameter.%s", parameters[i]);
		look_file(l, key, "%s/parameters/%s", folder, parameters[i]);
	}
}

/* The kernel shows the first 64 bytes to everybody, and the rest to root only. */
static bool sees_whole_config(struct looker *l, const char *path)
{
	_cleanup_free_ char *data = NULL;
	const char *name;
	size_t size = 0;
	int fd = look_at(l, path, &name);

	return read_file_at(fd, name, CONFIG_MAX, &data, &size) == 0 && size > CONFIG_FOR_ALL;
}

static void gather_capability(struct looker *l, const char *gpu)
{
	struct pci_address address;
	char source[128];
	char *serial = NULL;
	int sriov = -1, r;

	snprintf(source, sizeof(source), DEVICE "/config", gpu);
	r = pci_address_parse(gpu, &address);
	if (r == 0)
		r = pci_read_capabilities(l->sysfs, &address, &sriov, &serial);
	free(serial);
	if (r < 0)
		look_failed(l, "sriov_capability", source, r);
	else if (sriov < 0 && !sees_whole_config(l, source))
		notebook_add(l->book, "sriov_capability", source, NOTE_FORBIDDEN, NULL);
	else
		notebook_add(l->book, "sriov_capability", source, NOTE_SEEN,
			     sriov > 0 ? "extended capability 0010 (SR-IOV)"
				       : "no extended capability 0010 (SR-IOV)");
}

static void gather_config(struct looker *l, const char *gpu)
{
	_cleanup_free_ char *data = NULL, *text = NULL;
	char path[PATH_MAX];
	const char *name;
	size_t size, i;
	int fd, r;

	snprintf(path, sizeof(path), DEVICE "/config", gpu);
	fd = look_at(l, path, &name);
	r = read_file_at(fd, name, CONFIG_MAX, &data, &size);
	text = r == 0 ? malloc(size * 2 + 1) : NULL;
	if (!text) {
		look_failed(l, "config", path, r < 0 ? r : -ENOMEM);
		return;
	}
	for (i = 0; i < size; i++)
		sprintf(text + i * 2, "%02x", (unsigned char)data[i]);
	text[size * 2] = '\0';
	notebook_add(l->book, "config", path, NOTE_SEEN, text);
}

/* In which way its VFs can be shaped is asked of the code that shapes them. */
static void gather_control(struct looker *l, const char *gpu)
{
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL;
	struct pci_address address;
	char source[128];
	int r;

	snprintf(source, sizeof(source), DEVICE " (as the daemon reads it)", gpu);
	r = pci_address_parse(gpu, &address);
	if (r == 0)
		r = gpu_read(l->sysfs, &address, &f);
	if (r < 0)
		look_failed(l, "control", source, r);
	else
		doctor_note_control(l->book, source, f);
}

void gather_gpu(struct looker *l, const char *gpu, bool bundle)
{
	look_file(l, "device", DEVICE "/device", gpu);
	look_file(l, "class", DEVICE "/class", gpu);
	gather_function(l, "", gpu);
	gather_driver(l, gpu);
	look_file(l, "numa_node", DEVICE "/numa_node", gpu);
	look_file(l, "sriov_totalvfs", DEVICE "/sriov_totalvfs", gpu);
	look_file(l, "sriov_drivers_autoprobe", DEVICE "/sriov_drivers_autoprobe", gpu);
	look_file(l, "configfs.max_vfs", "/sys/kernel/config/xe/%s/sriov/max_vfs", gpu);
	look_mode(l, "sriov_admin", DEVICE "/sriov_admin", gpu);
	look_file(l, "power.control", DEVICE "/power/control", gpu);
	look_file(l, "power.status", DEVICE "/power/runtime_status", gpu);
	gather_display(l, gpu);
	gather_group(l, gpu);
	gather_vfs(l, gpu);
	look_file(l, "sriov_numvfs", DEVICE "/sriov_numvfs", gpu);
	gather_capability(l, gpu);
	gather_control(l, gpu);
	if (bundle)
		gather_config(l, gpu);
}
