/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a first VF takes of the host's memory, and when that is refused. */
#include "hypervisor/pin-memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "hypervisor/libvirt-memory.h"

static void test_need(void **state)
{
	assert_int_equal(pin_need(16 * GIB, 4 * GIB), 12 * GIB);
	assert_int_equal(pin_need(16 * GIB, 17 * GIB), 0); /* QEMU's own counts too */
	assert_true(pin_fits(GIB, GIB + PIN_SPARE));
	assert_false(pin_fits(GIB, GIB + PIN_SPARE - 1));
	assert_false(pin_fits(1, PIN_SPARE - 1));
	assert_true(pin_fits(0, 0));
}

static void test_refusal(void **state)
{
	const struct known unknown = { 0 }, four = { true, 4 * GIB }, eight = { true, 8 * GIB };
	_cleanup_free_ char *much = pin_refusal(16 * GIB, four, eight, 0), *more = NULL;

	assert_string_equal(much, "a VF pins all of the guest's memory (16.0GiB): 12.0GiB more than now, and the host has "
				  "8.0GiB available, of which it keeps 256MiB");
	assert_null(pin_refusal(8 * GIB, four, eight, 0));
	/* what others are about to take is gone */
	assert_null(pin_refusal(8 * GIB, four, eight, 3 * GIB));
	more = pin_refusal(8 * GIB, four, eight, 4 * GIB);
	assert_non_null(strstr(more, "it keeps 256MiB and other VMs are about to take 4.0GiB"));
	assert_null(pin_refusal(4 * GIB, four, eight, 9 * GIB));
	/* nobody can say */
	assert_null(pin_refusal(0, four, eight, 0));
	assert_null(pin_refusal(16 * GIB, unknown, eight, 0));
	assert_null(pin_refusal(16 * GIB, four, unknown, 0));
}

static void test_meminfo(void **state)
{
	struct known k = pin_available("MemTotal:       32610664 kB\nMemFree:          512 kB\n"
				       "MemAvailable:   28311552 kB\nBuffers:  1 kB\n");

	assert_true(k.known);
	assert_int_equal(k.value, 27 * GIB);
	assert_false(pin_available("").known);
	assert_false(pin_available("MemAvailable: many kB\n").known);
	assert_false(pin_available("MemTotal: 1 kB\n").known); /* a kernel before 3.14 */
	assert_false(pin_available("MemAvailable: 18446744073709551615 kB\n").known);
}

/* ---- several at once ---- */

static atomic_uint looks;
static atomic_ullong gib_left; /* what the host has available */

static struct known look(void)
{
	atomic_fetch_add(&looks, 1);
	return (struct known){ true, atomic_load(&gib_left) * GIB };
}

static void *second_guest(void *userdata)
{
	uint64_t taken;

	*(char **)userdata = libvirt_memory_turn(8 * GIB, (struct known){ true, 2 * GIB }, look, &taken);
	libvirt_memory_done(taken);
	return NULL;
}

/* It looks, waits, and looks once more when the first one has what it takes, of which "left" is left. */
static char *after_the_first(unsigned long long left)
{
	uint64_t taken;
	char *why = NULL;
	pthread_t thread;

	atomic_store(&looks, 0);
	atomic_store(&gib_left, 12);
	assert_null(libvirt_memory_turn(8 * GIB, (struct known){ true, GIB }, look, &taken));
	assert_int_equal(taken, 7 * GIB);
	assert_int_equal(pthread_create(&thread, NULL, second_guest, &why), 0);
	while (atomic_load(&looks) < 2)
		sched_yield();
	atomic_store(&gib_left, left);
	libvirt_memory_done(taken);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(atomic_load(&looks) >= 3);
	return why;
}

static void test_one_after_the_other(void **state)
{
	_cleanup_free_ char *why = NULL, *enough = after_the_first(7); /* it took less: its guest had more by then */
	uint64_t taken;

	assert_null(enough);
	why = after_the_first(5);
	assert_non_null(strstr(why, "6.0GiB more than now, and the host has 5.0GiB available"));
	assert_null(strstr(why, "about to take"));
	/* both fit at once: nobody waits; nothing of the above is promised still */
	atomic_store(&gib_left, 12);
	assert_null(libvirt_memory_turn(4 * GIB, (struct known){ true, 0 }, look, &taken));
	assert_null(second_guest(&enough));
	assert_null(enough);
	libvirt_memory_done(taken);
	/* not known: nothing is promised */
	assert_null(libvirt_memory_turn(0, (struct known){ true, 0 }, look, &taken));
	assert_int_equal(taken, 0);
	assert_null(libvirt_memory_turn(GIB, (struct known){ 0 }, look, &taken));
	assert_int_equal(taken, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_need),
		cmocka_unit_test(test_refusal),
		cmocka_unit_test(test_meminfo),
		cmocka_unit_test(test_one_after_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
