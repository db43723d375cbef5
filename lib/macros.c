/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The few helpers of macros.h that are too long for a header. */
#include "lib/macros.h"

#include <stdarg.h>
#include <stdio.h>

int free_and_strdup(char **p, const char *value)
{
	char *copy = NULL;

	if (value) {
		copy = strdup(value);
		if (!copy)
			return -ENOMEM;
	}

	free(*p);
	*p = copy;
	return 0;
}

char *xasprintf(const char *format, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);

	return n < 0 ? NULL : text;
}
