/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The FNV-1a hash with its published 128-bit offset basis and prime. */
#include "lib/hash.h"

#include <stdio.h>

#define WIDE(high, low) (((unsigned __int128)(high) << 64) | (low))

static const unsigned __int128 offset_basis = WIDE(0x6c62272e07bb0142, 0x62b821756295c58d);
static const unsigned __int128 prime = WIDE(0x0000000001000000, 0x000000000000013b);

void hash_init(struct hash *h)
{
	h->state = offset_basis;
}

void hash_add(struct hash *h, const void *data, size_t size)
{
	const unsigned char *p = data;

	while (size-- > 0) {
		h->state ^= *p++;
		h->state *= prime;
	}
}

void hash_add_string(struct hash *h, const char *s)
{
	hash_add(h, s ? "s" : "-", 1);
	if (s)
		hash_add(h, s, strlen(s) + 1);
}

const char *hash_hex(const struct hash *h, char buf[static HASH_HEX_SIZE])
{
	snprintf(buf, HASH_HEX_SIZE, "%016llx%016llx", (unsigned long long)(h->state >> 64),
		 (unsigned long long)h->state);
	return buf;
}
