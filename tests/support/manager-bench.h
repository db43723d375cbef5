/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real manager over a real store in a temporary folder, with made-up actors; a daemon can be ended and
 * started again over the same state. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>

#include "manager-state.h"
#include "tests/support/fake-actors.h"

struct bench {
	char directory[64];
	sd_event *event;
	struct store *store;
	struct fake_actors actors;
	struct manager *m;
	json_t *config;
	bool serving, ready;
	bool no_wait; /* bench_start() returns at once */
	struct sleep_lock *sleep; /* NULL: nobody's */
	struct host *host;	  /* in place of the actors' */
	uint64_t assign_for; /* for_usec of bench_assign(); FOR_ABSENT unless set */
	pthread_mutex_t commit_gate; /* of bench_hold_store() */
	bool no_hypervisor; /* libvirt is not started with the daemon */
};

/* A call's answer. */
struct answer {
	struct reply reply;
	unsigned n; /* how often it was given: once */
	json_t *result;
	enum rpc_code code;
	char *reason;
	char *message;
};

#define FOREVER USEC_INFINITY
#define ONE(op) (1U << (op)) /* of the made-up actors' sets of operations */

struct bench *bench_new(void); /* folders, actors; no daemon yet */
void bench_policy(struct bench *b, const char *text); /* of the next daemon */
void bench_free(struct bench *b);
void bench_start(struct bench *b); /* a daemon; returns when it knows everything */
int bench_try_start(struct bench *b); /* … one that may not come up */
void bench_sql(struct bench *b, const char *sql); /* in state.db, while no daemon runs */
int64_t bench_number(struct bench *b, const char *sql); /* of state.db, while one does */
void bench_stop(struct bench *b);  /* … ends */
void bench_restart(struct bench *b);

struct answer *answer_new(void);
void answer_free(struct answer *a);
void bench_wait(struct bench *b, struct answer *a); /* until it is given */
void expect_error(struct bench *b, struct answer *a, enum rpc_code code, const char *reason); /* and frees */
/* Waits for a result, checks its member `changed` and frees the answer. */
void expect_changed(struct bench *b, struct answer *a, bool changed);

#define bench_until(b, condition)                                                                  \
	do {                                                                                       \
		for (unsigned _i = 0; !(condition); _i++) {                                        \
			if (_i > 10000 || sd_event_run((b)->event, 20 * USEC_PER_SEC) <= 0)        \
				fail_msg("never: %s", #condition);                                 \
		}                                                                                  \
	} while (0)

/* Until nothing is left to do but what the actors hold. */
void bench_settle(struct bench *b);

/* Every write of the store fails, or goes well again. */
void bench_break_store(struct bench *b, bool broken);
/* Whatever is at the store, or comes there, waits at its COMMIT until it is no longer held. */
void bench_hold_store(struct bench *b, bool held);
void bench_submit(struct bench *b); /* what was asked for is at the store; returns when the loop has nothing to do */

/* Methods, as root. */
struct answer *bench_apply(struct bench *b, unsigned vfs, uint64_t wait_usec);
struct answer *bench_assign(struct bench *b, const char *vm, const char *vf, uint64_t wait_usec);
struct answer *bench_release_as(struct bench *b, const struct vf_release_params *p);
struct answer *bench_release(struct bench *b, const char *vf, uint64_t wait_usec);
struct answer *bench_heal(struct bench *b, const char *vf);
void bench_cut(struct bench *b, unsigned vfs); /* apply, and wait until it is right */
struct vf *bench_vf(struct bench *b, const char *name);
struct gpu *bench_gpu(struct bench *b); /* gpu0 */
void expect_vf(struct bench *b, const char *name, enum vf_state state, enum lease_owner owner); /* and not busy */

/* cmocka's: *state is a bench … */
int bench_set_up_stopped(void **state); /* … without a daemon */
int bench_set_up(void **state);		/* … with one */
int bench_set_up_cut(void **state);	/* … that has cut gpu0 into two VFs */
int bench_tear_down(void **state);

extern const struct caller root_caller;
