/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which VFs the definitions of VMs that are off hold.  A definition has addresses only, so the machine remembers of each
 * whether the VF that it was written for is still the one there: not, once its card has gone to another slot, or was
 * cut without it.  Whoever takes what is there then takes nothing from that VM. */
#pragma once

#include "machine/sim-hypervisor.h"

/* Whether the definition of a VM that is off holds one of the GPU's VFs. */
bool sim_reserved_has(const struct sim_hypervisor *hv, const struct sim_gpu *g);

/* No definition written before holds one of the GPU's VFs beyond the first n any more, should they come again. */
void sim_reserved_lapse(struct sim_hypervisor *hv, const struct sim_gpu *g, unsigned n);
