/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: scheduling values of VFs in use (vf.tune), and what is wanted against what is there (gpu.assert). */
#include "tests/support/manager-bench.h"

#define NOTHING                                                                                    \
	{                                                                                          \
		.vram_bytes = TUNE_ABSENT, .ggtt_bytes = TUNE_ABSENT, .contexts = TUNE_ABSENT,     \
		.doorbells = TUNE_ABSENT, .exec_quantum = TUNE_ABSENT,                             \
		.preempt_timeout = TUNE_ABSENT, .priority = -1,                                    \
	}

static int set_up(void **state)
{
	bench_set_up_cut(state);
	((struct bench *)*state)->actors.log[0] = '\0';
	return 0;
}

static struct answer *tune(struct bench *b, struct vf_tune_params p)
{
	struct answer *a = answer_new();

	manager_vf_tune(b->m, &root_caller, &p, &a->reply);
	return a;
}

static struct vf_tune_params quantum(const char *vf, uint64_t ms)
{
	struct vf_tune_params p = NOTHING;

	p.vf = (char *)vf;
	p.exec_quantum = ms * USEC_PER_MSEC;
	return p;
}

static struct vf_tune_params priority(const char *vf, const char *gpu, enum vf_priority value)
{
	struct vf_tune_params p = NOTHING;

	p.vf = (char *)vf;
	p.gpu = (char *)gpu;
	p.priority = value;
	return p;
}

static uint64_t shown(struct bench *b, size_t i, enum vf_attribute attribute)
{
	assert_true(b->actors.gpu->vfs[i].values[attribute].known);
	return b->actors.gpu->vfs[i].values[attribute].value;
}

static void values_change_while_in_use(void **state)
{
	struct bench *b = *state;
	struct vf_tune_params p = quantum("gpu0/vf1", 20);
	struct answer *a;

	expect_changed(b, bench_assign(b, "train-a", "gpu0/vf1", FOREVER), true);
	p.preempt_timeout = 5000;
	a = tune(b, p);
	bench_wait(b, a);
	assert_int_equal(json_get_uint(json_object_get(a->result, "values"), "exec_quantum_ms", 0), 20);
	assert_int_equal(json_get_uint(json_object_get(a->result, "values"), "preempt_timeout_us", 0), 5000);
	assert_true(json_get_bool(a->result, "kept", false));
	answer_free(a);
	assert_string_equal(b->actors.log, "set-vf-attr exec_quantum_ms 20;set-vf-attr preempt_timeout_us 5000;");
	assert_int_equal(shown(b, 0, VF_ATTR_EXEC_QUANTUM), 20);
	assert_int_equal(shown(b, 1, VF_ATTR_EXEC_QUANTUM), 0);
	assert_null(bench_gpu(b)->drift);
	/* Again is no change, and no write. */
	b->actors.log[0] = '\0';
	expect_changed(b, tune(b, p), false);
	assert_string_equal(b->actors.log, "");
	assert_int_equal(bench_vf(b, "gpu0/vf1")->state, VF_ATTACHED);
}

static void the_layout_takes_them_over(void **state)
{
	struct bench *b = *state;

	expect_changed(b, tune(b, quantum("gpu0/vf2", 30)), true);
	bench_settle(b);
	bench_restart(b);
	assert_null(bench_gpu(b)->drift);
	assert_int_equal(vf_shape_number(&bench_gpu(b)->manual->vfs[1].shape, VF_ATTR_EXEC_QUANTUM).value, 30);
	assert_false(vf_shape_number(&bench_gpu(b)->manual->vfs[0].shape, VF_ATTR_EXEC_QUANTUM).known);
	/* The VFs go and come back, and the values with them. */
	fake_set_vfs(&b->actors, 0);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, bench_gpu(b)->drift);
	{
		struct gpu_apply_params p = { .gpu = (char *)"gpu0", .wait_usec = FOREVER };
		struct answer *a = answer_new();

		manager_gpu_apply(b->m, &root_caller, &p, &a->reply);
		expect_changed(b, a, true);
	}
	assert_int_equal(shown(b, 1, VF_ATTR_EXEC_QUANTUM), 30);
	assert_null(bench_gpu(b)->drift);
}

static void all_at_once_where_that_is_all_there_is(void **state)
{
	struct bench *b = *state;

	expect_error(b, tune(b, priority("gpu0/vf1", NULL, VF_PRIORITY_NORMAL)), RPC_UNSUPPORTED, "bulk_only");
	expect_changed(b, tune(b, priority(NULL, "gpu0", VF_PRIORITY_NORMAL)), true);
	assert_string_equal(b->actors.log, "set-bulk-attr sched_priority 1;");
	assert_int_equal(shown(b, 0, VF_ATTR_PRIORITY), VF_PRIORITY_NORMAL);
	assert_int_equal(shown(b, 1, VF_ATTR_PRIORITY), VF_PRIORITY_NORMAL);
	assert_null(bench_gpu(b)->drift);
	expect_changed(b, tune(b, priority(NULL, "gpu0", VF_PRIORITY_NORMAL)), false);
	/* What can be set one by one can be set for all. */
	{
		struct vf_tune_params p = quantum(NULL, 10);

		p.gpu = (char *)"gpu0";
		expect_changed(b, tune(b, p), true);
	}
	assert_int_equal(shown(b, 0, VF_ATTR_EXEC_QUANTUM), 10);
	assert_int_equal(shown(b, 1, VF_ATTR_EXEC_QUANTUM), 10);
}

static void what_is_refused(void **state)
{
	struct bench *b = *state;
	struct vf_tune_params p = NOTHING;
	struct answer *a;

	expect_error(b, tune(b, p), RPC_INVALID_PARAMS, NULL);
	p.vf = (char *)"gpu0/vf1";
	expect_error(b, tune(b, p), RPC_INVALID_PARAMS, NULL); /* nothing to change */
	p.vram_bytes = 4 * GIB;
	expect_error(b, tune(b, p), RPC_UNSUPPORTED, "fixed");
	p = quantum("gpu0/vf1", 20);
	p.gpu = (char *)"gpu0";
	expect_error(b, tune(b, p), RPC_INVALID_PARAMS, NULL);
	p = quantum("gpu0/vf1", 20);
	p.exec_quantum++;
	expect_error(b, tune(b, p), RPC_INVALID_PARAMS, NULL);
	expect_error(b, tune(b, quantum("gpu0/vf9", 20)), RPC_NOT_FOUND, "no_vf");
	expect_error(b, tune(b, priority(NULL, "gpu9", VF_PRIORITY_LOW)), RPC_NOT_FOUND, "no_gpu");
	b->actors.gpu->can[VF_ATTR_EXEC_QUANTUM].access = VF_ACCESS_READ;
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
	expect_error(b, tune(b, quantum("gpu0/vf1", 20)), RPC_UNSUPPORTED, "no_such_knob");
	b->actors.gpu->can[VF_ATTR_EXEC_QUANTUM].access = VF_ACCESS_WRITE;
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
	assert_string_equal(b->actors.log, "");

	/* An apply and a tune do not meet. */
	b->actors.host_held = ONE(HOST_SET_VF_ATTR);
	a = tune(b, quantum("gpu0/vf1", 20));
	bench_until(b, b->actors.n_host[HOST_SET_VF_ATTR] == 3);
	expect_error(b, bench_apply(b, 3, FOREVER), RPC_CONFLICT, "tuning");
	fake_release(&b->actors, ONE(HOST_SET_VF_ATTR), 0);
	expect_changed(b, a, true);
	b->actors.host_held = ONE(HOST_SET_NUMVFS);
	a = bench_apply(b, 3, FOREVER);
	bench_until(b, bench_gpu(b)->apply);
	expect_error(b, tune(b, quantum("gpu0/vf1", 20)), RPC_CONFLICT, "recutting");
	fake_release(&b->actors, ONE(HOST_SET_NUMVFS), 0);
	expect_changed(b, a, true);
	bench_cut(b, 0);
	expect_error(b, tune(b, priority(NULL, "gpu0", VF_PRIORITY_LOW)), RPC_CONFLICT, "no_vfs");
	fake_host_event(&b->actors, HOST_EVENT_STUCK, "exec_quantum_ms");
	expect_error(b, tune(b, priority(NULL, "gpu0", VF_PRIORITY_LOW)), RPC_WEDGED, NULL);
}

static void a_failed_one_is_undone(void **state)
{
	struct bench *b = *state;
	struct vf_tune_params p = quantum("gpu0/vf1", 20);

	p.preempt_timeout = 5000;
	b->actors.host_fault[HOST_SET_VF_ATTR] = -EIO;
	b->actors.host_fault_after[HOST_SET_VF_ATTR] = 1; /* the quantum is taken, the timeout is not */
	b->actors.host_fault_once = true;
	expect_error(b, tune(b, p), RPC_HOST_ERROR, NULL);
	assert_string_equal(b->actors.log, "set-vf-attr exec_quantum_ms 20;set-vf-attr exec_quantum_ms 0;");
	assert_int_equal(shown(b, 0, VF_ATTR_EXEC_QUANTUM), 0);
	bench_settle(b);
	assert_null(bench_gpu(b)->drift);
	assert_false(vf_shape_number(&bench_gpu(b)->manual->vfs[0].shape, VF_ATTR_EXEC_QUANTUM).known);
	assert_null(bench_gpu(b)->tunes);
}

static void a_restart_in_the_middle(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	b->actors.host_held = ONE(HOST_SET_VF_ATTR);
	a = tune(b, quantum("gpu0/vf1", 20));
	bench_until(b, b->actors.n_host[HOST_SET_VF_ATTR] == 3);
	bench_settle(b);
	bench_restart(b);
	expect_error(b, a, RPC_INTERNAL_ERROR, NULL);
	bench_until(b, operation_find(b->m, "op/2")->state == OPERATION_DONE);
	assert_int_equal(shown(b, 0, VF_ATTR_EXEC_QUANTUM), 20);
	assert_int_equal(vf_shape_number(&bench_gpu(b)->manual->vfs[0].shape, VF_ATTR_EXEC_QUANTUM).value, 20);
}

/* Both wait for the next daemon, which refuses neither because of the other. */
static void two_of_an_earlier_daemon(void **state)
{
	struct bench *b = *state;
	struct answer *first, *second;

	b->actors.host_held = ONE(HOST_SET_VF_ATTR);
	first = tune(b, quantum("gpu0/vf1", 8));
	second = tune(b, quantum("gpu0/vf2", 16));
	bench_settle(b);
	bench_restart(b);
	expect_error(b, first, RPC_INTERNAL_ERROR, NULL);
	expect_error(b, second, RPC_INTERNAL_ERROR, NULL);
	bench_until(b, operation_find(b->m, "op/3")->state >= OPERATION_DONE);
	assert_int_equal(operation_find(b->m, "op/2")->state, OPERATION_DONE);
	assert_int_equal(operation_find(b->m, "op/3")->state, OPERATION_DONE);
	assert_int_equal(shown(b, 0, VF_ATTR_EXEC_QUANTUM), 8);
	assert_int_equal(shown(b, 1, VF_ATTR_EXEC_QUANTUM), 16);
	assert_int_equal(vf_shape_number(&bench_gpu(b)->manual->vfs[0].shape, VF_ATTR_EXEC_QUANTUM).value, 8);
	assert_int_equal(vf_shape_number(&bench_gpu(b)->manual->vfs[1].shape, VF_ATTR_EXEC_QUANTUM).value, 16);
}

/* The first would find the second's value, and undo it. */
static void one_after_the_other(void **state)
{
	struct bench *b = *state;
	struct answer *first, *second;
	unsigned before = b->actors.n_host[HOST_SET_VF_ATTR];

	b->actors.host_held = ONE(HOST_SET_VF_ATTR);
	first = tune(b, quantum("gpu0/vf1", 8));
	second = tune(b, quantum("gpu0/vf1", 16));
	bench_until(b, b->actors.n_host[HOST_SET_VF_ATTR] > before);
	bench_settle(b);
	assert_int_equal(b->actors.n_host[HOST_SET_VF_ATTR], before + 1);
	b->actors.host_held = 0;
	fake_release(&b->actors, ONE(HOST_SET_VF_ATTR), 0);
	expect_changed(b, first, true);
	expect_changed(b, second, true);
	assert_string_equal(b->actors.log, "set-vf-attr exec_quantum_ms 8;set-vf-attr exec_quantum_ms 16;");
	assert_int_equal(shown(b, 0, VF_ATTR_EXEC_QUANTUM), 16);
	assert_int_equal(vf_shape_number(&bench_gpu(b)->manual->vfs[0].shape, VF_ATTR_EXEC_QUANTUM).value, 16);
	bench_settle(b);
	assert_null(bench_gpu(b)->drift);
	assert_null(bench_gpu(b)->tunes);
}

/* Until libvirt has answered nothing of an earlier daemon's goes on; a tune or a cut beside it would be undone by it. */
static void nothing_beside_what_an_earlier_daemon_left(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	b->actors.host_held = ONE(HOST_SET_VF_ATTR);
	a = tune(b, quantum("gpu0/vf1", 20));
	bench_until(b, b->actors.n_host[HOST_SET_VF_ATTR] == 3);
	bench_settle(b);
	b->no_hypervisor = true;
	bench_restart(b);
	expect_error(b, a, RPC_INTERNAL_ERROR, NULL);
	assert_true(gpu_has_inherited(b->m, bench_gpu(b)));
	expect_error(b, tune(b, quantum("gpu0/vf1", 30)), RPC_CONFLICT, "recutting");
	expect_error(b, bench_apply(b, 1, FOREVER), RPC_CONFLICT, "recutting");
	b->no_hypervisor = false;
	bench_restart(b);
	bench_until(b, operation_find(b->m, "op/2")->state == OPERATION_DONE);
	assert_int_equal(shown(b, 0, VF_ATTR_EXEC_QUANTUM), 20);
	expect_changed(b, tune(b, quantum("gpu0/vf1", 30)), true);
}

static void nothing_is_tuned_that_is_not_stored(void **state)
{
	struct bench *b = *state;

	bench_break_store(b, true);
	expect_error(b, tune(b, quantum("gpu0/vf1", 20)), RPC_DEGRADED, NULL);
	assert_string_equal(b->actors.log, "");
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
}

/* ---- gpu.assert ---- */

static json_t *asserted(struct bench *b, const char *gpu)
{
	struct gpu_some_params p = { .gpu = (char *)gpu };
	struct answer *a = answer_new();
	json_t *result;

	manager_gpu_assert(b->m, &root_caller, &p, &a->reply);
	bench_wait(b, a);
	assert_non_null(a->result);
	result = json_incref(a->result);
	answer_free(a);
	return result;
}

static void expect_differences(struct bench *b, size_t n, const char *text)
{
	_cleanup_json_ json_t *result = asserted(b, NULL);
	json_t *gpu = json_array_get(json_object_get(result, "gpus"), 0);
	json_t *differences = json_object_get(gpu, "differences");
	_cleanup_free_ char *all = json_text(differences);

	assert_int_equal(json_get_bool(result, "same", n > 0), n == 0);
	assert_int_equal(json_get_bool(gpu, "same", n > 0), n == 0);
	if (json_array_size(differences) != n || (text && !strstr(all, text)))
		fail_msg("%s", all);
}

static void wanted_against_what_is_there(void **state)
{
	struct bench *b = *state;

	expect_differences(b, 0, NULL);
	/* Written into sysfs by somebody, which tells nobody: the kernel is asked. */
	expect_changed(b, tune(b, quantum("gpu0/vf1", 20)), true);
	expect_changed(b, tune(b, quantum("gpu0/vf2", 20)), true);
	b->actors.gpu->vfs[0].values[VF_ATTR_EXEC_QUANTUM].value = 7;
	b->actors.gpu->vfs[1].values[VF_ATTR_EXEC_QUANTUM].value = 8;
	b->actors.gpu->vfs[1].values[VF_ATTR_VRAM].value = 1 * GIB;
	expect_differences(b, 3, "vf2");
	assert_non_null(bench_gpu(b)->drift);
	fake_set_vfs(&b->actors, 1);
	expect_differences(b, 1, "1 VF");
	b->actors.host_fault[HOST_READ] = -EIO;
	expect_differences(b, 1, "cannot be read");
	b->actors.host_fault[HOST_READ] = 0;
	fake_host_event(&b->actors, HOST_EVENT_STUCK, "sriov_numvfs");
	expect_differences(b, 1, "sriov_numvfs");
}

static void nothing_wanted_is_the_same(void **state)
{
	struct bench *b = *state;
	_cleanup_json_ json_t *result = NULL;
	struct gpu_some_params p = { .gpu = (char *)"gpu9" };
	struct answer *a = answer_new();

	manager_gpu_assert(b->m, &root_caller, &p, &a->reply);
	expect_error(b, a, RPC_NOT_FOUND, "no_gpu");
	bench_gpu(b)->manual = layout_free(bench_gpu(b)->manual);
	result = asserted(b, "gpu0");
	assert_true(json_get_bool(result, "same", false));
	assert_true(json_is_null(json_object_get(json_array_get(json_object_get(result, "gpus"), 0), "layout")));
}

/* ---- gpu.export ---- */

static void what_a_wish_leaves_open_is_exported(void **state)
{
	struct bench *b = *state;
	struct gpu_some_params p = { .gpu = (char *)"gpu0" };
	struct answer *a = answer_new();
	json_t *profiles;

	/* Nobody wants a time slice of vf1, so another one is no drift; it is the state all the same. */
	b->actors.gpu->vfs[0].values[VF_ATTR_EXEC_QUANTUM].value = 7;
	manager_gpu_export(b->m, &root_caller, &p, &a->reply);
	bench_wait(b, a);
	profiles = json_object_get(a->result, "profiles");
	assert_int_equal(json_array_size(profiles), 2);
	assert_string_equal(json_get_string(json_array_get(profiles, 0), "exec_quantum"), "7ms");
	assert_string_equal(json_get_string(json_array_get(profiles, 0), "vram"), "2GiB");
	assert_null(json_get_string(json_array_get(profiles, 1), "exec_quantum"));
	answer_free(a);

	b->actors.host_fault[HOST_READ] = -EIO;
	a = answer_new();
	manager_gpu_export(b->m, &root_caller, &p, &a->reply);
	bench_wait(b, a);
	assert_int_equal(json_array_size(json_object_get(a->result, "gpus")), 0);
	assert_non_null(strstr(json_get_string(a->result, "description"), "gpu0 at " FAKE_PF " is left out"));
	answer_free(a);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(values_change_while_in_use),
		TEST(the_layout_takes_them_over),
		TEST(all_at_once_where_that_is_all_there_is),
		TEST(what_is_refused),
		TEST(a_failed_one_is_undone),
		TEST(a_restart_in_the_middle),
		TEST(two_of_an_earlier_daemon),
		TEST(nothing_beside_what_an_earlier_daemon_left),
		TEST(one_after_the_other),
		TEST(nothing_is_tuned_that_is_not_stored),
		TEST(wanted_against_what_is_there),
		TEST(nothing_wanted_is_the_same),
		TEST(what_a_wish_leaves_open_is_exported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
