/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks what a guest agent answered. */
#include "hypervisor/agent-answer.h"

#define MESSAGE_MAX_BYTES 512

enum hv_failure agent_error_classify(const char *text)
{
	static const char *const disabled[] = {
		"has been disabled",  /* "Command guest-exec has been disabled[: reason]" */
		"has not been found", /* an agent that was built without it */
		"is not allowed",
		"is not supported",
	};

	for (size_t i = 0; i < ARRAY_SIZE(disabled); i++)
		if (strstr(text, disabled[i]))
			return HV_AGENT_DISABLED;
	return HV_AGENT_REFUSED;
}

static enum hv_failure garbage(char **ret_message, const char *what)
{
	*ret_message = strdup(what);
	return HV_AGENT_GARBAGE;
}

enum hv_failure agent_answer_parse(const char *text, size_t size, json_t **ret_result,
				   char **ret_message)
{
	_cleanup_json_ json_t *answer = NULL;
	const char *description;
	json_t *result;

	if (size > AGENT_ANSWER_MAX)
		return garbage(ret_message, "the guest agent's answer is too long");
	if (json_parse(text, size, &answer, NULL) < 0 || !json_is_object(answer))
		return garbage(ret_message, "the guest agent's answer is not a JSON object");
	if (json_object_size(answer) != 1)
		return garbage(ret_message,
			       "the guest agent's answer has other members than \"return\"");

	result = json_object_get(answer, "return");
	if (result) {
		*ret_result = json_incref(result);
		return HV_OK;
	}

	description = json_get_string(json_object_get(answer, "error"), "desc");
	if (!description)
		return garbage(ret_message, "the guest agent's answer has no \"return\"");
	*ret_message = xasprintf("%.*s", MESSAGE_MAX_BYTES, description);
	return agent_error_classify(description);
}
