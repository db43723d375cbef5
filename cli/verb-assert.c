/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf assert, export: what is wanted of GPUs against what their kernel shows, and what it shows as a policy. */
#include "cli/verbs.h"

static const struct option assert_options[] = {
	{ "--all", OPTION_FLAG, NULL, "every GPU, as when none is named" },
	{ NULL },
};

static void print_gpu(struct cli *cli, const json_t *gpu)
{
	const char *name = strempty(json_get_string(gpu, "gpu"));
	const json_t *layout = json_object_get(gpu, "layout");
	json_t *text;
	size_t i;

	if (cli->quiet) {
		if (!json_get_bool(gpu, "same", false))
			cli_say(cli, "%s", name);
		return;
	}
	json_array_foreach(json_object_get(gpu, "differences"), i, text)
		cli_say(cli, "%s: %s", name, strempty(json_string_value(text)));
	if (!json_get_bool(gpu, "same", false))
		return;
	if (!json_is_object(layout))
		cli_say(cli, "%s: nobody wants a layout of it: nothing to compare", name);
	else
		cli_say(cli, "%s: as wanted: %zu VFs (%s)", name,
			json_array_size(json_object_get(layout, "vfs")),
			strempty(json_get_string(gpu, "layout_source")));
}

static int assert_run(struct cli *cli)
{
	const char *word = arguments_word(&cli->args, 0);
	_cleanup_json_ json_t *result = NULL;
	json_t *params = word ? json_pack("{s:s}", "gpu", word) : json_object(), *gpu;
	size_t i;
	int r;

	if (word && arguments_flag(&cli->args, "--all")) {
		json_decref(params);
		return cli_usage(cli, "either a GPU or --all, not both");
	}
	if (!params)
		return cli_usage(cli, "the GPU's name is not valid UTF-8");
	r = cli_call(cli, "gpu.assert", params, &result);
	if (r)
		return r;
	if (cli_wants_json(cli) && !cli->quiet) {
		r = cli_print_json(cli, result);
		if (r)
			return r;
	} else {
		json_array_foreach(json_object_get(result, "gpus"), i, gpu)
			print_gpu(cli, gpu);
	}
	return json_get_bool(result, "same", false) ? EXIT_DONE : EXIT_CONFLICT;
}

/* ---- export ---- */

static int export_run(struct cli *cli)
{
	const char *word = arguments_word(&cli->args, 0);
	_cleanup_json_ json_t *document = NULL;
	json_t *params = word ? json_pack("{s:s}", "gpu", word) : json_object();
	int r;

	if (!params)
		return cli_usage(cli, "the GPU's name is not valid UTF-8");
	r = cli_call(cli, "gpu.export", params, &document);
	return r ? r : cli_print_json(cli, document);
}

const struct verb verb_assert = {
	.name = "assert",
	.usage = "[GPU | --all]",
	.summary = "compare what is wanted of GPUs with what their kernel shows",
	.details = "Exit code 0: the same.  6: different; each difference is named.  Changes nothing.",
	.max_words = 1,
	.options = assert_options,
	.run = assert_run,
};

const struct verb verb_export = {
	.name = "export",
	.usage = "[GPU]",
	.summary = "print the layouts of GPUs as a policy document that makes them again",
	.max_words = 1,
	.run = export_run,
};
