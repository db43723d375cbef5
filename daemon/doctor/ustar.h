/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes an uncompressed tar archive (POSIX ustar) of texts. */
#pragma once

#include "lib/macros.h"

/* One member, mode 0600.  name: at most 100 bytes.  Returns 0 or a negative errno. */
int ustar_add(int fd, const char *name, const void *data, size_t size, uint64_t mtime);
/* The two empty records at the end. */
int ustar_end(int fd);
