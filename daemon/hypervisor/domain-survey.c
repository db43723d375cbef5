/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/domain-survey.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "hypervisor/domain-xml.h"
#include "hypervisor/xml.h"
#include "lib/units.h"

#define MANAGED_MAX 1024
#define CPUS_MAX 8192

void domain_survey_done(struct domain_survey *s)
{
	free(s->nodeset);
	free(s->cpuset);
	free(s->managed);
	*s = (struct domain_survey){0};
}

/* ---- reading ---- */

/* libvirt always writes KiB; people who write XML for it need not. */
static bool memory_unit(const char *unit, uint64_t *ret)
{
	static const struct {
		const char *name;
		uint64_t bytes;
	} units[] = {
		{"b", 1},           {"bytes", 1},        {"KB", 1000}, {"k", KIB},
		{"KiB", KIB},       {"MB", 1000000},     {"M", MIB},   {"MiB", MIB},
		{"GB", 1000000000}, {"G", GIB},          {"GiB", GIB}, {"TB", 1000000000000},
		{"T", GIB * 1024},  {"TiB", GIB * 1024},
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(units); i++)
		if (streq(units[i].name, unit ? unit : "KiB")) {
			*ret = units[i].bytes;
			return true;
		}
	return false;
}

static struct known read_memory(const xmlNode *node)
{
	_cleanup_free_ char *unit = xml_attribute(node, "unit"), *text = xml_text(node);
	uint64_t factor;
	unsigned long long n;
	char *end;

	if (!text || !isdigit((unsigned char)*text) || !memory_unit(unit, &factor))
		return (struct known){0};
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || n > UINT64_MAX / factor)
		return (struct known){0};
	return (struct known){true, n * factor};
}

/* "…pref64-reserve=32G…": QEMU's sizes are bytes, or powers of 1024 by a letter. */
static void read_reserve(const char *argument, struct domain_survey *s)
{
	static const char letters[] = "KMGT";
	const char *p = argument, *letter;
	char *end;

	while ((p = strstr(p, "pref64-reserve="))) {
		unsigned long long n;

		p += strlen("pref64-reserve=");
		if (!isdigit((unsigned char)*p))
			continue;
		n = strtoull(p, &end, 0);
		letter = *end ? strchr(letters, toupper((unsigned char)*end)) : NULL;
		if (letter)
			n = n << (10 * (letter - letters + 1));
		if (!s->pref64_reserve.known || n < s->pref64_reserve.value)
			s->pref64_reserve = (struct known){true, n};
	}
}

static void read_commandline(const xmlNode *root, struct domain_survey *s)
{
	const xmlNode *line = xml_child(root, "commandline"), *arg;

	for (arg = xml_child(line, "arg"); arg; arg = xml_next(arg->next, "arg")) {
		_cleanup_free_ char *value = xml_attribute(arg, "value");

		if (value)
			read_reserve(value, s);
	}
}

static int read_managed(const xmlNode *devices, struct domain_survey *s)
{
	const xmlNode *node;

	for (node = xml_child(devices, "hostdev"); node; node = xml_next(node->next, "hostdev")) {
		struct pci_address *grown, address;

		if (!xml_attribute_is(node, "type", "pci") ||
		    !xml_attribute_is(node, "managed", "yes") ||
		    xml_pci_address(xml_child(xml_child(node, "source"), "address"), &address) < 0)
			continue;
		if (s->n_managed >= MANAGED_MAX)
			return -E2BIG;
		grown = reallocarray(s->managed, s->n_managed + 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		s->managed = grown;
		grown[s->n_managed++] = address;
	}
	return 0;
}

static int read_root(const xmlNode *root, struct domain_survey *s)
{
	const xmlNode *backing = xml_child(root, "memoryBacking");
	const xmlNode *maximum = xml_child(root, "maxMemory");

	s->memory_bytes = read_memory(maximum ? maximum : xml_child(root, "memory"));
	s->hugepages = xml_child(backing, "hugepages") != NULL;
	s->locked = xml_child(backing, "locked") != NULL;
	s->nodeset = xml_attribute(xml_child(xml_child(root, "numatune"), "memory"), "nodeset");
	s->cpuset = xml_attribute(xml_child(root, "vcpu"), "cpuset");
	read_commandline(root, s);
	return read_managed(xml_child(root, "devices"), s);
}

int domain_survey_read(const char *xml, size_t size, struct domain_survey *ret)
{
	_cleanup_(domain_survey_done) struct domain_survey s = {0};
	_cleanup_(xmlFreeDocp) xmlDocPtr document = NULL;
	int r;

	r = domain_xml_parse(xml, size, &document);
	if (r < 0)
		return r;
	r = read_root(xmlDocGetRootElement(document), &s);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct domain_survey){0};
	return 0;
}

/* ---- redaction ---- */

/* Free text and what clouds pass through: whole elements. */
static const char *const secret_elements[] = {
	"metadata", "description", "title",          "sysinfo", "secret",
	"auth",     "encryption",  "launchSecurity", "cmdline", "cookies"};
static const char *const secret_attributes[] = {"passw", "secret", "token", "key", "cred"};

static bool is_secret_element(const xmlNode *node)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(secret_elements); i++)
		if (xml_is(node, secret_elements[i]))
			return true;
	return false;
}

static bool is_secret_attribute(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(secret_attributes); i++)
		if (strcasestr(name, secret_attributes[i]))
			return true;
	return false;
}

static void set_stars(xmlNode *node, const xmlAttr *attribute)
{
	(void)xmlSetNsProp(node, attribute->ns, attribute->name, (const xmlChar *)"***");
}

/* Arguments and variables of qemu:commandline may hold anything: only ports are of interest. */
static void redact_commandline(xmlNode *line)
{
	xmlNode *node;

	for (node = line->children; node; node = node->next) {
		_cleanup_free_ char *value = xml_attribute(node, "value");
		xmlAttr *attribute = xmlHasProp(node, (const xmlChar *)"value");

		if (value && attribute && !strstr(value, "pref64-reserve") &&
		    !streq(value, "-global") && !streq(value, "-set"))
			set_stars(node, attribute);
	}
}

static void redact_node(xmlNode *node)
{
	xmlNode *child, *next;
	xmlAttr *attribute;

	if (node->type != XML_ELEMENT_NODE)
		return;
	for (attribute = node->properties; attribute; attribute = attribute->next)
		if (is_secret_attribute((const char *)attribute->name))
			set_stars(node, attribute);
	if (xml_is(node, "commandline"))
		redact_commandline(node);
	for (child = node->children; child; child = next) {
		next = child->next;
		if (is_secret_element(child) || child->type == XML_COMMENT_NODE) {
			xmlUnlinkNode(child);
			xmlFreeNode(child);
		} else {
			redact_node(child);
		}
	}
}

int domain_xml_redact(const char *xml, size_t size, char **ret)
{
	_cleanup_(xmlFreeDocp) xmlDocPtr document = NULL;
	xmlChar *text = NULL;
	int r, n = 0;

	r = domain_xml_parse(xml, size, &document);
	if (r < 0)
		return r;
	redact_node(xmlDocGetRootElement(document));
	xmlDocDumpMemory(document, &text, &n);
	if (!text)
		return -ENOMEM;
	*ret = (char *)text;
	return 0;
}

/* ---- lists of CPUs and nodes ---- */

/* The next range of "0-3,8"; returns 1, 0 at the end, -EINVAL. */
static int next_range(const char **p, unsigned *ret_first, unsigned *ret_last)
{
	unsigned long first, last;
	char *end;

	if (!**p)
		return 0;
	if (!isdigit((unsigned char)**p))
		return -EINVAL;
	first = last = strtoul(*p, &end, 10);
	if (*end == '-' && isdigit((unsigned char)end[1]))
		last = strtoul(end + 1, &end, 10);
	if (last < first || last >= CPUS_MAX || (*end && *end != ',') || streq(end, ","))
		return -EINVAL;
	*p = end + (*end == ',');
	*ret_first = (unsigned)first;
	*ret_last = (unsigned)last;
	return 1;
}

bool cpu_list_holds(const char *list, unsigned n)
{
	unsigned first, last;

	while (next_range(&list, &first, &last) > 0)
		if (n >= first && n <= last)
			return true;
	return false;
}

bool cpu_list_within(const char *inner, const char *outer)
{
	unsigned first, last, n;
	int r;

	if (!*inner)
		return false;
	while ((r = next_range(&inner, &first, &last)) > 0)
		for (n = first; n <= last; n++)
			if (!cpu_list_holds(outer, n))
				return false;
	return r == 0;
}
