/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of libvirt for PCI hostdevs. */
#include "machine/sim-hypervisor.h"

#include <stdio.h>

#include "hypervisor/pin-memory.h"

#define USER_ALIAS "ua-" /* libvirt keeps an alias with this beginning and overwrites any other */
#define OUR_ALIAS "ua-gpuvf-" /* what gpuvf attaches: who else attaches answers for its resets himself */

/* The same name gives the same uuid in every life of the machine (FNV-1a, twice). */
static void uuid_of(const char *name, char ret[static 37])
{
	uint64_t a = UINT64_C(0xcbf29ce484222325), b = UINT64_C(0x84222325cbf29ce4);

	for (const char *p = name; *p; p++) {
		a = (a ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
		b = (b ^ (unsigned char)*p) * UINT64_C(0x100000001b3) + 1;
	}
	/* version 8 (own making), variant 10 */
	snprintf(ret, 37, "%08x-%04x-8%03x-%04x-%012llx", (unsigned)(a >> 32),
		 (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff,
		 0x8000 | ((unsigned)(b >> 48) & 0x3fff), (unsigned long long)(b & 0xffffffffffff));
}

static void refuse(char **ret_message, char *message)
{
	free(*ret_message);
	*ret_message = message;
}

int sim_hypervisor_init(struct sim_hypervisor *hv, const struct sim_document *document,
			const char *guests_dir, int pid)
{
	*hv = (struct sim_hypervisor){.n_vms = document->n_vms,
				      .pid = pid,
				      .memory_available = document->memory_available,
				      .connected = true};
	hv->vms = calloc(document->n_vms + 1, sizeof(*hv->vms));
	if (!hv->vms)
		return -ENOMEM;
	for (size_t i = 0; i < hv->n_vms; i++) {
		struct sim_vm *vm = &hv->vms[i];

		vm->spec = document->vms[i];
		uuid_of(vm->spec.name, vm->uuid);
		vm->state = vm->spec.state;
		vm->id = sim_vm_is_active(vm) ? ++hv->last_id : -1;
		vm->agent = vm->spec.agent;
		vm->saved = vm->spec.saved;
		vm->resident_bytes = sim_vm_is_active(vm) ? vm->spec.resident_bytes : 0;
		vm->guest_root = xasprintf("%s/%s", guests_dir, vm->spec.name);
		if (!vm->guest_root)
			return -ENOMEM;
	}
	return 0;
}

void sim_hostdev_done(struct sim_hostdev *h)
{
	free(h->alias);
	*h = (struct sim_hostdev){0};
}

static void hostdevs_done(struct sim_hostdevs *list)
{
	for (size_t i = 0; i < list->n; i++)
		sim_hostdev_done(&list->items[i]);
	free(list->items);
	*list = (struct sim_hostdevs){0};
}

void sim_hypervisor_done(struct sim_hypervisor *hv)
{
	for (size_t i = 0; hv->vms && i < hv->n_vms; i++) {
		hostdevs_done(&hv->vms[i].live);
		hostdevs_done(&hv->vms[i].config);
		free(hv->vms[i].guest_root);
	}
	free(hv->vms);
	*hv = (struct sim_hypervisor){0};
}

struct sim_vm *sim_hypervisor_find(struct sim_hypervisor *hv, const char *uuid)
{
	for (size_t i = 0; i < hv->n_vms; i++)
		if (hv->vms[i].state != VM_GONE && streq(hv->vms[i].uuid, uuid))
			return &hv->vms[i];
	return NULL;
}

struct sim_vm *sim_hypervisor_find_name(struct sim_hypervisor *hv, const char *name)
{
	for (size_t i = 0; i < hv->n_vms; i++)
		if (streq(hv->vms[i].spec.name, name))
			return &hv->vms[i];
	return NULL;
}

static struct sim_hostdev *find_hostdev(const struct sim_hostdevs *list,
					const struct pci_address *address)
{
	for (size_t i = 0; i < list->n; i++)
		if (pci_address_equal(&list->items[i].address, address))
			return &list->items[i];
	return NULL;
}

/* Room for one more, so that adding cannot fail once libvirt has said yes. */
static int reserve(struct sim_hostdevs *list)
{
	struct sim_hostdev *items = realloc(list->items, (list->n + 1) * sizeof(*items));

	if (!items)
		return -ENOMEM;
	list->items = items;
	return 0;
}

static void remove_hostdev(struct sim_hostdevs *list, const struct pci_address *address,
			   struct sim_hostdev *ret_gone)
{
	struct sim_hostdev *h = find_hostdev(list, address);

	if (!h)
		return;
	if (ret_gone)
		*ret_gone = *h;
	else
		sim_hostdev_done(h);
	*h = list->items[--list->n];
}

/* The lowest port that is empty, or -1. */
static int free_port(const struct sim_vm *vm)
{
	for (unsigned port = 0; port < vm->spec.ports; port++) {
		bool taken = false;

		for (size_t i = 0; i < vm->live.n; i++)
			taken = taken || vm->live.items[i].port == port;
		if (!taken)
			return (int)port;
	}
	return -1;
}

static const char *user_of(const struct sim_hypervisor *hv, const struct pci_address *address)
{
	for (size_t i = 0; i < hv->n_vms; i++)
		if (find_hostdev(&hv->vms[i].live, address))
			return hv->vms[i].spec.name;
	return NULL;
}

/* What qemu's driver of libvirt checks before it takes a device. */
static enum hv_failure check_device(const struct sim_hypervisor *hv, struct sim_kernel *k,
				    const struct pci_address *address, bool managed, char **ret_message)
{
	const char *text = PCI_ADDRESS_STR(address), *user = user_of(hv, address);
	struct sim_vf *vf = sim_kernel_find_vf(k, address, NULL);

	if (!vf && !sim_kernel_find(k, address)) {
		refuse(ret_message,
		       xasprintf("Device %s not found: could not access "
				 "/sys/bus/pci/devices/%s/config: No such file or directory",
				 text, text));
		return HV_FAILED;
	}
	if (user) {
		refuse(ret_message,
		       xasprintf("Requested operation is not valid: PCI device %s is in use "
				 "by driver QEMU, domain %s",
				 text, user));
		return HV_FAILED;
	}
	if (!vf || (!vf->vfio && !managed)) {
		refuse(ret_message,
		       xasprintf("Requested operation is not valid: Unmanaged PCI device %s "
				 "must be manually detached from the host",
				 text));
		return HV_FAILED;
	}
	if (vf->held) {
		refuse(ret_message,
		       xasprintf("internal error: qemu unexpectedly closed the monitor: vfio "
				 "%s: failed to open /dev/vfio/%d: Device or resource busy",
				 text, vf->iommu_group));
		return HV_FAILED;
	}
	return HV_OK;
}

/* QEMU has so much of the guest's memory from here on, and the host the rest. */
static void set_resident(struct sim_hypervisor *hv, struct sim_vm *vm, uint64_t bytes)
{
	uint64_t *has = &hv->memory_available.value;

	*has += vm->resident_bytes;
	*has -= MIN_OF(bytes, *has);
	vm->resident_bytes = bytes;
}

static enum hv_failure check_live(const struct sim_hypervisor *hv, struct sim_kernel *k,
				  const struct sim_vm *vm, const struct pci_address *address,
				  bool managed, char **ret_message)
{
	if (!sim_vm_is_active(vm)) {
		refuse(ret_message,
		       strdup("Requested operation is not valid: domain is not running"));
		return HV_NOT_RUNNING;
	}
	if (find_hostdev(&vm->live, address)) {
		refuse(ret_message, strdup("operation failed: host device already exists"));
		return HV_ALREADY;
	}
	if (free_port(vm) < 0) {
		refuse(ret_message, strdup("internal error: No more available PCI slots"));
		return HV_NO_PORT;
	}
	return check_device(hv, k, address, managed, ret_message);
}

static enum hv_failure check_config(const struct sim_vm *vm, const struct pci_address *address,
				    char **ret_message)
{
	if (!vm->spec.persistent) {
		refuse(ret_message,
		       strdup("Requested operation is not valid: transient domains do not "
			      "have any persistent config"));
		return HV_FAILED;
	}
	if (address && find_hostdev(&vm->config, address)) {
		refuse(ret_message, strdup("operation failed: device is already in the domain "
					   "configuration"));
		return HV_ALREADY;
	}
	return HV_OK;
}

static bool is_user_alias(const char *alias)
{
	return alias && strncmp(alias, USER_ALIAS, strlen(USER_ALIAS)) == 0;
}

static bool is_ours(const char *alias)
{
	return alias && strncmp(alias, OUR_ALIAS, strlen(OUR_ALIAS)) == 0;
}

/* A VM lets go of it. */
static void let_go(struct sim_kernel *k, const struct sim_hostdev *h)
{
	struct sim_gpu *g = NULL;
	struct sim_vf *vf = sim_kernel_find_vf(k, &h->address, &g);

	if (!vf)
		return;
	sim_vf_release(vf);
	vf->used |= is_ours(h->alias);
	if (h->managed)
		sim_gpu_give_back(g, vf);
}

/* libvirt's own driver work for a managed device. */
static enum hv_failure bind_managed(struct sim_kernel *k, const struct pci_address *address, char **ret_message)
{
	struct sim_gpu *g = NULL;
	struct sim_vf *vf = sim_kernel_find_vf(k, address, &g);
	int r = vf ? sim_gpu_bind_vfio(g, (unsigned)(vf - g->vfs) + 1) : -ENOENT;

	if (r >= 0)
		return HV_OK;
	refuse(ret_message, xasprintf("Failed to bind PCI device '%s' to %s: %s", PCI_ADDRESS_STR(address),
				      g ? g->spec.vfio_driver : "vfio-pci", strerror(-r)));
	return HV_FAILED;
}

static enum hv_failure check_memory(const struct sim_hypervisor *hv, const struct sim_vm *vm, char **ret_message)
{
	char *why = pin_refusal(vm->spec.memory_bytes, (struct known){true, vm->resident_bytes},
				hv->memory_available, 0);

	if (!why)
		return HV_OK;
	refuse(ret_message, why);
	return HV_NO_MEMORY;
}

/* What the daemon's libvirt layer looks at before it asks libvirt, which would do it. */
static enum hv_failure check_before(const struct sim_hypervisor *hv, const struct sim_vm *vm,
				    const struct hv_request *request, char **ret_message)
{
	enum hv_failure failure = HV_OK;

	if (request->live && vm->live.n == 0)
		failure = check_memory(hv, vm, ret_message);
	if (failure != HV_OK || !request->config || !vm->saved)
		return failure;
	refuse(ret_message, strdup(HV_SAVED_TEXT));
	return HV_SAVED;
}

static struct sim_hostdev *plug(struct sim_hypervisor *hv, struct sim_kernel *k, struct sim_vm *vm,
				const struct pci_address *address, bool managed, char *alias)
{
	struct sim_hostdev *h = &vm->live.items[vm->live.n];
	int port = free_port(vm);

	*h = (struct sim_hostdev){
		.address = *address, .alias = alias, .port = (unsigned)port, .managed = managed};
	vm->live.n++;
	sim_vf_hold(sim_kernel_find_vf(k, address, NULL), vm->spec.name, hv->pid);
	set_resident(hv, vm, vm->spec.memory_bytes);
	return h;
}

enum hv_failure sim_vm_attach(struct sim_hypervisor *hv, struct sim_kernel *k, struct sim_vm *vm,
			      const struct hv_request *request, struct sim_hostdev **ret_hostdev,
			      char **ret_message)
{
	_cleanup_free_ char *live = NULL, *config = NULL;
	enum hv_failure failure = HV_OK;

	if (request->config)
		failure = check_config(vm, &request->address, ret_message);
	if (failure == HV_OK && request->live)
		failure = check_live(hv, k, vm, &request->address, request->managed, ret_message);
	if (failure == HV_OK && is_ours(request->alias))
		failure = check_before(hv, vm, request, ret_message);
	if (failure == HV_OK && request->live && request->managed)
		failure = bind_managed(k, &request->address, ret_message);
	if (failure != HV_OK)
		return failure;

	if (is_user_alias(request->alias)) {
		live = strdup(request->alias);
		config = strdup(request->alias);
	} else {
		live = xasprintf("hostdev%u", vm->aliases++);
	}
	if (!live || (is_user_alias(request->alias) && !config) || reserve(&vm->live) < 0 ||
	    reserve(&vm->config) < 0)
		return HV_FAILED;
	if (request->config)
		vm->config.items[vm->config.n++] = (struct sim_hostdev){.address = request->address,
									.alias = TAKE_PTR(config),
									.managed = request->managed};
	if (request->live && is_ours(live))
		sim_kernel_count_attach(k, &request->address);
	*ret_hostdev = request->live ? plug(hv, k, vm, &request->address, request->managed, TAKE_PTR(live)) :
				       NULL;
	return HV_OK;
}

/* Which one a detach means.  Who names an alias means no other: the device of a later lease, or one that somebody
 * attached by hand, stays.  In a stored definition there may be none (libvirt-ops.c looks in the same way). */
static struct sim_hostdev *find_meant(const struct sim_hostdevs *list, const struct hv_request *request)
{
	struct sim_hostdev *h = find_hostdev(list, &request->address);

	return h && (!request->alias || !h->alias || streq(h->alias, request->alias)) ? h : NULL;
}

static enum hv_failure refuse_missing(const struct pci_address *address, char **ret_message)
{
	refuse(ret_message, xasprintf("device not found: host pci device %s not found",
				      PCI_ADDRESS_STR(address)));
	return HV_ALREADY;
}

enum hv_failure sim_vm_detach_check(const struct sim_vm *vm, const struct hv_request *request,
				    char **ret_message)
{
	if (request->config) {
		enum hv_failure failure = check_config(vm, NULL, ret_message);

		if (failure != HV_OK)
			return failure;
		if (!find_meant(&vm->config, request))
			return refuse_missing(&request->address, ret_message);
	}
	if (!request->live)
		return HV_OK;
	if (!sim_vm_is_active(vm)) {
		refuse(ret_message,
		       strdup("Requested operation is not valid: domain is not running"));
		return HV_NOT_RUNNING;
	}
	if (!find_meant(&vm->live, request))
		return refuse_missing(&request->address, ret_message);
	return HV_OK;
}

void sim_vm_detach(struct sim_kernel *k, struct sim_vm *vm, const struct hv_request *request,
		   struct sim_hostdev *ret_gone)
{
	*ret_gone = (struct sim_hostdev){0};
	if (request->config)
		remove_hostdev(&vm->config, &request->address, NULL);
	if (!request->live)
		return;
	remove_hostdev(&vm->live, &request->address, ret_gone);
	let_go(k, ret_gone);
}

enum hv_failure sim_vm_start_check(const struct sim_hypervisor *hv, const struct sim_vm *vm, char **ret_message)
{
	return vm->saved || vm->config.n == 0 ? HV_OK : check_memory(hv, vm, ret_message);
}

enum hv_failure sim_vm_start(struct sim_hypervisor *hv, struct sim_kernel *k, struct sim_vm *vm,
			     char **ret_message)
{
	size_t n;

	if (sim_vm_is_active(vm)) {
		refuse(ret_message,
		       strdup("Requested operation is not valid: domain is already running"));
		return HV_FAILED;
	}
	if (!vm->spec.persistent) {
		refuse(ret_message, strdup("Domain not found: it was transient"));
		return HV_NO_DOMAIN;
	}
	n = vm->saved ? 0 : vm->config.n;
	if (n > vm->spec.ports) {
		refuse(ret_message, strdup("internal error: No more available PCI slots"));
		return HV_NO_PORT;
	}
	for (size_t i = 0; i < n; i++) {
		enum hv_failure failure =
			check_device(hv, k, &vm->config.items[i].address, vm->config.items[i].managed, ret_message);

		if (failure == HV_OK && vm->config.items[i].managed)
			failure = bind_managed(k, &vm->config.items[i].address, ret_message);
		if (failure != HV_OK)
			return failure;
	}
	set_resident(hv, vm, vm->spec.resident_bytes);
	for (size_t i = 0; i < n; i++) {
		const struct sim_hostdev *h = &vm->config.items[i];
		char *alias = h->alias ? strdup(h->alias) : xasprintf("hostdev%u", vm->aliases++);

		if (!alias || reserve(&vm->live) < 0) {
			free(alias);
			sim_vm_stop(hv, k, vm);
			return HV_FAILED;
		}
		plug(hv, k, vm, &h->address, h->managed, alias);
	}
	vm->saved = false;
	vm->state = VM_RUNNING;
	vm->id = ++hv->last_id;
	return HV_OK;
}

void sim_vm_stop(struct sim_hypervisor *hv, struct sim_kernel *k, struct sim_vm *vm)
{
	for (size_t i = 0; i < vm->live.n; i++)
		let_go(k, &vm->live.items[i]);
	hostdevs_done(&vm->live);
	set_resident(hv, vm, 0);
	vm->aliases = 0;
	vm->id = -1;
	vm->state = vm->spec.persistent ? VM_OFF : VM_GONE;
}

static enum vm_agent agent_state(const struct sim_vm *vm)
{
	if (vm->agent == SIM_AGENT_NONE)
		return VM_AGENT_ABSENT;
	if (!sim_vm_is_active(vm) || vm->state == VM_CRASHED || vm->agent == SIM_AGENT_DISCONNECTED)
		return VM_AGENT_DISCONNECTED;
	return VM_AGENT_CONNECTED;
}

static int add_hostdevs(struct domain_facts *f, const struct sim_hostdevs *list, bool live)
{
	for (size_t i = 0; i < list->n; i++) {
		struct domain_hostdev *out = NULL;

		for (size_t j = 0; j < f->n_hostdevs; j++)
			if (pci_address_equal(&f->hostdevs[j].address, &list->items[i].address))
				out = &f->hostdevs[j];
		if (!out) {
			out = &f->hostdevs[f->n_hostdevs++];
			out->address = list->items[i].address;
			if (free_and_strdup(&out->alias, list->items[i].alias) < 0)
				return -ENOMEM;
		}
		out->live |= live;
		out->config |= !live;
	}
	return 0;
}

struct domain_facts *sim_vm_facts(const struct sim_vm *vm)
{
	_cleanup_(domain_facts_freep) struct domain_facts *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	memcpy(f->uuid, vm->uuid, sizeof(f->uuid));
	f->state = vm->state;
	f->persistent = vm->spec.persistent;
	f->saved = vm->saved;
	f->id = vm->id;
	f->agent = agent_state(vm);
	f->memory_bytes = vm->spec.memory_bytes;
	f->free_ports =
		(int)vm->spec.ports - (int)(sim_vm_is_active(vm) ? vm->live.n : vm->config.n);
	f->hostdevs = calloc(vm->live.n + vm->config.n + 1, sizeof(*f->hostdevs));
	if (!f->hostdevs || free_and_strdup(&f->name, vm->spec.name) < 0 ||
	    free_and_strdup(&f->guest_root, vm->guest_root) < 0 ||
	    add_hostdevs(f, &vm->live, true) < 0 || add_hostdevs(f, &vm->config, false) < 0)
		return NULL;
	return TAKE_PTR(f);
}
