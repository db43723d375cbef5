/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading and writing of sysfs below a root that tests may choose. */
#include "host/sysfs.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "lib/io.h"

#define COMM_LENGTH 15

/* Attributes whose names do not fit into comm, and those that may take long. */
static const char *const long_names[] = {
	"auto_provisioning",  "contexts_max_quota",        "doorbells_max_quota",
	"preempt_timeout_us", "restore_auto_provisioning", "sriov_drivers_autoprobe",
};

int sysfs_open(const char *root, struct sysfs *ret)
{
	_cleanup_free_ char *root_copy = NULL, *dev_root = NULL, *modules_root = NULL;
	bool injected = root && !streq(root, "/sys");
	int fd;

	root_copy = strdup(injected ? root : "/sys");
	dev_root = injected ? xasprintf("%s/dev", root) : strdup("/dev");
	modules_root = xasprintf("%s/lib/modules", injected ? root : "");
	if (!root_copy || !dev_root || !modules_root)
		return -ENOMEM;

	fd = open(root_copy, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	*ret = (struct sysfs){
		.root_fd = fd,
		.held_fd = -1,
		.root = TAKE_PTR(root_copy),
		.dev_root = TAKE_PTR(dev_root),
		.modules_root = TAKE_PTR(modules_root),
		.injected = injected,
	};
	return 0;
}

void sysfs_done(struct sysfs *s)
{
	sysfs_hold(s, NULL);
	s->root_fd = safe_close(s->root_fd);
	free(s->root);
	free(s->dev_root);
	free(s->modules_root);
	free(s->config.serial);
	free(s->aliases.lines);
	*s = (struct sysfs){.root_fd = -1, .held_fd = -1};
}

void sysfs_hold(struct sysfs *s, const char *device)
{
	char path[PATH_MAX];

	s->held_fd = safe_close(s->held_fd);
	s->held[0] = '\0';
	if (!device)
		return;

	snprintf(path, sizeof(path), SYSFS_PCI, device);
	s->held_fd = openat(s->root_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->held_fd >= 0)
		snprintf(s->held, sizeof(s->held), "%s", device);
}

/* Where the path begins, and what of it is left from there. */
static int begin_at(struct sysfs *s, const char **path)
{
	size_t folder = strlen(SYSFS_PCI_FOLDER), length = strlen(s->held);

	if (s->held_fd < 0 || strncmp(*path, SYSFS_PCI_FOLDER, folder) != 0 ||
	    strncmp(*path + folder, s->held, length) != 0 || (*path)[folder + length] != '/')
		return s->root_fd;

	*path += folder + length + 1;
	return s->held_fd;
}

void sysfs_announce(struct sysfs *s, const char *name)
{
	snprintf(s->at, sizeof(s->at), "%s", name);
	(void)prctl(PR_SET_NAME, s->at); /* only a hint for whoever watches */
}

const char *sysfs_attribute_from_comm(const char *comm)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(long_names); i++)
		if (strlen(comm) == COMM_LENGTH && strncmp(comm, long_names[i], COMM_LENGTH) == 0)
			return long_names[i];
	return comm;
}

/* Builds the path and notes its last part; announces it where a driver is about to be asked.  Links
 * and modes are the kernel's own and wait for no driver. */
static int make_path(struct sysfs *s, bool asks, char *buf, const char *format, va_list ap)
{
	const char *name;
	int n;

	n = vsnprintf(buf, PATH_MAX, format, ap);
	if (n < 0 || n >= PATH_MAX)
		return -ENAMETOOLONG;

	name = strrchr(buf, '/');
	name = name ? name + 1 : buf;
	if (asks)
		sysfs_announce(s, name);
	else
		snprintf(s->at, sizeof(s->at), "%s", name);
	return 0;
}

#define MAKE_PATH(s, asks, buf, format)                                                            \
	({                                                                                         \
		va_list _ap;                                                                       \
		int _r;                                                                            \
		va_start(_ap, format);                                                             \
		_r = make_path((s), (asks), (buf), (format), _ap);                                 \
		va_end(_ap);                                                                       \
		_r;                                                                                \
	})

int sysfs_read(struct sysfs *s, char **ret, const char *format, ...)
{
	char path[PATH_MAX];
	char *text;
	int r;

	r = MAKE_PATH(s, true, path, format);
	if (r < 0)
		return r;
	r = read_file_at(s->root_fd, path, SYSFS_VALUE_MAX, &text, NULL);
	if (r < 0)
		return r;

	*ret = trim_end(text);
	return 0;
}

/* Base 0: sysfs writes some numbers with 0x and most without. */
static int parse_uint(const char *text, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	if (*text < '0' || *text > '9')
		return -EBADMSG;
	errno = 0;
	value = strtoull(text, &end, text[0] == '0' && text[1] == 'x' ? 16 : 10);
	if (errno != 0 || *end)
		return -EBADMSG;

	*ret = value;
	return 0;
}

/* A value of one line with one read(): a driver gives it whole. */
static int read_line(struct sysfs *s, const char *path, char *buf, size_t size)
{
	int from = begin_at(s, &path);
	_cleanup_close_ int fd = openat(from, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, buf, size);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n == size)
		return -EBADMSG;

	buf[n] = '\0';
	trim_end(buf);
	return 0;
}

int sysfs_read_line(struct sysfs *s, char *buf, size_t size, const char *format, ...)
{
	char path[PATH_MAX];
	int r;

	r = MAKE_PATH(s, true, path, format);

	return r < 0 ? r : read_line(s, path, buf, size);
}

int sysfs_read_uint(struct sysfs *s, uint64_t *ret, const char *format, ...)
{
	char path[PATH_MAX], text[64];
	int r;

	r = MAKE_PATH(s, true, path, format);
	if (r == 0)
		r = read_line(s, path, text, sizeof(text));

	return r < 0 ? r : parse_uint(text, ret);
}

int sysfs_write(struct sysfs *s, const char *text, const char *format, ...)
{
	char path[PATH_MAX];
	int r;

	r = MAKE_PATH(s, true, path, format);
	if (r < 0)
		return r;

	return write_file_at(s->root_fd, path, text);
}

int sysfs_write_uint(struct sysfs *s, uint64_t value, const char *format, ...)
{
	char path[PATH_MAX];
	char text[24];
	int r;

	r = MAKE_PATH(s, true, path, format);
	if (r < 0)
		return r;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return write_file_at(s->root_fd, path, text);
}

int sysfs_link_name(struct sysfs *s, char **ret, const char *format, ...)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *slash, *rest = path;
	char *name;
	ssize_t n;
	int from, r;

	r = MAKE_PATH(s, false, path, format);
	if (r < 0)
		return r;
	from = begin_at(s, &rest);
	n = readlinkat(from, rest, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;

	target[n] = '\0';
	slash = strrchr(target, '/');
	name = strdup(slash ? slash + 1 : target);
	if (!name)
		return -ENOMEM;
	*ret = name;
	return 0;
}

bool sysfs_exists(struct sysfs *s, const char *format, ...)
{
	char path[PATH_MAX];
	struct stat st;

	return MAKE_PATH(s, false, path, format) == 0 && fstatat(s->root_fd, path, &st, 0) == 0;
}

bool sysfs_is_writable(struct sysfs *s, const char *format, ...)
{
	char path[PATH_MAX];
	struct stat st;

	return MAKE_PATH(s, false, path, format) == 0 && fstatat(s->root_fd, path, &st, 0) == 0 &&
	       (st.st_mode & 0222) != 0;
}

int sysfs_try_write(struct sysfs *s, const char *format, ...)
{
	char path[PATH_MAX];
	int fd, r;

	r = MAKE_PATH(s, true, path, format);
	if (r < 0)
		return r;
	fd = openat(s->root_fd, path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	safe_close(fd);
	return 0;
}

DIR *sysfs_opendir(struct sysfs *s, const char *format, ...)
{
	char path[PATH_MAX];
	DIR *dir;
	int fd, r;

	r = MAKE_PATH(s, true, path, format);
	if (r < 0) {
		errno = -r;
		return NULL;
	}
	fd = openat(s->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return NULL;

	dir = fdopendir(fd);
	if (!dir)
		safe_close(fd);
	return dir;
}
