/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/pin-memory.h"

#include <stdio.h>

uint64_t pin_need(uint64_t memory_bytes, uint64_t resident_bytes)
{
	return memory_bytes - MIN_OF(resident_bytes, memory_bytes);
}

bool pin_fits(uint64_t need_bytes, uint64_t available_bytes)
{
	/* what is resident already costs nothing, however little the host has left */
	return need_bytes == 0 || (available_bytes >= PIN_SPARE && need_bytes <= available_bytes - PIN_SPARE);
}

char *pin_refusal(uint64_t memory_bytes, struct known resident, struct known available, uint64_t promised)
{
	uint64_t need = pin_need(memory_bytes, resident.value);
	char all[32], more[32], has[32], spare[32], others[32];

	if (memory_bytes == 0 || !resident.known || !available.known ||
	    pin_fits(need, available.value - MIN_OF(promised, available.value)))
		return NULL;
	return xasprintf("a VF pins all of the guest's memory (%s): %s more than now, and the host has %s available, "
			 "of which it keeps %s%s%s",
			 size_format(memory_bytes, all, sizeof(all)), size_format(need, more, sizeof(more)),
			 size_format(available.value, has, sizeof(has)), size_format(PIN_SPARE, spare, sizeof(spare)),
			 promised ? " and other VMs are about to take " : "",
			 promised ? size_format(promised, others, sizeof(others)) : "");
}

struct known pin_available(const char *meminfo)
{
	const char *line = strstr(meminfo, "MemAvailable:");
	unsigned long long kib;

	if (!line || sscanf(line, "MemAvailable: %llu kB", &kib) != 1 || kib > UINT64_MAX / KIB)
		return (struct known){ 0 };
	return (struct known){ true, kib * KIB };
}
