/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager: clearing a VF's memory at the gate.  The card is an i915's whose quotas were set by hand, unless a test
 * changes that. */
#include "lib/units.h"
#include "tests/support/manager-bench.h"

#define VF "gpu0/vf1"
#define VRAM (2 * GIB) /* of bench_cut() */
#define TAKEN "set-vf-attr vram_quota 0;"
#define GIVEN "set-vf-attr vram_quota 2147483648;"

#define POLICY(reuse)                                                                                                  \
	"{\"version\": 1, \"profiles\": [{\"name\": \"any\"}], \"gpus\": [{\"match\": {}, \"layout\": "                      \
	"[{\"profile\": \"any\", \"count\": 2}], \"reuse\": \"" reuse "\"}]}"

static struct bench *begin(const char *policy)
{
	struct bench *b = bench_new();

	b->actors.gpu->vf_control = VF_CONTROL_I915;
	b->actors.gpu->custom_provisioning = true;
	bench_policy(b, policy);
	bench_start(b);
	bench_cut(b, 2);
	b->actors.log[0] = '\0';
	return b;
}

static int set_up(void **state)
{
	*state = begin(POLICY("scrubbed"));
	return 0;
}

static struct answer *assign(struct bench *b, const char *vm, const char *vf)
{
	return bench_assign(b, vm, vf, FOREVER);
}

static void use(struct bench *b, const char *vm, const char *vf)
{
	expect_changed(b, assign(b, vm, vf), true);
	expect_changed(b, bench_release(b, vf, FOREVER), true);
	bench_settle(b);
}

static struct answer *reset(struct bench *b, const char *vf)
{
	struct vf_reset_params p = { .vf = (char *)vf, .wait_usec = FOREVER };
	struct answer *a = answer_new();

	manager_vf_reset(b->m, &root_caller, &p, &a->reply);
	return a;
}

/* What the kernel shows is read again. */
static void changed(struct bench *b)
{
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_settle(b);
}

static void expect_said(struct bench *b, const char *vf, const char *member, const char *words)
{
	json_t *view = memory_view(b->m, bench_vf(b, vf));
	const char *text = json_get_string(view, member);

	if (words && (!text || !strstr(text, words)))
		fail_msg("%s is \"%s\" without \"%s\"", member, strempty(text), words);
	if (!words)
		assert_true(json_is_null(json_object_get(view, member)));
	json_decref(view);
}

static void expect_cleared(struct bench *b, const char *vf, unsigned index)
{
	expect_vf(b, vf, VF_FREE, LEASE_NONE);
	assert_int_equal(b->actors.quota[index], VRAM);
	assert_false(bench_vf(b, vf)->last_user.known || bench_vf(b, vf)->vram_taken.known);
	assert_int_equal(vf_facts_of(bench_vf(b, vf))->values[VF_ATTR_VRAM].value, VRAM);
	expect_said(b, vf, "scrubbed_at", "20");
	expect_said(b, vf, "last_uid", NULL);
}

static void after_each_user(void **state)
{
	struct bench *b = *state;

	expect_said(b, VF, "scrubbed_at", NULL);
	use(b, "train-a", VF);
	assert_non_null(strstr(b->actors.log, TAKEN GIVEN));
	expect_cleared(b, VF, 1);
	expect_said(b, VF, "mechanism", "vram-quota");
	expect_said(b, VF, "probed", "there and writable");
	expect_said(b, VF, "only_by_recut", NULL);
	bench_restart(b);
	expect_cleared(b, VF, 1);
	b->actors.vms[1]->state = VM_RUNNING;
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 1);
	expect_changed(b, assign(b, "train-b", VF), true);
	expect_said(b, VF, "scrubbed_at", NULL);
	expect_changed(b, bench_release(b, VF, FOREVER), true);
	expect_cleared(b, VF, 1);
}

/* Reset as ever, and waiting for its last user. */
static void expect_kept(struct bench *b, const char *why)
{
	b->actors.log[0] = '\0';
	use(b, "train-a", VF);
	assert_null(strstr(b->actors.log, "vram_quota"));
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
	expect_said(b, VF, "only_by_recut", why);
	expect_said(b, VF, "scrubbed_at", NULL);
	expect_error(b, assign(b, "train-b", VF), RPC_CONFLICT, "last_user");
}

static void where_no_way_is_there_it_is_kept(void **state)
{
	struct bench *b = *state;
	struct gpu_facts *f = b->actors.gpu;

	f->custom_provisioning = false;
	changed(b);
	expect_kept(b, "the driver shares VRAM out by itself");
	f->custom_provisioning = true;
	f->can[VF_ATTR_VRAM].access = VF_ACCESS_READ;
	changed(b);
	expect_kept(b, "for reading only");
	f->can[VF_ATTR_VRAM].access = VF_ACCESS_WRITE;
	f->tiles = 2;
	changed(b);
	expect_kept(b, "one file for each tile");
	f->tiles = 1;
	f->vf_control = VF_CONTROL_XE;
	changed(b);
	expect_kept(b, NULL);
}

/* The way is there by what was read before, and not any more when it is gone. */
static void what_counts_is_what_the_kernel_shows_now(void **state)
{
	struct bench *b = *state;

	b->actors.gpu->custom_provisioning = false;
	use(b, "train-a", VF);
	assert_null(strstr(b->actors.log, "vram_quota"));
	assert_true(bench_vf(b, VF)->last_user.known);
	b->actors.gpu->custom_provisioning = true;
	b->actors.gpu->vfs[0].values[VF_ATTR_VRAM].value = b->actors.quota[1] = 3 * GIB;
	expect_changed(b, reset(b, VF), true);
	assert_int_equal(b->actors.quota[1], 3 * GIB);
}

/* Others find one that was given back before their rule. */
static void a_reset_clears_it(void **state)
{
	struct bench *b = *state;

	b->actors.gpu->custom_provisioning = false;
	use(b, "train-a", VF);
	b->actors.gpu->custom_provisioning = true;
	expect_error(b, assign(b, "train-b", VF), RPC_CONFLICT, "last_user");
	changed(b);
	expect_changed(b, reset(b, VF), true);
	expect_cleared(b, VF, 1);
	expect_changed(b, reset(b, VF), true);
	assert_int_equal(b->actors.n_host[HOST_SET_VF_ATTR], 4); /* with two of the layout: nobody had it since */
}

static void only_where_the_policy_says_so(void **state)
{
	static const char *const policies[] = { POLICY("any"), POLICY("same-user") };

	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		struct bench *b = begin(policies[i]);

		use(b, "train-a", VF);
		assert_null(strstr(b->actors.log, "vram_quota"));
		assert_true(bench_vf(b, VF)->last_user.known);
		expect_said(b, VF, "mechanism", "vram-quota");
		bench_free(b);
	}
}

/* Once is enough to know it of the card. */
static void a_driver_that_refuses_is_asked_once(void **state)
{
	struct bench *b = *state;

	b->actors.host_fault[HOST_SET_VF_ATTR] = -EIO;
	b->actors.host_fault_once = true;
	use(b, "train-a", VF);
	assert_string_equal(b->actors.log, GIVEN);
	expect_vf(b, VF, VF_FREE, LEASE_NONE);
	assert_false(bench_vf(b, VF)->vram_taken.known);
	expect_said(b, VF, "mechanism", "recut");
	expect_said(b, VF, "only_by_recut", "did not take it from a VF that is on (Input/output error)");
	expect_said(b, VF, "scrubbed_at", NULL);
	expect_error(b, assign(b, "train-b", VF), RPC_CONFLICT, "last_user");
	use(b, "train-a", "gpu0/vf2");
	assert_string_equal(b->actors.log, GIVEN);
	fake_host_event(&b->actors, HOST_EVENT_BOUND, NULL);
	bench_settle(b);
	use(b, "train-a", "gpu0/vf2");
	expect_cleared(b, "gpu0/vf2", 2);
}

static void expect_owed(struct bench *b)
{
	expect_vf(b, VF, VF_QUARANTINED, LEASE_NONE);
	assert_non_null(strstr(bench_vf(b, VF)->reason, "could not be given back"));
	assert_int_equal(bench_vf(b, VF)->vram_taken.value, VRAM);
	assert_non_null(bench_gpu(b)->drift);
}

static void what_is_not_given_back_is_owed(void **state)
{
	struct bench *b = *state;

	b->actors.host_fault[HOST_SET_VF_ATTR] = -ENOSPC;
	b->actors.host_fault_after[HOST_SET_VF_ATTR] = 1;
	b->actors.host_fault_once = true;
	expect_changed(b, assign(b, "train-a", VF), true);
	expect_error(b, bench_release(b, VF, FOREVER), RPC_HOST_ERROR, NULL);
	bench_settle(b);
	assert_int_equal(b->actors.quota[1], 0);
	expect_owed(b);
	bench_restart(b);
	expect_owed(b);
	b->actors.quota_most = GIB;
	expect_error(b, bench_heal(b, VF), RPC_HOST_ERROR, NULL);
	bench_settle(b);
	assert_non_null(strstr(bench_vf(b, VF)->reason, "less than before"));
	expect_owed(b);
	b->actors.quota_most = 0;
	b->actors.gpu->vfs[0].values[VF_ATTR_VRAM].value = b->actors.quota[1] = 0;
	changed(b);
	b->actors.host_held = ONE(HOST_READ); /* what is known without it agrees with itself */
	expect_changed(b, bench_heal(b, VF), true);
	bench_settle(b);
	expect_cleared(b, VF, 1);
	assert_null(bench_gpu(b)->drift);
	assert_int_equal(bench_gpu(b)->facts->resources[VF_ATTR_VRAM].free.value, 14 * GIB - VRAM);
	fake_release(&b->actors, ONE(HOST_READ), 0);
	bench_settle(b);
	assert_null(bench_gpu(b)->drift);
}

static void begin_release(struct bench *b)
{
	struct answer *a;

	expect_changed(b, assign(b, "train-a", VF), true);
	a = bench_release(b, VF, 0);
	bench_wait(b, a);
	answer_free(a);
}

/* Also under another policy: it is not left without memory. */
static void a_daemon_that_dies_in_between(void **state)
{
	struct bench *b = *state;

	for (int other = 0; other < 2; other++) {
		begin_release(b);
		bench_until(b, b->actors.quota[1] == 0);
		b->actors.host_held = ONE(HOST_SET_VF_ATTR);
		changed(b); /* nobody takes it for drift */
		assert_int_equal(vf_facts_of(bench_vf(b, VF))->values[VF_ATTR_VRAM].value, 0);
		assert_null(bench_gpu(b)->drift);
		if (other)
			bench_policy(b, POLICY("any"));
		bench_restart(b);
		fake_release(&b->actors, ONE(HOST_SET_VF_ATTR), 0);
		bench_settle(b);
		expect_cleared(b, VF, 1);
		assert_null(bench_gpu(b)->drift);
	}
}

/* A daemon that died in between would leave it with nothing, and nobody would know how much it had. */
static void what_cannot_be_stored_is_not_taken(void **state)
{
	struct bench *b = *state;
	struct answer *a;

	b->actors.host_held = ONE(HOST_READ);
	expect_changed(b, assign(b, "train-a", VF), true);
	a = bench_release(b, VF, 0);
	bench_wait(b, a);
	answer_free(a);
	bench_until(b, bench_vf(b, VF)->state == VF_RESETTING && b->actors.n_host[HOST_PROBE_VF] > 0);
	bench_settle(b);
	bench_break_store(b, true);
	fake_release(&b->actors, ONE(HOST_READ), 0);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	assert_null(strstr(b->actors.log, "vram_quota"));
	assert_int_equal(b->actors.quota[1], VRAM);
	assert_true(bench_vf(b, VF)->last_user.known);
	assert_false(bench_vf(b, VF)->vram_taken.known);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	expect_changed(b, reset(b, VF), true);
	expect_cleared(b, VF, 1);
}

/* Held back: a card that is not there any more is asked for nothing. */
static void a_vf_that_goes_meanwhile(void **state)
{
	struct bench *b = *state;

	begin_release(b);
	bench_until(b, bench_vf(b, VF)->vram_taken.known);
	b->actors.host_held = ONE(HOST_SET_VF_ATTR);
	bench_settle(b);
	fake_set_vfs(&b->actors, 0);
	changed(b);
	fake_release(&b->actors, ONE(HOST_SET_VF_ATTR), 0);
	bench_settle(b);
	assert_int_equal(b->m->gpus->n_vfs, 0);
	assert_int_equal(bench_number(b, "SELECT count(*) FROM lease"), 0);
}

/* managed='yes': first it is taken from the host's driver again. */
static void after_libvirt_gave_it_to_the_host(void **state)
{
	struct bench *b = *state;
	struct vf_facts *f = &b->actors.gpu->vfs[0];

	b->actors.host_held = ONE(HOST_RESET_VF);
	begin_release(b);
	bench_settle(b);
	f->vfio = false;
	(void)free_and_strdup(&f->driver, "i915");
	fake_release(&b->actors, ONE(HOST_RESET_VF), 0);
	bench_settle(b);
	assert_true(f->vfio);
	expect_cleared(b, VF, 1);
}

static void a_vf_without_vram_is_not_called_cleared(void **state)
{
	struct bench *b = *state;

	b->actors.gpu->vfs[0].values[VF_ATTR_VRAM].value = b->actors.quota[1] = 0;
	use(b, "train-a", VF);
	assert_null(strstr(b->actors.log, "vram_quota"));
	assert_true(bench_vf(b, VF)->last_user.known);
	expect_said(b, VF, "scrubbed_at", NULL);
}

/* A driver of the host works with its memory. */
static void not_while_the_host_uses_it(void **state)
{
	struct bench *b = *state;
	struct vf_facts *f = &b->actors.gpu->vfs[0];

	bench_vf(b, VF)->last_user = (struct known){ true, 1001 };
	f->vfio = false;
	(void)free_and_strdup(&f->driver, "i915");
	expect_changed(b, reset(b, VF), true);
	assert_null(strstr(b->actors.log, "vram_quota"));
	assert_true(bench_vf(b, VF)->last_user.known);
}

static void each_way_says_what_is_known(void **state)
{
	static const struct {
		enum vf_control way;
		unsigned device_id;
		enum vf_access vram;
		const char *mechanism, *what;
	} rows[] = {
		{ VF_CONTROL_XE, 0x56c0, VF_ACCESS_WRITE, NULL, "not known: by its source xe clears" },
		{ VF_CONTROL_XE_DEBUGFS, 0x56c0, VF_ACCESS_WRITE, NULL, "no file tells that it was done" },
		{ VF_CONTROL_I915, 0x56c0, VF_ACCESS_WRITE, "vram-quota", "by taking its quota and giving it back" },
		{ VF_CONTROL_I915, 0x56c0, VF_ACCESS_READ, "recut", "with each re-cut" },
		{ VF_CONTROL_I915, 0x56c0, VF_ACCESS_NONE, NULL, "no lmem_quota" },
		{ VF_CONTROL_GENERIC, 0x56c0, VF_ACCESS_NONE, NULL, "not known" },
		{ VF_CONTROL_I915, 0x4680, VF_ACCESS_NONE, "guest-memory", "no memory of its own" },
		{ VF_CONTROL_XE, 0x4680, VF_ACCESS_NONE, "guest-memory", "no memory of its own" },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		b->m->gpus->facts->vf_control = rows[i].way;
		b->m->gpus->facts->device_id = rows[i].device_id;
		b->m->gpus->facts->can[VF_ATTR_VRAM].access = rows[i].vram;
		expect_said(b, VF, "mechanism", rows[i].mechanism);
		expect_said(b, VF, "what", rows[i].what);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(after_each_user),
		TEST(where_no_way_is_there_it_is_kept),
		TEST(what_counts_is_what_the_kernel_shows_now),
		TEST(a_reset_clears_it),
		cmocka_unit_test(only_where_the_policy_says_so),
		TEST(a_driver_that_refuses_is_asked_once),
		TEST(what_is_not_given_back_is_owed),
		TEST(a_daemon_that_dies_in_between),
		TEST(what_cannot_be_stored_is_not_taken),
		TEST(a_vf_that_goes_meanwhile),
		TEST(after_libvirt_gave_it_to_the_host),
		TEST(a_vf_without_vram_is_not_called_cleared),
		TEST(not_while_the_host_uses_it),
		TEST(each_way_says_what_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
