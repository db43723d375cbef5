/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: a job that runs and cannot be followed now, as far as no guest is needed: a guest says nothing here.  The
 * rest is in tests/integration/test-rejoin.py. */
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/io.h"
#include "tests/support/manager-bench.h"

#define VF "gpu0/vf1"
#define VM_UUID "00000000-0000-4000-8000-000000000000"
#define POLICY(more) \
	"{\"version\": 1, \"vms\": [{\"match\": \"*\", \"allow\": [\"everyone\"], \"run_as\": \"root\"" more "}]}"

static struct job *the_job(struct bench *b)
{
	return job_find(b->m, "1");
}

/* A file in place of its folder. */
static void break_folder(struct bench *b, bool broken)
{
	_cleanup_free_ char *path = xasprintf("%s/jobs/1", b->directory);

	if (broken)
		assert_int_equal(write_file_atomic_at(AT_FDCWD, path, "", 0, 0600), 0);
	else
		assert_int_equal(unlink(path), 0);
}

/* Job 1 runs in train-a, on the VF, and its daemon cannot follow it. */
static void begin(struct bench *b)
{
	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	bench_settle(b);
	bench_stop(b);
	bench_policy(b, POLICY(""));
	bench_sql(b, "UPDATE lease SET doc = replace(doc, '\"owner\":\"vm\"', '\"owner\":\"job\",\"job\":1') WHERE id LIKE '%/1';"
		     "INSERT INTO job (id, doc) VALUES ('1', '{\"id\":1,\"state\":\"running\",\"result\":\"none\","
		     "\"user\":\"0\",\"queue\":\"default\",\"attempt\":1,\"vm_uuid\":\"" VM_UUID "\",\"vm_name\":\"train-a\","
		     "\"vf_name\":\"" VF "\",\"attempts\":[{\"attempt\":1,\"boot_id\":\"b\",\"started_at\":\"x\","
		     "\"run_as\":\"root\"}],\"document\":{\"version\":1,\"command\":[\"true\"]}}')");
	break_folder(b, true);
	b->actors.hv_held |= ONE(HV_AGENT);
	bench_start(b);
	assert_true(the_job(b)->rejoin.failures > 0);
}

/* It is as it was, told, and will be tried again. */
static void expect_waits(struct bench *b)
{
	const struct job *job = the_job(b);

	assert_null(job->runner);
	assert_int_equal(job->state, JOB_RUNNING);
	assert_true(rejoin_is_due(job));
	assert_non_null(b->m->rejoin_timer);
	assert_string_equal(job->reason, "the attempt cannot be followed: Not a directory");
	expect_vf(b, VF, VF_ATTACHED, LEASE_JOB);
}

static void expect_followed(struct bench *b)
{
	bench_until(b, the_job(b)->runner != NULL);
	assert_int_equal(the_job(b)->state, JOB_RUNNING);
	assert_null(the_job(b)->reason);
	assert_int_equal(the_job(b)->rejoin.failures, 0);
	assert_false(rejoin_is_due(the_job(b)));
	expect_vf(b, VF, VF_ATTACHED, LEASE_JOB);
}

/* One try after the other, each later than the one before, until the longest wait. */
static void it_is_tried_less_and_less_often(void **state)
{
	struct bench *b = *state;
	uint64_t began = now_boottime(), wait;
	unsigned n;

	begin(b);
	while ((n = the_job(b)->rejoin.failures) < 9) {
		wait = USEC_PER_SEC << MIN_OF(n - 1, 6U);
		expect_waits(b);
		assert_in_range(the_job(b)->rejoin.at, began + wait, now_boottime() + wait);
		rejoin_soon(the_job(b));
		manager_pump(b->m);
		began = now_boottime();
		bench_until(b, the_job(b)->rejoin.failures > n);
	}
	break_folder(b, false);
	rejoin_soon(the_job(b));
	manager_pump(b->m);
	expect_followed(b);
}

static void reload(struct bench *b)
{
	struct answer *a = answer_new();

	manager_policy_reload(b->m, &root_caller, NULL, &a->reply);
	expect_changed(b, a, true);
}

static void another_policy_tries_at_once(void **state)
{
	struct bench *b = *state;
	unsigned n;

	begin(b);
	n = the_job(b)->rejoin.failures;
	the_job(b)->rejoin.at = now_boottime() + 3600 * USEC_PER_SEC;
	bench_policy(b, POLICY(", \"slots\": 2"));
	reload(b);
	bench_until(b, the_job(b)->rejoin.failures > n);
	expect_waits(b);
	break_folder(b, false);
	the_job(b)->rejoin.at = now_boottime() + 3600 * USEC_PER_SEC;
	bench_policy(b, POLICY(", \"slots\": 3"));
	reload(b);
	expect_followed(b);
}

static void so_does_a_cancel(void **state)
{
	struct job_cancel_params p = { .id = (char *)"1" };
	struct answer *a = answer_new();
	struct bench *b = *state;

	begin(b);
	the_job(b)->rejoin.at = now_boottime() + 3600 * USEC_PER_SEC;
	break_folder(b, false);
	manager_job_cancel(b->m, &root_caller, &p, &a->reply);
	expect_changed(b, a, true);
	expect_followed(b); /* and its command, which the guest does not tell of, is not taken for stopped */
}

/* What an earlier daemon told is no reason any more. */
static void the_next_daemon_follows_it(void **state)
{
	struct bench *b = *state;

	begin(b);
	bench_settle(b);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM job WHERE doc LIKE '%cannot be followed%'"), 1);
	bench_restart(b);
	expect_waits(b);
	bench_stop(b);
	break_folder(b, false);
	bench_start(b);
	expect_followed(b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_set_up_cut, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(it_is_tried_less_and_less_often),
		TEST(another_policy_tries_at_once),
		TEST(so_does_a_cancel),
		TEST(the_next_daemon_follows_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
