/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stored definition of a VM follows its VF: the card is in another slot, or another VF has taken the place of one that
 * is gone (manager-lost.c).  The lease says it (`instead`, the alias of what is to go), and that is in the store before
 * libvirt is asked; then the old hostdev is taken out and the VF is written there, each as one side of a lease
 * (manager-side.c).  A daemon that finds such a lease goes on.  What has no alias of ours is somebody else's. */
#include "manager-state.h"

const struct domain_hostdev *vm_stored_alias(const struct vm *vm, const char *alias)
{
	for (size_t i = 0; i < vm->facts->n_hostdevs; i++)
		if (vm->facts->hostdevs[i].config && streq_ptr(vm->facts->hostdevs[i].alias, alias))
			return &vm->facts->hostdevs[i];
	return NULL;
}

/* Under this alias, and not where the VF is. */
static const struct domain_hostdev *elsewhere(const struct vm *vm, const struct vf *vf, const char *alias)
{
	for (size_t i = 0; i < vm->facts->n_hostdevs; i++) {
		const struct domain_hostdev *dev = &vm->facts->hostdevs[i];

		if (dev->config && streq_ptr(dev->alias, alias) && !pci_address_equal(&dev->address, &vf->address))
			return dev;
	}
	return NULL;
}

const struct domain_hostdev *follow_stale(const struct vm *vm, const struct vf *vf)
{
	return vf->lease.instead ? elsewhere(vm, vf, vf->lease.instead) : NULL;
}

/* ---- what is stale ---- */

static bool is_of_lease(const struct vm *vm, const struct vf *vf, const struct domain_hostdev *dev)
{
	_cleanup_free_ char *alias = NULL;

	if (vf->lease.owner == LEASE_NONE || vf->lease.adopted || !streq(vf->lease.vm_uuid, vm->uuid) ||
	    pci_address_equal(&vf->address, &dev->address))
		return false;
	alias = vf_alias(vf);
	return streq_ptr(alias, dev->alias) || streq_ptr(vf->lease.instead, dev->alias);
}

bool follow_is_stale(struct manager *m, const struct vm *vm, const struct domain_hostdev *dev)
{
	const struct vf *at = vf_find_address(m, &dev->address);
	struct gpu *gpu, *tmp;

	if (!alias_is_ours(dev->alias) || (at && !at->lease.instead && streq(at->lease.vm_uuid, vm->uuid)))
		return false;
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (is_of_lease(vm, gpu->vfs[i], dev))
				return true;
	return lost_has(m, vm, dev->alias);
}

/* Under its own alias, or one that somebody else gave it; not another lease's, which is to go. */
static bool is_here(const struct vm *vm, const struct vf *vf, const char *alias)
{
	const struct domain_hostdev *dev = domain_hostdev_at(vm->facts, &vf->address);

	return dev && dev->config && (!alias_is_ours(dev->alias) || streq_ptr(dev->alias, alias));
}

bool follow_waits(struct manager *m, struct vm *vm, struct vf *vf)
{
	_cleanup_free_ char *alias = vf_alias(vf);

	if (vf->lease.instead && !follow_stale(vm, vf) && is_here(vm, vf, alias)) {
		(void)free_and_strdup(&vf->lease.instead, NULL);
		vf_store(m, vf); /* written by an earlier daemon, or by somebody else */
		return false;
	}
	if (vf->lease.instead)
		return true;
	if (vf->state != VF_RESERVED || vf->lease.adopted ||
	    (vf->lease.owner != LEASE_VM && vf->lease.owner != LEASE_POLICY))
		return false;
	if (!alias || !elsewhere(vm, vf, alias))
		return false;
	log_vf(vf->name, LOG_NOTICE, 0, "it is at %s now: the stored definition of VM %s follows", PCI_ADDRESS_STR(&vf->address),
	       vm->facts->name);
	vf->lease.instead = TAKE_PTR(alias);
	vf_store(m, vf);
	return true;
}

/* Nobody is there whose definition would be written. */
void follow_vm_gone(struct manager *m, const struct vm *vm)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (streq(gpu->vfs[i]->lease.vm_uuid, vm->uuid))
				(void)free_and_strdup(&gpu->vfs[i]->lease.instead, NULL);
}

char *follow_text(struct manager *m, const struct vm *vm)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++) {
			const struct vf *vf = gpu->vfs[i];
			const struct domain_hostdev *dev = follow_stale(vm, vf);
			const char *why = vm->follow.failure ? vm->follow.failure : "that is under way";

			if (!vf->lease.instead || !streq(vf->lease.vm_uuid, vm->uuid))
				continue;
			if (dev)
				return xasprintf("its stored definition names %s and is to name %s (%s) in its place: it "
						 "should not start before; %s", PCI_ADDRESS_STR(&dev->address),
						 PCI_ADDRESS_STR(&vf->address), vf->name, why);
			return xasprintf("its stored definition is yet to name %s (%s): it starts without; %s",
					 PCI_ADDRESS_STR(&vf->address), vf->name, why);
		}
	return NULL;
}

/* ---- writing ---- */

void follow_failed(struct manager *m, struct vm *vm, const char *why)
{
	if (why)
		vm_tries_later(m, &vm->follow);
	else
		vm->follow.failures = 0;
	vm_tries_tell(m, vm, &vm->follow, "definition_reason", "has a stored definition that does not follow its VF", why);
}

bool follow_may(const struct vm *vm)
{
	return !vm->wedged.reason && !vm->follow.busy && vm->follow.retry_at <= now_boottime();
}

static struct vm *step_over(struct manager *m, char *uuid)
{
	struct vm *vm = m->ending ? NULL : vm_find_uuid(m, uuid);

	free(uuid);
	if (vm)
		vm->follow.busy = false;
	return vm;
}

static void on_taken_out(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	struct vm *vm = step_over(m, userdata);

	if (vm && error)
		follow_failed(m, vm, error->message);
}

static void on_written(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	struct vm *vm = step_over(m, userdata);

	if (vm && error) {
		follow_failed(m, vm, error->message);
	} else if (vm) {
		log_vf(vf->name, LOG_NOTICE, 0, "the stored definition of VM %s names it", vm->facts->name);
		(void)free_and_strdup(&vf->lease.instead, NULL);
		(void)free_and_strdup(&vf->reason, NULL);
		vf_store(m, vf);
		follow_failed(m, vm, NULL);
	}
}

static void step_committed(struct manager *m, void *userdata)
{
	_cleanup_free_ char *name = userdata;
	struct vf *vf = vf_find(m, name);
	struct vm *vm = vf ? vm_find_uuid(m, vf->lease.vm_uuid) : NULL;

	if (!vm)
		return;
	vm->follow.busy = false;
	if (!vf->lease.instead || vf->handover || (vf->state != VF_RESERVED && vf->state != VF_ATTACHED))
		return;
	vm->follow.busy = true;
	if (follow_stale(vm, vf))
		handover_take_side(m, vf, CONFIG_SIDE, on_taken_out, strdup(vm->uuid));
	else
		handover_add_side(m, vf, CONFIG_SIDE, on_written, strdup(vm->uuid));
}

static void step_not_committed(struct manager *m, void *userdata)
{
	_cleanup_free_ char *name = userdata;
	struct vf *vf = vf_find(m, name);
	struct vm *vm = vf ? vm_find_uuid(m, vf->lease.vm_uuid) : NULL;

	if (vm)
		vm->follow.busy = false;
}

/* Another of its VFs is where this one was, and goes first. */
static bool is_in_the_way(struct manager *m, const struct vm *vm, const struct vf *vf)
{
	const struct domain_hostdev *dev = domain_hostdev_at(vm->facts, &vf->address);

	return dev && dev->config && follow_is_stale(m, vm, dev);
}

static void look(struct manager *m, struct vf *vf)
{
	struct vm *vm = vm_find_uuid(m, vf->lease.vm_uuid);

	if (!vm || vf->handover || !follow_may(vm) || (!follow_stale(vm, vf) && is_in_the_way(m, vm, vf)))
		return;
	if (vm->facts->saved) {
		follow_failed(m, vm, HV_SAVED_TEXT); /* not to be without, should that be all that is done */
		return;
	}
	vm->follow.busy = true;
	outbox_add(m, step_committed, step_not_committed, strdup(vf->name));
}

/* ---- ready for its start ---- */

static void on_bound(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	struct vm *vm = step_over(m, userdata);

	if (vm && error)
		follow_failed(m, vm, error->message);
}

/* One that somebody else's cut took away and brought back is as the kernel makes it, and its VM would not start. */
static void bind(struct manager *m, struct vf *vf)
{
	struct vm *vm = vm_find_uuid(m, vf->lease.vm_uuid);
	char *uuid;

	if (!vm || vf->bound || vf->handover || !gpu_is_calm(vf->gpu) || vf->gpu->binding > 0 || !follow_may(vm) ||
	    vm->facts->state != VM_OFF || vm_is_managed(m, vm))
		return;
	uuid = strdup(vm->uuid);
	vm->follow.busy = true;
	if (!uuid || !handover_bind(m, vf, on_bound, uuid)) {
		vm->follow.busy = false;
		free(uuid);
	}
}

static bool is_ours_and_stored(const struct vf *vf)
{
	return vf->state == VF_RESERVED && (vf->lease.owner == LEASE_VM || vf->lease.owner == LEASE_POLICY);
}

void follow_pump(struct manager *m)
{
	struct gpu *gpu, *tmp;

	if (m->degraded || !m->hypervisor_connected || m->recovering || m->sleeping || !m->ready)
		return;
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (gpu->vfs[i]->lease.instead)
				look(m, gpu->vfs[i]);
			else if (is_ours_and_stored(gpu->vfs[i]))
				bind(m, gpu->vfs[i]);
}
