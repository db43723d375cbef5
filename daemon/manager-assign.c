/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vf.assign: a VF for a VM, by hand.  It makes sure that the VM holds such a VF: doing it again changes nothing. */
#include "manager-state.h"

const char *const assign_mode_names[ASSIGN_MODE_MAX] = {
	[ASSIGN_AUTO] = "auto",
	[ASSIGN_LIVE] = "live",
	[ASSIGN_CONFIG] = "config",
	[ASSIGN_BOTH] = "both",
};
DEFINE_ENUM_TABLE(assign_mode, enum assign_mode, ASSIGN_MODE_MAX);

/* op: that gave it; NULL = none. */
static json_t *answer(const struct operation *op, const struct vf *vf, bool changed)
{
	const char *instead = op ? json_get_string(op->input, "instead") : NULL;
	json_t *json = json_pack("{s:s,s:{s:s,s:I},s:b,s:n}", "vf", vf->name, "lease", "owner",
				 lease_owner_to_string(vf->lease.owner), "epoch", (json_int_t)vf->lease.epoch,
				 "changed", (int)changed, "operation");

	if (instead)
		json_put_string(json, "instead", instead);
	return json;
}

/* ---- choosing ---- */

static uint64_t vram_of(const struct vf *vf)
{
	const struct vf_facts *facts = vf_facts_of(vf);

	return facts && facts->values[VF_ATTR_VRAM].known ? facts->values[VF_ATTR_VRAM].value : 0;
}

static bool has_mode(const struct vf *vf, int mode)
{
	switch (mode) {
	case ASSIGN_LIVE:
		return lease_has_side(vf, LIVE_SIDE);
	case ASSIGN_CONFIG:
		return lease_has_side(vf, CONFIG_SIDE);
	case ASSIGN_BOTH:
		return lease_has_side(vf, BOTH_SIDES);
	default:
		return true;
	}
}

/* The VF that this VM holds already and that is such a one, if there is a choice on the sides that are asked for; or
 * NULL. */
static struct vf *held_already(struct manager *m, const struct vm *vm, const struct vf *wanted,
			       const struct gpu *only, const struct vf_assign_params *p)
{
	struct vf *found = NULL;
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs && (!only || only == gpu); i++) {
			struct vf *vf = gpu->vfs[i];

			if (vf->state == VF_DETACHING || vf->state == VF_RESETTING || vf->state == VF_QUARANTINED)
				continue; /* on its way out */
			if (vf->lease.owner != LEASE_NONE && vf->lease.owner != LEASE_JOB &&
			    vf->lease.owner != LEASE_KEPT &&
			    streq(vf->lease.vm_uuid, vm->uuid) && (!wanted || wanted == vf) &&
			    vf_fits(vf, p->profile, p->vram_bytes) && (!found || has_mode(vf, p->mode)))
				found = vf;
			if (found && has_mode(found, p->mode))
				return found;
		}
	return found;
}

static bool comes_before(const struct vf *vf, const struct vf *other)
{
	uint64_t vram = vram_of(vf), others = vram_of(other);

	return vram < others || (vram == others && pci_address_compare(&vf->address, &other->address) < 0);
}

/* The smallest free one that fits, then the lower address. */
static struct vf *pick_free(struct manager *m, const struct gpu *only, const struct vf_assign_params *p, uid_t uid,
			    const struct vm *vm)
{
	struct gpu *gpu, *tmp;
	struct vf *best = NULL;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs && gpu->state == GPU_READY && (!only || only == gpu); i++) {
			struct vf *vf = gpu->vfs[i];

			if (vf->state == VF_FREE && !vf->handover && (!best || comes_before(vf, best)) &&
			    vf_fits(vf, p->profile, p->vram_bytes) && vf_is_open_to(m, vf, uid, vm))
				best = vf;
		}
	return best;
}

struct vf *assign_pick_free(struct manager *m, const struct gpu *only, const char *profile, uint64_t vram_bytes, uid_t uid,
			    const struct vm *vm)
{
	const struct vf_assign_params p = { .profile = (char *)profile, .vram_bytes = vram_bytes };

	return pick_free(m, only, &p, uid, vm);
}

static int refuse_vf(const struct vf *vf, struct rpc_error *error)
{
	if (vf_is_in_process(vf))
		return refuse_process(vf, error);
	error->holders = vf_holders(vf->gpu->m, vf);
	if (vf->lease.vm_name)
		rpc_error_set(error, RPC_CONFLICT, "%s is held by VM %s", vf->name, vf->lease.vm_name);
	else
		rpc_error_set(error, RPC_CONFLICT, "%s is %s%s%s", vf->name,
			      vf->handover && vf->state == VF_FREE ? "being bound" : vf_state_to_string(vf->state),
			      vf->reason ? ": " : "", strempty(vf->reason));
	if (vf->state == VF_QUARANTINED)
		return rpc_error_detail(error, "quarantined", "vf", "gpuvf heal VF tries to mend it");
	return rpc_error_detail(error, "not_free", "vf", "name another VF, or none to get any free one");
}

/* "2 VFs: 1 attached, 1 quarantined": why nothing fits. */
static int refuse_none(struct manager *m, const struct gpu *only, const struct vf_assign_params *p,
		       uid_t uid, const struct vm *vm, struct rpc_error *error)
{
	size_t all = 0, fitting = 0, free_ones = 0, closed = 0;
	_cleanup_free_ char *where = NULL, *processes = processes_text(m, only), *kept = reuse_text(m, only, uid, vm);
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs && (!only || only == gpu); i++) {
			all++;
			fitting += vf_fits(gpu->vfs[i], p->profile, p->vram_bytes);
			free_ones += gpu->vfs[i]->state == VF_FREE;
			closed += gpu->vfs[i]->state == VF_FREE && gpu->state != GPU_READY;
		}
	if (closed > 0)
		where = xasprintf(", %zu of them on a GPU that is unmanaged, draining, being cut or wedged", closed);
	rpc_error_set(error, RPC_NO_FIT, "no free VF that fits: %zu VFs, %zu of them fit, %zu are free%s%s%s%s%s", all,
		      fitting, free_ones, strempty(where), processes ? "; " : "", strempty(processes), kept ? "; " : "",
		      strempty(kept));
	return rpc_error_detail(error, all ? "none_free" : "no_vfs", NULL,
				all ? "release one, or ask for less"
				    : "cut a GPU first: gpuvf apply GPU --vfs N");
}

static int choose(struct manager *m, const struct vf_assign_params *p, const struct gpu *only,
		  struct vf *named, uid_t uid, const struct vm *vm, struct vf **ret, struct rpc_error *error)
{
	if (named) {
		if (named->state != VF_FREE || named->handover)
			return refuse_vf(named, error);
		if (named->gpu->state != GPU_READY && named->gpu->state != GPU_UNMANAGED) {
			rpc_error_set(error, RPC_CONFLICT, "%s is %s", named->gpu->name,
				      gpu_state_to_string(named->gpu->state));
			return rpc_error_detail(error, gpu_state_to_string(named->gpu->state), "vf",
						gpu_is_draining(named->gpu)
							? "nobody new gets a VF of it before gpuvf undrain"
							: "name a VF of another GPU");
		}
		if (!vf_fits(named, p->profile, p->vram_bytes)) {
			rpc_error_set(error, RPC_NO_FIT, "%s is not of that profile or size", named->name);
			return rpc_error_detail(error, NULL, "vf", "leave out profile and vram_bytes");
		}
		if (!vf_is_open_to(m, named, uid, vm))
			return refuse_reuse(m, named, error);
		*ret = named;
		return 0;
	}
	*ret = pick_free(m, only, p, uid, vm);
	return *ret ? 0 : refuse_none(m, only, p, uid, vm, error);
}

/* held: the VF that it has already, or NULL. */
static int modes(const struct vm *vm, int mode, const struct vf *held, bool *ret_live, bool *ret_config,
		 struct rpc_error *error)
{
	bool running = vm->facts->state == VM_RUNNING || vm->facts->state == VM_PAUSED;

	*ret_live = mode == ASSIGN_LIVE || mode == ASSIGN_BOTH || (mode == ASSIGN_AUTO && running);
	*ret_config = mode == ASSIGN_CONFIG || mode == ASSIGN_BOTH || (mode == ASSIGN_AUTO && !running);
	if (*ret_live && !running) {
		rpc_error_set(error, RPC_CONFLICT, "VM %s is %s", vm->facts->name,
			      vm_state_to_string(vm->facts->state));
		return rpc_error_detail(error, "vm_off", "mode", "start the VM, or use --config");
	}
	if (*ret_config && !vm->facts->persistent) {
		rpc_error_set(error, RPC_CONFLICT, "VM %s is transient: it has no persistent XML", vm->facts->name);
		return rpc_error_detail(error, "transient", "mode", "use --live");
	}
	if (*ret_live && vm->facts->free_ports == 0 && !(held && held->lease.live)) {
		rpc_error_set(error, RPC_NO_FIT, "VM %s has no free PCIe port, or PCI slot, to plug a VF into", vm->facts->name);
		return rpc_error_detail(error, "no_port", "vm", NO_PORT_HINT);
	}
	return 0;
}

/* ---- assign ---- */

static void assigned(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	struct operation *op = userdata;

	if (error)
		operation_failed(m, op, error);
	else
		operation_done(m, op, answer(op, vf, true));
}

/* Between the call and its commit. */
static void fail_moved_on(struct manager *m, struct operation *op, const struct vf *vf)
{
	struct rpc_error error = { 0 };

	if (vf->lease.epoch != json_get_uint(op->input, "epoch", 0))
		rpc_error_set(&error, RPC_CONFLICT, "%s vanished meanwhile and is another one now", vf->name);
	else
		rpc_error_set(&error, RPC_CONFLICT, "%s is %s meanwhile", vf->name, vf_state_to_string(vf->state));
	operation_failed(m, op, &error);
	rpc_error_done(&error);
}

static void assign_committed(struct manager *m, void *userdata)
{
	struct operation *op = userdata;
	_cleanup_acting_ struct audit_acting acting = audit_acts(m, op);
	struct vf *vf;

	operation_begin(m, op);
	vf = operation_vf(m, op);
	if (vf && vf->lease.epoch != json_get_uint(op->input, "epoch", 0))
		fail_moved_on(m, op, vf);
	else if (vf)
		handover_attach(m, vf, assigned, op);
}

static void assign_not_committed(struct manager *m, void *userdata)
{
	struct operation *op = userdata;
	struct vf *vf = vf_find(m, op->subject);

	if (vf && vf->lease.epoch == json_get_uint(op->input, "epoch", 0)) {
		vf->state = VF_FREE;
		vf_lease_end(m, vf);
	}
	operation_drop(m, op);
}

static int assign_check(struct manager *m, const struct vf_assign_params *p, struct vm **ret_vm,
			struct gpu **ret_gpu, struct vf **ret_vf, struct rpc_error *error)
{
	if (refuse_without_libvirt(m, error) < 0)
		return -ECANCELED;
	*ret_vm = vm_find(m, p->vm);
	if (!*ret_vm) {
		rpc_error_set(error, RPC_NOT_FOUND, "no VM \"%s\"", p->vm);
		return rpc_error_detail(error, "no_vm", "vm", "see `gpuvf list vms`");
	}
	*ret_gpu = p->gpu ? gpu_find(m, p->gpu) : NULL;
	if (p->gpu && !*ret_gpu) {
		rpc_error_set(error, RPC_NOT_FOUND, "no GPU \"%s\"", p->gpu);
		return rpc_error_detail(error, "no_gpu", "gpu", "see `gpuvf list gpus`");
	}
	*ret_vf = p->vf ? vf_find(m, p->vf) : NULL;
	if (p->vf && !*ret_vf)
		return pf_refuse_name(m, p->vf, error);
	if (p->profile && !policy_find_profile(m->policy, p->profile)) {
		rpc_error_set(error, RPC_NOT_FOUND, "no profile \"%s\"", p->profile);
		return rpc_error_detail(error, "no_profile", "profile", "see `gpuvf list profiles`");
	}
	return 0;
}

/* ---- what the VM holds already ---- */

static void side_committed(struct manager *m, void *userdata)
{
	struct operation *op = userdata;
	_cleanup_acting_ struct audit_acting acting = audit_acts(m, op);
	struct vf *vf;

	operation_begin(m, op);
	vf = operation_vf(m, op);
	if (!vf)
		return;
	if (vf->lease.epoch != json_get_uint(op->input, "epoch", 0) || vf->handover ||
	    (vf->state != VF_ATTACHED && vf->state != VF_RESERVED))
		fail_moved_on(m, op, vf);
	else if (lease_has_side(vf, operation_side(op))) /* by another's operation, since the call */
		assigned(m, vf, op, NULL);
	else
		handover_add_side(m, vf, operation_side(op), assigned, op);
}

static void side_not_committed(struct manager *m, void *userdata)
{
	operation_drop(m, userdata);
}

/* Which side is asked for and not there; BOTH_SIDES = none.  One that it holds is on one side at least. */
static int missing_side(const struct vm *vm, const struct vf *vf, int mode, enum lease_side *ret, struct rpc_error *error)
{
	bool live, config;

	*ret = BOTH_SIDES;
	if (mode == ASSIGN_AUTO)
		return 0;
	if (modes(vm, mode, vf, &live, &config, error) < 0)
		return -ECANCELED;
	if ((!live || vf->lease.live) && (!config || vf->lease.config))
		return 0;
	*ret = live && !vf->lease.live ? LIVE_SIDE : CONFIG_SIDE;
	if (vm->wedged.reason)
		return refuse_wedged(vm, error);
	if (vf->lease.owner != LEASE_VM || vf->lease.adopted) {
		rpc_error_set(error, RPC_CONFLICT, "VM %s has %s in its %s only, and not by vf.assign (owner %s)",
			      vm->facts->name, vf->name, vf->lease.live ? "running guest" : "persistent XML",
			      lease_owner_to_string(vf->lease.owner));
		return rpc_error_detail(error, "not_assigned", "mode", "release it first, then assign it");
	}
	if (vf->handover || (vf->state != VF_ATTACHED && vf->state != VF_RESERVED)) {
		rpc_error_set(error, RPC_CONFLICT, "%s is %s", vf->name, vf_state_to_string(vf->state));
		return rpc_error_detail(error, "busy", "mode", "wait until that is done (gpuvf show VF)");
	}
	return 0;
}

/* The VM holds such a VF: what the call asks for beyond that is done, and nothing else. */
static void keep_assigned(struct manager *m, const struct caller *caller, const struct vf_assign_params *p,
			  const struct vm *vm, struct vf *vf, struct reply *reply)
{
	struct rpc_error error = { 0 };
	struct operation *op;
	enum lease_side side;

	if (missing_side(vm, vf, p->mode, &side, &error) < 0 ||
	    (p->for_usec != FOR_ABSENT && expiry_move(m, vf, p->for_usec, &error) < 0)) {
		reply_error_done(reply, &error);
		return;
	}
	if (vf->kept)
		vf_is_kept(m, vf, NULL); /* it is to have it */
	if (side == BOTH_SIDES) {
		outbox_reply(m, reply, answer(NULL, vf, p->for_usec != FOR_ABSENT));
		return;
	}
	op = operation_new(m, "vf.assign", vf->name, caller->uid,
			   json_pack("{s:s,s:I,s:s}", "vm", vm->uuid, "epoch", (json_int_t)vf->lease.epoch, "side",
				     lease_side_to_string(side)));
	outbox_add(m, side_committed, side_not_committed, op);
	operation_reply(m, op, p->wait_usec, reply);
}

/* The lease of the one VF that the VM had, that is not there or that another took, and in whose place this one comes: of
 * the same GPU before others, then the one that it had first.  Returns new, as waiting_leases() has it, or NULL. */
static json_t *takes_the_place_of(struct manager *m, const struct vm *vm, const struct vf *vf)
{
	_cleanup_json_ json_t *waiting = waiting_leases(m, vm, NULL);
	_cleanup_free_ char *prefix = xasprintf("%s/", vf->gpu->name);
	json_t *best = NULL;
	bool best_is_near = false;
	json_t *one;
	size_t i;

	json_array_foreach(waiting, i, one) {
		const char *name = json_get_string(one, "vf");
		bool near = strncmp(name, strempty(prefix), strlen(strempty(prefix))) == 0;

		if (best && (near != best_is_near ? best_is_near
						  : json_get_uint(best, "epoch", 0) < json_get_uint(one, "epoch", 0)))
			continue;
		best = one;
		best_is_near = near;
	}
	return json_incref(best);
}

void manager_vf_assign(struct manager *m, const struct caller *caller,
		       const struct vf_assign_params *p, struct reply *reply)
{
	struct rpc_error error = { 0 };
	struct vm *vm = NULL;
	struct gpu *gpu = NULL;
	struct vf *named = NULL, *vf = NULL;
	_cleanup_json_ json_t *instead = NULL;
	struct operation *op;
	bool live, config;

	if (manager_refuses_changes(m, reply))
		return;
	if (assign_check(m, p, &vm, &gpu, &named, &error) < 0) {
		reply_error_done(reply, &error);
		return;
	}
	vf = p->add ? NULL : held_already(m, vm, named, gpu, p);
	if (vf) {
		keep_assigned(m, caller, p, vm, vf, reply);
		return;
	}
	if ((vm->wedged.reason && refuse_wedged(vm, &error) < 0) ||
	    modes(vm, p->mode, NULL, &live, &config, &error) < 0 ||
	    choose(m, p, gpu, named, caller->uid, vm, &vf, &error) < 0) {
		reply_error_done(reply, &error);
		return;
	}
	vf_lease(m, vf, LEASE_VM, vm, 0, caller->uid, live, config);
	vf->lease.chosen = !named;
	vf->lease.vram = named ? 0 : vram_of(vf);
	if (p->for_usec != FOR_ABSENT)
		lease_set_end(&vf->lease, p->for_usec);
	instead = !p->add && config ? takes_the_place_of(m, vm, vf) : NULL;
	if (instead)
		waiting_forget(m, instead);
	vf_set_state(m, vf, VF_LEASED, NULL);
	op = operation_new(m, "vf.assign", vf->name, caller->uid,
			   json_pack("{s:s,s:I,s:s*}", "vm", vm->uuid, "epoch", (json_int_t)vf->lease.epoch, "instead",
				     instead ? json_get_string(instead, "vf") : NULL));
	outbox_add(m, assign_committed, assign_not_committed, op);
	operation_reply(m, op, p->wait_usec, reply);
}

/* ---- after a restart: what was accepted goes on ---- */

void assign_resume(struct manager *m, struct operation *op)
{
	_cleanup_acting_ struct audit_acting acting = audit_acts(m, op);
	struct vf *vf = vf_find(m, op->subject);
	struct rpc_error error = { 0 };

	if (!vf || vf->lease.owner != LEASE_VM ||
	    vf->lease.epoch != json_get_uint(op->input, "epoch", 0)) {
		rpc_error_set(&error, RPC_CONFLICT, "the daemon was restarted and %s is no longer leased to it",
			      strempty(op->subject));
		operation_failed(m, op, &error);
		rpc_error_done(&error);
		return;
	}
	operation_begin(m, op);
	if ((vf->state == VF_ATTACHED || vf->state == VF_RESERVED) && json_get_string(op->input, "side") &&
	    !lease_has_side(vf, operation_side(op)))
		side_committed(m, op);
	else if (vf->state == VF_ATTACHED || vf->state == VF_RESERVED)
		operation_done(m, op, answer(op, vf, true));
	else if (vf->state == VF_LEASED && !vf->handover)
		handover_attach(m, vf, assigned, op);
	else {
		rpc_error_set(&error, RPC_CONFLICT, "the daemon was restarted and %s is %s%s%s", vf->name,
			      vf_state_to_string(vf->state), vf->reason ? ": " : "", strempty(vf->reason));
		operation_failed(m, op, &error);
		rpc_error_done(&error);
	}
}
