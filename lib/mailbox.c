/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The only way from a worker thread to the loop.  Knows neither sd-event nor what a message means. */
#include "lib/mailbox.h"

#include <pthread.h>
#include <sys/eventfd.h>

struct message {
	struct message *next;
	mailbox_fn fn;
	void *payload;
	void (*free_payload)(void *);
};

struct mailbox {
	pthread_mutex_t lock; /* guards first and last */
	struct message *first, **last;
	int fd;
};

int mailbox_new(struct mailbox **ret)
{
	struct mailbox *m;
	int r;

	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;

	m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->fd < 0) {
		r = -errno;
		free(m);
		return r;
	}

	pthread_mutex_init(&m->lock, NULL);
	m->last = &m->first;
	*ret = m;
	return 0;
}

static struct message *take_all(struct mailbox *m)
{
	struct message *list;

	pthread_mutex_lock(&m->lock);
	list = m->first;
	m->first = NULL;
	m->last = &m->first;
	pthread_mutex_unlock(&m->lock);
	return list;
}

struct mailbox *mailbox_free(struct mailbox *m)
{
	struct message *list, *next;

	if (!m)
		return NULL;

	for (list = take_all(m); list; list = next) {
		next = list->next;
		if (list->free_payload)
			list->free_payload(list->payload);
		free(list);
	}

	safe_close(m->fd);
	pthread_mutex_destroy(&m->lock);
	free(m);
	return NULL;
}

int mailbox_fd(const struct mailbox *m)
{
	return m->fd;
}

int mailbox_post(struct mailbox *m, mailbox_fn fn, void *payload, void (*free_payload)(void *))
{
	const uint64_t one = 1;
	struct message *message;
	ssize_t n;

	message = calloc(1, sizeof(*message));
	if (!message) {
		if (free_payload)
			free_payload(payload);
		return -ENOMEM;
	}

	message->fn = fn;
	message->payload = payload;
	message->free_payload = free_payload;

	pthread_mutex_lock(&m->lock);
	*m->last = message;
	m->last = &message->next;
	/* Under the lock, so that the mailbox may be freed once the loop has seen this message.  A
	 * full counter (EAGAIN) has woken the loop already. */
	n = write(m->fd, &one, sizeof(one));
	(void)n;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

int mailbox_dispatch(struct mailbox *m)
{
	struct message *list, *next;
	uint64_t count;
	int done = 0;
	ssize_t n;

	/* Before the list is taken: what is posted in between wakes the loop once more. */
	n = read(m->fd, &count, sizeof(count));
	(void)n;

	for (list = take_all(m); list; list = next) {
		next = list->next;
		list->fn(list->payload);
		free(list);
		done++;
	}
	return done;
}
