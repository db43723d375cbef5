/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads and writes PCI addresses; touches no device. */
#include "lib/pci-address.h"

#include <ctype.h>
#include <stdio.h>

#define DOMAIN_DIGITS_MAX 7 /* what PCI_ADDRESS_STRLEN has room for; the kernel uses five */

/* Takes all hex digits at *p, at most max.  Returns their number. */
static unsigned take_hex(const char **p, unsigned max, uint32_t *ret)
{
	unsigned count = 0;
	uint32_t n = 0;

	while (count < max && isxdigit((unsigned char)**p)) {
		int c = tolower((unsigned char)*(*p)++);

		n = n << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
		count++;
	}
	*ret = n;
	return count;
}

/* "DDDD:" in front is there when two colons are.  More than four digits only when they are needed, so
 * that an address has one spelling. */
static int take_domain(const char **p, uint32_t *ret)
{
	const char *colon = strchr(*p, ':');
	unsigned digits;

	*ret = 0;
	if (!colon || !strchr(colon + 1, ':'))
		return 0;

	digits = take_hex(p, DOMAIN_DIGITS_MAX, ret);
	if (digits < 4 || (digits > 4 && *ret >> (4 * (digits - 1)) == 0) || **p != ':')
		return -EINVAL;

	(*p)++;
	return 0;
}

int pci_address_parse(const char *s, struct pci_address *ret)
{
	uint32_t domain, bus, device, function;

	if (take_domain(&s, &domain) < 0)
		return -EINVAL;
	if (take_hex(&s, 2, &bus) != 2 || *s++ != ':')
		return -EINVAL;
	if (take_hex(&s, 2, &device) != 2 || device > 31 || *s++ != '.')
		return -EINVAL;
	if (take_hex(&s, 1, &function) != 1 || function > 7 || *s != '\0')
		return -EINVAL;

	*ret = (struct pci_address){
		.domain = domain,
		.bus = (uint8_t)bus,
		.device = (uint8_t)device,
		.function = (uint8_t)function,
	};
	return 0;
}

const char *pci_address_format(const struct pci_address *a, char buf[static PCI_ADDRESS_STRLEN])
{
	snprintf(buf, PCI_ADDRESS_STRLEN, "%04x:%02x:%02x.%x", a->domain & 0xfffffff, a->bus,
		 a->device & 31u, a->function & 7u);
	return buf;
}

static int compare(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

int pci_address_compare(const struct pci_address *a, const struct pci_address *b)
{
	int r;

	r = compare(a->domain, b->domain);
	if (r == 0)
		r = compare(a->bus, b->bus);
	if (r == 0)
		r = compare(a->device, b->device);
	if (r == 0)
		r = compare(a->function, b->function);
	return r;
}
