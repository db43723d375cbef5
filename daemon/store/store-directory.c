/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state directory: made with a tight mode, refused when others could swap what is in it, locked against a
 * second daemon.  What its files hold is store-file.c. */
#include "store/store-internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "log/log.h"

static bool directory_is_empty(int fd)
{
	bool empty = true;
	struct dirent *entry;
	DIR *dir;
	int copy;

	copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir) {
		safe_close(copy);
		return false;
	}
	while (empty && (entry = readdir(dir)))
		empty = streq(entry->d_name, ".") || streq(entry->d_name, "..");
	closedir(dir);
	return empty;
}

/* Whoever can write to the directory could swap our files.  A fresh one is ours to tighten; one with
 * other things in it is not. */
static int directory_check(int fd, const char *path, char **ret_message)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return store_refuse(ret_message, -errno, "cannot look at the state directory %s: %m",
				    path);
	if (st.st_uid != geteuid())
		return store_refuse(ret_message, -EPERM,
				    "the state directory %s belongs to uid %u, not to us (uid %u): "
				    "give it to us with chown, or choose another with --state-dir",
				    path, st.st_uid, geteuid());
	if ((st.st_mode & 077) && directory_is_empty(fd)) {
		if (fchmod(fd, 0700) < 0)
			return store_refuse(ret_message, -errno, "cannot chmod 0700 %s: %m", path);
		return 0;
	}
	if (st.st_mode & 022)
		return store_refuse(ret_message, -EPERM,
				    "others can write to the state directory %s (mode %04o): "
				    "chmod 0700 it, or choose another with --state-dir",
				    path, st.st_mode & 07777);
	if (st.st_mode & 055)
		log_warning(0, "others can look into the state directory %s (mode %04o): chmod it",
			    path, st.st_mode & 07777);
	return 0;
}

static int directory_open(const char *path, int *ret_fd, char **ret_message)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return store_refuse(ret_message, -errno, "cannot make the state directory %s: %m",
				    path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return store_refuse(ret_message, -errno, "cannot open the state directory %s: %m",
				    path);
	r = directory_check(fd, path, ret_message);
	if (r < 0)
		return r;

	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* The holder leaves its pid in the lock file: for this message only, nobody trusts it. */
static int refuse_second(int fd, const char *path, char **ret_message)
{
	char pid[16] = "";

	if (pread(fd, pid, sizeof(pid) - 1, 0) <= 0)
		pid[0] = '\0';
	pid[strspn(pid, "0123456789")] = '\0';
	return store_refuse(ret_message, -EBUSY,
			    "another gpuvfd%s%s uses the state directory %s: stop it first, or choose "
			    "another directory with --state-dir",
			    *pid ? ", pid " : "", pid, path);
}

int store_lock(const char *state_dir, int *ret_fd, char **ret_message)
{
	_cleanup_close_ int dir = -1, fd = -1;
	int r;

	r = directory_open(state_dir, &dir, ret_message);
	if (r < 0)
		return r;

	fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return store_refuse(ret_message, -errno, "cannot open %s/lock: %m", state_dir);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return refuse_second(fd, state_dir, ret_message);
		return store_refuse(ret_message, -errno, "cannot lock %s/lock: %m", state_dir);
	}
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		log_warning(-errno, "cannot leave our pid in %s/lock", state_dir);

	*ret_fd = TAKE_FD(fd);
	return 0;
}
