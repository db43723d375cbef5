/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One attempt of a job inside a VM, through the QEMU guest agent: waits until the guest is
 * ready, starts the command by the launcher script, follows output and progress, signals it,
 * collects outputs.  Made by the manager, one runner per attempt; never blocks, calls back on the
 * loop.  Knows no job object, no store and no lease.
 *
 * Everything the agent answers is hostile: it is checked, bounded and never trusted with a path.
 *
 * What is left in the guest: GUEST_ROOT/var/lib/gpuvf-guest/jobs/ATTEMPT_KEY/ with claim, pid,
 * start time, boot id, stdout, stderr and exit code, until runner_clean(); and
 * checkpoints/JOB_KEY/, which stays.
 *
 * A session has no command: its runner ends when the guest is ready (RUNNER_IS_READY), and leaves
 * nothing in the guest. */
#pragma once

#include "hypervisor/hypervisor-ops.h"

struct sd_event;
struct runner;

/* What readiness still waits for, in this order.  The words are shown to users. */
enum runner_step {
	RUNNER_STEP_AGENT,  /* the guest agent answers */
	RUNNER_STEP_EXEC,   /* it allows exec and file commands */
	RUNNER_STEP_DEVICE, /* the guest's PCI list shows the function(s) */
	RUNNER_STEP_BARS,   /* the guest's kernel gave them memory */
	RUNNER_STEP_DRIVER, /* a driver is bound, where the guest has one for them */
	RUNNER_STEP_RENDER, /* and shows a render node */
	RUNNER_STEP_READY,  /* the policy's ready command succeeds */
	RUNNER_STEP_FILES,  /* files are written into the guest */
	RUNNER_STEP_START,  /* the launcher was told to start the command */
	RUNNER_STEP_RUNNING,
	RUNNER_STEP_STOPPING, /* the command was told to stop */
	RUNNER_STEP_OUTPUTS,  /* the command has ended; outputs are fetched */
	RUNNER_STEP_ENDED,
	RUNNER_STEP_MAX,
};
DECLARE_ENUM_TABLE(runner_step, enum runner_step);

enum runner_outcome {
	RUNNER_EXITED,   /* exit_code */
	RUNNER_SIGNALED, /* signal (the shell's 128 + n, which a command may also give by itself) */
	RUNNER_LOST, /* it ran, and nobody knows how it ended: guest restarted, VM off, traces gone
		      */
	RUNNER_NEVER_READY, /* the command was not started: step and reason tell what was missing */
	RUNNER_START_REFUSED, /* the guest cannot run it: no such user, work directory, … ; not
				 started */
	RUNNER_TIMEOUT,       /* time limit; stopped */
	RUNNER_CANCELLED,     /* runner_stop(RUNNER_STOP_CANCEL) */
	RUNNER_PREEMPTED,     /* runner_stop(RUNNER_STOP_PREEMPT) */
	RUNNER_IS_READY,      /* of a session: the guest shows the device, and ready succeeds */
	RUNNER_OUTCOME_MAX,
};
DECLARE_ENUM_TABLE(runner_outcome, enum runner_outcome);

enum runner_stream { RUNNER_STDOUT, RUNNER_STDERR, RUNNER_STREAM_MAX };
DECLARE_ENUM_TABLE(runner_stream,
		   enum runner_stream); /* "stdout", "stderr": also the files' names */

/* Borrowed by on_ended. */
struct runner_result {
	enum runner_outcome outcome;
	enum runner_step step; /* how far it came */
	const char *reason; /* in words, NULL when the outcome says all; foreign text is escaped */
	int exit_code;      /* -1 = none is known */
	int signal;         /* 0 = none */
	bool stdout_truncated;
	bool stderr_truncated;
	bool outputs_truncated; /* files were left out: limits, or names that are not taken */
	size_t n_outputs;
};

struct runner_progress {
	struct known step;
	struct known total;
	struct known vram_peak_bytes;
	bool has_loss;
	double loss;
};

/* All run on the loop, none inside runner_new(), runner_stop() or runner_clean().  runner_free() is
 * allowed in each. Any may be NULL. */
struct runner_callbacks {
	/* A new step, or the same one with another reason ("no such function in the guest yet"). */
	void (*on_step)(void *userdata, enum runner_step step, const char *reason);
	/* Which function of the guest it became: its address there, driver and render node (NULL =
	 * none). */
	void (*on_device)(void *userdata, const char *address, const char *driver,
			  const char *render);
	/* All is there for the start: note that durably, then call runner_start_noted().  NULL:
	 * it is started at once. */
	void (*on_start)(void *userdata);
	/* The command runs; save these three.  Also comes when a restarted daemon finds it again.
	 */
	void (*on_started)(void *userdata, const char *boot_id, uint64_t pid, uint64_t start_time);
	void (*on_output)(void *userdata, enum runner_stream stream,
			  uint64_t size); /* size of the host's file */
	void (*on_progress)(void *userdata, const struct runner_progress *progress);
	void (*on_unreachable)(void *userdata,
			       const char *reason); /* the agent is silent; polling goes on */
	void (*on_reachable)(void *userdata);
	/* Its time is over, and nobody else stops it: note that durably, then call
	 * runner_stop(RUNNER_STOP_TIMEOUT).  NULL: it is stopped at once. */
	void (*on_limit)(void *userdata);
	/* Exactly once, last, after outputs were fetched. */
	void (*on_ended)(void *userdata, const struct runner_result *result);
	/* Once: SIGKILL has not ended it for options.stuck_usec, though the guest answers; it is sent again all the same.
	 * reason: as of on_step. */
	void (*on_stuck)(void *userdata, const char *reason);
};

/* A staged snapshot on the host that goes into the guest before the start. */
struct runner_file {
	const char *source; /* path on the host, or below options.directory when relative */
	const char *target; /* path in the guest; relative = below the work directory */
	unsigned mode;      /* 0 = 0644 */
};

/* Borrowed during runner_new(), which copies what it keeps. */
struct runner_options {
	struct sd_event *event;
	struct hypervisor *hypervisor;
	const char *vm_uuid;
	const char *guest_root; /* domain_facts.guest_root: "" for a real VM */

	/* Name the attempt in the guest; letters, digits, '.', '_', '-', at most 80 bytes.  They
	 * must differ from those of every other daemon and every other life of the store
	 * ("12.1-9f3c…": id, attempt, random part that the store keeps): a directory found under
	 * this name *is* this attempt. */
	const char *attempt_key;
	const char
		*job_key; /* the same for all attempts of the job: names the checkpoint directory */

	const char *job_id;      /* GPUVF_JOB_ID */
	unsigned attempt;        /* GPUVF_ATTEMPT, from 1 */
	bool session;            /* there is nothing to start: neither a command, nor files, nor a
				  * directory on the host */
	const char *run_as;      /* user in the guest; NULL = refuse, but for what may run there already
				  * (was_started, inherited): that is followed, and never started */
	const json_t *command;   /* array of strings, or NULL when shell is set */
	const char *shell;       /* text for bash where the guest has it, else sh */
	const json_t *setup;     /* array of shell lines run before, or NULL */
	const json_t *env;       /* object of strings: the job's own, secrets included, or NULL */
	const json_t *gpuvf_env; /* the same, wins over env: GPUVF_VF, GPUVF_VRAM_BYTES,
				  * GPUVF_ARRAY_INDEX; the runner adds JOB_ID, ATTEMPT, RESUME,
				  * DEVICE, CHECKPOINT_DIR, PROGRESS_FILE */
	const char *workdir; /* absolute, or relative to the user's home; NULL = a fresh directory
				of the attempt */
	const char *checkpoint_dir; /* in the guest; NULL = checkpoints/JOB_KEY of ours */
	const struct runner_file *files;
	size_t n_files;
	const json_t
		*outputs; /* array of globs below the work directory ("adapter/" "**"), or NULL */
	const json_t *ready; /* argv of the policy, or NULL */

	unsigned vendor_id; /* of the VF as the guest sees it: 0x8086 */
	unsigned device_id; /* 0 = any */
	unsigned devices;   /* how many such functions the guest must show: all VFs that the VM now
			       holds; 0 = none */

	uint64_t time_limit_usec;    /* from the command's start, by the boot clock; 0 = none */
	uint64_t elapsed_usec;       /* how much of it has passed since an earlier daemon saw it start */
	int checkpoint_signal;       /* 0 = SIGTERM */
	uint64_t grace_usec;         /* 0 = 10 s; then SIGKILL */
	uint64_t ready_timeout_usec; /* for everything before the start; 0 = 5 min */
	uint64_t silence_usec;       /* until on_unreachable; 0 = 60 s */
	uint64_t stuck_usec;         /* from the first SIGKILL until on_stuck; 0 = 60 s */

	int directory; /* the attempt's directory on the host (duplicated): stdout, stderr, files/
			*/
	uint64_t output_max; /* per stream; 0 = 64 MiB */
	uint64_t files_max;  /* bytes of all outputs; 0 = 256 MiB */

	/* After a restart of the daemon: it was told of on_started.  Nothing is started again; no
	 * trace in the guest means LOST.  When it is not known whether the start got through, leave
	 * this false: a claim found in the guest is followed, never repeated.  Output goes on at
	 * the size of the host's files. */
	bool was_started;
	const char *boot_id; /* as saved, else NULL: another boot of the guest means LOST */
	/* An earlier daemon had this attempt, and may have sent the start: until the guest was asked nobody
	 * knows that nothing runs, and runner_stop() waits for its word.  was_started says so, too. */
	bool inherited;

	struct runner_callbacks callbacks;
	void *userdata;
};

/* Returns 0, -EINVAL with *ret_message (new, may be NULL) naming what is wrong, or another negative
 * errno. */
int runner_new(const struct runner_options *options, struct runner **ret, char **ret_message);

/* Forgets the attempt on this side; what runs in the guest goes on.  At any time. */
struct runner *runner_free(struct runner *r);
DEFINE_CLEANUP(struct runner *, runner_free);

enum runner_stop { RUNNER_STOP_NONE, RUNNER_STOP_CANCEL, RUNNER_STOP_PREEMPT, RUNNER_STOP_TIMEOUT };

/* How long the command has between the signal of a runner_stop() to come and SIGKILL, in place of options.grace_usec. */
void runner_set_grace(struct runner *r, uint64_t usec);

/* In place of options.devices, if that were more: the VM holds fewer VFs by now.  From the next look on. */
void runner_set_devices(struct runner *r, unsigned n);

/* checkpoint_signal to the process group, after the grace SIGKILL to the whole session; before the
 * start it just does not start.  A command that ended before a signal was sent, by whichever daemon,
 * has ended by itself.  Outputs are still fetched.  A second call changes nothing, except
 * now = true: SIGKILL without waiting.  on_ended follows; while the guest is unreachable it waits
 * for it. */
void runner_stop(struct runner *r, enum runner_stop why, bool now);

/* After on_start.  False: it could not be noted; nothing is started, and on_start comes again in a moment. */
void runner_start_noted(struct runner *r, bool noted);

/* The start was sent, or an earlier daemon may have sent it and the guest has not said yet that nothing came of it. */
bool runner_may_have_started(const struct runner *r);

/* The guest has not answered for options.silence_usec. */
bool runner_is_silent(const struct runner *r);
/* on_stuck was called. */
bool runner_is_stuck(const struct runner *r);

enum runner_step runner_step(const struct runner *r);

/* After on_ended: removes the attempt's directory in the guest, best effort, in the background. */
void runner_clean(struct runner *r);
