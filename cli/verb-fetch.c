/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf fetch: the collected files of a job, written below a folder.  Their paths come from the
 * guest, so none may leave that folder: no "..", nothing absolute, no symbolic links on the way. */
#include <fcntl.h>
#include <sys/stat.h>

#include "cli/verbs.h"
#include "lib/base64.h"
#include "lib/io.h"

#define CHUNK_BYTES 262144
#define PARTS_MAX 64

static const struct option fetch_options[] = {
	{ "--force", OPTION_FLAG, NULL, "replace files that are there already" },
	{ "--attempt", OPTION_UINT, "N", "of this attempt, from 1 (else the last)" },
	{ NULL },
};

struct fetch {
	struct cli *cli;
	const char *id;
	const char *folder;
	uint64_t attempt;
	bool force;
};

static bool path_is_safe(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	char *rest = copy, *part;
	unsigned parts = 0;

	if (!copy || !*path)
		return false;
	while ((part = strsep(&rest, "/")))
		if (!*part || streq(part, ".") || streq(part, "..") || ++parts > PARTS_MAX)
			return false;
	return true;
}

/* Opens the folder of a path below dirfd, making what is missing, and gives the file's own name. */
static int open_parent(int dirfd, char *path, bool create, const char **ret_name)
{
	_cleanup_close_ int at = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	char *rest = path, *part = strsep(&rest, "/");

	for (; at >= 0 && rest; part = strsep(&rest, "/")) {
		int next;

		if (create && mkdirat(at, part, 0777) < 0 && errno != EEXIST)
			return -errno;
		next = openat(at, part, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
		if (next < 0)
			return -errno;
		safe_close(at);
		at = next;
	}
	if (at < 0)
		return -errno;
	*ret_name = part;
	return TAKE_FD(at);
}

static bool is_there(int dirfd, const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int parent = -1;
	const char *name = NULL;
	struct stat st;

	parent = copy ? open_parent(dirfd, copy, false, &name) : -1;
	return parent >= 0 && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Everything is looked at before anything is written. */
static int check_files(struct fetch *f, int dirfd, const json_t *items)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)items, i, item) {
		const char *path = strempty(json_get_string(item, "path"));

		if (!path_is_safe(path))
			return cli_refuse(f->cli, RPC_CONFLICT, "nothing was written",
					  "the path \"%s\" would leave the folder", path);
		if (dirfd >= 0 && !f->force && is_there(dirfd, path))
			return cli_refuse(f->cli, RPC_CONFLICT,
					  "--force replaces it; nothing was written",
					  "%s/%s is there already", f->folder, path);
	}
	return 0;
}

static int write_chunk(struct fetch *f, int fd, const json_t *chunk, const char *path)
{
	const json_t *data = json_object_get(chunk, "data");
	_cleanup_free_ void *bytes = NULL;
	size_t size = 0;
	int r;

	if (base64_decode(strempty(json_string_value(data)), json_string_length(data), &bytes,
			  &size) < 0)
		return cli_refuse(f->cli, RPC_INTERNAL_ERROR, NULL,
				  "the daemon sent broken base64");
	r = write_all(fd, bytes, size);
	if (r < 0)
		return cli_refuse(f->cli, RPC_HOST_ERROR, NULL, "%s/%s: %s", f->folder, path,
				  strerror(-r));
	return 0;
}

static int copy_file(struct fetch *f, int fd, const char *path)
{
	uint64_t next = 0, offset;
	bool eof;
	int r;

	do {
		_cleanup_json_ json_t *chunk = NULL;
		json_t *params = json_pack("{s:s,s:s,s:I,s:I}", "id", f->id, "path", path, "offset",
					   (json_int_t)next, "limit", (json_int_t)CHUNK_BYTES);

		offset = next;
		if (f->attempt)
			json_put_uint(params, "attempt", f->attempt);
		r = cli_call(f->cli, "job.file", params, &chunk);
		if (r == 0)
			r = write_chunk(f, fd, chunk, path);
		if (r)
			return r;
		next = json_get_uint(chunk, "next", offset);
		eof = json_get_bool(chunk, "eof", false);
	} while (!eof && next > offset);
	return eof ? 0
		   : cli_refuse(f->cli, RPC_INTERNAL_ERROR, NULL, "%s ended in the middle", path);
}

static int fetch_file(struct fetch *f, int dirfd, const char *path)
{
	int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
		    (f->force ? O_TRUNC : O_EXCL);
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int parent = -1, fd = -1;
	const char *name = NULL;
	int r;

	parent = copy ? open_parent(dirfd, copy, true, &name) : -ENOMEM;
	fd = parent < 0 ? parent : openat(parent, name, flags, 0666);
	if (fd < 0)
		return cli_refuse(f->cli, RPC_HOST_ERROR, NULL, "%s/%s: %s", f->folder, path,
				  strerror(parent < 0 ? -parent : errno));
	r = copy_file(f, fd, path);
	if (r)
		(void)unlinkat(parent, name, 0); /* half a file is no file */
	return r;
}

static int fetch_all(struct fetch *f, const json_t *items)
{
	_cleanup_close_ int dirfd = -1;
	json_t *item;
	size_t i;
	int r;

	r = check_files(f, -1, items);
	if (r)
		return r;
	if (mkdir(f->folder, 0777) < 0 && errno != EEXIST)
		return cli_refuse(f->cli, RPC_HOST_ERROR, NULL, "%s: %s", f->folder,
				  strerror(errno));
	dirfd = open(f->folder, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (dirfd < 0)
		return cli_refuse(f->cli, RPC_HOST_ERROR, NULL, "%s: %s", f->folder,
				  strerror(errno));
	r = check_files(f, dirfd, items);
	json_array_foreach((json_t *)items, i, item) {
		const char *path = json_get_string(item, "path");

		if (r == 0)
			r = fetch_file(f, dirfd, path);
		if (r == 0 && !cli_wants_json(f->cli))
			cli_say(f->cli, "%s/%s", f->folder, path);
	}
	return r;
}

static int fetch_run(struct cli *cli)
{
	struct fetch f = { .cli = cli, .id = arguments_word(&cli->args, 0), .folder = "." };
	_cleanup_json_ json_t *list = NULL;
	json_t *params;
	int r;

	f.force = arguments_flag(&cli->args, "--force");
	if (cli->args.n_words > 1)
		f.folder = cli->args.words[1];
	if (!is_job_id(f.id))
		return cli_usage(cli, "\"%s\" is not a job's id (gpuvf jobs --all)", f.id);
	if (arguments_number(&cli->args, "--attempt", &f.attempt) && f.attempt == 0)
		return cli_usage(cli, "--attempt 0: wrong value (attempts count from 1)");

	params = json_pack("{s:s}", "id", f.id);
	if (f.attempt)
		json_put_uint(params, "attempt", f.attempt);
	r = cli_call(cli, "job.file", params, &list);
	if (r)
		return r;
	if (json_array_size(json_object_get(list, "items")) == 0)
		return cli_refuse(cli, RPC_NOT_FOUND, "its document must name them in \"outputs\"",
				  "job %s has no collected files", f.id);
	r = fetch_all(&f, json_object_get(list, "items"));
	return r == 0 && cli_wants_json(cli) ? cli_print_json(cli, list) : r;
}

const struct verb verb_fetch = {
	.name = "fetch",
	.usage = "ID [DIR] [options]",
	.summary = "write the collected files of a job below a folder",
	.min_words = 1,
	.max_words = 2,
	.options = fetch_options,
	.run = fetch_run,
};
