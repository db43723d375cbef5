/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One client's bytes: frames, half-close, limits, slow readers, and hostile ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "rpc/quota.h"
#include "tests/support/rpc-bench.h"

static struct bench bench;

static int start(void **state)
{
	bench_start(&bench, NULL, NULL);
	return 0;
}

static int stop(void **state)
{
	bench_stop(&bench);
	return 0;
}

static void restart(const struct rpc_limits *limits)
{
	bench_stop(&bench);
	bench_start(&bench, limits, NULL);
}

#define ECHO(id, text)                                                                             \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"test.echo\",\"params\":{\"text\":\"" text \
	"\"}}"
#define LATER(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"test.later\"}"

/* The server still answers this client. */
static void check_alive(struct bench_client *c)
{
	bench_send(c, ECHO("\"alive\"", "yes"));
	bench_expect_result(c, "\"alive\"", "{\"text\":\"yes\"}");
}

static void test_one_call(void **state)
{
	struct bench_client c;

	bench_connect(&bench, &c);
	check_alive(&c);
	check_alive(&c);
	bench_expect_silence(&c);
	bench_disconnect(&c);
	assert_int_equal(rpc_server_connections(bench.server), 0);
}

static void test_byte_by_byte(void **state)
{
	const char *line = ECHO("1", "gr\xc3\xbc\xc3\x9f") "\n";
	struct bench_client c;

	bench_connect(&bench, &c);
	for (; *line; line++)
		bench_write(&c, line, 1);
	bench_expect_result(&c, "1", "{\"text\":\"gr\xc3\xbc\xc3\x9f\"}");
	bench_disconnect(&c);
}

static void test_many_lines_in_one_write(void **state)
{
	struct bench_client c;
	char id[16];
	int i;

	bench_connect(&bench, &c);
	bench_send(&c, ECHO("0", "a") "\n" ECHO("1", "a") "\n" ECHO("2", "a"));
	for (i = 0; i < 3; i++) {
		snprintf(id, sizeof(id), "%d", i);
		bench_expect_result(&c, id, "{\"text\":\"a\"}");
	}
	bench_disconnect(&c);
}

static void test_malformed_lines(void **state)
{
	static const char *const lines[] = {
		"",
		"x",
		"{",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.echo\"",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"test.later\"}",
		"\xff\xfe\x00\x01",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc3\x28\"}",
		"\"\x1b[2J\"",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
	};
	struct bench_client c;
	size_t i;

	bench_connect(&bench, &c);
	for (i = 0; i < ARRAY_SIZE(lines); i++) {
		bench_send(&c, lines[i]);
		bench_expect_error(&c, "null", RPC_PARSE_ERROR, "not JSON", NULL);
	}
	check_alive(&c);
	bench_disconnect(&c);
}

static void test_nul_bytes(void **state)
{
	struct bench_client c;

	bench_connect(&bench, &c);
	bench_write(&c, "{\"a\0b\":1}\n", 10);
	bench_expect_error(&c, "null", RPC_PARSE_ERROR, "not JSON", NULL);
	check_alive(&c);
	bench_disconnect(&c);
}

/* A line of exactly the limit is taken. */
static void test_longest_line(void **state)
{
	const char *head = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.echo\","
			   "\"params\":{\"text\":\"";
	char *line = malloc(RPC_MESSAGE_MAX + 2);
	struct bench_client c;
	json_t *answer;

	memset(line, 'x', RPC_MESSAGE_MAX);
	memcpy(line, head, strlen(head));
	strcpy(line + RPC_MESSAGE_MAX - 3, "\"}}\n");
	bench_connect(&bench, &c);
	bench_write(&c, line, RPC_MESSAGE_MAX + 1);
	answer = bench_receive(&c);
	assert_non_null(json_object_get(answer, "result"));
	json_decref(answer);
	check_alive(&c);
	bench_disconnect(&c);
	free(line);
}

static void test_line_too_long(void **state)
{
	size_t size = 4 * RPC_MESSAGE_MAX;
	char *line = malloc(size);
	struct bench_client c;

	memset(line, 'x', size);
	line[size - 1] = '\n';
	bench_connect(&bench, &c);
	bench_send(&c, LATER("1"));
	bench_write(&c, line, size);
	bench_expect_error(&c, "null", RPC_LIMIT, "longer than 1048576 bytes", NULL);
	/* What was accepted before is still answered; nothing after it is taken. */
	bench_send(&c, ECHO("2", "a"));
	bench_answer_later(&bench, 0);
	bench_expect_result(&c, "1", "0");
	bench_expect_end(&c);
	bench_disconnect(&c);
	assert_int_equal(rpc_server_connections(bench.server), 0);
	free(line);
}

static void test_half_close_finishes_answers(void **state)
{
	struct bench_client c;

	bench_connect(&bench, &c);
	bench_send(&c, LATER("1"));
	bench_send(&c, ECHO("2", "a"));
	bench_send(&c, LATER("3"));
	bench_half_close(&c);
	bench_expect_result(&c, "2", "{\"text\":\"a\"}");
	bench_expect_silence(&c);
	bench_answer_later(&bench, 1);
	bench_expect_result(&c, "3", "1");
	assert_int_equal(rpc_server_connections(bench.server), 1);
	bench_answer_later(&bench, 0);
	bench_expect_result(&c, "1", "0");
	bench_expect_end(&c);
	bench_run(&bench);
	assert_int_equal(rpc_server_connections(bench.server), 0);
	bench_disconnect(&c);
}

static void test_half_close_at_once(void **state)
{
	struct bench_client c;

	bench_connect(&bench, &c);
	bench_half_close(&c);
	bench_expect_end(&c);
	bench_run(&bench);
	assert_int_equal(rpc_server_connections(bench.server), 0);
	bench_disconnect(&c);
}

static void test_last_line_without_newline(void **state)
{
	struct bench_client c;
	const char *line = ECHO("1", "a");

	bench_connect(&bench, &c);
	bench_write(&c, line, strlen(line));
	bench_half_close(&c);
	bench_expect_result(&c, "1", "{\"text\":\"a\"}");
	bench_expect_end(&c);
	bench_disconnect(&c);
}

static void test_half_sent_message(void **state)
{
	struct bench_client c;

	bench_connect(&bench, &c);
	bench_write(&c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"meth", 30);
	bench_half_close(&c);
	bench_expect_error(&c, "null", RPC_PARSE_ERROR, "not JSON", NULL);
	bench_expect_end(&c);
	bench_disconnect(&c);
}

/* The client goes; the manager answers later, and nothing happens. */
static void test_answer_after_the_client_left(void **state)
{
	struct bench_client c, other;

	bench_connect(&bench, &c);
	bench_connect(&bench, &other);
	bench_send(&c, LATER("1"));
	bench_send(&c, LATER("2"));
	bench_disconnect(&c);
	assert_int_equal(rpc_server_connections(bench.server), 1);
	bench_answer_later(&bench, 0);
	check_alive(&other);
	bench_answer_later(&bench, 1);
	bench_disconnect(&other);
}

static void test_answer_after_the_server_left(void **state)
{
	struct bench_client c;

	bench_connect(&bench, &c);
	bench_send(&c, LATER("1"));
	bench.server = rpc_server_free(bench.server);
	bench_expect_end(&c);
	bench_answer_later(&bench, 0);
	bench_disconnect(&c);
}

/* More calls than may be under way: the rest waits, nothing is lost. */
static void test_calls_in_flight(void **state)
{
	struct rpc_limits limits = RPC_LIMITS_DEFAULT;
	struct bench_client c;
	char line[128];
	size_t i;

	limits.requests_per_connection = 4;
	restart(&limits);
	bench_connect(&bench, &c);
	for (i = 0; i < 20; i++) {
		snprintf(line, sizeof(line), LATER("%zu"), i);
		bench_send(&c, line);
	}
	bench_half_close(&c);
	assert_int_equal(bench.n_later, 4);
	for (i = 0; i < 20; i++) {
		bench_answer_later(&bench, i);
		bench_run(&bench);
		assert_int_equal(bench.n_later, MIN_OF(i + 5, (size_t)20));
	}
	for (i = 0; i < 20; i++) {
		snprintf(line, sizeof(line), "%zu", i);
		bench_expect_result(&c, line, line);
	}
	bench_expect_end(&c);
	bench_disconnect(&c);
}

static void test_connections_per_user(void **state)
{
	struct rpc_limits limits = RPC_LIMITS_DEFAULT;
	struct bench_client a, b, c;

	limits.connections_per_uid = 2;
	restart(&limits);
	bench_connect(&bench, &a);
	bench_connect(&bench, &b);
	bench_connect(&bench, &c);
	bench_expect_error(&c, "null", RPC_LIMIT, "you have too many connections (limit 2)", NULL);
	bench_expect_end(&c);
	bench_disconnect(&c);
	bench_disconnect(&a);
	bench_connect(&bench, &c);
	check_alive(&c);
	bench_disconnect(&c);
	bench_disconnect(&b);
}

static void test_connections_of_all(void **state)
{
	struct rpc_limits limits = RPC_LIMITS_DEFAULT;
	struct bench_client a, b;

	limits.connections = 1;
	restart(&limits);
	bench_connect(&bench, &a);
	bench_connect(&bench, &b);
	bench_expect_error(&b, "null", RPC_LIMIT, "too many connections to the daemon", NULL);
	check_alive(&a);
	bench_disconnect(&b);
	bench_disconnect(&a);
}

/* Half a line counts as well. */
static void test_bytes_per_user(void **state)
{
	struct rpc_limits limits = RPC_LIMITS_DEFAULT;
	char *half = malloc(60000);
	struct bench_client a, b;

	limits.bytes_per_uid = 100000;
	restart(&limits);
	memset(half, ' ', 60000);
	bench_connect(&bench, &a);
	bench_connect(&bench, &b);
	bench_write(&a, half, 60000);
	bench_write(&b, half, 60000);
	bench_expect_error(&b, "null", RPC_LIMIT, "too many bytes (limit 100000)", NULL);
	bench_half_close(&b);
	bench_expect_end(&b);
	check_alive(&a);
	bench_disconnect(&b);
	bench_disconnect(&a);
	free(half);
}

/* The calls of clients that left count until they are answered. */
static void test_bytes_of_abandoned_calls(void **state)
{
	struct rpc_limits limits = RPC_LIMITS_DEFAULT;
	struct bench_client c;
	size_t i;

	limits.bytes_per_uid = 10 * RPC_CALL_BYTES;
	restart(&limits);
	for (i = 0; i < 9; i++) {
		bench_connect(&bench, &c);
		bench_send(&c, LATER("1"));
		bench_disconnect(&c);
	}
	bench_connect(&bench, &c);
	bench_send(&c, LATER("1"));
	bench_expect_error(&c, "null", RPC_LIMIT, "too many bytes", NULL);
	for (i = 0; i < bench.n_later; i++)
		bench_answer_later(&bench, i);
	check_alive(&c);
	bench_disconnect(&c);
}

/* Who asks for much and reads late is not read for a while, and then gets everything. */
static void test_slow_reader_gets_everything(void **state)
{
	struct bench_client c;
	json_t *answer;
	int i;

	bench_connect(&bench, &c);
	for (i = 0; i < 10; i++)
		bench_send(&c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.bulk\","
			       "\"params\":{\"bytes\":300000}}");
	for (i = 0; i < 10; i++) {
		answer = bench_receive(&c);
		assert_int_equal(json_string_length(json_object_get(answer, "result")), 300000);
		json_decref(answer);
	}
	check_alive(&c);
	bench_disconnect(&c);
}

static void test_reader_that_never_reads(void **state)
{
	struct rpc_limits limits = RPC_LIMITS_DEFAULT;
	struct bench_client c, other;

	limits.output_max = 1 << 20;
	restart(&limits);
	bench_connect(&bench, &c);
	bench_connect(&bench, &other);
	bench_send(&c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.bulk\","
		       "\"params\":{\"bytes\":3000000}}");
	assert_int_equal(rpc_server_connections(bench.server), 1);
	bench_expect_end(&c);
	check_alive(&other);
	bench_disconnect(&c);
	bench_disconnect(&other);
}

static void test_client_that_vanishes_with_unread_answers(void **state)
{
	struct bench_client c;
	int i;

	bench_connect(&bench, &c);
	for (i = 0; i < 5; i++)
		bench_send(&c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.bulk\","
			       "\"params\":{\"bytes\":300000}}");
	bench_disconnect(&c);
	assert_int_equal(rpc_server_connections(bench.server), 0);
}

static void test_quota_counts_back(void **state)
{
	struct rpc_limits limits = RPC_LIMITS_DEFAULT;
	struct rpc_error error = { 0 };
	struct rpc_quota *q;
	struct rpc_user *eve, *bob;

	limits.bytes = 150;
	limits.bytes_per_uid = 100;
	q = rpc_quota_new(&limits);
	eve = rpc_quota_connect(q, 1000, &error);
	bob = rpc_quota_connect(q, 1001, &error);
	assert_int_equal(rpc_user_charge(eve, 100, &error), 0);
	assert_int_equal(rpc_user_charge(eve, 1, &error), -ECANCELED);
	assert_int_equal(error.code, RPC_LIMIT);
	rpc_error_done(&error);
	assert_int_equal(rpc_user_charge(bob, 51, &error), -ECANCELED);
	assert_non_null(strstr(error.message, "all clients"));
	rpc_error_done(&error);
	assert_int_equal(rpc_user_charge(bob, 50, &error), 0);
	assert_int_equal(rpc_user_charge(bob, SIZE_MAX, &error), -ECANCELED);
	rpc_error_done(&error);
	rpc_user_release(eve, 100);
	assert_int_equal(rpc_user_charge(bob, 50, &error), 0);
	rpc_user_release(bob, 100);
	rpc_user_disconnect(eve);
	rpc_user_disconnect(bob);
	rpc_quota_unref(q);
	rpc_user_unref(eve);
	rpc_user_unref(bob);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_call),
		TEST(test_byte_by_byte),
		TEST(test_many_lines_in_one_write),
		TEST(test_malformed_lines),
		TEST(test_nul_bytes),
		TEST(test_longest_line),
		TEST(test_line_too_long),
		TEST(test_half_close_finishes_answers),
		TEST(test_half_close_at_once),
		TEST(test_last_line_without_newline),
		TEST(test_half_sent_message),
		TEST(test_answer_after_the_client_left),
		TEST(test_answer_after_the_server_left),
		TEST(test_calls_in_flight),
		TEST(test_connections_per_user),
		TEST(test_connections_of_all),
		TEST(test_bytes_per_user),
		TEST(test_bytes_of_abandoned_calls),
		TEST(test_slow_reader_gets_everything),
		TEST(test_reader_that_never_reads),
		TEST(test_client_that_vanishes_with_unread_answers),
		TEST(test_quota_counts_back),
	};

	return cmocka_run_group_tests_name("rpc-connection", tests, NULL, NULL);
}
