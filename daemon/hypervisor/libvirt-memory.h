/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether the host has the memory that a live attach, or a start with a VF, pins.  Blocks; for libvirt-ops.c on its
 * worker threads, and for the doctor's survey. */
#pragma once

#include <libvirt/libvirt.h>

#include "core/facts.h"

/* What the domain's QEMU has in memory now. */
struct known libvirt_resident(virDomainPtr domain);

/* To be called before a live attach, or the start of a domain that is off and has a VF in its definition, and
 * libvirt_memory_done(*ret_taken) after it.  Where several guests take memory at once and it may not do for all, one
 * waits for the others.  NULL: go on.  Else new: why not. */
char *libvirt_memory_take(virDomainPtr domain, const struct domain_facts *facts, uint64_t *ret_taken);
void libvirt_memory_done(uint64_t taken);

/* The same for a guest of which that is known; look says what the host has available. */
char *libvirt_memory_turn(uint64_t memory_bytes, struct known resident, struct known (*look)(void),
			  uint64_t *ret_taken);
