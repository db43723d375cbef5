/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes of helpers.  No parent-death signal: a helper that hangs in the kernel could not die
 * of it, and one that works ends by itself when its socket closes. */
#include "host/helper-spawn.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "host/sysfs.h"
#include "lib/io.h"

#define HELPER_FD 3
#define CMDLINE_MAX ((size_t)8192)
#define PROC_PATH_MAX (NAME_MAX + 32)

extern char **environ;

static int open_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0); /* sets close-on-exec */

	return fd < 0 ? -errno : fd;
}

static void actions_done(posix_spawn_file_actions_t *actions)
{
	posix_spawn_file_actions_destroy(actions);
}

static void attr_done(posix_spawnattr_t *attr)
{
	posix_spawnattr_destroy(attr);
}

/* Standard input and output are nobody's business; standard error stays, for what libpci
 * complains about. */
static int add_actions(posix_spawn_file_actions_t *actions, int fd)
{
	int e;

	e = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (e == 0)
		e = posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY,
						     0);
	if (e == 0) /* also clears close-on-exec when fd is 3 already */
		e = posix_spawn_file_actions_adddup2(actions, fd, HELPER_FD);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
	if (e == 0)
		e = posix_spawn_file_actions_addclosefrom_np(actions, HELPER_FD + 1);
#endif
	return -e;
}

/* The daemon blocks signals for its loop; the helper wants the usual ones.  A group of its own
 * keeps a Ctrl-C for the daemon from ending a write half-way. */
static int set_attr(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int e;

	sigemptyset(&none);
	sigfillset(&all);
	e = posix_spawnattr_setsigmask(attr, &none);
	if (e == 0)
		e = posix_spawnattr_setsigdefault(attr, &all);
	if (e == 0)
		e = posix_spawnattr_setpgroup(attr, 0);
	if (e == 0)
		e = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							   POSIX_SPAWN_SETPGROUP);
	return -e;
}

const char *helper_own_program(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);

	if (n < 0)
		return "/proc/self/exe";
	buf[n] = '\0';
	return access(buf, X_OK) == 0 ? buf : "/proc/self/exe";
}

int helper_spawn(const char *program, const char *name, const char *sysfs_root, bool allow_debugfs,
		 int *ret_fd, pid_t *ret_pid, int *ret_pidfd)
{
	char *argv[7] = {(char *)"gpuvfd", (char *)"--helper"};
	char path[PATH_MAX];
	size_t n = 2;
	_cleanup_(actions_done) posix_spawn_file_actions_t actions;
	_cleanup_(attr_done) posix_spawnattr_t attr;
	_cleanup_close_ int ours = -1, theirs = -1;
	int pair[2];
	pid_t pid;
	int r;

	if (allow_debugfs)
		argv[n++] = (char *)"--allow-debugfs";
	if (sysfs_root) {
		argv[n++] = (char *)"--sysfs-root";
		argv[n++] = (char *)sysfs_root;
	}
	argv[n] = (char *)name;
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return -errno;

	r = add_actions(&actions, theirs);
	if (r == 0)
		r = set_attr(&attr);
	if (r == 0)
		r = -posix_spawn(&pid, program ? program : helper_own_program(path, sizeof(path)), &actions,
				 &attr, argv, environ);
	if (r < 0)
		return r;
	r = open_pidfd(pid);
	if (r < 0) {
		ours = safe_close(ours); /* it ends by itself; nobody watches it */
		return r;
	}

	*ret_pidfd = r;
	*ret_pid = pid;
	*ret_fd = TAKE_FD(ours);
	return 0;
}

char *helper_attribute(pid_t pid)
{
	_cleanup_free_ char *comm = NULL;
	char path[PROC_PATH_MAX];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (read_file_at(AT_FDCWD, path, 256, &comm, NULL) < 0)
		return strdup("helper");
	trim_end(comm);
	if (streq(comm, SYSFS_IDLE_COMM))
		return strdup("helper");

	return strdup(sysfs_attribute_from_comm(comm));
}

/* ---- left over by a daemon that died ---- */

/* Base name of a process's program, as it was called before an upgrade replaced it. */
static int program_name(const char *pid, char *buf, size_t size)
{
	static const char deleted[] = " (deleted)";
	char path[PROC_PATH_MAX], target[PATH_MAX];
	const char *slash;
	size_t length;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%s/exe", pid);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;

	target[n] = '\0';
	length = (size_t)n;
	if (length > sizeof(deleted) - 1 &&
	    streq(target + length - (sizeof(deleted) - 1), deleted))
		target[length - (sizeof(deleted) - 1)] = '\0';
	slash = strrchr(target, '/');
	snprintf(buf, size, "%.*s", NAME_MAX, slash ? slash + 1 : target);
	return 0;
}

static int parent_of(const char *pid, char *buf, size_t size)
{
	_cleanup_free_ char *stat = NULL;
	char path[PROC_PATH_MAX];
	char *p;
	int parent;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	if (read_file_at(AT_FDCWD, path, 4096, &stat, NULL) < 0)
		return -ESRCH;
	p = strrchr(stat, ')'); /* the name before it may hold anything */
	if (!p || sscanf(p + 1, " %*c %d", &parent) != 1)
		return -ESRCH;

	snprintf(buf, size, "%d", parent);
	return 0;
}

/* Do the words of a command line call a helper for a GPU, and on our root? */
static bool is_helper(const char *pid, const char *sysfs_root, struct pci_address *ret)
{
	_cleanup_free_ char *cmdline = NULL;
	const char *argv[6] = {0};
	char path[PROC_PATH_MAX];
	size_t size, at = 0, n = 0, root;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	if (read_file_at(AT_FDCWD, path, CMDLINE_MAX, &cmdline, &size) < 0)
		return false;
	while (at < size && n < ARRAY_SIZE(argv)) {
		argv[n++] = cmdline + at;
		at += strlen(cmdline + at) + 1;
	}

	if (n < 3 || !streq(argv[1], "--helper") || pci_address_parse(argv[n - 1], ret) < 0)
		return false;
	root = streq(argv[2], "--allow-debugfs") ? 3 : 2;
	if (n != root + (sysfs_root ? 3 : 1))
		return false;

	return !sysfs_root ||
	       (streq(argv[root], "--sysfs-root") && streq(argv[root + 1], sysfs_root));
}

/* True when the process is a helper of ours whose parent is no daemon any more. */
static bool is_leftover(const char *pid, const char *own_name, const char *sysfs_root,
			struct pci_address *ret)
{
	char name[NAME_MAX + 1], parent[16];

	if (program_name(pid, name, sizeof(name)) < 0 || !streq(name, own_name))
		return false;
	/* Only now: reading the command line of a foreign process may itself hang. */
	if (!is_helper(pid, sysfs_root, ret) || parent_of(pid, parent, sizeof(parent)) < 0)
		return false;

	return program_name(parent, name, sizeof(name)) < 0 || !streq(name, own_name);
}

static int own_program_name(const char *program, char *buf, size_t size)
{
	const char *slash;

	if (!program)
		return program_name("self", buf, size);

	slash = strrchr(program, '/');
	snprintf(buf, size, "%s", slash ? slash + 1 : program);
	return 0;
}

int helper_find_leftovers(const char *program, const char *sysfs_root,
			  struct helper_leftover **ret, size_t *ret_n)
{
	struct helper_leftover *found = NULL;
	char own_name[NAME_MAX + 1];
	struct dirent *entry;
	size_t n = 0;
	DIR *proc;
	int r;

	r = own_program_name(program, own_name, sizeof(own_name));
	if (r < 0)
		return r;
	proc = opendir("/proc");
	if (!proc)
		return -errno;

	while ((entry = readdir(proc))) {
		struct helper_leftover *grown;
		struct pci_address gpu;
		int pidfd;

		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    !is_leftover(entry->d_name, own_name, sysfs_root, &gpu))
			continue;
		pidfd = open_pidfd(atoi(entry->d_name));
		if (pidfd < 0)
			continue; /* ended meanwhile */
		grown = reallocarray(found, n + 1, sizeof(*grown));
		if (!grown) {
			safe_close(pidfd);
			break; /* those found so far are worth more than an error */
		}
		found = grown;
		found[n++] = (struct helper_leftover){
			.gpu = gpu,
			.pid = atoi(entry->d_name),
			.pidfd = pidfd,
		};
	}
	closedir(proc);

	*ret = found;
	*ret_n = n;
	return 0;
}
