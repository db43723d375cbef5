/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A scan through helper processes.  The helper that scans is asked for what is there, which touches
 * nothing that can hang; then each GPU's own helper for the whole truth.  A GPU that is silent is
 * shown with what its links tell, and delays nobody. */
#include "host/helper-internal.h"
#include "lib/units.h"

/* A healthy card answers in milliseconds; the whole scan must fit into the 5 s that a start may
 * take. */
#define SCAN_READ_USEC (3 * USEC_PER_SEC)

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
	struct host_reply reply = {.r = error};
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

		scan->items[i] = (struct scan_item){scan, i};
		r = helper_channel_of(scan->h, &request.gpu, &channel);
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

int helper_scan_begin(struct host_helper *h, const struct host_request *request, host_reply_fn fn,
		      void *userdata)
{
	struct scan *scan = calloc(1, sizeof(*scan));
	int r;

	if (!scan)
		return -ENOMEM;

	*scan = (struct scan){.h = h, .fn = fn, .userdata = userdata, .next = h->scans};
	h->scans = scan;
	r = helper_channel_request(h->scanner, request, on_scan_list, scan);
	if (r < 0)
		scan_free(scan);
	return r;
}

void helper_scan_drop(struct host_helper *h)
{
	while (h->scans)
		scan_free(h->scans);
}
