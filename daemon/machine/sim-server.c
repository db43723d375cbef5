/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections of the made-up machine.  It serves only the user that runs it, and ends when nobody
 * has been connected for the document's linger time. */
#include "machine/sim-server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include "lib/line-buffer.h"
#include "machine/sim-wire.h"

#define CLIENTS_MAX 64

struct client {
	struct sim_server *server;
	struct client *next;
	uint64_t serial;
	int fd;
	int pidfd; /* the process at the other end */
	bool subscribed;
	bool debugfs; /* the daemon's configuration allows it */
	bool broken; /* taken away when the loop comes back */
	sd_event_source *source;
	struct line_buffer in;
	struct sim_out out;
};

struct sim_server {
	sd_event *event;
	struct sim_machine *machine;
	char *path;
	int fd;
	sd_event_source *source;
	sd_event_source *linger;
	sd_event_source *sweep; /* runs when a client broke, or to end */
	struct client *clients;
	size_t n_clients;
	uint64_t last_serial;
};

/* Where an answer goes: the client may have gone meanwhile. */
struct pending {
	struct sim_server *server;
	uint64_t client;
	int64_t id;
};

static struct client *client_free(struct client *c)
{
	sd_event_source_disable_unref(c->source);
	line_buffer_done(&c->in);
	sim_out_done(&c->out);
	safe_close(c->fd);
	safe_close(c->pidfd);
	free(c);
	return NULL;
}

static void arm_linger(struct sim_server *s)
{
	uint64_t now;

	if (s->n_clients > 0) {
		(void)sd_event_source_set_enabled(s->linger, SD_EVENT_OFF);
		return;
	}
	(void)sd_event_now(s->event, CLOCK_MONOTONIC, &now);
	(void)sd_event_source_set_time(s->linger, now + sim_machine_linger(s->machine));
	(void)sd_event_source_set_enabled(s->linger, SD_EVENT_ONESHOT);
}

static void client_break(struct client *c)
{
	c->broken = true;
	(void)sd_event_source_set_enabled(c->source, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(c->server->sweep, SD_EVENT_ONESHOT);
}

static void client_send(struct client *c, const json_t *message)
{
	if (c->broken)
		return;
	if (sim_out_message(&c->out, message) < 0 || sim_out_flush(&c->out, c->fd) < 0)
		client_break(c);
	else
		(void)sd_event_source_set_io_events(
			c->source, sim_out_empty(&c->out) ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

static void on_event(void *userdata, const json_t *event)
{
	struct sim_server *s = userdata;

	for (struct client *c = s->clients; c; c = c->next)
		if (c->subscribed)
			client_send(c, event);
}

static void on_reply(void *userdata, json_t *reply)
{
	struct pending *p = userdata;
	struct sim_server *s = p->server;
	_cleanup_json_ json_t *message = json_object();

	(void)json_put(message, "id", json_integer(p->id));
	(void)json_put(message, "reply", reply ? reply : json_null());
	for (struct client *c = s->clients; c; c = c->next)
		if (c->serial == p->client)
			client_send(c, message);
	free(p);
	if (sim_machine_stopping(s->machine))
		(void)sd_event_source_set_enabled(s->sweep, SD_EVENT_ONESHOT);
}

/* A fault wants the daemon dead here: nothing more of what it sent is heard. */
static void on_kill(void *userdata)
{
	struct pending *p = userdata;

	for (struct client *c = p->server->clients; c; c = c->next) {
		if (c->serial != p->client)
			continue;
		(void)pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
		client_break(c);
	}
	free(p);
}

/* Which part the message is for: exactly one. */
static int part_of(const json_t *message, const json_t **ret_request)
{
	int found = -EINVAL;

	if (!json_is_integer(json_object_get(message, "id")) || json_object_size(message) != 2)
		return -EINVAL;
	for (int part = 0; part < SIM_PART_MAX; part++) {
		const json_t *request = json_object_get(message, sim_part_to_string(part));

		if (request) {
			*ret_request = request;
			found = part;
		}
	}
	return found;
}

static void send_greeting(void *userdata, const json_t *event)
{
	client_send(userdata, event);
}

static int handle_line(struct client *c, const char *line, size_t size)
{
	_cleanup_json_ json_t *message = NULL;
	const json_t *request = NULL;
	struct pending *p;
	int part;

	if (json_parse(line, size, &message, NULL) < 0)
		return -EBADMSG;
	part = part_of(message, &request);
	if (part < 0)
		return -EBADMSG;
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct pending){c->server, c->serial,
			      json_integer_value(json_object_get(message, "id"))};
	if (part == SIM_PART_MACHINE && streq_ptr(json_get_string(request, "op"), "subscribe")) {
		c->subscribed = true;
		c->debugfs = json_is_true(json_object_get(request, "allow_debugfs"));
		on_reply(p, json_pack("{s:b}", "ok", 1));
		sim_machine_greet(c->server->machine, send_greeting, c);
		return 0;
	}
	sim_machine_request(c->server->machine, part, request, c->debugfs, on_reply, p);
	return 0;
}

static int on_client(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct client *c = userdata;
	size_t size;
	char *line;
	ssize_t n;
	int r;

	if (revents & EPOLLOUT) {
		if (sim_out_flush(&c->out, fd) < 0) {
			client_break(c);
			return 0;
		}
		if (sim_out_empty(&c->out))
			(void)sd_event_source_set_io_events(source, EPOLLIN);
	}
	if (!(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return 0;
	n = line_buffer_read(&c->in, fd);
	if (n == -EAGAIN)
		return 0;
	if (n <= 0) {
		client_break(c);
		return 0;
	}
	while (!c->broken && (r = line_buffer_next(&c->in, &line, &size)) != 0)
		if (r < 0 || handle_line(c, line, size) < 0)
			client_break(c); /* past mending: it does not speak this protocol */
	return 0;
}

/* Only for whoever runs the machine: jobs run as that user.  Returns a descriptor of the process. */
static int open_peer(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int pidfd;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	if (peer.uid != geteuid() || peer.pid <= 0)
		return -EPERM;
	pidfd = pidfd_open(peer.pid, 0);
	return pidfd < 0 ? -errno : pidfd;
}

static int on_connect(sd_event_source *source, int listen_fd, uint32_t revents, void *userdata)
{
	struct sim_server *s = userdata;
	_cleanup_close_ int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	_cleanup_close_ int pidfd = fd < 0 ? -1 : open_peer(fd);
	struct client *c;

	if (pidfd < 0 || s->n_clients >= CLIENTS_MAX)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return 0;
	*c = (struct client){.server = s, .serial = ++s->last_serial, .fd = fd,
			     .pidfd = pidfd};
	line_buffer_init(&c->in, SIM_LINE_MAX);
	if (sd_event_add_io(s->event, &c->source, fd, EPOLLIN, on_client, c) < 0) {
		free(c);
		return 0;
	}
	fd = pidfd = -1;
	c->next = s->clients;
	s->clients = c;
	s->n_clients++;
	arm_linger(s);
	return 0;
}

static int on_sweep(sd_event_source *source, void *userdata)
{
	struct sim_server *s = userdata;

	for (struct client **p = &s->clients; *p;) {
		struct client *c = *p;

		if (!c->broken) {
			p = &c->next;
			continue;
		}
		*p = c->next;
		s->n_clients--;
		client_free(c);
	}
	arm_linger(s);
	return sim_machine_stopping(s->machine) ? sd_event_exit(s->event, 0) : 0;
}

static int on_linger_over(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct sim_server *s = userdata;

	return sd_event_exit(s->event, 0);
}

/* A socket file that nobody listens on is left over from a machine that was killed: the caller
 * holds the state directory's lock. */
static int listen_on(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	mode_t old;
	int r;

	if (fd < 0)
		return -errno;
	r = sim_socket_address(path, &address);
	if (r < 0)
		return r;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return -EADDRINUSE;
	if (errno == ECONNREFUSED && unlink(path) < 0)
		return -errno;
	safe_close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	old = umask(0177); /* nobody can connect between bind and chmod */
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(old);
	if (r >= 0 && listen(fd, 16) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

static int add_sources(struct sim_server *s)
{
	int r;

	r = sd_event_add_io(s->event, &s->source, s->fd, EPOLLIN, on_connect, s);
	if (r < 0)
		return r;
	r = sd_event_add_time(s->event, &s->linger, CLOCK_MONOTONIC, UINT64_MAX, 0, on_linger_over,
			      s);
	if (r < 0)
		return r;
	r = sd_event_add_defer(s->event, &s->sweep, on_sweep, s);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(s->sweep, SD_EVENT_OFF);
	if (r >= 0)
		arm_linger(s);
	return r;
}

int sim_server_new(struct sd_event *event, const char *path, const char *guests_dir,
		   struct sim_document *document, struct sim_server **ret)
{
	_cleanup_(sim_server_freep) struct sim_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		sim_document_free(document);
		return -ENOMEM;
	}
	s->event = sd_event_ref(event);
	s->fd = -1;
	r = sim_machine_new(event, document, guests_dir, on_event, on_kill, s, &s->machine);
	if (r < 0)
		return r;
	s->fd = listen_on(path);
	if (s->fd < 0)
		return s->fd;
	s->path = strdup(path);
	r = s->path ? add_sources(s) : -ENOMEM;
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

struct sim_server *sim_server_free(struct sim_server *s)
{
	if (!s)
		return NULL;
	if (s->path)
		(void)unlink(s->path);
	sd_event_source_disable_unref(s->source);
	sd_event_source_disable_unref(s->linger);
	safe_close(s->fd);
	sim_machine_free(s->machine);
	sd_event_source_disable_unref(s->sweep);
	for (struct client *c = s->clients, *next; c; c = next) {
		next = c->next;
		client_free(c);
	}
	sd_event_unref(s->event);
	free(s->path);
	free(s);
	return NULL;
}
