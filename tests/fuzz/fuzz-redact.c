/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking secrets out of text and of domain XML: no input breaks it, and a planted one never comes
 * out. */
#include "doctor/redact.h"
#include "fuzz.h"
#include "hypervisor/domain-survey.h"

#define PLANTED "Qz7plantedQz7"

unsigned fuzz_cost = 4;

/* Whatever stands before it: behind a secret's name it is gone. */
static void check_text(const char *text)
{
	_cleanup_free_ char *joined = xasprintf("%s password=" PLANTED " x", text);
	_cleanup_free_ char *safe = redact_text(joined);
	_cleanup_free_ char *again = safe ? redact_text(safe) : NULL;

	FUZZ_CHECK(safe && again);
	/* an open quote or bracket of a secret before it swallows it with its name: gone as well */
	FUZZ_CHECK(!strstr(safe, PLANTED) || strstr(text, PLANTED));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_string(data, size), *xml = NULL;
	struct domain_survey survey = {0};

	check_text(text);
	if (domain_survey_read(text, size, &survey) == 0)
		FUZZ_CHECK(survey.n_managed <= 1024);
	domain_survey_done(&survey);
	if (domain_xml_redact(text, size, &xml) == 0) {
		FUZZ_CHECK(!strcasestr(xml, "<metadata"));
		FUZZ_CHECK(!strstr(xml, "<!--"));
	}
	(void)cpu_list_within(text, "0-8191");
	return 0;
}
