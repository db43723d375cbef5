/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small pool of threads that make the blocking libvirt calls of one connection, at most four at a
 * time: libvirtd serves five per client connection, and a sixth would only wait there without a
 * deadline.
 *
 * Work with the same key (a VM's uuid) runs one after the other, in order, so that a stubborn guest
 * blocks itself only; a VM whose last call was slow gets at most half of the threads together with
 * the others like it. */
#pragma once

#include <libvirt/libvirt.h>

#include "lib/macros.h"

#define CALLS_IN_FLIGHT 4

struct call_pool;

/* Runs once on a thread of the pool.  connection is NULL when it was lost meanwhile; it lives until
 * the function returns. */
typedef void (*call_fn)(virConnectPtr connection, void *payload);

int call_pool_new(struct call_pool **ret);

/* Waits for the threads at most until `patience_usec`; one that is stuck in libvirt is left behind
 * with what it needs.  Work that did not begin is dropped with its drop function. */
struct call_pool *call_pool_stop(struct call_pool *p, uint64_t patience_usec);

static inline struct call_pool *call_pool_free(struct call_pool *p)
{
	return call_pool_stop(p, 0);
}
DEFINE_CLEANUP(struct call_pool *, call_pool_free);

/* Work that begins from now on gets this connection; the pool takes a reference of its own.  NULL =
 * lost. */
void call_pool_set_connection(struct call_pool *p, virConnectPtr connection);

/* key may be NULL.  drop frees a payload whose function never ran, because the pool was stopped;
 * without one the function runs even then.  Returns 0 or -ENOMEM, and then payload is still the
 * caller's. */
int call_pool_submit(struct call_pool *p, const char *key, call_fn fn, void *payload,
		     void (*drop)(void *));
