/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vf.release: VFs back from their VMs, by hand; by force, too. */
#include "manager-state.h"

struct release {
	struct operation *op;
	bool force;
	enum lease_side side; /* of those that have both: the other stays */
	size_t left;
	size_t n;
	struct vf **vfs;
	json_t *names;
	json_t *kept; /* what is left, see add_kept() */
	struct rpc_error error;
};

/* Of the operation, NULL: there was nothing to do.  Names and what is left of them are taken, NULL: nothing. */
static json_t *answer(const struct operation *op, bool changed, json_t *names, json_t *kept)
{
	json_t *json = json_pack("{s:b,s:o,s:o,s:n}", "changed", (int)changed, "released", names ? names : json_array(),
				 "left", kept ? kept : json_array(), "operation");

	if (op && json_get_string(op->input, "note"))
		json_put_string(json, "note", json_get_string(op->input, "note"));
	return json;
}

/* A VF that somebody has all the same: its VM on the other side. */
static void add_kept(json_t *kept, const struct vf *vf)
{
	if (vf->lease.owner != LEASE_NONE)
		json_array_append_new(kept, json_pack("{s:s,s:s,s:s?,s:b,s:b}", "vf", vf->name, "state",
						      vf_state_to_string(vf->state), "vm", vf->lease.vm_name, "live",
						      (int)vf->lease.live, "config", (int)vf->lease.config));
}

/* One that is not free now, since it is not there.  Borrows. */
static void add_gone(json_t *kept, const char *name, const char *vm)
{
	json_array_append_new(kept, json_pack("{s:s,s:s,s:s?,s:b,s:b}", "vf", name, "state",
					      vf_state_to_string(VF_GONE), "vm", vm, "live", 0, "config", 0));
}

static bool settled(const struct vf *vf)
{
	return !vf->handover && (vf->state == VF_ATTACHED || vf->state == VF_RESERVED);
}

static void release_free(struct release *r)
{
	json_decref(r->names);
	json_decref(r->kept);
	rpc_error_done(&r->error);
	free(r->vfs);
	free(r);
}

static void released_name(struct manager *m, const char *name, struct release *r,
			  const struct rpc_error *error)
{
	if (error && !r->error.code) {
		bool named = strncmp(strempty(error->message), name, strlen(name)) == 0;

		rpc_error_set(&r->error, error->code, "%s%s%s", named ? "" : name, named ? "" : ": ", strempty(error->message));
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
		operation_done(m, r->op, answer(r->op, true, TAKE_PTR(r->names), TAKE_PTR(r->kept)));
	release_free(r);
}

static void released(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	struct release *r = userdata;

	if (r->force) {
		job_vf_back(m, vf->name); /* its job may wait for it, also where it did not come back */
		manager_pump(m);
	}
	if (!error)
		add_kept(r->kept, vf);
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

static void take_back(struct manager *m, struct vf *vf, struct release *r)
{
	if (r->side != BOTH_SIDES && lease_has_side(vf, BOTH_SIDES))
		handover_take_side(m, vf, r->side, released, r);
	else if (lease_has_side(vf, r->side) || r->side == BOTH_SIDES)
		handover_detach(m, vf, released, r);
	else
		released(m, vf, r, NULL); /* it left that side meanwhile */
}

/* Taken out of its running guest, it would be gone from under a job. */
static bool is_used(struct manager *m, const struct vf *vf, enum lease_side side)
{
	return vf->lease.owner == LEASE_JOB || (side != CONFIG_SIDE && vf_job(m, vf));
}

static const char *used_word(struct manager *m, const struct vf *vf, unsigned long long *ret_id)
{
	const struct job *job = vf->lease.owner == LEASE_JOB ? lease_job(m, &vf->lease) : vf_job(m, vf);

	*ret_id = vf->lease.owner == LEASE_JOB ? vf->lease.job : job->id;
	return job_word(job);
}

/* Appends to a text of which the parts stand apart by ", ": takes part. */
static void text_add(char **text, char *part)
{
	char *before = *text;

	*text = before ? xasprintf("%s, %s", before, strempty(part)) : strdup(strempty(part));
	free(before);
	free(part);
}

/* Names the jobs, and what goes all the same: of the VM (only = NULL), or of one VF. */
static int refuse_job(struct manager *m, const struct vf *first, const struct vf *only, enum lease_side side,
		      struct rpc_error *error)
{
	_cleanup_free_ char *used = NULL, *cancels = NULL, *others = NULL, *hint = NULL;
	struct gpu *gpu, *tmp;
	unsigned n = 0;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++) {
			const struct vf *vf = gpu->vfs[i];
			unsigned long long id;
			const char *word;

			if (vf->lease.owner == LEASE_NONE || !streq(vf->lease.vm_uuid, first->lease.vm_uuid) ||
			    (only && only != vf))
				continue;
			if (is_used(m, vf, side)) {
				word = used_word(m, vf, &id);
				text_add(&used, xasprintf("%s%s by %s %llu", vf->name, n++ ? "" : " is used", word, id));
				text_add(&cancels, xasprintf("gpuvf cancel %llu", id));
			} else if (settled(vf)) {
				text_add(&others, xasprintf("gpuvf release %s", vf->name));
			}
		}
	rpc_error_set(error, RPC_CONFLICT, "%s", strempty(used));
	hint = xasprintf("%s %s%s%s", strempty(cancels), n > 1 ? "end them" : "ends it",
			 others ? "; what no job uses goes by its name: " : "", strempty(others));
	return rpc_error_detail(error, "job", NULL, strempty(hint));
}

static int refuse_busy(const struct vf *vf, struct rpc_error *error)
{
	bool forced = vf->state == VF_DETACHING && power_off_may_take(vf);
	_cleanup_free_ char *force = forced ? power_off_hint(vf) : NULL, *hint = NULL;

	rpc_error_set(error, RPC_CONFLICT, "%s is %s", vf->name, vf_state_to_string(vf->state));
	hint = xasprintf("wait until that is done (gpuvf show %s)%s%s", vf->name, force ? "; else " : "", strempty(force));
	return rpc_error_detail(error, "busy", NULL, hint);
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

		if (!vf)
			add_gone(r->kept, name, NULL);
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
		if (!force && is_used(m, vf, r->side)) { /* placed there since */
			struct rpc_error used = { 0 };

			refuse_job(m, vf, vf, r->side, &used);
			released(m, vf, r, &used);
			rpc_error_done(&used);
			continue;
		}
		if (!settled(vf)) {
			struct rpc_error busy = { 0 };

			refuse_busy(vf, &busy);
			released(m, vf, r, &busy);
			rpc_error_done(&busy);
			continue;
		}
		take_back(m, vf, r);
	}
}

static void release_not_committed(struct manager *m, void *userdata)
{
	struct release *r = userdata;

	operation_drop(m, r->op);
	release_free(r);
}

static enum lease_side side_of_mode(int mode)
{
	return mode == ASSIGN_LIVE ? LIVE_SIDE : mode == ASSIGN_CONFIG ? CONFIG_SIDE : BOTH_SIDES;
}

static int releasable(struct manager *m, const struct vf *vf, const struct vf_release_params *p,
		      struct rpc_error *error)
{
	const struct vm *vm = vm_find_uuid(m, vf->lease.vm_uuid);

	if (p->if_epoch.known && p->if_epoch.value != vf->lease.epoch) {
		rpc_error_set(error, RPC_CONFLICT, "%s is now held by VM %s under lease epoch %llu, not %llu", vf->name,
			      strempty(vf->lease.vm_name), (unsigned long long)vf->lease.epoch,
			      (unsigned long long)p->if_epoch.value);
		return rpc_error_detail(error, "epoch", "if_epoch", "look again: it was given to somebody else");
	}
	if (p->force && side_of_mode(p->mode) != BOTH_SIDES && lease_has_side(vf, BOTH_SIDES)) {
		rpc_error_set(error, RPC_UNSUPPORTED, "%s is in the VM's %s as well; by force it is released from both at once",
			      vf->name, p->mode == ASSIGN_LIVE ? "persistent XML" : "running guest");
		return rpc_error_detail(error, NULL, "mode", "leave the mode out, or force");
	}
	if (vf_is_in_process(vf)) {
		(void)refuse_process(vf, error);
		return rpc_error_detail(error, NULL, NULL, "end that process: the VF comes back by itself");
	}
	if (p->force && power_off_may_take(vf))
		return 0;
	if (vm && vm->wedged.reason)
		return refuse_wedged(vm, error);
	if (is_used(m, vf, side_of_mode(p->mode)))
		return refuse_job(m, vf, p->vf ? vf : NULL, side_of_mode(p->mode), error);
	return settled(vf) ? 0 : refuse_busy(vf, error);
}

/* Of what the policy gave to its VM: taken away it is given again, or another in its place, before anybody looks. */
static int refuse_assigned(struct manager *m, const struct vf *vf, struct rpc_error *error)
{
	rpc_error_set(error, RPC_CONFLICT, "%s is VM %s's by the policy, which would give it one again at once: %s", vf->name,
		      strempty(vf->lease.vm_name), strempty(fixed_gives_again(m, vf)));
	return rpc_error_detail(error, "assigned", "vf",
				"take that assignment out of its file and say gpuvf policy reload: then the VM gives it back when "
				"it is off, or gpuvf release takes it; gpuvf drain GPU has its VMs get VFs of other GPUs");
}

/* Not by force, and not one side of two: the VM keeps it on the other. */
static bool is_assigned(struct manager *m, const struct vf *vf, const struct vf_release_params *p)
{
	bool half = side_of_mode(p->mode) != BOTH_SIDES && lease_has_side(vf, BOTH_SIDES);

	return !half && !(p->force && power_off_may_take(vf)) && fixed_gives_again(m, vf);
}

/* In words, what of the policy's the VM keeps, or gets again; NULL = nothing.  Returns new. */
static char *assigned_text(struct manager *m, const struct release *r, const struct vf *kept)
{
	if (kept)
		return xasprintf("%s stays: it is VM %s's by the policy (%s)", kept->name, strempty(kept->lease.vm_name),
				 strempty(fixed_gives_again(m, kept)));
	for (size_t i = 0; i < r->n; i++) {
		const char *by = fixed_gives_again(m, r->vfs[i]);

		if (by && r->force)
			return xasprintf("VM %s is given one again by the policy (%s): %s was its by that",
					 strempty(r->vfs[i]->lease.vm_name), by, r->vfs[i]->name);
	}
	return NULL;
}

/* What the next daemon needs to go on.  Returns new. */
static json_t *input_of(struct manager *m, const struct release *r, const struct vf *kept)
{
	_cleanup_free_ char *note = assigned_text(m, r, kept);
	json_t *names = json_array(), *input = json_pack("{s:o}", "vfs", names);

	for (size_t i = 0; i < r->n; i++)
		json_array_append_new(names, json_string(r->vfs[i]->name));
	if (r->side != BOTH_SIDES)
		json_put_string(input, "side", lease_side_to_string(r->side));
	if (note)
		json_put_string(input, "note", note);
	return input;
}

/* The VFs that the call means: one by name, or those of a VM.  Refuses by itself; 0 found is no refusal. */
static int collect(struct manager *m, const struct vf_release_params *p, struct release *r,
		   const struct vf **ret_kept, struct rpc_error *error)
{
	struct vm *vm = p->vm ? vm_find(m, p->vm) : NULL;
	struct vf *only = p->vf ? vf_find(m, p->vf) : NULL;
	struct gpu *gpu, *tmp;
	size_t all = 0, kept = 0;

	if (p->vm && !vm && gpu_find(m, p->vm)) {
		(void)pf_refuse_name(m, p->vm, error);
		return rpc_error_detail(error, NULL, "vm", "name one of its VFs (gpuvf list vfs), or the VM that has it");
	}
	if (p->vm && !vm) {
		rpc_error_set(error, RPC_NOT_FOUND, "no VM \"%s\"", p->vm);
		return rpc_error_detail(error, "no_vm", "vm", "see `gpuvf list vms`");
	}
	if (p->vf && !only)
		return pf_refuse_name(m, p->vf, error);
	HASH_ITER(hh, m->gpus, gpu, tmp)
		all += gpu->n_vfs;
	r->side = side_of_mode(p->mode);
	r->vfs = calloc(all + 1, sizeof(*r->vfs));
	r->kept = json_array();
	if (!r->vfs || !r->kept)
		return rpc_error_set(error, RPC_INTERNAL_ERROR, "out of memory");
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++) {
			struct vf *vf = gpu->vfs[i];

			if (vf->lease.owner == LEASE_NONE || (only && only != vf) ||
			    (vm && !streq(vf->lease.vm_uuid, vm->uuid)))
				continue;
			if (r->side != BOTH_SIDES && !lease_has_side(vf, r->side) && settled(vf)) {
				add_kept(r->kept, vf);
				continue; /* not there: nothing to do */
			}
			if (releasable(m, vf, p, error) < 0)
				return -ECANCELED;
			if (is_assigned(m, vf, p)) {
				kept++;
				*ret_kept = vf;
				add_kept(r->kept, vf);
			} else {
				r->vfs[r->n++] = vf;
			}
		}
	if (r->n == 0 && kept > 0)
		return refuse_assigned(m, *ret_kept, error);
	if (r->n + kept > 1 && !p->all) {
		rpc_error_set(error, RPC_CONFLICT, "VM %s holds %zu VFs", p->vm, r->n + kept);
		return rpc_error_detail(error, "several", "vm", "name the VF, or say --all");
	}
	return 0;
}

/* What is not there is not waited for any more, and leaves the stored definition that names it.  True: that was all. */
static bool release_lost(struct manager *m, const struct vf_release_params *p, size_t present, struct reply *reply)
{
	json_t *names = side_of_mode(p->mode) == LIVE_SIDE ? NULL
							   : lost_forget(m, p->vm ? vm_find(m, p->vm) : NULL, p->vf);

	if (names && present == 0) {
		json_t *kept = json_array(), *name;
		size_t i;

		json_array_foreach(names, i, name)
			add_gone(kept, json_string_value(name), p->vm);
		outbox_reply(m, reply, answer(NULL, true, names, kept));
		return true;
	}
	json_decref(names);
	return false;
}

void manager_vf_release(struct manager *m, const struct caller *caller,
			const struct vf_release_params *p, struct reply *reply)
{
	struct rpc_error error = { 0 };
	const struct vf *kept = NULL;
	struct release *r;

	if (manager_refuses_changes(m, reply))
		return;
	if (!p->vf == !p->vm) {
		rpc_error_set(&error, RPC_INVALID_PARAMS, "give either vf or vm");
		rpc_error_detail(&error, NULL, p->vf ? "vm" : "vf", NULL);
		reply_error_done(reply, &error);
		return;
	}
	if (p->yes_power_off && !p->force) {
		rpc_error_set(&error, RPC_INVALID_PARAMS, "yes_power_off says yes to what force breaks");
		rpc_error_detail(&error, NULL, "yes_power_off", "leave it out, or add force");
		reply_error_done(reply, &error);
		return;
	}
	if (refuse_without_libvirt(m, &error) < 0) {
		reply_error_done(reply, &error);
		return;
	}
	if (p->vf && !vf_find(m, p->vf) && release_lost(m, p, 0, reply))
		return;
	r = calloc(1, sizeof(*r));
	if (!r || collect(m, p, r, &kept, &error) < 0 ||
	    (p->force && r->n > 0 && power_off_check(m, r->vfs[0], p, &error) < 0)) {
		reply_error_done(reply, &error);
		if (r)
			release_free(r);
		return;
	}
	if (p->vm && release_lost(m, p, r->n, reply)) {
		release_free(r);
		return;
	}
	if (r->n == 0) {
		outbox_reply(m, reply, answer(NULL, false, NULL, TAKE_PTR(r->kept)));
		release_free(r);
		return;
	}
	r->left = r->n;
	r->names = json_array();
	r->force = p->force;
	r->op = operation_new(m, "vf.release", p->vf ? r->vfs[0]->name : p->vm, caller->uid, input_of(m, r, kept));
	if (r->force) {
		power_off_note(m, r->op, r->vfs[0]);
		operation_store(m, r->op);
	}
	outbox_add(m, release_committed, release_not_committed, r);
	operation_reply(m, r->op, p->wait_usec, reply);
}

/* ---- after a restart: what was accepted goes on ---- */

void release_resume(struct manager *m, struct operation *op)
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
	r->side = operation_side(op);
	r->names = json_array();
	r->kept = json_array();
	json_array_foreach(names, i, name) {
		struct vf *vf = vf_find(m, json_string_value(name));

		/* One that is free by now was released before the restart, or by the gate since. */
		if (vf && (vf->lease.owner == LEASE_NONE || vf->handover))
			vf = NULL;
		if (vf)
			json_array_append_new(left, json_string(vf->name));
	}
	operation_set_input_vfs(op, left);
	r->n = r->left = json_array_size(left);
	if (r->n > 0) {
		release_committed(m, r);
		return;
	}
	operation_done(m, op, answer(op, true, TAKE_PTR(names), NULL));
	release_free(r);
}
