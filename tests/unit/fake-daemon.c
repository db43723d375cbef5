/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Canned answers on a socket, and the client run in this process. */
#include "fake-daemon.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "cli/cli.h"
#include "lib/io.h"
#include "lib/line-buffer.h"

#define CANNED_MAX 64

struct fake_daemon {
	const struct canned *answers;
	bool used[CANNED_MAX];
	json_t *requests;
	size_t answered;
	pthread_mutex_t lock;
	pthread_cond_t more;
	pthread_t thread;
	int listener, end; /* end: an eventfd */
	char folder[64], path[96];
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

static const struct canned *next_answer(struct fake_daemon *d, const char *method)
{
	size_t i;

	for (i = 0; d->answers[i].method; i++)
		if (!d->used[i] && streq(d->answers[i].method, method)) {
			d->used[i] = true;
			return &d->answers[i];
		}
	return NULL;
}

static void send_json(int fd, json_t *message)
{
	char *text = json_dumps(message, JSON_COMPACT);
	char *line = xasprintf("%s\n", text);

	(void)write_all(fd, line, strlen(line));
	free(line);
	free(text);
	json_decref(message);
}

static json_t *parse(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	must(value != NULL, text);
	return value;
}

static void send_events(int fd, const char *events)
{
	char *copy = strdup(strempty(events)), *rest = copy, *line;

	while ((line = strsep(&rest, "\n")))
		if (*line)
			send_json(fd, json_pack("{s:s,s:s,s:o}", "jsonrpc", "2.0", "method",
						"event", "params", parse(line)));
	free(copy);
}

/* Returns false when the connection shall be closed. */
static bool answer(struct fake_daemon *d, int fd, const char *line)
{
	json_t *request = parse(line), *id = json_object_get(request, "id");
	const struct canned *c = next_answer(d, strempty(json_get_string(request, "method")));
	bool go_on = !c || !c->close;

	pthread_mutex_lock(&d->lock);
	json_array_append(d->requests, request);
	pthread_mutex_unlock(&d->lock);
	if (go_on && c && c->result)
		send_json(fd, json_pack("{s:s,s:O,s:o}", "jsonrpc", "2.0", "id", id, "result",
					parse(c->result)));
	else if (go_on)
		send_json(fd,
			  json_pack("{s:s,s:O,s:o}", "jsonrpc", "2.0", "id", id, "error",
				    parse(c ? c->error
					    : "{\"code\":-32002,\"message\":\"nothing canned\"}")));
	if (go_on && c && c->events)
		send_events(fd, c->events);
	json_decref(request);
	pthread_mutex_lock(&d->lock);
	d->answered++;
	pthread_cond_broadcast(&d->more);
	pthread_mutex_unlock(&d->lock);
	return go_on && !(c && c->close_after);
}

/* Waits for the descriptor or for the end; false = the end. */
static bool wait_for(struct fake_daemon *d, int fd)
{
	struct pollfd p[2] = { { .fd = d->end, .events = POLLIN }, { .fd = fd, .events = POLLIN } };

	while (poll(p, 2, -1) < 0)
		must(errno == EINTR, "poll");
	return !p[0].revents;
}

static void serve_connection(struct fake_daemon *d, int fd)
{
	struct line_buffer in;
	size_t size;
	char *line;
	bool open = true;

	line_buffer_init(&in, 4 << 20);
	while (open && wait_for(d, fd) && line_buffer_read(&in, fd) > 0)
		while (open && line_buffer_next(&in, &line, &size) > 0)
			open = answer(d, fd, line);
	line_buffer_done(&in);
}

static void *serve(void *userdata)
{
	struct fake_daemon *d = userdata;

	while (wait_for(d, d->listener)) {
		int fd = accept(d->listener, NULL, NULL);

		must(fd >= 0, "accept");
		serve_connection(d, fd);
		close(fd);
	}
	return NULL;
}

struct fake_daemon *fake_daemon_start(const struct canned *answers)
{
	struct fake_daemon *d = calloc(1, sizeof(*d));
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	must(d != NULL, "calloc");
	d->answers = answers;
	d->requests = json_array();
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->more, NULL);
	snprintf(d->folder, sizeof(d->folder), "/tmp/gpuvf-test-cli-XXXXXX");
	must(mkdtemp(d->folder) != NULL, "mkdtemp");
	snprintf(d->path, sizeof(d->path), "%s/sock", d->folder);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", d->path);
	d->end = eventfd(0, EFD_CLOEXEC);
	d->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(d->listener, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
	must(listen(d->listener, 8) == 0, "listen");
	must(pthread_create(&d->thread, NULL, serve, d) == 0, "pthread_create");
	setenv("GPUVF_SOCKET", d->path, 1);
	return d;
}

void fake_daemon_stop(struct fake_daemon *d)
{
	uint64_t one = 1;

	must(write(d->end, &one, sizeof(one)) == sizeof(one), "write");
	pthread_join(d->thread, NULL);
	pthread_cond_destroy(&d->more);
	pthread_mutex_destroy(&d->lock);
	close(d->listener);
	close(d->end);
	unlink(d->path);
	rmdir(d->folder);
	json_decref(d->requests);
	free(d);
}

const json_t *fake_daemon_request(struct fake_daemon *d, size_t n)
{
	const json_t *request;

	pthread_mutex_lock(&d->lock);
	request = json_array_get(d->requests, n);
	pthread_mutex_unlock(&d->lock);
	return request;
}

void assert_request(struct fake_daemon *d, size_t n, const char *method, const char *params)
{
	const json_t *request = fake_daemon_request(d, n);
	_cleanup_json_ json_t *wanted = json_loads(params, 0, NULL);
	_cleanup_free_ char *text = NULL;

	assert_non_null(request);
	assert_non_null(wanted);
	assert_string_equal(json_get_string(request, "method"), method);
	text = json_text(json_object_get(request, "params"));
	if (!json_equal(json_object_get(request, "params"), wanted))
		fail_msg("%s was called with %s, not %s", method, text, params);
}

size_t fake_daemon_requests(struct fake_daemon *d)
{
	size_t n;

	pthread_mutex_lock(&d->lock);
	n = json_array_size(d->requests);
	pthread_mutex_unlock(&d->lock);
	return n;
}

void fake_daemon_wait(struct fake_daemon *d, size_t n)
{
	pthread_mutex_lock(&d->lock);
	while (d->answered < n)
		pthread_cond_wait(&d->more, &d->lock);
	pthread_mutex_unlock(&d->lock);
}

void run_done(struct run *run)
{
	free(run->out);
	free(run->err);
}

struct run run_gpuvf(const char *input, const char *const *arguments)
{
	struct run run = { .code = -1 };
	size_t out_size, err_size;
	FILE *in = input && *input ? fmemopen((char *)input, strlen(input), "r")
				   : fopen("/dev/null", "r");
	FILE *out = open_memstream(&run.out, &out_size), *err = open_memstream(&run.err, &err_size);
	int argc = 0;

	must(in && out && err, "streams");
	while (arguments[argc])
		argc++;
	run.code = cli_run(argc, (char **)arguments, in, out, err);
	fclose(in);
	fclose(out);
	fclose(err);
	return run;
}
