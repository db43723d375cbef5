/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client against a small server on a thread: answers, notifications, refusals, a broken peer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/io.h"
#include "lib/rpc-client.h"

#define ERROR_LINE                                                                                 \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32002,\"message\":\"no such GPU\","    \
	"\"data\":{\"reason\":\"unknown_gpu\",\"field\":\"gpu\"}}}\n"

static char folder[] = "/tmp/gpuvf-test-rpc-XXXXXX";
static char *path;

/* What the server does with one connection. */
struct script {
	int listener;
	const char *first; /* sent before anything is read */
	const char *reply; /* sent after the first request, then the server closes */
	size_t requests;   /* bytes that it wants to see before it replies */
	bool no_read;
	char seen[512];
};

static struct script script;
static pthread_t server;

static void *serve(void *p)
{
	struct script *s = p;
	_cleanup_close_ int fd = accept(s->listener, NULL, NULL);
	char buf[65536], last = 0;
	size_t total = 0;

	if (fd < 0)
		return (void *)"accept";
	if (s->first && write_all(fd, s->first, strlen(s->first)) < 0)
		return (void *)"first";
	while (!s->no_read && last != '\n') {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n <= 0)
			break;
		if (total < sizeof(s->seen) - 1)
			memcpy(s->seen + total, buf,
			       MIN_OF((size_t)n, sizeof(s->seen) - 1 - total));
		total += (size_t)n;
		last = buf[n - 1];
	}
	if (s->reply && write_all(fd, s->reply, strlen(s->reply)) < 0)
		return (void *)"reply";
	return NULL;
}

/* Starts the server and connects to it. */
static struct rpc_client *start(const char *first, const char *reply, bool no_read)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct rpc_client *c = NULL;

	(void)unlink(path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	script = (struct script){ .first = first, .reply = reply, .no_read = no_read };
	script.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(script.listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(script.listener, 1), 0);
	assert_int_equal(pthread_create(&server, NULL, serve, &script), 0);
	assert_int_equal(rpc_client_connect(path, &c), 0);
	return c;
}

static void stop(void)
{
	void *failure;

	assert_int_equal(pthread_join(server, &failure), 0);
	assert_null(failure);
	close(script.listener);
}

static unsigned notified;

static void on_notification(void *userdata, const char *method, const json_t *params)
{
	assert_string_equal(method, "event");
	assert_int_equal(json_get_uint(params, "seq", 0), ++notified);
}

#define EVENT(seq) "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"seq\":" #seq "}}\n"
#define RESULT(id) "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"result\":{\"ok\":true}}\n"

static void test_call(void **state)
{
	_cleanup_(rpc_client_freep) struct rpc_client *c =
		start(EVENT(1), EVENT(2) RESULT(1) EVENT(3), false);
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	_cleanup_json_ json_t *result = NULL;

	notified = 0;
	rpc_client_on_notification(c, on_notification, NULL);
	assert_int_equal(rpc_client_call(c, "gpu.list", NULL, &result, &error), 0);
	assert_true(json_get_bool(result, "ok", false));
	assert_int_equal(notified, 2);
	assert_int_equal(rpc_client_receive(c, 10000), 1);
	assert_int_equal(notified, 3);
	assert_int_equal(rpc_client_receive(c, 10000), -EPIPE);
	stop();
	assert_string_equal(script.seen, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"gpu.list\","
					 "\"params\":{}}\n");
}

static void test_refused(void **state)
{
	_cleanup_(rpc_client_freep) struct rpc_client *c = start(NULL, ERROR_LINE, false);
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	json_t *result = NULL;

	assert_int_equal(rpc_client_call(c, "gpu.get", json_pack("{s:s}", "gpu", "gpu9"), &result,
					 &error),
			 -ECANCELED);
	assert_null(result);
	assert_int_equal(error.code, RPC_NOT_FOUND);
	assert_string_equal(error.message, "no such GPU");
	assert_string_equal(error.reason, "unknown_gpu");
	assert_string_equal(error.field, "gpu");
	stop();
}

/* Returns what a call gives when the server says this. */
static int call_with(const char *first, const char *reply, bool no_read, struct rpc_error *error)
{
	_cleanup_(rpc_client_freep) struct rpc_client *c = start(first, reply, no_read);
	_cleanup_json_ json_t *result = NULL;
	int r;

	r = rpc_client_call(c, "m", NULL, &result, error);
	stop();
	return r;
}

static void test_broken_peer(void **state)
{
	static const char *const bad[] = {
		"not json\n",
		"[]\n",
		"{}\n",
		"{\"jsonrpc\":\"2.0\",\"id\":1}\n",
		"{\"jsonrpc\":\"2.0\",\"result\":1}\n",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}\n",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":null}\n",
	};
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(call_with(NULL, bad[i], false, &error), -EBADMSG);
	assert_int_equal(call_with(NULL, NULL, false, &error), -EPIPE);
	assert_int_equal(call_with(NULL, "{\"jsonrpc\":\"2.0\",", false, &error), -EPIPE);
	assert_int_equal(error.code, 0);
}

static void test_other_answers(void **state)
{
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };

	/* An answer to somebody else is passed over; one without an id is ours. */
	assert_int_equal(call_with(NULL, RESULT(99) RESULT(1), false, &error), 0);
	assert_int_equal(call_with(NULL,
				   "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32009,"
				   "\"message\":\"too many connections\"}}\n",
				   false, &error),
			 -ECANCELED);
	assert_int_equal(error.code, RPC_LIMIT);
}

static void test_refused_before_reading(void **state)
{
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	int r;

	/* The server closes without reading: its word must reach us all the same. */
	r = call_with("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32001,"
		      "\"message\":\"not for you\"}}\n",
		      NULL, true, &error);
	assert_int_equal(r, -ECANCELED);
	assert_int_equal(error.code, RPC_NOT_PERMITTED);
}

static json_t *big_params(size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);

	memset(text, 'x', size);
	text[size] = '\0';
	return json_pack("{s:s}", "x", text);
}

static void test_sizes(void **state)
{
	_cleanup_(rpc_client_freep) struct rpc_client *c = start(NULL, RESULT(2), false);
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 }, none = { 0 };
	_cleanup_json_ json_t *result = NULL;

	assert_int_equal(rpc_client_call(c, "m", big_params(RPC_MESSAGE_MAX), &result, &error),
			 -ECANCELED);
	assert_int_equal(error.code, RPC_LIMIT);
	assert_int_equal(rpc_client_call(c, "m", big_params(RPC_MESSAGE_MAX - 100), &result, &none),
			 0);
	stop();
}

/* Both sides send more than the socket holds before either reads: the client must do both. */
static void test_both_at_once(void **state)
{
	static const char event[] = "{\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n";
	const size_t count = 40000, size = sizeof(event) - 1;
	_cleanup_free_ char *events = malloc(count * size + 1);
	_cleanup_(rpc_client_freep) struct rpc_client *c = NULL;
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	_cleanup_json_ json_t *result = NULL;
	size_t i;

	for (i = 0; i <= count; i++)
		memcpy(events + i * size, event, i < count ? size : 0);
	events[count * size] = '\0';
	c = start(events, RESULT(1), false);
	assert_int_equal(rpc_client_call(c, "m", big_params(RPC_MESSAGE_MAX - 100), &result, &error),
			 0);
	stop();
}

/* The server refuses and closes while a long request is still on its way. */
static void test_closed_while_sending(void **state)
{
	_cleanup_(rpc_client_freep) struct rpc_client *c =
		start("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32009,"
		      "\"message\":\"too much\"}}\n",
		      NULL, true);
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	json_t *result = NULL;

	assert_int_equal(rpc_client_call(c, "m", big_params(RPC_MESSAGE_MAX - 100), &result, &error),
			 -ECANCELED);
	assert_int_equal(error.code, RPC_LIMIT);
	stop();
}

static void test_timeout(void **state)
{
	_cleanup_(rpc_client_freep) struct rpc_client *c = start(NULL, RESULT(1), false);
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	_cleanup_json_ json_t *result = NULL;

	assert_int_equal(rpc_client_receive(c, 0), 0);
	assert_int_equal(rpc_client_receive(c, 20), 0);
	assert_int_equal(rpc_client_call(c, "m", NULL, &result, &error), 0);
	stop();
}

static void on_alarm(int signum)
{
}

static void test_interrupted(void **state)
{
	_cleanup_(rpc_client_freep) struct rpc_client *c = start(NULL, EVENT(1) RESULT(1), false);
	struct sigaction action = { .sa_handler = on_alarm }, old;
	struct itimerspec when = { .it_value.tv_nsec = 20000000 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	_cleanup_json_ json_t *result = NULL;
	sigset_t alarm_only;
	timer_t timer;

	/* Only this thread may get it: the server's was made before and would swallow it. */
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &when, NULL), 0);
	assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL), 0);
	assert_int_equal(rpc_client_receive(c, 30000), -EINTR);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &alarm_only, NULL), 0);
	assert_int_equal(timer_delete(timer), 0);
	assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);

	assert_int_equal(rpc_client_call(c, "m", NULL, &result, &error), 0); /* still usable */
	stop();
}

static void test_connect(void **state)
{
	struct rpc_client *c = NULL;
	char longest[200];
	int fd;

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(rpc_client_connect("", &c), -ENOENT);
	assert_int_equal(rpc_client_connect(longest, &c), -ENAMETOOLONG);
	assert_int_equal(rpc_client_connect("/tmp/gpuvf-no-such-socket", &c), -ENOENT);

	/* A socket file that nobody listens on. */
	(void)unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	{
		struct sockaddr_un address = { .sun_family = AF_UNIX };

		snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
		assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	}
	close(fd);
	assert_int_equal(rpc_client_connect(path, &c), -ECONNREFUSED);
	assert_null(c);
	assert_null(rpc_client_free(NULL));
}

static int setup(void **state)
{
	sigset_t alarm_only;

	/* Blocked in every thread; test_interrupted() opens it for itself. */
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	(void)pthread_sigmask(SIG_BLOCK, &alarm_only, NULL);
	(void)signal(SIGPIPE, SIG_IGN); /* the server writes to clients that have left */

	if (!mkdtemp(folder))
		return -1;
	path = xasprintf("%s/s", folder);
	return path ? 0 : -1;
}

static int teardown(void **state)
{
	(void)unlink(path);
	free(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call),	       cmocka_unit_test(test_refused),
		cmocka_unit_test(test_broken_peer),    cmocka_unit_test(test_other_answers),
		cmocka_unit_test(test_refused_before_reading), cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_both_at_once),   cmocka_unit_test(test_closed_while_sending),
		cmocka_unit_test(test_timeout),	       cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_connect),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
