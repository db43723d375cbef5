/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes of one client socket.  Reads as long as little is under way, writes as fast as the client
 * reads; knows lines, not what they say. */
#include "rpc/connection.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/line-buffer.h"
#include "log/log.h"
#include "rpc/peer.h"

enum connection_state {
	CONNECTION_OPEN,
	CONNECTION_FINISHING, /* the client will send no more: answer what is open, then close */
	CONNECTION_REFUSED,   /* an error was sent: input is thrown away until the client stops */
	CONNECTION_OVER,
};

struct connection {
	unsigned ref;
	enum connection_state state;
	int fd;
	sd_event_source *io, *later, *deadline;
	const struct connection_handler *handler;
	void *userdata;
	struct caller caller;
	struct rpc_user *user;
	bool connected; /* still counted as a connection of the user */

	struct line_buffer in;
	size_t in_charged; /* bytes of the buffer, as counted for the user */
	bool eof;
	bool shut; /* our side was closed */

	char *out;
	size_t out_start, out_size, out_allocated;
	bool was_congested;

	size_t calls; /* not yet answered */
};

void *connection_userdata(const struct connection *c)
{
	return c->userdata;
}

struct caller *connection_caller(struct connection *c)
{
	return &c->caller;
}

struct rpc_user *connection_user(struct connection *c)
{
	return c->user;
}

bool connection_is_over(const struct connection *c)
{
	return c->state == CONNECTION_OVER;
}

static size_t output_size(const struct connection *c)
{
	return c->out_size - c->out_start;
}

bool connection_is_congested(const struct connection *c)
{
	return output_size(c) > rpc_user_limits(c->user)->output_pause;
}

/* Enough is under way: what comes next stays in the client's hands. */
static bool is_paused(const struct connection *c)
{
	return c->calls >= rpc_user_limits(c->user)->requests_per_connection ||
	       connection_is_congested(c);
}

static void run_later(struct connection *c)
{
	int r;

	r = sd_event_source_set_enabled(c->later, SD_EVENT_ONESHOT);
	if (r < 0)
		log_ratelimited(LOG_ERR, r, NULL, NULL, "cannot plan work for a connection");
}

/* The sticky end.  r is for the log alone. */
static void end(struct connection *c, int r)
{
	if (c->state == CONNECTION_OVER)
		return;

	c->state = CONNECTION_OVER;
	if (r < 0)
		log_debug("connection of uid %u ends: %s", c->caller.uid, strerror(-r));
	(void)sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
	run_later(c);
}

static void update_events(struct connection *c)
{
	uint32_t events = 0;
	int r;

	if (c->state == CONNECTION_OVER)
		return;
	if ((c->state == CONNECTION_OPEN && !c->eof && !is_paused(c)) ||
	    c->state == CONNECTION_REFUSED)
		events |= EPOLLIN;
	if (output_size(c) > 0)
		events |= EPOLLOUT;

	r = sd_event_source_set_io_events(c->io, events);
	if (r < 0)
		end(c, r);
}

/* Half-closed: over when all is answered.  Refused: our side closes then, and the client's end, or
 * the deadline, is waited for: closing with unread input would take the answer from it. */
static void check_finished(struct connection *c)
{
	if (c->calls > 0 || output_size(c) > 0)
		return;
	if (c->state == CONNECTION_FINISHING)
		end(c, 0);
	if (c->state == CONNECTION_REFUSED && !c->shut) {
		c->shut = true;
		if (shutdown(c->fd, SHUT_WR) < 0)
			end(c, -errno);
	}
}

/* ---- output ---- */

static void flush(struct connection *c)
{
	size_t before = output_size(c);
	ssize_t n = 0;

	while (output_size(c) > 0) {
		n = send(c->fd, c->out + c->out_start, output_size(c), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		c->out_start += (size_t)n;
	}
	if (n < 0 && errno != EAGAIN)
		end(c, -errno);

	rpc_user_release(c->user, before - output_size(c));
	if (output_size(c) == 0) {
		c->out_start = c->out_size = 0;
		if (c->out_allocated > 64 * KIB) {
			free(c->out);
			c->out = NULL;
			c->out_allocated = 0;
		}
	}
}

static int make_room(struct connection *c, size_t more)
{
	size_t wanted, allocated;
	char *out;

	if (c->out_start > c->out_size / 2) {
		memmove(c->out, c->out + c->out_start, output_size(c));
		c->out_size -= c->out_start;
		c->out_start = 0;
	}
	wanted = c->out_size + more;
	if (wanted <= c->out_allocated)
		return 0;

	allocated = MAX_OF(wanted, 2 * c->out_allocated);
	out = realloc(c->out, allocated);
	if (!out)
		return -ENOMEM;
	c->out = out;
	c->out_allocated = allocated;
	return 0;
}

static int append(struct connection *c, const char *text, size_t size)
{
	struct rpc_error error = { 0 };
	int r;

	if (output_size(c) + size + 1 > rpc_user_limits(c->user)->output_max)
		return -ENOBUFS;
	r = make_room(c, size + 1);
	if (r < 0)
		return r;
	if (rpc_user_charge(c->user, size + 1, &error) < 0) {
		rpc_error_done(&error);
		return -ENOBUFS;
	}

	memcpy(c->out + c->out_size, text, size);
	c->out[c->out_size + size] = '\n';
	c->out_size += size + 1;
	return 0;
}

void connection_send(struct connection *c, json_t *json)
{
	_cleanup_json_ _unused_ json_t *owned = json;
	_cleanup_free_ char *text = NULL;
	bool idle;
	int r;

	if (c->state == CONNECTION_OVER || c->shut)
		return;

	idle = output_size(c) == 0;
	text = json ? json_text(json) : NULL;
	r = text ? append(c, text, strlen(text)) : -ENOMEM;
	if (r < 0) {
		log_ratelimited(LOG_WARNING, r, NULL, NULL,
				"client of uid %u is cut off: it does not read its answers",
				c->caller.uid);
		end(c, r);
		return;
	}
	if (idle)
		flush(c);
	c->was_congested = c->was_congested || connection_is_congested(c);
	update_events(c);
}

/* ---- input ---- */

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	end(userdata, -ETIMEDOUT);
	return 0;
}

void connection_refuse(struct connection *c, const struct rpc_error *error)
{
	int r;

	if (c->state == CONNECTION_OVER || c->state == CONNECTION_REFUSED)
		return;

	connection_send(c, rpc_response_error(NULL, error));
	if (c->state == CONNECTION_OVER)
		return;
	c->state = CONNECTION_REFUSED;
	line_buffer_done(&c->in);
	rpc_user_release(c->user, c->in_charged);
	c->in_charged = 0;

	r = sd_event_add_time_relative(sd_event_source_get_event(c->io), &c->deadline,
				       CLOCK_BOOTTIME, RPC_REFUSED_USEC, 0, on_deadline, c);
	if (r < 0)
		end(c, r);
	check_finished(c);
	update_events(c);
}

static void refuse_long_line(struct connection *c)
{
	struct rpc_error error = { 0 };

	(void)rpc_error_set(&error, RPC_LIMIT, "the message is longer than %zu bytes",
			    RPC_MESSAGE_MAX);
	(void)rpc_error_detail(&error, NULL, NULL,
			       "one message is one line; split a batch, or send large files apart");
	connection_refuse(c, &error);
	rpc_error_done(&error);
}

/* Hands over one line; its bytes are counted for its message from now on, by the receiver. */
static void take_line(struct connection *c, char *line, size_t size)
{
	size_t charge = MIN_OF(size + 1, c->in_charged);

	c->in_charged -= charge;
	rpc_user_release(c->user, charge);
	c->handler->on_line(c, line, size);
}

static void process_lines(struct connection *c)
{
	char *line;
	size_t size;
	int r = 0;

	while (c->state == CONNECTION_OPEN && !is_paused(c)) {
		r = line_buffer_next(&c->in, &line, &size);
		if (r <= 0)
			break;
		take_line(c, line, size);
	}
	if (c->state == CONNECTION_OPEN && r == -EMSGSIZE)
		refuse_long_line(c);
}

/* The last line may lack its newline: then it counts as it is, and a half-sent one is no JSON. */
static void process_end(struct connection *c)
{
	if (c->state != CONNECTION_OPEN || !c->eof || is_paused(c))
		return;

	if (c->in_charged > 0 && line_buffer_append(&c->in, "\n", 1) == 0)
		process_lines(c);
	if (c->state == CONNECTION_OPEN && !is_paused(c))
		c->state = CONNECTION_FINISHING;
}

static void process(struct connection *c)
{
	process_lines(c);
	process_end(c);
	check_finished(c);
	update_events(c);
}

static void discard_input(struct connection *c)
{
	char scratch[16384];
	ssize_t n;

	n = read(c->fd, scratch, sizeof(scratch));
	if (n == 0)
		end(c, 0);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		end(c, -errno);
}

static void read_input(struct connection *c)
{
	struct rpc_error error = { 0 };
	ssize_t n;

	if (c->state == CONNECTION_REFUSED) {
		discard_input(c);
		return;
	}
	n = line_buffer_read(&c->in, c->fd);
	if (n == -EAGAIN)
		return;
	if (n < 0) {
		end(c, (int)n);
		return;
	}
	if (n == 0) {
		c->eof = true;
	} else if (rpc_user_charge(c->user, (size_t)n, &error) < 0) {
		connection_refuse(c, &error);
		rpc_error_done(&error);
		return;
	}
	c->in_charged += (size_t)n;
	process(c);
}

static void check_drained(struct connection *c)
{
	if (c->state == CONNECTION_OVER || !c->was_congested || connection_is_congested(c))
		return;

	c->was_congested = false;
	c->handler->on_drained(c);
	run_later(c);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct connection *c = userdata;

	if (revents & EPOLLOUT) {
		flush(c);
		check_drained(c);
	}
	if (c->state != CONNECTION_OVER && (revents & EPOLLIN))
		read_input(c);
	else if (revents & (EPOLLHUP | EPOLLERR))
		end(c, -EPIPE);

	check_finished(c);
	update_events(c);
	return 0;
}

/* Goes on with lines that waited, or tells that it is over: never inside of somebody's call. */
static int on_later(sd_event_source *source, void *userdata)
{
	struct connection *c = userdata;

	if (c->state == CONNECTION_OVER)
		c->handler->on_end(c);
	else
		process(c);
	return 0;
}

void connection_call_begin(struct connection *c)
{
	c->calls++;
}

void connection_call_end(struct connection *c)
{
	bool paused = is_paused(c);

	c->calls--;
	if (c->state == CONNECTION_OVER)
		return;
	if (paused && !is_paused(c))
		run_later(c);
	check_finished(c);
	update_events(c);
}

/* ---- life ---- */

int connection_new(sd_event *event, int fd, struct rpc_user *user,
		   const struct connection_handler *handler, void *userdata,
		   struct connection **ret)
{
	_cleanup_(connection_unrefp) struct connection *c = NULL;
	int r;

	c = calloc(1, sizeof(*c));
	if (!c) {
		safe_close(fd);
		rpc_user_disconnect(user);
		rpc_user_unref(user);
		return -ENOMEM;
	}
	c->ref = 1;
	c->fd = fd;
	c->user = user;
	c->connected = true;
	c->handler = handler;
	c->userdata = userdata;
	line_buffer_init(&c->in, RPC_MESSAGE_MAX);

	r = sd_event_add_io(event, &c->io, fd, EPOLLIN, on_io, c);
	if (r < 0)
		return r;
	r = sd_event_add_defer(event, &c->later, on_later, c);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(c->later, SD_EVENT_OFF);
	if (r < 0)
		return r;
	(void)sd_event_source_set_description(c->io, "client");

	*ret = TAKE_PTR(c);
	return 0;
}

struct connection *connection_ref(struct connection *c)
{
	c->ref++;
	return c;
}

struct connection *connection_unref(struct connection *c)
{
	if (!c || --c->ref > 0)
		return NULL;

	connection_close(c);
	rpc_user_unref(c->user);
	caller_done(&c->caller);
	free(c);
	return NULL;
}

void connection_close(struct connection *c)
{
	c->state = CONNECTION_OVER;
	c->io = sd_event_source_disable_unref(c->io);
	c->later = sd_event_source_disable_unref(c->later);
	c->deadline = sd_event_source_disable_unref(c->deadline);
	c->fd = safe_close(c->fd);
	line_buffer_done(&c->in);
	rpc_user_release(c->user, c->in_charged + output_size(c));
	c->in_charged = 0;
	free(c->out);
	c->out = NULL;
	c->out_start = c->out_size = c->out_allocated = 0;
	if (c->connected) {
		c->connected = false;
		rpc_user_disconnect(c->user);
	}
}
