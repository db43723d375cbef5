/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain's XML: either refused with nothing changed, or within all bounds. */
#include "fuzz.h"
#include "hypervisor/domain-xml.h"

static void check(const struct domain_facts *facts)
{
	FUZZ_CHECK(facts->name && *facts->name && strlen(facts->name) <= 255);
	FUZZ_CHECK(strlen(facts->uuid) == 36);
	FUZZ_CHECK(facts->n_hostdevs <= 2048);
	FUZZ_CHECK(facts->free_ports >= -1 && facts->free_ports <= 256 * 32);
	for (size_t i = 0; i < facts->n_hostdevs; i++) {
		FUZZ_CHECK(facts->hostdevs[i].live || facts->hostdevs[i].config);
		FUZZ_CHECK(!facts->hostdevs[i].alias || strlen(facts->hostdevs[i].alias) <= 255);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(domain_facts_freep) struct domain_facts *facts = calloc(1, sizeof(*facts));
	_cleanup_free_ char *xml = fuzz_string(data, size);

	FUZZ_CHECK(facts);
	facts->state = VM_RUNNING;
	if (domain_xml_read(facts, DOMAIN_XML_LIVE, xml, size) < 0) {
		FUZZ_CHECK(!facts->name && facts->n_hostdevs == 0);
		return 0;
	}
	check(facts);
	FUZZ_CHECK(domain_xml_read(facts, DOMAIN_XML_CONFIG, xml, size) == 0);
	check(facts);
	return 0;
}
