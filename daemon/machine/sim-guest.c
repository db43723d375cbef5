/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both ends of a guest: the child's loop, and the machine's side of the socket pair between them.
 * JSON lines:
 * {"id", "command", "no_exec"} there, {"id", "return" | "error"} back. */
#include "machine/sim-guest.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#include "lib/io.h"
#include "lib/line-buffer.h"
#include "machine/sim-agent.h"
#include "machine/sim-process.h"
#include "machine/sim-wire.h"

#define GUEST_PIPES_MAX 512

/* ---- in the guest's process -------------------------------------------------------------------
 */

static void on_child(int signal)
{
	/* only to wake up ppoll() */
}

static int answer(struct sim_agent *agent, int fd, const char *line, size_t size)
{
	_cleanup_free_ char *error = NULL, *text = NULL;
	_cleanup_json_ json_t *message = NULL, *reply = json_object();
	json_t *result;
	int r;

	if (json_parse(line, size, &message, NULL) < 0)
		return -EBADMSG;
	result = sim_agent_command(agent, json_object_get(message, "command"),
				   json_get_bool(message, "no_exec", false), &error);
	(void)json_put_uint(reply, "id", json_get_uint(message, "id", 0));
	if (result)
		(void)json_put(reply, "return", result);
	else
		(void)json_put_string(reply, "error", error ? error : "Out of memory");
	text = json_text(reply);
	if (!text)
		return -ENOMEM;
	r = write_all(fd, text, strlen(text));
	return r < 0 ? r : write_all(fd, "\n", 1);
}

/* Returns when the machine has closed its end. */
static void guest_loop(struct sim_agent *agent, int fd, const sigset_t *awake)
{
	struct pollfd fds[GUEST_PIPES_MAX + 1];
	struct line_buffer buffer;

	line_buffer_init(&buffer, SIM_LINE_MAX);
	for (;;) {
		size_t n = 1 + sim_agent_poll(agent, fds + 1, GUEST_PIPES_MAX), size;
		char *line;

		fds[0] = (struct pollfd){.fd = fd, .events = POLLIN};
		if (ppoll(fds, n, NULL, awake) < 0 && errno != EINTR)
			break;
		sim_agent_pump(agent);
		if (!(fds[0].revents & (POLLIN | POLLHUP | POLLERR)))
			continue;
		if (line_buffer_read(&buffer, fd) <= 0)
			break;
		while (line_buffer_next(&buffer, &line, &size) == 1)
			if (answer(agent, fd, line, size) < 0)
				goto out;
	}
out:
	line_buffer_done(&buffer);
}

static _Noreturn void guest_main(const char *root, int fd)
{
	struct sigaction action = {.sa_handler = on_child};
	struct sim_agent *agent = NULL;
	sigset_t blocked, awake; /* SIGCHLD comes in ppoll() only */

	sigemptyset(&awake);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	(void)dup2(fd, 3);
	(void)close_range(4, ~0U, 0);
	(void)fcntl(3, F_SETFD, FD_CLOEXEC);
	(void)prctl(PR_SET_NAME, "gpuvf-guest");
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void)setsid();
	(void)signal(SIGTERM, SIG_IGN); /* the machine decides when it ends: by closing its end */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigprocmask(SIG_SETMASK, &blocked, NULL);
	(void)sigaction(SIGCHLD, &action, NULL);
	if (sim_agent_new(root, &agent) >= 0)
		guest_loop(agent, 3, &awake);
	sim_process_kill_descendants();
	_exit(0);
}

/* ---- in the machine ---------------------------------------------------------------------------
 */

struct guest_call {
	uint64_t id;
	sim_guest_fn fn;
	void *userdata;
};

struct sim_guest {
	int fd;
	pid_t pid;
	uint64_t last_id;
	sd_event_source *source;
	struct line_buffer in;
	struct sim_out out;
	struct guest_call *calls;
	size_t n_calls;
};

static void guest_reply(struct sim_guest *g, const json_t *message)
{
	uint64_t id = json_get_uint(message, "id", 0);

	for (size_t i = 0; i < g->n_calls; i++) {
		struct guest_call call = g->calls[i];

		if (call.id != id)
			continue;
		g->calls[i] = g->calls[--g->n_calls];
		call.fn(call.userdata, json_incref(json_object_get(message, "return")),
			json_get_string(message, "error"));
		return;
	}
}

static void guest_lost(struct sim_guest *g)
{
	g->source = sd_event_source_unref(g->source);
	while (g->n_calls > 0) {
		struct guest_call call = g->calls[--g->n_calls];

		call.fn(call.userdata, NULL, NULL);
	}
}

static int on_guest(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct sim_guest *g = userdata;
	size_t size;
	char *line;
	ssize_t n;

	if (revents & EPOLLOUT && sim_out_flush(&g->out, fd) >= 0 && sim_out_empty(&g->out))
		(void)sd_event_source_set_io_events(s, EPOLLIN);
	if (!(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return 0;
	n = line_buffer_read(&g->in, fd);
	if (n == -EAGAIN)
		return 0;
	if (n <= 0) {
		guest_lost(g);
		return 0;
	}
	while (g->source && line_buffer_next(&g->in, &line, &size) == 1) {
		_cleanup_json_ json_t *message = NULL;

		if (json_parse(line, size, &message, NULL) == 0)
			guest_reply(g, message);
	}
	return 0;
}

int sim_guest_new(struct sd_event *event, const char *root, struct sim_guest **ret)
{
	struct sim_guest *g = calloc(1, sizeof(*g));
	int fds[2], r;

	if (!g)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
		free(g);
		return -errno;
	}
	line_buffer_init(&g->in, SIM_LINE_MAX);
	g->fd = fds[0];
	(void)fcntl(g->fd, F_SETFL, O_NONBLOCK);
	g->pid = fork();
	if (g->pid == 0)
		guest_main(root, fds[1]);
	r = g->pid < 0 ? -errno : 0;
	close(fds[1]);
	if (r >= 0)
		r = sd_event_add_io(event, &g->source, g->fd, EPOLLIN, on_guest, g);
	if (r < 0) {
		sim_guest_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

struct sim_guest *sim_guest_free(struct sim_guest *g)
{
	if (!g)
		return NULL;
	guest_lost(g);
	g->fd = safe_close(g->fd);
	if (g->pid > 0)
		while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
			;
	line_buffer_done(&g->in);
	sim_out_done(&g->out);
	free(g->calls);
	free(g);
	return NULL;
}

int sim_guest_command(struct sim_guest *g, const json_t *command, bool no_exec, sim_guest_fn fn,
		      void *userdata)
{
	_cleanup_json_ json_t *message =
		json_pack("{s:I, s:O, s:b}", "id", (json_int_t)++g->last_id, "command", command,
			  "no_exec", no_exec);
	struct guest_call *calls;
	int r;

	if (!g->source)
		return -EPIPE;
	calls = realloc(g->calls, (g->n_calls + 1) * sizeof(*calls));
	if (!calls || !message)
		return -ENOMEM;
	g->calls = calls;
	r = sim_out_message(&g->out, message);
	if (r < 0)
		return r;
	g->calls[g->n_calls++] = (struct guest_call){g->last_id, fn, userdata};
	r = sim_out_flush(&g->out, g->fd);
	if (r >= 0 && !sim_out_empty(&g->out))
		(void)sd_event_source_set_io_events(g->source, EPOLLIN | EPOLLOUT);
	return 0;
}

void sim_guest_forget(struct sim_guest *g, void *userdata)
{
	for (size_t i = 0; i < g->n_calls; i++)
		if (g->calls[i].userdata == userdata)
			g->calls[i--] = g->calls[--g->n_calls];
}

int sim_guest_pid(const struct sim_guest *g)
{
	return (int)g->pid;
}
