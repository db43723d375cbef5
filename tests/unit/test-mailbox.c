/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages from several threads, in order, none lost, none twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "lib/mailbox.h"

#define THREADS 4
#define PER_THREAD 2000

struct letter {
	unsigned thread, number;
};

static unsigned next_of[THREADS], freed;

static void on_letter(void *payload)
{
	struct letter *letter = payload;

	assert_int_equal(letter->number, next_of[letter->thread]);
	next_of[letter->thread]++;
	free(letter);
}

static void free_letter(void *payload)
{
	freed++;
	free(payload);
}

struct sender {
	struct mailbox *mailbox;
	unsigned thread;
};

static void *send_letters(void *p)
{
	struct sender *sender = p;
	unsigned i;

	for (i = 0; i < PER_THREAD; i++) {
		struct letter *letter = malloc(sizeof(*letter));

		if (!letter)
			return (void *)"no memory";
		*letter = (struct letter){ sender->thread, i };
		if (mailbox_post(sender->mailbox, on_letter, letter, free_letter) < 0)
			return (void *)"not posted";
	}
	return NULL;
}

static void test_threads(void **state)
{
	_cleanup_(mailbox_freep) struct mailbox *m = NULL;
	struct sender senders[THREADS];
	pthread_t threads[THREADS];
	unsigned i, got = 0;
	void *failure;

	assert_int_equal(mailbox_new(&m), 0);
	for (i = 0; i < THREADS; i++) {
		senders[i] = (struct sender){ m, i };
		next_of[i] = 0;
		assert_int_equal(pthread_create(&threads[i], NULL, send_letters, &senders[i]), 0);
	}

	while (got < THREADS * PER_THREAD) {
		struct pollfd p = { .fd = mailbox_fd(m), .events = POLLIN };

		assert_int_equal(poll(&p, 1, 30000), 1);
		got += (unsigned)mailbox_dispatch(m);
	}

	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &failure), 0);
		assert_null(failure);
		assert_int_equal(next_of[i], PER_THREAD);
	}
	assert_int_equal(mailbox_dispatch(m), 0);
}

static struct mailbox *again;
static unsigned ran;

static void post_again(void *payload)
{
	ran++;
	assert_int_equal(mailbox_post(again, post_again, NULL, NULL), 0);
}

static void test_posted_meanwhile(void **state)
{
	struct pollfd p;

	assert_int_equal(mailbox_new(&again), 0);
	assert_int_equal(mailbox_post(again, post_again, NULL, NULL), 0);
	assert_int_equal(mailbox_dispatch(again), 1);
	assert_int_equal(ran, 1);

	p = (struct pollfd){ .fd = mailbox_fd(again), .events = POLLIN };
	assert_int_equal(poll(&p, 1, 0), 1); /* the new one wakes the loop again */
	assert_int_equal(mailbox_dispatch(again), 1);
	again = mailbox_free(again);
	assert_null(again);
}

static void test_undelivered(void **state)
{
	struct mailbox *m = NULL;
	unsigned i;

	freed = 0;
	assert_int_equal(mailbox_new(&m), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(mailbox_post(m, on_letter, malloc(1), free_letter), 0);
	assert_int_equal(mailbox_post(m, on_letter, NULL, NULL), 0);
	assert_null(mailbox_free(m));
	assert_int_equal(freed, 3);
	assert_null(mailbox_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_posted_meanwhile),
		cmocka_unit_test(test_undelivered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
