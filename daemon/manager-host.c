/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's word: scans, reads of one card, and what its events mean.  Truth comes from the kernel: every event ends in
 * reading again, that card alone. */
#include "manager-state.h"

/* ---- what does not answer, or is given up ---- */

static void set_stuck(struct manager *m, const struct pci_address *address, const char *attribute)
{
	struct gpu *gpu = gpu_find_address(m, address);
	_cleanup_free_ char *reason = NULL;

	if (!gpu && m->scan_pending) {
		/* Names are given in the order of addresses, not of silence: the scan lists this one, too. */
		if (!m->stuck_early)
			m->stuck_early = json_object();
		json_object_set_new(m->stuck_early, PCI_ADDRESS_STR(address), json_string(strempty(attribute)));
		return;
	}
	if (!gpu) {
		gpu = gpu_new(m, (unsigned)m->next_gpu++, address);
		if (!gpu)
			return;
		gpu_store(m, gpu);
	}
	(void)free_and_strdup(&gpu->stuck, attribute ? attribute : "sysfs");
	reason = xasprintf("an access to %s does not return", gpu->stuck);
	gpu_set_state(m, gpu, GPU_WEDGED, reason);
}

/* The scan has named them. */
static void set_stuck_early(struct manager *m)
{
	_cleanup_json_ json_t *early = TAKE_PTR(m->stuck_early);
	const char *text;
	json_t *attribute;

	json_object_foreach(early, text, attribute) {
		struct pci_address address;

		if (pci_address_parse(text, &address) == 0)
			set_stuck(m, &address, json_string_value(attribute));
	}
}

/* The driver's own word that the device is broken: nothing that is asked of it works until it is bound again. */
static void set_given_up(struct manager *m, struct gpu *gpu, const char *ways)
{
	_cleanup_free_ char *reason = NULL;

	if (!gpu || !gpu->facts || !ways || streq_ptr(gpu->given_up, ways) ||
	    free_and_strdup(&gpu->given_up, ways) < 0)
		return;
	reason = gpu_given_up_reason(gpu);
	log_gpu(gpu->name, LOG_ERR, 0, "%s", strempty(reason));
	if (!gpu->stuck && !gpu->apply)
		gpu_calm(m, gpu);
}

static void clear_stuck(struct manager *m, const struct pci_address *address)
{
	struct gpu *gpu = gpu_find_address(m, address);

	if (m->stuck_early)
		(void)json_object_del(m->stuck_early, PCI_ADDRESS_STR(address));
	if (!gpu || !gpu->stuck)
		return;
	log_gpu(gpu->name, LOG_NOTICE, 0, "the access to %s has returned", gpu->stuck);
	free(gpu->stuck);
	gpu->stuck = NULL;
	if (gpu->apply)
		apply_unstuck(m, gpu);
	else
		gpu_refresh(m, gpu);
}

/* ---- asking the host ---- */

static void on_read(void *userdata, const struct host_reply *reply)
{
	struct gpu *gpu = userdata;
	struct manager *m = gpu->m;

	gpu->reading = false;
	for (size_t i = 0; i < reply->n_facts; i++) {
		struct gpu_facts *copy = gpu_facts_copy(reply->facts[i]);

		if (copy)
			gpu_update(m, copy);
	}
	if (reply->r == -ENODEV && gpu->facts && !gpu->apply)
		gpu_absent(m, gpu);
	if (gpu->read_again) {
		gpu->read_again = false;
		gpu_refresh(m, gpu);
	}
	manager_pump(m);
}

void gpu_refresh(struct manager *m, struct gpu *gpu)
{
	struct host_request request = { .op = HOST_READ, .gpu = gpu->address };

	/* One on its way may be older than what is asked for now; two more would tell the same. */
	gpu->read_again = gpu->reading;
	if (!gpu->reading)
		gpu->reading = m->host->ops->request(m->host, &request, on_read, gpu) == 0;
}

/* A scan is read beside the requests of a GPU, so it may be older than their answers: it only finds cards. */
static void scanned(struct manager *m, const struct gpu_facts *facts)
{
	struct gpu *gpu = gpu_find_address(m, &facts->address);
	struct gpu_facts *copy;

	if (gpu && gpu->facts && gpu->facts->num_vfs + gpu->facts->total_vfs > 0 &&
	    streq_ptr(gpu->serial, facts->serial))
		return; /* read below */
	copy = gpu_facts_copy(facts);
	if (copy)
		gpu_update(m, copy);
}

/* A helper that starts slowly on a busy host must not leave the daemon without its cards. */
#define SCAN_RETRY_USEC USEC_PER_SEC
#define SCAN_RETRY_DOUBLINGS 6

static int on_scan_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	m->scan_retry = sd_event_source_unref(m->scan_retry);
	manager_scan(m);
	return 0;
}

static void scan_failed(struct manager *m, const struct host_reply *reply)
{
	uint64_t wait = SCAN_RETRY_USEC << MIN_OF(m->scan_failures, (unsigned)SCAN_RETRY_DOUBLINGS);

	m->scan_failures++;
	log_error(reply->r, "Scan of the host failed (%s); again in %llu s", strempty(reply->attribute),
		  (unsigned long long)(wait / USEC_PER_SEC));
	if (!m->scan_retry)
		(void)sd_event_add_time_relative(m->event, &m->scan_retry, CLOCK_BOOTTIME, wait, 0,
						 on_scan_retry, m);
}

static void on_scan(void *userdata, const struct host_reply *reply)
{
	struct manager *m = userdata;
	struct gpu *gpu, *tmp;

	m->scan_pending = false;
	if (reply->r < 0) {
		scan_failed(m, reply);
	} else {
		m->scanned = true;
		m->scan_failures = 0;
	}
	cards_moved(m, reply);
	for (size_t i = 0; i < reply->n_facts; i++)
		scanned(m, reply->facts[i]);
	set_stuck_early(m);
	manager_pump(m);
	HASH_ITER(hh, m->gpus, gpu, tmp) {
		bool found = gpu->stuck != NULL;

		for (size_t i = 0; i < reply->n_facts && !found; i++)
			found = pci_address_equal(&reply->facts[i]->address, &gpu->address);
		if (!found && reply->r == 0 && gpu->state != GPU_ABSENT)
			gpu_absent(m, gpu);
	}
	if (!m->serving)
		manager_serve(m);
	if (m->woken && reply->r == 0)
		m->sleeping = m->woken = false;
	HASH_ITER(hh, m->gpus, gpu, tmp) {
		/* The scan does not wait for what lies behind locks: what VFs have, and whether a write of an
		 * earlier daemon still hangs. */
		if (gpu->facts && gpu->facts->num_vfs + gpu->facts->total_vfs > 0 && !gpu->stuck && !gpu->apply)
			gpu_refresh(m, gpu);
	}
	if (m->scan_again)
		manager_scan(m);
	manager_pump(m);
}

void manager_scan(struct manager *m)
{
	struct host_request request = { .op = HOST_SCAN };

	m->scan_again = m->scan_pending;
	if (!m->scan_pending)
		m->scan_pending = m->host->ops->request(m->host, &request, on_scan, m) == 0;
}

void manager_on_host_event(void *manager, const struct host_event *event)
{
	struct manager *m = manager;
	struct gpu *gpu = gpu_find_address(m, &event->gpu);

	switch (event->type) {
	case HOST_EVENT_BOUND:
	case HOST_EVENT_CHANGED:
		if (gpu && event->type == HOST_EVENT_BOUND) {
			gpu_driver_bound(gpu);
			if (!gpu->apply)
				half_cut_over(m, gpu, "its driver was bound again");
		}
		if (!gpu)
			manager_scan(m);
		else if (gpu->apply)
			gpu->read_again = true; /* when it has ended */
		else if (!gpu->stuck)
			gpu_refresh(m, gpu);
		break;
	case HOST_EVENT_WEDGED:
		set_given_up(m, gpu, event->attribute);
		break;
	case HOST_EVENT_REMOVED:
		if (gpu)
			gpu_absent(m, gpu);
		break;
	case HOST_EVENT_RESCAN:
		manager_scan(m);
		break;
	case HOST_EVENT_SETTLED:
		break; /* wanted_settled() asks */
	case HOST_EVENT_STUCK:
		set_stuck(m, &event->gpu, event->attribute);
		break;
	case HOST_EVENT_UNSTUCK:
		clear_stuck(m, &event->gpu);
		break;
	case HOST_EVENT_MAX:
		break;
	}
	manager_pump(m);
}
