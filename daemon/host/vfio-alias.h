/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which module the kernel's list of aliases names for giving a PCI function to a VM.  Beside vfio-pci, which takes
 * anything, there are variants of it for some functions; their aliases begin with "vfio_pci:" and go on like the
 * function's own modalias.  Pure: text in, name out.  Used by vfio.c. */
#pragma once

#include "lib/macros.h"

/* Of the text of modules.alias: the module whose alias matches modalias ("pci:v00008086d…") with the fewest
 * wildcards, which is libvirt's rule too; of two alike the first.  Returns 0 with new *ret, -ENOENT when none matches,
 * -EINVAL when modalias is not that of a PCI function, -ENOMEM. */
int vfio_alias_find(const char *text, size_t size, const char *modalias, char **ret);

/* What of the text matters for that: a few lines of tens of thousands.  Returns new, NULL = no memory. */
char *vfio_alias_lines(const char *text, size_t size, size_t *ret_size);
