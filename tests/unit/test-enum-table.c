/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of enums, holes, lists; and the edit distance that their messages use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/edit-distance.h"
#include "lib/enum-table.h"

enum fruit { APPLE, PEAR, HOLE, PLUM, FRUIT_MAX };

DECLARE_ENUM_TABLE(fruit, enum fruit);
const char *const fruit_names[FRUIT_MAX] = {
	[APPLE] = "apple",
	[PEAR] = "pear",
	[PLUM] = "plum",
};
DEFINE_ENUM_TABLE(fruit, enum fruit, FRUIT_MAX);

static void test_round_trip(void **state)
{
	int i;

	for (i = 0; i < FRUIT_MAX; i++)
		if (i != HOLE)
			assert_int_equal(fruit_from_string(fruit_to_string((enum fruit)i)), i);
}

static void test_unknown(void **state)
{
	assert_null(fruit_to_string(FRUIT_MAX));
	assert_null(fruit_to_string((enum fruit)-1));
	assert_null(fruit_to_string(HOLE));
	assert_int_equal(fruit_from_string("Apple"), -EINVAL);
	assert_int_equal(fruit_from_string("appl"), -EINVAL);
	assert_int_equal(fruit_from_string(""), -EINVAL);
	assert_int_equal(fruit_from_string(NULL), -EINVAL);
}

static void test_list(void **state)
{
	_cleanup_free_ char *list = enum_list(fruit_names, FRUIT_MAX);
	_cleanup_free_ char *none = enum_list(fruit_names, 0);

	assert_string_equal(list, "apple, pear, plum");
	assert_string_equal(none, "");
}

static void test_distance(void **state)
{
	char longest[80];

	assert_int_equal(edit_distance("", ""), 0);
	assert_int_equal(edit_distance("", "abc"), 3);
	assert_int_equal(edit_distance("kitten", "sitting"), 3);
	assert_int_equal(edit_distance("vrma", "vram"), 1); /* neighbours swapped */
	assert_int_equal(edit_distance("vmm", "vm"), 1);

	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_true(edit_distance(longest, "a") == SIZE_MAX);
	assert_true(edit_distance("a", longest) == SIZE_MAX);
	longest[64] = '\0';
	assert_int_equal(edit_distance(longest, "a"), 63);
}

static void test_nearest(void **state)
{
	assert_string_equal(edit_distance_nearest("aple", fruit_names, FRUIT_MAX), "apple");
	assert_string_equal(edit_distance_nearest("plumm", fruit_names, FRUIT_MAX), "plum");
	assert_string_equal(edit_distance_nearest("plux", fruit_names, FRUIT_MAX), "plum");
	assert_null(edit_distance_nearest("ppxxe", fruit_names, FRUIT_MAX));
	assert_string_equal(edit_distance_nearest("a", (const char *const[]){ "b", "c" }, 2), "b");
	assert_null(edit_distance_nearest("zebra", fruit_names, FRUIT_MAX));
	assert_null(edit_distance_nearest("", fruit_names, FRUIT_MAX));
	assert_null(edit_distance_nearest("apple", fruit_names, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_list),	   cmocka_unit_test(test_distance),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
