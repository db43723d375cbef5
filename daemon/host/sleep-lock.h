/* SPDX-License-Identifier: GPL-2.0-or-later */
/* logind's lock against suspend and hibernation, over D-Bus, without ever waiting for an answer.  Knows nothing
 * of VFs: the manager says whether it is wanted.  Where there is no D-Bus or no logind, there is no lock, and
 * sleep_lock_trouble() says so. */
#pragma once

#include "lib/macros.h"

struct sd_event;
struct sleep_lock;

/* about_to: the host goes to sleep now; else it is awake again, and nothing that was known counts. */
typedef void (*sleep_lock_fn)(void *userdata, bool about_to);

/* address NULL = the system bus.  Returns 0 or a negative errno; a bus that is not there yet is waited for. */
int sleep_lock_new(struct sd_event *event, const char *address, struct sleep_lock **ret);
struct sleep_lock *sleep_lock_free(struct sleep_lock *l);
DEFINE_CLEANUP(struct sleep_lock *, sleep_lock_free);

void sleep_lock_follow(struct sleep_lock *l, sleep_lock_fn fn, void *userdata);

/* Wants the lock, for a reason that `systemd-inhibit --list` shows, or (NULL) no longer. */
void sleep_lock_want(struct sleep_lock *l, const char *why);
bool sleep_lock_held(const struct sleep_lock *l); /* logind has granted it */
/* Why it could not be had now; NULL = nothing is wrong.  Borrowed. */
const char *sleep_lock_trouble(const struct sleep_lock *l);
