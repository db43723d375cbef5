/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A daemon on a thread that gives canned answers and remembers what it was asked: for tests of the
 * client. */
#pragma once

#include "lib/json.h"

/* One answer: to the next call of this method.  A method without an answer left is refused as not
 * found. */
struct canned {
	const char *method;
	const char *result; /* JSON, or NULL when refused */
	const char *error;  /* JSON of the error object */
	const char *events; /* sent behind the answer: JSON of events, one a line; may be NULL */
	bool close_after;   /* closes the connection behind the answer */
	bool close;	    /* closes the connection instead of answering */
};

struct fake_daemon;

/* Listens in a new folder, and sets GPUVF_SOCKET.  answers is ended by a row without a method, and
 * borrowed. */
struct fake_daemon *fake_daemon_start(const struct canned *answers);
/* Ends the thread and frees it. */
void fake_daemon_stop(struct fake_daemon *d);
/* The n-th request, or NULL; borrowed until stop. */
const json_t *fake_daemon_request(struct fake_daemon *d, size_t n);
size_t fake_daemon_requests(struct fake_daemon *d);
/* The n-th request was this method with exactly these parameters. */
void assert_request(struct fake_daemon *d, size_t n, const char *method, const char *params);
/* Until that many requests have been answered. */
void fake_daemon_wait(struct fake_daemon *d, size_t n);

/* What one run of the client printed. */
struct run {
	int code;
	char *out;
	char *err;
};

void run_done(struct run *run);
/* gpuvf with these arguments, ended by NULL; input may be NULL. */
struct run run_gpuvf(const char *input, const char *const *arguments);
#define GPUVF(...) run_gpuvf(NULL, (const char *const[]){ "gpuvf", __VA_ARGS__, NULL })
#define _cleanup_run_ _cleanup_(run_done)
