/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the doctor reads of a domain's XML, and the XML that can be shown to strangers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "hypervisor/domain-survey.h"

/* Nothing that is planted may come out. */
#define PLANTED "planted-Secret7"

static const char domain[] =
	"<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
	"<name>trainer-1</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>"
	"<title>" PLANTED "</title><description>" PLANTED "</description>"
	"<metadata><x>" PLANTED "</x></metadata>"
	"<memory unit='GiB'>16</memory><vcpu cpuset='0-3,8'>4</vcpu>"
	"<memoryBacking><hugepages/><locked/></memoryBacking>"
	"<numatune><memory mode='strict' nodeset='1'/></numatune>"
	"<sysinfo type='fwcfg'><entry name='opt/x'>" PLANTED "</entry></sysinfo>"
	"<os><type>hvm</type><cmdline>password=" PLANTED "</cmdline></os>"
	"<!-- " PLANTED " --><devices>"
	"<disk type='network'><source protocol='https'><auth username='eve'><secret type='x' "
	"uuid='" PLANTED "'/></auth><cookies><cookie name='c'>" PLANTED
	"</cookie></cookies></source></disk>"
	"<graphics type='vnc' passwd='" PLANTED "'/>"
	"<hostdev mode='subsystem' type='pci' managed='yes'><source>"
	"<address domain='0x0000' bus='0x03' slot='0x00' "
	"function='0x1'/></source></hostdev></devices>"
	"<qemu:commandline><qemu:arg value='-global'/>"
	"<qemu:arg value='pcie-root-port.pref64-reserve=32G'/>"
	"<qemu:arg value='-object'/><qemu:arg value='secret,id=s,data=" PLANTED "'/>"
	"<qemu:env name='K' value='" PLANTED "'/></qemu:commandline></domain>";

static void test_redact_xml(void **state)
{
	_cleanup_free_ char *safe = NULL;

	assert_int_equal(domain_xml_redact(domain, sizeof(domain) - 1, &safe), 0);
	if (strstr(safe, PLANTED))
		fail_msg("%s", safe);
	assert_non_null(strstr(safe, "pref64-reserve=32G"));
	assert_non_null(strstr(safe, "trainer-1"));
	assert_non_null(strstr(safe, "bus=\"0x03\""));
	assert_int_equal(domain_xml_redact("<x/>", 4, &safe), -EINVAL);
}

static void test_survey(void **state)
{
	_cleanup_(domain_survey_done) struct domain_survey s = {0};

	assert_int_equal(domain_survey_read(domain, sizeof(domain) - 1, &s), 0);
	assert_true(s.memory_bytes.known);
	assert_true(s.memory_bytes.value == (uint64_t)16 << 30);
	assert_true(s.hugepages && s.locked);
	assert_string_equal(s.nodeset, "1");
	assert_string_equal(s.cpuset, "0-3,8");
	assert_true(s.pref64_reserve.known && s.pref64_reserve.value == (uint64_t)32 << 30);
	assert_int_equal(s.n_managed, 1);
	assert_string_equal(PCI_ADDRESS_STR(&s.managed[0]), "0000:03:00.1");
}

static void test_cpu_lists(void **state)
{
	assert_true(cpu_list_holds("0-3,8", 2));
	assert_true(cpu_list_holds("0-3,8", 8));
	assert_false(cpu_list_holds("0-3,8", 7));
	assert_false(cpu_list_holds("", 0));
	assert_true(cpu_list_within("1-2", "0-3"));
	assert_true(cpu_list_within("1,8", "0-3,8-9"));
	assert_false(cpu_list_within("2-4", "0-3"));
	assert_false(cpu_list_within("^2", "0-3"));
	assert_false(cpu_list_within("0-3,", "0-3"));
	assert_false(cpu_list_within("", "0-3"));
}

static void test_survey_defaults(void **state)
{
	static const char plain[] = "<domain><memory>1024</memory><devices/></domain>";
	static const char odd[] = "<domain><memory unit='parsec'>1</memory></domain>";
	_cleanup_(domain_survey_done) struct domain_survey s = {0};

	assert_int_equal(domain_survey_read(plain, sizeof(plain) - 1, &s), 0);
	assert_true(s.memory_bytes.known && s.memory_bytes.value == 1024 * 1024); /* KiB */
	assert_false(s.hugepages || s.locked || s.pref64_reserve.known);
	assert_null(s.nodeset);
	domain_survey_done(&s);
	assert_int_equal(domain_survey_read(odd, sizeof(odd) - 1, &s), 0);
	assert_false(s.memory_bytes.known); /* unknown is not 0 */
	assert_int_equal(domain_survey_read("<!DOCTYPE x><domain/>", 21, &s), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_redact_xml),
		cmocka_unit_test(test_survey),
		cmocka_unit_test(test_survey_defaults),
		cmocka_unit_test(test_cpu_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
