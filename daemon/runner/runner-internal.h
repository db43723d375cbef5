/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of a runner share: runner.c (life, ending, timers), runner-ready.c (until the
 * start), runner-follow.c (while it runs), runner-collect.c (outputs). */
#pragma once

#include <systemd/sd-event.h>

#include "runner/guest.h"
#include "runner/progress.h"
#include "runner/runner.h"

/* Below GUEST_ROOT. */
#define GUEST_BASE "/var/lib/gpuvf-guest"

/* A launcher command in a busy, emulated guest takes seconds; in a healthy one, hundredths. */
#define LAUNCHER_TIMEOUT (60 * USEC_PER_SEC)

enum { FOLLOWED_STDOUT, FOLLOWED_STDERR, FOLLOWED_PROGRESS, FOLLOWED_MAX };

/* A file of the guest that grows. */
struct followed {
	uint64_t offset; /* next byte to read */
	uint64_t handle;
	bool open;
	int fd; /* the host's copy; -1: only looked at */
	bool truncated;
	struct progress_reader *reader;
};

struct runner_staged {
	char *source;
};

struct runner {
	unsigned refs; /* the owner, and each function on the stack that calls back */
	bool dead;     /* runner_free() was called */
	sd_event *event;
	struct hypervisor *hypervisor;
	struct guest *guest;
	struct runner_callbacks callbacks;
	void *userdata;

	/* options */
	char *vm_uuid, *root, *base, *key, *directory,
		*launcher; /* directory, launcher: in the guest */
	char *plan, *files;
	struct runner_staged *staged;
	size_t n_staged;
	struct runner_options kept; /* what plan_command() needs, with copies below */
	json_t *command, *setup, *env, *gpuvf_env, *outputs_globs, *ready;
	char *shell, *run_as, *job_id;
	unsigned vendor_id, device_id, devices;
	uint64_t time_limit, limit_at /* boot clock; 0 = it counts from now */, grace, ready_timeout, silence, stuck_after;
	const char *signal_name;
	int host_directory;
	uint64_t output_max, files_max;
	bool session; /* nothing is started */
	bool was_started;
	char *boot_id; /* of the guest in which the command was started */

	/* state */
	enum runner_step step;
	char *step_reason;
	char *device;                    /* GPUVF_DEVICE */
	void (*again)(struct runner *r); /* what the pause timer runs */
	sd_event_source *pause, *deadline, *limit, *grace_timer;
	uint64_t pause_usec;
	size_t next_file;
	bool start_sent;   /* from here on only the guest can say that nothing was started */
	bool start_waits, start_noted; /* until on_start's word is durable */
	bool maybe_started; /* … as long as it was not asked what an earlier daemon left */
	bool forgone;      /* the guest knows that it is not to be started any more */
	uint64_t start_at; /* when it was */
	bool started;      /* on_started was called */
	bool ended;

	enum runner_stop stop; /* asked for */
	bool stop_sent, kill, kill_sent;
	uint64_t killed_at; /* the first SIGKILL came through */
	bool stuck;
	bool signalled; /* the guest says that a signal was sent: by us, or by an earlier daemon */
	bool tells_signalled; /* … and that it would say so */

	bool status_wanted;
	uint64_t status_at, silent_since;
	bool unreachable;
	unsigned gone_seen;
	struct followed followed[FOLLOWED_MAX];
	struct runner_progress progress;
	unsigned stream, budget;
	bool moved;
	bool exit_known;
	int exit_code;
	const char *refusal; /* constant text: it was not the command that exited */

	struct outputs *outputs;
	uint64_t outputs_handle;
	bool outputs_failed;
	size_t n_outputs;
};

/* ---- runner.c  */

/* Each returns false when the runner was freed in the callback. */
bool runner_set_step(struct runner *r, enum runner_step step, const char *reason);
/* Another try of a step, or its first: what the last one came to stays its reason until this one has come to something,
 * so that a deadline in the middle of a try has a word to tell. */
bool runner_try_step(struct runner *r, enum runner_step step);
bool runner_tell(struct runner *r);

/* Runs again() after a pause; every caller of guest_*() below goes on only when the runner lives.
 */
void runner_pause(struct runner *r, uint64_t usec, void (*again)(struct runner *r));

/* It is not to be started any more, if it was not yet: it was stopped, its guest's deadline is over, or the
 * policy names no user for it any more. */
bool runner_gives_up(const struct runner *r);

/* on_ended, once. */
void runner_finish(struct runner *r, enum runner_outcome outcome, const char *reason);

/* A file with this text, for guest_put(). Returns a descriptor or a negative errno. */
int runner_text_file(const char *text);
/* Path below the attempt's directory in the guest.  Returns new. */
char *runner_path(const struct runner *r, const char *name);
/* sh LAUNCHER WORDS…; words end with NULL, at most 8 and the globs. */
void runner_launch(struct runner *r, const char *const *words, guest_fn fn);
/* Sets a one-shot timer in *source. */
int runner_timer(struct runner *r, sd_event_source **source, uint64_t usec,
		 sd_event_time_handler_t fn);

/* Keeps the runner's memory over a callback. */
static inline struct runner *runner_ref(struct runner *r)
{
	r->refs++;
	return r;
}
void runner_unref(struct runner *r);
DEFINE_CLEANUP(struct runner *, runner_unref);

/* ---- runner-ready.c  */

void runner_ready_begin(struct runner *r);

/* ---- runner-follow.c  */

/* Asks the launcher what is, then goes on with whatever that is. */
void runner_ask_status(struct runner *r);
/* What may have been sent is not to begin any more: claims the attempt in its place, or finds that it has begun. */
void runner_forgo(struct runner *r);
void runner_on_status(void *userdata, const struct guest_answer *answer);
void runner_cycle(struct runner *r);

/* An agent that does not answer, while it runs.  Returns true when the answer was a failure and has
 * been dealt with: again() will be tried. */
bool runner_silence(struct runner *r, const struct guest_answer *answer,
		    void (*again)(struct runner *r));
/* Only tells that the guest is silent, or answers again.  Returns false when the runner was freed. */
bool runner_note_silence(struct runner *r, const struct guest_answer *answer);

/* ---- runner-collect.c  */

void runner_collect(struct runner *r);
