/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate that every VF passes on its way back: closed → reset → probe (→ bound again, where libvirt gave it to the
 * host) (→ cleared, where the policy says so: manager-scrub.c) → free; and putting VFs on VFIO. */
#include "manager-handover.h"

void handover_quarantine(struct handover *h, const struct host_reply *reply, const char *what)
{
	struct manager *m = h->m;
	struct vf *vf = h->vf;
	_cleanup_free_ char *reason = xasprintf("%s: %s%s%s", what, strempty(reply->attribute),
						reply->attribute ? ": " : "",
						reply->message ? reply->message : strerror(-reply->r));
	_cleanup_free_ char *told = xasprintf("%s, and is quarantined", what);
	_cleanup_free_ char *hint = xasprintf("gpuvf heal %s resets it again, and looks whether it is well", vf->name);
	struct rpc_error error = { 0 };

	vf_let_go(m, vf, VF_QUARANTINED, reason);
	rpc_error_from_host(&error, reply, strempty(told));
	rpc_error_detail(&error, "quarantined", NULL, hint);
	handover_finish(h, &error);
	rpc_error_done(&error);
	vm_adopt_vf(m, vf); /* whose guest has it all the same is its holder */
}

/* ---- reset, bind ---- */

/* Somebody gave it to a VM by hand before it was reset: that VM is its holder. */
static bool is_taken(struct handover *h)
{
	struct manager *m = h->m;
	struct vf *vf = h->vf;
	struct rpc_error error = { 0 };

	if (!vf_is_live(m, vf))
		return false;
	rpc_error_set(&error, RPC_CONFLICT, "somebody attached %s again by hand before it was reset", vf->name);
	rpc_error_detail(&error, "put_back", NULL, "gpuvf show VF names its holder; release it again");
	vf_let_go(m, vf, VF_FREE, NULL);
	handover_finish(h, &error);
	rpc_error_done(&error);
	vm_adopt_vf(m, vf);
	return true;
}

static void on_reset(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (handover_vanished(h))
		return;
	if (reply->r < 0 && is_taken(h))
		return;
	if (reply->r < 0) {
		handover_quarantine(h, reply, "the VF could not be reset");
		return;
	}
	h->vf->doubtful = false;
	h->go(h);
}

void handover_reset_vf(struct handover *h, void (*then)(struct handover *h))
{
	h->go = then;
	handover_ask_host(h, HOST_RESET_VF, h->vf->index, on_reset);
}

/* Who looks now sees it, and not what was read before. */
static void note_bound(struct vf *vf, const struct host_reply *reply)
{
	struct gpu_facts *facts = vf->gpu->facts;

	vf->bound = true;
	if (!facts || vf->index > facts->n_vfs)
		return;
	facts->vfs[vf->index - 1].vfio = true;
	(void)free_and_strdup(&facts->vfs[vf->index - 1].driver, reply->driver);
}

static void on_bound(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (handover_vanished(h))
		return;
	if (reply->r == -EBUSY && h->vf->state == VF_FREE)
		(void)process_takes(h->m, h->vf, reply); /* a process was faster, or had it unseen */
	/* Its VM names it still, and can have it another time; or it is tried again. */
	if (reply->r < 0 && (h->vf->state == VF_RESERVED || h->vf->state == VF_HELD || h->idle)) {
		handover_finish_host(h, reply, "the VF could not be bound to VFIO");
		return;
	}
	if (reply->r < 0) {
		/* Free again it would be the next one's trouble, and the next one's. */
		handover_quarantine(h, reply, "the VF could not be bound to VFIO");
		return;
	}
	note_bound(h->vf, reply);
	h->go(h);
}

void handover_bind_vfio(struct handover *h, void (*then)(struct handover *h))
{
	h->go = then;
	handover_ask_host(h, HOST_BIND_VFIO, h->vf->index, on_bound);
}

/* What libvirt said of its VM meanwhile was not compared. */
static void finish_well(struct handover *h)
{
	struct manager *m = h->m;
	struct vf *vf = h->vf;

	handover_finish(h, NULL);
	if (vf->state == VF_RESERVED && m->hypervisor_connected)
		recover_late_vf(m, vf);
}

static bool bind_vf(struct manager *m, struct vf *vf, bool idle, handover_fn fn, void *userdata)
{
	struct handover *h;

	/* One that is reserved, too: its VM is started by others, and libvirt takes only what is on VFIO, or managed. */
	if (vf->bound || vf->handover || (vf->state != VF_FREE && vf->state != VF_RESERVED))
		return false;
	h = handover_new(m, vf, fn, userdata);
	if (!h)
		return false;
	h->idle = idle;
	handover_bind_vfio(h, finish_well);
	return true;
}

bool handover_bind(struct manager *m, struct vf *vf, handover_fn fn, void *userdata)
{
	return bind_vf(m, vf, false, fn, userdata);
}

bool handover_bind_idle(struct manager *m, struct vf *vf, handover_fn fn, void *userdata)
{
	return bind_vf(m, vf, true, fn, userdata);
}

/* ---- the gate ---- */

void handover_gate_passed(struct handover *h)
{
	if (h->vf->state != VF_QUARANTINED)
		vf_let_go(h->m, h->vf, VF_FREE, NULL);
	else
		vf_lease_end(h->m, h->vf);
	if (h->error.code)
		vm_adopt_vf(h->m, h->vf); /* it was to be attached, and somebody else may have been faster */
}

static void let_through(struct handover *h)
{
	handover_gate_passed(h);
	handover_finish(h, NULL);
}

static void on_bound_again(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (handover_vanished(h))
		return;
	if (reply->r < 0 && !(reply->r == -EBUSY && reply->n_holders > 0)) {
		handover_quarantine(h, reply, "the VF could not be bound to VFIO again");
		return;
	}
	if (reply->r == 0) {
		note_bound(h->vf, reply);
		handover_scrub(h, let_through);
		return;
	}
	handover_gate_passed(h);
	(void)process_takes(h->m, h->vf, reply); /* a process found it with the host's driver */
	handover_finish(h, NULL);
}

/* libvirt gives a VF of managed='yes' back to the host when it leaves its VM.  One that was on the host already, and
 * from there a process's, stays there. */
static bool lost_vfio(const struct handover *h, const struct host_reply *reply)
{
	return h->rebind && reply->value.known && !reply->value.value;
}

static bool is_on_host(const struct host_reply *reply)
{
	return reply->driver && !(reply->value.known && reply->value.value);
}

static void on_probed(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (handover_vanished(h))
		return;
	if (reply->r < 0) {
		handover_quarantine(h, reply, "the VF does not answer after its reset");
		return;
	}
	if (lost_vfio(h, reply)) {
		handover_ask_host(h, HOST_BIND_VFIO, h->vf->index, on_bound_again);
		return;
	}
	if (is_on_host(reply)) /* where its driver works with its memory */
		let_through(h);
	else
		handover_scrub(h, let_through);
}

void handover_probe(struct handover *h)
{
	handover_ask_host(h, HOST_PROBE_VF, h->vf->index, on_probed);
}

static void on_closed(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (handover_vanished(h))
		return;
	if (reply->r < 0 && is_taken(h))
		return;
	if (reply->r < 0)
		handover_quarantine(h, reply, "the VF is still open after it was detached");
	else
		handover_reset_vf(h, handover_probe);
}

void handover_gate(struct handover *h)
{
	handover_vm_release(h);
	h->rebind = h->vm_uuid[0] || h->vf->state == VF_QUARANTINED;
	vf_set_state(h->m, h->vf, VF_RESETTING, NULL);
	handover_ask_host(h, HOST_WAIT_CLOSED, h->vf->index, on_closed);
}

void handover_reset(struct manager *m, struct vf *vf, handover_fn fn, void *userdata)
{
	struct handover *h = handover_new(m, vf, fn, userdata);

	if (h)
		handover_gate(h);
}
