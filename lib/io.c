/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small files, whole: attributes of sysfs, configuration, state beside the database. */
#include "lib/io.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#define READ_FIRST ((size_t)4096) /* an attribute of sysfs is never larger than a page */

/* Reads to the end, but stops one byte past max: the file's size is not known (sysfs says 4096). */
static int read_to_end(int fd, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_free_ char *data = NULL;
	size_t size = 0, allocated = 0;

	for (;;) {
		ssize_t n;

		if (size + 1 >= allocated) {
			char *grown;

			allocated = allocated == 0 ? READ_FIRST : allocated * 2;
			grown = realloc(data, allocated);
			if (!grown)
				return -ENOMEM;
			data = grown;
		}

		n = read(fd, data + size, allocated - size - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > max)
			return -EFBIG;
	}

	data[size] = '\0';
	*ret = TAKE_PTR(data);
	if (ret_size)
		*ret_size = size;
	return 0;
}

int read_file_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_close_ int fd = -1;

	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;

	return read_to_end(fd, max, ret, ret_size);
}

int write_file_at(int dirfd, const char *path, const char *text)
{
	_cleanup_close_ int fd = -1;
	size_t size = strlen(text);
	ssize_t n;

	/* O_TRUNC means nothing to sysfs, but an ordinary file must not keep its longer past. */
	fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_TRUNC);
	if (fd < 0)
		return -errno;

	/* Once only: an attribute acts on each write, so an interrupted one is the caller's affair. */
	n = write(fd, text, size);
	if (n < 0)
		return -errno;

	return (size_t)n == size ? 0 : -EIO;
}

int write_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size > 0) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

/* A name in the same folder, so that rename() stays within one file system. */
static char *temporary_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash - path) + 1 : 0;
	uint64_t nonce = 0;

	if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		return NULL;

	return xasprintf("%.*s.%s.%016llx", folder, path, path + folder, (unsigned long long)nonce);
}

static int sync_folder(int dirfd, const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *folder = NULL;
	_cleanup_close_ int fd = -1;

	if (!slash)
		folder = strdup(".");
	else
		folder = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (!folder)
		return -ENOMEM;

	fd = openat(dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;

	return 0;
}

static int write_temporary(int fd, const void *data, size_t size, unsigned mode)
{
	int r;

	if (fchmod(fd, mode) < 0)
		return -errno;

	r = write_all(fd, data, size);
	if (r < 0)
		return r;

	return fsync(fd) < 0 ? -errno : 0;
}

int write_file_atomic_at(int dirfd, const char *path, const void *data, size_t size, unsigned mode)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		mode = st.st_mode & 07777;

	temporary = temporary_name(path);
	if (!temporary)
		return -ENOMEM;

	fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;

	r = write_temporary(fd, data, size, mode);
	if (r == 0 && renameat(dirfd, temporary, dirfd, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dirfd, temporary, 0); /* the first failure is the one to tell */
		return r;
	}

	return sync_folder(dirfd, path);
}

char *trim_end(char *s)
{
	size_t n = strlen(s);

	while (n > 0 && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
	return s;
}
