/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From "is there an agent" to the launcher's start: one function per step, each tried again until
 * the deadline. */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/clock.h"
#include "lib/escape.h"
#include "lib/units.h"
#include "runner/launcher-text.h"
#include "runner/plan.h"
#include "runner/runner-internal.h"

/* Between tries; a guest that boots or plugs takes seconds. */
#define READY_PAUSE USEC_PER_SEC
/* The policy's ready command may itself look at the device for some time. */
#define READY_COMMAND_TIMEOUT (60 * USEC_PER_SEC)

/* Makes the attempt's directory: $1 our base, $2 its name.  An attempt that was claimed is left
 * alone. */
static const char prepare_script[] =
	"umask 022\n"
	"mkdir -p \"$1/jobs\" && chmod 0711 \"$1\" \"$1/jobs\" || exit 1\n"
	"if [ -d \"$1/jobs/$2/claim\" ]; then echo claimed; exit; fi\n"
	"umask 077\n"
	"mkdir -p \"$1/jobs/$2/stage\" && chmod 0700 \"$1/jobs/$2\" && echo fresh\n";

/* A failure of the agent before the start.  Returns true when the answer was one; again() is tried
 * later, or the attempt has ended. */
static bool failed(struct runner *r, enum runner_step step, const struct guest_answer *a,
		   void (*again)(struct runner *r))
{
	/* An earlier daemon started it: a silent guest is waited for as while it runs. */
	if (r->was_started && a->failure != HV_AGENT_REFUSED)
		return runner_silence(r, a, again);
	/* It may have: nobody counts on the end of one whose guest says nothing. */
	if (r->maybe_started && !runner_note_silence(r, a))
		return true;
	switch (a->failure) {
	case HV_OK:
		return false;
	case HV_AGENT_ABSENT:
	case HV_AGENT_DISABLED:
		if (r->maybe_started) { /* it runs there, for all anybody knows */
			if (runner_set_step(r, step, a->message))
				runner_pause(r, READY_PAUSE, again);
			return true;
		}
		/* fall through */
	case HV_NO_DOMAIN:
	case HV_NOT_RUNNING:
		/* waiting does not change these */
		if (runner_set_step(r, step, a->message))
			runner_finish(r,
				      runner_may_have_started(r) ? RUNNER_LOST : RUNNER_NEVER_READY,
				      a->message);
		return true;
	default:
		if (runner_set_step(r, step, a->message))
			runner_pause(r, READY_PAUSE, again);
		return true;
	}
}

/* The first line of a program's words, escaped, at most 200 bytes.  Returns new. */
static char *first_line(const struct guest_answer *a)
{
	const char *text = a->err_size > 0 ? a->err : strempty(a->out);
	size_t n = strcspn(text, "\n");

	return escape_terminal(text, MIN_OF(n, (size_t)200), false);
}

/* A program of ours that must succeed. */
static bool failed_program(struct runner *r, enum runner_step step, const struct guest_answer *a,
			   const char *what, void (*again)(struct runner *r))
{
	_cleanup_free_ char *line = NULL, *reason = NULL;

	if (failed(r, step, a, again))
		return true;
	if (a->exit_code == 0)
		return false;
	line = first_line(a);
	reason = xasprintf("%s failed: %s", what, strempty(line));
	if (runner_set_step(r, step, reason))
		runner_pause(r, READY_PAUSE, again);
	return true;
}

/* ---- Start --------------------------------------------------------------------------------- */

static void start(struct runner *r)
{
	const char *words[] = { "start", r->directory, NULL };

	if (!runner_set_step(r, RUNNER_STEP_START, NULL))
		return;
	if (r->stop !=
	    RUNNER_STOP_NONE) /* asked for while files were written: do not start at all */
		return runner_pause(r, 0, start);
	if (r->callbacks.on_start && !r->start_noted) {
		r->start_waits = true;
		r->callbacks.on_start(r->userdata);
		return;
	}
	r->start_sent = true;
	if (!r->start_at)
		r->start_at = now_boottime();
	runner_launch(r, words, runner_on_status);
}

void runner_start_noted(struct runner *r, bool noted)
{
	if (!runner_tell(r) || !r->start_waits)
		return;
	r->start_waits = false;
	r->start_noted = noted;
	runner_pause(r, noted ? 0 : READY_PAUSE, start);
}

/* ---- Files --------------------------------------------------------------------------------- */

static void put_files(struct runner *r);

static void on_put(void *userdata, const struct guest_answer *a)
{
	struct runner *r = userdata;

	if (failed(r, RUNNER_STEP_FILES, a, put_files))
		return;
	r->next_file++;
	put_files(r);
}

static void refuse_file(struct runner *r, const char *name, int error)
{
	_cleanup_free_ char *reason =
		xasprintf("%s cannot be read on the host: %s", name, strerror(-error));

	runner_finish(r, RUNNER_START_REFUSED, reason);
}

/* plan, command, files, file.0, file.1, … */
static void put_files(struct runner *r)
{
	_cleanup_free_ char *text = NULL, *name = NULL, *path = NULL;
	size_t i = r->next_file;
	int fd;

	if (!runner_set_step(r, RUNNER_STEP_FILES, NULL))
		return;
	if (i >= r->n_staged + 3)
		return start(r);
	if (i >= 3) {
		name = xasprintf("stage/file.%zu", i - 3);
		fd = openat(r->host_directory, r->staged[i - 3].source, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return refuse_file(r, r->staged[i - 3].source, -errno);
	} else {
		static const char *const names[] = { "stage/plan", "stage/command", "stage/files" };

		name = strdup(names[i]);
		if (i == 1)
			text = plan_command(&r->kept, r->device);
		fd = i == 1 && !text ? -ENOMEM
				     : runner_text_file(i == 0   ? r->plan
							: i == 1 ? text
								 : r->files);
		if (fd < 0)
			return refuse_file(r, names[i], fd);
	}
	path = name ? runner_path(r, name) : NULL;
	if (!path) {
		safe_close(fd);
		return refuse_file(r, "a staged file", -ENOMEM);
	}
	guest_put(r->guest, path, fd, on_put, r);
}

/* ---- The policy's ready command ------------------------------------------------------------ */

static void ready(struct runner *r)
{
	if (!r->session)
		put_files(r);
	else if (r->stop != RUNNER_STOP_NONE) /* asked for meanwhile */
		runner_pause(r, 0, runner_ready_begin);
	else
		runner_finish(r, RUNNER_IS_READY, NULL);
}

static void run_ready(struct runner *r);

static void on_ready(void *userdata, const struct guest_answer *a)
{
	struct runner *r = userdata;
	_cleanup_free_ char *line = NULL, *reason = NULL;

	/* a program that is not there is what the policy's author must see, not a broken agent */
	if (failed(r, a->failure == HV_AGENT_DISABLED ? RUNNER_STEP_EXEC : RUNNER_STEP_READY, a,
		   run_ready))
		return;
	if (a->exit_code == 0)
		return ready(r);
	line = first_line(a);
	reason = a->exit_code > 0
			 ? xasprintf("the ready command exits %d: %s", a->exit_code, strempty(line))
			 : xasprintf("the ready command was ended by signal %d", a->signal);
	if (runner_set_step(r, RUNNER_STEP_READY, reason))
		runner_pause(r, READY_PAUSE, run_ready);
}

static void run_ready(struct runner *r)
{
	const char *argv[64] = { 0 };
	_cleanup_free_ char *path = NULL;
	const json_t *item;
	size_t i;

	if (!r->ready)
		return ready(r);
	if (!runner_try_step(r, RUNNER_STEP_READY))
		return;
	json_array_foreach(r->ready, i, item) if (i < ARRAY_SIZE(argv) - 1) argv[i] =
		json_string_value(item);
	path = argv[0][0] == '/' ? xasprintf("%s%s", r->root, argv[0]) : strdup(argv[0]);
	if (!path)
		return runner_finish(r, RUNNER_NEVER_READY, "out of memory");
	argv[0] = path;
	guest_exec(r->guest, argv, READY_COMMAND_TIMEOUT, on_ready, r);
}

/* ---- The device ---------------------------------------------------------------------------- */

struct seen {
	const char *address, *bars, *driver, *module, *render;
};

/* Words of sysfs: nothing that could deface a message. */
static bool is_word(const char *s)
{
	if (!s || strlen(s) > 64)
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("._:-", *s))
			return false;
	return true;
}

static bool id_is(const json_t *line, const char *name, unsigned wanted)
{
	const char *text = json_get_string(line, name);
	unsigned id;

	return wanted == 0 || (text && sscanf(text, "0x%x", &id) == 1 && id == wanted);
}

static bool read_function(const json_t *line, struct seen *seen)
{
	*seen = (struct seen){
		.address = json_get_string(line, "address"),
		.bars = json_get_string(line, "bars"),
		.driver = json_get_string(line, "driver"),
		.module = json_get_string(line, "module"),
		.render = json_get_string(line, "render"),
	};
	return is_word(seen->address) && *seen->address && is_word(seen->bars) &&
	       is_word(seen->driver) && is_word(seen->module) && is_word(seen->render);
}

/* The step that this function still lacks; RUNNER_STEP_READY = none.  New *ret_reason. */
static enum runner_step lacks(const struct seen *f, char **ret_reason)
{
	static const char *const gpu_drivers[] = { "xe", "i915" };

	if (streq(f->bars, "missing")) {
		*ret_reason = xasprintf(
			"the guest gave %s no memory (BARs): its PCIe port may be too small",
			f->address);
		return RUNNER_STEP_BARS;
	}
	if (!*f->driver && *f->module) {
		*ret_reason =
			xasprintf("the guest's driver %s has not taken %s", f->module, f->address);
		return RUNNER_STEP_DRIVER;
	}
	for (size_t i = 0; i < ARRAY_SIZE(gpu_drivers); i++)
		if (streq(f->driver, gpu_drivers[i]) && !*f->render) {
			*ret_reason =
				xasprintf("%s shows no render node for %s", f->driver, f->address);
			return RUNNER_STEP_RENDER;
		}
	return RUNNER_STEP_READY;
}

/* What the launcher's lines say. */
struct look {
	unsigned found;
	enum runner_step step; /* the earliest that a function lacks */
	char *reason;
	char *address, *driver, *render; /* of the first */
	bool complete;
};

static void look_done(struct look *look)
{
	free(look->reason);
	free(look->address);
	free(look->driver);
	free(look->render);
}

static void look_line(const struct runner *r, const char *text, size_t size, struct look *look)
{
	_cleanup_json_ json_t *line = NULL;
	_cleanup_free_ char *reason = NULL;
	enum runner_step step;
	struct seen seen;

	if (json_parse(text, size, &line, NULL) < 0)
		return;
	look->complete |= json_get_bool(line, "looked", false);
	if (!read_function(line, &seen) || !id_is(line, "vendor", r->vendor_id) ||
	    !id_is(line, "device", r->device_id))
		return;
	if (look->found++ == 0) {
		look->address = strdup(seen.address);
		look->driver = *seen.driver ? strdup(seen.driver) : NULL;
		look->render = *seen.render ? strdup(seen.render) : NULL;
	}
	step = lacks(&seen, &reason);
	if (step < look->step) {
		look->step = step;
		free(look->reason);
		look->reason = TAKE_PTR(reason);
	}
}

static void look_read(const struct runner *r, const struct guest_answer *a, struct look *look)
{
	const char *text = a->out, *end = a->out + a->out_size;

	look->step = RUNNER_STEP_READY;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t size = (size_t)((newline ? newline : end) - text);

		look_line(r, text, size, look);
		text += size + 1;
	}
	if (look->found < r->devices) {
		free(look->reason);
		look->step = RUNNER_STEP_DEVICE;
		look->reason = xasprintf("the guest's PCI list shows %u of %u functions %04x:%04x",
					 look->found, r->devices, r->vendor_id, r->device_id);
	}
}

static void look_for_device(struct runner *r);

static void on_look(void *userdata, const struct guest_answer *a)
{
	_cleanup_(runner_unrefp) struct runner *r = runner_ref(userdata);
	_cleanup_(look_done) struct look look = { 0 };

	if (failed_program(r, RUNNER_STEP_DEVICE, a, "looking at the guest's devices",
			   look_for_device))
		return;
	look_read(r, a, &look);
	if (!look.complete || look.step != RUNNER_STEP_READY) {
		if (runner_set_step(r, look.step, look.reason))
			runner_pause(r, READY_PAUSE, look_for_device);
		return;
	}
	r->device = look.render ? xasprintf("/dev/dri/%s", look.render)
				: strdup(strempty(look.address));
	if (look.address && r->callbacks.on_device)
		r->callbacks.on_device(r->userdata, look.address, look.driver, look.render);
	if (runner_tell(r))
		run_ready(r);
}

static void look_for_device(struct runner *r)
{
	const char *words[] = { "look", r->root, NULL };

	if (!runner_tell(r))
		return;
	if (r->devices == 0)
		return run_ready(r);
	runner_launch(r, words, on_look);
}

/* ---- Agent, directory, launcher ------------------------------------------------------------ */

static void put_launcher(struct runner *r);

static void on_launcher(void *userdata, const struct guest_answer *a)
{
	struct runner *r = userdata;

	if (failed(r, RUNNER_STEP_EXEC, a, put_launcher) || !runner_set_step(r, RUNNER_STEP_EXEC, NULL))
		return;
	if (r->maybe_started)
		runner_forgo(r);
	else
		look_for_device(r);
}

static void put_launcher(struct runner *r)
{
	int fd = runner_text_file(launcher_text);

	if (fd < 0)
		return refuse_file(r, "the launcher", fd);
	guest_put(r->guest, r->launcher, fd, on_launcher, r);
}

static void prepare(struct runner *r);

static void on_prepared(void *userdata, const struct guest_answer *a)
{
	struct runner *r = userdata;

	if (failed_program(r, RUNNER_STEP_EXEC, a, "making a directory in the guest", prepare) ||
	    !runner_set_step(r, RUNNER_STEP_EXEC, NULL))
		return;
	if (streq(a->out, "claimed\n")) {
		/* an earlier daemon got this far: follow, never start */
		r->start_sent = true;
		runner_ask_status(r);
	} else if (r->was_started) {
		runner_finish(r, RUNNER_LOST, "the guest has no trace of the attempt");
	} else if (r->maybe_started && runner_gives_up(r)) {
		put_launcher(r); /* which makes sure that a start that was sent does not come yet */
	} else {
		r->maybe_started = false;
		runner_pause(r, 0, put_launcher); /* unless it was stopped */
	}
}

static void prepare(struct runner *r)
{
	const char *argv[] = { "/bin/sh", "-c", prepare_script, "sh", r->base, r->key, NULL };

	guest_exec(r->guest, argv, LAUNCHER_TIMEOUT, on_prepared, r);
}

static void on_info(void *userdata, const struct guest_answer *a)
{
	struct runner *r = userdata;

	if (failed(r, RUNNER_STEP_EXEC, a, runner_ready_begin) || !runner_set_step(r, RUNNER_STEP_EXEC, NULL))
		return;
	if (r->session)
		look_for_device(r);
	else
		prepare(r);
}

static void on_ping(void *userdata, const struct guest_answer *a)
{
	struct runner *r = userdata;

	if (failed(r, RUNNER_STEP_AGENT, a, runner_ready_begin))
		return;
	if (runner_try_step(r, RUNNER_STEP_EXEC))
		guest_info(r->guest, on_info, r);
}

void runner_ready_begin(struct runner *r)
{
	if (runner_tell(r))
		guest_ping(r->guest, on_ping, r);
}
