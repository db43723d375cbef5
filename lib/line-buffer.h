/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cuts a byte stream into lines with a cap: the frame of the socket, helper and machine protocols. */
#pragma once

#include "lib/macros.h"

struct line_buffer {
	char *data;
	size_t size;	/* bytes held */
	size_t start;	/* first byte that was not yet taken */
	size_t scanned; /* bytes from start that are known to hold no newline */
	size_t allocated;
	size_t max; /* longest line accepted, without newline */
};

void line_buffer_init(struct line_buffer *b, size_t max);
void line_buffer_done(struct line_buffer *b);

/* Reads once from fd.  Returns the number of bytes, 0 at end of file, -EAGAIN, or a negative errno. */
ssize_t line_buffer_read(struct line_buffer *b, int fd);
int line_buffer_append(struct line_buffer *b, const void *data, size_t size);

/* Takes the next line, without its newline, NUL-terminated; it lives until the next read, append or
 * next.  Returns 1, 0 when no whole line is there, -EMSGSIZE when the line is longer than max. */
int line_buffer_next(struct line_buffer *b, char **ret_line, size_t *ret_size);
