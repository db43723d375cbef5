/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The staged files of a job document, and paths in the guest.  Inner header of daemon/policy. */
#pragma once

#include "policy/job-document.h"

/* Not empty, no control bytes, no ".." part, no trailing slash, at most 4095 bytes. */
bool job_path_is_clean(const char *path);

/* files may be NULL.  stored: contents are gone and sizes are there instead. */
int job_files_read(const json_t *files, bool stored, struct job_file **ret, size_t *ret_n,
		   struct json_fault *fault);
void job_files_free(struct job_file *files, size_t n);

/* The document with sizes in place of contents.  Returns new. */
json_t *job_files_strip(const json_t *document, const struct job_file *files, size_t n);
