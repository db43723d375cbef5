/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the doctor wants to know of a domain beyond domain-xml.h: memory, NUMA, windows of ports,
 * how its hostdevs are managed; and domain XML that can be shown to strangers.  Pure. */
#pragma once

#include "core/facts.h"

struct domain_survey {
	struct known memory_bytes; /* what it may have at most: a VF pins all of it */
	bool hugepages;
	bool locked;
	char *nodeset; /* numatune's, as written; NULL = none */
	char *cpuset;  /* of vcpu, as written; NULL = none */
	struct known
		pref64_reserve; /* smallest pref64-reserve that qemu:commandline gives to ports */
	struct pci_address *managed; /* hostdevs with managed='yes' */
	size_t n_managed;
};

void domain_survey_done(struct domain_survey *s);

/* -EINVAL (no such XML, a DTD), -E2BIG, -ENOMEM. */
int domain_survey_read(const char *xml, size_t size, struct domain_survey *ret);

/* The XML without what may be secret: passwords, keys, secrets, qemu:commandline but for what is
 * about ports, sysinfo, metadata, descriptions.  Returns 0 with new *ret, or as above. */
int domain_xml_redact(const char *xml, size_t size, char **ret);

/* "0-3,8" holds n? */
bool cpu_list_holds(const char *list, unsigned n);
/* Whether every CPU of the first list is in the second; false for what is no list. */
bool cpu_list_within(const char *inner, const char *outer);
