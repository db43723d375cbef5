/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest's first VF takes of the host's memory.  VFIO pins all of a guest's memory: what QEMU has not touched
 * yet is allocated then, and on a host that does not have it the OOM killer ends somebody.  Asked before a live
 * attach, and before a start with a VF, by whoever does it (libvirt-memory.c, the made-up machine), and by the
 * doctor.  Pure. */
#pragma once

#include "core/facts.h"
#include "lib/units.h"

/* Stays with the host: QEMU's own tables grow with what it maps, the kernel's with what is pinned, and MemAvailable
 * is an estimate. */
#define PIN_SPARE (256 * MIB)

/* What is to be allocated yet for a guest of so much memory. */
uint64_t pin_need(uint64_t memory_bytes, uint64_t resident_bytes);
bool pin_fits(uint64_t need_bytes, uint64_t available_bytes);

/* NULL: it fits, or one of the numbers is not known and nobody can say (memory_bytes 0 = not known).  Else new: why
 * not, with the numbers.  promised: what other guests are about to take. */
char *pin_refusal(uint64_t memory_bytes, struct known resident, struct known available, uint64_t promised);

/* MemAvailable out of the text of /proc/meminfo. */
struct known pin_available(const char *meminfo);
