/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads modules.alias, "alias PATTERN MODULE" a line, as depmod writes it; any other line is passed over. */
#include "host/vfio-alias.h"

#define LINE_BEGIN "alias vfio_pci:"
#define PCI_BEGIN "pci:"
#define MODULE_MAX 55 /* the kernel's MODULE_NAME_LEN, less the end */

/* '*' and '?' only: there is nothing else in aliases of PCI functions.  Goes back to the last star alone, so that a
 * line of stars costs no more than its length times the name's. */
static bool matches(const char *pattern, size_t length, const char *name)
{
	const char *end = pattern + length, *star = NULL, *retry = NULL;

	while (*name) {
		if (pattern < end && *pattern == '*') {
			star = ++pattern;
			retry = name;
		} else if (pattern < end && (*pattern == '?' || *pattern == *name)) {
			pattern++;
			name++;
		} else if (star) {
			pattern = star;
			name = ++retry;
		} else {
			return false;
		}
	}
	while (pattern < end && *pattern == '*')
		pattern++;
	return pattern == end;
}

static unsigned count_wildcards(const char *pattern, size_t length)
{
	unsigned n = 0;

	for (size_t i = 0; i < length; i++)
		n += pattern[i] == '*' || pattern[i] == '?';
	return n;
}

/* The name becomes a part of paths. */
static bool is_module_name(const char *name, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", name[i]) ||
		    !name[i])
			return false;
	return length > 0 && length <= MODULE_MAX;
}

/* The next line, without its end, that is an alias of VFIO's; NULL = there is none.  *at: where to go on. */
static const char *next_line(const char **at, const char *end, const char **ret_stop)
{
	while (*at < end) {
		const char *line = *at, *stop = memchr(line, '\n', (size_t)(end - line));

		stop = stop ? stop : end;
		*at = stop < end ? stop + 1 : end;
		if ((size_t)(stop - line) < strlen(LINE_BEGIN) || memcmp(line, LINE_BEGIN, strlen(LINE_BEGIN)) != 0)
			continue;
		*ret_stop = stop;
		return line;
	}
	return NULL;
}

char *vfio_alias_lines(const char *text, size_t size, size_t *ret_size)
{
	const char *at = text, *end = text + size, *line, *stop;
	char *lines;

	*ret_size = 0;
	while ((line = next_line(&at, end, &stop)))
		*ret_size += (size_t)(stop - line) + 1;
	lines = malloc(*ret_size + 1);
	if (!lines)
		return NULL;
	*ret_size = 0;
	for (at = text; (line = next_line(&at, end, &stop)); *ret_size += (size_t)(stop - line) + 1) {
		memcpy(lines + *ret_size, line, (size_t)(stop - line));
		lines[*ret_size + (size_t)(stop - line)] = '\n';
	}
	lines[*ret_size] = '\0';
	return lines;
}

int vfio_alias_find(const char *text, size_t size, const char *modalias, char **ret)
{
	const char *at = text, *line, *stop, *best = NULL;
	unsigned best_wildcards = 0;
	size_t best_length = 0;

	if (strncmp(modalias, PCI_BEGIN, strlen(PCI_BEGIN)) != 0)
		return -EINVAL;
	modalias += strlen(PCI_BEGIN);

	while ((line = next_line(&at, text + size, &stop))) {
		const char *pattern = line + strlen(LINE_BEGIN), *blank = memchr(pattern, ' ', (size_t)(stop - pattern));
		unsigned wildcards;

		if (!blank || !is_module_name(blank + 1, (size_t)(stop - blank - 1)) ||
		    !matches(pattern, (size_t)(blank - pattern), modalias))
			continue;
		wildcards = count_wildcards(pattern, (size_t)(blank - pattern));
		if (best && wildcards >= best_wildcards)
			continue;
		best = blank + 1;
		best_length = (size_t)(stop - best);
		best_wildcards = wildcards;
	}
	if (!best)
		return -ENOENT;
	*ret = strndup(best, best_length);
	return *ret ? 0 : -ENOMEM;
}
