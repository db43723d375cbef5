/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: a job that makes way for another, as far as no guest is needed: a guest says nothing here, so that a
 * command runs as long as the test lasts.  The rest is in tests/integration/test-preempt.py. */
#include "runner/runner-internal.h"
#include "tests/support/manager-bench.h"

#define VF "gpu0/vf1"
#define VM_UUID "00000000-0000-4000-8000-000000000000"
#define POLICY(more)                                                                                       \
	"{\"version\": 1, \"vms\": [{\"match\": \"*\", \"allow\": [\"everyone\"], \"run_as\": \"root\"}]," \
	" \"queues\": [{\"name\": \"urgent\", \"priority\": 90, \"preempts\": [\"batch\"]},"               \
	"              {\"name\": \"batch\", \"priority\": 10" more "}]}"

/* Job 1 of the queue batch, which has the VF in train-a. */
static void insert_victim(struct bench *b, const char *state, const char *attempt, uint64_t began)
{
	_cleanup_free_ char *sql = xasprintf(
		"UPDATE lease SET doc = replace(doc, '\"owner\":\"vm\"', '\"owner\":\"job\",\"job\":1') WHERE id LIKE '%%/1';"
		"INSERT INTO job (id, doc) VALUES ('1', '{\"id\":1,\"state\":\"%s\",\"result\":\"none\",\"user\":\"0\","
		"\"queue\":\"batch\",\"attempt\":1,\"vm_uuid\":\"" VM_UUID "\",\"vm_name\":\"train-a\",\"vf_name\":\"" VF "\","
		"\"attempts\":[{\"attempt\":1,\"boot_id\":\"b\",\"started_usec\":%llu%s}],"
		"\"document\":{\"version\":1,\"command\":[\"true\"]}}')",
		state, (unsigned long long)began, attempt);

	bench_sql(b, sql);
}

static void begin(struct bench *b, const char *policy, const char *state, const char *attempt, uint64_t ran)
{
	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	bench_settle(b);
	bench_stop(b);
	bench_policy(b, policy);
	insert_victim(b, state, attempt, now_realtime() - ran);
	b->actors.hv_held |= ONE(HV_AGENT);
	bench_start(b);
	assert_string_equal(job_state_to_string(job_find(b->m, "1")->state), state);
}

static void submit_as(struct bench *b, const char *queue, const char *id)
{
	_cleanup_json_ json_t *document =
		json_pack("{s:i,s:s,s:[s]}", "version", 1, "queue", queue, "command", "true");
	struct job_submit_params p = { .job = document };
	struct answer *a = answer_new();

	manager_job_submit(b->m, &root_caller, &p, &a->reply);
	bench_wait(b, a);
	assert_int_equal(a->code, 0);
	answer_free(a);
	bench_settle(b);
	assert_non_null(job_find(b->m, id)->reason);
}

/* Its id is 2. */
static void submit_urgent(struct bench *b)
{
	submit_as(b, "urgent", "2");
}

static struct job *victim(struct bench *b)
{
	return job_find(b->m, "1");
}

static void expect_stored(struct bench *b, const char *words, int n)
{
	_cleanup_free_ char *sql = xasprintf("SELECT count(*) FROM job WHERE id = '1' AND doc LIKE '%%%s%%'", words);

	assert_int_equal(bench_number(b, sql), n);
}

static void expect_marked(struct bench *b)
{
	assert_int_equal(job_preempted_for(victim(b)), 2);
	assert_int_equal(victim(b)->state, JOB_RUNNING);
	assert_string_equal(victim(b)->reason, "preempted for job 2 (queue urgent)");
	assert_string_equal(job_find(b->m, "2")->reason, "job 1 is preempted for it");
	expect_stored(b, "\"preempted_for\":\"2\"", 1);
}

static void expect_not_marked(struct bench *b)
{
	assert_int_equal(job_preempted_for(victim(b)), 0);
	expect_stored(b, "preempted", 0);
}

static void the_mark_is_stored_and_told(void **state)
{
	struct bench *b = *state;

	begin(b, POLICY(""), "running", "", USEC_PER_SEC);
	submit_urgent(b);
	expect_marked(b);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM audit WHERE doc LIKE '%daemon:preempt%'"), 1);
	bench_restart(b);
	expect_marked(b); /* and the trail has it already */
	bench_settle(b);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM audit WHERE doc LIKE '%preempted_for%'"), 1);
}

static void what_was_not_stored_is_not_marked(void **state)
{
	struct bench *b = *state;
	struct job by = { .name = (char *)"2", .queue = (char *)"urgent" };

	begin(b, POLICY(""), "running", "", USEC_PER_SEC);
	bench_break_store(b, true);
	job_preempt(b->m, victim(b), &by);
	assert_int_equal(job_preempted_for(victim(b)), 2);
	bench_until(b, b->m->degraded);
	assert_int_equal(job_preempted_for(victim(b)), 0);
	assert_null(victim(b)->reason);
	assert_null(job_attempt(victim(b)) ? json_object_get(job_attempt(victim(b)), "preempted_at") : NULL);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	expect_not_marked(b);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM audit WHERE doc LIKE '%preempt%'"), 0);
}

static void it_runs_long_enough_first(void **state)
{
	struct bench *b = *state;

	begin(b, POLICY(", \"min_runtime\": \"2s\""), "running", "", USEC_PER_SEC);
	submit_urgent(b);
	expect_not_marked(b);
	assert_non_null(b->m->preempt_timer);
	json_put(job_attempt(victim(b)), "started_boot", expiry_row(now_boottime() - 2 * USEC_PER_SEC));
	manager_pump(b->m);
	bench_settle(b);
	expect_marked(b);
	assert_null(b->m->preempt_timer);
}

static void a_silent_guest_is_left_alone(void **state)
{
	struct bench *b = *state;

	begin(b, POLICY(""), "unreachable", "", USEC_PER_SEC);
	submit_urgent(b);
	expect_not_marked(b);
}

/* One that SIGKILL has not ended frees nothing, for all anybody knows: another makes way. */
static void one_that_hangs_is_not_waited_for(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", "gpu0/vf2", FOREVER), true);
	begin(b, "{\"version\": 1, \"vms\": [{\"match\": \"train-a\", \"allow\": [\"everyone\"], \"run_as\": \"root\","
		 "  \"slots\": 2}], \"queues\": [{\"name\": \"urgent\", \"priority\": 90, \"preempts\": [\"batch\"]},"
		 " {\"name\": \"batch\", \"priority\": 10}]}",
	      "running", "", USEC_PER_SEC);
	bench_settle(b);
	bench_stop(b);
	bench_sql(b, "UPDATE lease SET doc = replace(doc, '\"owner\":\"vm\"', '\"owner\":\"job\",\"job\":3') WHERE id LIKE '%/2';"
		     "INSERT INTO job (id, doc) SELECT '3', replace(replace(doc, '\"id\":1', '\"id\":3'), 'vf1', 'vf2') FROM job;"
		     "UPDATE job SET doc = json_set(doc, '$.priority', 5) WHERE id = '3'");
	bench_start(b);
	submit_as(b, "urgent", "4");
	assert_string_equal(job_find(b->m, "4")->reason, "job 1 is preempted for it");
	job_set_state(b->m, victim(b), JOB_STOPPING, "preempted for job 4 (queue urgent)");
	manager_pump(b->m);
	bench_settle(b);
	assert_int_equal(job_preempted_for(job_find(b->m, "3")), 0);
	victim(b)->runner->stuck = true; /* as its runner says with: */
	victim(b)->runner->callbacks.on_stuck(victim(b), "preempted");
	bench_settle(b);
	assert_non_null(strstr(victim(b)->reason, "preempted for job 4 (queue urgent); SIGKILL has not ended it"));
	assert_non_null(strstr(victim(b)->reason, "VM train-a"));
	assert_int_equal(job_preempted_for(job_find(b->m, "3")), 4);
	assert_string_equal(job_find(b->m, "4")->reason, "job 3 is preempted for it");
}

static void lack_memory(struct vm *vm, uint64_t stop_at)
{
	(void)free_and_strdup(&vm->memory.failure, "the host lacks memory");
	vm->memory.stop_at = stop_at;
}

/* One is stopped after a while to see whether there is memory now, and then for twice as long none. */
static void memory_is_tried_again(void **state)
{
	struct bench *b = *state;
	struct vm *a, *other;
	uint64_t now;

	begin(b, POLICY(""), "running", "", USEC_PER_SEC);
	now = now_boottime();
	a = vm_find(b->m, "train-a");
	other = vm_find(b->m, "train-b");
	other->quarantine = strdup("it shall not matter");
	lack_memory(a, now + 3600 * USEC_PER_SEC);
	submit_urgent(b);
	expect_not_marked(b);
	assert_non_null(strstr(job_find(b->m, "2")->reason, "; no job makes way for it in VM train-a before 20"));
	assert_non_null(strstr(job_find(b->m, "2")->reason, "(gpuvf heal train-a lets one now): the host lacks memory"));
	lack_memory(a, now_boottime());
	manager_pump(b->m);
	bench_settle(b);
	expect_marked(b);
	assert_in_range(a->memory.stop_at - now, 239 * USEC_PER_SEC, 300 * USEC_PER_SEC);
	vm_no_memory(a, "still");
	assert_in_range(a->memory.stop_at - now, 239 * USEC_PER_SEC, 300 * USEC_PER_SEC);
	vm_stopped_for(a);
	assert_in_range(a->memory.stop_at - now, 479 * USEC_PER_SEC, 540 * USEC_PER_SEC);
	for (unsigned i = 0; i < 100; i++)
		vm_stopped_for(a);
	assert_in_range(a->memory.stop_at - now, 3839 * USEC_PER_SEC, 3900 * USEC_PER_SEC);
	vm_no_memory(a, NULL);
	vm_no_memory(a, "again, long after");
	assert_in_range(a->memory.stop_at - now, 119 * USEC_PER_SEC, 180 * USEC_PER_SEC);
}

static void go_off(struct bench *b)
{
	b->actors.vms[0]->state = VM_OFF;
	b->actors.vms[0]->id = -1;
	fake_set_hostdev(&b->actors, 0, 1, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
}

/* No retry is needed, and what is told is both. */
static void its_vm_goes_off(void **state)
{
	struct bench *b = *state;

	begin(b, POLICY(""), "running", "", USEC_PER_SEC);
	submit_urgent(b);
	go_off(b);
	bench_until(b, victim(b)->state == JOB_QUEUED);
	assert_string_equal(json_get_string(job_attempt(victim(b)), "result"), "preempted");
	assert_string_equal(json_get_string(job_attempt(victim(b)), "reason"),
			    "preempted for job 2 (queue urgent); its VM went off");
	assert_int_equal(job_preempted_for(victim(b)), 0);
	assert_int_equal(job_attempts_counted(victim(b)), 0);
	bench_settle(b);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM audit WHERE doc LIKE '%preempted_for%'"), 2);
}

static void its_vm_went_off_while_no_daemon_looked(void **state)
{
	static const char *const states[] = { "running", "unreachable", "stopping" };
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		begin(b, POLICY(""), states[i], ",\"preempted_for\":\"2\",\"preempted_queue\":\"urgent\"", USEC_PER_SEC);
		bench_stop(b);
		b->actors.vms[0]->state = VM_OFF;
		fake_set_hostdev(&b->actors, 0, 1, false, false);
		bench_start(b);
		bench_until(b, victim(b)->state == JOB_QUEUED);
		assert_string_equal(json_get_string(job_attempt(victim(b)), "result"), "preempted");
		assert_int_equal(victim(b)->attempt, 1);
		bench_settle(b);
		bench_stop(b);
		bench_sql(b, "DELETE FROM job");
		b->actors.vms[0]->state = VM_RUNNING;
		bench_start(b);
		bench_settle(b);
	}
}

static void whoever_cancels_has_the_last_word(void **state)
{
	struct bench *b = *state;
	struct job_cancel_params p = { .id = (char *)"1" };
	struct answer *a = answer_new();

	begin(b, POLICY(""), "running", "", USEC_PER_SEC);
	submit_urgent(b);
	manager_job_cancel(b->m, &root_caller, &p, &a->reply);
	expect_changed(b, a, true);
	go_off(b);
	bench_until(b, victim(b)->state == JOB_ENDED);
	assert_int_equal(victim(b)->result, JOB_CANCELLED);
}

static struct answer *cancel_victim(struct bench *b)
{
	struct answer *a = answer_new();

	manager_job_cancel(b->m, &root_caller, &(struct job_cancel_params){ .id = (char *)"1" }, &a->reply);
	return a;
}

/* Its attempt is over before the cancel is durable: that it is, or cannot be, decides afterwards. */
static void a_cancel_counts_once_it_is_durable(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	begin(b, POLICY(""), "running", "", USEC_PER_SEC);
	submit_urgent(b);
	expect_marked(b);
	a = cancel_victim(b);
	job_vm_off(b->m, victim(b));
	assert_int_equal(victim(b)->state, JOB_QUEUED);
	expect_changed(b, a, true);
	bench_until(b, victim(b)->state == JOB_ENDED);
	assert_int_equal(victim(b)->result, JOB_CANCELLED);
}

static void a_cancel_that_cannot_be_stored_is_none(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	begin(b, POLICY(""), "running", "", USEC_PER_SEC);
	submit_urgent(b);
	bench_break_store(b, true);
	a = cancel_victim(b);
	job_vm_off(b->m, victim(b));
	expect_error(b, a, RPC_DEGRADED, NULL);
	bench_settle(b);
	assert_int_equal(victim(b)->state, JOB_QUEUED);
	assert_int_equal(victim(b)->result, JOB_RESULT_NONE);
	assert_false(victim(b)->cancel);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	assert_int_not_equal(victim(b)->state, JOB_ENDED);
	expect_changed(b, cancel_victim(b), true); /* and can be asked for again */
}

/* ---- how an attempt with the mark, or without, counts ---- */

static void results(void **state)
{
	static const struct {
		bool marked;
		enum job_result result, wanted;
		const char *reason, *told;
	} rows[] = {
		{ false, JOB_LOST, JOB_LOST, "gone", "gone" },
		{ true, JOB_LOST, JOB_PREEMPTED, "gone", "preempted for job 2 (queue urgent); gone" },
		{ true, JOB_LOST, JOB_PREEMPTED, NULL, "preempted for job 2 (queue urgent)" },
		{ true, JOB_PREEMPTED, JOB_PREEMPTED, "preempted", "preempted for job 2 (queue urgent)" },
		{ true, JOB_SUCCEEDED, JOB_SUCCEEDED, NULL, NULL }, /* it ended before the signal */
		{ true, JOB_FAILED, JOB_FAILED, "x", "x" },
		{ true, JOB_TIMEOUT, JOB_TIMEOUT, NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ json_t *attempts = json_pack("[{}]");
		struct job job = { .attempts = attempts };
		_cleanup_free_ char *reason = rows[i].reason ? strdup(rows[i].reason) : NULL;

		if (rows[i].marked)
			json_object_update_new(job_attempt(&job), json_pack("{s:s,s:s}", "preempted_for", "2",
									    "preempted_queue", "urgent"));
		assert_int_equal(job_preempted_result(&job, rows[i].result, &reason), rows[i].wanted);
		assert_true(streq_ptr(reason, rows[i].told));
	}
}

static void why_it_stops(void **state)
{
	_cleanup_json_ json_t *attempts = json_pack("[{s:s,s:s}]", "preempted_for", "2", "preempted_queue", "urgent");
	struct job job = { .attempts = attempts };
	_cleanup_free_ char *preempted = job_stop_text(&job, "preempted"), *limit = job_stop_text(&job, "time limit");

	assert_string_equal(preempted, "preempted for job 2 (queue urgent)");
	assert_string_equal(limit, "time limit");
	assert_null(job_stop_text(&job, NULL));
}

static void retries_are_of_others(void **state)
{
	_cleanup_json_ json_t *attempts =
		json_pack("[{s:s},{s:s},{s:s},{s:n}]", "result", "preempted", "result", "lost", "result", "preempted", "result");
	struct job job = { .attempts = attempts };

	assert_int_equal(job_attempts_counted(&job), 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_set_up_cut, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_mark_is_stored_and_told),
		TEST(what_was_not_stored_is_not_marked),
		TEST(it_runs_long_enough_first),
		TEST(a_silent_guest_is_left_alone),
		TEST(memory_is_tried_again),
		TEST(one_that_hangs_is_not_waited_for),
		TEST(its_vm_goes_off),
		TEST(its_vm_went_off_while_no_daemon_looked),
		TEST(whoever_cancels_has_the_last_word),
		TEST(a_cancel_counts_once_it_is_durable),
		TEST(a_cancel_that_cannot_be_stored_is_none),
		cmocka_unit_test(results),
		cmocka_unit_test(why_it_stops),
		cmocka_unit_test(retries_are_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
