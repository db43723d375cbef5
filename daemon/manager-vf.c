/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VFs and their leases: one holder each, a row in the store, one setter of the state. */
#include "manager-state.h"

/* From the lease to a holder that has the VF: longer than all steps of an attach may take. */
#define CONFIRM_USEC (10 * 60 * USEC_PER_SEC)

const char *const lease_owner_names[LEASE_OWNER_MAX] = {
	[LEASE_NONE] = "none",
	[LEASE_VM] = "vm",
	[LEASE_JOB] = "job",
	[LEASE_KEPT] = "kept",
	[LEASE_POLICY] = "policy",
	[LEASE_FOREIGN] = "foreign",
};
DEFINE_ENUM_TABLE(lease_owner, enum lease_owner, LEASE_OWNER_MAX);

struct vf *vf_find_address(struct manager *m, const struct pci_address *address)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (pci_address_equal(&gpu->vfs[i]->address, address))
				return gpu->vfs[i];
	return NULL;
}

struct vf *vf_find(struct manager *m, const char *name)
{
	struct pci_address address;
	struct gpu *gpu, *tmp;

	if (!name)
		return NULL;
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (streq(gpu->vfs[i]->name, name))
				return gpu->vfs[i];
	return pci_address_parse(name, &address) == 0 ? vf_find_address(m, &address) : NULL;
}

const struct vf_facts *vf_facts_of(const struct vf *vf)
{
	const struct gpu_facts *facts = vf->gpu ? vf->gpu->facts : NULL;

	return facts && vf->index <= facts->n_vfs ? &facts->vfs[vf->index - 1] : NULL;
}

bool vf_fits(const struct vf *vf, const char *profile, uint64_t vram_bytes)
{
	const struct vf_facts *facts = vf_facts_of(vf);

	if (profile && !streq_ptr(vf->profile, profile))
		return false;
	return vram_bytes == 0 ||
	       (facts && facts->values[VF_ATTR_VRAM].known &&
		facts->values[VF_ATTR_VRAM].value >= vram_bytes);
}

struct job *lease_job(struct manager *m, const struct lease *lease)
{
	char id[24];

	if (lease->owner != LEASE_JOB)
		return NULL;
	snprintf(id, sizeof(id), "%llu", (unsigned long long)lease->job);
	return job_find(m, id);
}

struct job *vf_job(struct manager *m, const struct vf *vf)
{
	struct job *job, *tmp;

	HASH_ITER(hh, m->jobs, job, tmp)
		if (job->state >= JOB_STARTING && job->state < JOB_ENDED && streq_ptr(job->vf_name, vf->name))
			return job;
	return NULL;
}

/* ---- rows ---- */

char *vf_row_id(const struct gpu *gpu, unsigned index)
{
	return xasprintf("%s/%u", PCI_ADDRESS_STR(&gpu->address), index);
}

static json_t *weighted_row(const struct vf_weighted *w)
{
	json_t *row = json_pack("{s:I}", "value", (json_int_t)w->value);

	json_put_uint_known(row, "before", w->before.known, w->before.value);
	return row;
}

static void weighted_from_row(struct vf_weighted *w, const json_t *row)
{
	const json_t *before = json_object_get(row, "before");

	w->on = json_is_object(row);
	w->value = json_get_uint(row, "value", 0);
	w->before = (struct known){ json_is_integer(before), json_get_uint(row, "before", 0) };
}

/* It is written six times for a VF that is given and taken back: what is not so is left out. */
json_t *vf_row(const struct vf *vf)
{
	const struct lease *lease = &vf->lease;
	json_t *doc = json_pack("{s:s,s:s,s:I,s:s,s:s?,s:I,s:I}", "state", vf_state_to_string(vf->state), "owner",
				lease_owner_to_string(lease->owner), "epoch", (json_int_t)lease->epoch, "vm_uuid",
				lease->vm_uuid, "vm_name", lease->vm_name, "uid", (json_int_t)lease->uid, "since",
				(json_int_t)lease->since);

	if (vf->gpu->serial)
		json_put_string(doc, "serial", vf->gpu->serial);
	if (lease->job)
		json_put_uint(doc, "job", lease->job);
	if (lease->live)
		json_put_bool(doc, "live", true);
	if (lease->config)
		json_put_bool(doc, "config", true);
	if (lease->adopted)
		json_put_bool(doc, "adopted", true);
	if (lease->chosen)
		json_put_bool(doc, "chosen", true);
	if (lease->vram)
		json_put_uint(doc, "vram", lease->vram);
	if (lease->instead)
		json_put_string(doc, "instead", lease->instead);
	if (lease->confirm_by)
		json_put(doc, "confirm_by", expiry_row(lease->confirm_by));
	if (lease->domain_id >= 0)
		json_put(doc, "domain_id", json_integer(lease->domain_id));
	if (lease->expires)
		json_put(doc, "expires", lease_end_row(lease));
	if (vf_is_in_process(vf))
		json_put(doc, "process", process_view(vf));
	if (vf->reason)
		json_put_string(doc, "reason", vf->reason);
	if (vf->kept)
		json_put_string(doc, "kept", vf->kept);
	if (vf->profile)
		json_put_string(doc, "profile", vf->profile);
	if (vf->weighted.on)
		json_put(doc, "weighted", weighted_row(&vf->weighted));
	if (vf->last_user.known)
		json_put_uint(doc, "last_uid", vf->last_user.value);
	if (vf->last_user.known && vf->last_vm[0])
		json_put_string(doc, "last_vm", vf->last_vm);
	if (vf->vram_taken.known)
		json_put_uint(doc, "vram_taken", vf->vram_taken.value);
	if (vf->scrubbed_at)
		json_put_uint(doc, "scrubbed_at", vf->scrubbed_at);
	if (vf->displaced)
		json_put(doc, "displaced", json_deep_copy(vf->displaced));
	return doc;
}

void vf_row_off(json_t *row)
{
	static const char *const of_a_run[] = { "live",	    "domain_id", "confirm_by", "reason", "kept",
						"last_uid", "last_vm",	 "vram_taken", "scrubbed_at" };

	json_put_string(row, "state", vf_state_to_string(VF_RESERVED));
	for (size_t i = 0; i < ARRAY_SIZE(of_a_run); i++)
		json_object_del(row, of_a_run[i]);
}

void vf_store(struct manager *m, struct vf *vf)
{
	_cleanup_free_ char *id = vf->gpu ? vf_row_id(vf->gpu, vf->index) : NULL;

	if (!id)
		return;
	audit_vf(m, vf);
	if (vf->lease.owner == LEASE_NONE && vf->state != VF_QUARANTINED && !vf->profile && !vf->weighted.on &&
	    !vf->last_user.known && !vf->vram_taken.known && !vf->scrubbed_at && !vf->displaced) {
		outbox_delete(m, STORE_LEASE, id);
		return;
	}
	outbox_put(m, STORE_LEASE, id, vf_row(vf));
}

int vf_lease_from_row(struct manager *m, struct vf *vf, const json_t *row)
{
	int state = vf_state_from_string(strempty(json_get_string(row, "state")));
	int owner = lease_owner_from_string(strempty(json_get_string(row, "owner")));

	if (state < 0 || owner < 0)
		return -EINVAL;
	vf->state = (enum vf_state)state;
	vf->lease.owner = (enum lease_owner)owner;
	vf->lease.epoch = json_get_uint(row, "epoch", 0);
	vf->lease.job = json_get_uint(row, "job", 0);
	snprintf(vf->lease.vm_uuid, sizeof(vf->lease.vm_uuid), "%s",
		 strempty(json_get_string(row, "vm_uuid")));
	vf->lease.live = json_get_bool(row, "live", false);
	vf->lease.config = json_get_bool(row, "config", false);
	vf->lease.adopted = json_get_bool(row, "adopted", false);
	vf->lease.chosen = json_get_bool(row, "chosen", false);
	vf->lease.vram = json_get_uint(row, "vram", 0);
	vf->lease.uid = (uid_t)json_get_uint(row, "uid", 0);
	vf->lease.since = json_get_uint(row, "since", 0);
	vf->lease.confirm_by = expiry_from_row(json_object_get(row, "confirm_by"));
	vf->lease.domain_id = json_is_integer(json_object_get(row, "domain_id"))
				      ? (int)json_integer_value(json_object_get(row, "domain_id"))
				      : -1;
	lease_end_from_row(&vf->lease, json_object_get(row, "expires"));
	vf->last_user = (struct known){ json_is_integer(json_object_get(row, "last_uid")),
					json_get_uint(row, "last_uid", 0) };
	snprintf(vf->last_vm, sizeof(vf->last_vm), "%s", strempty(json_get_string(row, "last_vm")));
	vf->vram_taken = (struct known){ json_is_integer(json_object_get(row, "vram_taken")),
					 json_get_uint(row, "vram_taken", 0) };
	vf->scrubbed_at = json_get_uint(row, "scrubbed_at", 0);
	json_decref(vf->displaced);
	vf->displaced = json_is_object(json_object_get(row, "displaced")) ? json_deep_copy(json_object_get(row, "displaced")) : NULL;
	process_from_row(vf, json_object_get(row, "process"));
	weighted_from_row(&vf->weighted, json_object_get(row, "weighted"));
	if (vf->state == VF_GONE)
		vf->state = VF_FREE;
	if (free_and_strdup(&vf->lease.vm_name, json_get_string(row, "vm_name")) < 0 ||
	    free_and_strdup(&vf->lease.instead, json_get_string(row, "instead")) < 0 ||
	    free_and_strdup(&vf->reason, json_get_string(row, "reason")) < 0 ||
	    free_and_strdup(&vf->kept, json_get_string(row, "kept")) < 0 ||
	    free_and_strdup(&vf->profile, json_get_string(row, "profile")) < 0)
		return -ENOMEM;
	audit_vf_known(vf);
	return 0;
}

void vf_free(struct vf *vf)
{
	if (!vf)
		return;
	free(vf->name);
	free(vf->reason);
	free(vf->kept);
	free(vf->profile);
	free(vf->lease.vm_name);
	free(vf->lease.instead);
	process_forget(vf);
	bind_forget(vf);
	json_decref(vf->displaced);
	json_decref(vf->audited);
	free(vf);
}

/* ---- changes ---- */

/* Until its holder shows, a lease is for a while only; then it is tied to it. */
static void tie_lease(struct manager *m, struct vf *vf)
{
	const struct vm *vm = vm_find_uuid(m, vf->lease.vm_uuid);

	if (vf->state == VF_ATTACHED || vf->state == VF_RESERVED || vf->state == VF_HELD)
		vf->lease.confirm_by = 0;
	if (vf->state != VF_DETACHING)
		vf->lease.domain_id = vf->state == VF_ATTACHED && vm ? vm->facts->id : -1;
}

static bool change_state(struct manager *m, struct vf *vf, enum vf_state state, const char *reason)
{
	enum vf_state old = vf->state;

	(void)free_and_strdup(&vf->reason, reason);
	if (old == state)
		return false;
	if (!state_edge_cause(vf_edges, (int)old, (int)state)) {
		log_vf(vf->name, LOG_ERR, 0, "no edge %s → %s in the table of states: quarantined",
		       vf_state_to_string(old), vf_state_to_string(state));
		(void)free_and_strdup(&vf->reason, "an unexpected change of state");
		state = VF_QUARANTINED;
	}
	vf->state = state;
	(void)free_and_strdup(&vf->kept, NULL);
	tie_lease(m, vf);
	vf_note_user(vf);
	if (old == VF_ATTACHED)
		vm_has_fewer_vfs(m, vf->lease.vm_uuid);
	log_vf(vf->name, state == VF_QUARANTINED ? LOG_WARNING : LOG_INFO, 0, "%s → %s%s%s",
	       vf_state_to_string(old), vf_state_to_string(state), vf->reason ? ": " : "",
	       strempty(vf->reason));
	manager_emit(m, "vf.changed", vf->name,
		     json_pack("{s:s,s:s?,s:s?}", "state", vf_state_to_string(state), "vm",
			       vf->lease.vm_name, "reason", vf->reason));
	return true;
}

void vf_set_state(struct manager *m, struct vf *vf, enum vf_state state, const char *reason)
{
	if (change_state(m, vf, state, reason))
		vf_store(m, vf);
}

static void begin_lease(struct manager *m, struct vf *vf, enum lease_owner owner, const struct vm *vm, uint64_t epoch,
			uint64_t job, uid_t uid, bool live, bool config)
{
	process_forget(vf);
	vf->lease.owner = owner;
	vf->lease.epoch = epoch;
	vf->lease.job = job;
	vf->lease.uid = uid;
	vf->lease.live = live;
	vf->lease.config = config;
	vf->lease.adopted = vf->lease.chosen = false;
	vf->lease.vram = 0;
	(void)free_and_strdup(&vf->lease.instead, NULL);
	vf->lease.confirm_by = now_boottime() + CONFIRM_USEC;
	vf->lease.domain_id = -1;
	vf->lease.expires = vf->lease.expiry_retry_at = 0;
	vf->lease.expiry_failures = 0;
	vf->lease.since = now_realtime();
	vf->inherited = false; /* ours, whatever an earlier daemon's row said */
	snprintf(vf->lease.vm_uuid, sizeof(vf->lease.vm_uuid), "%s", vm->uuid);
	(void)free_and_strdup(&vf->lease.vm_name, vm->facts->name);
	manager_emit(m, "lease.changed", vf->name,
		     json_pack("{s:s,s:I,s:s}", "owner", lease_owner_to_string(owner), "epoch",
			       (json_int_t)vf->lease.epoch, "vm", vm->facts->name));
}

void vf_lease(struct manager *m, struct vf *vf, enum lease_owner owner, const struct vm *vm,
	      uint64_t job, uid_t uid, bool live, bool config)
{
	begin_lease(m, vf, owner, vm, m->next_epoch++, job, uid, live, config);
}

void vf_lease_again(struct manager *m, struct vf *vf, const struct vm *vm, const json_t *row, bool live)
{
	begin_lease(m, vf, LEASE_VM, vm, json_get_uint(row, "epoch", 0), 0, (uid_t)json_get_uint(row, "uid", 0), live, true);
	vf->lease.chosen = json_get_bool(row, "chosen", false);
	vf->lease.vram = json_get_uint(row, "vram", 0);
	vf->lease.since = json_get_uint(row, "since", 0);
	lease_end_from_row(&vf->lease, json_object_get(row, "expires"));
}

void vf_lease_pass(struct manager *m, struct vf *vf, enum lease_owner owner, uint64_t job)
{
	vf->lease.owner = owner;
	vf->lease.job = job;
	vf_note_user(vf);
	vf_store(m, vf);
	manager_emit(m, "lease.changed", vf->name,
		     json_pack("{s:s,s:I,s:s?}", "owner", lease_owner_to_string(owner), "epoch",
			       (json_int_t)vf->lease.epoch, "vm", vf->lease.vm_name));
}

static void end_lease(struct manager *m, struct vf *vf)
{
	vf->lease.owner = LEASE_NONE;
	vf->lease.job = 0;
	vf->lease.confirm_by = vf->lease.expires = 0;
	vf->lease.domain_id = -1;
	vf->lease.live = vf->lease.config = vf->lease.chosen = false;
	vf->lease.vram = 0;
	(void)free_and_strdup(&vf->lease.instead, NULL);
	vf->lease.vm_uuid[0] = '\0';
	free(vf->lease.vm_name);
	vf->lease.vm_name = NULL;
	process_forget(vf);
	manager_emit(m, "lease.changed", vf->name, json_pack("{s:s}", "owner", "none"));
}

void vf_lease_end(struct manager *m, struct vf *vf)
{
	if (vf->lease.owner == LEASE_NONE)
		return;
	end_lease(m, vf);
	vf_store(m, vf);
}

void vf_let_go(struct manager *m, struct vf *vf, enum vf_state state, const char *reason)
{
	(void)change_state(m, vf, state, reason);
	if (vf->lease.owner != LEASE_NONE)
		end_lease(m, vf);
	vf_store(m, vf);
}

char *vf_alias(const struct vf *vf)
{
	/* libvirt takes letters, digits, '-' and '_' only. */
	return xasprintf("%s%u-%u-e%llu",
			 vf->lease.owner == LEASE_POLICY ? ALIAS_POLICY_PREFIX : ALIAS_PREFIX, vf->gpu->number, vf->index,
			 (unsigned long long)vf->lease.epoch);
}

/* Between acceptance and commit the VF may vanish: an operation names it, nobody keeps a pointer. */
struct vf *operation_vf(struct manager *m, struct operation *op)
{
	struct vf *vf = vf_find(m, op->subject);
	struct rpc_error error = { 0 };

	if (vf && !vf->handover)
		return vf;
	rpc_error_set(&error, vf ? RPC_CONFLICT : RPC_NOT_FOUND, "%s is %s", strempty(op->subject),
		      vf ? "busy" : "gone from the host");
	operation_failed(m, op, &error);
	rpc_error_done(&error);
	return NULL;
}

/* ---- methods ---- */

static bool is_lease_of(const struct vf *vf, const char *vm)
{
	return streq_ptr(vm, vf->lease.vm_name) || streq(vm, vf->lease.vm_uuid);
}

/* Without libvirt's word nobody knows which VMs there are; one that is gone may have a lease still. */
static bool is_no_vm(struct manager *m, const char *name)
{
	struct gpu *gpu, *tmp;

	if (!m->hypervisor_connected || vm_find(m, name))
		return false;
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (is_lease_of(gpu->vfs[i], name))
				return false;
	return true;
}

void manager_vf_list(struct manager *m, const struct caller *caller,
		     const struct vf_list_params *p, struct reply *reply)
{
	json_t *items = json_array();
	struct gpu *only = p->gpu ? gpu_find(m, p->gpu) : NULL, *gpu, *tmp;

	if (p->gpu && !only) {
		json_decref(items);
		reply_refuse(reply, RPC_NOT_FOUND, "no GPU \"%s\" (see gpu.list)", p->gpu);
		return;
	}
	if (p->vm && is_no_vm(m, p->vm)) {
		json_decref(items);
		reply_refuse(reply, RPC_NOT_FOUND, "no VM \"%s\" (see vm.list)", p->vm);
		return;
	}
	processes_asked(m, only);
	survey_asked(m);
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs && (!only || only == gpu); i++) {
			struct vf *vf = gpu->vfs[i];

			if ((p->state >= 0 && p->state != (int)vf->state) ||
			    (p->profile && !streq_ptr(p->profile, vf->profile)) ||
			    (p->vm && !is_lease_of(vf, p->vm)))
				continue;
			json_array_append_new(items, vf_view(m, vf));
		}
	page_reply(m, reply, items, &p->page);
}

void manager_vf_get(struct manager *m, const struct caller *caller, const struct name_params *p,
		    struct reply *reply)
{
	struct vf *vf = vf_find(m, p->name);

	if (!vf)
		reply_refuse(reply, RPC_NOT_FOUND, "no VF \"%s\" (see vf.list)", p->name);
	else
		view_reply(m, reply, vf_view(m, vf));
	if (vf)
		processes_asked(m, vf->gpu);
	survey_asked(m);
}
