/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf help, version, completion, and the table of verbs that help is made of. */
#include "cli/verbs.h"
#include "lib/io.h"

#include <fcntl.h>

#define COMPLETION_MAX ((size_t)1 << 20)

const struct verb *const verbs[] = {
	&verb_list,    &verb_show,    &verb_status, &verb_doctor, &verb_plan,	    &verb_apply,
	&verb_assert,  &verb_export,  &verb_assign, &verb_release, &verb_heal,	    &verb_tune,
	&verb_reset,   &verb_drain,   &verb_undrain, &verb_submit, &verb_jobs,	    &verb_wait,
	&verb_logs,    &verb_fetch,   &verb_cancel, &verb_hold,	  &verb_unhold,	    &verb_session,
	&verb_extend,  &verb_policy,  &verb_watch,   &verb_audit,   &verb_call,   &verb_completion, &verb_help,   &verb_version,
	NULL,
};

static void print_options(struct cli *cli, const struct option *options)
{
	for (; options && options->name; options++) {
		char text[64];

		if (options->hidden || options->kind == OPTION_LATER)
			continue;
		if (options->letter)
			snprintf(text, sizeof(text), "-%c, %s%s%s", options->letter, options->name,
				 options->value ? " " : "", strempty(options->value));
		else
			snprintf(text, sizeof(text), "%s%s%s", options->name,
				 options->value ? " " : "", strempty(options->value));
		fprintf(cli->out, "  %-24s %s\n", text, strempty(options->summary));
	}
}

static int help_about(struct cli *cli, const struct verb *v)
{
	fprintf(cli->out, "gpuvf %s%s%s\n  %s\n", v->name, *v->usage ? " " : "", v->usage,
		v->summary);
	if (v->details)
		fprintf(cli->out, "\n%s\n", v->details);
	if (v->options)
		fputs("\nOptions:\n", cli->out);
	print_options(cli, v->options);
	return 0;
}

static int help_run(struct cli *cli)
{
	const char *word = arguments_word(&cli->args, 0), *names[ARRAY_SIZE(verbs)];
	const struct verb *v = word ? verb_find(word) : NULL;
	size_t i;

	if (v)
		return help_about(cli, v);
	for (i = 0; verbs[i]; i++)
		names[i] = verbs[i]->name;
	if (word)
		return cli_unknown(cli, "verb", word, names, i);

	fputs("gpuvf cuts Intel GPUs into virtual functions, gives them to VMs, runs fine-tuning "
	      "jobs on them.\n\n"
	      "usage: gpuvf [options] VERB ...\n\n",
	      cli->out);
	for (i = 0; verbs[i]; i++)
		fprintf(cli->out, "  %-12s %s\n", verbs[i]->name, verbs[i]->summary);
	fputs("\nOptions, before or after the verb:\n", cli->out);
	print_options(cli, global_options);
	fputs("\ngpuvf help VERB tells more; so does gpuvf(1).\n", cli->out);
	return 0;
}

const struct verb verb_help = {
	.name = "help",
	.usage = "[VERB]",
	.summary = "this, or how a verb is used",
	.max_words = 1,
	.run = help_run,
};

static int version_run(struct cli *cli)
{
	_cleanup_json_ json_t *json =
		json_pack("{s:s,s:s}", "version", PACKAGE_VERSION, "api_version", API_VERSION);

	if (cli_wants_json(cli))
		return cli_print_json(cli, json);
	fprintf(cli->out, cli->quiet ? "%s\n" : "gpuvf %s\n", PACKAGE_VERSION);
	return 0;
}

const struct verb verb_version = {
	.name = "version",
	.usage = "",
	.summary = "the version of this program (gpuvf status: of the daemon)",
	.run = version_run,
};

static int completion_run(struct cli *cli)
{
	static const char *const shells[] = { "bash" };
	const char *shell = arguments_word(&cli->args, 0);
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	if (!streq(shell, "bash"))
		return cli_unknown(cli, "shell", shell, shells, ARRAY_SIZE(shells));
	r = read_file_at(AT_FDCWD, COMPLETIONDIR "/gpuvf", COMPLETION_MAX, &text, &size);
	if (r < 0)
		return cli_refuse(cli, RPC_NOT_FOUND, "make install puts it there", "%s/gpuvf: %s",
				  COMPLETIONDIR, strerror(-r));
	fwrite(text, 1, size, cli->out);
	return 0;
}

const struct verb verb_completion = {
	.name = "completion",
	.usage = "bash",
	.summary = "print the completion script of a shell",
	.min_words = 1,
	.max_words = 1,
	.run = completion_run,
};
