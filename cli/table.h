/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables of aligned columns for people.  Cells are foreign text: they are escaped here.  Knows
 * nothing of what the columns mean, but for a column of states, which is coloured. */
#pragma once

#include <stdio.h>

#include "lib/macros.h"

struct table_column {
	const char *title;
	bool right; /* numbers */
	bool state; /* coloured by its word */
};

struct table;

/* Columns are ended by a row without a title, and are borrowed.  Returns NULL when memory is out.
 */
struct table *table_new(const struct table_column *columns);
struct table *table_free(struct table *t);
DEFINE_CLEANUP(struct table *, table_free);

/* Adds a row: takes one new string per column; NULL is an empty cell. */
void table_add(struct table *t, char **cells);
/* TABLE_ADD(t, text_a, text_b, …) with new strings. */
#define TABLE_ADD(t, ...) table_add(t, (char *[]){ __VA_ARGS__ })

size_t table_rows(const struct table *t);
/* Prints header and rows. Columns that are empty or "-" everywhere stay. */
void table_print(const struct table *t, FILE *out, bool color);

/* Columns that a terminal needs for valid UTF-8: wide characters count two, combining ones none. */
size_t text_columns(const char *s);
