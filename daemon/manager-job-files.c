/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The folders of jobs, STATE_DIR/jobs/ID/ATTEMPT, opened by descriptor and never by a path that a link
 * could lead elsewhere; and the files of a job as they were when it was submitted. */
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/base64.h"
#include "lib/io.h"
#include "manager-state.h"

static int open_dir(int dirfd, const char *name, bool create)
{
	if (create && mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	dirfd = openat(dirfd, name, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_RDONLY);
	return dirfd < 0 ? -errno : dirfd;
}

int job_attempt_dir(struct manager *m, const struct job *job, unsigned attempt, bool create)
{
	_cleanup_close_ int dir = open_dir(m->jobs_fd, job->name, create);
	char number[16];

	if (dir < 0)
		return dir;
	if (attempt == 0)
		return TAKE_FD(dir);
	snprintf(number, sizeof(number), "%u", attempt);
	return open_dir(dir, number, create);
}

/* The files as they were at submit: in/0, in/1, … (B14: code that changes between submit and start). */
int job_snapshot_files(struct manager *m, struct job *job)
{
	_cleanup_close_ int dir = job_attempt_dir(m, job, 0, true), in = -1;

	if (dir < 0)
		return dir;
	in = open_dir(dir, "in", true);
	if (in < 0)
		return in;
	for (size_t i = 0; i < job->document->n_files; i++) {
		struct job_file *file = &job->document->files[i];
		_cleanup_free_ void *data = NULL;
		char name[24];
		size_t size = 0;
		int r;

		snprintf(name, sizeof(name), "%zu", i);
		if (file->upload) {
			r = upload_move(m, file->upload, job->uid, in, name);
			if (r < 0)
				return r;
		}
		if (!file->content)
			continue;
		r = base64_decode(json_string_value(file->content), json_string_length(file->content), &data,
				  &size);
		if (r < 0)
			return r;
		r = write_file_atomic_at(in, name, data, size, 0600);
		if (r < 0)
			return r;
		json_decref(file->content);
		file->content = NULL;
	}
	return 0;
}
