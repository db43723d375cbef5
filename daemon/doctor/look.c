/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "doctor/look.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/io.h"

#define NAMES_MAX 4096

int look_at(struct looker *l, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');

	sysfs_announce(l->sysfs, slash ? slash + 1 : path);
	if (strncmp(path, "/sys/", 5) == 0) {
		*ret_name = path + 5;
		return l->sysfs->root_fd;
	}
	*ret_name = l->sysfs->injected ? path + 1 : path;
	return l->sysfs->injected ? l->sysfs->root_fd : AT_FDCWD;
}

void look_failed(struct looker *l, const char *key, const char *source, int r)
{
	if (r == -ENOENT || r == -ENOTDIR || r == -ENODEV)
		notebook_add(l->book, key, source, NOTE_ABSENT, NULL);
	else if (r == -EACCES || r == -EPERM)
		notebook_add(l->book, key, source, NOTE_FORBIDDEN, NULL);
	else
		notebook_add(l->book, key, source, NOTE_FAILED, strerror(-r));
}

/* Notes the answer of a look; takes text. */
static void note_answer(struct looker *l, const char *key, const char *source, int r, char *text)
{
	if (r < 0)
		look_failed(l, key, source, r);
	else
		notebook_add(l->book, key, source, NOTE_SEEN, text);
	free(text);
}

int look_read(struct looker *l, const char *path, size_t max, char **ret)
{
	const char *name;
	char *text;
	int fd = look_at(l, path, &name), r;

	r = read_file_at(fd, name, max, &text, NULL);
	if (r < 0)
		return r;
	*ret = trim_end(text);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Fills names with new strings. */
static int read_names(struct looker *l, const char *path, char **names, size_t *ret_n)
{
	const char *name;
	int fd, folder = look_at(l, path, &name);
	struct dirent *entry;
	size_t n = 0;
	DIR *dir;

	fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		safe_close(fd);
		return -ENOMEM;
	}
	while (n < NAMES_MAX && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && (names[n] = strdup(entry->d_name)))
			n++;
	closedir(dir);
	qsort(names, n, sizeof(*names), compare_names);
	*ret_n = n;
	return 0;
}

int look_list(struct looker *l, const char *path, char **ret)
{
	_cleanup_free_ char **names = calloc(NAMES_MAX, sizeof(*names));
	size_t n = 0, i, size = 0;
	FILE *out;
	int r;

	*ret = NULL;
	if (!names)
		return -ENOMEM;
	r = read_names(l, path, names, &n);
	if (r < 0)
		return r;
	out = open_memstream(ret, &size);
	for (i = 0; i < n; i++) {
		if (out)
			fprintf(out, "%s%s", i ? " " : "", names[i]);
		free(names[i]);
	}
	if (!out || fclose(out) != 0)
		return -ENOMEM;
	return 0;
}

static int link_name(struct looker *l, const char *path, char **ret)
{
	char target[PATH_MAX];
	const char *name, *slash;
	int folder = look_at(l, path, &name);
	ssize_t n = readlinkat(folder, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	slash = strrchr(target, '/');
	*ret = strdup(slash ? slash + 1 : target);
	return *ret ? 0 : -ENOMEM;
}

static int count_names(struct looker *l, const char *path, char **ret)
{
	_cleanup_free_ char *list = NULL;
	unsigned n = 0;
	const char *p;
	int r = look_list(l, path, &list);

	if (r < 0)
		return r;
	for (p = list; *p; p++)
		n += *p == ' ';
	*ret = xasprintf("%u", *list ? n + 1 : 0);
	return *ret ? 0 : -ENOMEM;
}

static int mode_text(struct looker *l, const char *path, char **ret)
{
	const char *name;
	int folder = look_at(l, path, &name);
	struct stat st;

	if (fstatat(folder, name, &st, 0) < 0)
		return -errno;
	*ret = xasprintf("%04o %u %u", st.st_mode & 07777u, (unsigned)st.st_uid,
			 (unsigned)st.st_gid);
	return *ret ? 0 : -ENOMEM;
}

static int file_text(struct looker *l, const char *path, char **ret)
{
	return look_read(l, path, SYSFS_VALUE_MAX, ret);
}

typedef int (*look_fn)(struct looker *l, const char *path, char **ret);

static void look(struct looker *l, look_fn fn, const char *key, const char *format, va_list ap)
	__attribute__((format(printf, 4, 0)));

static void look(struct looker *l, look_fn fn, const char *key, const char *format, va_list ap)
{
	char *path = NULL, *text = NULL;
	int r;

	if (vasprintf(&path, format, ap) < 0) {
		l->book->incomplete = true;
		return;
	}
	r = fn(l, path, &text);
	note_answer(l, key, path, r, text);
	free(path);
}

#define LOOK(l, fn, key, format)                                                                   \
	do {                                                                                       \
		va_list _ap;                                                                       \
		va_start(_ap, format);                                                             \
		look((l), (fn), (key), (format), _ap);                                             \
		va_end(_ap);                                                                       \
	} while (0)

void look_file(struct looker *l, const char *key, const char *format, ...)
{
	LOOK(l, file_text, key, format);
}

void look_link(struct looker *l, const char *key, const char *format, ...)
{
	LOOK(l, link_name, key, format);
}

void look_names(struct looker *l, const char *key, const char *format, ...)
{
	LOOK(l, look_list, key, format);
}

void look_count(struct looker *l, const char *key, const char *format, ...)
{
	LOOK(l, count_names, key, format);
}

void look_mode(struct looker *l, const char *key, const char *format, ...)
{
	LOOK(l, mode_text, key, format);
}
