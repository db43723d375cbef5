/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FNV-1a 128: the published values, and that pieces do not run into each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/hash.h"

static void assert_hash(const char *text, const char *wanted)
{
	char hex[HASH_HEX_SIZE];
	struct hash h;

	hash_init(&h);
	hash_add(&h, text, strlen(text));
	assert_string_equal(hash_hex(&h, hex), wanted);
}

static void test_published_values(void **state)
{
	assert_hash("", "6c62272e07bb014262b821756295c58d");
	assert_hash("a", "d228cb696f1a8caf78912b704e4a8964");
	assert_hash("foobar", "343e1662793c64bf6f0d3597ba446f18");
}

static void hash_two(const char *a, const char *b, char hex[static HASH_HEX_SIZE])
{
	struct hash h;

	hash_init(&h);
	hash_add_string(&h, a);
	hash_add_string(&h, b);
	hash_hex(&h, hex);
}

static void test_strings_have_ends(void **state)
{
	static const char *const pairs[][2] = {
		{ "ab", "c" }, { "a", "bc" }, { "abc", "" }, { "abc", NULL }, { NULL, "abc" },
	};
	char hex[ARRAY_SIZE(pairs)][HASH_HEX_SIZE];
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(pairs); i++)
		hash_two(pairs[i][0], pairs[i][1], hex[i]);
	for (i = 0; i < ARRAY_SIZE(pairs); i++)
		for (k = 0; k < i; k++)
			assert_string_not_equal(hex[i], hex[k]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_values),
		cmocka_unit_test(test_strings_have_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
