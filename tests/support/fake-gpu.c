/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A made-up sysfs for unit tests. */
#include "tests/support/fake-gpu.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/io.h"

#define PCI "bus/pci/devices/%s"
#define DEV_FLEX_170 "0x56c0"

static void make_path(struct fake_gpu *g, char *buf, const char *format, va_list ap)
{
	int n = snprintf(buf, PATH_MAX, "%s/", g->root);

	assert_true(n > 0);
	assert_true(vsnprintf(buf + n, PATH_MAX - (size_t)n, format, ap) < PATH_MAX - n);
}

#define PATH_OF(g, buf, format)                                                                    \
	do {                                                                                       \
		va_list _ap;                                                                       \
		va_start(_ap, format);                                                             \
		make_path((g), (buf), (format), _ap);                                              \
		va_end(_ap);                                                                       \
	} while (0)

/* mkdir -p of everything before the last slash. */
static void make_folders(const char *path)
{
	char folder[PATH_MAX];
	char *p;

	snprintf(folder, sizeof(folder), "%s", path);
	for (p = strchr(folder + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		assert_true(mkdir(folder, 0755) == 0 || errno == EEXIST);
		*p = '/';
	}
}

static void put(const char *path, const char *text)
{
	int fd;

	make_folders(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	safe_close(fd);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	return remove(path);
}

static void remove_tree(const char *path)
{
	assert_true(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT);
}

void fake_gpu_init(struct fake_gpu *g)
{
	fake_gpu_init_in(g, "/tmp");
}

void fake_gpu_init_in(struct fake_gpu *g, const char *folder)
{
	snprintf(g->root, sizeof(g->root), "%s/gpuvf-fake-XXXXXX", folder);
	assert_non_null(mkdtemp(g->root));
	fake_gpu_write(g, "", "bus/pci/drivers_probe");
	fake_gpu_write(g, "", "bus/pci/drivers/i915/unbind");
	fake_gpu_write(g, "", "bus/pci/drivers/xe/unbind");
	fake_gpu_write(g, "", "bus/pci/drivers/vfio-pci/unbind");
	fake_gpu_write(g, "", "dev/vfio/vfio");
}

void fake_gpu_done(struct fake_gpu *g)
{
	remove_tree(g->root);
}

static void add_function(struct fake_gpu *g, const char *function, unsigned group)
{
	char target[64];
	/* command, status, revision, class: what pci_check_answers() looks at */
	static const char header[64] = "\x86\x80\xc0\x56\x06\x04\x10\x10\x05\x01\x80\x03";
	char path[PATH_MAX];
	int fd;

	fake_gpu_write(g, "0x8086\n", PCI "/vendor", function);
	fake_gpu_write(g, DEV_FLEX_170 "\n", PCI "/device", function);
	fake_gpu_write(g, "0x038000\n", PCI "/class", function);
	fake_gpu_write(g, "-1\n", PCI "/numa_node", function);
	fake_gpu_write(g, "\n", PCI "/driver_override", function);
	fake_gpu_write(g, "", PCI "/reset", function);
	snprintf(path, sizeof(path), "%s/" PCI "/config", g->root, function);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, header, sizeof(header)), 0);
	safe_close(fd);

	snprintf(target, sizeof(target), "../../../../kernel/iommu_groups/%u", group);
	fake_gpu_link(g, target, PCI "/iommu_group", function);
	fake_gpu_write(g, "", "dev/vfio/%u", group);
}

void fake_gpu_pf_name(unsigned i, char buf[static PCI_ADDRESS_STRLEN])
{
	pci_address_format(&(struct pci_address){ .bus = (uint8_t)(i + 1) }, buf);
}

void fake_gpu_add_pf(struct fake_gpu *g, const char *pf, unsigned total_vfs)
{
	char text[16];

	add_function(g, pf, 1);
	snprintf(text, sizeof(text), "%u\n", total_vfs);
	fake_gpu_write(g, text, PCI "/sriov_totalvfs", pf);
	fake_gpu_write(g, "0\n", PCI "/sriov_numvfs", pf);
	fake_gpu_write(g, "1\n", PCI "/sriov_drivers_autoprobe", pf);
	fake_gpu_set_driver(g, pf, "xe");
}

static void add_profile(struct fake_gpu *g, const char *pf, const char *folder, bool is_vf)
{
	fake_gpu_write(g, "0\n", PCI "/sriov_admin/%s/profile/exec_quantum_ms", pf, folder);
	fake_gpu_write(g, "0\n", PCI "/sriov_admin/%s/profile/preempt_timeout_us", pf, folder);
	fake_gpu_write(g, "[low] normal high\n", PCI "/sriov_admin/%s/profile/sched_priority", pf,
		       folder);
	if (!is_vf)
		return;
	fake_gpu_chmod(g, 0444, PCI "/sriov_admin/%s/profile/sched_priority", pf, folder);
	fake_gpu_write(g, "0\n", PCI "/sriov_admin/%s/profile/vram_quota", pf, folder);
}

void fake_gpu_add_sriov_admin(struct fake_gpu *g, const char *pf, unsigned total_vfs)
{
	char folder[16];
	unsigned i;

	add_profile(g, pf, "pf", false);
	fake_gpu_write(g, "", PCI "/sriov_admin/.bulk_profile/exec_quantum_ms", pf);
	fake_gpu_write(g, "", PCI "/sriov_admin/.bulk_profile/preempt_timeout_us", pf);
	fake_gpu_write(g, "", PCI "/sriov_admin/.bulk_profile/sched_priority", pf);
	fake_gpu_write(g, "", PCI "/sriov_admin/.bulk_profile/vram_quota", pf);
	for (i = 1; i <= total_vfs; i++) {
		snprintf(folder, sizeof(folder), "vf%u", i);
		add_profile(g, pf, folder, true);
	}
}

static void add_i915_gt(struct fake_gpu *g, const char *home, const char *who, const char *gt,
			bool media, uint64_t vram)
{
	bool is_vf = !streq(who, "pf");
	char at[128];

	snprintf(at, sizeof(at), "%s/%s/%s", home, who, gt);
	fake_gpu_write(g, "0\n", "%s/exec_quantum_ms", at);
	fake_gpu_write(g, "0\n", "%s/preempt_timeout_us", at);
	if (is_vf) {
		fake_gpu_write(g, "0\n", "%s/ggtt_quota", at);
		fake_gpu_write(g, "0\n", "%s/contexts_quota", at);
		fake_gpu_write(g, "0\n", "%s/doorbells_quota", at);
		if (media)
			fake_gpu_chmod(g, 0444, "%s/ggtt_quota", at);
		else if (vram > 0)
			fake_gpu_write(g, "0\n", "%s/lmem_quota", at);
		return;
	}
	fake_gpu_write(g, "0\n", "%s/policies/sched_if_idle", at);
	fake_gpu_write(g, "4227858432\n", "%s/available/ggtt_free", at);
	fake_gpu_write(g, "4026531840\n", "%s/available/ggtt_max_quota", at);
	fake_gpu_write(g, "65279\n", "%s/available/contexts_free", at);
	fake_gpu_write(g, "65152\n", "%s/available/contexts_max_quota", at);
	fake_gpu_write(g, "256\n", "%s/available/doorbells_free", at);
	fake_gpu_write(g, "240\n", "%s/available/doorbells_max_quota", at);
	fake_gpu_write(g, "67108864\n", "%s/ggtt_spare", at);
	fake_gpu_write(g, "256\n", "%s/contexts_spare", at);
	fake_gpu_write(g, "0\n", "%s/doorbells_spare", at);
	if (vram > 0 && !media) {
		char text[32];

		snprintf(text, sizeof(text), "%llu\n", (unsigned long long)vram);
		fake_gpu_write(g, text, "%s/available/lmem_free", at);
		fake_gpu_write(g, text, "%s/available/lmem_max_quota", at);
		fake_gpu_write(g, "134217728\n", "%s/lmem_spare", at);
	}
}

void fake_gpu_add_i915(struct fake_gpu *g, const char *pf, unsigned card, const char *gts,
		       unsigned total_vfs, uint64_t vram)
{
	_cleanup_free_ char *list = strdup(gts);
	char home[96], who[16], *save = NULL, *gt;
	unsigned vf;

	snprintf(home, sizeof(home), PCI "/drm/card%u/prelim_iov", pf, card);
	fake_gpu_write(g, "SR-IOV PF\n", "%s/mode", home);
	fake_gpu_write(g, "1\n", "%s/pf/auto_provisioning", home);
	for (gt = strtok_r(list, " ", &save); gt; gt = strtok_r(NULL, " ", &save)) {
		bool media = gt[strlen(gt) - 1] == 'm';

		if (media)
			gt[strlen(gt) - 1] = '\0';
		for (vf = 0; vf <= total_vfs; vf++) {
			snprintf(who, sizeof(who), "vf%u", vf);
			add_i915_gt(g, home, vf == 0 ? "pf" : who, gt, media, vram);
		}
	}
	fake_gpu_set_driver(g, pf, "i915");
}

static void add_debugfs_tile(struct fake_gpu *g, const char *at, bool is_vf, bool new_layout,
			     uint64_t vram)
{
	const char *memory = new_layout ? "vram" : "lmem";

	fake_gpu_write(g, "0\n", "%s/ggtt_%s", at, is_vf ? "quota" : "spare");
	if (vram > 0)
		fake_gpu_write(g, is_vf ? "0\n" : "134217728\n", "%s/%s_%s", at, memory,
			       is_vf ? "quota" : "spare");
	if (!is_vf)
		fake_gpu_write(
			g,
			"range:\t0x200000-0xfedfffff\t(3.97 GiB)\ntotal:\t4261412864\t(3.97 GiB)\n"
			"spare:\t67108864\t(64.0 MiB)\navail:\t4194304000\t(3.91 GiB)\n",
			"%s/ggtt_available", at);
}

static void add_debugfs_gt(struct fake_gpu *g, const char *at, bool is_vf, bool new_layout)
{
	fake_gpu_write(g, is_vf ? "0\n" : "256\n", "%s/contexts_%s", at, is_vf ? "quota" : "spare");
	fake_gpu_write(g, "0\n", "%s/doorbells_%s", at, is_vf ? "quota" : "spare");
	fake_gpu_write(g, "0\n", "%s/exec_quantum_ms", at);
	fake_gpu_write(g, "0\n", "%s/preempt_timeout_us", at);
	if (new_layout)
		fake_gpu_write(g, "0\n", "%s/sched_priority", at);
	if (!is_vf)
		fake_gpu_write(g, "0\n", "%s/sched_if_idle", at);
}

static void add_debugfs_function(struct fake_gpu *g, const char *base, const char *who,
				 unsigned tile, bool new_layout, uint64_t vram)
{
	bool is_vf = !streq(who, "pf");
	char at[192];
	unsigned gt;

	if (new_layout) {
		snprintf(at, sizeof(at), "%s/sriov/%s/tile%u", base, who, tile);
		add_debugfs_tile(g, at, is_vf, true, vram);
	}
	for (gt = 2 * tile; gt <= 2 * tile + 1; gt++) {
		if (new_layout)
			snprintf(at, sizeof(at), "%s/sriov/%s/tile%u/gt%u", base, who, tile, gt);
		else
			snprintf(at, sizeof(at), "%s/gt%u/%s", base, gt, who);
		add_debugfs_gt(g, at, is_vf, new_layout);
		if (!new_layout && gt % 2 == 0)
			add_debugfs_tile(g, at, is_vf, false, vram);
	}
}

void fake_gpu_add_debugfs(struct fake_gpu *g, const char *name, bool new_layout, unsigned tiles,
			  unsigned total_vfs, uint64_t vram)
{
	_cleanup_free_ char *mm = NULL;
	char base[96], who[16];
	unsigned tile, vf;

	snprintf(base, sizeof(base), "kernel/debug/dri/%s", name);
	if (new_layout)
		fake_gpu_write(g, "", "%s/sriov/restore_auto_provisioning", base);
	mm = xasprintf(
		"  use_type: 1\n  use_tt: 0\n  size: %llu\n  usage: 0\ndefault_page_size: 4KiB\n"
		"visible_avail: 200MiB\nvisible_size: 256MiB\n"
		"chunk_size: 4KiB, total: %lluMiB, free: %lluMiB, clear_free: 0MiB\n"
		"order- 9 free:      100 MiB, blocks: 50\nman size:%llu\n",
		(unsigned long long)vram, (unsigned long long)vram >> 20,
		(unsigned long long)vram >> 20, (unsigned long long)vram);
	assert_non_null(mm);
	for (tile = 0; tile < tiles; tile++) {
		for (vf = 0; vf <= total_vfs; vf++) {
			snprintf(who, sizeof(who), "vf%u", vf);
			add_debugfs_function(g, base, vf == 0 ? "pf" : who, tile, new_layout, vram);
		}
		if (vram > 0 && new_layout)
			fake_gpu_write(g, mm, "%s/tile%u/vram_mm", base, tile);
		else if (vram > 0)
			fake_gpu_write(g, mm, "%s/vram%u_mm", base, tile);
	}
}

void fake_gpu_lockdown(struct fake_gpu *g, const char *level)
{
	static const char *const levels[] = {"none", "integrity", "confidentiality"};
	char text[64] = "";
	size_t i;

	for (i = 0; i < ARRAY_SIZE(levels); i++) {
		bool on = streq(levels[i], level);

		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s%s%s",
			 i > 0 ? " " : "", on ? "[" : "", levels[i], on ? "]" : "");
	}
	fake_gpu_write(g, text, "kernel/security/lockdown");
}

/* "0000:03:00.0" + 1 = "0000:03:00.1", + 9 = "0000:03:01.1". */
static void vf_name(const char *pf, unsigned vf, char *buf, size_t size)
{
	assert_true(vf < 256);
	snprintf(buf, size, "%.*s%02x.%u", (int)strlen(pf) - 4, pf, vf / 8, vf % 8);
}

void fake_gpu_enable_vfs(struct fake_gpu *g, const char *pf, unsigned n, unsigned first_group)
{
	char vf[32], target[64], text[16];
	unsigned i;

	for (i = 1; i <= n; i++) {
		vf_name(pf, i, vf, sizeof(vf));
		add_function(g, vf, first_group + i - 1);
		snprintf(target, sizeof(target), "../%s", pf);
		fake_gpu_link(g, target, PCI "/physfn", vf);
		snprintf(target, sizeof(target), "../%s", vf);
		fake_gpu_link(g, target, PCI "/virtfn%u", pf, i - 1);
	}
	snprintf(text, sizeof(text), "%u\n", n);
	fake_gpu_write(g, text, PCI "/sriov_numvfs", pf);
}

void fake_gpu_disable_vfs(struct fake_gpu *g, const char *pf)
{
	_cleanup_free_ char *text = fake_gpu_read(g, PCI "/sriov_numvfs", pf);
	unsigned n = (unsigned)atoi(text);
	char vf[32];
	unsigned i;

	for (i = 1; i <= n; i++) {
		vf_name(pf, i, vf, sizeof(vf));
		fake_gpu_remove(g, PCI "/virtfn%u", pf, i - 1);
		fake_gpu_remove(g, PCI, vf);
	}
	fake_gpu_write(g, "0\n", PCI "/sriov_numvfs", pf);
}

void fake_gpu_remove_pf(struct fake_gpu *g, const char *pf)
{
	fake_gpu_disable_vfs(g, pf);
	fake_gpu_remove(g, PCI, pf);
}

void fake_gpu_set_driver(struct fake_gpu *g, const char *function, const char *driver)
{
	char target[64];

	fake_gpu_remove(g, PCI "/driver", function);
	if (!driver)
		return;
	snprintf(target, sizeof(target), "../../drivers/%s", driver);
	fake_gpu_link(g, target, PCI "/driver", function);
}

void fake_gpu_write(struct fake_gpu *g, const char *text, const char *format, ...)
{
	char path[PATH_MAX];

	PATH_OF(g, path, format);
	put(path, text);
}

void fake_gpu_link(struct fake_gpu *g, const char *target, const char *format, ...)
{
	char path[PATH_MAX];

	PATH_OF(g, path, format);
	make_folders(path);
	assert_int_equal(symlink(target, path), 0);
}

void fake_gpu_chmod(struct fake_gpu *g, unsigned mode, const char *format, ...)
{
	char path[PATH_MAX];

	PATH_OF(g, path, format);
	assert_int_equal(chmod(path, mode), 0);
}

void fake_gpu_remove(struct fake_gpu *g, const char *format, ...)
{
	char path[PATH_MAX];

	PATH_OF(g, path, format);
	remove_tree(path);
}

void fake_gpu_hang(struct fake_gpu *g, const char *format, ...)
{
	char path[PATH_MAX];

	PATH_OF(g, path, format);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0644), 0);
}

void fake_gpu_release(struct fake_gpu *g, const char *text, const char *format, ...)
{
	char path[PATH_MAX];
	int fd;

	PATH_OF(g, path, format);
	/* ENXIO: nobody hangs in it yet. When nobody comes, the test's premise is wrong. */
	for (int n = 0; (fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0; n++) {
		assert_int_equal(errno, ENXIO);
		assert_true(n < 60000);
		assert_int_equal(usleep(1000), 0);
	}
	assert_int_equal(unlink(path), 0);
	put(path, text);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	safe_close(fd);
}

char *fake_gpu_read(struct fake_gpu *g, const char *format, ...)
{
	char path[PATH_MAX];
	char *text;

	PATH_OF(g, path, format);
	assert_int_equal(read_file_at(AT_FDCWD, path, 4096, &text, NULL), 0);
	return trim_end(text);
}

int fake_gpu_open(struct fake_gpu *g, const char *format, ...)
{
	char path[PATH_MAX];
	int fd;

	PATH_OF(g, path, format);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}
