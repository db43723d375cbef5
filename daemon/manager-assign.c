/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vf.assign and vf.release: a VF for a VM, by hand.  Assigning makes sure that the VM holds such a
 * VF: doing it again changes nothing. */
#include "manager-state.h"

const char *const assign_mode_names[ASSIGN_MODE_MAX] = {
	[ASSIGN_AUTO] = "auto",
	[ASSIGN_LIVE] = "live",
	[ASSIGN_CONFIG] = "config",
	[ASSIGN_BOTH] = "both",
};
DEFINE_ENUM_TABLE(assign_mode, enum assign_mode, ASSIGN_MODE_MAX);

static json_t *answer(const struct vf *vf, bool changed)
{
	return json_pack("{s:s,s:{s:s,s:I},s:b,s:n}", "vf", vf->name, "lease", "owner",
			 lease_owner_to_string(vf->lease.owner), "epoch", (json_int_t)vf->lease.epoch,
			 "changed", (int)changed, "operation");
}

/* ---- choosing ---- */

static uint64_t vram_of(const struct vf *vf)
{
	const struct vf_facts *facts = vf_facts_of(vf);

	return facts && facts->values[VF_ATTR_VRAM].known ? facts->values[VF_ATTR_VRAM].value : 0;
}

/* The VF that this VM holds already and that is such a one, or NULL. */
static struct vf *held_already(struct manager *m, const struct vm *vm, const struct vf *wanted,
			       const struct gpu *only, const struct vf_assign_params *p)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs && (!only || only == gpu); i++) {
			struct vf *vf = gpu->vfs[i];

			if (vf->state == VF_DETACHING || vf->state == VF_RESETTING || vf->state == VF_QUARANTINED)
				continue; /* on its way out */
			if (vf->lease.owner != LEASE_NONE && vf->lease.owner != LEASE_JOB &&
			    vf->lease.owner != LEASE_KEPT &&
			    streq(vf->lease.vm_uuid, vm->uuid) && (!wanted || wanted == vf) &&
			    vf_fits(vf, p->profile, p->vram_bytes))
				return vf;
		}
	return NULL;
}

static bool comes_before(const struct vf *vf, const struct vf *other)
{
	uint64_t vram = vram_of(vf), others = vram_of(other);

	return vram < others || (vram == others && pci_address_compare(&vf->address, &other->address) < 0);
}

/* The smallest free one that fits, then the lower address. */
static struct vf *pick_free(struct manager *m, const struct gpu *only, const struct vf_assign_params *p, uid_t uid)
{
	struct gpu *gpu, *tmp;
	struct vf *best = NULL;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs && gpu->state == GPU_READY && (!only || only == gpu); i++) {
			struct vf *vf = gpu->vfs[i];

			if (vf->state == VF_FREE && !vf->handover && (!best || comes_before(vf, best)) &&
			    vf_fits(vf, p->profile, p->vram_bytes) && vf_is_open_to(m, vf, uid))
				best = vf;
		}
	return best;
}

struct vf *assign_pick_free(struct manager *m, const char *profile, uint64_t vram_bytes, uid_t uid)
{
	const struct vf_assign_params p = { .profile = (char *)profile, .vram_bytes = vram_bytes };

	return pick_free(m, NULL, &p, uid);
}

static int refuse_vf(const struct vf *vf, struct rpc_error *error)
{
	if (vf_is_in_process(vf))
		return refuse_process(vf, error);
	if (vf->lease.vm_name)
		rpc_error_set(error, RPC_CONFLICT, "%s is held by VM %s", vf->name, vf->lease.vm_name);
	else
		rpc_error_set(error, RPC_CONFLICT, "%s is %s%s%s", vf->name, vf_state_to_string(vf->state),
			      vf->reason ? ": " : "", strempty(vf->reason));
	return rpc_error_detail(error, "not_free", "vf",
				vf->state == VF_QUARANTINED ? "gpuvf heal VF tries to mend it"
							    : "name another VF, or none to get any free one");
}

/* "2 VFs: 1 attached, 1 quarantined": why nothing fits. */
static int refuse_none(struct manager *m, const struct gpu *only, const struct vf_assign_params *p,
		       uid_t uid, struct rpc_error *error)
{
	size_t all = 0, fitting = 0, free_ones = 0, closed = 0;
	_cleanup_free_ char *where = NULL, *processes = processes_text(m, only), *kept = reuse_text(m, only, uid);
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
		  struct vf *named, uid_t uid, struct vf **ret, struct rpc_error *error)
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
		if (!vf_is_open_to(m, named, uid))
			return refuse_reuse(named, error);
		*ret = named;
		return 0;
	}
	*ret = pick_free(m, only, p, uid);
	return *ret ? 0 : refuse_none(m, only, p, uid, error);
}

static int modes(const struct vm *vm, int mode, bool *ret_live, bool *ret_config, struct rpc_error *error)
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
	if (*ret_live && vm->facts->free_ports == 0) {
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
		operation_done(m, op, answer(vf, true));
}

static void assign_committed(struct manager *m, void *userdata)
{
	struct operation *op = userdata;
	struct vf *vf;

	operation_begin(m, op);
	vf = operation_vf(m, op);
	if (vf && vf->lease.epoch != json_get_uint(op->input, "epoch", 0)) {
		struct rpc_error error = { 0 };

		rpc_error_set(&error, RPC_CONFLICT, "%s vanished meanwhile and is another one now", vf->name);
		operation_failed(m, op, &error);
		rpc_error_done(&error);
	} else if (vf) {
		handover_attach(m, vf, assigned, op);
	}
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
	if (!m->hypervisor_connected) {
		rpc_error_set(error, RPC_HOST_ERROR, "libvirt is away: %s",
			      m->hypervisor_reason ? m->hypervisor_reason : "not connected yet");
		return rpc_error_detail(error, "no_libvirt", NULL, "is libvirtd (or virtqemud) running?");
	}
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

static void refuse(struct reply *reply, struct rpc_error *error)
{
	reply_error(reply, error);
	rpc_error_done(error);
}

void manager_vf_assign(struct manager *m, const struct caller *caller,
		       const struct vf_assign_params *p, struct reply *reply)
{
	struct rpc_error error = { 0 };
	struct vm *vm = NULL;
	struct gpu *gpu = NULL;
	struct vf *named = NULL, *vf = NULL;
	struct operation *op;
	bool live, config;

	if (manager_refuses_changes(m, reply))
		return;
	if (assign_check(m, p, &vm, &gpu, &named, &error) < 0) {
		refuse(reply, &error);
		return;
	}
	vf = p->add ? NULL : held_already(m, vm, named, gpu, p);
	if (vf) {
		if (p->for_usec != FOR_ABSENT && expiry_move(m, vf, p->for_usec, &error) < 0)
			refuse(reply, &error);
		else
			outbox_reply(m, reply, answer(vf, p->for_usec != FOR_ABSENT));
		return;
	}
	if (modes(vm, p->mode, &live, &config, &error) < 0 || choose(m, p, gpu, named, caller->uid, &vf, &error) < 0) {
		refuse(reply, &error);
		return;
	}
	vf_lease(m, vf, LEASE_VM, vm, 0, caller->uid, live, config);
	if (p->for_usec != FOR_ABSENT && p->for_usec > 0)
		vf->lease.expires = now_boottime() + p->for_usec;
	vf_set_state(m, vf, VF_LEASED, NULL);
	op = operation_new(m, "vf.assign", vf->name, caller->uid,
			   json_pack("{s:s,s:I}", "vm", vm->uuid, "epoch", (json_int_t)vf->lease.epoch));
	outbox_add(m, assign_committed, assign_not_committed, op);
	operation_reply(m, op, p->wait_usec, reply);
}

/* ---- release ---- */

struct release {
	struct operation *op;
	bool force;
	size_t left;
	size_t n;
	struct vf **vfs;
	json_t *names;
	struct rpc_error error;
};

static void release_free(struct release *r)
{
	json_decref(r->names);
	rpc_error_done(&r->error);
	free(r->vfs);
	free(r);
}

static void released_name(struct manager *m, const char *name, struct release *r,
			  const struct rpc_error *error)
{
	if (error && !r->error.code) {
		rpc_error_set(&r->error, error->code, "%s: %s", name, strempty(error->message));
		rpc_error_detail(&r->error, error->reason, error->field, error->hint);
		r->error.holders = json_incref(error->holders);
	} else if (!error) {
		json_array_append_new(r->names, json_string(name));
	}
	if (--r->left > 0)
		return;
	if (r->error.code)
		operation_failed(m, r->op, &r->error);
	else
		operation_done(m, r->op,
			       json_pack("{s:b,s:O,s:n}", "changed", 1, "released", r->names, "operation"));
	release_free(r);
}

static void released(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	struct release *r = userdata;

	if (!error && r->force)
		job_vf_back(m, vf->name); /* its job may wait for it */
	released_name(m, vf->name, r, error);
}

/* By force.  False: it goes the ordinary way. */
static bool release_by_force(struct manager *m, struct vf *vf, bool *power_off, struct release *r)
{
	if (*power_off && (vf->state == VF_ATTACHED || vf->state == VF_DETACHING) &&
	    power_off_is_due(m, r->op, vf)) {
		*power_off = false; /* once for all VFs of the VM */
		handover_power_off(m, vf, released, r);
		return true;
	}
	return handover_join(vf, released, r);
}

static void release_committed(struct manager *m, void *userdata)
{
	struct release *r = userdata;
	bool force = r->force, power_off = r->force;
	size_t n = r->n;

	operation_begin(m, r->op);
	for (size_t i = 0; i < n; i++) {
		/* The last answer frees r: nothing of it may be touched after its last handover began. */
		const char *name = json_string_value(json_array_get(json_object_get(r->op->input, "vfs"), i));
		struct vf *vf = vf_find(m, name);

		if (!vf || vf->lease.owner == LEASE_NONE) { /* gone meanwhile: released by itself */
			released_name(m, name, r, NULL);
			continue;
		}
		if (vf->state == VF_RESETTING && !vf->handover) {
			/* Out of the guest already: an earlier daemon ended here. */
			handover_reset(m, vf, released, r);
			continue;
		}
		if (force && release_by_force(m, vf, &power_off, r))
			continue;
		if (vf->handover || (vf->state != VF_ATTACHED && vf->state != VF_RESERVED)) {
			struct rpc_error busy = { 0 };

			rpc_error_set(&busy, RPC_CONFLICT, "it is %s", vf_state_to_string(vf->state));
			released(m, vf, r, &busy);
			rpc_error_done(&busy);
			continue;
		}
		handover_detach(m, vf, released, r);
	}
}

static void release_not_committed(struct manager *m, void *userdata)
{
	struct release *r = userdata;

	operation_drop(m, r->op);
	release_free(r);
}

static int releasable(const struct vf *vf, const struct vf_release_params *p, struct rpc_error *error)
{
	if (p->if_epoch.known && p->if_epoch.value != vf->lease.epoch) {
		rpc_error_set(error, RPC_CONFLICT, "%s is now held by VM %s under lease epoch %llu, not %llu", vf->name,
			      strempty(vf->lease.vm_name), (unsigned long long)vf->lease.epoch,
			      (unsigned long long)p->if_epoch.value);
		return rpc_error_detail(error, "epoch", "if_epoch", "look again: it was given to somebody else");
	}
	if ((p->mode == ASSIGN_LIVE && vf->lease.config) || (p->mode == ASSIGN_CONFIG && vf->lease.live)) {
		rpc_error_set(error, RPC_UNSUPPORTED, "%s is in the VM's %s as well; it is released from both at once",
			      vf->name, p->mode == ASSIGN_LIVE ? "persistent XML" : "running guest");
		return rpc_error_detail(error, NULL, "mode", "leave the mode out");
	}
	if (vf_is_in_process(vf))
		return refuse_process(vf, error);
	if (p->force && power_off_may_take(vf))
		return 0;
	if (vf->lease.owner == LEASE_JOB) {
		rpc_error_set(error, RPC_CONFLICT, "%s is used by job %llu", vf->name,
			      (unsigned long long)vf->lease.job);
		return rpc_error_detail(error, "job", NULL, "cancel the job: gpuvf cancel ID");
	}
	if (vf->handover || (vf->state != VF_ATTACHED && vf->state != VF_RESERVED)) {
		rpc_error_set(error, RPC_CONFLICT, "%s is %s", vf->name, vf_state_to_string(vf->state));
		return rpc_error_detail(error, "busy", NULL, "wait until that is done (gpuvf show VF)");
	}
	return 0;
}

/* The VFs that the call means: one by name, or those of a VM.  Refuses by itself; 0 found is no refusal. */
static int collect(struct manager *m, const struct vf_release_params *p, struct release *r,
		   struct rpc_error *error)
{
	struct vm *vm = p->vm ? vm_find(m, p->vm) : NULL;
	struct vf *only = p->vf ? vf_find(m, p->vf) : NULL;
	struct gpu *gpu, *tmp;
	size_t all = 0;

	if (p->vm && !vm) {
		rpc_error_set(error, RPC_NOT_FOUND, "no VM \"%s\"", p->vm);
		return rpc_error_detail(error, "no_vm", "vm", "see `gpuvf list vms`");
	}
	if (p->vf && !only)
		return pf_refuse_name(m, p->vf, error);
	HASH_ITER(hh, m->gpus, gpu, tmp)
		all += gpu->n_vfs;
	r->vfs = calloc(all + 1, sizeof(*r->vfs));
	if (!r->vfs)
		return rpc_error_set(error, RPC_INTERNAL_ERROR, "out of memory");
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++) {
			struct vf *vf = gpu->vfs[i];

			if (vf->lease.owner == LEASE_NONE || (only && only != vf) ||
			    (vm && !streq(vf->lease.vm_uuid, vm->uuid)))
				continue;
			if (releasable(vf, p, error) < 0)
				return -ECANCELED;
			r->vfs[r->n++] = vf;
		}
	if (r->n > 1 && !p->all) {
		rpc_error_set(error, RPC_CONFLICT, "VM %s holds %zu VFs", p->vm, r->n);
		return rpc_error_detail(error, "several", "vm", "name the VF, or say --all");
	}
	return 0;
}

void manager_vf_release(struct manager *m, const struct caller *caller,
			const struct vf_release_params *p, struct reply *reply)
{
	struct rpc_error error = { 0 };
	struct release *r;

	if (manager_refuses_changes(m, reply))
		return;
	if (!p->vf == !p->vm) {
		rpc_error_set(&error, RPC_INVALID_PARAMS, "give either vf or vm");
		rpc_error_detail(&error, NULL, p->vf ? "vm" : "vf", NULL);
		refuse(reply, &error);
		return;
	}
	if (p->yes_power_off && !p->force) {
		rpc_error_set(&error, RPC_INVALID_PARAMS, "yes_power_off says yes to what force breaks");
		rpc_error_detail(&error, NULL, "yes_power_off", "leave it out, or add force");
		refuse(reply, &error);
		return;
	}
	if (!m->hypervisor_connected) {
		rpc_error_set(&error, RPC_HOST_ERROR, "libvirt is away: %s",
			      m->hypervisor_reason ? m->hypervisor_reason : "not connected yet");
		rpc_error_detail(&error, "no_libvirt", NULL, "is libvirtd (or virtqemud) running?");
		refuse(reply, &error);
		return;
	}
	r = calloc(1, sizeof(*r));
	if (!r || collect(m, p, r, &error) < 0 ||
	    (p->force && r->n > 0 && power_off_check(m, r->vfs[0], p, &error) < 0)) {
		refuse(reply, &error);
		if (r)
			release_free(r);
		return;
	}
	if (r->n == 0) {
		outbox_reply(m, reply,
			     json_pack("{s:b,s:[],s:n}", "changed", 0, "released", "operation"));
		release_free(r);
		return;
	}
	r->left = r->n;
	r->names = json_array();
	r->op = operation_new(m, "vf.release", p->vf ? r->vfs[0]->name : p->vm, caller->uid,
			      json_pack("{s:o}", "vfs", json_array()));
	for (size_t i = 0; i < r->n; i++)
		json_array_append_new(json_object_get(r->op->input, "vfs"), json_string(r->vfs[i]->name));
	r->force = p->force;
	if (r->force)
		power_off_note(m, r->op, r->vfs[0]);
	operation_store(m, r->op);
	outbox_add(m, release_committed, release_not_committed, r);
	operation_reply(m, r->op, p->wait_usec, reply);
}

/* ---- after a restart: what was accepted goes on ---- */

static void resume_assign(struct manager *m, struct operation *op)
{
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
	if (vf->state == VF_ATTACHED || vf->state == VF_RESERVED)
		operation_done(m, op, answer(vf, true));
	else if (vf->state == VF_LEASED && !vf->handover)
		handover_attach(m, vf, assigned, op);
	else {
		rpc_error_set(&error, RPC_CONFLICT, "the daemon was restarted and %s is %s%s%s", vf->name,
			      vf_state_to_string(vf->state), vf->reason ? ": " : "", strempty(vf->reason));
		operation_failed(m, op, &error);
		rpc_error_done(&error);
	}
}

static void resume_release(struct manager *m, struct operation *op)
{
	_cleanup_json_ json_t *names = json_incref(json_object_get(op->input, "vfs"));
	_cleanup_json_ json_t *left = json_array();
	json_t *name;
	struct release *r = calloc(1, sizeof(*r));
	size_t i;

	if (!r)
		return;
	r->op = op;
	r->force = json_object_get(op->input, "power_off") != NULL;
	r->names = json_array();
	json_array_foreach(names, i, name) {
		struct vf *vf = vf_find(m, json_string_value(name));

		/* One that is free by now was released before the restart, or by the gate since. */
		if (vf && (vf->lease.owner == LEASE_NONE || vf->handover))
			vf = NULL;
		if (vf)
			json_array_append_new(left, json_string(vf->name));
	}
	json_object_set(op->input, "vfs", left);
	r->n = r->left = json_array_size(left);
	if (r->n > 0) {
		release_committed(m, r);
		return;
	}
	operation_done(m, op, json_pack("{s:b,s:O,s:n}", "changed", 1, "released", names, "operation"));
	release_free(r);
}

void assign_resume(struct manager *m, struct operation *op)
{
	if (streq(op->method, "vf.assign"))
		resume_assign(m, op);
	else
		resume_release(m, op);
}
