/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf jobs, cancel, wait, logs: following what was submitted. */
#include "cli/table.h"
#include "cli/text.h"
#include "cli/verbs.h"
#include "lib/clock.h"

/* ---- jobs ---- */

static const struct option jobs_options[] = {
	{ "--all-users", OPTION_FLAG, NULL, "everybody's" },
	{ "--ended", OPTION_FLAG, NULL, "only those that have ended" },
	{ "--all", OPTION_FLAG, NULL, "those that have ended as well" },
	{ "--since", OPTION_TEXT, "T", "submitted since then: 2h (ago), 20:00, or RFC 3339" },
	{ "--queue", OPTION_TEXT, "QUEUE", "of this queue" },
	{ "--state", OPTION_TEXT, "STATE", "in this state" },
	{ "--limit", OPTION_UINT, "N", "the newest N" },
	{ NULL },
};

static const struct table_column columns[] = {
	{ "ID", .right = true }, { "NAME" }, { "USER" }, { "QUEUE" }, { "STATE", .state = true },
	{ "RESULT", .state = true }, { "PRIO", .right = true }, { "VM" }, { "VF" },
	{ "TIME", .right = true }, { "PROGRESS" }, { NULL },
};
static const struct table_column wide_columns[] = {
	{ "ID", .right = true }, { "NAME" }, { "USER" }, { "QUEUE" }, { "STATE", .state = true },
	{ "RESULT", .state = true }, { "PRIO", .right = true }, { "VM" }, { "VF" },
	{ "TIME", .right = true }, { "PROGRESS" }, { "ATTEMPT", .right = true }, { "SUBMITTED" },
	{ "STARTED" }, { "ENDED" }, { "EXIT", .right = true }, { "REASON" }, { NULL },
};

#define CELLS 17

static char *first_vf(struct cli *cli, const json_t *job)
{
	const json_t *vfs = json_object_get(job, "vfs");

	return text_of(cli, "vfs", json_array_size(vfs) ? json_array_get(vfs, 0) : NULL);
}

/* How far a job is; of a session how long it lasts. */
static char *progress_text(struct cli *cli, const json_t *job)
{
	const json_t *session = json_object_get(job, "session");
	_cleanup_free_ char *end = NULL;

	if (!json_is_object(session))
		return text_progress(json_object_get(job, "progress"));
	if (!json_get_string(session, "ends_at"))
		return strdup("session");
	end = text_member(cli, session, "ends_at");
	return xasprintf("session until %s", strempty(end));
}

static void add_job(struct cli *cli, struct table *t, const json_t *job, bool wide)
{
	char *cells[CELLS] = {
		id_text(job),
		text_member(cli, job, "name"),
		text_member(cli, job, "user"),
		text_member(cli, job, "queue"),
		text_member(cli, job, "state"),
		text_member(cli, job, "result"),
		text_member(cli, job, "priority"),
		text_member(cli, job, "vm"),
		first_vf(cli, job),
		text_span(json_get_string(job, "started_at"), json_get_string(job, "ended_at")),
		progress_text(cli, job),
	};
	static const char *const more[] = { "attempt",	"submitted_at", "started_at",
					    "ended_at", "exit_code",	"reason" };
	size_t i;

	for (i = 0; wide && i < ARRAY_SIZE(more); i++)
		cells[11 + i] = text_member(cli, job, more[i]);
	table_add(t, cells);
}

static int print_jobs(struct cli *cli, const json_t *list)
{
	bool wide = cli->format == FORMAT_WIDE;
	_cleanup_(table_freep) struct table *t = table_new(wide ? wide_columns : columns);
	json_t *job;
	size_t i;

	if (!t)
		return cli_out_of_memory(cli);
	json_array_foreach(json_object_get(list, "items"), i, job)
		add_job(cli, t, job, wide);
	table_print(t, cli->out, cli->color);
	return 0;
}

static int jobs_params(struct cli *cli, json_t **ret)
{
	const char *since = arguments_text(&cli->args, "--since");
	const char *queue = arguments_text(&cli->args, "--queue");
	const char *state = arguments_text(&cli->args, "--state");
	bool ended = arguments_flag(&cli->args, "--ended");
	_cleanup_json_ json_t *params = json_object();
	uint64_t usec;

	if (ended && state)
		return cli_usage(cli, "--ended is --state ended: leave one out");
	if (since && time_argument(since, &usec) < 0)
		return cli_usage(cli, "--since %s: wrong value (2h, 20:00 or 2026-11-23T20:00:00Z)",
				 since);
	if (since)
		json_put_time(params, "since", usec);
	if (arguments_flag(&cli->args, "--all-users"))
		json_put_string(params, "user", "*");
	if (queue)
		json_put_string(params, "queue", queue);
	if (ended || state)
		json_put_string(params, "state", ended ? "ended" : state);
	if (ended || arguments_flag(&cli->args, "--all"))
		json_put_bool(params, "ended", true);
	*ret = TAKE_PTR(params);
	return 0;
}

static int jobs_run(struct cli *cli)
{
	_cleanup_json_ json_t *list = NULL;
	json_t *params = NULL, *job;
	uint64_t limit = 0;
	size_t i;
	int r;

	if (arguments_number(&cli->args, "--limit", &limit) && limit == 0)
		return cli_usage(cli, "--limit 0: wrong value (1 or more)");
	r = jobs_params(cli, &params);
	if (r == 0)
		r = cli_list(cli, "job.list", params, limit, &list);
	if (r)
		return r;
	if (!cli->quiet)
		return cli_wants_json(cli) ? cli_print_json(cli, list) : print_jobs(cli, list);
	json_array_foreach(json_object_get(list, "items"), i, job) {
		_cleanup_free_ char *id = id_text(job);

		cli_say(cli, "%s", strempty(id));
	}
	return 0;
}

const struct verb verb_jobs = {
	.name = "jobs",
	.usage = "[options]",
	.summary = "the queue, the newest job first",
	.options = jobs_options,
	.run = jobs_run,
};

/* ---- cancel ---- */

static int check_id(struct cli *cli, const char *word)
{
	if (is_job_id(word) || is_operation_name(word))
		return 0;
	return cli_usage(cli, "\"%s\" is neither a job's id (12) nor an operation (op/7)", word);
}

static int check_ids(struct cli *cli)
{
	size_t i;
	int r = 0;

	for (i = 0; i < cli->args.n_words && r == 0; i++)
		r = check_id(cli, cli->args.words[i]);
	return r;
}

static int cancel_one(struct cli *cli, const char *word, json_t *answers)
{
	bool operation = is_operation_name(word);
	json_t *answer = NULL;
	int r;

	r = cli_call(cli, operation ? "operation.cancel" : "job.cancel",
		     json_pack("{s:s}", operation ? "operation" : "id", word), &answer);
	if (r)
		return r;
	json_array_append_new(answers, answer);
	if (cli->quiet)
		cli_say(cli, "%s", word);
	else if (!cli_wants_json(cli))
		cli_say(cli,
			json_get_bool(answer, "changed", true) ? "%s: cancelled, now %s"
							       : "%s: is %s: nothing was changed",
			word, strempty(json_get_string(answer, "state")));
	return 0;
}

static int hold_one(struct cli *cli, const char *word, json_t *answers)
{
	bool hold = streq(cli->verb->name, "hold");
	json_t *answer = NULL;
	int r;

	r = cli_call(cli, hold ? "job.hold" : "job.unhold", json_pack("{s:s}", "id", word), &answer);
	if (r)
		return r;
	json_array_append_new(answers, answer);
	if (cli->quiet)
		cli_say(cli, "%s", word);
	else if (!cli_wants_json(cli))
		cli_say(cli, json_get_bool(answer, "changed", true) ? "%s: now %s" :
								      "%s: is %s already",
			word, strempty(json_get_string(answer, "state")));
	return 0;
}

/* All are tried; the first failure is the exit code. */
static int for_each_id(struct cli *cli, int (*one)(struct cli *cli, const char *word, json_t *answers))
{
	_cleanup_json_ json_t *answers = json_array(), *list = NULL;
	int r = check_ids(cli), code = 0;
	size_t i;

	if (r)
		return r;
	for (i = 0; i < cli->args.n_words && code != EXIT_UNREACHABLE; i++) {
		r = one(cli, cli->args.words[i], answers);
		code = code ? code : r;
	}
	if (!cli_wants_json(cli) || cli->quiet || json_array_size(answers) == 0)
		return code;
	list = json_pack("{s:O,s:n}", "items", answers, "next");
	r = cli_print_json(cli, cli->args.n_words == 1 ? json_array_get(answers, 0) : list);
	return code ? code : r;
}

static int cancel_run(struct cli *cli)
{
	return for_each_id(cli, cancel_one);
}

static int hold_run(struct cli *cli)
{
	return for_each_id(cli, hold_one);
}

const struct verb verb_hold = {
	.name = "hold",
	.usage = "ID...",
	.summary = "keep jobs that wait from starting",
	.min_words = 1,
	.max_words = 1000,
	.run = hold_run,
};

const struct verb verb_unhold = {
	.name = "unhold",
	.usage = "ID...",
	.summary = "let held jobs wait for their turn again",
	.min_words = 1,
	.max_words = 1000,
	.run = hold_run,
};

const struct verb verb_cancel = {
	.name = "cancel",
	.usage = "ID...",
	.summary = "stop jobs or operations",
	.min_words = 1,
	.max_words = 1000,
	.run = cancel_run,
};

/* ---- wait ---- */

static const char *const job_states[] = { "held",	 "queued",	"starting", "waiting-guest",
					  "running",	 "unreachable", "stopping", "ended" };

static const struct option wait_options[] = {
	{ "--for", OPTION_TEXT, "STATE", "until a job is in this state (else: has ended)" },
	{ "--timeout", OPTION_DURATION, "T", "at most so long" },
	{ "--exit-code", OPTION_FLAG, NULL, "exit as the command of the job did" },
	{ NULL },
};

static int check_state(struct cli *cli, const char *state)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(job_states); i++)
		if (streq(job_states[i], state))
			return 0;
	return cli_unknown(cli, "state", state, job_states, ARRAY_SIZE(job_states));
}

/* Until an operation has ended it is not "ended" but done, failed or cancelled. */
static int wait_targets(struct cli *cli, struct wait_target *targets)
{
	size_t i;

	for (i = 0; i < cli->args.n_words; i++) {
		targets[i].kind = is_operation_name(cli->args.words[i]) ? WAIT_OPERATION : WAIT_JOB;
		targets[i].id = strdup(cli->args.words[i]);
		if (!targets[i].id)
			return cli_out_of_memory(cli);
	}
	return 0;
}

/* What a job came to, as an exit code, and a line about it. */
static int tell_target(struct cli *cli, const struct wait_target *t, const char *wanted)
{
	const char *state = strempty(json_get_string(t->object, "state"));
	const char *result = json_get_string(t->object, "result");
	const char *reason = json_get_string(t->object, "reason");
	bool job = t->kind == WAIT_JOB;

	if (cli->quiet)
		cli_say(cli, "%s", t->id);
	else if (!cli_wants_json(cli))
		cli_say(cli, "%s%s: %s%s%s", job ? "job " : "", t->id,
			job && result ? result : state, job && reason ? ": " : "",
			job && reason ? reason : "");
	if (job && !streq(wanted, "ended") && !streq(state, "ended"))
		return 0;
	return wait_target_exit(cli, t);
}

static int exit_like_command(const struct wait_target *t, int code)
{
	const json_t *exit_code = json_object_get(t->object, "exit_code");

	return json_is_integer(exit_code) ? (int)(json_integer_value(exit_code) & 0xff) : code;
}

static int tell_all(struct cli *cli, const struct wait_target *targets, size_t n,
		    const char *wanted)
{
	_cleanup_json_ json_t *objects = json_array(), *list = NULL;
	int code = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		int r = tell_target(cli, &targets[i], wanted);

		code = MAX_OF(code, r);
		json_array_append(objects, targets[i].object);
	}
	if (cli_wants_json(cli) && !cli->quiet) {
		list = json_pack("{s:O,s:n}", "items", objects, "next");
		(void)cli_print_json(cli, n == 1 ? json_array_get(objects, 0) : list);
	}
	if (arguments_flag(&cli->args, "--exit-code"))
		return exit_like_command(&targets[0], code);
	return code;
}

static int check_wait(struct cli *cli, const char *wanted)
{
	int r = check_ids(cli);

	if (r == 0)
		r = check_state(cli, wanted);
	if (r == 0 && arguments_flag(&cli->args, "--exit-code") &&
	    (cli->args.n_words > 1 || !is_job_id(cli->args.words[0])))
		r = cli_usage(cli, "--exit-code is for one job");
	return r;
}

static int wait_run(struct cli *cli)
{
	const char *wanted = arguments_text(&cli->args, "--for") ?: "ended";
	size_t n = cli->args.n_words;
	_cleanup_free_ struct wait_target *targets = calloc(n, sizeof(*targets));
	int r = targets ? check_wait(cli, wanted) : cli_out_of_memory(cli);

	if (r)
		return r;
	r = wait_targets(cli, targets);
	for (size_t i = 0; i < n; i++)
		targets[i].patient = true;
	interrupt_say("nothing was changed by waiting; gpuvf cancel ID stops what was waited for");
	if (r == 0)
		r = wait_for_all(cli, targets, n, wanted, deadline_of(&cli->args, "--timeout"));
	interrupt_say(NULL);
	if (r == 0)
		r = tell_all(cli, targets, n, wanted);
	else if (r == EXIT_TIMEOUT)
		r = cli_refuse(cli, RPC_TIMEOUT, "nothing was changed by waiting; wait again",
			       "not yet %s", wanted);
	wait_targets_done(targets, n);
	return r;
}

const struct verb verb_wait = {
	.name = "wait",
	.usage = "ID... [options]",
	.summary = "until jobs or operations have ended",
	.details =
		"Exits with 0 when all succeeded, 11 when a job ended otherwise, 7 on --timeout.",
	.min_words = 1,
	.max_words = 1000,
	.options = wait_options,
	.run = wait_run,
};

/* ---- logs ---- */

static const struct option logs_options[] = {
	{ "--follow", OPTION_FLAG, NULL, "go on until the job has ended", .letter = 'f' },
	{ "--stderr", OPTION_FLAG, NULL, "what it wrote there, instead of stdout" },
	{ "--attempt", OPTION_UINT, "N", "of this attempt, from 1 (else the last)" },
	{ "--raw", OPTION_FLAG, NULL, "send control characters to the terminal as they are" },
	{ NULL },
};

/* Everything that there is now. */
static int print_logs(struct cli *cli, const char *id, const char *stream, uint64_t attempt,
		      bool raw)
{
	uint64_t offset = 0, next = 0;
	bool truncated = false;
	int r;

	do {
		_cleanup_json_ json_t *chunk = NULL;
		json_t *params = json_pack("{s:s,s:s,s:I,s:I}", "id", id, "stream", stream,
					   "offset", (json_int_t)next, "limit", (json_int_t)262144);

		offset = next;
		if (attempt)
			json_put_uint(params, "attempt", attempt);
		r = cli_call(cli, "job.logs", params, &chunk);
		if (r == 0 && cli_wants_json(cli))
			r = cli_print_json(cli, chunk);
		else if (r == 0)
			r = cli_write_chunk(cli, cli->out, chunk, raw);
		if (r)
			return r;
		next = json_get_uint(chunk, "next", offset);
		truncated = json_get_bool(chunk, "truncated", false);
	} while (next != offset);
	if (truncated && !cli_wants_json(cli))
		cli_warn(cli, "gpuvf: %s of job %s was longer; only the beginning was kept", stream,
			 id);
	return 0;
}

static int logs_run(struct cli *cli)
{
	const char *id = arguments_word(&cli->args, 0);
	bool follow = arguments_flag(&cli->args, "--follow"),
	     err = arguments_flag(&cli->args, "--stderr");
	bool raw = arguments_flag(&cli->args, "--raw");
	uint64_t attempt = 0;

	if (!is_job_id(id))
		return cli_usage(cli, "\"%s\" is not a job's id (gpuvf jobs --all)", id);
	if (arguments_number(&cli->args, "--attempt", &attempt) && attempt == 0)
		return cli_usage(cli, "--attempt 0: wrong value (attempts count from 1)");
	if (follow && attempt)
		return cli_usage(
			cli,
			"--follow goes through all attempts from the last on: leave --attempt out");
	if (follow && cli_wants_json(cli))
		return cli_usage(cli, "--follow writes what the job writes: leave -o out");
	if (follow)
		return follow_job(cli, id, false, err, raw);
	return print_logs(cli, id, err ? "stderr" : "stdout", attempt, raw);
}

const struct verb verb_logs = {
	.name = "logs",
	.usage = "ID [options]",
	.summary = "what a job wrote",
	.min_words = 1,
	.max_words = 1,
	.options = logs_options,
	.run = logs_run,
};
