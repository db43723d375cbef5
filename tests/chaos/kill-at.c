/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loaded into gpuvfd by chaos (LD_PRELOAD): kills it at the n-th write or sync of its store.
 * GPUVF_KILL_AT=sync:5:after, write:7:half; with GPUVF_KILL_FROM=FILE it counts once that file is there.  The daemon itself knows nothing of it; the programs that it starts
 * inherit it and are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum when { NEVER, BEFORE, HALF, AFTER };

static struct {
	char what[8];
	long nth;
	enum when when;
	const char *from;
} plan;
static atomic_long seen;

__attribute__((constructor)) static void read_plan(void)
{
	const char *text = getenv("GPUVF_KILL_AT");
	char when[8] = "";

	if (!text || strcmp(program_invocation_short_name, "gpuvfd") != 0 ||
	    sscanf(text, "%7[a-z]:%ld:%7[a-z]", plan.what, &plan.nth, when) != 3)
		return;
	plan.from = getenv("GPUVF_KILL_FROM");
	plan.when = strcmp(when, "before") == 0 ? BEFORE : strcmp(when, "half") == 0 ? HALF : AFTER;
}

static void die(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* Counts one.  Whether it is the one: the daemon is dead already when it was to die before. */
static bool reached(const char *what)
{
	if (plan.when == NEVER || strcmp(what, plan.what) != 0 || (plan.from && access(plan.from, F_OK) != 0) ||
	    atomic_fetch_add(&seen, 1) + 1 != plan.nth)
		return false;
	if (plan.when == BEFORE)
		die();
	return true;
}

static int sync_with(const char *function, int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, function);
	bool last = reached("sync");
	int r = real(fd);

	if (last)
		die();
	return r;
}

EXPORT int fsync(int fd)
{
	return sync_with("fsync", fd);
}

EXPORT int fdatasync(int fd)
{
	return sync_with("fdatasync", fd);
}

static ssize_t write_with(const char *function, int fd, const void *data, size_t size, off_t at)
{
	ssize_t (*real)(int, const void *, size_t, off_t) =
		(ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, function);
	bool last = reached("write");
	ssize_t n = real(fd, data, last && plan.when == HALF ? size / 2 : size, at);

	if (last)
		die();
	return n;
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
	return write_with("pwrite", fd, data, size, at);
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t size, off_t at)
{
	return write_with("pwrite64", fd, data, size, at);
}
