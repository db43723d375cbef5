/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fills notebooks.  Everything here reads files or asks libvirt and may hang: it runs in the
 * doctor's workers (examine.c), which have deadlines. */
#pragma once

#include "doctor/look.h"

/* What one reading of a host needs to know. */
struct gather_options {
	const char *sysfs_root;  /* NULL = the real host */
	const char *libvirt_uri; /* NULL = qemu:///system; "" = do not ask libvirt */
	const char *socket;      /* the daemon's */
	const char *policy_dir;
	const char *policy_fallback;
	bool bundle; /* also what only a bundle wants: configuration space, domain XML */
};

/* Notes of the host, and "gpu.ADDRESS" = device id for each Intel GPU. */
void gather_host(struct looker *l, const struct gather_options *o);
/* "klog.N": the lines of the kernel log that are about us; "klog" tells where they came from. */
void gather_kernel_log(struct looker *l);
/* "journal.N": the daemon's last lines, for a bundle. */
void gather_journal(struct looker *l);
void gather_gpu(struct looker *l, const char *address, bool bundle);

/* libvirt's own notes go into the host's book; each VM is one object {name, notes} of ret. */
void gather_vms(struct notebook *host, const struct gather_options *o, json_t *ret_vms);

/* What the running daemon says, for a bundle: method → result, secrets taken out. */
void gather_daemon(const struct gather_options *o, json_t *ret);

/* Whether a line of the kernel log is about GPUs, VFIO, IOMMU or what gets in their way. */
bool kernel_log_is_ours(const char *line);
