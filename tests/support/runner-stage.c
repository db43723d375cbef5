/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/runner-stage.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "hypervisor/agent-answer.h"
#include "lib/io.h"
#include "log/log.h"
#include "machine/sim-guest-tree.h"

#define UUID "aaaaaaaa-0000-4000-8000-000000000001"

/* ---- A hypervisor with one VM ---- */

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

/* ---- What the runner tells ---- */

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

int stage_on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	((struct fixture *)userdata)->timed_out = true;
	return 0;
}

/* ---- The stage ---- */

void end_time(sd_event_source *timer)
{
	assert_non_null(timer);
	assert_true(sd_event_source_set_time_relative(timer, 0) >= 0);
}

json_t *document(struct fixture *f, json_t *json)
{
	assert_non_null(json);
	f->documents[f->n_documents++] = json;
	return json;
}

void plug(struct fixture *f)
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

int set_up(void **state)
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

int tear_down(void **state)
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

void begin(struct fixture *f)
{
	_cleanup_free_ char *message = NULL;
	int r;

	r = runner_new(&f->options, &f->runner, &message);
	if (r < 0)
		print_message("# %s\n", strempty(message));
	assert_int_equal(r, 0);
}

void run_shell(struct fixture *f, const char *text)
{
	plug(f);
	f->options.shell = text;
	begin(f);
}

void assert_file(struct fixture *f, const char *name, const char *expected)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	assert_int_equal(read_file_at(f->directory, name, 1 << 20, &text, &size), 0);
	assert_string_equal(text, expected);
}

bool file_has(struct fixture *f, const char *name, const char *part)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	return read_file_at(f->directory, name, 1 << 20, &text, &size) >= 0 && strstr(text, part);
}

bool guest_has(struct fixture *f, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", f->root, name);

	return access(path, F_OK) == 0;
}

void hold(struct fixture *f, char path[static 256])
{
	snprintf(path, 256, "%s/go", f->root);
	assert_int_equal(write_file_atomic_at(AT_FDCWD, path, "", 0, 0644), 0);
	f->options.gpuvf_env = document(f, json_pack("{s:s}", "GPUVF_VF", path));
}

void restart(struct fixture *f, bool was_started)
{
	f->runner = runner_free(f->runner);
	f->options.was_started = was_started;
	f->options.boot_id = was_started ? f->boot_id : NULL;
	f->options.inherited = true;
	begin(f);
}

void stage_begin(void)
{
	log_setup(LOG_ERR, false);
	/* what jobs leave behind is ours to reap */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
}
