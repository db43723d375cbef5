/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a JSON document is wrong, and why: made by json-field.c and by the loaders of documents, told
 * by whoever answers the caller. */
#include "lib/json-field.h"

#include <stdarg.h>
#include <stdio.h>

void json_fault_done(struct json_fault *fault)
{
	free(fault->pointer);
	free(fault->what);
	free(fault->hint);
	memset(fault, 0, sizeof(*fault));
}

char *json_pointer_join(const char *base, const char *name)
{
	_cleanup_free_ char *escaped = NULL;
	char *p;

	if (!name)
		return strdup(base);

	escaped = malloc(2 * strlen(name) + 1);
	if (!escaped)
		return NULL;

	for (p = escaped; *name; name++) {
		if (*name == '~' || *name == '/') {
			*p++ = '~';
			*p++ = *name == '~' ? '0' : '1';
		} else {
			*p++ = *name;
		}
	}
	*p = '\0';
	return xasprintf("%s/%s", base, escaped);
}

int json_fault_set(struct json_fault *fault, const char *base, const char *name, const char *hint,
		   const char *format, ...)
{
	va_list ap;

	if (!fault || fault->what || fault->pointer)
		return -EINVAL;

	fault->pointer = json_pointer_join(strempty(base), name);
	(void)free_and_strdup(&fault->hint, hint);
	va_start(ap, format);
	if (vasprintf(&fault->what, format, ap) < 0)
		fault->what = NULL;
	va_end(ap);
	return -EINVAL;
}
