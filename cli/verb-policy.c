/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf policy check, show, reload.  Checking needs no daemon: gpuvfd itself is run for it, because
 * only it has the loader. */
#include "cli/verbs.h"

/* ---- check ---- */

static int policy_check(struct cli *cli)
{
	size_t n = cli->args.n_words, i;
	_cleanup_free_ char **argv = calloc(n + 2, sizeof(*argv));

	if (!argv)
		return cli_out_of_memory(cli);
	if (n < 2)
		return cli_usage(cli, "which files?  gpuvf policy check FILE...");
	argv[1] = (char *)"--check-policy";
	for (i = 1; i < n; i++) {
		if (cli->args.words[i][0] == '-')
			return cli_usage(cli, "\"%s\": write ./%s", cli->args.words[i],
					 cli->args.words[i]);
		argv[i + 1] = (char *)cli->args.words[i];
	}
	return cli_run_daemon(cli, argv, NULL);
}

/* ---- show, reload ---- */

static int policy_show(struct cli *cli)
{
	_cleanup_json_ json_t *policy = NULL;
	int r = cli_call(cli, "policy.show", NULL, &policy);

	if (r)
		return r;
	if (cli->quiet)
		cli_say(cli, "%s", strempty(json_get_string(policy, "revision")));
	else
		return cli_print_json(cli, policy);
	return 0;
}

static int policy_reload(struct cli *cli)
{
	_cleanup_json_ json_t *answer = NULL;
	const char *revision;
	json_t *warning;
	size_t i;
	int r = cli_call(cli, "policy.reload", NULL, &answer);

	if (r)
		return r;
	revision = strempty(json_get_string(answer, "revision"));
	if (cli_wants_json(cli) && !cli->quiet)
		return cli_print_json(cli, answer);
	json_array_foreach(json_object_get(answer, "warnings"), i, warning)
		cli_warn(cli, "gpuvf: policy: warning: %s", strempty(json_string_value(warning)));
	if (cli->quiet)
		cli_say(cli, "%s", revision);
	else
		cli_say(cli, json_get_bool(answer, "changed", true) ? "policy %s is in force"
								    : "policy %s, as before",
			revision);
	return 0;
}

static const struct {
	const char *word;
	int (*run)(struct cli *cli);
	bool files;
} actions[] = {
	{ "check", policy_check, true },
	{ "show", policy_show, false },
	{ "reload", policy_reload, false },
};

static int policy_run(struct cli *cli)
{
	const char *word = arguments_word(&cli->args, 0), *names[ARRAY_SIZE(actions)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(actions); i++) {
		names[i] = actions[i].word;
		if (!streq(word, actions[i].word))
			continue;
		if (!actions[i].files && cli->args.n_words > 1)
			return cli_usage(cli, "policy %s takes no files", word);
		return actions[i].run(cli);
	}
	return cli_unknown(cli, "action", word, names, ARRAY_SIZE(actions));
}

const struct verb verb_policy = {
	.name = "policy",
	.usage = "check FILE... | show | reload",
	.summary = "check policy files (without a daemon), show or reload the policy",
	.min_words = 1,
	.max_words = 1000,
	.run = policy_run,
};
