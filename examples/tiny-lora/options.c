/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See options.h. */
#include "options.h"

#include "blob.h"
#include "model.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 1000000
#define BATCH_MAX 4096

enum option_type {
	OPTION_PATH,
	OPTION_COUNT,
	OPTION_REAL,
};

struct option_row {
	const char *name;
	enum option_type type;
	size_t offset;
	double low, high;
};

static const struct option_row rows[] = {
	{ "--base", OPTION_PATH, offsetof(struct options, base), 0, 0 },
	{ "--data", OPTION_PATH, offsetof(struct options, data), 0, 0 },
	{ "--out", OPTION_PATH, offsetof(struct options, out), 0, 0 },
	{ "--adapter", OPTION_PATH, offsetof(struct options, adapter), 0, 0 },
	{ "--steps", OPTION_COUNT, offsetof(struct options, steps), 1, STEPS_MAX },
	{ "--batch", OPTION_COUNT, offsetof(struct options, batch), 1, BATCH_MAX },
	{ "--rank", OPTION_COUNT, offsetof(struct options, rank), 1, RANK_MAX },
	{ "--seed", OPTION_COUNT, offsetof(struct options, seed), 0, 4294967295.0 },
	{ "--alpha", OPTION_REAL, offsetof(struct options, alpha), 0.001, 10000 },
	{ "--lr", OPTION_REAL, offsetof(struct options, rate), 1e-8, 10 },
	{ "--weight-decay", OPTION_REAL, offsetof(struct options, decay), 0, 10 },
};

static int set_count(const struct option_row *row, const char *text, uint64_t *ret_value)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || end == text || strspn(text, "0123456789") != strlen(text) ||
	    (double)value < row->low || (double)value > row->high)
		return refuse("%s %s: it takes a whole number from %.0f to %.0f", row->name, text,
			      row->low, row->high);
	*ret_value = value;
	return 0;
}

static int set_real(const struct option_row *row, const char *text, double *ret_value)
{
	double value;
	char *end;

	value = strtod(text, &end);
	if (end == text || *end != '\0' || !isfinite(value) || value < row->low ||
	    value > row->high)
		return refuse("%s %s: it takes a number from %g to %g", row->name, text, row->low,
			      row->high);
	*ret_value = value;
	return 0;
}

static int set_option(struct options *options, const struct option_row *row, const char *text)
{
	void *member = (char *)options + row->offset;

	switch (row->type) {
	case OPTION_PATH:
		if (*text == '\0')
			return refuse("%s: it takes a path, not nothing", row->name);
		*(const char **)member = text;
		return 0;
	case OPTION_COUNT:
		return set_count(row, text, member);
	case OPTION_REAL:
		return set_real(row, text, member);
	}
	return -EINVAL;
}

int options_parse(struct options *ret_options, int argc, char **argv)
{
	struct options options = {
		.steps = 200, .batch = 8, .rank = 8, .seed = 1,
		.alpha = 16, .rate = 0.01, .decay = 0.01,
	};

	for (int i = 0; i < argc; i += 2) {
		const struct option_row *row = NULL;
		int r;

		for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
			if (strcmp(rows[k].name, argv[i]) == 0)
				row = &rows[k];
		if (!row)
			return refuse("%s: no such option (see tiny-lora help)", argv[i]);
		if (i + 1 == argc)
			return refuse("%s: its value is missing", argv[i]);
		r = set_option(&options, row, argv[i + 1]);
		if (r < 0)
			return r;
	}
	*ret_options = options;
	return 0;
}
