/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds line and column of the value that a JSON pointer names.  jansson decides whether a text is
 * valid; it keeps no positions, so this scanner walks the same, already accepted text. */
#pragma once

#include "lib/macros.h"

/* Lines and columns count from 1, columns in bytes.  When the last part of the pointer does not
 * exist, the position of the enclosing value is given.  Returns 0 or -EINVAL (text is not JSON). */
int json_position_find(const char *text, size_t size, const char *pointer, unsigned *ret_line,
		       unsigned *ret_column);
