/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lock against suspend: asked of a made-up logind on a D-Bus of our own, with and without them being there;
 * and what the manager makes of it. */
#include "host/sleep-lock.h"
#include "tests/support/fake-logind.h"
#include "tests/support/manager-bench.h"

#define FOREVER USEC_INFINITY

struct stage {
	struct bench *b;
	struct fake_logind logind;
	struct sleep_lock *lock;
	unsigned slept, woke;
};

static void on_sleep(void *userdata, bool about_to)
{
	struct stage *s = userdata;

	if (about_to)
		s->slept++;
	else
		s->woke++;
}

/* A bus, nobody on it but us. */
static int set_up(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->b = bench_new();
	fake_logind_init(&s->logind, s->b->event);
	fake_bus_start(&s->logind);
	assert_int_equal(sleep_lock_new(s->b->event, s->logind.address, &s->lock), 0);
	sleep_lock_follow(s->lock, on_sleep, s);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct stage *s = *state;

	bench_stop(s->b);
	sleep_lock_free(s->lock);
	fake_logind_done(&s->logind);
	bench_free(s->b);
	free(s);
	return 0;
}

#define until(s, condition) bench_until((s)->b, condition)

static void is_taken_and_let_go(void **state)
{
	struct stage *s = *state;

	fake_logind_start(&s->logind);
	sleep_lock_want(s->lock, "VFs are held");
	until(s, sleep_lock_held(s->lock));
	assert_null(sleep_lock_trouble(s->lock));
	assert_string_equal(s->logind.what, "sleep");
	assert_string_equal(s->logind.who, "gpuvf");
	assert_string_equal(s->logind.why, "VFs are held");
	assert_string_equal(s->logind.mode, "block");
	sleep_lock_want(s->lock, "VFs are held");
	assert_false(s->logind.let_go);
	sleep_lock_want(s->lock, NULL);
	assert_false(sleep_lock_held(s->lock));
	until(s, s->logind.let_go);
	assert_int_equal(s->logind.asked, 1);
}

static void is_let_go_when_the_answer_comes_too_late(void **state)
{
	struct stage *s = *state;

	fake_logind_start(&s->logind);
	sleep_lock_want(s->lock, "VFs are held");
	sleep_lock_want(s->lock, NULL);
	until(s, s->logind.asked == 1 && s->logind.let_go);
	assert_false(sleep_lock_held(s->lock));
}

static void without_logind_it_says_so(void **state)
{
	struct stage *s = *state;

	sleep_lock_want(s->lock, "VFs are held");
	until(s, sleep_lock_trouble(s->lock) && strstr(sleep_lock_trouble(s->lock), "logind"));
	assert_false(sleep_lock_held(s->lock));
	/* It comes, goes and comes: each gets to know. */
	fake_logind_start(&s->logind);
	until(s, sleep_lock_held(s->lock));
	assert_null(sleep_lock_trouble(s->lock));
	fake_logind_stop(&s->logind);
	until(s, sleep_lock_trouble(s->lock));
	fake_logind_start(&s->logind);
	until(s, !sleep_lock_trouble(s->lock));
	assert_int_equal(s->logind.asked, 2);
}

static void a_refusal_is_told(void **state)
{
	struct stage *s = *state;

	s->logind.refuse = "not today";
	fake_logind_start(&s->logind);
	sleep_lock_want(s->lock, "VFs are held");
	until(s, sleep_lock_trouble(s->lock) && strstr(sleep_lock_trouble(s->lock), "not today"));
	assert_false(sleep_lock_held(s->lock));
}

static void a_bus_may_come_late_and_go(void **state)
{
	struct stage *s = *state;

	fake_bus_stop(&s->logind);
	sleep_lock_free(s->lock);
	assert_int_equal(sleep_lock_new(s->b->event, s->logind.address, &s->lock), 0);
	sleep_lock_want(s->lock, "VFs are held");
	assert_non_null(sleep_lock_trouble(s->lock));
	fake_bus_start(&s->logind);
	fake_logind_start(&s->logind);
	until(s, sleep_lock_held(s->lock));
	assert_null(sleep_lock_trouble(s->lock));

	fake_logind_stop(&s->logind);
	fake_bus_stop(&s->logind);
	until(s, sleep_lock_trouble(s->lock));
	fake_bus_start(&s->logind);
	fake_logind_start(&s->logind);
	until(s, s->logind.asked == 2 && sleep_lock_held(s->lock));
}

static void sleep_is_followed(void **state)
{
	struct stage *s = *state;

	s->logind.refuse = "already going to sleep";
	fake_logind_start(&s->logind);
	sleep_lock_want(s->lock, "VFs are held");
	until(s, s->logind.asked == 1);
	fake_logind_sleep(&s->logind, true);
	until(s, s->slept == 1);
	s->logind.refuse = NULL;
	fake_logind_sleep(&s->logind, false);
	until(s, s->woke == 1);
	until(s, sleep_lock_held(s->lock)); /* asked again */
}

/* ---- the manager ---- */

static bool status_says(struct stage *s, const char *member)
{
	_cleanup_json_ json_t *json = sleep_view(s->b->m);

	return json_get_bool(json, member, false);
}

static void start_manager(struct stage *s)
{
	fake_logind_start(&s->logind);
	s->b->sleep = s->lock;
	bench_start(s->b);
	bench_cut(s->b, 2);
}

static void the_host_stays_awake_while_a_vf_is_held(void **state)
{
	struct stage *s = *state;

	start_manager(s);
	until(s, s->logind.asked == 1 && s->logind.let_go); /* while it was cut */
	assert_false(status_says(s, "wanted"));
	expect_changed(s->b, bench_assign(s->b, "train-a", "gpu0/vf1", FOREVER), true);
	until(s, sleep_lock_held(s->lock));
	assert_true(status_says(s, "wanted") && status_says(s, "held"));
	expect_changed(s->b, bench_release(s->b, "gpu0/vf1", FOREVER), true);
	until(s, s->logind.let_go);
	/* A VM that is off holds nothing. */
	expect_changed(s->b, bench_assign(s->b, "train-b", "gpu0/vf2", FOREVER), true);
	bench_settle(s->b);
	assert_int_equal(bench_vf(s->b, "gpu0/vf2")->state, VF_RESERVED);
	until(s, !status_says(s, "wanted") && !sleep_lock_held(s->lock));
}

static void what_keeps_it_awake_can_be_said(void **state)
{
	struct stage *s = *state;

	json_object_set_new(s->b->config, "inhibit_sleep", json_string("enabled"));
	start_manager(s);
	until(s, sleep_lock_held(s->lock));
	json_object_set_new(s->b->config, "inhibit_sleep", json_string("never"));
	manager_pump(s->b->m);
	until(s, !sleep_lock_held(s->lock));
	expect_changed(s->b, bench_assign(s->b, "train-a", "gpu0/vf1", FOREVER), true);
	bench_settle(s->b);
	assert_false(status_says(s, "wanted"));
}

static void after_a_sleep_everything_is_read(void **state)
{
	struct stage *s = *state;
	struct gpu *gpu;
	unsigned scans;

	start_manager(s);
	gpu = gpu_find(s->b->m, "gpu0");
	scans = s->b->actors.n_host[HOST_SCAN];
	fake_logind_sleep(&s->logind, true);
	until(s, s->b->m->sleeping);
	fake_set_vfs(&s->b->actors, 0); /* lost, and no event told */
	s->b->actors.host_held = 1U << HOST_SCAN;
	fake_logind_sleep(&s->logind, false);
	until(s, s->b->actors.n_host[HOST_SCAN] == scans + 1);
	assert_true(s->b->m->sleeping); /* nothing is done before it was read */
	fake_release(&s->b->actors, 1U << HOST_SCAN, 0);
	until(s, !s->b->m->sleeping && gpu->drift);
	assert_int_equal(gpu->n_vfs, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(is_taken_and_let_go),
		TEST(is_let_go_when_the_answer_comes_too_late),
		TEST(without_logind_it_says_so),
		TEST(a_refusal_is_told),
		TEST(a_bus_may_come_late_and_go),
		TEST(sleep_is_followed),
		TEST(the_host_stays_awake_while_a_vf_is_held),
		TEST(what_keeps_it_awake_can_be_said),
		TEST(after_a_sleep_everything_is_read),
	};
#undef TEST

	if (!fake_logind_possible()) {
		printf("1..0 # SKIP dbus-daemon is not installed\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
