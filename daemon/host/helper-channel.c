/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A helper process on the daemon's side: started when the first request comes, watched by
 * deadline and pidfd, started again after an unexpected end, but not in a busy loop. */
#include "host/helper-channel.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <systemd/sd-event.h>

#include "host/helper-spawn.h"
#include "lib/clock.h"
#include "lib/line-buffer.h"
#include "lib/units.h"
#include "log/log.h"

/* 64 GPUs with 63 VFs each are about 1 MiB of facts. */
#define REPLY_MAX ((size_t)16 << 20)
/* That many unexpected ends in that time, and requests are refused until it has passed. */
#define DEATHS_MAX 5
#define DEATHS_WINDOW_USEC (10 * USEC_PER_SEC)
/* A busy host takes its time to start a process.  That is not the kernel's silence at a GPU, and the deadline of a
 * request begins when its helper is there. */
#define START_USEC (30 * USEC_PER_SEC)
#define END_TIMEOUT_MSEC 2000 /* an idle helper ends at once when its socket closes */
#define TIMER_ACCURACY_USEC (10 * USEC_PER_MSEC)

struct job {
	struct host_request request;
	host_reply_fn fn;
	void *userdata;
	struct job *next;
};

struct helper_channel {
	const struct helper_channel_setup *setup;
	bool scans;
	struct pci_address gpu;
	char name[PCI_ADDRESS_STRLEN];

	pid_t pid; /* 0 = no process */
	bool up;   /* it has said its first word */
	int fd;
	int pidfd;
	struct line_buffer in;
	uint64_t deaths_begin;
	unsigned deaths;

	struct job *current; /* sent, not yet answered */
	struct job *head, *tail;
	char *stuck_at;	  /* our process passed a deadline here and has not come back */
	char *blocked_at; /* somebody else's process hangs here */
	unsigned blocked;

	sd_event_source *io;
	sd_event_source *end;
	sd_event_source *deadline;
	sd_event_source *warning;
	sd_event_source *pump;
};

static struct job *job_free(struct job *job)
{
	free(job);
	return NULL;
}
DEFINE_CLEANUP(struct job *, job_free);

const struct pci_address *helper_channel_gpu(const struct helper_channel *c)
{
	return &c->gpu;
}

const char *helper_channel_stuck(const struct helper_channel *c)
{
	return c->stuck_at ? c->stuck_at : c->blocked_at;
}

static void wake(struct helper_channel *c)
{
	(void)sd_event_source_set_enabled(c->pump, SD_EVENT_ONESHOT);
}

static void answer(struct job *job, const struct host_reply *reply)
{
	job->fn(job->userdata, reply);
	job_free(job);
}

static void answer_error(struct job *job, int error, const char *attribute, const char *message)
{
	struct host_reply reply = {
		.r = error,
		.attribute = (char *)attribute, /* borrowed by the callback */
		.message = (char *)message,
	};

	answer(job, &reply);
}

static void stop_timers(struct helper_channel *c)
{
	c->deadline = sd_event_source_disable_unref(c->deadline);
	c->warning = sd_event_source_disable_unref(c->warning);
}

/* Our own process came back or ended. */
static void clear_stuck(struct helper_channel *c)
{
	if (!c->stuck_at)
		return;

	free(c->stuck_at);
	c->stuck_at = NULL;
	log_gpu(c->name, LOG_NOTICE, 0, "the kernel answers again");
	if (!c->blocked_at)
		c->setup->on_stuck(c->setup->userdata, c, NULL);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata);
static int on_warning(sd_event_source *source, uint64_t usec, void *userdata);

/* The clock of the current request, or of the start that it waits for. */
static int start_timers(struct helper_channel *c, uint64_t usec)
{
	sd_event *event = c->setup->event;
	int r;

	r = sd_event_add_time_relative(event, &c->deadline, CLOCK_MONOTONIC, usec, TIMER_ACCURACY_USEC,
				       on_deadline, c);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &c->warning, CLOCK_MONOTONIC, usec / 2,
					       TIMER_ACCURACY_USEC, on_warning, c);
	if (r < 0)
		stop_timers(c);
	return r;
}

static uint64_t job_deadline(const struct job *job)
{
	return job->request.deadline_usec ? job->request.deadline_usec : host_op_deadline(job->request.op);
}

static void came_up(struct helper_channel *c)
{
	c->up = true;
	if (!c->current) { /* given up meanwhile */
		clear_stuck(c);
		wake(c);
		return;
	}
	stop_timers(c);
	if (start_timers(c, job_deadline(c->current)) < 0)
		log_gpu(c->name, LOG_WARNING, 0, "a request has no deadline: out of memory");
}

static void handle_line(struct helper_channel *c, const char *line, size_t size)
{
	_cleanup_(host_reply_done) struct host_reply reply = { 0 };
	_cleanup_json_ json_t *json = NULL;
	struct job *job = c->current;
	int r;

	if (!c->up) {
		came_up(c);
		return;
	}
	if (!job) { /* the late answer to a request that was given up */
		clear_stuck(c);
		wake(c);
		return;
	}

	r = json_parse(line, size, &json, NULL);
	if (r == 0)
		r = host_reply_from_json(json, &reply);
	c->current = NULL;
	stop_timers(c);
	wake(c);
	if (r < 0)
		answer_error(job, -EPROTO, NULL, "the helper's answer cannot be understood");
	else
		answer(job, &reply);
}

/* Takes in what is there.  Returns false at the end of the stream. */
static bool drain(struct helper_channel *c)
{
	char *line;
	size_t size;
	ssize_t n;
	int r;

	for (;;) {
		n = line_buffer_read(&c->in, c->fd);
		if (n == -EINTR)
			continue;
		if (n == -EAGAIN)
			return true;
		if (n <= 0)
			return false;
		while ((r = line_buffer_next(&c->in, &line, &size)) > 0)
			handle_line(c, line, size);
		if (r < 0)
			return false;
	}
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct helper_channel *c = userdata;

	/* The rest is done when the process has really ended. */
	if (!drain(c))
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

static void forget_process(struct helper_channel *c)
{
	c->io = sd_event_source_disable_unref(c->io);
	c->end = sd_event_source_disable_unref(c->end);
	stop_timers(c);
	c->fd = safe_close(c->fd);
	c->pidfd = safe_close(c->pidfd);
	line_buffer_done(&c->in);
	c->pid = 0;
	c->up = false;
}

static void count_death(struct helper_channel *c)
{
	uint64_t now = now_boottime();

	if (now - c->deaths_begin > DEATHS_WINDOW_USEC) {
		c->deaths_begin = now;
		c->deaths = 0;
	}
	c->deaths++;
}

static int on_end(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct helper_channel *c = userdata;
	_cleanup_free_ char *message = NULL;
	siginfo_t info = { 0 };
	struct job *job;

	if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
		return 0; /* not yet */

	(void)drain(c); /* its last words may answer the request */
	message = xasprintf("the helper process ended (%s %d)",
			    info.si_code == CLD_EXITED ? "exit code" : "signal", info.si_status);
	forget_process(c);
	count_death(c);
	log_gpu(c->name, LOG_WARNING, 0, "%s", message ? message : "the helper process ended");

	job = TAKE_PTR(c->current);
	clear_stuck(c);
	wake(c);
	if (job)
		answer_error(job, -EPIPE, NULL, message);
	return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct helper_channel *c = userdata;
	_cleanup_free_ char *attribute = helper_attribute(c->pid);
	_cleanup_free_ char *message = NULL;
	struct job *job = TAKE_PTR(c->current);

	stop_timers(c);
	if (!c->up) /* it has touched nothing yet */
		(void)kill(c->pid, SIGKILL);
	c->stuck_at = strdup(attribute ? attribute : "helper");
	message = xasprintf("the kernel did not answer in time at %s", strempty(c->stuck_at));
	log_gpu(c->name, LOG_ERR, -ETIMEDOUT, "%s does not return from %s",
		host_op_to_string(job->request.op), strempty(c->stuck_at));
	c->setup->on_stuck(c->setup->userdata, c, strempty(c->stuck_at));
	wake(c);
	answer_error(job, -ETIMEDOUT, attribute, message);
	return 0;
}

static int on_warning(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct helper_channel *c = userdata;
	_cleanup_free_ char *attribute = helper_attribute(c->pid);

	log_gpu(c->name, LOG_WARNING, 0, "%s takes long at %s",
		host_op_to_string(c->current->request.op), strempty(attribute));
	return 0;
}

static int start_process(struct helper_channel *c)
{
	sd_event *event = c->setup->event;
	int r;

	if (c->deaths >= DEATHS_MAX && now_boottime() - c->deaths_begin <= DEATHS_WINDOW_USEC)
		return -EPIPE;

	r = helper_spawn(c->setup->program, c->scans ? HELPER_SCAN_NAME : c->name,
			 c->setup->sysfs_root, c->setup->allow_debugfs, &c->fd, &c->pid, &c->pidfd);
	if (r < 0)
		return r;
	line_buffer_init(&c->in, REPLY_MAX);
	r = sd_event_add_io(event, &c->io, c->fd, EPOLLIN, on_io, c);
	if (r >= 0)
		r = sd_event_add_io(event, &c->end, c->pidfd, EPOLLIN, on_end, c);
	if (r < 0) {
		forget_process(c); /* it ends by itself */
		return r;
	}
	return 0;
}

static int send_request(struct helper_channel *c, const struct host_request *request)
{
	_cleanup_json_ json_t *json = host_request_to_json(request);
	_cleanup_free_ char *text = json ? json_text(json) : NULL;
	_cleanup_free_ char *line = text ? xasprintf("%s\n", text) : NULL;
	ssize_t n;

	if (!line)
		return -ENOMEM;

	/* One short request at a time: the socket's buffer is empty and takes it whole. */
	n = send(c->fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return -errno;

	return (size_t)n == strlen(line) ? 0 : -EIO;
}

static int start_job(struct helper_channel *c, struct job *job)
{
	int r;

	if (c->pid == 0) {
		r = start_process(c);
		if (r < 0)
			return r;
	}

	r = start_timers(c, c->up ? job_deadline(job) : START_USEC);
	if (r >= 0)
		r = send_request(c, &job->request);
	if (r == -EPIPE || r == -ECONNRESET)
		r = 0; /* it is about to end: on_end() answers */
	if (r < 0) {
		stop_timers(c);
		return r;
	}

	c->current = job;
	return 0;
}

/* Everything that is queued goes out from here, so that no callback runs inside somebody's
 * request. */
static int on_pump(sd_event_source *source, void *userdata)
{
	struct helper_channel *c = userdata;
	struct job *job;
	int r;

	while (c->head && !c->current) {
		job = c->head;
		c->head = job->next;
		if (!c->head)
			c->tail = NULL;

		if (helper_channel_stuck(c)) {
			answer_error(job, -EBUSY, helper_channel_stuck(c),
				     "an earlier access to this GPU has not returned");
			continue;
		}
		r = start_job(c, job);
		if (r < 0)
			answer_error(job, r == -ENOMEM ? r : -EPIPE, NULL,
				     "no helper process can be started for this GPU");
	}
	return 0;
}

int helper_channel_request(struct helper_channel *c, const struct host_request *request,
			   host_reply_fn fn, void *userdata)
{
	_cleanup_(job_freep) struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	job->request = *request;
	job->fn = fn;
	job->userdata = userdata;
	if (c->tail)
		c->tail->next = job;
	else
		c->head = job;
	c->tail = TAKE_PTR(job);
	wake(c);
	return 0;
}

int helper_channel_block(struct helper_channel *c, const char *attribute)
{
	int r;

	r = free_and_strdup(&c->blocked_at, attribute);
	if (r < 0)
		return r;

	c->blocked++;
	return 0;
}

void helper_channel_unblock(struct helper_channel *c)
{
	if (c->blocked == 0 || --c->blocked > 0)
		return;

	free(c->blocked_at);
	c->blocked_at = NULL;
	if (!c->stuck_at)
		c->setup->on_stuck(c->setup->userdata, c, NULL);
	wake(c);
}

int helper_channel_new(const struct helper_channel_setup *setup, const struct pci_address *gpu,
		       struct helper_channel **ret)
{
	_cleanup_(helper_channel_freep) struct helper_channel *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->setup = setup;
	c->fd = c->pidfd = -1;
	c->scans = !gpu;
	if (gpu) {
		c->gpu = *gpu;
		pci_address_format(gpu, c->name);
	} else {
		snprintf(c->name, sizeof(c->name), HELPER_SCAN_NAME);
	}

	r = sd_event_add_defer(setup->event, &c->pump, on_pump, c);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(c->pump, SD_EVENT_OFF);
	if (r < 0)
		return r;

	*ret = TAKE_PTR(c);
	return 0;
}

/* An idle helper is waited for, so that a test or a valgrind run sees no zombie; a busy one is
 * not. */
static void end_process(struct helper_channel *c)
{
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };
	bool idle = !c->current && !c->stuck_at;

	if (c->pid == 0)
		return;

	c->fd = safe_close(c->fd);
	if (idle && poll(&p, 1, END_TIMEOUT_MSEC) > 0)
		(void)waitid(P_PID, (id_t)c->pid, NULL, WEXITED | WNOHANG);
	forget_process(c);
}

struct helper_channel *helper_channel_free(struct helper_channel *c)
{
	if (!c)
		return NULL;

	c->io = sd_event_source_disable_unref(c->io);
	end_process(c);
	c->pump = sd_event_source_disable_unref(c->pump);
	job_free(c->current);
	while (c->head) {
		struct job *next = c->head->next;

		job_free(c->head);
		c->head = next;
	}
	free(c->stuck_at);
	free(c->blocked_at);
	free(c);
	return NULL;
}
