/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A made-up sysfs for unit tests. */
#include "tests/support/fake-gpu.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

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
	snprintf(g->root, sizeof(g->root), "/tmp/gpuvf-fake-XXXXXX");
	assert_non_null(mkdtemp(g->root));
	fake_gpu_write(g, "", "bus/pci/drivers_probe");
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
	for (i = 1; i <= total_vfs; i++) {
		snprintf(folder, sizeof(folder), "vf%u", i);
		add_profile(g, pf, folder, true);
	}
}

/* "0000:03:00.0" + 1 = "0000:03:00.1"; enough for seven VFs. */
static void vf_name(const char *pf, unsigned vf, char *buf, size_t size)
{
	assert_true(vf <= 7);
	snprintf(buf, size, "%.*s%u", (int)strlen(pf) - 1, pf, vf);
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
	/* Fails with ENXIO when nobody hangs in it: then the test's premise is wrong. */
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
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
