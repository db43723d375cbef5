/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Look-ups in tables of enum names.  A hole in a table is a value without a name: it has no text and
 * no text leads to it. */
#include "lib/enum-table.h"

#include <stdio.h>

const char *enum_to_string(const char *const *names, size_t max, long value)
{
	if (value < 0 || (size_t)value >= max)
		return NULL;

	return names[value];
}

int enum_from_string(const char *const *names, size_t max, const char *name)
{
	size_t i;

	if (!name)
		return -EINVAL;

	for (i = 0; i < max; i++)
		if (names[i] && streq(names[i], name))
			return (int)i;

	return -EINVAL;
}

char *enum_list(const char *const *names, size_t max)
{
	char *text = NULL;
	size_t size = 0;
	bool first = true;
	FILE *f;
	size_t i;

	f = open_memstream(&text, &size);
	if (!f)
		return NULL;

	for (i = 0; i < max; i++) {
		if (!names[i])
			continue;
		fprintf(f, "%s%s", first ? "" : ", ", names[i]);
		first = false;
	}

	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
