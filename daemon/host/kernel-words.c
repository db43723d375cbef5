/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of errnos.  The PCI core's and the drivers' own; one errno has another meaning at
 * another file and another driver, so the first row that fits counts and rows for one way stand
 * first. */
#include "host/kernel-words.h"

#define ANY VF_CONTROL_MAX
#define NOT_READY                                                                                  \
	"the card never got ready or is wedged: see the kernel log; a reset or a new start of "    \
	"the driver helps"
#define NO_PF "the driver did not come up in PF mode: see the kernel log, and check its max_vfs"
#define LOCKED                                                                                     \
	"kernel lockdown closes debugfs: without Secure Boot, or with a driver that has it in "    \
	"sysfs, it works"

static const struct {
	enum kernel_asked asked;
	enum vf_control way; /* ANY */
	int error;
	const char *words;
} rows[] = {
	{ KERNEL_ASKED_NUMVFS, VF_CONTROL_I915, EBUSY,
	  "i915 is not ready with its PF, or VFs are on already: try again in a moment" },
	{ KERNEL_ASKED_NUMVFS, ANY, EBUSY,
	  "VFs are already on, or something holds the driver's guard: close open debugfs files and"
	  " GPU debuggers" },
	{ KERNEL_ASKED_NUMVFS, ANY, ECANCELED, NOT_READY },
	{ KERNEL_ASKED_NUMVFS, ANY, EIO,
	  "the PCI core could not enable the VFs: see the kernel log" },
	{ KERNEL_ASKED_NUMVFS, ANY, ENODEV, NO_PF },
	{ KERNEL_ASKED_NUMVFS, ANY, ENOENT,
	  "the driver that is bound cannot do SR-IOV: bind one that can" },
	{ KERNEL_ASKED_NUMVFS, ANY, ENOKEY,
	  "some VF has only part of what it needs: give each GGTT, contexts and, on a card with "
	  "memory, VRAM, or restore automatic provisioning" },
	{ KERNEL_ASKED_NUMVFS, ANY, ENOMEM,
	  "no room for the VFs' BARs: enable \"Above 4G decoding\" in the firmware, or boot with "
	  "pci=realloc" },
	{ KERNEL_ASKED_NUMVFS, ANY, ENOSPC,
	  "the card has nothing left to share among that many VFs: ask for fewer" },
	{ KERNEL_ASKED_NUMVFS, VF_CONTROL_I915, EPERM,
	  "the kernel counts a VF as given to a guest (as Xen does): take it back first" },
	{ KERNEL_ASKED_NUMVFS, ANY, ERANGE, "more VFs than the driver allows: ask for fewer" },
	{ KERNEL_ASKED_NUMVFS, VF_CONTROL_XE, EUCLEAN,
	  "quotas of an earlier set-up are left on some VF: restore automatic provisioning; where "
	  "sysfs cannot, debugfs' sriov/restore_auto_provisioning does" },
	{ KERNEL_ASKED_NUMVFS, ANY, EUCLEAN,
	  "quotas of an earlier set-up are left on some VF: restore automatic provisioning" },

	{ KERNEL_ASKED_QUOTA, ANY, E2BIG, "it is more than the card has at all: ask for less" },
	{ KERNEL_ASKED_QUOTA, ANY, EDQUOT,
	  "it is more than the largest piece that is free: ask for less, or lower other VFs' "
	  "quotas first" },
	{ KERNEL_ASKED_QUOTA, ANY, ENOSPC,
	  "too little is left: ask for less, or lower other VFs' quotas first" },
	{ KERNEL_ASKED_QUOTA, ANY, ENOMEM,
	  "the driver has no memory for it: ask for less, or lower other VFs' quotas first" },
	{ KERNEL_ASKED_QUOTA, ANY, EBUSY, "the VF runs: change quotas while VFs are off" },
	{ KERNEL_ASKED_QUOTA, ANY, EIO,
	  "the card's firmware refused it: change quotas while VFs are off, and see the kernel log" },
	{ KERNEL_ASKED_QUOTA, ANY, ENOKEY,
	  "some VF has only part of what it needs: give it GGTT, contexts and, on a card with "
	  "memory, VRAM" },
	{ KERNEL_ASKED_QUOTA, ANY, EUCLEAN,
	  "the card's tiles show different values after the write: write it again, or restore "
	  "automatic provisioning" },
	{ KERNEL_ASKED_QUOTA, ANY, ECANCELED, NOT_READY },
	{ KERNEL_ASKED_QUOTA, ANY, ENODEV, NO_PF },
	{ KERNEL_ASKED_QUOTA, ANY, ENOENT,
	  "the card has no such VF: ask for one up to its sriov_totalvfs" },
	{ KERNEL_ASKED_QUOTA, VF_CONTROL_XE_DEBUGFS, EPERM, LOCKED },
	{ KERNEL_ASKED_QUOTA, ANY, EPERM, "the kernel forbids it: the daemon must run as root" },
	{ KERNEL_ASKED_QUOTA, ANY, ESTALE,
	  "the driver's and the kernel's numbering of VFs differ: load the driver again" },
	{ KERNEL_ASKED_QUOTA, ANY, EINVAL,
	  "the driver takes no such value: ask for another, and for a tile that the card has" },

	{ KERNEL_ASKED_SCHED, ANY, EUCLEAN,
	  "VFs, tiles or GTs show different values after the write: write it again" },
	{ KERNEL_ASKED_SCHED, ANY, EIO, "the card's firmware refused it: see the kernel log" },
	{ KERNEL_ASKED_SCHED, ANY, EBUSY, "the driver is busy with the card: try again in a moment" },
	{ KERNEL_ASKED_SCHED, ANY, ECANCELED, NOT_READY },
	{ KERNEL_ASKED_SCHED, ANY, ENODEV, NO_PF },
	{ KERNEL_ASKED_SCHED, ANY, ENOENT,
	  "the card has no such VF: ask for one up to its sriov_totalvfs" },
	{ KERNEL_ASKED_SCHED, VF_CONTROL_XE_DEBUGFS, EPERM, LOCKED },
	{ KERNEL_ASKED_SCHED, ANY, EPERM, "the kernel forbids it: the daemon must run as root" },
	{ KERNEL_ASKED_SCHED, ANY, ESTALE,
	  "the driver's and the kernel's numbering of VFs differ: load the driver again" },
	{ KERNEL_ASKED_SCHED, ANY, EINVAL,
	  "the driver takes no such value: for all VFs at once the priority is low or normal, and "
	  "nothing is above 100 s" },

	{ KERNEL_ASKED_RESTORE, VF_CONTROL_I915, ESTALE,
	  "i915 still finds something given to a VF: turn all VFs off, set every quota to 0, and "
	  "try again" },
	{ KERNEL_ASKED_RESTORE, ANY, EBUSY, "VFs are on: turn them off first" },
	{ KERNEL_ASKED_RESTORE, ANY, EOPNOTSUPP,
	  "in this way nothing ends automatic provisioning: there is nothing to restore, but for "
	  "what was set through debugfs (\"allow_debugfs\" in gpuvfd.json)" },
	{ KERNEL_ASKED_RESTORE, VF_CONTROL_XE_DEBUGFS, EPERM, LOCKED },
	{ KERNEL_ASKED_RESTORE, ANY, EPERM, "the kernel forbids it: the daemon must run as root" },
	{ KERNEL_ASKED_RESTORE, ANY, ECANCELED, NOT_READY },
	{ KERNEL_ASKED_RESTORE, ANY, ENODEV, NO_PF },
};

const char *kernel_words(enum kernel_asked asked, enum vf_control way, int error)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].asked == asked && rows[i].error == -error &&
		    (rows[i].way == ANY || rows[i].way == way))
			return rows[i].words;
	return NULL;
}
