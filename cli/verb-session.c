/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf session, gpuvf extend: a VF held for interactive work. */
#include "cli/job-options.h"
#include "cli/text.h"
#include "cli/verbs.h"
#include "lib/units.h"

/* ---- session ---- */

static const struct option session_options[] = {
	SESSION_OPTIONS,
	{ "--request-id", OPTION_TEXT, "TEXT",
	  "the same text again gives the same session, not another" },
	{ "--wait", OPTION_FLAG, NULL, "until it is ready, and tell the way in" },
	{ "--dry-run", OPTION_FLAG, NULL, "check everything, queue nothing" },
	{ NULL },
};

static void print_way_in(struct cli *cli, const char *id, const json_t *job)
{
	const json_t *session = json_object_get(job, "session");
	const char *render = json_get_string(session, "guest_render");
	const json_t *vf = json_array_get(json_object_get(job, "vfs"), 0);
	_cleanup_free_ char *end = text_member(cli, session, "ends_at");

	cli_say(cli, "session %s: VM %s has %s at %s%s%s, until %s", id, strempty(json_get_string(job, "vm")),
		strempty(json_string_value(vf)), strempty(json_get_string(session, "guest_address")),
		render ? ", /dev/dri/" : "", strempty(render), strempty(end));
}

/* It may have ended without ever having been ready, or be over again by now. */
static int tell_ready(struct cli *cli, const struct wait_target *target)
{
	const json_t *job = target->object;
	const char *result = json_get_string(job, "result"), *reason = json_get_string(job, "reason");

	if (cli_wants_json(cli) && !cli->quiet)
		(void)cli_print_json(cli, job);
	if (streq_ptr(json_get_string(job, "state"), "running")) {
		if (!cli_wants_json(cli) && !cli->quiet)
			print_way_in(cli, target->id, job);
		return 0;
	}
	cli_warn(cli, "gpuvf: session: %s is over: %s%s%s", target->id, result ? result : "stopping",
		 reason ? ": " : "", strempty(reason));
	return EXIT_ENDED_OTHERWISE;
}

static int wait_until_ready(struct cli *cli, const json_t *answer)
{
	struct wait_target target = { .id = id_text(answer), .kind = WAIT_JOB };
	_cleanup_free_ char *id = id_text(answer), *hint = NULL;
	int r;

	hint = xasprintf("session %s continues; gpuvf show %s; gpuvf cancel %s", strempty(id), strempty(id), strempty(id));
	interrupt_say(strempty(hint));
	if (!cli_wants_json(cli) || cli->quiet)
		job_print_submitted(cli, answer, false);
	r = wait_for_all(cli, &target, 1, "running", UINT64_MAX);
	interrupt_say(NULL);
	if (r == 0)
		r = tell_ready(cli, &target);
	wait_targets_done(&target, 1);
	return r;
}

static int session_run(struct cli *cli)
{
	bool wait = arguments_flag(&cli->args, "--wait"), dry = arguments_flag(&cli->args, "--dry-run");
	_cleanup_json_ json_t *answer = NULL, *document = NULL;
	int r;

	if (wait && dry)
		return cli_usage(cli, "--dry-run queues nothing that could be waited for");
	r = job_from_session(cli, &cli->args, &document);
	if (r)
		return r;
	r = job_submit(cli, document, arguments_text(&cli->args, "--request-id"), dry, &answer);
	if (r)
		return r;
	if (wait)
		return wait_until_ready(cli, answer);
	if (cli_wants_json(cli) && !cli->quiet)
		return cli_print_json(cli, answer);
	job_print_submitted(cli, answer, dry);
	return 0;
}

const struct verb verb_session = {
	.name = "session",
	.usage = "[options]",
	.summary = "hold a VF of a VM for interactive work",
	.details = "A session waits in the queue as a job does.  Once it is ready, its VM has the VF until its\n"
		   "time is over (gpuvf extend) or gpuvf cancel ID; then the VF is taken out and reset.",
	.options = session_options,
	.run = session_run,
};

/* ---- extend ---- */

static int extend_run(struct cli *cli)
{
	const char *id = arguments_word(&cli->args, 0), *time = arguments_word(&cli->args, 1), *hint = NULL;
	_cleanup_json_ json_t *answer = NULL;
	_cleanup_free_ char *end = NULL;
	char buf[48];
	uint64_t usec;
	int r;

	if (!is_job_id(id))
		return cli_usage(cli, "\"%s\" is not a session's id (gpuvf jobs)", id);
	if (duration_parse(time, &usec, &hint) < 0)
		return cli_usage(cli, "\"%s\" is not a time (%s)", time, strempty(hint));
	r = cli_call(cli, "job.extend", json_pack("{s:s,s:s}", "id", id, "time_seconds", time), &answer);
	if (r)
		return r;
	if (cli_wants_json(cli) && !cli->quiet)
		return cli_print_json(cli, answer);
	end = text_member(cli, answer, "ends_at");
	if (cli->quiet)
		cli_say(cli, "%s", id);
	else if (json_get_string(answer, "ends_at"))
		cli_say(cli, "session %s: until %s", id, strempty(end));
	else
		cli_say(cli, "session %s: %s from when it is ready", id,
			duration_format(json_get_uint(answer, "time_limit_seconds", 0) * USEC_PER_SEC, buf, sizeof(buf)));
	return 0;
}

const struct verb verb_extend = {
	.name = "extend",
	.usage = "ID T",
	.summary = "give a session more time, from its present end on",
	.details = "All of it may take no longer than the max_time of its queue.",
	.min_words = 2,
	.max_words = 2,
	.run = extend_run,
};
