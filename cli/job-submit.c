/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sends the document of a job or session, and tells what the daemon says to it. */
#include "cli/job-files.h"
#include "cli/job-options.h"

int job_submit(struct cli *cli, json_t *document, const char *request_id, bool dry, json_t **ret_answer)
{
	json_t *params;
	int r;

	r = job_files_upload(cli, document);
	if (r)
		return r;
	params = json_pack("{s:O}", "job", document);
	if (!params)
		return cli_out_of_memory(cli);
	if (request_id)
		json_put_string(params, "request_id", request_id);
	if (dry)
		json_put_bool(params, "dry_run", true);
	return cli_call(cli, "job.submit", params, ret_answer);
}

void job_print_submitted(struct cli *cli, const json_t *answer, bool dry)
{
	_cleanup_free_ char *id = id_text(answer);
	json_t *warning;
	size_t i;

	json_array_foreach(json_object_get(answer, "warnings"), i, warning)
		cli_warn(cli, "gpuvf: %s: warning: %s", cli->verb->name, strempty(json_string_value(warning)));
	if (dry && !cli->quiet)
		cli_say(cli, "it would be queued in %s", strempty(json_get_string(answer, "queue")));
	else if (!dry)
		cli_say(cli, "%s", strempty(id));
	fflush(cli->out);
}
