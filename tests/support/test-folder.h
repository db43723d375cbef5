/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Makes a folder for what one test stores, in memory where there is room: what a disk's fsync costs is not what is
 * tested. path: at least 64 bytes.  Returns path, or NULL (errno). */
static inline char *make_test_folder(char *path)
{
	struct statvfs fs;
	int in_memory = access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &fs) == 0 &&
			(unsigned long long)fs.f_bavail * fs.f_frsize > 256ULL << 20;

	strcpy(path, in_memory ? "/dev/shm/gpuvf-test-XXXXXX" : "/tmp/gpuvf-test-XXXXXX");
	return mkdtemp(path);
}
