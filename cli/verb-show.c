/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf show, gpuvf status: everything about one thing, and about the daemon. */
#include "cli/verbs.h"

/* What a word may name, by its form; tried in this order while the daemon knows no such thing. */
struct candidate {
	bool (*is)(const char *word);
	const char *method;
	const char *member;
};

static bool is_anything(const char *word)
{
	return true;
}

static const struct candidate candidates[] = {
	{ is_operation_name, "operation.get", "operation" },
	{ is_job_id, "job.get", "id" },
	{ is_gpu_name, "gpu.get", "gpu" },
	{ is_vf_name, "vf.get", "vf" },
	{ is_anything, "vm.get", "vm" },
};

/* Asks for the thing; the first refusal is the one that is told, because the word looks most like
 * that. */
static int find(struct cli *cli, const char *word, json_t **ret)
{
	_cleanup_(rpc_error_done) struct rpc_error first = { 0 };
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(candidates); i++) {
		_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
		const struct candidate *c = &candidates[i];

		if (!c->is(word))
			continue;
		r = cli_try(cli, c->method, json_pack("{s:s}", c->member, word), ret, &error);
		if (r >= 0)
			return r;
		if (error.code != RPC_NOT_FOUND)
			return cli_fail(cli, &error);
		if (!first.code)
			rpc_error_move(&first, &error);
	}
	if (first.code)
		return cli_fail(cli, &first);
	return cli_refuse(cli, RPC_NOT_FOUND, "see gpuvf list", "nothing is called \"%s\"", word);
}

static int show_run(struct cli *cli)
{
	_cleanup_json_ json_t *object = NULL;
	int r = find(cli, arguments_word(&cli->args, 0), &object);

	if (r)
		return r;
	if (cli_wants_json(cli))
		return cli_print_json(cli, object);
	cli_print_object(cli, object);
	return 0;
}

const struct verb verb_show = {
	.name = "show",
	.usage = "OBJECT",
	.summary = "everything about one GPU, VF, VM, job or operation",
	.details = "OBJECT is gpu0, gpu0/vf1, a PCI address, a VM's name or uuid, a job's id, or "
		   "op/7.",
	.min_words = 1,
	.max_words = 1,
	.run = show_run,
};

static int status_run(struct cli *cli)
{
	_cleanup_json_ json_t *status = NULL;
	int r = cli_call(cli, "daemon.status", NULL, &status);

	if (r)
		return r;
	if (cli_wants_json(cli))
		return cli_print_json(cli, status);
	cli_print_object(cli, status);
	return 0;
}

const struct verb verb_status = {
	.name = "status",
	.usage = "",
	.summary = "the daemon: version, policy, what is wedged, degraded or drifted",
	.run = status_run,
};
