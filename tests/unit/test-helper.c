/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host through real helper processes: this program is its own helper when called with
 * --helper.  A FIFO in the place of an attribute hangs like the kernel does. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <systemd/sd-event.h>

#include "host/host-ops.h"
#include "host/helper-spawn.h"
#include "lib/clock.h"
#include "lib/io.h"
#include "lib/units.h"
#include "tests/support/fake-gpu.h"

#define GPU_A "0000:03:00.0"
#define GPU_B "0000:04:00.0"
#define NUMVFS_A "bus/pci/devices/" GPU_A "/sriov_numvfs"
#define TEST_DEADLINE_USEC (20 * USEC_PER_SEC)
#define SHORT_USEC (300 * USEC_PER_MSEC)

struct stage {
	struct fake_gpu fake;
	sd_event *event;
	struct host *host;
	bool allow_debugfs;
	unsigned n_events[HOST_EVENT_MAX];
	char last_attribute[64];
};

struct result {
	bool done;
	int r;
	char attribute[64];
	char reason[256]; /* of the first GPU */
	size_t n_facts;
	enum vf_control way; /* of the first GPU */
	size_t n_vfs;        /* of the first GPU */
	size_t n_holders;
	int holder_pid;
	struct known value;
};

static void on_event(void *userdata, const struct host_event *event)
{
	struct stage *s = userdata;

	s->n_events[event->type]++;
	if (event->attribute)
		snprintf(s->last_attribute, sizeof(s->last_attribute), "%s", event->attribute);
}

static void on_reply(void *userdata, const struct host_reply *reply)
{
	struct result *result = userdata;

	assert_false(result->done);
	result->done = true;
	result->r = reply->r;
	result->value = reply->value;
	result->n_facts = reply->n_facts;
	result->n_holders = reply->n_holders;
	if (reply->n_holders > 0)
		result->holder_pid = reply->holders[0].pid;
	snprintf(result->attribute, sizeof(result->attribute), "%s", strempty(reply->attribute));
	if (reply->n_facts == 0)
		return;
	result->n_vfs = reply->facts[0]->n_vfs;
	result->way = reply->facts[0]->vf_control;
	snprintf(result->reason, sizeof(result->reason), "%s", strempty(reply->facts[0]->reason));
}

static struct pci_address address(const char *text)
{
	struct pci_address a;

	assert_int_equal(pci_address_parse(text, &a), 0);
	return a;
}

static void open_host(struct stage *s, const char *program)
{
	assert_int_equal(
		host_helper_new(s->event, program, s->fake.root, s->allow_debugfs, &s->host), 0);
	s->host->on_event = on_event;
	s->host->userdata = s;
	assert_true(s->host->ops->start(s->host) >= 0);
}

static int setup(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	fake_gpu_init(&s->fake);
	fake_gpu_add_pf(&s->fake, GPU_A, 7);
	fake_gpu_add_sriov_admin(&s->fake, GPU_A, 7);
	fake_gpu_add_pf(&s->fake, GPU_B, 3);
	assert_true(sd_event_new(&s->event) >= 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stage *s = *state;

	host_free(s->host);
	sd_event_unref(s->event);
	fake_gpu_done(&s->fake);
	free(s);
	return 0;
}

static void turn(struct stage *s, uint64_t begin)
{
	assert_true(now_boottime() - begin < TEST_DEADLINE_USEC);
	assert_true(sd_event_run(s->event, 100 * USEC_PER_MSEC) >= 0);
}

static void wait_result(struct stage *s, struct result *result)
{
	uint64_t begin = now_boottime();

	while (!result->done)
		turn(s, begin);
}

static void wait_event(struct stage *s, enum host_event_type type, unsigned n)
{
	uint64_t begin = now_boottime();

	while (s->n_events[type] < n)
		turn(s, begin);
}

static void send_request(struct stage *s, struct host_request request, struct result *ret)
{
	*ret = (struct result){ 0 };
	assert_int_equal(s->host->ops->request(s->host, &request, on_reply, ret), 0);
	assert_false(ret->done);
}

static struct result ask(struct stage *s, struct host_request request)
{
	struct result result;

	send_request(s, request, &result);
	wait_result(s, &result);
	return result;
}

static struct host_request to(const char *gpu, enum host_op op)
{
	return (struct host_request){ .op = op, .gpu = address(gpu) };
}

static void test_scan(void **state)
{
	struct stage *s = *state;
	struct result result;

	open_host(s, NULL);
	result = ask(s, (struct host_request){ .op = HOST_SCAN });
	assert_int_equal(result.r, 0);
	assert_int_equal(result.n_facts, 2);
	assert_string_equal(result.reason, "");
	result = ask(s, to("0000:09:00.0", HOST_READ));
	assert_int_equal(result.r, -ENODEV);
}

static void test_write(void **state)
{
	struct stage *s = *state;
	struct host_request request = to(GPU_A, HOST_SET_NUMVFS);
	_cleanup_free_ char *text = NULL;
	struct result result;

	open_host(s, NULL);
	request.value = 3;
	result = ask(s, request);
	assert_int_equal(result.r, 0);
	assert_true(result.value.known);
	assert_int_equal(result.value.value, 3);
	text = fake_gpu_read(&s->fake, NUMVFS_A);
	assert_string_equal(text, "3");
}

/* Everything about one hanging GPU: the answer, the event, the neighbours, the return. */
static void test_hang(void **state)
{
	struct stage *s = *state;
	struct host_request request = to(GPU_A, HOST_READ);
	struct result result, second;

	open_host(s, NULL);
	fake_gpu_enable_vfs(&s->fake, GPU_A, 2, 10);
	result = ask(
		s,
		request); /* it runs now: the deadline below is for the hang, not for its start */
	assert_int_equal(result.r, 0);
	fake_gpu_hang(&s->fake, NUMVFS_A);
	request.deadline_usec = SHORT_USEC;
	send_request(s, request, &result);
	send_request(s, to(GPU_A, HOST_HOLDERS), &second); /* waits behind it */
	wait_result(s, &result);
	assert_int_equal(result.r, -ETIMEDOUT);
	assert_string_equal(result.attribute, "sriov_numvfs");
	assert_int_equal(s->n_events[HOST_EVENT_STUCK], 1);
	assert_string_equal(s->last_attribute, "sriov_numvfs");
	wait_result(s, &second);
	assert_int_equal(second.r, -EBUSY);
	assert_string_equal(second.attribute, "sriov_numvfs");

	result = ask(s, to(GPU_B, HOST_READ));
	assert_int_equal(result.r, 0);
	result = ask(s, (struct host_request){ .op = HOST_SCAN });
	assert_int_equal(result.r, 0);
	assert_int_equal(result.n_facts, 2);
	assert_non_null(strstr(result.reason, "does not answer at sriov_numvfs"));
	assert_int_equal(result.n_vfs, 2); /* and its VFs are not forgotten */

	assert_int_equal(s->n_events[HOST_EVENT_UNSTUCK], 0);
	fake_gpu_release(&s->fake, "2\n", NUMVFS_A);
	wait_event(s, HOST_EVENT_UNSTUCK, 1);
	result = ask(s, to(GPU_A, HOST_READ));
	assert_int_equal(result.r, 0);
	assert_int_equal(s->n_events[HOST_EVENT_STUCK], 1);
}

static bool is_helper(const char *pid, int parent, const char *gpu)
{
	_cleanup_free_ char *stat = NULL, *cmdline = NULL;
	char path[NAME_MAX + 32];
	size_t size;
	int ppid;
	char *p;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	if (read_file_at(AT_FDCWD, path, 4096, &stat, NULL) < 0)
		return false;
	p = strrchr(stat, ')');
	if (!p || sscanf(p + 1, " %*c %d", &ppid) != 1 || ppid != parent)
		return false;
	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	return read_file_at(AT_FDCWD, path, 65536, &cmdline, &size) == 0 &&
	       memmem(cmdline, size, gpu, strlen(gpu));
}

/* The pid of a helper for this GPU whose parent is `parent`; 0 = none. */
static int find_helper(int parent, const char *gpu)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int pid = 0;

	assert_non_null(proc);
	while (pid == 0 && (entry = readdir(proc)))
		if (atoi(entry->d_name) > 0 && is_helper(entry->d_name, parent, gpu))
			pid = atoi(entry->d_name);
	closedir(proc);
	return pid;
}

static void test_helper_dies(void **state)
{
	struct stage *s = *state;
	struct host_request request = to(GPU_A, HOST_READ);
	struct result result;
	int pid;

	open_host(s, NULL);
	result = ask(s, to(GPU_A, HOST_READ)); /* it runs now */
	assert_int_equal(result.r, 0);
	pid = find_helper(getpid(), GPU_A);
	assert_true(pid > 0);
	fake_gpu_hang(&s->fake, NUMVFS_A);

	/* dies with a request in hand */
	send_request(s, request, &result);
	assert_true(sd_event_run(s->event, SHORT_USEC) >= 0); /* sends it */
	assert_int_equal(kill(pid, SIGKILL), 0);
	wait_result(s, &result);
	assert_int_equal(result.r, -EPIPE);
	assert_int_equal(s->n_events[HOST_EVENT_STUCK], 0);

	/* dies after it was given up */
	request.deadline_usec = SHORT_USEC;
	result = ask(s, request);
	assert_int_equal(result.r, -ETIMEDOUT);
	assert_int_equal(s->n_events[HOST_EVENT_STUCK], 1);
	pid = find_helper(getpid(), GPU_A);
	assert_true(pid > 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	wait_event(s, HOST_EVENT_UNSTUCK, 1);

	/* and is started again */
	fake_gpu_remove(&s->fake, NUMVFS_A);
	fake_gpu_write(&s->fake, "0\n", NUMVFS_A);
	result = ask(s, to(GPU_A, HOST_READ));
	assert_int_equal(result.r, 0);
}

/* A program that ends at once is not started over and over. */
static void test_start_limit(void **state)
{
	struct stage *s = *state;
	_cleanup_free_ char *script = xasprintf("%s/helper", s->fake.root);
	_cleanup_free_ char *text = NULL, *log = NULL;
	uint64_t begin = now_boottime(), windows;
	int i;

	text = xasprintf("#!/bin/sh\necho start >> %s/log\n", s->fake.root);
	fake_gpu_write(&s->fake, text, "helper");
	fake_gpu_chmod(&s->fake, 0755, "helper");
	open_host(s, script);
	for (i = 0; i < 12; i++) {
		struct result result = ask(s, to(GPU_A, HOST_READ));

		assert_int_equal(result.r, -EPIPE);
	}
	log = fake_gpu_read(&s->fake, "log");
	windows = 1 + (now_boottime() - begin) / (10 * USEC_PER_SEC);
	assert_true(strlen(log) + 1 <= windows * 5 * strlen("start\n"));
}

/* A host that takes its time to start a process: the deadline is for what it then does. */
static void test_slow_start(void **state)
{
	struct stage *s = *state;
	_cleanup_free_ char *script = xasprintf("%s/helper", s->fake.root), *text = NULL;
	struct host_request request = to(GPU_A, HOST_READ);
	char self[PATH_MAX];
	struct result result;

	text = xasprintf("#!/bin/sh\nsleep 1\nexec %s \"$@\"\n", helper_own_program(self, sizeof(self)));
	fake_gpu_write(&s->fake, text, "helper");
	fake_gpu_chmod(&s->fake, 0755, "helper");
	open_host(s, script);
	request.deadline_usec = SHORT_USEC;
	result = ask(s, request);
	assert_int_equal(result.r, 0);
	assert_int_equal(s->n_events[HOST_EVENT_STUCK], 0);
}

/* The configuration reaches the helper's command line, and only then debugfs is used. */
static void test_allow_debugfs(void **state)
{
	struct stage *s = *state;
	struct result result;

	fake_gpu_add_debugfs(&s->fake, GPU_B, true, 1, 3, 1 << 30);
	open_host(s, NULL);
	result = ask(s, to(GPU_B, HOST_READ));
	assert_int_equal(result.way, VF_CONTROL_GENERIC);
	host_free(s->host);
	s->allow_debugfs = true;
	open_host(s, NULL);
	result = ask(s, to(GPU_B, HOST_READ));
	assert_int_equal(result.way, VF_CONTROL_XE_DEBUGFS);
	result = ask(s, to(GPU_A, HOST_READ));
	assert_int_equal(result.way, VF_CONTROL_XE);
}

/* A hang in any of a way's files is told by the file's whole name. */
static void test_hang_in_a_way(void **state)
{
	static const char *const files[] = {"pf/gt/available/contexts_max_quota",
					    "pf/auto_provisioning", "vf2/gt/preempt_timeout_us"};
	struct stage *s = *state;
	struct host_request request = to(GPU_B, HOST_READ);
	struct result result;
	unsigned i;

	fake_gpu_add_i915(&s->fake, GPU_B, 0, "gt", 3, 0);
	fake_gpu_enable_vfs(&s->fake, GPU_B, 2, 20);
	open_host(s, NULL);
	result = ask(s, request);
	assert_int_equal(result.way, VF_CONTROL_I915);
	request.deadline_usec = SHORT_USEC;
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		fake_gpu_hang(&s->fake, "bus/pci/devices/" GPU_B "/drm/card0/prelim_iov/%s",
			      files[i]);
		result = ask(s, request);
		assert_int_equal(result.r, -ETIMEDOUT);
		assert_string_equal(result.attribute, strrchr(files[i], '/') + 1);
		fake_gpu_release(&s->fake, "1\n",
				 "bus/pci/devices/" GPU_B "/drm/card0/prelim_iov/%s", files[i]);
		wait_event(s, HOST_EVENT_UNSTUCK, i + 1);
	}
}

/* A daemon that is killed while its helper hangs; the next daemon must not touch that GPU. */
static void check_leftover(struct stage *s)
{
	struct result result;
	int status, pid;
	uint64_t begin;

	fake_gpu_hang(&s->fake, NUMVFS_A);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct stage child = {.fake = s->fake, .allow_debugfs = s->allow_debugfs};

		/* a failing test must not leave it behind */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || sd_event_new(&child.event) < 0)
			_exit(1);
		open_host(&child, NULL);
		send_request(&child, to(GPU_A, HOST_READ), &result);
		sd_event_loop(child.event);
		_exit(1);
	}
	begin = now_boottime();
	for (;;) { /* until its helper sits in the FIFO */
		_cleanup_free_ char *comm = NULL;
		char path[64];
		int helper = find_helper(pid, GPU_A);

		snprintf(path, sizeof(path), "/proc/%d/comm", helper);
		if (helper > 0 && read_file_at(AT_FDCWD, path, 64, &comm, NULL) == 0 &&
		    streq(trim_end(comm), "sriov_numvfs"))
			break;
		assert_true(now_boottime() - begin < TEST_DEADLINE_USEC);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);

	open_host(s, NULL);
	result = ask(s, to(GPU_A, HOST_READ));
	assert_int_equal(result.r, -EBUSY);
	assert_string_equal(result.attribute, "sriov_numvfs");
	assert_int_equal(s->n_events[HOST_EVENT_STUCK], 1);
	assert_string_equal(s->last_attribute, "sriov_numvfs");
	result = ask(s, (struct host_request){ .op = HOST_SCAN });
	assert_int_equal(result.r, 0);
	assert_non_null(strstr(result.reason, "does not answer at sriov_numvfs"));
	assert_int_equal(find_helper(getpid(), GPU_A), 0); /* nothing was started for it */

	fake_gpu_release(&s->fake, "0\n", NUMVFS_A);
	wait_event(s, HOST_EVENT_UNSTUCK, 1);
	result = ask(s, to(GPU_A, HOST_READ));
	assert_int_equal(result.r, 0);
}

static void test_leftover(void **state)
{
	check_leftover(*state);
}

/* Its command line has one word more. */
static void test_leftover_with_debugfs(void **state)
{
	struct stage *s = *state;

	s->allow_debugfs = true;
	check_leftover(s);
}

/* Never while a VF is open: the write does not happen. */
static void test_held(void **state)
{
	struct stage *s = *state;
	struct host_request request = to(GPU_A, HOST_SET_NUMVFS);
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct result result;
	int fd;

	open_host(s, NULL);
	fake_gpu_enable_vfs(&s->fake, GPU_A, 2, 10);
	fd = fake_gpu_open(&s->fake, "dev/vfio/11");
	result = ask(s, request);
	assert_int_equal(result.r, -EBUSY);
	assert_string_equal(result.attribute, "sriov_numvfs");
	assert_int_equal(result.n_holders, 1);
	assert_int_equal(result.holder_pid, getpid());
	before = fake_gpu_read(&s->fake, NUMVFS_A);
	assert_string_equal(before, "2");

	request = to(GPU_A, HOST_WAIT_CLOSED);
	request.vf = 2;
	request.deadline_usec = SHORT_USEC;
	result = ask(s, request);
	assert_int_equal(result.r, -ETIMEDOUT);
	assert_int_equal(result.n_holders, 1);
	assert_int_equal(s->n_events[HOST_EVENT_STUCK], 0);

	request.deadline_usec = TEST_DEADLINE_USEC;
	send_request(s, request, &result);
	assert_true(sd_event_run(s->event, SHORT_USEC) >= 0);
	safe_close(fd);
	wait_result(s, &result);
	assert_int_equal(result.r, 0);
	result = ask(s, to(GPU_A, HOST_SET_NUMVFS));
	assert_int_equal(result.r, 0);
	after = fake_gpu_read(&s->fake, NUMVFS_A);
	assert_string_equal(after, "0");
}

/* What does not speak the protocol gets a refusal, and the helper lives on. */
static void test_hostile_request(void **state)
{
	struct stage *s = *state;
	struct host_request request = to(GPU_A, HOST_SET_VF_ATTR);
	struct result result;

	open_host(s, NULL);
	request.attribute = VF_ATTR_VRAM; /* and no VF */
	result = ask(s, request);
	assert_int_equal(result.r, -EINVAL);
	result = ask(s, to(GPU_A, HOST_READ));
	assert_int_equal(result.r, 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_scan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hang, setup, teardown),
		cmocka_unit_test_setup_teardown(test_helper_dies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_allow_debugfs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hang_in_a_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leftover, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leftover_with_debugfs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_request, setup, teardown),
	};

	if (argc > 4 &&
	    streq(argv[1], "--helper")) /* …, --sysfs-root, its value, and for which GPU */
		return host_helper_main(3, argv[argc - 2], streq(argv[2], "--allow-debugfs")) < 0;

	return cmocka_run_group_tests(tests, NULL, NULL);
}
