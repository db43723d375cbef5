/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mailbox that may go away before those who post to it: libvirt's event thread never ends, and a
 * call that is stuck in libvirt ends when it likes.  They hold a reference to the outbox; closing
 * it makes their posts vanish. */
#pragma once

#include "lib/mailbox.h"

struct outbox;

int outbox_new(struct outbox **ret);
struct outbox *outbox_ref(struct outbox *o);
struct outbox *outbox_unref(struct outbox *o);
DEFINE_CLEANUP(struct outbox *, outbox_unref);

/* The loop's side. */
int outbox_fd(const struct outbox *o);
int outbox_dispatch(struct outbox *o);
void outbox_close(struct outbox *o); /* drops what was not delivered */

/* Any thread; as mailbox_post(), and when the outbox is closed the payload is freed: -EPIPE. */
int outbox_post(struct outbox *o, mailbox_fn fn, void *payload, void (*free_payload)(void *));
