/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: leases with an end, and those that nobody confirms.  The clock is moved by moving the end, in memory or
 * in the store. */
#include "tests/support/manager-bench.h"

#define VF "gpu0/vf1"
#define HOUR (3600 * USEC_PER_SEC)

static void assign_for(struct bench *b, uint64_t usec)
{
	b->assign_for = usec;
	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	b->assign_for = FOR_ABSENT;
}

/* The rows of the audit trail that are of this method and have the VF from this state to that. */
static int64_t rows(struct bench *b, const char *method, const char *before, const char *after)
{
	_cleanup_free_ char *sql = xasprintf("SELECT count(*) FROM audit WHERE subject = '" VF "' AND method = '%s'"
					     " AND json_extract(doc, '$.before.state') = '%s'"
					     " AND json_extract(doc, '$.after.state') = '%s'", method, before, after);

	return bench_number(b, sql);
}

/* … that have another end, or none any more, and nothing else. */
static int64_t moves(struct bench *b)
{
	return bench_number(b, "SELECT count(*) FROM audit WHERE subject = '" VF "' AND"
			       " json_extract(doc, '$.before.state') = json_extract(doc, '$.after.state') AND"
			       " json_extract(doc, '$.before.expires') IS NOT json_extract(doc, '$.after.expires')");
}

static uint64_t left(struct bench *b)
{
	return bench_vf(b, VF)->lease.expires - now_boottime();
}

static void expect_free(struct bench *b)
{
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	assert_int_equal(bench_vf(b, VF)->lease.owner, LEASE_NONE);
	assert_int_equal(bench_vf(b, VF)->lease.expires, 0);
}

/* … that say that it could not be taken back. */
static int64_t failures(struct bench *b)
{
	return bench_number(b, "SELECT count(*) FROM audit WHERE subject = '" VF "' AND method = 'daemon:expiry' AND"
			       " json_extract(doc, '$.outcome') = 'failed' AND json_extract(doc, '$.error') IS NOT NULL");
}

/* By daemon.status: that its VM has it though it was to be taken back. */
static void expect_told(struct bench *b, bool told)
{
	struct answer *a = answer_new();
	bool found = false;
	json_t *trouble;
	size_t i;

	manager_daemon_status(b->m, &root_caller, &(struct none_params){ 0 }, &a->reply);
	bench_wait(b, a);
	json_array_foreach(json_object_get(a->result, "troubles"), i, trouble)
		if (streq_ptr(json_get_string(trouble, "what"), "not-released")) {
			assert_string_equal(json_get_string(trouble, "subject"), VF);
			assert_non_null(strstr(json_get_string(trouble, "reason"), "VM train-a has it although "));
			found = true;
		}
	assert_int_equal(found, told);
	answer_free(a);
}

static void an_end_takes_the_vf_back_through_the_gate(void **state)
{
	struct bench *b = *state;

	assign_for(b, 50 * USEC_PER_MSEC);
	expect_free(b);
	assert_int_equal(b->actors.n_hv[HV_DETACH], 1);
	assert_int_equal(b->actors.n_host[HOST_WAIT_CLOSED], 1);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
	assert_int_equal(b->actors.n_host[HOST_PROBE_VF], 1);
	/* The trail tells it from a VM that died. */
	bench_settle(b);
	assert_int_equal(rows(b, "daemon:expiry", "attached", "free"), 1);
	assert_int_equal(rows(b, "daemon:vm", "attached", "free"), 0);
	/* The next lease has no end of its own. */
	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	assert_int_equal(bench_vf(b, VF)->lease.expires, 0);
}

static void a_reserved_vf_is_taken_out_of_the_stored_definition(void **state)
{
	struct bench *b = *state;

	b->assign_for = 50 * USEC_PER_MSEC;
	expect_changed(b, bench_assign(b, "train-b", VF, FOREVER), true);
	expect_free(b);
	assert_int_equal(b->actors.n_hv[HV_DETACH], 1);
}

static void saying_it_again_moves_the_end(void **state)
{
	struct bench *b = *state;
	uint64_t epoch, before;

	assign_for(b, HOUR);
	epoch = bench_vf(b, VF)->lease.epoch;
	before = bench_vf(b, VF)->lease.expires;
	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), false); /* no word of it */
	assert_int_equal(bench_vf(b, VF)->lease.expires, before);
	assign_for(b, 3 * HOUR);
	assert_in_range(left(b), 3 * HOUR - 60 * USEC_PER_SEC, 3 * HOUR);
	assert_int_equal(bench_vf(b, VF)->lease.epoch, epoch);
	assign_for(b, 0);
	assert_int_equal(bench_vf(b, VF)->lease.expires, 0);
	/* Each move has its row, and saying nothing of it none. */
	bench_settle(b);
	assert_int_equal(moves(b), 2);
	assign_for(b, USEC_PER_MSEC);
	expect_free(b);
}

static void a_vm_that_died_is_no_end(void **state)
{
	struct bench *b = *state;

	assign_for(b, HOUR);
	fake_set_hostdev(&b->actors, 0, 1, false, false);
	b->actors.vms[0]->state = VM_OFF;
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	expect_free(b);
	bench_settle(b);
	assert_int_equal(rows(b, "daemon:vm", "attached", "free"), 1);
	assert_int_equal(rows(b, "daemon:expiry", "attached", "free"), 0);
}

static void an_end_that_cannot_be_stored_is_none(void **state)
{
	struct bench *b = *state;
	uint64_t before;

	assign_for(b, HOUR);
	before = bench_vf(b, VF)->lease.expires;
	bench_break_store(b, true);
	b->assign_for = 5 * HOUR;
	expect_error(b, bench_assign(b, "train-a", VF, FOREVER), RPC_DEGRADED, NULL);
	assert_int_equal(bench_vf(b, VF)->lease.expires, before);
	bench_break_store(b, false);
	bench_settle(b);
	assert_int_equal(moves(b), 0);
}

static void a_lease_of_somebody_else_has_no_end(void **state)
{
	struct bench *b = *state;

	fake_set_hostdev(&b->actors, 0, 1, true, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	assert_int_equal(bench_vf(b, VF)->lease.owner, LEASE_FOREIGN);
	b->assign_for = HOUR;
	expect_error(b, bench_assign(b, "train-a", VF, FOREVER), RPC_CONFLICT, "no_end");
	assert_int_equal(bench_vf(b, VF)->lease.expires, 0);
}

static void a_guest_that_does_not_let_go_is_asked_again(void **state)
{
	struct bench *b = *state;
	struct vf *vf = bench_vf(b, VF);

	b->actors.hv_fault[HV_DETACH] = HV_GUEST_REFUSED;
	assign_for(b, 20 * USEC_PER_MSEC);
	bench_until(b, vf->lease.expiry_failures == 1 && !vf->handover);
	assert_int_equal(vf->state, VF_ATTACHED);
	assert_int_equal(vf->lease.owner, LEASE_VM);
	assert_int_equal(b->actors.n_hv[HV_DETACH], 1); /* not at once */
	assert_in_range(vf->lease.expiry_retry_at, now_boottime(), now_boottime() + 5 * USEC_PER_SEC);
	bench_settle(b);
	assert_int_equal(failures(b), 1);
	expect_told(b, true);
	vf->lease.expiry_retry_at = 1; /* once more: no news */
	manager_pump(b->m);
	bench_until(b, vf->lease.expiry_failures == 2 && !vf->handover);
	bench_settle(b);
	assert_int_equal(failures(b), 1);
	bench_restart(b);
	vf = bench_vf(b, VF);
	bench_until(b, vf->lease.expiry_failures == 1 && !vf->handover); /* the guest has it, the next daemon asks, too */
	expect_told(b, true);
	vf->lease.expiry_retry_at = UINT64_MAX; /* from now on not by itself */
	assign_for(b, HOUR); /* and it may stay */
	expect_told(b, false);
	vf->lease.expires = 1;
	b->actors.hv_fault[HV_DETACH] = HV_OK;
	vf->lease.expiry_retry_at = 1;
	manager_pump(b->m);
	expect_free(b);
	expect_told(b, false);
}

static void a_guest_that_refused_a_release_is_told(void **state)
{
	struct bench *b = *state;
	struct vm *vm;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	expect_told(b, false);
	b->actors.hv_fault[HV_DETACH] = HV_GUEST_REFUSED;
	expect_error(b, bench_release(b, VF, FOREVER), RPC_CONFLICT, NULL);
	expect_told(b, true);
	assert_non_null(strstr(bench_vf(b, VF)->kept, "detached"));
	bench_restart(b);
	expect_told(b, true);
	vm = vm_find(b->m, "train-a");
	fake_hv_event(&b->actors, HV_EVENT_STUCK, 0);
	assert_non_null(vm->wedged.reason);
	expect_told(b, false); /* of it there are other ways out */
	fake_hv_event(&b->actors, HV_EVENT_UNSTUCK, 0);
	bench_until(b, !vm->wedged.reason);
	expect_told(b, true);
	b->actors.hv_fault[HV_DETACH] = HV_OK;
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	expect_told(b, false);
}

static void an_end_survives_a_restart(void **state)
{
	struct bench *b = *state;
	uint64_t before, said, first;

	assign_for(b, HOUR);
	before = bench_vf(b, VF)->lease.expires;
	said = bench_vf(b, VF)->lease.expires_said;
	assert_in_range(said, now_realtime() + HOUR - 60 * USEC_PER_SEC, now_realtime() + HOUR + USEC_PER_SEC);
	bench_settle(b);
	first = audit_next(b->m);
	bench_restart(b);
	assert_int_equal(bench_vf(b, VF)->lease.expires, before);
	assert_int_equal(bench_vf(b, VF)->lease.expires_said, said);
	assert_int_equal(audit_next(b->m), first); /* a restart moves no end */
	assert_int_equal(bench_vf(b, VF)->state, VF_ATTACHED);
	bench_stop(b); /* … and comes meanwhile */
	bench_sql(b, "UPDATE lease SET doc = json_set(doc, '$.expires.boot', 1)");
	bench_start(b);
	expect_free(b);
}

static void an_end_of_another_boot_counts_by_the_date(void **state)
{
	struct bench *b = *state;
	_cleanup_free_ char *sql =
		xasprintf("UPDATE lease SET doc = json_set(doc, '$.expires.boot_id', 'another', '$.expires.at', %llu)",
			  (unsigned long long)(now_realtime() + 2 * HOUR));

	assign_for(b, HOUR);
	bench_settle(b);
	bench_stop(b);
	bench_sql(b, sql);
	bench_start(b);
	assert_in_range(left(b), 2 * HOUR - 60 * USEC_PER_SEC, 2 * HOUR);
	/* What the trail says of it stays: nobody has moved it. */
	assert_in_range(bench_vf(b, VF)->lease.expires_said, now_realtime(), now_realtime() + HOUR + USEC_PER_SEC);
	bench_settle(b);
	bench_stop(b);
	bench_sql(b, "UPDATE lease SET doc = json_set(doc, '$.expires.boot_id', 'another', '$.expires.at', 1)");
	bench_start(b);
	expect_free(b);
}

/* ---- until a holder has shown ---- */

static void a_lease_is_tied_to_the_run_that_has_it(void **state)
{
	struct bench *b = *state;
	struct answer *a, *seen = answer_new();
	const json_t *lease;

	b->actors.hv_held = 1u << HV_ATTACH;
	a = bench_assign(b, "train-a", VF, FOREVER);
	bench_until(b, b->actors.n_hv[HV_ATTACH] == 1);
	assert_in_range(bench_vf(b, VF)->lease.confirm_by, now_boottime(), now_boottime() + HOUR);
	assert_int_equal(bench_vf(b, VF)->lease.domain_id, -1);
	fake_release(&b->actors, 0, 1u << HV_ATTACH);
	expect_changed(b, a, true);
	assert_int_equal(bench_vf(b, VF)->lease.confirm_by, 0);
	assert_int_equal(bench_vf(b, VF)->lease.domain_id, b->actors.vms[0]->id);
	manager_vf_get(b->m, &root_caller, &(struct name_params){ .name = (char *)VF }, &seen->reply);
	bench_wait(b, seen);
	lease = json_object_get(seen->result, "lease");
	assert_true(json_is_null(json_object_get(lease, "confirm_by")));
	assert_int_equal(json_integer_value(json_object_get(lease, "domain_id")), b->actors.vms[0]->id);
	answer_free(seen);

	/* Started anew while nobody looked, with the VF in it: the lease is that run's. */
	bench_stop(b);
	b->actors.vms[0]->id += 5;
	bench_start(b);
	bench_settle(b);
	assert_int_equal(bench_vf(b, VF)->state, VF_ATTACHED);
	assert_int_equal(bench_vf(b, VF)->lease.domain_id, b->actors.vms[0]->id);
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	assert_int_equal(bench_vf(b, VF)->lease.domain_id, -1);
}

static void what_nobody_confirmed_is_over_after_a_restart(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	b->actors.hv_held = 1u << HV_ATTACH;
	a = bench_assign(b, "train-a", VF, FOREVER);
	bench_until(b, b->actors.n_hv[HV_ATTACH] == 1);
	bench_settle(b);
	bench_stop(b);
	answer_free(a);
	bench_sql(b, "UPDATE lease SET doc = json_set(doc, '$.confirm_by.boot', 1)");
	bench_start(b);
	expect_free(b);
	bench_settle(b);
	assert_int_equal(b->actors.n_hv[HV_ATTACH], 0);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
	assert_int_equal(operation_find(b->m, "op/2")->state, OPERATION_FAILED);
	assert_non_null(strstr(operation_find(b->m, "op/2")->error.message, "has not shown in time"));
}

/* No step leaves one behind; if one did, the VF would not be lost. */
static void a_lease_that_nobody_acts_on_ends(void **state)
{
	struct bench *b = *state;
	struct vf *vf = bench_vf(b, VF);

	vf_lease(b->m, vf, LEASE_VM, vm_find(b->m, "train-a"), 0, 0, true, false);
	vf_set_state(b->m, vf, VF_LEASED, NULL);
	bench_settle(b);
	assert_int_equal(vf->state, VF_LEASED);
	vf->lease.confirm_by = now_boottime();
	manager_pump(b->m);
	expect_free(b);
	assert_int_equal(b->actors.n_hv[HV_ATTACH], 0);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_set_up_cut, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_end_takes_the_vf_back_through_the_gate),
		TEST(a_reserved_vf_is_taken_out_of_the_stored_definition),
		TEST(saying_it_again_moves_the_end),
		TEST(a_vm_that_died_is_no_end),
		TEST(an_end_that_cannot_be_stored_is_none),
		TEST(a_lease_of_somebody_else_has_no_end),
		TEST(a_guest_that_does_not_let_go_is_asked_again),
		TEST(a_guest_that_refused_a_release_is_told),
		TEST(an_end_survives_a_restart),
		TEST(an_end_of_another_boot_counts_by_the_date),
		TEST(a_lease_is_tied_to_the_run_that_has_it),
		TEST(what_nobody_confirmed_is_over_after_a_restart),
		TEST(a_lease_that_nobody_acts_on_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
