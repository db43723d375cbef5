/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a daemon makes of its rows: of those that make no sense, and of state that was put back from a copy. */
#include <sys/stat.h>

#include "tests/support/manager-bench.h"

#define VF "gpu0/vf1"

/* What daemon.status says about a row. */
static void expect_trouble(struct bench *b, const char *subject)
{
	struct none_params p = { 0 };
	struct answer *a = answer_new();
	bool found = false;
	json_t *trouble;
	size_t i;

	manager_daemon_status(b->m, &root_caller, &p, &a->reply);
	bench_wait(b, a);
	json_array_foreach(json_object_get(a->result, "troubles"), i, trouble)
		if (streq_ptr(json_get_string(trouble, "subject"), subject) &&
		    streq_ptr(json_get_string(trouble, "what"), "unreadable")) {
			assert_non_null(json_get_string(trouble, "reason"));
			found = true;
		}
	if (!found)
		fail_msg("daemon.status says nothing of %s", subject);
	answer_free(a);
}

static void restart_after(struct bench *b, const char *sql)
{
	bench_stop(b);
	bench_sql(b, sql);
	bench_start(b);
}

/* ---- rows that make no sense ---- */

/* Its VF may be anybody's: nobody gets it until a person has looked. */
static void an_unreadable_lease_keeps_its_vf_back(void **state)
{
	static const char *const damages[] = {
		"UPDATE lease SET doc = replace(doc, 'attached', 'dancing') WHERE id LIKE '%/1'",
		"UPDATE lease SET doc = replace(doc, '{', '<') WHERE id LIKE '%/1'",
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		uint64_t epoch;

		expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
		epoch = b->m->next_epoch;
		fake_set_hostdev(&b->actors, 0, 1, false, false);
		restart_after(b, damages[i]);
		assert_int_equal(bench_vf(b, VF)->state, VF_QUARANTINED);
		assert_non_null(strstr(bench_vf(b, VF)->reason, "cannot be read"));
		expect_error(b, bench_assign(b, "train-a", VF, 0), RPC_CONFLICT, "quarantined");
		assert_true(b->m->next_epoch > epoch + 1000);
		assert_int_equal(bench_number(b, "SELECT count(*) FROM aside WHERE kind = 'lease'"), i + 1);
		expect_trouble(b, "lease row \"0000:03:00.0/1\"");
		bench_restart(b);
		assert_int_equal(bench_vf(b, VF)->state, VF_QUARANTINED);
		expect_changed(b, bench_heal(b, VF), true);
		bench_settle(b);
		bench_restart(b); /* once is enough */
		assert_int_equal(bench_vf(b, VF)->state, VF_FREE);
	}
}

static void an_unreadable_gpu_gets_another_name(void **state)
{
	struct bench *b = *state;

	restart_after(b, "UPDATE gpu SET doc = replace(doc, '0000:03', 'zzzz:03')");
	assert_null(gpu_find(b->m, "gpu0"));
	assert_non_null(gpu_find(b->m, "gpu1"));
	expect_trouble(b, "gpu row \"gpu0\"");
	bench_restart(b);
	assert_non_null(gpu_find(b->m, "gpu1"));
}

/* A layout that cannot be read is not made up: nothing is cut, the name stays, the row is kept. */
static void an_unreadable_layout_cuts_nothing(void **state)
{
	struct bench *b = *state;

	bench_stop(b);
	fake_set_vfs(&b->actors, 0);
	bench_sql(b, "UPDATE gpu SET doc = replace(doc, '\"manual\":{', '\"manual\":{\"dance\":1,')");
	bench_start(b);
	bench_settle(b);
	assert_non_null(gpu_find(b->m, "gpu0"));
	assert_int_equal(b->actors.n_host[HOST_SET_NUMVFS], 0);
	assert_null(gpu_find(b->m, "gpu0")->manual);
	expect_trouble(b, "gpu row \"gpu0\"");
	assert_int_equal(bench_number(b, "SELECT count(*) FROM aside WHERE doc LIKE '%dance%'"), 1);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM gpu WHERE doc LIKE '%dance%'"), 0);
	bench_restart(b);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM aside"), 1);
}

static void numbers_of_unreadable_rows_are_not_given_again(void **state)
{
	struct bench *b = *state;

	restart_after(b, "INSERT INTO job (id, doc) VALUES ('41', '{\"id\":41,\"state\":\"dreaming\"}');"
			 "INSERT INTO operation (id, doc) VALUES ('op/77', '{\"id\":77,\"state\":\"dreaming\"}');"
			 "INSERT INTO request (id, doc) VALUES ('0/x', '{\"at\":5}');"
			 "INSERT INTO event (id, doc) VALUES ('00000000000000009000', '[]')");
	assert_int_equal(b->m->next_job, 42);
	assert_int_equal(b->m->next_operation, 78);
	assert_true(manager_event_next(b->m) > 9000);
	assert_int_equal(HASH_COUNT(b->m->jobs), 0);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM aside"), 4);
	expect_trouble(b, "job row \"41\"");
	expect_trouble(b, "operation row \"op/77\"");
	expect_trouble(b, "request row \"0/x\"");
}

/* Its command may run in the guest still. */
static void the_vf_of_an_unreadable_job_is_left_alone(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	restart_after(b, "UPDATE lease SET doc = replace(doc, '\"owner\":\"vm\"', '\"owner\":\"job\",\"job\":9')"
			 " WHERE id LIKE '%/1';"
			 "INSERT INTO job (id, doc) VALUES ('9', '{}')");
	assert_int_equal(bench_vf(b, VF)->state, VF_ATTACHED);
	assert_int_equal(bench_vf(b, VF)->lease.owner, LEASE_VM);
	assert_int_equal(b->actors.n_hv[HV_DETACH], 0);
	expect_changed(b, bench_release(b, VF, FOREVER), true);
}

/* Without it no attempt would be found in its guest, and all would begin again. */
static void no_daemon_without_the_name_of_attempts(void **state)
{
	struct bench *b = *state;

	bench_stop(b);
	bench_sql(b, "INSERT INTO job (id, doc) VALUES ('1', '{\"id\":1,\"state\":\"running\",\"result\":\"none\","
		     "\"user\":\"0\",\"queue\":\"default\",\"document\":{\"version\":1,\"command\":[\"true\"]}}');"
		     "UPDATE meta SET doc = '{}' WHERE id = 'instance'");
	assert_int_equal(bench_try_start(b), -EBADMSG);
	assert_int_equal(bench_try_start(b), -EBADMSG);
	bench_sql(b, "DELETE FROM job");
	bench_start(b);
	assert_non_null(b->m->instance);
}

/* Which boot the leases are of is not known: they are compared, not dropped. */
static void leases_stay_when_the_boot_is_unknown(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	restart_after(b, "UPDATE meta SET doc = '[]' WHERE id = 'boot'");
	assert_int_equal(bench_vf(b, VF)->state, VF_ATTACHED);
	assert_int_equal(bench_vf(b, VF)->lease.owner, LEASE_VM);
	restart_after(b, "UPDATE meta SET doc = '{\"value\":\"another boot\"}' WHERE id = 'boot'");
	assert_int_equal(bench_vf(b, VF)->lease.owner, LEASE_FOREIGN);
}

/* ---- jobs ---- */

#define JOB_ROW(id, state, more)                                                                   \
	"INSERT INTO job (id, doc) VALUES ('" id "', '{\"id\":" id ",\"state\":\"" state "\"," more \
	"\"result\":\"none\",\"user\":\"0\",\"queue\":\"default\","                                \
	"\"document\":{\"version\":1,\"command\":[\"true\"]}}');"

/* The word was stored, and the daemon died before the end was. */
static void a_cancelled_job_that_had_not_begun_ends(void **state)
{
	struct bench *b = *state;

	restart_after(b, JOB_ROW("1", "queued", "\"cancel\":true,") JOB_ROW("2", "held", "\"cancel\":true,")
				 JOB_ROW("3", "held", ""));
	bench_settle(b);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(job_find(b->m, "1")->state, JOB_ENDED);
		assert_int_equal(job_find(b->m, "1")->result, JOB_CANCELLED);
		assert_int_equal(job_find(b->m, "1")->attempt, 0);
		assert_int_equal(job_find(b->m, "2")->state, JOB_ENDED);
		assert_int_equal(job_find(b->m, "2")->result, JOB_CANCELLED);
		assert_int_equal(job_find(b->m, "3")->state, JOB_HELD);
		bench_restart(b);
	}
	assert_int_equal(b->actors.n_hv[HV_ATTACH], 0);
}

/* ---- state that was put back ---- */

static const char back[] = "INSERT INTO meta (id, doc) VALUES ('restored', '{\"at\":1}')";

static void nothing_of_a_copy_begins_by_itself(void **state)
{
	struct bench *b = *state;
	uint64_t epoch = b->m->next_epoch, operation = b->m->next_operation, event = manager_event_next(b->m);

	bench_stop(b);
	bench_sql(b, back);
	bench_sql(b, "INSERT INTO operation (id, doc) VALUES ('op/50', '{\"id\":50,\"state\":\"running\","
		     "\"method\":\"gpu.apply\",\"subject\":\"gpu0\",\"input\":{\"layout\":{\"vfs\":0}}}');"
		     "INSERT INTO job (id, doc) VALUES ('1', '{\"id\":1,\"state\":\"queued\",\"result\":\"none\","
		     "\"user\":\"0\",\"queue\":\"default\",\"document\":{\"version\":1,\"command\":[\"true\"]}}');"
		     "INSERT INTO job (id, doc) VALUES ('2', '{\"id\":2,\"state\":\"starting\",\"result\":\"none\","
		     "\"user\":\"0\",\"queue\":\"default\",\"attempt\":1,\"attempts\":[{\"attempt\":1}],"
		     "\"document\":{\"version\":1,\"command\":[\"true\"]}}')");
	bench_start(b);
	bench_settle(b);
	assert_int_equal(operation_find(b->m, "op/50")->state, OPERATION_FAILED);
	assert_int_equal(b->actors.n_host[HOST_SET_NUMVFS], 0);
	assert_int_equal(job_find(b->m, "1")->state, JOB_HELD);
	assert_int_equal(job_find(b->m, "2")->state, JOB_HELD);
	assert_non_null(strstr(job_find(b->m, "1")->reason, "put back from a copy"));
	/* Numbers that were given since are not given again, now or after the next start. */
	for (int i = 0; i < 2; i++) {
		assert_true(b->m->next_epoch >= epoch + 1000000);
		assert_true(b->m->next_operation >= operation + 1000000);
		assert_true(manager_event_next(b->m) >= event + 1000000);
		bench_restart(b);
	}
	assert_true(b->m->next_epoch < epoch + 2000000);
	assert_int_equal(job_find(b->m, "1")->state, JOB_HELD);
}

static void folders_tell_of_later_jobs(void **state)
{
	struct bench *b = *state;
	_cleanup_free_ char *path = xasprintf("%s/jobs/815", b->directory);

	assert_int_equal(mkdir(path, 0700), 0);
	bench_restart(b);
	assert_int_equal(b->m->next_job, 816);
}

/* Rule "in another VM": not reset under its new holder, not given to anybody else. */
static void a_vf_that_moved_is_its_new_holders(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	bench_stop(b);
	fake_set_hostdev(&b->actors, 0, 1, false, false);
	b->actors.vms[1]->state = VM_RUNNING;
	fake_set_hostdev(&b->actors, 1, 1, true, false);
	bench_start(b);
	assert_int_equal(bench_vf(b, VF)->state, VF_ATTACHED);
	assert_int_equal(bench_vf(b, VF)->lease.owner, LEASE_FOREIGN);
	assert_string_equal(bench_vf(b, VF)->lease.vm_name, "train-b");
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 0);
}

/* Somebody took the VFs off the card meanwhile.  What the wanted layout brings back is its holder's as before; the lease
 * of any other ends, as it does while a daemon looks on, unless a stored definition names it still. */
static void the_lease_of_a_vf_that_vanished_ends(void **state)
{
	struct bench *b = *state;
	uint64_t epoch;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	expect_changed(b, bench_assign(b, "train-b", "gpu0/vf2", FOREVER), true);
	epoch = bench_vf(b, VF)->lease.epoch;
	bench_stop(b);
	fake_set_vfs(&b->actors, 0);
	bench_start(b);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
	assert_int_equal(bench_vf(b, VF)->lease.epoch, epoch);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM lease"), 2);

	bench_stop(b);
	fake_set_hostdev(&b->actors, 1, 2, false, true);
	fake_set_vfs(&b->actors, 1);
	bench_start(b);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->n_vfs, 1);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM lease"), 2);
	fake_set_hostdev(&b->actors, 1, 2, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	bench_settle(b);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM lease"), 1);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM audit WHERE doc LIKE '%gpu0/vf2%gone%'"), 1);
}

/* Rows are found by slot.  A quarantine and a last user are those of the card that was there. */
static void another_card_inherits_nothing(void **state)
{
	static const char *const serials[] = { "S1", NULL, "S2" };
	struct bench *b = *state;
	struct vf *vf;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	fake_set_hostdev(&b->actors, 0, 1, false, false);
	restart_after(b, "UPDATE lease SET doc = json_set(doc, '$.state', 'quarantined', '$.owner', 'none',"
			 " '$.reason', 'broken', '$.last_uid', 7) WHERE id LIKE '%/1'");
	for (size_t i = 0; i < ARRAY_SIZE(serials); i++) {
		bool same = i < 2; /* or nobody can tell */

		bench_stop(b);
		free(b->actors.gpu->serial);
		b->actors.gpu->serial = serials[i] ? strdup(serials[i]) : NULL;
		bench_start(b);
		bench_settle(b);
		vf = bench_vf(b, same ? VF : "gpu1/vf1");
		assert_int_equal(vf->state, same ? VF_QUARANTINED : VF_FREE);
		assert_int_equal(vf->last_user.known, same);
		assert_int_equal(bench_number(b, "SELECT count(*) FROM lease WHERE doc LIKE '%quarantined%'"), same);
		assert_int_equal(bench_number(b, "SELECT count(*) FROM audit WHERE json_extract(doc, '$.subject') = "
						 "'gpu0/vf1' AND json_extract(doc, '$.method') = 'daemon:recover'"), !same);
	}
	/* A row of an earlier version does not tell whose it is. */
	expect_changed(b, bench_assign(b, "train-a", "gpu1/vf1", FOREVER), true);
	restart_after(b, "UPDATE lease SET doc = json_remove(doc, '$.serial') WHERE id LIKE '%/1'");
	expect_vf(b, "gpu1/vf1", VF_ATTACHED, LEASE_VM);
}

static void the_layout_that_is_made_ends_the_leases_of_others(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-b", "gpu0/vf2", FOREVER), true);
	bench_stop(b);
	fake_set_vfs(&b->actors, 0);
	fake_set_hostdev(&b->actors, 1, 2, false, false);
	bench_sql(b, "UPDATE gpu SET doc = json_set(doc, '$.manual.vfs', json_array(json_extract(doc, '$.manual.vfs[0]')))");
	bench_start(b);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->n_vfs, 1);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM lease"), 0);
}

/* The store gives them by name: op/10 before op/9. */
static void operations_stand_in_the_order_of_their_numbers(void **state)
{
	struct bench *b = *state;
	struct operation *op, *tmp;
	uint64_t last = 0;

	for (unsigned i = 0; i < 11; i++)
		expect_changed(b, bench_apply(b, 1 + i % 2, FOREVER), true);
	bench_restart(b);
	HASH_ITER(hh, b->m->operations, op, tmp) {
		assert_true(op->id > last);
		last = op->id;
	}
	assert_true(last >= 10);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_set_up_cut, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_unreadable_lease_keeps_its_vf_back),
		TEST(an_unreadable_gpu_gets_another_name),
		TEST(the_lease_of_a_vf_that_vanished_ends),
		TEST(another_card_inherits_nothing),
		TEST(the_layout_that_is_made_ends_the_leases_of_others),
		TEST(operations_stand_in_the_order_of_their_numbers),
		TEST(an_unreadable_layout_cuts_nothing),
		TEST(numbers_of_unreadable_rows_are_not_given_again),
		TEST(the_vf_of_an_unreadable_job_is_left_alone),
		TEST(no_daemon_without_the_name_of_attempts),
		TEST(leases_stay_when_the_boot_is_unknown),
		TEST(a_cancelled_job_that_had_not_begun_ends),
		TEST(nothing_of_a_copy_begins_by_itself),
		TEST(folders_tell_of_later_jobs),
		TEST(a_vf_that_moved_is_its_new_holders),
	};

	return cmocka_run_group_tests_name("manager-load", tests, NULL, NULL);
}
