/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers out of texts for people. */
#include "host/debugfs-text.h"

#include <ctype.h>

#include "lib/units.h"

/* True when nothing but white space stands between p and the begin of its line, or a comma. */
static bool begins_item(const char *text, const char *p)
{
	while (p > text && (p[-1] == ' ' || p[-1] == '\t'))
		p--;
	return p == text || p[-1] == '\n' || p[-1] == ',';
}

/* The unit behind a number; 0 = one that we do not know. */
static uint64_t unit_at(const char *p)
{
	static const struct {
		const char *name;
		uint64_t bytes;
	} units[] = {{"KiB", KIB}, {"MiB", MIB}, {"GiB", GIB}};
	size_t i;

	if (*p == ' ')
		p++;
	for (i = 0; i < ARRAY_SIZE(units); i++)
		if (strncmp(p, units[i].name, 3) == 0)
			return units[i].bytes;
	return *p == '\0' || *p == ',' || isspace((unsigned char)*p) ? 1 : 0;
}

/* The number behind the first `label` that begins an item. */
static struct known find_number(const char *text, const char *label)
{
	const char *p = strstr(text, label);
	unsigned long long value;
	uint64_t unit;
	char *end;

	while (p && !begins_item(text, p))
		p = strstr(p + 1, label);
	if (!p)
		return (struct known){0};

	p += strlen(label);
	while (*p == ' ' || *p == '\t')
		p++;
	if (!isdigit((unsigned char)*p))
		return (struct known){0};
	errno = 0;
	value = strtoull(p, &end, 10);
	unit = unit_at(end);
	if (errno != 0 || unit == 0 || value > INT64_MAX / unit)
		return (struct known){0};

	return (struct known){true, value * unit};
}

struct known debugfs_ggtt_available(const char *text)
{
	return find_number(text, "avail:");
}

struct debugfs_vram debugfs_vram_mm(const char *text)
{
	struct debugfs_vram vram = {find_number(text, "size:"), find_number(text, "free:")};
	struct known usage = find_number(text, "usage:");

	if (!vram.free.known && vram.size.known && usage.known && usage.value <= vram.size.value)
		vram.free = (struct known){true, vram.size.value - usage.value};
	/* Nothing is both free and not there: then a number is none of those we mean. */
	if (vram.size.known && vram.free.known && vram.free.value > vram.size.value)
		return (struct debugfs_vram){0};
	return vram;
}

bool debugfs_is_locked(const char *text)
{
	return strchr(text, '[') && !strstr(text, "[none]");
}
