/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xml.h"

#include <ctype.h>
#include <libxml/parser.h>

#include "hypervisor/domain-xml.h"

bool xml_is(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && streq((const char *)node->name, name);
}

const xmlNode *xml_next(const xmlNode *node, const char *name)
{
	for (; node; node = node->next)
		if (node->type == XML_ELEMENT_NODE && (!name || xml_is(node, name)))
			return node;
	return NULL;
}

const xmlNode *xml_child(const xmlNode *parent, const char *name)
{
	return parent ? xml_next(parent->children, name) : NULL;
}

char *xml_attribute(const xmlNode *node, const char *name)
{
	return node ? (char *)xmlGetNoNsProp((xmlNode *)node, (const xmlChar *)name) : NULL;
}

bool xml_attribute_is(const xmlNode *node, const char *name, const char *value)
{
	_cleanup_free_ char *text = xml_attribute(node, name);

	return streq_ptr(text, value);
}

int xml_attribute_uint(const xmlNode *node, const char *name, unsigned long max, unsigned long *ret)
{
	_cleanup_free_ char *text = xml_attribute(node, name);
	unsigned long value;
	char *end;

	if (!text || !isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 0);
	if (errno != 0 || *end || value > max)
		return -EINVAL;
	*ret = value;
	return 0;
}

int xml_pci_address(const xmlNode *node, struct pci_address *ret)
{
	unsigned long domain, bus, slot, function;
	int r;

	r = xml_attribute_uint(node, "bus", 0xff, &bus);
	if (r >= 0)
		r = xml_attribute_uint(node, "slot", 0x1f, &slot);
	if (r >= 0)
		r = xml_attribute_uint(node, "function", 7, &function);
	if (r < 0)
		return r;
	if (xml_attribute_uint(node, "domain", UINT32_MAX, &domain) < 0)
		domain = 0;
	*ret = (struct pci_address){
		.domain = (uint32_t)domain,
		.bus = (uint8_t)bus,
		.device = (uint8_t)slot,
		.function = (uint8_t)function,
	};
	return 0;
}

char *xml_text(const xmlNode *node)
{
	return node ? (char *)xmlNodeGetContent((xmlNode *)node) : NULL;
}

int domain_xml_parse(const char *xml, size_t size, xmlDocPtr *ret)
{
	_cleanup_(xmlFreeDocp) xmlDocPtr document = NULL;
	const xmlNode *root;

	if (size > DOMAIN_XML_MAX)
		return -E2BIG;
	document = xmlReadMemory(xml, (int)size, "domain.xml", NULL,
				 XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
					 XML_PARSE_COMPACT);
	if (!document || document->intSubset)
		return -EINVAL;
	root = xmlDocGetRootElement(document);
	if (!root || !xml_is(root, "domain"))
		return -EINVAL;

	*ret = TAKE_PTR(document);
	return 0;
}
