/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clocks and time stamps.  Wall-clock times are microseconds since 1970 in UTC; deadlines and
 * expiries use the boot clock, which does not jump when the date is set. */
#pragma once

#include "lib/macros.h"

#define RFC3339_STRLEN 32

uint64_t now_realtime(void); /* CLOCK_REALTIME, microseconds */
uint64_t now_boottime(void); /* CLOCK_BOOTTIME, microseconds */

/* "2026-11-23T01:02:03.456Z", always UTC.  Returns buf. */
const char *rfc3339_format(uint64_t usec, char buf[static RFC3339_STRLEN]);

/* Takes RFC 3339 with any offset.  Returns 0 or -EINVAL. */
int rfc3339_parse(const char *s, uint64_t *ret_usec);

/* The kernel's boot id as text, 36 characters.  Returns 0 or a negative errno. */
int boot_id_read(char ret[static 37]);

/* Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat): a pid is
 * trusted only together with it.  Returns 0, -ESRCH, or a negative errno. */
int process_start_time(int pid, uint64_t *ret_ticks);
