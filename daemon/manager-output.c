/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What jobs wrote: job.logs by offset, job.file for collected outputs.  Files are opened below the attempt's
 * directory, never through a link. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/base64.h"
#include "lib/escape.h"
#include "manager-state.h"

#define CHUNK_DEFAULT (64 * KIB)
#define CHUNK_MAX (256 * KIB)
#define LIST_MAX 10000

/* Text as it is when it is UTF-8, else base64.  Returns new. */
static json_t *chunk_view(const char *data, size_t size, uint64_t offset, bool eof, bool truncated)
{
	bool text = utf8_is_valid(data, size);
	_cleanup_free_ char *encoded = text ? NULL : base64_encode(data, size);

	return json_pack("{s:o,s:s,s:I,s:I,s:b,s:b}", "data",
			 text ? json_stringn(data, size) : json_string(strempty(encoded)), "encoding",
			 text ? "utf-8" : "base64", "offset", (json_int_t)offset, "next",
			 (json_int_t)(offset + size), "eof", (int)eof, "truncated", (int)truncated);
}

/* A multi-byte character that the chunk's end cuts is left for the next one. */
static size_t whole_characters(const char *data, size_t size)
{
	size_t cut = size;

	if (utf8_is_valid(data, size))
		return size;
	while (cut > 0 && size - cut < 4) {
		cut--;
		if (((unsigned char)data[cut] & 0xc0) != 0x80 && utf8_is_valid(data, cut))
			return cut > 0 ? cut : size;
	}
	return size;
}

static int read_chunk(int fd, uint64_t offset, uint64_t limit, char **ret, size_t *ret_size, bool *ret_end)
{
	uint64_t want = limit ? MIN_OF(limit, CHUNK_MAX) : CHUNK_DEFAULT;
	_cleanup_free_ char *data = malloc(want + 1);
	struct stat st;
	ssize_t n;

	if (!data)
		return -ENOMEM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ELOOP;
	n = pread(fd, data, want, (off_t)offset);
	if (n < 0)
		return -errno;
	*ret_end = offset + (uint64_t)n >= (uint64_t)st.st_size;
	*ret_size = *ret_end ? (size_t)n : whole_characters(data, (size_t)n);
	*ret = TAKE_PTR(data);
	return 0;
}

static struct job *job_of(struct manager *m, const struct caller *caller, const char *id,
			  uint64_t *attempt, struct reply *reply)
{
	struct job *job = job_for(m, caller, id, reply);

	if (!job)
		return NULL;
	if (*attempt == 0)
		*attempt = MAX_OF(job->attempt, 1U);
	if (*attempt > MAX_OF(job->attempt, 1U)) {
		reply_refuse(reply, RPC_NOT_FOUND, "attempt: job %s has had %u attempts", id, job->attempt);
		return NULL;
	}
	return job;
}

void manager_job_logs(struct manager *m, const struct caller *caller,
		      const struct job_logs_params *p, struct reply *reply)
{
	uint64_t attempt = p->attempt;
	struct job *job = job_of(m, caller, p->id, &attempt, reply);
	const char *stream = p->stream ? "stderr" : "stdout";
	_cleanup_close_ int dir = -1, fd = -1;
	_cleanup_free_ char *data = NULL;
	size_t size = 0;
	bool end = true, over, truncated;
	int r;

	if (!job)
		return;
	over = job->state == JOB_ENDED || attempt < job->attempt;
	truncated = json_get_bool(json_array_get(job->attempts, (size_t)attempt - 1),
				  p->stream ? "stderr_truncated" : "stdout_truncated", false);
	dir = job_attempt_dir(m, job, (unsigned)attempt, false);
	fd = dir < 0 ? dir : openat(dir, stream, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) { /* nothing was written yet */
		view_reply(m, reply, chunk_view("", 0, p->offset, over, truncated));
		return;
	}
	r = read_chunk(fd, p->offset, p->limit, &data, &size, &end);
	if (r < 0) {
		reply_refuse(reply, RPC_HOST_ERROR, "%s of job %s cannot be read: %s", stream, p->id,
			     strerror(-r));
		return;
	}
	view_reply(m, reply, chunk_view(data, size, p->offset, end && over, truncated));
}

static void list_files(int dirfd, const char *prefix, json_t *items, int depth)
{
	DIR *dir = fdopendir(dirfd); /* takes dirfd */
	struct dirent *entry;

	if (!dir) {
		safe_close(dirfd);
		return;
	}
	while ((entry = readdir(dir)) && json_array_size(items) < LIST_MAX) {
		_cleanup_free_ char *path = NULL;
		struct stat st;

		if (streq(entry->d_name, ".") || streq(entry->d_name, "..") ||
		    fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		path = xasprintf("%s%s%s", prefix, *prefix ? "/" : "", entry->d_name);
		if (S_ISREG(st.st_mode)) {
			json_array_append_new(items, json_pack("{s:s,s:I}", "path", path, "size",
							       (json_int_t)st.st_size));
		} else if (S_ISDIR(st.st_mode) && depth < 16) {
			int sub = openat(dirfd, entry->d_name, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_RDONLY);

			if (sub >= 0)
				list_files(sub, path, items, depth + 1);
		}
	}
	closedir(dir);
}

/* Walks the path part by part, so that no part is a link or "..".  Returns a descriptor or -errno. */
static int open_below(int dirfd, const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int at = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	char *part, *rest = copy;

	if (!copy || at < 0)
		return -ENOMEM;
	while ((part = strsep(&rest, "/"))) {
		int next;

		if (!*part || streq(part, ".") || streq(part, ".."))
			return -EINVAL;
		next = openat(at, part, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (rest ? O_DIRECTORY : O_NONBLOCK));
		if (next < 0)
			return -errno;
		safe_close(at);
		at = next;
	}
	return TAKE_FD(at);
}

void manager_job_file(struct manager *m, const struct caller *caller,
		      const struct job_file_params *p, struct reply *reply)
{
	uint64_t attempt = p->attempt;
	struct job *job = job_of(m, caller, p->id, &attempt, reply);
	_cleanup_close_ int dir = -1, files = -1, fd = -1;
	_cleanup_free_ char *data = NULL, *encoded = NULL;
	size_t size = 0;
	bool end = true;
	int r;

	if (!job)
		return;
	dir = job_attempt_dir(m, job, (unsigned)attempt, false);
	files = dir < 0 ? dir : openat(dir, "files", O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_RDONLY);
	if (!p->path || !*p->path) {
		json_t *items = json_array();

		if (files >= 0)
			list_files(TAKE_FD(files), "", items, 0);
		view_reply(m, reply, json_pack("{s:o,s:n,s:b}", "items", items, "next", "eof",
					       (int)(job->state == JOB_ENDED || attempt < job->attempt)));
		return;
	}
	fd = files < 0 ? -ENOENT : open_below(files, p->path);
	r = fd < 0 ? fd : read_chunk(fd, p->offset, p->limit, &data, &size, &end);
	if (r < 0) {
		reply_refuse(reply, r == -EINVAL ? RPC_INVALID_PARAMS : RPC_NOT_FOUND,
			     "path: job %s has no collected file \"%s\"", p->id, p->path);
		return;
	}
	encoded = base64_encode(data, size);
	view_reply(m, reply,
		   json_pack("{s:s,s:s,s:I,s:I,s:b,s:b}", "data", strempty(encoded), "encoding", "base64",
			     "offset", (json_int_t)p->offset, "next", (json_int_t)(p->offset + size), "eof",
			     (int)end, "truncated", 0));
}
