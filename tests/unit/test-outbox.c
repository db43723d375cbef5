/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The outbox: posting from many threads, and posting to one that was closed. */
#include <pthread.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include <cmocka.h>

#include "hypervisor/outbox.h"

#define THREADS 4
#define POSTS 1000

static unsigned received;
static atomic_uint freed;

static void receive(void *payload)
{
	received++;
	free(payload);
}

static void drop(void *payload)
{
	atomic_fetch_add(&freed, 1);
	free(payload);
}

/* Takes its reference to the outbox along. */
static void *poster(void *userdata)
{
	_cleanup_(outbox_unrefp) struct outbox *o = userdata;

	for (unsigned i = 0; i < POSTS; i++) {
		char *payload = strdup("text");

		assert_non_null(payload);
		(void)outbox_post(o, receive, payload, drop);
	}
	return NULL;
}

static void start(struct outbox *o, pthread_t threads[THREADS])
{
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, poster, outbox_ref(o)), 0);
}

static void join(pthread_t threads[THREADS])
{
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void test_many_threads(void **state)
{
	pthread_t threads[THREADS];
	struct outbox *o;

	received = 0;
	atomic_store(&freed, 0);
	assert_int_equal(outbox_new(&o), 0);
	start(o, threads);
	while (received < THREADS * POSTS) {
		struct pollfd fd = { .fd = outbox_fd(o), .events = POLLIN };

		assert_int_equal(poll(&fd, 1, 10000), 1);
		outbox_dispatch(o);
	}
	join(threads);
	outbox_close(o);
	outbox_unref(o);
	assert_int_equal(atomic_load(&freed), 0);
}

static void test_closed_while_posting(void **state)
{
	pthread_t threads[THREADS];
	struct outbox *o;

	received = 0;
	atomic_store(&freed, 0);
	assert_int_equal(outbox_new(&o), 0);
	start(o, threads);
	outbox_close(o);
	assert_int_equal(outbox_post(o, receive, strdup("late"), drop), -EPIPE);
	outbox_unref(o);
	join(threads);
	/* each payload was freed by somebody, none twice */
	assert_int_equal(received, 0);
	assert_int_equal(atomic_load(&freed), THREADS * POSTS + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_closed_while_posting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
