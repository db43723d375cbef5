/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vf.release: VFs back from their VMs, by hand; by force, too. */
#include "manager-release.h"

/* Of the operation, NULL: there was nothing to do.  Names and what is left of them are taken, NULL: nothing. */
static json_t *answer(const struct operation *op, bool changed, json_t *names, json_t *kept)
{
	json_t *json = json_pack("{s:b,s:o,s:o,s:n}", "changed", (int)changed, "released", names ? names : json_array(),
				 "left", kept ? kept : json_array(), "operation");

	if (op && json_get_string(op->input, "note"))
		json_put_string(json, "note", json_get_string(op->input, "note"));
	return json;
}

static void release_free(struct release *r)
{
	json_decref(r->lost);
	json_decref(r->kept);
	rpc_error_done(&r->error);
	free(r->vfs);
	free(r);
}

/* ---- which lease is meant ---- */

/* Rows of before 0.2.0 have names only: of the VM, if it was named, and nothing that was given after it was asked for. */
static bool is_meant_by_name(struct manager *m, const struct operation *op, const struct vf *vf)
{
	const struct vm *vm = vm_find(m, op->subject);

	if (vm && !streq(vf->lease.vm_uuid, vm->uuid))
		return false;
	return vf->lease.since <= op->created_at || (vm && vf->lease.owner == LEASE_FOREIGN);
}

/* The VF is held by whom the caller meant.  What somebody put back into that VM by hand has another epoch, and is meant
 * as well, unless the caller named the epoch. */
static bool is_meant(struct manager *m, const struct operation *op, const struct vf *vf)
{
	const json_t *leases = json_object_get(op->input, "leases"), *lease = json_object_get(leases, vf->name);

	if (vf->lease.owner == LEASE_NONE)
		return false;
	if (!leases)
		return is_meant_by_name(m, op, vf);
	if (!streq(vf->lease.vm_uuid, strempty(json_get_string(lease, "vm"))))
		return false;
	if (vf->lease.epoch == json_get_uint(lease, "epoch", 0))
		return true;
	return (vf->lease.owner == LEASE_FOREIGN || vf->lease.adopted) && !json_object_get(op->input, "if_epoch");
}

static void mean(json_t *input, const char *vf, const char *vm_uuid, uint64_t epoch)
{
	json_object_set_new(json_object_get(input, "leases"), vf,
			    json_pack("{s:s,s:I}", "vm", vm_uuid, "epoch", (json_int_t)epoch));
}

/* ---- one is over ---- */

/* It is nobody's of this release any more: who has it from now on is not named in its place. */
static void move_to_released(struct operation *op, const char *name)
{
	_cleanup_json_ json_t *left = json_array();
	json_t *one;
	size_t i;

	json_array_append_new(json_object_get(op->input, "released"), json_string(name));
	json_array_foreach(json_object_get(op->input, "vfs"), i, one)
		if (!streq_ptr(json_string_value(one), name))
			json_array_append(left, one);
	operation_set_input_vfs(op, left);
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
		move_to_released(r->op, name);
	}
	if (--r->left > 0) {
		if (!error)
			operation_store(m, r->op); /* with the VF that came back */
		return;
	}
	if (r->error.code)
		operation_failed(m, r->op, &r->error);
	else
		operation_done(m, r->op, answer(r->op, true, json_copy(json_object_get(r->op->input, "released")),
						TAKE_PTR(r->kept)));
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
		release_add_kept(r->kept, vf, !is_meant(m, r->op, vf));
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

/* It vanished meanwhile, and its VM's stored definition names it still: the VM is not to have it when it comes back. */
static void forget_if_meant(struct manager *m, const struct release *r, const char *name)
{
	_cleanup_json_ json_t *lost = r->side == LIVE_SIDE ? NULL : lost_leases(m, NULL, name);
	const json_t *lease = json_object_get(json_object_get(r->op->input, "leases"), name), *one = json_array_get(lost, 0);

	if (lease && one && streq_ptr(json_get_string(one, "vm_uuid"), json_get_string(lease, "vm")) &&
	    json_get_uint(one, "epoch", 0) == json_get_uint(lease, "epoch", 0))
		lost_forget(m, name);
}

/* It is not held under the lease that was meant: it came back by itself, or before a restart. */
static void over_already(struct manager *m, struct release *r, const char *name, const struct vf *vf)
{
	if (!vf) {
		release_add_gone(r->kept, name, NULL, false);
		forget_if_meant(m, r, name);
	} else if (!is_meant(m, r->op, vf)) {
		release_add_kept(r->kept, vf, true);
	}
	released_name(m, name, r, NULL);
}

/* power_off: whether the VM is to be powered off for it, if it is not off yet.  The last answer frees r. */
static void release_one(struct manager *m, struct release *r, const char *name, bool *power_off)
{
	struct vf *vf = vf_find(m, name);
	struct rpc_error error = { 0 };

	if (!vf || !is_meant(m, r->op, vf)) {
		over_already(m, r, name, vf);
		return;
	}
	if (vf->state == VF_RESETTING && !vf->handover) {
		/* Out of the guest already: an earlier daemon ended here. */
		handover_reset(m, vf, released, r);
		return;
	}
	/* After a restart, one that is under way is brought back by the gate since. */
	if (r->resumed && handover_join(vf, released, r))
		return;
	if (r->force && release_by_force(m, vf, power_off, r))
		return;
	if (!r->force && release_is_used(m, vf, r->side)) /* placed there since */
		release_refuse_job(m, vf, vf, r->side, &error);
	else if (!release_is_settled(vf))
		release_refuse_busy(vf, &error);
	if (error.code)
		released(m, vf, r, &error);
	else
		take_back(m, vf, r);
	rpc_error_done(&error);
}

static void release_committed(struct manager *m, void *userdata)
{
	struct release *r = userdata;
	_cleanup_acting_ struct audit_acting acting = audit_acts(m, r->op);
	/* The operation's own list gets shorter meanwhile. */
	_cleanup_json_ json_t *names = json_copy(json_object_get(r->op->input, "vfs"));
	bool power_off = r->force;
	json_t *name;
	size_t i;

	operation_begin(m, r->op);
	json_array_foreach(names, i, name)
		release_one(m, r, json_string_value(name), &power_off);
}

static void release_not_committed(struct manager *m, void *userdata)
{
	struct release *r = userdata;

	operation_drop(m, r->op);
	release_free(r);
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
static json_t *input_of(struct manager *m, const struct vf_release_params *p, const struct release *r, const struct vf *kept)
{
	_cleanup_free_ char *note = assigned_text(m, r, kept);
	json_t *names = json_array();
	json_t *input = json_pack("{s:o,s:[],s:{}}", "vfs", names, "released", "leases");

	for (size_t i = 0; i < r->n; i++) {
		json_array_append_new(names, json_string(r->vfs[i]->name));
		mean(input, r->vfs[i]->name, r->vfs[i]->lease.vm_uuid, r->vfs[i]->lease.epoch);
	}
	if (p->if_epoch.known)
		json_put_uint(input, "if_epoch", p->if_epoch.value);
	if (r->side != BOTH_SIDES)
		json_put_string(input, "side", lease_side_to_string(r->side));
	if (note)
		json_put_string(input, "note", note);
	return input;
}

/* What is not there is not waited for any more, and leaves the stored definition that names it.  Returns the names; new. */
static json_t *release_lost(struct manager *m, struct release *r)
{
	json_t *names = json_array(), *one;
	size_t i;

	json_array_foreach(r->lost, i, one) {
		const char *name = json_get_string(one, "vf");

		waiting_forget(m, one);
		json_array_append_new(names, json_string(name));
		if (waiting_is_displaced(one))
			release_add_kept(r->kept, vf_find(m, name), true); /* another VM has it */
		else
			release_add_gone(r->kept, name, json_get_string(one, "vm"), false);
	}
	return names;
}

/* Nothing of it is there: that is done with the call. */
static void reply_lost(struct manager *m, struct release *r, const struct vf *kept, struct reply *reply)
{
	json_t *names = release_lost(m, r);
	_cleanup_free_ char *note = assigned_text(m, r, kept);
	json_t *json = answer(NULL, json_array_size(names) > 0, names, TAKE_PTR(r->kept));

	if (note)
		json_put_string(json, "note", note);
	outbox_reply(m, reply, json);
}

static void begin(struct manager *m, const struct caller *caller, const struct vf_release_params *p, struct release *r,
		  const struct vf *kept, struct reply *reply)
{
	json_t *input, *one;
	size_t i;

	r->force = p->force;
	input = input_of(m, p, r, kept);
	json_array_foreach(r->lost, i, one)
		mean(input, json_get_string(one, "vf"), json_get_string(one, "vm_uuid"), json_get_uint(one, "epoch", 0));
	json_object_set_new(input, "released", release_lost(m, r));
	r->left = r->n;
	r->op = operation_new(m, "vf.release", p->vf ? r->vfs[0]->name : p->vm, caller->uid, input);
	if (r->force) {
		power_off_note(m, r->op, r->vfs[0]);
		operation_store(m, r->op);
	}
	outbox_add(m, release_committed, release_not_committed, r);
	operation_reply(m, r->op, p->wait_usec, reply);
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
	r = calloc(1, sizeof(*r));
	if (!r || release_collect(m, p, r, &kept, &error) < 0 ||
	    (p->force && r->n > 0 && power_off_check(m, r->vfs[0], p, &error) < 0)) {
		reply_error_done(reply, &error);
		if (r)
			release_free(r);
		return;
	}
	if (r->n > 0) {
		begin(m, caller, p, r, kept, reply);
		return;
	}
	reply_lost(m, r, kept, reply);
	release_free(r);
}

/* ---- after a restart: what was accepted goes on ---- */

/* What there is to say of those that were over before it, as it is now. */
static void note_released(struct manager *m, const struct operation *op, json_t *kept)
{
	json_t *name;
	size_t i;

	json_array_foreach(json_object_get(op->input, "released"), i, name) {
		const json_t *lease = json_object_get(json_object_get(op->input, "leases"), json_string_value(name));
		const struct vm *vm = vm_find_uuid(m, json_get_string(lease, "vm"));
		const struct vf *vf = vf_find(m, json_string_value(name));

		if (vf)
			release_add_kept(kept, vf, !is_meant(m, op, vf));
		else
			release_add_gone(kept, json_string_value(name), vm ? vm->facts->name : NULL, false);
	}
}

void release_resume(struct manager *m, struct operation *op)
{
	struct release *r = calloc(1, sizeof(*r));

	if (!r)
		return;
	r->op = op;
	r->resumed = true;
	r->force = json_object_get(op->input, "power_off") != NULL;
	r->side = operation_side(op);
	r->kept = json_array();
	if (!json_object_get(op->input, "released")) /* a row of before 0.2.0 */
		json_object_set_new(op->input, "released", json_array());
	note_released(m, op, r->kept);
	r->n = r->left = json_array_size(json_object_get(op->input, "vfs"));
	if (r->n > 0) {
		release_committed(m, r);
		return;
	}
	operation_done(m, op, answer(op, true, json_copy(json_object_get(op->input, "released")), TAKE_PTR(r->kept)));
	release_free(r);
}
