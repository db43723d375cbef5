/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: draining a GPU, and an apply that waits until its holders have left. */
#include "tests/support/manager-bench.h"

static struct answer *drain(struct bench *b, const char *gpu, uint64_t wait_usec)
{
	struct gpu_drain_params p = { .gpu = (char *)gpu, .wait_usec = wait_usec };
	struct answer *a = answer_new();

	manager_gpu_drain(b->m, &root_caller, &p, &a->reply);
	return a;
}

static struct answer *undrain(struct bench *b, const char *gpu)
{
	struct name_params p = { .name = (char *)gpu };
	struct answer *a = answer_new();

	manager_gpu_undrain(b->m, &root_caller, &p, &a->reply);
	return a;
}

static struct answer *apply(struct bench *b, unsigned vfs, bool draining, const char *plan)
{
	_cleanup_json_ json_t *layout = json_pack("{s:i,s:s}", "vfs", (int)vfs, "vram", "2GiB");
	struct gpu_apply_params p = { .gpu = (char *)"gpu0", .layout = layout, .drain = draining,
				      .plan = (char *)plan, .wait_usec = FOREVER };
	struct answer *a = answer_new();

	manager_gpu_apply(b->m, &root_caller, &p, &a->reply);
	return a;
}

static void cancel(struct bench *b, const char *op)
{
	struct name_params p = { .name = (char *)op };
	struct answer *a = answer_new();

	manager_operation_cancel(b->m, &root_caller, &p, &a->reply);
	expect_changed(b, a, true);
}

static const char *newest(struct bench *b, const char *method)
{
	struct operation *op, *tmp, *found = NULL;

	HASH_ITER(hh, b->m->operations, op, tmp)
		if (streq(op->method, method))
			found = op;
	assert_non_null(found);
	return found->name;
}

static enum operation_state state_of(struct bench *b, const char *op)
{
	assert_non_null(operation_find(b->m, op));
	return operation_find(b->m, op)->state;
}

static void hold(struct bench *b)
{
	expect_changed(b, bench_assign(b, "train-a", "gpu0/vf1", FOREVER), true);
	bench_settle(b);
}

static void let_go(struct bench *b)
{
	expect_changed(b, bench_release(b, "gpu0/vf1", FOREVER), true);
	bench_settle(b);
}

/* ---- gpu.drain ---- */

static void nobody_new_comes(void **state)
{
	struct bench *b = *state;

	expect_changed(b, drain(b, "gpu0", FOREVER), true);
	assert_int_equal(bench_gpu(b)->state, GPU_DRAINING);
	expect_error(b, bench_assign(b, "train-a", "gpu0/vf1", FOREVER), RPC_CONFLICT, "draining");
	expect_error(b, bench_assign(b, "train-a", NULL, FOREVER), RPC_NO_FIT, "none_free");
	assert_int_equal(b->actors.n_hv[HV_ATTACH], 0);
	/* Again is no change, and stays over any number of restarts. */
	expect_changed(b, drain(b, "gpu0", FOREVER), false);
	for (int i = 0; i < 2; i++) {
		bench_restart(b);
		assert_int_equal(bench_gpu(b)->state, GPU_DRAINING);
		expect_error(b, bench_assign(b, "train-a", NULL, FOREVER), RPC_NO_FIT, "none_free");
	}
	expect_changed(b, undrain(b, "gpu0"), true);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
	expect_changed(b, undrain(b, "gpu0"), false);
	hold(b);
	bench_restart(b);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

struct left {
	unsigned n;
	char text[128];
	size_t others;
};

static bool on_event(void *userdata, const struct manager_event *event)
{
	struct left *left = userdata;
	const char *text = json_get_string(event->json, "left");

	if (!text)
		return true;
	assert_string_equal(event->type, "gpu.changed");
	left->n++;
	snprintf(left->text, sizeof(left->text), "%s", text);
	left->others = json_array_size(json_object_get(event->json, "holders"));
	return true;
}

static void it_waits_until_all_have_left(void **state)
{
	struct bench *b = *state;
	struct left left = { 0 };
	struct answer *a;
	int id = manager_subscribe(b->m, on_event, &left);
	json_t *holders;
	unsigned looks;

	hold(b);
	looks = b->actors.n_host[HOST_HOLDERS];
	fake_set_hostdev(&b->actors, 1, 2, false, true); /* train-b is off */
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	a = drain(b, "gpu0", 1); /* the answer does not wait for long */
	bench_wait(b, a);
	holders = json_object_get(a->result, "holders");
	assert_int_equal(json_array_size(holders), 2);
	assert_string_equal(json_string_value(json_array_get(holders, 0)), "gpu0/vf1: VM train-a (attached)");
	assert_non_null(strstr(json_string_value(json_array_get(holders, 1)), "gpuvf release train-b --config"));
	assert_string_not_equal(json_get_string(a->result, "operation_state"), "done");
	answer_free(a);
	assert_non_null(strstr(bench_gpu(b)->reason, "waits for 2 holders: gpu0/vf1: VM train-a"));

	/* Who asks once more waits for the same operation. */
	a = drain(b, "gpu0", FOREVER);
	let_go(b);
	assert_int_equal(left.n, 1);
	assert_string_equal(left.text, "gpu0/vf1: VM train-a");
	assert_int_equal(left.others, 1);
	assert_int_equal(state_of(b, newest(b, "gpu.drain")), OPERATION_RUNNING);
	fake_set_hostdev(&b->actors, 1, 2, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	expect_changed(b, a, true);
	bench_settle(b);
	assert_int_equal(left.n, 2);
	assert_int_equal(left.others, 0);
	assert_int_equal(bench_gpu(b)->state, GPU_DRAINING);
	assert_int_equal(b->actors.n_host[HOST_HOLDERS] - looks, 1);
	manager_unsubscribe(b->m, id);
}

static void a_vm_that_dies_leaves(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	hold(b);
	a = drain(b, "gpu0", FOREVER);
	bench_settle(b);
	b->actors.vms[0]->state = VM_OFF;
	fake_set_hostdev(&b->actors, 0, 1, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	expect_changed(b, a, true);
	assert_int_equal(bench_vf(b, "gpu0/vf1")->state, VF_FREE);
}

static void a_drain_goes_on_after_a_restart(void **state)
{
	struct bench *b = *state;
	struct answer *a;
	_cleanup_free_ char *op = NULL;

	hold(b);
	a = drain(b, "gpu0", FOREVER);
	bench_settle(b);
	op = strdup(newest(b, "gpu.drain"));
	b->no_hypervisor = true;
	bench_restart(b);
	expect_error(b, a, RPC_INTERNAL_ERROR, NULL);
	/* Nobody new, from the first moment on. */
	assert_int_equal(bench_gpu(b)->state, GPU_DRAINING);
	assert_int_equal(state_of(b, op), OPERATION_RUNNING);
	b->no_hypervisor = false;
	bench_restart(b);
	assert_int_equal(state_of(b, op), OPERATION_RUNNING);
	let_go(b);
	assert_int_equal(state_of(b, op), OPERATION_DONE);
	assert_int_equal(bench_gpu(b)->state, GPU_DRAINING);
}

static void cancel_and_undrain_end_it(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	hold(b);
	a = drain(b, "gpu0", FOREVER);
	bench_settle(b);
	cancel(b, newest(b, "gpu.drain"));
	expect_error(b, a, RPC_CONFLICT, "cancelled");
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
	assert_int_equal(state_of(b, newest(b, "gpu.drain")), OPERATION_CANCELLED);

	a = drain(b, "gpu0", FOREVER);
	bench_settle(b);
	expect_changed(b, undrain(b, "gpu0"), true);
	expect_error(b, a, RPC_CONFLICT, "cancelled");
	assert_int_equal(state_of(b, newest(b, "gpu.drain")), OPERATION_CANCELLED);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
	bench_restart(b);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
	expect_changed(b, bench_assign(b, "train-a", "gpu0/vf2", FOREVER), true);
}

static void what_cannot_be_drained(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	expect_error(b, drain(b, "gpu9", FOREVER), RPC_NOT_FOUND, "no_gpu");
	expect_error(b, undrain(b, "gpu9"), RPC_NOT_FOUND, "no_gpu");
	b->actors.host_held = ONE(HOST_SET_NUMVFS);
	a = apply(b, 3, false, NULL);
	bench_until(b, bench_gpu(b)->apply);
	expect_error(b, drain(b, "gpu0", FOREVER), RPC_CONFLICT, "recutting");
	fake_release(&b->actors, ONE(HOST_SET_NUMVFS), 0);
	expect_changed(b, a, true);
	fake_host_event(&b->actors, HOST_EVENT_STUCK, "sriov_numvfs");
	expect_error(b, drain(b, "gpu0", FOREVER), RPC_WEDGED, "wedged");
	fake_host_event(&b->actors, HOST_EVENT_UNSTUCK, NULL);
	bench_until(b, bench_gpu(b)->state == GPU_READY);
	fake_host_event(&b->actors, HOST_EVENT_REMOVED, NULL);
	expect_error(b, drain(b, "gpu0", FOREVER), RPC_NOT_FOUND, "absent");
}

static void what_is_not_stored_is_not_drained(void **state)
{
	struct bench *b = *state;

	hold(b);
	bench_break_store(b, true);
	expect_error(b, drain(b, "gpu0", FOREVER), RPC_DEGRADED, NULL);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
	assert_false(gpu_is_draining(bench_gpu(b)));
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);

	expect_changed(b, drain(b, "gpu0", 0), true);
	bench_settle(b);
	bench_break_store(b, true);
	expect_error(b, undrain(b, "gpu0"), RPC_DEGRADED, NULL);
	assert_int_equal(bench_gpu(b)->state, GPU_DRAINING);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	let_go(b);
	assert_int_equal(state_of(b, newest(b, "gpu.drain")), OPERATION_DONE);
}

static void wedged_and_back_it_is_drained_still(void **state)
{
	struct bench *b = *state;

	expect_changed(b, drain(b, "gpu0", FOREVER), true);
	fake_host_event(&b->actors, HOST_EVENT_STUCK, "sriov_numvfs");
	fake_host_event(&b->actors, HOST_EVENT_UNSTUCK, NULL);
	bench_until(b, bench_gpu(b)->state != GPU_WEDGED);
	assert_int_equal(bench_gpu(b)->state, GPU_DRAINING);
}

/* ---- gpu.apply with drain ---- */

static void an_apply_waits_and_goes_on(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	hold(b);
	a = apply(b, 3, true, NULL);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->state, GPU_DRAINING);
	assert_null(bench_gpu(b)->drift);
	assert_int_equal(b->actors.n_host[HOST_SET_NUMVFS], 1); /* of bench_cut */
	expect_error(b, bench_assign(b, "train-a", "gpu0/vf2", FOREVER), RPC_CONFLICT, "draining");
	expect_error(b, apply(b, 4, true, NULL), RPC_CONFLICT, "draining");
	expect_error(b, undrain(b, "gpu0"), RPC_CONFLICT, "apply_waits");
	let_go(b);
	expect_changed(b, a, true);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
	assert_int_equal(bench_gpu(b)->n_vfs, 3);
	assert_false(gpu_is_draining(bench_gpu(b)));
	/* Nobody there: nothing to wait for. */
	expect_changed(b, apply(b, 2, true, NULL), true);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

static void a_drained_gpu_stays_so_after_its_cut(void **state)
{
	struct bench *b = *state;
	struct answer *wait, *a;

	hold(b);
	wait = drain(b, "gpu0", FOREVER);
	bench_settle(b);
	a = apply(b, 3, true, NULL);
	bench_settle(b);
	let_go(b);
	expect_changed(b, wait, true);
	expect_changed(b, a, true);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->n_vfs, 3);
	assert_int_equal(bench_gpu(b)->state, GPU_DRAINING);
	expect_changed(b, undrain(b, "gpu0"), true);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

static void a_cancelled_one_changes_nothing(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	hold(b);
	a = apply(b, 3, true, NULL);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->manual->n_vfs, 3);
	cancel(b, newest(b, "gpu.apply"));
	expect_error(b, a, RPC_CONFLICT, "cancelled");
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
	assert_int_equal(bench_gpu(b)->manual->n_vfs, 2);
	assert_null(bench_gpu(b)->drift);
	assert_int_equal(state_of(b, newest(b, "gpu.apply")), OPERATION_CANCELLED);
	/* … and leaves nothing in the way. */
	let_go(b);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	bench_cut(b, 4);
}

/* An undo failed, and what is there is neither what was nor what is wanted. */
static void half_cut_by_hand(struct bench *b)
{
	fake_set_vfs(&b->actors, 3);
	half_cut_set(b->m, bench_gpu(b), "the undo failed", NULL);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
}

/* Whole again by hand, while an apply waited that nobody wants any more. */
static void a_cancelled_one_looks_whether_the_card_is_whole(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	hold(b);
	half_cut_by_hand(b);
	a = apply(b, 4, true, NULL);
	bench_settle(b);
	fake_set_vfs(&b->actors, 2);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->state, GPU_WEDGED);
	cancel(b, newest(b, "gpu.apply"));
	expect_error(b, a, RPC_CONFLICT, "cancelled");
	assert_null(bench_gpu(b)->half_cut);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

static void an_apply_that_waits_survives_a_restart(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	hold(b);
	a = apply(b, 3, true, NULL);
	bench_settle(b);
	bench_restart(b);
	expect_error(b, a, RPC_INTERNAL_ERROR, NULL);
	assert_int_equal(bench_gpu(b)->state, GPU_DRAINING);
	assert_null(bench_gpu(b)->drift);
	expect_error(b, bench_assign(b, "train-a", "gpu0/vf2", FOREVER), RPC_CONFLICT, "draining");
	assert_int_equal(b->actors.n_host[HOST_SET_NUMVFS], 0);
	let_go(b);
	bench_until(b, state_of(b, newest(b, "gpu.apply")) == OPERATION_DONE);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->n_vfs, 3);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

static void a_card_that_goes_ends_the_waiting(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	hold(b);
	a = apply(b, 3, true, NULL);
	bench_settle(b);
	b->actors.gpu->serial[0] = 'X'; /* another card, should it be read */
	fake_host_event(&b->actors, HOST_EVENT_REMOVED, NULL);
	expect_error(b, a, RPC_NOT_FOUND, NULL);
	assert_int_equal(bench_gpu(b)->manual->n_vfs, 2);
	assert_false(gpu_is_draining(bench_gpu(b)));
}

static void an_apply_that_is_not_stored_does_not_wait(void **state)
{
	struct bench *b = *state;

	hold(b);
	bench_break_store(b, true);
	expect_error(b, apply(b, 3, true, NULL), RPC_DEGRADED, NULL);
	assert_false(gpu_is_draining(bench_gpu(b)));
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
	assert_int_equal(bench_gpu(b)->manual->n_vfs, 2);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
}

/* ---- the plan that was looked at ---- */

static char *plan_hash(struct bench *b, unsigned vfs)
{
	_cleanup_json_ json_t *layout = json_pack("{s:i,s:s}", "vfs", (int)vfs, "vram", "2GiB");
	struct gpu_plan_params p = { .gpu = (char *)"gpu0", .layout = layout };
	struct answer *a = answer_new();
	char *hash;

	manager_gpu_plan(b->m, &root_caller, &p, &a->reply);
	bench_wait(b, a);
	assert_non_null(a->result);
	assert_string_equal(json_get_string(a->result, "layout_source"), "manual");
	hash = strdup(json_get_string(a->result, "hash"));
	answer_free(a);
	return hash;
}

static void a_plan_is_looked_at_once_more(void **state)
{
	struct bench *b = *state;
	_cleanup_free_ char *hash = plan_hash(b, 3);
	struct answer *a;

	/* Somebody writes into sysfs, which tells nobody. */
	b->actors.gpu->resources[VF_ATTR_VRAM].free.value -= 4 * MIB;
	expect_error(b, apply(b, 3, false, hash), RPC_CONFLICT, "plan_changed");
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	assert_int_equal(bench_gpu(b)->manual->n_vfs, 2);
	assert_int_equal(b->actors.n_host[HOST_SET_NUMVFS], 1);

	/* Seen meanwhile, it is refused before it is accepted. */
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
	expect_error(b, apply(b, 3, false, hash), RPC_CONFLICT, "plan_changed");
	free(hash);
	hash = plan_hash(b, 3);
	hold(b);
	a = apply(b, 3, true, hash);
	bench_settle(b);
	let_go(b);
	expect_changed(b, a, true);
	assert_int_equal(bench_gpu(b)->n_vfs, 3);
}

static void a_plan_that_waited_is_looked_at_too(void **state)
{
	struct bench *b = *state;
	_cleanup_free_ char *hash = plan_hash(b, 3);
	struct answer *a;

	hold(b);
	a = apply(b, 3, true, hash);
	bench_settle(b);
	b->actors.gpu->resources[VF_ATTR_VRAM].free.value -= 4 * MIB;
	let_go(b);
	expect_error(b, a, RPC_CONFLICT, "plan_changed");
	assert_int_equal(bench_gpu(b)->n_vfs, 2);
	assert_int_equal(bench_gpu(b)->manual->n_vfs, 2);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

/* What made the plan another one is that somebody put the card right. */
static void a_refused_plan_looks_whether_the_card_is_whole(void **state)
{
	struct bench *b = *state;
	_cleanup_free_ char *hash = NULL;
	struct answer *a;

	hold(b);
	half_cut_by_hand(b);
	hash = plan_hash(b, 4);
	a = apply(b, 4, true, hash);
	bench_settle(b);
	fake_set_vfs(&b->actors, 2);
	let_go(b);
	expect_error(b, a, RPC_CONFLICT, "plan_changed");
	assert_null(bench_gpu(b)->half_cut);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

static void ending_answers_who_looks_at_a_plan(void **state)
{
	struct bench *b = *state;
	_cleanup_json_ json_t *layout = json_pack("{s:i}", "vfs", 0);
	struct gpu_plan_params p = { .gpu = (char *)"gpu0", .layout = layout };
	struct answer *a = answer_new();

	b->actors.host_held = ONE(HOST_HOLDERS);
	manager_gpu_plan(b->m, &root_caller, &p, &a->reply);
	bench_stop(b);
	expect_error(b, a, RPC_INTERNAL_ERROR, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_set_up_cut, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(nobody_new_comes),
		TEST(it_waits_until_all_have_left),
		TEST(a_vm_that_dies_leaves),
		TEST(a_drain_goes_on_after_a_restart),
		TEST(cancel_and_undrain_end_it),
		TEST(what_cannot_be_drained),
		TEST(what_is_not_stored_is_not_drained),
		TEST(wedged_and_back_it_is_drained_still),
		TEST(an_apply_waits_and_goes_on),
		TEST(a_drained_gpu_stays_so_after_its_cut),
		TEST(a_cancelled_one_changes_nothing),
		TEST(a_cancelled_one_looks_whether_the_card_is_whole),
		TEST(an_apply_that_waits_survives_a_restart),
		TEST(a_card_that_goes_ends_the_waiting),
		TEST(an_apply_that_is_not_stored_does_not_wait),
		TEST(a_plan_is_looked_at_once_more),
		TEST(a_plan_that_waited_is_looked_at_too),
		TEST(a_refused_plan_looks_whether_the_card_is_whole),
		TEST(ending_answers_who_looks_at_a_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
