/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a wanted layout is made without being asked, when not, what is drift and when it is healed; what the start
 * of libvirt waits for; what one event costs. */
#include "tests/support/manager-bench.h"

#define LONG_WAIT_USEC (60 * USEC_PER_SEC)

/* ---- what happens to the card ---- */

static void driver_unbound(struct bench *b)
{
	free(b->actors.gpu->driver);
	b->actors.gpu->driver = NULL;
	free(b->actors.gpu->reason);
	b->actors.gpu->reason = strdup("no driver is bound: it needs xe");
	fake_set_vfs(&b->actors, 0);
}

static void driver_bound(struct bench *b)
{
	free(b->actors.gpu->driver);
	b->actors.gpu->driver = strdup("xe");
	free(b->actors.gpu->reason);
	b->actors.gpu->reason = NULL;
}

static void say(struct bench *b, enum host_event_type type)
{
	fake_host_event(&b->actors, type, NULL);
	bench_settle(b);
}

static void config_set(struct bench *b, const char *name, json_t *value)
{
	json_object_set_new(b->config, name, value);
}

/* The time until the next attempt is over. */
static void time_passes(struct bench *b)
{
	bench_gpu(b)->own.retry_at = bench_gpu(b)->own.settled_at = 0;
	manager_pump(b->m);
	bench_settle(b);
}

static void expect_healing(struct bench *b, const char *want)
{
	_cleanup_json_ json_t *drift = drift_view(b->m, bench_gpu(b));
	const char *got = json_get_string(drift, "healing");

	if (!streq_ptr(got, want))
		fail_msg("healing is %s instead of %s (%s)", strempty(got), want,
			 strempty(json_get_string(drift, "healing_reason")));
}

static unsigned numvfs_writes(struct bench *b)
{
	unsigned n = 0;

	for (const char *at = b->actors.log; (at = strstr(at, "set-numvfs")); at++)
		n++;
	return n;
}

struct seen {
	unsigned found, healed;
};

static bool count_event(void *userdata, const struct manager_event *event)
{
	struct seen *seen = userdata;

	seen->found += streq(event->type, "drift.found");
	seen->healed += streq(event->type, "drift.healed");
	return true;
}

static struct seen events_of(struct bench *b)
{
	struct seen seen = { 0 };

	bench_settle(b);
	(void)manager_events_replay(b->m, 0, count_event, &seen);
	return seen;
}

/* ---- when a driver was bound ---- */

static void a_driver_that_comes_late_brings_the_layout(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	driver_unbound(b);
	bench_restart(b); /* READY is said without a card that cannot be cut */
	assert_true(b->ready);
	assert_int_equal(numvfs_writes(b), 0);
	assert_string_equal(bench_gpu(b)->drift, "no driver is bound: it needs xe");
	expect_healing(b, "cannot");

	driver_bound(b);
	say(b, HOST_EVENT_BOUND);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
	assert_true(bench_vf(b, "gpu0/vf2")->bound);
	assert_null(bench_gpu(b)->drift);
	assert_int_equal(numvfs_writes(b), 1);
}

static void a_driver_reload_makes_the_vfs_again(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	driver_unbound(b);
	say(b, HOST_EVENT_CHANGED);
	assert_int_equal(bench_gpu(b)->n_vfs, 0);
	assert_non_null(bench_gpu(b)->drift);
	assert_int_equal(events_of(b).found, 1);
	driver_bound(b);
	say(b, HOST_EVENT_BOUND);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	assert_int_equal(events_of(b).healed, 1);

	/* So quickly that no look saw the card without its driver: the event tells. */
	fake_set_vfs(&b->actors, 0);
	say(b, HOST_EVENT_BOUND);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);

	/* And when the event was lost, the look tells. */
	driver_unbound(b);
	say(b, HOST_EVENT_CHANGED);
	driver_bound(b);
	say(b, HOST_EVENT_RESCAN);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	assert_int_equal(numvfs_writes(b), 4);
}

/* That it begins could not be stored: nothing was tried, and it is made when the store takes rows again. */
static void what_cannot_be_begun_stays_due(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	fake_set_vfs(&b->actors, 0);
	b->actors.log[0] = '\0';
	fake_host_event(&b->actors, HOST_EVENT_BOUND, NULL);
	bench_until(b, bench_gpu(b)->apply);
	bench_break_store(b, true);
	bench_until(b, !bench_gpu(b)->own.running);
	assert_true(bench_gpu(b)->due);
	assert_int_equal(numvfs_writes(b), 0);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	time_passes(b);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
}

static void what_somebody_else_cut_meanwhile_stays(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	driver_unbound(b);
	say(b, HOST_EVENT_CHANGED);
	driver_bound(b);
	fake_set_vfs(&b->actors, 3);
	say(b, HOST_EVENT_BOUND);
	assert_int_equal(bench_gpu(b)->n_vfs, 3);
	assert_non_null(strstr(bench_gpu(b)->drift, "3"));
	expect_healing(b, "off");
	assert_int_equal(numvfs_writes(b), 1);
}

static void a_layout_that_fails_is_not_tried_in_a_loop(void **state)
{
	struct bench *b = *state;
	unsigned tries;

	bench_cut(b, 2);
	fake_set_vfs(&b->actors, 0);
	b->actors.host_fault[HOST_SET_VF_ATTR] = -EIO;
	say(b, HOST_EVENT_BOUND);
	assert_int_equal(bench_gpu(b)->own.failures, 1);
	assert_non_null(strstr(bench_gpu(b)->own.failure, "vram_quota"));
	tries = b->actors.n_host[HOST_SET_VF_ATTR];

	/* The same binding is not tried again, a further one not before its time. */
	time_passes(b);
	assert_int_equal(bench_gpu(b)->own.failures, 1);
	assert_int_equal(b->actors.n_host[HOST_SET_VF_ATTR], tries);
	say(b, HOST_EVENT_BOUND);
	assert_int_equal(bench_gpu(b)->own.failures, 2);
	say(b, HOST_EVENT_BOUND);
	assert_int_equal(bench_gpu(b)->own.failures, 2);
	assert_true(bench_gpu(b)->due);
	b->actors.host_fault[HOST_SET_VF_ATTR] = 0;
	time_passes(b);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	assert_int_equal(bench_gpu(b)->own.failures, 0);
	assert_null(bench_gpu(b)->own.failure);
}

static void each_failure_doubles_the_wait(void **state)
{
	struct bench *b = *state;
	uint64_t first;

	bench_cut(b, 2);
	fake_set_vfs(&b->actors, 0);
	b->actors.host_fault[HOST_SET_VF_ATTR] = -EIO;
	say(b, HOST_EVENT_BOUND);
	first = bench_gpu(b)->own.retry_at - now_boottime();
	assert_in_range(first, 4 * USEC_PER_SEC, 5 * USEC_PER_SEC);
	for (unsigned i = 0; i < 12; i++) {
		bench_gpu(b)->own.retry_at = 0;
		say(b, HOST_EVENT_BOUND);
	}
	assert_int_equal(bench_gpu(b)->own.failures, 13);
	assert_in_range(bench_gpu(b)->own.retry_at - now_boottime(), 590 * USEC_PER_SEC, 600 * USEC_PER_SEC);
}

/* ---- what libvirt's start waits for ---- */

static void ready_comes_with_the_vfs(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	bench_stop(b);
	fake_set_vfs(&b->actors, 0);
	b->actors.host_held = ONE(HOST_BIND_VFIO);
	b->no_wait = true;
	bench_start(b);
	bench_until(b, b->serving);
	bench_until(b, gpu_find(b->m, "gpu0") && bench_gpu(b)->n_vfs == 2);
	bench_settle(b);
	assert_false(b->ready); /* a VM could not get them yet */
	assert_int_equal(b->actors.n_hv[HV_LIST], 0);
	fake_release(&b->actors, ONE(HOST_BIND_VFIO), 0);
	bench_until(b, b->ready);
	assert_true(bench_vf(b, "gpu0/vf1")->bound && bench_vf(b, "gpu0/vf2")->bound);
}

static void a_scan_that_fails_is_done_again(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	bench_stop(b);
	fake_set_vfs(&b->actors, 0);
	b->actors.host_fault[HOST_SCAN] = -ETIMEDOUT;
	b->actors.host_fault_once = true;
	b->no_wait = true;
	bench_start(b);
	bench_until(b, b->serving && b->m->scan_failures == 1);
	bench_settle(b);
	assert_false(b->ready); /* nobody knows yet which cards there are */
	bench_until(b, b->ready);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	assert_int_equal(b->m->scan_failures, 0);
}

/* While the host boots, a card may be there before its driver. */
static void ready_waits_for_drivers_that_come(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	bench_stop(b);
	driver_unbound(b);
	b->actors.settling = b->no_wait = true;
	bench_start(b);
	bench_until(b, b->serving);
	bench_settle(b);
	assert_false(b->ready);
	driver_bound(b);
	say(b, HOST_EVENT_BOUND);
	bench_until(b, b->ready);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);

	/* When all is set up, none comes any more. */
	bench_stop(b);
	driver_unbound(b);
	bench_start(b);
	bench_until(b, b->serving);
	bench_settle(b);
	assert_false(b->ready);
	b->actors.settling = false;
	say(b, HOST_EVENT_SETTLED);
	assert_true(b->ready);
}

static void ready_does_not_wait_for_ever(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	bench_stop(b);
	fake_set_vfs(&b->actors, 0);
	config_set(b, "deadlines", json_pack("{s:I}", "boot_layouts_usec", (json_int_t)USEC_PER_MSEC));
	b->actors.host_held = ONE(HOST_SET_NUMVFS);
	b->no_wait = true;
	bench_start(b);
	bench_until(b, b->ready);
	assert_int_equal(bench_gpu(b)->n_vfs, 0);
	/* It is made all the same. */
	fake_release(&b->actors, ONE(HOST_SET_NUMVFS), 0);
	bench_until(b, bench_gpu(b)->n_vfs == 2);
	bench_settle(b);
	assert_null(bench_gpu(b)->drift);
}

static void ready_does_not_wait_for_a_card_that_hangs(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	bench_stop(b);
	fake_set_vfs(&b->actors, 0);
	config_set(b, "deadlines", json_pack("{s:I}", "boot_layouts_usec", (json_int_t)LONG_WAIT_USEC));
	b->actors.host_held = ONE(HOST_SET_NUMVFS);
	b->no_wait = true;
	bench_start(b);
	bench_until(b, b->actors.n_host[HOST_SET_NUMVFS] > 0);
	assert_false(b->ready);
	fake_host_event(&b->actors, HOST_EVENT_STUCK, "sriov_numvfs");
	bench_until(b, b->ready);
	assert_int_equal(bench_gpu(b)->state, GPU_WEDGED);
}

/* It goes on once libvirt has answered, and libvirt starts after READY. */
static void ready_does_not_wait_for_an_inherited_apply(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	b->actors.host_held = ONE(HOST_SET_NUMVFS);
	a = bench_apply(b, 2, FOREVER);
	bench_until(b, b->actors.n_host[HOST_SET_NUMVFS] > 0);
	bench_stop(b);
	answer_free(a);
	config_set(b, "deadlines", json_pack("{s:I}", "boot_layouts_usec", (json_int_t)LONG_WAIT_USEC));
	bench_start(b);
	bench_until(b, bench_gpu(b)->n_vfs == 2);
}

/* ---- drift and healing ---- */

static void drift_is_shown_and_not_touched(void **state)
{
	struct bench *b = *state;
	_cleanup_json_ json_t *drift = NULL;

	bench_cut(b, 2);
	fake_set_vfs(&b->actors, 0);
	say(b, HOST_EVENT_CHANGED);
	drift = drift_view(b->m, bench_gpu(b));
	assert_non_null(json_get_string(drift, "what"));
	assert_non_null(json_get_string(drift, "since"));
	expect_healing(b, "off");
	time_passes(b);
	assert_int_equal(bench_gpu(b)->n_vfs, 0);
	assert_int_equal(numvfs_writes(b), 1);
}

static const struct operation *last_operation(struct bench *b)
{
	const struct operation *op, *last = NULL;

	for (op = b->m->operations; op; op = op->hh.next)
		last = op;
	assert_non_null(last);
	return last;
}

static void drift_is_healed_where_the_configuration_says_so(void **state)
{
	struct bench *b = *state;

	config_set(b, "heal_drift", json_true());
	bench_cut(b, 2);
	fake_set_vfs(&b->actors, 3);
	say(b, HOST_EVENT_CHANGED);
	expect_healing(b, "later"); /* whoever does that may not be done */
	time_passes(b);
	bench_until(b, bench_gpu(b)->n_vfs == 2 && !bench_gpu(b)->own.running);
	bench_settle(b);
	assert_null(bench_gpu(b)->drift);
	assert_string_equal(last_operation(b)->method, OPERATION_HEAL);
	assert_int_equal(last_operation(b)->state, OPERATION_DONE);
	assert_int_equal(events_of(b).healed, 1);
}

static void nothing_is_healed_while_a_vf_is_held(void **state)
{
	struct bench *b = *state;

	config_set(b, "heal_drift", json_true());
	bench_cut(b, 2);
	expect_changed(b, bench_assign(b, "train-a", "gpu0/vf1", FOREVER), true);
	fake_set_vfs(&b->actors, 3);
	say(b, HOST_EVENT_CHANGED);
	time_passes(b);
	expect_healing(b, "held");
	assert_int_equal(bench_gpu(b)->n_vfs, 3);
	expect_changed(b, bench_release(b, "gpu0/vf1", FOREVER), true);
	bench_until(b, bench_gpu(b)->n_vfs == 2);
	bench_settle(b);
	assert_null(bench_gpu(b)->drift);
}

static void healing_backs_off(void **state)
{
	struct bench *b = *state;

	config_set(b, "heal_drift", json_true());
	bench_cut(b, 2);
	fake_set_vfs(&b->actors, 0);
	say(b, HOST_EVENT_CHANGED);
	b->actors.host_fault[HOST_SET_VF_ATTR] = -EIO;
	time_passes(b);
	assert_int_equal(bench_gpu(b)->own.failures, 1);
	assert_int_equal(last_operation(b)->state, OPERATION_FAILED);
	expect_healing(b, "later");
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->own.failures, 1);
	time_passes(b);
	assert_int_equal(bench_gpu(b)->own.failures, 2);
	/* Somebody puts it right himself: nothing is left of it. */
	b->actors.host_fault[HOST_SET_VF_ATTR] = 0;
	bench_cut(b, 2);
	assert_int_equal(bench_gpu(b)->own.failures, 0);
	assert_null(bench_gpu(b)->drift);
}

static void a_console_is_never_healed(void **state)
{
	struct bench *b = *state;

	config_set(b, "heal_drift", json_true());
	bench_cut(b, 2);
	b->actors.gpu->display = true;
	fake_set_vfs(&b->actors, 0);
	say(b, HOST_EVENT_CHANGED);
	time_passes(b);
	expect_healing(b, "display");
	assert_int_equal(bench_gpu(b)->n_vfs, 0);
}

#define RULE(heal)                                                                                   \
	"{\"version\": 1, \"profiles\": [{\"name\": \"p\", \"vram\": \"2GiB\"}], \"gpus\": [{\"match\": {}, " \
	"\"layout\": [{\"profile\": \"p\", \"count\": 2}]" heal "}]}"

static void a_rule_wins_over_the_configuration(void **state)
{
	struct bench *b = *state;
	static const struct {
		bool config;
		const char *policy;
		const char *healing;
	} rows[] = {
		{ true, RULE(", \"heal\": false"), "off" },
		{ true, RULE(""), "later" },
		{ false, RULE(""), "off" },
		{ false, RULE(", \"heal\": true"), "later" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		config_set(b, "heal_drift", json_boolean(rows[i].config));
		bench_policy(b, rows[i].policy);
		bench_start(b);
		assert_int_equal(bench_gpu(b)->n_vfs, 2);
		fake_set_vfs(&b->actors, 1);
		say(b, HOST_EVENT_CHANGED);
		expect_healing(b, rows[i].healing);
		bench_stop(b);
		fake_set_vfs(&b->actors, 2);
	}
}

static void a_heal_that_was_cut_off_goes_on(void **state)
{
	struct bench *b = *state;

	config_set(b, "heal_drift", json_true());
	bench_cut(b, 2);
	fake_set_vfs(&b->actors, 3);
	say(b, HOST_EVENT_CHANGED);
	b->actors.hv_held = ONE(HV_LIST);
	time_passes(b);
	assert_int_equal(last_operation(b)->state, OPERATION_RUNNING);
	bench_restart(b);
	bench_until(b, bench_gpu(b)->n_vfs == 2);
	bench_settle(b);
	assert_string_equal(last_operation(b)->method, OPERATION_HEAL);
	assert_int_equal(last_operation(b)->state, OPERATION_DONE);
}

/* Nothing is cut that is not stored, and it is not forgotten either. */
static void a_layout_waits_for_a_store_that_works(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	fake_set_vfs(&b->actors, 0);
	bench_break_store(b, true);
	say(b, HOST_EVENT_BOUND);
	assert_int_equal(bench_gpu(b)->n_vfs, 0);
	assert_true(bench_gpu(b)->due);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	time_passes(b);
	bench_until(b, bench_gpu(b)->n_vfs == 2);
}

/* ---- a card that goes, one that is given up ---- */

static void a_card_that_goes_is_drift(void **state)
{
	struct bench *b = *state;
	struct gpu_facts *card;

	bench_cut(b, 2);
	card = TAKE_PTR(b->actors.gpu);
	say(b, HOST_EVENT_REMOVED);
	assert_int_equal(bench_gpu(b)->state, GPU_ABSENT);
	assert_string_equal(bench_gpu(b)->drift, "the card is gone");
	expect_healing(b, "cannot");
	b->actors.gpu = card;
	fake_set_vfs(&b->actors, 0);
	say(b, HOST_EVENT_RESCAN);
	assert_int_equal(bench_gpu(b)->n_vfs, 2); /* its driver was bound */
	assert_null(bench_gpu(b)->drift);

	/* Its "remove" was lost: the read tells. */
	card = TAKE_PTR(b->actors.gpu);
	say(b, HOST_EVENT_CHANGED);
	assert_int_equal(bench_gpu(b)->state, GPU_ABSENT);
	b->actors.gpu = card;
}

static void a_card_that_its_driver_gave_up_is_wedged(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	fake_host_event(&b->actors, HOST_EVENT_WEDGED, "bus-reset,rebind");
	assert_int_equal(bench_gpu(b)->state, GPU_WEDGED);
	assert_non_null(strstr(bench_gpu(b)->reason, "WEDGED=bus-reset,rebind"));
	assert_non_null(strstr(bench_gpu(b)->reason, "reset its bus")); /* the first way that it names */
	expect_error(b, bench_apply(b, 3, FOREVER), RPC_WEDGED, NULL);
	expect_error(b, bench_assign(b, "train-a", "gpu0/vf1", FOREVER), RPC_CONFLICT, NULL);
	/* Looking at it does not mend it. */
	say(b, HOST_EVENT_CHANGED);
	assert_int_equal(bench_gpu(b)->state, GPU_WEDGED);
	assert_non_null(bench_gpu(b)->reason);
	/* Binding it again does, and the VFs that went with the old driver are made again. */
	fake_set_vfs(&b->actors, 0);
	say(b, HOST_EVENT_BOUND);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
}

/* ---- what an event costs ---- */

static void one_event_costs_one_read(void **state)
{
	struct bench *b = *state;
	unsigned reads = b->actors.n_host[HOST_READ], scans = b->actors.n_host[HOST_SCAN];

	say(b, HOST_EVENT_CHANGED);
	assert_int_equal(b->actors.n_host[HOST_READ], reads + 1);
	/* Many at once are read twice at most: what was on its way, and once more. */
	for (unsigned i = 0; i < 20; i++)
		fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
	assert_int_equal(b->actors.n_host[HOST_READ], reads + 3);
	assert_int_equal(b->actors.n_host[HOST_SCAN], scans);
	say(b, HOST_EVENT_RESCAN);
	assert_int_equal(b->actors.n_host[HOST_SCAN], scans + 1);
}

/* Events that are lost while a scan is on its way are not in it. */
static void a_scan_during_a_scan_is_another(void **state)
{
	struct bench *b = *state;
	unsigned scans = b->actors.n_host[HOST_SCAN];

	fake_host_event(&b->actors, HOST_EVENT_RESCAN, NULL);
	fake_host_event(&b->actors, HOST_EVENT_RESCAN, NULL);
	fake_host_event(&b->actors, HOST_EVENT_RESCAN, NULL);
	bench_settle(b);
	assert_int_equal(b->actors.n_host[HOST_SCAN], scans + 2);
}

/* The daemon looks away while it cuts; what happened meanwhile is read when that is over, however it ended. */
static void an_event_during_an_apply_is_not_lost(void **state)
{
	struct bench *b = *state;
	struct answer *a;
	unsigned listed;

	bench_cut(b, 2);
	listed = b->actors.n_hv[HV_LIST];
	b->actors.hv_held = ONE(HV_LIST);
	a = bench_apply(b, 3, FOREVER);
	bench_until(b, b->actors.n_hv[HV_LIST] > listed);
	b->actors.gpu->display = true;
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	b->actors.hv_fault[HV_LIST] = HV_FAILED;
	fake_release(&b->actors, 0, ONE(HV_LIST));
	expect_error(b, a, RPC_HOST_ERROR, NULL);
	bench_settle(b);
	assert_true(bench_gpu(b)->facts->display);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(a_driver_that_comes_late_brings_the_layout),
		TEST(a_driver_reload_makes_the_vfs_again),
		TEST(what_cannot_be_begun_stays_due),
		TEST(what_somebody_else_cut_meanwhile_stays),
		TEST(a_layout_that_fails_is_not_tried_in_a_loop),
		TEST(each_failure_doubles_the_wait),
		TEST(ready_comes_with_the_vfs),
		TEST(a_scan_that_fails_is_done_again),
		TEST(ready_waits_for_drivers_that_come),
		TEST(ready_does_not_wait_for_ever),
		TEST(ready_does_not_wait_for_a_card_that_hangs),
		TEST(ready_does_not_wait_for_an_inherited_apply),
		TEST(drift_is_shown_and_not_touched),
		TEST(drift_is_healed_where_the_configuration_says_so),
		TEST(nothing_is_healed_while_a_vf_is_held),
		TEST(healing_backs_off),
		TEST(a_console_is_never_healed),
		cmocka_unit_test_setup_teardown(a_rule_wins_over_the_configuration, bench_set_up_stopped, bench_tear_down),
		TEST(a_heal_that_was_cut_off_goes_on),
		TEST(a_layout_waits_for_a_store_that_works),
		TEST(a_card_that_goes_is_drift),
		TEST(a_card_that_its_driver_gave_up_is_wedged),
		TEST(one_event_costs_one_read),
		TEST(a_scan_during_a_scan_is_another),
		TEST(an_event_during_an_apply_is_not_lost),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
