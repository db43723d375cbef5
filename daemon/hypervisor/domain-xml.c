/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads and writes domain XML with libxml2, which libvirt itself is built on.  No network, no
 * entities, no DTD. */
#include "hypervisor/domain-xml.h"

#include <ctype.h>

#include "hypervisor/xml.h"

#define NAME_MAX_BYTES 255 /* longer names are cut: they are only shown, the uuid identifies */
#define ALIAS_MAX_BYTES 100
#define HOSTDEVS_MAX 1024 /* far above what PCI of one guest can hold */
#define BUSES_MAX 256
#define SLOTS 32

bool domain_xml_alias_is_valid(const char *alias)
{
	if (strncmp(alias, "ua-", 3) != 0 || strlen(alias) > ALIAS_MAX_BYTES)
		return false;
	for (const char *c = alias; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
			return false;
	return true;
}

/* For an attribute in single quotes. */
static char *escape_attribute(const char *s)
{
	static const char *const entities[256] = {
		['&'] = "&amp;",   ['<'] = "&lt;",   ['>'] = "&gt;",
		['\''] = "&apos;", ['"'] = "&quot;",
	};
	char *out, *p;

	out = p = malloc(strlen(s) * 6 + 1);
	if (!out)
		return NULL;
	for (; *s; s++) {
		const char *entity = entities[(unsigned char)*s];

		if (entity)
			p = stpcpy(p, entity);
		else
			*p++ = *s;
	}
	*p = '\0';
	return out;
}

char *domain_xml_hostdev(const struct pci_address *address, const char *alias, bool managed)
{
	_cleanup_free_ char *escaped = NULL, *alias_xml = NULL;

	if (alias) {
		escaped = escape_attribute(alias);
		alias_xml = escaped ? xasprintf("<alias name='%s'/>", escaped) : NULL;
		if (!alias_xml)
			return NULL;
	}
	return xasprintf(
		"<hostdev mode='subsystem' type='pci' managed='%s'>"
		"<source><address domain='0x%04x' bus='0x%02x' slot='0x%02x' function='0x%x'/>"
		"</source>%s</hostdev>",
		managed ? "yes" : "no", address->domain, address->bus, address->device, address->function,
		strempty(alias_xml));
}

/* ---- What is read -------------------------------------------------------------------------- */

/* Everything of one XML, before it is merged. */
struct reading {
	char *name, *uuid;
	struct domain_hostdev *hostdevs;
	size_t n_hostdevs;
	enum vm_agent agent;
	int free_ports;
	uint64_t memory_bytes;
};

static void reading_done(struct reading *reading)
{
	for (size_t i = 0; i < reading->n_hostdevs; i++)
		free(reading->hostdevs[i].alias);
	free(reading->hostdevs);
	free(reading->name);
	free(reading->uuid);
}

/* Cuts at the start of a UTF-8 character. */
static void cut(char *s, size_t max)
{
	if (strlen(s) <= max)
		return;
	while (max > 0 && ((unsigned char)s[max] & 0xc0) == 0x80)
		max--;
	s[max] = '\0';
}

static bool uuid_is_valid(const char *s)
{
	if (strlen(s) != 36)
		return false;
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s[i] != '-' : !isxdigit((unsigned char)s[i]))
			return false;
	}
	return true;
}

static int read_identity(const xmlNode *root, struct reading *reading)
{
	reading->name = xml_text(xml_child(root, "name"));
	reading->uuid = xml_text(xml_child(root, "uuid"));
	if (!reading->name || !*reading->name || !reading->uuid || !uuid_is_valid(reading->uuid))
		return -EINVAL;
	cut(reading->name, NAME_MAX_BYTES);
	for (char *c = reading->uuid; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return 0;
}

/* What the guest has at most: libvirt prints it in KiB, with the DIMMs that were plugged in. */
static uint64_t read_memory(const xmlNode *memory)
{
	_cleanup_free_ char *text = xml_text(memory);
	uint64_t kib;

	if (!text || !xml_attribute_is(memory, "unit", "KiB"))
		return 0;
	kib = strtoull(text, NULL, 10);
	return kib <= UINT64_MAX / 1024 ? kib * 1024 : 0;
}

static int read_hostdev(const xmlNode *node, struct reading *reading)
{
	struct domain_hostdev hostdev = { 0 }, *grown;

	if (!xml_attribute_is(node, "type", "pci") ||
	    xml_pci_address(xml_child(xml_child(node, "source"), "address"), &hostdev.address) < 0)
		return 0;
	if (reading->n_hostdevs >= HOSTDEVS_MAX)
		return -E2BIG;

	grown = reallocarray(reading->hostdevs, reading->n_hostdevs + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	reading->hostdevs = grown;

	hostdev.alias = xml_attribute(xml_child(node, "alias"), "name");
	if (hostdev.alias)
		cut(hostdev.alias, NAME_MAX_BYTES);
	reading->hostdevs[reading->n_hostdevs++] = hostdev;
	return 0;
}

static void read_channel(const xmlNode *node, struct reading *reading)
{
	const xmlNode *target = xml_child(node, "target");

	if (!xml_attribute_is(target, "name", "org.qemu.guest_agent.0"))
		return;
	if (xml_attribute_is(target, "state", "connected"))
		reading->agent = VM_AGENT_CONNECTED;
	else if (xml_attribute_is(target, "state", "disconnected"))
		reading->agent = VM_AGENT_DISCONNECTED;
	else
		reading->agent = VM_AGENT_UNKNOWN;
}

/* The guest's buses by libvirt's controller index: how many slots take a hot-plug, which are used.
 */
struct buses {
	bool any;
	bool express; /* q35: libvirt plugs a VF, which is PCI Express, into no conventional bus there */
	unsigned slots[BUSES_MAX]; /* 0 = no such bus, or nothing can be plugged into it */
	unsigned first[BUSES_MAX];
	uint32_t used[BUSES_MAX];
	bool conventional[BUSES_MAX];
};

static const struct bus_model {
	const char *model;
	unsigned first, slots;
	bool conventional;
} bus_models[] = {
	{ "pcie-root-port", 0, 1, false },
	{ "pcie-switch-downstream-port", 0, 1, false },
	{ "pci-root", 1, SLOTS - 1, true }, /* slot 0 is the host bridge */
	{ "pci-bridge", 1, SLOTS - 1, true },
};

static void read_controller(const xmlNode *node, struct buses *buses)
{
	_cleanup_free_ char *model = xml_attribute(node, "model");
	unsigned long index;

	if (!xml_attribute_is(node, "type", "pci") || !model ||
	    xml_attribute_uint(node, "index", BUSES_MAX - 1, &index) < 0)
		return;
	buses->any = true;
	buses->express = buses->express || streq(model, "pcie-root");
	if (xml_attribute_is(xml_child(node, "target"), "hotplug", "off"))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(bus_models); i++)
		if (streq(model, bus_models[i].model)) {
			buses->slots[index] = bus_models[i].slots;
			buses->first[index] = bus_models[i].first;
			buses->conventional[index] = bus_models[i].conventional;
		}
}

static void read_used_slot(const xmlNode *device, struct buses *buses)
{
	const xmlNode *node = xml_child(device, "address");
	struct pci_address address;

	if (xml_attribute_is(node, "type", "pci") && xml_pci_address(node, &address) >= 0)
		buses->used[address.bus] |= 1u << address.device;
}

static int count_free(const struct buses *buses)
{
	int n = 0;

	if (!buses->any)
		return -1;
	for (size_t i = 0; i < BUSES_MAX; i++) {
		if (buses->express && buses->conventional[i])
			continue;
		for (unsigned slot = 0; slot < buses->slots[i]; slot++)
			n += !(buses->used[i] & (1u << (buses->first[i] + slot)));
	}
	return n;
}

static int read_devices(const xmlNode *devices, struct reading *reading)
{
	_cleanup_free_ struct buses *buses = calloc(1, sizeof(*buses));

	if (!buses)
		return -ENOMEM;
	reading->agent = VM_AGENT_ABSENT;

	for (const xmlNode *node = xml_child(devices, NULL); node;
	     node = xml_next(node->next, NULL)) {
		int r = 0;

		read_used_slot(node, buses);
		if (xml_is(node, "hostdev"))
			r = read_hostdev(node, reading);
		else if (xml_is(node, "channel"))
			read_channel(node, reading);
		else if (xml_is(node, "controller"))
			read_controller(node, buses);
		if (r < 0)
			return r;
	}
	reading->free_ports = count_free(buses);
	return 0;
}

/* ---- Into the facts ------------------------------------------------------------------------ */

static struct domain_hostdev *find_same(struct domain_facts *facts, size_t n,
					const struct domain_hostdev *hostdev)
{
	for (size_t i = 0; i < n; i++) {
		struct domain_hostdev *known = &facts->hostdevs[i];

		/* libvirt names a device without a user's alias only while the domain runs */
		if (pci_address_equal(&known->address, &hostdev->address) &&
		    (!known->alias || !hostdev->alias || streq(known->alias, hostdev->alias)))
			return known;
	}
	return NULL;
}

static int merge_hostdevs(struct domain_facts *facts, enum domain_xml_side side,
			  struct reading *reading)
{
	const size_t before = facts->n_hostdevs;
	struct domain_hostdev *grown;

	if (reading->n_hostdevs == 0)
		return 0;
	grown = reallocarray(facts->hostdevs, before + reading->n_hostdevs, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	facts->hostdevs = grown;

	for (size_t i = 0; i < reading->n_hostdevs; i++) {
		struct domain_hostdev *from = &reading->hostdevs[i];
		struct domain_hostdev *to = find_same(facts, before, from);

		if (!to) {
			to = &facts->hostdevs[facts->n_hostdevs++];
			*to = (struct domain_hostdev){ .address = from->address };
		}
		if (!to->alias)
			to->alias = TAKE_PTR(from->alias);
		if (side == DOMAIN_XML_LIVE)
			to->live = true;
		else
			to->config = true;
	}
	return 0;
}

static int merge(struct domain_facts *facts, enum domain_xml_side side, struct reading *reading)
{
	int r;

	r = merge_hostdevs(facts, side, reading);
	if (r < 0)
		return r;
	if (!facts->name)
		facts->name = TAKE_PTR(reading->name);
	if (!facts->uuid[0])
		memcpy(facts->uuid, reading->uuid, sizeof(facts->uuid));

	if (side == DOMAIN_XML_LIVE) {
		facts->agent = reading->agent;
		facts->free_ports = reading->free_ports;
		facts->memory_bytes = reading->memory_bytes;
	} else if (facts->state == VM_OFF) {
		facts->agent =
			reading->agent == VM_AGENT_ABSENT ? VM_AGENT_ABSENT : VM_AGENT_DISCONNECTED;
		facts->free_ports = -1; /* libvirt adds ports when it defines or starts a domain */
		facts->memory_bytes = reading->memory_bytes;
	}
	return 0;
}

int domain_xml_read(struct domain_facts *facts, enum domain_xml_side side, const char *xml,
		    size_t size)
{
	_cleanup_(reading_done) struct reading reading = { 0 };
	_cleanup_(xmlFreeDocp) xmlDocPtr document = NULL;
	const xmlNode *root;
	int r;

	r = domain_xml_parse(xml, size, &document);
	if (r < 0)
		return r;

	root = xmlDocGetRootElement(document);
	r = read_identity(root, &reading);
	reading.memory_bytes = read_memory(xml_child(root, "memory"));
	if (r >= 0)
		r = read_devices(xml_child(root, "devices"), &reading);
	if (r >= 0)
		r = merge(facts, side, &reading);
	return r;
}
