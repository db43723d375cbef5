/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: VFs for VMs, the gate on their way back, what others do to them, and what a restart finds. */
#include "tests/support/manager-bench.h"

#define VF "gpu0/vf1"

/* ---- assign ---- */

static void assigning_twice_is_no_change(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", NULL, FOREVER), true);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
	expect_changed(b, bench_assign(b, "train-a", NULL, FOREVER), false);
	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), false);
	assert_int_equal(b->actors.n_hv[HV_ATTACH], 1);
	expect_error(b, bench_assign(b, "train-b", VF, FOREVER), RPC_CONFLICT, "not_free");
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
	expect_changed(b, bench_release(b, VF, FOREVER), false);
	assert_int_equal(b->actors.n_host[HOST_WAIT_CLOSED], 1);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
	assert_int_equal(b->actors.n_host[HOST_PROBE_VF], 1);
}

static void refusals_name_what_is_wrong(void **state)
{
	struct bench *b = *state;

	expect_error(b, bench_assign(b, "nobody", NULL, 0), RPC_NOT_FOUND, "no_vm");
	expect_error(b, bench_assign(b, "train-a", "gpu0/vf9", 0), RPC_NOT_FOUND, "no_vf");
	expect_error(b, bench_release(b, "gpu0/vf9", 0), RPC_NOT_FOUND, "no_vf");
	b->actors.vms[0]->free_ports = 0;
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	expect_error(b, bench_assign(b, "train-a", NULL, 0), RPC_NO_FIT, "no_port");
	b->actors.hv_fault[HV_ATTACH] = HV_NO_MEMORY;
	expect_error(b, bench_assign(b, "train-b", NULL, FOREVER), RPC_NO_FIT, "no_memory");
	fake_hv_event(&b->actors, HV_EVENT_LOST_CONNECTION, 0);
	expect_error(b, bench_assign(b, "train-a", NULL, 0), RPC_HOST_ERROR, "no_libvirt");
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

static void every_failed_attach_leaves_the_vf_right(void **state)
{
	struct bench *b = *state;

	for (int f = HV_OK + 1; f < HV_FAILURE_MAX; f++) {
		bool unsure = f != HV_NO_PORT && f != HV_NO_MEMORY && f != HV_SAVED;
		struct answer *a;

		if (f == HV_ALREADY)
			continue;
		b->actors.hv_fault[HV_ATTACH] = (enum hv_failure)f;
		a = bench_assign(b, "train-a", VF, FOREVER);
		bench_wait(b, a);
		/* Nobody knows whether the guest saw it: it went the long way back. */
		assert_int_equal(b->actors.n_hv[HV_DETACH], unsure);
		assert_int_equal(b->actors.n_host[HOST_RESET_VF], unsure);
		assert_int_equal(b->actors.n_host[HOST_PROBE_VF], unsure);
		assert_int_not_equal(a->code, 0);
		answer_free(a);
		bench_settle(b);
		expect_vf(b, VF, VF_FREE, LEASE_NONE);
		b->actors.n_hv[HV_DETACH] = 0;
		b->actors.n_host[HOST_RESET_VF] = b->actors.n_host[HOST_PROBE_VF] = 0;
	}
}

static void a_vf_that_cannot_be_bound_is_kept_back(void **state)
{
	struct bench *b = *state;

	bench_vf(b, VF)->bound = false;
	b->actors.host_fault[HOST_BIND_VFIO] = -EIO;
	expect_error(b, bench_assign(b, "train-a", VF, FOREVER), RPC_HOST_ERROR, NULL);
	expect_vf(b, VF, VF_QUARANTINED, LEASE_NONE);
	expect_error(b, bench_assign(b, "train-a", VF, 0), RPC_CONFLICT, "quarantined");
}

/* ---- the gate ---- */

static void a_guest_that_does_not_let_go_keeps_its_vf(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	b->actors.hv_fault[HV_DETACH] = HV_GUEST_REFUSED;
	expect_error(b, bench_release(b, VF, FOREVER), RPC_CONFLICT, "guest_refused");
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 0);
	b->actors.hv_fault[HV_DETACH] = HV_OK;
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

static void a_vf_that_fails_the_gate_is_quarantined_until_healed(void **state)
{
	static const enum host_op gates[] = { HOST_WAIT_CLOSED, HOST_RESET_VF, HOST_PROBE_VF };
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(gates); i++) {
		expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
		b->actors.host_fault[gates[i]] = -EIO;
		expect_error(b, bench_release(b, VF, FOREVER), RPC_HOST_ERROR, NULL);
		expect_vf(b, VF, VF_QUARANTINED, LEASE_NONE);
		bench_settle(b);
		bench_restart(b); /* it stays so */
		expect_vf(b, VF, VF_QUARANTINED, LEASE_NONE);
		expect_error(b, bench_heal(b, VF), RPC_HOST_ERROR, NULL);
		b->actors.host_fault[gates[i]] = 0;
		expect_changed(b, bench_heal(b, VF), true);
		expect_vf(b, VF, VF_FREE, LEASE_NONE);
		expect_changed(b, bench_heal(b, VF), false);
	}
}

/* ---- what others do ---- */

static void a_vm_that_goes_off_gives_its_vf_back(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	b->actors.vms[0]->state = VM_OFF;
	fake_set_hostdev(&b->actors, 0, 1, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

/* It shows no hostdev, and nobody knows what it has. */
static void a_vm_whose_xml_cannot_be_read_keeps_its_vfs(void **state)
{
	struct bench *b = *state;
	struct domain_facts *unreadable;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	expect_changed(b, bench_assign(b, "train-b", "gpu0/vf2", FOREVER), true);
	for (int i = 0; i < 2; i++) {
		unreadable = b->actors.vms[i];
		unreadable->hostdevs_unknown = true;
		unreadable->state = VM_OTHER;
		fake_set_hostdev(&b->actors, i, i + 1, false, false);
		fake_hv_event(&b->actors, HV_EVENT_DOMAIN, i);
	}
	bench_settle(b);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
	expect_vf(b, "gpu0/vf2", VF_RESERVED, LEASE_VM);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 0);
	for (int i = 0; i < 2; i++) { /* it can be read again */
		b->actors.vms[i]->hostdevs_unknown = false;
		b->actors.vms[i]->state = VM_OFF;
		fake_hv_event(&b->actors, HV_EVENT_DOMAIN, i);
	}
	bench_until(b, bench_vf(b, VF)->state == VF_FREE && bench_vf(b, "gpu0/vf2")->state == VF_FREE);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 2);
}

/* … but not one that is gone. */
static void a_vm_that_is_gone_keeps_nothing(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-b", VF, FOREVER), true);
	b->actors.vms[1]->hostdevs_unknown = true;
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	bench_settle(b);
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN_GONE, 1);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

/* A daemon that finds it so does nothing with what an earlier one was about to do, until it can be read. */
static void of_an_unreadable_vm_nothing_is_recovered(void **state)
{
	struct bench *b = *state;

	vf_lease(b->m, bench_vf(b, VF), LEASE_VM, vm_find(b->m, "train-a"), 0, 0, true, false);
	bench_vf(b, VF)->state = VF_DETACHING;
	vf_store(b->m, bench_vf(b, VF));
	bench_settle(b);
	fake_set_hostdev(&b->actors, 0, 1, false, false);
	b->actors.vms[0]->hostdevs_unknown = true;
	bench_restart(b);
	bench_settle(b);
	expect_vf(b, VF, VF_DETACHING, LEASE_VM);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 0);
	b->actors.vms[0]->hostdevs_unknown = false;
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
}

static void an_undefined_vm_gives_its_vf_back(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-b", VF, FOREVER), true);
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN_GONE, 1);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

/* It ran with the VF: that somebody takes it out of the XML later does not make it clean. */
static void what_was_reserved_is_reset_too(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-b", VF, FOREVER), true);
	b->actors.vms[1]->state = VM_RUNNING;
	fake_set_hostdev(&b->actors, 1, 1, true, true);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	b->actors.vms[1]->state = VM_OFF;
	fake_set_hostdev(&b->actors, 1, 1, false, true);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 0);
	fake_set_hostdev(&b->actors, 1, 1, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
}

static void a_renamed_vm_keeps_its_vf(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	assert_int_equal(free_and_strdup(&b->actors.vms[0]->name, "train-z"), 0);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
	assert_string_equal(bench_vf(b, VF)->lease.vm_name, "train-z");
	expect_error(b, bench_assign(b, "train-a", NULL, 0), RPC_NOT_FOUND, "no_vm");
	bench_settle(b);
	bench_restart(b);
	assert_string_equal(bench_vf(b, VF)->lease.vm_name, "train-z");
	expect_changed(b, bench_release(b, VF, FOREVER), true);
}

static void a_foreign_hostdev_is_adopted_and_given_up(void **state)
{
	struct bench *b = *state;

	fake_set_hostdev(&b->actors, 0, 1, true, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	expect_vf(b, VF, VF_ATTACHED, LEASE_FOREIGN);
	expect_error(b, bench_assign(b, "train-b", VF, 0), RPC_CONFLICT, "not_free");
	fake_set_hostdev(&b->actors, 0, 1, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
}

/* The made-up host's VF 0 is the PF. */
static void a_gpu_that_a_vm_has_is_not_cut(void **state)
{
	struct bench *b = *state;

	expect_error(b, bench_assign(b, "train-a", "gpu0", 0), RPC_CONFLICT, "pf");
	expect_error(b, bench_assign(b, "train-a", FAKE_PF, 0), RPC_CONFLICT, "pf");
	expect_error(b, bench_release(b, FAKE_PF, 0), RPC_CONFLICT, "pf");
	for (unsigned live = 0; live < 2; live++) {
		fake_set_hostdev(&b->actors, 0, 0, live, true);
		fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
		assert_true(pf_is_given(b->m, b->m->gpus));
		expect_error(b, bench_apply(b, 1, FOREVER), RPC_CONFLICT, "passed_through");
		assert_int_equal(b->m->gpus->n_vfs, 2);
	}
	/* Of two, the one that runs with it is told. */
	fake_set_hostdev(&b->actors, 0, 0, false, true);
	fake_set_hostdev(&b->actors, 1, 0, true, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	{
		_cleanup_free_ char *text = pf_text(b->m, b->m->gpus);

		assert_string_equal(text, "VM train-b runs with the GPU itself: nobody can have a VF of it");
	}
	fake_set_hostdev(&b->actors, 0, 0, false, false);
	fake_set_hostdev(&b->actors, 1, 0, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	bench_cut(b, 1);
}

/* Given away between acceptance and the first write. */
static void what_libvirt_says_last_counts(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	b->actors.hv_held = ONE(HV_LIST);
	a = bench_apply(b, 1, FOREVER);
	bench_settle(b);
	fake_set_hostdev(&b->actors, 0, 0, false, true);
	fake_release(&b->actors, 0, ONE(HV_LIST));
	expect_error(b, a, RPC_CONFLICT, "passed_through");
	assert_int_equal(b->m->gpus->n_vfs, 2);
}

static void old_news_take_nothing_away(void **state)
{
	struct bench *b = *state;
	struct domain_facts *before = domain_facts_copy(b->actors.vms[0]);
	struct hv_event event = { .type = HV_EVENT_DOMAIN, .uuid = before->uuid, .domain = before };

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	b->actors.hv.on_event(b->actors.hv.userdata, &event); /* read before the attach, told after it */
	bench_settle(b);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 0);
	domain_facts_free(before);
}

static void libvirt_says_where_it_is(void **state)
{
	struct bench *b = *state;

	/* Reserved while the VM is off, attached once it runs: released from both. */
	expect_changed(b, bench_assign(b, "train-b", VF, FOREVER), true);
	b->actors.vms[1]->state = VM_RUNNING;
	fake_set_hostdev(&b->actors, 1, 1, true, true);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	assert_int_equal(b->actors.vms[1]->n_hostdevs, 0);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);

	/* The other way round: off again, it is taken out of the XML that is left. */
	fake_set_hostdev(&b->actors, 1, 1, true, true);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	b->actors.vms[1]->state = VM_OFF;
	fake_set_hostdev(&b->actors, 1, 1, false, true);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	expect_vf(b, VF, VF_RESERVED, LEASE_FOREIGN);
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	assert_int_equal(b->actors.vms[1]->n_hostdevs, 0);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

/* "It is there already" of one side says nothing of the other. */
static void each_side_is_attached(void **state)
{
	struct vf_assign_params p = { .vm = (char *)"train-a", .vf = (char *)VF, .mode = ASSIGN_BOTH,
				      .wait_usec = FOREVER };
	struct bench *b = *state;

	for (int side = 0; side < 2; side++) {
		struct answer *a = answer_new();

		b->actors.hv_held = ONE(HV_ATTACH);
		manager_vf_assign(b->m, &root_caller, &p, &a->reply);
		bench_until(b, fake_waiting(&b->actors) == 1);
		fake_set_hostdev(&b->actors, 0, 1, side == 0, side == 1);
		fake_release(&b->actors, 0, ~0U);
		expect_changed(b, a, true);
		expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
		assert_true(b->actors.vms[0]->hostdevs[0].live && b->actors.vms[0]->hostdevs[0].config);
		expect_changed(b, bench_release(b, VF, FOREVER), true);
	}
}

static struct answer *assign_in(struct bench *b, int mode)
{
	struct vf_assign_params p = { .vm = (char *)"train-a", .vf = (char *)VF, .mode = mode, .for_usec = FOR_ABSENT,
				      .wait_usec = FOREVER };
	struct answer *a = answer_new();

	manager_vf_assign(b->m, &root_caller, &p, &a->reply);
	return a;
}

/* Two ask for the side that is missing: the second while the batch of the first is at the store, and the batch of the
 * second is there when the first one's is done. */
static void one_side_is_added_once(void **state)
{
	static const struct {
		int first, then;
		enum vf_state state;
	} rows[] = { { ASSIGN_CONFIG, ASSIGN_LIVE, VF_RESERVED }, { ASSIGN_LIVE, ASSIGN_CONFIG, VF_ATTACHED },
		     { ASSIGN_CONFIG, ASSIGN_BOTH, VF_RESERVED } };
	struct bench *b = *state;
	struct answer *first, *second;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned attached, reset = b->actors.n_host[HOST_RESET_VF];
		struct vf *vf;

		expect_changed(b, assign_in(b, rows[i].first), true);
		expect_vf(b, VF, rows[i].state, LEASE_VM);
		bench_settle(b);
		attached = b->actors.n_hv[HV_ATTACH];
		vf = bench_vf(b, VF);

		bench_hold_store(b, true);
		first = assign_in(b, rows[i].then);
		bench_submit(b);
		second = assign_in(b, rows[i].then);
		assert_int_equal(second->n, 0); /* accepted */
		bench_hold_store(b, false);
		bench_until(b, vf->handover); /* and the second one's batch goes to the store by the loop only */
		bench_hold_store(b, true);
		bench_until(b, !vf->handover);
		assert_true(vf->lease.live && vf->lease.config);
		bench_hold_store(b, false);

		expect_changed(b, first, true);
		expect_changed(b, second, true);
		expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
		assert_int_equal(b->actors.n_hv[HV_ATTACH], attached + 1);
		/* Before a guest gets it, and not under one that has it. */
		assert_int_equal(b->actors.n_host[HOST_RESET_VF], reset + (rows[i].first == ASSIGN_CONFIG));
		expect_changed(b, bench_release(b, VF, FOREVER), true);
	}
}

static void a_vm_that_is_off_reserves_what_comes_later(void **state)
{
	struct bench *b = *state;

	fake_set_hostdev(&b->actors, 1, 3, false, true);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	bench_cut(b, 3);
	assert_int_equal(bench_vf(b, "gpu0/vf3")->state, VF_RESERVED);
}

static void nothing_is_attached(struct bench *b)
{
	for (unsigned vf = 1; vf <= 2; vf++)
		fake_set_hostdev(&b->actors, 0, vf, false, false);
}

static void a_vf_that_vanishes_during_a_handover(void **state)
{
	static const struct {
		unsigned host, hv;
	} held[] = { { 0, ONE(HV_ATTACH) }, { ONE(HOST_RESET_VF), 0 }, { 0, ONE(HV_DETACH) } };
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(held); i++) {
		struct answer *a, *waits = NULL;

		if (!(held[i].hv & ONE(HV_ATTACH)))
			expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
		b->actors.host_held = held[i].host;
		b->actors.hv_held = held[i].hv;
		a = i == 0 ? bench_assign(b, "train-a", VF, FOREVER) : bench_release(b, VF, FOREVER);
		if (i == 0) /* a second one waits for its turn at the same VM */
			waits = bench_assign(b, "train-a", "gpu0/vf2", FOREVER);
		bench_until(b, fake_waiting(&b->actors) > 0 && bench_vf(b, VF)->handover);
		fake_set_vfs(&b->actors, 0);
		nothing_is_attached(b);
		fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
		bench_until(b, !vf_find(b->m, VF));
		fake_release(&b->actors, ~0U, ~0U);
		expect_error(b, a, RPC_NOT_FOUND, NULL);
		if (waits)
			expect_error(b, waits, RPC_NOT_FOUND, NULL);
		nothing_is_attached(b);
		fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
		bench_cut(b, 2);
		expect_vf(b, VF, VF_FREE, LEASE_NONE);
	}
}

static void libvirt_comes_and_goes(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	/* What is under way is neither begun again nor given up when the connection comes back. */
	b->actors.hv_held = ONE(HV_ATTACH);
	a = bench_assign(b, "train-a", VF, FOREVER);
	bench_until(b, b->actors.n_hv[HV_ATTACH] == 1);
	fake_hv_event(&b->actors, HV_EVENT_LOST_CONNECTION, 0);
	fake_hv_event(&b->actors, HV_EVENT_CONNECTED, 0);
	bench_until(b, b->m->hypervisor_connected);
	fake_release(&b->actors, 0, ~0U);
	expect_changed(b, a, true);
	assert_int_equal(b->actors.n_hv[HV_ATTACH], 1);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
}

/* Two threads ask libvirt: what one read first may come last. */
static void of_two_readings_the_later_counts(void **state)
{
	struct bench *b = *state;
	_cleanup_(domain_facts_freep) struct domain_facts *facts = domain_facts_copy(b->actors.vms[0]);
	struct hv_event event = { .type = HV_EVENT_DOMAIN, .uuid = facts->uuid, .domain = facts };
	struct vm *vm = vm_find(b->m, "train-a");

	facts->reading = 7;
	facts->agent = VM_AGENT_CONNECTED;
	b->actors.hv.on_event(b->actors.hv.userdata, &event);
	facts->reading = 6;
	facts->agent = VM_AGENT_DISCONNECTED;
	b->actors.hv.on_event(b->actors.hv.userdata, &event);
	assert_int_equal(vm->facts->agent, VM_AGENT_CONNECTED);
	facts->reading = 8;
	b->actors.hv.on_event(b->actors.hv.userdata, &event);
	assert_int_equal(vm->facts->agent, VM_AGENT_DISCONNECTED);
}

static void a_lost_event_is_made_good_by_the_next_look(void **state)
{
	struct bench *b = *state;
	struct vm *vm = vm_find(b->m, "train-a");

	b->actors.vms[0]->agent = VM_AGENT_DISCONNECTED;
	b->actors.vms[1]->state = VM_PAUSED;
	b->m->survey.at = 0;
	survey_asked(b->m);
	bench_until(b, vm->facts->agent == VM_AGENT_DISCONNECTED);
	bench_until(b, vm_find(b->m, "train-b")->facts->state == VM_PAUSED);
}

static void a_recovery_that_is_cut_off_counts_for_nothing(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	fake_hv_event(&b->actors, HV_EVENT_LOST_CONNECTION, 0);
	b->actors.hv_held = ONE(HV_GET);
	fake_hv_event(&b->actors, HV_EVENT_CONNECTED, 0);
	bench_until(b, b->m->recovering && fake_waiting(&b->actors) == 1);
	fake_hv_event(&b->actors, HV_EVENT_LOST_CONNECTION, 0);
	fake_release(&b->actors, 0, ~0U);
	bench_until(b, !b->m->recovering);
	assert_false(b->m->hypervisor_connected);
	fake_hv_event(&b->actors, HV_EVENT_CONNECTED, 0);
	bench_until(b, b->m->hypervisor_connected);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
}

/* ---- a restart ---- */

/* A row as a daemon leaves it that dies in this state. */
static void write_row(struct bench *b, enum vf_state state)
{
	struct vf *vf = bench_vf(b, VF);

	vf_lease(b->m, vf, LEASE_VM, vm_find(b->m, "train-a"), 0, 0, true, false);
	vf->state = state;
	vf_store(b->m, vf);
	bench_settle(b);
}

static void a_kept_vf_of_an_earlier_daemon(void **state)
{
	struct bench *b = *state;
	struct vf *vf = bench_vf(b, VF);

	vf_lease(b->m, vf, LEASE_KEPT, vm_find(b->m, "train-a"), 0, 0, true, false);
	vf->state = VF_ATTACHED;
	fake_set_hostdev(&b->actors, 0, 1, true, false);
	vf_store(b->m, vf);
	bench_restart(b); /* before its own pump gives it back */
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
	assert_int_equal(b->actors.n_hv[HV_DETACH], 1);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
}

static void every_row_has_its_rule(void **state)
{
	static const struct {
		enum vf_state row;
		bool shown;
		enum vf_state then;
		bool reset;
	} rules[] = {
		{ VF_LEASED, false, VF_FREE, true },	  { VF_LEASED, true, VF_ATTACHED, false },
		{ VF_ATTACHING, false, VF_FREE, true },	  { VF_ATTACHING, true, VF_ATTACHED, false },
		{ VF_ATTACHED, false, VF_FREE, true },	  { VF_ATTACHED, true, VF_ATTACHED, false },
		{ VF_DETACHING, false, VF_FREE, true },	  { VF_DETACHING, true, VF_ATTACHED, false },
		{ VF_RESETTING, false, VF_FREE, true },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		write_row(b, rules[i].row);
		bench_stop(b);
		fake_set_hostdev(&b->actors, 0, 1, rules[i].shown, false);
		bench_start(b);
		bench_until(b, !bench_vf(b, VF)->handover && bench_vf(b, VF)->state == rules[i].then);
		expect_vf(b, VF, rules[i].then, rules[i].then == VF_FREE ? LEASE_NONE : LEASE_VM);
		assert_int_equal(b->actors.n_host[HOST_RESET_VF], rules[i].reset);
		if (rules[i].shown)
			expect_changed(b, bench_release(b, VF, FOREVER), true);
		bench_settle(b);
	}
}

/* Out of its VM, not reset yet, and put back by hand. */
static void a_row_of_a_vf_that_was_put_back_before_its_reset(void **state)
{
	struct bench *b = *state;

	write_row(b, VF_RESETTING);
	bench_stop(b);
	fake_set_hostdev(&b->actors, 0, 1, true, false);
	bench_start(b);
	bench_settle(b);
	expect_vf(b, VF, VF_ATTACHED, LEASE_FOREIGN);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 0);
}

static void a_row_of_a_vf_that_is_elsewhere(void **state)
{
	static const enum vf_state rows[] = { VF_LEASED, VF_ATTACHING, VF_ATTACHED, VF_DETACHING, VF_RESETTING };
	struct bench *b = *state;

	b->actors.vms[1]->state = VM_RUNNING;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		write_row(b, rows[i]);
		bench_stop(b);
		fake_set_hostdev(&b->actors, 0, 1, false, false);
		fake_set_hostdev(&b->actors, 1, 1, true, false);
		bench_start(b);
		bench_settle(b);
		expect_vf(b, VF, VF_ATTACHED, LEASE_FOREIGN);
		assert_string_equal(bench_vf(b, VF)->lease.vm_name, "train-b");
		assert_int_equal(b->actors.n_host[HOST_RESET_VF], 0);
		bench_stop(b);
		fake_set_hostdev(&b->actors, 1, 1, false, false);
		bench_start(b);
		bench_until(b, !bench_vf(b, VF)->handover && bench_vf(b, VF)->state == VF_FREE);
		bench_settle(b);
	}
}

static void survey_now(struct bench *b)
{
	assert_true(sd_event_source_set_time(b->m->survey.timer, 1) >= 0);
	bench_settle(b);
}

/* Written into a stored definition, and taken out: libvirt has no event for it. */
static void what_no_event_tells_is_seen_within_a_minute(void **state)
{
	struct bench *b = *state;
	uint64_t next;

	fake_set_hostdev(&b->actors, 1, 1, false, true);
	bench_settle(b);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
	assert_true(sd_event_source_get_time(b->m->survey.timer, &next) >= 0);
	assert_true(next <= now_boottime() + 60 * USEC_PER_SEC);
	survey_now(b);
	bench_until(b, bench_vf(b, VF)->state == VF_RESERVED);
	expect_vf(b, VF, VF_RESERVED, LEASE_FOREIGN);
	assert_string_equal(bench_vf(b, VF)->lease.vm_name, "train-b");
	fake_set_hostdev(&b->actors, 1, 1, false, false);
	survey_now(b);
	bench_until(b, !bench_vf(b, VF)->handover && bench_vf(b, VF)->state == VF_FREE);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
}

/* By hand, and no event has told of it yet. */
static void one_that_was_put_back_is_found_by_its_address(void **state)
{
	struct bench *b = *state;
	struct domain_hostdev *dev;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	dev = &b->actors.vms[0]->hostdevs[0];
	free(dev->alias);
	dev->alias = strdup("hostdev0");
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	assert_int_equal(b->actors.n_hv[HV_DETACH], 2);
	assert_int_equal(b->actors.vms[0]->n_hostdevs, 0);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

/* Between the look whether it is closed and the reset, which then fails. */
static void one_that_is_put_back_at_its_reset_has_a_holder(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	b->actors.host_held = ONE(HOST_RESET_VF);
	a = bench_release(b, VF, FOREVER);
	bench_until(b, b->actors.n_host[HOST_RESET_VF] == 1);
	fake_set_hostdev(&b->actors, 0, 1, true, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	b->actors.host_fault[HOST_RESET_VF] = -EBUSY;
	fake_release(&b->actors, ONE(HOST_RESET_VF), 0);
	expect_error(b, a, RPC_CONFLICT, "put_back");
	expect_vf(b, VF, VF_ATTACHED, LEASE_FOREIGN);
}

static void a_row_of_a_vm_that_is_gone(void **state)
{
	struct bench *b = *state;

	write_row(b, VF_ATTACHED);
	bench_stop(b);
	b->actors.vms[0] = domain_facts_free(b->actors.vms[0]);
	bench_start(b);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

static void operations_go_on_after_a_restart(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	b->actors.hv_held = ONE(HV_ATTACH);
	a = bench_assign(b, "train-a", VF, FOREVER);
	bench_until(b, b->actors.n_hv[HV_ATTACH] == 1);
	bench_settle(b);
	bench_restart(b);
	answer_free(a);
	bench_until(b, bench_vf(b, VF)->state == VF_ATTACHED);
	bench_settle(b);
	assert_int_equal(operation_find(b->m, "op/2")->state, OPERATION_DONE);

	b->actors.host_held = ONE(HOST_RESET_VF);
	a = bench_release(b, VF, FOREVER);
	bench_until(b, b->actors.n_host[HOST_RESET_VF] == 1);
	bench_settle(b);
	bench_restart(b);
	answer_free(a);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	bench_settle(b);
	assert_int_equal(operation_find(b->m, "op/3")->state, OPERATION_DONE);
}

/* ---- reset ---- */

static struct answer *reset(struct bench *b, const char *vf)
{
	struct vf_reset_params p = { .vf = (char *)vf, .wait_usec = FOREVER };
	struct answer *a = answer_new();

	manager_vf_reset(b->m, &root_caller, &p, &a->reply);
	return a;
}

static void a_free_vf_goes_through_the_gate(void **state)
{
	struct bench *b = *state;

	expect_changed(b, reset(b, "gpu0/vf1"), true);
	assert_int_equal(bench_vf(b, "gpu0/vf1")->state, VF_FREE);
	assert_int_equal(b->actors.n_host[HOST_WAIT_CLOSED], 1);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
	assert_int_equal(b->actors.n_host[HOST_PROBE_VF], 1);
	b->actors.host_fault[HOST_RESET_VF] = -EIO;
	expect_error(b, reset(b, "gpu0/vf1"), RPC_HOST_ERROR, NULL);
	assert_int_equal(bench_vf(b, "gpu0/vf1")->state, VF_QUARANTINED);
	expect_error(b, reset(b, "gpu0/vf1"), RPC_CONFLICT, "quarantined");
}

static void what_is_not_free_is_not_reset(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	expect_error(b, reset(b, "gpu0/vf9"), RPC_NOT_FOUND, "no_vf");
	expect_changed(b, bench_assign(b, "train-a", "gpu0/vf1", FOREVER), true);
	expect_error(b, reset(b, "gpu0/vf1"), RPC_CONFLICT, "held");
	b->actors.host_held = ONE(HOST_RESET_VF);
	a = reset(b, "gpu0/vf2");
	bench_until(b, bench_vf(b, "gpu0/vf2")->state == VF_RESETTING);
	expect_error(b, reset(b, "gpu0/vf2"), RPC_CONFLICT, "busy");
	expect_error(b, bench_assign(b, "train-a", "gpu0/vf2", FOREVER), RPC_CONFLICT, "not_free");
	fake_release(&b->actors, ONE(HOST_RESET_VF), 0);
	expect_changed(b, a, true);
	fake_host_event(&b->actors, HOST_EVENT_STUCK, "sriov_numvfs");
	expect_error(b, reset(b, "gpu0/vf2"), RPC_WEDGED, NULL);
}

static void a_reset_goes_on_after_a_restart(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	b->actors.host_held = ONE(HOST_RESET_VF);
	a = reset(b, "gpu0/vf1");
	bench_until(b, b->actors.n_host[HOST_RESET_VF] == 1);
	bench_settle(b);
	bench_restart(b);
	expect_error(b, a, RPC_INTERNAL_ERROR, NULL);
	bench_until(b, operation_find(b->m, "op/2")->state == OPERATION_DONE);
	assert_int_equal(bench_vf(b, "gpu0/vf1")->state, VF_FREE);
	assert_int_equal(b->actors.n_host[HOST_RESET_VF], 1);
}

/* VFIO pins all of the guest's memory before libvirt answers. */
static void an_attach_has_time_for_the_guests_memory(void **state)
{
	struct bench *b = *state;

	b->actors.vms[0]->memory_bytes = 512ULL << 30;
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_settle(b);
	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	assert_int_equal(b->actors.hv_deadline[HV_ATTACH], hv_op_deadline(HV_ATTACH) + 512 * USEC_PER_SEC);
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	assert_int_equal(b->actors.hv_deadline[HV_DETACH], 0);
	expect_changed(b, bench_assign(b, "train-b", VF, FOREVER), true);
	assert_int_equal(b->actors.hv_deadline[HV_ATTACH], hv_op_deadline(HV_ATTACH));
}

static struct answer *list_of(struct bench *b, const char *vm)
{
	struct vf_list_params p = { .state = -1, .vm = (char *)vm };
	struct answer *a = answer_new();

	manager_vf_list(b->m, &root_caller, &p, &a->reply);
	bench_wait(b, a);
	return a;
}

static void a_list_of_nobodys_vfs_is_refused(void **state)
{
	struct bench *b = *state;
	struct answer *a = list_of(b, "train-a");

	assert_int_equal(a->code, 0); /* it is there, and has none */
	answer_free(a);
	expect_error(b, list_of(b, "nobody"), RPC_NOT_FOUND, NULL);
	/* Nobody knows which VMs there are. */
	fake_hv_event(&b->actors, HV_EVENT_LOST_CONNECTION, 0);
	a = list_of(b, "nobody");
	assert_int_equal(a->code, 0);
	answer_free(a);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_set_up_cut, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(assigning_twice_is_no_change),
		TEST(refusals_name_what_is_wrong),
		TEST(every_failed_attach_leaves_the_vf_right),
		TEST(a_vf_that_cannot_be_bound_is_kept_back),
		TEST(a_guest_that_does_not_let_go_keeps_its_vf),
		TEST(a_vf_that_fails_the_gate_is_quarantined_until_healed),
		TEST(a_vm_that_goes_off_gives_its_vf_back),
		TEST(a_vm_whose_xml_cannot_be_read_keeps_its_vfs),
		TEST(a_vm_that_is_gone_keeps_nothing),
		TEST(of_an_unreadable_vm_nothing_is_recovered),
		TEST(an_undefined_vm_gives_its_vf_back),
		TEST(what_was_reserved_is_reset_too),
		TEST(a_renamed_vm_keeps_its_vf),
		TEST(a_foreign_hostdev_is_adopted_and_given_up),
		TEST(a_gpu_that_a_vm_has_is_not_cut),
		TEST(what_libvirt_says_last_counts),
		TEST(old_news_take_nothing_away),
		TEST(libvirt_says_where_it_is),
		TEST(each_side_is_attached),
		TEST(one_side_is_added_once),
		TEST(a_vm_that_is_off_reserves_what_comes_later),
		TEST(a_vf_that_vanishes_during_a_handover),
		TEST(libvirt_comes_and_goes),
		TEST(a_recovery_that_is_cut_off_counts_for_nothing),
		TEST(of_two_readings_the_later_counts),
		TEST(a_lost_event_is_made_good_by_the_next_look),
		TEST(a_kept_vf_of_an_earlier_daemon),
		TEST(every_row_has_its_rule),
		TEST(a_row_of_a_vf_that_was_put_back_before_its_reset),
		TEST(a_row_of_a_vf_that_is_elsewhere),
		TEST(what_no_event_tells_is_seen_within_a_minute),
		TEST(one_that_was_put_back_is_found_by_its_address),
		TEST(one_that_is_put_back_at_its_reset_has_a_holder),
		TEST(a_row_of_a_vm_that_is_gone),
		TEST(operations_go_on_after_a_restart),
		TEST(a_free_vf_goes_through_the_gate),
		TEST(what_is_not_free_is_not_reset),
		TEST(a_reset_goes_on_after_a_restart),
		TEST(an_attach_has_time_for_the_guests_memory),
		TEST(a_list_of_nobodys_vfs_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
