/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf audit: who changed what, of the time before now; gpuvf watch --audit goes on from there. */
#include <pwd.h>

#include "cli/table.h"
#include "cli/text.h"
#include "cli/verbs.h"

#define NEWEST 50 /* when neither a span nor a number is given */

static const struct option audit_options[] = {
	{ "--since", OPTION_TEXT, "T", "since then: 2h (ago), 20:00, or RFC 3339" },
	{ "--until", OPTION_TEXT, "T", "before then" },
	{ "--user", OPTION_TEXT, "USER", "by this user: name or uid" },
	{ "--method", OPTION_TEXT, "METHOD", "by this method (vf.assign), or the daemon's own (daemon:job)" },
	{ "--subject", OPTION_TEXT, "NAME", "of this GPU, VF, VM or job" },
	{ "--limit", OPTION_UINT, "N", "the newest N; 50 when there is no --since" },
	{ NULL },
};

static const struct table_column columns[] = {
	{ "TIME" }, { "USER" }, { "PID", .right = true }, { "METHOD" }, { "SUBJECT" }, { "OUTCOME", .state = true },
	{ "CHANGE" }, { NULL },
};
static const struct table_column wide_columns[] = {
	{ "TIME" }, { "USER" }, { "PID", .right = true }, { "METHOD" }, { "SUBJECT" }, { "OUTCOME", .state = true },
	{ "CHANGE" }, { "NUMBER", .right = true }, { "OPERATION" }, { "POLICY" }, { NULL },
};
#define CELLS 10

static char *user_text(const json_t *row)
{
	char uid[24];

	snprintf(uid, sizeof(uid), "%llu", (unsigned long long)json_get_uint(row, "uid", 0));
	return text_user(uid);
}

static char *change_text(struct cli *cli, const json_t *row)
{
	const char *error = json_get_string(row, "error");
	uint64_t left_out = json_get_uint(row, "left_out", 0);

	if (left_out)
		return xasprintf("%s (%llu more were left out before)", strempty(error),
				 (unsigned long long)left_out);
	if (error)
		return strdup(error);
	return text_of_change(cli, json_object_get(row, "before"), json_object_get(row, "after"));
}

char *audit_text(struct cli *cli, const json_t *row)
{
	_cleanup_free_ char *user = user_text(row), *change = change_text(cli, row);
	_cleanup_free_ char *pid = text_member(cli, row, "pid");

	return xasprintf("%s pid %s %s %s: %s", strempty(user), strempty(pid), strempty(json_get_string(row, "method")),
			 strempty(json_get_string(row, "outcome")), strempty(change));
}

static int print_rows(struct cli *cli, const json_t *list)
{
	bool wide = cli->format == FORMAT_WIDE;
	_cleanup_(table_freep) struct table *t = table_new(wide ? wide_columns : columns);
	json_t *row;
	size_t i;

	if (!t)
		return cli_out_of_memory(cli);
	json_array_foreach(json_object_get(list, "items"), i, row) {
		char *cells[CELLS] = {
			text_member(cli, row, "at"),	   user_text(row),
			text_member(cli, row, "pid"),	   text_member(cli, row, "method"),
			text_member(cli, row, "subject"),  text_member(cli, row, "outcome"),
			change_text(cli, row),
		};

		if (wide) {
			cells[7] = text_member(cli, row, "audit");
			cells[8] = text_member(cli, row, "operation");
			cells[9] = text_member(cli, row, "policy_revision");
		}
		table_add(t, cells);
	}
	table_print(t, cli->out, cli->color);
	return 0;
}

static int put_time(struct cli *cli, json_t *params, const char *option, const char *name)
{
	const char *text = arguments_text(&cli->args, option);
	uint64_t usec;

	if (!text)
		return 0;
	if (time_argument(text, &usec) < 0)
		return cli_usage(cli, "%s %s: wrong value (2h, 20:00 or 2026-11-23T20:00:00Z)", option, text);
	json_put_time(params, name, usec);
	return 0;
}

static int put_user(struct cli *cli, json_t *params)
{
	const char *text = arguments_text(&cli->args, "--user");
	const struct passwd *entry;
	unsigned long long uid;
	char *end;

	if (!text)
		return 0;
	uid = strtoull(text, &end, 10);
	if (end == text || *end) {
		entry = getpwnam(text);
		if (!entry)
			return cli_usage(cli, "--user %s: no such user here (a uid does as well)", text);
		uid = entry->pw_uid;
	}
	json_put_uint(params, "uid", uid);
	return 0;
}

static int audit_run(struct cli *cli)
{
	const char *method = arguments_text(&cli->args, "--method"), *subject = arguments_text(&cli->args, "--subject");
	_cleanup_json_ json_t *params = json_object(), *list = NULL;
	uint64_t limit = arguments_text(&cli->args, "--since") ? 0 : NEWEST;
	json_t *row;
	size_t i;
	int r;

	if (arguments_number(&cli->args, "--limit", &limit) && limit == 0)
		return cli_usage(cli, "--limit 0: wrong value (1 or more)");
	r = put_time(cli, params, "--since", "since");
	if (r == 0)
		r = put_time(cli, params, "--until", "until");
	if (r == 0)
		r = put_user(cli, params);
	if (r)
		return r;
	if (method)
		json_put_string(params, "method", method);
	if (subject)
		json_put_string(params, "subject", subject);
	r = cli_list(cli, "audit.list", TAKE_PTR(params), limit, &list);
	if (r)
		return r;
	if (cli_wants_json(cli))
		return cli_print_json(cli, list);
	if (!cli->quiet)
		return print_rows(cli, list);
	json_array_foreach(json_object_get(list, "items"), i, row)
		cli_say(cli, "%llu", (unsigned long long)json_get_uint(row, "audit", 0));
	return 0;
}

const struct verb verb_audit = {
	.name = "audit",
	.usage = "[--since T] [--until T] [--user USER] [--method METHOD] [--subject NAME] [--limit N]",
	.summary = "who changed what, from what to what, the newest first (operators)",
	.options = audit_options,
	.run = audit_run,
};
