/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One look at libvirt over a read-only connection of its own, for the doctor, which works without a
 * daemon.  Blocks: the caller is a process with a deadline. */
#pragma once

#include "hypervisor/domain-survey.h"

struct surveyed_domain {
	struct domain_facts *facts;
	struct domain_survey survey;
	bool surveyed;          /* survey was read */
	struct known rss_bytes; /* what its QEMU has in memory now */
	char *redacted_xml;     /* when it was asked for; may be NULL all the same */
};

struct libvirt_survey {
	unsigned long libvirt_version; /* 9000000 = 9.0.0; 0 = not known */
	unsigned long hypervisor_version;
	struct surveyed_domain *domains;
	size_t n_domains;
};

void libvirt_survey_done(struct libvirt_survey *s);

/* uri NULL = qemu:///system.  Returns 0, or -EIO with new *ret_message in libvirt's words. */
int libvirt_survey_read(const char *uri, bool want_xml, struct libvirt_survey *ret,
			char **ret_message);
