/* SPDX-License-Identifier: GPL-2.0-or-later */
/* release --force: whose VM may be powered off, what that breaks, and whether it is still the same run of the VM.
 * The way of the VF itself is in manager-handover.c. */
#include "manager-state.h"

bool power_off_may_take(const struct vf *vf)
{
	return (vf->state == VF_ATTACHED && !vf->handover) || (vf->state == VF_DETACHING && handover_can_join(vf));
}

char *power_off_hint(const struct vf *vf)
{
	return xasprintf("gpuvf release %s --force powers VM %s off: its guest loses what it has not written, its jobs end there",
			 vf->name, strempty(vf->lease.vm_name));
}

/* "job 3, job 7"; NULL = none runs there.  Returns new. */
static char *jobs_in(struct manager *m, const struct vm *vm)
{
	struct job *job, *tmp;
	char *text = NULL;

	HASH_ITER(hh, m->jobs, job, tmp) {
		_cleanup_free_ char *before = NULL;

		if (job->state < JOB_STARTING || job->state >= JOB_ENDED || !streq(job->vm_uuid, vm->uuid))
			continue;
		before = text;
		text = xasprintf("%s%s%s %llu", strempty(before), before ? ", " : "", job_word(job),
				 (unsigned long long)job->id);
	}
	return text;
}

/* The others of the same VM, which come back as well; NULL = none.  Returns new. */
static char *other_vfs(struct manager *m, const struct vm *vm, const struct vf *but)
{
	struct gpu *gpu, *tmp;
	char *text = NULL;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++) {
			const struct vf *vf = gpu->vfs[i];
			_cleanup_free_ char *before = NULL;

			if (vf == but || vf->lease.owner == LEASE_NONE || !streq(vf->lease.vm_uuid, vm->uuid))
				continue;
			before = text;
			text = xasprintf("%s%s%s", strempty(before), before ? ", " : "", vf->name);
		}
	return text;
}

int power_off_check(struct manager *m, const struct vf *vf, const struct vf_release_params *p,
		    struct rpc_error *error)
{
	const struct vm *vm = vm_find_uuid(m, vf->lease.vm_uuid);
	_cleanup_free_ char *jobs = NULL, *others = NULL;

	if (!vm || vm->facts->state == VM_OFF || vm->facts->state == VM_GONE) {
		rpc_error_set(error, RPC_CONFLICT, "VM %s is off: there is nothing to power off",
			      strempty(vf->lease.vm_name));
		return rpc_error_detail(error, "vm_off", "force", "release it without force");
	}
	if (p->yes_power_off)
		return 0;
	jobs = jobs_in(m, vm);
	others = other_vfs(m, vm, vf);
	rpc_error_set(error, RPC_CONFLICT,
		      "VM %s would be powered off hard: its guest is not asked and loses what it has not written%s%s%s%s",
		      vm->facts->name, jobs ? "; these end there, and are tried again if they may: " : "",
		      strempty(jobs), others ? "; it also loses " : "", strempty(others));
	return rpc_error_detail(error, "power_off", "yes_power_off", "say --yes-power-off if you mean it");
}

void power_off_note(struct manager *m, struct operation *op, const struct vf *vf)
{
	const struct vm *vm = vm_find_uuid(m, vf->lease.vm_uuid);

	json_object_set_new(op->input, "power_off", json_integer(vm->facts->id));
	log_vm(vm->facts->name, LOG_NOTICE, 0, "VM %s is powered off to take %s from it, as user %u asked",
	       vm->facts->name, vf->name, (unsigned)op->uid);
	audit_write(m, &(struct audit_change){ .subject = vm->facts->name,
					       .before = json_pack("{s:s}", "power",
								   vm_state_to_string(vm->facts->state)),
					       .after = json_pack("{s:s}", "power", "powering-off") });
}

bool power_off_is_due(struct manager *m, const struct operation *op, const struct vf *vf)
{
	const struct vm *vm = vm_find_uuid(m, vf->lease.vm_uuid);
	const json_t *id = json_object_get(op->input, "power_off");

	return vm && json_is_integer(id) && vm->facts->state != VM_OFF && vm->facts->id == json_integer_value(id);
}
