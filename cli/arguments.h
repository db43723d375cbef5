/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options and words of a command line, by tables.  Values are checked while they are read, so that
 * nothing was sent when one is wrong.  Knows no verb. */
#pragma once

#include "lib/json.h"
#include "lib/units.h"

enum option_kind {
	OPTION_FLAG,
	OPTION_TEXT,
	OPTION_UINT,
	OPTION_INT,
	OPTION_SIZE,	 /* "4GiB" */
	OPTION_AMOUNT,	 /* "4GiB", "25%", "fair" */
	OPTION_DURATION, /* "1h30m" */
	OPTION_LIST,	 /* may be repeated */
	OPTION_LATER,	 /* part of the interface, not of this version: refused by name */
};

struct option {
	const char *name; /* "--vfs" */
	enum option_kind kind;
	const char *value;   /* how help calls the value; for OPTION_LATER, what to use instead */
	const char *summary;
	char letter; /* 'f' when "-f" is the same */
	bool hidden; /* not shown by help */
};

#define OPTIONS_MAX 48

struct option_value {
	const char *text; /* as written; borrowed */
	uint64_t number;  /* count, bytes, or µs */
	json_t *list;	  /* strings */
	bool given;
};

struct arguments {
	const struct option *options;
	struct option_value values[OPTIONS_MAX];
	const char **words;
	size_t n_words;
	const char *const *command; /* behind "--", borrowed */
	size_t n_command;
	bool has_command;
};

/* An option that the table does not have: 1 when it was handled (*i moved over its value), 0 when
 * not known, negative when refused with new *ret_error. */
typedef int (*other_option_fn)(void *userdata, int argc, char *const *argv, int *i,
			       char **ret_error);

/* Reads argv[0…argc-1] (without program and verb).  Returns 0, -EINVAL with new *ret_error, or
 * -ENOMEM. */
int arguments_parse(struct arguments *a, const struct option *options, bool takes_command, int argc,
		    char *const *argv, other_option_fn other, void *userdata, char **ret_error);
void arguments_done(struct arguments *a);

/* The table's row for argv[*i], and its value, if it takes one.  Returns 1 and moves *i, 0 when
 * argv[*i] is not in the table, -EINVAL with new *ret_error. */
int option_read(const struct option *options, int argc, char *const *argv, int *i,
		const struct option **ret_option, const char **ret_value, char **ret_error);

/* Of options that are in the verb's table. */
bool arguments_flag(const struct arguments *a, const char *name);
const char *arguments_text(const struct arguments *a, const char *name); /* NULL = not given */
bool arguments_number(const struct arguments *a, const char *name, uint64_t *ret);
const json_t *arguments_list(const struct arguments *a, const char *name); /* NULL = not given */
const char *arguments_word(const struct arguments *a, size_t i); /* NULL = not that many */
