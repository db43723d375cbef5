/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf assert, export, drain, undrain, tune, reset, and apply --drain and --all, against a daemon with canned answers:
 * what is sent, what is printed, and the exit codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "cli/cli.h"
#include "fake-daemon.h"

#define OP(state, more) "{\"operation\":\"op/7\",\"state\":\"" state "\"" more "}"
#define HOLDERS "\"holders\":[\"gpu0/vf1: VM a (attached)\"]"
#define OP_EVENT "{\"seq\":9,\"type\":\"operation.changed\",\"subject\":\"op/7\",\"state\":\"done\"}"

static void test_assert(void **state)
{
#define VFS2 "\"layout\":{\"vfs\":[{},{}]},\"layout_source\":\"policy\""
	static const struct canned answers[] = {
		{ "gpu.assert", "{\"same\":true,\"gpus\":[{\"gpu\":\"gpu0\",\"same\":true," VFS2 ",\"differences\":[]},"
				"{\"gpu\":\"gpu1\",\"same\":true,\"layout\":null,\"differences\":[]}]}" },
		{ "gpu.assert", "{\"same\":false,\"gpus\":[{\"gpu\":\"gpu0\",\"same\":false," VFS2
				",\"differences\":[\"vf1 has 7\",\"vf2 has 8\"]}]}" },
		{ "gpu.assert", "{\"same\":false,\"gpus\":[]}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run same = GPUVF("assert"), other = GPUVF("assert", "gpu0");
	_cleanup_run_ struct run json = GPUVF("assert", "--all", "-o", "ndjson"), both = GPUVF("assert", "gpu0", "--all");

	assert_int_equal(same.code, 0);
	assert_string_equal(same.out, "gpu0: as wanted: 2 VFs (policy)\n"
				      "gpu1: nobody wants a layout of it: nothing to compare\n");
	assert_int_equal(other.code, EXIT_CONFLICT);
	assert_string_equal(other.out, "gpu0: vf1 has 7\ngpu0: vf2 has 8\n");
	assert_request(d, 0, "gpu.assert", "{}");
	assert_request(d, 1, "gpu.assert", "{\"gpu\":\"gpu0\"}");
	assert_int_equal(json.code, EXIT_CONFLICT);
	assert_string_equal(json.out, "{\"same\":false,\"gpus\":[]}\n");
	assert_int_equal(both.code, EXIT_USAGE);
	fake_daemon_stop(d);
}

static void test_export(void **state)
{
	static const struct canned answers[] = {
		{ "gpu.export", "{\"version\":1}" },
		{ "gpu.export", "{\"version\":1}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run all = GPUVF("export"), one = GPUVF("export", "gpu1");

	assert_string_equal(all.out, "{\n  \"version\": 1\n}\n");
	assert_request(d, 0, "gpu.export", "{}");
	assert_request(d, 1, "gpu.export", "{\"gpu\":\"gpu1\"}");
	assert_int_equal(one.code, 0);
	fake_daemon_stop(d);
}

/* For whom it waits is told before it waits, and again when the time is over. */
static void test_drain(void **state)
{
	static const struct canned answers[] = {
		{ "gpu.drain", "{\"operation\":\"op/7\"," HOLDERS "}" },
		{ "event.subscribe", "{\"next\":9}" },
		{ "operation.get", OP("running", "") , .events = OP_EVENT },
		{ "operation.get", OP("done", ",\"result\":{\"changed\":true,\"holders\":[],\"gpu\":{\"name\":\"gpu0\"}}") },
		{ "gpu.drain", "{\"operation\":\"op/7\"," HOLDERS "}" },
		{ "event.subscribe", "{\"next\":9}" },
		{ "operation.get", OP("running", ",\"result\":{" HOLDERS "}") },
		{ "gpu.drain", "{\"operation\":null,\"changed\":false,\"holders\":[],\"gpu\":{\"name\":\"gpu0\"}}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run waited = GPUVF("drain", "gpu0"), late = GPUVF("drain", "gpu0", "--wait", "20ms");
	_cleanup_run_ struct run again = GPUVF("drain", "gpu0");

	assert_int_equal(waited.code, 0);
	assert_string_equal(waited.err, "op/7 waits for gpu0/vf1: VM a (attached)\n");
	assert_string_equal(waited.out, "gpu0 is drained\n");
	assert_request(d, 0, "gpu.drain", "{\"gpu\":\"gpu0\"}");
	assert_int_equal(late.code, EXIT_TIMEOUT);
	assert_string_equal(late.err, "op/7 waits for gpu0/vf1: VM a (attached)\n"
				      "op/7 waits for gpu0/vf1: VM a (attached)\n"
				      "gpuvf: drain: op/7 is not done yet (it continues; gpuvf wait op/7; gpuvf "
				      "cancel op/7)\n");
	assert_string_equal(again.out, "gpu0 is drained, as before: nothing was changed\n");
	fake_daemon_stop(d);
}

static void test_undrain(void **state)
{
	static const struct canned answers[] = {
		{ "gpu.undrain", "{\"changed\":true}" },
		{ "gpu.undrain", "{\"changed\":false}" },
		{ "gpu.undrain", NULL, "{\"code\":-32003,\"message\":\"drained for op/3\",\"data\":{\"hint\":\"gpuvf cancel op/3\"}}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run one = GPUVF("undrain", "gpu0"), two = GPUVF("undrain", "gpu0");
	_cleanup_run_ struct run three = GPUVF("undrain", "gpu0");

	assert_string_equal(one.out, "gpu0 lets holders in again\n");
	assert_string_equal(two.out, "gpu0 was not drained: nothing was changed\n");
	assert_int_equal(three.code, EXIT_CONFLICT);
	assert_string_equal(three.err, "gpuvf: undrain: drained for op/3 (gpuvf cancel op/3)\n");
	fake_daemon_stop(d);
}

static void test_tune(void **state)
{
	static const struct canned answers[] = {
		{ "vf.tune", "{\"changed\":true,\"subject\":\"gpu0/vf1\",\"values\":{\"exec_quantum_ms\":20,\"priority\":"
			     "\"low\"},\"kept\":true,\"pinned\":true}" },
		{ "vf.tune", "{\"changed\":true,\"subject\":\"gpu0\",\"values\":{\"priority\":\"normal\"},\"kept\":false}" },
		/* An address may be a GPU's or a VF's. */
		{ "vf.tune", NULL, "{\"code\":-32002,\"message\":\"no GPU\"}" },
		{ "vf.tune", "{\"changed\":false,\"subject\":\"gpu0/vf1\",\"values\":{},\"kept\":true}" },
		{ "vf.tune", NULL, "{\"code\":-32006,\"message\":\"read-only\",\"data\":{\"hint\":\"all together\"}}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run one = GPUVF("tune", "gpu0/vf1", "--quantum", "20ms", "--preempt-timeout", "5ms");
	_cleanup_run_ struct run all = GPUVF("tune", "gpu0", "--priority", "normal");
	_cleanup_run_ struct run address = GPUVF("tune", "0000:03:00.1", "--quantum", "20ms");
	_cleanup_run_ struct run refused = GPUVF("tune", "gpu0/vf1", "--priority", "normal");
	_cleanup_run_ struct run nothing = GPUVF("tune", "gpu0/vf1");

	assert_string_equal(one.out, "gpu0/vf1: exec_quantum_ms 20\ngpu0/vf1: priority low\n"
				     "gpu0/vf1: pinned: the layout by hand goes before the policy's (apply --policy "
				     "drops it)\n");
	assert_request(d, 0, "vf.tune",
		       "{\"vf\":\"gpu0/vf1\",\"exec_quantum_ms\":\"20ms\",\"preempt_timeout_us\":\"5ms\"}");
	assert_request(d, 1, "vf.tune", "{\"gpu\":\"gpu0\",\"priority\":\"normal\"}");
	assert_non_null(strstr(all.out, "until its VFs are cut again"));
	assert_request(d, 2, "vf.tune", "{\"gpu\":\"0000:03:00.1\",\"exec_quantum_ms\":\"20ms\"}");
	assert_request(d, 3, "vf.tune", "{\"vf\":\"0000:03:00.1\",\"exec_quantum_ms\":\"20ms\"}");
	assert_string_equal(address.out, "gpu0/vf1: as before: nothing was changed\n");
	assert_int_equal(refused.code, EXIT_UNSUPPORTED);
	assert_string_equal(refused.err, "gpuvf: tune: read-only (all together)\n");
	assert_int_equal(nothing.code, EXIT_USAGE);
	assert_int_equal(fake_daemon_requests(d), 5);
	fake_daemon_stop(d);
}

static void test_reset(void **state)
{
	static const struct canned answers[] = {
		{ "vf.reset", "{\"operation\":\"op/7\"}" },
		{ "vf.reset", "{\"changed\":true,\"vf\":\"gpu0/vf1\",\"operation\":null}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run at_once = GPUVF("reset", "gpu0/vf1", "--wait", "0s"), done = GPUVF("reset", "gpu0/vf1");

	assert_string_equal(at_once.out, "op/7 was accepted; gpuvf wait shows its end\n");
	assert_string_equal(done.out, "gpu0/vf1 was reset and answers\n");
	fake_daemon_stop(d);
}

static void test_apply_drains(void **state)
{
	static const struct canned answers[] = {
		{ "gpu.apply", "{\"operation\":\"op/7\",\"operation_state\":\"accepted\"," HOLDERS "}" },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run run = GPUVF("apply", "gpu0", "--vfs", "2", "--drain", "--wait", "0s");

	assert_request(d, 0, "gpu.apply", "{\"gpu\":\"gpu0\",\"layout\":{\"vfs\":2},\"drain\":true}");
	assert_string_equal(run.err, "op/7 waits for gpu0/vf1: VM a (attached)\n");
	assert_string_equal(run.out, "gpu0: op/7 was accepted; gpuvf wait op/7\n");
	fake_daemon_stop(d);
}

#define GPUS "{\"items\":[{\"name\":\"gpu0\"},{\"name\":\"gpu1\"},{\"name\":\"gpu2\"}],\"next\":null}"
#define DONE "{\"operation\":null,\"changed\":false,\"gpu\":{\"vfs\":[{}]}}"

/* One that is refused does not keep the others from being cut; the worst gives the exit code. */
static void test_apply_all(void **state)
{
	static const struct canned answers[] = {
		{ "gpu.list", GPUS },
		{ "gpu.apply", NULL, "{\"code\":-32006,\"message\":\"no SR-IOV\"}" },
		{ "gpu.apply", NULL, "{\"code\":-32003,\"message\":\"held\"}" },
		{ "gpu.apply", DONE },
		{ "gpu.list", GPUS },
		{ "gpu.apply", NULL, "{\"code\":-32007,\"message\":\"no answer\"}" },
		{ "gpu.apply", NULL, "{\"code\":-32004,\"message\":\"too large\"}" },
		{ "gpu.apply", DONE },
		{ "gpu.list", GPUS },
		{ "gpu.apply", "{}", .close = true },
		{ NULL },
	};
	struct fake_daemon *d = fake_daemon_start(answers);
	_cleanup_run_ struct run refused = GPUVF("apply", "--all", "--vfs", "1");
	_cleanup_run_ struct run failed = GPUVF("-o", "json", "apply", "--all", "--vfs", "1");
	_cleanup_run_ struct run gone = GPUVF("apply", "--all", "--vfs", "1");

	assert_int_equal(refused.code, EXIT_UNSUPPORTED);
	assert_string_equal(refused.out, "gpu2: 1 VFs, as before: nothing was changed\n");
	assert_string_equal(refused.err, "gpuvf: apply: no SR-IOV\ngpuvf: apply: gpu0 was not cut\n"
					 "gpuvf: apply: held\ngpuvf: apply: gpu1 was not cut\n"
					 "gpuvf: apply: 2 of 3 GPUs failed\n");
	assert_int_equal(failed.code, EXIT_FAILED);
	assert_non_null(strstr(failed.out, "\"changed\": false"));
	assert_int_equal(gone.code, EXIT_UNREACHABLE);
	assert_int_equal(fake_daemon_requests(d), 10);
	fake_daemon_stop(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_assert),	     cmocka_unit_test(test_export),
		cmocka_unit_test(test_drain),	     cmocka_unit_test(test_undrain),
		cmocka_unit_test(test_tune),	     cmocka_unit_test(test_reset),
		cmocka_unit_test(test_apply_drains), cmocka_unit_test(test_apply_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
