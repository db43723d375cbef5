/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An attempt against a made-up guest's agent, which runs the launcher for real, and which a test can silence, cut off, or
 * have answer what it wants. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/units.h"
#include "machine/sim-agent.h"
#include "runner/runner-internal.h"

#define BOOT_ID_FILE "proc/sys/kernel/random/boot_id"

/* A job that ends when it is told to, one that does not, and one that ends by itself when the test removes the file of
 * hold(). */
#define TRAPPER "trap 'echo stopped; exit 143' TERM; echo up; while :; do sleep 0.05; done"
#define STUBBORN "trap '' TERM; echo up; while :; do sleep 0.05; done"
#define COUNTING                                                                                   \
	"for i in 1 2 3; do echo line $i; done; while [ -e \"$GPUVF_VF\" ]; do sleep 0.05; done; " \
	"echo end"

/* ---- A hypervisor with one VM ---- */

struct question {
	struct question *next;
	json_t *command;
	hv_reply_fn fn;
	void *userdata;
};

struct fake {
	struct hypervisor base;
	sd_event *event;
	sd_event_source *defer;
	struct sim_agent *agent;
	struct question *first, **last;
	unsigned count; /* of commands so far */

	/* What a test does to the answers. */
	enum hv_failure failure; /* every command fails so */
	const char *only;        /* … or only this one */
	bool no_exec;
	unsigned hostile_at;   /* the command with this number, from 1, … */
	const char *hostile;   /* … is answered with this "return" */
	unsigned hostile_from; /* every one from this number on */
};

/* ---- The stage ---- */

struct fixture {
	struct fake fake;
	char top[64], root[96];
	int directory;
	struct runner_options options;
	json_t *documents[8]; /* of the options, freed at the end */
	size_t n_documents;
	struct runner *runner;
	bool timed_out;
	bool keeps_start; /* the test itself says that the start is noted */
	bool keeps_limit; /* … and stops what is over its limit */

	/* what came */
	unsigned starts, limits, started, steps, outputs, progresses, unreachable, reachable, stuck, devices;
	char boot_id[37];
	char step[256];
	struct runner_progress progress;
	bool ended;
	struct runner_result result;
	char reason[256];
	int free_at; /* callback number at which the runner is freed */
	int callbacks;
};

/* Of each test; also what jobs leave behind is reaped. */
int set_up(void **state);
int tear_down(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
void stage_begin(void); /* once in a program */

json_t *document(struct fixture *f, json_t *json); /* takes json, which lives as long as the stage; borrowed */
void plug(struct fixture *f);			     /* the VF into the guest */
void begin(struct fixture *f);			     /* a runner with the stage's options */
void run_shell(struct fixture *f, const char *text); /* … in a guest with its VF, for that command */
void hold(struct fixture *f, char path[static 256]); /* path: of the file until whose end COUNTING runs */
/* The daemon is another one; was_started: it knows of the start. */
void restart(struct fixture *f, bool was_started);

/* In the folder of the attempt on the host, and in the guest. */
void assert_file(struct fixture *f, const char *name, const char *expected);
bool file_has(struct fixture *f, const char *name, const char *part);
bool guest_has(struct fixture *f, const char *name);

int stage_on_deadline(sd_event_source *source, uint64_t usec, void *userdata);
/* Runs the loop until the condition holds; fails after a minute: the machine may be busy. */
#define run_until(f, condition)                                                                    \
	do {                                                                                       \
		sd_event_source *_timer = NULL;                                                    \
		assert_true(sd_event_add_time_relative((f)->fake.event, &_timer, CLOCK_MONOTONIC,  \
						       60 * USEC_PER_SEC, 0, stage_on_deadline,     \
						       (f)) >= 0);                                 \
		while (!(condition) && !(f)->timed_out)                                            \
			/* a condition may be a file of the guest, which wakes nobody */           \
			assert_true(sd_event_run((f)->fake.event, USEC_PER_SEC / 20) >= 0);        \
		sd_event_source_disable_unref(_timer);                                             \
		if (!(condition))                                                                  \
			print_message("# step %s, ended %d, %s\n", (f)->step, (f)->ended,          \
				      (f)->reason);                                                \
		assert_true(condition);                                                            \
	} while (0)

/* Makes a timer of the runner due: where it is over must not depend on how fast the machine is. */
void end_time(sd_event_source *timer);
