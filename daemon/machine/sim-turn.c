/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt's job lock of a domain: calls that change it are served one after the other, in the order of arrival,
 * whoever asks.  Called by sim-machine.c; what the calls do is sim-domain.c's. */
#include "machine/sim-machine-internal.h"

#include "lib/units.h"

/* What changes the domain, and the barrier.  Not a destroy, which ends QEMU and with it what hangs; agents have a lock
 * of their own, and a shutdown is mostly theirs. */
static bool takes_turn(const struct sim_task *t)
{
	return t->part == SIM_PART_HYPERVISOR && t->vm &&
	       (t->hv.op == HV_ATTACH || t->hv.op == HV_DETACH || t->hv.op == HV_START ||
		(t->hv.op == HV_GET && t->hv.barrier));
}

/* libvirt lets go of the lock while a guest takes its time with a device. */
static bool has_turn(const struct sim_task *t)
{
	bool guest = t->hv.op == HV_DETACH && t->hv.live && t->wait != SIM_WAIT_TURN;

	return takes_turn(t) && !t->orphan && !guest &&
	       (t->wait == SIM_WAIT_DELAY || t->wait == SIM_WAIT_RELEASE || t->wait == SIM_WAIT_TURN);
}

bool sim_turn_waits(const struct sim_task *t)
{
	if (!takes_turn(t))
		return false;
	for (const struct sim_task *o = t->m->tasks; o && o != t; o = o->next)
		if (o->vm == t->vm && has_turn(o))
			return true;
	return false;
}

static int on_turn_over(sd_event_source *s, uint64_t usec, void *userdata)
{
	sim_domain_fail(userdata, HV_TIMEOUT,
		     strdup("Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatch)"));
	return 0;
}

void sim_turn_wait(struct sim_task *t)
{
	t->wait = SIM_WAIT_TURN;
	(void)sd_event_add_time_relative(t->m->event, &t->timer, CLOCK_MONOTONIC, t->m->document->job_lock_usec, 1000,
					 on_turn_over, t);
}

void sim_turn_orphan(struct sim_machine *m)
{
	for (struct sim_task *t = m->tasks; t; t = t->next)
		t->orphan |= t->part == SIM_PART_HYPERVISOR;
	for (struct sim_task *t = m->tasks, *next; t; t = next) {
		next = t->next;
		if (t->part != SIM_PART_HYPERVISOR || t->wait != SIM_WAIT_TURN)
			continue;
		sim_domain_fail(t, HV_DISCONNECTED, strdup("Cannot recv data: libvirtd is away"));
		next = m->tasks; /* its answer may have ended others */
	}
	sim_machine_settle(m);
}
