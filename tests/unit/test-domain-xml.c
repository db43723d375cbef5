/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Domain XML: what is read from it, what is refused, and the hostdev XML that is written. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <libxml/parser.h>

#include "hypervisor/domain-xml.h"
#include "lib/io.h"

static char *load(const char *name, size_t *ret_size)
{
	_cleanup_free_ char *path = xasprintf("%s/tests/data/domain-xml/%s.xml",
					      strempty(getenv("abs_top_srcdir")), name);
	char *text = NULL;

	assert_int_equal(read_file_at(AT_FDCWD, path, DOMAIN_XML_MAX, &text, ret_size), 0);
	return text;
}

static int read_sample(struct domain_facts *facts, enum domain_xml_side side, const char *name)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	text = load(name, &size);
	return domain_xml_read(facts, side, text, size);
}

static struct domain_facts *facts_new(enum vm_state state)
{
	struct domain_facts *facts = calloc(1, sizeof(*facts));

	assert_non_null(facts);
	facts->state = state;
	facts->free_ports = -1;
	return facts;
}

static void test_running(void **state)
{
	_cleanup_(domain_facts_freep) struct domain_facts *facts = facts_new(VM_RUNNING);

	assert_int_equal(read_sample(facts, DOMAIN_XML_LIVE, "running-q35"), 0);
	assert_string_equal(facts->name, "trainer-1");
	assert_string_equal(facts->uuid, "4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
	assert_int_equal(facts->agent, VM_AGENT_CONNECTED);
	/* five ports: 1, 2 and 5 are taken, 4 takes no hot-plug */
	assert_int_equal(facts->free_ports, 1);
	assert_int_equal(facts->n_hostdevs, 2);
	assert_string_equal(facts->hostdevs[0].alias, "ua-gpuvf-7-1");
	assert_string_equal(PCI_ADDRESS_STR(&facts->hostdevs[0].address), "0000:03:00.1");
	assert_true(facts->hostdevs[0].live);
	assert_false(facts->hostdevs[0].config);
	assert_string_equal(facts->hostdevs[1].alias, "hostdev1");
}

static void test_both_sides(void **state)
{
	_cleanup_(domain_facts_freep) struct domain_facts *facts = facts_new(VM_RUNNING);

	assert_int_equal(read_sample(facts, DOMAIN_XML_LIVE, "running-q35"), 0);
	assert_int_equal(read_sample(facts, DOMAIN_XML_CONFIG, "config-q35"), 0);
	assert_int_equal(facts->n_hostdevs, 3);
	for (size_t i = 0; i < 2; i++) {
		assert_true(facts->hostdevs[i].live);
		assert_true(facts->hostdevs[i].config);
	}
	assert_false(facts->hostdevs[2].live);
	assert_true(facts->hostdevs[2].config);
	assert_string_equal(PCI_ADDRESS_STR(&facts->hostdevs[2].address), "0000:82:1f.7");
	/* the live side's words stay */
	assert_int_equal(facts->agent, VM_AGENT_CONNECTED);
	assert_int_equal(facts->free_ports, 1);
}

static void test_off(void **state)
{
	_cleanup_(domain_facts_freep) struct domain_facts *facts = facts_new(VM_OFF);

	assert_int_equal(read_sample(facts, DOMAIN_XML_CONFIG, "config-q35"), 0);
	assert_int_equal(facts->agent, VM_AGENT_DISCONNECTED);
	assert_int_equal(facts->free_ports, -1);
	assert_int_equal(facts->n_hostdevs, 3);
	assert_null(facts->hostdevs[1].alias);
}

static void test_conventional_pci(void **state)
{
	_cleanup_(domain_facts_freep) struct domain_facts *facts = facts_new(VM_RUNNING);

	assert_int_equal(read_sample(facts, DOMAIN_XML_LIVE, "i440fx"), 0);
	assert_int_equal(facts->free_ports, 29);
	assert_int_equal(facts->agent, VM_AGENT_ABSENT);
}

/* A VF is PCI Express: on q35 a conventional bridge has no place for it, on pc it has. */
static void test_bridges(void **state)
{
	static const struct {
		const char *root;
		int free;
	} cases[] = { { "pcie-root", 1 }, { "pci-root", 63 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(domain_facts_freep) struct domain_facts *facts = facts_new(VM_RUNNING);
		_cleanup_free_ char *xml = xasprintf(
			"<domain><name>n</name><uuid>12345678-1234-1234-1234-123456789abc</uuid><memory "
			"unit='KiB'>4194304</memory><devices><controller type='pci' index='1' model='pci-bridge'/>"
			"<controller type='pci' index='2' model='pcie-root-port'/>"
			"<controller type='pci' index='0' model='%s'/></devices></domain>",
			cases[i].root);

		assert_int_equal(domain_xml_read(facts, DOMAIN_XML_LIVE, xml, strlen(xml)), 0);
		assert_int_equal(facts->free_ports, cases[i].free);
		assert_int_equal(facts->memory_bytes, 4ULL << 30);
		facts->state = VM_OFF; /* what its next start takes */
		facts->memory_bytes = 0;
		assert_int_equal(domain_xml_read(facts, DOMAIN_XML_CONFIG, xml, strlen(xml)), 0);
		assert_int_equal(facts->memory_bytes, 4ULL << 30);
	}
}

static void refuse(const char *xml, int expected)
{
	_cleanup_(domain_facts_freep) struct domain_facts *facts = facts_new(VM_RUNNING);

	assert_int_equal(domain_xml_read(facts, DOMAIN_XML_LIVE, xml, strlen(xml)), expected);
	assert_null(facts->name);
	assert_int_equal(facts->n_hostdevs, 0);
}

#define UUID "<uuid>11111111-2222-3333-4444-555555555555</uuid>"

static void test_refusals(void **state)
{
	_cleanup_(domain_facts_freep) struct domain_facts *facts = facts_new(VM_RUNNING);
	_cleanup_free_ char *huge = malloc(DOMAIN_XML_MAX + 1);

	refuse("", -EINVAL);
	refuse("<domain", -EINVAL);
	refuse("{\"json\": true}", -EINVAL);
	refuse("<network><name>a</name>" UUID "</network>", -EINVAL);
	refuse("<domain><name>a</name></domain>", -EINVAL);
	refuse("<domain>" UUID "</domain>", -EINVAL);
	refuse("<domain><name></name>" UUID "</domain>", -EINVAL);
	refuse("<domain><name>a</name><uuid>11111111-2222</uuid></domain>", -EINVAL);
	refuse("<domain><name>a</name><uuid>11111111-2222-3333-4444-55555555555g</uuid></domain>",
	       -EINVAL);

	assert_non_null(huge);
	memset(huge, ' ', DOMAIN_XML_MAX + 1);
	assert_int_equal(domain_xml_read(facts, DOMAIN_XML_LIVE, huge, DOMAIN_XML_MAX + 1), -E2BIG);
	/* control characters and DTDs */
	assert_int_equal(read_sample(facts, DOMAIN_XML_LIVE, "hostile-name"), -EINVAL);
	assert_int_equal(read_sample(facts, DOMAIN_XML_LIVE, "entities"), -EINVAL);
	assert_null(facts->name);
}

static void test_bad_addresses_are_left_out(void **state)
{
	static const char xml[] =
		"<domain><name>a</name>" UUID "<devices>"
		"<hostdev type='pci'><source><address bus='0x100' slot='0' "
		"function='0'/></source></hostdev>"
		"<hostdev type='pci'><source><address bus='-1' slot='0' "
		"function='0'/></source></hostdev>"
		"<hostdev type='pci'><source><address bus='1x' slot='0' "
		"function='0'/></source></hostdev>"
		"<hostdev type='pci'><source><address slot='0' function='0'/></source></hostdev>"
		"<hostdev type='pci'><source/></hostdev><hostdev type='pci'/>"
		"<hostdev type='pci'><source><address bus='2' slot='3' "
		"function='4'/></source></hostdev>"
		"</devices></domain>";
	_cleanup_(domain_facts_freep) struct domain_facts *facts = facts_new(VM_RUNNING);

	assert_int_equal(domain_xml_read(facts, DOMAIN_XML_LIVE, xml, strlen(xml)), 0);
	assert_int_equal(facts->n_hostdevs, 1);
	assert_string_equal(PCI_ADDRESS_STR(&facts->hostdevs[0].address), "0000:02:03.4");
	assert_int_equal(facts->free_ports, -1); /* no PCI controller is named */
}

static void test_sizes(void **state)
{
	_cleanup_(domain_facts_freep) struct domain_facts *facts = facts_new(VM_RUNNING);
	_cleanup_free_ char *name = malloc(1001), *xml = NULL, *many = NULL;
	size_t size;
	FILE *f;

	/* 500 two-byte characters: cut between two of them */
	assert_non_null(name);
	for (size_t i = 0; i < 500; i++)
		memcpy(name + 2 * i, "\xc3\xa4", 2);
	name[1000] = '\0';
	xml = xasprintf("<domain><name>%s</name>" UUID "</domain>", name);
	assert_int_equal(domain_xml_read(facts, DOMAIN_XML_LIVE, xml, strlen(xml)), 0);
	assert_int_equal(strlen(facts->name), 254);

	f = open_memstream(&many, &size);
	fputs("<domain><name>a</name>" UUID "<devices>", f);
	for (size_t i = 0; i < 1025; i++)
		fputs("<hostdev type='pci'><source><address bus='1' slot='1' "
		      "function='1'/></source>"
		      "</hostdev>",
		      f);
	fputs("</devices></domain>", f);
	fclose(f);
	refuse(many, -E2BIG);
}

static void test_hostdev(void **state)
{
	const struct pci_address address = {
		.domain = 0x10000, .bus = 3, .device = 31, .function = 7
	};
	_cleanup_free_ char *plain = domain_xml_hostdev(&address, NULL, false);
	_cleanup_free_ char *named = domain_xml_hostdev(&address, "ua-gpuvf-1", true);
	_cleanup_free_ char *hostile = domain_xml_hostdev(&address, "x'/><disk a=\"&", false);

	assert_string_equal(plain,
			    "<hostdev mode='subsystem' type='pci' managed='no'><source>"
			    "<address domain='0x10000' bus='0x03' slot='0x1f' function='0x7'/>"
			    "</source></hostdev>");
	assert_non_null(strstr(named, "<hostdev mode='subsystem' type='pci' managed='yes'><source>"));
	assert_non_null(strstr(named, "</source><alias name='ua-gpuvf-1'/></hostdev>"));
	assert_non_null(strstr(hostile, "<alias name='x&apos;/&gt;&lt;disk a=&quot;&amp;'/>"));
}

static void test_alias(void **state)
{
	char longest[102];

	assert_true(domain_xml_alias_is_valid("ua-gpuvf-7_1"));
	assert_false(domain_xml_alias_is_valid("gpuvf-7"));
	assert_false(domain_xml_alias_is_valid("ua-a b"));
	assert_false(domain_xml_alias_is_valid("ua-\xc3\xa4"));
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	memcpy(longest, "ua-", 3);
	assert_false(domain_xml_alias_is_valid(longest));
	longest[100] = '\0';
	assert_true(domain_xml_alias_is_valid(longest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_running),  cmocka_unit_test(test_both_sides),
		cmocka_unit_test(test_off),      cmocka_unit_test(test_conventional_pci), cmocka_unit_test(test_bridges),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_bad_addresses_are_left_out),
		cmocka_unit_test(test_sizes),    cmocka_unit_test(test_hostdev),
		cmocka_unit_test(test_alias),
	};
	int r;

	xmlInitParser();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	xmlCleanupParser();
	return r;
}
