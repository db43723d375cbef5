/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host: IOMMU, kernel and its parameters, modules, security, libvirt's daemons, memory, our
 * socket.  None of these files waits for a device. */
#include "doctor/gather.h"

#include <ctype.h>
#include <stdio.h>

#include "doctor/redact.h"
#include "host/pci-scan.h"
#include "lib/io.h"

#define EFI_GLOBAL "8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define TEXT_MAX ((size_t)1 << 20)

/* ---- kernel ---- */

static void gather_iommu(struct looker *l)
{
	look_names(l, "iommu", "/sys/class/iommu");
	look_count(l, "iommu_groups", "/sys/kernel/iommu_groups");
	look_mode(l, "acpi.DMAR", "/sys/firmware/acpi/tables/DMAR");
	look_mode(l, "acpi.IVRS", "/sys/firmware/acpi/tables/IVRS");
	look_mode(l, "driver.vfio-pci", "/sys/bus/pci/drivers/vfio-pci");
	look_file(l, "vfio.unsafe_interrupts",
		  "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts");
}

static void gather_cmdline(struct looker *l)
{
	_cleanup_free_ char *text = NULL, *safe = NULL;
	int r = look_read(l, "/proc/cmdline", TEXT_MAX, &text);

	if (r < 0) {
		look_failed(l, "cmdline", "/proc/cmdline", r);
		return;
	}
	safe = redact_text(text);
	notebook_add(l->book, "cmdline", "/proc/cmdline", safe ? NOTE_SEEN : NOTE_FAILED, safe);
}

static void gather_module(struct looker *l, const char *module)
{
	char key[64];

	snprintf(key, sizeof(key), "module.%s", module);
	look_mode(l, key, "/sys/module/%s", module);
	snprintf(key, sizeof(key), "module.%s.taint", module);
	look_file(l, key, "/sys/module/%s/taint", module);
	snprintf(key, sizeof(key), "module.%s.parameters", module);
	look_names(l, key, "/sys/module/%s/parameters", module);
}

/* Four bytes of attributes, then the value. */
static void gather_secure_boot(struct looker *l)
{
	static const char path[] = "/sys/firmware/efi/efivars/SecureBoot-" EFI_GLOBAL;
	_cleanup_free_ char *data = NULL;
	const char *name;
	size_t size;
	int fd, r;

	look_mode(l, "efi", "/sys/firmware/efi");
	fd = look_at(l, path, &name);
	r = read_file_at(fd, name, 64, &data, &size);
	if (r == 0 && size < 5)
		r = -EBADMSG;
	if (r < 0)
		look_failed(l, "secure_boot", path, r);
	else
		notebook_seen(l->book, "secure_boot", path, "%d", (unsigned char)data[4]);
}

static void gather_security(struct looker *l)
{
	look_file(l, "lockdown", "/sys/kernel/security/lockdown");
	look_mode(l, "debugfs", "/sys/kernel/debug/dri");
	gather_secure_boot(l);
	look_file(l, "selinux", "/sys/fs/selinux/enforce");
	look_file(l, "apparmor", "/sys/module/apparmor/parameters/enabled");
}

/* ---- libvirt's daemons ---- */

/* Only the named settings: the file may hold passwords. */
static void gather_qemu_conf(struct looker *l)
{
	static const char path[] = "/etc/libvirt/qemu.conf";
	static const char *const names[] = {"user", "group", "dynamic_ownership",
					    "security_driver"};
	_cleanup_free_ char *text = NULL;
	char *line, *rest;
	int r = look_read(l, path, TEXT_MAX, &text);

	if (r < 0) {
		look_failed(l, "qemu.conf", path, r);
		return;
	}
	notebook_add(l->book, "qemu.conf", path, NOTE_SEEN, "read");
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		size_t i, n;

		line += strspn(line, " \t");
		for (i = 0; i < ARRAY_SIZE(names); i++) {
			char key[64];

			n = strlen(names[i]);
			if (strncmp(line, names[i], n) != 0 || !strchr(" \t=", line[n]))
				continue;
			snprintf(key, sizeof(key), "qemu.conf.%s", names[i]);
			notebook_seen(l->book, key, path, "%s",
				      line + n + strspn(line + n, " \t="));
		}
	}
}

/* The line of a file of /proc that begins so, without it. */
static void look_line(struct looker *l, const char *key, const char *path, const char *begin)
{
	_cleanup_free_ char *text = NULL;
	int r = look_read(l, path, TEXT_MAX, &text);
	char *line, *rest;

	if (r < 0) {
		look_failed(l, key, path, r);
		return;
	}
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (strncmp(line, begin, strlen(begin)) == 0) {
			line += strlen(begin);
			notebook_add(l->book, key, path, NOTE_SEEN, line + strspn(line, " \t"));
			return;
		}
	notebook_add(l->book, key, path, NOTE_ABSENT, NULL);
}

static void gather_libvirt_process(struct looker *l, const char *name, const char *pid)
{
	char key[64], path[64];

	snprintf(key, sizeof(key), "process.%s", name);
	snprintf(path, sizeof(path), "/proc/%.16s", pid);
	notebook_seen(l->book, key, path, "pid %s", pid);
	snprintf(key, sizeof(key), "process.%s.memlock", name);
	snprintf(path, sizeof(path), "/proc/%.16s/limits", pid);
	look_line(l, key, path, "Max locked memory");
	snprintf(key, sizeof(key), "process.%s.capabilities", name);
	snprintf(path, sizeof(path), "/proc/%.16s/status", pid);
	look_line(l, key, path, "CapEff:");
}

static void gather_processes(struct looker *l)
{
	static const char *const wanted[] = {"libvirtd", "virtqemud"};
	_cleanup_free_ char *list = NULL;
	char *pid, *rest;

	if (look_list(l, "/proc", &list) < 0)
		return;
	for (pid = strtok_r(list, " ", &rest); pid; pid = strtok_r(NULL, " ", &rest)) {
		_cleanup_free_ char *comm = NULL;
		char path[64];
		size_t i;

		snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
		if (!isdigit((unsigned char)*pid) || look_read(l, path, 256, &comm) < 0)
			continue;
		for (i = 0; i < ARRAY_SIZE(wanted); i++)
			if (streq(comm, wanted[i]))
				gather_libvirt_process(l, wanted[i], pid);
	}
}

static void gather_libvirt(struct looker *l)
{
	look_mode(l, "socket.libvirtd", "/run/libvirt/libvirt-sock");
	look_mode(l, "socket.virtqemud", "/run/libvirt/virtqemud-sock");
	gather_processes(l);
	gather_qemu_conf(l);
}

/* ---- memory, sleep ---- */

static void gather_machine(struct looker *l)
{
	_cleanup_free_ char *nodes = NULL;
	char *node, *rest, key[64];

	look_line(l, "memory.available", "/proc/meminfo", "MemAvailable:");
	look_line(l, "memory.total", "/proc/meminfo", "MemTotal:");
	look_line(l, "hugepages.free", "/proc/meminfo", "HugePages_Free:");
	look_line(l, "hugepages.size", "/proc/meminfo", "Hugepagesize:");
	look_file(l, "sleep", "/sys/power/state");
	look_link(l, "sleep.target", "/etc/systemd/system/sleep.target");
	if (look_list(l, "/sys/devices/system/node", &nodes) < 0)
		return;
	for (node = strtok_r(nodes, " ", &rest); node; node = strtok_r(NULL, " ", &rest)) {
		if (strncmp(node, "node", 4) != 0)
			continue;
		snprintf(key, sizeof(key), "node.%.16s", node + 4);
		look_file(l, key, "/sys/devices/system/node/%s/cpulist", node);
	}
}

/* ---- ourselves ---- */

static void gather_socket(struct looker *l, const char *socket)
{
	_cleanup_free_ char *groups = NULL;
	char *line, *rest, name[64];
	unsigned gid;

	look_mode(l, "gpuvf.socket", "%s", socket);
	if (look_read(l, "/etc/group", TEXT_MAX, &groups) < 0)
		return;
	for (line = strtok_r(groups, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (sscanf(line, "%63[^:]:%*[^:]:%u:", name, &gid) == 2 && streq(name, "gpuvf"))
			notebook_seen(l->book, "gpuvf.group", "/etc/group", "%u", gid);
}

static void gather_gpus(struct looker *l)
{
	struct pci_found *found = NULL;
	size_t n = 0, i;
	int r = pci_scan_gpus(l->sysfs, &found, &n);

	if (r < 0) {
		look_failed(l, "gpus", "/sys/bus/pci/devices", r);
		return;
	}
	notebook_seen(l->book, "gpus", "/sys/bus/pci/devices", "%zu", n);
	for (i = 0; i < n; i++) {
		char key[64], source[64];
		const char *address = PCI_ADDRESS_STR(&found[i].address);

		snprintf(key, sizeof(key), "gpu.%s", address);
		snprintf(source, sizeof(source), "/sys/bus/pci/devices/%s/device", address);
		notebook_seen(l->book, key, source, "0x%04x", found[i].device_id);
	}
	pci_found_free(found, n);
}

void gather_host(struct looker *l, const struct gather_options *o)
{
	static const char *const modules[] = {"xe", "i915"};
	size_t i;

	notebook_add(l->book, "version.gpuvf", "gpuvfd --version", NOTE_SEEN, PACKAGE_VERSION);
	look_file(l, "version.kernel", "/proc/sys/kernel/osrelease");
	gather_cmdline(l);
	gather_iommu(l);
	for (i = 0; i < ARRAY_SIZE(modules); i++)
		gather_module(l, modules[i]);
	gather_security(l);
	gather_libvirt(l);
	gather_machine(l);
	gather_socket(l, o->socket);
	gather_gpus(l);
}
