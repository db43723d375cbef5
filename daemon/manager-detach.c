/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking a VF out of its VM: libvirt is asked, or, by force, the VM is powered off first; then the gate. */
#include "lib/units.h"
#include "manager-handover.h"

void handover_hint_force(const struct handover *h, const struct hv_reply *reply, struct rpc_error *error)
{
	bool guest_keeps_it = reply->failure == HV_TIMEOUT || reply->failure == HV_GUEST_REFUSED;
	_cleanup_free_ char *force = NULL, *hint = NULL;

	if (!guest_keeps_it || h->vf->state != VF_ATTACHED)
		return;
	force = power_off_hint(h->vf);
	hint = xasprintf("%s; else %s", error->hint ? error->hint : "stop what uses the device in the guest, and try again",
			 strempty(force));
	rpc_error_detail(error, NULL, NULL, hint);
}

static void on_detached(void *userdata, const struct hv_reply *reply)
{
	struct handover *h = userdata;
	struct rpc_error error = { 0 };

	if (handover_vanished(h) || handover_other_side(h, reply, HV_DETACH, on_detached))
		return;
	if (handover_is_put_back(h, reply)) {
		handover_ask_detach(h);
		return;
	}
	switch (reply->failure) {
	case HV_NOT_RUNNING:
		if (h->vf->lease.config) {
			/* Off now, but its persistent XML may name the VF still. */
			h->vf->lease.live = false;
			handover_ask_hv(h, HV_DETACH, on_detached);
			return;
		}
		handover_gate(h);
		return;
	case HV_OK:
	case HV_ALREADY:
	case HV_NO_DOMAIN:
		handover_note_stored(h, false);
		handover_gate(h); /* a VM that is off or gone holds nothing: the gate looks for itself */
		return;
	default:
		break;
	}
	if (h->powered_off) {
		h->powered_off = false;
		handover_ask_hv(h, HV_DETACH, on_detached);
		return;
	}
	rpc_error_from_hv(&error, reply, "the VF could not be detached");
	/* Still in the guest, as far as anybody knows: it stays with its holder. */
	if (h->vf->state == VF_DETACHING)
		vf_set_state(h->m, h->vf, VF_ATTACHED, error.message);
	vf_is_kept(h->m, h->vf, error.message);
	handover_hint_force(h, reply, &error);
	handover_finish(h, &error);
	rpc_error_done(&error);
}

void handover_ask_detach(struct handover *h)
{
	handover_ask_hv(h, HV_DETACH, on_detached);
}

/* What is waited for, and how long.  NULL: no memory, and it is not said. */
static char *detaching_text(const struct vf *vf)
{
	uint64_t until = now_realtime() + hv_op_deadline(HV_DETACH);
	char at[RFC3339_STRLEN];

	return xasprintf("the guest of VM %s was asked to let go of it, and has until %s", strempty(vf->lease.vm_name),
			 rfc3339_format(until - until % USEC_PER_SEC, at));
}

/* Durable first: who finds an older row after a crash, and the VF in no VM, would take it for one that never was
 * in any, and not reset it.  But a store that fails does not keep a guest from letting go. */
void handover_detach_live(struct handover *h, void (*ask)(struct handover *h))
{
	_cleanup_free_ char *text = detaching_text(h->vf);

	vf_set_state(h->m, h->vf, VF_DETACHING, text);
	handover_when_stored(h, ask, ask);
}

static void detach_now(struct handover *h)
{
	if (h->vf->state == VF_RESERVED)
		handover_ask_detach(h);
	else
		handover_detach_live(h, handover_ask_detach);
}

void handover_detach(struct manager *m, struct vf *vf, handover_fn fn, void *userdata)
{
	struct handover *h = handover_new(m, vf, fn, userdata);

	if (h)
		handover_on_turn(h, detach_now);
}

/* ---- by force: the VM is powered off, then the VF goes the same way ---- */

/* Of a detach that is under way: it may be over before the VM is off. */
struct power_off {
	struct manager *m;
	char *vf_name;
	uint64_t epoch;
	char operation[24]; /* that powers it off: what comes of the detach is its doing, whoever had begun it */
};

static bool is_off(const struct hv_reply *reply)
{
	return reply->failure == HV_OK || reply->failure == HV_NOT_RUNNING || reply->failure == HV_NO_DOMAIN;
}

static void not_powered_off(struct rpc_error *error, const struct vf *vf, const struct hv_reply *reply)
{
	_cleanup_free_ char *what = xasprintf("VM %s could not be powered off", strempty(vf->lease.vm_name));

	rpc_error_from_hv(error, reply, strempty(what));
}

static void on_powered_off(void *userdata, const struct hv_reply *reply)
{
	struct handover *h = userdata;
	struct rpc_error error = { 0 };

	if (handover_vanished(h))
		return;
	if (is_off(reply)) {
		handover_ask_detach(h); /* off it has no say; its persistent XML may name the VF still */
		return;
	}
	not_powered_off(&error, h->vf, reply);
	vf_set_state(h->m, h->vf, VF_ATTACHED, error.message);
	vf_is_kept(h->m, h->vf, error.message);
	handover_finish(h, &error);
	rpc_error_done(&error);
}

static void power_off_now(struct handover *h)
{
	handover_ask_hv(h, HV_DESTROY, on_powered_off);
}

/* The detach that was under way goes on, and tells whoever waits for it. */
static void on_powered_off_meanwhile(void *userdata, const struct hv_reply *reply)
{
	struct power_off *p = userdata;
	struct vf *vf = vf_find(p->m, p->vf_name);
	struct handover *h = vf && vf->lease.epoch == p->epoch ? vf->handover : NULL;
	struct rpc_error error = { 0 };
	handover_fn also = h ? h->also : NULL;

	if (h && is_off(reply)) {
		h->powered_off = true;
		handover_set_operation(h, p->operation);
	} else if (also) {
		h->also = NULL;
		not_powered_off(&error, vf, reply);
		also(p->m, vf, h->also_userdata, &error);
		rpc_error_done(&error);
	}
	free(p->vf_name);
	free(p);
}

static void power_off_meanwhile(struct handover *h)
{
	struct hv_request request = { .op = HV_DESTROY, .uuid = h->vm_uuid };
	struct hv_reply failed = { .failure = HV_FAILED };
	struct power_off *p = calloc(1, sizeof(*p));
	const struct operation *op = audit_acts_now(h->m);

	if (!p)
		return; /* the detach has a deadline */
	*p = (struct power_off){ .m = h->m, .vf_name = strdup(h->vf->name), .epoch = h->epoch };
	snprintf(p->operation, sizeof(p->operation), "%s", op ? op->name : h->operation);
	if (h->m->hypervisor->ops->request(h->m->hypervisor, &request, on_powered_off_meanwhile, p) < 0)
		on_powered_off_meanwhile(p, &failed);
}

/* Waits for no turn: who has it may be the one that hangs. */
void handover_power_off(struct manager *m, struct vf *vf, handover_fn fn, void *userdata)
{
	struct handover *h;

	if (handover_join(vf, fn, userdata)) {
		power_off_meanwhile(vf->handover);
		return;
	}
	h = handover_new(m, vf, fn, userdata);
	if (!h)
		return;
	vf_set_state(m, vf, VF_DETACHING, "its VM is being powered off");
	handover_when_stored(h, power_off_now, power_off_now);
}
