/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Collects cells, measures them, prints them aligned. */
#include "cli/table.h"

#include "lib/escape.h"

#define GAP 2

struct table {
	const struct table_column *columns;
	size_t n_columns;
	char **cells; /* row after row, escaped */
	size_t n_rows;
	bool failed; /* memory was out: nothing is printed rather than half */
};

struct range {
	uint32_t first, last;
};

/* Blocks that terminals show two columns wide (East Asian wide and fullwidth, emoji). */
static const struct range wide[] = {
	{ 0x1100, 0x115f },   { 0x2e80, 0x303e },   { 0x3041, 0x33ff },	  { 0x3400, 0x4dbf },
	{ 0x4e00, 0x9fff },   { 0xa000, 0xa4cf },   { 0xac00, 0xd7a3 },	  { 0xf900, 0xfaff },
	{ 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },   { 0xffe0, 0xffe6 },	  { 0x1f300, 0x1f64f },
	{ 0x1f680, 0x1f6ff }, { 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
};

/* Marks that sit on the character before them, and joiners. */
static const struct range zero[] = {
	{ 0x0300, 0x036f }, { 0x0483, 0x0489 }, { 0x0591, 0x05bd }, { 0x064b, 0x065f },
	{ 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff }, { 0x200b, 0x200d }, { 0x20d0, 0x20ff },
	{ 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f }, { 0xfeff, 0xfeff },
};

static bool in_ranges(uint32_t c, const struct range *ranges, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

/* One character of valid UTF-8; moves *s behind it. */
static uint32_t next_character(const char **s)
{
	const unsigned char *p = (const unsigned char *)*s;
	unsigned n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4, i;
	uint32_t c = n == 1 ? p[0] : p[0] & (0xffU >> (n + 1));

	for (i = 1; i < n && (p[i] & 0xc0) == 0x80; i++)
		c = c << 6 | (p[i] & 0x3f);
	*s += i;
	return c;
}

size_t text_columns(const char *s)
{
	size_t columns = 0;

	while (*s) {
		uint32_t c = next_character(&s);

		if (in_ranges(c, zero, ARRAY_SIZE(zero)))
			continue;
		columns += in_ranges(c, wide, ARRAY_SIZE(wide)) ? 2 : 1;
	}
	return columns;
}

struct table *table_new(const struct table_column *columns)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->columns = columns;
	while (columns[t->n_columns].title)
		t->n_columns++;
	return t;
}

struct table *table_free(struct table *t)
{
	size_t i;

	if (!t)
		return NULL;
	for (i = 0; i < t->n_rows * t->n_columns; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
	return NULL;
}

void table_add(struct table *t, char **cells)
{
	char **more = reallocarray(t->cells, (t->n_rows + 1) * t->n_columns, sizeof(*more));
	size_t i;

	t->failed = t->failed || !more;
	for (i = 0; i < t->n_columns; i++) {
		const char *text = strempty(cells[i]);

		if (more)
			more[t->n_rows * t->n_columns + i] =
				escape_terminal(text, strlen(text), false);
		free(cells[i]);
	}
	if (!more)
		return;
	t->cells = more;
	t->n_rows++;
}

size_t table_rows(const struct table *t)
{
	return t->n_rows;
}

static const char *cell(const struct table *t, size_t row, size_t column)
{
	return strempty(t->cells[row * t->n_columns + column]);
}

#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define RED "\033[31m"
#define DIM "\033[2m"
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

static const struct {
	const char *word, *color;
} state_colors[] = {
	{ "ready", GREEN },	     { "running", GREEN },    { "attached", GREEN },
	{ "succeeded", GREEN },	     { "free", NULL },	      { "leased", YELLOW },
	{ "attaching", YELLOW },     { "detaching", YELLOW }, { "resetting", YELLOW },
	{ "recutting", YELLOW },     { "draining", YELLOW },  { "starting", YELLOW },
	{ "waiting-guest", YELLOW }, { "stopping", YELLOW },  { "unreachable", RED },
	{ "wedged", RED },	     { "quarantined", RED },  { "failed", RED },
	{ "lost", RED },	     { "oom", RED },	      { "timeout", RED },
	{ "gone", RED },	     { "absent", RED },	      { "off", DIM },
	{ "cancelled", DIM },
};

static const char *state_color(const char *word)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(state_colors); i++)
		if (streq(state_colors[i].word, word))
			return state_colors[i].color;
	return NULL;
}

static void print_row(const struct table *t, const size_t *widths, const char *const *row,
		      FILE *out, bool color, bool header)
{
	size_t last = t->n_columns, pending = 0, i;

	while (last > 0 && !row[last - 1][0])
		last--;
	for (i = 0; i < last; i++) {
		size_t pad = widths[i] - MIN_OF(widths[i], text_columns(row[i]));
		const char *paint = header                ? BOLD
				    : t->columns[i].state ? state_color(row[i])
							  : NULL;

		if (!color)
			paint = NULL;
		pending += t->columns[i].right ? pad : 0;
		fprintf(out, "%*s%s%s%s", (int)pending, "", strempty(paint), row[i],
			paint ? PLAIN : "");
		pending = GAP + (t->columns[i].right ? 0 : pad);
	}
	fputc('\n', out);
}

static void measure(const struct table *t, size_t *widths)
{
	size_t row, i;

	for (i = 0; i < t->n_columns; i++) {
		widths[i] = text_columns(t->columns[i].title);
		for (row = 0; row < t->n_rows; row++)
			widths[i] = MAX_OF(widths[i], text_columns(cell(t, row, i)));
	}
}

void table_print(const struct table *t, FILE *out, bool color)
{
	_cleanup_free_ size_t *widths = calloc(t->n_columns, sizeof(*widths));
	_cleanup_free_ const char **row = calloc(t->n_columns, sizeof(*row));
	size_t r, i;

	if (!widths || !row || t->failed) {
		fputs("(out of memory)\n", out);
		return;
	}
	measure(t, widths);
	for (i = 0; i < t->n_columns; i++)
		row[i] = t->columns[i].title;
	print_row(t, widths, row, out, color, true);
	for (r = 0; r < t->n_rows; r++) {
		for (i = 0; i < t->n_columns; i++)
			row[i] = cell(t, r, i);
		print_row(t, widths, row, out, color, false);
	}
}
