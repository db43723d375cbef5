/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases of VFs that another VM took by hand while their own VM is off and names them still in its stored definition.
 * The lease waits in the VF (vf->displaced, a row as of manager-lost.c) and in its row of the store.  When the VF is free
 * again the VM has it under the same lease, with its end; when that comes before, or the VM is not to have it any more,
 * it is taken out of the definition, which is the end of it.  So it is when somebody else takes it out there. */
#include "manager-state.h"

static char *alias_of(const struct vf *vf)
{
	struct vf its = { .gpu = vf->gpu, .index = vf->index, .lease.epoch = json_get_uint(vf->displaced, "epoch", 0) };

	return vf_alias(&its);
}

static struct vm *vm_of(struct manager *m, const struct vf *vf)
{
	return vm_find_uuid(m, json_get_string(vf->displaced, "vm_uuid"));
}

/* What its VM's stored definition has of it, as the lease wrote it; NULL = nothing. */
static const struct domain_hostdev *stored(struct manager *m, const struct vf *vf)
{
	_cleanup_free_ char *alias = alias_of(vf);
	const struct vm *vm = vm_of(m, vf);
	const struct domain_hostdev *dev = vm && alias ? vm_stored_alias(vm, alias) : NULL;

	return dev && pci_address_equal(&dev->address, &vf->address) ? dev : NULL;
}

static bool is_over(const json_t *row)
{
	uint64_t expires = expiry_from_row(json_object_get(row, "expires"));

	return json_get_bool(row, "over", false) || (expires > 0 && expires <= now_boottime());
}

void displaced_keep(struct vf *vf)
{
	/* One that its definition is yet to follow has no entry at its address by which it would be known. */
	json_t *row = vf->lease.instead ? NULL : lost_row(vf);

	if (!row)
		return;
	log_vf(vf->name, LOG_NOTICE, 0, "the lease of VM %s waits until it is free again", strempty(vf->lease.vm_name));
	json_decref(vf->displaced);
	vf->displaced = row;
}

json_t *displaced_take(struct vf *vf)
{
	return TAKE_PTR(vf->displaced);
}

bool displaced_is_of(const struct vf *vf, const struct vm *vm)
{
	return vf->displaced && streq_ptr(json_get_string(vf->displaced, "vm_uuid"), vm->uuid);
}

bool displaced_returns(struct manager *m, struct vf *vf)
{
	const struct domain_hostdev *dev = vf->displaced ? stored(m, vf) : NULL;
	_cleanup_json_ json_t *row = NULL;

	if (!dev)
		return false;
	row = displaced_take(vf);
	vf_lease_again(m, vf, vm_find_uuid(m, json_get_string(row, "vm_uuid")), row, dev->live);
	if (is_over(row))
		lease_set_end(&vf->lease, 1); /* it is taken back at once */
	log_vf(vf->name, LOG_NOTICE, 0, "it is VM %s's again, as before", strempty(vf->lease.vm_name));
	vf_set_state(m, vf, dev->live ? VF_ATTACHED : VF_RESERVED, NULL);
	return true;
}

/* ---- it is not to have it any more ---- */

static void forget_committed(struct manager *m, void *userdata)
{
	free(userdata);
	manager_pump(m);
}

static void forget_not_committed(struct manager *m, void *userdata)
{
	_cleanup_free_ char *name = userdata;
	struct vf *vf = vf_find(m, name);

	if (vf && vf->displaced)
		json_object_del(vf->displaced, "over");
}

static void forget(struct manager *m, struct vf *vf)
{
	audit_displaced_over(m, vf);
	json_put_bool(vf->displaced, "over", true);
	vf_store(m, vf);
	outbox_add(m, forget_committed, forget_not_committed, strdup(vf->name));
}

json_t *waiting_leases(struct manager *m, const struct vm *vm, const char *only)
{
	json_t *leases = lost_leases(m, vm, only);
	struct gpu *gpu, *tmp;

	/* Who names the VF means the lease of whoever has it. */
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs && vm && !only; i++) {
			const struct vf *vf = gpu->vfs[i];

			if (!displaced_is_of(vf, vm) || json_get_bool(vf->displaced, "over", false))
				continue;
			if (!leases)
				leases = json_array();
			json_array_append_new(leases, json_pack("{s:s,s:s,s:s,s:I,s:b}", "vf", vf->name, "vm", vm->facts->name,
								"vm_uuid", vm->uuid, "epoch",
								(json_int_t)json_get_uint(vf->displaced, "epoch", 0),
								"displaced", 1));
		}
	return leases;
}

bool waiting_is_displaced(const json_t *lease)
{
	return json_get_bool(lease, "displaced", false);
}

void waiting_forget(struct manager *m, const json_t *lease)
{
	const char *name = json_get_string(lease, "vf");
	struct vf *vf = waiting_is_displaced(lease) ? vf_find(m, name) : NULL;

	if (vf && vf->displaced)
		forget(m, vf);
	else if (!waiting_is_displaced(lease))
		lost_forget(m, name);
}

/* ---- looking ---- */

uint64_t displaced_end(const struct vf *vf)
{
	uint64_t expires = vf->displaced ? expiry_from_row(json_object_get(vf->displaced, "expires")) : 0;

	return expires > now_boottime() ? expires : 0;
}

static void look(struct manager *m, struct vf *vf)
{
	struct vm *vm = vm_of(m, vf);
	const struct domain_hostdev *dev = stored(m, vf);

	if (vm && vm->facts->hostdevs_unknown)
		return;
	if (!dev) {
		if (!json_get_bool(vf->displaced, "over", false)) /* else it was told */
			audit_displaced_over(m, vf);
		log_vf(vf->name, LOG_NOTICE, 0, "VM %s does not name it any more: the lease that waited is over",
		       strempty(json_get_string(vf->displaced, "vm_name")));
		json_decref(displaced_take(vf));
		vf_store(m, vf);
		return;
	}
	if (is_over(vf->displaced) && !dev->live && follow_may(vm))
		vm_take_out(m, vm, dev, &vm->follow);
}

void displaced_pump(struct manager *m)
{
	const char *scope;
	struct gpu *gpu, *tmp;

	if (m->degraded || !m->hypervisor_connected || m->recovering || m->sleeping || !m->ready)
		return;
	scope = audit_scope(m, "daemon:follow");
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (gpu->vfs[i]->displaced && !gpu->vfs[i]->handover)
				look(m, gpu->vfs[i]);
	(void)audit_scope(m, scope);
}
