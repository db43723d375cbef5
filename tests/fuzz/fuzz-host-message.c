/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests and replies of the helper: what is accepted goes back to the same message, and a request
 * names nothing but a known op and a known attribute. */
#include "fuzz.h"
#include "host/host-ops.h"

static void check_request(const json_t *json)
{
	_cleanup_json_ json_t *back = NULL;
	struct host_request request, again;

	if (host_request_from_json(json, &request) < 0)
		return;
	FUZZ_CHECK((unsigned)request.op < HOST_OP_MAX);
	FUZZ_CHECK((unsigned)request.attribute < VF_ATTRIBUTE_MAX);
	back = host_request_to_json(&request);
	FUZZ_CHECK(back && host_request_from_json(back, &again) == 0);
	FUZZ_CHECK(again.op == request.op && again.vf == request.vf &&
		   again.value == request.value && again.tile == request.tile && again.attribute == request.attribute &&
		   pci_address_equal(&again.gpu, &request.gpu));
}

static void check_reply(const json_t *json)
{
	_cleanup_(host_reply_done) struct host_reply reply = { 0 }, again = { 0 };
	_cleanup_json_ json_t *first = NULL, *second = NULL;
	size_t i;

	if (host_reply_from_json(json, &reply) < 0)
		return;
	for (i = 0; i < reply.n_facts; i++)
		FUZZ_CHECK(reply.facts[i]->n_vfs == reply.facts[i]->num_vfs);
	first = host_reply_to_json(&reply);
	FUZZ_CHECK(first && host_reply_from_json(first, &again) == 0);
	second = host_reply_to_json(&again);
	FUZZ_CHECK(second && json_equal(first, second));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *json = NULL;

	if (json_parse((const char *)data, size, &json, NULL) < 0)
		return 0;
	check_request(json);
	check_reply(json);
	return 0;
}
