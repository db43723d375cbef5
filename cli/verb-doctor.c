/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf doctor: what is wrong, where that is seen, what to do.  Asks the daemon; where none
 * answers, gpuvfd itself is run for it, with the rights of whoever asks. */
#include "cli/verbs.h"
#include "lib/finding-text.h"

#define ARGUMENTS_MAX 10

static const struct option doctor_options[] = {
	{"--bundle", OPTION_TEXT, "FILE", "pack what a maintainer needs, without secrets"},
	{"--force", OPTION_FLAG, NULL, "write the bundle over a file that is there"},
	{NULL},
};

/* gpuvfd looks at the host itself: a bundle needs more than the daemon tells to everybody. */
static int make_bundle(struct cli *cli, const char *file)
{
	char *argv[ARGUMENTS_MAX] = {NULL,         (char *)"--doctor", (char *)"--bundle",
				     (char *)file, (char *)"--socket", (char *)cli->socket};

	if (arguments_word(&cli->args, 0))
		return cli_usage(cli, "a bundle is of the whole host: leave \"%s\" out",
				 arguments_word(&cli->args, 0));
	if (!*file)
		return cli_usage(cli, "--bundle: which file?");
	if (arguments_flag(&cli->args, "--force"))
		argv[6] = (char *)"--force";
	return cli_run_daemon(cli, argv, NULL);
}

static int ask_daemon(struct cli *cli, const char *object, json_t **ret)
{
	json_t *params = json_object();

	if (object && json_put_string(params, is_gpu_name(object) ? "gpu" : "vm", object) < 0) {
		json_decref(params);
		return cli_out_of_memory(cli);
	}
	return cli_call(cli, "daemon.doctor", params, ret);
}

/* Without a daemon. */
static int run_gpuvfd(struct cli *cli, const char *object, json_t **ret)
{
	char *argv[ARGUMENTS_MAX] = {NULL,           (char *)"--doctor", (char *)"--output",
				     (char *)"json", (char *)"--socket", (char *)cli->socket};
	_cleanup_free_ char *text = NULL;
	int r;

	if (object) {
		argv[6] = (char *)"--";
		argv[7] = (char *)object;
	}
	r = cli_run_daemon(cli, argv, &text);
	if (r != 0 && r != EXIT_FAILED) /* that only says that something is an error */
		return r;
	if (!text || json_parse(text, strlen(text), ret, NULL) < 0)
		return cli_refuse(cli, RPC_HOST_ERROR, "run gpuvfd --doctor by hand",
				  "gpuvfd --doctor gave no answer");
	return 0;
}

static int print(struct cli *cli, const json_t *result)
{
	const struct finding_text_options options = {
		.all = cli->format == FORMAT_WIDE,
		.color = cli->color,
	};
	_cleanup_free_ char *text = NULL;

	if (cli->quiet) {
		text = finding_ids(result);
	} else if (cli_wants_json(cli)) {
		return cli_print_json(cli, result);
	} else {
		text = finding_text(result, &options);
	}
	if (!text)
		return cli_out_of_memory(cli);
	fputs(text, cli->out);
	return 0;
}

static int doctor_run(struct cli *cli)
{
	const char *object = arguments_word(&cli->args, 0);
	const char *bundle = arguments_text(&cli->args, "--bundle");
	_cleanup_json_ json_t *result = NULL;
	int r;

	if (bundle)
		return make_bundle(cli, bundle);
	if (arguments_flag(&cli->args, "--force"))
		return cli_usage(cli, "--force belongs to --bundle");
	r = cli_reach(cli);
	if (r == 0) {
		r = ask_daemon(cli, object, &result);
	} else {
		cli_warn(cli, "gpuvf: doctor: no daemon at %s (%s): looking without it",
			 cli->socket, strerror(-r));
		r = run_gpuvfd(cli, object, &result);
	}
	if (r == 0)
		r = print(cli, result);
	return r == 0 && finding_count(result, "error") > 0 ? EXIT_FAILED : r;
}

const struct verb verb_doctor = {
	.name = "doctor",
	.usage = "[GPU | VM] [--bundle FILE [--force]]",
	.summary = "what is wrong with the host, a GPU or a VM, and what to do",
	.details =
		"Exits with 1 when something is an error.  Works without a daemon: then a GPU is "
		"named by its\nPCI address, and what only root may read is told as unknown.",
	.max_words = 1,
	.options = doctor_options,
	.run = doctor_run,
};
