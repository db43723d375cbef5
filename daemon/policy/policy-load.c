/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files of a policy directory, in byte order of their names.  Called at start, by `policy
 * reload` and by `--check-policy`; never on the loop. */
#include "policy/policy-build.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/io.h"

/* A policy is written by people: a larger file is another kind of file. */
#define POLICY_FILE_MAX (4 * MIB)

struct texts {
	struct policy_source *sources;
	size_t n;
	json_t *errors;
};

static void texts_done(struct texts *t)
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		free((char *)t->sources[i].name);
		free((char *)t->sources[i].text);
	}
	free(t->sources);
	json_decref(t->errors);
}

static int texts_refuse(struct texts *t, const char *path, int error)
{
	_cleanup_free_ char *text = NULL;

	if (error == -EFBIG)
		text = xasprintf("%s:1:1: /: is larger than %llu MiB", path,
				 (unsigned long long)(POLICY_FILE_MAX / MIB));
	else
		text = xasprintf("%s:1:1: /: cannot be read: %s", path, strerror(-error));
	return text ? policy_append_text(t->errors, text) : -ENOMEM;
}

/* An unreadable file is an error of the set, not of this call. */
static int texts_add(struct texts *t, const char *path)
{
	struct policy_source *sources, source = { NULL };
	char *text = NULL;
	int r;

	r = read_file_at(AT_FDCWD, path, POLICY_FILE_MAX, &text, &source.size);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return texts_refuse(t, path, r);

	source.text = text;
	source.name = strdup(path);
	sources = reallocarray(t->sources, t->n + 1, sizeof(*sources));
	if (!source.name || !sources) {
		free(text);
		free((char *)source.name);
		if (sources)
			t->sources = sources;
		return -ENOMEM;
	}
	t->sources = sources;
	t->sources[t->n++] = source;
	return 0;
}

static int is_policy_file(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 5 && streq(entry->d_name + length - 5, ".json");
}

static int byte_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* A directory that does not exist is one without files. */
static int texts_add_directory(struct texts *t, const char *directory)
{
	struct dirent **entries = NULL;
	int n, i, r = 0;

	n = scandir(directory, &entries, is_policy_file, byte_order);
	if (n < 0)
		return errno == ENOENT ? 0 : texts_refuse(t, directory, -errno);

	for (i = 0; i < n; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", directory, entries[i]->d_name);

		if (r == 0)
			r = path ? texts_add(t, path) : -ENOMEM;
		free(entries[i]);
	}
	free(entries);
	return r;
}

/* Joins what could not be read with what is wrong in the rest. */
static int texts_build(struct texts *t, struct policy **ret, json_t **ret_errors)
{
	_cleanup_(policy_unrefp) struct policy *policy = NULL;
	_cleanup_json_ json_t *errors = NULL;
	int r;

	r = policy_build(t->sources, t->n, &policy, &errors);
	if (r < 0 && r != -EINVAL)
		return r;
	if (errors && json_array_extend(t->errors, errors) < 0)
		return -ENOMEM;
	if (json_array_size(t->errors) > 0) {
		*ret_errors = TAKE_PTR(t->errors);
		return -EINVAL;
	}
	*ret = TAKE_PTR(policy);
	return 0;
}

int policy_load(const char *directory, const char *fallback_file, struct policy **ret,
		json_t **ret_errors)
{
	_cleanup_(texts_done) struct texts t = { .errors = json_array() };
	int r;

	if (!t.errors)
		return -ENOMEM;
	r = texts_add_directory(&t, directory);
	if (r == 0 && t.n == 0 && json_array_size(t.errors) == 0 && fallback_file)
		r = texts_add(&t, fallback_file);
	return r < 0 ? r : texts_build(&t, ret, ret_errors);
}
