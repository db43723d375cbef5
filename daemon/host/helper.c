/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host through helper processes: one per GPU, one for scans.  A scan asks the scan helper
 * for what is there (it touches nothing that can hang), then each GPU's own helper for the whole
 * truth; a GPU that hangs is shown with what can be known of it, and delays nobody. */
#include <stdio.h>

#include <systemd/sd-event.h>

#include "host/helper-channel.h"
#include "host/helper-spawn.h"
#include "host/host-ops.h"
#include "host/udev-monitor.h"
#include "lib/clock.h"
#include "lib/units.h"
#include "log/log.h"

/* A healthy card answers in milliseconds; the whole scan must fit into the 5 s that a start may
 * take. */
#define SCAN_READ_USEC (3 * USEC_PER_SEC)
/* The kernel tells nobody when a descriptor was closed in another process. */
#define CLOSED_POLL_USEC (100 * USEC_PER_MSEC)

struct host_helper;

/* A scan in progress. */
struct scan {
	struct host_helper *h;
	host_reply_fn fn;
	void *userdata;
	struct gpu_facts **facts;
	size_t n;
	size_t waiting;
	int error;               /* of our own; then the whole scan failed */
	struct scan_item *items; /* one per facts[] */
	struct scan *next;
};

struct scan_item {
	struct scan *scan;
	size_t index;
};

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

struct host_helper {
	struct host host; /* first */
	sd_event *event;
	char *program;
	char *sysfs_root;
	struct helper_channel_setup setup;
	struct helper_channel *scanner;
	struct helper_channel **channels;
	size_t n_channels;
	struct scan *scans;
	struct closed_wait *waits;
	struct leftover_watch *leftovers;
	struct udev_monitor_watch *monitor;
	sd_event_source *announce; /* tells of left-overs once the loop runs */
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

static int channel_of(struct host_helper *h, const struct pci_address *gpu,
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

/* ---- scan ---- */

static void learn(struct host_helper *h, const struct gpu_facts *facts)
{
	/* Out of memory: the next scan teaches it again. */
	if (h->monitor)
		(void)udev_monitor_watch_learn(h->monitor, facts);
}

static struct scan *scan_free(struct scan *scan)
{
	struct scan **p;
	size_t i;

	for (p = &scan->h->scans; *p; p = &(*p)->next) {
		if (*p == scan) {
			*p = scan->next;
			break;
		}
	}
	for (i = 0; i < scan->n; i++)
		gpu_facts_free(scan->facts[i]);
	free(scan->facts);
	free(scan->items);
	free(scan);
	return NULL;
}

static void finish_scan(struct scan *scan, int error, const struct host_reply *why)
{
	struct host_reply reply = { .r = error };
	size_t i, n = 0;

	if (why) {
		reply.attribute = why->attribute;
		reply.message = why->message;
	}
	for (i = 0; i < scan->n; i++) {
		struct gpu_facts *f = scan->facts[i];

		scan->facts[i] = NULL;
		if (!f)
			continue; /* it vanished between the two looks */
		learn(scan->h, f);
		scan->facts[n++] = f;
	}
	if (error == 0) {
		reply.facts = scan->facts;
		reply.n_facts = n;
		if (scan->h->monitor)
			udev_monitor_watch_recall(scan->h->monitor);
	}

	scan->fn(scan->userdata, &reply);
	scan_free(scan);
}

static void set_silent(struct gpu_facts *f, const struct host_reply *reply)
{
	char *reason = xasprintf("the card does not answer%s%s: %s", reply->attribute ? " at " : "",
				 strempty(reply->attribute),
				 reply->message ? reply->message : strerror(-reply->r));

	if (reason) {
		free(f->reason);
		f->reason = reason;
	}
}

static void answered(struct scan *scan)
{
	if (--scan->waiting == 0)
		finish_scan(scan, scan->error, NULL);
}

static void on_scan_links(void *userdata, const struct host_reply *reply)
{
	struct scan_item *item = userdata;
	struct scan *scan = item->scan;
	struct gpu_facts **facts = &scan->facts[item->index];
	struct gpu_facts *seen = NULL;

	if (reply->r == 0 && reply->n_facts == 1)
		seen = gpu_facts_copy(reply->facts[0]);
	if (seen) {
		free(seen->reason);
		seen->reason = TAKE_PTR((*facts)->reason);
	} else if (reply->r != -ENODEV) {
		scan->error = reply->r < 0 ? reply->r
					   : -ENOMEM; /* rather no list than VFs that seem gone */
	}
	gpu_facts_free(*facts);
	*facts = seen;
	answered(scan);
}

/* The card does not answer: what can be known of it without asking it. */
static void read_links(struct scan_item *item, const struct host_reply *why)
{
	struct scan *scan = item->scan;
	struct host_request request = {
		.op = HOST_LINKS,
		.gpu = scan->facts[item->index]->address,
	};
	int r;

	set_silent(scan->facts[item->index], why);
	r = helper_channel_request(scan->h->scanner, &request, on_scan_links, item);
	if (r < 0) {
		scan->error = r;
		answered(scan);
	}
}

static void on_scan_read(void *userdata, const struct host_reply *reply)
{
	struct scan_item *item = userdata;
	struct scan *scan = item->scan;
	struct gpu_facts **facts = &scan->facts[item->index];
	struct gpu_facts *whole = NULL;

	if (reply->r == 0 && reply->n_facts == 1)
		whole = gpu_facts_copy(reply->facts[0]);
	if (!whole && reply->r != -ENODEV) {
		read_links(item, reply);
		return;
	}

	gpu_facts_free(*facts);
	*facts = whole;
	answered(scan);
}

/* Asks each GPU's own helper. */
static void read_each(struct scan *scan)
{
	size_t i;

	scan->waiting = 1; /* ours: nothing finishes before all are asked */
	for (i = 0; i < scan->n; i++) {
		struct host_request request = {
			.op = HOST_READ,
			.gpu = scan->facts[i]->address,
			.deadline_usec = SCAN_READ_USEC,
		};
		struct helper_channel *channel;
		int r;

		scan->items[i] = (struct scan_item){ scan, i };
		r = channel_of(scan->h, &request.gpu, &channel);
		if (r == 0)
			r = helper_channel_request(channel, &request, on_scan_read,
						   &scan->items[i]);
		if (r < 0)
			scan->error = r;
		else
			scan->waiting++;
	}
	answered(scan);
}

static void on_scan_list(void *userdata, const struct host_reply *reply)
{
	struct scan *scan = userdata;
	size_t i;

	if (reply->r < 0) {
		finish_scan(scan, reply->r, reply);
		return;
	}

	scan->facts = calloc(MAX_OF(reply->n_facts, (size_t)1), sizeof(*scan->facts));
	scan->items = calloc(MAX_OF(reply->n_facts, (size_t)1), sizeof(*scan->items));
	for (i = 0; scan->facts && scan->items && i < reply->n_facts; i++) {
		scan->facts[i] = gpu_facts_copy(reply->facts[i]);
		if (!scan->facts[i])
			break;
		scan->n = i + 1;
	}
	if (scan->n < reply->n_facts || !scan->facts || !scan->items)
		finish_scan(scan, -ENOMEM, NULL);
	else
		read_each(scan);
}

static int begin_scan(struct host_helper *h, const struct host_request *request, host_reply_fn fn,
		      void *userdata)
{
	struct scan *scan = calloc(1, sizeof(*scan));
	int r;

	if (!scan)
		return -ENOMEM;

	*scan = (struct scan){ .h = h, .fn = fn, .userdata = userdata, .next = h->scans };
	h->scans = scan;
	r = helper_channel_request(h->scanner, request, on_scan_list, scan);
	if (r < 0)
		scan_free(scan);
	return r;
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

	r = channel_of(wait->h, &wait->request.gpu, &channel);
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

	r = channel_of(h, &found->gpu, &l->channel);
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
		return begin_scan(h, request, fn, userdata);
	if (request->op == HOST_WAIT_CLOSED)
		return begin_closed_wait(h, request, fn, userdata);

	r = channel_of(h, &request->gpu, &channel);
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
	while (h->scans)
		scan_free(h->scans);
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
