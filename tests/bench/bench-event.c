/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one event costs, from the host's word to the facts being there, through the real helper processes: on a host
 * with one GPU and on one with 64, in turns, so that both see the same machine.  And what an apply costs
 * that has nothing to do.  Prints medians and their ratio; fails when a promise is broken.
 *
 * This program is its own helper. */
#include <stdio.h>
#include <sys/stat.h>

#include "host/host-ops.h"
#include "lib/clock.h"
#include "tests/support/fake-gpu.h"
#include "tests/support/manager-bench.h"

#define MANY 64
#define VFS 7
#define ROUNDS 401
#define RATIO_PROMISE 1.5 /* about 1: one GPU is read, however many there are */
#define NOTHING_PROMISE_USEC 2000.0
#define HELPER_FD 3

struct world {
	struct bench *b;
	struct fake_gpu fake;
	unsigned n;
	double took[ROUNDS];
};

static void world_begin(struct world *w, unsigned n)
{
	char pf[PCI_ADDRESS_STRLEN];

	w->n = n;
	fake_gpu_init(&w->fake);
	for (unsigned i = 0; i < n; i++) {
		fake_gpu_pf_name(i, pf);
		fake_gpu_add_pf(&w->fake, pf, VFS);
		fake_gpu_add_sriov_admin(&w->fake, pf, VFS);
		fake_gpu_enable_vfs(&w->fake, pf, VFS, 100 + i * VFS);
	}
	w->b = bench_new();
	assert_int_equal(host_helper_new(w->b->event, NULL, w->fake.root, false, &w->b->host), 0);
	bench_start(w->b);
	assert_int_equal(HASH_COUNT(w->b->m->gpus), n);
}

static void world_end(struct world *w)
{
	struct host *host = w->b->host;

	bench_stop(w->b);
	host_free(host);
	bench_free(w->b);
	fake_gpu_done(&w->fake);
}

static double usec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double one_event(struct world *w, unsigned round)
{
	struct host_event event = { .type = HOST_EVENT_CHANGED };
	char pf[PCI_ADDRESS_STRLEN];
	struct gpu *gpu;
	double begin;

	fake_gpu_pf_name(round % w->n, pf);
	assert_int_equal(pci_address_parse(pf, &event.gpu), 0);
	gpu = gpu_find_address(w->b->m, &event.gpu);
	assert_false(gpu->reading);
	begin = usec();
	manager_on_host_event(w->b->m, &event);
	assert_true(gpu->reading);
	bench_until(w->b, !gpu->reading);
	assert_int_equal(gpu->n_vfs, VFS);
	return usec() - begin;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2];
}

static void an_event_costs_one_gpu(void **state)
{
	struct world one = { 0 }, many = { 0 };
	double a, b;

	world_begin(&one, 1);
	world_begin(&many, MANY);
	/* Each helper is started by its first request, which is not what is measured. */
	for (unsigned i = 0; i < MANY; i++)
		(void)one_event(&many, i);
	for (unsigned i = 0; i < ROUNDS; i++) {
		one.took[i] = one_event(&one, i);
		many.took[i] = one_event(&many, i);
	}
	a = median(one.took);
	b = median(many.took);
	print_message("# event to facts, GPUs with %d VFs, %d rounds: 1 GPU %.0f us, %d GPUs %.0f us, ratio %.2f\n",
		      VFS, ROUNDS, a, MANY, b, b / a);
	world_end(&one);
	world_end(&many);
	assert_true(b / a < RATIO_PROMISE);
}

static void an_apply_with_nothing_to_do(void **state)
{
	struct bench *b = bench_new();
	double took[ROUNDS], m;
	char log[sizeof(b->actors.log)];

	bench_start(b);
	bench_cut(b, VFS);
	memcpy(log, b->actors.log, sizeof(log));
	for (unsigned i = 0; i < ROUNDS; i++) {
		double begin = usec();
		struct answer *a = bench_apply(b, VFS, USEC_INFINITY);

		bench_wait(b, a);
		took[i] = usec() - begin;
		expect_changed(b, a, false);
	}
	m = median(took);
	print_message("# apply with nothing to do, %d rounds: %.0f us in the daemon, no write\n", ROUNDS, m);
	assert_string_equal(b->actors.log, log);
	bench_free(b);
	assert_true(m < NOTHING_PROMISE_USEC);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_costs_one_gpu),
		cmocka_unit_test(an_apply_with_nothing_to_do),
	};

	if (argc > 3 && streq(argv[1], "--helper"))
		return host_helper_main(HELPER_FD, argv[3], false) < 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
