/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf watch: events as they come, or with --progress the jobs that run. */
#include "cli/progress.h"
#include "cli/text.h"
#include "cli/verbs.h"

static const struct option watch_options[] = {
	{ "--since", OPTION_UINT, "SEQ", "from this event on, as far as they are kept" },
	{ "--types", OPTION_LIST, "A,B", "only events of these types" },
	{ "--progress", OPTION_FLAG, NULL, "show how far jobs are, until they have ended" },
	{ "--audit", OPTION_FLAG, NULL, "changes: who made them, from what to what (operators)" },
	{ NULL },
};

/* "step=3 total=40": all that is not in the columns before. */
static char *details(struct cli *cli, const json_t *event)
{
	static const char *const shown[] = { "seq", "at", "type", "subject" };
	_cleanup_json_ json_t *rest = json_copy((json_t *)event);
	size_t i;

	if (streq_ptr(json_get_string(event, "type"), "audit"))
		return audit_text(cli, event);
	for (i = 0; i < ARRAY_SIZE(shown); i++)
		json_object_del(rest, shown[i]);
	return text_of_object(cli, rest);
}

static void on_event(void *userdata, const char *method, const json_t *event)
{
	struct cli *cli = userdata;
	_cleanup_free_ char *at = NULL, *more = NULL;
	enum format format = cli->format;

	if (cli_wants_json(cli)) {
		/* A stream has no end to indent for: always one a line. */
		cli->format = FORMAT_NDJSON;
		(void)cli_print_json(cli, event);
		cli->format = format;
	} else if (cli->quiet) {
		cli_say(cli, "%s", strempty(json_get_string(event, "subject")));
	} else {
		at = text_time(cli, json_get_string(event, "at"));
		more = details(cli, event);
		cli_say(cli, "%llu  %s  %-17s %-10s %s",
			(unsigned long long)json_get_uint(event, "seq", 0), strempty(at),
			strempty(json_get_string(event, "type")),
			strempty(json_get_string(event, "subject")), strempty(more));
	}
	fflush(cli->out);
}

/* "a,b" and repeated options become one array. */
static json_t *split_types(const json_t *list)
{
	json_t *types = json_array(), *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item) {
		_cleanup_free_ char *copy = strdup(json_string_value(item));
		char *rest = copy, *type;

		while ((type = strsep(&rest, ",")))
			if (*type)
				json_array_append_new(types, json_string(type));
	}
	return types;
}

static int watch_events(struct cli *cli)
{
	const json_t *list = arguments_list(&cli->args, "--types");
	bool audit = arguments_flag(&cli->args, "--audit");
	json_t *types = list ? split_types(list) : audit ? json_array() : NULL;
	uint64_t since = UINT64_MAX;
	bool missed;
	int r;

	(void)arguments_number(&cli->args, "--since", &since);
	if (audit)
		json_array_append_new(types, json_string("audit"));
	r = cli_subscribe(cli, types, since, on_event, cli);
	while (r == 0) {
		missed = false;
		r = cli_next_event(cli, UINT64_MAX, &missed);
		if (missed)
			cli_warn(cli,
				 "gpuvf: watch: the daemon was restarted; events may be missing");
	}
	return r;
}

static int watch_run(struct cli *cli)
{
	bool progress = arguments_flag(&cli->args, "--progress");
	size_t i;

	if (!progress && cli->args.n_words > 0)
		return cli_usage(cli, "\"%s\": ids go with --progress", cli->args.words[0]);
	if (!progress)
		return watch_events(cli);
	if (arguments_list(&cli->args, "--types") || arguments_text(&cli->args, "--since") ||
	    arguments_flag(&cli->args, "--audit"))
		return cli_usage(
			cli, "--progress chooses its events itself: leave --types, --audit and --since out");
	for (i = 0; i < cli->args.n_words; i++)
		if (!is_job_id(cli->args.words[i]))
			return cli_usage(cli, "\"%s\" is not a job's id", cli->args.words[i]);
	return progress_run(cli, cli->args.words, cli->args.n_words);
}

const struct verb verb_watch = {
	.name = "watch",
	.usage = "[--since SEQ] [--types A,B] [--audit] | --progress [ID...]",
	.summary = "events as they come, or how far jobs are",
	.max_words = 1000,
	.options = watch_options,
	.run = watch_run,
};
