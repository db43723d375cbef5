/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about GPUs, read from sysfs and libpci.  Used in the helper process only. */
#pragma once

#include "core/facts.h"
#include "host/sysfs.h"

/* Everything about one GPU. -ENODEV when it is gone.  Reads sriov_numvfs, which waits for the
 * device's lock: may hang. */
int gpu_read(struct sysfs *s, const struct pci_address *address, struct gpu_facts **ret);

/* What constants tell about one GPU, and links of its VFs: nothing in it waits for a device's lock.
 * The number of VFs is counted from virtfnN; quotas and scheduling values stay unknown. */
int gpu_links(struct sysfs *s, const struct pci_address *address, struct gpu_facts **ret);

/* The constants of every GPU, without its VFs. */
int gpu_scan(struct sysfs *s, struct gpu_facts ***ret, size_t *ret_n);

/* Address of VF number vf (from 1); -ENOENT when it is not enabled. */
int gpu_vf_address(struct sysfs *s, const struct pci_address *gpu, unsigned vf,
		   struct pci_address *ret);
