/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection itself: lines out, answers and events in, and what happens when the machine dies. */
#include "machine/machine-client.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "lib/io.h"

static void arm_defer(struct machine *m)
{
	(void)sd_event_source_set_enabled(m->defer, SD_EVENT_ONESHOT);
}

struct machine_call *machine_call_new(struct machine *m, void *userdata)
{
	struct machine_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	*call = (struct machine_call){ .m = m, .id = ++m->last_id, .userdata = userdata };
	return call;
}

static void call_free(struct machine_call *call)
{
	sd_event_source_disable_unref(call->deadline);
	free(call);
}

void machine_call_end(struct machine_call *call)
{
	for (struct machine_call **p = &call->m->calls; *p; p = &(*p)->next) {
		if (*p != call)
			continue;
		*p = call->next;
		break;
	}
	call_free(call);
}

/* At the end, so that refusals come in the order of the requests. */
static void add_call(struct machine *m, struct machine_call *call)
{
	struct machine_call **p = &m->calls;

	while (*p)
		p = &(*p)->next;
	*p = call;
}

void machine_refuse(struct machine *m, struct machine_call *call, int r)
{
	call->refuse = r;
	add_call(m, call);
	arm_defer(m);
}

/* Nothing is answered here: the caller may be in the middle of something. */
static void connection_lost(struct machine *m)
{
	if (m->lost)
		return;
	m->lost = true;
	m->tell_lost = true;
	m->source = sd_event_source_disable_unref(m->source);
	m->fd = safe_close(m->fd);
	arm_defer(m);
}

static int put_line(struct machine *m, const json_t *message)
{
	int r;

	r = sim_out_message(&m->out, message);
	if (r < 0)
		return r;
	if (sim_out_flush(&m->out, m->fd) < 0)
		connection_lost(m);
	else
		(void)sd_event_source_set_io_events(
			m->source, sim_out_empty(&m->out) ? EPOLLIN : EPOLLIN | EPOLLOUT);
	return 0;
}

int machine_send(struct machine *m, struct machine_call *call, const char *part, json_t *request)
{
	_cleanup_json_ json_t *message = json_object();
	int r = 0;

	if (m->lost) {
		json_decref(request);
		machine_refuse(m, call, -EPIPE);
		return 0;
	}
	if (json_put_uint(message, "id", call->id) < 0)
		r = -ENOMEM;
	if (json_put(message, part, request) < 0)
		r = -ENOMEM;
	if (r >= 0)
		r = put_line(m, message);
	if (r < 0)
		call_free(call);
	else
		add_call(m, call);
	return r;
}

int machine_call_deadline(struct machine_call *call, uint64_t usec, sd_event_time_handler_t fn)
{
	return sd_event_add_time_relative(call->m->event, &call->deadline, CLOCK_MONOTONIC, usec, 1000,
					  fn, call);
}

static void answer(struct machine_call *call, const json_t *reply)
{
	if (call->is_host)
		machine_host_answer(call, reply);
	else
		machine_hypervisor_answer(call, reply);
}

static void handle_message(struct machine *m, const json_t *message)
{
	const char *event = json_get_string(message, "event");
	uint64_t id = json_get_uint(message, "id", 0);

	if (event && streq(event, "host"))
		machine_host_event(m, message);
	else if (event)
		machine_hypervisor_event(m, message);
	for (struct machine_call *call = event ? NULL : m->calls; call; call = call->next) {
		if (call->id != id)
			continue;
		answer(call, json_object_get(message, "reply"));
		return;
	}
}

static int on_machine(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct machine *m = userdata;
	size_t size;
	char *line;
	ssize_t n;
	int r;

	if (revents & EPOLLOUT) {
		if (sim_out_flush(&m->out, fd) < 0)
			connection_lost(m);
		else if (sim_out_empty(&m->out))
			(void)sd_event_source_set_io_events(s, EPOLLIN);
	}
	if (m->lost || !(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return 0;
	n = line_buffer_read(&m->in, fd);
	if (n == -EAGAIN)
		return 0;
	if (n <= 0) {
		connection_lost(m);
		return 0;
	}
	while (!m->lost && (r = line_buffer_next(&m->in, &line, &size)) != 0) {
		_cleanup_json_ json_t *message = NULL;

		if (r < 0 || json_parse(line, size, &message, NULL) < 0)
			connection_lost(m);
		else
			handle_message(m, message);
	}
	return 0;
}

/* Answers what was refused, and, when the machine is gone, everything else.  What callbacks ask meanwhile waits
 * for the next turn of the loop, so that one who tries again at once cannot hold it. */
static int on_defer(sd_event_source *s, void *userdata)
{
	struct machine *m = userdata;
	uint64_t newest = m->last_id;
	bool more = false;

	for (struct machine_call *call = m->calls, *next; call; call = next) {
		next = call->next;
		if (!call->refuse && !m->lost)
			continue;
		if (call->id > newest) {
			more = true;
			continue;
		}
		answer(call, NULL);
		more = false;
		next = m->calls; /* the list has changed */
	}
	machine_hypervisor_deferred(m);
	if (more)
		arm_defer(m);
	return 0;
}

static int connect_socket(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int r;

	if (fd < 0)
		return -errno;
	r = sim_socket_address(path, &address);
	if (r < 0)
		return r;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	/* The machine runs jobs in our name: it must be ours. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid())
		return -EPERM;
	return TAKE_FD(fd);
}

static int machine_new(struct sd_event *event, int fd, bool allow_debugfs, struct machine **ret)
{
	_cleanup_(machine_freep) struct machine *m = calloc(1, sizeof(*m));
	_cleanup_json_ json_t *subscribe = NULL;
	int r;

	if (!m) {
		safe_close(fd);
		return -ENOMEM;
	}
	m->fd = fd;
	m->event = sd_event_ref(event);
	line_buffer_init(&m->in, SIM_LINE_MAX);
	machine_host_init(m);
	machine_hypervisor_init(m);
	r = sd_event_add_io(event, &m->source, fd, EPOLLIN, on_machine, m);
	if (r < 0)
		return r;
	(void)sd_event_source_set_description(m->source, "machine");
	r = sd_event_add_defer(event, &m->defer, on_defer, m);
	if (r < 0)
		return r;
	(void)sd_event_source_set_enabled(m->defer, SD_EVENT_OFF);
	/* id 0: its answer is of no interest; the machine sends events and first says how libvirt is. */
	subscribe = json_pack("{s:i, s:{s:s, s:b}}", "id", 0, "machine", "op", "subscribe", "allow_debugfs",
			      allow_debugfs);
	r = subscribe ? put_line(m, subscribe) : -ENOMEM;
	if (r < 0)
		return r;
	*ret = TAKE_PTR(m);
	return 0;
}

int machine_connect(struct sd_event *event, const char *program, const char *socket_path,
		    const char *document, bool allow_debugfs, struct machine **ret, char **ret_message)
{
	_cleanup_free_ char *message = NULL;
	int fd, r;

	fd = connect_socket(socket_path);
	if ((fd == -ENOENT || fd == -ECONNREFUSED) && document) {
		r = machine_spawn(program, socket_path, document, &message);
		if (r < 0) {
			if (ret_message)
				*ret_message = TAKE_PTR(message);
			return r;
		}
		fd = connect_socket(socket_path);
	}
	if (fd < 0) {
		if (ret_message)
			*ret_message = xasprintf("cannot reach the made-up machine at %s: %s", socket_path,
						 strerror(-fd));
		return fd;
	}
	return machine_new(event, fd, allow_debugfs, ret);
}

struct host *machine_host(struct machine *m)
{
	return &m->host;
}

struct hypervisor *machine_hypervisor(struct machine *m)
{
	return &m->hypervisor;
}

struct machine *machine_free(struct machine *m)
{
	if (!m)
		return NULL;
	while (m->calls) {
		struct machine_call *call = m->calls;

		m->calls = call->next;
		call_free(call);
	}
	sd_event_source_disable_unref(m->source);
	sd_event_source_disable_unref(m->defer);
	line_buffer_done(&m->in);
	sim_out_done(&m->out);
	safe_close(m->fd);
	sd_event_unref(m->event);
	free(m);
	return NULL;
}
