/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMs as libvirt shows them, and what their changes mean for the VFs that they hold. */
#include "manager-state.h"

struct vm *vm_find_uuid(struct manager *m, const char *uuid)
{
	struct vm *vm = NULL;

	if (uuid)
		HASH_FIND_STR(m->vms, uuid, vm);
	return vm;
}

struct vm *vm_find(struct manager *m, const char *name)
{
	struct vm *vm, *tmp;

	if (!name)
		return NULL;
	HASH_ITER(hh, m->vms, vm, tmp)
		if (streq(vm->facts->name, name))
			return vm;
	return vm_find_uuid(m, name);
}

void vm_free(struct manager *m, struct vm *vm)
{
	HASH_DEL(m->vms, vm);
	if (!m->ending)
		handover_vm_gone(vm);
	pool_vm_gone(m, vm);
	domain_facts_free(vm->facts);
	free(vm->quarantine);
	wedged_done(&vm->wedged);
	(void)barrier_forget(vm);
	free(vm->fixed.failure);
	free(vm->follow.failure);
	free(vm->memory.failure);
	free(vm);
}

const struct domain_hostdev *domain_hostdev_at(const struct domain_facts *facts, const struct pci_address *address)
{
	for (size_t i = 0; i < facts->n_hostdevs; i++)
		if (pci_address_equal(&facts->hostdevs[i].address, address))
			return &facts->hostdevs[i];
	return NULL;
}

void vm_note_stored(struct vm *vm, const struct pci_address *address, const char *alias, bool there)
{
	struct domain_facts *f = vm->facts;
	struct domain_hostdev *grown;
	size_t i = 0;

	while (i < f->n_hostdevs && !pci_address_equal(&f->hostdevs[i].address, address))
		i++;
	if (i == f->n_hostdevs && there) {
		grown = reallocarray(f->hostdevs, f->n_hostdevs + 1, sizeof(*grown));
		if (!grown)
			return;
		f->hostdevs = grown;
		grown[f->n_hostdevs++] = (struct domain_hostdev){ .address = *address,
								  .alias = alias ? strdup(alias) : NULL };
	}
	if (i == f->n_hostdevs)
		return;
	f->hostdevs[i].config = there;
	if (there || f->hostdevs[i].live)
		return;
	free(f->hostdevs[i].alias);
	f->hostdevs[i] = f->hostdevs[--f->n_hostdevs];
}

/* What a domain has at one address.  Two entries, under two aliases: two hands put them there, one on each side. */
struct shown {
	bool live, config;
	bool by_others; /* one does not bear an alias of ours */
};

static struct shown shown_at(const struct domain_facts *facts, const struct pci_address *address)
{
	struct shown shown = { 0 };

	for (size_t i = 0; i < facts->n_hostdevs; i++) {
		const struct domain_hostdev *dev = &facts->hostdevs[i];

		if (!pci_address_equal(&dev->address, address))
			continue;
		shown.live |= dev->live;
		shown.config |= dev->config;
		shown.by_others |= !alias_is_ours(dev->alias);
	}
	return shown;
}

/* A hostdev that we did not put there: its VF is held all the same.  One that runs goes before one that is
 * only named by a VM that is off. */
static void adopt(struct manager *m, struct vm *vm, struct vf *vf, const struct domain_hostdev *dev)
{
	bool elsewhere = vf->state == VF_RESERVED && dev->live && !streq(vf->lease.vm_uuid, vm->uuid);
	bool was_process = vf_is_in_process(vf) && dev->live && !vf->handover; /* QEMU's, seen before libvirt's word */

	if (vf->state == VF_QUARANTINED && vf->lease.owner == LEASE_NONE && !vf->handover) {
		if (!dev->live && displaced_is_of(vf, vm))
			return; /* its own lease waits until it is healed */
		/* It stays so, and is not healed, reset or cut away under that VM. */
		vf_lease(m, vf, LEASE_FOREIGN, vm, 0, 0, dev->live, dev->config);
		vf->lease.confirm_by = 0;
		vf_store(m, vf);
		return;
	}
	if (vf->state != VF_FREE && !elsewhere && !was_process)
		return;
	if (!dev->live && follow_is_stale(m, vm, dev))
		return; /* what was there when it was written was another VF: it is on its way out */
	if (vf->state == VF_FREE && (!dev->live || displaced_is_of(vf, vm)) && displaced_returns(m, vf))
		return;
	if (elsewhere)
		displaced_keep(vf);
	vf_lease(m, vf, LEASE_FOREIGN, vm, 0, 0, dev->live, dev->config);
	vf_set_state(m, vf, dev->live ? VF_ATTACHED : VF_RESERVED,
		     dev->live ? "attached by somebody else" : "named in the VM's persistent XML");
}

bool vm_holds_vf(struct manager *m, const struct vm *vm)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (gpu->vfs[i]->lease.owner != LEASE_NONE && streq(gpu->vfs[i]->lease.vm_uuid, vm->uuid))
				return true;
	return false;
}

bool vf_is_live(struct manager *m, const struct vf *vf)
{
	struct vm *vm, *tmp;

	HASH_ITER(hh, m->vms, vm, tmp)
		if (shown_at(vm->facts, &vf->address).live)
			return true;
	return false;
}

bool vf_is_elsewhere(struct manager *m, const struct vf *vf)
{
	struct vm *vm, *tmp;

	HASH_ITER(hh, m->vms, vm, tmp) {
		const struct domain_hostdev *dev = domain_hostdev_at(vm->facts, &vf->address);

		if (dev && dev->live && !streq(vm->uuid, vf->lease.vm_uuid))
			return true;
	}
	return false;
}

void vm_adopt_vf(struct manager *m, struct vf *vf)
{
	struct vm *vm, *tmp;

	HASH_ITER(hh, m->vms, vm, tmp) {
		const struct domain_hostdev *dev = domain_hostdev_at(vm->facts, &vf->address);

		if (dev)
			adopt(m, vm, vf, dev);
	}
}

bool vm_names_vf(struct manager *m, const struct vm *vm, const struct vf *vf)
{
	const struct domain_hostdev *dev = domain_hostdev_at(vm->facts, &vf->address);
	struct shown shown = shown_at(vm->facts, &vf->address);

	return shown.config && !shown.live && !follow_is_stale(m, vm, dev);
}

void vm_adopt_stored(struct manager *m, struct vf *vf)
{
	struct vm *vm, *tmp;

	HASH_ITER(hh, m->vms, vm, tmp)
		if (vf->state == VF_FREE && vm_names_vf(m, vm, vf))
			adopt(m, vm, vf, domain_hostdev_at(vm->facts, &vf->address));
}

static void after_loss(struct manager *m, struct vf *vf, void *userdata,
		       const struct rpc_error *error)
{
	vm_adopt_vf(m, vf); /* another may have it by now */
	job_vf_back(m, vf->name);
	manager_pump(m);
}

/* Whose VF it is and who is there with it; one that was placed elsewhere since is none of this VM's. */
static struct job *job_there(struct manager *m, const struct vm *vm, const struct vf *vf)
{
	struct job *job = lease_job(m, &vf->lease);

	return job && streq(job->vm_uuid, vm->uuid) && streq_ptr(job->vf_name, vf->name) ? job : NULL;
}

/* The VF's VM no longer shows it, and nobody of us is taking it away. */
static void hostdev_lost(struct manager *m, struct vm *vm, struct vf *vf)
{
	bool off = vm->facts->state == VM_OFF;
	struct job *job = job_there(m, vm, vf);

	log_vf(vf->name, LOG_NOTICE, 0, "%s left %s: %s", vf->name, vm->facts->name,
	       off ? "the VM is off" : "it was taken out by somebody else or by the guest");
	if (job && off)
		job_vm_off(m, job);
	if (vf->state == VF_ATTACHED && !vf->handover)
		handover_reset(m, vf, after_loss, NULL);
}

/* A VF that seems lost.  What libvirt told may be older than our attach, so it is asked once more. */
struct doubt {
	struct manager *m;
	char *vf_name;
	uint64_t epoch;
};

static void on_asked_again(void *userdata, const struct hv_reply *reply)
{
	struct doubt *doubt = userdata;
	struct manager *m = doubt->m;
	struct vf *vf = vf_find(m, doubt->vf_name);
	struct vm *vm = vf ? vm_find_uuid(m, vf->lease.vm_uuid) : NULL;
	struct shown shown;

	if (vm && reply->failure == HV_OK && reply->n_domains == 1 && !reply->domains[0]->hostdevs_unknown &&
	    !vm->barrier.failure && vf->lease.epoch == doubt->epoch && !vf->handover) {
		shown = shown_at(reply->domains[0], &vf->address);
		if (vf->state == VF_ATTACHED && !shown.live)
			hostdev_lost(m, vm, vf);
		else if (vf->state == VF_RESERVED && !shown.live && !shown.config)
			handover_reset(m, vf, after_loss, NULL); /* its VM may have run with it */
	}
	free(doubt->vf_name);
	free(doubt);
}

static void ask_again(struct manager *m, struct vm *vm, struct vf *vf)
{
	struct hv_request request = { .op = HV_GET, .uuid = vm->uuid };
	struct doubt *doubt = calloc(1, sizeof(*doubt));

	if (!doubt)
		return;
	*doubt = (struct doubt){ .m = m, .vf_name = strdup(vf->name), .epoch = vf->lease.epoch };
	if (m->hypervisor->ops->request(m->hypervisor, &request, on_asked_again, doubt) < 0) {
		free(doubt->vf_name);
		free(doubt);
	}
}

/* Somebody took it out and put it back while nobody of us looked: it is the VM's still, and from now on it is asked
 * for by its address. */
static void put_back_by_others(struct manager *m, const struct vm *vm, struct vf *vf)
{
	log_vf(vf->name, LOG_NOTICE, 0, "%s has it by somebody else's hand now: it was taken out and put back",
	       vm->facts->name);
	vf->lease.adopted = true;
	vf->lease.epoch = m->next_epoch++;
	vf_store(m, vf);
	manager_emit(m, "lease.changed", vf->name,
		     json_pack("{s:s,s:I,s:s?}", "owner", lease_owner_to_string(vf->lease.owner), "epoch",
			       (json_int_t)vf->lease.epoch, "vm", vf->lease.vm_name));
}

/* Where the VF is, live or in the persistent XML, is libvirt's word. */
static void hostdev_seen(struct manager *m, struct vm *vm, struct vf *vf, const struct shown *shown)
{
	struct job *job = job_there(m, vm, vf);
	int run = shown->live ? vm->facts->id : -1;

	if (shown->by_others && vf->lease.owner != LEASE_FOREIGN && !vf->lease.adopted)
		put_back_by_others(m, vm, vf);
	if (vf->lease.live != shown->live || vf->lease.config != shown->config ||
	    (vf->state == VF_ATTACHED && vf->lease.domain_id != run)) {
		vf->lease.live = shown->live;
		vf->lease.config = shown->config;
		vf->lease.domain_id = vf->state == VF_ATTACHED ? run : -1;
		if (shown->live == (vf->state == VF_ATTACHED)) /* else the state changes with it, in one row */
			vf_store(m, vf);
	}
	if (shown->live && vf->state == VF_RESERVED) {
		vf_set_state(m, vf, VF_ATTACHED, NULL);
	} else if (!shown->live && vf->state == VF_ATTACHED) {
		if (job && vm->facts->state == VM_OFF)
			job_vm_off(m, job);
		vf_set_state(m, vf, VF_RESERVED, "only in the VM's persistent XML now");
		if (vf_is_elsewhere(m, vf))
			vm_adopt_vf(m, vf); /* out of one guest and into another by hand: the other was seen first */
	}
}

static void compare_vf(struct manager *m, struct vm *vm, struct vf *vf, bool sure)
{
	const struct shown shown = shown_at(vm->facts, &vf->address);

	if (vf->state == VF_QUARANTINED && !vf->handover && !shown.live && !shown.config)
		vf_lease_end(m, vf);
	if (vf->handover || (vf->state != VF_ATTACHED && vf->state != VF_RESERVED))
		return;
	if (!shown.live && follow_waits(m, vm, vf))
		return;
	if (shown.live || shown.config) {
		hostdev_seen(m, vm, vf, &shown);
	} else if (vf->state == VF_RESERVED && vf_is_elsewhere(m, vf)) {
		vf_let_go(m, vf, VF_FREE, NULL);
		vm_adopt_vf(m, vf);
	} else if (vf->state == VF_RESERVED && sure) {
		handover_reset(m, vf, after_loss, NULL);
	} else if (vf->state == VF_ATTACHED && (sure || vm->facts->state == VM_OFF)) {
		hostdev_lost(m, vm, vf);
	} else {
		ask_again(m, vm, vf);
	}
}

void vm_compare_hostdevs(struct manager *m, struct vm *vm, bool sure)
{
	struct gpu *gpu, *tmp;

	if (vm->facts->hostdevs_unknown)
		return; /* what its leases say stands */
	for (size_t i = 0; i < vm->facts->n_hostdevs; i++) {
		struct vf *vf = vf_find_address(m, &vm->facts->hostdevs[i].address);

		if (vf)
			adopt(m, vm, vf, &vm->facts->hostdevs[i]);
	}
	if (vm->barrier.failure)
		return;
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (streq(gpu->vfs[i]->lease.vm_uuid, vm->uuid))
				compare_vf(m, vm, gpu->vfs[i], sure);
}

static void jobs_of_stopped_vm(struct manager *m, struct vm *vm)
{
	struct job *job, *tmp;

	HASH_ITER(hh, m->jobs, job, tmp)
		if (streq(job->vm_uuid, vm->uuid) && job->state >= JOB_STARTING &&
		    job->state <= JOB_UNREACHABLE)
			job_vm_off(m, job);
}

/* Its leases hold by uuid; the name is what people see. */
static void renamed(struct manager *m, struct vm *vm, const char *name)
{
	struct gpu *gpu, *tmp;

	log_vm(name, LOG_NOTICE, 0, "VM %s is called %s now", vm->facts->name, name);
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++) {
			struct vf *vf = gpu->vfs[i];

			if (vf->lease.owner == LEASE_NONE || !streq(vf->lease.vm_uuid, vm->uuid) ||
			    free_and_strdup(&vf->lease.vm_name, name) < 0)
				continue;
			vf_store(m, vf);
		}
	manager_emit(m, "vm.changed", name, json_pack("{s:s}", "was", vm->facts->name));
}

/* Of a domain whose XML cannot be read now, what was seen last holds. */
static void keep_hostdevs(struct domain_facts *before, struct domain_facts *now)
{
	while (now->n_hostdevs > 0)
		free(now->hostdevs[--now->n_hostdevs].alias);
	free(now->hostdevs);
	now->hostdevs = TAKE_PTR(before->hostdevs);
	now->n_hostdevs = before->n_hostdevs;
	before->n_hostdevs = 0;
}

void vm_update(struct manager *m, const struct domain_facts *facts)
{
	struct vm *vm = vm_find_uuid(m, facts->uuid);
	struct domain_facts *copy = vm && facts->reading < vm->facts->reading ? NULL : domain_facts_copy(facts);
	enum vm_state before;
	bool was_saved = vm && vm->facts->saved, was_unknown = vm && vm->facts->hostdevs_unknown;

	if (!copy)
		return; /* a later reading came before this one, or there is no memory */
	if (!vm) {
		vm = calloc(1, sizeof(*vm));
		if (!vm) {
			domain_facts_free(copy);
			return;
		}
		snprintf(vm->uuid, sizeof(vm->uuid), "%s", facts->uuid);
		vm->facts = copy;
		HASH_ADD_STR(m->vms, uuid, vm);
		pool_load(m, vm);
		before = VM_GONE;
	} else {
		before = vm->facts->state;
		if (!streq(vm->facts->name, copy->name))
			renamed(m, vm, copy->name);
		if (copy->hostdevs_unknown)
			keep_hostdevs(vm->facts, copy);
		domain_facts_free(vm->facts);
		vm->facts = copy;
	}
	if (before != copy->state)
		manager_emit(m, "vm.changed", copy->name,
			     json_pack("{s:s,s:s}", "state", vm_state_to_string(copy->state), "agent",
				       vm_agent_to_string(copy->agent)));
	/* A fresh boot that somebody made: what kept jobs away may be mended. */
	if (copy->state == VM_RUNNING && before == VM_OFF && !vm->pool.starting)
		vm_open(m, vm, "daemon:vm");
	if (was_saved && !copy->saved)
		fixed_try_again(vm);
	if (before != copy->state) {
		fixed_try_again(vm);
		vm_no_memory(vm, NULL); /* of another run */
	}
	pool_follow(m, vm, before);
	if (!m->hypervisor_connected)
		return; /* manager-recover.c compares once everything is known */
	if (was_unknown && !copy->hostdevs_unknown && !m->recovering)
		recover_vm(m, vm); /* what had to wait for that */
	else
		vm_compare_hostdevs(m, vm, false);
	if (before != copy->state && (copy->state == VM_OFF || copy->state == VM_CRASHED) && !vm->barrier.failure)
		jobs_of_stopped_vm(m, vm);
}

void vm_gone(struct manager *m, const char *uuid)
{
	struct vm *vm = vm_find_uuid(m, uuid);
	bool held;

	if (!vm)
		return;
	held = barrier_forget(vm);
	vm->facts->state = VM_OFF;
	vm->facts->hostdevs_unknown = false;
	while (vm->facts->n_hostdevs > 0)
		free(vm->facts->hostdevs[--vm->facts->n_hostdevs].alias);
	follow_vm_gone(m, vm);
	vm_compare_hostdevs(m, vm, true);
	jobs_of_stopped_vm(m, vm);
	manager_emit(m, "vm.changed", vm->facts->name, json_pack("{s:s}", "state", "gone"));
	vm_free(m, vm);
	if (held && m->hypervisor_connected)
		recover_vm(m, NULL);
}

/* ---- methods ---- */

void manager_vm_list(struct manager *m, const struct caller *caller,
		     const struct vm_list_params *p, struct reply *reply)
{
	json_t *items = json_array();
	struct vm *vm, *tmp;

	if (!m->hypervisor_connected && !m->vms) {
		json_decref(items);
		reply_refuse(reply, RPC_HOST_ERROR, "libvirt is away: %s",
			     hypervisor_away_text(m));
		return;
	}
	survey_asked(m);
	HASH_ITER(hh, m->vms, vm, tmp)
		if (p->state < 0 || p->state == (int)vm->facts->state)
			json_array_append_new(items, vm_view(m, vm));
	page_reply(m, reply, items, &p->page);
}

static void refuse_name(const char *name, const char *hint, struct reply *reply)
{
	struct rpc_error error = { 0 };

	rpc_error_set(&error, RPC_NOT_FOUND, "no VM \"%s\"", name);
	rpc_error_detail(&error, "no_vm", "vm", hint);
	reply_error_done(reply, &error);
}

void manager_vm_get(struct manager *m, const struct caller *caller, const struct name_params *p,
		    struct reply *reply)
{
	struct vm *vm = vm_find(m, p->name);

	if (!vm)
		refuse_name(p->name, "see `gpuvf list vms`", reply);
	else
		view_reply(m, reply, vm_view(m, vm));
	survey_asked(m);
}

void manager_vm_heal(struct manager *m, const struct caller *caller, const struct name_params *p,
		     struct reply *reply)
{
	struct vm *vm = vm_find(m, p->name);
	struct rpc_error error = { 0 };
	bool changed;

	if (!vm && gpu_find(m, p->name)) {
		(void)pf_refuse_name(m, p->name, &error);
		rpc_error_detail(&error, NULL, "vm", "name one of its VFs (gpuvf list vfs); gpuvf show tells of the GPU itself");
		reply_error_done(reply, &error);
		return;
	}
	if (!vm) {
		refuse_name(p->name, "name a VM (gpuvf list vms) or a VF (gpuvf list vfs)", reply);
		return;
	}
	changed = vm->quarantine != NULL;
	vm_open(m, vm, NULL);
	vm->pool.retry_at = 0;
	barrier_soon(m, vm);
	manager_pump(m);
	outbox_reply(m, reply, json_pack("{s:s,s:b}", "vm", vm->facts->name, "changed", (int)changed));
}
