/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts for people that the kernel shows and that hold a number we need.  No interface promises
 * their form: what is not understood is unknown.  Pure. */
#pragma once

#include "core/facts.h"

/* ggtt_available: lines "avail:\t1234\t(…)". */
struct known debugfs_ggtt_available(const char *text);

/* vram_mm: the memory manager's "size: BYTES" and its allocator's "…, free: 123MiB", or else
 * "usage: BYTES". */
struct debugfs_vram {
	struct known size; /* that the driver manages */
	struct known free;
};
struct debugfs_vram debugfs_vram_mm(const char *text);

/* /sys/kernel/security/lockdown, "none [integrity] confidentiality": whether it is on, and so
 * debugfs closed to writers. */
bool debugfs_is_locked(const char *text);
