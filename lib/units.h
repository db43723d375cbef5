/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes, shares and durations as people and policies write them (interface: "Units").
 * Every parser takes the whole string, refuses what it does not know, and on refusal gives a
 * constant text that says what would be right. */
#pragma once

#include "lib/macros.h"

#define USEC_PER_SEC ((uint64_t)1000000)
#define USEC_PER_MSEC ((uint64_t)1000)
#define USEC_INFINITY UINT64_MAX
#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

/* An amount of VRAM: bytes, a percentage of what is free to VFs, or an equal ("fair") share. */
enum amount_kind {
	AMOUNT_UNSET,
	AMOUNT_BYTES,
	AMOUNT_PERCENT,
	AMOUNT_FAIR,
	_AMOUNT_MAX,
};

struct amount {
	enum amount_kind kind;
	uint64_t value; /* bytes, or hundredths of a percent */
};

/* "4GiB" = 4·2^30, "4GB" = 4·10^9, also B KiB MiB TiB kB MB TB; decimals as "1.5GiB".  A bare
 * "4G" and a bare number are refused with both readings.  Returns 0 or -EINVAL / -ERANGE. */
int size_parse(const char *s, uint64_t *ret_bytes, const char **ret_hint);

/* What size_parse() takes, "25%" and "fair". */
int amount_parse(const char *s, struct amount *ret, const char **ret_hint);

/* "20ms", "1h30m", "2d", "90s", "500us"; units us ms s m h d w, larger before smaller.
 * Returns 0 or -EINVAL / -ERANGE. */
int duration_parse(const char *s, uint64_t *ret_usec, const char **ret_hint);

/* "4.0GiB", "512MiB", "17B": for tables.  Returns buf. */
const char *size_format(uint64_t bytes, char *buf, size_t size);

/* The largest exact unit, "4GiB" or "6039797761B": reads back to the same number.  Returns buf. */
const char *size_format_exact(uint64_t bytes, char *buf, size_t size);

/* "1h30m", "20ms", "0s", "infinity"; all units, or the two largest when buf has no room for
 * more.  Returns buf. */
const char *duration_format(uint64_t usec, char *buf, size_t size);
