/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After the command: its outputs come over, then the attempt has ended. */
#include <stdio.h>

#include "lib/units.h"
#include "log/log.h"
#include "runner/outputs.h"
#include "runner/runner-internal.h"

/* The pack's lines and names, on top of the files' bytes. */
#define PACK_OVERHEAD (16 * MIB)
#define COLLECT_TIMEOUT (300 * USEC_PER_SEC)

static void end(struct runner *r)
{
	static const enum runner_outcome stopped[] = {
		[RUNNER_STOP_CANCEL] = RUNNER_CANCELLED,
		[RUNNER_STOP_PREEMPT] = RUNNER_PREEMPTED,
		[RUNNER_STOP_TIMEOUT] = RUNNER_TIMEOUT,
	};
	enum runner_outcome outcome = RUNNER_EXITED;

	r->n_outputs = r->outputs ? outputs_count(r->outputs) : 0;
	if (r->outputs && !outputs_complete(r->outputs))
		r->outputs_failed = true;
	/* One that ended before a signal was sent ended by itself, also when we had asked for one. */
	if (r->stop != RUNNER_STOP_NONE && (r->signalled || (r->stop_sent && !r->tells_signalled)))
		outcome = stopped[r->stop];
	else if (r->exit_code > 128 && r->exit_code <= 128 + 64)
		outcome = RUNNER_SIGNALED;
	runner_finish(r, outcome, NULL);
}

static void give_up(struct runner *r, const char *why)
{
	log_job(r->job_id, LOG_WARNING, 0, "Job %s: outputs are not complete: %s", r->job_id, why);
	r->outputs_failed = true;
	end(r);
}

static void collect_again(struct runner *r);

/* What the agent's answers so far hold is lost with them: from the beginning, while it is only
 * silence. */
static bool failed(struct runner *r, const struct guest_answer *a)
{
	if (a->failure == HV_OK)
		return false;
	if (a->failure == HV_NOT_RUNNING || a->failure == HV_NO_DOMAIN ||
	    a->failure == HV_AGENT_REFUSED || a->failure == HV_AGENT_GARBAGE || r->unreachable)
		give_up(r, a->message);
	else
		(void)runner_silence(r, a, collect_again);
	return true;
}

static void on_pack_read(void *userdata, const struct guest_answer *a)
{
	_cleanup_(runner_unrefp) struct runner *r = runner_ref(userdata);
	int q;

	if (failed(r, a))
		return;
	q = outputs_feed(r->outputs, a->data, a->size);
	if (q >= 0 && a->size > 0) {
		guest_read(r->guest, r->outputs_handle, GUEST_COPY_CHUNK, on_pack_read, r);
		return;
	}
	guest_close(r->guest, r->outputs_handle);
	if (q < 0)
		return give_up(r, q == -EBADMSG ? "what the guest packed makes no sense"
						: strerror(-q));
	end(r);
}

static void on_pack_opened(void *userdata, const struct guest_answer *a)
{
	_cleanup_(runner_unrefp) struct runner *r = runner_ref(userdata);

	if (failed(r, a))
		return;
	r->outputs_handle = a->handle;
	guest_read(r->guest, a->handle, GUEST_COPY_CHUNK, on_pack_read, r);
}

static void on_packed(void *userdata, const struct guest_answer *a)
{
	_cleanup_(runner_unrefp) struct runner *r = runner_ref(userdata);
	_cleanup_free_ char *path = NULL;

	if (failed(r, a))
		return;
	path = runner_path(r, "outputs");
	if (a->exit_code != 0 || !path)
		return give_up(r, "the guest could not pack them");
	guest_open(r->guest, path, 0, on_pack_opened, r);
}

/* sh LAUNCHER outputs DIRECTORY LIMIT GLOB… */
static void pack(struct runner *r)
{
	size_t n = json_array_size(r->outputs_globs), i;
	_cleanup_free_ const char **argv = calloc(n + 6, sizeof(*argv));
	_cleanup_free_ char **loose = calloc(n + 1, sizeof(*loose));
	char limit[32];
	const json_t *glob;

	if (!argv || !loose)
		return give_up(r, "out of memory");
	snprintf(limit, sizeof(limit), "%llu", (unsigned long long)(r->files_max + PACK_OVERHEAD));
	argv[0] = "/bin/sh";
	argv[1] = r->launcher;
	argv[2] = "outputs";
	argv[3] = r->directory;
	argv[4] = limit;
	json_array_foreach(r->outputs_globs, i, glob)
	{
		loose[i] = outputs_glob_loosen(strempty(json_string_value(glob)));
		argv[5 + i] = strempty(loose[i]);
	}
	guest_exec(r->guest, argv, COLLECT_TIMEOUT, on_packed, r);
	for (i = 0; i < n; i++)
		free(loose[i]);
}

static void collect_again(struct runner *r)
{
	int q;

	r->outputs = outputs_free(r->outputs);
	q = outputs_new(r->host_directory, r->outputs_globs, r->files_max, &r->outputs);
	if (q < 0)
		return give_up(r, strerror(-q));
	pack(r);
}

void runner_collect(struct runner *r)
{
	if (!runner_set_step(r, RUNNER_STEP_OUTPUTS, NULL))
		return;
	if (r->refusal)
		return runner_finish(r, RUNNER_START_REFUSED, r->refusal);
	if (json_array_size(r->outputs_globs) == 0)
		return end(r);
	collect_again(r);
}
