/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both spellings of an address, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/pci-address.h"

static void test_parse(void **state)
{
	static const char *const rows[][2] = {
		{ "0000:03:00.0", "0000:03:00.0" }, { "03:00.0", "0000:03:00.0" },
		{ "ABCD:eF:1F.7", "abcd:ef:1f.7" }, { "10000:e1:00.0", "10000:e1:00.0" },
		{ "9999:99:19.6", "9999:99:19.6" }, { "ffff:ff:1f.7", "ffff:ff:1f.7" },
		{ "fffffff:00:00.0", "fffffff:00:00.0" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pci_address a;

		assert_int_equal(pci_address_parse(rows[i][0], &a), 0);
		assert_string_equal(PCI_ADDRESS_STR(&a), rows[i][1]);
	}
}

static void test_refusals(void **state)
{
	static const char *const bad[] = {
		"",	       ":",	       "::.",		"0000:03:00",	"0000:03:00.",
		"0000:03:00.8", "0000:03:20.0", "0000:03:00.00", "0000:3:00.0",	"0000:03:0.0",
		"000:03:00.0",	"0:03:00.0",	"0000+03:00:0",	"00000:03:00.0", "00000000:03:00.0",
		"10000000:03:00.0",		" 0000:03:00.0", "0000:03:00.0 ", "0000:03:00.0\n",
		"0000:03:00.g", "x000:03:00.0", "0000-03-00.0",	"0000:03:00:0", ":03:00.0",
		"0000:003:00.0", "03:00.0:",	"+3:00.0",	"0x3:00.0",	"0000:0000:03:00.0",
		"../../etc",
	};
	struct pci_address a = { .bus = 7 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (pci_address_parse(bad[i], &a) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(a.bus, 7);
}

static void test_compare(void **state)
{
	static const struct pci_address sorted[] = {
		{ 0, 0, 0, 0 }, { 0, 0, 0, 1 }, { 0, 0, 1, 0 }, { 0, 1, 0, 0 },
		{ 1, 0, 0, 0 }, { 0x10000, 0, 0, 0 },
	};
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(sorted); i++)
		for (j = 0; j < ARRAY_SIZE(sorted); j++) {
			int r = pci_address_compare(&sorted[i], &sorted[j]);

			assert_int_equal((r > 0) - (r < 0), (i > j) - (i < j));
			assert_int_equal(pci_address_equal(&sorted[i], &sorted[j]), i == j);
		}
}

static void test_format_never_overflows(void **state)
{
	struct pci_address a = { UINT32_MAX, UINT8_MAX, UINT8_MAX, UINT8_MAX };

	assert_string_equal(PCI_ADDRESS_STR(&a), "fffffff:ff:1f.7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_format_never_overflows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
