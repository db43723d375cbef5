/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After a start: what the store says is compared with what the kernel and libvirt show, and every difference
 * is resolved by a named rule (docs/RECOVERY.md).  Before looking at a VM that we had touched, a barrier: a job
 * on its domain, so that a dead daemon's last call has finished. */
#include "manager-state.h"

/* ---- loading ---- */

static int lease_row(void *manager, const char *id, const json_t *doc)
{
	struct manager *m = manager;
	uint64_t epoch = json_get_uint(doc, "epoch", 0);

	if (epoch >= m->next_epoch)
		m->next_epoch = epoch + 1;
	return json_object_set(m->lease_rows, id, (json_t *)doc);
}

static int meta_row(void *manager, const char *id, const json_t *doc)
{
	struct manager *m = manager;

	if (streq(id, "instance"))
		return free_and_strdup(&m->instance, json_get_string(doc, "value"));
	if (streq(id, "boot"))
		return free_and_strdup(&m->stored_boot_id, json_get_string(doc, "value"));
	return 0;
}

static int name_instance(struct manager *m)
{
	sd_id128_t id;
	int r = sd_id128_randomize(&id);

	if (r < 0)
		return r;
	m->instance = xasprintf("%016llx", (unsigned long long)id.qwords[0]);
	outbox_put(m, STORE_META, "instance", json_pack("{s:s}", "value", m->instance));
	return m->instance ? 0 : -ENOMEM;
}

/* Rule "reboot": no live hostdev survives a boot of the host; what persistent XML says comes back with libvirt. */
static void check_boot(struct manager *m)
{
	char boot_id[37];
	const char *id;
	json_t *row;

	if (boot_id_read(boot_id) < 0 || streq_ptr(m->stored_boot_id, boot_id))
		return;
	json_object_foreach(m->lease_rows, id, row)
		outbox_delete(m, STORE_LEASE, id);
	if (json_object_size(m->lease_rows) > 0)
		log_notice("The host was booted since: %zu leases are dropped",
			   json_object_size(m->lease_rows));
	json_object_clear(m->lease_rows);
	outbox_put(m, STORE_META, "boot", json_pack("{s:s}", "value", boot_id));
}

/* Rule "cancel": what was cancelled before it began ends now. */
static void cancel_inherited(struct manager *m)
{
	struct job *job, *tmp;

	HASH_ITER(hh, m->jobs, job, tmp)
		if (job->cancel && job->state < JOB_STARTING)
			job_stop(m, job);
}

int manager_load(struct manager *m)
{
	static const struct {
		enum store_kind kind;
		store_row_fn fn;
	} loads[] = {
		{ STORE_META, meta_row },	    { STORE_GPU, gpu_load },
		{ STORE_LEASE, lease_row },	    { STORE_OPERATION, operation_load },
		{ STORE_JOB, job_load },
	};
	int r;

	m->lease_rows = json_object();
	m->next_epoch = m->next_job = m->next_operation = 1;
	for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
		r = store_load(m->store, loads[i].kind, loads[i].fn, m);
		if (r < 0)
			return r;
	}
	r = events_load(m);
	if (r < 0)
		return r;
	cancel_inherited(m);
	if (!m->instance) {
		r = name_instance(m);
		if (r < 0)
			return r;
	}
	check_boot(m);
	return 0;
}

/* ---- VFs: what the lease says against what libvirt shows ---- */

static bool shown_live(struct manager *m, const struct vf *vf)
{
	struct vm *vm = vm_find_uuid(m, vf->lease.vm_uuid);

	for (size_t i = 0; vm && i < vm->facts->n_hostdevs; i++)
		if (vm->facts->hostdevs[i].live &&
		    pci_address_equal(&vm->facts->hostdevs[i].address, &vf->address))
			return true;
	return false;
}

static void recover_vf(struct manager *m, struct vf *vf)
{
	bool live = shown_live(m, vf), gone = !vm_find_uuid(m, vf->lease.vm_uuid);

	if (vf->handover || !vf->inherited)
		return;
	switch (vf->state) {
	case VF_LEASED:
	case VF_ATTACHING:
		if (live)
			vf_set_state(m, vf, VF_ATTACHED, NULL);
		else if (vf->state == VF_ATTACHING)
			vf_set_state(m, vf, VF_LEASED, NULL);
		break;
	case VF_DETACHING: /* asked, but the guest still has it: whoever asked asks again */
		vf_set_state(m, vf, live ? VF_ATTACHED : VF_RESETTING, NULL);
		break;
	case VF_ATTACHED:
		if (gone)
			vf_set_state(m, vf, VF_RESETTING, "its VM is gone");
		break;
	case VF_RESERVED:
		if (gone) {
			vf_set_state(m, vf, VF_FREE, NULL);
			vf_lease_end(m, vf);
		}
		break;
	case VF_FREE:
	case VF_RESETTING:
	case VF_QUARANTINED:
	case VF_GONE:
	case VF_STATE_MAX:
		break;
	}
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

	vf->inherited = false;
	if (vf->handover)
		return;
	if (vf->state == VF_RESETTING) {
		handover_reset(m, vf, reset_done, NULL);
	} else if (vf->state == VF_LEASED && inherited) {
		vf_set_state(m, vf, VF_FREE, NULL);
		vf_lease_end(m, vf);
	} else if (vf->state == VF_ATTACHED && vf->lease.owner == LEASE_JOB) {
		struct job *job = lease_job(m, &vf->lease);

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
	else if (vf->state == VF_FREE)
		vm_adopt_vf(m, vf);
	recover_leftover(m, vf);
}

static void recover_operations(struct manager *m)
{
	struct operation *op, *tmp;

	HASH_ITER(hh, m->operations, op, tmp) {
		if (op->state > OPERATION_RUNNING || !op->inherited)
			continue;
		if (streq(op->method, "gpu.apply")) {
			apply_resume(m, op);
			continue;
		}
		op->inherited = false;
		log_notice("%s (%s %s) goes on after a restart", op->name, op->method, strempty(op->subject));
		if (streq(op->method, "vf.heal")) {
			struct rpc_error error = { 0 };

			rpc_error_set(&error, RPC_CONFLICT, "the daemon was restarted; ask again");
			operation_failed(m, op, &error);
			rpc_error_done(&error);
		} else
			assign_resume(m, op);
	}
}

static void recover_now(struct manager *m)
{
	struct vm *vm, *tmp_vm;
	struct job *job, *tmp;

	m->recovering = false;
	m->hypervisor_connected = true;
	free(m->hypervisor_reason);
	m->hypervisor_reason = NULL;

	for_each_vf(m, recover_vf);
	HASH_ITER(hh, m->vms, vm, tmp_vm)
		vm_compare_hostdevs(m, vm, true);
	recover_operations(m);
	HASH_ITER(hh, m->jobs, job, tmp)
		job_resume(m, job);
	for_each_vf(m, recover_leftover);
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

static void on_barrier(void *userdata, const struct hv_reply *reply)
{
	struct manager *m = userdata;

	for (size_t i = 0; reply->failure == HV_OK && i < reply->n_domains; i++)
		vm_update(m, reply->domains[i]);
	if (--m->barriers == 0)
		barriers_passed(m);
}

static bool touched(struct manager *m, const struct vm *vm)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (gpu->vfs[i]->lease.owner != LEASE_NONE &&
			    streq(gpu->vfs[i]->lease.vm_uuid, vm->uuid))
				return true;
	return false;
}

void manager_recover(struct manager *m)
{
	struct vm *vm, *tmp;

	if (m->recovering) {
		m->recover_again = true;
		return;
	}
	m->recovering = true;
	m->recovery_void = m->recover_again = false;
	m->barriers = 1; /* our own, so that the last answer comes after the last question */
	HASH_ITER(hh, m->vms, vm, tmp) {
		struct hv_request request = { .op = HV_GET, .uuid = vm->uuid, .barrier = true };

		if (vm->facts->state != VM_OFF && touched(m, vm) &&
		    m->hypervisor->ops->request(m->hypervisor, &request, on_barrier, m) == 0)
			m->barriers++;
	}
	if (--m->barriers == 0)
		barriers_passed(m);
}
