/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small words used in every file: cleanup attributes and array, string and pointer helpers.
 * Cleanup macros for a foreign type live in the layer that owns the type, not here. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(fmt, first) __attribute__((format(printf, fmt, first)))
#define _unused_ __attribute__((unused))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

/* Gives the pointer away: the variable is NULL afterwards. */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *_take_p = &(p);                                                     \
		__typeof__(p) _taken = *_take_p;                                                   \
		*_take_p = NULL;                                                                   \
		_taken;                                                                            \
	})

/* Gives the descriptor away: the variable is -1 afterwards. */
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *_take_fd = &(fd);                                                             \
		int _taken = *_take_fd;                                                            \
		*_take_fd = -1;                                                                    \
		_taken;                                                                            \
	})

/* DEFINE_CLEANUP(struct job *, job_free) makes job_freep() for _cleanup_(). */
#define DEFINE_CLEANUP(type, func)                                                                 \
	static inline _unused_ void func##p(type *p)                                               \
	{                                                                                          \
		if (*p)                                                                            \
			func(*p);                                                                  \
	}

static inline void freep(void *p)
{
	free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(freep)

/* Closes and returns -1; keeps errno, accepts a negative descriptor. */
static inline int safe_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

static inline void closep(int *fd)
{
	safe_close(*fd);
}
#define _cleanup_close_ _cleanup_(closep)

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* NULL is equal to NULL only. */
static inline bool streq_ptr(const char *a, const char *b)
{
	return a && b ? streq(a, b) : a == b;
}

static inline const char *strempty(const char *s)
{
	return s ? s : "";
}

/* Replaces the string by a copy of the value (NULL clears it).  Returns 0 or -ENOMEM, and then
 * nothing is changed. */
int free_and_strdup(char **p, const char *value);

/* Formatted new string, or NULL when memory is out. */
char *xasprintf(const char *format, ...) _printf_(1, 2);
