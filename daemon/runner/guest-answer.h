/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest agent's "return" may look like, per command.  Pure and strict: types, sizes, base64.
 * Everything here may have been written by a hostile guest; each function returns 0 or -EBADMSG. */
#pragma once

#include "lib/json.h"

/* Output of a short command that we look at. */
#define GUEST_CAPTURE_MAX ((size_t)1 << 20)

/* guest-info: the first of the commands that we need which the agent lacks or has switched off, or
 * NULL. */
int guest_answer_info(const json_t *result, const char **ret_missing);

/* guest-exec. */
int guest_answer_pid(const json_t *result, uint64_t *ret_pid);

struct guest_exec_status {
	bool exited;
	int exit_code; /* -1 = none */
	int signal;    /* 0 = none */
	char *out;     /* NUL-terminated besides, never NULL once exited */
	size_t out_size;
	char *err;
	size_t err_size;
};
int guest_answer_exec_status(const json_t *result, struct guest_exec_status *ret);
void guest_exec_status_done(struct guest_exec_status *status);

/* guest-file-open. */
int guest_answer_handle(const json_t *result, uint64_t *ret_handle);

/* guest-file-read of at most max bytes: new *ret_data. */
int guest_answer_read(const json_t *result, size_t max, void **ret_data, size_t *ret_size,
		      bool *ret_eof);

/* guest-file-write, guest-file-seek: the number in this member is the expected one. */
int guest_answer_number(const json_t *result, const char *member, uint64_t expected);
