/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shared end of the libvirt threads' way to the loop.  Knows nothing of libvirt. */
#include "hypervisor/outbox.h"

#include <pthread.h>
#include <stdatomic.h>

struct outbox {
	atomic_uint refs;
	pthread_mutex_t lock;    /* guards closing against posting */
	struct mailbox *mailbox; /* NULL = closed */
};

int outbox_new(struct outbox **ret)
{
	struct outbox *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	r = mailbox_new(&o->mailbox);
	if (r < 0) {
		free(o);
		return r;
	}
	pthread_mutex_init(&o->lock, NULL);
	atomic_init(&o->refs, 1);
	*ret = o;
	return 0;
}

struct outbox *outbox_ref(struct outbox *o)
{
	atomic_fetch_add(&o->refs, 1);
	return o;
}

struct outbox *outbox_unref(struct outbox *o)
{
	if (!o || atomic_fetch_sub(&o->refs, 1) > 1)
		return NULL;
	mailbox_free(o->mailbox);
	pthread_mutex_destroy(&o->lock);
	free(o);
	return NULL;
}

int outbox_fd(const struct outbox *o)
{
	return mailbox_fd(o->mailbox);
}

int outbox_dispatch(struct outbox *o)
{
	return mailbox_dispatch(o->mailbox);
}

void outbox_close(struct outbox *o)
{
	struct mailbox *mailbox;

	pthread_mutex_lock(&o->lock);
	mailbox = TAKE_PTR(o->mailbox);
	pthread_mutex_unlock(&o->lock);
	/* outside the lock: payloads may hold references to this outbox */
	mailbox_free(mailbox);
}

int outbox_post(struct outbox *o, mailbox_fn fn, void *payload, void (*free_payload)(void *))
{
	int r = -EPIPE;

	pthread_mutex_lock(&o->lock);
	if (o->mailbox)
		r = mailbox_post(o->mailbox, fn, payload, free_payload);
	pthread_mutex_unlock(&o->lock);
	if (r == -EPIPE && free_payload)
		free_payload(payload);
	return r;
}
