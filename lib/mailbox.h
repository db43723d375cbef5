/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages from worker threads to the loop: a locked list behind an eventfd.
 *
 * Any thread posts; the loop watches mailbox_fd() for input and calls mailbox_dispatch(), which
 * runs each message's function on the loop's thread, in the order of posting.  Workers get copies
 * and give back results, so nothing else needs a lock. */
#pragma once

#include "lib/macros.h"

struct mailbox;

/* Runs on the loop.  payload belongs to the function. */
typedef void (*mailbox_fn)(void *payload);

int mailbox_new(struct mailbox **ret);
struct mailbox *mailbox_free(struct mailbox *m); /* undelivered payloads are dropped with their free function */
DEFINE_CLEANUP(struct mailbox *, mailbox_free);

int mailbox_fd(const struct mailbox *m);

/* Takes payload.  free_payload (may be NULL) is used when the mailbox goes away first.  Returns 0 or
 * -ENOMEM, and then the payload was freed. */
int mailbox_post(struct mailbox *m, mailbox_fn fn, void *payload, void (*free_payload)(void *));

/* Runs what is there now (not what is posted meanwhile).  Returns the number of messages. */
int mailbox_dispatch(struct mailbox *m);
