/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest agent's answer, as text that a hostile guest may have written: size, strict JSON, depth
 * and form are checked here, before anybody looks into it.  Pure; runs on worker threads. */
#pragma once

#include "hypervisor/hypervisor-ops.h"

/* libvirt carries strings of at most 4 MiB. */
#define AGENT_ANSWER_MAX (4 * 1024 * 1024)

/* {"return": …} → HV_OK with new *ret_result; {"error": {"class", "desc"}} → HV_AGENT_DISABLED or
 * HV_AGENT_REFUSED with new *ret_message; anything else, more or deeper → HV_AGENT_GARBAGE with new
 * *ret_message. */
enum hv_failure agent_answer_parse(const char *text, size_t size, json_t **ret_result,
				   char **ret_message);

/* What an error text of the agent means: HV_AGENT_DISABLED when its configuration forbids the
 * command. */
enum hv_failure agent_error_classify(const char *text);
