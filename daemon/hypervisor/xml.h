/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small words over libxml2, for the readers of domain XML.  No network, no entities, no DTD. */
#pragma once

#include <libxml/tree.h>

#include "lib/pci-address.h"

DEFINE_CLEANUP(xmlDocPtr, xmlFreeDoc);

/* A <domain>, and nothing that could load or expand anything.  -EINVAL, -E2BIG. */
int domain_xml_parse(const char *xml, size_t size, xmlDocPtr *ret);

bool xml_is(const xmlNode *node, const char *name);
/* The next sibling element of this name, node itself included; NULL name = any element. */
const xmlNode *xml_next(const xmlNode *node, const char *name);
const xmlNode *xml_child(const xmlNode *parent, const char *name); /* parent may be NULL */
char *xml_attribute(const xmlNode *node, const char *name);        /* new, or NULL */
char *xml_text(const xmlNode *node);                               /* new, or NULL */
bool xml_attribute_is(const xmlNode *node, const char *name, const char *value);
/* Decimal or 0x…; -EINVAL when missing, no number or above max. */
int xml_attribute_uint(const xmlNode *node, const char *name, unsigned long max,
		       unsigned long *ret);
int xml_pci_address(const xmlNode *node, struct pci_address *ret);
