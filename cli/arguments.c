/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads options by a verb's table; every value is checked here. */
#include "cli/arguments.h"

#include <assert.h>
#include <stdio.h>

#include "lib/edit-distance.h"

static size_t count_options(const struct option *options)
{
	size_t n = 0;

	while (options && options[n].name)
		n++;
	return n;
}

/* "--name" or "--name=value" or "-f"; sets *ret_inline to what is behind "=". */
static const struct option *find_option(const struct option *options, const char *word,
					const char **ret_inline)
{
	const char *equals = strchr(word, '=');
	size_t length = equals ? (size_t)(equals - word) : strlen(word);

	*ret_inline = NULL;
	for (; options && options->name; options++) {
		if (options->letter && word[0] == '-' && word[1] == options->letter && !word[2])
			return options;
		if (strlen(options->name) != length || strncmp(options->name, word, length) != 0)
			continue;
		*ret_inline = equals ? equals + 1 : NULL;
		return options;
	}
	return NULL;
}

int option_read(const struct option *options, int argc, char *const *argv, int *i,
		const struct option **ret_option, const char **ret_value, char **ret_error)
{
	const char *value;
	const struct option *o = find_option(options, argv[*i], &value);

	if (!o)
		return 0;
	if (o->kind == OPTION_LATER) {
		*ret_error = xasprintf("%s is not supported by this version (%s)", o->name,
				       o->value ? o->value : "leave it out");
		return -EINVAL;
	}
	if (o->kind == OPTION_FLAG && value) {
		*ret_error = xasprintf("%s takes no value", o->name);
		return -EINVAL;
	}
	if (o->kind != OPTION_FLAG && !value) {
		if (*i + 1 >= argc) {
			*ret_error = xasprintf("%s needs a value: %s %s", argv[*i], argv[*i],
					       o->value);
			return -EINVAL;
		}
		value = argv[++*i];
	}
	++*i;
	*ret_option = o;
	*ret_value = value;
	return 1;
}

static int read_number(const struct option *o, const char *text, uint64_t *ret,
		       const char **ret_hint)
{
	bool negative = o->kind == OPTION_INT && text[0] == '-';
	const char *digits = text + negative;
	char *end;

	*ret_hint = o->kind == OPTION_INT ? "a whole number" : "a whole number, 0 or more";
	if (*digits < '0' || *digits > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoull(digits, &end, 10);
	if (*end || errno || *ret > INT64_MAX)
		return -EINVAL;
	if (negative)
		*ret = (uint64_t)-(int64_t)*ret;
	return 0;
}

/* Checks a value, and reads its number. */
static int read_value(const struct option *o, const char *text, uint64_t *ret,
		      const char **ret_hint)
{
	struct amount amount;

	switch (o->kind) {
	case OPTION_UINT:
	case OPTION_INT:
		return read_number(o, text, ret, ret_hint);
	case OPTION_SIZE:
		return size_parse(text, ret, ret_hint);
	case OPTION_AMOUNT:
		return amount_parse(text, &amount, ret_hint);
	case OPTION_DURATION:
		return duration_parse(text, ret, ret_hint);
	case OPTION_TEXT:
	case OPTION_LIST:
		*ret_hint = "it is empty";
		return *text ? 0 : -EINVAL;
	case OPTION_FLAG:
	case OPTION_LATER:
		return 0;
	}
	return -EINVAL;
}

static int store_value(struct arguments *a, const struct option *o, const char *text,
		       char **ret_error)
{
	struct option_value *v = &a->values[o - a->options];
	const char *hint = NULL;

	if (v->given && o->kind != OPTION_LIST && o->kind != OPTION_FLAG) {
		*ret_error = xasprintf("%s is given twice", o->name);
		return -EINVAL;
	}
	if (read_value(o, text, &v->number, &hint) < 0) {
		*ret_error = xasprintf("%s %s: wrong value (%s)", o->name, text,
				       hint ? hint : o->value);
		return -EINVAL;
	}
	if (o->kind == OPTION_LIST) {
		if (!v->list)
			v->list = json_array();
		if (!v->list || json_array_append_new(v->list, json_string(text)) < 0) {
			*ret_error = xasprintf("%s: not valid UTF-8", o->name);
			return -EINVAL;
		}
	}
	v->text = text;
	v->given = true;
	return 0;
}

static int unknown_option(const struct option *options, const char *word, char **ret_error)
{
	const char *names[OPTIONS_MAX];
	size_t n = count_options(options), i;
	const char *near;

	for (i = 0; i < n; i++)
		names[i] = options[i].hidden ? NULL : options[i].name;
	near = edit_distance_nearest(word, names, n);
	*ret_error = near ? xasprintf("unknown option %s (did you mean %s?)", word, near)
			  : xasprintf("unknown option %s", word);
	return -EINVAL;
}

static bool looks_like_option(const char *word)
{
	return word[0] == '-' && word[1];
}

int arguments_parse(struct arguments *a, const struct option *options, bool takes_command, int argc,
		    char *const *argv, other_option_fn other, void *userdata, char **ret_error)
{
	bool words_only = false;
	int i = 0, r;

	assert(count_options(options) <= OPTIONS_MAX);
	*a = (struct arguments){ .options = options };
	a->words = calloc((size_t)argc + 1, sizeof(*a->words));
	if (!a->words)
		return -ENOMEM;

	while (i < argc) {
		const struct option *o = NULL;
		const char *value = NULL;

		if (!words_only && streq(argv[i], "--")) {
			words_only = true;
			i++;
			if (!takes_command)
				continue;
			a->has_command = true;
			a->command = (const char *const *)argv + i;
			a->n_command = (size_t)(argc - i);
			break;
		}
		if (words_only || !looks_like_option(argv[i])) {
			a->words[a->n_words++] = argv[i++];
			continue;
		}
		r = option_read(options, argc, argv, &i, &o, &value, ret_error);
		if (r > 0)
			r = store_value(a, o, value, ret_error);
		else if (r == 0 && other)
			r = other(userdata, argc, argv, &i, ret_error) ?: -ENOENT;
		else if (r == 0)
			r = -ENOENT;
		if (r == -ENOENT)
			r = unknown_option(options, argv[i], ret_error);
		if (r < 0)
			return r;
	}
	return 0;
}

void arguments_done(struct arguments *a)
{
	size_t i;

	for (i = 0; i < OPTIONS_MAX; i++)
		json_decref(a->values[i].list);
	free(a->words);
	*a = (struct arguments){ .words = NULL };
}

/* A name that is not in the table is a mistake of the verb's author. */
static const struct option_value *find_value(const struct arguments *a, const char *name)
{
	size_t i;

	for (i = 0; a->options && a->options[i].name; i++)
		if (streq(a->options[i].name, name))
			return &a->values[i];
	fprintf(stderr, "no option %s in the table\n", name);
	abort();
}

bool arguments_flag(const struct arguments *a, const char *name)
{
	return find_value(a, name)->given;
}

const char *arguments_text(const struct arguments *a, const char *name)
{
	return find_value(a, name)->text;
}

bool arguments_number(const struct arguments *a, const char *name, uint64_t *ret)
{
	const struct option_value *v = find_value(a, name);

	if (v->given)
		*ret = v->number;
	return v->given;
}

const json_t *arguments_list(const struct arguments *a, const char *name)
{
	return find_value(a, name)->list;
}

const char *arguments_word(const struct arguments *a, size_t i)
{
	return i < a->n_words ? a->words[i] : NULL;
}
