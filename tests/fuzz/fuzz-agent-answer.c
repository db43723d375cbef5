/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest agent's answer: exactly one of result and message, the message bounded. */
#include "fuzz.h"
#include "hypervisor/agent-answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_string(data, size), *message = NULL;
	_cleanup_json_ json_t *result = NULL;
	enum hv_failure failure;

	failure = agent_answer_parse(text, size, &result, &message);
	FUZZ_CHECK((failure == HV_OK) == (result != NULL));
	FUZZ_CHECK((failure == HV_OK) == (message == NULL));
	FUZZ_CHECK(!message || strlen(message) <= 512);
	return 0;
}
