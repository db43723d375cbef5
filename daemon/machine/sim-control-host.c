/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What somebody else does to the GPUs of the made-up machine: another administrator, a process of the host, the card
 * itself.  Called by sim-control.c. */
#include "machine/sim-control-internal.h"

json_t *sim_control_set_numvfs(struct sim_control *x)
{
	unsigned before = x->gpu->num_vfs;
	int r;

	if (sim_machine_gpu_locked(x->m, x->gpu))
		return sim_control_refuse(strdup("the device lock is held: such a write would wait for ever"));
	r = sim_gpu_set_numvfs(&x->m->kernel, x->gpu, x->c.value, 0);
	if (r == -EINPROGRESS)
		return json_pack("{s:b, s:b}", "ok", 1, "hangs", 1);
	if (r < 0)
		return sim_control_refuse(xasprintf("sriov_numvfs: %s", strerror(-r)));
	if (x->gpu->num_vfs != before)
		sim_machine_host_event(x->m, HOST_EVENT_CHANGED, x->gpu);
	return json_pack("{s:b, s:i}", "ok", 1, "num_vfs", (int)x->gpu->num_vfs);
}

json_t *sim_control_unplug_gpu(struct sim_control *x)
{
	if (sim_gpu_held(x->gpu) > 0)
		return sim_control_refuse(strdup("a VM holds one of its VFs"));
	sim_gpu_set_present(&x->m->kernel, x->gpu, false);
	sim_machine_host_event(x->m, HOST_EVENT_REMOVED, x->gpu);
	return sim_control_done();
}

json_t *sim_control_plug_gpu(struct sim_control *x)
{
	sim_gpu_set_present(&x->m->kernel, x->gpu, true);
	sim_machine_host_event(x->m, HOST_EVENT_RESCAN, x->gpu);
	return sim_control_done();
}

struct sim_vf *sim_control_vf(struct sim_control *x, json_t **ret_refusal)
{
	struct sim_vf *vf = sim_gpu_vf(x->gpu, (unsigned)x->c.vf);

	if (!vf)
		*ret_refusal = sim_control_refuse(xasprintf("%s has no VF %llu now", x->gpu->name,
						(unsigned long long)x->c.vf));
	return vf;
}

/* A process of the host opens the VF's render node. */
json_t *sim_control_hold(struct sim_control *x)
{
	json_t *refusal = NULL;
	struct sim_vf *vf = sim_control_vf(x, &refusal);

	if (!vf)
		return refusal;
	if (vf->held)
		return sim_control_refuse(strdup("it is held already"));
	sim_vf_hold(vf, NULL, getpid());
	return sim_control_done();
}

json_t *sim_control_unhold(struct sim_control *x)
{
	json_t *refusal = NULL;
	struct sim_vf *vf = sim_control_vf(x, &refusal);

	if (!vf)
		return refusal;
	if (!vf->held || vf->holder.vm)
		return sim_control_refuse(strdup("no process of the host holds it"));
	sim_vf_release(vf);
	sim_machine_settle(x->m);
	return sim_control_done();
}
