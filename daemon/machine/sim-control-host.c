/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What somebody else does to the GPUs of the made-up machine: another administrator, a process of the host, the card
 * itself.  Called by sim-control.c. */
#include "machine/sim-control-internal.h"

#include "machine/sim-opener.h"
#include "machine/sim-reserved.h"
#include "machine/sim-way.h"

/* "silent": the event gets lost. */
static void tell(struct sim_control *x, enum host_event_type type)
{
	if (!x->c.silent)
		sim_machine_host_event(x->m, type, x->gpu);
}

/* Removing VFs waits for whoever holds one, and takes the device lock meanwhile (§6.2). */
static json_t *refuse_waiting(const struct sim_control *x)
{
	if (sim_machine_gpu_locked(x->m, x->gpu))
		return sim_control_refuse(strdup("the device lock is held: that would wait for ever"));
	if (sim_gpu_held(x->gpu) > 0)
		return sim_control_refuse(strdup("a VM holds one of its VFs: that would wait for ever"));
	return NULL;
}

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
	sim_reserved_lapse(&x->m->hypervisor, x->gpu, x->gpu->num_vfs);
	if (x->gpu->num_vfs != before)
		tell(x, HOST_EVENT_CHANGED);
	return json_pack("{s:b, s:i}", "ok", 1, "num_vfs", (int)x->gpu->num_vfs);
}

json_t *sim_control_unplug_gpu(struct sim_control *x)
{
	if (sim_gpu_held(x->gpu) > 0)
		return sim_control_refuse(strdup("a VM holds one of its VFs"));
	sim_gpu_set_present(&x->m->kernel, x->gpu, false);
	tell(x, HOST_EVENT_REMOVED);
	return sim_control_done();
}

json_t *sim_control_plug_gpu(struct sim_control *x)
{
	sim_gpu_set_present(&x->m->kernel, x->gpu, true);
	tell(x, HOST_EVENT_RESCAN);
	return sim_control_done();
}

/* Another slot: other buses were numbered, or somebody put it there.  Nobody is told. */
json_t *sim_control_move_gpu(struct sim_control *x)
{
	bool present = x->gpu->present;
	struct pci_address address;
	struct sim_gpu *other;

	if (!x->c.address || pci_address_parse(x->c.address, &address) < 0)
		return sim_control_refuse(strdup("address: a PCI address is needed"));
	other = sim_kernel_find(&x->m->kernel, &address);
	if (other && other != x->gpu)
		return sim_control_refuse(xasprintf("%s is there", other->name));
	if (sim_gpu_held(x->gpu) > 0)
		return sim_control_refuse(strdup("a VM holds one of its VFs"));
	sim_gpu_set_present(&x->m->kernel, x->gpu, false);
	sim_reserved_lapse(&x->m->hypervisor, x->gpu, 0);
	x->gpu->spec.address = address;
	sim_gpu_set_present(&x->m->kernel, x->gpu, present);
	return sim_control_done();
}

json_t *sim_control_unbind_driver(struct sim_control *x)
{
	json_t *refusal = refuse_waiting(x);

	if (refusal)
		return refusal;
	if (!x->gpu->driver)
		return sim_control_refuse(strdup("no driver is bound to it"));
	sim_gpu_set_bound(&x->m->kernel, x->gpu, false);
	tell(x, HOST_EVENT_CHANGED);
	return sim_control_done();
}

json_t *sim_control_bind_driver(struct sim_control *x)
{
	if (!x->gpu->spec.driver)
		return sim_control_refuse(strdup("the document names no driver for it"));
	if (x->gpu->driver || !x->gpu->present)
		return sim_control_refuse(strdup(x->gpu->driver ? "a driver is bound to it already" :
								  "it is not plugged in"));
	sim_gpu_set_bound(&x->m->kernel, x->gpu, true);
	tell(x, HOST_EVENT_BOUND);
	return sim_control_done();
}

/* Another administrator: the kernel tells nobody of writes of attributes. */
json_t *sim_control_set_attribute(struct sim_control *x)
{
	const struct sim_write w = {x->c.debugfs, (unsigned)x->c.vf, x->c.attribute, x->c.value,
				    (unsigned)x->c.tile};
	uint64_t value = 0;
	int r;

	r = sim_way_write(x->gpu, &w, &value);
	if (r < 0)
		return sim_control_refuse(
			xasprintf("%s: %s", vf_attribute_to_string(w.attribute), strerror(-r)));
	return json_pack("{s:b, s:I}", "ok", 1, "value", (json_int_t)value);
}

/* §2.9: the driver gives the card up; VFs that are there stay, none can be enabled. */
json_t *sim_control_wedge(struct sim_control *x)
{
	struct host_event event = {.type = HOST_EVENT_WEDGED, .attribute = "rebind,bus-reset"};

	if (!x->gpu->driver)
		return sim_control_refuse(strdup("no driver is bound to it"));
	x->gpu->wedged = true;
	event.gpu = x->gpu->spec.address;
	if (!x->c.silent)
		sim_machine_tell(x->m, &event);
	return sim_control_done();
}

/* §2.3: somebody has the driver's lockdown file open, or a debugger is attached. */
json_t *sim_control_guard(struct sim_control *x)
{
	x->gpu->guarded = x->c.value != 0;
	return sim_control_done();
}

/* The kernel's buffer of uevents ran over: nobody knows what was in it. */
json_t *sim_control_overflow(struct sim_control *x)
{
	struct host_event event = {.type = HOST_EVENT_RESCAN};

	sim_machine_tell(x->m, &event);
	return sim_control_done();
}

static void restart_card(struct sim_machine *m, struct sim_gpu *g)
{
	for (unsigned v = 0; v < g->num_vfs; v++)
		sim_vf_release(&g->vfs[v]);
	if (!g->present)
		return;
	sim_gpu_set_present(&m->kernel, g, false);
	sim_gpu_set_present(&m->kernel, g, true);
	g->wedged = false;
}

/* Power goes and comes back: VMs are off, cards as after a start.  Nobody is there to hear of it, so a daemon that
 * still is connected would be told nothing; the boot id is the real host's. */
json_t *sim_control_reboot(struct sim_control *x)
{
	struct sim_machine *m = x->m;

	for (struct sim_task *t = m->tasks; t; t = t->next)
		if (t->part != SIM_PART_MACHINE)
			return sim_control_refuse(strdup("requests are under way: end the daemon, then release-hang"));
	for (size_t i = 0; i < m->hypervisor.n_vms; i++)
		if (sim_vm_is_active(&m->hypervisor.vms[i]))
			sim_domain_stop(m, &m->hypervisor.vms[i]);
	sim_openers_free(m);
	for (size_t i = 0; i < m->kernel.n_gpus; i++)
		restart_card(m, &m->kernel.gpus[i]);
	m->hypervisor.connected = true;
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
	int pid;

	if (!vf)
		return refusal;
	if (vf->held)
		return sim_control_refuse(strdup("it is held already"));
	pid = sim_opener_start(x->m, vf);
	if (pid < 0)
		return sim_control_refuse(xasprintf("no process can be started: %s", strerror(-pid)));
	return json_pack("{s:b, s:i}", "ok", 1, "pid", pid);
}

static json_t *let_go(struct sim_control *x, bool ends)
{
	json_t *refusal = NULL;
	struct sim_vf *vf = sim_control_vf(x, &refusal);

	if (!vf)
		return refusal;
	if (!sim_opener_close(x->m, vf, ends))
		return sim_control_refuse(strdup("no process of the host holds it"));
	sim_machine_settle(x->m);
	return sim_control_done();
}

/* The process ends. */
json_t *sim_control_unhold(struct sim_control *x)
{
	return let_go(x, true);
}

/* It closes the node and lives on. */
json_t *sim_control_close(struct sim_control *x)
{
	return let_go(x, false);
}
