/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt's domain XML as far as this project cares: PCI hostdevs, the guest agent's channel, free
 * ports for a hot-plug; and the XML of one hostdev.  Pure; runs on worker threads.  Names and
 * aliases come from whoever defined the VM: bounded here, escaped where they are printed. */
#pragma once

#include "core/facts.h"

/* libvirt's own largest string over its socket. */
#define DOMAIN_XML_MAX (4 * 1024 * 1024)

enum domain_xml_side {
	DOMAIN_XML_LIVE,   /* what the running domain has */
	DOMAIN_XML_CONFIG, /* what it will have at its next start (VIR_DOMAIN_XML_INACTIVE) */
};

/* <hostdev> for attach and detach; alias may be NULL.  managed false: we bind drivers ourselves.
 * Returns new, NULL when memory is out. */
char *domain_xml_hostdev(const struct pci_address *address, const char *alias, bool managed);

/* Adds to facts what the XML of one side says: name and uuid when still unset, hostdevs (the same
 * address and alias on both sides is one entry), and from the live side agent and free_ports.  A
 * domain that is off gives its config side only.  Nothing is changed on failure: -EINVAL (no such
 * XML, a DTD, no name or uuid), -E2BIG, -ENOMEM. */
int domain_xml_read(struct domain_facts *facts, enum domain_xml_side side, const char *xml,
		    size_t size);

/* Is "ua-" and then letters, digits, '_', '-', at most 100 bytes: what libvirt keeps as a user's
 * alias. */
bool domain_xml_alias_is_valid(const char *alias);
