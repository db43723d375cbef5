/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel log of this boot, from /dev/kmsg or, where that is closed to us, from the journal; and
 * the daemon's own last lines.  Only lines that are about us are kept. */
#include "doctor/gather.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>

#include "doctor/redact.h"
#include "lib/io.h"

#define KMSG "/dev/kmsg"
#define RECORD_MAX 8192            /* what the kernel gives at most in one read */
#define LINES_MAX 400              /* a driver that complains for ever must not fill a bundle */
#define LOG_MAX ((size_t)16 << 20) /* of an injected root */
#define JOURNAL_LINES 200
#define DAEMON_UNIT "gpuvfd.service"

/* As they stand in the kernel's own messages. */
static const char *const ours[] = {
	"i915",
	"xe 0000",
	"[drm]",
	"vfio",
	"VFIO",
	"DMAR",
	"AMD-Vi",
	"IOMMU",
	"iommu",
	"SR-IOV",
	"sriov",
	"gpuvf",
	"BAR ",
	"MMIO resources",
	"GuC",
	"Lockdown",
	"module verification",
	"unknown parameter",
	"is rejected",
	"Key was rejected",
	"Secure boot",
	"secureboot",
	"lockdown",
};
/* Denials are about everything: those of VMs and VFIO only. */
static const char *const denials[] = {"avc:  denied", "apparmor=\"DENIED\""};
static const char *const denied[] = {"vfio", "qemu", "libvirt", "svirt"};

static bool holds(const char *line, const char *const *words, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strstr(line, words[i]))
			return true;
	return false;
}

bool kernel_log_is_ours(const char *line)
{
	if (holds(line, denials, ARRAY_SIZE(denials)))
		return holds(line, denied, ARRAY_SIZE(denied));
	return holds(line, ours, ARRAY_SIZE(ours));
}

struct lines {
	struct looker *l;
	const char *prefix; /* of the keys */
	const char *source;
	unsigned n;
};

static void add_line(struct lines *lines, const char *text)
{
	_cleanup_free_ char *safe = redact_text(text);
	char key[32];

	if (lines->n >= LINES_MAX)
		return;
	snprintf(key, sizeof(key), "%s.%u", lines->prefix, lines->n++);
	if (safe)
		notebook_add(lines->l->book, key, lines->source, NOTE_SEEN, safe);
}

/* "6,1234,5678901,-;text" and lines of details that begin with a blank. */
static void add_record(struct lines *lines, char *record)
{
	char *rest, *line;

	for (line = strtok_r(record, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *text = *line == ' ' ? NULL : strchr(line, ';');

		if (text && kernel_log_is_ours(text + 1))
			add_line(lines, text + 1);
	}
}

static int read_device(struct lines *lines, int fd)
{
	char record[RECORD_MAX + 1];

	for (;;) {
		ssize_t n = read(fd, record, RECORD_MAX);

		if (n > 0) {
			record[n] = '\0';
			add_record(lines, record);
		} else if (n == 0 || errno == EAGAIN) {
			return 0;
		} else if (errno != EPIPE && errno != EINTR) { /* EPIPE: older ones were lost */
			return -errno;
		}
	}
}

static int read_kmsg(struct lines *lines)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	const char *name;
	int folder = look_at(lines->l, KMSG, &name), r;
	struct stat st;

	fd = openat(folder, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
		return read_device(lines, fd);
	r = read_file_at(folder, name, LOG_MAX, &text, NULL);
	if (r == 0)
		add_record(lines, text);
	return r;
}

static void journal_text(sd_journal *journal, const char *field, char *buf, size_t size)
{
	const char *data;
	size_t length, skip = strlen(field) + 1;

	*buf = '\0';
	if (sd_journal_get_data(journal, field, (const void **)&data, &length) >= 0 &&
	    length > skip)
		snprintf(buf, size, "%.*s", (int)MIN_OF(length - skip, size - 1), data + skip);
}

static int open_journal(const char *match, sd_journal **ret)
{
	_cleanup_(sd_journal_closep) sd_journal *journal = NULL;
	int r;

	r = sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);
	if (r < 0)
		return r;
	r = sd_journal_add_match(journal, match, 0);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(journal);
	return 0;
}

/* The journal opens for everybody and shows nothing to most. */
static int read_kernel_journal(struct lines *lines)
{
	_cleanup_(sd_journal_closep) sd_journal *journal = NULL;
	char boot[64], text[RECORD_MAX];
	sd_id128_t id;
	bool any = false;
	int r;

	r = open_journal("_TRANSPORT=kernel", &journal);
	if (r == 0)
		r = sd_id128_get_boot(&id);
	if (r < 0)
		return r;
	snprintf(boot, sizeof(boot), "_BOOT_ID=" SD_ID128_FORMAT_STR, SD_ID128_FORMAT_VAL(id));
	r = sd_journal_add_match(journal, boot, 0);
	if (r < 0)
		return r;
	SD_JOURNAL_FOREACH(journal)
	{
		any = true;
		journal_text(journal, "MESSAGE", text, sizeof(text));
		if (kernel_log_is_ours(text))
			add_line(lines, text);
	}
	return any ? 0 : -EACCES;
}

void gather_kernel_log(struct looker *l)
{
	struct lines lines = {.l = l, .prefix = "klog", .source = "kernel log (" KMSG ")"};
	int r = read_kmsg(&lines);

	if ((r == -EACCES || r == -EPERM) && !l->sysfs->injected) {
		lines.source = "kernel log (journal)";
		r = read_kernel_journal(&lines);
	}
	if (r < 0)
		look_failed(l, "klog", lines.source, r);
	else
		notebook_seen(l->book, "klog", lines.source, "%u lines about us", lines.n);
}

void gather_journal(struct looker *l)
{
	struct lines lines = {.l = l, .prefix = "journal", .source = "journal of " DAEMON_UNIT};
	_cleanup_(sd_journal_closep) sd_journal *journal = NULL;
	char text[RECORD_MAX];
	int r, i;

	if (l->sysfs->injected)
		return;
	r = open_journal("_SYSTEMD_UNIT=" DAEMON_UNIT, &journal);
	if (r == 0)
		r = sd_journal_seek_tail(journal);
	if (r == 0)
		r = sd_journal_previous_skip(journal, JOURNAL_LINES);
	for (i = 0; r > 0 && i < JOURNAL_LINES; i++) {
		journal_text(journal, "MESSAGE", text, sizeof(text));
		add_line(&lines, text);
		r = sd_journal_next(journal);
	}
	if (r < 0)
		look_failed(l, "journal", lines.source, r);
}
