/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the files of a job, {from, to}, into {from, to, mode, content}. */
#include "cli/job-files.h"

#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>

#include "cli/job-options.h"
#include "lib/base64.h"
#include "lib/io.h"

int job_file_from_option(struct cli *cli, json_t *files, const char *text)
{
	const char *colon = strchr(text, ':');
	_cleanup_free_ char *from = colon ? strndup(text, (size_t)(colon - text)) : strdup(text);
	_cleanup_free_ char *copy = from ? strdup(from) : NULL;
	json_t *file;

	if (!copy)
		return cli_out_of_memory(cli);
	if (!*from || (colon && !colon[1]))
		return cli_usage(cli, "--file %s: write SOURCE or SOURCE:TARGET", text);
	file = json_pack("{s:s,s:s}", "from", from, "to", colon ? colon + 1 : basename(copy));
	if (!file || json_array_append_new(files, file) < 0)
		return cli_usage(cli, "--file %s: not valid UTF-8", text);
	return 0;
}

int job_file_from_text(struct cli *cli, json_t *files, const char *from, const char *to,
		       const char *text, size_t size)
{
	_cleanup_free_ char *content = base64_encode(text, size);

	if (!files || !content ||
	    json_array_append_new(files, json_pack("{s:s,s:s,s:s,s:s}", "from", from, "to", to,
						   "mode", "0755", "content", content)) < 0)
		return cli_out_of_memory(cli);
	return 0;
}

int job_files_anchor(struct cli *cli, json_t *document, const char *path)
{
	const json_t *files = json_object_get(document, "files");
	_cleanup_free_ char *copy = strdup(path);
	const char *folder = copy ? dirname(copy) : ".";
	json_t *file;
	size_t i;

	if (streq(path, "-") || streq(folder, "."))
		return 0;
	json_array_foreach((json_t *)files, i, file) {
		const char *from = json_get_string(file, "from");
		_cleanup_free_ char *whole = NULL;

		if (!from || from[0] == '/' || json_object_get(file, "content"))
			continue;
		whole = xasprintf("%s/%s", folder, from);
		if (!whole || json_put_string(file, "from", whole) < 0)
			return cli_out_of_memory(cli);
	}
	return 0;
}

/* Not through a FIFO, which would wait; the size is known before the reading. */
static int read_regular(const char *path, size_t max, char **ret, size_t *ret_size,
			unsigned *ret_mode)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_free_ char *self = NULL;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret_mode = st.st_mode & 0777;
	self = xasprintf("/proc/self/fd/%d", fd);
	return self ? read_file_at(AT_FDCWD, self, max, ret, ret_size) : -ENOMEM;
}

static int fail_to_read(struct cli *cli, size_t i, const char *from, int r)
{
	if (r == -EFBIG)
		return cli_refuse(cli, RPC_LIMIT, "keep large data in the VM",
				  "/files/%zu: %s: a job brings at most %zu MiB", i, from,
				  JOB_FILES_MAX >> 20);
	if (r == -EISDIR)
		return cli_refuse(cli, RPC_INVALID_DOCUMENT,
				  "name its files one by one, or pack them",
				  "/files/%zu: %s is a folder", i, from);
	if (r == -EINVAL)
		return cli_refuse(cli, RPC_INVALID_DOCUMENT, NULL,
				  "/files/%zu: %s is not a regular file", i, from);
	return cli_refuse(cli, r == -ENOENT ? RPC_NOT_FOUND : RPC_HOST_ERROR, NULL,
			  "/files/%zu: %s: %s", i, from, strerror(-r));
}

static int read_one(struct cli *cli, json_t *file, size_t i, size_t *left)
{
	const char *from = json_get_string(file, "from");
	_cleanup_free_ char *data = NULL, *content = NULL, *copy = NULL;
	unsigned mode = 0;
	size_t size = 0;
	char text[8];
	int r;

	if (!from || !*from)
		return cli_refuse(cli, RPC_INVALID_DOCUMENT,
				  "{\"from\": \"train.py\", \"to\": \"train.py\"}",
				  "/files/%zu has no \"from\"", i);
	r = read_regular(from, *left, &data, &size, &mode);
	if (r < 0)
		return fail_to_read(cli, i, from, r);
	*left -= size;

	content = base64_encode(data, size);
	copy = strdup(from);
	if (!content || !copy || json_put_string(file, "content", content) < 0)
		return cli_out_of_memory(cli);
	snprintf(text, sizeof(text), "0%03o", mode);
	if (!json_object_get(file, "mode"))
		json_put_string(file, "mode", text);
	if (!json_object_get(file, "to"))
		json_put_string(file, "to", basename(copy));
	return 0;
}

int job_files_read(struct cli *cli, json_t *document)
{
	const json_t *files = json_object_get(document, "files");
	size_t left = JOB_FILES_MAX, i;
	json_t *file;
	int r;

	json_array_foreach((json_t *)files, i, file) {
		/* What is not an object is the daemon's to refuse, with the whole of its rules. */
		if (!json_is_object(file) || json_object_get(file, "content") ||
		    json_object_get(file, "upload"))
			continue;
		r = read_one(cli, file, i, &left);
		if (r)
			return r;
	}
	return 0;
}
