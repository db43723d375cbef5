/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf call: any method of the API, with JSON parameters. */
#include "cli/verbs.h"

static int call_run(struct cli *cli)
{
	const char *method = arguments_word(&cli->args, 0), *text = arguments_word(&cli->args, 1);
	_cleanup_json_ json_t *params = NULL, *result = NULL;
	_cleanup_free_ char *read = NULL;
	size_t size = 0;
	int r;

	if (text && streq(text, "-")) {
		r = cli_read_file(cli, "-", RPC_MESSAGE_MAX, &read, &size);
		if (r)
			return r;
		text = read;
	}
	if (text) {
		r = cli_parse_json(cli, "PARAMS", text, strlen(text), &params);
		if (r)
			return r;
	}
	if (params && !json_is_object(params))
		return cli_usage(cli, "PARAMS is a JSON object, such as '{\"gpu\": \"gpu0\"}'");
	r = cli_call(cli, method, TAKE_PTR(params), &result);
	return r ? r : cli_print_json(cli, result);
}

const struct verb verb_call = {
	.name = "call",
	.usage = "METHOD [PARAMS | -]",
	.summary = "call a method of the API; prints its result as JSON",
	.details = "gpuvf call rpc.discover describes all of them.",
	.min_words = 1,
	.max_words = 2,
	.run = call_run,
};
