/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One call at a time over a Unix socket, with notifications in between.  The server is believed to
 * speak JSON-RPC; when it does not, the call ends with -EBADMSG. */
#include "lib/rpc-client.h"

#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/clock.h"

/* Answers may be longer than requests (a list of a thousand jobs), but not endless. */
#define ANSWER_MAX ((size_t)64 << 20)

struct rpc_client {
	int fd;
	struct line_buffer in;
	int64_t last_id;
	rpc_notification_fn fn;
	void *userdata;
};

/* What one call waits for. */
struct pending {
	int64_t id;
	bool done;
	json_t *result;
	struct rpc_error *error;
};

int rpc_client_connect(const char *path, struct rpc_client **ret)
{
	_cleanup_(rpc_client_freep) struct rpc_client *c = NULL;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(path);

	if (length == 0)
		return -ENOENT;
	if (length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, length + 1);

	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	line_buffer_init(&c->in, ANSWER_MAX);

	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;

	*ret = TAKE_PTR(c);
	return 0;
}

struct rpc_client *rpc_client_free(struct rpc_client *c)
{
	if (!c)
		return NULL;

	line_buffer_done(&c->in);
	safe_close(c->fd);
	free(c);
	return NULL;
}

int rpc_client_fd(const struct rpc_client *c)
{
	return c->fd;
}

void rpc_client_on_notification(struct rpc_client *c, rpc_notification_fn fn, void *userdata)
{
	c->fn = fn;
	c->userdata = userdata;
}

/* Takes the answer out of a message when it is ours.  An answer without an id is ours too: the server
 * could not read that much of our request. */
static int take_answer(struct pending *pending, const json_t *message)
{
	const json_t *id = json_object_get(message, "id");
	const json_t *error = json_object_get(message, "error");
	const json_t *result = json_object_get(message, "result");

	if (!id || (!error && !result))
		return -EBADMSG;
	if (!pending)
		return 0; /* of a call that was interrupted */
	if (json_is_integer(id) ? json_integer_value(id) != pending->id : !json_is_null(id))
		return 0;

	pending->done = true;
	if (!error) {
		pending->result = json_incref((json_t *)result);
		return 0;
	}
	return rpc_error_from_json(error, pending->error) < 0 ? -EBADMSG : -ECANCELED;
}

/* Handles one message.  Returns 1 for a notification, 0 for an answer, or a negative errno. */
static int handle_message(struct rpc_client *c, struct pending *pending, const char *line,
			  size_t size)
{
	_cleanup_json_ json_t *message = NULL;
	const char *method;

	if (json_parse(line, size, &message, NULL) < 0 || !json_is_object(message))
		return -EBADMSG;

	method = json_get_string(message, "method");
	if (!method)
		return take_answer(pending, message);

	if (c->fn)
		c->fn(c->userdata, method, json_object_get(message, "params"));
	return 1;
}

/* Handles the messages that are here, up to the pending answer, or up to one notification when no
 * answer is waited for.  Returns 1 when that came, 0 when more must be read, or a negative errno. */
static int handle_lines(struct rpc_client *c, struct pending *pending)
{
	size_t size;
	char *line;
	int r;

	for (;;) {
		r = line_buffer_next(&c->in, &line, &size);
		if (r <= 0)
			return r;

		r = handle_message(c, pending, line, size);
		if (r < 0)
			return r;
		if (pending ? pending->done : r == 1)
			return 1;
	}
}

/* Reads once.  Returns 0, or a negative errno (-EPIPE: the other side has closed). */
static int read_more(struct rpc_client *c)
{
	ssize_t n = line_buffer_read(&c->in, c->fd);

	if (n == 0 || n == -ECONNRESET)
		return -EPIPE;
	return n < 0 ? (int)n : 0;
}

/* Sends a line.  Reads at the same time: a server that is busy sending us notifications would else
 * never come to read.  A server that has closed may have left an answer, so that is not an error. */
static int send_line(struct rpc_client *c, const char *line, size_t size)
{
	while (size > 0) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN | POLLOUT };
		ssize_t n;
		int r;

		if (poll(&p, 1, -1) < 0) {
			if (errno == EINTR) /* half a request would spoil the connection */
				continue;
			return -errno;
		}
		if (p.revents & POLLIN) {
			r = read_more(c);
			if (r < 0)
				return r == -EPIPE ? 0 : r;
		}
		if (!(p.revents & (POLLOUT | POLLERR | POLLHUP)))
			continue;

		n = send(c->fd, line, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0) {
			line += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

/* Builds the line.  Takes params. */
static int build_request(struct rpc_client *c, const char *method, json_t *params, char **ret)
{
	_cleanup_json_ json_t *id = json_integer(++c->last_id), *request = NULL;
	_cleanup_free_ char *text = NULL;

	request = rpc_request(id, method, params ? params : json_object());
	text = request ? json_text(request) : NULL;
	if (!text)
		return -ENOMEM;

	*ret = xasprintf("%s\n", text);
	return *ret ? 0 : -ENOMEM;
}

int rpc_client_call(struct rpc_client *c, const char *method, json_t *params, json_t **ret_result,
		    struct rpc_error *ret_error)
{
	struct pending pending = { .error = ret_error };
	_cleanup_free_ char *line = NULL;
	size_t size;
	int r;

	r = build_request(c, method, params, &line);
	if (r < 0)
		return r;

	size = strlen(line);
	if (size - 1 > RPC_MESSAGE_MAX) {
		(void)rpc_error_set(ret_error, RPC_LIMIT,
				    "the request has %zu bytes, at most %zu are allowed", size - 1,
				    RPC_MESSAGE_MAX);
		return rpc_error_detail(ret_error, NULL, NULL, "send less at once");
	}

	pending.id = c->last_id;
	r = send_line(c, line, size);
	if (r < 0)
		return r;

	while ((r = handle_lines(c, &pending)) == 0) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };

		if (poll(&p, 1, -1) < 0)
			return -errno;
		r = read_more(c);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;

	*ret_result = pending.result;
	return 0;
}

/* What is left until the deadline, for poll(). */
static int timeout_left(uint64_t deadline)
{
	uint64_t now, left;

	if (deadline == UINT64_MAX)
		return -1;

	now = now_boottime();
	left = deadline > now ? (deadline - now + 999) / 1000 : 0;
	return (int)MIN_OF(left, (uint64_t)INT_MAX);
}

int rpc_client_receive(struct rpc_client *c, int timeout_ms)
{
	uint64_t deadline = UINT64_MAX;
	int r;

	if (timeout_ms >= 0)
		deadline = now_boottime() + (uint64_t)timeout_ms * 1000;

	while ((r = handle_lines(c, NULL)) == 0) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };

		r = poll(&p, 1, timeout_left(deadline));
		if (r <= 0)
			return r < 0 ? -errno : 0;
		r = read_more(c);
		if (r < 0)
			return r;
	}
	return r;
}
