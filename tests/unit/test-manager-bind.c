/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: free VFs of managed GPUs keep off the host's drivers, whoever made them.  train-b is off. */
#include "tests/support/manager-bench.h"

#include <unistd.h>

#define VF "gpu0/vf1"
#define VF2 "gpu0/vf2"

static const char rows[] = "SELECT count(*) FROM audit WHERE doc LIKE '%\"daemon:bind\"%'";

/* As somebody's `echo n > sriov_numvfs` leaves them while the host's driver probes VFs. */
static void made_by_others(struct bench *b, unsigned n)
{
	fake_set_vfs(&b->actors, 0);
	fake_set_vfs(&b->actors, n);
	for (unsigned i = 0; i < n; i++)
		b->actors.gpu->vfs[i].driver = strdup("xe");
}

/* The daemon sees none, and then them. */
static void cut_by_others(struct bench *b, unsigned n)
{
	fake_set_vfs(&b->actors, 0);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
	made_by_others(b, n);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
}

static unsigned binds(const struct bench *b)
{
	return b->actors.n_host[HOST_BIND_VFIO];
}

static void expect_driver(struct bench *b, unsigned vf, const char *driver)
{
	assert_string_equal(strempty(b->actors.gpu->vfs[vf - 1].driver), driver);
}

static void expect_on_vfio(struct bench *b, unsigned n)
{
	for (unsigned vf = 1; vf <= n; vf++)
		expect_driver(b, vf, "vfio-pci");
	for (unsigned vf = 0; vf < n; vf++)
		assert_true(bench_gpu(b)->vfs[vf]->bound);
}

/* What may be tried again is tried now. */
static void again(struct bench *b, const char *vf)
{
	bench_vf(b, vf)->unbound.retry_at = 0;
	manager_pump(b->m);
	bench_settle(b);
}

static bool has_trouble(struct bench *b, const char *subject)
{
	struct answer *a = answer_new();
	json_t *trouble;
	bool found = false;
	size_t i;

	manager_daemon_status(b->m, &root_caller, &(struct none_params){ 0 }, &a->reply);
	bench_wait(b, a);
	json_array_foreach(json_object_get(a->result, "troubles"), i, trouble)
		found |= streq_ptr(json_get_string(trouble, "what"), "off-vfio") &&
			 streq_ptr(json_get_string(trouble, "subject"), subject);
	answer_free(a);
	return found;
}

static void what_others_made_is_bound(void **state)
{
	struct bench *b = *state;
	unsigned before = binds(b);

	cut_by_others(b, 2);
	bench_settle(b);
	expect_on_vfio(b, 2);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
	assert_int_equal(binds(b), before + 2);
	assert_int_equal(bench_number(b, rows), 2);
	/* Once: it is there now. */
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
	assert_int_equal(binds(b), before + 2);
}

static void nobody_manages_it(void **state)
{
	struct bench *b = *state;

	bench_start(b);
	assert_int_equal(bench_gpu(b)->state, GPU_UNMANAGED);
	made_by_others(b, 2);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
	expect_driver(b, 1, "xe");
	assert_int_equal(binds(b), 0);
	/* From then on somebody does. */
	bench_cut(b, 2);
	expect_on_vfio(b, 2);
}

/* It stays free and is told; tried again after a while, and not by every look. */
static void one_that_fails_is_told_and_tried_again(void **state)
{
	struct bench *b = *state;
	unsigned before = binds(b);
	uint64_t first;

	b->actors.host_fault[HOST_BIND_VFIO] = -EIO;
	cut_by_others(b, 1);
	bench_settle(b);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
	assert_int_equal(binds(b), before + 1);
	assert_true(has_trouble(b, VF));
	for (unsigned i = 0; i < 3; i++) {
		fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
		bench_settle(b);
	}
	assert_int_equal(binds(b), before + 1);
	first = bench_vf(b, VF)->unbound.retry_at;
	assert_true(first > now_boottime() && b->m->bind_timer);
	again(b, VF);
	assert_int_equal(binds(b), before + 2);
	assert_true(bench_vf(b, VF)->unbound.retry_at > first + USEC_PER_SEC); /* a longer pause */
	assert_int_equal(bench_number(b, rows), 0);
	b->actors.host_fault[HOST_BIND_VFIO] = 0;
	again(b, VF);
	expect_on_vfio(b, 1);
	assert_false(has_trouble(b, VF));
	assert_int_equal(bench_number(b, rows), 1);
}

/* Somebody's rule of udev gives it back to the host at once: that is no reason to go round and round. */
static void one_that_is_taken_away_again_waits(void **state)
{
	struct bench *b = *state;
	unsigned before = binds(b);

	cut_by_others(b, 1);
	bench_settle(b);
	for (unsigned i = 0; i < 3; i++) {
		free(b->actors.gpu->vfs[0].driver);
		b->actors.gpu->vfs[0].driver = strdup("xe");
		b->actors.gpu->vfs[0].vfio = false;
		fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
		bench_settle(b);
	}
	assert_int_equal(binds(b), before + 1);
	again(b, VF);
	assert_int_equal(binds(b), before + 2);
	expect_on_vfio(b, 1);
}

/* It is the process's, and nothing is wrong with it; when that has closed it, it is the host's driver's no more. */
static void a_process_that_has_it_keeps_it(void **state)
{
	struct bench *b = *state;
	struct vf_holder holder = { .vf = 1, .pid = getpid(), .started.known = true, .uid = { true, 1234 },
				    .command = (char *)"media-server", .path = (char *)"/dev/dri/renderD129" };

	assert_int_equal(process_start_time(holder.pid, &holder.started.value), 0);
	b->actors.holders = &holder;
	b->actors.n_holders = 1;
	b->actors.host_fault[HOST_BIND_VFIO] = -EBUSY;
	cut_by_others(b, 1);
	bench_until(b, vf_find(b->m, VF) && bench_vf(b, VF)->state == VF_HELD);
	bench_settle(b);
	expect_driver(b, 1, "xe");
	assert_false(has_trouble(b, VF));
	b->actors.host_fault[HOST_BIND_VFIO] = 0;
	b->actors.n_holders = 0;
	processes_look(b->m, b->m->gpus);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	bench_settle(b);
	expect_on_vfio(b, 1);
}

static void not_while_it_is_drained(void **state)
{
	struct bench *b = *state;
	struct gpu_drain_params drain = { .gpu = (char *)"gpu0", .wait_usec = FOREVER };
	struct name_params undrain = { .name = (char *)"gpu0" };
	struct answer *a = answer_new();
	unsigned before = binds(b);

	manager_gpu_drain(b->m, &root_caller, &drain, &a->reply);
	expect_changed(b, a, true);
	cut_by_others(b, 2);
	bench_settle(b);
	assert_int_equal(binds(b), before);
	a = answer_new();
	manager_gpu_undrain(b->m, &root_caller, &undrain, &a->reply);
	expect_changed(b, a, true);
	bench_settle(b);
	expect_on_vfio(b, 2);
}

/* One that libvirt has not spoken of may be a VM's. */
static void not_without_libvirt(void **state)
{
	struct bench *b = *state;
	unsigned before = binds(b);

	fake_hv_event(&b->actors, HV_EVENT_LOST_CONNECTION, 0);
	bench_settle(b);
	cut_by_others(b, 2);
	bench_settle(b);
	assert_int_equal(binds(b), before);
	assert_int_equal(b->actors.hv.ops->start(&b->actors.hv), 0);
	bench_until(b, b->m->hypervisor_connected);
	bench_settle(b);
	expect_on_vfio(b, 2);
}

/* libvirt has the one of a definition with managed='yes' at the host until its VM starts. */
static void not_one_that_a_vm_is_to_have(void **state)
{
	struct bench *b = *state;

	fake_set_vfs(&b->actors, 0);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
	fake_hv_event(&b->actors, HV_EVENT_LOST_CONNECTION, 0);
	made_by_others(b, 2);
	fake_set_hostdev(&b->actors, 1, 1, false, true);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
	assert_int_equal(b->actors.hv.ops->start(&b->actors.hv), 0);
	bench_until(b, b->m->hypervisor_connected);
	bench_settle(b);
	expect_vf(b, VF, VF_RESERVED, LEASE_FOREIGN);
	expect_driver(b, 1, "xe");
	expect_driver(b, 2, "vfio-pci");
}

/* Nothing of it is stored: the next daemon sees the same, and does it. */
static void a_restart_in_the_middle(void **state)
{
	struct bench *b = *state;

	b->actors.host_held = ONE(HOST_BIND_VFIO);
	cut_by_others(b, 2);
	bench_settle(b);
	assert_non_null(bench_vf(b, VF)->handover);
	bench_stop(b);
	fake_forget(&b->actors);
	b->actors.host_held = 0;
	bench_start(b);
	expect_on_vfio(b, 2);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
	/* It vanishes while it is bound. */
	b->actors.host_held = ONE(HOST_BIND_VFIO);
	cut_by_others(b, 2);
	bench_settle(b);
	fake_set_vfs(&b->actors, 0);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
	assert_null(vf_find(b->m, VF));
	b->actors.host_fault[HOST_BIND_VFIO] = -ENODEV;
	fake_release(&b->actors, ONE(HOST_BIND_VFIO), 0);
	bench_settle(b);
	assert_int_equal(bench_gpu(b)->state, GPU_READY);
}

static void it_is_not_given_while_it_is_bound(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	b->actors.host_held = ONE(HOST_BIND_VFIO);
	cut_by_others(b, 1);
	bench_settle(b);
	a = bench_assign(b, "train-a", VF, FOREVER);
	bench_wait(b, a);
	assert_non_null(strstr(strempty(a->message), "being bound"));
	expect_error(b, a, RPC_CONFLICT, "not_free");
	fake_release(&b->actors, ONE(HOST_BIND_VFIO), 0);
	bench_settle(b);
	expect_changed(b, bench_assign(b, "train-a", VF, FOREVER), true);
}

/* What somebody asked for, and is about to be durable, does not meet a VF that is busy by our doing. */
static void an_operation_goes_first(void **state)
{
	struct bench *b = *state;
	struct vf_reset_params reset = { .vf = (char *)VF, .wait_usec = FOREVER };
	struct answer *a = answer_new();

	b->actors.host_fault[HOST_BIND_VFIO] = -EIO;
	cut_by_others(b, 1);
	bench_settle(b);
	b->actors.host_fault[HOST_BIND_VFIO] = 0;
	bench_vf(b, VF)->unbound.retry_at = 0;
	b->actors.host_held = ONE(HOST_BIND_VFIO);
	manager_vf_reset(b->m, &root_caller, &reset, &a->reply);
	manager_pump(b->m);
	expect_changed(b, a, true);
	bench_settle(b);
	fake_release(&b->actors, ONE(HOST_BIND_VFIO), 0);
	bench_settle(b);
	expect_on_vfio(b, 1);
}

#define CUT(f) cmocka_unit_test_setup_teardown(f, bench_set_up_cut, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CUT(what_others_made_is_bound),
		cmocka_unit_test_setup_teardown(nobody_manages_it, bench_set_up_stopped, bench_tear_down),
		CUT(one_that_fails_is_told_and_tried_again),
		CUT(one_that_is_taken_away_again_waits),
		CUT(a_process_that_has_it_keeps_it),
		CUT(not_while_it_is_drained),
		CUT(not_without_libvirt),
		CUT(not_one_that_a_vm_is_to_have),
		CUT(a_restart_in_the_middle),
		CUT(it_is_not_given_while_it_is_bound),
		CUT(an_operation_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
