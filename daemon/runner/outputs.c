/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unpacks "file SIZE x|- NAME\n" BYTES "\n" … "end\n" as it comes. */
#include "runner/outputs.h"

#include <ctype.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include "lib/escape.h"
#include "lib/io.h"

#define NAME_BYTES_MAX 1024
#define DEPTH_MAX 32
#define FILES_MAX 10000
#define LINE_MAX_BYTES (NAME_BYTES_MAX + 64)

enum state { STATE_LINE, STATE_BYTES, STATE_NEWLINE, STATE_END };

struct outputs {
	int directory; /* "files" */
	json_t *globs;
	uint64_t left; /* bytes that may still be stored */
	size_t count;
	bool left_out;

	enum state state;
	char line[LINE_MAX_BYTES];
	size_t line_size;
	uint64_t size; /* bytes of the present file that are still to come */
	int fd;        /* where they go; -1 = nowhere */
};

/* ---- Names --------------------------------------------------------------------------------- */

bool outputs_name_is_valid(const char *name)
{
	size_t length = strlen(name), depth = 0;

	if (length == 0 || length > NAME_BYTES_MAX || !utf8_is_valid(name, length))
		return false;
	for (const char *c = name; *c; c++)
		if (iscntrl((unsigned char)*c))
			return false;
	for (const char *part = name; part; depth++) {
		size_t n = strcspn(part, "/");

		if (n == 0 || n > 255 || (n == 1 && part[0] == '.') ||
		    (n == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part = part[n] == '/' ? part + n + 1 : NULL;
	}
	return depth <= DEPTH_MAX;
}

/* Splits a copy in place; -1 when there are too many parts. */
static int split(char *s, char *parts[DEPTH_MAX])
{
	int n = 0;

	for (char *part = strtok_r(s, "/", &s); part; part = strtok_r(NULL, "/", &s)) {
		if (n == DEPTH_MAX)
			return -1;
		parts[n++] = part;
	}
	return n;
}

bool outputs_glob_match(const char *glob, const char *name)
{
	_cleanup_free_ char *glob_copy = strdup(glob), *name_copy = strdup(name);
	char *globs[DEPTH_MAX], *names[DEPTH_MAX];
	/* matches[j]: the globs so far match the first j names */
	bool matches[DEPTH_MAX + 1] = { true };
	int n_globs, n_names;

	n_globs = glob_copy ? split(glob_copy, globs) : -1;
	n_names = name_copy ? split(name_copy, names) : -1;
	if (n_globs < 0 || n_names < 0)
		return false;

	for (int i = 0; i < n_globs; i++) {
		bool next[DEPTH_MAX + 1] = { false };
		bool any = false;

		for (int j = 0; j <= n_names; j++) {
			any |= matches[j];
			if (streq(globs[i], "**"))
				next[j] = any;
			else if (j > 0)
				next[j] = matches[j - 1] && fnmatch(globs[i], names[j - 1], 0) == 0;
		}
		memcpy(matches, next, sizeof(matches));
	}
	return matches[n_names];
}

char *outputs_glob_loosen(const char *glob)
{
	char *loose = malloc(strlen(glob) + 1), *to = loose;

	if (!loose)
		return NULL;
	if (strncmp(glob, "./", 2) == 0)
		glob += 2;
	while (*glob) {
		if (strncmp(glob, "**", 2) == 0) {
			*to++ = '*';
			glob += glob[2] == '/' ? 3 : 2;
		} else {
			*to++ = *glob++;
		}
	}
	*to = '\0';
	return loose;
}

static bool is_wanted(const struct outputs *o, const char *name)
{
	const json_t *glob;
	size_t i;

	json_array_foreach(o->globs, i, glob)
	{
		const char *text = strempty(json_string_value(glob));

		if (outputs_glob_match(strncmp(text, "./", 2) == 0 ? text + 2 : text, name))
			return true;
	}
	return false;
}

/* ---- Files --------------------------------------------------------------------------------- */

/* Opens the directory that name lies in, making what is missing.  Returns a descriptor, or a
 * negative errno. */
static int open_parent(const struct outputs *o, char *name, const char **ret_base)
{
	int directory = dup(o->directory), next;

	if (directory < 0)
		return -errno;
	for (char *slash; (slash = strchr(name, '/')); name = slash + 1) {
		*slash = '\0';
		if (mkdirat(directory, name, 0750) < 0 && errno != EEXIST) {
			safe_close(directory);
			return -errno;
		}
		next = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		safe_close(directory);
		if (next < 0)
			return -errno;
		directory = next;
	}
	*ret_base = name;
	return directory;
}

/* Returns a descriptor, or a negative errno. */
static int create(const struct outputs *o, const char *name, bool executable)
{
	_cleanup_free_ char *copy = strdup(name);
	_cleanup_close_ int directory = -1;
	const char *base = NULL;
	int fd;

	directory = copy ? open_parent(o, copy, &base) : -ENOMEM;
	if (directory < 0)
		return directory;
	/* what an earlier, broken-off fetch left */
	if (unlinkat(directory, base, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(directory, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    executable ? 0750 : 0640);
	return fd < 0 ? -errno : fd;
}

/* A name that stands in its own way (a file where a folder should be) is the job's mistake, not the
 * host's. */
static bool is_names_fault(int r)
{
	return r == -ENOTDIR || r == -EISDIR || r == -ELOOP || r == -EEXIST || r == -ENAMETOOLONG;
}

static int begin_file(struct outputs *o, const char *name, bool executable)
{
	int fd;

	o->fd = -1;
	if (!outputs_name_is_valid(name) || o->count >= FILES_MAX || o->size > o->left) {
		o->left_out = true;
		return 0;
	}
	if (!is_wanted(o, name))
		return 0; /* the launcher's globs are looser */
	fd = create(o, name, executable);
	if (is_names_fault(fd)) {
		o->left_out = true;
		return 0;
	}
	if (fd < 0)
		return fd;
	o->fd = fd;
	o->left -= o->size;
	o->count++;
	return 0;
}

/* "file 12 - adapter/a" */
static int take_line(struct outputs *o)
{
	unsigned long long size;
	char bit, *end;
	int at = 0;

	if (streq(o->line, "end")) {
		o->state = STATE_END;
		return 0;
	}
	if (strncmp(o->line, "file ", 5) != 0 || !isdigit((unsigned char)o->line[5]))
		return -EBADMSG;
	errno = 0;
	size = strtoull(o->line + 5, &end, 10);
	if (errno != 0 || size > INT64_MAX || end[0] != ' ' || (end[1] != 'x' && end[1] != '-') ||
	    end[2] != ' ')
		return -EBADMSG;
	bit = end[1];
	at = 3;
	o->size = size;
	o->state = STATE_BYTES;
	return begin_file(o, end + at, bit == 'x');
}

static int feed_line(struct outputs *o, const char **data, size_t *size)
{
	char c = **data;

	++*data;
	--*size;
	if (c == '\n') {
		o->line[o->line_size] = '\0';
		o->line_size = 0;
		return take_line(o);
	}
	if (c == '\0' || o->line_size >= sizeof(o->line) - 1)
		return -EBADMSG;
	o->line[o->line_size++] = c;
	return 0;
}

static int feed_bytes(struct outputs *o, const char **data, size_t *size)
{
	size_t n = (size_t)MIN_OF((uint64_t)*size, o->size);
	int r = 0;

	if (o->fd >= 0)
		r = write_all(o->fd, *data, n);
	*data += n;
	*size -= n;
	o->size -= n;
	if (o->size == 0) {
		o->fd = safe_close(o->fd);
		o->state = STATE_NEWLINE;
	}
	return r;
}

int outputs_feed(struct outputs *o, const void *data, size_t size)
{
	const char *p = data;
	int r = 0;

	while (size > 0 && r >= 0) {
		switch (o->state) {
		case STATE_LINE:
			r = feed_line(o, &p, &size);
			break;
		case STATE_BYTES:
			r = feed_bytes(o, &p, &size);
			break;
		case STATE_NEWLINE:
			r = *p == '\n' ? 0 : -EBADMSG;
			p++;
			size--;
			o->state = STATE_LINE;
			break;
		case STATE_END:
			return -EBADMSG;
		}
		/* an empty file has no bytes to wait for */
		if (r >= 0 && o->state == STATE_BYTES && o->size == 0) {
			o->fd = safe_close(o->fd);
			o->state = STATE_NEWLINE;
		}
	}
	return r;
}

size_t outputs_count(const struct outputs *o)
{
	return o->count;
}

bool outputs_complete(const struct outputs *o)
{
	return o->state == STATE_END && !o->left_out;
}

int outputs_new(int directory, const json_t *globs, uint64_t max, struct outputs **ret)
{
	_cleanup_(outputs_freep) struct outputs *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->directory = o->fd = -1;
	o->left = max;
	o->globs = json_deep_copy(globs);
	if (!o->globs)
		return -ENOMEM;
	if (mkdirat(directory, "files", 0750) < 0 && errno != EEXIST)
		return -errno;
	o->directory = openat(directory, "files", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (o->directory < 0)
		return -errno;
	*ret = TAKE_PTR(o);
	return 0;
}

struct outputs *outputs_free(struct outputs *o)
{
	if (!o)
		return NULL;
	safe_close(o->fd);
	safe_close(o->directory);
	json_decref(o->globs);
	free(o);
	return NULL;
}
