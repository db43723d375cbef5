/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FNV-1a with 128 bits: tells whether two texts are the same.  It names revisions and plans; it
 * keeps nobody out, because whoever may write a policy may as well write the same one again. */
#pragma once

#include "lib/macros.h"

#define HASH_HEX_SIZE 33 /* 32 digits and the NUL */

struct hash {
	unsigned __int128 state;
};

void hash_init(struct hash *h);
void hash_add(struct hash *h, const void *data, size_t size);

/* Adds the string and its end, so that "ab","c" and "a","bc" differ.  NULL differs from "". */
void hash_add_string(struct hash *h, const char *s);

/* Returns buf. */
const char *hash_hex(const struct hash *h, char buf[static HASH_HEX_SIZE]);
