/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: memory between users.  Who asks is the caller's uid; the daemon's own is this process's. */
#include "tests/support/manager-bench.h"

#define VF "gpu0/vf1"

static const char same_user[] =
	"{\"version\": 1, \"profiles\": [{\"name\": \"any\"}],"
	" \"gpus\": [{\"match\": {}, \"layout\": [{\"profile\": \"any\", \"count\": 2}], \"reuse\": \"same-user\"}]}";

static const struct caller eve = { .uid = 1001, .role = ROLE_OPERATOR };
static const struct caller adam = { .uid = 1002, .role = ROLE_OPERATOR };

static struct bench *begin(const char *policy)
{
	struct bench *b = bench_new();

	if (policy)
		bench_policy(b, policy);
	bench_start(b);
	bench_cut(b, 2);
	return b;
}

static int set_up(void **state)
{
	*state = begin(same_user);
	return 0;
}

static int set_up_any(void **state)
{
	*state = begin(NULL);
	return 0;
}

static struct answer *assign_to(struct bench *b, const struct caller *who, const char *vm, const char *vf)
{
	struct vf_assign_params p = { .vm = (char *)vm, .vf = (char *)vf, .wait_usec = FOREVER,
				      .for_usec = FOR_ABSENT };
	struct answer *a = answer_new();

	manager_vf_assign(b->m, who, &p, &a->reply);
	return a;
}

static struct answer *assign_as(struct bench *b, const struct caller *who, const char *vf)
{
	return assign_to(b, who, "train-a", vf);
}

static void use(struct bench *b, const struct caller *who, const char *vf)
{
	expect_changed(b, assign_as(b, who, vf), true);
	expect_changed(b, bench_release(b, vf, FOREVER), true);
	bench_settle(b);
}

/* As after a job of hers. */
static void used_by_a_job_of_eve(struct bench *b, const char *vf)
{
	use(b, &eve, vf);
	bench_vf(b, vf)->last_vm[0] = '\0';
	vf_store(b->m, bench_vf(b, vf));
	bench_settle(b);
}

/* Whoever gives it there. */
static void only_the_last_vm_gets_it(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	b->actors.vms[1]->state = VM_RUNNING;
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	use(b, &eve, VF);
	a = assign_to(b, &eve, "train-b", VF);
	bench_wait(b, a);
	assert_non_null(strstr(a->message, "gpu0/vf1 is kept for VM train-a, which had it last"));
	expect_error(b, a, RPC_CONFLICT, "last_user");
	assert_int_equal(vf_only_for(b->m, bench_vf(b, VF)).value, NOBODYS_JOB);
	use(b, &adam, VF);
	bench_restart(b);
	expect_error(b, assign_to(b, &adam, "train-b", VF), RPC_CONFLICT, "last_user");
	bench_cut(b, 3);
	expect_changed(b, assign_to(b, &adam, "train-b", VF), true);
}

/* Its job is over, and whoever works in that VM has it. */
static void what_a_guest_keeps_of_a_job_is_its_vms(void **state)
{
	struct bench *b = *state;
	struct vf *vf = bench_vf(b, VF);

	expect_changed(b, assign_as(b, &eve, VF), true);
	vf_lease_pass(b->m, vf, LEASE_JOB, 7);
	assert_string_equal(vf->last_vm, "");
	assert_int_equal(vf_only_for(b->m, vf).value, 1001);
	vf_lease_pass(b->m, vf, LEASE_KEPT, 0);
	assert_string_equal(vf->last_vm, "");
	vf_lease_pass(b->m, vf, LEASE_VM, 0);
	assert_string_equal(vf->last_vm, vf->lease.vm_uuid);
	assert_int_equal(vf_only_for(b->m, vf).value, NOBODYS_JOB);
}

static void only_the_last_user_gets_it(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	used_by_a_job_of_eve(b, VF);
	assert_int_equal(vf_only_for(b->m, bench_vf(b, VF)).value, 1001);
	a = assign_as(b, &adam, VF);
	bench_wait(b, a);
	assert_non_null(strstr(a->message, "gpu0/vf1 is kept for its last user (uid 1001)"));
	expect_error(b, a, RPC_CONFLICT, "last_user");
	/* Another that nobody had is open to all. */
	used_by_a_job_of_eve(b, "gpu0/vf2");
	a = assign_as(b, &root_caller, NULL);
	bench_wait(b, a);
	assert_non_null(strstr(a->message, "; gpu0/vf1 is kept for its last user (uid 1001)"));
	assert_non_null(strstr(a->message, "; 1 more are kept so"));
	expect_error(b, a, RPC_NO_FIT, "none_free");
	use(b, &eve, VF);
}

static void it_survives_a_restart(void **state)
{
	struct bench *b = *state;

	used_by_a_job_of_eve(b, VF);
	bench_restart(b);
	assert_int_equal(bench_number(b, "SELECT json_extract(doc, '$.last_uid') FROM lease WHERE id LIKE '%/1'"), 1001);
	expect_error(b, assign_as(b, &adam, VF), RPC_CONFLICT, "last_user");
	use(b, &eve, VF);
}

static void a_recut_makes_it_anybodys(void **state)
{
	struct bench *b = *state;

	use(b, &eve, VF);
	bench_cut(b, 3);
	assert_false(bench_vf(b, VF)->last_user.known);
	bench_restart(b);
	use(b, &adam, VF);
}

/* The guest never had it. */
static void an_attach_that_failed_early_leaves_the_user(void **state)
{
	struct bench *b = *state;

	bench_vf(b, VF)->bound = false;
	b->actors.host_fault[HOST_BIND_VFIO] = -EIO;
	expect_error(b, assign_as(b, &eve, VF), RPC_HOST_ERROR, NULL);
	assert_false(bench_vf(b, VF)->last_user.known);
}

static void an_attach_that_libvirt_refused_leaves_the_user(void **state)
{
	struct bench *b = *state;

	b->actors.hv_fault[HV_ATTACH] = HV_NO_MEMORY;
	expect_error(b, assign_as(b, &eve, VF), RPC_NO_FIT, "no_memory");
	bench_settle(b);
	assert_false(bench_vf(b, VF)->last_user.known);
	b->actors.hv_fault[HV_ATTACH] = HV_OK;
	used_by_a_job_of_eve(b, VF);
	b->actors.hv_fault[HV_ATTACH] = HV_NO_MEMORY;
	expect_error(b, assign_as(b, &eve, VF), RPC_NO_FIT, "no_memory");
	bench_settle(b);
	assert_string_equal(bench_vf(b, VF)->last_vm, "");
	assert_int_equal(bench_vf(b, VF)->last_user.value, 1001);
}

static void without_the_rule_it_is_anybodys(void **state)
{
	struct bench *b = *state;
	json_t *view;

	use(b, &eve, VF);
	view = memory_view(b->m, bench_vf(b, VF));
	assert_string_equal(json_get_string(view, "reuse"), "any");
	assert_null(json_get_string(view, "mechanism"));
	assert_non_null(strstr(json_get_string(view, "what"), "not known"));
	assert_int_equal(json_get_uint(view, "last_uid", 0), 1001);
	json_decref(view);
	use(b, &adam, VF);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, bench_tear_down)
#define TEST_ANY(f) cmocka_unit_test_setup_teardown(f, set_up_any, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_the_last_vm_gets_it),
		TEST(what_a_guest_keeps_of_a_job_is_its_vms),
		TEST(only_the_last_user_gets_it),
		TEST(it_survives_a_restart),
		TEST(a_recut_makes_it_anybodys),
		TEST(an_attach_that_failed_early_leaves_the_user),
		TEST(an_attach_that_libvirt_refused_leaves_the_user),
		TEST_ANY(without_the_rule_it_is_anybodys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
