/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has VFs open: VFIO groups, VFIO devices and DRM nodes, found by looking at every process's
 * descriptors.  Never by opening a group: it is exclusive, so a look would shut the next VM out. */
#pragma once

#include "core/facts.h"
#include "host/sysfs.h"

/* Looks for holders of one VF, or of all VFs of the GPU when vf is 0.  Returns 0 with new *ret
 * (n may be 0); -EACCES when processes exist whose descriptors may not be read: then nobody
 * knows. */
int holders_find(struct sysfs *s, const struct pci_address *gpu, unsigned vf,
		 struct vf_holder **ret, size_t *ret_n);

void holders_free(struct vf_holder *holders, size_t n);
