/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: names, cutting and its undo, requests, events, a store that fails. */
#include "tests/support/manager-bench.h"

/* ---- states ---- */

static void every_state_has_a_name_and_a_way(void **state)
{
	static const struct {
		const struct state_edge *edges;
		int n;
	} machines[] = {
		{ gpu_edges, GPU_STATE_MAX }, { vf_edges, VF_STATE_MAX }, { job_edges, JOB_STATE_MAX },
		{ operation_edges, OPERATION_STATE_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		for (const struct state_edge *e = machines[i].edges; e->cause; e++) {
			assert_in_range(e->to, 0, machines[i].n - 1);
			assert_true(e->from >= -1 && e->from < machines[i].n && e->from != e->to);
			assert_non_null(state_edge_cause(machines[i].edges, e->from == -1 ? (e->to + 1) % machines[i].n
											 : e->from, e->to));
		}
	for (int s = 0; s < VF_STATE_MAX; s++)
		assert_int_equal(vf_state_from_string(vf_state_to_string((enum vf_state)s)), s);
	for (int s = 0; s < GPU_STATE_MAX; s++)
		assert_int_equal(gpu_state_from_string(gpu_state_to_string((enum gpu_state)s)), s);
	for (int s = 0; s < JOB_STATE_MAX; s++)
		assert_int_equal(job_state_from_string(job_state_to_string((enum job_state)s)), s);
}

/* ---- names ---- */

static void a_name_stays_with_its_card(void **state)
{
	struct bench *b = *state;

	assert_string_equal(PCI_ADDRESS_STR(&bench_gpu(b)->address), FAKE_PF);
	bench_restart(b);
	assert_int_equal(bench_gpu(b)->state, GPU_UNMANAGED);
	assert_int_equal(HASH_COUNT(b->m->gpus), 1);
	/* Another card in the same slot gets a name of its own. */
	free(b->actors.gpu->serial);
	b->actors.gpu->serial = strdup("S2");
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, gpu_find(b->m, "gpu1"));
	assert_int_equal(bench_gpu(b)->state, GPU_ABSENT);
	for (unsigned i = 0; i < 2; i++) {
		bench_restart(b);
		assert_int_equal(HASH_COUNT(b->m->gpus), 2);
		assert_int_equal(bench_gpu(b)->state, GPU_ABSENT);
		assert_int_equal(gpu_find(b->m, "gpu1")->state, GPU_UNMANAGED);
		/* An earlier version left both in one slot. */
		bench_stop(b);
		bench_sql(b, "UPDATE gpu SET doc = json_set(doc, '$.address', '" FAKE_PF "')");
		bench_start(b);
	}
}

/* A card that hangs while the host is scanned is not named before its neighbours. */
static void names_come_in_the_order_of_addresses(void **state)
{
	struct bench *b = *state;
	struct host_event stuck = { .type = HOST_EVENT_STUCK, .attribute = "sriov_numvfs" };

	assert_int_equal(pci_address_parse("0000:ff:00.0", &stuck.gpu), 0);
	manager_scan(b->m);
	manager_on_host_event(b->m, &stuck);
	assert_null(gpu_find(b->m, "gpu1"));
	bench_until(b, gpu_find(b->m, "gpu1"));
	assert_int_equal(gpu_find(b->m, "gpu1")->state, GPU_WEDGED);
	/* One that answers again before that was never heard of. */
	assert_int_equal(pci_address_parse("0000:fe:00.0", &stuck.gpu), 0);
	manager_scan(b->m);
	manager_on_host_event(b->m, &stuck);
	stuck.type = HOST_EVENT_UNSTUCK;
	manager_on_host_event(b->m, &stuck);
	bench_until(b, !b->m->scan_pending);
	assert_null(gpu_find(b->m, "gpu2"));
}

/* ---- apply ---- */

static void cutting_takes_the_steps_in_order(void **state)
{
	struct bench *b = *state;
	uint64_t at;

	b->actors.gpu->autoprobe = true;
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, bench_gpu(b)->facts->autoprobe);
	/* As soon as the answer is there, every VF can be given away. */
	expect_changed(b, bench_apply(b, 2, FOREVER), true);
	assert_null(bench_vf(b, "gpu0/vf1")->handover);
	assert_null(bench_vf(b, "gpu0/vf2")->handover);
	assert_string_equal(b->actors.log, "set-autoprobe 0;set-vf-attr vram_quota 2147483648;"
					   "set-vf-attr vram_quota 2147483648;set-numvfs 2;");
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
	assert_null(bench_gpu(b)->drift);
	assert_true(bench_vf(b, "gpu0/vf2")->bound);

	b->actors.log[0] = '\0';
	at = bench_gpu(b)->manual_at;
	expect_changed(b, bench_apply(b, 2, FOREVER), false);
	assert_string_equal(b->actors.log, "");
	assert_int_equal(bench_gpu(b)->manual_at, at); /* nor is anything stored */
}

/* The kernel tells nobody of a quota that somebody else wrote: it is seen before "nothing to do" is said. */
static void nothing_to_do_is_said_after_a_look(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	b->actors.gpu->vfs[1].values[VF_ATTR_VRAM].value = GIB;
	expect_changed(b, bench_apply(b, 2, FOREVER), true);
	assert_int_equal(b->actors.quota[2], 2 * GIB);
	/* When it cannot be read, that is not said either. */
	b->actors.host_fault[HOST_READ] = -EIO;
	expect_error(b, bench_apply(b, 2, FOREVER), RPC_HOST_ERROR, NULL);
	b->actors.host_fault[HOST_READ] = 0;
	expect_changed(b, bench_apply(b, 2, FOREVER), false);
}

static void a_failed_step_is_undone(void **state)
{
	struct bench *b = *state;
	unsigned reads;

	bench_cut(b, 2);
	b->actors.host_fault[HOST_SET_NUMVFS] = -EIO;
	b->actors.host_fault_after[HOST_SET_NUMVFS] = 1; /* to 0 goes well, to 4 does not */
	reads = b->actors.n_host[HOST_READ];
	expect_error(b, bench_apply(b, 4, FOREVER), RPC_HOST_ERROR, NULL);
	/* When it is asked, before the first write, before the way back, and what that has left. */
	assert_int_equal(b->actors.n_host[HOST_READ] - reads, 4);
	b->actors.host_fault[HOST_SET_NUMVFS] = 0;
	bench_settle(b);
	/* The undo writes through the same attribute, which fails again: wedged, and says so. */
	assert_int_equal(bench_gpu(b)->state, GPU_WEDGED);
	assert_non_null(strstr(bench_gpu(b)->reason, "undo"));
	/* Looking does not mend it; a layout that is right does. */
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->state, GPU_WEDGED);
	bench_cut(b, 3);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

/* Two VFs that nobody wants, cut anew, and neither that nor the way back goes well. */
static void half_cut(struct bench *b)
{
	fake_set_vfs(&b->actors, 2);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->state, GPU_UNMANAGED);
	b->actors.host_fault[HOST_SET_NUMVFS] = -EIO;
	b->actors.host_fault_after[HOST_SET_NUMVFS] = 1; /* to 0 goes well, to 4 does not, and back to 2 neither */
	expect_error(b, bench_apply(b, 4, FOREVER), RPC_HOST_ERROR, NULL);
	b->actors.host_fault[HOST_SET_NUMVFS] = 0;
	bench_settle(b);
}

static void expect_half_cut(struct bench *b)
{
	struct gpu *gpu = bench_gpu(b);

	assert_int_equal(gpu->state, GPU_WEDGED);
	assert_non_null(strstr(gpu->reason, "undo"));
	assert_int_equal(bench_number(b, "SELECT count(*) FROM gpu WHERE json_extract(doc, '$.half_cut.reason') LIKE "
					 "'%undo%'"), 1);
}

static void look(struct bench *b)
{
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
}

/* Nobody wants anything of the card, so there is no drift that could tell of it. */
static void what_a_failed_undo_left_is_told_until_it_is_whole(void **state)
{
	struct bench *b = *state;

	half_cut(b);
	expect_half_cut(b);
	look(b);
	expect_half_cut(b);
	bench_restart(b); /* nor does the next daemon forget it */
	expect_half_cut(b);
	fake_set_vfs(&b->actors, 1); /* by hand, and wrong */
	look(b);
	expect_half_cut(b);
	expect_error(b, bench_assign(b, "train-a", "gpu0/vf1", FOREVER), RPC_CONFLICT, NULL);
	bench_cut(b, 3);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
	bench_restart(b);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

static void what_a_failed_undo_left_is_put_right_by_hand(void **state)
{
	struct bench *b = *state;

	half_cut(b);
	expect_half_cut(b);
	bench_stop(b);
	fake_set_vfs(&b->actors, 2); /* as before */
	bench_start(b);
	assert_int_equal(bench_gpu(b)->state, GPU_UNMANAGED);
	bench_restart(b);
	assert_int_equal(bench_gpu(b)->state, GPU_UNMANAGED);
}

/* What the second one found was no layout that anybody wanted back. */
static void a_second_failed_undo_knows_what_was_whole(void **state)
{
	struct bench *b = *state;

	half_cut(b);
	b->actors.host_fault[HOST_SET_NUMVFS] = -EIO;
	b->actors.host_fault_after[HOST_SET_NUMVFS] = 0;
	expect_error(b, bench_apply(b, 3, FOREVER), RPC_HOST_ERROR, NULL);
	b->actors.host_fault[HOST_SET_NUMVFS] = 0;
	bench_settle(b);
	look(b);
	expect_half_cut(b);
	fake_set_vfs(&b->actors, 2);
	look(b);
	assert_int_equal(bench_gpu(b)->state, GPU_UNMANAGED);
}

static void a_driver_that_is_bound_again_begins_anew(void **state)
{
	struct bench *b = *state;

	half_cut(b);
	expect_half_cut(b);
	fake_host_event(&b->actors, HOST_EVENT_BOUND, NULL);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->state, GPU_UNMANAGED);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM gpu WHERE json_extract(doc, '$.half_cut.reason') IS NOT NULL"),
			 0);
}

static void a_boot_ends_what_a_failed_undo_left(void **state)
{
	struct bench *b = *state;

	half_cut(b);
	bench_stop(b);
	bench_sql(b, "UPDATE meta SET doc = '{\"value\":\"another\"}' WHERE id = 'boot'");
	bench_start(b);
	assert_int_equal(bench_gpu(b)->state, GPU_UNMANAGED);
}

/* What is there already is taken as what is wanted, and is whole by that. */
static void what_a_failed_undo_left_can_be_wanted(void **state)
{
	struct bench *b = *state;

	half_cut(b);
	expect_half_cut(b);
	expect_changed(b, bench_apply(b, 0, FOREVER), b->actors.gpu->custom_provisioning);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

static void a_failed_value_goes_back_to_the_layout_before(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	b->actors.host_fault[HOST_SET_VF_ATTR] = -EINVAL;
	b->actors.host_fault_after[HOST_SET_VF_ATTR] = 2;
	b->actors.host_fault_once = true; /* vf1 and vf2 are taken, vf3 is not; the undo goes well */
	expect_error(b, bench_apply(b, 3, FOREVER), RPC_HOST_ERROR, NULL);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

static void a_hanging_write_wedges(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	b->actors.host_fault[HOST_SET_NUMVFS] = -ETIMEDOUT;
	a = bench_apply(b, 2, FOREVER);
	bench_until(b, b->actors.n_host[HOST_SET_NUMVFS] > 0);
	fake_host_event(&b->actors, HOST_EVENT_STUCK, "sriov_numvfs");
	expect_error(b, a, RPC_WEDGED, NULL);
	assert_int_equal(bench_gpu(b)->state, GPU_WEDGED);
	expect_error(b, bench_apply(b, 2, FOREVER), RPC_WEDGED, NULL);
	/* Not over, but it says what it hangs at; when that returns, it goes on. */
	assert_int_equal(operation_find(b->m, "op/1")->state, OPERATION_RUNNING);
	assert_int_equal(operation_find(b->m, "op/1")->error.code, RPC_WEDGED);
	b->actors.host_fault[HOST_SET_NUMVFS] = 0;
	fake_host_event(&b->actors, HOST_EVENT_UNSTUCK, NULL);
	bench_until(b, operation_find(b->m, "op/1")->state == OPERATION_DONE);
	assert_int_equal(operation_find(b->m, "op/1")->error.code, 0);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	expect_changed(b, bench_apply(b, 2, FOREVER), false);
}

static void what_hung_can_be_taken_back(void **state)
{
	struct bench *b = *state;
	struct name_params p = { .name = (char *)"op/1" };
	struct answer *a;

	b->actors.host_fault[HOST_SET_NUMVFS] = -ETIMEDOUT;
	a = bench_apply(b, 2, FOREVER);
	bench_until(b, b->actors.n_host[HOST_SET_NUMVFS] > 0);
	fake_host_event(&b->actors, HOST_EVENT_STUCK, "sriov_numvfs");
	expect_error(b, a, RPC_WEDGED, NULL);
	a = answer_new();
	manager_operation_cancel(b->m, &root_caller, &p, &a->reply);
	expect_changed(b, a, true);
	b->actors.host_fault[HOST_SET_NUMVFS] = 0;
	fake_set_vfs(&b->actors, 2); /* the write was done late */
	fake_host_event(&b->actors, HOST_EVENT_UNSTUCK, NULL);
	bench_until(b, operation_find(b->m, "op/1")->state == OPERATION_CANCELLED);
	assert_int_equal(bench_gpu(b)->n_vfs, 0);
	assert_int_equal(bench_gpu(b)->state, GPU_UNMANAGED);
	assert_null(bench_gpu(b)->manual);
}

/* The write, and then the look before it goes on: what was written is undone all the same. */
static void what_hung_twice_can_be_taken_back(void **state)
{
	struct bench *b = *state;
	struct name_params p = { .name = (char *)"op/1" };
	struct answer *a;
	unsigned reads;

	b->actors.host_fault[HOST_SET_NUMVFS] = -ETIMEDOUT;
	a = bench_apply(b, 2, FOREVER);
	bench_until(b, b->actors.n_host[HOST_SET_NUMVFS] > 0);
	fake_host_event(&b->actors, HOST_EVENT_STUCK, "sriov_numvfs");
	expect_error(b, a, RPC_WEDGED, NULL);
	b->actors.host_fault[HOST_SET_NUMVFS] = 0;
	fake_set_vfs(&b->actors, 2); /* the write was done late */
	b->actors.host_fault[HOST_READ] = -ETIMEDOUT;
	reads = b->actors.n_host[HOST_READ];
	fake_host_event(&b->actors, HOST_EVENT_UNSTUCK, NULL);
	bench_until(b, b->actors.n_host[HOST_READ] > reads);
	fake_host_event(&b->actors, HOST_EVENT_STUCK, "sriov_numvfs");
	bench_until(b, bench_gpu(b)->apply && bench_gpu(b)->stuck);
	bench_settle(b);
	a = answer_new();
	manager_operation_cancel(b->m, &root_caller, &p, &a->reply);
	expect_changed(b, a, true);
	b->actors.host_fault[HOST_READ] = 0;
	fake_host_event(&b->actors, HOST_EVENT_UNSTUCK, NULL);
	bench_until(b, operation_find(b->m, "op/1")->state == OPERATION_CANCELLED);
	assert_int_equal(b->actors.gpu->num_vfs, 0);
	assert_int_equal(bench_gpu(b)->state, GPU_UNMANAGED);
}

static void only_one_apply_at_a_time(void **state)
{
	struct bench *b = *state;
	struct answer *first = bench_apply(b, 2, FOREVER);

	/* Both come before either is committed. */
	expect_error(b, bench_apply(b, 4, FOREVER), RPC_CONFLICT, NULL);
	expect_changed(b, first, true);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	assert_int_equal(bench_gpu(b)->manual->n_vfs, 2);
}

static void a_card_pulled_during_apply(void **state)
{
	struct bench *b = *state;
	struct gpu_facts *card;
	struct answer *a;

	bench_cut(b, 2);
	b->actors.hv_held = ONE(HV_LIST);
	a = bench_apply(b, 3, FOREVER);
	bench_until(b, bench_gpu(b)->apply && fake_waiting(&b->actors) > 0);
	card = b->actors.gpu;
	b->actors.gpu = NULL;
	fake_host_event(&b->actors, HOST_EVENT_REMOVED, NULL);
	fake_release(&b->actors, 0, ONE(HV_LIST));
	expect_error(b, a, RPC_NOT_FOUND, NULL);
	assert_int_equal(bench_gpu(b)->state, GPU_ABSENT);
	b->actors.gpu = card;
	fake_host_event(&b->actors, HOST_EVENT_RESCAN, NULL);
	bench_until(b, bench_gpu(b)->state == GPU_READY);
}

static void a_held_vf_keeps_its_card(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	expect_changed(b, bench_assign(b, "train-a", "gpu0/vf1", FOREVER), true);
	expect_error(b, bench_apply(b, 3, FOREVER), RPC_CONFLICT, "held");
	/* libvirt's word at the last moment counts too. */
	expect_changed(b, bench_release(b, "gpu0/vf1", FOREVER), true);
	bench_settle(b);
	fake_set_hostdev(&b->actors, 0, 2, true, false);
	expect_error(b, bench_apply(b, 3, FOREVER), RPC_CONFLICT, "held");
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	assert_int_equal(bench_vf(b, "gpu0/vf2")->lease.owner, LEASE_FOREIGN);
}

static void a_reserved_vf_keeps_its_card(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 2);
	fake_set_hostdev(&b->actors, 1, 1, false, true);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	assert_int_equal(bench_vf(b, "gpu0/vf1")->state, VF_RESERVED);
	expect_error(b, bench_apply(b, 3, FOREVER), RPC_CONFLICT, "held");
}

static void an_apply_goes_on_after_a_restart(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	b->actors.host_held = ONE(HOST_SET_NUMVFS);
	a = bench_apply(b, 2, FOREVER);
	bench_until(b, strstr(b->actors.log, "vram_quota") && fake_waiting(&b->actors) == 1);
	bench_restart(b);
	answer_free(a);
	bench_until(b, operation_find(b->m, "op/1")->state == OPERATION_DONE);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	assert_int_equal(b->actors.n_host[HOST_SET_NUMVFS], 1);
}

/* Else the next daemon would take it for one that had not begun, and refuse what is left by its plan. */
static void the_first_write_waits_for_its_row(void **state)
{
	struct bench *b = *state;
	struct answer *a = bench_apply(b, 2, FOREVER);

	bench_until(b, bench_gpu(b)->apply);
	bench_hold_store(b, true);
	bench_submit(b);
	assert_int_equal(fake_waiting(&b->actors), 0);
	assert_string_equal(b->actors.log, "");
	bench_hold_store(b, false);
	expect_changed(b, a, true);

	/* Nor is anything written when it cannot be stored. */
	b->actors.log[0] = '\0';
	a = bench_apply(b, 1, FOREVER);
	bench_until(b, bench_gpu(b)->apply);
	bench_break_store(b, true);
	bench_settle(b);
	assert_string_equal(b->actors.log, "");
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	assert_int_not_equal(a->code, 0);
	answer_free(a);
}

/* It was begun, and whoever has a VF of it by now keeps it from going on and from being undone. */
static void an_apply_that_cannot_go_on_after_a_restart(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	fake_set_vfs(&b->actors, 2);
	look(b);
	b->actors.host_held = ONE(HOST_SET_VF_ATTR);
	a = bench_apply(b, 4, FOREVER);
	bench_until(b, strstr(b->actors.log, "set-numvfs 0") && fake_waiting(&b->actors) == 1);
	bench_stop(b);
	answer_free(a);
	fake_set_vfs(&b->actors, 1);
	fake_set_hostdev(&b->actors, 0, 1, true, false);
	bench_start(b);
	bench_until(b, operation_find(b->m, "op/1")->state == OPERATION_FAILED);
	assert_int_equal(bench_gpu(b)->state, GPU_WEDGED);
	assert_non_null(strstr(bench_gpu(b)->reason, "op/1, which an earlier daemon had begun"));
	fake_set_hostdev(&b->actors, 0, 1, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_settle(b);
	bench_cut(b, 2);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

/* The store takes its time, and a VM is given one by hand meanwhile. */
static void who_takes_one_while_the_row_is_written_keeps_it(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	bench_cut(b, 2);
	b->actors.log[0] = '\0';
	a = bench_apply(b, 1, FOREVER);
	bench_until(b, bench_gpu(b)->apply);
	bench_hold_store(b, true);
	bench_submit(b);
	fake_set_hostdev(&b->actors, 0, 1, true, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_submit(b);
	assert_string_equal(b->actors.log, "");
	bench_hold_store(b, false);
	expect_error(b, a, RPC_CONFLICT, "held");
	bench_settle(b);
	assert_string_equal(b->actors.log, "");
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

/* Asked of libvirt, which fails, and by then the card is gone. */
static void a_card_that_goes_while_libvirt_is_asked(void **state)
{
	struct bench *b = *state;
	struct answer *a;
	unsigned listed;

	bench_cut(b, 2);
	listed = b->actors.n_hv[HV_LIST];
	b->actors.hv_held = ONE(HV_LIST);
	a = bench_apply(b, 1, FOREVER);
	bench_until(b, b->actors.n_hv[HV_LIST] > listed);
	b->actors.host_held = ONE(HOST_SCAN) | ONE(HOST_READ); /* it is not seen again */
	fake_host_event(&b->actors, HOST_EVENT_REMOVED, NULL);
	b->actors.hv_fault[HV_LIST] = HV_DISCONNECTED;
	fake_release(&b->actors, 0, ONE(HV_LIST));
	expect_error(b, a, RPC_NOT_FOUND, NULL);
	assert_int_equal(bench_gpu(b)->state, GPU_ABSENT);
}

/* ---- the store fails ---- */

static void nothing_is_done_that_is_not_stored(void **state)
{
	struct bench *b = *state;
	json_t *params = json_pack("{s:s}", "vm", "train-a");
	struct vf_assign_params p = { .for_usec = FOR_ABSENT, .vm = (char *)"train-a", .mode = ASSIGN_AUTO };
	struct answer *a;

	bench_cut(b, 1);
	bench_break_store(b, true);
	a = answer_new();
	assert_false(manager_request_seen(b->m, &root_caller, "r1", "vf.assign", params, &a->reply));
	manager_vf_assign(b->m, &root_caller, &p, &a->reply);
	expect_error(b, a, RPC_DEGRADED, NULL);
	assert_int_equal(bench_vf(b, "gpu0/vf1")->state, VF_FREE);
	assert_int_equal(bench_vf(b, "gpu0/vf1")->lease.owner, LEASE_NONE);
	assert_int_equal(b->actors.n_hv[HV_ATTACH], 0);
	expect_error(b, bench_assign(b, "train-a", NULL, FOREVER), RPC_DEGRADED, NULL);

	/* What is seen meanwhile is stored later; the same request may come again. */
	fake_set_hostdev(&b->actors, 1, 1, false, true);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	bench_settle(b);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	fake_set_hostdev(&b->actors, 1, 1, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	bench_until(b, bench_vf(b, "gpu0/vf1")->state == VF_FREE);
	a = answer_new();
	p.wait_usec = FOREVER;
	assert_false(manager_request_seen(b->m, &root_caller, "r1", "vf.assign", params, &a->reply));
	manager_vf_assign(b->m, &root_caller, &p, &a->reply);
	expect_changed(b, a, true);
	json_decref(params);
}

static void a_waiter_hears_that_the_store_failed(void **state)
{
	struct bench *b = *state;

	bench_break_store(b, true);
	expect_error(b, bench_apply(b, 2, FOREVER), RPC_DEGRADED, NULL);
	assert_null(bench_gpu(b)->manual);
	assert_string_equal(b->actors.log, "");
	assert_null(b->m->operations);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	bench_cut(b, 2);
}

static void what_was_seen_while_the_store_failed_is_not_lost(void **state)
{
	struct bench *b = *state;

	bench_cut(b, 1);
	expect_changed(b, bench_assign(b, "train-a", NULL, FOREVER), true);
	bench_settle(b);
	bench_break_store(b, true);
	fake_set_hostdev(&b->actors, 0, 1, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_until(b, bench_vf(b, "gpu0/vf1")->state == VF_FREE);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	bench_settle(b);
	b->no_hypervisor = true; /* only what the store says */
	bench_restart(b);
	assert_int_equal(bench_vf(b, "gpu0/vf1")->state, VF_FREE);
	assert_int_equal(bench_vf(b, "gpu0/vf1")->lease.owner, LEASE_NONE);
}

/* An answer would show what is undone. */
static void who_looked_meanwhile_is_told_to_ask_again(void **state)
{
	struct bench *b = *state;
	struct answer *assign, *look = answer_new(), *status = answer_new();

	bench_cut(b, 1);
	bench_break_store(b, true);
	assign = bench_assign(b, "train-a", NULL, 0);
	manager_daemon_status(b->m, &root_caller, NULL, &status->reply);
	manager_operation_list(b->m, &root_caller, &(struct operation_list_params){ 0 }, &look->reply);
	assert_int_equal(look->n, 0);
	bench_wait(b, look);
	assert_non_null(strstr(look->message, "ask again"));
	expect_error(b, look, RPC_DEGRADED, NULL);
	expect_error(b, assign, RPC_DEGRADED, NULL);
	/* The daemon itself is asked just then: it says what is wrong. */
	bench_wait(b, status);
	assert_non_null(status->result);
	assert_non_null(json_get_string(status->result, "degraded"));
	assert_int_equal(json_get_uint(json_object_get(status->result, "counts"), "free_vfs", 0), 1);
	answer_free(status);
	bench_break_store(b, false);
}

/* ---- request ids ---- */

static void the_same_request_is_answered_once(void **state)
{
	struct bench *b = *state;
	json_t *params = json_pack("{s:s}", "vm", "train-a"), *other = json_pack("{s:s}", "vm", "train-b");
	struct vf_assign_params p = { .for_usec = FOR_ABSENT, .vm = (char *)"train-a", .mode = ASSIGN_AUTO, .wait_usec = FOREVER };
	struct answer *a = answer_new();

	bench_cut(b, 2);
	assert_false(manager_request_seen(b->m, &root_caller, "r1", "vf.assign", params, &a->reply));
	manager_vf_assign(b->m, &root_caller, &p, &a->reply);
	expect_changed(b, a, true);
	for (int i = 0; i < 2; i++) { /* … also by the next daemon */
		a = answer_new();
		assert_true(manager_request_seen(b->m, &root_caller, "r1", "vf.assign", params, &a->reply));
		expect_changed(b, a, true);
		a = answer_new();
		assert_true(manager_request_seen(b->m, &root_caller, "r1", "vf.assign", other, &a->reply));
		expect_error(b, a, RPC_CONFLICT, NULL);
		bench_restart(b);
	}
	assert_int_equal(b->actors.vms[0]->n_hostdevs, 1);
	json_decref(params);
	json_decref(other);
}

/* ---- events ---- */

struct watch {
	struct bench *b;
	uint64_t last;
	unsigned n;
};

static bool on_event(void *userdata, const struct manager_event *event)
{
	struct watch *w = userdata;

	assert_true(event->seq > w->last);
	w->last = event->seq;
	w->n++;
	return true;
}

static void events_come_in_order_and_only_when_stored(void **state)
{
	struct bench *b = *state;
	struct watch w = { .b = b }, again = { .b = b };
	int id = manager_subscribe(b->m, on_event, &w);
	unsigned before;

	bench_cut(b, 2);
	assert_true(w.n > 0);
	bench_break_store(b, true);
	before = w.n;
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN_GONE, 0);
	bench_until(b, b->m->degraded);
	assert_int_equal(w.n, before);
	manager_unsubscribe(b->m, id);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	assert_int_equal(manager_events_replay(b->m, 1, on_event, &again), 1);
	assert_true(again.n >= before);
}

/* ---- the end ---- */

static void ending_answers_everybody_once(void **state)
{
	struct bench *b = *state;
	struct answer *apply, *assign, *waits;

	bench_cut(b, 2);
	b->actors.hv_held = ONE(HV_ATTACH);
	assign = bench_assign(b, "train-a", "gpu0/vf1", FOREVER);
	waits = bench_assign(b, "train-a", "gpu0/vf2", FOREVER);
	bench_until(b, b->actors.n_hv[HV_ATTACH] == 1);
	bench_settle(b);
	apply = bench_apply(b, 3, FOREVER);
	expect_error(b, apply, RPC_CONFLICT, "held");
	bench_stop(b);
	expect_error(b, assign, RPC_INTERNAL_ERROR, NULL);
	expect_error(b, waits, RPC_INTERNAL_ERROR, NULL);
	bench_start(b);
	/* Accepted is accepted: the next daemon carries both out. */
	bench_until(b, bench_vf(b, "gpu0/vf1")->state == VF_ATTACHED);
	bench_until(b, bench_vf(b, "gpu0/vf2")->state == VF_ATTACHED);
}

/* A batch that is full is closed after whoever filled it: half of what one call stores is in no batch. */
static struct bench *filling;
static int rows_at_first_commit;

static void first_committed(struct manager *m, void *userdata)
{
	if (rows_at_first_commit < 0)
		rows_at_first_commit =
			(int)bench_number(filling, "SELECT count(*) FROM meta WHERE id IN ('before', 'after')");
}

static void what_one_call_stores_is_in_one_batch(void **state)
{
	struct bench *b = filling = *state;

	rows_at_first_commit = -1;
	outbox_put(b->m, STORE_META, "before", json_object());
	for (int i = 0; i < 100; i++)
		outbox_add(b->m, first_committed, NULL, NULL);
	outbox_put(b->m, STORE_META, "after", json_object());
	bench_settle(b);
	assert_int_equal(rows_at_first_commit, 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_has_a_name_and_a_way),
		TEST(what_one_call_stores_is_in_one_batch),
		TEST(a_name_stays_with_its_card),
		TEST(names_come_in_the_order_of_addresses),
		TEST(cutting_takes_the_steps_in_order),
		TEST(nothing_to_do_is_said_after_a_look),
		TEST(a_failed_step_is_undone),
		TEST(what_a_failed_undo_left_is_told_until_it_is_whole),
		TEST(what_a_failed_undo_left_is_put_right_by_hand),
		TEST(a_second_failed_undo_knows_what_was_whole),
		TEST(a_driver_that_is_bound_again_begins_anew),
		TEST(a_boot_ends_what_a_failed_undo_left),
		TEST(what_a_failed_undo_left_can_be_wanted),
		TEST(a_failed_value_goes_back_to_the_layout_before),
		TEST(a_hanging_write_wedges),
		TEST(what_hung_can_be_taken_back),
		TEST(what_hung_twice_can_be_taken_back),
		TEST(only_one_apply_at_a_time),
		TEST(a_card_pulled_during_apply),
		TEST(a_held_vf_keeps_its_card),
		TEST(a_reserved_vf_keeps_its_card),
		TEST(an_apply_goes_on_after_a_restart),
		TEST(an_apply_that_cannot_go_on_after_a_restart),
		TEST(the_first_write_waits_for_its_row),
		TEST(who_takes_one_while_the_row_is_written_keeps_it),
		TEST(a_card_that_goes_while_libvirt_is_asked),
		TEST(nothing_is_done_that_is_not_stored),
		TEST(a_waiter_hears_that_the_store_failed),
		TEST(what_was_seen_while_the_store_failed_is_not_lost),
		TEST(who_looked_meanwhile_is_told_to_ask_again),
		TEST(the_same_request_is_answered_once),
		TEST(events_come_in_order_and_only_when_stored),
		TEST(ending_answers_everybody_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
