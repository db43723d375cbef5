/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Base64 (RFC 4648, with padding): file contents in the guest agent's and our own protocol. */
#pragma once

#include "lib/macros.h"

/* Returns new, NUL-terminated; NULL when memory is out. */
char *base64_encode(const void *data, size_t size);

/* Strict: length a multiple of four, padding only at the end, no other characters, no stray bits.
 * Returns 0 with new *ret (NUL-terminated besides), -EINVAL, or -ENOMEM. */
int base64_decode(const char *text, size_t length, void **ret, size_t *ret_size);
