/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/fake-actors.h"

#include <stdio.h>

#include "lib/units.h"

struct fake_call {
	struct fake_call *next;
	struct host_request host;
	host_reply_fn host_fn;
	struct hv_request hv;
	hv_reply_fn hv_fn; /* NULL: it is the host's */
	char *uuid, *alias, *attribute;
	void *userdata;
};

static struct fake_actors *of_hv(struct hypervisor *hv)
{
	return (struct fake_actors *)((char *)hv - offsetof(struct fake_actors, hv));
}

static void wake(struct fake_actors *f)
{
	(void)sd_event_source_set_enabled(f->source, SD_EVENT_ONESHOT);
}

static void put(struct fake_actors *f, struct fake_call *call)
{
	struct fake_call **at = &f->calls;

	while (*at)
		at = &(*at)->next;
	*at = call;
	wake(f);
}

static void call_free(struct fake_call *call)
{
	free(call->uuid);
	free(call->alias);
	free(call);
}

/* ---- the host ---- */

static struct pci_address vf_address(const struct gpu_facts *gpu, unsigned vf)
{
	struct pci_address address;

	(void)pci_address_parse(FAKE_PF, &address);
	if (gpu)
		address = gpu->address;
	address.function = (uint8_t)vf;
	return address;
}

static struct gpu_facts *card_at(struct fake_actors *f, const struct pci_address *address)
{
	return f->other && pci_address_equal(&f->other->address, address) ? f->other : f->gpu;
}

void fake_add_other(struct fake_actors *f, const char *pf, const char *serial, unsigned n)
{
	f->other = gpu_facts_copy(f->gpu);
	for (size_t i = 0; i < f->other->n_vfs; i++)
		vf_facts_done(&f->other->vfs[i]);
	free(f->other->vfs);
	free(f->other->serial);
	(void)pci_address_parse(pf, &f->other->address);
	f->other->serial = strdup(serial);
	f->other->vfs = calloc(n + 1, sizeof(*f->other->vfs));
	f->other->n_vfs = f->other->num_vfs = n;
	for (unsigned i = 0; i < n; i++)
		f->other->vfs[i] = (struct vf_facts){ .index = i + 1, .address = vf_address(f->other, i + 1),
						      .iommu_group = (int)i + 30 };
}

void fake_move_gpu(struct fake_actors *f, const char *pf)
{
	(void)pci_address_parse(pf, &f->gpu->address);
	for (unsigned i = 0; i < f->gpu->n_vfs; i++)
		f->gpu->vfs[i].address = vf_address(f->gpu, i + 1);
}

void fake_set_vfs(struct fake_actors *f, unsigned n)
{
	for (size_t i = 0; i < f->gpu->n_vfs; i++)
		vf_facts_done(&f->gpu->vfs[i]);
	free(f->gpu->vfs);
	f->gpu->vfs = calloc(n + 1, sizeof(*f->gpu->vfs));
	f->gpu->n_vfs = f->gpu->num_vfs = n;
	for (unsigned i = 0; i < n; i++)
		f->gpu->vfs[i] = (struct vf_facts){ .index = i + 1, .address = vf_address(f->gpu, i + 1),
						    .iommu_group = (int)i + 10,
						    .values = {
							    [VF_ATTR_VRAM] = { true, f->quota[i + 1] },
							    [VF_ATTR_EXEC_QUANTUM] = { true, 0 },
							    [VF_ATTR_PREEMPT_TIMEOUT] = { true, 0 },
							    [VF_ATTR_PRIORITY] = { true, VF_PRIORITY_LOW },
						    } };
}

static void set_value(struct fake_actors *f, const struct host_request *q, unsigned vf)
{
	if (q->attribute == VF_ATTR_VRAM)
		f->quota[vf] = q->value;
	if (vf <= f->gpu->n_vfs)
		f->gpu->vfs[vf - 1].values[q->attribute].value = q->value;
}

static void change(struct fake_actors *f, const struct host_request *q, struct host_reply *reply)
{
	struct host_request request = *q;
	const char *attribute =
		host_op_takes_attribute(q->op) ? vf_attribute_to_string(q->attribute) : "";
	size_t used = strlen(f->log);

	snprintf(f->log + used, sizeof(f->log) - used, "%s%s%s %llu;", host_op_to_string(q->op),
		 *attribute ? " " : "", attribute, (unsigned long long)q->value);
	if (f->quota_most && q->op == HOST_SET_VF_ATTR && q->attribute == VF_ATTR_VRAM)
		request.value = MIN_OF(q->value, f->quota_most);
	reply->value = (struct known){ true, request.value };
	if (q->op == HOST_SET_AUTOPROBE)
		f->gpu->autoprobe = q->value;
	else if (q->op == HOST_SET_NUMVFS)
		fake_set_vfs(f, (unsigned)q->value);
	else if (q->op == HOST_SET_VF_ATTR)
		set_value(f, &request, q->vf);
	for (unsigned vf = 1; q->op == HOST_SET_BULK_ATTR && vf <= f->gpu->n_vfs; vf++)
		set_value(f, q, vf);
}

/* All, or the first of one VF. */
static void look(struct fake_actors *f, const struct host_request *q, struct host_reply *reply)
{
	reply->holders = f->holders;
	reply->n_holders = q->vf ? 0 : f->n_holders;
	for (size_t i = 0; q->vf && i < f->n_holders && reply->n_holders == 0; i++)
		if (f->holders[i].vf == q->vf) {
			reply->holders = &f->holders[i];
			reply->n_holders = 1;
		}
}

static void host_do(struct fake_actors *f, const struct host_request *q, struct host_reply *reply)
{
	struct gpu_facts *card = card_at(f, &q->gpu);

	if (q->op != HOST_SCAN && !f->gpu) {
		reply->r = -ENODEV;
		return;
	}
	if (f->host_fault[q->op] && f->host_fault_after[q->op]-- == 0) {
		reply->r = f->host_fault[q->op];
		if (reply->r == -EBUSY) {
			reply->holders = f->holders;
			reply->n_holders = f->n_holders;
		}
		f->host_fault_after[q->op] = 0;
		if (f->host_fault_once)
			f->host_fault[q->op] = 0;
		return;
	}
	switch (q->op) {
	case HOST_SET_AUTOPROBE:
	case HOST_SET_NUMVFS:
	case HOST_SET_VF_ATTR:
	case HOST_SET_BULK_ATTR:
		change(f, q, reply);
		break;
	case HOST_BIND_VFIO:
		free(card->vfs[q->vf - 1].driver);
		card->vfs[q->vf - 1].driver = strdup("vfio-pci");
		card->vfs[q->vf - 1].vfio = true;
		reply->driver = card->vfs[q->vf - 1].driver;
		break;
	case HOST_HOLDERS:
		look(f, q, reply);
		break;
	case HOST_PROBE_VF:
		reply->driver = card->vfs[q->vf - 1].driver;
		reply->value = (struct known){ true, card->vfs[q->vf - 1].vfio };
		break;
	case HOST_SCAN:
		reply->facts = f->scan;
		if (f->gpu)
			f->scan[reply->n_facts++] = f->gpu;
		if (f->other)
			f->scan[reply->n_facts++] = f->other;
		break;
	case HOST_READ:
		reply->facts = card == f->other ? &f->other : &f->gpu;
		reply->n_facts = card ? 1 : 0;
		break;
	default:
		break;
	}
}

static int host_request(struct host *host, const struct host_request *request, host_reply_fn fn,
			void *userdata)
{
	struct fake_actors *f = (struct fake_actors *)host;
	struct fake_call *call = calloc(1, sizeof(*call));

	f->n_host[request->op]++;
	call->host = *request;
	call->host_fn = fn;
	call->userdata = userdata;
	put(f, call);
	return 0;
}

static int host_start(struct host *host)
{
	return 0;
}

/* ---- the hypervisor ---- */

static struct domain_facts *vm_of(struct fake_actors *f, const char *uuid)
{
	for (size_t i = 0; i < FAKE_VMS; i++)
		if (f->vms[i] && uuid && streq(f->vms[i]->uuid, uuid))
			return f->vms[i];
	return NULL;
}

static void set_hostdev(struct domain_facts *d, struct pci_address address, bool live, bool config)
{
	size_t i = 0;

	while (i < d->n_hostdevs && !pci_address_equal(&d->hostdevs[i].address, &address))
		i++;
	if (i == d->n_hostdevs) {
		d->hostdevs = realloc(d->hostdevs, (i + 1) * sizeof(*d->hostdevs));
		d->hostdevs[d->n_hostdevs++] = (struct domain_hostdev){ .address = address };
	}
	d->hostdevs[i].live = live;
	d->hostdevs[i].config = config;
	if (!live && !config) {
		free(d->hostdevs[i].alias);
		d->hostdevs[i] = d->hostdevs[--d->n_hostdevs];
	}
}

void fake_set_hostdev(struct fake_actors *f, unsigned vm, unsigned vf, bool live, bool config)
{
	set_hostdev(f->vms[vm], vf_address(f->gpu, vf), live, config);
}

/* Nothing is live of a VM that is off. */
static void power_off(struct domain_facts *d)
{
	d->state = VM_OFF;
	d->id = -1;
	for (size_t i = d->n_hostdevs; i-- > 0;)
		set_hostdev(d, d->hostdevs[i].address, false, d->hostdevs[i].config);
}

static void hv_do(struct fake_actors *f, const struct hv_request *q, struct hv_reply *reply,
		  struct domain_facts **list)
{
	struct domain_facts *d = vm_of(f, q->uuid);
	bool live = false, config = false, other = false;

	reply->failure = f->hv_fault[q->op];
	if (f->hv_fault_once && reply->failure != HV_OK) {
		f->hv_fault[q->op] = HV_OK;
		f->hv_fault_once = false;
	}
	reply->domains = list;
	reply->tried = q->op == HV_ATTACH && q->live && hv_attach_may_have_begun(reply->failure, NULL);
	if (q->op != HV_LIST && !d)
		reply->failure = HV_NO_DOMAIN;
	if (reply->failure != HV_OK)
		return;
	if (q->op == HV_LIST)
		for (size_t i = 0; i < FAKE_VMS; i++)
			if (f->vms[i])
				list[reply->n_domains++] = f->vms[i];
	if (q->op == HV_DESTROY && d->state == VM_OFF)
		reply->failure = HV_NOT_RUNNING;
	else if (q->op == HV_DESTROY)
		power_off(d);
	if (q->op == HV_GET)
		list[reply->n_domains++] = d;
	if (q->op != HV_ATTACH && q->op != HV_DETACH)
		return;
	for (size_t i = 0; i < d->n_hostdevs; i++)
		if (pci_address_equal(&d->hostdevs[i].address, &q->address)) {
			live = d->hostdevs[i].live;
			config = d->hostdevs[i].config;
			other = q->alias && d->hostdevs[i].alias && !streq(q->alias, d->hostdevs[i].alias);
		}
	if (q->op == HV_DETACH && other) {
		reply->failure = HV_ALREADY; /* not under that alias */
		list[reply->n_domains++] = d;
		return;
	}
	if (q->op == HV_ATTACH && ((q->live && live) || (q->config && config))) {
		reply->failure = HV_ALREADY; /* both or none */
		return;
	}
	live = q->live ? q->op == HV_ATTACH : live;
	config = q->config ? q->op == HV_ATTACH : config;
	set_hostdev(d, q->address, live, config);
	for (size_t i = 0; i < d->n_hostdevs && q->op == HV_ATTACH; i++)
		if (pci_address_equal(&d->hostdevs[i].address, &q->address))
			(void)free_and_strdup(&d->hostdevs[i].alias, q->alias);
}

static int hv_request(struct hypervisor *hv, const struct hv_request *request, hv_reply_fn fn,
		      void *userdata)
{
	struct fake_actors *f = of_hv(hv);
	struct fake_call *call = calloc(1, sizeof(*call));

	f->n_hv[request->op]++;
	f->hv_deadline[request->op] = request->deadline_usec;
	call->hv = *request;
	call->uuid = request->uuid ? strdup(request->uuid) : NULL;
	call->hv.uuid = call->uuid;
	call->alias = request->alias ? strdup(request->alias) : NULL;
	call->hv.alias = call->alias;
	call->hv_fn = fn;
	call->userdata = userdata;
	put(f, call);
	return 0;
}

static int hv_start(struct hypervisor *hv)
{
	fake_hv_event(of_hv(hv), HV_EVENT_CONNECTED, 0);
	return 0;
}

/* ---- the loop ---- */

static bool is_held(const struct fake_actors *f, const struct fake_call *call)
{
	return call->hv_fn ? f->hv_held & (1U << call->hv.op) : f->host_held & (1U << call->host.op);
}

static int on_wake(sd_event_source *source, void *userdata)
{
	struct fake_actors *f = userdata;
	struct fake_call **at = &f->calls, *call;
	struct domain_facts *list[FAKE_VMS] = { 0 };
	struct host_reply host = { 0 };
	struct hv_reply hv = { 0 };

	while (*at && is_held(f, *at))
		at = &(*at)->next;
	call = *at;
	if (!call)
		return 0;
	*at = call->next;
	if (call->hv_fn) {
		hv_do(f, &call->hv, &hv, list);
		call->hv_fn(call->userdata, &hv);
	} else {
		host_do(f, &call->host, &host);
		call->host_fn(call->userdata, &host);
	}
	call_free(call);
	wake(f);
	return 0;
}

static void nothing(struct host *host)
{
}

static void nothing_hv(struct hypervisor *hv)
{
}

static bool is_settling(struct host *host)
{
	return ((struct fake_actors *)host)->settling;
}

static const struct host_ops host_ops = {
	.name = "fake", .start = host_start, .request = host_request, .settling = is_settling, .free = nothing,
};
static const struct hypervisor_ops hv_ops = { "fake", hv_start, hv_request, nothing_hv };

void fake_actors_init(struct fake_actors *f, sd_event *event)
{
	*f = (struct fake_actors){ .host.ops = &host_ops, .hv.ops = &hv_ops, .event = event };
	if (sd_event_add_defer(event, &f->source, on_wake, f) < 0)
		abort();
	(void)sd_event_source_set_enabled(f->source, SD_EVENT_OFF);
	f->gpu = calloc(1, sizeof(*f->gpu));
	(void)pci_address_parse(FAKE_PF, &f->gpu->address);
	f->gpu->device_id = 0x56c0;
	f->gpu->model = strdup("Flex 170");
	f->gpu->serial = strdup("S1");
	f->gpu->driver = strdup("xe");
	f->gpu->vf_control = VF_CONTROL_XE;
	f->gpu->sriov_capable = f->gpu->iommu = true;
	f->gpu->tiles = 1;
	f->gpu->can[VF_ATTR_VRAM].access = f->gpu->can[VF_ATTR_EXEC_QUANTUM].access =
		f->gpu->can[VF_ATTR_PREEMPT_TIMEOUT].access = VF_ACCESS_WRITE;
	f->gpu->can[VF_ATTR_PRIORITY].access = VF_ACCESS_BULK;
	f->gpu->total_vfs = 7;
	f->gpu->numa_node = -1;
	f->gpu->vram_bytes = (struct known){ true, 16 * GIB };
	f->gpu->resources[VF_ATTR_VRAM].free = (struct known){ true, 14 * GIB };
	f->gpu->vfs = calloc(1, sizeof(*f->gpu->vfs));
}

void fake_forget(struct fake_actors *f)
{
	while (f->calls) {
		struct fake_call *next = f->calls->next;

		call_free(f->calls);
		f->calls = next;
	}
}

void fake_actors_done(struct fake_actors *f)
{
	fake_forget(f);
	for (size_t i = 0; i < FAKE_VMS; i++)
		f->vms[i] = domain_facts_free(f->vms[i]);
	f->gpu = gpu_facts_free(f->gpu);
	f->other = gpu_facts_free(f->other);
	sd_event_source_disable_unref(f->source);
}

void fake_release(struct fake_actors *f, unsigned host_ops_bits, unsigned hv_ops_bits)
{
	f->host_held &= ~host_ops_bits;
	f->hv_held &= ~hv_ops_bits;
	wake(f);
}

size_t fake_waiting(const struct fake_actors *f)
{
	size_t n = 0;

	for (const struct fake_call *call = f->calls; call; call = call->next)
		n++;
	return n;
}

void fake_add_vm(struct fake_actors *f, unsigned n, const char *name, enum vm_state state)
{
	struct domain_facts *d = calloc(1, sizeof(*d));

	snprintf(d->uuid, sizeof(d->uuid), "00000000-0000-4000-8000-%012u", n);
	d->name = strdup(name);
	d->guest_root = strdup("");
	d->state = state;
	d->persistent = true;
	d->id = state == VM_OFF ? -1 : (int)n;
	d->agent = VM_AGENT_CONNECTED;
	d->free_ports = 4;
	f->vms[n] = d;
}

void fake_host_event(struct fake_actors *f, enum host_event_type type, const char *attribute)
{
	struct host_event event = { .type = type, .attribute = attribute };

	(void)pci_address_parse(FAKE_PF, &event.gpu);
	f->host.on_event(f->host.userdata, &event);
}

void fake_hv_event(struct fake_actors *f, enum hv_event_type type, unsigned vm)
{
	struct hv_event event = { .type = type };
	char uuid[37];

	snprintf(uuid, sizeof(uuid), "00000000-0000-4000-8000-%012u", vm);
	event.uuid = uuid;
	if (type == HV_EVENT_DOMAIN)
		event.domain = f->vms[vm];
	if (type == HV_EVENT_LOST_CONNECTION)
		event.reason = "the test says so";
	f->hv.on_event(f->hv.userdata, &event);
}
