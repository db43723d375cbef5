/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf tune: scheduling values of a VF, or of all VFs of a GPU, while they are in use. */
#include "cli/verbs.h"

static const struct option tune_options[] = {
	{ "--quantum", OPTION_DURATION, "T", "execution quantum, such as 20ms; 0ms = no limit" },
	{ "--preempt-timeout", OPTION_DURATION, "T", "preemption timeout, such as 5ms; 0ms = no limit" },
	{ "--priority", OPTION_TEXT, "low|normal", "normal: scheduled also when idle" },
	{ "--vram", OPTION_SIZE, "SIZE", "refused: fixed while the VF is there (apply cuts again)" },
	{ NULL },
};

static int tune_params(struct cli *cli, json_t **ret)
{
	static const struct {
		const char *option, *member;
	} members[] = {
		{ "--quantum", "exec_quantum_ms" },
		{ "--preempt-timeout", "preempt_timeout_us" },
		{ "--priority", "priority" },
		{ "--vram", "vram_bytes" },
	};
	const char *word = arguments_word(&cli->args, 0);
	json_t *params = json_pack("{s:s}", is_vf_name(word) && !is_gpu_name(word) ? "vf" : "gpu", word);
	bool any = false;

	if (!params)
		return cli_usage(cli, "the name is not valid UTF-8");
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const char *text = arguments_text(&cli->args, members[i].option);

		if (text)
			json_put_string(params, members[i].member, text);
		any = any || text;
	}
	if (!any) {
		json_decref(params);
		return cli_usage(cli, "what shall change?  --quantum, --preempt-timeout or --priority");
	}
	*ret = params;
	return 0;
}

/* A PCI address may be a VF's or a GPU's. */
static int call_tune(struct cli *cli, json_t *params, json_t **ret)
{
	_cleanup_json_ json_t *other = json_copy(params);
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	const char *word = arguments_word(&cli->args, 0);
	int r = cli_try(cli, "vf.tune", params, ret, &error);

	if (r != -1)
		return r;
	if (error.code != RPC_NOT_FOUND || !is_vf_name(word) || !is_gpu_name(word))
		return cli_fail(cli, &error);
	json_object_del(other, "gpu");
	json_put_string(other, "vf", word);
	return cli_call(cli, "vf.tune", TAKE_PTR(other), ret);
}

static void print_tuned(struct cli *cli, const json_t *answer)
{
	const json_t *values = json_object_get(answer, "values"), *value;
	const char *subject = strempty(json_get_string(answer, "subject")), *member;

	json_object_foreach((json_t *)values, member, value) {
		if (json_is_string(value))
			cli_say(cli, "%s: %s %s", subject, member, json_string_value(value));
		else
			cli_say(cli, "%s: %s %lld", subject, member, (long long)json_integer_value(value));
	}
	if (!json_get_bool(answer, "changed", true))
		cli_say(cli, "%s: as before: nothing was changed", subject);
	else if (!json_get_bool(answer, "kept", true))
		cli_say(cli, "%s: until its VFs are cut again: nobody wants a layout that could keep it", subject);
	else if (json_get_bool(answer, "pinned", false))
		cli_say(cli, "%s: pinned: the layout by hand goes before the policy's (apply --policy drops it)",
			subject);
}

static int tune_run(struct cli *cli)
{
	_cleanup_json_ json_t *answer = NULL;
	json_t *params = NULL;
	int r = tune_params(cli, &params);

	if (r == 0)
		r = call_tune(cli, params, &answer);
	if (r)
		return r;
	if (cli->quiet)
		cli_say(cli, "%s", strempty(json_get_string(answer, "subject")));
	else if (cli_wants_json(cli))
		return cli_print_json(cli, answer);
	else
		print_tuned(cli, answer);
	return 0;
}

const struct verb verb_tune = {
	.name = "tune",
	.usage = "VF | GPU [options]",
	.summary = "change scheduling values of VFs while they are in use",
	.details = "A GPU means all of its VFs; some ways set a value for all of them only.  The wanted layout\n"
		   "takes the values over: they are written again after each apply.",
	.min_words = 1,
	.max_words = 1,
	.options = tune_options,
	.run = tune_run,
};
