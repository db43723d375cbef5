/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting helper processes and finding those of a daemon that died.  Used by the daemon's side
 * of host/. */
#pragma once

#include <sys/types.h>

#include "lib/pci-address.h"

/* What the helper that scans carries in place of an address. */
#define HELPER_SCAN_NAME "scan"
/* The first line of a helper: it is there, and has touched nothing yet. */
#define HELPER_HELLO "{}\n"

/* Starts `program --helper [--allow-debugfs] [--sysfs-root SYSFS_ROOT] NAME` with one end of a
 * socket pair on descriptor 3 and nothing else open but standard error. program NULL =
 * /proc/self/exe, sysfs_root NULL = none given.  Returns 0 with our (non-blocking) end, the pid and
 * a pidfd, or a negative errno. */
int helper_spawn(const char *program, const char *name, const char *sysfs_root, bool allow_debugfs,
		 int *ret_fd, pid_t *ret_pid, int *ret_pidfd);

/* The file we were started from.  After an upgrade has replaced it only the kernel's link still leads
 * to it; otherwise its own path does, which is what a program that runs us (valgrind) answers with. */
const char *helper_own_program(char *buf, size_t size);

/* The attribute that a helper touches now, by its comm; "helper" when that cannot be read.
 * Returns new. */
char *helper_attribute(pid_t pid);

/* A helper whose daemon is gone and which has not ended: it hangs in the kernel, or is still
 * busy. */
struct helper_leftover {
	struct pci_address gpu;
	pid_t pid;
	int pidfd; /* becomes readable when it ends */
};

/* Returns 0 with new *ret, or a negative errno.  Helpers of another sysfs_root, and those whose
 * parent is a running program of our name, are not ours to judge. */
int helper_find_leftovers(const char *program, const char *sysfs_root,
			  struct helper_leftover **ret, size_t *ret_n);
