/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole reads and writes of small files and descriptors. */
#pragma once

#include "lib/macros.h"

/* Reads a file of at most max bytes, NUL-terminated.  dirfd may be AT_FDCWD.  Returns 0 with new
 * *ret, -EFBIG, or a negative errno. */
int read_file_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_size);

/* Writes the text with a single write() to an existing file.  Returns 0 or a negative errno. */
int write_file_at(int dirfd, const char *path, const char *text);

/* Writes to a temporary file beside path, syncs it, renames it over path.  mode applies to a new
 * file.  Returns 0 or a negative errno. */
int write_file_atomic_at(int dirfd, const char *path, const void *data, size_t size, unsigned mode);

/* Writes everything to a blocking descriptor (MSG_NOSIGNAL is the caller's business). */
int write_all(int fd, const void *data, size_t size);

/* Trims white space at the end, in place.  Returns s. */
char *trim_end(char *s);
