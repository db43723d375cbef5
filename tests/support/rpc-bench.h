/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A server with a few made-up methods, and clients over socket pairs.  Everything runs on one
 * thread: waiting for a line runs the server's loop until it is there or the deadline passed.
 *
 *	test.echo {text}   viewer    answers {"text": text}
 *	test.later {}      viewer    is answered by bench_answer_later()
 *	test.bulk {bytes}  viewer    answers a string of that many bytes
 *	test.change {n}    operator  mutates; answers {"n": n}
 *	test.admin {}      admin     answers true
 *	test.needs {n}     operator  test.change, but waits for libvirt */
#pragma once

#include "lib/line-buffer.h"
#include "rpc/rpc-server.h"
#include "tests/support/fake-manager.h"

#define BENCH_DEADLINE_MS 20000
#define BENCH_LATER_MAX 256

struct bench {
	sd_event *event;
	struct manager manager;
	struct rpc_server *server;
	struct reply *later[BENCH_LATER_MAX]; /* calls of test.later that wait */
	size_t n_later;
	unsigned n_changes; /* calls of test.change that reached the handler */
};

struct bench_client {
	struct bench *bench;
	int fd;
	struct line_buffer in;
	bool eof;
};

extern const struct rpc_method bench_methods[];

/* limits NULL = the defaults; tables NULL = the methods above.  Fails the test when it cannot. */
void bench_start(struct bench *b, const struct rpc_limits *limits,
		 const struct rpc_method *const *tables);
void bench_stop(struct bench *b);

void bench_connect(struct bench *b, struct bench_client *c);
void bench_disconnect(struct bench_client *c);

/* Runs the loop as long as it has something to do at once. */
void bench_run(struct bench *b);

/* Writes everything, running the loop meanwhile. */
void bench_write(struct bench_client *c, const void *data, size_t size);
void bench_send(struct bench_client *c, const char *line); /* and a newline */
void bench_half_close(struct bench_client *c);

/* The next message.  Returns new; fails the test at the deadline or at end of file. */
json_t *bench_receive(struct bench_client *c);
/* Fails when a message comes instead of the end of the connection. */
void bench_expect_end(struct bench_client *c);
/* Fails when anything comes while the loop works off what there is. */
void bench_expect_silence(struct bench_client *c);

/* The next message must be an answer to this id (JSON text) with this result (JSON text). */
void bench_expect_result(struct bench_client *c, const char *id, const char *result);
/* … with this error; word must be in its message, field NULL = none is looked at. */
void bench_expect_error(struct bench_client *c, const char *id, enum rpc_code code,
			const char *word, const char *field);

/* Answers the n-th waiting test.later with its number. */
void bench_answer_later(struct bench *b, size_t n);
