/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The runner against a made-up guest's agent, which runs the launcher for real, and which a test
 * can make silent, hostile or gone. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#include <cmocka.h>

#include "hypervisor/agent-answer.h"
#include "lib/io.h"
#include "lib/units.h"
#include "log/log.h"
#include "machine/sim-agent.h"
#include "machine/sim-guest-tree.h"
#include "runner/runner-internal.h"

#define UUID "aaaaaaaa-0000-4000-8000-000000000001"
#define BOOT_ID_FILE "proc/sys/kernel/random/boot_id"

/* ---- A hypervisor with one VM -------------------------------------------------------------- */

struct question {
	struct question *next;
	json_t *command;
	hv_reply_fn fn;
	void *userdata;
};

struct fake {
	struct hypervisor base;
	sd_event *event;
	sd_event_source *defer;
	struct sim_agent *agent;
	struct question *first, **last;
	unsigned count; /* of commands so far */

	/* What a test does to the answers. */
	enum hv_failure failure; /* every command fails so */
	const char *only;        /* … or only this one */
	bool no_exec;
	unsigned hostile_at;   /* the command with this number, from 1, … */
	const char *hostile;   /* … is answered with this "return" */
	unsigned hostile_from; /* every one from this number on */
};

static void answer(struct fake *f, struct question *q)
{
	_cleanup_(hv_reply_done) struct hv_reply reply = { 0 };
	const char *execute = json_get_string(q->command, "execute");

	f->count++;
	if (f->failure != HV_OK && (!f->only || streq(f->only, execute))) {
		reply.failure = f->failure;
		reply.message = strdup("as the test wants it");
	} else if (f->hostile && (f->count == f->hostile_at ||
				  (f->hostile_from && f->count >= f->hostile_from))) {
		reply.result = json_loads(f->hostile, JSON_DECODE_ANY, NULL);
		assert_non_null(reply.result);
	} else {
		reply.result = sim_agent_command(f->agent, q->command, f->no_exec, &reply.message);
		if (!reply.result)
			reply.failure = agent_error_classify(reply.message);
	}
	q->fn(q->userdata, &reply);
}

static int on_defer(sd_event_source *source, void *userdata)
{
	struct fake *f = userdata;
	struct question *q = f->first;

	f->first = q->next;
	if (!f->first)
		f->last = &f->first;
	answer(f, q);
	json_decref(q->command);
	free(q);
	if (f->first)
		sd_event_source_set_enabled(f->defer, SD_EVENT_ONESHOT);
	return 0;
}

static int fake_request(struct hypervisor *hv, const struct hv_request *request, hv_reply_fn fn,
			void *userdata)
{
	struct fake *f = (struct fake *)hv;
	struct question *q = calloc(1, sizeof(*q));

	assert_int_equal(hv_request_check(request), 0);
	assert_int_equal(request->op, HV_AGENT);
	assert_string_equal(request->uuid, UUID);
	q->command = json_incref(request->command);
	q->fn = fn;
	q->userdata = userdata;
	*f->last = q;
	f->last = &q->next;
	return sd_event_source_set_enabled(f->defer, SD_EVENT_ONESHOT);
}

static const struct hypervisor_ops fake_ops = { .name = "fake", .request = fake_request };

/* ---- Fixture ------------------------------------------------------------------------------- */

struct fixture {
	struct fake fake;
	char top[64], root[96];
	int directory;
	struct runner_options options;
	json_t *documents[8]; /* of the options, freed at the end */
	size_t n_documents;
	struct runner *runner;
	bool timed_out;
	bool keeps_start; /* the test itself says that the start is noted */
	bool keeps_limit; /* … and stops what is over its limit */

	/* what came */
	unsigned starts, limits, started, steps, outputs, progresses, unreachable, reachable, stuck, devices;
	char boot_id[37];
	char step[256];
	struct runner_progress progress;
	bool ended;
	struct runner_result result;
	char reason[256];
	int free_at; /* callback number at which the runner is freed */
	int callbacks;
};

static bool maybe_free(struct fixture *f)
{
	if (++f->callbacks != f->free_at)
		return false;
	f->runner = runner_free(f->runner);
	return true;
}

static void on_step(void *userdata, enum runner_step step, const char *reason)
{
	struct fixture *f = userdata;

	f->steps++;
	snprintf(f->step, sizeof(f->step), "%s: %s", runner_step_to_string(step), strempty(reason));
	maybe_free(f);
}

static void on_start(void *userdata)
{
	struct fixture *f = userdata;

	f->starts++;
	if (!maybe_free(f) && !f->keeps_start)
		runner_start_noted(f->runner, true);
}

static void on_device(void *userdata, const char *address, const char *driver, const char *render)
{
	struct fixture *f = userdata;

	assert_string_equal(address, "0000:02:00.0");
	f->devices++;
	maybe_free(f);
}

static void on_started(void *userdata, const char *boot_id, uint64_t pid, uint64_t start_time)
{
	struct fixture *f = userdata;

	assert_int_equal(strlen(boot_id), 36);
	assert_true(pid > 1 && start_time > 0);
	strcpy(f->boot_id, boot_id);
	f->started++;
	maybe_free(f);
}

static void on_output(void *userdata, enum runner_stream stream, uint64_t size)
{
	struct fixture *f = userdata;

	f->outputs++;
	maybe_free(f);
}

static void on_progress(void *userdata, const struct runner_progress *progress)
{
	struct fixture *f = userdata;

	f->progress = *progress;
	f->progresses++;
	maybe_free(f);
}

static void on_unreachable(void *userdata, const char *reason)
{
	struct fixture *f = userdata;

	assert_non_null(reason);
	f->unreachable++;
	maybe_free(f);
}

static void on_reachable(void *userdata)
{
	struct fixture *f = userdata;

	f->reachable++;
	maybe_free(f);
}

static void on_limit(void *userdata)
{
	struct fixture *f = userdata;

	f->limits++;
	if (!maybe_free(f) && !f->keeps_limit)
		runner_stop(f->runner, RUNNER_STOP_TIMEOUT, false);
}

static void on_ended(void *userdata, const struct runner_result *result)
{
	struct fixture *f = userdata;

	assert_false(f->ended);
	f->ended = true;
	f->result = *result;
	snprintf(f->reason, sizeof(f->reason), "%s", strempty(result->reason));
	maybe_free(f);
}

static void on_stuck(void *userdata, const char *reason)
{
	struct fixture *f = userdata;

	assert_string_equal(reason, "preempted");
	f->stuck++;
	maybe_free(f);
}

static int on_test_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	((struct fixture *)userdata)->timed_out = true;
	return 0;
}

/* Runs the loop until the condition holds; fails after a minute: the machine may be busy. */
#define run_until(f, condition)                                                                    \
	do {                                                                                       \
		sd_event_source *_timer = NULL;                                                    \
		assert_true(sd_event_add_time_relative((f)->fake.event, &_timer, CLOCK_MONOTONIC,  \
						       60 * USEC_PER_SEC, 0, on_test_deadline,     \
						       (f)) >= 0);                                 \
		while (!(condition) && !(f)->timed_out)                                            \
			/* a condition may be a file of the guest, which wakes nobody */           \
			assert_true(sd_event_run((f)->fake.event, USEC_PER_SEC / 20) >= 0);        \
		sd_event_source_disable_unref(_timer);                                             \
		if (!(condition))                                                                  \
			print_message("# step %s, ended %d, %s\n", (f)->step, (f)->ended,          \
				      (f)->reason);                                                \
		assert_true(condition);                                                            \
	} while (0)

/* Makes a timer of the runner due: where it is over must not depend on how fast the machine is. */
static void end_time(sd_event_source *timer)
{
	assert_non_null(timer);
	assert_true(sd_event_source_set_time_relative(timer, 0) >= 0);
}

static json_t *document(struct fixture *f, json_t *json)
{
	assert_non_null(json);
	f->documents[f->n_documents++] = json;
	return json;
}

static void plug(struct fixture *f)
{
	const struct sim_guest_device device = {
		.port = 1,
		.device_id = 0x56c0,
		.class_code = 0x038000,
		.driver = true,
		.bars = true,
	};

	assert_int_equal(sim_guest_tree_plug(f->root, &device), 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char host[128];

	strcpy(f->top, "/tmp/gpuvf-test-runner-XXXXXX");
	assert_non_null(mkdtemp(f->top));
	snprintf(f->root, sizeof(f->root), "%s/guest", f->top);
	snprintf(host, sizeof(host), "%s/attempt", f->top);
	assert_int_equal(mkdir(f->root, 0755), 0);
	assert_int_equal(mkdir(host, 0755), 0);
	f->directory = open(host, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->directory >= 0);
	assert_int_equal(sim_guest_tree_boot(f->root, true), 0);

	f->fake.base.ops = &fake_ops;
	f->fake.last = &f->fake.first;
	assert_int_equal(sd_event_new(&f->fake.event), 0);
	assert_true(sd_event_add_defer(f->fake.event, &f->fake.defer, on_defer, &f->fake) >= 0);
	assert_true(sd_event_source_set_enabled(f->fake.defer, SD_EVENT_OFF) >= 0);
	assert_int_equal(sim_agent_new(f->root, &f->fake.agent), 0);

	f->options = (struct runner_options){
		.event = f->fake.event,
		.hypervisor = &f->fake.base,
		.vm_uuid = UUID,
		.guest_root = f->root,
		.attempt_key = "7.1-abc",
		.job_key = "7-abc",
		.job_id = "7",
		.attempt = 1,
		.run_as = "trainer",
		.vendor_id = 0x8086,
		.device_id = 0x56c0,
		.devices = 1,
		.directory = f->directory,
		.userdata = f,
		.callbacks = { on_step, on_device, on_start, on_started, on_output, on_progress,
			       on_unreachable, on_reachable, on_limit, on_ended, on_stuck },
	};
	*state = f;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	runner_free(f->runner);
	/* answers to what was under way still come */
	while (f->fake.first)
		assert_true(sd_event_run(f->fake.event, 0) >= 0);
	sim_agent_free(f->fake.agent);
	sd_event_source_disable_unref(f->fake.defer);
	sd_event_unref(f->fake.event);
	safe_close(f->directory);
	for (size_t i = 0; i < f->n_documents; i++)
		json_decref(f->documents[i]);
	(void)nftw(f->top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return 0;
}

static void begin(struct fixture *f)
{
	_cleanup_free_ char *message = NULL;
	int r;

	r = runner_new(&f->options, &f->runner, &message);
	if (r < 0)
		print_message("# %s\n", strempty(message));
	assert_int_equal(r, 0);
}

static void run_shell(struct fixture *f, const char *text)
{
	plug(f);
	f->options.shell = text;
	begin(f);
}

static void assert_file(struct fixture *f, const char *name, const char *expected)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	assert_int_equal(read_file_at(f->directory, name, 1 << 20, &text, &size), 0);
	assert_string_equal(text, expected);
}

static bool file_has(struct fixture *f, const char *name, const char *part)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	return read_file_at(f->directory, name, 1 << 20, &text, &size) >= 0 && strstr(text, part);
}

/* ---- A session: ready, and nothing else ---- */

static bool guest_has(struct fixture *f, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", f->root, name);

	return access(path, F_OK) == 0;
}

static void test_session(void **state)
{
	struct fixture *f = *state;

	f->options.session = true;
	f->options.directory = -1;
	f->options.ready = document(f, json_pack("[s,s,s]", "sh", "-c", "exit 0"));
	begin(f);
	/* without the function it waits */
	run_until(f, strstr(f->step, "device: the guest's PCI list shows 0 of 1"));
	assert_false(f->ended);
	plug(f);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_IS_READY);
	assert_int_equal(f->devices, 1);
	assert_int_equal(f->started, 0);
	assert_int_equal(f->outputs, 0);
	runner_clean(f->runner);
	assert_ptr_equal(f->fake.first, NULL); /* there is nothing to clean */
	assert_false(guest_has(f, "var/lib/gpuvf-guest"));
	assert_int_equal(faccessat(f->directory, "stdout", F_OK, 0), -1);
}

static void test_session_ready_command(void **state)
{
	struct fixture *f = *state;
	const char text[] = "test -e \"$0\" || { echo not yet >&2; exit 3; }";
	_cleanup_free_ char *flag = xasprintf("%s/flag", f->top);

	plug(f);
	f->options.session = true;
	f->options.ready = document(f, json_pack("[s,s,s,s]", "sh", "-c", text, flag));
	begin(f);
	run_until(f, strstr(f->step, "the ready command exits 3: not yet"));
	assert_false(f->ended);
	assert_int_equal(close(open(flag, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_IS_READY);
}

static void test_session_ends_before(void **state)
{
	struct fixture *f = *state;

	f->options.session = true;
	begin(f);
	run_until(f, strstr(f->step, "PCI list"));
	end_time(f->runner->deadline);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_NEVER_READY);
	assert_non_null(strstr(f->reason, "PCI list"));

	f->runner = runner_free(f->runner);
	f->ended = false;
	begin(f);
	runner_stop(f->runner, RUNNER_STOP_CANCEL, false);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_CANCELLED);
}

static void test_session_refuses_a_command(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *message = NULL;

	f->options.session = true;
	f->options.shell = "true";
	assert_int_equal(runner_new(&f->options, &f->runner, &message), -EINVAL);
	assert_string_equal(message, "a session has no command, nor what belongs to one");
}

/* ---- Good ends ----------------------------------------------------------------------------- */

static void test_success(void **state)
{
	struct fixture *f = *state;
	const struct runner_file files[] = {
		{ .source = "given", .target = "in/given" },
		{ .source = "tool", .target = "tool", .mode = 0755 },
	};

	assert_int_equal(write_file_atomic_at(f->directory, "given", "data\n", 5, 0600), 0);
	assert_int_equal(write_file_atomic_at(f->directory, "tool",
					      "#!/bin/sh\necho \"tool: $1\"\n", 26, 0600),
			 0);
	f->options.files = files;
	f->options.n_files = 2;
	f->options.command = document(f, json_pack("[s,s]", "./tool", "it's \"quoted\" $HOME"));
	f->options.setup = document(
		f, json_pack("[s,s,s]", "cat in/given",
			     "echo $GPUVF_JOB_ID $GPUVF_ATTEMPT $GPUVF_DEVICE $GPUVF_VF $SECRET",
			     "mkdir -p adapter/x; echo one >adapter/a; echo two >adapter/x/b; echo "
			     "no >other; "
			     "ln -s /etc/passwd adapter/link; "
			     "echo '{\"step\": 3, \"total\": 10, \"loss\": 0.5, "
			     "\"vram_peak_bytes\": 77}'; echo e >&2"));
	f->options.env =
		document(f, json_pack("{s:s, s:s}", "SECRET", "a'b", "GPUVF_VF", "forged"));
	f->options.gpuvf_env = document(f, json_pack("{s:s}", "GPUVF_VF", "gpu0/vf1"));
	f->options.outputs = document(f, json_pack("[s,s]", "adapter/**", "*.none"));
	f->options.ready = document(f, json_pack("[s,s]", "sh", "-c"));
	assert_int_equal(json_array_append_new((json_t *)f->options.ready, json_string("exit 0")),
			 0);
	plug(f);
	begin(f);
	run_until(f, f->ended);

	assert_int_equal(f->result.outcome, RUNNER_EXITED);
	assert_int_equal(f->result.exit_code, 0);
	assert_int_equal(f->result.n_outputs, 2);
	assert_false(f->result.outputs_truncated);
	assert_int_equal(f->started, 1);
	assert_int_equal(f->devices, 1);
	assert_true(f->outputs >= 1 && f->progresses >= 1);
	assert_int_equal(f->progress.step.value, 3);
	assert_int_equal(f->progress.total.value, 10);
	assert_int_equal(f->progress.vram_peak_bytes.value, 77);
	assert_true(f->progress.has_loss && f->progress.loss == 0.5);
	assert_file(f, "stdout",
		    "data\n7 1 /dev/dri/renderD129 gpu0/vf1 a'b\n"
		    "{\"step\": 3, \"total\": 10, \"loss\": 0.5, \"vram_peak_bytes\": 77}\n"
		    "tool: it's \"quoted\" $HOME\n");
	assert_file(f, "stderr", "e\n");
	assert_file(f, "files/adapter/a", "one\n");
	assert_file(f, "files/adapter/x/b", "two\n");
	assert_int_equal(faccessat(f->directory, "files/adapter/link", F_OK, AT_SYMLINK_NOFOLLOW),
			 -1);
	assert_int_equal(faccessat(f->directory, "files/other", F_OK, 0), -1);
}

static void test_clean(void **state)
{
	struct fixture *f = *state;
	char path[256];

	run_shell(f, "exit 7");
	run_until(f, f->ended);
	assert_int_equal(f->result.exit_code, 7);
	snprintf(path, sizeof(path), "%s/var/lib/gpuvf-guest/jobs/7.1-abc", f->root);
	assert_int_equal(access(path, F_OK), 0);
	runner_clean(f->runner);
	f->runner = runner_free(f->runner);
	run_until(f, access(path, F_OK) < 0);
}

static void test_output_limit(void **state)
{
	struct fixture *f = *state;

	f->options.output_max = 100;
	run_shell(
		f,
		"i=0; while [ $i -lt 1000 ]; do echo 123456789; i=$((i + 1)); done; echo err >&2");
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_EXITED);
	assert_true(f->result.stdout_truncated);
	assert_false(f->result.stderr_truncated);
	assert_file(f, "stderr", "err\n");
	assert_file(f, "stdout",
		    "123456789\n123456789\n123456789\n123456789\n123456789\n"
		    "123456789\n123456789\n123456789\n123456789\n123456789\n");
}

/* ---- Stopping ------------------------------------------------------------------------------ */

#define TRAPPER "trap 'echo stopped; exit 143' TERM; echo up; while :; do sleep 0.05; done"
#define STUBBORN "trap '' TERM; echo up; while :; do sleep 0.05; done"

static void test_cancel(void **state)
{
	struct fixture *f = *state;

	run_shell(f, TRAPPER);
	run_until(f, file_has(f, "stdout", "up"));
	runner_stop(f->runner, RUNNER_STOP_CANCEL, false);
	runner_stop(f->runner, RUNNER_STOP_PREEMPT, false); /* the first word stays */
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_CANCELLED);
	assert_int_equal(f->result.exit_code, 143);
	assert_int_equal(f->result.signal, SIGTERM);
	assert_file(f, "stdout", "up\nstopped\n");
}

static void test_kill_after_grace(void **state)
{
	struct fixture *f = *state;

	f->options.grace_usec = USEC_PER_SEC / 10;
	run_shell(f, STUBBORN);
	run_until(f, file_has(f, "stdout", "up"));
	runner_stop(f->runner, RUNNER_STOP_PREEMPT, false);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_PREEMPTED);
	assert_int_equal(f->result.signal, SIGKILL);
}

static void test_kill_now(void **state)
{
	struct fixture *f = *state;

	run_shell(f, STUBBORN);
	run_until(f, file_has(f, "stdout", "up"));
	runner_stop(f->runner, RUNNER_STOP_CANCEL, true);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_CANCELLED);
	assert_int_equal(f->result.signal, SIGKILL);
}

static void test_time_limit(void **state)
{
	struct fixture *f = *state;

	f->options.time_limit_usec = USEC_PER_SEC / 2;
	run_shell(f, TRAPPER);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_TIMEOUT);
	assert_int_equal(f->started, 1);
	assert_int_equal(f->limits, 1);
}

/* No signal before its owner says that it was noted; nor a word of it when it is stopped anyway. */
static void test_time_limit_is_noted_first(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	f->options.time_limit_usec = USEC_PER_SEC / 10;
	f->keeps_limit = true;
	run_shell(f, "trap 'echo stopped; exit 143' TERM; echo up; while :; do echo; sleep 0.05; done");
	run_until(f, f->limits == 1);
	n = f->outputs;
	run_until(f, f->outputs > n + 2);
	assert_false(file_has(f, "stdout", "stopped"));
	runner_stop(f->runner, RUNNER_STOP_TIMEOUT, false);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_TIMEOUT);
	assert_int_equal(f->limits, 1);
	assert_true(file_has(f, "stdout", "stopped"));
}

static void test_time_limit_of_one_that_is_stopped(void **state)
{
	struct fixture *f = *state;

	f->options.time_limit_usec = 3600 * USEC_PER_SEC;
	f->options.grace_usec = USEC_PER_SEC / 2;
	run_shell(f, STUBBORN);
	run_until(f, file_has(f, "stdout", "up"));
	runner_stop(f->runner, RUNNER_STOP_CANCEL, false);
	end_time(f->runner->limit);
	run_until(f, !f->runner->limit);
	assert_false(f->ended);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_CANCELLED);
	assert_int_equal(f->limits, 0);
}

static void test_set_grace(void **state)
{
	struct fixture *f = *state;

	f->options.grace_usec = 3600 * USEC_PER_SEC;
	run_shell(f, STUBBORN);
	run_until(f, file_has(f, "stdout", "up"));
	runner_set_grace(f->runner, USEC_PER_SEC / 10);
	runner_stop(f->runner, RUNNER_STOP_PREEMPT, false);
	run_until(f, f->ended);
	assert_int_equal(f->result.signal, SIGKILL);
}

static void test_stop_before_start(void **state)
{
	struct fixture *f = *state;

	f->options.shell = "echo must not run";
	begin(f); /* no device is there: it waits */
	run_until(f, strstr(f->step, "device: the guest's PCI list shows 0 of 1"));
	runner_stop(f->runner, RUNNER_STOP_CANCEL, false);
	assert_false(f->ended);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_CANCELLED);
	assert_int_equal(f->started, 0);
}

/* ---- Never ready --------------------------------------------------------------------------- */

static void expect_never_ready(struct fixture *f, enum runner_step step, const char *words)
{
	f->options.shell = "echo must not run";
	begin(f);
	run_until(f, f->ended || strstr(f->step, words));
	if (!f->ended)
		end_time(f->runner->deadline);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_NEVER_READY);
	assert_int_equal(f->result.step, step);
	if (!strstr(f->reason, words))
		print_message("# reason: %s\n", f->reason);
	assert_non_null(strstr(f->reason, words));
	assert_int_equal(f->started, 0);
	assert_file(f, "stdout", "");
}

static void test_no_device(void **state)
{
	expect_never_ready(*state, RUNNER_STEP_DEVICE, "shows 0 of 1 functions 8086:56c0");
}

static void test_no_bars(void **state)
{
	struct fixture *f = *state;
	const struct sim_guest_device device = {
		.port = 1,
		.device_id = 0x56c0,
		.class_code = 0x038000,
		.driver = false,
		.bars = false,
	};

	assert_int_equal(sim_guest_tree_plug(f->root, &device), 0);
	expect_never_ready(f, RUNNER_STEP_BARS, "no memory (BARs)");
}

static void test_no_render_node(void **state)
{
	struct fixture *f = *state;
	char path[256];

	plug(f);
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/0000:02:00.0/drm/renderD129", f->root);
	assert_int_equal(rmdir(path), 0);
	expect_never_ready(f, RUNNER_STEP_RENDER, "no render node");
}

static void test_ready_command_fails(void **state)
{
	struct fixture *f = *state;

	plug(f);
	f->options.ready = document(
		f, json_pack("[s,s,s]", "sh", "-c", "printf 'no \\033[31mGPU\\n' >&2; exit 3"));
	expect_never_ready(f, RUNNER_STEP_READY, "exits 3: no \\x1b[31mGPU");
}

/* The deadline finds the second try in the middle: what the first one came to is the reason. */
static void test_ready_command_fails_and_is_tried(void **state)
{
	struct fixture *f = *state;
	const char text[] = "test -e \"$0\" || { touch \"$0\"; echo no GPU >&2; exit 3; }; touch \"$0.2\"; exec sleep 60";
	_cleanup_free_ char *flag = xasprintf("%s/flag", f->top), *second = xasprintf("%s.2", flag);

	plug(f);
	f->options.ready = document(f, json_pack("[s,s,s,s]", "sh", "-c", text, flag));
	f->options.shell = "echo must not run";
	begin(f);
	run_until(f, access(second, F_OK) == 0);
	end_time(f->runner->deadline);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_NEVER_READY);
	assert_non_null(strstr(f->reason, "the ready command exits 3: no GPU"));
}

static void test_no_exec(void **state)
{
	struct fixture *f = *state;

	f->fake.no_exec = true;
	plug(f);
	expect_never_ready(f, RUNNER_STEP_EXEC, "does not allow guest-exec");
}

static void test_no_agent(void **state)
{
	struct fixture *f = *state;

	f->fake.failure = HV_AGENT_ABSENT;
	expect_never_ready(f, RUNNER_STEP_AGENT, "as the test wants it");
}

static void test_silent_agent(void **state)
{
	struct fixture *f = *state;

	f->fake.failure = HV_AGENT_UNRESPONSIVE;
	expect_never_ready(f, RUNNER_STEP_AGENT, "as the test wants it");
}

static void test_ready_later(void **state)
{
	struct fixture *f = *state;

	f->fake.failure = HV_AGENT_UNRESPONSIVE;
	f->options.shell = "echo ran";
	begin(f);
	run_until(f, strstr(f->step, "agent: as the test"));
	f->fake.failure = HV_OK;
	run_until(f, strstr(f->step, "device: "));
	plug(f);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_EXITED);
	assert_file(f, "stdout", "ran\n");
}

/* A file stands where the work directory is to be. */
static void expect_refused_start(struct fixture *f)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/blocker", f->root);
	assert_int_equal(write_file_atomic_at(AT_FDCWD, path, "", 0, 0644), 0);
	f->options.workdir = "/blocker/sub";
	run_shell(f, "echo must not run");
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_START_REFUSED);
	assert_non_null(strstr(f->reason, "work directory"));
	assert_true(file_has(f, "stderr", "cannot enter the work directory"));
}

static void test_start_refused(void **state)
{
	expect_refused_start(*state);
}

/* Its supervisor died, or was about to write the exit code when we looked. */
static void test_start_refused_without_exit_code(void **state)
{
	struct fixture *f = *state;
	char command[256];

	snprintf(command, sizeof(command), "mkdir -p %s/var/lib/gpuvf-guest/jobs/7.1-abc/exit.tmp", f->root);
	assert_int_equal(system(command), 0);
	expect_refused_start(f);
}

/* The same code from the command itself is just that. */
static void test_exit_like_a_refusal(void **state)
{
	struct fixture *f = *state;

	run_shell(f, "exit 125");
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_EXITED);
	assert_int_equal(f->result.exit_code, 125);
}

static void test_missing_file(void **state)
{
	struct fixture *f = *state;
	const struct runner_file file = { .source = "none", .target = "x" };

	f->options.files = &file;
	f->options.n_files = 1;
	run_shell(f, "echo must not run");
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_START_REFUSED);
	assert_non_null(strstr(f->reason, "none cannot be read on the host"));
}

/* ---- Restarts and losses ------------------------------------------------------------------- */

/* Ends when the test removes the file "go" of the guest's root. */
#define COUNTING                                                                                   \
	"for i in 1 2 3; do echo line $i; done; while [ -e \"$GPUVF_VF\" ]; do sleep 0.05; done; " \
	"echo end"

static void hold(struct fixture *f, char path[static 256])
{
	snprintf(path, 256, "%s/go", f->root);
	assert_int_equal(write_file_atomic_at(AT_FDCWD, path, "", 0, 0644), 0);
	f->options.gpuvf_env = document(f, json_pack("{s:s}", "GPUVF_VF", path));
}

static void test_daemon_restarts(void **state)
{
	struct fixture *f = *state;
	char go[256];

	hold(f, go);
	run_shell(f, COUNTING);
	run_until(f, file_has(f, "stdout", "line 3"));
	f->runner = runner_free(f->runner);

	f->options.was_started = true;
	f->options.boot_id = f->boot_id;
	begin(f);
	run_until(f, f->started == 2);
	assert_int_equal(unlink(go), 0);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_EXITED);
	assert_file(f, "stdout", "line 1\nline 2\nline 3\nend\n");
}

static void restart(struct fixture *f, bool was_started)
{
	f->runner = runner_free(f->runner);
	f->options.was_started = was_started;
	f->options.boot_id = was_started ? f->boot_id : NULL;
	f->options.inherited = true;
	begin(f);
}

/* What an earlier daemon started runs in the guest, whether or not that was noted: a stop ends it there, and not before
 * the guest was asked. */
static void expect_stop_after_a_restart(struct fixture *f, bool was_started)
{
	run_shell(f, TRAPPER);
	run_until(f, f->started == 1 && file_has(f, "stdout", "up"));
	restart(f, was_started);
	runner_stop(f->runner, RUNNER_STOP_PREEMPT, false);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_PREEMPTED);
	assert_file(f, "stdout", "up\nstopped\n");
}

static void test_stop_after_a_restart(void **state)
{
	expect_stop_after_a_restart(*state, true);
}

/* What has passed counts from when the runner was made, also while its guest is silent; of one of which no daemon saw
 * the start nothing has. */
static void test_time_limit_after_a_restart(void **state)
{
	struct fixture *f = *state;

	run_shell(f, TRAPPER);
	run_until(f, f->started == 1 && file_has(f, "stdout", "up"));
	f->options.time_limit_usec = 3600 * USEC_PER_SEC;
	f->options.elapsed_usec = 3500 * USEC_PER_SEC;
	restart(f, true);
	run_until(f, f->started == 2);
	f->options.elapsed_usec = 7200 * USEC_PER_SEC;
	restart(f, false);
	run_until(f, f->started == 3);
	assert_int_equal(f->limits, 0);
	f->fake.failure = HV_AGENT_UNRESPONSIVE;
	f->options.silence_usec = 1;
	restart(f, true);
	run_until(f, f->unreachable > 0);
	f->fake.failure = HV_OK;
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_TIMEOUT);
	assert_int_equal(f->limits, 1);
	assert_file(f, "stdout", "up\nstopped\n");
}

static void test_stop_of_a_start_not_noted(void **state)
{
	expect_stop_after_a_restart(*state, false);
}

static void test_stop_of_what_was_never_started(void **state)
{
	struct fixture *f = *state;

	plug(f);
	f->options.shell = "echo must not run";
	f->options.inherited = true;
	begin(f);
	runner_stop(f->runner, RUNNER_STOP_CANCEL, false);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_CANCELLED);
	assert_int_equal(f->started, 0);
	assert_file(f, "stdout", "");
}

/* The start of an earlier daemon is still on its way in the guest when this one ends the attempt. */
static void expect_late_start(struct fixture *f, bool stopped)
{
	_cleanup_free_ char *start = xasprintf("cd '%s/var/lib/gpuvf-guest/jobs/7.1-abc' && sh ./launcher start \"$PWD\" | "
					       "grep -q '\"pid\":0,.*\"refused\":\"forgone\"'", f->root);

	plug(f);
	f->options.shell = "echo must not run";
	f->options.inherited = true;
	if (!stopped)
		f->fake.failure = HV_AGENT_UNRESPONSIVE;
	begin(f);
	if (stopped) {
		runner_stop(f->runner, RUNNER_STOP_CANCEL, false);
	} else {
		end_time(f->runner->deadline);
		run_until(f, !f->runner->deadline);
		f->fake.failure = HV_OK;
	}
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, stopped ? RUNNER_CANCELLED : RUNNER_NEVER_READY);
	assert_int_equal(system(start), 0);
}

static void test_start_comes_after_the_stop(void **state)
{
	expect_late_start(*state, true);
}

static void test_start_comes_after_the_deadline(void **state)
{
	expect_late_start(*state, false);
}

/* Only the guest knows, after a restart, whether it was the signal that ended it. */
static void test_signalled_before_a_restart(void **state)
{
	struct fixture *f = *state;

	run_shell(f, TRAPPER);
	run_until(f, f->started == 1 && file_has(f, "stdout", "up"));
	runner_stop(f->runner, RUNNER_STOP_PREEMPT, false);
	run_until(f, file_has(f, "stdout", "stopped"));
	restart(f, true);
	runner_stop(f->runner, RUNNER_STOP_PREEMPT, false);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_PREEMPTED);
	assert_int_equal(f->result.exit_code, 143);
}

static void test_ended_by_itself_before_a_restart(void **state)
{
	struct fixture *f = *state;
	char go[256], end[256];

	hold(f, go);
	run_shell(f, COUNTING);
	run_until(f, file_has(f, "stdout", "line 3"));
	f->runner = runner_free(f->runner);
	assert_int_equal(unlink(go), 0);
	snprintf(end, sizeof(end), "%s/var/lib/gpuvf-guest/jobs/7.1-abc/exit", f->root);
	run_until(f, access(end, F_OK) == 0);
	restart(f, true);
	runner_stop(f->runner, RUNNER_STOP_PREEMPT, false);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_EXITED);
	assert_int_equal(f->result.exit_code, 0);
}

/* It had ended by itself when the signal was asked for, and nobody had looked yet. */
static void test_ended_by_itself_before_a_look(void **state)
{
	struct fixture *f = *state;
	char go[256], end[256];

	hold(f, go);
	run_shell(f, COUNTING);
	run_until(f, file_has(f, "stdout", "line 3"));
	assert_int_equal(unlink(go), 0);
	snprintf(end, sizeof(end), "%s/var/lib/gpuvf-guest/jobs/7.1-abc/exit", f->root);
	for (int i = 0; access(end, F_OK) < 0; i++) { /* the guest goes on, the daemon does not */
		assert_true(i < 60000);
		assert_int_equal(usleep(1000), 0);
	}
	runner_stop(f->runner, RUNNER_STOP_PREEMPT, false);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_EXITED);
	assert_int_equal(f->result.exit_code, 0);
}

/* A launcher that says that it signalled, and does not: the command lives on as one that hangs in a driver. */
static void keep_from_signals(struct fixture *f)
{
	_cleanup_free_ char *path = xasprintf("%s/var/lib/gpuvf-guest/jobs/7.1-abc/launcher", f->root), *text = NULL, *all = NULL;

	assert_int_equal(read_file_at(AT_FDCWD, path, 1 << 20, &text, NULL), 0);
	all = xasprintf("[ \"$1\" != signal ] || set -- status \"$2\"\n%s", text);
	/* another file: the shell that watches the command goes on reading the old one */
	assert_int_equal(write_file_atomic_at(AT_FDCWD, path, all, strlen(all), 0700), 0);
}

static void test_what_sigkill_does_not_end(void **state)
{
	struct fixture *f = *state;
	char go[256];

	hold(f, go);
	f->options.grace_usec = f->options.stuck_usec = USEC_PER_SEC / 10;
	run_shell(f, COUNTING);
	run_until(f, file_has(f, "stdout", "line 3"));
	keep_from_signals(f);
	runner_stop(f->runner, RUNNER_STOP_PREEMPT, false);
	assert_false(runner_is_stuck(f->runner));
	run_until(f, f->stuck == 1);
	assert_true(runner_is_stuck(f->runner));
	assert_false(runner_is_silent(f->runner));
	assert_false(f->ended);
	assert_int_equal(unlink(go), 0); /* the driver lets go of it */
	run_until(f, f->ended);
	assert_int_equal(f->stuck, 1);
}

/* It runs there, for all anybody knows: no deadline for guests that are to be ready ends that. */
static void test_silence_after_a_restart(void **state)
{
	struct fixture *f = *state;
	char go[256];

	hold(f, go);
	run_shell(f, COUNTING);
	run_until(f, file_has(f, "stdout", "line 3"));
	f->options.silence_usec = USEC_PER_SEC;
	f->fake.failure = HV_AGENT_UNRESPONSIVE;
	restart(f, true);
	end_time(f->runner->deadline);
	run_until(f, f->unreachable == 1 && !f->runner->deadline);
	assert_false(f->ended);
	assert_int_equal(unlink(go), 0);
	f->fake.failure = HV_OK;
	run_until(f, f->ended);
	assert_int_equal(f->reachable, 1);
	assert_int_equal(f->result.outcome, RUNNER_EXITED);
}

/* The daemon dies before it could note the start: the next one finds the claim. */
static void test_start_not_noted(void **state)
{
	struct fixture *f = *state;

	run_shell(f, "echo once");
	run_until(f, f->started == 1);
	f->runner = runner_free(f->runner);
	begin(f);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_EXITED);
	assert_file(f, "stdout", "once\n");
}

/* Nothing is started before that is noted, nor if it cannot be. */
static void test_start_is_noted_first(void **state)
{
	struct fixture *f = *state;

	f->keeps_start = true;
	run_shell(f, "echo once");
	run_until(f, f->starts == 1);
	assert_false(guest_has(f, "var/lib/gpuvf-guest/jobs/7.1-abc/claim"));
	runner_start_noted(f->runner, false);
	run_until(f, f->starts == 2);
	assert_false(guest_has(f, "var/lib/gpuvf-guest/jobs/7.1-abc/claim"));
	runner_start_noted(f->runner, true);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_EXITED);
	assert_file(f, "stdout", "once\n");
}

static void test_stop_while_the_start_is_noted(void **state)
{
	struct fixture *f = *state;

	f->keeps_start = true;
	run_shell(f, "echo must not run");
	run_until(f, f->starts == 1);
	runner_stop(f->runner, RUNNER_STOP_CANCEL, false);
	runner_start_noted(f->runner, true);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_CANCELLED);
	assert_false(guest_has(f, "var/lib/gpuvf-guest/jobs/7.1-abc/claim"));
}

/* It may run there: the deadline of guests that are to be ready ends nothing, whatever the agent's silence is called. */
static void test_silence_after_a_start_not_noted(void **state)
{
	static const enum hv_failure failures[] = { HV_AGENT_UNRESPONSIVE, HV_AGENT_ABSENT };
	struct fixture *f = *state;
	char go[256];
	unsigned steps, count;

	hold(f, go);
	run_shell(f, COUNTING);
	run_until(f, file_has(f, "stdout", "line 3"));
	f->options.silence_usec = USEC_PER_SEC / 10;
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		f->fake.failure = failures[i];
		restart(f, false);
		steps = f->steps;
		run_until(f, f->steps > steps);
		end_time(f->runner->deadline);
		run_until(f, !f->runner->deadline);
		count = f->fake.count;
		run_until(f, f->fake.count > count + 1); /* it goes on asking */
		assert_false(f->ended);
		run_until(f, runner_is_silent(f->runner)); /* also when it is to be stopped */
		runner_stop(f->runner, RUNNER_STOP_CANCEL, false);
		assert_true(runner_is_silent(f->runner));
	}
	assert_int_equal(f->unreachable, 2);
	assert_int_equal(f->reachable, 0);
	assert_int_equal(unlink(go), 0);
	run_until(f, guest_has(f, "var/lib/gpuvf-guest/jobs/7.1-abc/exit")); /* by itself, not by our signal */
	f->fake.failure = HV_OK;
	run_until(f, f->reachable == 1);
	assert_false(runner_is_silent(f->runner));
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_EXITED);
	assert_file(f, "stdout", "line 1\nline 2\nline 3\nend\n");
}

/* It may have run, and the VM that knew is off: not "never ready", which would be tried again. */
static void test_vm_off_after_a_start_not_noted(void **state)
{
	struct fixture *f = *state;
	char go[256];

	hold(f, go);
	run_shell(f, COUNTING);
	run_until(f, file_has(f, "stdout", "line 3"));
	f->fake.failure = HV_NOT_RUNNING;
	restart(f, false);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_LOST);
	assert_int_equal(unlink(go), 0);
}

/* The rule that said as whom is gone: what runs is followed all the same, and what does not is not begun. */
static void test_nobody_to_run_as(void **state)
{
	struct fixture *f = *state;
	char go[256];

	hold(f, go);
	run_shell(f, COUNTING);
	run_until(f, file_has(f, "stdout", "line 3"));
	f->options.run_as = NULL;
	restart(f, true);
	run_until(f, f->started == 2);
	restart(f, false);
	run_until(f, f->started == 3);
	assert_int_equal(unlink(go), 0);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_EXITED);
	assert_file(f, "stdout", "line 1\nline 2\nline 3\nend\n");
}

static void test_nobody_to_begin_as(void **state)
{
	struct fixture *f = *state;

	plug(f);
	f->options.shell = "echo must not run";
	f->options.run_as = NULL;
	f->options.inherited = true;
	begin(f);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_NEVER_READY);
	assert_non_null(strstr(f->reason, "run_as"));
	assert_int_equal(f->started, 0);
	assert_file(f, "stdout", "");
}

static void test_no_trace(void **state)
{
	struct fixture *f = *state;

	f->options.was_started = true;
	run_shell(f, "echo must not run");
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_LOST);
	assert_file(f, "stdout", "");
}

static void test_guest_restarts(void **state)
{
	struct fixture *f = *state;
	char go[256], path[256];

	hold(f, go);
	run_shell(f, COUNTING);
	run_until(f, file_has(f, "stdout", "line 3"));
	snprintf(path, sizeof(path), "%s/" BOOT_ID_FILE, f->root);
	assert_int_equal(write_file_at(AT_FDCWD, path, "99999999-2222-3333-4444-555555555555\n"),
			 0);
	/* an agent that was restarted knows no handle */
	sim_agent_free(f->fake.agent);
	assert_int_equal(sim_agent_new(f->root, &f->fake.agent), 0);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_LOST);
	assert_non_null(strstr(f->reason, "restarted"));
	assert_int_equal(unlink(go), 0);
}

static void test_vm_off(void **state)
{
	struct fixture *f = *state;
	char go[256];

	hold(f, go);
	run_shell(f, COUNTING);
	run_until(f, f->started == 1);
	f->fake.failure = HV_NOT_RUNNING;
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_LOST);
	assert_int_equal(unlink(go), 0);
}

static void test_silence(void **state)
{
	struct fixture *f = *state;
	char go[256];

	hold(f, go);
	f->options.silence_usec = USEC_PER_SEC;
	run_shell(f, COUNTING);
	run_until(f, file_has(f, "stdout", "line 3"));
	f->fake.failure = HV_AGENT_UNRESPONSIVE;
	run_until(f, f->unreachable == 1);
	assert_false(f->ended);
	assert_int_equal(unlink(go), 0);
	f->fake.failure = HV_OK;
	run_until(f, f->ended);
	assert_int_equal(f->reachable, 1);
	assert_int_equal(f->result.outcome, RUNNER_EXITED);
	assert_file(f, "stdout", "line 1\nline 2\nline 3\nend\n");
}

/* ---- Hostile agents ------------------------------------------------------------------------ */

static const char *const hostile_answers[] = {
	"null",
	"7",
	"-1",
	"\"text\"",
	"[]",
	"{}",
	"{\"pid\": -1}",
	"{\"pid\": \"7\"}",
	"{\"pid\": 1e99}",
	"{\"exited\": true}",
	"{\"exited\": true, \"exitcode\": 0, \"out-data\": \"***\"}",
	"{\"exited\": true, \"exitcode\": 0, \"out-data\": \"e30K\"}", /* "{}\n" */
	"{\"exited\": true, \"signal\": 99999999}",
	"{\"count\": 5, \"buf-b64\": \"\", \"eof\": false}",
	"{\"count\": 99999999999, \"buf-b64\": \"YQ==\", \"eof\": false}",
	"{\"supported_commands\": {}}",
	"{\"supported_commands\": [7]}",
	"{\"supported_commands\": [{\"name\": \"guest-exec\", \"enabled\": true}]}",
};

/* One answer in the middle of everything is wrong: the attempt ends, one way or the other, and
 * never twice. */
static void test_one_hostile_answer(void **state)
{
	struct fixture *f = *state;

	plug(f);
	f->options.ready_timeout_usec = USEC_PER_SEC / 2;
	f->options.outputs = document(f, json_pack("[s]", "**"));
	f->options.shell = "echo hello; echo x >file";
	for (size_t i = 0; i < ARRAY_SIZE(hostile_answers); i++) {
		char key[32];

		snprintf(key, sizeof(key), "h.%zu", i);
		f->options.attempt_key = key;
		f->ended = false;
		f->fake.count = 0;
		f->fake.hostile = hostile_answers[i];
		f->fake.hostile_at = 1 + (unsigned)(i * 7) % 40;
		begin(f);
		run_until(f, f->ended);
		f->runner = runner_free(f->runner);
	}
}

/* From some point on every answer is wrong.  Before the start it ends by the deadline; after it, a
 * runner that learns nothing goes on asking, and can be freed. */
static void test_only_hostile_answers(void **state)
{
	struct fixture *f = *state;
	char go[256];

	hold(f, go);
	f->options.silence_usec = USEC_PER_SEC / 10;
	run_shell(f, COUNTING);
	run_until(f, f->started == 1);
	f->fake.hostile = "{\"exited\": true, \"exitcode\": 0, \"out-data\": \"e30K\"}";
	f->fake.hostile_from = 1;
	run_until(f, f->unreachable == 1);
	assert_false(f->ended);
	f->runner = runner_free(f->runner);
	assert_int_equal(unlink(go), 0);
}

/* Freed in the nth callback, whichever that is. */
static void test_freed_in_callbacks(void **state)
{
	struct fixture *f = *state;

	plug(f);
	f->options.shell = "echo '{\"step\": 1}'; echo hello >&2";
	for (int i = 1;; i++) {
		char key[32];

		snprintf(key, sizeof(key), "f.%d", i);
		f->options.attempt_key = key;
		f->ended = false;
		f->callbacks = 0;
		f->free_at = i;
		begin(f);
		run_until(f, f->ended || !f->runner);
		if (f->runner)
			break; /* it had fewer callbacks */
		while (f->fake.first)
			assert_true(sd_event_run(f->fake.event, 0) >= 0);
	}
	assert_true(f->free_at > 8);
}

/* ---- Options ------------------------------------------------------------------------------- */

static void refuse(struct fixture *f, const char *words)
{
	_cleanup_free_ char *message = NULL;
	struct runner *runner = NULL;

	assert_int_equal(runner_new(&f->options, &runner, &message), -EINVAL);
	assert_null(runner);
	assert_non_null(message);
	assert_non_null(strstr(message, words));
}

static void test_options(void **state)
{
	struct fixture *f = *state;
	struct runner_options good;
	struct runner_file file = { .source = "x", .target = "y\nz" };

	f->options.shell = "true";
	good = f->options;

	f->options.run_as = NULL;
	refuse(f, "run_as");
	f->options.run_as = "x; reboot";
	refuse(f, "run_as");
	f->options.was_started = f->options.inherited = true;
	refuse(f, "run_as");
	f->options.shell = NULL;
	f->options.was_started = false;
	f->options.session = true;
	f->options.run_as = NULL;
	refuse(f, "run_as");
	f->options = good;
	f->options.attempt_key = "../../etc";
	refuse(f, "keys");
	f->options = good;
	f->options.shell = NULL;
	refuse(f, "either command or shell");
	f->options.command = document(f, json_pack("[i]", 7));
	refuse(f, "array of strings");
	f->options.shell = "true";
	refuse(f, "either command or shell");
	f->options = good;
	f->options.env = document(f, json_pack("{s:s}", "A B", "x"));
	refuse(f, "env");
	f->options = good;
	f->options.workdir = "/tmp/\x1b[31m";
	refuse(f, "workdir");
	f->options = good;
	f->options.files = &file;
	f->options.n_files = 1;
	refuse(f, "file");
	f->options = good;
	f->options.checkpoint_signal = 4711;
	refuse(f, "signal");
	f->options = good;
	f->options.checkpoint_dir = "relative";
	refuse(f, "checkpoint");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_session),
		TEST(test_session_ready_command),
		TEST(test_session_ends_before),
		TEST(test_session_refuses_a_command),
		TEST(test_success),
		TEST(test_clean),
		TEST(test_output_limit),
		TEST(test_cancel),
		TEST(test_kill_after_grace),
		TEST(test_kill_now),
		TEST(test_time_limit),
		TEST(test_what_sigkill_does_not_end),
		TEST(test_time_limit_is_noted_first),
		TEST(test_time_limit_of_one_that_is_stopped),
		TEST(test_time_limit_after_a_restart),
		TEST(test_set_grace),
		TEST(test_stop_before_start),
		TEST(test_no_device),
		TEST(test_no_bars),
		TEST(test_no_render_node),
		TEST(test_ready_command_fails),
		TEST(test_ready_command_fails_and_is_tried),
		TEST(test_no_exec),
		TEST(test_no_agent),
		TEST(test_silent_agent),
		TEST(test_ready_later),
		TEST(test_start_refused),
		TEST(test_start_refused_without_exit_code),
		TEST(test_exit_like_a_refusal),
		TEST(test_missing_file),
		TEST(test_daemon_restarts),
		TEST(test_stop_after_a_restart),
		TEST(test_stop_of_a_start_not_noted),
		TEST(test_stop_of_what_was_never_started),
		TEST(test_signalled_before_a_restart),
		TEST(test_ended_by_itself_before_a_look),
		TEST(test_start_is_noted_first),
		TEST(test_stop_while_the_start_is_noted),
		TEST(test_silence_after_a_start_not_noted),
		TEST(test_start_comes_after_the_stop),
		TEST(test_start_comes_after_the_deadline),
		TEST(test_vm_off_after_a_start_not_noted),
		TEST(test_ended_by_itself_before_a_restart),
		TEST(test_silence_after_a_restart),
		TEST(test_start_not_noted),
		TEST(test_nobody_to_run_as),
		TEST(test_nobody_to_begin_as),
		TEST(test_no_trace),
		TEST(test_guest_restarts),
		TEST(test_vm_off),
		TEST(test_silence),
		TEST(test_one_hostile_answer),
		TEST(test_only_hostile_answers),
		TEST(test_freed_in_callbacks),
		TEST(test_options),
	};

	log_setup(LOG_ERR, false);
	/* what jobs leave behind is ours to reap */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
