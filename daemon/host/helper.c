/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host through helper processes: one per GPU, one for scans.  Knows what is
 * asked of which, who waits until a VF is closed, and what a dead daemon left behind. */
#include <stdio.h>

#include "host/helper-internal.h"
#include "host/helper-spawn.h"
#include "lib/clock.h"
#include "lib/units.h"
#include "log/log.h"

/* The kernel tells nobody when a descriptor was closed in another process. */
#define CLOSED_POLL_USEC (100 * USEC_PER_MSEC)

/* A HOST_WAIT_CLOSED in progress. */
struct closed_wait {
	struct host_helper *h;
	struct host_request request;
	host_reply_fn fn;
	void *userdata;
	uint64_t until;
	sd_event_source *timer;
	struct closed_wait *next;
};

/* A helper that a dead daemon left behind. */
struct leftover_watch {
	struct host_helper *h;
	struct helper_channel *channel;
	int pidfd;
	sd_event_source *end;
	struct leftover_watch *next;
};

static void emit(struct host_helper *h, enum host_event_type type, const struct pci_address *gpu,
		 const char *attribute)
{
	struct host_event event = { .type = type, .gpu = *gpu, .attribute = attribute };

	if (h->host.on_event)
		h->host.on_event(h->host.userdata, &event);
}

static void on_stuck(void *userdata, struct helper_channel *channel, const char *attribute)
{
	struct host_helper *h = userdata;

	if (channel == h->scanner)
		return; /* no GPU's fault; the scan itself was answered */

	emit(h, attribute ? HOST_EVENT_STUCK : HOST_EVENT_UNSTUCK, helper_channel_gpu(channel),
	     attribute);
}

int helper_channel_of(struct host_helper *h, const struct pci_address *gpu,
		      struct helper_channel **ret)
{
	struct helper_channel **grown;
	size_t i;
	int r;

	for (i = 0; i < h->n_channels; i++) {
		if (pci_address_equal(helper_channel_gpu(h->channels[i]), gpu)) {
			*ret = h->channels[i];
			return 0;
		}
	}

	grown = reallocarray(h->channels, h->n_channels + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	h->channels = grown;
	r = helper_channel_new(&h->setup, gpu, &grown[h->n_channels]);
	if (r < 0)
		return r;

	*ret = grown[h->n_channels++];
	return 0;
}

/* ---- waiting until nobody has a VF open ---- */

static void closed_wait_free(struct closed_wait *wait)
{
	struct closed_wait **p;

	for (p = &wait->h->waits; *p; p = &(*p)->next) {
		if (*p == wait) {
			*p = wait->next;
			break;
		}
	}
	sd_event_source_disable_unref(wait->timer);
	free(wait);
}

static int look_again(struct closed_wait *wait);

static int on_closed_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct closed_wait *wait = userdata;
	struct host_reply reply = { .r = look_again(wait) };

	if (reply.r < 0) {
		wait->fn(wait->userdata, &reply);
		closed_wait_free(wait);
	}
	return 0;
}

static void on_closed_look(void *userdata, const struct host_reply *reply)
{
	struct closed_wait *wait = userdata;
	struct host_reply last = *reply;
	uint64_t now = now_boottime();

	if (reply->r == -EBUSY && reply->n_holders > 0 && now < wait->until) {
		wait->timer = sd_event_source_disable_unref(wait->timer);
		last.r = sd_event_add_time_relative(wait->h->event, &wait->timer, CLOCK_MONOTONIC,
						    MIN_OF(CLOSED_POLL_USEC, wait->until - now), 0,
						    on_closed_timer, wait);
		if (last.r >= 0)
			return;
	} else if (reply->r == -EBUSY && reply->n_holders > 0) {
		last.r = -ETIMEDOUT;
		last.attribute = reply->holders[0].path;
	}

	wait->fn(wait->userdata, &last);
	closed_wait_free(wait);
}

static int look_again(struct closed_wait *wait)
{
	struct helper_channel *channel;
	int r;

	r = helper_channel_of(wait->h, &wait->request.gpu, &channel);
	if (r < 0)
		return r;

	return helper_channel_request(channel, &wait->request, on_closed_look, wait);
}

static int begin_closed_wait(struct host_helper *h, const struct host_request *request,
			     host_reply_fn fn, void *userdata)
{
	struct closed_wait *wait = calloc(1, sizeof(*wait));
	uint64_t usec = request->deadline_usec;
	int r;

	if (!wait)
		return -ENOMEM;

	*wait = (struct closed_wait){
		.h = h,
		.request = *request,
		.fn = fn,
		.userdata = userdata,
		.until = now_boottime() + (usec > 0 ? usec : host_op_deadline(HOST_WAIT_CLOSED)),
		.next = h->waits,
	};
	wait->request.deadline_usec = host_op_deadline(HOST_HOLDERS); /* of each look */
	h->waits = wait;
	r = look_again(wait);
	if (r < 0)
		closed_wait_free(wait);
	return r;
}

/* ---- helpers that a dead daemon left behind ---- */

static void leftover_watch_free(struct leftover_watch *l)
{
	struct leftover_watch **p;

	for (p = &l->h->leftovers; *p; p = &(*p)->next) {
		if (*p == l) {
			*p = l->next;
			break;
		}
	}
	sd_event_source_disable_unref(l->end);
	safe_close(l->pidfd);
	free(l);
}

static int on_leftover_end(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct leftover_watch *l = userdata;
	struct helper_channel *channel = l->channel;

	leftover_watch_free(l);
	helper_channel_unblock(channel);
	return 0;
}

/* Takes the pidfd. */
static int watch_leftover(struct host_helper *h, const struct helper_leftover *found)
{
	_cleanup_free_ char *attribute = helper_attribute(found->pid);
	struct leftover_watch *l = calloc(1, sizeof(*l));
	int r;

	if (!l) {
		safe_close(found->pidfd);
		return -ENOMEM;
	}
	*l = (struct leftover_watch){ .h = h, .pidfd = found->pidfd, .next = h->leftovers };
	h->leftovers = l;

	r = helper_channel_of(h, &found->gpu, &l->channel);
	if (r >= 0)
		r = sd_event_add_io(h->event, &l->end, l->pidfd, EPOLLIN, on_leftover_end, l);
	if (r >= 0)
		r = helper_channel_block(l->channel, attribute ? attribute : "helper");
	if (r < 0) {
		leftover_watch_free(l);
		return r;
	}

	log_gpu(PCI_ADDRESS_STR(&found->gpu), LOG_ERR, 0,
		"process %d of an earlier daemon still hangs at %s: nothing is sent to this GPU "
		"before it ends",
		(int)found->pid, strempty(attribute));
	return 0;
}

static int find_leftovers(struct host_helper *h)
{
	struct helper_leftover *found = NULL;
	size_t n = 0, i;
	int r;

	r = helper_find_leftovers(h->program, h->sysfs_root, &found, &n);
	if (r < 0)
		return r;

	for (i = 0; i < n; i++) {
		int k = watch_leftover(h, &found[i]);

		if (k < 0)
			r = k;
	}
	free(found);
	return r;
}

static int on_announce(sd_event_source *source, void *userdata)
{
	struct host_helper *h = userdata;
	size_t i;

	for (i = 0; i < h->n_channels; i++) {
		const char *at = helper_channel_stuck(h->channels[i]);

		if (at)
			emit(h, HOST_EVENT_STUCK, helper_channel_gpu(h->channels[i]), at);
	}
	return 0;
}

/* ---- ops ---- */

static void on_udev(void *userdata, const struct host_event *event)
{
	struct host_helper *h = userdata;

	emit(h, event->type, &event->gpu, event->attribute);
}

static int helper_start(struct host *host)
{
	struct host_helper *h = (struct host_helper *)host;
	int r;

	r = find_leftovers(h);
	if (r < 0)
		return r;
	if (h->leftovers) {
		r = sd_event_add_defer(h->event, &h->announce, on_announce, h);
		if (r < 0)
			return r;
	}

	/* libudev knows one /sys only; below an injected root nothing happens by itself. */
	return h->sysfs_root ? 0 : udev_monitor_watch_new(h->event, on_udev, h, &h->monitor);
}

static int helper_request(struct host *host, const struct host_request *request, host_reply_fn fn,
			  void *userdata)
{
	struct host_helper *h = (struct host_helper *)host;
	struct helper_channel *channel;
	int r;

	if (request->op == HOST_SCAN)
		return helper_scan_begin(h, request, fn, userdata);
	if (request->op == HOST_WAIT_CLOSED)
		return begin_closed_wait(h, request, fn, userdata);

	r = helper_channel_of(h, &request->gpu, &channel);
	if (r < 0)
		return r;

	return helper_channel_request(channel, request, fn, userdata);
}

static bool helper_settling(struct host *host)
{
	struct host_helper *h = (struct host_helper *)host;

	return h->monitor && udev_monitor_watch_settling(h->monitor);
}

static void helper_free(struct host *host)
{
	struct host_helper *h = (struct host_helper *)host;
	size_t i;

	h->announce = sd_event_source_disable_unref(h->announce);
	h->monitor = udev_monitor_watch_free(h->monitor);
	while (h->leftovers)
		leftover_watch_free(h->leftovers);
	for (i = 0; i < h->n_channels; i++)
		helper_channel_free(h->channels[i]);
	free(h->channels);
	helper_channel_free(h->scanner);
	helper_scan_drop(h);
	while (h->waits)
		closed_wait_free(h->waits);
	sd_event_unref(h->event);
	free(h->sysfs_root);
	free(h->program);
	free(h);
}

static const struct host_ops helper_host_ops = {
	.name = "helper",
	.start = helper_start,
	.request = helper_request,
	.settling = helper_settling,
	.free = helper_free,
};

static void helper_freep(struct host_helper **h)
{
	if (*h)
		helper_free(&(*h)->host);
}

int host_helper_new(struct sd_event *event, const char *helper, const char *sysfs_root,
		    bool allow_debugfs, struct host **ret)
{
	_cleanup_(helper_freep) struct host_helper *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	h->host.ops = &helper_host_ops;
	h->event = sd_event_ref(event);
	if (free_and_strdup(&h->program, helper) < 0)
		return -ENOMEM;
	if (sysfs_root && !streq(sysfs_root, "/sys") &&
	    free_and_strdup(&h->sysfs_root, sysfs_root) < 0)
		return -ENOMEM;

	h->setup = (struct helper_channel_setup){
		.event = h->event,
		.program = h->program,
		.sysfs_root = h->sysfs_root,
		.allow_debugfs = allow_debugfs,
		.on_stuck = on_stuck,
		.userdata = h,
	};
	r = helper_channel_new(&h->setup, NULL, &h->scanner);
	if (r < 0)
		return r;

	*ret = &h->host;
	h = NULL;
	return 0;
}
