/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stock of a made-up card and how its driver gives it to VFs: between sim-kernel.c (VFs come and go), sim-stock.c
 * (one value on one tile), sim-provision.c (all VFs together), sim-way.c (files) and sim-facts.c. */
#pragma once

#include "machine/sim-kernel.h"

/* ---- sim-stock.c: a tile counts from 0, function 0 is the PF, whose hard resources are what it keeps (spare) */
bool sim_stock_exists(const struct sim_gpu *g, enum vf_attribute resource);
uint64_t sim_stock_grain(const struct sim_gpu *g, enum vf_attribute resource); /* on one tile */
uint64_t sim_stock_total(const struct sim_gpu *g, enum vf_attribute resource); /* of one tile */
/* What VFs can still get. */
uint64_t sim_stock_free(const struct sim_gpu *g, unsigned tile, enum vf_attribute resource);
uint64_t sim_stock_get(const struct sim_gpu *g, unsigned function, unsigned tile, enum vf_attribute attribute);
int sim_stock_set(struct sim_gpu *g, unsigned function, unsigned tile, enum vf_attribute attribute, uint64_t value);
/* Without any rule: what a driver shares out or takes back. */
void sim_stock_put(struct sim_gpu *g, unsigned function, unsigned tile, enum vf_attribute attribute, uint64_t value);
void sim_stock_clear(struct sim_gpu *g, unsigned function);
/* Has the function any hard resource on any tile?  vram: counts that too. */
bool sim_stock_has_any(const struct sim_gpu *g, unsigned function, bool vram);

/* ---- sim-provision.c */
/* n VFs are about to be enabled: gives each its share, or refuses as the driver does. */
int sim_provision_share(struct sim_gpu *g, unsigned n);
/* n VFs are gone. */
void sim_provision_release(struct sim_gpu *g, unsigned n);
/* i915's pf/auto_provisioning = 1; xe's restore_auto_provisioning, while no VF is on. */
int sim_provision_i915_auto(struct sim_gpu *g);
void sim_provision_xe_auto(struct sim_gpu *g);
