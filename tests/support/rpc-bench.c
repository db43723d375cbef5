/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The harness of the tests of rpc/. */
#include "tests/support/rpc-bench.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "lib/clock.h"

static struct bench *current; /* for the handlers, which know only the manager */

struct echo_params {
	char *text;
};

struct number_params {
	uint64_t n;
};

static void handle_echo(struct manager *m, const struct caller *caller, const void *params,
			struct reply *reply)
{
	const struct echo_params *p = params;

	reply_result(reply, json_pack("{s:s*}", "text", p->text));
}

static void handle_later(struct manager *m, const struct caller *caller, const void *params,
			 struct reply *reply)
{
	assert_true(current->n_later < BENCH_LATER_MAX);
	current->later[current->n_later++] = reply;
}

static void handle_bulk(struct manager *m, const struct caller *caller, const void *params,
			struct reply *reply)
{
	const struct number_params *p = params;
	char *text = calloc(1, p->n + 1);

	memset(text, 'x', p->n);
	reply_result(reply, json_string(text));
	free(text);
}

static void handle_change(struct manager *m, const struct caller *caller, const void *params,
			  struct reply *reply)
{
	const struct number_params *p = params;

	if (p->n == 13) {
		reply_refuse(reply, RPC_NOT_PERMITTED, "not yours");
		return;
	}
	current->n_changes++;
	reply_result(reply, json_pack("{s:I}", "n", (json_int_t)p->n));
}

static void handle_admin(struct manager *m, const struct caller *caller, const void *params,
			 struct reply *reply)
{
	reply_result(reply, json_true());
}

static bool needs_waits(struct manager *m, const void *params)
{
	return manager_awaits_hypervisor(m);
}

static const struct json_field no_fields[] = { { NULL } };
static const struct json_field echo_fields[] = {
	{ "text", JSON_FIELD_STRING, offsetof(struct echo_params, text), .required = true,
	  .max_length = 2 * RPC_MESSAGE_MAX },
	{ NULL },
};
static const struct json_field bulk_fields[] = {
	{ "bytes", JSON_FIELD_UINT, offsetof(struct number_params, n), .required = true },
	{ NULL },
};
static const struct json_field change_fields[] = {
	{ "n", JSON_FIELD_UINT, offsetof(struct number_params, n), .max = 100 },
	{ NULL },
};

const struct rpc_method bench_methods[] = {
	{ "test.echo", ROLE_VIEWER, .fields = echo_fields,
	  .params_size = sizeof(struct echo_params), .handler = handle_echo },
	{ "test.later", ROLE_VIEWER, .fields = no_fields, .handler = handle_later },
	{ "test.bulk", ROLE_VIEWER, .fields = bulk_fields,
	  .params_size = sizeof(struct number_params), .handler = handle_bulk },
	{ "test.change", ROLE_OPERATOR, .mutates = true, .fields = change_fields,
	  .params_size = sizeof(struct number_params), .handler = handle_change },
	{ "test.admin", ROLE_ADMIN, .fields = no_fields, .handler = handle_admin },
	{ "test.needs", ROLE_OPERATOR, .mutates = true, .fields = change_fields,
	  .params_size = sizeof(struct number_params), .handler = handle_change, .waits = needs_waits },
	{ NULL },
};
static const struct rpc_method *const bench_tables[] = { bench_methods, NULL };

void bench_start(struct bench *b, const struct rpc_limits *limits,
		 const struct rpc_method *const *tables)
{
	struct rpc_server_options options = {
		.manager = &b->manager,
		.methods = tables ? tables : bench_tables,
		.listen_fd = -1,
		.limits = RPC_LIMITS_DEFAULT,
	};

	memset(b, 0, sizeof(*b));
	b->manager.role = ROLE_ADMIN;
	b->manager.next_seq = 1;
	current = b;
	assert_true(sd_event_new(&b->event) >= 0);
	options.event = b->event;
	if (limits)
		options.limits = *limits;
	assert_int_equal(rpc_server_new(&options, &b->server), 0);
}

void bench_stop(struct bench *b)
{
	b->server = rpc_server_free(b->server);
	b->event = sd_event_unref(b->event);
	fake_manager_done(&b->manager);
}

void bench_connect(struct bench *b, struct bench_client *c)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	*c = (struct bench_client){ .bench = b, .fd = fds[0] };
	line_buffer_init(&c->in, 64 * MIB);
	(void)rpc_server_add(b->server, fds[1]);
}

void bench_disconnect(struct bench_client *c)
{
	c->fd = safe_close(c->fd);
	line_buffer_done(&c->in);
	bench_run(c->bench);
}

void bench_run(struct bench *b)
{
	int r;

	do {
		r = sd_event_run(b->event, 0);
		assert_true(r >= 0);
	} while (r > 0);
}

void bench_write(struct bench_client *c, const void *data, size_t size)
{
	uint64_t deadline = now_boottime() + BENCH_DEADLINE_MS * USEC_PER_MSEC;
	const char *p = data;
	ssize_t n;

	while (size > 0) {
		n = send(c->fd, p, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			p += n;
			size -= (size_t)n;
		} else if (errno != EAGAIN) {
			fail_msg("the server closed: %s", strerror(errno));
		}
		bench_run(c->bench);
		if (now_boottime() > deadline)
			fail_msg("the server does not read");
	}
}

void bench_send(struct bench_client *c, const char *line)
{
	bench_write(c, line, strlen(line));
	bench_write(c, "\n", 1);
}

void bench_half_close(struct bench_client *c)
{
	assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
	bench_run(c->bench);
}

/* Returns 1 with a line, 0 at end of file. */
static int next_line(struct bench_client *c, char **ret_line)
{
	uint64_t deadline = now_boottime() + BENCH_DEADLINE_MS * USEC_PER_MSEC;
	size_t size;
	ssize_t n;

	for (;;) {
		if (line_buffer_next(&c->in, ret_line, &size) == 1)
			return 1;
		if (c->eof)
			return 0;
		n = line_buffer_read(&c->in, c->fd);
		if (n == 0 || n == -ECONNRESET)
			c->eof = true;
		else if (n < 0 && n != -EAGAIN)
			fail_msg("read: %s", strerror((int)-n));
		else if (n < 0)
			assert_true(sd_event_run(c->bench->event, USEC_PER_SEC) >= 0);
		if (now_boottime() > deadline)
			fail_msg("no answer came");
	}
}

json_t *bench_receive(struct bench_client *c)
{
	json_error_t error;
	json_t *json;
	char *line;

	if (next_line(c, &line) == 0)
		fail_msg("the connection ended instead of an answer");
	json = json_loads(line, JSON_DECODE_ANY, &error);
	if (!json)
		fail_msg("%s: %.200s", error.text, line);
	return json;
}

void bench_expect_end(struct bench_client *c)
{
	char *line;

	if (next_line(c, &line) == 1)
		fail_msg("an answer instead of the end: %.200s", line);
}

void bench_expect_silence(struct bench_client *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	size_t size;
	char *line;

	bench_run(c->bench);
	assert_int_equal(line_buffer_next(&c->in, &line, &size), 0);
	if (poll(&p, 1, 0) != 0)
		fail_msg("something came unasked");
}

static void assert_json(const json_t *json, const char *expected)
{
	char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	if (!text)
		fail_msg("missing, expected %s", expected);
	assert_string_equal(text, expected);
	free(text);
}

void bench_expect_result(struct bench_client *c, const char *id, const char *result)
{
	json_t *message = bench_receive(c);

	assert_json(json_object_get(message, "id"), id);
	assert_string_equal(json_get_string(message, "jsonrpc"), "2.0");
	assert_json(json_object_get(message, "result"), result);
	json_decref(message);
}

void bench_expect_error(struct bench_client *c, const char *id, enum rpc_code code,
			const char *word, const char *field)
{
	json_t *message = bench_receive(c);
	struct rpc_error error = { 0 };

	assert_json(json_object_get(message, "id"), id);
	assert_null(json_object_get(message, "result"));
	assert_int_equal(rpc_error_from_json(json_object_get(message, "error"), &error), 0);
	assert_int_equal(error.code, code);
	if (!strstr(error.message, word))
		fail_msg("\"%s\" is not in: %s", word, error.message);
	assert_non_null(error.reason);
	if (field)
		assert_string_equal(strempty(error.field), field);
	rpc_error_done(&error);
	json_decref(message);
}

void bench_answer_later(struct bench *b, size_t n)
{
	struct reply *reply = b->later[n];

	assert_non_null(reply);
	b->later[n] = NULL;
	reply_result(reply, json_integer((json_int_t)n));
}
