/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes foreign text harmless for a terminal or a log line. */
#pragma once

#include "lib/macros.h"

/* Replaces control bytes (C0, DEL, C1 also as UTF-8), invalid UTF-8 and bidirectional override
 * characters by \xNN or \u{…}.  keep_newlines leaves \n and \t (for job output).  Returns new. */
char *escape_terminal(const char *s, size_t size, bool keep_newlines);

/* True when the text is valid UTF-8 without NUL. */
bool utf8_is_valid(const char *s, size_t size);

/* Names of jobs, queues, profiles, VMs: 1…max bytes of printable UTF-8, no control bytes, no '/'. */
bool name_is_valid(const char *s, size_t max);
