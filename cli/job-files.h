/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that a job brings along: named in its document, read when it is submitted. */
#pragma once

#include "cli/cli.h"

/* Adds "SRC[:DST]" to the list. */
int job_file_from_option(struct cli *cli, json_t *files, const char *text);
/* Adds a program whose text is here already. */
int job_file_from_text(struct cli *cli, json_t *files, const char *from, const char *to,
		       const char *text, size_t size);
/* Paths of a document's files become relative to the document's own folder. */
int job_files_anchor(struct cli *cli, json_t *document, const char *path);
/* Reads every file that has no content yet.  Returns an exit code. */
int job_files_read(struct cli *cli, json_t *document);
/* Sends files ahead when the document does not fit one message with them.  Returns an exit code. */
int job_files_upload(struct cli *cli, json_t *document);
