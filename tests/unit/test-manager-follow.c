/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: stored definitions follow a VF whose card is in another slot, and one that is gone; cards are known by
 * their serial numbers.  train-b is off. */
#include "tests/support/manager-bench.h"

#define VF "gpu0/vf1"
#define VF2 "gpu0/vf2"
#define MOVED_PF "0000:07:00.0"
#define MOVED_VF "0000:07:00.1"
#define OLD_VF "0000:03:00.1"
#define OLD_VF2 "0000:03:00.2"

/* What the stored definition of train-b names: "ADDRESS ALIAS", of the one that it has; "" = nothing. */
static const char *stored(struct bench *b)
{
	static char text[128];
	const struct domain_facts *d = b->actors.vms[1];

	text[0] = '\0';
	for (size_t i = 0; i < d->n_hostdevs; i++)
		if (d->hostdevs[i].config)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s %s", text[0] ? ";" : "",
				 PCI_ADDRESS_STR(&d->hostdevs[i].address), strempty(d->hostdevs[i].alias));
	return text;
}

static void expect_stored(struct bench *b, const char *address, const char *vf)
{
	_cleanup_free_ char *alias = vf_alias(bench_vf(b, vf)), *text = xasprintf("%s %s", address, alias);

	assert_string_equal(stored(b), text);
	assert_null(bench_vf(b, vf)->lease.instead);
}

static char *cannot_start(struct bench *b)
{
	return vm_missing_text(b->m, vm_find(b->m, "train-b"));
}

static void expect_told(struct bench *b, const char *words)
{
	_cleanup_free_ char *text = cannot_start(b);

	if (!text || !strstr(text, words))
		fail_msg("\"%s\" is not in: %s", words, strempty(text));
}

static void expect_untold(struct bench *b)
{
	_cleanup_free_ char *text = cannot_start(b);

	if (text)
		fail_msg("told: %s", text);
}

static const char boot[] = "UPDATE meta SET doc = '{\"value\":\"another boot\"}' WHERE id = 'boot'";

/* What may be tried again is tried now. */
static void again(struct bench *b)
{
	fixed_try_again(vm_find(b->m, "train-b"));
	manager_pump(b->m);
	bench_settle(b);
}

/* vf: NULL = any. */
static void assign(struct bench *b, const char *vf)
{
	expect_changed(b, bench_assign(b, "train-b", vf, FOREVER), true);
	bench_settle(b);
}

static void move_and_boot(struct bench *b, const char *to)
{
	bench_stop(b);
	fake_move_gpu(&b->actors, to);
	bench_sql(b, boot);
}

/* ---- the card is in another slot ---- */

static void a_card_in_another_slot_keeps_its_name(void **state)
{
	struct bench *b = *state;

	move_and_boot(b, MOVED_PF);
	bench_start(b);
	assert_int_equal(HASH_COUNT(b->m->gpus), 1);
	assert_string_equal(PCI_ADDRESS_STR(&bench_gpu(b)->address), MOVED_PF);
	assert_int_equal(bench_gpu(b)->state, GPU_READY); /* its layout by hand came along */
	bench_restart(b);
	assert_int_equal(HASH_COUNT(b->m->gpus), 1);
	/* Another has its old slot. */
	fake_add_other(&b->actors, FAKE_PF, "S2", 0);
	bench_restart(b);
	assert_string_equal(PCI_ADDRESS_STR(&gpu_find(b->m, "gpu1")->address), FAKE_PF);
	assert_string_equal(PCI_ADDRESS_STR(&bench_gpu(b)->address), MOVED_PF);
	/* They change places. */
	bench_stop(b);
	(void)pci_address_parse(MOVED_PF, &b->actors.other->address);
	fake_move_gpu(&b->actors, FAKE_PF);
	bench_start(b);
	assert_int_equal(HASH_COUNT(b->m->gpus), 2);
	assert_string_equal(PCI_ADDRESS_STR(&gpu_find(b->m, "gpu1")->address), MOVED_PF);
	assert_string_equal(PCI_ADDRESS_STR(&bench_gpu(b)->address), FAKE_PF);
}

/* The kernel numbers IOMMU groups in the order of its boot: nothing is known by them. */
static void other_iommu_groups_after_a_boot(void **state)
{
	struct bench *b = *state;
	uint64_t epoch;

	assign(b, VF);
	epoch = bench_vf(b, VF)->lease.epoch;
	bench_stop(b);
	bench_sql(b, boot);
	for (unsigned i = 0; i < 2; i++) /* they change places, and one is a third card's of before */
		b->actors.gpu->vfs[i].iommu_group = i == 0 ? 11 : 4;
	bench_start(b);
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	assert_int_equal(bench_vf(b, VF)->lease.epoch, epoch);
	assert_string_equal(bench_vf(b, VF)->lease.vm_name, "train-b");
	expect_vf(b, VF2, VF_FREE, LEASE_NONE);
	assert_int_equal(vf_facts_of(bench_vf(b, VF))->iommu_group, 11);
	expect_stored(b, OLD_VF, VF);
	expect_untold(b);
}

/* Whatever is known of a VF is known of the same VF of the same card, in whichever slot it is. */
static void rows_go_with_their_cards(void **state)
{
	struct bench *b = *state;

	bench_stop(b);
	fake_add_other(&b->actors, MOVED_PF, "S2", 2);
	bench_start(b);
	bench_stop(b);
	bench_sql(b, "INSERT INTO lease (id, doc) VALUES ('" MOVED_PF "/2', '{\"state\":\"quarantined\",\"owner\":\"none\","
		     "\"epoch\":0,\"vm_uuid\":\"\",\"serial\":\"S2\",\"reason\":\"broken\"}'), "
		     "('" FAKE_PF "/1', '{\"state\":\"quarantined\",\"owner\":\"none\",\"epoch\":0,\"vm_uuid\":\"\","
		     "\"serial\":\"S1\",\"reason\":\"broken\"}') ON CONFLICT (id) DO UPDATE SET doc = excluded.doc");
	fake_move_gpu(&b->actors, MOVED_PF);
	(void)pci_address_parse(FAKE_PF, &b->actors.other->address);
	for (unsigned i = 0; i < 2; i++)
		b->actors.other->vfs[i].address = (struct pci_address){ .bus = 3, .function = (uint8_t)(i + 1) };
	for (unsigned i = 0; i < 2; i++) {
		bench_start(b);
		expect_vf(b, "gpu1/vf2", VF_QUARANTINED, LEASE_NONE);
		expect_vf(b, "gpu1/vf1", VF_FREE, LEASE_NONE);
		expect_vf(b, VF, VF_QUARANTINED, LEASE_NONE);
		expect_vf(b, VF2, VF_FREE, LEASE_NONE);
		bench_stop(b);
	}
	bench_start(b);
}

/* Of two cards with one serial number nobody can say which is which. */
static void a_serial_that_two_have_tells_nothing(void **state)
{
	struct bench *b = *state;

	bench_stop(b);
	fake_move_gpu(&b->actors, MOVED_PF);
	fake_add_other(&b->actors, "0000:08:00.0", "S1", 0);
	bench_start(b);
	assert_int_equal(bench_gpu(b)->state, GPU_ABSENT);
	assert_int_equal(HASH_COUNT(b->m->gpus), 3);
}

static void expect_followed(struct bench *b, uint64_t epoch)
{
	bench_settle(b);
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	assert_int_equal(bench_vf(b, VF)->lease.epoch, epoch);
	assert_int_equal(bench_vf(b, VF)->lease.uid, root_caller.uid);
	assert_true(bench_vf(b, VF)->lease.expires > now_boottime());
	assert_string_equal(PCI_ADDRESS_STR(&bench_vf(b, VF)->address), MOVED_VF);
	expect_stored(b, MOVED_VF, VF);
	expect_untold(b);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM lease WHERE id = '" MOVED_PF "/1'"), 1);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM lease WHERE id LIKE '" FAKE_PF "/%'"), 0);
}

/* Under the same lease, whose end stays; and on VFIO for the VM's start. */
static void the_definition_follows_its_card(void **state)
{
	struct bench *b = *state;
	uint64_t epoch;

	b->assign_for = 3600 * USEC_PER_SEC;
	assign(b, VF);
	epoch = bench_vf(b, VF)->lease.epoch;
	move_and_boot(b, MOVED_PF);
	bench_start(b);
	expect_followed(b, epoch);
	assert_true(bench_vf(b, VF)->bound);
	bench_restart(b);
	expect_followed(b, epoch);
	assert_int_equal(b->actors.n_hv[HV_DETACH] + b->actors.n_hv[HV_ATTACH], 0);
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	assert_string_equal(stored(b), "");
}

/* kill -9 after each step: before and after each call of libvirt. */
static void a_restart_at_every_step_ends_the_same(void **state)
{
	const unsigned held[] = { ONE(HV_DETACH), ONE(HV_ATTACH) };
	struct bench *b = *state;
	uint64_t epoch;

	b->assign_for = 3600 * USEC_PER_SEC;
	assign(b, VF);
	epoch = bench_vf(b, VF)->lease.epoch;
	move_and_boot(b, MOVED_PF);
	for (size_t i = 0; i < ARRAY_SIZE(held); i++) {
		b->no_wait = true;
		bench_start(b);
		b->actors.hv_held = held[i];
		bench_until(b, b->m->hypervisor_connected);
		bench_settle(b);
		assert_true(fake_waiting(&b->actors) > 0);
		assert_non_null(bench_vf(b, VF)->lease.instead);
		expect_error(b, bench_assign(b, "train-a", VF, 0), RPC_CONFLICT, "not_free");
		bench_stop(b);
		b->no_wait = false;
	}
	assert_string_equal(stored(b), "");
	bench_sql(b, boot); /* and another boot of the host */
	bench_start(b);
	expect_followed(b, epoch);
}

/* Written, and the daemon died before it could say so; then the host was booted. */
static void it_was_written_and_not_confirmed(void **state)
{
	struct bench *b = *state;
	uint64_t epoch;

	b->assign_for = 3600 * USEC_PER_SEC;
	assign(b, VF);
	epoch = bench_vf(b, VF)->lease.epoch;
	move_and_boot(b, MOVED_PF);
	bench_sql(b, "UPDATE lease SET doc = json_set(doc, '$.state', 'leased') WHERE id LIKE '%/1'");
	fake_add_other(&b->actors, FAKE_PF, "S2", 2);
	bench_start(b);
	expect_followed(b, epoch);
	expect_vf(b, "gpu1/vf1", VF_FREE, LEASE_NONE);
	/* Or was not. */
	bench_stop(b);
	bench_sql(b, "UPDATE lease SET doc = json_set(doc, '$.state', 'leased') WHERE id LIKE '%/1'");
	bench_sql(b, boot);
	while (b->actors.vms[1]->n_hostdevs > 0)
		free(b->actors.vms[1]->hostdevs[--b->actors.vms[1]->n_hostdevs].alias);
	bench_start(b);
	bench_settle(b);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
}

/* The address is another card's VF by now: not handed over, not adopted, out of the definition. */
static void a_stale_address_hands_nobody_elses_vf_over(void **state)
{
	struct bench *b = *state;
	uint64_t epoch;

	b->assign_for = 3600 * USEC_PER_SEC;
	assign(b, VF);
	epoch = bench_vf(b, VF)->lease.epoch;
	move_and_boot(b, MOVED_PF);
	fake_add_other(&b->actors, FAKE_PF, "S2", 2);
	b->no_wait = true;
	bench_start(b);
	b->actors.hv_held = ONE(HV_DETACH);
	bench_until(b, b->m->hypervisor_connected);
	bench_settle(b);
	assert_string_equal(PCI_ADDRESS_STR(&bench_vf(b, "gpu1/vf1")->address), OLD_VF);
	expect_vf(b, "gpu1/vf1", VF_FREE, LEASE_NONE);
	assert_false(pool_may_start(b->m, vm_find(b->m, "train-b"),
				    &(struct policy_vm_rule){ .start = VM_START_ON_DEMAND }));
	fake_release(&b->actors, 0, ONE(HV_DETACH));
	expect_followed(b, epoch);
	expect_vf(b, "gpu1/vf1", VF_FREE, LEASE_NONE);
	assert_true(pool_may_start(b->m, vm_find(b->m, "train-b"),
				   &(struct policy_vm_rule){ .start = VM_START_ON_DEMAND }));
}

/* The card went elsewhere and was not put in again; its address is another's. */
static void what_an_absent_card_left_is_taken_out(void **state)
{
	struct bench *b = *state;
	uint64_t epoch;

	b->assign_for = 3600 * USEC_PER_SEC;
	assign(b, VF);
	epoch = bench_vf(b, VF)->lease.epoch;
	bench_stop(b);
	free(b->actors.gpu->serial);
	b->actors.gpu->serial = strdup("S2");
	bench_sql(b, boot);
	for (unsigned i = 0; i < 2; i++) {
		bench_start(b);
		expect_vf(b, "gpu1/vf1", VF_FREE, LEASE_NONE);
		assert_string_equal(stored(b), "");
		expect_told(b, "gpu0/vf1, which it is to have, is not there");
		expect_told(b, "the card gpu0 is not there");
		bench_stop(b);
	}
	/* It is there again, in another slot. */
	free(b->actors.gpu->serial);
	b->actors.gpu->serial = strdup("S1");
	fake_move_gpu(&b->actors, MOVED_PF);
	bench_sql(b, boot);
	bench_start(b);
	expect_followed(b, epoch);
}

/* Two VFs of one VM are where the other was. */
static void two_that_changed_places(void **state)
{
	struct bench *b = *state;
	_cleanup_free_ char *first = NULL, *second = NULL, *text = NULL;
	struct domain_facts *d = b->actors.vms[1];
	struct vf_assign_params p = { .vm = (char *)"train-b", .vf = (char *)VF2, .add = true, .for_usec = FOR_ABSENT,
				      .wait_usec = FOREVER };
	struct answer *a = answer_new();

	assign(b, VF);
	manager_vf_assign(b->m, &root_caller, &p, &a->reply);
	expect_changed(b, a, true);
	first = vf_alias(bench_vf(b, VF));
	second = vf_alias(bench_vf(b, VF2));
	bench_stop(b);
	(void)free_and_strdup(&d->hostdevs[0].alias, second);
	(void)free_and_strdup(&d->hostdevs[1].alias, first);
	bench_start(b);
	bench_settle(b);
	text = xasprintf(OLD_VF " %s;" OLD_VF2 " %s", first, second);
	assert_string_equal(stored(b), text);
	assert_null(bench_vf(b, VF)->lease.instead);
	assert_null(bench_vf(b, VF2)->lease.instead);
}

/* What libvirt refuses is told and tried again; so is a managed-save image in the way, before anything is taken out. */
static void libvirt_refuses(void **state)
{
	struct bench *b = *state;
	uint64_t epoch;

	b->assign_for = 3600 * USEC_PER_SEC;
	assign(b, VF);
	epoch = bench_vf(b, VF)->lease.epoch;
	b->actors.vms[1]->saved = true;
	move_and_boot(b, MOVED_PF);
	bench_start(b);
	expect_told(b, "managed-save image");
	assert_int_equal(b->actors.n_hv[HV_DETACH], 0);
	b->actors.vms[1]->saved = false;
	b->actors.hv_fault[HV_DETACH] = HV_TIMEOUT;
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	bench_settle(b);
	expect_told(b, "could not be taken out of the persistent XML");
	assert_int_equal(b->actors.n_hv[HV_DETACH], 1); /* the next after a pause */
	b->actors.hv_fault[HV_DETACH] = HV_OK;
	b->actors.hv_fault[HV_ATTACH] = HV_FAILED;
	again(b);
	expect_told(b, "could not be written to the persistent XML");
	assert_int_equal(b->actors.n_hv[HV_ATTACH], 1);
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	assert_string_equal(stored(b), "");
	b->actors.hv_fault[HV_ATTACH] = HV_OK;
	again(b);
	expect_followed(b, epoch);
}

/* Released, or undefined, half-way: nothing of it is left. */
static void it_is_given_up_half_way(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < 2; i++) {
		if (i > 0)
			fake_move_gpu(&b->actors, FAKE_PF);
		assign(b, VF);
		b->actors.hv_fault[HV_DETACH] = HV_TIMEOUT;
		bench_stop(b);
		fake_move_gpu(&b->actors, MOVED_PF);
		bench_start(b);
		assert_non_null(bench_vf(b, VF)->lease.instead);
		b->actors.hv_fault[HV_DETACH] = HV_OK;
		if (i == 0) {
			expect_changed(b, bench_release(b, VF, FOREVER), true);
			assert_string_equal(stored(b), "");
		} else {
			fake_hv_event(&b->actors, HV_EVENT_DOMAIN_GONE, 1);
		}
		bench_settle(b);
		expect_vf(b, VF, VF_FREE, LEASE_NONE);
		if (i == 0) {
			bench_stop(b);
			fake_move_gpu(&b->actors, FAKE_PF);
			bench_start(b);
		}
	}
}

/* ---- the VF is gone ---- */

/* Nobody had asked for that very one. */
static void another_takes_the_place_of_one_that_was_chosen(void **state)
{
	struct bench *b = *state;
	uint64_t expires;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	b->assign_for = 3600 * USEC_PER_SEC;
	assign(b, NULL);
	expect_vf(b, VF2, VF_RESERVED, LEASE_VM);
	assert_true(bench_vf(b, VF2)->lease.chosen);
	assert_int_equal(bench_vf(b, VF2)->lease.vram, 2 * GIB);
	expires = bench_vf(b, VF2)->lease.expires;
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	bench_settle(b);
	/* Under the daemon's eyes. */
	fake_set_vfs(&b->actors, 1);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, bench_gpu(b)->n_vfs == 1);
	bench_settle(b);
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	expect_stored(b, OLD_VF, VF);
	assert_int_equal(bench_vf(b, VF)->lease.expires, expires);
	assert_true(bench_vf(b, VF)->lease.chosen);
	assert_int_equal(bench_vf(b, VF)->lease.vram, 2 * GIB);
	assert_true(bench_vf(b, VF)->bound);
	expect_untold(b);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM lease WHERE id LIKE '%/2'"), 0);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM audit WHERE doc LIKE '%gpu0/vf1%daemon:follow%'") +
				 bench_number(b, "SELECT count(*) FROM audit WHERE doc LIKE '%daemon:follow%gpu0/vf1%'") > 0,
			 1);
}

/* kill -9 between the row and libvirt: one lease, one hostdev. */
static void a_restart_while_another_takes_its_place(void **state)
{
	const unsigned held[] = { ONE(HV_DETACH), ONE(HV_ATTACH) };
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	assign(b, NULL);
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	bench_settle(b);
	bench_stop(b);
	fake_set_vfs(&b->actors, 1);
	for (size_t i = 0; i < ARRAY_SIZE(held); i++) {
		b->no_wait = true;
		bench_start(b);
		b->actors.hv_held = held[i];
		bench_until(b, b->m->hypervisor_connected);
		bench_settle(b);
		assert_non_null(bench_vf(b, VF)->lease.instead);
		expect_error(b, bench_assign(b, "train-a", VF, 0), RPC_CONFLICT, "not_free");
		assert_int_equal(bench_number(b, "SELECT count(*) FROM lease WHERE doc LIKE '%\"owner\":\"vm\"%'"), 1);
		bench_stop(b);
		b->no_wait = false;
	}
	bench_start(b);
	bench_settle(b);
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	expect_stored(b, OLD_VF, VF);
}

/* A store that fails gives nothing away, and the lease that waits goes on waiting. */
static void nothing_takes_its_place_that_is_not_stored(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	assign(b, NULL);
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	bench_settle(b);
	bench_break_store(b, true);
	b->actors.n_hv[HV_DETACH] = 0;
	fake_set_vfs(&b->actors, 1);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, b->m->degraded);
	bench_settle(b);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
	expect_told(b, "VF that is not there");
	assert_int_equal(b->actors.n_hv[HV_DETACH], 0);
	assert_string_not_equal(stored(b), "");
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	bench_settle(b);
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	expect_stored(b, OLD_VF, VF);
}

/* As a layout of the policy's names them; for this daemon only, unless it is stored. */
static void set_profile(struct bench *b, const char *vf, const char *profile)
{
	assert_int_equal(free_and_strdup(&bench_vf(b, vf)->profile, profile), 0);
	vf_store(b->m, bench_vf(b, vf));
	bench_settle(b);
}

/* The same profile is like it, however much memory that has. */
static void one_of_the_same_profile_takes_its_place(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	assign(b, NULL);
	set_profile(b, VF2, "half");
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	set_profile(b, VF, "half");
	b->actors.quota[1] = 1 * GIB;
	fake_set_vfs(&b->actors, 1);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, bench_gpu(b)->n_vfs == 1);
	bench_settle(b);
	expect_vf(b, VF, VF_RESERVED, LEASE_VM);
	expect_stored(b, OLD_VF, VF);
}

static void expect_waits(struct bench *b, const char *words)
{
	fake_set_vfs(&b->actors, 1);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, bench_gpu(b)->n_vfs == 1);
	for (unsigned i = 0; i < 2; i++) {
		bench_settle(b);
		expect_vf(b, VF, VF_FREE, LEASE_NONE);
		expect_told(b, words);
		expect_told(b, "gpuvf release gpu0/vf2 takes it out");
		assert_string_not_equal(stored(b), "");
		assert_int_equal(b->actors.n_hv[HV_DETACH], 0);
		bench_restart(b);
	}
}

/* Asked for by name, or by a daemon that did not tell the two apart: told, and its VM's again when it is back. */
static void one_that_was_named_waits(void **state)
{
	struct bench *b = *state;
	uint64_t epoch;

	assign(b, VF2);
	epoch = bench_vf(b, VF2)->lease.epoch;
	assert_false(bench_vf(b, VF2)->lease.chosen);
	set_profile(b, VF, "half"); /* it would be like it */
	set_profile(b, VF2, "half");
	expect_waits(b, "asked for by name");
	fake_set_vfs(&b->actors, 2);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, bench_gpu(b)->n_vfs == 2);
	bench_settle(b);
	expect_vf(b, VF2, VF_RESERVED, LEASE_VM);
	assert_int_equal(bench_vf(b, VF2)->lease.epoch, epoch);
	assert_true(bench_vf(b, VF2)->bound); /* for its VM's start */
	expect_stored(b, OLD_VF2, VF2);
	expect_untold(b);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM lease WHERE doc LIKE '%\"gone\"%'"), 0);
}

/* The wanted layout of now has fewer, and is made before libvirt has said what definitions name. */
static void it_waits_for_libvirts_word(void **state)
{
	struct bench *b = *state;

	assign(b, VF2);
	bench_stop(b);
	fake_set_vfs(&b->actors, 0);
	bench_sql(b, "UPDATE gpu SET doc = json_set(doc, '$.manual.vfs', json_array(json_extract(doc, '$.manual.vfs[0]')))");
	bench_start(b);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->n_vfs, 1);
	expect_told(b, "asked for by name");
}

/* The card moves while nothing can be stored: what waits is stored when that can be. */
static void what_waits_is_not_lost_with_the_store(void **state)
{
	struct bench *b = *state;

	assign(b, VF2);
	expect_waits(b, "asked for by name");
	bench_break_store(b, true);
	fake_move_gpu(&b->actors, MOVED_PF);
	manager_scan(b->m);
	bench_until(b, b->m->degraded && bench_gpu(b)->facts && bench_gpu(b)->n_vfs == 1);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	bench_restart(b);
	assert_string_equal(PCI_ADDRESS_STR(&bench_gpu(b)->address), MOVED_PF);
	expect_told(b, "asked for by name");
}

/* The ways out that are told. */
static void one_that_waits_is_let_go(void **state)
{
	struct bench *b = *state;
	struct vf_release_params p = { .vm = (char *)"train-b", .wait_usec = FOREVER };

	assign(b, VF2);
	expect_waits(b, "asked for by name");
	expect_changed(b, bench_release_as(b, &p), true);
	bench_settle(b);
	assert_string_equal(stored(b), "");
	expect_untold(b);
	expect_changed(b, bench_release_as(b, &p), false);
	fake_set_vfs(&b->actors, 2);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, bench_gpu(b)->n_vfs == 2);
	bench_settle(b);
	expect_vf(b, VF2, VF_FREE, LEASE_NONE);

	assign(b, VF2);
	fake_set_vfs(&b->actors, 1);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, bench_gpu(b)->n_vfs == 1);
	bench_settle(b);
	assign(b, NULL);
	expect_stored(b, OLD_VF, VF);
	expect_untold(b);
}

/* Less memory than it had is no like. */
static void a_smaller_one_takes_no_place(void **state)
{
	struct bench *b = *state;

	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	assign(b, NULL);
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	bench_settle(b);
	b->actors.n_hv[HV_DETACH] = 0;
	b->actors.quota[1] = 1 * GIB;
	expect_waits(b, "no free VF of gpu0 serves as much");
}

/* The wanted layout brings it back: until that is sure nothing is changed. */
static void drift_that_is_healed_is_waited_for(void **state)
{
	struct bench *b = *state;
	uint64_t epoch;

	json_object_set_new(b->config, "heal_drift", json_true());
	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	assign(b, NULL);
	epoch = bench_vf(b, VF2)->lease.epoch;
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	bench_settle(b);
	b->actors.n_hv[HV_DETACH] = 0;
	fake_set_vfs(&b->actors, 1);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, bench_gpu(b)->n_vfs == 1);
	bench_settle(b);
	expect_told(b, "about to be cut as wanted");
	bench_until(b, bench_gpu(b)->n_vfs == 2);
	bench_settle(b);
	expect_vf(b, VF2, VF_RESERVED, LEASE_VM);
	assert_int_equal(bench_vf(b, VF2)->lease.epoch, epoch);
	assert_int_equal(b->actors.n_hv[HV_DETACH], 0);
}

/* Who holds the drifted layout may do so for days. */
static void drift_that_others_hold_is_not_waited_for(void **state)
{
	struct bench *b = *state;

	json_object_set_new(b->config, "heal_drift", json_true());
	bench_cut(b, 3);
	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
	expect_changed(b, bench_assign(b, "train-a", VF2, FOREVER), true);
	assign(b, NULL);
	expect_vf(b, "gpu0/vf3", VF_RESERVED, LEASE_VM);
	expect_changed(b, bench_release(b, VF2, FOREVER), true);
	bench_settle(b);
	fake_set_vfs(&b->actors, 2);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, bench_gpu(b)->n_vfs == 2);
	bench_settle(b);
	expect_vf(b, VF, VF_ATTACHED, LEASE_VM);
	expect_vf(b, VF2, VF_RESERVED, LEASE_VM);
	expect_stored(b, OLD_VF2, VF2);
}

/* Its time is over while it is not there. */
static void the_end_of_a_lease_that_waits(void **state)
{
	struct bench *b = *state;

	b->assign_for = 3600 * USEC_PER_SEC;
	assign(b, VF2);
	bench_stop(b);
	fake_set_vfs(&b->actors, 1);
	bench_sql(b, "UPDATE lease SET doc = json_set(doc, '$.expires.boot', 1) WHERE id LIKE '%/2'");
	bench_start(b);
	bench_settle(b);
	assert_string_equal(stored(b), "");
	assert_int_equal(bench_number(b, "SELECT count(*) FROM lease WHERE id LIKE '%/2' AND doc LIKE '%\"owner\":\"vm\"%'"), 0);
}

/* Without an alias of ours it is somebody else's: told, and left as it is. */
static void what_others_wrote_stays_theirs(void **state)
{
	struct bench *b = *state;

	fake_set_hostdev(&b->actors, 1, 2, false, true);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	bench_settle(b);
	expect_vf(b, VF2, VF_RESERVED, LEASE_FOREIGN);
	bench_gpu(b)->facts->vf_offset = b->actors.gpu->vf_offset = b->actors.gpu->vf_stride = 1;
	fake_set_vfs(&b->actors, 1);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, bench_gpu(b)->n_vfs == 1);
	for (unsigned i = 0; i < 2; i++) {
		bench_settle(b);
		expect_told(b, OLD_VF2);
		assert_string_equal(stored(b), OLD_VF2 " ");
		bench_restart(b);
	}
	move_and_boot(b, MOVED_PF);
	bench_start(b);
	assert_string_equal(stored(b), OLD_VF2 " ");
	assert_int_equal(b->actors.n_hv[HV_DETACH], 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up_cut, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_card_in_another_slot_keeps_its_name),
		TEST(other_iommu_groups_after_a_boot),
		TEST(rows_go_with_their_cards),
		TEST(a_serial_that_two_have_tells_nothing),
		TEST(the_definition_follows_its_card),
		TEST(a_restart_at_every_step_ends_the_same),
		TEST(it_was_written_and_not_confirmed),
		TEST(a_stale_address_hands_nobody_elses_vf_over),
		TEST(what_an_absent_card_left_is_taken_out),
		TEST(two_that_changed_places),
		TEST(libvirt_refuses),
		TEST(it_is_given_up_half_way),
		TEST(another_takes_the_place_of_one_that_was_chosen),
		TEST(a_restart_while_another_takes_its_place),
		TEST(nothing_takes_its_place_that_is_not_stored),
		TEST(one_of_the_same_profile_takes_its_place),
		TEST(one_that_was_named_waits),
		TEST(it_waits_for_libvirts_word),
		TEST(what_waits_is_not_lost_with_the_store),
		TEST(one_that_waits_is_let_go),
		TEST(a_smaller_one_takes_no_place),
		TEST(drift_that_is_healed_is_waited_for),
		TEST(drift_that_others_hold_is_not_waited_for),
		TEST(the_end_of_a_lease_that_waits),
		TEST(what_others_wrote_stays_theirs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
