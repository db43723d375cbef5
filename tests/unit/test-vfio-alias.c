/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which module modules.alias names for giving a function to a VM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/vfio-alias.h"

#define MODALIAS "pci:v00008086d0000E211sv00008086sd00001114bc03sc80i00"
#define ANY "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
#define XE "alias vfio_pci:v00008086d0000E211sv*sd*bc03sc*i* xe_vfio_pci\n"

static void test_finds(void **state)
{
	static const struct {
		const char *text, *module;
	} rows[] = {
		{ ANY, "vfio_pci" },
		{ ANY XE, "xe_vfio_pci" },
		{ XE ANY, "xe_vfio_pci" },
		{ "# Aliases extracted from modules themselves.\nalias pci:v00008086d0000E211sv*sd*bc*sc*i* xe\n" XE,
		  "xe_vfio_pci" },
		/* the fewest wildcards; of two alike the first */
		{ XE "alias vfio_pci:v00008086d0000E211sv00008086sd*bc03sc*i* special\n", "special" },
		{ XE "alias vfio_pci:v00008086d0000E211sv*sd*bc*sc80i* other\n", "xe_vfio_pci" },
		/* a last line that does not end; a star for nothing; one character */
		{ "alias vfio_pci:v00008086*d0000E211*i00 xe_vfio_pci", "xe_vfio_pci" },
		{ "alias vfio_pci:v00008086d0000E2?1* q-1\n", "q-1" },
		{ "alias vfio_pci:v00008086d0000E211sv00008086sd00001114bc03sc80i00** m\n", "m" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *module = NULL;

		assert_int_equal(vfio_alias_find(rows[i].text, strlen(rows[i].text), MODALIAS, &module), 0);
		assert_string_equal(module, rows[i].module);
	}
}

/* The lines that matter say the same as the whole, and there are no others. */
static void test_lines(void **state)
{
	static const char text[] = "# alias vfio_pci:\nalias pci:v00008086d0000E211sv*sd*bc*sc*i* xe\n" ANY
				   "\nalias vfio_pci\nalias usb:v* x\n" XE "alias vfio_pci:v00008086*i00 last";
	_cleanup_free_ char *lines = NULL, *none = NULL, *module = NULL;
	size_t size;

	lines = vfio_alias_lines(text, strlen(text), &size);
	assert_non_null(lines);
	assert_string_equal(lines, ANY XE "alias vfio_pci:v00008086*i00 last\n");
	assert_int_equal(size, strlen(lines));
	assert_int_equal(vfio_alias_find(lines, size, MODALIAS, &module), 0);
	assert_string_equal(module, "last");
	none = vfio_alias_lines("", 0, &size);
	assert_non_null(none);
	assert_int_equal(size, 0);
}

static void test_refuses(void **state)
{
	static const char *const rows[] = {
		"",
		"\n\n",
		"alias vfio_pci:",
		"alias vfio_pci:*",
		"alias vfio_pci:* ",
		"alias vfio_pci:v00008086d0000E212sv*sd*bc03sc*i* xe_vfio_pci\n",   /* another device */
		"alias vfio_pci:v00008086d0000E211sv*sd*bc03sc*i*x xe_vfio_pci\n",  /* more than there is */
		"alias vfio_pci:v00008086d0000E211 xe_vfio_pci\n",		    /* less */
		"alias  vfio_pci:* xe_vfio_pci\n",
		"alias pci:v*d*sv*sd*bc*sc*i* vfio_pci\n",
		"options vfio_pci:* x\n",
		/* no name of a module: it would become a part of a path */
		"alias vfio_pci:* ../../x\n",
		"alias vfio_pci:* two words\n",
		"alias vfio_pci:* .\n",
		"alias vfio_pci:* aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
	};
	char *module = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(vfio_alias_find(rows[i], strlen(rows[i]), MODALIAS, &module), -ENOENT);
	assert_int_equal(vfio_alias_find("alias vfio_pci:* a\0b\n", 21, MODALIAS, &module), -ENOENT);
	assert_int_equal(vfio_alias_find(ANY, strlen(ANY), "usb:v1D6Bp0002", &module), -EINVAL);
	assert_int_equal(vfio_alias_find(ANY, strlen(ANY), "", &module), -EINVAL);
	assert_null(module);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds), cmocka_unit_test(test_lines),
		cmocka_unit_test(test_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
