/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is accepted as an address is written in one way, and that reads back to the same. */
#include "fuzz.h"
#include "lib/pci-address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_string(data, size);
	struct pci_address a, b;

	if (pci_address_parse(text, &a) < 0)
		return 0;

	FUZZ_CHECK(strlen(text) < PCI_ADDRESS_STRLEN);
	FUZZ_CHECK(a.device < 32 && a.function < 8);
	FUZZ_CHECK(pci_address_parse(PCI_ADDRESS_STR(&a), &b) == 0);
	FUZZ_CHECK(pci_address_equal(&a, &b));
	return 0;
}
