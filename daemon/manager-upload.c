/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job.upload: files of a job that do not fit one message, chunk by chunk, before job.submit names them.
 * Uploads belong to their user, are forgotten after an hour, and do not survive the daemon. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base64.h"
#include "lib/io.h"
#include "manager-state.h"

#define UPLOADS_PER_UID 256		   /* as many as one job may bring files */
#define BYTES_PER_UID (4 * JOB_FILES_MAX) /* of all open uploads of one user */
#define KEPT_USEC (3600 * USEC_PER_SEC)
#define CHUNK_MAX (512 * KIB)

struct upload {
	char id[24];
	uid_t uid;
	uint64_t size;
	uint64_t touched; /* boot clock */
	UT_hash_handle hh;
};

struct uploads {
	int dirfd;
	uint64_t next;
	struct upload *all;
};

static void forget(struct uploads *u, struct upload *upload, bool unlink_it)
{
	if (unlink_it)
		(void)unlinkat(u->dirfd, upload->id, 0);
	HASH_DEL(u->all, upload);
	free(upload);
}

static void empty(int dirfd)
{
	int copy = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!dir) {
		safe_close(copy);
		return;
	}
	while ((entry = readdir(dir)))
		(void)unlinkat(dirfd, entry->d_name, 0);
	closedir(dir);
}

int uploads_new(struct manager *m)
{
	_cleanup_free_ char *path = xasprintf("%s/uploads", m->state_dir);
	struct uploads *u = calloc(1, sizeof(*u));

	m->uploads = u;
	if (!u || !path)
		return -ENOMEM;
	u->dirfd = -1;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	u->dirfd = open(path, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_RDONLY);
	if (u->dirfd < 0)
		return -errno;
	empty(u->dirfd);
	return 0;
}

void uploads_free(struct manager *m)
{
	struct upload *upload, *tmp;

	if (!m->uploads)
		return;
	HASH_ITER(hh, m->uploads->all, upload, tmp)
		forget(m->uploads, upload, true);
	safe_close(m->uploads->dirfd);
	free(m->uploads);
	m->uploads = NULL;
}

static struct upload *find(struct manager *m, const char *id, uid_t uid)
{
	struct upload *upload = NULL;

	HASH_FIND_STR(m->uploads->all, id, upload);
	return upload && upload->uid == uid ? upload : NULL;
}

int upload_size(struct manager *m, const char *id, uid_t uid, uint64_t *ret)
{
	struct upload *upload = find(m, id, uid);

	if (!upload)
		return -ENOENT;
	*ret = upload->size;
	return 0;
}

int upload_move(struct manager *m, const char *id, uid_t uid, int dirfd, const char *name)
{
	struct upload *upload = find(m, id, uid);

	if (!upload)
		return -ENOENT;
	if (renameat(m->uploads->dirfd, upload->id, dirfd, name) < 0)
		return -errno;
	forget(m->uploads, upload, false);
	return 0;
}

/* Old ones leave when somebody uploads: nothing else makes them grow. */
static void totals(struct manager *m, uid_t uid, unsigned *ret_count, uint64_t *ret_bytes)
{
	uint64_t now = now_boottime();
	struct upload *upload, *tmp;

	*ret_count = 0;
	*ret_bytes = 0;
	HASH_ITER(hh, m->uploads->all, upload, tmp) {
		if (now - upload->touched > KEPT_USEC) {
			forget(m->uploads, upload, true);
			continue;
		}
		if (upload->uid != uid)
			continue;
		(*ret_count)++;
		*ret_bytes += upload->size;
	}
}

static struct upload *begin(struct manager *m, uid_t uid)
{
	struct upload *upload = calloc(1, sizeof(*upload));
	int fd;

	if (!upload)
		return NULL;
	snprintf(upload->id, sizeof(upload->id), "u%llu", (unsigned long long)m->uploads->next++);
	upload->uid = uid;
	fd = openat(m->uploads->dirfd, upload->id, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0) {
		free(upload);
		return NULL;
	}
	safe_close(fd);
	HASH_ADD_STR(m->uploads->all, id, upload);
	return upload;
}

static int append(struct manager *m, struct upload *upload, const void *data, size_t size)
{
	_cleanup_close_ int fd = openat(m->uploads->dirfd, upload->id, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = pwrite(fd, data, size, (off_t)upload->size);
	if (n < 0)
		return -errno;
	if ((size_t)n < size)
		return -ENOSPC;
	upload->size += size;
	upload->touched = now_boottime();
	return 0;
}

void manager_job_upload(struct manager *m, const struct caller *caller,
			const struct job_upload_params *p, struct reply *reply)
{
	struct upload *upload = p->upload ? find(m, p->upload, caller->uid) : NULL;
	_cleanup_free_ void *data = NULL;
	uint64_t bytes;
	unsigned count;
	size_t size = 0;
	int r;

	if (manager_refuses_changes(m, reply))
		return;
	totals(m, caller->uid, &count, &bytes);
	if (base64_decode(p->data, strlen(p->data), &data, &size) < 0 || size > CHUNK_MAX)
		reply_refuse(reply, RPC_INVALID_PARAMS, "data: must be base64 of at most 512 KiB");
	else if (p->upload && !upload)
		reply_refuse(reply, RPC_NOT_FOUND, "upload: no \"%s\" of yours; begin again without it", p->upload);
	else if (p->offset != (upload ? upload->size : 0))
		reply_refuse(reply, RPC_CONFLICT, "offset: the next byte is %llu",
			     (unsigned long long)(upload ? upload->size : 0));
	else if ((upload ? upload->size : 0) + size > JOB_FILES_MAX)
		reply_refuse(reply, RPC_LIMIT, "data: a job's files are at most 64 MiB");
	else if (bytes + size > BYTES_PER_UID || (!upload && count >= UPLOADS_PER_UID))
		reply_refuse(reply, RPC_LIMIT, "you have %u uploads that no job has taken; submit, or wait an hour",
			     count);
	else if (!upload && !(upload = begin(m, caller->uid)))
		reply_refuse(reply, RPC_HOST_ERROR, "the upload cannot be stored: %s", strerror(errno));
	else if ((r = append(m, upload, data, size)) < 0)
		reply_refuse(reply, RPC_HOST_ERROR, "the upload cannot be stored: %s", strerror(-r));
	else
		reply_result(reply, json_pack("{s:s,s:I}", "upload", upload->id, "size",
					      (json_int_t)upload->size));
}
