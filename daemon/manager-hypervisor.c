/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt comes and goes: its word about itself and its list of domains; and whether the first word is still to come,
 * so that a call that needs it can wait instead of being refused. */
#include "manager-state.h"

/* From the moment when libvirt may be asked: a libvirtd that systemd starts for us reads its QEMU first. */
#define FIRST_WORD_USEC (20 * USEC_PER_SEC)

bool manager_awaits_hypervisor(const struct manager *m)
{
	return m->hypervisor_awaited;
}

bool manager_gpu_awaits_hypervisor(struct manager *m, const char *name)
{
	struct gpu *gpu = m->hypervisor_awaited ? gpu_find(m, name) : NULL;

	/* Before libvirt is asked a layout may be made where there is none. */
	return gpu && gpu->facts && gpu->facts->num_vfs > 0;
}

void manager_on_hypervisor_known(struct manager *m, void (*known)(void *userdata), void *userdata)
{
	m->hypervisor_known = known;
	m->hypervisor_known_userdata = userdata;
}

static void first_word(struct manager *m)
{
	m->hypervisor_awaited = false;
	m->hypervisor_deadline = sd_event_source_disable_unref(m->hypervisor_deadline);
	if (m->hypervisor_known)
		m->hypervisor_known(m->hypervisor_known_userdata);
}

static int on_first_word_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	log_warning(0, "libvirt has not answered yet: calls are answered without it");
	first_word(userdata);
	return 0;
}

void hypervisor_asked(struct manager *m)
{
	if (m->hypervisor_awaited &&
	    sd_event_add_time_relative(m->event, &m->hypervisor_deadline, CLOCK_MONOTONIC, FIRST_WORD_USEC, 0,
				       on_first_word_deadline, m) < 0)
		first_word(m);
}

void hypervisor_pump(struct manager *m)
{
	if (m->hypervisor_awaited && (m->hypervisor_connected || m->hypervisor_reason))
		first_word(m);
}

/* Connected and without a list yet counts as away. */
const char *hypervisor_away_text(const struct manager *m)
{
	return m->hypervisor_reason	     ? m->hypervisor_reason
	       : m->hypervisor_wedged.reason ? m->hypervisor_wedged.reason
					     : "not connected yet";
}

/* ---- its list, its events ---- */

static void on_list(void *userdata, const struct hv_reply *reply);

static void ask_list(struct manager *m)
{
	struct hv_request list = { .op = HV_LIST };

	(void)m->hypervisor->ops->request(m->hypervisor, &list, on_list, m);
}

static int on_list_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	m->list_retry = sd_event_source_unref(m->list_retry);
	ask_list(m);
	return 0;
}

#define LIST_RETRY_USEC (2 * USEC_PER_SEC) /* a connected libvirt that gave no list is asked again */

static void on_list(void *userdata, const struct hv_reply *reply)
{
	struct manager *m = userdata;
	struct vm *vm, *tmp;

	if (reply->failure != HV_OK) {
		log_warning(0, "The list of domains could not be had: %s", strempty(reply->message));
		if (reply->failure != HV_DISCONNECTED && !m->list_retry)
			(void)sd_event_add_time_relative(m->event, &m->list_retry, CLOCK_BOOTTIME,
							 LIST_RETRY_USEC, 0, on_list_retry, m);
		return;
	}
	wedged_hypervisor_answered(m);
	HASH_ITER(hh, m->vms, vm, tmp) {
		bool found = false;

		for (size_t i = 0; i < reply->n_domains && !found; i++)
			found = streq(reply->domains[i]->uuid, vm->uuid);
		if (!found)
			vm_gone(m, vm->uuid);
	}
	for (size_t i = 0; i < reply->n_domains; i++)
		vm_update(m, reply->domains[i]);
	if (!m->hypervisor_connected)
		manager_recover(m);
	manager_pump(m);
}

void manager_on_hv_event(void *manager, const struct hv_event *event)
{
	struct manager *m = manager;
	switch (event->type) {
	case HV_EVENT_CONNECTED:
		ask_list(m);
		break;
	case HV_EVENT_LOST_CONNECTION:
		if (m->hypervisor_connected || !m->hypervisor_reason)
			log_warning(0, "libvirt is away: %s", strempty(event->reason));
		m->hypervisor_connected = false;
		wedged_connection_lost(m);
		m->recovery_void = m->recovering;
		(void)free_and_strdup(&m->hypervisor_reason,
				      event->reason ? event->reason : "not connected");
		break;
	case HV_EVENT_DOMAIN:
		vm_update(m, event->domain);
		barrier_soon(m, vm_find_uuid(m, event->domain->uuid));
		break;
	case HV_EVENT_DOMAIN_GONE:
		vm_gone(m, event->uuid);
		break;
	case HV_EVENT_DEVICE_REMOVED:
	case HV_EVENT_DEVICE_ADDED:
		break; /* the fresh facts of HV_EVENT_DOMAIN follow */
	case HV_EVENT_STUCK:
	case HV_EVENT_UNSTUCK:
		wedged_follow(m, event);
		break;
	case HV_EVENT_MAX:
		break;
	}
	manager_pump(m);
}

int refuse_without_libvirt(struct manager *m, struct rpc_error *error)
{
	if (m->hypervisor_connected)
		return 0;
	rpc_error_set(error, RPC_HOST_ERROR, "libvirt is away: %s", hypervisor_away_text(m));
	return rpc_error_detail(error, "no_libvirt", NULL, "is libvirtd (or virtqemud) running?");
}
