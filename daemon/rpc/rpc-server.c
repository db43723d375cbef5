/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accepts clients, within the limits, and takes down the connections that are over. */
#include "rpc/rpc-server.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "log/log.h"
#include "rpc/event-stream.h"
#include "rpc/peer.h"

/* Clients that come in a burst are taken in turns with everything else. */
#define ACCEPT_AT_ONCE 16
/* Without a free descriptor the loop would spin on the listening socket. */
#define ACCEPT_RETRY_USEC (100 * USEC_PER_MSEC)

struct client {
	struct rpc_server *server;
	struct client *next, **previous; /* in the server's list */
	struct rpc_session session;
	struct connection *connection; /* a reference */
};

struct rpc_server {
	sd_event *event;
	struct manager *manager;
	struct dispatch *dispatch;
	struct rpc_quota *quota;
	int listen_fd;
	sd_event_source *accept, *retry;
	struct client *clients;
	size_t n_clients;
};

size_t rpc_server_connections(const struct rpc_server *s)
{
	return s->n_clients;
}

static void client_free(struct client *client)
{
	struct rpc_server *s = client->server;

	*client->previous = client->next;
	if (client->next)
		client->next->previous = client->previous;
	s->n_clients--;
	event_stream_free(client->session.events);
	connection_close(client->connection);
	connection_unref(client->connection);
	free(client);
}

static void on_line(struct connection *c, char *line, size_t size)
{
	struct client *client = connection_userdata(c);

	dispatch_line(&client->session, line, size);
}

static void on_drained(struct connection *c)
{
	struct client *client = connection_userdata(c);

	event_stream_resume(client->session.events);
}

static void on_end(struct connection *c)
{
	client_free(connection_userdata(c));
}

static const struct connection_handler handler = {
	.on_line = on_line,
	.on_drained = on_drained,
	.on_end = on_end,
};

/* One line that says why, if the socket takes it: a refused client gets no more than that. */
static void send_refusal(int fd, const struct rpc_error *error)
{
	_cleanup_json_ json_t *response = rpc_response_error(NULL, error);
	_cleanup_free_ char *text = response ? json_text(response) : NULL;
	_cleanup_free_ char *line = text ? xasprintf("%s\n", text) : NULL;
	ssize_t n;

	if (!line)
		return;
	n = send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)n; /* it went away first */
}

static void client_link(struct rpc_server *s, struct client *client)
{
	client->server = s;
	client->next = s->clients;
	if (client->next)
		client->next->previous = &client->next;
	s->clients = client;
	client->previous = &s->clients;
	s->n_clients++;
}

/* Takes fd and user. */
static int client_new(struct rpc_server *s, int fd, struct rpc_user *user,
		      const struct caller *caller)
{
	struct client *client = calloc(1, sizeof(*client));
	int r;

	if (!client) {
		safe_close(fd);
		rpc_user_disconnect(user);
		rpc_user_unref(user);
		return -ENOMEM;
	}
	r = connection_new(s->event, fd, user, &handler, client, &client->connection);
	if (r < 0) {
		free(client);
		return r;
	}
	*connection_caller(client->connection) = *caller;
	client->session = (struct rpc_session){
		.dispatch = s->dispatch,
		.manager = s->manager,
		.connection = client->connection,
	};
	client_link(s, client);
	return 0;
}

int rpc_server_add(struct rpc_server *s, int fd)
{
	_cleanup_close_ int owned = fd;
	struct rpc_error error = { 0 };
	struct caller caller = { 0 };
	struct rpc_user *user;
	int r;

	r = peer_read(fd, &caller);
	if (r < 0)
		return r;
	user = rpc_quota_connect(s->quota, caller.uid, &error);
	if (!user) {
		log_ratelimited(LOG_WARNING, 0, NULL, NULL, "client of uid %u refused: %s",
				caller.uid, strempty(error.message));
		send_refusal(fd, &error);
		rpc_error_done(&error);
		caller_done(&caller);
		return -EUSERS;
	}
	r = client_new(s, TAKE_FD(owned), user, &caller);
	if (r < 0)
		caller_done(&caller);
	return r;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct rpc_server *s = userdata;

	return sd_event_source_set_enabled(s->accept, SD_EVENT_ON);
}

/* No descriptor or memory is left: the client waits in the backlog until some is. */
static void pause_accept(struct rpc_server *s, int r)
{
	log_ratelimited(LOG_ERR, r, NULL, NULL, "cannot accept clients");
	s->retry = sd_event_source_disable_unref(s->retry);
	r = sd_event_add_time_relative(s->event, &s->retry, CLOCK_BOOTTIME, ACCEPT_RETRY_USEC, 0,
				       on_retry, s);
	if (r >= 0)
		(void)sd_event_source_set_enabled(s->accept, SD_EVENT_OFF);
}

static int on_accept(sd_event_source *source, int listen_fd, uint32_t revents, void *userdata)
{
	struct rpc_server *s = userdata;
	int fd, i, r;

	for (i = 0; i < ACCEPT_AT_ONCE; i++) {
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 && errno == EAGAIN)
			break;
		if (fd < 0) {
			pause_accept(s, -errno);
			break;
		}
		r = rpc_server_add(s, fd);
		if (r < 0 && r != -EUSERS)
			log_ratelimited(LOG_WARNING, r, NULL, NULL, "a client was dropped");
	}
	return 0;
}

static int listen_start(struct rpc_server *s)
{
	int flags = fcntl(s->listen_fd, F_GETFL), r;

	/* systemd's socket may block. */
	if (flags < 0 || fcntl(s->listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	r = sd_event_add_io(s->event, &s->accept, s->listen_fd, EPOLLIN, on_accept, s);
	if (r < 0)
		return r;
	(void)sd_event_source_set_description(s->accept, "socket");
	return sd_event_source_set_exit_on_failure(s->accept, true);
}

int rpc_server_new(const struct rpc_server_options *options, struct rpc_server **ret)
{
	_cleanup_(rpc_server_freep) struct rpc_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		safe_close(options->listen_fd);
		return -ENOMEM;
	}
	s->listen_fd = options->listen_fd;
	s->event = sd_event_ref(options->event);
	s->manager = options->manager;
	s->quota = rpc_quota_new(&options->limits);
	if (!s->quota)
		return -ENOMEM;
	r = dispatch_new(options->manager, options->methods, &s->dispatch);
	if (r < 0)
		return r;
	if (s->listen_fd >= 0) {
		r = listen_start(s);
		if (r < 0)
			return r;
	}

	*ret = TAKE_PTR(s);
	return 0;
}

struct rpc_server *rpc_server_free(struct rpc_server *s)
{
	if (!s)
		return NULL;

	while (s->clients)
		client_free(s->clients);
	sd_event_source_disable_unref(s->retry);
	sd_event_source_disable_unref(s->accept);
	safe_close(s->listen_fd);
	dispatch_free(s->dispatch);
	rpc_quota_unref(s->quota);
	sd_event_unref(s->event);
	free(s);
	return NULL;
}
