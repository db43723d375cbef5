/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all handovers share: their turn at a VM, their questions to host and libvirt, their end. */
#include "manager-handover.h"

/* Outlives its handover when the daemon ends. */
struct stored {
	struct handover *handover; /* NULL = it is over */
};

void handover_set_operation(struct handover *h, const char *operation)
{
	snprintf(h->operation, sizeof(h->operation), "%s", strempty(operation));
}

struct handover *handover_new(struct manager *m, struct vf *vf, handover_fn fn, void *userdata)
{
	struct operation *op = audit_acts_now(m);
	struct handover *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	if (!op && vf->inherited && vf->state == VF_RESERVED)
		op = audit_inherited(m, vf, "vf.release"); /* which was about to store that its VM does not have it */
	*h = (struct handover){ .m = m, .vf = vf, .word = audit_scope_now(m), .epoch = vf->lease.epoch, .fn = fn,
				.userdata = userdata };
	memcpy(h->vm_uuid, vf->lease.vm_uuid, sizeof(h->vm_uuid));
	handover_set_operation(h, op ? op->name : NULL);
	vf->handover = h;
	return h;
}

const char *handover_word(const struct vf *vf)
{
	return vf->handover ? vf->handover->word : NULL;
}

const char *handover_operation(const struct vf *vf)
{
	return vf->handover && vf->handover->operation[0] ? vf->handover->operation : NULL;
}

/* ---- one at a time ---- */

/* The next that waits for this VM has its turn. */
static void vm_next(struct vm *vm)
{
	struct handover *h = vm->waiting;

	while (h) {
		vm->waiting = h->next_waiting;
		h->next_waiting = NULL;
		if (!handover_vanished(h)) {
			vm->device_busy = h->vm_claimed = true;
			h->go(h);
			return;
		}
		h = vm->waiting;
	}
}

void handover_vm_release(struct handover *h)
{
	struct vm *vm = vm_find_uuid(h->m, h->vm_uuid);
	bool claimed = h->vm_claimed;

	h->vm_claimed = false;
	if (!claimed || !vm || h->m->ending)
		return;
	vm->device_busy = false;
	vm_next(vm);
}

void handover_vm_gone(struct vm *vm)
{
	struct handover *h = TAKE_PTR(vm->waiting);

	while (h) {
		struct handover *next = h->next_waiting;

		h->next_waiting = NULL;
		if (!handover_vanished(h))
			h->go(h); /* libvirt will say that the VM is gone */
		h = next;
	}
}

/* One attach or detach per VM: QEMU does them one after the other, and a stubborn guest blocks itself only. */
static bool vm_claim(struct handover *h)
{
	struct vm *vm = vm_find_uuid(h->m, h->vm_uuid);

	if (!vm)
		return true; /* libvirt will say that it is gone */
	if (vm->device_busy)
		return false;
	vm->device_busy = h->vm_claimed = true;
	return true;
}

void handover_on_turn(struct handover *h, void (*go)(struct handover *h))
{
	struct handover **at;

	h->go = go;
	if (vm_claim(h)) {
		go(h);
		return;
	}
	at = &vm_find_uuid(h->m, h->vm_uuid)->waiting;
	while (*at)
		at = &(*at)->next_waiting;
	*at = h;
}

/* ---- the end ---- */

void handover_finish(struct handover *h, const struct rpc_error *error)
{
	struct manager *m = h->m;
	struct vf *vf = h->vf;

	handover_vm_release(h);
	if (h->stored)
		h->stored->handover = NULL;
	vf->handover = NULL;
	if (vf->gpu && !m->ending)
		vm_adopt_stored(m, vf); /* before anybody is given it */
	h->fn(m, vf, h->userdata, h->error.code ? &h->error : error);
	if (h->also)
		h->also(m, vf, h->also_userdata, error);
	rpc_error_done(&h->error);
	free(h);
	if (!vf->gpu) /* it vanished from the kernel meanwhile */
		vf_free(vf);
	manager_pump(m);
}

void handover_finish_host(struct handover *h, const struct host_reply *reply, const char *what)
{
	struct rpc_error error = { 0 };

	rpc_error_from_host(&error, reply, what);
	handover_finish(h, &error);
	rpc_error_done(&error);
}

void handover_drop(struct vf *vf)
{
	struct rpc_error error = { 0 };

	if (!vf->handover)
		return;
	rpc_error_set(&error, RPC_INTERNAL_ERROR, "the daemon is ending; the next one goes on");
	handover_finish(vf->handover, &error);
	rpc_error_done(&error);
}

bool handover_vanished(struct handover *h)
{
	struct rpc_error error = { 0 };

	if (h->vf->gpu)
		return false;
	rpc_error_set(&error, RPC_NOT_FOUND, "%s is gone from the host", h->vf->name);
	handover_finish(h, &error);
	rpc_error_done(&error);
	return true;
}

bool handover_can_join(const struct vf *vf)
{
	return vf->handover && !vf->handover->also;
}

bool handover_join(struct vf *vf, handover_fn fn, void *userdata)
{
	if (!handover_can_join(vf))
		return false;
	vf->handover->also = fn;
	vf->handover->also_userdata = userdata;
	return true;
}

/* ---- questions ---- */

void handover_ask_host(struct handover *h, enum host_op op, unsigned vf, host_reply_fn fn)
{
	struct host_request request = { .op = op, .gpu = h->vf->gpu->address, .vf = vf };
	struct host_reply reply = { 0 };

	reply.r = h->m->host->ops->request(h->m->host, &request, fn, h);
	if (reply.r < 0)
		fn(h, &reply);
}

/* What its VM's stored definition names in its place, where that alone is asked for. */
static const struct domain_hostdev *stale_of(const struct handover *h)
{
	const struct vm *vm = vm_find_uuid(h->m, h->vm_uuid);
	bool stored_only = h->one_side ? h->side == CONFIG_SIDE : !h->vf->lease.live;

	return vm && stored_only ? follow_stale(vm, h->vf) : NULL;
}

void handover_ask_hv(struct handover *h, enum hv_op op, hv_reply_fn fn)
{
	_cleanup_free_ char *alias = vf_alias(h->vf);
	const struct vm *vm = vm_find_uuid(h->m, h->vm_uuid);
	const struct domain_hostdev *stale = op == HV_DETACH ? stale_of(h) : NULL;
	struct hv_request request = {
		.op = op,
		.uuid = h->vm_uuid,
		.address = h->vf->address,
		.alias = h->vf->lease.owner == LEASE_FOREIGN || h->vf->lease.adopted ? NULL : alias,
		.live = (h->one_side || h->vf->lease.live) && h->side != CONFIG_SIDE,
		.config = (h->one_side || h->vf->lease.config) && h->side != LIVE_SIDE,
		.managed = op == HV_ATTACH && h->managed,
		.deadline_usec = op == HV_ATTACH && vm ? hv_pinning_deadline(op, vm->facts->memory_bytes) : 0,
	};

	if (stale) {
		request.address = stale->address;
		request.alias = stale->alias;
	}
	if (h->m->hypervisor->ops->request(h->m->hypervisor, &request, fn, h) < 0) {
		struct hv_reply reply = { .failure = HV_FAILED };

		fn(h, &reply);
	}
}

void handover_note_stored(struct handover *h, bool there)
{
	_cleanup_free_ char *alias = there ? vf_alias(h->vf) : NULL;
	struct vm *vm = h->vf->lease.config || h->vf->lease.instead ? vm_find_uuid(h->m, h->vm_uuid) : NULL;
	const struct domain_hostdev *stale = there ? NULL : stale_of(h);
	const struct pci_address address = stale ? stale->address : h->vf->address;

	if (vm)
		vm_note_stored(vm, &address, alias, there);
}

bool handover_other_side(struct handover *h, const struct hv_reply *reply, enum hv_op op, hv_reply_fn fn)
{
	bool done = reply->failure == HV_OK || reply->failure == HV_ALREADY;

	if (!h->vf->lease.live || !h->vf->lease.config || !done || h->side == CONFIG_SIDE ||
	    (h->side == BOTH_SIDES && reply->failure == HV_OK))
		return false;
	h->side = h->side == BOTH_SIDES ? LIVE_SIDE : CONFIG_SIDE;
	handover_ask_hv(h, op, fn);
	return true;
}

bool handover_is_put_back(struct handover *h, const struct hv_reply *reply)
{
	const struct domain_facts *facts = reply->n_domains > 0 ? reply->domains[reply->n_domains - 1] : NULL;
	bool asked = reply->failure == HV_OK || reply->failure == HV_ALREADY, there = false;
	struct lease *lease = &h->vf->lease;

	for (size_t i = 0; facts && i < facts->n_hostdevs; i++)
		if (pci_address_equal(&facts->hostdevs[i].address, &h->vf->address))
			there |= (facts->hostdevs[i].live && !(h->one_side && h->side == CONFIG_SIDE)) ||
				 (facts->hostdevs[i].config && !(h->one_side && h->side == LIVE_SIDE));
	if (!asked || !there || lease->adopted || lease->owner == LEASE_FOREIGN)
		return false;
	log_vf(h->vf->name, LOG_NOTICE, 0, "it is in its VM under another alias: somebody put it back by hand");
	lease->adopted = true;
	if (!h->one_side)
		h->side = BOTH_SIDES;
	return true;
}

/* ---- the store ---- */

static void go_on(struct stored *stored, bool committed)
{
	struct handover *h = stored->handover;

	free(stored);
	if (!h)
		return;
	h->stored = NULL;
	if (handover_vanished(h))
		return;
	if (committed)
		h->go(h);
	else
		h->not_stored(h);
}

static void on_stored(struct manager *m, void *userdata)
{
	go_on(userdata, true);
}

static void on_not_stored(struct manager *m, void *userdata)
{
	go_on(userdata, false);
}

void handover_when_stored(struct handover *h, void (*go)(struct handover *h), void (*not_stored)(struct handover *h))
{
	h->go = go;
	h->not_stored = not_stored;
	h->stored = calloc(1, sizeof(*h->stored));
	if (!h->stored) {
		not_stored(h);
		return;
	}
	h->stored->handover = h;
	outbox_add(h->m, on_stored, on_not_stored, h->stored);
}
