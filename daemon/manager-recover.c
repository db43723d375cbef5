/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After a start (what was stored is loaded by manager-load.c): what the store says is compared with what the kernel and
 * libvirt show, and every difference is resolved by a named rule (docs/RECOVERY.md).  Before looking at a VM that we had
 * touched, a barrier (manager-barrier.c): a job on its domain, so that a dead daemon's last call has finished.  What is
 * of a VM that does not answer there is left as it is; the same rules are for it once it does. */
#include "manager-state.h"

/* ---- VFs: what the lease says against what libvirt shows ---- */

static const struct domain_hostdev *shown(struct manager *m, const struct vf *vf)
{
	struct vm *vm = vm_find_uuid(m, vf->lease.vm_uuid);

	return vm ? domain_hostdev_at(vm->facts, &vf->address) : NULL;
}

/* Where whoever was about to change it had come to is the doing of whoever asked for that. */
static void recover_step(struct manager *m, struct vf *vf, const struct domain_hostdev *dev, bool gone)
{
	_cleanup_acting_ struct audit_acting acting = audit_acts(m, audit_inherited(m, vf, NULL));
	bool live = dev && dev->live;

	switch (vf->state) {
	case VF_LEASED:
	case VF_ATTACHING:
		if (live)
			vf_set_state(m, vf, VF_ATTACHED, NULL);
		else if (lease_was_never_confirmed(vf))
			vf_set_state(m, vf, VF_RESETTING, "its holder has not shown in time");
		else if (vf->state == VF_ATTACHING)
			vf_set_state(m, vf, VF_LEASED, NULL);
		vf->doubtful = !live; /* attached, and let go by a VM that went off before we could say so? */
		break;
	case VF_DETACHING: /* asked, but the guest still has it: whoever asked asks again */
		vf->lease.live &= live || !dev || !dev->config; /* with the state, in one row */
		vf_set_state(m, vf, live ? VF_ATTACHED : dev && dev->config ? VF_RESERVED : VF_RESETTING, NULL);
		break;
	case VF_ATTACHED:
		if (gone)
			vf_set_state(m, vf, VF_RESETTING, "its VM is gone");
		break;
	case VF_RESERVED:
		if (gone)
			vf_set_state(m, vf, VF_RESETTING, "its VM is gone");
		break;
	case VF_RESETTING: /* it had left its VM, and somebody put it back by hand: adopted by the comparison that follows */
		if (live)
			vf_let_go(m, vf, VF_FREE, NULL);
		break;
	case VF_HELD: /* a look tells whether its process is still there */
	case VF_FREE:
	case VF_QUARANTINED:
	case VF_GONE:
	case VF_STATE_MAX:
		break;
	}
}

static void recover_vf(struct manager *m, struct vf *vf)
{
	const struct domain_hostdev *dev = shown(m, vf);
	bool live = dev && dev->live, gone = !vm_find_uuid(m, vf->lease.vm_uuid);

	if (vf->handover || !vf->inherited || barrier_holds(m, vf->lease.vm_uuid))
		return;
	/* Rule "in another VM": somebody moved it while nobody of us was there, so it is no longer ours to reset. */
	if (vf->state >= VF_LEASED && vf->state <= VF_RESETTING && !live && vf_is_elsewhere(m, vf)) {
		if (dev && dev->config)
			displaced_keep(vf);
		if (vf->state > VF_ATTACHING)
			vf_set_state(m, vf, VF_RESETTING, "it is in another VM");
		vf_let_go(m, vf, VF_FREE, NULL);
		return; /* adopted by the comparison that follows */
	}
	recover_step(m, vf, dev, gone);
}

static void reset_done(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	job_vf_back(m, vf->name);
	manager_pump(m);
}

/* What nobody came back for. */
static void recover_leftover(struct manager *m, struct vf *vf)
{
	bool inherited = vf->inherited;

	if (barrier_holds(m, vf->lease.vm_uuid))
		return;
	vf->inherited = false;
	if (vf->handover)
		return;
	if (vf->state == VF_RESETTING) {
		handover_reset(m, vf, reset_done, NULL);
	} else if (vf->state == VF_LEASED && inherited && vf->lease.owner == LEASE_POLICY) {
		fixed_resume(m, vf);
	} else if (vf->state == VF_LEASED && inherited) {
		handover_reset(m, vf, reset_done, NULL);
	} else if (vf->state == VF_ATTACHED && vf->lease.owner == LEASE_JOB) {
		struct job *job = lease_job(m, &vf->lease);
		char id[24];

		snprintf(id, sizeof(id), "%llu", (unsigned long long)vf->lease.job);
		if (!job && row_is_aside(m, "job", id)) {
			/* Its job cannot be read, and may run still: nobody takes the VF from under it. */
			vf_lease_pass(m, vf, LEASE_VM, 0);
			return;
		}
		if (!job || !streq_ptr(job->vf_name, vf->name) || job->state < JOB_STARTING ||
		    job->state == JOB_ENDED)
			handover_detach(m, vf, reset_done, NULL);
	}
}

static void for_each_vf(struct manager *m, void (*fn)(struct manager *m, struct vf *vf))
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			fn(m, gpu->vfs[i]);
}

void recover_late_vf(struct manager *m, struct vf *vf)
{
	struct vm *vm = vm_find_uuid(m, vf->lease.vm_uuid);

	recover_vf(m, vf);
	if (vm)
		vm_compare_hostdevs(m, vm, false);
	if (vf->state == VF_FREE)
		vm_adopt_vf(m, vf);
	recover_leftover(m, vf);
}

static bool vf_waits(struct manager *m, const char *name)
{
	const struct vf *vf = vf_find(m, name);

	return vf && barrier_holds(m, vf->lease.vm_uuid);
}

/* What it is to do with a VM has to wait for that VM's barrier. */
static bool operation_waits(struct manager *m, const struct operation *op)
{
	const json_t *name;
	size_t i;

	if (streq(op->method, "vf.tune")) /* none of the VM's business */
		return false;
	json_array_foreach((json_t *)op->input_vfs, i, name)
		if (vf_waits(m, json_string_value(name)))
			return true;
	return vf_waits(m, op->subject);
}

static void recover_operations(struct manager *m)
{
	struct operation *op, *tmp;

	HASH_ITER(hh_open, m->open_operations, op, tmp) {
		if (!op->inherited)
			continue;
		if (operation_is_apply(op)) {
			apply_resume(m, op);
			continue;
		}
		if (operation_waits(m, op))
			continue;
		op->inherited = false;
		log_notice("%s (%s %s) goes on after a restart", op->name, op->method, strempty(op->subject));
		if (streq(op->method, "gpu.drain")) {
			drain_go(m, op);
		} else if (streq(op->method, "vf.tune")) {
			tune_go(m, op);
		} else if (streq(op->method, "vf.heal") || streq(op->method, "vf.reset")) {
			reset_resume(m, op);
		} else if (streq(op->method, "vf.release")) {
			release_resume(m, op);
		} else {
			assign_resume(m, op);
		}
	}
}

static void recover_rest(struct manager *m)
{
	struct job *job, *tmp;

	recover_operations(m);
	HASH_ITER(hh, m->jobs, job, tmp)
		job_resume(m, job);
	for_each_vf(m, recover_leftover);
}

void recover_vm(struct manager *m, struct vm *vm)
{
	const char *scope = audit_scope(m, "daemon:recover");

	for_each_vf(m, recover_vf);
	if (vm)
		vm_compare_hostdevs(m, vm, true);
	recover_rest(m);
	(void)audit_scope(m, scope);
	manager_pump(m);
}

static void recover_now(struct manager *m)
{
	const char *scope = audit_scope(m, "daemon:recover");
	struct gpu *gpu, *tmp_gpu;
	struct vm *vm, *tmp_vm;

	m->recovering = false;
	m->hypervisor_connected = true;
	free(m->hypervisor_reason);
	m->hypervisor_reason = NULL;

	for_each_vf(m, recover_vf);
	HASH_ITER(hh, m->vms, vm, tmp_vm)
		vm_compare_hostdevs(m, vm, true);
	pool_forget_rows(m);
	recover_rest(m);
	HASH_ITER(hh, m->gpus, gpu, tmp_gpu) {
		if (gpu->facts && !gpu->due && !gpu->apply && !gpu->apply_accepted)
			gpu_end_leases_of_absent(m, gpu);
		processes_look(m, gpu);
	}
	(void)audit_scope(m, scope);
	manager_pump(m);
}

/* ---- the barrier ---- */

static void barriers_passed(struct manager *m)
{
	if (!m->recovery_void) {
		recover_now(m);
		return;
	}
	m->recovering = false;
	if (m->recover_again)
		manager_recover(m);
}

void barrier_down(struct manager *m)
{
	if (--m->barriers == 0)
		barriers_passed(m);
}

void manager_recover(struct manager *m)
{
	if (m->recovering) {
		m->recover_again = true;
		return;
	}
	m->recovering = true;
	m->recovery_void = m->recover_again = false;
	m->barriers = 1; /* our own, so that the last answer comes after the last question */
	barriers_ask(m);
	barrier_down(m);
}
