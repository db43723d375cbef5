/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads for blocking libvirt calls.  Knows neither the loop nor what a call does. */
#include "hypervisor/libvirt-calls.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <uthash.h>

#include "hypervisor/libvirt-library.h"
#include "lib/clock.h"
#include "lib/units.h"

/* A call of this length counts its VM as slow: libvirt gives a silent guest agent 5 s, a healthy
 * one answers in milliseconds, an emulated one in some tenths. */
#define SLOW_USEC (2 * USEC_PER_SEC)

struct vm_state {
	char key[40];
	bool busy;
	bool slow;
	unsigned queued;
	UT_hash_handle hh;
};

struct work {
	struct work *next;
	struct vm_state *vm; /* NULL: no key */
	call_fn fn;
	void *payload;
	void (*drop)(void *);
};

struct call_pool {
	atomic_uint refs;     /* the owner and each thread */
	pthread_mutex_t lock; /* guards everything below */
	pthread_cond_t wake;
	bool stopping;
	struct work *first, **last;
	struct vm_state *vms;
	unsigned slow_running;
	virConnectPtr connection;
	pthread_t threads[CALLS_IN_FLIGHT];
	size_t n_threads;
};

static void pool_unref(struct call_pool *p)
{
	if (atomic_fetch_sub(&p->refs, 1) > 1)
		return;
	if (p->connection)
		vir.ConnectClose(p->connection);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* ---- Queue, all under the lock ------------------------------------------------------------- */

static struct vm_state *vm_get(struct call_pool *p, const char *key)
{
	struct vm_state *vm;

	HASH_FIND_STR(p->vms, key, vm);
	if (vm)
		return vm;
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return NULL;
	strncpy(vm->key, key, sizeof(vm->key) - 1);
	HASH_ADD_STR(p->vms, key, vm);
	return vm;
}

/* A VM is remembered while it has work, and while it is known as slow and exists as such. */
static void vm_put(struct call_pool *p, struct vm_state *vm)
{
	if (vm->busy || vm->queued > 0 || vm->slow)
		return;
	HASH_DEL(p->vms, vm);
	free(vm);
}

static bool may_run(const struct call_pool *p, const struct work *w)
{
	if (!w->vm)
		return true;
	return !w->vm->busy && (!w->vm->slow || p->slow_running < CALLS_IN_FLIGHT / 2);
}

/* The first work that may run now. */
static struct work *take_work(struct call_pool *p)
{
	for (struct work **link = &p->first; *link; link = &(*link)->next) {
		struct work *w = *link;

		if (!may_run(p, w))
			continue;
		*link = w->next;
		if (p->last == &w->next)
			p->last = link;
		if (w->vm) {
			w->vm->queued--;
			w->vm->busy = true;
			p->slow_running += w->vm->slow;
		}
		return w;
	}
	return NULL;
}

static void work_done(struct call_pool *p, struct work *w, uint64_t spent)
{
	if (!w->vm)
		return;
	p->slow_running -= w->vm->slow;
	w->vm->slow = spent >= SLOW_USEC;
	w->vm->busy = false;
	vm_put(p, w->vm);
	/* what this VM or the slow ones still have waiting may run now */
	pthread_cond_broadcast(&p->wake);
}

/* ---- Threads ------------------------------------------------------------------------------- */

/* Called and returns with the lock held. */
static void run_work(struct call_pool *p, struct work *w)
{
	virConnectPtr connection = p->connection;
	uint64_t begin;

	if (connection)
		vir.ConnectRef(connection);
	pthread_mutex_unlock(&p->lock);

	begin = now_boottime();
	w->fn(connection, w->payload);
	if (connection)
		vir.ConnectClose(connection);

	pthread_mutex_lock(&p->lock);
	work_done(p, w, now_boottime() - begin);
	free(w);
}

static void *pool_thread(void *userdata)
{
	struct call_pool *p = userdata;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct work *w = take_work(p);

		if (w)
			run_work(p, w);
		else if (p->stopping)
			break;
		else
			pthread_cond_wait(&p->wake, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	pool_unref(p);
	return NULL;
}

/* Signals are the loop's; and libvirt writes to a socket that may be gone, which must not be a
 * SIGPIPE. */
static int start_thread(struct call_pool *p, pthread_t *ret)
{
	sigset_t all, saved;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	r = -pthread_create(ret, NULL, pool_thread, p);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return r;
}

int call_pool_new(struct call_pool **ret)
{
	struct call_pool *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	atomic_init(&p->refs, 1);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	p->last = &p->first;

	for (; p->n_threads < CALLS_IN_FLIGHT; p->n_threads++) {
		atomic_fetch_add(&p->refs, 1);
		r = start_thread(p, &p->threads[p->n_threads]);
		if (r < 0) {
			atomic_fetch_sub(&p->refs, 1);
			call_pool_stop(p, USEC_INFINITY);
			return r;
		}
	}
	*ret = p;
	return 0;
}

static void join_until(pthread_t thread, const struct timespec *until)
{
	if (pthread_timedjoin_np(thread, NULL, until) != 0)
		pthread_detach(thread);
}

/* Takes out what may be dropped; the rest is still run by the threads. */
static struct work *take_droppable(struct call_pool *p)
{
	struct work *dropped = NULL, **link = &p->first;

	while (*link) {
		struct work *w = *link;

		if (!w->drop) {
			link = &w->next;
			continue;
		}
		*link = w->next;
		if (w->vm)
			w->vm->queued--;
		w->next = dropped;
		dropped = w;
	}
	p->last = link;
	return dropped;
}

struct call_pool *call_pool_stop(struct call_pool *p, uint64_t patience_usec)
{
	struct work *dropped;
	struct timespec until;
	uint64_t end;

	if (!p)
		return NULL;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	dropped = take_droppable(p);
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);

	while (dropped) {
		struct work *next = dropped->next;

		dropped->drop(dropped->payload);
		free(dropped);
		dropped = next;
	}

	/* pthread_timedjoin_np() knows the wall clock only; a jump of it costs patience, nothing
	 * else */
	end = now_realtime() + MIN_OF(patience_usec, 3600 * USEC_PER_SEC);
	until.tv_sec = (time_t)(end / USEC_PER_SEC);
	until.tv_nsec = (long)(end % USEC_PER_SEC) * 1000;
	for (size_t i = 0; i < p->n_threads; i++)
		join_until(p->threads[i], &until);

	pthread_mutex_lock(&p->lock);
	for (struct vm_state *vm = p->vms, *next; vm; vm = next) {
		next = vm->hh.next;
		if (vm->busy || vm->queued > 0)
			continue; /* a thread that was left behind still uses it */
		HASH_DEL(p->vms, vm);
		free(vm);
	}
	pthread_mutex_unlock(&p->lock);
	pool_unref(p);
	return NULL;
}

void call_pool_set_connection(struct call_pool *p, virConnectPtr connection)
{
	virConnectPtr old;

	if (connection)
		vir.ConnectRef(connection);
	pthread_mutex_lock(&p->lock);
	old = p->connection;
	p->connection = connection;
	pthread_mutex_unlock(&p->lock);
	/* whoever opened it holds a reference until it was closed by a thread: this does not block
	 */
	if (old)
		vir.ConnectClose(old);
}

int call_pool_submit(struct call_pool *p, const char *key, call_fn fn, void *payload,
		     void (*drop)(void *))
{
	struct work *w = calloc(1, sizeof(*w));
	int r = 0;

	if (!w)
		return -ENOMEM;
	w->fn = fn;
	w->payload = payload;
	w->drop = drop;

	pthread_mutex_lock(&p->lock);
	if (key) {
		w->vm = vm_get(p, key);
		if (!w->vm)
			r = -ENOMEM;
		else
			w->vm->queued++;
	}
	if (r >= 0) {
		*p->last = w;
		p->last = &w->next;
		pthread_cond_signal(&p->wake);
	}
	pthread_mutex_unlock(&p->lock);
	if (r < 0)
		free(w);
	return r;
}
