/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes in, lines out.  The server, the client, the helper and the machine protocol read with it; it
 * does not look into the lines. */
#include "lib/line-buffer.h"

#define READ_CHUNK ((size_t)16 << 10) /* what one read() can bring at most */
#define KEEP_MAX ((size_t)64 << 10)   /* an idle connection keeps no more than this */

void line_buffer_init(struct line_buffer *b, size_t max)
{
	memset(b, 0, sizeof(*b));
	b->max = max;
}

void line_buffer_done(struct line_buffer *b)
{
	free(b->data);
	line_buffer_init(b, b->max);
}

/* Drops what was taken.  Called before new bytes come, when no line is out any more. */
static void compact(struct line_buffer *b)
{
	if (b->start == 0)
		return;

	memmove(b->data, b->data + b->start, b->size - b->start);
	b->size -= b->start;
	b->start = 0;
	if (b->size == 0 && b->allocated > KEEP_MAX) {
		free(b->data);
		b->data = NULL;
		b->allocated = 0;
	}
}

static int make_room(struct line_buffer *b, size_t more)
{
	size_t wanted, allocated;
	char *data;

	compact(b);
	if (__builtin_add_overflow(b->size, more, &wanted))
		return -ENOMEM;
	if (wanted <= b->allocated)
		return 0;

	allocated = MAX_OF(wanted, b->allocated + b->allocated / 2);
	data = realloc(b->data, allocated);
	if (!data)
		return -ENOMEM;

	b->data = data;
	b->allocated = allocated;
	return 0;
}

ssize_t line_buffer_read(struct line_buffer *b, int fd)
{
	ssize_t n;
	int r;

	r = make_room(b, READ_CHUNK);
	if (r < 0)
		return r;

	do {
		n = read(fd, b->data + b->size, READ_CHUNK);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;

	b->size += (size_t)n;
	return n;
}

int line_buffer_append(struct line_buffer *b, const void *data, size_t size)
{
	int r;

	if (size == 0)
		return 0;

	r = make_room(b, size);
	if (r < 0)
		return r;

	memcpy(b->data + b->size, data, size);
	b->size += size;
	return 0;
}

int line_buffer_next(struct line_buffer *b, char **ret_line, size_t *ret_size)
{
	size_t held = b->size - b->start, length;
	char *line, *newline = NULL;

	if (held == 0)
		return 0;

	line = b->data + b->start;
	if (held > b->scanned)
		newline = memchr(line + b->scanned, '\n', held - b->scanned);
	length = newline ? (size_t)(newline - line) : held;
	if (length > b->max) {
		/* Nothing is taken: the answer stays the same, and the stream is past mending. */
		b->scanned = MIN_OF(length, b->max);
		return -EMSGSIZE;
	}
	if (!newline) {
		b->scanned = held;
		return 0;
	}

	*newline = '\0';
	b->start += length + 1;
	b->scanned = 0;
	*ret_line = line;
	*ret_size = length;
	return 1;
}
