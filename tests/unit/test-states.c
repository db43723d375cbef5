/* SPDX-License-Identifier: GPL-2.0-or-later */
/* docs/STATES.md says what the edge tables say, no less and no more.  `test-states --print` prints the tables that
 * the page must have. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/states.h"
#include "lib/io.h"
#include "lib/macros.h"

struct machine {
	const char *name;
	const struct state_edge *edges;
	const char *const *names;
	int n;
};

static const struct machine machines[] = {
	{ "gpu", gpu_edges, gpu_state_names, GPU_STATE_MAX },
	{ "vf", vf_edges, vf_state_names, VF_STATE_MAX },
	{ "job", job_edges, job_state_names, JOB_STATE_MAX },
	{ "operation", operation_edges, operation_state_names, OPERATION_STATE_MAX },
};

/* Returns new. */
static char *table_of(const struct machine *machine)
{
	char *text = xasprintf("<!-- edges of %s -->\n| from | to | because |\n|---|---|---|\n", machine->name);

	for (const struct state_edge *e = machine->edges; e->cause; e++) {
		char *longer = xasprintf("%s| %s | %s | %s |\n", text, e->from < 0 ? "any" : machine->names[e->from],
					 machine->names[e->to], e->cause);

		free(text);
		text = longer;
	}
	return text;
}

static char *page(void)
{
	_cleanup_free_ char *path = xasprintf("%s/docs/STATES.md", strempty(getenv("abs_top_srcdir")));
	char *text = NULL;
	size_t size;

	assert_int_equal(read_file_at(AT_FDCWD, path, 1 << 20, &text, &size), 0);
	return text;
}

static void test_tables(void **state)
{
	_cleanup_free_ char *text = page();

	for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
		_cleanup_free_ char *table = table_of(&machines[i]);
		const char *found = strstr(text, table);

		if (!found)
			fail_msg("docs/STATES.md must have this table:\n%s", table);
		assert_int_equal(found[strlen(table)], '\n'); /* and no row more */
	}
}

/* Each state is told in a row of its own: "| `free` | ...". */
static void test_every_state_is_told(void **state)
{
	_cleanup_free_ char *text = page();

	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		for (int k = 0; k < machines[i].n; k++) {
			_cleanup_free_ char *row = xasprintf("\n| `%s` | ", machines[i].names[k]);

			if (!strstr(text, row))
				fail_msg("docs/STATES.md does not tell what %s %s is", machines[i].name,
					 machines[i].names[k]);
		}
}

/* Nobody waits for ever: every state but the last ones can be left, and is reached. */
static void test_no_dead_ends(void **state)
{
	static const char *const ends[] = { "ended", "done", "failed", "cancelled" };

	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		for (int k = 0; k < machines[i].n; k++) {
			bool left = false, last = false;

			for (const struct state_edge *e = machines[i].edges; e->cause; e++)
				left |= e->from == k;
			for (size_t j = 0; j < ARRAY_SIZE(ends); j++)
				last |= strcmp(machines[i].names[k], ends[j]) == 0;
			if (left == last)
				fail_msg("%s %s %s be left", machines[i].name, machines[i].names[k],
					 left ? "can" : "cannot");
		}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_every_state_is_told),
		cmocka_unit_test(test_no_dead_ends),
	};

	if (argc > 1 && strcmp(argv[1], "--print") == 0) {
		for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
			_cleanup_free_ char *table = table_of(&machines[i]);

			puts(table);
		}
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
