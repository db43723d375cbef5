/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attempts over the end of the daemon, of the guest and of the VM: nothing runs twice, and what is not known is not
 * guessed. */
#include "tests/support/runner-stage.h"

#include <fcntl.h>

#include "lib/io.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_sigkill_does_not_end),
		TEST(test_time_limit_after_a_restart),
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
	};

	stage_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
