/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attributes of sysfs below an injected root.  Used in the helper process only: any access may
 * sleep in the kernel.  Errors are negative errno; sysfs->at tells which attribute was touched
 * last, and the process's own name (comm) says the same to whoever looks from outside while it
 * hangs. */
#pragma once

#include <dirent.h>
#include <sys/types.h>
#include <time.h>

#include "lib/pci-address.h"

#define SYSFS_NAME_MAX 64
#define SYSFS_VALUE_MAX ((size_t)65536)

struct sysfs {
	int root_fd;
	char *root;	/* "/sys" */
	char *dev_root; /* "/dev"; ROOT/dev below an injected root */
	char *modules_root; /* "/lib/modules"; ROOT/lib/modules below an injected root */
	bool injected;
	char held[PCI_ADDRESS_STRLEN]; /* see sysfs_hold() */
	int held_fd;
	bool allow_debugfs;      /* set by whoever opened it: xe may be steered through debugfs */
	char at[SYSFS_NAME_MAX]; /* base name of the attribute last touched */
	/* What the config space of one device said (gpu-read.c). */
	struct {
		struct pci_address address;
		ino_t device; /* 0 = nothing is remembered; sysfs never gives a number twice */
		int sriov;
		char *serial;
	} config;
	/* What matters of modules.alias (vfio.c), which has megabytes. */
	struct {
		ino_t file; /* 0 = nothing was read yet */
		struct timespec changed;
		char *lines;
		size_t size;
	} aliases;
};

/* root NULL = "/sys". Returns 0 or a negative errno. */
int sysfs_open(const char *root, struct sysfs *ret);
void sysfs_done(struct sysfs *s);

/* Every path is relative to the root and built as by printf(). */
int sysfs_read(struct sysfs *s, char **ret, const char *format, ...) _printf_(3, 4);
int sysfs_read_uint(struct sysfs *s, uint64_t *ret, const char *format, ...) _printf_(3, 4);
/* What fits into buf with one read, without white space at its end; -EBADMSG when there is more. */
int sysfs_read_line(struct sysfs *s, char *buf, size_t size, const char *format, ...)
	_printf_(4, 5);
int sysfs_write(struct sysfs *s, const char *text, const char *format, ...) _printf_(3, 4);
int sysfs_write_uint(struct sysfs *s, uint64_t value, const char *format, ...) _printf_(3, 4);

/* Base name of a symbolic link's target.  -ENOENT when there is no link. */
int sysfs_link_name(struct sysfs *s, char **ret, const char *format, ...) _printf_(3, 4);

/* True when the path exists. */
bool sysfs_exists(struct sysfs *s, const char *format, ...) _printf_(2, 3);

/* True when it exists and somebody may write to it by its mode bits: a driver that offers a
 * value for reading only says so by the mode. */
bool sysfs_is_writable(struct sysfs *s, const char *format, ...) _printf_(2, 3);

/* Opens it for writing and closes it again: what mode bits do not say.  Returns 0 or a negative
 * errno. */
int sysfs_try_write(struct sysfs *s, const char *format, ...) _printf_(2, 3);

/* Returns new, or NULL with errno set. */
DIR *sysfs_opendir(struct sysfs *s, const char *format, ...) _printf_(2, 3);

static inline void sysfs_closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* "bus/pci/devices/0000:03:00.0" */
#define SYSFS_PCI "bus/pci/devices/%s"
#define SYSFS_PCI_FOLDER "bus/pci/devices/"

/* Keeps the folder of a PCI device open: paths below it then begin there, which saves the kernel
 * half the way for each.  For many reads in a row; a device that comes back is another folder, so
 * it is let go after. NULL lets go. */
void sysfs_hold(struct sysfs *s, const char *device);

/* Names the attribute that is about to be touched, for whoever finds this process hanging. */
void sysfs_announce(struct sysfs *s, const char *name);

/* The attribute's whole name from a process's comm, which the kernel cuts at 15 bytes.  Returns
 * comm itself when it is none of ours. */
const char *sysfs_attribute_from_comm(const char *comm);

/* What a helper is called while it touches nothing. */
#define SYSFS_IDLE_COMM "gpuvf-helper"
