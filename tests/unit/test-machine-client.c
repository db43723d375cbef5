/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's client against a real gpuvf-machine: answers, deadlines, stuck GPUs, events, and a machine that
 * outlives its daemons and dies. */
#include "machine/machine-ops.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include <cmocka.h>

#include "lib/base64.h"
#include "lib/clock.h"
#include "lib/io.h"
#include "lib/line-buffer.h"
#include "lib/units.h"

#define PATIENCE (20 * USEC_PER_SEC) /* for what must come; far more than it takes */

struct fixture {
	char dir[32];
	char socket[64];
	char document[64];
	char *program;
	sd_event *event;
	struct machine *m;
	/* what came last, or how often */
	int answers;
	struct host_reply host; /* r, value and counts only; holders' first pid in pid */
	int holder_pid;
	unsigned num_vfs;
	struct hv_reply hv;
	unsigned host_events[HOST_EVENT_MAX];
	unsigned hv_events[HV_EVENT_MAX];
	char attribute[64]; /* of the last answer */
	char alias[64];
};

static struct fixture *fixture; /* callbacks of events have no better place */

static void on_host_event(void *userdata, const struct host_event *event)
{
	fixture->host_events[event->type]++;
}

static void on_hv_event(void *userdata, const struct hv_event *event)
{
	fixture->hv_events[event->type]++;
	if (event->alias)
		snprintf(fixture->alias, sizeof(fixture->alias), "%s", event->alias);
}

static void connect_machine(struct fixture *f, const char *document)
{
	_cleanup_free_ char *message = NULL;
	int r;

	r = machine_connect(f->event, f->program, f->socket, document, false, &f->m, &message);
	if (r < 0)
		fail_msg("%s", strempty(message));
	machine_host(f->m)->on_event = on_host_event;
	machine_hypervisor(f->m)->on_event = on_hv_event;
	assert_int_equal(machine_host(f->m)->ops->start(machine_host(f->m)), 0);
	assert_int_equal(machine_hypervisor(f->m)->ops->start(machine_hypervisor(f->m)), 0);
}

static void write_document(struct fixture *f, const char *text)
{
	FILE *file = fopen(f->document, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static const char document[] =
	"{\"gpus\": [{\"model\": \"Flex 170\", \"count\": 2}],"
	" \"vms\": [{\"name\": \"a\"}, {\"name\": \"b\"}, {\"name\": \"off\", \"state\": \"off\"}],"
	" \"linger_seconds\": 20}";

static int setup(void **state)
{
	const char *build = getenv("abs_top_builddir");
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/gpuvf-client-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->socket, sizeof(f->socket), "%s/machine.sock", f->dir);
	snprintf(f->document, sizeof(f->document), "%s/d.json", f->dir);
	f->program = xasprintf("%s/gpuvf-machine", build ? build : ".");
	assert_int_equal(sd_event_new(&f->event), 0);
	write_document(f, document);
	fixture = f;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *stop = xasprintf("%s --stop %s 2>/dev/null; rm -rf %s", f->program, f->dir,
					      f->dir);

	machine_free(f->m);
	sd_event_unref(f->event);
	assert_int_equal(system(stop), 0);
	hv_reply_done(&f->hv);
	free(f->program);
	free(f);
	return 0;
}

/* Runs the loop until *counter reaches n. */
static void wait_until(struct fixture *f, const unsigned *counter, unsigned n)
{
	uint64_t end = now_boottime() + PATIENCE;

	while (*counter < n) {
		if (now_boottime() > end)
			fail_msg("waited in vain: %u of %u", *counter, n);
		assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
	}
}

static void on_host_reply(void *userdata, const struct host_reply *reply)
{
	struct fixture *f = userdata;

	f->answers++;
	f->host.r = reply->r;
	f->host.value = reply->value;
	f->host.n_facts = reply->n_facts;
	f->host.n_holders = reply->n_holders;
	f->holder_pid = reply->n_holders > 0 ? reply->holders[0].pid : 0;
	f->num_vfs = reply->n_facts > 0 ? reply->facts[0]->num_vfs : 0;
	snprintf(f->attribute, sizeof(f->attribute), "%s", strempty(reply->attribute));
}

static void on_hv_reply(void *userdata, const struct hv_reply *reply)
{
	struct fixture *f = userdata;

	f->answers++;
	hv_reply_done(&f->hv);
	f->hv.failure = reply->failure;
	(void)free_and_strdup(&f->hv.message, reply->message);
	f->hv.result = json_incref(reply->result);
	f->hv.n_domains = 0;
	f->num_vfs = (unsigned)reply->n_domains;
}

static void ask_host(struct fixture *f, const struct host_request *request)
{
	struct host *host = machine_host(f->m);
	int before = f->answers;

	assert_int_equal(host->ops->request(host, request, on_host_reply, f), 0);
	assert_int_equal(f->answers, before); /* never inside the request */
}

/* One request to the first GPU and its answer. */
static int host_op(struct fixture *f, enum host_op op, unsigned vf, enum vf_attribute attribute,
		   uint64_t value, uint64_t deadline)
{
	struct host_request request = { .op = op, .gpu = { 0, 3, 0, 0 }, .vf = vf,
					.attribute = attribute, .value = value,
					.deadline_usec = deadline };
	unsigned answers = (unsigned)f->answers;

	ask_host(f, &request);
	wait_until(f, (unsigned *)&f->answers, answers + 1);
	return f->host.r;
}

static void uuid_of(struct fixture *f, const char *name, char uuid[static 37]);

static enum hv_failure hv_op(struct fixture *f, enum hv_op op, const char *vm, const char *address,
			     json_t *command, uint64_t deadline)
{
	struct hypervisor *hv = machine_hypervisor(f->m);
	_cleanup_json_ json_t *keep = command;
	char uuid[37];
	struct hv_request request = { .op = op, .uuid = uuid, .alias = "ua-gpuvf-1", .live = true,
				      .command = command, .deadline_usec = deadline };
	unsigned answers = (unsigned)f->answers;

	uuid_of(f, vm, uuid);
	if (address)
		assert_int_equal(pci_address_parse(address, &request.address), 0);
	assert_int_equal(hv->ops->request(hv, &request, on_hv_reply, f), 0);
	wait_until(f, (unsigned *)&f->answers, answers + 1);
	return f->hv.failure;
}

/* Asks the machine itself, over a connection of its own.  Takes request; returns new. */
static json_t *control(struct fixture *f, json_t *request)
{
	_cleanup_json_ json_t *message = json_pack("{s:i, s:o}", "id", 5, "machine", request);
	_cleanup_free_ char *text = json_text(message);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_json_ json_t *answer = NULL;
	struct line_buffer buffer;
	json_t *reply;
	size_t size;
	char *line;

	strcpy(address.sun_path, f->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	assert_int_equal(write_all(fd, "\n", 1), 0);
	line_buffer_init(&buffer, 16 << 20);
	while (line_buffer_next(&buffer, &line, &size) == 0)
		assert_true(line_buffer_read(&buffer, fd) > 0);
	assert_int_equal(json_parse(line, size, &answer, NULL), 0);
	line_buffer_done(&buffer);
	reply = json_incref(json_object_get(answer, "reply"));
	assert_non_null(reply);
	return reply;
}

static void control_ok(struct fixture *f, json_t *request)
{
	_cleanup_json_ json_t *reply = control(f, request);

	if (!json_get_bool(reply, "ok", false))
		fail_msg("%s", strempty(json_get_string(reply, "error")));
}

static void uuid_of(struct fixture *f, const char *name, char uuid[static 37])
{
	_cleanup_json_ json_t *reply = control(f, json_pack("{s:s}", "op", "state"));
	json_t *vm;
	size_t i;

	json_array_foreach(json_object_get(reply, "vms"), i, vm) {
		if (streq(json_get_string(vm, "name"), name))
			snprintf(uuid, 37, "%s", json_get_string(vm, "uuid"));
	}
}

/* Waits until a process that is not ours has ended; it may stay a zombie where nobody reaps. */
static void wait_gone(int pid)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t end = now_boottime() + PATIENCE, ticks;

	if (fd >= 0) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		return;
	}
	if (errno == ESRCH)
		return;
	while (process_start_time(pid, &ticks) == 0 && kill(pid, 0) == 0) { /* no pidfd here */
		char path[32], line[256] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		file = fopen(path, "r");
		if (!file || !fgets(line, sizeof(line), file) || strstr(line, ") Z "))
			end = 0;
		if (file)
			fclose(file);
		if (end == 0)
			return;
		assert_true(now_boottime() < end);
		(void)poll(&p, 0, 10);
	}
}

static int machine_pid(struct fixture *f)
{
	_cleanup_json_ json_t *reply = control(f, json_pack("{s:s}", "op", "state"));

	return (int)json_get_int(reply, "pid", -1);
}

/* Cuts the first GPU into two VFs and gives the first to a VM. */
static void cut_and_attach(struct fixture *f)
{
	assert_int_equal(host_op(f, HOST_SET_AUTOPROBE, 0, 0, 0, 0), 0);
	assert_int_equal(host_op(f, HOST_SET_NUMVFS, 0, 0, 2, 0), 0);
	assert_int_equal(host_op(f, HOST_BIND_VFIO, 1, 0, 0, 0), 0);
	assert_int_equal(hv_op(f, HV_ATTACH, "a", "03:00.1", NULL, 0), HV_OK);
}

/* ---- tests ------------------------------------------------------------------------------------- */

static void test_start_and_scan(void **state)
{
	struct fixture *f = *state;

	connect_machine(f, f->document);
	wait_until(f, &f->hv_events[HV_EVENT_CONNECTED], 1);
	assert_int_equal(host_op(f, HOST_SCAN, 0, 0, 0, 0), 0);
	assert_int_equal(f->host.n_facts, 2);
	assert_int_equal(host_op(f, HOST_SET_NUMVFS, 0, 0, 4, 0), 0);
	assert_true(f->host.value.known);
	assert_int_equal(f->host.value.value, 4);
	wait_until(f, &f->host_events[HOST_EVENT_CHANGED], 1);
	assert_int_equal(host_op(f, HOST_SET_NUMVFS, 0, 0, 5, 0), -EBUSY);
	assert_string_equal(f->attribute, "sriov_numvfs");
	assert_int_equal(hv_op(f, HV_LIST, "a", NULL, NULL, 0), HV_OK);
	assert_int_equal(f->num_vfs, 3); /* domains */
	assert_int_equal(f->hv_events[HV_EVENT_CONNECTED], 1);
}

static void test_refused_requests(void **state)
{
	struct fixture *f = *state;
	struct host_request bad = { .op = HOST_SET_VF_ATTR, .vf = 0, .attribute = VF_ATTR_VRAM };
	struct hv_request worse = { .op = HV_GET, .uuid = "short" };
	struct host_request elsewhere = { .op = HOST_READ, .gpu = { 0, 99, 0, 0 } };

	connect_machine(f, f->document);
	assert_int_equal(machine_host(f->m)->ops->request(machine_host(f->m), &bad, on_host_reply, f),
			 -EINVAL);
	assert_int_equal(machine_hypervisor(f->m)->ops->request(machine_hypervisor(f->m), &worse,
								on_hv_reply, f),
			 -EINVAL);
	ask_host(f, &elsewhere);
	wait_until(f, (unsigned *)&f->answers, 1);
	assert_int_equal(f->host.r, -ENODEV);
}

static void test_found_again(void **state)
{
	struct fixture *f = *state;
	int pid;

	connect_machine(f, f->document);
	cut_and_attach(f);
	pid = machine_pid(f);
	f->m = machine_free(f->m);
	connect_machine(f, NULL); /* it must be there */
	assert_int_equal(machine_pid(f), pid);
	assert_int_equal(host_op(f, HOST_READ, 0, 0, 0, 0), 0);
	assert_int_equal(f->num_vfs, 2);
	assert_int_equal(host_op(f, HOST_HOLDERS, 0, 0, 0, 0), 0);
	assert_int_equal(f->host.n_holders, 1);
	assert_int_equal(f->holder_pid, pid);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	struct host_request other = { .op = HOST_READ, .gpu = { 0, 4, 0, 0 } };

	connect_machine(f, f->document);
	control_ok(f, json_pack("{s:s, s:{s:s, s:s, s:b, s:i}}", "op", "fault", "fault", "on",
				"sriov_numvfs", "gpu", "gpu0", "hang", 1, "nth", 1));
	assert_int_equal(host_op(f, HOST_SET_NUMVFS, 0, 0, 3, 50000), -ETIMEDOUT);
	assert_string_equal(f->attribute, "sriov_numvfs");
	assert_int_equal(f->host_events[HOST_EVENT_STUCK], 1);
	assert_int_equal(host_op(f, HOST_READ, 0, 0, 0, 0), -EBUSY);
	ask_host(f, &other); /* the other GPU goes on */
	wait_until(f, (unsigned *)&f->answers, 3);
	assert_int_equal(f->host.r, 0);
	assert_int_equal(host_op(f, HOST_SCAN, 0, 0, 0, 0), 0);
	control_ok(f, json_pack("{s:s}", "op", "release-hang"));
	wait_until(f, &f->host_events[HOST_EVENT_UNSTUCK], 1);
	assert_int_equal(host_op(f, HOST_READ, 0, 0, 0, 0), 0);
	assert_int_equal(f->num_vfs, 3); /* the late write had its effect */
	assert_int_equal(f->host_events[HOST_EVENT_STUCK], 1);
}

static void test_held(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *writes = NULL;

	connect_machine(f, f->document);
	cut_and_attach(f);
	assert_int_equal(host_op(f, HOST_SET_NUMVFS, 0, 0, 0, 0), -EBUSY);
	assert_int_equal(f->host.n_holders, 1);
	assert_int_equal(host_op(f, HOST_RESET_VF, 1, 0, 0, 0), -EBUSY);
	assert_int_equal(host_op(f, HOST_UNBIND, 1, 0, 0, 0), -EBUSY);
	writes = control(f, json_pack("{s:s}", "op", "writes"));
	assert_int_equal(json_get_int(json_object_get(writes, "gpu0"), "sriov_numvfs", -1), 1);
}

/* A look that misses the holder: the kernel does not refuse, it hangs, also for the next daemon. */
static void test_blind_look_hangs(void **state)
{
	struct fixture *f = *state;

	connect_machine(f, f->document);
	cut_and_attach(f);
	control_ok(f, json_pack("{s:s, s:{s:s, s:i, s:i}}", "op", "fault", "fault", "on", "holders",
				"fewer", 1, "nth", 1));
	assert_int_equal(host_op(f, HOST_SET_NUMVFS, 0, 0, 0, 50000), -ETIMEDOUT);
	assert_int_equal(f->host_events[HOST_EVENT_STUCK], 1);
	f->m = machine_free(f->m);
	connect_machine(f, NULL);
	assert_int_equal(host_op(f, HOST_READ, 0, 0, 0, 50000), -ETIMEDOUT);
	assert_int_equal(f->host_events[HOST_EVENT_STUCK], 2);
	assert_int_equal(hv_op(f, HV_DETACH, "a", "03:00.1", NULL, 0), HV_OK);
	wait_until(f, &f->host_events[HOST_EVENT_UNSTUCK], 1);
	assert_int_equal(host_op(f, HOST_READ, 0, 0, 0, 0), 0);
	assert_int_equal(f->num_vfs, 0);
}

static void test_wait_closed(void **state)
{
	struct fixture *f = *state;
	struct host_request request = { .op = HOST_WAIT_CLOSED, .gpu = { 0, 3, 0, 0 }, .vf = 1 };

	connect_machine(f, f->document);
	cut_and_attach(f);
	assert_int_equal(host_op(f, HOST_WAIT_CLOSED, 1, 0, 0, 50000), -ETIMEDOUT);
	assert_int_equal(f->host.n_holders, 1);
	assert_int_equal(f->host_events[HOST_EVENT_STUCK], 0); /* an answer, not a hang */
	f->host.r = 1;
	ask_host(f, &request);
	assert_int_equal(hv_op(f, HV_DETACH, "a", "03:00.1", NULL, 0), HV_OK);
	wait_until(f, (unsigned *)&f->answers, 7);
	assert_int_equal(f->host.r, 0);
	assert_int_equal(f->hv_events[HV_EVENT_DEVICE_ADDED], 1);
	assert_int_equal(f->hv_events[HV_EVENT_DEVICE_REMOVED], 1);
	assert_string_equal(f->alias, "ua-gpuvf-1");
}

static void test_stubborn_guest(void **state)
{
	struct fixture *f = *state;

	connect_machine(f, f->document);
	cut_and_attach(f);
	control_ok(f, json_pack("{s:s, s:{s:s, s:s, s:i}}", "op", "fault", "fault", "on", "detach",
				"error", "guest-refused", "nth", 1));
	assert_int_equal(hv_op(f, HV_DETACH, "a", "03:00.1", NULL, 0), HV_GUEST_REFUSED);
	control_ok(f, json_pack("{s:s, s:{s:s, s:b, s:i}}", "op", "fault", "fault", "on", "detach",
				"hang", 1, "nth", 1));
	assert_int_equal(hv_op(f, HV_DETACH, "a", "03:00.1", NULL, 50000), HV_TIMEOUT);
	assert_int_equal(f->hv_events[HV_EVENT_DEVICE_REMOVED], 0);
	control_ok(f, json_pack("{s:s}", "op", "release-hang"));
	wait_until(f, &f->hv_events[HV_EVENT_DEVICE_REMOVED], 1); /* late, but it went */
}

static json_t *execute(const char *name, json_t *arguments)
{
	return json_pack("{s:s, s:o}", "execute", name, "arguments", arguments);
}

static int start_sleep(struct fixture *f)
{
	assert_int_equal(hv_op(f, HV_AGENT, "a", NULL,
			       execute("guest-exec", json_pack("{s:s, s:[s]}", "path", "/bin/sleep",
							       "arg", "1000")),
			       0),
			 HV_OK);
	return (int)json_get_int(f->hv.result, "pid", -1);
}

static void test_agent(void **state)
{
	struct fixture *f = *state;

	connect_machine(f, f->document);
	assert_int_equal(hv_op(f, HV_AGENT, "a", NULL, execute("guest-ping", json_object()), 0), HV_OK);
	assert_true(json_is_object(f->hv.result));
	assert_int_equal(hv_op(f, HV_AGENT, "off", NULL, execute("guest-ping", json_object()), 0),
			 HV_NOT_RUNNING);
	assert_int_equal(hv_op(f, HV_AGENT, "a", NULL,
			       execute("guest-exec", json_pack("{s:s}", "path", "/nope")), 0),
			 HV_AGENT_REFUSED);
	assert_non_null(strstr(f->hv.message, "unable to execute QEMU agent command 'guest-exec'"));
	control_ok(f, json_pack("{s:s, s:s, s:s}", "op", "agent", "vm", "a", "agent", "no-exec"));
	assert_int_equal(hv_op(f, HV_AGENT, "a", NULL,
			       execute("guest-exec", json_pack("{s:s}", "path", "/bin/true")), 0),
			 HV_AGENT_DISABLED);
	control_ok(f, json_pack("{s:s, s:s, s:b}", "op", "agent", "vm", "a", "agent", 0));
	assert_int_equal(hv_op(f, HV_AGENT, "a", NULL, execute("guest-ping", json_object()), 0),
			 HV_AGENT_ABSENT);
	control_ok(f, json_pack("{s:s, s:s, s:s}", "op", "agent", "vm", "a", "agent", "disconnected"));
	assert_int_equal(hv_op(f, HV_AGENT, "a", NULL, execute("guest-ping", json_object()), 0),
			 HV_AGENT_UNRESPONSIVE);
	wait_until(f, &f->hv_events[HV_EVENT_DOMAIN], 3); /* each change was told */
}

static void test_agent_faults(void **state)
{
	struct fixture *f = *state;

	connect_machine(f, f->document);
	control_ok(f, json_pack("{s:s, s:{s:s, s:s, s:i}}", "op", "fault", "fault", "on", "guest-ping",
				"answer", "not an object", "nth", 1));
	assert_int_equal(hv_op(f, HV_AGENT, "a", NULL, execute("guest-ping", json_object()), 0), HV_OK);
	assert_true(json_is_string(f->hv.result));
	control_ok(f, json_pack("{s:s, s:{s:s, s:b, s:i}}", "op", "fault", "fault", "on", "agent",
				"hang", 1, "nth", 1));
	assert_int_equal(hv_op(f, HV_AGENT, "a", NULL, execute("guest-ping", json_object()), 50000),
			 HV_AGENT_UNRESPONSIVE);
	assert_int_equal(hv_op(f, HV_AGENT, "a", NULL, execute("guest-ping", json_object()), 0), HV_OK);
}

static void test_processes_outlive_the_daemon(void **state)
{
	struct fixture *f = *state;
	uint64_t ticks;
	int pid;

	connect_machine(f, f->document);
	pid = start_sleep(f);
	assert_true(pid > 0);
	f->m = machine_free(f->m);
	assert_int_equal(process_start_time(pid, &ticks), 0);
	connect_machine(f, NULL);
	assert_int_equal(hv_op(f, HV_AGENT, "a", NULL,
			       execute("guest-exec-status", json_pack("{s:i}", "pid", pid)), 0),
			 HV_OK);
	assert_false(json_get_bool(f->hv.result, "exited", true));
	control_ok(f, json_pack("{s:s, s:s}", "op", "domain-stop", "vm", "a"));
	assert_int_equal(process_start_time(pid, &ticks), -ESRCH); /* they end with their VM */
	wait_until(f, &f->hv_events[HV_EVENT_DOMAIN], 1);
}

static void test_machine_dies(void **state)
{
	struct fixture *f = *state;
	int machine, process;

	connect_machine(f, f->document);
	wait_until(f, &f->hv_events[HV_EVENT_CONNECTED], 1);
	process = start_sleep(f);
	machine = machine_pid(f);
	assert_int_equal(kill(machine, SIGKILL), 0);
	wait_gone(machine);
	wait_gone(process); /* even so */
	assert_int_equal(host_op(f, HOST_READ, 0, 0, 0, 0), -EPIPE);
	wait_until(f, &f->hv_events[HV_EVENT_LOST_CONNECTION], 1);
	assert_int_equal(host_op(f, HOST_READ, 0, 0, 0, 0), -EPIPE);
	f->m = machine_free(f->m);
	connect_machine(f, f->document); /* a new one in its place, the socket file is still there */
	assert_int_equal(host_op(f, HOST_READ, 0, 0, 0, 0), 0);
}

static void test_libvirt_goes_and_comes(void **state)
{
	struct fixture *f = *state;

	connect_machine(f, f->document);
	wait_until(f, &f->hv_events[HV_EVENT_CONNECTED], 1);
	control_ok(f, json_pack("{s:s}", "op", "libvirt-down"));
	wait_until(f, &f->hv_events[HV_EVENT_LOST_CONNECTION], 1);
	assert_int_equal(hv_op(f, HV_LIST, "a", NULL, NULL, 0), HV_DISCONNECTED);
	control_ok(f, json_pack("{s:s}", "op", "libvirt-up"));
	wait_until(f, &f->hv_events[HV_EVENT_CONNECTED], 2);
	assert_int_equal(hv_op(f, HV_LIST, "a", NULL, NULL, 0), HV_OK);
}

static void test_others_interfere(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *refused = NULL;

	connect_machine(f, f->document);
	control_ok(f, json_pack("{s:s, s:s, s:i}", "op", "set-numvfs", "gpu", "gpu0", "value", 2));
	wait_until(f, &f->host_events[HOST_EVENT_CHANGED], 1);
	control_ok(f, json_pack("{s:s, s:s, s:s, s:i}", "op", "foreign-attach", "gpu", "gpu0", "vm", "b",
				"vf", 2));
	wait_until(f, &f->hv_events[HV_EVENT_DEVICE_ADDED], 1);
	assert_string_equal(f->alias, "hostdev0");
	refused = control(f, json_pack("{s:s, s:s}", "op", "unplug-gpu", "gpu", "gpu0"));
	assert_non_null(json_get_string(refused, "error"));
	control_ok(f, json_pack("{s:s, s:s}", "op", "unplug-gpu", "gpu", "gpu1"));
	wait_until(f, &f->host_events[HOST_EVENT_REMOVED], 1);
	control_ok(f, json_pack("{s:s, s:s}", "op", "plug-gpu", "gpu", "gpu1"));
	wait_until(f, &f->host_events[HOST_EVENT_RESCAN], 1);
	control_ok(f, json_pack("{s:s, s:s, s:i}", "op", "hold", "gpu", "gpu0", "vf", 1));
	assert_int_equal(host_op(f, HOST_BIND_VFIO, 1, 0, 0, 0), -EBUSY);
	control_ok(f, json_pack("{s:s, s:s, s:i}", "op", "unhold", "gpu", "gpu0", "vf", 1));
	assert_int_equal(host_op(f, HOST_BIND_VFIO, 1, 0, 0, 0), 0);
}

/* What the kernel does of itself, or for others, without a word to us where it says none. */
static void test_driver_goes_and_comes(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *refused = NULL;

	connect_machine(f, f->document);
	control_ok(f, json_pack("{s:s, s:s, s:i, s:b}", "op", "set-numvfs", "gpu", "gpu0", "value", 2, "silent", 1));
	assert_int_equal(host_op(f, HOST_READ, 0, 0, 0, 0), 0);
	assert_int_equal(f->host_events[HOST_EVENT_CHANGED], 0); /* the event got lost */
	control_ok(f, json_pack("{s:s}", "op", "overflow"));
	wait_until(f, &f->host_events[HOST_EVENT_RESCAN], 1);
	control_ok(f, json_pack("{s:s, s:s, s:i}", "op", "hold", "gpu", "gpu0", "vf", 1));
	refused = control(f, json_pack("{s:s, s:s}", "op", "unbind-driver", "gpu", "gpu0"));
	assert_non_null(strstr(strempty(json_get_string(refused, "error")), "wait for ever"));
	control_ok(f, json_pack("{s:s, s:s, s:i}", "op", "unhold", "gpu", "gpu0", "vf", 1));
	control_ok(f, json_pack("{s:s, s:s}", "op", "unbind-driver", "gpu", "gpu0"));
	wait_until(f, &f->host_events[HOST_EVENT_CHANGED], 1);
	assert_int_equal(host_op(f, HOST_SET_NUMVFS, 0, VF_ATTR_VRAM, 1, 0), -ENOENT);
	control_ok(f, json_pack("{s:s, s:s}", "op", "bind-driver", "gpu", "gpu0"));
	control_ok(f, json_pack("{s:s, s:s, s:i, s:s, s:i}", "op", "set-attribute", "gpu", "gpu0", "vf", 1,
				"attribute", "exec_quantum_ms", "value", 7));
	control_ok(f, json_pack("{s:s, s:s, s:i}", "op", "guard", "gpu", "gpu0", "value", 1));
	assert_int_equal(host_op(f, HOST_SET_NUMVFS, 0, VF_ATTR_VRAM, 1, 0), -EBUSY);
	control_ok(f, json_pack("{s:s, s:s, s:i}", "op", "guard", "gpu", "gpu0", "value", 0));
	control_ok(f, json_pack("{s:s, s:s}", "op", "wedge", "gpu", "gpu0"));
	assert_int_equal(host_op(f, HOST_SET_NUMVFS, 0, VF_ATTR_VRAM, 1, 0), -ECANCELED);
}

static void test_refused_control(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *json, *error;
	} cases[] = {
		{ "{\"op\": \"fly\"}", "one of: agent, bind-driver, clear-faults" },
		{ "{\"op\": \"set-numvfs\", \"value\": 1}", "\"gpu\" is missing" },
		{ "{\"op\": \"set-numvfs\", \"gpu\": \"gpu0\"}", "\"value\" is missing" },
		{ "{\"op\": \"set-numvfs\", \"gpu\": \"gpu7\", \"value\": 1}", "no GPU \"gpu7\"" },
		{ "{\"op\": \"set-numvfs\", \"gpu\": \"gpu0\", \"value\": 99}", "out of range" },
		{ "{\"op\": \"domain-stop\", \"vm\": \"nobody\"}", "no VM \"nobody\"" },
		{ "{\"op\": \"domain-stop\", \"vm\": \"off\"}", "not running" },
		{ "{\"op\": \"hold\", \"gpu\": \"gpu0\"}", "\"vf\" is missing" },
		{ "{\"op\": \"hold\", \"gpu\": \"gpu0\", \"vf\": 1}", "no VF 1" },
		{ "{\"op\": \"fault\"}", "\"fault\" is missing" },
		{ "{\"op\": \"bind-driver\", \"gpu\": \"gpu0\"}", "a driver is bound to it already" },
		{ "{\"op\": \"set-attribute\", \"gpu\": \"gpu0\", \"vf\": 1, \"value\": 1}",
		  "\"attribute\" is missing" },
		{ "{\"op\": \"set-attribute\", \"gpu\": \"gpu0\", \"vf\": 1, \"value\": 1, "
		  "\"attribute\": \"ggtt_quota\"}",
		  "ggtt_quota: Operation not supported" },
		{ "{\"op\": \"guard\", \"gpu\": \"gpu0\"}", "\"value\" is missing" },
		{ "{\"op\": \"fault\", \"fault\": {\"on\": \"attach\"}}", "does not say what goes wrong" },
		{ "{\"op\": \"state\", \"colour\": \"red\"}", "/colour" },
	};

	connect_machine(f, f->document);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *request = json_loads(cases[i].json, 0, NULL);
		_cleanup_json_ json_t *reply = control(f, request);
		const char *error = strempty(json_get_string(reply, "error"));

		if (!strcasestr(error, cases[i].error))
			fail_msg("%s: \"%s\" does not contain \"%s\"", cases[i].json, error,
				 cases[i].error);
	}
}

static void refuse_connect(struct fixture *f, const char *doc, int expected, const char *words)
{
	_cleanup_free_ char *message = NULL;

	assert_int_equal(machine_connect(f->event, f->program, f->socket, doc, false, &f->m, &message),
			 expected);
	assert_null(f->m);
	assert_non_null(message);
	if (!strstr(message, words))
		fail_msg("\"%s\" does not contain \"%s\"", message, words);
}

static void test_refused_connect(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *program = f->program;

	refuse_connect(f, NULL, -ENOENT, "machine.sock");
	write_document(f, "{\"gpus\": [{\"model\": \"Flax\"}]}");
	refuse_connect(f, f->document, -EINVAL, "d.json:1:21: /gpus/0/model: ");
	refuse_connect(f, "/nonexistent.json", -EINVAL, "/nonexistent.json: No such file");
	f->program = strdup("/nonexistent/gpuvf-machine");
	refuse_connect(f, f->document, -EINVAL, "cannot run /nonexistent/gpuvf-machine");
	free(f->program);
	f->program = TAKE_PTR(program);
}

static void test_second_machine(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *command = xasprintf("%s --state-dir %s %s 2>&1 | grep -q 'in use'",
						 f->program, f->dir, f->document);

	connect_machine(f, f->document);
	assert_int_equal(system(command), 0);
	assert_int_equal(host_op(f, HOST_READ, 0, 0, 0, 0), 0); /* the first one is unharmed */
}

static void test_lingers_and_ends(void **state)
{
	struct fixture *f = *state;
	int pid;

	write_document(f, "{\"gpus\": [{\"model\": \"Flex 170\"}], \"vms\": [], \"linger_seconds\": 1}");
	connect_machine(f, f->document);
	pid = machine_pid(f);
	assert_int_equal(host_op(f, HOST_READ, 0, 0, 0, 0), 0);
	f->m = machine_free(f->m);
	wait_gone(pid);
	assert_int_equal(access(f->socket, F_OK), -1);
}

static void test_nonsense_closes(void **state)
{
	struct fixture *f = *state;
	static const char *const lines[] = { "hello\n", "[]\n", "{\"id\":1}\n", "{\"id\":1,\"x\":{}}\n",
					     "{\"id\":\"1\",\"host\":{}}\n" };

	connect_machine(f, f->document);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct sockaddr_un address = { .sun_family = AF_UNIX };
		_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char byte;

		strcpy(address.sun_path, f->socket);
		assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		assert_int_equal(write_all(fd, lines[i], strlen(lines[i])), 0);
		assert_int_equal(poll(&p, 1, 20000), 1);
		assert_true(read(fd, &byte, 1) <= 0);
	}
	assert_int_equal(host_op(f, HOST_READ, 0, 0, 0, 0), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_start_and_scan),     TEST(test_refused_requests),
		TEST(test_found_again),	       TEST(test_deadline),
		TEST(test_held),	       TEST(test_blind_look_hangs),
		TEST(test_wait_closed),	       TEST(test_stubborn_guest),
		TEST(test_agent),	       TEST(test_agent_faults),
		TEST(test_processes_outlive_the_daemon), TEST(test_machine_dies),
		TEST(test_libvirt_goes_and_comes), TEST(test_others_interfere),
		TEST(test_driver_goes_and_comes), TEST(test_refused_control),    TEST(test_refused_connect),
		TEST(test_second_machine),     TEST(test_lingers_and_ends),
		TEST(test_nonsense_closes),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
