/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What no event of libvirt tells: that somebody wrote a VF, or a GPU, into a stored definition, or took it out
 * (virsh attach-device --config); and what was lost on its way here, so that no VM is thought off, or deaf, for long.
 * Once a minute, and when somebody asks what is free, all domains are listed.  The list may be older than
 * what we, or an event, did meanwhile: it is a hint only, and a domain that it shows another way is asked for by itself. */
#include "manager-state.h"

#define SURVEY_USEC (60 * USEC_PER_SEC)
#define ASKED_USEC (2 * USEC_PER_SEC) /* a list costs libvirt some milliseconds for each domain */

/* ---- one domain ---- */

struct visit {
	struct manager *m;
	char uuid[37];
};

static void on_domain(void *userdata, const struct hv_reply *reply)
{
	struct visit *v = userdata;

	if (v->m->ending) {
		free(v);
		return;
	}
	if (reply->failure == HV_OK && reply->n_domains == 1)
		vm_update(v->m, reply->domains[0]);
	else if (reply->failure == HV_NO_DOMAIN)
		vm_gone(v->m, v->uuid);
	manager_pump(v->m);
	free(v);
}

static void ask(struct manager *m, const char *uuid)
{
	struct visit *v = calloc(1, sizeof(*v));
	struct hv_request get = { .op = HV_GET };

	if (!v)
		return;
	v->m = m;
	snprintf(v->uuid, sizeof(v->uuid), "%s", uuid);
	get.uuid = v->uuid;
	if (m->hypervisor->ops->request(m->hypervisor, &get, on_domain, v) < 0)
		free(v);
}

/* ---- all of them ---- */

static bool has(const struct domain_facts *facts, const struct domain_hostdev *dev)
{
	for (size_t i = 0; i < facts->n_hostdevs; i++)
		if (pci_address_equal(&facts->hostdevs[i].address, &dev->address) &&
		    facts->hostdevs[i].live == dev->live && facts->hostdevs[i].config == dev->config)
			return true;
	return false;
}

static bool differs(const struct domain_facts *known, const struct domain_facts *listed)
{
	bool differs = known->state != listed->state || known->agent != listed->agent ||
		       known->n_hostdevs != listed->n_hostdevs;

	for (size_t i = 0; i < listed->n_hostdevs && !differs; i++)
		differs = !has(known, &listed->hostdevs[i]);
	return differs;
}

/* What became free in a way that nobody was there to see. */
static void adopt_named(struct manager *m)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (gpu->vfs[i]->state == VF_FREE && !gpu->vfs[i]->handover)
				vm_adopt_stored(m, gpu->vfs[i]);
}

static void on_list(void *userdata, const struct hv_reply *reply)
{
	struct manager *m = userdata;
	struct vm *vm, *tmp;

	m->survey.under_way = false;
	if (reply->failure != HV_OK || !m->hypervisor_connected || m->ending)
		return;
	for (size_t i = 0; i < reply->n_domains; i++) {
		vm = vm_find_uuid(m, reply->domains[i]->uuid);
		if (!vm || differs(vm->facts, reply->domains[i]))
			ask(m, reply->domains[i]->uuid);
	}
	HASH_ITER(hh, m->vms, vm, tmp) {
		bool listed = false;

		for (size_t i = 0; i < reply->n_domains && !listed; i++)
			listed = streq(reply->domains[i]->uuid, vm->uuid);
		if (!listed)
			ask(m, vm->uuid);
	}
	adopt_named(m);
}

static void survey(struct manager *m)
{
	struct hv_request list = { .op = HV_LIST };

	if (m->survey.under_way || !m->hypervisor_connected || m->recovering || m->sleeping || !m->gpus)
		return;
	m->survey.at = now_boottime();
	m->survey.under_way = m->hypervisor->ops->request(m->hypervisor, &list, on_list, m) == 0;
}

void survey_asked(struct manager *m)
{
	if (now_boottime() >= m->survey.at + ASKED_USEC)
		survey(m);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	survey(m);
	(void)sd_event_source_set_time_relative(source, SURVEY_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int survey_new(struct manager *m)
{
	int r = sd_event_add_time_relative(m->event, &m->survey.timer, CLOCK_BOOTTIME, SURVEY_USEC, 5 * USEC_PER_SEC,
					   on_timer, m);

	return MIN_OF(r, 0);
}

void survey_free(struct manager *m)
{
	m->survey.timer = sd_event_source_disable_unref(m->survey.timer);
}
