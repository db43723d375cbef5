/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf submit: documents, scripts and commands become jobs; prints one id a line. */
#include "cli/job-files.h"
#include "cli/job-options.h"
#include "cli/verbs.h"

static const struct option submit_options[] = {
	JOB_OPTIONS,
	{ "--request-id", OPTION_TEXT, "TEXT",
	  "the same text again gives the same job, not another" },
	{ "--follow", OPTION_FLAG, NULL, "show what it writes, until its end" },
	{ "--wait", OPTION_FLAG, NULL, "until all have ended; 11 when one did not succeed" },
	{ "--dry-run", OPTION_FLAG, NULL, "check everything, queue nothing" },
	{ NULL },
};

struct jobs {
	json_t *documents;
	json_t *answers;
};

static int read_documents(struct cli *cli, json_t *documents)
{
	size_t i;
	int r;

	if (cli->args.has_command && cli->args.n_words > 0)
		return cli_usage(cli, "either files or a command behind --, not both");
	if (cli->args.has_command) {
		json_t *document = NULL;

		r = job_from_command(cli, &cli->args, &document);
		return r ? r : json_array_append_new(documents, document);
	}
	for (i = 0; i < cli->args.n_words; i++) {
		json_t *document = NULL;

		r = job_from_file(cli, cli->args.words[i], &cli->args, &document);
		if (r)
			return r;
		json_array_append_new(documents, document);
	}
	return 0;
}

static int check_usage(struct cli *cli)
{
	bool one = cli->args.has_command || cli->args.n_words == 1;

	if (!one && arguments_flag(&cli->args, "--follow"))
		return cli_usage(cli, "--follow is for one job; --wait is for several");
	if (!one && arguments_text(&cli->args, "--request-id"))
		return cli_usage(cli, "--request-id is for one job");
	if (arguments_flag(&cli->args, "--dry-run") &&
	    (arguments_flag(&cli->args, "--follow") || arguments_flag(&cli->args, "--wait")))
		return cli_usage(cli, "--dry-run queues nothing that could be waited for");
	return 0;
}

static int submit_one(struct cli *cli, json_t *document, json_t *answers)
{
	bool dry = arguments_flag(&cli->args, "--dry-run");
	json_t *answer = NULL;
	int r = job_submit(cli, document, arguments_text(&cli->args, "--request-id"), dry, &answer);

	if (r)
		return r;
	json_array_append_new(answers, answer);
	if (!cli_wants_json(cli) || cli->quiet)
		job_print_submitted(cli, answer, dry);
	return 0;
}

static int wait_for_jobs(struct cli *cli, const json_t *answers)
{
	size_t n = json_array_size(answers), i;
	_cleanup_free_ struct wait_target *targets = calloc(n, sizeof(*targets));
	int r, code = 0;

	if (!targets)
		return cli_out_of_memory(cli);
	for (i = 0; i < n; i++)
		targets[i].id = id_text(json_array_get(answers, i));
	interrupt_say("the jobs continue; gpuvf jobs; gpuvf wait ID; gpuvf cancel ID");
	r = wait_for_all(cli, targets, n, "ended", UINT64_MAX);
	interrupt_say(NULL);
	for (i = 0; r == 0 && i < n; i++)
		code = MAX_OF(code, wait_target_exit(cli, &targets[i]));
	wait_targets_done(targets, n);
	return r ? r : code;
}

static int follow_one(struct cli *cli, const json_t *answers)
{
	_cleanup_free_ char *id = id_text(json_array_get(answers, 0));
	int r = follow_job(cli, id, true, false, false);

	return r ? r : wait_for_jobs(cli, answers);
}

static int print_answers(struct cli *cli, json_t *answers)
{
	_cleanup_json_ json_t *list = NULL;

	if (!cli_wants_json(cli) || cli->quiet)
		return 0;
	if (json_array_size(answers) == 1)
		return cli_print_json(cli, json_array_get(answers, 0));
	list = json_pack("{s:O,s:n}", "items", answers, "next");
	return cli_print_json(cli, list);
}

static int submit_run(struct cli *cli)
{
	_cleanup_json_ json_t *documents = json_array(), *answers = json_array();
	json_t *document;
	size_t i;
	int r;

	r = check_usage(cli);
	if (r == 0)
		r = read_documents(cli, documents);
	/* All have been read before the first one is sent. */
	json_array_foreach(documents, i, document)
		if (r == 0)
			r = submit_one(cli, document, answers);
	if (json_array_size(answers) > 0)
		(void)print_answers(cli, answers);
	fflush(cli->out);
	if (r)
		return r;
	if (arguments_flag(&cli->args, "--follow"))
		return follow_one(cli, answers);
	return arguments_flag(&cli->args, "--wait") ? wait_for_jobs(cli, answers) : 0;
}

const struct verb verb_submit = {
	.name = "submit",
	.usage = "[options] FILE... | - | [options] -- COMMAND...",
	.summary = "queue jobs: documents, scripts, or a command",
	.details = "A FILE with a JSON object is a job document; any other text is a script, in "
		   "which lines\n"
		   "such as \"#GPUVF --time 4h\" hold options.  Options here win over both.",
	.min_words = 1,
	.max_words = 1000,
	.takes_command = true,
	.options = submit_options,
	.run = submit_run,
};
