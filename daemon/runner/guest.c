/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One struct guest runs one thing at a time; a thing is a chain of agent commands, each with its
 * own answer function. */
#include "lib/clock.h"
#include "lib/escape.h"
#include "lib/units.h"
#include "runner/guest-answer.h"
#include "runner/guest-internal.h"

/* Between looks at a short program: most end at once. */
#define EXEC_PAUSE_MIN (20 * USEC_PER_MSEC)
#define EXEC_PAUSE_MAX USEC_PER_SEC

/* An agent command on its way.  Outlives its guest. */
struct flight {
	struct flight *next, **link;
	struct guest *guest; /* NULL = nobody waits any more */
	struct hypervisor *hypervisor;
	char *uuid;
	unsigned status_left; /* of a forgotten program: how often its end is still asked for */
};

/* All of them: a hypervisor that is freed first never answers, and then they stay reachable here.
 */
static struct flight *flights;

/* ---- Commands ------------------------------------------------------------------------------ */

static struct flight *flight_new(struct guest *g)
{
	struct flight *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->uuid = strdup(g->uuid);
	if (!f->uuid) {
		free(f);
		return NULL;
	}
	f->hypervisor = g->hypervisor;
	f->next = flights;
	f->link = &flights;
	if (f->next)
		f->next->link = &f->next;
	flights = f;
	return f;
}

static void flight_free(struct flight *f)
{
	*f->link = f->next;
	if (f->next)
		f->next->link = f->link;
	free(f->uuid);
	free(f);
}

static json_t *command_new(const char *execute, json_t *arguments)
{
	_cleanup_json_ json_t *command = json_object();

	if (json_put_string(command, "execute", execute) < 0 ||
	    (arguments && json_put(command, "arguments", json_incref(arguments)) < 0)) {
		json_decref(arguments);
		return NULL;
	}
	json_decref(arguments);
	return TAKE_PTR(command);
}

/* Takes command. */
static int send_command(struct flight *f, json_t *command, hv_reply_fn fn)
{
	_cleanup_json_ json_t *owned = command;
	const struct hv_request request = { .op = HV_AGENT, .uuid = f->uuid, .command = owned };

	if (!owned)
		return -ENOMEM;
	return f->hypervisor->ops->request(f->hypervisor, &request, fn, f);
}

/* ---- Ending -------------------------------------------------------------------------------- */

void guest_end(struct guest *g, const struct guest_answer *a)
{
	guest_fn fn = TAKE_PTR(g->fn);

	g->fd = safe_close(g->fd);
	g->step = NULL;
	/* last: fn may begin the next thing, or free the guest */
	fn(g->userdata, a);
}

void guest_end_failed(struct guest *g, enum hv_failure failure, const char *message)
{
	_cleanup_free_ char *escaped = NULL;
	struct guest_answer a = { .failure = failure, .exit_code = -1 };

	if (!message)
		message = hv_failure_to_string(failure);
	escaped = escape_terminal(message, strlen(message), false);
	a.message = escaped ? escaped : "out of memory";
	guest_end(g, &a);
}

void guest_end_garbage(struct guest *g, const char *what)
{
	_cleanup_free_ char *message =
		xasprintf("the guest agent's answer to %s makes no sense", what);

	guest_end_failed(g, HV_AGENT_GARBAGE, message);
}

void guest_end_done(struct guest *g)
{
	const struct guest_answer a = { .failure = HV_OK };

	guest_end(g, &a);
}

static int on_finish_later(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct guest *g = userdata;

	g->timer = sd_event_source_disable_unref(g->timer);
	guest_end_failed(g, g->early, "the request could not be made");
	return 0;
}

static int set_timer(struct guest *g, uint64_t pause, sd_event_time_handler_t fn)
{
	g->timer = sd_event_source_disable_unref(g->timer);
	/* 0 would be sd-event's default accuracy, a quarter of a second */
	return sd_event_add_time_relative(g->event, &g->timer, CLOCK_MONOTONIC, pause,
					  USEC_PER_MSEC, fn, g);
}

static void finish_later(struct guest *g, enum hv_failure failure)
{
	g->early = failure;
	if (set_timer(g, 0, on_finish_later) < 0)
		guest_end_failed(g, failure, "out of memory"); /* early is better than never */
}

static void on_reply(void *userdata, const struct hv_reply *reply)
{
	struct flight *f = userdata;
	struct guest *g = f->guest;

	flight_free(f);
	if (!g)
		return;
	g->flight = NULL;
	if (reply->failure == HV_OK) {
		g->step(g, reply);
		return;
	}
	if (g->handle_open)
		guest_close(g, g->handle);
	guest_end_failed(g, reply->failure, reply->message);
}

/* Takes arguments. */
void guest_command(struct guest *g, const char *execute, json_t *arguments, guest_step_fn step)
{
	json_t *json = command_new(execute, arguments);
	int r;

	g->step = step;
	g->flight = flight_new(g);
	if (!g->flight) {
		json_decref(json);
		finish_later(g, HV_FAILED);
		return;
	}
	g->flight->guest = g;
	r = send_command(g->flight, json, on_reply);
	if (r < 0) {
		flight_free(g->flight);
		g->flight = NULL;
		finish_later(g, HV_FAILED);
	}
}

void guest_begin(struct guest *g, guest_fn fn, void *userdata)
{
	g->fn = fn;
	g->userdata = userdata;
	g->handle_open = false;
}

/* ---- Ping, info ---------------------------------------------------------------------------- */

static void on_ping(struct guest *g, const struct hv_reply *reply)
{
	guest_end_done(g);
}

void guest_ping(struct guest *g, guest_fn fn, void *userdata)
{
	guest_begin(g, fn, userdata);
	guest_command(g, "guest-ping", NULL, on_ping);
}

static void on_info(struct guest *g, const struct hv_reply *reply)
{
	_cleanup_free_ char *message = NULL;
	const char *missing;

	if (guest_answer_info(reply->result, &missing) < 0)
		return guest_end_garbage(g, "guest-info");
	if (!missing)
		return guest_end_done(g);
	message = xasprintf("the guest agent's configuration does not allow %s", missing);
	guest_end_failed(g, HV_AGENT_DISABLED, message);
}

void guest_info(struct guest *g, guest_fn fn, void *userdata)
{
	guest_begin(g, fn, userdata);
	guest_command(g, "guest-info", NULL, on_info);
}

/* ---- Programs ------------------------------------------------------------------------------ */

static json_t *exec_arguments(const char *const *argv, bool capture)
{
	_cleanup_json_ json_t *arguments = json_object(), *list = json_array();

	for (size_t i = 1; argv[i]; i++)
		if (json_array_append_new(list, json_string(argv[i])) < 0)
			return NULL;
	if (json_put_string(arguments, "path", argv[0]) < 0 ||
	    json_put(arguments, "arg", TAKE_PTR(list)) < 0 ||
	    json_put_bool(arguments, "capture-output", capture) < 0)
		return NULL;
	return TAKE_PTR(arguments);
}

static void ask_status(struct guest *g);

static int on_exec_pause(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct guest *g = userdata;

	g->timer = sd_event_source_disable_unref(g->timer);
	ask_status(g);
	return 0;
}

static void on_exec_status(struct guest *g, const struct hv_reply *reply)
{
	_cleanup_(guest_exec_status_done) struct guest_exec_status status = { 0 };
	struct guest_answer a = { .failure = HV_OK };

	if (guest_answer_exec_status(reply->result, &status) < 0)
		return guest_end_garbage(g, "guest-exec-status");
	if (!status.exited && now_boottime() >= g->deadline)
		return guest_end_failed(g, HV_TIMEOUT, "a program in the guest did not end in time");
	if (!status.exited) {
		if (set_timer(g, g->pause, on_exec_pause) < 0)
			return guest_end_failed(g, HV_FAILED, NULL);
		g->pause = MIN_OF(g->pause * 2, EXEC_PAUSE_MAX);
		return;
	}
	a.exit_code = status.exit_code;
	a.signal = status.signal;
	a.out = status.out;
	a.out_size = status.out_size;
	a.err = status.err;
	a.err_size = status.err_size;
	guest_end(g, &a);
}

static void ask_status(struct guest *g)
{
	guest_command(g, "guest-exec-status", json_pack("{s:I}", "pid", (json_int_t)g->pid),
		on_exec_status);
}

static void on_exec(struct guest *g, const struct hv_reply *reply)
{
	if (guest_answer_pid(reply->result, &g->pid) < 0)
		return guest_end_garbage(g, "guest-exec");
	ask_status(g);
}

void guest_exec(struct guest *g, const char *const *argv, uint64_t timeout_usec, guest_fn fn,
		void *userdata)
{
	guest_begin(g, fn, userdata);
	g->deadline = now_boottime() + timeout_usec;
	g->pause = EXEC_PAUSE_MIN;
	guest_command(g, "guest-exec", exec_arguments(argv, true), on_exec);
}

/* The agent keeps a record of a program until its end was asked for once. */
static void on_forgotten(void *userdata, const struct hv_reply *reply)
{
	struct flight *f = userdata;
	uint64_t pid;

	if (reply->failure == HV_OK && guest_answer_pid(reply->result, &pid) >= 0 &&
	    f->status_left-- > 0 &&
	    send_command(
		    f, command_new("guest-exec-status", json_pack("{s:I}", "pid", (json_int_t)pid)),
		    on_forgotten) >= 0)
		return;
	flight_free(f);
}

void guest_exec_forget(struct guest *g, const char *const *argv)
{
	struct flight *f = flight_new(g);

	if (!f)
		return;
	f->status_left = 1;
	if (send_command(f, command_new("guest-exec", exec_arguments(argv, false)), on_forgotten) <
	    0)
		flight_free(f);
}

/* ---- Closing a file ------------------------------------------------------------------------- */

static void on_closed(void *userdata, const struct hv_reply *reply)
{
	flight_free(userdata);
}

void guest_close(struct guest *g, uint64_t handle)
{
	struct flight *f = flight_new(g);

	if (f && send_command(f,
			      command_new("guest-file-close",
					  json_pack("{s:I}", "handle", (json_int_t)handle)),
			      on_closed) < 0)
		flight_free(f);
}

/* ---- Life ---------------------------------------------------------------------------------- */

bool guest_busy(const struct guest *g)
{
	return g->fn != NULL;
}

int guest_new(struct sd_event *event, struct hypervisor *hypervisor, const char *uuid,
	      struct guest **ret)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->uuid = strdup(uuid);
	if (!g->uuid) {
		free(g);
		return -ENOMEM;
	}
	g->fd = -1;
	g->event = sd_event_ref(event);
	g->hypervisor = hypervisor;
	*ret = g;
	return 0;
}

struct guest *guest_free(struct guest *g)
{
	if (!g)
		return NULL;
	if (g->flight)
		g->flight->guest = NULL;
	sd_event_source_disable_unref(g->timer);
	sd_event_unref(g->event);
	safe_close(g->fd);
	free(g->uuid);
	free(g);
	return NULL;
}
