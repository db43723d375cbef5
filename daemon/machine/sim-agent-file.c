/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of a made-up guest.  A path that does not begin with the guest's root is taken as one of
 * its own files;
 * ".." is refused, so that a mistaken path cannot leave the guest.  (No fence against a hostile
 * job: that runs as the machine's own user anyway.) */
#include "machine/sim-agent-internal.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/base64.h"

#define READ_DEFAULT 4096
#define READ_MAX (48 * 1024 * 1024) /* as in qemu-ga */
#define FILES_MAX 256

static const struct {
	const char *mode;
	int flags;
} modes[] = {
	{"r", O_RDONLY},
	{"rb", O_RDONLY},
	{"w", O_WRONLY | O_CREAT | O_TRUNC},
	{"wb", O_WRONLY | O_CREAT | O_TRUNC},
	{"a", O_WRONLY | O_CREAT | O_APPEND},
	{"ab", O_WRONLY | O_CREAT | O_APPEND},
	{"r+", O_RDWR},
	{"rb+", O_RDWR},
	{"r+b", O_RDWR},
	{"w+", O_RDWR | O_CREAT | O_TRUNC},
	{"wb+", O_RDWR | O_CREAT | O_TRUNC},
	{"w+b", O_RDWR | O_CREAT | O_TRUNC},
	{"a+", O_RDWR | O_CREAT | O_APPEND},
	{"ab+", O_RDWR | O_CREAT | O_APPEND},
	{"a+b", O_RDWR | O_CREAT | O_APPEND},
};

static bool climbs(const char *path)
{
	for (const char *p = path; (p = strstr(p, "..")); p += 2)
		if ((p == path || p[-1] == '/') && (p[2] == '\0' || p[2] == '/'))
			return true;
	return false;
}

/* Where a path of the guest is on the host.  Returns new. */
static char *host_path(const struct sim_agent *a, const char *path)
{
	size_t root = strlen(a->root);

	if (strncmp(path, a->root, root) == 0 && (path[root] == '/' || path[root] == '\0'))
		return strdup(path);
	return xasprintf("%s/%s", a->root, path);
}

json_t *sim_agent_file_open(struct sim_agent *a, const json_t *arguments, char **ret_error)
{
	const char *path = sim_agent_string(arguments, "path", ret_error);
	const char *mode = json_get_string(arguments, "mode");
	_cleanup_free_ char *host = NULL;
	struct agent_file *files;
	int fd = -1, flags = -1;

	if (!path)
		return NULL;
	if (!mode)
		mode = "r";
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (streq(modes[i].mode, mode))
			flags = modes[i].flags;
	if (flags < 0)
		return sim_agent_fail(ret_error, "invalid file open mode '%.16s'", mode);
	if (a->n_files >= FILES_MAX)
		return sim_agent_fail(ret_error, "failed to open file '%s' (mode: '%s'): %s", path,
				      mode, strerror(EMFILE));
	host = host_path(a, path);
	errno = EACCES;
	if (host && !climbs(path))
		fd = open(host, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
	if (fd < 0)
		return sim_agent_fail(ret_error, "failed to open file '%s' (mode: '%s'): %s", path,
				      mode, strerror(errno));
	files = realloc(a->files, (a->n_files + 1) * sizeof(*files));
	if (!files) {
		close(fd);
		return sim_agent_fail(ret_error, "Out of memory");
	}
	a->files = files;
	files[a->n_files++] = (struct agent_file){.handle = a->next_handle, .fd = fd};
	return json_integer(a->next_handle++);
}

static struct agent_file *find_file(struct sim_agent *a, const json_t *arguments, char **ret_error)
{
	int64_t handle;

	if (sim_agent_integer(arguments, "handle", true, &handle, ret_error) < 0)
		return NULL;
	for (size_t i = 0; i < a->n_files; i++)
		if (a->files[i].handle == handle)
			return &a->files[i];
	sim_agent_fail(ret_error, "handle '%lld' has not been found", (long long)handle);
	return NULL;
}

json_t *sim_agent_file_close(struct sim_agent *a, const json_t *arguments, char **ret_error)
{
	struct agent_file *f = find_file(a, arguments, ret_error);

	if (!f)
		return NULL;
	close(f->fd);
	*f = a->files[--a->n_files];
	return json_object();
}

json_t *sim_agent_file_flush(struct sim_agent *a, const json_t *arguments, char **ret_error)
{
	return find_file(a, arguments, ret_error) ? json_object() : NULL;
}

json_t *sim_agent_file_read(struct sim_agent *a, const json_t *arguments, char **ret_error)
{
	struct agent_file *f = find_file(a, arguments, ret_error);
	_cleanup_free_ char *data = NULL, *text = NULL;
	int64_t count = READ_DEFAULT;
	ssize_t n;

	if (!f || sim_agent_integer(arguments, "count", false, &count, ret_error) < 0)
		return NULL;
	if (count < 0 || count > READ_MAX)
		return sim_agent_fail(ret_error, "value '%lld' is invalid for argument count",
				      (long long)count);
	data = malloc((size_t)count + 1);
	n = data ? read(f->fd, data, (size_t)count) : -1;
	if (n < 0)
		return sim_agent_fail(ret_error, "failed to read file: %s", strerror(errno));
	text = base64_encode(data, (size_t)n);
	return json_pack("{s:I, s:s, s:b}", "count", (json_int_t)n, "buf-b64", strempty(text),
			 "eof", n < count);
}

json_t *sim_agent_file_write(struct sim_agent *a, const json_t *arguments, char **ret_error)
{
	struct agent_file *f = find_file(a, arguments, ret_error);
	const char *text = f ? sim_agent_string(arguments, "buf-b64", ret_error) : NULL;
	_cleanup_free_ void *data = NULL;
	int64_t count;
	size_t size;
	ssize_t n;

	if (!text)
		return NULL;
	if (base64_decode(text, strlen(text), &data, &size) < 0)
		return sim_agent_fail(ret_error, "Base64 data is not valid");
	count = (int64_t)size;
	if (sim_agent_integer(arguments, "count", false, &count, ret_error) < 0)
		return NULL;
	if (count < 0 || (uint64_t)count > size)
		return sim_agent_fail(ret_error, "value '%lld' is invalid for argument count",
				      (long long)count);
	n = write(f->fd, data, (size_t)count);
	if (n < 0)
		return sim_agent_fail(ret_error, "failed to write to file: %s", strerror(errno));
	return json_pack("{s:I, s:b}", "count", (json_int_t)n, "eof", 0);
}

static int parse_whence(const json_t *whence)
{
	static const char *const names[] = {"set", "cur", "end"};

	if (json_is_integer(whence) && json_integer_value(whence) >= 0 &&
	    json_integer_value(whence) < (json_int_t)ARRAY_SIZE(names))
		return (int)json_integer_value(whence);
	for (size_t i = 0; json_is_string(whence) && i < ARRAY_SIZE(names); i++)
		if (streq(names[i], json_string_value(whence)))
			return (int)i;
	return -EINVAL;
}

json_t *sim_agent_file_seek(struct sim_agent *a, const json_t *arguments, char **ret_error)
{
	static const int whences[] = {SEEK_SET, SEEK_CUR, SEEK_END};
	struct agent_file *f = find_file(a, arguments, ret_error);
	int64_t offset;
	off_t position;
	int whence;

	if (!f || sim_agent_integer(arguments, "offset", true, &offset, ret_error) < 0)
		return NULL;
	whence = parse_whence(json_object_get(arguments, "whence"));
	if (whence < 0)
		return sim_agent_fail(ret_error, "Parameter 'whence' is invalid");
	position = lseek(f->fd, offset, whences[whence]);
	if (position < 0)
		return sim_agent_fail(ret_error, "failed to seek file: %s", strerror(errno));
	return json_pack("{s:I, s:b}", "position", (json_int_t)position, "eof", 0);
}
