/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Handing a VF to a VM: nobody has it open → reset, if there is doubt → bind to VFIO → libvirt. */
#include "manager-handover.h"

/* Its memory is pinned, or its managed-save image is there, or was removed. */
void handover_note_vm(struct handover *h, const struct hv_reply *reply)
{
	struct vm *vm = vm_find_uuid(h->m, h->vm_uuid);
	bool done = reply->failure == HV_OK, live = h->one_side ? h->side == LIVE_SIDE : h->vf->lease.live;

	if (vm && live && done)
		vm_no_memory(vm, NULL);
	else if (vm && !live && vm->facts->state == VM_OFF && (done || reply->failure == HV_SAVED))
		vm->facts->saved = !done;
}

static void on_attached(void *userdata, const struct hv_reply *reply)
{
	struct handover *h = userdata;
	struct rpc_error error = { 0 };

	if (handover_vanished(h) || handover_other_side(h, reply, HV_ATTACH, on_attached))
		return;
	handover_note_vm(h, reply);
	if (reply->failure == HV_OK || reply->failure == HV_ALREADY) {
		handover_note_stored(h, true);
		vf_set_state(h->m, h->vf, h->vf->lease.live ? VF_ATTACHED : VF_RESERVED, NULL);
		handover_finish(h, NULL);
		return;
	}
	rpc_error_from_hv(&error, reply, "the VF could not be attached");
	if (reply->failure == HV_TIMEOUT || reply->failure == HV_DISCONNECTED || reply->tried ||
	    (h->side == CONFIG_SIDE && h->vf->lease.live)) { /* after the live one, which went well */
		/* Nobody knows whether the guest has it: take it back the long way. */
		vf_set_state(h->m, h->vf, VF_DETACHING, error.message);
		rpc_error_move(&h->error, &error);
		h->side = BOTH_SIDES;
		handover_ask_detach(h);
		return;
	}
	rpc_error_move(&h->error, &error);
	h->vf->last_user = h->user_before; /* no guest has seen it */
	memcpy(h->vf->last_vm, h->vm_before, sizeof(h->vf->last_vm));
	if (h->managed && h->vf->lease.live) {
		/* But libvirt may have given it to the host after its own attempt. */
		h->rebind = true;
		handover_probe(h);
		return;
	}
	handover_gate_passed(h);
	handover_finish(h, NULL);
}

static void attach_now(struct handover *h)
{
	if (h->one_side) {
		handover_side_attach(h);
		return;
	}
	h->user_before = h->vf->last_user;
	memcpy(h->vm_before, h->vf->last_vm, sizeof(h->vm_before));
	if (h->vf->lease.live)
		vf_set_state(h->m, h->vf, VF_ATTACHING, NULL);
	handover_ask_hv(h, HV_ATTACH, on_attached);
}

static void attach_in_turn(struct handover *h)
{
	handover_on_turn(h, attach_now);
}

static void bind_if_needed(struct handover *h)
{
	if (h->vf->bound || h->managed)
		attach_in_turn(h);
	else
		handover_bind_vfio(h, attach_in_turn);
}

/* Nobody has it open.  A look that failed keeps nobody out: the bind looks again, and the kernel opens a VFIO group
 * once only. */
static void nobody_has_it(struct handover *h)
{
	if (h->vf->doubtful || h->one_side) /* the latter: its VM may have run with it, or lost it, since its last reset */
		handover_reset_vf(h, bind_if_needed);
	else
		bind_if_needed(h);
}

static void on_looked_around(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;
	struct rpc_error error = { 0 };

	if (handover_vanished(h))
		return;
	if (reply->r >= 0)
		processes_note(h->m, h->vf->gpu, reply);
	if (reply->r < 0 || h->one_side || !process_takes(h->m, h->vf, reply)) {
		nobody_has_it(h); /* one that its VM has stays its VM's, and libvirt says what is in the way */
		return;
	}
	refuse_process(h->vf, &error);
	handover_finish(h, &error);
	rpc_error_done(&error);
}

/* Whether whoever has it open is a VM, its other VFs tell. */
static void on_looked(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (handover_vanished(h))
		return;
	if (reply->r >= 0 && reply->n_holders > 0)
		handover_ask_host(h, HOST_HOLDERS, 0, on_looked_around);
	else
		nobody_has_it(h);
}

/* By the policy of now: what libvirt makes of the hostdev later is in its XML. */
bool vm_is_managed(struct manager *m, const struct vm *vm)
{
	const struct policy_vm_rule *rule = vm ? policy_match_vm(m->policy, vm->facts->name) : NULL;

	return rule && rule->managed == VM_MANAGED_YES;
}

void handover_attach(struct manager *m, struct vf *vf, handover_fn fn, void *userdata)
{
	struct handover *h = handover_new(m, vf, fn, userdata);

	if (!h)
		return;
	h->managed = vm_is_managed(m, vm_find_uuid(m, h->vm_uuid));
	handover_ask_host(h, HOST_HOLDERS, h->vf->index, on_looked);
}

void handover_add_side(struct manager *m, struct vf *vf, enum lease_side side, handover_fn fn, void *userdata)
{
	struct handover *h = handover_new(m, vf, fn, userdata);

	if (!h)
		return;
	h->managed = vm_is_managed(m, vm_find_uuid(m, h->vm_uuid));
	h->one_side = true;
	h->side = side;
	if (side == LIVE_SIDE)
		handover_ask_host(h, HOST_HOLDERS, h->vf->index, on_looked);
	else if (vf->state == VF_RESERVED)
		bind_if_needed(h); /* for its VM's start, by whoever */
	else
		attach_in_turn(h);
}
