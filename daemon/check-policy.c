/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `gpuvfd --check-policy FILE…`: the loader without a daemon. */
#include "check-policy.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/io.h"
#include "policy/policy.h"

#define POLICY_SIZE_MAX (4 * MIB)

static int print_all(const char *word, const json_t *texts)
{
	size_t i;
	json_t *text;

	json_array_foreach((json_t *)texts, i, text)
		fprintf(stderr, "%s%s\n", word, json_string_value(text));
	return (int)json_array_size(texts);
}

int policy_check_files(char **files, int n)
{
	struct policy_source *sources = calloc((size_t)n, sizeof(*sources));
	_cleanup_(policy_unrefp) struct policy *policy = NULL;
	_cleanup_json_ json_t *errors = NULL;
	int result = 0;

	for (int i = 0; sources && i < n && result == 0; i++) {
		char *text = NULL;
		int r = read_file_at(AT_FDCWD, files[i], POLICY_SIZE_MAX, &text, &sources[i].size);

		sources[i].name = files[i];
		sources[i].text = text;
		if (r < 0) {
			fprintf(stderr, "gpuvfd: %s: %s\n", files[i], strerror(-r));
			result = r == -ENOENT ? 5 : 1;
		}
	}
	if (!sources)
		return 1;
	if (result == 0 && policy_build(sources, (size_t)n, &policy, &errors) < 0) {
		print_all("", errors);
		result = 8; /* invalid_document */
	} else if (result == 0) {
		print_all("warning: ", policy->warnings);
		printf("valid: revision %s\n", policy->revision);
	}
	for (int i = 0; i < n; i++)
		free((char *)sources[i].text);
	free(sources);
	return result;
}
