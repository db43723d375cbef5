/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One side of what a VM has: its running guest or its stored definition gets the VF as well, or has it no longer.  The
 * lease and the other side stay as they are. */
#include "manager-handover.h"

const char *const lease_side_names[LEASE_SIDE_MAX] = {
	[BOTH_SIDES] = "both",
	[LIVE_SIDE] = "live",
	[CONFIG_SIDE] = "config",
};
DEFINE_ENUM_TABLE(lease_side, enum lease_side, LEASE_SIDE_MAX);

bool lease_has_side(const struct vf *vf, enum lease_side side)
{
	return (side == CONFIG_SIDE || vf->lease.live) && (side == LIVE_SIDE || vf->lease.config);
}

bool vf_keeps_side(const struct vf *vf)
{
	return vf->handover && vf->handover->one_side;
}

enum lease_side operation_side(const struct operation *op)
{
	int side = lease_side_from_string(strempty(json_get_string(op->input, "side")));

	return side < 0 ? BOTH_SIDES : (enum lease_side)side;
}

/* State and row: it is on that side now, or is not any more. */
static void side_is(struct handover *h, bool there)
{
	struct vf *vf = h->vf;
	enum vf_state state = vf->state;

	if (h->side == LIVE_SIDE) {
		vf->lease.live = there;
		state = there ? VF_ATTACHED : VF_RESERVED;
	} else {
		vf->lease.config = true; /* for the note */
		handover_note_stored(h, there);
		vf->lease.config = there;
	}
	if (vf->state == state)
		vf_store(h->m, vf);
	else
		vf_set_state(h->m, vf, state, NULL);
}

static void fail(struct handover *h, const struct hv_reply *reply, const char *what)
{
	bool live = h->vf->state == VF_DETACHING;
	struct rpc_error error = { 0 };

	rpc_error_from_hv(&error, reply, what);
	if (live) {
		vf_set_state(h->m, h->vf, VF_ATTACHED, error.message);
		vf_is_kept(h->m, h->vf, error.message);
	}
	handover_hint_force(h, reply, &error);
	handover_finish(h, &error);
	rpc_error_done(&error);
}

/* ---- added ---- */

static void on_side_attached(void *userdata, const struct hv_reply *reply)
{
	struct handover *h = userdata;

	if (handover_vanished(h))
		return;
	handover_note_vm(h, reply);
	if (reply->failure != HV_OK && reply->failure != HV_ALREADY) {
		fail(h, reply, h->side == LIVE_SIDE ? "the VF could not be attached"
						    : "the VF could not be written to the persistent XML");
		return;
	}
	side_is(h, true);
	handover_finish(h, NULL);
}

void handover_side_attach(struct handover *h)
{
	handover_ask_hv(h, HV_ATTACH, on_side_attached);
}

/* ---- taken out ---- */

static void ask_side_detach(struct handover *h);

static void on_side_detached(void *userdata, const struct hv_reply *reply)
{
	struct handover *h = userdata;

	if (handover_vanished(h))
		return;
	if (handover_is_put_back(h, reply)) {
		ask_side_detach(h);
		return;
	}
	switch (reply->failure) {
	case HV_OK:
	case HV_ALREADY:
	case HV_NOT_RUNNING: /* off now: its running guest has nothing */
		side_is(h, false);
		handover_finish(h, NULL);
		return;
	case HV_NO_DOMAIN:
		handover_gate(h); /* the other side is gone, too */
		return;
	default:
		fail(h, reply, h->side == LIVE_SIDE ? "the VF could not be detached"
						    : "the VF could not be taken out of the persistent XML");
	}
}

static void ask_side_detach(struct handover *h)
{
	handover_ask_hv(h, HV_DETACH, on_side_detached);
}

static void take_now(struct handover *h)
{
	if (h->side == CONFIG_SIDE)
		ask_side_detach(h);
	else
		handover_detach_live(h, ask_side_detach);
}

void handover_take_side(struct manager *m, struct vf *vf, enum lease_side side, handover_fn fn, void *userdata)
{
	struct handover *h = handover_new(m, vf, fn, userdata);

	if (!h)
		return;
	h->one_side = true;
	h->side = side;
	handover_on_turn(h, take_now);
}
