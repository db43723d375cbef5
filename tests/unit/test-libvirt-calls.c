/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pool of call threads: bounds, order within a VM, stubborn VMs, stopping.  No libvirt needed.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "hypervisor/libvirt-calls.h"
#include "lib/units.h"

#define PATIENCE (10 * USEC_PER_SEC)

/* What the threads of one test share. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned running, most_running, finished, dropped;
static bool gate_open;
static char order[64];
static size_t order_length;

static void reset(void)
{
	running = most_running = finished = dropped = 0;
	gate_open = false;
	order_length = 0;
	memset(order, 0, sizeof(order));
}

/* Waits, with the lock held, until *value reaches n; fails after ten seconds. */
static void wait_for(const unsigned *value, unsigned n)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	while (*value < n)
		assert_int_equal(pthread_cond_timedwait(&changed, &lock, &until), 0);
}

static void set_gate(bool open)
{
	pthread_mutex_lock(&lock);
	gate_open = open;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/* Counts itself as running until the gate opens. */
static void gated(virConnectPtr connection, void *payload)
{
	assert_null(connection);
	pthread_mutex_lock(&lock);
	running++;
	most_running = MAX_OF(most_running, running);
	if (payload)
		order[order_length++] = *(const char *)payload;
	pthread_cond_broadcast(&changed);
	while (!gate_open)
		pthread_cond_wait(&changed, &lock);
	running--;
	finished++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void drop(void *payload)
{
	dropped++;
}

static void test_four_at_a_time(void **state)
{
	struct call_pool *pool;

	reset();
	assert_int_equal(call_pool_new(&pool), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(call_pool_submit(pool, NULL, gated, NULL, drop), 0);

	pthread_mutex_lock(&lock);
	wait_for(&running, CALLS_IN_FLIGHT);
	pthread_mutex_unlock(&lock);
	set_gate(true);
	pthread_mutex_lock(&lock);
	wait_for(&finished, 20);
	assert_int_equal(most_running, CALLS_IN_FLIGHT);
	pthread_mutex_unlock(&lock);
	call_pool_stop(pool, PATIENCE);
	assert_int_equal(dropped, 0);
}

static void test_one_vm_in_order(void **state)
{
	struct call_pool *pool;

	reset();
	assert_int_equal(call_pool_new(&pool), 0);
	for (const char *c = "abcdefgh"; *c; c++)
		assert_int_equal(call_pool_submit(pool, "vm-1", gated, (void *)c, drop), 0);
	/* another VM passes the queue of the first */
	assert_int_equal(call_pool_submit(pool, "vm-2", gated, NULL, drop), 0);

	pthread_mutex_lock(&lock);
	wait_for(&running, 2);
	assert_int_equal(order_length, 1);
	pthread_mutex_unlock(&lock);
	set_gate(true);
	pthread_mutex_lock(&lock);
	wait_for(&finished, 9);
	assert_string_equal(order, "abcdefgh");
	assert_int_equal(most_running, 2);
	pthread_mutex_unlock(&lock);
	call_pool_stop(pool, PATIENCE);
}

static void test_stop_drops_and_runs(void **state)
{
	struct call_pool *pool;

	reset();
	assert_int_equal(call_pool_new(&pool), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(call_pool_submit(pool, "vm-1", gated, NULL, drop), 0);
	assert_int_equal(call_pool_submit(pool, "vm-1", gated, NULL, NULL), 0);
	pthread_mutex_lock(&lock);
	wait_for(&running, 1);
	pthread_mutex_unlock(&lock);

	/* no patience: the thread that is stuck is left behind and needs nothing of ours */
	call_pool_stop(pool, 0);
	assert_int_equal(dropped, 2);
	set_gate(true);
	pthread_mutex_lock(&lock);
	wait_for(&finished, 2);
	pthread_mutex_unlock(&lock);
}

static void slow(virConnectPtr connection, void *payload)
{
	const struct timespec long_time = { .tv_sec = 2, .tv_nsec = 100 * 1000 * 1000 };

	/* what is tested is the time that a call takes */
	nanosleep(&long_time, NULL);
	pthread_mutex_lock(&lock);
	finished++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void test_stubborn_vms_take_half(void **state)
{
	static const char *const stubborn[] = { "s1", "s2", "s3", "s4" };
	struct call_pool *pool;

	reset();
	assert_int_equal(call_pool_new(&pool), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(call_pool_submit(pool, stubborn[i], slow, NULL, drop), 0);
	pthread_mutex_lock(&lock);
	wait_for(&finished, 4);
	pthread_mutex_unlock(&lock);

	/* call_pool_submit() order would give them all four threads */
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(call_pool_submit(pool, stubborn[i], gated, (void *)"s", drop), 0);
	assert_int_equal(call_pool_submit(pool, "healthy", gated, (void *)"h", drop), 0);
	pthread_mutex_lock(&lock);
	wait_for(&running, 3);
	assert_int_equal(order_length, 3);
	assert_non_null(strchr(order, 'h'));
	pthread_mutex_unlock(&lock);
	set_gate(true);
	pthread_mutex_lock(&lock);
	wait_for(&finished, 9);
	pthread_mutex_unlock(&lock);
	call_pool_stop(pool, PATIENCE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_four_at_a_time),
		cmocka_unit_test(test_one_vm_in_order),
		cmocka_unit_test(test_stop_drops_and_runs),
		cmocka_unit_test(test_stubborn_vms_take_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
