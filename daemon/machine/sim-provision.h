/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the stock of a made-up card is given to its VFs: between sim-kernel.c, sim-provision.c and sim-facts.c. */
#pragma once

#include "machine/sim-kernel.h"

#define VRAM_GRAIN (2 * MIB)   /* §2.4: quotas are rounded up to tiles × 2 MiB */
#define VRAM_SPARE (128 * MIB) /* §2.6: kept for the PF */

uint64_t sim_provision_vram_free(const struct sim_gpu *g);
/* VFs are about to be enabled: gives each its share, or refuses as the driver does. */
int sim_provision_share(struct sim_gpu *g, unsigned n);
