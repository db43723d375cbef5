/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moves a VF between the host's driver and VFIO.  Used in the helper process only, but for vfio_has(). */
#pragma once

#include "core/facts.h"
#include "host/sysfs.h"

/* Whether this driver, which the device has, gives it to VFIO: vfio-pci, or any that shows the device in vfio-dev/, as
 * kernels from 6.1 on do.  driver may be NULL.  device: a name below bus/pci/devices, "0000:03:00.0" or
 * "0000:03:00.0/virtfn1". */
bool vfio_has(struct sysfs *s, const char *device, const char *driver);

/* driver_override = the variant of vfio-pci that modules.alias names for it, where that is loaded, else vfio-pci; unbind
 * what is there, probe, check; vfio-pci again when the variant does not take it.  One that VFIO has already stays with
 * the driver it has.  On failure the VF is given back to the driver it had. *ret_driver is new: who has it now.
 * *ret_message (new, may stay NULL) says more about a failure. */
int vfio_bind(struct sysfs *s, const struct pci_address *vf, char **ret_driver, char **ret_message);

/* Unbinds from whatever has it and clears the override. */
int vfio_unbind(struct sysfs *s, const struct pci_address *vf);
