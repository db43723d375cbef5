/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf plan, gpuvf apply: how a GPU is cut into VFs. */
#include "cli/layout-options.h"
#include "cli/verbs.h"

static const struct option plan_options[] = {
	LAYOUT_OPTIONS,
	{ "--all", OPTION_FLAG, NULL, "every GPU" },
	{ NULL },
};

static const struct option apply_options[] = {
	LAYOUT_OPTIONS,
	{ "--all", OPTION_FLAG, NULL, "every GPU" },
	{ "--plan", OPTION_TEXT, "HASH", "only if it is still what `gpuvf plan` showed" },
	{ "--policy", OPTION_FLAG, NULL, "drop a manual layout; the policy's is wanted again" },
	{ "--drain", OPTION_FLAG, NULL, "let nobody new in and wait until the holders of VFs have left" },
	{ "--yes-display", OPTION_FLAG, NULL, "although the GPU drives a display" },
	{ "--wait", OPTION_DURATION, "T",
	  "at most so long; 0s = return at once (else until it is done)" },
	{ NULL },
};

/* The GPUs that are meant: the one that was named, all, or the only one. */
static int find_gpus(struct cli *cli, bool all_by_default, json_t **ret_names)
{
	const char *word = arguments_word(&cli->args, 0);
	bool all = arguments_flag(&cli->args, "--all");
	_cleanup_json_ json_t *list = NULL, *names = json_array();
	json_t *gpu;
	size_t i;
	int r;

	if (word && all)
		return cli_usage(cli, "either a GPU or --all, not both");
	if (word) {
		json_array_append_new(names, json_string(word));
		*ret_names = TAKE_PTR(names);
		return 0;
	}
	r = cli_list(cli, "gpu.list", NULL, 0, &list);
	if (r)
		return r;
	json_array_foreach(json_object_get(list, "items"), i, gpu)
		json_array_append(names, json_object_get(gpu, "name"));
	if (json_array_size(names) == 0)
		return cli_refuse(cli, RPC_NOT_FOUND, "see gpuvf status", "there is no GPU");
	if (json_array_size(names) > 1 && !all && !all_by_default)
		return cli_usage(cli, "which GPU?  Name one (gpuvf list gpus), or say --all");
	*ret_names = TAKE_PTR(names);
	return 0;
}

static json_t *params_for(const char *gpu, const json_t *layout)
{
	json_t *params = json_pack("{s:s}", "gpu", gpu);

	if (params && layout)
		json_object_set(params, "layout", (json_t *)layout);
	return params;
}

/* Prints what came for each GPU: the answer itself when it was one GPU. */
static int print_answers(struct cli *cli, json_t *answers)
{
	_cleanup_json_ json_t *list = NULL;

	if (json_array_size(answers) == 1)
		return cli_print_json(cli, json_array_get(answers, 0));
	list = json_pack("{s:O,s:n}", "items", answers, "next");
	return list ? cli_print_json(cli, list) : cli_out_of_memory(cli);
}

static void print_plan(struct cli *cli, const json_t *plan)
{
	json_t *item;
	size_t i;

	cli_say(cli, "%s: plan %s", strempty(json_get_string(plan, "gpu")),
		strempty(json_get_string(plan, "hash")));
	if (json_array_size(json_object_get(plan, "steps")) == 0)
		cli_say(cli, "  nothing to do: it is so already");
	json_array_foreach(json_object_get(plan, "steps"), i, item)
		cli_say(cli, "  %zu. %s", i + 1, strempty(json_get_string(item, "text")));
	json_array_foreach(json_object_get(plan, "notes"), i, item)
		cli_say(cli, "  note: %s", strempty(json_string_value(item)));
	json_array_foreach(json_object_get(plan, "disturbs"), i, item)
		cli_say(cli, "  disturbs: %s", strempty(json_string_value(item)));
	if (json_get_bool(plan, "pinned", false))
		cli_say(cli, "  pinned: a layout by hand goes before the policy's (apply --policy drops it)");
}

static int plan_run(struct cli *cli)
{
	_cleanup_json_ json_t *names = NULL, *layout = NULL, *answers = json_array();
	json_t *name;
	size_t i;
	int r;

	r = layout_from_options(cli, &layout);
	if (r == 0)
		r = find_gpus(cli, true, &names);
	if (r)
		return r;
	json_array_foreach(names, i, name) {
		json_t *plan = NULL;

		r = cli_call(cli, "gpu.plan", params_for(json_string_value(name), layout), &plan);
		if (r)
			return r;
		json_array_append_new(answers, plan);
		if (cli->quiet)
			cli_say(cli, "%s", strempty(json_get_string(plan, "hash")));
		else if (!cli_wants_json(cli))
			print_plan(cli, plan);
	}
	return cli_wants_json(cli) && !cli->quiet ? print_answers(cli, answers) : 0;
}

static void print_applied(struct cli *cli, const char *name, const json_t *answer)
{
	const json_t *gpu = json_object_get(answer, "gpu");
	const char *operation = json_get_string(answer, "operation");
	const char *state = json_get_string(answer, "operation_state");

	if (cli->quiet) {
		cli_say(cli, "%s", operation ? operation : name);
		return;
	}
	if (operation && !streq_ptr(state, "done")) {
		cli_say(cli, "%s: %s was accepted; gpuvf wait %s", name, operation, operation);
		return;
	}
	cli_say(cli, "%s: %zu VFs%s", name, json_array_size(json_object_get(gpu, "vfs")),
		json_get_bool(answer, "changed", true) ? "" : ", as before: nothing was changed");
}

static json_t *apply_params(struct cli *cli, const char *gpu, const json_t *layout)
{
	json_t *params = params_for(gpu, layout);
	const char *plan = arguments_text(&cli->args, "--plan");

	if (!params)
		return NULL;
	if (plan)
		json_put_string(params, "plan", plan);
	if (arguments_flag(&cli->args, "--policy"))
		json_put_bool(params, "policy", true);
	if (arguments_flag(&cli->args, "--drain"))
		json_put_bool(params, "drain", true);
	if (arguments_flag(&cli->args, "--yes-display"))
		json_put_bool(params, "yes_display", true);
	return params;
}

static int check_apply(struct cli *cli, const json_t *layout)
{
	if (layout && arguments_flag(&cli->args, "--policy"))
		return cli_usage(cli,
				 "--policy takes the policy's layout: leave the other one out");
	if (arguments_flag(&cli->args, "--all") && arguments_text(&cli->args, "--plan"))
		return cli_usage(cli, "--plan is of one GPU: name it instead of --all");
	return 0;
}

/* A half-way failure is worse than any refusal; of refusals, the one with the higher code. */
static int worse(int a, int b)
{
	if (a == EXIT_FAILED || b == EXIT_FAILED)
		return EXIT_FAILED;
	return MAX_OF(a, b);
}

/* One refusal does not keep the other GPUs from being cut; without a daemon there are none. */
static int apply_each(struct cli *cli, const json_t *names, const json_t *layout, json_t *answers)
{
	uint64_t deadline = deadline_of(&cli->args, "--wait");
	size_t i, n = json_array_size(names), failed = 0;
	int worst = 0;
	json_t *name;

	json_array_foreach((json_t *)names, i, name) {
		const char *gpu = json_string_value(name);
		json_t *answer = NULL;
		int r = cli_call_and_wait(cli, "gpu.apply", apply_params(cli, gpu, layout), deadline,
					  &answer);

		if (r == EXIT_UNREACHABLE)
			return r;
		if (r) {
			worst = worse(worst, r);
			failed++;
			if (n > 1)
				cli_warn(cli, "gpuvf: apply: %s was not cut", gpu);
			continue;
		}
		json_array_append_new(answers, answer);
		if (!cli_wants_json(cli) || cli->quiet)
			print_applied(cli, gpu, answer);
	}
	if (failed && n > 1)
		cli_warn(cli, "gpuvf: apply: %zu of %zu GPUs failed", failed, n);
	return worst;
}

static int apply_run(struct cli *cli)
{
	_cleanup_json_ json_t *names = NULL, *layout = NULL, *answers = json_array();
	int r, printed;

	r = layout_from_options(cli, &layout);
	if (r == 0)
		r = check_apply(cli, layout);
	if (r == 0)
		r = find_gpus(cli, false, &names);
	if (r)
		return r;
	r = apply_each(cli, names, layout, answers);
	if (!cli_wants_json(cli) || cli->quiet || json_array_size(answers) == 0)
		return r;
	printed = print_answers(cli, answers);
	return r ? r : printed;
}

#define LAYOUT_DETAILS                                                                             \
	"LAYOUT is --vfs N with --vram, --profile, --ggtt, --contexts, --doorbells, --priority,\n"  \
	"--quantum, --preempt-timeout; or --slices P:2,Q:1; both with --defaults, --scheduler;\n"  \
	"or --layout NAME of the policy; or --file F.  Without one it is the wanted layout: the "  \
	"last\n"                                                                                   \
	"that was applied by hand, else the policy's.  --vfs 0 removes all VFs."

const struct verb verb_plan = {
	.name = "plan",
	.usage = "[GPU] [LAYOUT]",
	.summary = "what apply would do, step by step; changes nothing",
	.details = LAYOUT_DETAILS,
	.max_words = 1,
	.options = plan_options,
	.run = plan_run,
};

const struct verb verb_apply = {
	.name = "apply",
	.usage = "[GPU | --all] [LAYOUT] [options]",
	.summary = "cut a GPU into VFs",
	.details = LAYOUT_DETAILS,
	.max_words = 1,
	.options = apply_options,
	.run = apply_run,
};
