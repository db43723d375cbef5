/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unpacking outputs: globs, names, limits, links in the way, broken packs. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "lib/io.h"
#include "runner/outputs.h"

struct fixture {
	char top[40];
	int directory;
	json_t *globs;
	struct outputs *outputs;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->top, "/tmp/gpuvf-test-outputs-XXXXXX");
	assert_non_null(mkdtemp(f->top));
	f->directory = open(f->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->globs = json_pack("[s,s]", "adapter/**", "./*.txt");
	assert_int_equal(outputs_new(f->directory, f->globs, 100, &f->outputs), 0);
	*state = f;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	outputs_free(f->outputs);
	json_decref(f->globs);
	close(f->directory);
	(void)nftw(f->top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static int feed(struct fixture *f, const char *text)
{
	return outputs_feed(f->outputs, text, strlen(text));
}

static bool there(struct fixture *f, const char *name)
{
	return faccessat(f->directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void assert_file(struct fixture *f, const char *name, const char *expected)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	assert_int_equal(read_file_at(f->directory, name, 1000, &text, &size), 0);
	assert_string_equal(text, expected);
}

static void test_good(void **state)
{
	static const char pack[] = "file 3 - adapter/a\none\nfile 0 x adapter/x/y/b\n\n"
				   "file 4 - c.txt\nfour\nfile 2 - other\nno\nend\n";
	struct fixture *f = *state;

	/* one byte at a time */
	for (const char *c = pack; *c; c++)
		assert_int_equal(outputs_feed(f->outputs, c, 1), 0);
	assert_true(outputs_complete(f->outputs));
	assert_int_equal(outputs_count(f->outputs), 3);
	assert_file(f, "files/adapter/a", "one");
	assert_file(f, "files/adapter/x/y/b", "");
	assert_int_equal(faccessat(f->directory, "files/adapter/x/y/b", X_OK, 0), 0);
	assert_file(f, "files/c.txt", "four");
	assert_false(there(f, "files/other"));
}

static void test_names_that_are_not_taken(void **state)
{
	static const char *const bad[] = {
		"../x", "adapter/../../x",  "/etc/x",       "adapter//x", "adapter/./x", "adapter/",
		"",     "adapter/\x1b[31m", "adapter/\xff",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_free_ char *pack = xasprintf("file 1 - %s\nx\n", bad[i]);

		assert_false(outputs_name_is_valid(bad[i]));
		assert_int_equal(feed(f, pack), 0);
	}
	assert_int_equal(feed(f, "end\n"), 0);
	assert_int_equal(outputs_count(f->outputs), 0);
	assert_false(outputs_complete(f->outputs));
}

static void test_limit(void **state)
{
	struct fixture *f = *state;
	char bytes[91];

	memset(bytes, 'x', sizeof(bytes) - 1);
	bytes[sizeof(bytes) - 1] = '\0';
	assert_int_equal(feed(f, "file 90 - adapter/a\n"), 0);
	assert_int_equal(feed(f, bytes), 0);
	assert_int_equal(
		feed(f,
		     "\nfile 11 - adapter/b\n01234567890\nfile 10 - adapter/c\n0123456789\nend\n"),
		0);
	assert_true(there(f, "files/adapter/a"));
	assert_false(there(f, "files/adapter/b"));
	assert_true(there(f, "files/adapter/c"));
	assert_false(outputs_complete(f->outputs));
}

static void test_links_in_the_way(void **state)
{
	struct fixture *f = *state;

	/* left by somebody who can write here */
	assert_int_equal(symlinkat("/tmp", f->directory, "files/adapter"), 0);
	assert_int_equal(symlinkat("/tmp/gpuvf-never", f->directory, "files/c.txt"), 0);
	assert_int_equal(feed(f, "file 1 - adapter/a\nx\nfile 1 - c.txt\ny\nend\n"), 0);
	assert_int_equal(outputs_count(f->outputs), 1);
	assert_int_equal(access("/tmp/gpuvf-never", F_OK), -1);
	assert_file(f, "files/c.txt", "y");
}

static void test_again_over_the_old(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, "file 3 - c.txt\nold\n"), 0);
	f->outputs = outputs_free(f->outputs);
	assert_int_equal(outputs_new(f->directory, f->globs, 100, &f->outputs), 0);
	assert_int_equal(feed(f, "file 5 - c.txt\nnewer\nfile 1 - c.txt/sub\nx\nend\n"), 0);
	assert_file(f, "files/c.txt", "newer");
}

static void test_broken_packs(void **state)
{
	static const char *const bad[] = {
		"nonsense\n",
		"file\n",
		"file x - a\n",
		"file -1 - a\n",
		"file 1 ? a\n",
		"file 1 -a\n",
		"file 99999999999999999999 - a\n",
		"file 1 - a.txt\nxy",
		"end\nmore",
	};
	struct fixture *f = *state;
	_cleanup_free_ char *endless = malloc(5001);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct outputs *o;

		assert_int_equal(outputs_new(f->directory, f->globs, 100, &o), 0);
		assert_int_equal(outputs_feed(o, bad[i], strlen(bad[i])), -EBADMSG);
		outputs_free(o);
	}
	memset(endless, 'f', 5000);
	endless[5000] = '\0';
	assert_int_equal(feed(f, endless), -EBADMSG);
	assert_int_equal(outputs_feed(f->outputs, "\0", 1), -EBADMSG);
}

static void test_globs(void **state)
{
	static const struct {
		const char *glob, *name;
		bool matches;
		const char *loose;
	} cases[] = {
		{ "adapter/**", "adapter/a", true, "adapter/*" },
		{ "adapter/**", "adapter/a/b/c", true, "adapter/*" },
		{ "adapter/**", "other/a", false, "adapter/*" },
		{ "**/x", "x", true, "*x" },
		{ "**/x", "a/b/x", true, "*x" },
		{ "a/**/b", "a/b", true, "a/*b" },
		{ "a/**/b", "a/x/y/b", true, "a/*b" },
		{ "a/**/b", "a/x/y/c", false, "a/*b" },
		{ "*.json", "a.json", true, "*.json" },
		{ "*.json", "x/a.json", false, "*.json" },
		{ "a?[0-9]", "ab7", true, "a?[0-9]" },
		{ "**", "any/thing", true, "*" },
		{ "**/**/**/**/**/z", "a/a/a/a/a/a/a/a/a/a/a/a/y", false, "*****z" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *loose = outputs_glob_loosen(cases[i].glob);

		assert_true(outputs_glob_match(cases[i].glob, cases[i].name) == cases[i].matches);
		assert_string_equal(loose, cases[i].loose);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_names_that_are_not_taken),
		TEST(test_limit),
		TEST(test_links_in_the_way),
		TEST(test_again_over_the_old),
		TEST(test_broken_packs),
		TEST(test_globs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
