/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks over a made-up root: each has a case in which it finds something and one in which all is
 * well; the last test holds this file, the table and docs/DOCTOR.md against each other. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "doctor/doctor.h"
#include "doctor/known-bad.h"
#include "lib/io.h"
#include "tests/support/fake-gpu.h"

#define PF "0000:03:00.0"
#define PCI "bus/pci/devices/%s"
#define VM "trainer-1"

/* ---- which checks were seen both ways ---- */

#define CHECKS_MAX 128
static struct {
	const char *id;
	bool good, bad;
} seen[CHECKS_MAX];

static void note_seen(const char *id, enum severity severity, bool unlooked)
{
	size_t i = 0;

	while (seen[i].id && !streq(seen[i].id, id))
		i++;
	assert_true(i < CHECKS_MAX);
	seen[i].id = id;
	if (severity == SEVERITY_OK)
		seen[i].good = true;
	else if (!unlooked || streq(id, "gpu-answers") || streq(id, "examination") ||
		 streq(id, "versions"))
		seen[i].bad = true;
}

/* ---- the stage: a host on which all is well ---- */

struct stage {
	struct fake_gpu fake;
	struct sysfs sysfs;
	struct examination e;
	struct findings f;
	struct known_bad *known_bad;
};

static const char resource_good[] = /* six own BARs, the ROM, six of the VFs */
	"0x00000000a0000000 0x00000000a0ffffff 0x0000000000140204\n"
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
	"0x0000004000000000 0x00000043ffffffff 0x000000000014220c\n"
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
	"0x00000000b0000000 0x00000000b6ffffff 0x0000000000140204\n"
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
	"0x0000005000000000 0x00000053ffffffff 0x000000000014220c\n"
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n";

static void make_host(struct fake_gpu *g)
{
	fake_gpu_write(g, "x", "class/iommu/dmar0/x");
	fake_gpu_write(g, "x", "kernel/iommu_groups/1/devices/" PF);
	fake_gpu_write(g, "x", "firmware/acpi/tables/DMAR");
	fake_gpu_write(g, "root=/dev/sda1 intel_iommu=on xe.max_vfs=7\n", "proc/cmdline");
	fake_gpu_write(g, "6.19.0-1-amd64\n", "proc/sys/kernel/osrelease");
	fake_gpu_write(g, "[none] integrity confidentiality\n", "kernel/security/lockdown");
	fake_gpu_write(g, "x", "kernel/debug/dri/x");
	fake_gpu_write(g, "Y\n", "module/apparmor/parameters/enabled");
	fake_gpu_write(g, "4294967295\n", "module/xe/parameters/max_vfs");
	fake_gpu_write(g, "\n", "module/xe/taint");
	fake_gpu_write(g, "", "run/libvirt/libvirt-sock");
	fake_gpu_write(g, "libvirtd\n", "proc/100/comm");
	fake_gpu_write(g, "Limit  Soft  Hard  Units\nMax locked memory  65536  65536  bytes\n",
		       "proc/100/limits");
	fake_gpu_write(g, "Name: libvirtd\nCapEff:\t000001ffffffffff\n", "proc/100/status");
	fake_gpu_write(g, "#user = \"root\"\nvnc_password = \"planted-secret\"\n",
		       "etc/libvirt/qemu.conf");
	fake_gpu_write(g,
		       "MemTotal: 67108864 kB\nMemAvailable: 33554432 kB\nHugePages_Free: 0\n"
		       "Hugepagesize: 2048 kB\n",
		       "proc/meminfo");
	fake_gpu_write(g, "freeze mem disk\n", "power/state");
	fake_gpu_write(g, "0-7\n", "devices/system/node/node0/cpulist");
	fake_gpu_write(g, "8-15\n", "devices/system/node/node1/cpulist");
	fake_gpu_write(g, "root:x:0:\ngpuvf:x:123:alice\n", "etc/group");
	fake_gpu_write(g, "6,1,1,-;xe 0000:03:00.0: [drm] Running in SR-IOV PF mode\n", "dev/kmsg");
}

static void make_gpu(struct fake_gpu *g)
{
	fake_gpu_add_pf(g, PF, 7);
	fake_gpu_add_sriov_admin(g, PF, 7);
	fake_gpu_write(g, "0\n", PCI "/numa_node", PF);
	fake_gpu_write(g, "0\n", PCI "/boot_vga", PF);
	fake_gpu_write(g, resource_good, PCI "/resource", PF);
	fake_gpu_write(g, "active\n", PCI "/power/runtime_status", PF);
	fake_gpu_write(g, "auto\n", PCI "/power/control", PF);
	fake_gpu_write(g, "disconnected\n", PCI "/drm/card0/card0-DP-1/status", PF);
}

static struct stage *stage_new(void)
{
	struct stage *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	fake_gpu_init(&s->fake);
	make_host(&s->fake);
	make_gpu(&s->fake);
	return s;
}

static void stage_free(struct stage *s)
{
	findings_done(&s->f);
	examination_done(&s->e);
	known_bad_free(s->known_bad);
	fake_gpu_done(&s->fake);
	free(s);
}

#define STAGE(name) _cleanup_(stage_freep) struct stage *name = stage_new()
static void stage_freep(struct stage **s)
{
	if (*s)
		stage_free(*s);
}

/* Gathers in this process, as the workers do in theirs. */
static struct subject *gather(struct stage *s)
{
	const struct gather_options o = {.socket = "/run/gpuvf/gpuvf.sock", .libvirt_uri = ""};
	struct looker l = {.sysfs = &s->sysfs};
	struct subject *host, *gpu;

	assert_int_equal(sysfs_open(s->fake.root, &s->sysfs), 0);
	host = examination_add(&s->e, SUBJECT_HOST, "host");
	l.book = &host->book;
	gather_host(&l, &o);
	gather_kernel_log(&l);
	assert_true(note_find(&host->book, "gpu." PF));
	gpu = examination_add(&s->e, SUBJECT_GPU, PF);
	l.book = &gpu->book;
	gather_gpu(&l, PF, false);
	sysfs_done(&s->sysfs);
	assert_false(s->e.subjects[0].book.incomplete || gpu->book.incomplete); /* host has moved */
	return gpu;
}

static struct subject *host_of(struct stage *s)
{
	return &s->e.subjects[0];
}

static void judge(struct stage *s)
{
	size_t i;

	examination_judge(&s->e, s->known_bad, &s->f);
	for (i = 0; i < s->f.n; i++)
		note_seen(s->f.list[i].id, s->f.list[i].severity, s->f.list[i].unlooked);
}

static struct finding *find(struct stage *s, const char *id)
{
	size_t i;

	for (i = 0; i < s->f.n; i++)
		if (streq(s->f.list[i].id, id))
			return &s->f.list[i];
	return NULL;
}

/* The finding, its severity, a word of its cure, and a file that its evidence names. */
static void expect(struct stage *s, const char *id, enum severity severity, const char *source,
		   const char *cure)
{
	const struct finding *f = find(s, id);
	bool named = !source;
	json_t *evidence;
	size_t i;

	if (!f)
		fail_msg("no finding %s", id);
	if (f->severity != severity)
		fail_msg("%s: %s: %s", id, severity_to_string(f->severity), f->what);
	json_array_foreach(f->evidence, i, evidence) named |=
		source && strstr(json_get_string(evidence, "source"), source);
	if (!named)
		fail_msg("%s: %s is no evidence", id, source);
	if (cure && (!f->cure || !strstr(f->cure, cure)))
		fail_msg("%s: the cure is \"%s\"", id, strempty(f->cure));
}

static void expect_unknown(struct stage *s, const char *id)
{
	const struct finding *f = find(s, id);

	assert_non_null(f);
	assert_true(f->unlooked);
	assert_int_not_equal(f->severity, SEVERITY_OK);
}

static void test_all_is_well(void **state)
{
	STAGE(s);
	size_t i;

	gather(s);
	/* asked of libvirt, which is not here */
	notebook_add(&host_of(s)->book, "libvirt", "libvirt: test", NOTE_SEEN, "it answers");
	notebook_add(&host_of(s)->book, "version.libvirt", "libvirt: version", NOTE_SEEN, "9.0.0");
	judge(s);
	for (i = 0; i < s->f.n; i++)
		if (s->f.list[i].severity != SEVERITY_OK &&
		    !streq(s->f.list[i].id, "socket-permissions") && /* no daemon */
		    !streq(s->f.list[i].id, "vf-control") && !streq(s->f.list[i].id, "known-bad"))
			fail_msg("%s: %s", s->f.list[i].id, s->f.list[i].what);
	expect(s, "vf-control", SEVERITY_OK, PF, NULL);
	expect(s, "iommu", SEVERITY_OK, "/sys/class/iommu", NULL);
	expect(s, "socket-permissions", SEVERITY_INFO, "/run/gpuvf/gpuvf.sock", "gpuvfd.socket");
}

/* ---- IOMMU ---- */

static void test_iommu_intel(void **state)
{
	STAGE(s);

	fake_gpu_remove(&s->fake, "class/iommu/dmar0");
	fake_gpu_remove(&s->fake, "kernel/iommu_groups/1");
	fake_gpu_write(&s->fake, "quiet\n", "proc/cmdline");
	gather(s);
	judge(s);
	expect(s, "iommu", SEVERITY_ERROR, "/tables/DMAR", "intel_iommu=on");
}

static void test_iommu_switched_off(void **state)
{
	STAGE(s);

	fake_gpu_remove(&s->fake, "class/iommu/dmar0");
	fake_gpu_remove(&s->fake, "kernel/iommu_groups/1");
	fake_gpu_write(&s->fake, "quiet intel_iommu=off\n", "proc/cmdline");
	gather(s);
	judge(s);
	expect(s, "iommu", SEVERITY_ERROR, "/proc/cmdline", "take intel_iommu=off out");
}

static void test_iommu_amd(void **state)
{
	STAGE(s);

	fake_gpu_remove(&s->fake, "class/iommu/dmar0");
	fake_gpu_remove(&s->fake, "kernel/iommu_groups/1");
	fake_gpu_remove(&s->fake, "firmware/acpi/tables/DMAR");
	fake_gpu_write(&s->fake, "x", "firmware/acpi/tables/IVRS");
	fake_gpu_write(&s->fake, "quiet\n", "proc/cmdline");
	gather(s);
	judge(s);
	expect(s, "iommu", SEVERITY_ERROR, "/tables/IVRS", "AMD-Vi");
}

/* An AMD host on which it is on: no word about Intel, no look at CPU flags. */
static void test_iommu_amd_on(void **state)
{
	STAGE(s);

	fake_gpu_remove(&s->fake, "class/iommu/dmar0");
	fake_gpu_remove(&s->fake, "firmware/acpi/tables/DMAR");
	fake_gpu_write(&s->fake, "x", "class/iommu/ivhd0/x");
	fake_gpu_write(&s->fake, "quiet\n", "proc/cmdline");
	gather(s);
	judge(s);
	expect(s, "iommu", SEVERITY_OK, "/sys/class/iommu", NULL);
}

static void test_iommu_firmware(void **state)
{
	STAGE(s);

	fake_gpu_remove(&s->fake, "class/iommu/dmar0");
	fake_gpu_remove(&s->fake, "kernel/iommu_groups/1");
	fake_gpu_remove(&s->fake, "firmware/acpi/tables/DMAR");
	fake_gpu_write(&s->fake, "quiet\n", "proc/cmdline");
	gather(s);
	judge(s);
	expect(s, "iommu", SEVERITY_ERROR, NULL, "VT-d");
}

static void test_iommu_only_remaps(void **state)
{
	STAGE(s);

	fake_gpu_remove(&s->fake, "kernel/iommu_groups/1");
	fake_gpu_write(&s->fake, "quiet\n", "proc/cmdline");
	gather(s);
	judge(s);
	expect(s, "iommu", SEVERITY_ERROR, "/sys/kernel/iommu_groups", "only remaps interrupts");
}

/* ---- host ---- */

static void test_host(void **state)
{
	STAGE(s);

	fake_gpu_remove(&s->fake, "bus/pci/drivers/vfio-pci");
	fake_gpu_write(&s->fake, "nomodeset\n", "proc/cmdline");
	gather(s);
	notebook_add(&host_of(s)->book, "silent.libvirt", "libvirt", NOTE_FAILED,
		     "no answer in time");
	notebook_add(&host_of(s)->book, "libvirt", "libvirt: test", NOTE_FAILED, "refused");
	judge(s);
	expect(s, "vfio-driver", SEVERITY_WARNING, "vfio-pci", "modprobe");
	expect(s, "kernel-parameters", SEVERITY_ERROR, "/proc/cmdline", "nomodeset");
	expect(s, "examination", SEVERITY_WARNING, "libvirt", "hangs");
	expect(s, "libvirt", SEVERITY_ERROR, "libvirt", "journalctl");
	expect_unknown(s, "versions");
}

static void test_no_gpu(void **state)
{
	STAGE(s);

	notebook_add(&examination_add(&s->e, SUBJECT_HOST, "host")->book, "gpus",
		     "/sys/bus/pci/devices", NOTE_SEEN, "0");
	judge(s);
	expect(s, "gpus-found", SEVERITY_WARNING, "/sys/bus/pci/devices", "slot");
}

static void test_unknown_parameter(void **state)
{
	STAGE(s);

	fake_gpu_write(&s->fake, "i915.max_vfs=7 i915.enable_guc=3\n", "proc/cmdline");
	fake_gpu_write(&s->fake, "3\n", "module/i915/parameters/enable_guc");
	fake_gpu_write(&s->fake, "4,1,1,-;i915: unknown parameter 'max_vfs' ignored\n", "dev/kmsg");
	gather(s);
	judge(s);
	expect(s, "kernel-parameters", SEVERITY_WARNING, "kernel log", "dkms");
	assert_non_null(strstr(find(s, "kernel-parameters")->what, "i915.max_vfs"));
}

static void test_suspend(void **state)
{
	STAGE(s);

	fake_gpu_enable_vfs(&s->fake, PF, 2, 10);
	gather(s);
	judge(s);
	expect(s, "suspend", SEVERITY_WARNING, "/sys/power/state", "mask");
	expect(s, "vf-autoprobe", SEVERITY_WARNING, "sriov_drivers_autoprobe", "echo 0");
}

static void test_suspend_masked(void **state)
{
	STAGE(s);

	fake_gpu_enable_vfs(&s->fake, PF, 2, 10);
	fake_gpu_link(&s->fake, "/dev/null", "etc/systemd/system/sleep.target");
	gather(s);
	judge(s);
	expect(s, "suspend", SEVERITY_OK, NULL, NULL);
}

/* Of a socket that belongs to root; the test need not be root. */
static void judge_socket(struct stage *s, const char *mode, const char *group)
{
	struct notebook *book = &examination_add(&s->e, SUBJECT_HOST, "host")->book;

	notebook_add(book, "gpuvf.socket", "/run/gpuvf/gpuvf.sock", NOTE_SEEN, mode);
	if (group)
		notebook_add(book, "gpuvf.group", "/etc/group", NOTE_SEEN, group);
	judge(s);
}

static void test_socket(void **state)
{
	static const struct {
		const char *mode, *group;
		enum severity severity;
		const char *cure;
	} cases[] = {
		{"0660 0 123", "123", SEVERITY_OK, NULL},
		{"0660 0 0", "123", SEVERITY_WARNING, "SocketGroup"},
		{"0600 0 123", "123", SEVERITY_WARNING, "SocketMode"},
		{"0660 0 0", NULL, SEVERITY_WARNING, "sysusers"},
		{"0666 0 123", "123", SEVERITY_INFO, NULL},
		{"0660 1000 1000", NULL, SEVERITY_OK, NULL}, /* an unprivileged daemon */
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		STAGE(s);

		judge_socket(s, cases[i].mode, cases[i].group);
		expect(s, "socket-permissions", cases[i].severity, "gpuvf.sock", cases[i].cure);
	}
}

/* ---- security ---- */

static void test_lockdown(void **state)
{
	STAGE(s);

	fake_gpu_write(&s->fake, "none [integrity] confidentiality\n", "kernel/security/lockdown");
	gather(s);
	judge(s);
	expect(s, "debugfs", SEVERITY_INFO, "/sys/kernel/security/lockdown", "vram_quota");
}

static void put_secure_boot(struct stage *s, char value)
{
	char path[256];
	const char data[5] = {6, 0, 0, 0, value};
	int fd;

	fake_gpu_write(&s->fake, "x",
		       "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
	snprintf(path, sizeof(path),
		 "%s/firmware/efi/efivars/SecureBoot-"
		 "8be4df61-93ca-11d2-aa0d-00e098032b8c",
		 s->fake.root);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write_all(fd, data, sizeof(data)), 0);
	safe_close(fd);
}

static void test_secure_boot(void **state)
{
	STAGE(s);

	put_secure_boot(s, 1);
	fake_gpu_write(&s->fake, "5,1,1,-;Loading of unsigned module is rejected\n", "dev/kmsg");
	gather(s);
	judge(s);
	expect(s, "secure-boot", SEVERITY_ERROR, "kernel log", "mokutil");
}

static void test_secure_boot_off(void **state)
{
	STAGE(s);

	put_secure_boot(s, 0);
	fake_gpu_write(&s->fake, "OE\n", "module/xe/taint");
	gather(s);
	judge(s);
	expect(s, "secure-boot", SEVERITY_INFO, "/sys/module/xe/taint", "sign");
}

static void test_denied(void **state)
{
	STAGE(s);

	fake_gpu_write(&s->fake,
		       "5,1,1,-;audit: type=1400 apparmor=\"DENIED\" operation=\"open\" "
		       "profile=\"libvirt-1\" name=\"/dev/vfio/12\"\n",
		       "dev/kmsg");
	gather(s);
	judge(s);
	expect(s, "mandatory-access", SEVERITY_ERROR, "kernel log", "AppArmor");
}

static void test_no_log(void **state)
{
	STAGE(s);

	fake_gpu_remove(&s->fake, "dev/kmsg");
	gather(s);
	judge(s);
	expect_unknown(s, "mandatory-access");
	expect_unknown(s, "gpu-wedged");
}

/* ---- libvirt ---- */

static void test_libvirt_away(void **state)
{
	STAGE(s);

	fake_gpu_remove(&s->fake, "run/libvirt/libvirt-sock");
	fake_gpu_remove(&s->fake, "proc/100");
	fake_gpu_write(&s->fake, "dynamic_ownership = 0\n", "etc/libvirt/qemu.conf");
	gather(s);
	notebook_add(&host_of(s)->book, "libvirt", "libvirt: test", NOTE_FAILED, "no socket");
	judge(s);
	expect(s, "libvirt", SEVERITY_ERROR, "libvirt", "systemctl");
	expect(s, "libvirt-daemons", SEVERITY_WARNING, "libvirt-sock", "install");
	expect(s, "qemu-conf", SEVERITY_WARNING, "qemu.conf", "dynamic_ownership");
	assert_null(find(s, "libvirt-memlock"));
}

static void test_libvirt_both(void **state)
{
	STAGE(s);

	fake_gpu_write(&s->fake, "virtqemud\n", "proc/200/comm");
	fake_gpu_write(&s->fake, "Max locked memory  unlimited  unlimited  bytes\n",
		       "proc/200/limits");
	fake_gpu_write(&s->fake, "CapEff:\t0000000000000000\n", "proc/200/status");
	gather(s);
	judge(s);
	expect(s, "libvirt-daemons", SEVERITY_WARNING, "/proc/200", "keep one");
	expect(s, "libvirt-memlock", SEVERITY_OK, "/proc/", NULL);
}

static void test_memlock(void **state)
{
	STAGE(s);

	fake_gpu_write(&s->fake, "CapEff:\t0000000000000000\n", "proc/100/status");
	gather(s);
	notebook_add(&examination_add(&s->e, SUBJECT_VM, VM)->book, "memory", "libvirt: XML",
		     NOTE_SEEN, "8589934592");
	judge(s);
	expect(s, "libvirt-memlock", SEVERITY_ERROR, "/proc/100/limits", "LimitMEMLOCK");
}

/* What is not asked for is not read: the file may hold passwords. */
static void test_qemu_conf_secrets(void **state)
{
	STAGE(s);
	size_t i;

	gather(s);
	for (i = 0; i < host_of(s)->book.n; i++)
		assert_null(strstr(strempty(host_of(s)->book.notes[i].value), "planted-secret"));
}

/* ---- GPU ---- */

static void test_silent(void **state)
{
	STAGE(s);
	struct subject *gpu = gather(s);

	gpu->silent = strdup("sriov_numvfs");
	judge(s);
	expect(s, "gpu-answers", SEVERITY_ERROR, "sriov_numvfs", "shut them down");
	assert_null(find(s, "gpu-driver")); /* nothing else is said of it */
}

static void test_no_sriov(void **state)
{
	STAGE(s);

	fake_gpu_remove(&s->fake, PCI "/sriov_totalvfs", PF);
	gather(s);
	judge(s);
	expect_unknown(s, "sriov-capability"); /* 64 bytes of configuration space tell nothing */
}

/* The whole of it is there to see, and has no extended capability. */
static void test_no_extended_space(void **state)
{
	STAGE(s);
	char zeros[257];

	memset(zeros, '.', 256);
	zeros[256] = '\0';
	fake_gpu_remove(&s->fake, PCI "/sriov_totalvfs", PF);
	fake_gpu_write(&s->fake, zeros, PCI "/config", PF);
	gather(s);
	judge(s);
	expect(s, "sriov-capability", SEVERITY_INFO, "/config", NULL);
}

static void judge_capability(struct stage *s, const char *value)
{
	struct subject *gpu;

	(void)examination_add(&s->e, SUBJECT_HOST, "host");
	gpu = examination_add(&s->e, SUBJECT_GPU, PF);
	notebook_add(&gpu->book, "sriov_totalvfs", "sriov_totalvfs", NOTE_ABSENT, NULL);
	notebook_add(&gpu->book, "sriov_capability", "config", NOTE_SEEN, value);
	judge(s);
}

static void test_capability(void **state)
{
	STAGE(with);
	STAGE(without);

	judge_capability(with, "extended capability 0010 (SR-IOV)");
	expect(with, "sriov-capability", SEVERITY_ERROR, "config", "CONFIG_PCI_IOV");
	judge_capability(without, "no extended capability 0010 (SR-IOV)");
	expect(without, "sriov-capability", SEVERITY_INFO, "config", NULL);
}

static void test_no_driver(void **state)
{
	STAGE(s);

	fake_gpu_set_driver(&s->fake, PF, NULL);
	fake_gpu_write(
		&s->fake,
		"6,1,1,-;xe 0000:03:00.0: Your graphics device 56c0 is not officially supported; "
		"use xe.force_probe='56c0'\n",
		"dev/kmsg");
	gather(s);
	judge(s);
	expect(s, "gpu-driver", SEVERITY_ERROR, "/driver", "backported i915");
	expect(s, "driver-force-probe", SEVERITY_ERROR, "kernel log", "xe.force_probe=56c0");
}

static void test_no_driver_no_probe(void **state)
{
	STAGE(s);

	fake_gpu_set_driver(&s->fake, PF, NULL);
	gather(s);
	judge(s);
	expect(s, "driver-force-probe", SEVERITY_OK, NULL, NULL);
}

static void test_wrong_driver(void **state)
{
	STAGE(s);

	fake_gpu_set_driver(&s->fake, PF, "nvme");
	gather(s);
	judge(s);
	expect(s, "gpu-driver", SEVERITY_WARNING, "/driver", "unbind");
}

static void test_mainline_i915(void **state)
{
	STAGE(s);

	fake_gpu_set_driver(&s->fake, PF, "i915");
	fake_gpu_remove(&s->fake, PCI "/sriov_admin", PF);
	fake_gpu_write(&s->fake, "-1\n", "module/i915/parameters/enable_guc");
	gather(s);
	judge(s);
	expect(s, "driver-without-sriov", SEVERITY_ERROR, "/sys/module/i915/parameters",
	       "backported i915");
	expect(s, "vf-control", SEVERITY_INFO, "lockdown", "sriov_admin");
}

/* Either is enough: the parameter, as in kernels before 6.19, or the tree. */
static void test_driver_with_sriov(void **state)
{
	STAGE(parameter);
	STAGE(tree);

	fake_gpu_remove(&parameter->fake, PCI "/sriov_admin", PF);
	gather(parameter);
	judge(parameter);
	expect(parameter, "driver-without-sriov", SEVERITY_OK, "parameters", NULL);
	fake_gpu_remove(&tree->fake, "module/xe/parameters/max_vfs");
	fake_gpu_write(&tree->fake, "1\n", "module/xe/parameters/probe_display");
	gather(tree);
	judge(tree);
	expect(tree, "driver-without-sriov", SEVERITY_OK, "parameters", NULL);
}

static void test_pf_passed_through(void **state)
{
	STAGE(s);

	fake_gpu_set_driver(&s->fake, PF, "vfio-pci");
	gather(s);
	judge(s);
	expect(s, "pf-passed-through", SEVERITY_ERROR, "/driver", "own driver");
	assert_non_null(strstr(find(s, "pf-passed-through")->what, "THE WHOLE GPU"));
}

static void test_pf_in_vm(void **state)
{
	STAGE(s);

	gather(s);
	notebook_add(&examination_add(&s->e, SUBJECT_VM, VM)->book, "hostdev.0",
		     "libvirt: XML of " VM, NOTE_SEEN, PF);
	judge(s);
	expect(s, "pf-passed-through", SEVERITY_ERROR, VM, "virsh edit");
	assert_non_null(strstr(find(s, "pf-passed-through")->what, VM));
	assert_non_null(strstr(find(s, "pf-passed-through")->what, "when that starts"));
}

static void test_pf_in_running_vm(void **state)
{
	STAGE(s);
	struct notebook *book;

	fake_gpu_set_driver(&s->fake, PF, "vfio-pci");
	gather(s);
	/* Of two that name it, the one that has it is told. */
	notebook_add(&examination_add(&s->e, SUBJECT_VM, "other")->book, "hostdev.0", "libvirt: XML of other",
		     NOTE_SEEN, PF);
	book = &examination_add(&s->e, SUBJECT_VM, VM)->book;
	notebook_add(book, "hostdev.0", "libvirt: XML of " VM, NOTE_SEEN, PF);
	notebook_add(book, "live_hostdev.0", "libvirt: XML of " VM, NOTE_SEEN, PF);
	judge(s);
	expect(s, "pf-passed-through", SEVERITY_ERROR, VM, "virsh shutdown " VM);
	assert_non_null(strstr(find(s, "pf-passed-through")->what, "runs with it"));
	assert_non_null(strstr(find(s, "pf-passed-through")->what, VM));
}

static void test_mmio(void **state)
{
	STAGE(s);

	fake_gpu_write(&s->fake, "3,1,1,-;xe 0000:03:00.0: not enough MMIO resources for SR-IOV\n",
		       "dev/kmsg");
	gather(s);
	judge(s);
	expect(s, "mmio-space", SEVERITY_ERROR, "kernel log", "Above 4G");
}

static void test_own_bar(void **state)
{
	STAGE(s);

	fake_gpu_write(&s->fake, "0x0000000000000000 0x0000000000ffffff 0x0000000020140204\n",
		       PCI "/resource", PF);
	gather(s);
	judge(s);
	expect(s, "mmio-space", SEVERITY_ERROR, "/resource", "resizable BAR");
}

static void test_wedged(void **state)
{
	STAGE(s);

	fake_gpu_write(
		&s->fake,
		"2,1,1,-;xe 0000:03:00.0: [drm] CRITICAL: Xe has declared device 0000:03:00.0 as "
		"wedged.\n",
		"dev/kmsg");
	gather(s);
	judge(s);
	expect(s, "gpu-wedged", SEVERITY_ERROR, "kernel log", "unbind");
}

static void test_console(void **state)
{
	STAGE(s);

	fake_gpu_write(&s->fake, "connected\n", PCI "/drm/card0/card0-DP-1/status", PF);
	fake_gpu_write(&s->fake, "suspended\n", PCI "/power/runtime_status", PF);
	fake_gpu_enable_vfs(&s->fake, PF, 1, 10);
	gather(s);
	judge(s);
	expect(s, "console-gpu", SEVERITY_INFO, "card0-DP-1", "--yes-display");
	expect(s, "runtime-pm", SEVERITY_WARNING, "runtime_status", "power/control");
}

/* ---- sriov_totalvfs is 0 ---- */

static void vfs_off(struct stage *s)
{
	fake_gpu_write(&s->fake, "0\n", PCI "/sriov_totalvfs", PF);
}

/* Exactly this cause is told. */
static void expect_cause(struct stage *s, const char *id, const char *source, const char *cure)
{
	static const char *const causes[] = {"vfs-allowed", "vfs-off-max-vfs", "vfs-off-configfs",
					     "vfs-off-guc", "vfs-off-wedged",  "vfs-off-bars"};
	size_t i;

	gather(s);
	judge(s);
	expect(s, id, SEVERITY_ERROR, source, cure);
	for (i = 0; i < ARRAY_SIZE(causes); i++) {
		const struct finding *f = find(s, causes[i]);

		if (!streq(causes[i], id) && f && f->severity != SEVERITY_OK)
			fail_msg("%s is told too: %s", causes[i], f->what);
	}
}

static void test_off_max_vfs(void **state)
{
	STAGE(s);

	vfs_off(s);
	fake_gpu_write(&s->fake, "0\n", "module/xe/parameters/max_vfs");
	expect_cause(s, "vfs-off-max-vfs", "/sys/module/xe/parameters/max_vfs", "xe.max_vfs=N");
}

static void test_off_configfs(void **state)
{
	STAGE(s);

	vfs_off(s);
	fake_gpu_write(&s->fake, "0\n", "kernel/config/xe/" PF "/sriov/max_vfs");
	expect_cause(s, "vfs-off-configfs", "/sys/kernel/config/xe/", "unlimited");
}

static void test_off_guc_parameter(void **state)
{
	STAGE(s);

	vfs_off(s);
	fake_gpu_set_driver(&s->fake, PF, "i915");
	fake_gpu_write(&s->fake, "7\n", "module/i915/parameters/max_vfs");
	fake_gpu_write(&s->fake, "2\n", "module/i915/parameters/enable_guc");
	expect_cause(s, "vfs-off-guc", "enable_guc", "i915.enable_guc=3");
}

static void test_off_guc_firmware(void **state)
{
	STAGE(s);

	vfs_off(s);
	fake_gpu_write(&s->fake,
		       "3,1,1,-;xe 0000:03:00.0: [drm] *ERROR* GuC firmware xe/bmg_guc_70.bin: "
		       "fetch failed "
		       "with error -2\n",
		       "dev/kmsg");
	expect_cause(s, "vfs-off-guc", "kernel log", "firmware");
}

static void test_off_wedged(void **state)
{
	STAGE(s);

	vfs_off(s);
	fake_gpu_write(
		&s->fake,
		"2,1,1,-;i915 0000:03:00.0: Failed to initialize GPU, declaring it wedged!\n",
		"dev/kmsg");
	expect_cause(s, "vfs-off-wedged", "kernel log", "bind");
}

static void test_off_bars(void **state)
{
	STAGE(s);
	char resource[1024] = "0x00000000a0000000 0x00000000a0ffffff 0x0000000000140204\n";
	int i;

	for (i = 1; i < 13; i++)
		strcat(resource, "0x0000000000000000 0x0000000000000000 0x0000000000000000\n");
	vfs_off(s);
	fake_gpu_write(&s->fake, resource, PCI "/resource", PF);
	expect_cause(s, "vfs-off-bars", "/resource", "SR-IOV on");
}

static void test_off_unknown(void **state)
{
	STAGE(s);

	vfs_off(s);
	expect_cause(s, "vfs-allowed", "sriov_totalvfs", "kernel log");
}

/* ---- VFs ---- */

static void test_vf_taken(void **state)
{
	STAGE(s);

	fake_gpu_enable_vfs(&s->fake, PF, 2, 10);
	fake_gpu_set_driver(&s->fake, "0000:03:00.2", "xe");
	gather(s);
	judge(s);
	expect(s, "vf-host-driver", SEVERITY_WARNING, "0000:03:00.2/driver", "autoprobe");
	assert_non_null(strstr(find(s, "vf-host-driver")->what, "1 of 2"));
}

static void test_vf_free(void **state)
{
	STAGE(s);

	fake_gpu_enable_vfs(&s->fake, PF, 2, 10);
	fake_gpu_write(&s->fake, "0\n", PCI "/sriov_drivers_autoprobe", PF);
	fake_gpu_set_driver(&s->fake, "0000:03:00.1", "vfio-pci");
	fake_gpu_set_driver(&s->fake, "0000:03:00.2", "xe-vfio-pci");
	fake_gpu_write(&s->fake, "", PCI "/vfio-dev/vfio0/dev", "0000:03:00.2");
	fake_gpu_write(&s->fake, "x", "kernel/iommu_groups/10/devices/0000:03:00.1");
	fake_gpu_write(&s->fake, "x", "kernel/iommu_groups/11/devices/0000:03:00.2");
	gather(s);
	judge(s);
	expect(s, "vf-host-driver", SEVERITY_OK, NULL, NULL);
	expect(s, "vf-autoprobe", SEVERITY_OK, NULL, NULL);
	expect(s, "iommu-group", SEVERITY_OK, NULL, NULL);
	expect(s, "runtime-pm", SEVERITY_OK, NULL, NULL);
}

static void share_group(struct stage *s, const char *with, const char *driver,
			const char *class_code)
{
	fake_gpu_enable_vfs(&s->fake, PF, 1, 10);
	fake_gpu_write(&s->fake, "x", "kernel/iommu_groups/10/devices/0000:03:00.1");
	fake_gpu_write(&s->fake, "x", "kernel/iommu_groups/10/devices/%s", with);
	if (!streq(with, PF)) {
		fake_gpu_write(&s->fake, "0x8086\n", PCI "/vendor", with);
		fake_gpu_write(&s->fake, "0x1234\n", PCI "/device", with);
		fake_gpu_write(&s->fake, class_code, PCI "/class", with);
		fake_gpu_set_driver(&s->fake, with, driver);
	}
	gather(s);
	judge(s);
}

static void test_group(void **state)
{
	STAGE(with_pf);
	STAGE(with_disk);
	STAGE(with_bridge);

	share_group(with_pf, PF, NULL, NULL);
	expect(with_pf, "iommu-group", SEVERITY_ERROR, "iommu_group/devices", "ACS");
	share_group(with_disk, "0000:04:00.0", "nvme", "0x010802\n");
	expect(with_disk, "iommu-group", SEVERITY_ERROR, "iommu_group/devices", "ACS");
	assert_non_null(strstr(find(with_disk, "iommu-group")->what, "nvme"));
	share_group(with_bridge, "0000:04:00.0", "pcieport", "0x060400\n");
	expect(with_bridge, "iommu-group", SEVERITY_OK, NULL, NULL);
}

/* ---- VMs ---- */

static struct notebook *add_vm(struct stage *s)
{
	fake_gpu_enable_vfs(&s->fake, PF, 1, 10);
	fake_gpu_write(&s->fake,
		       "0x0000005000000000 0x000000507fffffff 0x000000000014220c\n", /* 2 GiB */
		       PCI "/resource", "0000:03:00.1");
	gather(s);
	return &examination_add(&s->e, SUBJECT_VM, VM)->book;
}

#define XML "libvirt: XML of " VM
static void note(struct notebook *book, const char *key, const char *value)
{
	notebook_add(book, key, XML, NOTE_SEEN, value);
}

static void test_vm_bad(void **state)
{
	STAGE(s);
	struct notebook *vm = add_vm(s);

	note(vm, "state", "running");
	note(vm, "agent", "absent");
	note(vm, "free_ports", "0");
	note(vm, "memory", "1099511627776");
	note(vm, "rss", "1073741824");
	judge(s);
	expect(s, "vm-agent", SEVERITY_WARNING, XML, "qemu-guest-agent");
	expect(s, "vm-free-port", SEVERITY_WARNING, XML, "pcie-root-port");
	expect(s, "vm-port-window", SEVERITY_INFO, "/resource", "pref64-reserve");
	expect(s, "vm-memory", SEVERITY_WARNING, "/proc/meminfo", "ballooning");
	assert_non_null(strstr(find(s, "vm-memory")->what, "1023")); /* GiB: what it has counts */
	assert_null(find(s, "vm-numa"));                             /* it holds no VF */
}

static void test_vm_good(void **state)
{
	STAGE(s);
	struct notebook *vm = add_vm(s);

	note(vm, "state", "running");
	note(vm, "agent", "connected");
	note(vm, "free_ports", "2");
	note(vm, "memory", "1073741824");
	note(vm, "pref64_reserve", "4294967296");
	note(vm, "hostdev.0", "0000:03:00.1");
	note(vm, "nodeset", "0");
	note(vm, "cpuset", "0-3");
	judge(s);
	expect(s, "vm-agent", SEVERITY_OK, NULL, NULL);
	expect(s, "vm-free-port", SEVERITY_OK, NULL, NULL);
	expect(s, "vm-port-window", SEVERITY_OK, NULL, NULL);
	expect(s, "vm-memory", SEVERITY_OK, NULL, NULL);
	expect(s, "vm-numa", SEVERITY_OK, NULL, NULL);
	expect(s, "vm-managed", SEVERITY_OK, NULL, NULL);
}

static void test_vm_elsewhere(void **state)
{
	STAGE(s);
	struct notebook *vm = add_vm(s);

	note(vm, "state", "running");
	note(vm, "agent", "disconnected");
	note(vm, "hostdev.0", "0000:03:00.1");
	note(vm, "managed.0", "0000:03:00.1");
	note(vm, "cpuset", "8-11");
	note(vm, "pref64_reserve", "1048576");
	judge(s);
	expect(s, "vm-agent", SEVERITY_WARNING, XML, "in the guest");
	expect(s, "vm-numa", SEVERITY_WARNING, XML, "cpuset");
	expect(s, "vm-managed", SEVERITY_WARNING, XML, "gpuvf assign");
	expect(s, "vm-port-window", SEVERITY_WARNING, XML, "pref64-reserve");
}

/* Where rules say which VMs are ours, nothing is said of the others. */
static void test_vm_of_others(void **state)
{
	STAGE(s);
	struct notebook *vm = add_vm(s);

	note(vm, "state", "running");
	note(vm, "agent", "absent");
	notebook_add(&host_of(s)->book, "policy.vms", "/etc/gpuvf/policies.d", NOTE_SEEN, "1");
	judge(s);
	assert_null(find(s, "vm-agent"));
}

static void test_vm_hugepages(void **state)
{
	STAGE(s);
	struct notebook *vm = add_vm(s);

	note(vm, "state", "off");
	note(vm, "agent", "disconnected");
	note(vm, "memory", "1073741824");
	note(vm, "hugepages", "memoryBacking/hugepages");
	judge(s);
	expect(s, "vm-memory", SEVERITY_WARNING, "/proc/meminfo", NULL);
	expect(s, "vm-agent", SEVERITY_OK, NULL, NULL);
}

/* ---- known bad ---- */

static void load_shipped(struct stage *s)
{
	_cleanup_free_ char *path =
		xasprintf("%s/data/known-bad.json", strempty(getenv("abs_top_srcdir")));
	_cleanup_free_ char *text = NULL;
	struct json_fault fault = {0};
	size_t size;

	assert_int_equal(read_file_at(AT_FDCWD, path, KNOWN_BAD_MAX, &text, &size), 0);
	if (known_bad_parse(text, size, &s->known_bad, &fault) < 0)
		fail_msg("%s: %s", fault.pointer, fault.what);
}

static void test_known_bad(void **state)
{
	STAGE(s);

	load_shipped(s);
	fake_gpu_set_driver(&s->fake, PF, "i915");
	fake_gpu_write(&s->fake, "OE\n", "module/i915/taint");
	fake_gpu_write(&s->fake, "7\n", "module/i915/parameters/max_vfs");
	fake_gpu_write(&s->fake, "6.8.12-20-pve\n", "proc/sys/kernel/osrelease");
	gather(s);
	judge(s);
	expect(s, "known-bad", SEVERITY_WARNING, "reported at", "6.8.12-11-pve");
}

static void test_not_known_bad(void **state)
{
	STAGE(s);

	load_shipped(s);
	fake_gpu_set_driver(&s->fake, PF, "i915");
	fake_gpu_write(&s->fake, "OE\n", "module/i915/taint");
	fake_gpu_write(&s->fake, "7\n", "module/i915/parameters/max_vfs");
	fake_gpu_write(&s->fake, "6.8.12-11-pve\n", "proc/sys/kernel/osrelease");
	gather(s);
	judge(s);
	expect(s, "known-bad", SEVERITY_OK, NULL, NULL);
}

/* ---- workers ---- */

/* One GPU hangs: everything else is told, and within its deadline. */
static void test_hanging_gpu(void **state)
{
	const struct gather_options o = {.socket = "/run/none",
					 .libvirt_uri = "",
					 .policy_dir = "/nonexistent",
					 .policy_fallback = "/nonexistent"};
	STAGE(s);
	struct gather_options options = o;
	const struct subject *gpu;

	options.sysfs_root = s->fake.root;
	fake_gpu_hang(&s->fake, PCI "/sriov_numvfs", PF);
	doctor_examine(&options, NULL, &s->e);
	gpu = examination_find(&s->e, SUBJECT_GPU, PF);
	assert_non_null(gpu);
	assert_string_equal(gpu->silent, "sriov_numvfs");
	judge(s);
	expect(s, "gpu-answers", SEVERITY_ERROR, "sriov_numvfs", NULL);
	expect(s, "iommu", SEVERITY_OK, NULL, NULL);
}

/* A GPU that is known to hang is not touched: nobody opens its FIFO. */
static void test_spared_gpu(void **state)
{
	const char *const spare[] = {PF "=sriov_numvfs", NULL};
	STAGE(s);
	struct gather_options o = {.socket = "/run/none",
				   .libvirt_uri = "",
				   .policy_dir = "/nonexistent",
				   .policy_fallback = "/nonexistent",
				   .sysfs_root = s->fake.root};

	fake_gpu_hang(&s->fake, PCI "/sriov_numvfs", PF);
	doctor_examine(&o, spare, &s->e);
	assert_true(examination_find(&s->e, SUBJECT_GPU, PF)->spared);
	judge(s);
	expect(s, "gpu-answers", SEVERITY_ERROR, "sriov_numvfs", NULL);
}

/* ---- all of them ---- */

static void test_every_check_both_ways(void **state)
{
	_cleanup_free_ char *path =
		xasprintf("%s/docs/DOCTOR.md", strempty(getenv("abs_top_srcdir")));
	_cleanup_free_ char *text = NULL;
	const struct check *check;
	size_t i;

	assert_int_equal(read_file_at(AT_FDCWD, path, 1 << 20, &text, NULL), 0);
	for (check = doctor_checks; check->id; check++) {
		_cleanup_free_ char *row = xasprintf("\n| `%s` |", check->id);

		if (!strstr(text, row))
			fail_msg("docs/DOCTOR.md has no row for %s", check->id);
		for (i = 0; seen[i].id && !streq(seen[i].id, check->id); i++)
			;
		if (!seen[i].id || !seen[i].good || !seen[i].bad)
			fail_msg("%s has no %s case", check->id,
				 seen[i].id && seen[i].bad ? "good" : "bad");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_is_well),
		cmocka_unit_test(test_iommu_intel),
		cmocka_unit_test(test_iommu_switched_off),
		cmocka_unit_test(test_iommu_amd),
		cmocka_unit_test(test_iommu_amd_on),
		cmocka_unit_test(test_iommu_firmware),
		cmocka_unit_test(test_iommu_only_remaps),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_no_gpu),
		cmocka_unit_test(test_unknown_parameter),
		cmocka_unit_test(test_suspend),
		cmocka_unit_test(test_suspend_masked),
		cmocka_unit_test(test_socket),
		cmocka_unit_test(test_lockdown),
		cmocka_unit_test(test_secure_boot),
		cmocka_unit_test(test_secure_boot_off),
		cmocka_unit_test(test_denied),
		cmocka_unit_test(test_no_log),
		cmocka_unit_test(test_libvirt_away),
		cmocka_unit_test(test_libvirt_both),
		cmocka_unit_test(test_memlock),
		cmocka_unit_test(test_qemu_conf_secrets),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_no_sriov),
		cmocka_unit_test(test_no_extended_space),
		cmocka_unit_test(test_capability),
		cmocka_unit_test(test_no_driver),
		cmocka_unit_test(test_no_driver_no_probe),
		cmocka_unit_test(test_wrong_driver),
		cmocka_unit_test(test_mainline_i915),
		cmocka_unit_test(test_driver_with_sriov),
		cmocka_unit_test(test_pf_passed_through),
		cmocka_unit_test(test_pf_in_vm),
		cmocka_unit_test(test_pf_in_running_vm),
		cmocka_unit_test(test_mmio),
		cmocka_unit_test(test_own_bar),
		cmocka_unit_test(test_wedged),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_off_max_vfs),
		cmocka_unit_test(test_off_configfs),
		cmocka_unit_test(test_off_guc_parameter),
		cmocka_unit_test(test_off_guc_firmware),
		cmocka_unit_test(test_off_wedged),
		cmocka_unit_test(test_off_bars),
		cmocka_unit_test(test_off_unknown),
		cmocka_unit_test(test_vf_taken),
		cmocka_unit_test(test_vf_free),
		cmocka_unit_test(test_group),
		cmocka_unit_test(test_vm_bad),
		cmocka_unit_test(test_vm_good),
		cmocka_unit_test(test_vm_elsewhere),
		cmocka_unit_test(test_vm_of_others),
		cmocka_unit_test(test_vm_hugepages),
		cmocka_unit_test(test_known_bad),
		cmocka_unit_test(test_not_known_bad),
		cmocka_unit_test(test_hanging_gpu),
		cmocka_unit_test(test_spared_gpu),
		cmocka_unit_test(test_every_check_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
