/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: sessions, from when their guest is ready.  How they get there is the runner's, whose word is said here
 * in its place; the guest agent never answers.  The clock is moved by moving the end, in memory or in the store. */
#include "runner/runner.h"
#include "tests/support/manager-bench.h"

#define VF "gpu0/vf1"
#define HOUR (3600 * USEC_PER_SEC)

static const char policy[] =
	"{\"version\": 1, \"vms\": [{\"match\": \"*\", \"allow\": [\"everyone\"], \"run_as\": \"trainer\"}],"
	" \"queues\": [{\"name\": \"default\", \"default\": true, \"max_time\": \"4h\"}]}";

static int set_up(void **state)
{
	struct bench *b = bench_new();

	bench_policy(b, policy);
	bench_start(b);
	bench_cut(b, 2);
	*state = b;
	return 0;
}

static struct job *session(struct bench *b)
{
	struct job *job = job_find(b->m, "1");

	assert_non_null(job);
	return job;
}

static void submit_session(struct bench *b, const char *time)
{
	_cleanup_json_ json_t *document = json_pack("{s:b,s:s,s:{s:s}}", "session", 1, "time_limit", time, "run_in", "vm",
						    "train-a");
	struct answer *a = answer_new();

	b->actors.hv_held = ONE(HV_AGENT);
	manager_job_submit(b->m, &root_caller, &(struct job_submit_params){ .job = document }, &a->reply);
	bench_wait(b, a);
	assert_string_equal(json_get_string(a->result, "id"), "1");
	answer_free(a);
}

/* Submitted, placed and attached; its guest was ready just now. */
static struct job *begin(struct bench *b, const char *time)
{
	submit_session(b, time);
	bench_until(b, session(b)->state == JOB_WAITING_GUEST);
	runner_free(session(b)->runner);
	session(b)->runner = NULL;
	session_begin(b->m, session(b), 1);
	bench_settle(b);
	assert_int_equal(session(b)->state, JOB_RUNNING);
	return session(b);
}

static struct answer *extend_as(struct bench *b, const struct caller *caller, uint64_t usec)
{
	struct answer *a = answer_new();

	manager_job_extend(b->m, caller, &(struct job_extend_params){ .id = (char *)"1", .time_usec = usec }, &a->reply);
	return a;
}

static struct answer *cancel(struct bench *b)
{
	struct answer *a = answer_new();

	manager_job_cancel(b->m, &root_caller, &(struct job_cancel_params){ .id = (char *)"1" }, &a->reply);
	return a;
}

static void expect_over(struct bench *b, enum job_result result, const char *reason)
{
	bench_until(b, session(b)->state == JOB_ENDED);
	assert_int_equal(session(b)->result, result);
	assert_string_equal(strempty(session(b)->reason), reason);
	assert_int_equal(session(b)->attempt, 1);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE && !bench_vf(b, VF)->handover);
	assert_int_equal(bench_vf(b, VF)->lease.owner, LEASE_NONE);
}

static void restart_with(struct bench *b, const char *sql)
{
	bench_settle(b);
	bench_stop(b);
	if (sql)
		bench_sql(b, sql);
	b->actors.hv_held = ONE(HV_AGENT);
	bench_start(b);
}

/* ---- its end ---- */

static void its_end_takes_the_vf_back_through_the_gate(void **state)
{
	struct bench *b = *state;
	struct job *job = begin(b, "1h");

	assert_in_range(job->ends - now_boottime(), HOUR - 60 * USEC_PER_SEC, HOUR);
	assert_non_null(b->m->session_timer);
	job->ends = now_boottime() + 30 * USEC_PER_MSEC;
	manager_pump(b->m);
	expect_over(b, JOB_TIMEOUT, "its time is over");
	assert_int_equal(b->actors.n_hv[HV_DETACH], 1);
	assert_int_equal(b->actors.n_host[HOST_WAIT_CLOSED], 1);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
	assert_int_equal(b->actors.n_host[HOST_PROBE_VF], 1);
	manager_pump(b->m);
	bench_settle(b);
	assert_null(b->m->session_timer);
}

static void its_end_survives_a_restart(void **state)
{
	struct bench *b = *state;
	uint64_t before = begin(b, "1h")->ends;

	restart_with(b, NULL);
	assert_int_equal(session(b)->ends, before);
	assert_int_equal(session(b)->state, JOB_RUNNING);
	assert_null(session(b)->runner);
	assert_int_equal(b->actors.n_hv[HV_AGENT], 0); /* its guest is asked nothing */
	restart_with(b, "UPDATE job SET doc = json_set(doc, '$.ends.boot', 1)"); /* … and comes meanwhile */
	expect_over(b, JOB_TIMEOUT, "its time is over");
}

static void an_end_that_cannot_be_stored_comes_later(void **state)
{
	struct bench *b = *state;
	struct job *job = begin(b, "1h");

	bench_break_store(b, true);
	job->ends = now_boottime();
	manager_pump(b->m);
	bench_until(b, b->m->degraded);
	bench_settle(b);
	assert_int_equal(job->state, JOB_RUNNING);
	assert_int_equal(b->actors.n_hv[HV_DETACH], 0);
	assert_true(json_is_null(json_object_get(job_attempt(job), "result")));
	assert_non_null(strstr(job->reason, "VM train-a has gpu0/vf1"));
	bench_break_store(b, false);
	expect_over(b, JOB_TIMEOUT, "its time is over");
}

static void cancelled_it_is_over(void **state)
{
	struct bench *b = *state;

	begin(b, "1h");
	expect_changed(b, cancel(b), true);
	expect_over(b, JOB_CANCELLED, "");
}

/* The daemon dies between the cancel and what follows from it. */
static void a_cancel_survives_a_restart(void **state)
{
	struct bench *b = *state;

	begin(b, "1h");
	restart_with(b, "UPDATE job SET doc = json_set(doc, '$.cancel', json('true'))");
	expect_over(b, JOB_CANCELLED, "");
}

/* ---- more time ---- */

static void more_time_is_from_its_end_on(void **state)
{
	struct bench *b = *state;
	struct job *job = begin(b, "1h");
	uint64_t before = job->ends;

	expect_changed(b, extend_as(b, &root_caller, HOUR), true);
	assert_int_equal(job->ends, before + HOUR);
	restart_with(b, NULL);
	assert_int_equal(session(b)->ends, before + HOUR);
	assert_int_equal(session(b)->time_limit, 2 * HOUR);
	expect_changed(b, extend_as(b, &root_caller, 2 * HOUR), true); /* all that the queue lets */
	expect_error(b, extend_as(b, &root_caller, USEC_PER_SEC), RPC_LIMIT, "max_time");
	assert_int_equal(session(b)->ends, before + 3 * HOUR);
}

static void more_time_that_cannot_be_stored_is_none(void **state)
{
	struct bench *b = *state;
	struct job *job = begin(b, "1h");
	uint64_t before = job->ends;

	bench_break_store(b, true);
	expect_error(b, extend_as(b, &root_caller, HOUR), RPC_DEGRADED, NULL);
	assert_int_equal(job->ends, before);
	assert_int_equal(job->time_limit, HOUR);
	bench_break_store(b, false);
}

static void others_give_it_no_time(void **state)
{
	struct bench *b = *state;
	const struct caller other = { .uid = 4711, .role = ROLE_USER, .name = (char *)"eve" };
	const struct caller operator = { .uid = 4711, .role = ROLE_OPERATOR, .name = (char *)"eve" };

	begin(b, "1h");
	expect_error(b, extend_as(b, &other, HOUR), RPC_NOT_PERMITTED, "not_yours");
	assert_int_equal(session(b)->time_limit, HOUR);
	expect_changed(b, extend_as(b, &operator, HOUR), true);
}

/* ---- what it loses ---- */

static void another_run_of_its_vm_is_not_its(void **state)
{
	struct bench *b = *state;

	begin(b, "1h");
	bench_settle(b);
	bench_stop(b);
	b->actors.vms[0]->id += 5; /* somebody gave the VF to the new run as well */
	b->actors.hv_held = ONE(HV_AGENT);
	bench_start(b);
	expect_over(b, JOB_LOST, "its VM went off, and was started again");
	assert_int_equal(b->actors.n_hv[HV_DETACH], 1);
}

static void a_boot_ends_it(void **state)
{
	struct bench *b = *state;

	begin(b, "1h");
	restart_with(b, "UPDATE job SET doc = json_set(doc, '$.ends.boot_id', 'another')");
	expect_over(b, JOB_LOST, "the host was booted");
}

/* Its card is not there yet after a restart: that is no loss. */
static void a_card_that_comes_late_is_waited_for(void **state)
{
	struct bench *b = *state;
	struct gpu_facts *card = b->actors.gpu;

	begin(b, "1h");
	bench_settle(b);
	bench_stop(b);
	b->actors.hv_held = ONE(HV_AGENT);
	b->actors.gpu = NULL;
	bench_start(b);
	manager_pump(b->m);
	bench_settle(b);
	assert_null(vf_find(b->m, VF));
	assert_int_equal(session(b)->state, JOB_RUNNING);
	b->actors.gpu = card;
	fake_host_event(&b->actors, HOST_EVENT_RESCAN, NULL);
	bench_until(b, vf_find(b->m, VF) && bench_vf(b, VF)->state == VF_ATTACHED);
	bench_settle(b);
	assert_int_equal(session(b)->state, JOB_RUNNING);
	expect_changed(b, cancel(b), true);
	expect_over(b, JOB_CANCELLED, "");
}

static void its_card_is_gone(void **state)
{
	struct bench *b = *state;

	begin(b, "1h");
	fake_set_vfs(&b->actors, 0);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, session(b)->state == JOB_ENDED);
	assert_int_equal(session(b)->result, JOB_LOST);
	assert_string_equal(session(b)->reason, "its VF is gone from the host");
}

/* ---- a VF that its VM holds anyway ---- */

static const char assigned_policy[] =
	"{\"version\": 1, \"vms\": [{\"match\": \"*\", \"allow\": [\"everyone\"], \"run_as\": \"trainer\","
	"  \"vf\": \"assigned\"}], \"queues\": [{\"name\": \"default\", \"default\": true}]}";

static int set_up_assigned(void **state)
{
	struct bench *b = bench_new();

	bench_policy(b, assigned_policy);
	bench_start(b);
	bench_cut(b, 2);
	*state = b;
	return 0;
}

/* It is placed there between the release's answer and its COMMIT: whoever came second hears of the other. */
static void placed_on_what_is_being_released(void **state)
{
	struct bench *b = *state;
	struct answer *released;
	struct vm *vm;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	vm = vm_find(b->m, "train-a");
	vm->quarantine = strdup("not yet");
	submit_session(b, "1h");
	bench_settle(b);
	assert_int_equal(session(b)->state, JOB_QUEUED);
	released = bench_release(b, VF, FOREVER);
	free(vm->quarantine);
	vm->quarantine = NULL;
	assert_true(job_place(b->m));
	assert_int_equal(session(b)->state, JOB_STARTING);
	bench_wait(b, released);
	assert_non_null(strstr(released->message, VF " is used by session 1"));
	expect_error(b, released, RPC_CONFLICT, "job");
	assert_int_equal(b->actors.n_hv[HV_DETACH], 0);
	bench_until(b, session(b)->state == JOB_WAITING_GUEST);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
}

/* Another row of its VM is no word of this one's return. */
static void another_row_of_its_vm_is_not_its(void **state)
{
	struct bench *b = *state;
	struct gpu_facts *card = b->actors.gpu;
	_cleanup_free_ char *its = NULL, *other = NULL;
	json_t *row;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	(void)begin(b, "1h");
	assert_true(session(b)->vf_assigned);
	its = vf_row_id(bench_gpu(b), 1);
	bench_settle(b);
	bench_stop(b);
	b->actors.hv_held = ONE(HV_AGENT);
	b->actors.gpu = NULL;
	bench_start(b);
	manager_pump(b->m);
	bench_settle(b);
	assert_null(vf_find(b->m, VF));
	assert_non_null(json_object_get(b->m->lease_rows, its));
	assert_int_equal(session(b)->state, JOB_RUNNING); /* its own is waited for */
	row = json_incref(json_object_get(b->m->lease_rows, its));
	other = xasprintf("%s0", its); /* VF 10 of the same card */
	json_object_set_new(b->m->lease_rows, other, row);
	json_object_del(b->m->lease_rows, its);
	manager_pump(b->m);
	bench_until(b, session(b)->state == JOB_ENDED);
	assert_int_equal(session(b)->result, JOB_LOST);
	assert_string_equal(session(b)->reason, "its VF is gone from the host");
	json_object_del(b->m->lease_rows, other);
	b->actors.gpu = card;
}

/* ---- how long ---- */

static void how_long_it_lasts(void **state)
{
	static const struct {
		bool session;
		uint64_t asked, queue_default, queue_max, wanted;
	} rows[] = {
		{ true, 2 * HOUR, HOUR, 0, 2 * HOUR },	 { true, 0, 2 * HOUR, 3 * HOUR, 2 * HOUR },
		{ true, 0, 0, 0, HOUR },		 { true, 0, 0, HOUR / 2, HOUR / 2 },
		{ true, 0, 0, 9 * HOUR, HOUR },		 { false, 0, 0, HOUR / 2, 0 },
		{ false, 0, 2 * HOUR, 0, 2 * HOUR },	 { false, HOUR, 2 * HOUR, 0, HOUR },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct job_document d = { .session = rows[i].session, .time_limit_usec = rows[i].asked };
		const struct policy_queue queue = { .default_time_usec = rows[i].queue_default,
						    .max_time_usec = rows[i].queue_max };

		assert_int_equal(job_time_limit(&d, &queue), rows[i].wanted);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(its_end_takes_the_vf_back_through_the_gate),
		TEST(its_end_survives_a_restart),
		TEST(an_end_that_cannot_be_stored_comes_later),
		TEST(cancelled_it_is_over),
		TEST(a_cancel_survives_a_restart),
		TEST(more_time_is_from_its_end_on),
		TEST(more_time_that_cannot_be_stored_is_none),
		TEST(others_give_it_no_time),
		TEST(another_run_of_its_vm_is_not_its),
		TEST(a_boot_ends_it),
		TEST(a_card_that_comes_late_is_waited_for),
		TEST(its_card_is_gone),
		cmocka_unit_test_setup_teardown(placed_on_what_is_being_released, set_up_assigned, bench_tear_down),
		cmocka_unit_test_setup_teardown(another_row_of_its_vm_is_not_its, set_up_assigned, bench_tear_down),
		cmocka_unit_test(how_long_it_lasts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
