/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vf.reset and vf.heal: a VF that nobody holds goes through the gate (closed → reset → probed → free) once more,
 * because somebody asks for it, or because it failed there before. */
#include "manager-state.h"

static void done(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	struct operation *op = userdata;

	if (error)
		operation_failed(m, op, error);
	else
		operation_done(m, op, json_pack("{s:b,s:s,s:n}", "changed", 1, "vf", vf->name, "operation"));
}

static void committed(struct manager *m, void *userdata)
{
	struct operation *op = userdata;
	_cleanup_acting_ struct audit_acting acting = audit_acts(m, op);
	struct vf *vf;
	struct rpc_error error = { 0 };

	operation_begin(m, op);
	vf = operation_vf(m, op);
	if (!vf)
		return;
	if (vf->lease.owner == LEASE_NONE || vf->state == VF_RESETTING) {
		handover_reset(m, vf, done, op);
		return;
	}
	rpc_error_set(&error, RPC_CONFLICT, "%s was given to somebody meanwhile", vf->name);
	rpc_error_detail(&error, "held", "vf", "release it first (gpuvf release VF)");
	operation_failed(m, op, &error);
	rpc_error_done(&error);
}

static void not_committed(struct manager *m, void *userdata)
{
	operation_drop(m, userdata);
}

/* The gate begins at its beginning: whatever was done of it is done again. */
void reset_resume(struct manager *m, struct operation *op)
{
	struct vf *vf = vf_find(m, op->subject);

	if (vf && streq(op->method, "vf.heal") && vf->state == VF_FREE)
		operation_done(m, op, json_pack("{s:b,s:s,s:n}", "changed", 1, "vf", vf->name, "operation"));
	else
		committed(m, op);
}

void manager_vf_heal(struct manager *m, const struct caller *caller, const struct vf_reset_params *p,
		     struct reply *reply)
{
	struct vf *vf = vf_find(m, p->vf);
	struct rpc_error error = { 0 };
	struct operation *op;

	if (manager_refuses_changes(m, reply))
		return;
	if (!vf) {
		reply_refuse(reply, RPC_NOT_FOUND, "no VF \"%s\" (see `gpuvf list vfs`)", p->vf);
		return;
	}
	if (vf->state != VF_QUARANTINED) {
		outbox_reply(m, reply, json_pack("{s:b,s:s,s:n}", "changed", 0, "vf", vf->name, "operation"));
		return;
	}
	if (vf->lease.owner != LEASE_NONE) {
		rpc_error_set(&error, RPC_CONFLICT, "%s is quarantined, and VM %s has it: its reset would break what runs there",
			      vf->name, strempty(vf->lease.vm_name));
		rpc_error_detail(&error, "held", "vf", "take it out of the VM first (virsh detach-device)");
		reply_error_done(reply, &error);
		return;
	}
	op = operation_new(m, "vf.heal", vf->name, caller->uid, NULL);
	outbox_add(m, committed, not_committed, op);
	operation_reply(m, op, p->wait_usec, reply);
}

static int check_reset(struct manager *m, const struct vf_reset_params *p, const struct vf *vf,
		       struct rpc_error *error)
{
	if (!vf)
		return pf_refuse_name(m, p->vf, error);
	if (vf_is_in_process(vf))
		return refuse_process(vf, error);
	if (vf->lease.owner != LEASE_NONE) {
		rpc_error_set(error, RPC_CONFLICT, "%s is held by VM %s: a reset would break what runs there", vf->name,
			      strempty(vf->lease.vm_name));
		return rpc_error_detail(error, "held", "vf", "release it first (gpuvf release VF)");
	}
	if (vf->state == VF_QUARANTINED) {
		rpc_error_set(error, RPC_CONFLICT, "%s is quarantined: %s", vf->name, strempty(vf->reason));
		return rpc_error_detail(error, "quarantined", "vf", "gpuvf heal VF resets it and looks whether it is well");
	}
	if (vf->state != VF_FREE || vf->handover) {
		rpc_error_set(error, RPC_CONFLICT, "%s is %s", vf->name,
			      vf->handover && vf->state == VF_FREE ? "being bound" : vf_state_to_string(vf->state));
		return rpc_error_detail(error, "busy", "vf", "wait until that is done (gpuvf show VF)");
	}
	if (vf->gpu->stuck || vf->gpu->apply) {
		rpc_error_set(error, vf->gpu->stuck ? RPC_WEDGED : RPC_CONFLICT, "%s is %s", vf->gpu->name,
			      gpu_state_to_string(vf->gpu->state));
		return rpc_error_detail(error, gpu_state_to_string(vf->gpu->state), "vf", NULL);
	}
	return 0;
}

void manager_vf_reset(struct manager *m, const struct caller *caller, const struct vf_reset_params *p,
		      struct reply *reply)
{
	struct vf *vf = vf_find(m, p->vf);
	struct rpc_error error = { 0 };
	struct operation *op;

	if (manager_refuses_changes(m, reply))
		return;
	if (check_reset(m, p, vf, &error) < 0) {
		reply_error_done(reply, &error);
		return;
	}
	op = operation_new(m, "vf.reset", vf->name, caller->uid, NULL);
	outbox_add(m, committed, not_committed, op);
	operation_reply(m, op, p->wait_usec, reply);
}
