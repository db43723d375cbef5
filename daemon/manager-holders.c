/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who holds VFs of a GPU, in the words of refusals, plans and drains.  Knows leases only: processes of the host
 * are found by the helper (host/holders.c) and have a lease once they were seen (manager-process.c). */
#include "manager-state.h"

/* NULL = nobody holds it.  Returns new. */
static char *holder_text(struct manager *m, const struct vf *vf)
{
	const struct job *job = lease_job(m, &vf->lease);
	const char *vm = strempty(vf->lease.vm_name);

	if (vf->lease.owner == LEASE_NONE)
		return NULL;
	if (vf->lease.owner == LEASE_JOB) {
		_cleanup_free_ char *user = job ? user_text(job->uid) : NULL;

		return xasprintf("%s: %s %llu of %s in VM %s", vf->name, job_word(job), (unsigned long long)vf->lease.job,
				 user ? user : "somebody", vm);
	}
	if (vf_is_in_process(vf)) {
		_cleanup_free_ char *process = process_text(vf);

		return xasprintf("%s: %s", vf->name, strempty(process));
	}
	if (vf->state == VF_RESERVED)
		return xasprintf("%s: VM %s (reserved: it is off and its stored definition names the VF; gpuvf "
				 "release %s --config)",
				 vf->name, vm, vm);
	return xasprintf("%s: VM %s (%s)", vf->name, vm, vf_state_to_string(vf->state));
}

json_t *vf_holders(struct manager *m, const struct vf *vf)
{
	_cleanup_free_ char *text = holder_text(m, vf);

	return text ? json_pack("[s]", text) : NULL;
}

static void add(json_t **holders, const char *text)
{
	if (!text)
		return;
	if (!*holders)
		*holders = json_array();
	json_array_append_new(*holders, json_string(text));
}

/* VMs that would not start without it, while another has it. */
static void add_others(struct manager *m, json_t **holders, const struct vf *vf)
{
	struct vm *vm, *tmp;

	HASH_ITER(hh, m->vms, vm, tmp) {
		_cleanup_free_ char *text = NULL;

		if (streq(vf->lease.vm_uuid, vm->uuid) || !vm_names_vf(m, vm, vf))
			continue;
		text = xasprintf("%s: VM %s (its stored definition names the VF, too; %s %s takes it out)", vf->name,
				 vm->facts->name, displaced_is_of(vf, vm) ? "gpuvf release" : "virsh edit", vm->facts->name);
		add(holders, text);
	}
}

json_t *gpu_holders(struct manager *m, const struct gpu *gpu)
{
	json_t *holders = NULL;

	for (size_t i = 0; i < gpu->n_vfs; i++) {
		_cleanup_free_ char *text = holder_text(m, gpu->vfs[i]);

		add(&holders, text);
		add_others(m, &holders, gpu->vfs[i]);
	}
	return holders;
}

json_t *gpu_leases(struct manager *m, const struct gpu *gpu)
{
	json_t *leases = json_object();

	for (size_t i = 0; i < gpu->n_vfs; i++) {
		const struct vf *vf = gpu->vfs[i];
		_cleanup_free_ char *text = holder_text(m, vf);
		_cleanup_free_ char *key =
			xasprintf("%s#%llu", vf->name, (unsigned long long)vf->lease.epoch);

		if (text && key)
			json_object_set_new(leases, key, json_string(text));
	}
	return leases;
}
