/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A made-up sysfs in a temporary folder, built with verbs.  Its files are plain files: nothing
 * in it reacts to a write, so what the kernel would do is done by calling the verb for it. */
#pragma once

#include "lib/macros.h"
#include "lib/pci-address.h"

struct fake_gpu {
	char root[64];
};

/* Every verb ends the test when it fails: a broken stage is no finding. */
void fake_gpu_init(struct fake_gpu *g);
void fake_gpu_init_in(struct fake_gpu *g, const char *folder); /* in place of /tmp */
void fake_gpu_done(struct fake_gpu *g); /* removes everything */

/* Of the PF number i, from 0: each has a bus of its own. */
void fake_gpu_pf_name(unsigned i, char buf[static PCI_ADDRESS_STRLEN]);
/* A Flex 170 with its driver xe bound, numvfs 0, autoprobe on, an IOMMU group of its own. */
void fake_gpu_add_pf(struct fake_gpu *g, const char *pf, unsigned total_vfs);
/* sriov_admin/ with a profile for PF and every possible VF; all values 0. */
void fake_gpu_add_sriov_admin(struct fake_gpu *g, const char *pf, unsigned total_vfs);
/* Below drm/card<card>/: prelim_iov/ of i915 in mode "SR-IOV PF", automatic; gts = "gt", or "gt0
 * gt1" with an "m" behind the number of a media GT.  VRAM only when vram > 0 (bytes free on each
 * tile). */
void fake_gpu_add_i915(struct fake_gpu *g, const char *pf, unsigned card, const char *gts,
		       unsigned total_vfs, uint64_t vram);
/* xe's debugfs in kernel/debug/dri/<name>, with the media GT gt1 (and gt3) beside each tile's main
 * one. */
void fake_gpu_add_debugfs(struct fake_gpu *g, const char *name, bool new_layout, unsigned tiles,
			  unsigned total_vfs, uint64_t vram);
/* "none", "integrity" or "confidentiality". */
void fake_gpu_lockdown(struct fake_gpu *g, const char *level);
/* What the kernel does for `echo n > sriov_numvfs`: functions .1, .2 … 01.0 …, links both ways,
 * groups from first_group on.  No driver is bound. */
void fake_gpu_enable_vfs(struct fake_gpu *g, const char *pf, unsigned n, unsigned first_group);
void fake_gpu_disable_vfs(struct fake_gpu *g, const char *pf);
void fake_gpu_remove_pf(struct fake_gpu *g, const char *pf);

/* driver NULL = unbind. */
void fake_gpu_set_driver(struct fake_gpu *g, const char *function, const char *driver);

/* Paths are relative to the root; folders are made as needed. */
void fake_gpu_write(struct fake_gpu *g, const char *text, const char *format, ...)
	_printf_(3, 4);
void fake_gpu_link(struct fake_gpu *g, const char *target, const char *format, ...)
	_printf_(3, 4);
void fake_gpu_chmod(struct fake_gpu *g, unsigned mode, const char *format, ...) _printf_(3, 4);
void fake_gpu_remove(struct fake_gpu *g, const char *format, ...) _printf_(2, 3);
/* Replaces the attribute by a FIFO: an access hangs, as in the kernel, until fake_gpu_release(). */
void fake_gpu_hang(struct fake_gpu *g, const char *format, ...) _printf_(2, 3);
/* Lets a hanging read return with this text, and makes a plain file of it again. */
void fake_gpu_release(struct fake_gpu *g, const char *text, const char *format, ...)
	_printf_(3, 4);
/* Returns new, without the newline. */
char *fake_gpu_read(struct fake_gpu *g, const char *format, ...) _printf_(2, 3);
/* Opens a node below dev/, as a VM would.  The caller closes. */
int fake_gpu_open(struct fake_gpu *g, const char *format, ...) _printf_(2, 3);
