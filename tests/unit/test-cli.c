/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs against a daemon with canned answers: what is sent, what is printed, and the exit codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "cli/cli.h"
#include "fake-daemon.h"
#include "lib/io.h"

#define DOCTOR(severity, errors)                                                                   \
	"{\"findings\":[{\"id\":\"gpu-driver\",\"severity\":\"" severity "\",\"kind\":\"gpu\","      \
	"\"subject\":\"gpu0\",\"looked\":true,\"what\":\"w\",\"evidence\":[],\"cure\":\"c\"}],"           \
	"\"counts\":{\"error\":" errors ",\"warning\":1,\"info\":0,\"ok\":0}}"

/* What is asked about follows from the word's form; only errors make it fail. */
static void test_doctor(void **state)
{
	static const struct canned answers[] = {
		{ "daemon.doctor", DOCTOR("error", "1") },
		{ "daemon.doctor", DOCTOR("warning", "0") },
		{ "daemon.doctor", DOCTOR("warning", "0") },
		{ "daemon.doctor", NULL, "{\"code\":-32002,\"message\":\"no VM \\\"x\\\"\"}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run all = GPUVF("doctor"), gpu = GPUVF("doctor", "0000:03:00.0");
	_cleanup_run_ struct run vm = GPUVF("-q", "doctor", "trainer-1");
	_cleanup_run_ struct run none = GPUVF("doctor", "x");
	_cleanup_run_ struct run force = GPUVF("doctor", "--force");
	_cleanup_run_ struct run two = GPUVF("doctor", "gpu0", "gpu1");

	assert_int_equal(all.code, 1);
	assert_string_equal(all.out, "error    gpu0: w  [gpu-driver]\n    do    c\n"
				     "1 errors, 1 warnings, 0 notes, 0 checks are fine\n");
	assert_request(d, 0, "daemon.doctor", "{}");
	assert_int_equal(gpu.code, 0);
	assert_request(d, 1, "daemon.doctor", "{\"gpu\":\"0000:03:00.0\"}");
	assert_string_equal(vm.out, "gpu-driver\n");
	assert_request(d, 2, "daemon.doctor", "{\"vm\":\"trainer-1\"}");
	assert_int_equal(none.code, 5);
	assert_int_equal(force.code, 2);
	assert_int_equal(two.code, 2);
	fake_daemon_stop(d);
}

#define VF1                                                                                        \
	"{\"name\":\"gpu0/"                                                                        \
	"vf1\",\"address\":\"0000:03:00.1\",\"state\":\"attached\",\"vram_bytes\":"                \
	"4294967296,\"exec_quantum_ms\":20,\"vm\":\"trainer-1\",\"job\":7,\"user\":\"eve\",\"iommu_group\":23}"
#define VF2                                                                                        \
	"{\"name\":\"gpu0/"                                                                        \
	"vf2\",\"address\":\"0000:03:00.2\",\"state\":\"free\",\"vram_bytes\":null,"               \
	"\"exec_quantum_ms\":null,\"vm\":null,\"job\":null,\"user\":null}"
#define GPU0                                                                                       \
	"{\"name\":\"gpu0\",\"address\":\"0000:03:00.0\",\"model\":\"Flex "                        \
	"170\",\"driver\":\"xe\","                                                                 \
	"\"state\":\"ready\",\"vram_bytes\":17179869184,\"vfs\":[" VF1 "," VF2 "]}"

static void test_list(void **state)
{
	static const struct canned answers[] = {
		{ "gpu.list", "{\"items\":[" GPU0 "],\"next\":null}" },
		{ "gpu.list", "{\"items\":[" GPU0 "],\"next\":null}" },
		{ "gpu.list", "{\"items\":[" GPU0 "],\"next\":null}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run table = GPUVF("list"), names = GPUVF("-q", "list"), wide = GPUVF("list", "-o", "wide");

	assert_int_equal(table.code, 0);
	assert_string_equal(table.out,
			    "NAME      ADDRESS       MODEL     DRIVER  STATE        VRAM  QUANTUM  "
			    "VM         JOB  USER\n"
			    "gpu0      0000:03:00.0  Flex 170  xe      ready     16.0GiB\n"
			    "gpu0/vf1  0000:03:00.1            -       attached   4.0GiB     20ms  "
			    "trainer-1    7  eve\n"
			    "gpu0/vf2  0000:03:00.2            -       free            -        -  "
			    "-            -  -\n");
	assert_string_equal(names.out, "gpu0\ngpu0/vf1\ngpu0/vf2\n");
	assert_string_equal(wide.out,
			    "NAME      ADDRESS       MODEL     DRIVER  STATE        VRAM  QUANTUM  "
			    "VM         JOB  USER  PROFILE  GROUP  REASON\n"
			    "gpu0      0000:03:00.0  Flex 170  xe      ready     16.0GiB           "
			    "                                      -\n"
			    "gpu0/vf1  0000:03:00.1            -       attached   4.0GiB     20ms  "
			    "trainer-1    7  eve   -           23  -\n"
			    "gpu0/vf2  0000:03:00.2            -       free            -        -  "
			    "-            -  -     -            -  -\n");
	assert_request(d, 0, "gpu.list", "{}");
	fake_daemon_stop(d);
}

#define LEASED(name, lease)                                                                        \
	"{\"name\":\"" name "\",\"state\":\"attached\",\"driver\":\"vfio-pci\",\"lease\":" lease "}"

/* Where a VM has its VF, and until when, stand one level below. */
static void test_modes(void **state)
{
	static const struct canned answers[] = {
		{ "vf.list",
		  "{\"items\":["
		  LEASED("a", "{\"live\":true,\"config\":false,\"expires\":\"2026-01-02T03:04:05.000Z\"}") ","
		  LEASED("b", "{\"live\":false,\"config\":true,\"expires\":null}") ","
		  LEASED("c", "{\"live\":true,\"config\":true}") ","
		  LEASED("d", "{\"live\":false,\"config\":false}") ","
		  LEASED("e", "null") "],\"next\":null}" },
		{ NULL },
	};
	static const char *const ends[] = {
		"DRIVER    MODE    EXPIRES               REASON",
		"vfio-pci  live    2026-01-02 03:04:05Z  -",
		"vfio-pci  config  -                     -",
		"vfio-pci  both    -                     -",
		"vfio-pci  -       -                     -",
		"vfio-pci  -       -                     -",
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("--utc", "list", "vfs", "-o", "wide");
	char *rest = run.out, *line;

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		line = strsep(&rest, "\n");
		assert_non_null(line);
		assert_true(strlen(line) > strlen(ends[i]));
		assert_string_equal(line + strlen(line) - strlen(ends[i]), ends[i]);
	}
	fake_daemon_stop(d);
}

/* Pages are put together; json and ndjson are the API's own words. */
static void test_pages(void **state)
{
	static const struct canned answers[] = {
		{ "vf.list", "{\"items\":[{\"name\":\"a\"}],\"next\":\"1\"}" },
		{ "vf.list", "{\"items\":[{\"name\":\"b\"}],\"next\":null}" },
		{ "job.list", "{\"items\":[{\"id\":3},{\"id\":2}],\"next\":\"2\"}" },
		{ "job.list", "{\"items\":[{\"id\":3,\"x\":null}],\"next\":null}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run vfs = GPUVF("list", "vfs", "-o", "ndjson");
	_cleanup_run_ struct run jobs = GPUVF("jobs", "-q", "--limit", "2", "--all-users", "--all");
	_cleanup_run_ struct run json = GPUVF("jobs", "-o", "json", "--ended", "--queue", "q");
	_cleanup_json_ json_t *whole = json_loads(json.out, 0, NULL);

	assert_string_equal(vfs.out, "{\"name\":\"a\"}\n{\"name\":\"b\"}\n");
	assert_request(d, 1, "vf.list", "{\"after\":\"1\"}");
	assert_string_equal(jobs.out, "3\n2\n");
	assert_request(d, 2, "job.list", "{\"user\":\"*\",\"ended\":true,\"limit\":2}");
	assert_request(d, 3, "job.list", "{\"queue\":\"q\",\"state\":\"ended\",\"ended\":true}");
	assert_true(json_is_null(
		json_object_get(json_array_get(json_object_get(whole, "items"), 0), "x")));
	fake_daemon_stop(d);
}

static void test_show(void **state)
{
	static const struct canned answers[] = {
		{ "gpu.get", NULL, "{\"code\":-32002,\"message\":\"no GPU\"}" },
		{ "vf.get", VF1 },
		{ "vm.get", "{\"name\":\"evil\\u001b[2Jname\",\"vfs\":[\"gpu0/vf1\",\"gpu0/"
			    "vf2\"],\"memory_bytes\":1024,"
			    "\"lease\":{\"owner\":\"vm\",\"live\":true,\"config\":false},\"slots\":null}" },
		{ "job.get", NULL,
		  "{\"code\":-32001,\"message\":\"job 3 is eve's\",\"data\":{\"hint\":\"see "
		  "it\"}}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run vf = GPUVF("show", "0000:03:00.1", "-o", "ndjson");
	_cleanup_run_ struct run vm = GPUVF("show", "evil");
	_cleanup_run_ struct run job = GPUVF("show", "3"), none = GPUVF("show", "gpu9");

	assert_string_equal(vf.out, VF1 "\n");
	assert_request(d, 1, "vf.get", "{\"vf\":\"0000:03:00.1\"}");
	assert_string_equal(vm.out, "name          evil\\x1b[2Jname\n"
				    "vfs           gpu0/vf1, gpu0/vf2\n"
				    "memory_bytes  1KiB\n"
				    "lease\n"
				    "  owner   vm\n"
				    "  live    yes\n"
				    "  config  no\n"
				    "slots         -\n");
	assert_int_equal(job.code, EXIT_NOT_PERMITTED);
	assert_string_equal(job.err, "gpuvf: show: job 3 is eve's (see it)\n");
	assert_int_equal(none.code, EXIT_NOT_FOUND);
	fake_daemon_stop(d);
}

static void test_plan(void **state)
{
	static const struct canned answers[] = {
		{ "gpu.plan", "{\"gpu\":\"gpu0\",\"hash\":\"abc\",\"steps\":[{\"text\":\"write "
			      "4\",\"vf\":null}],\"notes\":[\"n\"],\"disturbs\":[\"vm a\"]}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("plan", "gpu0", "--vfs", "4", "--vram", "25%",
					     "--profile", "p", "--quantum", "20ms");

	assert_string_equal(run.out, "gpu0: plan abc\n  1. write 4\n  note: n\n  disturbs: vm a\n");
	assert_request(d, 0, "gpu.plan",
		       "{\"gpu\":\"gpu0\",\"layout\":{\"vfs\":4,\"vram\":\"25%\",\"profile\":\"p\","
		       "\"exec_quantum\":\"20ms\"}}");
	fake_daemon_stop(d);
}

static void test_layout_options(void **state)
{
	static const struct canned answers[] = {
		{ "gpu.plan", "{}" },
		{ "gpu.plan", "{}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run all =
		GPUVF("plan", "gpu0", "--vfs", "2", "--ggtt", "1GiB", "--contexts", "1024", "--doorbells",
		      "16", "--priority", "normal", "--defaults", "--scheduler", "burstable");
	_cleanup_run_ struct run slices =
		GPUVF("plan", "gpu0", "--slices", "half:1,quarter:2", "--defaults");
	_cleanup_run_ struct run alone = GPUVF("plan", "gpu0", "--contexts", "5");
	_cleanup_run_ struct run named = GPUVF("plan", "gpu0", "--layout", "l", "--defaults");
	_cleanup_run_ struct run preset = GPUVF("plan", "gpu0", "--scheduler", "burstable");

	assert_request(d, 0, "gpu.plan",
		       "{\"gpu\":\"gpu0\",\"layout\":{\"vfs\":2,\"ggtt\":\"1GiB\",\"contexts\":1024,"
		       "\"doorbells\":16,\"priority\":\"normal\",\"defaults\":true,\"scheduler\":"
		       "\"burstable\"}}");
	assert_request(d, 1, "gpu.plan",
		       "{\"gpu\":\"gpu0\",\"layout\":{\"slices\":[{\"profile\":\"half\",\"count\":1},"
		       "{\"profile\":\"quarter\",\"count\":2}],\"defaults\":true}}");
	assert_int_equal(all.code + slices.code, 0);
	assert_int_equal(alone.code, EXIT_USAGE);
	assert_non_null(strstr(alone.err, "--contexts goes with --vfs N"));
	assert_int_equal(named.code, EXIT_USAGE);
	assert_non_null(strstr(named.err, "--defaults goes with --vfs N or --slices"));
	assert_int_equal(preset.code, EXIT_USAGE);
	assert_non_null(strstr(preset.err, "--scheduler goes with --vfs N or --slices"));
	fake_daemon_stop(d);
}

static void test_profiles(void **state)
{
	static const struct canned answers[] = {
		{ "profile.list", "{\"items\":[{\"name\":\"q\",\"vram\":\"25%\",\"ggtt\":1073741824,"
				  "\"contexts\":512,\"fits\":{\"gpu0\":{\"free_now\":2,\"after_recut\":4},"
				  "\"gpu1\":{\"free_now\":null,\"after_recut\":0}}}],\"next\":null}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("-o", "wide", "list", "profiles");

	assert_non_null(strstr(run.out, "FREE/POSSIBLE"));
	assert_non_null(strstr(run.out, "gpu0 2/4, gpu1 ?/0"));
	assert_non_null(strstr(run.out, "1.0GiB"));
	assert_non_null(strstr(run.out, "512"));
	fake_daemon_stop(d);
}

#define OP(state, more) "{\"operation\":\"op/7\",\"state\":\"" state "\"" more "}"
#define OP_EVENT                                                                                   \
	"{\"seq\":9,\"type\":\"operation.changed\",\"subject\":\"op/7\",\"state\":\"done\"}"

/* The subscription is older than the first look, and the event says when to look again. */
static void test_apply_waits(void **state)
{
	static const struct canned answers[] = {
		{ "gpu.apply", "{\"operation\":\"op/7\",\"operation_state\":\"accepted\"}" },
		{ "event.subscribe", "{\"next\":9}" },
		{ "operation.get", OP("running", ""), .events = OP_EVENT },
		{ "operation.get", OP("done", ",\"result\":{\"changed\":true,\"gpu\":" GPU0 "}") },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run =
		GPUVF("apply", "gpu0", "--slices", "a:2,b:c:1", "--plan", "h", "--yes-display");

	assert_string_equal(run.err, "");
	assert_int_equal(run.code, 0);
	assert_string_equal(run.out, "gpu0: 2 VFs\n");
	assert_request(d, 0, "gpu.apply",
		       "{\"gpu\":\"gpu0\",\"layout\":{\"slices\":[{\"profile\":\"a\",\"count\":2},{"
		       "\"profile\":"
		       "\"b:c\",\"count\":1}]},\"plan\":\"h\",\"yes_display\":true}");
	assert_request(d, 1, "event.subscribe",
		       "{\"types\":[\"job.state\",\"operation.changed\"]}");
	fake_daemon_stop(d);
}

static void test_apply_fails(void **state)
{
	static const struct canned answers[] = {
		{ "gpu.apply", "{\"operation\":\"op/7\"}" },
		{ "event.subscribe", "{\"next\":9}" },
		{ "operation.get", OP("failed", ",\"error\":{\"code\":-32010,\"message\":\"no "
						"answer\",\"data\":{\"reason\":\"wedged\"}}") },
		{ "gpu.apply", NULL,
		  "{\"code\":-32003,\"message\":\"VFs are held\",\"data\":{\"holders\":[\"vm "
		  "a\",\"job 3\"],\"hint\":\"release\"}}" },
		{ "gpu.list",
		  "{\"items\":[{\"name\":\"gpu0\"},{\"name\":\"gpu1\"}],\"next\":null}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run wedged = GPUVF("apply", "gpu0", "--vfs", "1");
	_cleanup_run_ struct run held = GPUVF("apply", "gpu0", "--vfs", "1");
	_cleanup_run_ struct run which = GPUVF("apply", "--vfs", "1");

	assert_int_equal(wedged.code, EXIT_FAILED);
	assert_string_equal(wedged.err, "gpuvf: apply: no answer\n");
	assert_int_equal(held.code, EXIT_CONFLICT);
	assert_string_equal(held.err,
			    "gpuvf: apply: VFs are held: held by vm a, job 3 (release)\n");
	assert_int_equal(which.code, EXIT_USAGE);
	assert_non_null(strstr(which.err, "Name one"));
	assert_int_equal(fake_daemon_requests(d), 5);
	fake_daemon_stop(d);
}

/* --wait bounds the waiting; the action goes on, and the way back to it is told. */
static void test_apply_does_not_wait(void **state)
{
	static const struct canned answers[] = {
		{ "gpu.apply", "{\"operation\":\"op/7\"}" },
		{ "gpu.apply", "{\"operation\":\"op/7\"}" },
		{ "event.subscribe", "{\"next\":9}" },
		{ "operation.get", OP("running", "") },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run at_once = GPUVF("apply", "gpu0", "--vfs", "1", "--wait", "0s");
	_cleanup_run_ struct run late = GPUVF("apply", "gpu0", "--vfs", "1", "--wait", "20ms");

	assert_int_equal(at_once.code, 0);
	assert_string_equal(at_once.out, "gpu0: op/7 was accepted; gpuvf wait op/7\n");
	assert_int_equal(late.code, EXIT_TIMEOUT);
	assert_string_equal(
		late.err,
		"gpuvf: apply: op/7 is not done yet (it continues; gpuvf wait op/7; gpuvf "
		"cancel op/7)\n");
	fake_daemon_stop(d);
}

static void test_assign_waits_for_a_free_one(void **state)
{
	static const struct canned answers[] = {
		{ "event.subscribe", "{\"next\":1}" },
		{ "vf.assign", NULL,
		  "{\"code\":-32004,\"message\":\"all held\",\"data\":{\"reason\":\"none_free\"}}",
		  .events = "{\"seq\":1,\"type\":\"vf.changed\",\"subject\":\"gpu0/"
			    "vf1\",\"state\":\"free\"}" },
		{ "vf.assign", "{\"vf\":\"gpu0/vf1\",\"changed\":true,\"operation\":null}" },
		{ "vf.assign", NULL,
		  "{\"code\":-32004,\"message\":\"all "
		  "held\",\"data\":{\"reason\":\"none_free\"}}" },
		{ "vf.assign", "{\"vf\":\"gpu0/vf1\",\"changed\":false,\"operation\":null}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run waited =
		GPUVF("assign", "trainer-1", "--wait", "1m", "--vram", "1GiB", "--for", "2h", "--live");
	_cleanup_run_ struct run refused = GPUVF("assign", "trainer-1");
	_cleanup_run_ struct run same = GPUVF("assign", "trainer-1");

	assert_string_equal(waited.out, "trainer-1 holds gpu0/vf1\n");
	assert_request(d, 1, "vf.assign",
		       "{\"vm\":\"trainer-1\",\"vram_bytes\":1073741824,\"for_seconds\":\"2h\",\"mode\":\"live\"}");
	assert_int_equal(refused.code, EXIT_LIMIT);
	assert_string_equal(same.out, "trainer-1 holds gpu0/vf1, as before: nothing was changed\n");
	fake_daemon_stop(d);
}

#define TAKEN(code, reason)                                                                        \
	"{\"code\":" code ",\"message\":\"gpu0/vf1 is taken\",\"data\":{\"reason\":\"" reason "\",\"field\":\"vf\"}}"
#define VF_EVENT "{\"seq\":1,\"type\":\"vf.changed\",\"subject\":\"gpu0/vf1\",\"state\":\"free\"}"

/* Of a VM, then of a process of the host, then free; one that is quarantined is not waited for, and none without --wait. */
static void test_assign_waits_for_the_one_that_is_named(void **state)
{
	static const struct canned answers[] = {
		{ "event.subscribe", "{\"next\":1}" },
		{ "vf.assign", NULL, TAKEN("-32003", "not_free"), .events = VF_EVENT },
		{ "vf.assign", NULL, TAKEN("-32003", "held"), .events = VF_EVENT },
		{ "vf.assign", "{\"vf\":\"gpu0/vf1\",\"changed\":true,\"operation\":null}" },
		{ "event.subscribe", "{\"next\":1}" },
		{ "vf.assign", NULL, TAKEN("-32003", "quarantined") },
		{ "event.subscribe", "{\"next\":1}" },
		{ "vf.assign", NULL, TAKEN("-32003", "not_free") },
		{ "vf.assign", NULL, TAKEN("-32003", "not_free") },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run waited = GPUVF("assign", "trainer-1", "--vf", "gpu0/vf1", "--wait", "1m");
	_cleanup_run_ struct run quarantined = GPUVF("assign", "trainer-1", "--vf", "gpu0/vf1", "--wait", "1m");
	_cleanup_run_ struct run late = GPUVF("assign", "trainer-1", "--vf", "gpu0/vf1", "--wait", "20ms");
	_cleanup_run_ struct run refused = GPUVF("assign", "trainer-1", "--vf", "gpu0/vf1");

	assert_string_equal(waited.out, "trainer-1 holds gpu0/vf1\n");
	assert_int_equal(quarantined.code, EXIT_CONFLICT);
	assert_int_equal(late.code, EXIT_TIMEOUT);
	assert_non_null(strstr(late.err, "gpu0/vf1 is taken"));
	assert_int_equal(refused.code, EXIT_CONFLICT);
	fake_daemon_stop(d);
}

static void test_release(void **state)
{
	static const struct canned answers[] = {
		{ "vf.release",
		  "{\"changed\":true,\"released\":[\"gpu0/vf1\"],\"operation\":null,\"note\":\"gpu0/vf2 stays\"}" },
		{ "vf.release", "{\"changed\":false,\"released\":[],\"operation\":null}" },
		{ "vf.release", "{\"changed\":true,\"released\":[\"gpu0/vf1\"],\"operation\":null}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run vf = GPUVF("release", "gpu0/vf1", "--force", "--yes-power-off");
	_cleanup_run_ struct run vm = GPUVF("release", "trainer-1", "--all", "--both");
	_cleanup_run_ struct run epoch = GPUVF("release", "gpu0/vf1", "--if-epoch", "0");
	_cleanup_run_ struct run wrong = GPUVF("release", "gpu0/vf1", "--if-epoch", "-1");

	assert_string_equal(vf.out, "gpu0/vf1 is free again\ngpu0/vf2 stays\n");
	assert_string_equal(vm.out, "trainer-1 holds nothing: nothing was changed\n");
	assert_request(d, 0, "vf.release", "{\"vf\":\"gpu0/vf1\",\"force\":true,\"yes_power_off\":true}");
	assert_request(d, 1, "vf.release", "{\"vm\":\"trainer-1\",\"all\":true,\"mode\":\"both\"}");
	assert_int_equal(epoch.code, 0);
	assert_request(d, 2, "vf.release", "{\"vf\":\"gpu0/vf1\",\"if_epoch\":0}");
	assert_int_equal(wrong.code, 2);
	fake_daemon_stop(d);
}

/* What is left of a release decides what is said of it. */
static void test_release_of_one_side(void **state)
{
#define LEFT(vf, state, vm, live, config)                                                                              \
	"{\"vf\":\"" vf "\",\"state\":\"" state "\",\"vm\":" vm ",\"live\":" live ",\"config\":" config "}"
#define ANSWER(changed, released, left)                                                                                \
	"{\"changed\":" changed ",\"released\":[" released "],\"left\":[" left "],\"operation\":null}"
	static const struct canned answers[] = {
		{ "vf.release", ANSWER("true", "\"gpu0/vf1\"", LEFT("gpu0/vf1", "attached", "\"t-1\"", "true", "false")) },
		{ "vf.release", ANSWER("true", "\"gpu0/vf1\"", LEFT("gpu0/vf1", "reserved", "\"t-1\"", "false", "true")) },
		{ "vf.release", ANSWER("true", "\"gpu0/vf1\",\"gpu0/vf2\"",
				       LEFT("gpu0/vf2", "attached", "\"t-1\"", "true", "false")) },
		{ "vf.release", ANSWER("false", "", LEFT("gpu1/vf3", "reserved", "\"off-1\"", "false", "true") ","
						    LEFT("gpu1/vf4", "attached", "\"off-1\"", "true", "false")) },
		{ "vf.release", ANSWER("false", "", "") },
		{ "vf.release", ANSWER("true", "\"gpu0/vf9\"", LEFT("gpu0/vf9", "gone", "null", "false", "false")) },
		{ "vf.release", ANSWER("true", "\"gpu0/vf1\"", LEFT("gpu0/vf1", "attached", "\"t-1\"", "true", "false")) },
		{ "vf.release", ANSWER("true", "\"gpu0/vf1\"", LEFT("gpu0/vf1", "attached", "\"t-2\"", "true", "false,\"anew\":true")) },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run config = GPUVF("release", "t-1", "--config");
	_cleanup_run_ struct run live = GPUVF("release", "gpu0/vf1", "--live");
	_cleanup_run_ struct run both = GPUVF("release", "t-1", "--config", "--all");
	_cleanup_run_ struct run nothing = GPUVF("release", "off-1", "--live");
	_cleanup_run_ struct run nobody = GPUVF("release", "gpu0/vf1");
	_cleanup_run_ struct run gone = GPUVF("release", "gpu0/vf9");
	_cleanup_run_ struct run quiet = GPUVF("-q", "release", "t-1", "--config");
	_cleanup_run_ struct run anew = GPUVF("release", "t-1");

	assert_string_equal(config.out, "gpu0/vf1 is out of the stored definition of t-1; the guest keeps it until it is off\n");
	assert_string_equal(live.out, "gpu0/vf1 is out of the guest of t-1; its stored definition keeps it, and nobody else "
				      "gets it\n");
	assert_string_equal(both.out, "gpu0/vf1 is free again\n"
				      "gpu0/vf2 is out of the stored definition of t-1; the guest keeps it until it is off\n");
	assert_string_equal(nothing.out, "off-1 has gpu1/vf3 in its stored definition only: nothing was changed\n"
					 "off-1 has gpu1/vf4 in its running guest only: nothing was changed\n");
	assert_string_equal(nobody.out, "nobody holds gpu0/vf1: nothing was changed\n");
	assert_string_equal(gone.out, "gpu0/vf9 is not there, and its VM is not to have it any more\n");
	assert_string_equal(quiet.out, "gpu0/vf1\n");
	assert_string_equal(anew.out, "gpu0/vf1 was released, and by now t-2 has it\n");
	assert_request(d, 0, "vf.release", "{\"vm\":\"t-1\",\"mode\":\"config\"}");
	fake_daemon_stop(d);
#undef LEFT
#undef ANSWER
}

#define JOB(id, state, result)                                                                     \
	"{\"id\":" id ",\"state\":\"" state "\",\"result\":" result ",\"exit_code\":3}"
#define JOB_EVENT "{\"seq\":4,\"type\":\"job.state\",\"subject\":\"2\",\"state\":\"ended\"}"

static void test_wait(void **state)
{
	static const struct canned answers[] = {
		{ "event.subscribe", "{\"next\":1}" },
		{ "job.get", JOB("1", "ended", "\"succeeded\"") },
		{ "job.get", JOB("2", "running", "null"), .events = JOB_EVENT },
		{ "job.get", JOB("2", "ended", "\"failed\"") },
		{ "event.subscribe", "{\"next\":1}" },
		{ "job.get", JOB("2", "ended", "\"failed\"") },
		{ "event.subscribe", "{\"next\":1}" },
		{ "job.get", JOB("2", "queued", "null") },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run both = GPUVF("wait", "1", "2"),
				 code = GPUVF("wait", "2", "--exit-code");
	_cleanup_run_ struct run late = GPUVF("wait", "2", "--timeout", "20ms", "--for", "running");

	assert_string_equal(both.out, "job 1: succeeded\njob 2: failed\n");
	assert_int_equal(both.code, EXIT_ENDED_OTHERWISE);
	assert_int_equal(code.code, 3);
	assert_int_equal(late.code, EXIT_TIMEOUT);
	fake_daemon_stop(d);
}

/* A state that was over before we looked is known from its event. */
static void test_wait_for_a_short_state(void **state)
{
	static const struct canned answers[] = {
		{ "event.subscribe", "{\"next\":1}" },
		{ "job.get", JOB("2", "queued", "null"),
		  .events = "{\"seq\":4,\"type\":\"job.state\",\"subject\":\"2\",\"state\":"
			    "\"starting\"}" },
		{ "job.get", JOB("2", "running", "null") },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("wait", "2", "--for", "starting");

	assert_string_equal(run.err, "");
	assert_int_equal(run.code, 0);
	fake_daemon_stop(d);
}

/* The daemon goes and comes back: the wait takes its subscription up again, and looks. */
static void test_wait_over_a_restart(void **state)
{
	static const struct canned answers[] = {
		{ "event.subscribe", "{\"next\":1}" },
		{ "job.get", JOB("2", "running", "null"), .close_after = true },
		{ "event.subscribe", "{\"next\":1}" },
		{ "job.get", JOB("2", "ended", "\"succeeded\"") },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("wait", "2");

	assert_string_equal(run.err, "");
	assert_string_equal(run.out, "job 2: succeeded\n");
	assert_int_equal(fake_daemon_requests(d), 4);
	fake_daemon_stop(d);
}

static void test_logs(void **state)
{
	static const struct canned answers[] = {
		{ "job.logs", "{\"data\":\"one\\n\",\"encoding\":\"utf-8\",\"offset\":0,\"next\":4,"
			      "\"eof\":false}" },
		{ "job.logs",
		  "{\"data\":\"/"
		  "w==\",\"encoding\":\"base64\",\"offset\":4,\"next\":5,\"eof\":true}" },
		{ "job.logs",
		  "{\"data\":\"\",\"encoding\":\"utf-8\",\"offset\":5,\"next\":5,\"eof\":true}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("logs", "4", "--stderr", "--attempt", "2");

	assert_string_equal(run.out, "one\n\xff");
	assert_request(
		d, 1, "job.logs",
		"{\"id\":\"4\",\"stream\":\"stderr\",\"attempt\":2,\"offset\":4,\"limit\":262144}");
	fake_daemon_stop(d);
}

/* Output comes by offset, goes on when an event says so, and over to the next attempt. */
static void test_logs_follow(void **state)
{
	static const struct canned answers[] = {
		{ "event.subscribe", "{\"next\":1}" },
		{ "job.get", "{\"id\":4,\"state\":\"running\",\"attempt\":1}" },
		{ "job.logs", "{\"data\":\"a\",\"encoding\":\"utf-8\",\"next\":1,\"eof\":false}" },
		{ "job.logs", "{\"data\":\"\",\"encoding\":\"utf-8\",\"next\":1,\"eof\":false}",
		  .events = "{\"seq\":1,\"type\":\"job.output\",\"subject\":\"4\"}" },
		{ "job.logs", "{\"data\":\"b\",\"encoding\":\"utf-8\",\"next\":2,\"eof\":true}" },
		{ "job.get", "{\"id\":4,\"state\":\"running\",\"attempt\":2}",
		  .events = "{\"seq\":2,\"type\":\"job.state\",\"subject\":\"4\"}" },
		{ "job.logs", "{\"data\":\"c\",\"encoding\":\"utf-8\",\"next\":1,\"eof\":true}" },
		{ "job.get", "{\"id\":4,\"state\":\"ended\",\"attempt\":2}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("logs", "-f", "4");

	assert_string_equal(run.err, "");
	assert_string_equal(run.out, "abc");
	assert_request(
		d, 6, "job.logs",
		"{\"id\":\"4\",\"stream\":\"stdout\",\"attempt\":2,\"offset\":0,\"limit\":262144}");
	fake_daemon_stop(d);
}

static void test_cancel(void **state)
{
	static const struct canned answers[] = {
		{ "job.cancel", NULL, "{\"code\":-32002,\"message\":\"no job\"}" },
		{ "operation.cancel",
		  "{\"changed\":true,\"operation\":\"op/7\",\"state\":\"running\"}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("cancel", "3", "op/7");

	assert_int_equal(run.code, EXIT_NOT_FOUND);
	assert_string_equal(run.out, "op/7: cancelled, now running\n");
	fake_daemon_stop(d);
}

static void test_call(void **state)
{
	static const struct canned answers[] = {
		{ "x.y", "{\"a\":1}" },
		{ "x.y", "[1]" },
		{ NULL },
	};
	static const char *const from_input[] = { "gpuvf", "call", "x.y", "-", NULL };
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("call", "x.y", "{\"b\": 2}");
	_cleanup_run_ struct run input = run_gpuvf("{\"c\": 3}", from_input);
	_cleanup_run_ struct run bad = GPUVF("call", "x.y", "{\"b\" 2}");

	assert_string_equal(run.out, "{\n  \"a\": 1\n}\n");
	assert_request(d, 0, "x.y", "{\"b\":2}");
	assert_request(d, 1, "x.y", "{\"c\":3}");
	assert_int_equal(input.code, 0);
	assert_int_equal(bad.code, EXIT_INVALID_DOCUMENT);
	assert_non_null(strstr(bad.err, "PARAMS:1:"));
	fake_daemon_stop(d);
}

static void test_progress(void **state)
{
	static const struct canned answers[] = {
		{ "job.list", "{\"items\":[{\"id\":2}],\"next\":null}" },
		{ "event.subscribe", "{\"next\":1}" },
		{ "job.get", "{\"id\":2,\"name\":\"tiny\",\"state\":\"running\",\"progress\":null}",
		  .events = "{\"seq\":1,\"type\":\"job.progress\",\"subject\":\"2\",\"step\":5,"
			    "\"total\":10,\"loss\":0.5}\n"
			    "{\"seq\":2,\"type\":\"job.state\",\"subject\":\"2\",\"state\":"
			    "\"ended\"}" },
		{ "job.get",
		  "{\"id\":2,\"name\":\"tiny\",\"state\":\"ended\",\"result\":\"succeeded\","
		  "\"progress\":{\"step\":10,\"total\":10,\"loss\":0.25}}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("watch", "--progress");

	assert_string_equal(run.err, "");
	assert_int_equal(run.code, 0);
	assert_non_null(strstr(run.out, "running\n"));
	assert_non_null(strstr(run.out, "[############------------] step 5/10, loss 0.5\n"));
	assert_non_null(strstr(run.out,
			       "succeeded     [########################] step 10/10, loss 0.25\n"));
	fake_daemon_stop(d);
}

static void test_watch(void **state)
{
	static const struct canned answers[] = {
		{ "event.subscribe", "{\"next\":1}",
		  .events = "{\"seq\":3,\"type\":\"gpu.changed\",\"subject\":\"gpu0\",\"at\":"
			    "\"2026-01-02T03:04:05Z\","
			    "\"state\":\"ready\",\"reason\":null}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	pid_t child;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	child = fork();
	if (child == 0) {
		FILE *to = fdopen(fds[1], "w"), *in = fopen("/dev/null", "r");
		const char *const arguments[] = { "gpuvf",   "watch",       "--since", "3",
						  "--types", "gpu.changed", "--utc",   NULL };

		_exit(cli_run(7, (char **)arguments, in, to, stderr));
	}
	close(fds[1]);
	{
		FILE *from = fdopen(fds[0], "r");
		char line[256] = "";

		assert_non_null(fgets(line, sizeof(line), from));
		assert_string_equal(
			line,
			"3  2026-01-02 03:04:05Z  gpu.changed       gpu0       state=ready\n");
		fclose(from);
	}
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_request(d, 0, "event.subscribe", "{\"types\":[\"gpu.changed\"],\"since\":3}");
	fake_daemon_stop(d);
}

static void test_audit(void **state)
{
	static const struct canned answers[] = {
		{ "audit.list",
		  "{\"items\":[{\"audit\":9,\"at\":\"2026-01-02T03:04:05Z\",\"uid\":54321,\"pid\":77,\"method\":\"vf.assign\","
		  "\"subject\":\"gpu0/vf1\",\"operation\":null,\"outcome\":\"changed\",\"before\":{\"state\":\"free\"},"
		  "\"after\":{\"state\":\"leased\",\"vm\":\"trainer-1\"},\"error\":null,\"policy_revision\":\"r\"},"
		  "{\"audit\":8,\"at\":\"2026-01-02T03:04:04Z\",\"uid\":54321,\"pid\":null,\"method\":\"gpu.apply\","
		  "\"subject\":null,\"outcome\":\"refused\",\"before\":null,\"after\":null,\"error\":\"not for you\","
		  "\"left_out\":4,\"policy_revision\":\"r\"}],\"next\":null}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("audit", "--utc", "--user", "54321", "--subject", "gpu0/vf1", "--since",
					     "2026-01-02T00:00:00Z", "--limit", "2");

	assert_string_equal(run.err, "");
	assert_non_null(strstr(run.out, "2026-01-02 03:04:05Z  54321   77  vf.assign  gpu0/vf1  changed  "
					"state free -> leased, vm trainer-1\n"));
	assert_non_null(strstr(run.out, "-  gpu.apply  -         refused  not for you (4 more were left out before)\n"));
	assert_request(d, 0, "audit.list", "{\"since\":\"2026-01-02T00:00:00.000Z\",\"uid\":54321,"
					   "\"subject\":\"gpu0/vf1\",\"limit\":2}");
	fake_daemon_stop(d);
}

/* Ctrl-C leaves the action alone and says how to find it again. */
static void test_interrupt(void **state)
{
	static const struct canned answers[] = {
		{ "gpu.apply", "{\"operation\":\"op/7\"}" },
		{ "event.subscribe", "{\"next\":9}" },
		{ "operation.get", OP("running", "") },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	char said[256] = "";
	int fds[2], status;
	pid_t child;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	if (child == 0) {
		const char *const arguments[] = { "gpuvf", "apply", "gpu0", "--vfs", "1", NULL };
		FILE *in = fopen("/dev/null", "r");

		signal(SIGINT, SIG_DFL);
		dup2(fds[1], STDERR_FILENO);
		_exit(cli_run(5, (char **)arguments, in, stdout, stderr));
	}
	close(fds[1]);
	fake_daemon_wait(d, 3);
	kill(child, SIGINT);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EXIT_INTERRUPTED);
	assert_true(read(fds[0], said, sizeof(said) - 1) > 0);
	assert_string_equal(said, "\nop/7 continues; gpuvf wait op/7; gpuvf cancel op/7\n");
	close(fds[0]);
	fake_daemon_stop(d);
}

/* ---- fetch ---- */

static char folder[] = "/tmp/gpuvf-test-fetch-XXXXXX";

static char *in_folder(const char *name)
{
	return xasprintf("%s/%s", folder, name);
}

#define LISTED(path) "{\"items\":[{\"path\":\"" path "\",\"size\":4}],\"next\":null,\"eof\":true}"
#define CONTENT "{\"data\":\"YWJj\",\"encoding\":\"base64\",\"next\":3,\"eof\":true}"

static void test_fetch(void **state)
{
	static const struct canned answers[] = {
		{ "job.file", LISTED("out/a.bin") },
		{ "job.file",
		  "{\"data\":\"YWJj\",\"encoding\":\"base64\",\"next\":3,\"eof\":false}" },
		{ "job.file",
		  "{\"data\":\"ZA==\",\"encoding\":\"base64\",\"next\":4,\"eof\":true}" },
		{ "job.file", LISTED("out/a.bin") },
		{ "job.file", LISTED("out/a.bin") },
		{ "job.file", CONTENT },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_free_ char *to = in_folder("new"), *file = in_folder("new/out/a.bin"),
			    *text = NULL;
	_cleanup_run_ struct run first = GPUVF("fetch", "5", to), again = GPUVF("fetch", "5", to);
	_cleanup_run_ struct run force = { 0 };

	assert_string_equal(first.err, "");
	assert_int_equal(first.code, 0);
	assert_int_equal(read_file_at(AT_FDCWD, file, 100, &text, NULL), 0);
	assert_string_equal(text, "abcd");
	assert_request(d, 2, "job.file",
		       "{\"id\":\"5\",\"path\":\"out/a.bin\",\"offset\":3,\"limit\":262144}");
	assert_int_equal(again.code, EXIT_CONFLICT);
	assert_non_null(
		strstr(again.err, "is there already (--force replaces it; nothing was written)"));

	force = GPUVF("fetch", "5", to, "--force");
	assert_int_equal(force.code, 0);
	free(text);
	text = NULL;
	assert_int_equal(read_file_at(AT_FDCWD, file, 100, &text, NULL), 0);
	assert_string_equal(text, "abc");
	fake_daemon_stop(d);
}

static void test_fetch_stays_below(void **state)
{
	static const char *const paths[] = {
		"../x", "/etc/x", "a/../../x", "a//b", "./a", "", "a/"
	};
	_cleanup_free_ char *to = in_folder("safe");
	size_t i;

	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_free_ char *listed = xasprintf(LISTED("%s"), paths[i]);
		const struct canned answers[] = { { "job.file", listed }, { NULL } };
		struct fake_daemon *d = fake_daemon_start(answers);
		_cleanup_run_ struct run run = GPUVF("fetch", "5", to, "--force");

		assert_int_equal(run.code, EXIT_CONFLICT);
		assert_non_null(strstr(run.err, "would leave the folder"));
		assert_int_equal(fake_daemon_requests(d), 1);
		fake_daemon_stop(d);
	}
	assert_int_equal(access(to, F_OK), -1);
}

/* A link that is in the folder already must not lead out of it. */
static void test_fetch_follows_no_links(void **state)
{
	static const char *const paths[] = { "link/x", "file" };
	_cleanup_free_ char *link = in_folder("link"), *file = in_folder("file"),
			    *target = in_folder("target");
	size_t i;

	assert_int_equal(symlink("/tmp", link), 0);
	assert_int_equal(symlink(target, file), 0);
	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_free_ char *listed = xasprintf(LISTED("%s"), paths[i]);
		const struct canned answers[] = { { "job.file", listed },
						  { "job.file", CONTENT },
						  { NULL } };
		struct fake_daemon *d = fake_daemon_start(answers);
		_cleanup_run_ struct run run = GPUVF("fetch", "5", folder, "--force");

		assert_int_equal(run.code, EXIT_FAILED);
		fake_daemon_stop(d);
	}
	assert_int_equal(access(target, F_OK), -1);
}

static void test_fetch_nothing(void **state)
{
	static const struct canned answers[] = { { "job.file", "{\"items\":[],\"next\":null}" },
						 { NULL } };
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("fetch", "5", folder);

	assert_int_equal(run.code, EXIT_NOT_FOUND);
	assert_non_null(strstr(run.err, "\"outputs\""));
	fake_daemon_stop(d);
}

/* ---- no daemon, a broken one ---- */

static void test_unreachable(void **state)
{
	static const struct canned none[] = { { NULL } };
	static const struct canned closing[] = { { "gpu.list", .close = true }, { NULL } };
	struct fake_daemon *d = fake_daemon_start(none);
	_cleanup_run_ struct run away = GPUVF("--socket", "/nonexistent/sock", "list");
	_cleanup_run_ struct run json =
		GPUVF("--socket", "/nonexistent/sock", "-o", "json", "list");
	_cleanup_run_ struct run closed = { 0 };
	_cleanup_json_ json_t *error = json_loads(json.err, 0, NULL);

	assert_int_equal(away.code, EXIT_UNREACHABLE);
	assert_non_null(strstr(away.err, "does gpuvfd run?"));
	assert_int_equal(json.code, EXIT_UNREACHABLE);
	assert_string_equal(json_get_string(json_object_get(error, "data"), "reason"),
			    "not_reachable");
	assert_int_equal(fake_daemon_requests(d), 0);
	fake_daemon_stop(d);

	d = fake_daemon_start(closing);
	closed = GPUVF("list", "gpus");
	assert_int_equal(closed.code, EXIT_UNREACHABLE);
	fake_daemon_stop(d);
}

static void test_policy_check_runs_gpuvfd(void **state)
{
	_cleanup_run_ struct run yes = { 0 }, no = { 0 }, missing = { 0 };

	setenv("GPUVFD", "/bin/true", 1);
	yes = GPUVF("policy", "check", "a.json");
	setenv("GPUVFD", "/bin/false", 1);
	no = GPUVF("policy", "check", "a.json");
	setenv("GPUVFD", "/nonexistent/gpuvfd", 1);
	missing = GPUVF("policy", "check", "a.json");
	unsetenv("GPUVFD");
	assert_int_equal(yes.code, 0);
	assert_int_equal(no.code, 1);
	assert_int_equal(missing.code, EXIT_FAILED);
	assert_non_null(strstr(missing.err, "GPUVFD=PATH"));
}

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	_cleanup_free_ char *command = xasprintf("rm -rf %s", folder);

	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_layout_options),
		cmocka_unit_test(test_profiles),
		cmocka_unit_test(test_apply_waits),
		cmocka_unit_test(test_apply_fails),
		cmocka_unit_test(test_apply_does_not_wait),
		cmocka_unit_test(test_assign_waits_for_a_free_one),
		cmocka_unit_test(test_assign_waits_for_the_one_that_is_named),
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_release_of_one_side),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_wait_for_a_short_state),
		cmocka_unit_test(test_wait_over_a_restart),
		cmocka_unit_test(test_logs),
		cmocka_unit_test(test_logs_follow),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_call),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_audit),
		cmocka_unit_test(test_interrupt),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_fetch_stays_below),
		cmocka_unit_test(test_fetch_follows_no_links),
		cmocka_unit_test(test_fetch_nothing),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_doctor),
		cmocka_unit_test(test_policy_check_runs_gpuvfd),
	};

	return cmocka_run_group_tests_name("cli", tests, make_folder, remove_folder);
}
