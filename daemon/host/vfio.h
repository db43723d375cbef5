/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moves a VF between the host's driver and vfio-pci.  Used in the helper process only. */
#pragma once

#include "core/facts.h"
#include "host/sysfs.h"

/* driver_override = vfio-pci, unbind what is there, probe, check.  Already there = nothing to
 * do.  On failure the VF is given back to the driver it had. *ret_message (new, may stay NULL)
 * says more. */
int vfio_bind(struct sysfs *s, const struct pci_address *vf, char **ret_message);

/* Unbinds from whatever has it and clears the override. */
int vfio_unbind(struct sysfs *s, const struct pci_address *vf);
