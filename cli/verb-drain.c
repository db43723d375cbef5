/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf drain, gpuvf undrain: nobody new gets a VF of a GPU, and waiting until its holders have left. */
#include "cli/verbs.h"

static const struct option drain_options[] = {
	{ "--wait", OPTION_DURATION, "T",
	  "at most so long; 0s = return at once (else until all have left)" },
	{ NULL },
};

static int print_drained(struct cli *cli, const json_t *answer)
{
	const char *word = arguments_word(&cli->args, 0), *operation = json_get_string(answer, "operation");
	const json_t *gpu = json_object_get(answer, "gpu");
	const char *name = gpu ? strempty(json_get_string(gpu, "name")) : word;
	json_t *holder;
	size_t i;

	if (cli->quiet) {
		cli_say(cli, "%s", operation ? operation : name);
		return 0;
	}
	if (cli_wants_json(cli))
		return cli_print_json(cli, answer);
	if (!gpu) {
		cli_say(cli, "%s: %s was accepted; gpuvf wait %s", name, strempty(operation),
			strempty(operation));
		return 0;
	}
	json_array_foreach(json_object_get(answer, "holders"), i, holder)
		cli_warn(cli, "gpuvf: drain: %s", strempty(json_string_value(holder)));
	cli_say(cli, "%s is drained%s", name,
		json_get_bool(answer, "changed", true) ? "" : ", as before: nothing was changed");
	return 0;
}

static int drain_run(struct cli *cli)
{
	_cleanup_json_ json_t *answer = NULL;
	json_t *params = json_pack("{s:s}", "gpu", arguments_word(&cli->args, 0));
	int r;

	if (!params)
		return cli_usage(cli, "the GPU's name is not valid UTF-8");
	r = cli_call_and_wait(cli, "gpu.drain", params, deadline_of(&cli->args, "--wait"), &answer);
	return r ? r : print_drained(cli, answer);
}

static int undrain_run(struct cli *cli)
{
	const char *word = arguments_word(&cli->args, 0);
	_cleanup_json_ json_t *answer = NULL;
	json_t *params = json_pack("{s:s}", "gpu", word);
	int r;

	if (!params)
		return cli_usage(cli, "the GPU's name is not valid UTF-8");
	r = cli_call(cli, "gpu.undrain", params, &answer);
	if (r)
		return r;
	if (cli_wants_json(cli) && !cli->quiet)
		return cli_print_json(cli, answer);
	cli_say(cli, "%s%s", word,
		cli->quiet ? ""
		: json_get_bool(answer, "changed", true)
			? " lets holders in again"
			: " was not drained: nothing was changed");
	return 0;
}

const struct verb verb_drain = {
	.name = "drain",
	.usage = "GPU [--wait T]",
	.summary = "let nobody new have a VF of a GPU, and wait until its holders have left",
	.details = "Jobs end, VMs are released or shut down: nothing is taken from anybody.  The GPU stays\n"
		   "drained, over restarts too, until gpuvf undrain.",
	.min_words = 1,
	.max_words = 1,
	.options = drain_options,
	.run = drain_run,
};

const struct verb verb_undrain = {
	.name = "undrain",
	.usage = "GPU",
	.summary = "let holders in again",
	.min_words = 1,
	.max_words = 1,
	.run = undrain_run,
};
