/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The made-up guest agent with real files and real processes, and its refusals in qemu-ga's words. */
#include "machine/sim-agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "lib/base64.h"
#include "lib/clock.h"
#include "machine/sim-guest-tree.h"
#include "machine/sim-process.h"

struct guest {
	char root[32];
	struct sim_agent *agent;
	char *error;
	bool no_exec;
};

static int setup(void **state)
{
	struct guest *g = calloc(1, sizeof(*g));

	strcpy(g->root, "/tmp/gpuvf-agent-XXXXXX");
	assert_non_null(mkdtemp(g->root));
	assert_int_equal(sim_guest_tree_boot(g->root, true), 0);
	assert_int_equal(sim_agent_new(g->root, &g->agent), 0);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct guest *g = *state;
	_cleanup_free_ char *command = xasprintf("rm -rf %s", g->root);

	sim_process_kill_descendants();
	sim_agent_free(g->agent);
	free(g->error);
	assert_int_equal(system(command), 0);
	free(g);
	return 0;
}

/* Takes arguments.  Returns new, NULL = refused with g->error. */
static json_t *run(struct guest *g, const char *name, json_t *arguments)
{
	_cleanup_json_ json_t *command = json_pack("{s:s, s:o}", "execute", name, "arguments", arguments);

	free(g->error);
	g->error = NULL;
	return sim_agent_command(g->agent, command, g->no_exec, &g->error);
}

static void refuse(struct guest *g, const char *name, json_t *arguments, const char *expected)
{
	_cleanup_json_ json_t *result = run(g, name, arguments);

	assert_null(result);
	assert_non_null(g->error);
	if (!strstr(g->error, expected))
		fail_msg("\"%s\" does not contain \"%s\"", g->error, expected);
}

/* Runs guest-exec (takes arguments) and waits for the end.  Returns new: the status. */
static json_t *run_to_end(struct guest *g, json_t *arguments)
{
	_cleanup_json_ json_t *started = run(g, "guest-exec", arguments);
	uint64_t end = now_boottime() + UINT64_C(20000000);

	if (!started)
		fail_msg("%s", g->error);
	while (now_boottime() < end) {
		json_t *status = run(g, "guest-exec-status", json_copy(started));
		struct pollfd fds[4];

		assert_non_null(status);
		if (json_get_bool(status, "exited", false))
			return status;
		json_decref(status);
		(void)poll(fds, sim_agent_poll(g->agent, fds, 4), 10); /* output, or look again */
	}
	fail_msg("it does not end");
	return NULL;
}

static json_t *shell(struct guest *g, const char *line)
{
	return run_to_end(g, json_pack("{s:s, s:[s, s], s:b}", "path", "/bin/sh", "arg", "-c", line,
				       "capture-output", 1));
}

static void assert_data(const json_t *status, const char *name, const char *expected)
{
	const char *text = json_get_string(status, name);
	_cleanup_free_ char *data = NULL;
	size_t size;

	assert_non_null(text);
	assert_int_equal(base64_decode(text, strlen(text), (void **)&data, &size), 0);
	assert_string_equal(data, expected);
}

static void test_ping_and_sync(void **state)
{
	struct guest *g = *state;
	_cleanup_json_ json_t *pong = run(g, "guest-ping", json_object());
	_cleanup_json_ json_t *id = run(g, "guest-sync", json_pack("{s:i}", "id", 77));

	assert_int_equal(json_object_size(pong), 0);
	assert_int_equal(json_integer_value(id), 77);
	refuse(g, "guest-sync", json_object(), "Parameter 'id' is missing");
	refuse(g, "guest-sync", json_pack("{s:s}", "id", "x"), "Invalid parameter type for 'id'");
}

static void test_exec(void **state)
{
	struct guest *g = *state;
	_cleanup_json_ json_t *s = shell(g, "echo out; echo err >&2; exit 3");

	assert_int_equal(json_get_int(s, "exitcode", -1), 3);
	assert_data(s, "out-data", "out\n");
	assert_data(s, "err-data", "err\n");
}

static void test_exec_signal(void **state)
{
	_cleanup_json_ json_t *s = shell(*state, "kill -9 $$");

	assert_int_equal(json_get_int(s, "signal", -1), SIGKILL);
	assert_null(json_object_get(s, "exitcode"));
	assert_null(json_object_get(s, "out-data"));
}

static void test_status_is_given_once(void **state)
{
	struct guest *g = *state;
	_cleanup_json_ json_t *started = run(g, "guest-exec", json_pack("{s:s}", "path", "/bin/true"));
	json_t *status = NULL;
	struct pollfd none[1];

	assert_non_null(started);
	do {
		(void)poll(none, 0, 10);
		json_decref(status);
		status = run(g, "guest-exec-status", json_copy(started));
		assert_non_null(status);
	} while (!json_get_bool(status, "exited", false));
	json_decref(status);
	refuse(g, "guest-exec-status", json_copy(started), "Invalid parameter 'pid'");
}

static void test_environment_is_replaced(void **state)
{
	_cleanup_json_ json_t *with = NULL, *without = NULL;

	assert_int_equal(setenv("GPUVF_TEST_LEAK", "7", 1), 0);
	with = shell(*state, "exit ${GPUVF_TEST_LEAK:-0}");
	assert_int_equal(json_get_int(with, "exitcode", -1), 7); /* no "env": the agent's own */
	without = run_to_end(*state, json_pack("{s:s, s:[s, s], s:[s]}", "path", "/bin/sh", "arg", "-c",
					       "exit ${GPUVF_TEST_LEAK:-$A}", "env", "A=4"));
	assert_int_equal(json_get_int(without, "exitcode", -1), 4);
}

static void test_no_capture(void **state)
{
	_cleanup_json_ json_t *s = run_to_end(*state, json_pack("{s:s, s:[s]}", "path", "/bin/echo",
								"arg", "lost"));

	assert_int_equal(json_get_int(s, "exitcode", -1), 0);
	assert_null(json_object_get(s, "out-data"));
}

static void test_input_data(void **state)
{
	struct guest *g = *state;
	_cleanup_json_ json_t *s = NULL;

	refuse(g, "guest-exec", json_pack("{s:s, s:s}", "path", "/bin/cat", "input-data", "*"),
	       "Base64 data is not valid");
	s = run_to_end(g, json_pack("{s:s, s:s, s:b}", "path", "/bin/cat", "input-data", "aGFsbG8=",
				    "capture-output", 1));
	assert_data(s, "out-data", "hallo");
}

/* More than qemu-ga keeps: the rest is dropped and the process is not held up. */
static void test_long_output(void **state)
{
	_cleanup_json_ json_t *s = shell(*state, "head -c 17000000 /dev/zero");

	assert_int_equal(json_get_int(s, "exitcode", -1), 0);
	assert_true(json_get_bool(s, "out-truncated", false));
	assert_int_equal(strlen(json_get_string(s, "out-data")), ((16 << 20) + 2) / 3 * 4);
}

static void test_refused_exec(void **state)
{
	struct guest *g = *state;

	refuse(g, "guest-exec", json_object(), "Parameter 'path' is missing");
	refuse(g, "guest-exec", json_pack("{s:s}", "path", "/nope"), "No such file or directory");
	refuse(g, "guest-exec", json_pack("{s:s, s:s}", "path", "/bin/true", "arg", "x"),
	       "Invalid parameter type for 'arg'");
	refuse(g, "guest-exec", json_pack("{s:s, s:[i]}", "path", "/bin/true", "arg", 1),
	       "Invalid parameter type for 'arg[0]'");
	refuse(g, "guest-exec", json_pack("{s:s, s:s}", "path", "/bin/true", "user", "x"),
	       "Parameter 'user' is unexpected");
	refuse(g, "guest-format-disk", json_object(), "has not been found");
	g->no_exec = true;
	refuse(g, "guest-exec", json_pack("{s:s}", "path", "/bin/true"),
	       "Command guest-exec has been disabled: the command is not allowed");
}

static void test_info_lists_disabled(void **state)
{
	struct guest *g = *state;
	_cleanup_json_ json_t *info = NULL;
	json_t *list, *one;
	size_t i, disabled = 0;

	g->no_exec = true;
	info = run(g, "guest-info", json_object());
	list = json_object_get(info, "supported_commands");
	assert_true(json_array_size(list) > 8);
	json_array_foreach(list, i, one) {
		if (json_get_bool(one, "enabled", true))
			continue;
		disabled++;
		assert_memory_equal(json_get_string(one, "name"), "guest-exec", 10);
	}
	assert_int_equal(disabled, 2);
}

static int64_t open_file(struct guest *g, const char *path, const char *mode)
{
	_cleanup_json_ json_t *handle =
		run(g, "guest-file-open", json_pack("{s:s, s:s}", "path", path, "mode", mode));

	if (!handle)
		fail_msg("%s", g->error);
	return json_integer_value(handle);
}

static void test_files(void **state)
{
	struct guest *g = *state;
	_cleanup_json_ json_t *written = NULL, *closed = NULL, *seek = NULL, *read = NULL;
	_cleanup_free_ char *inside = xasprintf("%s/var/lib/x", g->root);
	int64_t h = open_file(g, "/var/lib/x", "w+");

	written = run(g, "guest-file-write", json_pack("{s:I, s:s}", "handle", (json_int_t)h, "buf-b64",
						       "aGFsbG8="));
	assert_int_equal(json_get_int(written, "count", -1), 5);
	assert_int_equal(access(inside, F_OK), 0); /* below the guest's root */
	seek = run(g, "guest-file-seek", json_pack("{s:I, s:i, s:s}", "handle", (json_int_t)h, "offset", 1,
						   "whence", "set"));
	assert_int_equal(json_get_int(seek, "position", -1), 1);
	read = run(g, "guest-file-read", json_pack("{s:I, s:i}", "handle", (json_int_t)h, "count", 100));
	assert_data(read, "buf-b64", "allo");
	assert_true(json_get_bool(read, "eof", false));
	closed = run(g, "guest-file-close", json_pack("{s:I}", "handle", (json_int_t)h));
	assert_non_null(closed);
	refuse(g, "guest-file-close", json_pack("{s:I}", "handle", (json_int_t)h), "has not been found");
	/* the full path on the host names the same file */
	assert_true(open_file(g, inside, "r") > h);
}

static void test_refused_files(void **state)
{
	struct guest *g = *state;
	int64_t h = open_file(g, "/var/lib/y", "w");

	refuse(g, "guest-file-open", json_pack("{s:s}", "path", "/etc/passwd"),
	       "failed to open file '/etc/passwd' (mode: 'r'): No such file or directory");
	refuse(g, "guest-file-open", json_pack("{s:s}", "path", "/var/../../../../etc/passwd"),
	       "Permission denied");
	refuse(g, "guest-file-open", json_pack("{s:s, s:s}", "path", "/x", "mode", "q"),
	       "invalid file open mode");
	refuse(g, "guest-file-read", json_pack("{s:I, s:i}", "handle", (json_int_t)h, "count", -1),
	       "invalid for argument count");
	refuse(g, "guest-file-read", json_pack("{s:I, s:i}", "handle", (json_int_t)h, "count", 1 << 30),
	       "invalid for argument count");
	refuse(g, "guest-file-read", json_pack("{s:I}", "handle", (json_int_t)h), "failed to read");
	refuse(g, "guest-file-write", json_pack("{s:I, s:s}", "handle", (json_int_t)h, "buf-b64", "a"),
	       "Base64 data is not valid");
	refuse(g, "guest-file-write", json_pack("{s:I, s:s, s:i}", "handle", (json_int_t)h, "buf-b64",
						"aGFsbG8=", "count", 6),
	       "invalid for argument count");
	refuse(g, "guest-file-seek", json_pack("{s:I, s:i, s:s}", "handle", (json_int_t)h, "offset", 1,
					       "whence", "up"),
	       "'whence' is invalid");
}

static void test_device_in_the_guest(void **state)
{
	struct guest *g = *state;
	struct sim_guest_device device = { .port = 2, .device_id = 0x56c0, .class_code = 0x038000,
					   .bars = true, .driver = true };
	_cleanup_json_ json_t *with = NULL, *without = NULL;

	assert_int_equal(sim_guest_tree_plug(g->root, &device), 0);
	with = shell(g, "cd sys/bus/pci/devices/0000:03:00.0 && cat vendor device class && "
			"basename $(readlink driver) && ls drm && head -c 18 resource && "
			"cat ../../drivers/xe/0000:03:00.0/vendor modalias");
	assert_data(with, "out-data", "0x8086\n0x56c0\n0x038000\nxe\nrenderD130\n0x0000003840000000"
				      "0x8086\npci:v00008086d000056C0sv00008086sd00000000bc03sc80i00\n");
	sim_guest_tree_unplug(g->root, 2);
	without = shell(g, "ls sys/bus/pci/devices sys/bus/pci/drivers/xe");
	assert_data(without, "out-data", "sys/bus/pci/devices:\n0000:00:00.0\n\nsys/bus/pci/drivers/xe:\n");
}

static void test_device_changed_by_the_guest(void **state)
{
	struct guest *g = *state;
	struct sim_guest_device device = { .port = 2, .device_id = 0x56c0, .class_code = 0x038000,
					   .bars = true, .driver = true };
	_cleanup_json_ json_t *changed = NULL, *without = NULL;

	assert_int_equal(sim_guest_tree_plug(g->root, &device), 0);
	changed = shell(g, "cd sys/bus/pci/devices/0000:03:00.0 && rm vendor && mkdir vendor && touch vendor/a drm/b more "
			   "&& echo done");
	assert_data(changed, "out-data", "done\n");
	sim_guest_tree_unplug(g->root, 2);
	without = shell(g, "ls sys/bus/pci/devices");
	assert_data(without, "out-data", "0000:00:00.0\n");
	sim_guest_tree_unplug(g->root, 2); /* nothing there */
}

static void test_guest_without_driver(void **state)
{
	struct guest *g = *state;
	_cleanup_json_ json_t *with = shell(g, "cat lib/modules/$(uname -r)/modules.alias"), *without = NULL;

	assert_data(with, "out-data", "alias pci:v00008086d*sv*sd*bc03sc*i* xe\n");
	assert_int_equal(sim_guest_tree_boot(g->root, false), 0);
	without = shell(g, "ls lib sys/bus/pci/drivers");
	assert_data(without, "out-data", "lib:\n\nsys/bus/pci/drivers:\n");
}

static void test_boot_id_is_new(void **state)
{
	struct guest *g = *state;
	_cleanup_json_ json_t *first = shell(g, "cat proc/sys/kernel/random/boot_id"), *second = NULL;

	assert_int_equal(sim_guest_tree_boot(g->root, true), 0);
	second = shell(g, "cat proc/sys/kernel/random/boot_id");
	assert_int_equal(strlen(json_get_string(first, "out-data")), 52); /* 37 bytes */
	assert_string_not_equal(json_get_string(first, "out-data"),
				json_get_string(second, "out-data"));
}

/* A daemon of the guest that left its session, group and parent is still found. */
static void test_everything_can_be_killed(void **state)
{
	struct guest *g = *state;
	_cleanup_json_ json_t *s = shell(g, "setsid sleep 1000 >/dev/null 2>&1 & "
					    "(setsid sh -c 'sleep 1000; :' >/dev/null 2>&1 &) ; echo $!");
	const char *text = json_get_string(s, "out-data");
	_cleanup_free_ char *pid = NULL;
	uint64_t ticks;
	size_t size;

	assert_int_equal(base64_decode(text, strlen(text), (void **)&pid, &size), 0);
	assert_int_equal(process_start_time(atoi(pid), &ticks), 0);
	sim_process_kill_descendants();
	assert_int_equal(process_start_time(atoi(pid), &ticks), -ESRCH);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ping_and_sync),	 TEST(test_exec),
		TEST(test_exec_signal),		 TEST(test_status_is_given_once),
		TEST(test_environment_is_replaced), TEST(test_no_capture),
		TEST(test_input_data),		 TEST(test_long_output),
		TEST(test_refused_exec),	 TEST(test_info_lists_disabled),
		TEST(test_files),		 TEST(test_refused_files),
		TEST(test_device_in_the_guest),	 TEST(test_guest_without_driver),
		TEST(test_boot_id_is_new),	 TEST(test_device_changed_by_the_guest),
		TEST(test_everything_can_be_killed),
	};

	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) /* as the guest's own process does */
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
