/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A PCI address: domain:bus:device.function, the identity of a function on this host. */
#pragma once

#include "lib/macros.h"

struct pci_address {
	uint32_t domain;
	uint8_t bus;
	uint8_t device;	  /* 0…31 */
	uint8_t function; /* 0…7 */
};

#define PCI_ADDRESS_STRLEN 16 /* "10000:03:00.0" and its NUL fit; VMD domains have five digits */

/* Takes "0000:03:00.0" and the short "03:00.0", hex, any case; nothing before or after.
 * Returns 0 or -EINVAL. */
int pci_address_parse(const char *s, struct pci_address *ret);

/* Writes the long form in lower case, as sysfs names it.  Returns buf. */
const char *pci_address_format(const struct pci_address *a, char buf[static PCI_ADDRESS_STRLEN]);

/* For short use in a call's arguments: lives until the end of the enclosing block. */
#define PCI_ADDRESS_STR(a) pci_address_format((a), (char[PCI_ADDRESS_STRLEN]){ 0 })

/* Bus, device and function in one number, as PCI Express counts them. */
static inline unsigned pci_routing_id(const struct pci_address *a)
{
	return (unsigned)a->bus << 8 | (unsigned)a->device << 3 | a->function;
}

int pci_address_compare(const struct pci_address *a, const struct pci_address *b);

static inline bool pci_address_equal(const struct pci_address *a, const struct pci_address *b)
{
	return pci_address_compare(a, b) == 0;
}
