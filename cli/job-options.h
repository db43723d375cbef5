/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Builds the document of a job from a file, a script or a command, and from options. */
#pragma once

#include "cli/cli.h"

/* Of whatever waits for a VF. */
#define PLACE_OPTIONS                                                                              \
	{ "--name", OPTION_TEXT, "NAME", "what lists show" },                                      \
	{ "--queue", OPTION_TEXT, "QUEUE", "else the default queue" },                             \
	{ "--vm", OPTION_TEXT, "VM", "run in this VM" },                                           \
	{ "--vms", OPTION_TEXT, "PATTERN", "run in one of these VMs" },                            \
	{ "--profile", OPTION_TEXT, "P", "needs a VF of this profile" },                           \
	{ "--vram", OPTION_SIZE, "SIZE", "needs a VF with at least so much VRAM" },                \
	{ "--priority", OPTION_INT, "N", "-100 to 0; operators may go higher" },                   \
	{ "--hold", OPTION_FLAG, NULL, "queue it, but do not start it" }

#define SESSION_OPTIONS                                                                            \
	PLACE_OPTIONS,                                                                             \
	{ "--time", OPTION_DURATION, "T", "from when it is ready; else the queue's, else an hour" }

/* Options that are part of a job: on the command line and in #GPUVF lines. */
#define JOB_OPTIONS                                                                                \
	PLACE_OPTIONS,                                                                             \
	{ "--time", OPTION_DURATION, "T", "stop it after this long" },                             \
	{ "--env", OPTION_LIST, "K=V", "set a variable" },                                         \
	{ "--env-file", OPTION_LIST, "F", "set variables from lines K=V" },                        \
	{ "--workdir", OPTION_TEXT, "DIR", "run there; else in a new folder" },                    \
	{ "--file", OPTION_LIST, "SRC[:DST]", "bring a file along" },                              \
	{ "--output", OPTION_LIST, "GLOB", "keep these files (gpuvf fetch)" },                     \
	{ "--retries", OPTION_UINT, "N", "start it again when it was lost" },                      \
	{ "--template", OPTION_LATER, "use --vm or --vms", NULL, .hidden = true },                 \
	{ "--host", OPTION_LATER, "jobs run in VMs", NULL, .hidden = true },                       \
	{ "--finetune", OPTION_LATER, "use --vram", NULL, .hidden = true },                        \
	{ "--secret", OPTION_LATER, "bring a file with --file", NULL, .hidden = true },            \
	{ "--after", OPTION_LATER, "use gpuvf wait", NULL, .hidden = true },                       \
	{ "--array", OPTION_LATER, "submit one job for each", NULL, .hidden = true },              \
	{ "--begin", OPTION_LATER, "use --hold", NULL, .hidden = true }

/* What a job may bring along; the daemon's own limit. */
#define JOB_FILES_MAX ((size_t)64 << 20)

/* From a file or "-": a JSON object is a document, anything else that is text a script.  Paths in a
 * document are relative to its folder.  args are the options of the command line, which win.
 * Returns an exit code. */
int job_from_file(struct cli *cli, const char *path, const struct arguments *args, json_t **ret);
/* From the words behind "--". */
int job_from_command(struct cli *cli, const struct arguments *args, json_t **ret);
/* A session, which has options only. */
int job_from_session(struct cli *cli, const struct arguments *args, json_t **ret);
/* Sends a document.  request_id may be NULL.  Returns an exit code and a new answer. */
int job_submit(struct cli *cli, json_t *document, const char *request_id, bool dry, json_t **ret_answer);
/* Its id, or with dry where it would be queued; and what the submitter should know. */
void job_print_submitted(struct cli *cli, const json_t *answer, bool dry);
/* Splits a line as a shell would: blanks, '…', "…", \.  Returns new words ended by NULL in one
 * block (words and text), or NULL with errno EINVAL (a quote is open) or ENOMEM. */
char **split_words(const char *line, size_t *ret_n);
