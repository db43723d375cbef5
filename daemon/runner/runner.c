/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A runner's life: made from options, told to stop, ended once, freed at any time. */
#include "runner/runner.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/clock.h"
#include "lib/escape.h"
#include "lib/io.h"
#include "lib/units.h"
#include "runner/launcher-text.h"
#include "runner/outputs.h"
#include "runner/plan.h"
#include "runner/runner-internal.h"

#define GRACE_DEFAULT (10 * USEC_PER_SEC)
/* A guest that boots under software emulation needs about two minutes to its agent. */
#define READY_DEFAULT (300 * USEC_PER_SEC)
/* libvirt itself gives an agent 5 s per command; some that time out in a row are silence. */
#define SILENCE_DEFAULT (60 * USEC_PER_SEC)
/* A process that releases a large model's memory takes seconds to die; one that waits in a driver, for ever. */
#define STUCK_DEFAULT (60 * USEC_PER_SEC)
#define OUTPUT_DEFAULT (64 * MIB)
#define FILES_DEFAULT (256 * MIB)

const char *const runner_step_names[RUNNER_STEP_MAX] = {
	[RUNNER_STEP_AGENT] = "agent",       [RUNNER_STEP_EXEC] = "exec",
	[RUNNER_STEP_DEVICE] = "device",     [RUNNER_STEP_BARS] = "bars",
	[RUNNER_STEP_DRIVER] = "driver",     [RUNNER_STEP_RENDER] = "render-node",
	[RUNNER_STEP_READY] = "ready",       [RUNNER_STEP_FILES] = "files",
	[RUNNER_STEP_START] = "start",       [RUNNER_STEP_RUNNING] = "running",
	[RUNNER_STEP_STOPPING] = "stopping", [RUNNER_STEP_OUTPUTS] = "outputs",
	[RUNNER_STEP_ENDED] = "ended",
};
DEFINE_ENUM_TABLE(runner_step, enum runner_step, RUNNER_STEP_MAX);

const char *const runner_outcome_names[RUNNER_OUTCOME_MAX] = {
	[RUNNER_EXITED] = "exited",
	[RUNNER_SIGNALED] = "signaled",
	[RUNNER_LOST] = "lost",
	[RUNNER_NEVER_READY] = "never-ready",
	[RUNNER_START_REFUSED] = "start-refused",
	[RUNNER_TIMEOUT] = "timeout",
	[RUNNER_CANCELLED] = "cancelled",
	[RUNNER_PREEMPTED] = "preempted",
	[RUNNER_IS_READY] = "ready",
};
DEFINE_ENUM_TABLE(runner_outcome, enum runner_outcome, RUNNER_OUTCOME_MAX);

const char *const runner_stream_names[RUNNER_STREAM_MAX] = {
	[RUNNER_STDOUT] = "stdout",
	[RUNNER_STDERR] = "stderr",
};
DEFINE_ENUM_TABLE(runner_stream, enum runner_stream, RUNNER_STREAM_MAX);

/* ---- Ending -------------------------------------------------------------------------------- */

void runner_unref(struct runner *r)
{
	if (--r->refs > 0)
		return;
	for (size_t i = 0; i < r->n_staged; i++)
		free(r->staged[i].source);
	free(r->staged);
	for (size_t i = 0; i < FOLLOWED_MAX; i++) {
		safe_close(r->followed[i].fd);
		free(r->followed[i].reader);
	}
	json_decref(r->command);
	json_decref(r->setup);
	json_decref(r->env);
	json_decref(r->gpuvf_env);
	json_decref(r->outputs_globs);
	json_decref(r->ready);
	free(r->root);
	free(r->base);
	free(r->key);
	free(r->directory);
	free(r->launcher);
	free(r->plan);
	free(r->files);
	free(r->shell);
	free(r->run_as);
	free(r->vm_uuid);
	free(r->job_id);
	free(r->boot_id);
	free(r->step_reason);
	free(r->device);
	outputs_free(r->outputs);
	safe_close(r->host_directory);
	sd_event_unref(r->event);
	free(r);
}

static void stop_timers(struct runner *r)
{
	r->pause = sd_event_source_disable_unref(r->pause);
	r->deadline = sd_event_source_disable_unref(r->deadline);
	r->limit = sd_event_source_disable_unref(r->limit);
	r->grace_timer = sd_event_source_disable_unref(r->grace_timer);
}

struct runner *runner_free(struct runner *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < FOLLOWED_MAX; i++)
		if (r->guest && r->followed[i].open)
			guest_close(r->guest, r->followed[i].handle);
	r->dead = true;
	stop_timers(r);
	r->guest = guest_free(r->guest);
	runner_unref(r);
	return NULL;
}

void runner_finish(struct runner *r, enum runner_outcome outcome, const char *reason)
{
	_cleanup_(runner_unrefp) struct runner *kept = runner_ref(r);
	struct runner_result result = {
		.outcome = outcome,
		.step = r->step,
		.reason = reason,
		.exit_code = -1,
		.stdout_truncated = r->followed[FOLLOWED_STDOUT].truncated,
		.stderr_truncated = r->followed[FOLLOWED_STDERR].truncated,
		.outputs_truncated = r->outputs_failed,
		.n_outputs = r->n_outputs,
	};

	if (r->dead || r->ended)
		return;
	r->ended = true;
	stop_timers(r);
	if (r->exit_known) {
		result.exit_code = r->exit_code;
		/* the shell's way to tell of a signal */
		result.signal =
			r->exit_code > 128 && r->exit_code <= 128 + 64 ? r->exit_code - 128 : 0;
	}
	r->step = RUNNER_STEP_ENDED;
	if (r->callbacks.on_ended)
		r->callbacks.on_ended(r->userdata, &result);
}

/* ---- Telling ------------------------------------------------------------------------------- */

bool runner_tell(struct runner *r)
{
	return !r->dead && !r->ended;
}

bool runner_set_step(struct runner *r, enum runner_step step, const char *reason)
{
	_cleanup_(runner_unrefp) struct runner *kept = runner_ref(r);

	if (!runner_tell(r))
		return false;
	if (r->step == step && streq_ptr(r->step_reason, reason))
		return true;
	r->step = step;
	(void)free_and_strdup(&r->step_reason, reason); /* without memory the old words stay */
	if (r->callbacks.on_step)
		r->callbacks.on_step(r->userdata, step, r->step_reason);
	return runner_tell(r);
}

bool runner_try_step(struct runner *r, enum runner_step step)
{
	return r->step == step ? runner_tell(r) : runner_set_step(r, step, NULL);
}

/* ---- Timers -------------------------------------------------------------------------------- */

int runner_timer(struct runner *r, sd_event_source **source, uint64_t usec,
		 sd_event_time_handler_t fn)
{
	*source = sd_event_source_disable_unref(*source);
	/* 0 would be sd-event's default accuracy, a quarter of a second */
	return sd_event_add_time_relative(r->event, source, CLOCK_MONOTONIC, usec, USEC_PER_MSEC,
					  fn, r);
}

static int on_pause(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_(runner_unrefp) struct runner *r = runner_ref(userdata);
	void (*again)(struct runner *) = TAKE_PTR(r->again);

	r->pause = sd_event_source_disable_unref(r->pause);
	again(r);
	return 0;
}

static void stop_before_start(struct runner *r)
{
	r->guest = guest_free(r->guest);
	runner_finish(r, r->stop == RUNNER_STOP_PREEMPT ? RUNNER_PREEMPTED : RUNNER_CANCELLED,
		      "stopped before it was started");
}

bool runner_gives_up(const struct runner *r)
{
	return r->stop != RUNNER_STOP_NONE || !r->deadline || !r->run_as;
}

void runner_pause(struct runner *r, uint64_t usec, void (*again)(struct runner *r))
{
	if (!runner_tell(r))
		return;
	if (r->stop != RUNNER_STOP_NONE && !r->start_sent && !r->maybe_started) {
		again = stop_before_start;
		usec = 0;
	}
	r->again = again;
	if (runner_timer(r, &r->pause, usec, on_pause) < 0)
		runner_finish(r, r->start_sent ? RUNNER_LOST : RUNNER_NEVER_READY, "out of memory");
}

static int on_ready_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_(runner_unrefp) struct runner *r = runner_ref(userdata);
	_cleanup_free_ char *reason = NULL;

	r->deadline = sd_event_source_disable_unref(r->deadline);
	/* once the start was sent, also by an earlier daemon, only the guest can say that it did not come through */
	if (runner_may_have_started(r))
		return 0;
	reason =
		xasprintf("the guest was not ready in time: %s%s%s", runner_step_to_string(r->step),
			  r->step_reason ? ": " : "", strempty(r->step_reason));
	r->guest = guest_free(r->guest);
	runner_finish(r, RUNNER_NEVER_READY, reason);
	return 0;
}

/* ---- Stopping ------------------------------------------------------------------------------ */

void runner_stop(struct runner *r, enum runner_stop why, bool now)
{
	if (!runner_tell(r) || why == RUNNER_STOP_NONE)
		return;
	if (r->stop == RUNNER_STOP_NONE)
		r->stop = why;
	r->kill |= now;
	if (r->exit_known)
		return;
	if (!r->start_sent && r->maybe_started) {
		if (r->pause)
			runner_pause(r, 0, r->again); /* the guest's word comes first */
	} else if (!r->start_sent)
		runner_pause(r, 0, runner_ready_begin); /* which it will not reach */
	else if (r->pause)
		runner_pause(r, 0, runner_cycle); /* do not wait for the next look */
}

void runner_set_grace(struct runner *r, uint64_t usec)
{
	r->grace = usec;
}

void runner_set_devices(struct runner *r, unsigned n)
{
	r->devices = MIN_OF(r->devices, n);
}

bool runner_may_have_started(const struct runner *r)
{
	return r->start_sent || r->maybe_started;
}

bool runner_is_silent(const struct runner *r)
{
	return r->unreachable;
}

bool runner_is_stuck(const struct runner *r)
{
	return r->stuck;
}

enum runner_step runner_step(const struct runner *r)
{
	return r->step;
}

void runner_clean(struct runner *r)
{
	const char *argv[] = { "/bin/sh", r->launcher, "clean", r->directory, NULL };
	_cleanup_(guest_freep) struct guest *guest = NULL;

	/* its own: the runner may be freed before the guest has answered */
	if (!r->session && guest_new(r->event, r->hypervisor, r->vm_uuid, &guest) >= 0)
		guest_exec_forget(guest, argv);
}

/* ---- The guest's paths --------------------------------------------------------------------- */

int runner_text_file(const char *text)
{
	int fd = memfd_create("gpuvf", MFD_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, text, strlen(text));
	if (r >= 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r < 0) {
		safe_close(fd);
		return r;
	}
	return fd;
}

char *runner_path(const struct runner *r, const char *name)
{
	return xasprintf("%s/%s", r->directory, name);
}

void runner_launch(struct runner *r, const char *const *words, guest_fn fn)
{
	const char *argv[14] = { "/bin/sh", r->launcher };
	size_t n = 2;

	/* a session has no directory in the guest that the script could lie in */
	if (r->session) {
		argv[1] = "-c";
		argv[2] = launcher_text;
		argv[3] = "launcher";
		n = 4;
	}
	for (size_t i = 0; words[i] && n < ARRAY_SIZE(argv) - 1; i++)
		argv[n++] = words[i];
	guest_exec(r->guest, argv, LAUNCHER_TIMEOUT, fn, r);
}

/* ---- Making -------------------------------------------------------------------------------- */

static int copy_json(json_t **to, const json_t *from)
{
	if (!from)
		return 0;
	*to = json_deep_copy(from);
	return *to ? 0 : -ENOMEM;
}

static int copy_texts(struct runner *r, const struct runner_options *o)
{
	_cleanup_free_ char *checkpoint = NULL;

	r->root = strdup(strempty(o->guest_root));
	r->base = r->root ? xasprintf("%s" GUEST_BASE, r->root) : NULL;
	r->key = strdup(o->attempt_key);
	r->directory = r->base ? xasprintf("%s/jobs/%s", r->base, o->attempt_key) : NULL;
	r->launcher = r->directory ? runner_path(r, "launcher") : NULL;
	r->vm_uuid = strdup(o->vm_uuid);
	r->job_id = strdup(o->job_id);
	if (!r->base || !r->key || !r->launcher || !r->vm_uuid || !r->job_id)
		return -ENOMEM;
	if (free_and_strdup(&r->run_as, o->run_as) < 0 ||
	    free_and_strdup(&r->shell, o->shell) < 0 ||
	    free_and_strdup(&r->boot_id, o->boot_id) < 0)
		return -ENOMEM;

	checkpoint = o->checkpoint_dir ? xasprintf("%s%s", r->root, o->checkpoint_dir)
				       : xasprintf("%s/checkpoints/%s", r->base, o->job_key);
	r->plan = checkpoint ? plan_variables(o, checkpoint) : NULL;
	r->files = plan_files(o);
	return r->plan && r->files ? 0 : -ENOMEM;
}

static int copy_staged(struct runner *r, const struct runner_options *o)
{
	r->staged = calloc(o->n_files + 1, sizeof(*r->staged));
	if (!r->staged)
		return -ENOMEM;
	for (; r->n_staged < o->n_files; r->n_staged++) {
		r->staged[r->n_staged].source = strdup(o->files[r->n_staged].source);
		if (!r->staged[r->n_staged].source)
			return -ENOMEM;
	}
	return 0;
}

static int copy_documents(struct runner *r, const struct runner_options *o)
{
	int q;

	q = copy_json(&r->command, o->command);
	if (q >= 0)
		q = copy_json(&r->setup, o->setup);
	if (q >= 0)
		q = copy_json(&r->env, o->env);
	if (q >= 0)
		q = copy_json(&r->gpuvf_env, o->gpuvf_env);
	if (q >= 0)
		q = copy_json(&r->outputs_globs, o->outputs);
	if (q >= 0)
		q = copy_json(&r->ready, o->ready);
	if (q < 0)
		return q;
	r->kept = (struct runner_options){
		.job_id = r->job_id,
		.attempt = o->attempt,
		.command = r->command,
		.shell = r->shell,
		.setup = r->setup,
		.env = r->env,
		.gpuvf_env = r->gpuvf_env,
	};
	return 0;
}

static void copy_numbers(struct runner *r, const struct runner_options *o)
{
	r->vendor_id = o->vendor_id;
	r->device_id = o->device_id;
	r->devices = o->devices;
	r->time_limit = o->time_limit_usec;
	if (r->time_limit && o->was_started) /* also while its guest is silent */
		r->limit_at = now_boottime() + r->time_limit - MIN_OF(o->elapsed_usec, r->time_limit);
	r->grace = o->grace_usec ? o->grace_usec : GRACE_DEFAULT;
	r->ready_timeout = o->ready_timeout_usec ? o->ready_timeout_usec : READY_DEFAULT;
	r->silence = o->silence_usec ? o->silence_usec : SILENCE_DEFAULT;
	r->stuck_after = o->stuck_usec ? o->stuck_usec : STUCK_DEFAULT;
	r->output_max = o->output_max ? o->output_max : OUTPUT_DEFAULT;
	r->files_max = o->files_max ? o->files_max : FILES_DEFAULT;
	r->signal_name = sigabbrev_np(o->checkpoint_signal ? o->checkpoint_signal : SIGTERM);
	r->session = o->session;
	r->was_started = o->was_started;
	r->maybe_started = o->was_started || o->inherited;
	r->callbacks = o->callbacks;
	r->userdata = o->userdata;
}

/* The host's files: what is in them came first, so their size is where the guest's go on. */
static int open_followed(struct runner *r)
{
	for (size_t i = 0; i < FOLLOWED_MAX; i++) {
		struct followed *f = &r->followed[i];
		struct stat st;

		f->reader = calloc(1, sizeof(*f->reader));
		if (!f->reader)
			return -ENOMEM;
		if (i == FOLLOWED_PROGRESS)
			continue;
		f->fd = openat(r->host_directory, runner_stream_names[i],
			       O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
		if (f->fd < 0 || fstat(f->fd, &st) < 0)
			return -errno;
		f->offset = (uint64_t)st.st_size;
		f->truncated = f->offset >= r->output_max;
	}
	return 0;
}

static int runner_init(struct runner *r, const struct runner_options *o)
{
	int q;

	copy_numbers(r, o);
	r->event = sd_event_ref(o->event);
	r->hypervisor = o->hypervisor;
	q = copy_texts(r, o);
	if (q >= 0)
		q = copy_staged(r, o);
	if (q >= 0)
		q = copy_documents(r, o);
	if (q < 0)
		return q;
	if (!r->session) {
		r->host_directory = fcntl(o->directory, F_DUPFD_CLOEXEC, 3);
		if (r->host_directory < 0)
			return -errno;
		q = open_followed(r);
	}
	if (q >= 0)
		q = guest_new(r->event, r->hypervisor, o->vm_uuid, &r->guest);
	if (q >= 0)
		q = runner_timer(r, &r->deadline, r->ready_timeout, on_ready_deadline);
	return q;
}

int runner_new(const struct runner_options *options, struct runner **ret, char **ret_message)
{
	struct runner *r;
	int q;

	q = plan_check(options, ret_message);
	if (q < 0)
		return q;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->refs = 1;
	r->host_directory = -1;
	for (size_t i = 0; i < FOLLOWED_MAX; i++)
		r->followed[i].fd = -1;
	q = runner_init(r, options);
	if (q < 0) {
		runner_free(r);
		return q;
	}
	runner_pause(r, 0, runner_ready_begin);
	*ret = r;
	return 0;
}
