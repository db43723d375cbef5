/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One attempt in a guest: what makes it ready, runs, stops and ends it, and what a guest answers that means no good. */
#include "tests/support/runner-stage.h"

#include <fcntl.h>

#include "lib/io.h"
#include "machine/sim-guest-tree.h"

/* ---- A session: ready, and nothing else ---- */

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

/* Another VF left the VM while its guest was waited for. */
static void test_fewer_devices(void **state)
{
	struct fixture *f = *state;

	f->options.devices = 2;
	run_shell(f, "echo ran");
	run_until(f, strstr(f->step, "shows 1 of 2 functions"));
	runner_set_devices(f->runner, 3); /* more are not waited for */
	runner_set_devices(f->runner, 1);
	run_until(f, f->ended);
	assert_int_equal(f->result.outcome, RUNNER_EXITED);
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
		TEST(test_time_limit_is_noted_first),
		TEST(test_time_limit_of_one_that_is_stopped),
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
		TEST(test_fewer_devices),
		TEST(test_start_refused),
		TEST(test_start_refused_without_exit_code),
		TEST(test_exit_like_a_refusal),
		TEST(test_missing_file),
		TEST(test_one_hostile_answer),
		TEST(test_only_hostile_answers),
		TEST(test_freed_in_callbacks),
		TEST(test_options),
	};

	stage_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
