/* SPDX-License-Identifier: GPL-2.0-or-later */
/* While the command runs, and after a restart of the daemon: what is with it, its output, its exit
 * code; signals. */
#include <ctype.h>
#include <stdio.h>

#include "lib/clock.h"
#include "lib/io.h"
#include "lib/units.h"
#include "runner/runner-internal.h"

/* An agent does one thing at a time, and each look costs it four commands: half a second keeps that
 * unnoticed and a progress display alive; a job that prints nothing is looked at less often. */
#define POLL_MIN (500 * USEC_PER_MSEC)
#define POLL_MAX (4 * USEC_PER_SEC)
/* While the agent is silent: each try may take libvirt 5 s. */
#define SILENT_PAUSE_MAX (15 * USEC_PER_SEC)
/* How often the launcher is asked, besides the look for the exit code: is the command still there?
 */
#define STATUS_INTERVAL (30 * USEC_PER_SEC)
/* From the claim to the command's pid: a fork, in a guest that may be starved. */
#define START_PATIENCE (60 * USEC_PER_SEC)
#define START_PAUSE (100 * USEC_PER_MSEC)
#define KILL_INTERVAL (10 * USEC_PER_SEC)
/* Chunks per look and stream: a flood must not keep us from seeing the exit or sending a signal. */
#define CHUNKS_PER_LOOK 32

/* What the launcher's part that runs as the user exits with when it cannot become the command. */
#define EXIT_REFUSED 125

static const char *const followed_names[FOLLOWED_MAX] = { "stdout", "stderr", "progress" };

/* ---- Silence ------------------------------------------------------------------------------- */

static void forget_handles(struct runner *r)
{
	for (size_t i = 0; i < FOLLOWED_MAX; i++) {
		/* a read whose answer was lost has moved the position: open anew */
		if (r->followed[i].open)
			guest_close(r->guest, r->followed[i].handle);
		r->followed[i].open = false;
	}
	r->status_wanted = true;
}

static void tell_unreachable(struct runner *r, const char *reason)
{
	uint64_t now = now_boottime();

	if (!r->silent_since)
		r->silent_since = now;
	if (r->unreachable || now - r->silent_since < r->silence)
		return;
	r->unreachable = true;
	if (r->callbacks.on_unreachable)
		r->callbacks.on_unreachable(r->userdata, reason);
}

/* True when the runner goes on. */
static bool tell_reachable(struct runner *r)
{
	r->silent_since = 0;
	if (r->unreachable) {
		r->unreachable = false;
		if (r->callbacks.on_reachable)
			r->callbacks.on_reachable(r->userdata);
	}
	return runner_tell(r);
}

bool runner_note_silence(struct runner *r, const struct guest_answer *a)
{
	_cleanup_(runner_unrefp) struct runner *kept = runner_ref(r);

	if (a->failure == HV_OK || a->failure == HV_AGENT_REFUSED)
		return tell_reachable(r);
	if (a->failure != HV_NOT_RUNNING && a->failure != HV_NO_DOMAIN)
		tell_unreachable(r, a->message);
	return runner_tell(r);
}

bool runner_silence(struct runner *r, const struct guest_answer *a, void (*again)(struct runner *r))
{
	if (a->failure == HV_OK || a->failure == HV_AGENT_REFUSED)
		return !tell_reachable(r);
	if (a->failure == HV_NOT_RUNNING || a->failure == HV_NO_DOMAIN) {
		runner_finish(r, RUNNER_LOST, a->message);
		return true;
	}
	forget_handles(r);
	tell_unreachable(r, a->message);
	r->pause_usec = MIN_OF(MAX_OF(r->pause_usec * 2, USEC_PER_SEC), SILENT_PAUSE_MAX);
	runner_pause(r, r->pause_usec, again);
	return true;
}

/* ---- Status -------------------------------------------------------------------------------- */

struct status {
	bool claimed, alive, watched, signalled, tells_signalled;
	const char *boot_id, *now_boot_id, *refused;
	uint64_t pid, start_time;
	bool exited;
	int exit_code;
};

static bool is_boot_id(const char *s)
{
	if (!s || (*s && strlen(s) != 36))
		return false;
	for (; *s; s++)
		if (!isxdigit((unsigned char)*s) && *s != '-')
			return false;
	return true;
}

static int status_parse(const struct guest_answer *a, json_t **ret_json, struct status *ret)
{
	_cleanup_json_ json_t *json = NULL;
	const json_t *exit_code;

	if (a->exit_code != 0 || json_parse(a->out, a->out_size, &json, NULL) < 0)
		return -EBADMSG;
	exit_code = json_object_get(json, "exit");
	*ret = (struct status){
		.claimed = json_get_bool(json, "claimed", false),
		.alive = json_get_bool(json, "alive", false),
		.watched = json_get_bool(json, "watched", false),
		.signalled = json_get_bool(json, "signalled", false),
		.tells_signalled = json_object_get(json, "signalled") != NULL, /* one of an earlier version does not */
		.boot_id = json_get_string(json, "boot_id"),
		.now_boot_id = json_get_string(json, "now_boot_id"),
		.refused = json_get_string(json, "refused"),
		.pid = json_get_uint(json, "pid", 0),
		.start_time = json_get_uint(json, "start_time", 0),
		.exited = json_is_integer(exit_code),
		.exit_code = (int)json_integer_value(exit_code),
	};
	if (!is_boot_id(ret->boot_id) || !is_boot_id(ret->now_boot_id) || !ret->refused ||
	    (*ret->boot_id && ret->pid == 0) ||
	    (ret->exited && (ret->exit_code < 0 || ret->exit_code > 255)))
		return -EBADMSG;
	*ret_json = TAKE_PTR(json);
	return 0;
}

/* The launcher's word for an attempt that no start can claim any more. */
#define FORGONE "forgone"

static const struct {
	const char *word, *reason;
} refusals[] = {
	{ "no-user", "the guest has no such user" },
	{ "no-permission", "the guest agent cannot become this user" },
	{ "no-setsid", "the guest has no setsid program" },
	{ "no-space", "the guest cannot write the attempt's files" },
	{ "no-workdir", "the work directory cannot be entered" },
	{ "no-file", "a file of the job cannot be written in the guest" },
	{ FORGONE, "it was given up before it was started" },
};

static const char *refusal(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		if (streq(word, refusals[i].word))
			return refusals[i].reason;
	return "the guest's launcher refused to start it";
}

static int on_limit(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct runner *r = userdata;

	r->limit = sd_event_source_disable_unref(r->limit);
	if (r->callbacks.on_limit && r->stop == RUNNER_STOP_NONE && !r->exit_known)
		r->callbacks.on_limit(r->userdata);
	else
		runner_stop(r, RUNNER_STOP_TIMEOUT, false);
	return 0;
}

/* By the boot clock: neither the date nor a host that sleeps gives it another limit. */
static void watch_limit(struct runner *r)
{
	if (!r->time_limit)
		return;
	if (!r->limit_at)
		r->limit_at = now_boottime() + r->time_limit;
	if (sd_event_add_time(r->event, &r->limit, CLOCK_BOOTTIME, r->limit_at, USEC_PER_MSEC, on_limit, r) < 0)
		runner_stop(r, RUNNER_STOP_TIMEOUT, false); /* no memory to watch it */
}

/* The command was seen.  False when the runner was freed. */
static bool tell_started(struct runner *r, const struct status *s)
{
	if (r->started)
		return true;
	r->started = true;
	r->deadline = sd_event_source_disable_unref(r->deadline);
	(void)free_and_strdup(&r->boot_id, s->boot_id);
	watch_limit(r);
	if (r->callbacks.on_started)
		r->callbacks.on_started(r->userdata, s->boot_id, s->pid, s->start_time);
	return runner_tell(r) && runner_set_step(r, RUNNER_STEP_RUNNING, NULL);
}

/* Claimed, but there is no pid yet. */
static void wait_for_pid(struct runner *r)
{
	uint64_t since = r->start_at ? r->start_at : (r->start_at = now_boottime());

	if (now_boottime() - since < START_PATIENCE)
		runner_pause(r, MIN_OF(MAX_OF((now_boottime() - since) / 2, START_PAUSE), POLL_MAX),
			     runner_ask_status);
	else
		runner_finish(r, RUNNER_LOST,
			      "the guest claimed the attempt and then did not start it");
}

static void not_claimed(struct runner *r, bool forgone)
{
	if (r->was_started || r->started)
		return runner_finish(r, RUNNER_LOST, "the guest has no trace of the attempt");
	if (!forgone && runner_gives_up(r))
		return runner_forgo(r);
	/* the start did not get through: from the beginning */
	r->start_sent = r->maybe_started = false;
	r->next_file = 0;
	if (r->stop == RUNNER_STOP_NONE && (forgone || !r->deadline))
		return runner_finish(r, RUNNER_NEVER_READY,
				     r->run_as ? "the guest was not ready in time" :
						 "no user of the guest is named (run_as)");
	runner_pause(r, POLL_MIN, runner_ready_begin); /* which one that is stopped does not reach */
}

/* Why no exit code will come any more; NULL: it may. */
static const char *is_lost(struct runner *r, const struct status *s)
{
	if (!streq(s->boot_id, s->now_boot_id) || (r->boot_id && !streq(r->boot_id, s->boot_id)))
		return "the guest was restarted while the command ran";
	/* twice, so that it is no glance between two writes */
	if (!s->alive && !s->watched && ++r->gone_seen > 1)
		return "the command is gone and left no exit code";
	return NULL;
}

static void act_on_status(struct runner *r, const struct status *s)
{
	const char *lost;

	if (!s->claimed || streq(s->refused, FORGONE))
		return not_claimed(r, s->claimed || r->forgone);
	if (*s->refused)
		r->refusal = refusal(s->refused); /* after its words on stderr were read */
	if (!*s->boot_id && r->refusal)
		return runner_finish(r, RUNNER_START_REFUSED, r->refusal);
	if (!*s->boot_id)
		return wait_for_pid(r);
	r->signalled |= s->signalled;
	r->tells_signalled |= s->tells_signalled;
	lost = s->exited ? NULL : is_lost(r, s);
	if (!tell_started(r, s))
		return;
	if (lost && !r->refusal)
		return runner_finish(r, RUNNER_LOST, lost);
	if (s->exited || lost) {
		r->exit_known = true;
		r->exit_code = s->exited ? s->exit_code : EXIT_REFUSED;
	}
	if (s->alive || s->watched)
		r->gone_seen = 0;
	r->status_at = now_boottime();
	r->status_wanted = r->gone_seen > 0;
	if (r->pause_usec > POLL_MAX)
		r->pause_usec = POLL_MIN;
	runner_pause(r, r->status_wanted ? POLL_MIN : 0, runner_cycle);
}

void runner_on_status(void *userdata, const struct guest_answer *a)
{
	_cleanup_(runner_unrefp) struct runner *r = runner_ref(userdata);
	const struct guest_answer garbage = { .failure = HV_AGENT_GARBAGE,
					      .message = "the launcher's answer makes no sense" };
	_cleanup_json_ json_t *json = NULL;
	struct status status;

	if (runner_silence(r, a, runner_ask_status))
		return;
	if (a->failure != HV_OK || status_parse(a, &json, &status) < 0) {
		(void)runner_silence(r, &garbage, runner_ask_status);
		return;
	}
	act_on_status(r, &status);
}

static void on_forgone(void *userdata, const struct guest_answer *a)
{
	struct runner *r = userdata;

	/* whatever it found: where there is no directory, no start can claim one either */
	r->forgone = a->failure == HV_OK && a->exit_code == 0;
	runner_on_status(r, a);
}

void runner_forgo(struct runner *r)
{
	const char *words[] = { "forgo", r->directory, NULL };

	runner_launch(r, words, on_forgone);
}

void runner_ask_status(struct runner *r)
{
	const char *words[] = { "status", r->directory, NULL };

	runner_launch(r, words, runner_on_status);
}

/* ---- Signals ------------------------------------------------------------------------------- */

static const char *const stop_reasons[] = {
	[RUNNER_STOP_CANCEL] = "cancelled",
	[RUNNER_STOP_PREEMPT] = "preempted",
	[RUNNER_STOP_TIMEOUT] = "time limit",
};

/* False when the runner was freed. */
static bool tell_stuck(struct runner *r)
{
	if (r->stuck || r->exit_known || !r->killed_at || now_boottime() - r->killed_at < r->stuck_after)
		return true;
	r->stuck = true;
	if (r->callbacks.on_stuck)
		r->callbacks.on_stuck(r->userdata, stop_reasons[r->stop]);
	return runner_tell(r);
}

static int on_grace(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_(runner_unrefp) struct runner *r = runner_ref(userdata);

	r->grace_timer = sd_event_source_disable_unref(r->grace_timer);
	if (!tell_stuck(r))
		return 0;
	r->kill = true;
	r->kill_sent = false; /* again, when one was not enough */
	if (r->pause)
		runner_pause(r, 0, runner_cycle);
	return 0;
}

static void on_signalled(void *userdata, const struct guest_answer *a)
{
	struct runner *r = userdata;
	const bool killed = r->kill_sent;

	if (a->failure != HV_OK) {
		r->stop_sent = r->kill_sent = false; /* not known to have come through */
	} else if (runner_timer(r, &r->grace_timer, killed ? MIN_OF(KILL_INTERVAL, r->stuck_after) : r->grace,
				on_grace) < 0) {
		r->kill = true;
	}
	if (a->failure == HV_OK && killed && !r->killed_at)
		r->killed_at = now_boottime();
	runner_on_status(r, a);
}

/* Returns true when a signal is on its way. */
static bool send_signal(struct runner *r)
{
	const char *name = r->kill ? "KILL" : r->signal_name;
	const char *words[] = { "signal", r->directory, name, NULL };

	if (r->stop == RUNNER_STOP_NONE || r->exit_known || (r->kill ? r->kill_sent : r->stop_sent))
		return false;
	if (!runner_set_step(r, RUNNER_STEP_STOPPING, stop_reasons[r->stop]))
		return true;
	r->stop_sent = true;
	r->kill_sent = r->kill;
	runner_launch(r, words, on_signalled);
	return true;
}

/* ---- Streams ------------------------------------------------------------------------------- */

static void next_stream(struct runner *r);

/* The host's copy gets it, as far as it may grow.  Returns false when the host cannot store it. */
static bool store(struct runner *r, struct followed *f, const void *data, size_t size)
{
	size_t room = f->offset < r->output_max
			      ? (size_t)MIN_OF(r->output_max - f->offset, (uint64_t)size)
			      : 0;

	if (f->fd >= 0 && room > 0 && write_all(f->fd, data, room) < 0)
		return false;
	if (f->fd >= 0 && room < size)
		f->truncated = true;
	f->offset += f->fd >= 0 ? room : size;
	return true;
}

/* Returns false when the runner was freed. */
static bool tell_output(struct runner *r, unsigned stream)
{
	if (stream != FOLLOWED_PROGRESS && r->callbacks.on_output)
		r->callbacks.on_output(r->userdata,
				       stream == FOLLOWED_STDOUT ? RUNNER_STDOUT : RUNNER_STDERR,
				       r->followed[stream].offset);
	return runner_tell(r);
}

static bool tell_progress(struct runner *r, struct followed *f, const struct guest_answer *a)
{
	if (f == &r->followed[FOLLOWED_STDERR] ||
	    !progress_feed(f->reader, a->data, a->size, &r->progress))
		return true;
	if (r->callbacks.on_progress)
		r->callbacks.on_progress(r->userdata, &r->progress);
	return runner_tell(r);
}

static void read_stream(struct runner *r);

static void on_chunk(void *userdata, const struct guest_answer *a)
{
	_cleanup_(runner_unrefp) struct runner *r = runner_ref(userdata);
	struct followed *f = &r->followed[r->stream];

	if (runner_silence(r, a, runner_cycle))
		return;
	if (a->failure != HV_OK) {
		/* an agent that was restarted knows no handle of before */
		f->open = false;
		r->status_wanted = true;
		return next_stream(r);
	}
	if (a->size == 0)
		return next_stream(r);
	if (!store(r, f, a->data, a->size)) {
		/* a full disk: the bytes stay in the guest, the next look tries again */
		forget_handles(r);
		return next_stream(r);
	}
	r->moved = true;
	if (!tell_output(r, r->stream) || !tell_progress(r, f, a))
		return;
	if (--r->budget == 0 || f->truncated)
		return next_stream(r);
	read_stream(r);
}

static void on_stream_opened(void *userdata, const struct guest_answer *a)
{
	_cleanup_(runner_unrefp) struct runner *r = runner_ref(userdata);

	if (runner_silence(r, a, runner_cycle))
		return;
	if (a->failure != HV_OK)
		return next_stream(r);
	r->followed[r->stream].handle = a->handle;
	r->followed[r->stream].open = true;
	read_stream(r);
}

static void read_stream(struct runner *r)
{
	struct followed *f = &r->followed[r->stream];
	_cleanup_free_ char *path = NULL;

	if (f->open)
		return guest_read(r->guest, f->handle, GUEST_READ_CHUNK, on_chunk, r);
	path = runner_path(r, followed_names[r->stream]);
	if (!path)
		return next_stream(r);
	guest_open(r->guest, path, f->offset, on_stream_opened, r);
}

static void end_cycle(struct runner *r)
{
	if (r->exit_known && !r->moved) {
		for (size_t i = 0; i < FOLLOWED_MAX; i++) {
			if (r->followed[i].open)
				guest_close(r->guest, r->followed[i].handle);
			r->followed[i].open = false;
		}
		return runner_collect(r);
	}
	r->pause_usec =
		r->moved ? POLL_MIN : MIN_OF(MAX_OF(r->pause_usec, POLL_MIN) * 3 / 2, POLL_MAX);
	/* once it has ended, what is left is read without waiting */
	runner_pause(r, r->exit_known ? 0 : r->pause_usec, runner_cycle);
}

static void begin_stream(struct runner *r)
{
	while (r->stream < FOLLOWED_MAX && r->followed[r->stream].truncated)
		r->stream++;
	if (r->stream == FOLLOWED_MAX)
		return end_cycle(r);
	r->budget = CHUNKS_PER_LOOK;
	read_stream(r);
}

static void next_stream(struct runner *r)
{
	r->stream++;
	begin_stream(r);
}

/* ---- One look ------------------------------------------------------------------------------ */

static void read_streams(struct runner *r)
{
	r->stream = 0;
	r->moved = false;
	begin_stream(r);
}

static void on_exit_read(void *userdata, const struct guest_answer *a)
{
	_cleanup_(runner_unrefp) struct runner *r = runner_ref(userdata);
	char text[8] = { 0 };

	if (runner_silence(r, a, runner_cycle))
		return;
	/* "0\n" … "255\n", written by rename: whole or not there */
	if (a->failure == HV_OK && a->size >= 2 && a->size <= 4) {
		int code, end = 0;

		memcpy(text, a->data, a->size);
		if (sscanf(text, "%3d%n", &code, &end) == 1 && text[end] == '\n' && code >= 0 &&
		    code <= 255) {
			r->exit_known = true;
			r->exit_code = code;
		}
	}
	if (!r->exit_known)
		r->status_wanted = true;
	if (r->exit_known && r->exit_code == EXIT_REFUSED) {
		/* the launcher's own code, or the command's: the status tells them apart */
		r->exit_known = false;
		return runner_ask_status(r);
	}
	read_streams(r);
}

static void on_exit_opened(void *userdata, const struct guest_answer *a)
{
	_cleanup_(runner_unrefp) struct runner *r = runner_ref(userdata);
	uint64_t handle = a->handle;

	if (runner_silence(r, a, runner_cycle))
		return;
	if (a->failure != HV_OK) /* not there: it runs */
		return read_streams(r);
	guest_read(r->guest, handle, 16, on_exit_read, r);
	guest_close(r->guest, handle); /* after the read: agents answer in order */
}

void runner_cycle(struct runner *r)
{
	_cleanup_free_ char *path = NULL;

	if (!runner_tell(r) || send_signal(r))
		return;
	if (r->exit_known)
		return read_streams(r);
	if (r->status_wanted || now_boottime() - r->status_at > STATUS_INTERVAL) {
		r->status_wanted = false;
		return runner_ask_status(r);
	}
	path = runner_path(r, "exit");
	if (!path)
		return runner_pause(r, POLL_MAX, runner_cycle);
	guest_open(r->guest, path, 0, on_exit_opened, r);
}
