/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the verb, reads what all verbs have in common, and runs it. */
#include "cli/cli.h"

#include "lib/edit-distance.h"
#include "lib/enum-table.h"
#include "lib/escape.h"

#define VERBS_MAX 64

static const char *const format_names[FORMAT_MAX] = {
	[FORMAT_TABLE] = "table",
	[FORMAT_WIDE] = "wide",
	[FORMAT_JSON] = "json",
	[FORMAT_NDJSON] = "ndjson",
};

const struct option global_options[] = {
	{ "--socket", OPTION_TEXT, "PATH", "the daemon's socket (GPUVF_SOCKET)" },
	{ "--format", OPTION_TEXT, "FORMAT", "table, wide, json or ndjson", .letter = 'o' },
	{ "--quiet", OPTION_FLAG, NULL, "names and ids only", .letter = 'q' },
	{ "--no-color", OPTION_FLAG, NULL, "no colour on a terminal" },
	{ "--utc", OPTION_FLAG, NULL, "times in UTC" },
	{ "--help", OPTION_FLAG, NULL, "say how it is used", .letter = 'h' },
	{ "--version", OPTION_FLAG, NULL, "print the version" },
	{ NULL },
};

/* Global options as they were found, before and after the verb. */
struct globals {
	struct cli *cli;
	bool no_color, help, version;
};

static int set_format(struct cli *cli, const char *value, char **ret_error)
{
	int format = enum_from_string(format_names, FORMAT_MAX, value);

	if (format < 0) {
		*ret_error =
			xasprintf("-o %s: no such format (table, wide, json or ndjson)", value);
		return -EINVAL;
	}
	cli->format = (enum format)format;
	return 1;
}

static int read_global(void *userdata, int argc, char *const *argv, int *i, char **ret_error)
{
	struct globals *g = userdata;
	const struct option *o;
	const char *value;
	int r = option_read(global_options, argc, argv, i, &o, &value, ret_error);

	if (r <= 0)
		return r;
	if (o->kind == OPTION_TEXT && !*value) {
		*ret_error = xasprintf("%s: the value is empty", o->name);
		return -EINVAL;
	}
	switch (o - global_options) {
	case 0:
		g->cli->socket = value;
		return 1;
	case 1:
		return set_format(g->cli, value, ret_error);
	case 2:
		g->cli->quiet = true;
		return 1;
	case 3:
		g->no_color = true;
		return 1;
	case 4:
		g->cli->utc = true;
		return 1;
	case 5:
		g->help = true;
		return 1;
	default:
		g->version = true;
		return 1;
	}
}

const struct verb *verb_find(const char *name)
{
	size_t i;

	for (i = 0; verbs[i]; i++)
		if (streq(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

int cli_unknown(struct cli *cli, const char *what, const char *word, const char *const *names,
		size_t count)
{
	const char *near = edit_distance_nearest(word, names, count);

	if (near)
		return cli_usage(cli, "unknown %s \"%s\" (did you mean %s?)", what, word, near);
	return cli_usage(cli, "unknown %s \"%s\" (gpuvf help lists what there is)", what, word);
}

static int unknown_verb(struct cli *cli, const char *word)
{
	const char *names[VERBS_MAX];
	size_t n = 0;

	for (; verbs[n] && n < VERBS_MAX; n++)
		names[n] = verbs[n]->name;
	return cli_unknown(cli, "verb", word, names, n);
}

static int check_words(struct cli *cli)
{
	const struct verb *v = cli->verb;
	size_t n = cli->args.n_words;

	if (n < v->min_words && !(v->takes_command && cli->args.has_command))
		return cli_usage(cli, "something is missing: gpuvf %s %s", v->name, v->usage);
	if (n > v->max_words)
		return cli_usage(cli, "\"%s\" is too much: gpuvf %s %s",
				 cli->args.words[v->max_words], v->name, v->usage);
	return 0;
}

static int run_verb(struct cli *cli, struct globals *g, int argc, char **argv)
{
	_cleanup_free_ char *error = NULL;
	const char *help_words[] = { cli->verb->name };
	int r;

	r = arguments_parse(&cli->args, cli->verb->options, cli->verb->takes_command, argc, argv,
			    read_global, g, &error);
	if (r == -ENOMEM)
		return cli_out_of_memory(cli);
	if (r < 0)
		return cli_usage(cli, "%s", strempty(error));
	if (g->no_color)
		cli->color = false;
	if (g->help) {
		cli->verb = verb_find("help");
		cli->args.words[0] = help_words[0];
		cli->args.n_words = 1;
		return cli->verb->run(cli);
	}

	r = check_words(cli);
	return r ? r : cli->verb->run(cli);
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct globals g = { .cli = cli };
	_cleanup_free_ char *error = NULL;
	int i = 1;

	while (i < argc && argv[i][0] == '-' && argv[i][1]) {
		int r = read_global(&g, argc, argv, &i, &error);

		if (r == 0)
			return cli_usage(cli, "unknown option %s (gpuvf help lists what there is)",
					 argv[i]);
		if (r < 0)
			return cli_usage(cli, "%s", strempty(error));
	}
	if (g.version || (g.help && i >= argc)) {
		cli->verb = verb_find(g.version ? "version" : "help");
		cli->args.options = NULL;
		return cli->verb->run(cli);
	}
	if (i >= argc)
		return cli_usage(cli, "no verb (gpuvf help lists them)");

	cli->verb = verb_find(argv[i]);
	if (!cli->verb)
		return unknown_verb(cli, argv[i]);
	return run_verb(cli, &g, argc - i - 1, argv + i + 1);
}

int cli_run(int argc, char **argv, FILE *in, FILE *out, FILE *err)
{
	const char *socket = getenv("GPUVF_SOCKET"), *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	struct cli cli = { .in = in, .out = out, .err = err };
	int r;

	cli.socket = socket && *socket ? socket : SOCKET_DEFAULT;
	cli.terminal = fileno(out) >= 0 && isatty(fileno(out));
	cli.color = cli.terminal && !(no_color && *no_color) && !(term && streq(term, "dumb"));
	r = run(&cli, argc, argv);

	cli_disconnect(&cli);
	interrupt_say(NULL);
	arguments_done(&cli.args);
	if ((fflush(out) != 0 || ferror(out)) && r == EXIT_DONE)
		r = cli_refuse(&cli, RPC_HOST_ERROR, "is the disk full?",
			       "the output could not be written");
	return r;
}
