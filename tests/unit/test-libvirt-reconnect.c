/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A libvirtd of our own, unprivileged, with the test driver: what we notice when it dies, and that
 * we come back by ourselves. Skipped where libvirtd is not installed. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#include <cmocka.h>

#include "hypervisor/hypervisor-ops.h"
#include "lib/io.h"
#include "lib/units.h"
#include "log/log.h"

#define LIBVIRTD "/usr/sbin/libvirtd"
#define NOBODY 65534
#define VM_UUID "11111111-2222-3333-4444-555555555555"

/* See test-libvirt.c. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:libglib-2.0.so\nrace:libvirt.so.0\n";
}

struct fixture {
	char top[40], socket[80];
	pid_t libvirtd;
	sd_event *event;
	struct hypervisor *hv;
	bool timed_out;
	unsigned connected, lost, replies;
	unsigned stuck, unstuck, vm_stuck, vm_unstuck;
	enum hv_failure failure;
	size_t n_domains;
};

static void on_event(void *userdata, const struct hv_event *event)
{
	struct fixture *f = userdata;

	f->connected += event->type == HV_EVENT_CONNECTED;
	f->lost += event->type == HV_EVENT_LOST_CONNECTION;
	f->stuck += event->type == HV_EVENT_STUCK && !event->uuid;
	f->unstuck += event->type == HV_EVENT_UNSTUCK && !event->uuid;
	f->vm_stuck += event->type == HV_EVENT_STUCK && event->uuid && event->reason;
	f->vm_unstuck += event->type == HV_EVENT_UNSTUCK && event->uuid;
}

static void on_reply(void *userdata, const struct hv_reply *reply)
{
	struct fixture *f = userdata;

	f->failure = reply->failure;
	f->n_domains = reply->n_domains;
	f->replies++;
}

static int on_test_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	((struct fixture *)userdata)->timed_out = true;
	return 0;
}

/* Fails after a minute: libvirtd starts slowly on a busy machine. */
#define run_until(f, condition)                                                                    \
	do {                                                                                       \
		sd_event_source *_timer = NULL;                                                    \
		assert_true(sd_event_add_time_relative((f)->event, &_timer, CLOCK_MONOTONIC,       \
						       60 * USEC_PER_SEC, 0, on_test_deadline,     \
						       (f)) >= 0);                                 \
		while (!(condition) && !(f)->timed_out)                                            \
			assert_true(sd_event_run((f)->event, UINT64_MAX) >= 0);                    \
		sd_event_source_disable_unref(_timer);                                             \
		assert_true(condition);                                                            \
	} while (0)

static enum hv_failure list(struct fixture *f)
{
	const struct hv_request request = { .op = HV_LIST };
	unsigned before = f->replies;

	assert_int_equal(f->hv->ops->request(f->hv, &request, on_reply, f), 0);
	run_until(f, f->replies > before);
	return f->failure;
}

/* Never as root: it would take the host's own VMs and networks into its hands. */
static void become_libvirtd(const struct fixture *f)
{
	_cleanup_free_ char *config = xasprintf("%s/conf", f->top),
			    *pid = xasprintf("%s/pid", f->top);
	int null = open("/dev/null", O_RDWR);

	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			       setresuid(NOBODY, NOBODY, NOBODY) < 0))
		_exit(126);
	/* it does not outlive a test that crashed */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		_exit(126);
	setenv("HOME", f->top, 1);
	setenv("XDG_RUNTIME_DIR", f->top, 1);
	setenv("XDG_CONFIG_HOME", f->top, 1);
	setenv("XDG_CACHE_HOME", f->top, 1);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	execl(LIBVIRTD, LIBVIRTD, "-f", config, "-p", pid, (char *)NULL);
	_exit(127);
}

static void start_libvirtd(struct fixture *f)
{
	f->libvirtd = fork();
	assert_true(f->libvirtd >= 0);
	if (f->libvirtd == 0)
		become_libvirtd(f);
}

static void kill_libvirtd(struct fixture *f)
{
	if (f->libvirtd <= 0)
		return;
	kill(f->libvirtd, SIGKILL);
	(void)waitpid(f->libvirtd, NULL, 0);
	f->libvirtd = 0;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	_cleanup_free_ char *config = NULL, *path = NULL, *uri = NULL;

	strcpy(f->top, "/tmp/gpuvf-test-libvirtd-XXXXXX");
	assert_non_null(mkdtemp(f->top));
	snprintf(f->socket, sizeof(f->socket), "%s/libvirt-sock", f->top);
	path = xasprintf("%s/conf", f->top);
	config = xasprintf(
		"unix_sock_dir = \"%s\"\nauth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\n"
		"log_outputs = \"4:file:/dev/null\"\n",
		f->top);
	assert_int_equal(write_file_atomic_at(AT_FDCWD, path, config, strlen(config), 0644), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(f->top, NOBODY, NOBODY), 0);

	assert_int_equal(sd_event_new(&f->event), 0);
	uri = xasprintf("test+unix:///default?socket=%s", f->socket);
	assert_int_equal(hypervisor_libvirt_new(f->event, uri, &f->hv, NULL), 0);
	f->hv->on_event = on_event;
	f->hv->userdata = f;
	*state = f;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)remove(path);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	hypervisor_free(f->hv);
	kill_libvirtd(f);
	sd_event_unref(f->event);
	(void)nftw(f->top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static void test_comes_back(void **state)
{
	struct fixture *f = *state;

	/* libvirtd comes up after us */
	assert_int_equal(f->hv->ops->start(f->hv), 0);
	assert_int_equal(list(f), HV_DISCONNECTED);
	start_libvirtd(f);
	run_until(f, f->connected == 1);
	assert_int_equal(list(f), HV_OK);
	assert_int_equal(f->n_domains, 1);

	kill_libvirtd(f);
	run_until(f, f->lost == 1);
	assert_int_equal(list(f), HV_DISCONNECTED);

	start_libvirtd(f);
	run_until(f, f->connected == 2);
	assert_int_equal(list(f), HV_OK);
	assert_int_equal(f->lost, 1);
}

/* What is under way when it dies is answered, each once. */
static void test_dies_under_load(void **state)
{
	struct fixture *f = *state;
	const struct hv_request request = { .op = HV_LIST };

	start_libvirtd(f);
	assert_int_equal(f->hv->ops->start(f->hv), 0);
	run_until(f, f->connected == 1);
	kill(f->libvirtd, SIGSTOP); /* so that nothing is answered before */
	for (int i = 0; i < 20; i++)
		assert_int_equal(f->hv->ops->request(f->hv, &request, on_reply, f), 0);
	kill_libvirtd(f);
	run_until(f, f->replies == 20 && f->lost == 1);
	assert_int_equal(f->failure, HV_DISCONNECTED);
}

/* It is there and answers nothing, for less time than it takes to be called dead. */
static void test_hangs(void **state)
{
	struct fixture *f = *state;
	const struct hv_request requests[] = {
		{ .op = HV_LIST, .deadline_usec = 100 * USEC_PER_MSEC },
		{ .op = HV_START, .uuid = VM_UUID, .deadline_usec = 100 * USEC_PER_MSEC },
		{ .op = HV_SHUTDOWN, .uuid = VM_UUID, .deadline_usec = 100 * USEC_PER_MSEC },
		{ .op = HV_AGENT,
		  .uuid = "22222222-2222-3333-4444-555555555555",
		  .command = json_pack("{}"),
		  .deadline_usec = 100 * USEC_PER_MSEC },
	};

	start_libvirtd(f);
	assert_int_equal(f->hv->ops->start(f->hv), 0);
	run_until(f, f->connected == 1);
	kill(f->libvirtd, SIGSTOP);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		assert_int_equal(f->hv->ops->request(f->hv, &requests[i], on_reply, f), 0);
	json_decref(requests[3].command);
	run_until(f, f->replies == 4);
	assert_int_equal(f->failure, HV_TIMEOUT);
	assert_int_equal(f->stuck, 1);
	assert_int_equal(f->vm_stuck, 1); /* once, and not for a silent agent */
	assert_int_equal(f->unstuck + f->vm_unstuck, 0);
	kill(f->libvirtd, SIGCONT);
	run_until(f, f->unstuck == 1 && f->vm_unstuck == 1);
	assert_int_equal(list(f), HV_OK);
	assert_int_equal(f->replies, 5); /* nobody was answered twice */

	/* what hangs when the connection breaks is not told: there is nothing left to return */
	kill(f->libvirtd, SIGSTOP);
	assert_int_equal(f->hv->ops->request(f->hv, &requests[0], on_reply, f), 0);
	run_until(f, f->stuck == 2);
	kill_libvirtd(f);
	run_until(f, f->lost == 1);
	start_libvirtd(f);
	run_until(f, f->connected == 2);
	assert_int_equal(list(f), HV_OK);
	assert_int_equal(f->unstuck, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dies_under_load, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hangs, set_up, tear_down),
	};

	if (access(LIBVIRTD, X_OK) < 0) {
		/* Not cmocka's skip(): it prints "not ok", which counts as a failure. */
		puts("1..0 # SKIP " LIBVIRTD " is not installed");
		return 0;
	}
	log_setup(LOG_ERR, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
