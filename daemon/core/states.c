/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names and legal edges of every state machine (docs/ARCHITECTURE.md, "States"). */
#include "core/states.h"

const char *const gpu_state_names[GPU_STATE_MAX] = {
	[GPU_ABSENT] = "absent",     [GPU_UNMANAGED] = "unmanaged",   [GPU_READY] = "ready",
	[GPU_DRAINING] = "draining", [GPU_RECUTTING] = "recutting", [GPU_WEDGED] = "wedged",
};
DEFINE_ENUM_TABLE(gpu_state, enum gpu_state, GPU_STATE_MAX);

const char *const vf_state_names[VF_STATE_MAX] = {
	[VF_FREE] = "free",	      [VF_LEASED] = "leased",	    [VF_ATTACHING] = "attaching",
	[VF_ATTACHED] = "attached",   [VF_DETACHING] = "detaching", [VF_RESETTING] = "resetting",
	[VF_RESERVED] = "reserved",   [VF_HELD] = "held",	    [VF_QUARANTINED] = "quarantined",
	[VF_GONE] = "gone",
};
DEFINE_ENUM_TABLE(vf_state, enum vf_state, VF_STATE_MAX);

const char *const vm_state_names[VM_STATE_MAX] = {
	[VM_OFF] = "off",     [VM_RUNNING] = "running", [VM_PAUSED] = "paused",
	[VM_OTHER] = "other", [VM_CRASHED] = "crashed", [VM_GONE] = "gone",
};
DEFINE_ENUM_TABLE(vm_state, enum vm_state, VM_STATE_MAX);

const char *const vm_agent_names[VM_AGENT_MAX] = {
	[VM_AGENT_UNKNOWN] = "unknown",
	[VM_AGENT_ABSENT] = "absent",
	[VM_AGENT_DISCONNECTED] = "disconnected",
	[VM_AGENT_CONNECTED] = "connected",
};
DEFINE_ENUM_TABLE(vm_agent, enum vm_agent, VM_AGENT_MAX);

const char *const job_state_names[JOB_STATE_MAX] = {
	[JOB_HELD] = "held",	       [JOB_QUEUED] = "queued",
	[JOB_STARTING] = "starting",   [JOB_WAITING_GUEST] = "waiting-guest",
	[JOB_RUNNING] = "running",     [JOB_UNREACHABLE] = "unreachable",
	[JOB_STOPPING] = "stopping",   [JOB_ENDED] = "ended",
};
DEFINE_ENUM_TABLE(job_state, enum job_state, JOB_STATE_MAX);

/* "none" is a job that has not ended: JSON shows null. */
const char *const job_result_names[JOB_RESULT_MAX] = {
	[JOB_RESULT_NONE] = "none",	[JOB_SUCCEEDED] = "succeeded", [JOB_FAILED] = "failed",
	[JOB_CANCELLED] = "cancelled",	[JOB_TIMEOUT] = "timeout",     [JOB_OOM] = "oom",
	[JOB_LOST] = "lost",		[JOB_PREEMPTED] = "preempted",
};
DEFINE_ENUM_TABLE(job_result, enum job_result, JOB_RESULT_MAX);

const char *const operation_state_names[OPERATION_STATE_MAX] = {
	[OPERATION_ACCEPTED] = "accepted",   [OPERATION_RUNNING] = "running",
	[OPERATION_DONE] = "done",	     [OPERATION_FAILED] = "failed",
	[OPERATION_CANCELLED] = "cancelled",
};
DEFINE_ENUM_TABLE(operation_state, enum operation_state, OPERATION_STATE_MAX);

const struct state_edge gpu_edges[] = {
	{ GPU_ABSENT, GPU_UNMANAGED, "the card appeared; no rule wants it cut" },
	{ GPU_ABSENT, GPU_READY, "the card appeared; a rule or a manual layout manages it" },
	{ GPU_ABSENT, GPU_DRAINING, "the card appeared, and is drained still" },
	{ GPU_UNMANAGED, GPU_READY, "a layout was applied, or a rule now matches" },
	{ GPU_READY, GPU_UNMANAGED, "the layout was dropped and no rule matches" },
	{ GPU_READY, GPU_DRAINING, "drain: no new holders" },
	{ GPU_UNMANAGED, GPU_DRAINING, "drain: no new holders" },
	{ GPU_DRAINING, GPU_READY, "undrain, or the drain was cancelled" },
	{ GPU_DRAINING, GPU_UNMANAGED, "the same, and nobody manages the card" },
	{ GPU_UNMANAGED, GPU_RECUTTING, "first apply" },
	{ GPU_READY, GPU_RECUTTING, "apply" },
	{ GPU_DRAINING, GPU_RECUTTING, "the last holder left" },
	{ GPU_RECUTTING, GPU_READY, "applied, or undone to the layout before" },
	{ GPU_RECUTTING, GPU_UNMANAGED, "undone, and nobody manages the card" },
	{ GPU_RECUTTING, GPU_DRAINING, "applied or undone, and drained still" },
	{ GPU_WEDGED, GPU_READY, "the late answer came and was read back" },
	{ GPU_WEDGED, GPU_RECUTTING, "apply, after an undo that failed" },
	{ GPU_WEDGED, GPU_UNMANAGED, "the late answer came; nobody manages the card" },
	{ GPU_WEDGED, GPU_DRAINING, "the late answer came; the card is drained still" },
	{ -1, GPU_WEDGED, "an access does not return, or an undo failed" },
	{ -1, GPU_ABSENT, "the card is gone" },
	{ 0, 0, NULL },
};

const struct state_edge vf_edges[] = {
	{ VF_FREE, VF_LEASED, "leased" },
	{ VF_LEASED, VF_ATTACHING, "attach asked of libvirt" },
	{ VF_LEASED, VF_FREE, "nothing was attached yet" },
	{ VF_LEASED, VF_RESETTING, "after a restart: a VM may have had it" },
	{ VF_LEASED, VF_RESERVED, "written to the persistent XML of a VM that is off" },
	{ VF_ATTACHING, VF_ATTACHED, "libvirt confirmed" },
	{ VF_ATTACHING, VF_DETACHING, "released while it was being attached" },
	{ VF_ATTACHING, VF_RESETTING, "attach failed after the guest may have seen it" },
	{ VF_ATTACHING, VF_FREE, "attach failed before the guest saw it" },
	{ VF_ATTACHING, VF_LEASED, "the daemon was restarted and libvirt does not show it attached" },
	{ VF_LEASED, VF_ATTACHED, "the daemon was restarted and libvirt shows it attached" },
	{ VF_LEASED, VF_DETACHING, "nobody knows whether the persistent XML has it: it is taken out" },
	{ VF_ATTACHED, VF_DETACHING, "detach asked of libvirt" },
	{ VF_ATTACHED, VF_RESETTING, "the VM died" },
	{ VF_ATTACHED, VF_RESERVED, "the VM was shut off; its persistent XML keeps the VF" },
	{ VF_DETACHING, VF_RESETTING, "libvirt confirmed that the guest let go" },
	{ VF_DETACHING, VF_RESERVED, "out of the running guest; the persistent XML keeps it" },
	{ VF_DETACHING, VF_ATTACHED, "the guest refused, or its VM could not be powered off" },
	{ VF_RESETTING, VF_FREE, "reset, probed, and on VFIO" },
	{ VF_FREE, VF_ATTACHED, "adopted: somebody else attached it" },
	{ VF_FREE, VF_RESERVED, "adopted: a VM that is off names it; or that is to name it in place of one that is gone" },
	{ VF_RESERVED, VF_ATTACHED, "its VM was started" },
	{ VF_RESERVED, VF_FREE, "taken out of the persistent XML" },
	{ VF_RESERVED, VF_RESETTING, "released" },
	{ VF_FREE, VF_RESETTING, "a reset was asked for" },
	{ VF_FREE, VF_HELD, "a process of the host has it open" },
	{ VF_LEASED, VF_HELD, "the same, seen before it was attached" },
	{ VF_HELD, VF_RESETTING, "that process has closed it, or is gone" },
	{ VF_HELD, VF_ATTACHED, "libvirt shows that the process is a VM" },
	{ VF_QUARANTINED, VF_RESETTING, "heal" },
	{ VF_GONE, VF_FREE, "the VF is there again" },
	{ -1, VF_QUARANTINED, "a check failed" },
	{ -1, VF_GONE, "the function vanished" },
	{ 0, 0, NULL },
};

const struct state_edge job_edges[] = {
	{ JOB_HELD, JOB_QUEUED, "unhold" },
	{ JOB_QUEUED, JOB_HELD, "hold" },
	{ JOB_QUEUED, JOB_STARTING, "placed" },
	{ JOB_STARTING, JOB_WAITING_GUEST, "the VF is attached" },
	{ JOB_WAITING_GUEST, JOB_RUNNING, "the guest is ready and the command was started" },
	{ JOB_WAITING_GUEST, JOB_STOPPING, "cancelled, or the guest never became ready" },
	{ JOB_STARTING, JOB_STOPPING, "cancelled while being attached" },
	{ JOB_RUNNING, JOB_STOPPING, "the command ended, or was told to" },
	{ JOB_RUNNING, JOB_UNREACHABLE, "the guest agent is silent" },
	{ JOB_UNREACHABLE, JOB_RUNNING, "the guest agent answers again" },
	{ JOB_UNREACHABLE, JOB_STOPPING, "the VM is confirmed off or the process gone" },
	{ JOB_STOPPING, JOB_ENDED, "everything was collected and given back" },
	{ JOB_HELD, JOB_ENDED, "cancelled" },
	{ JOB_QUEUED, JOB_ENDED, "cancelled" },
	{ JOB_STARTING, JOB_ENDED, "cancelled before anything was attached" },
	{ JOB_STARTING, JOB_QUEUED, "the attempt failed before its command ran" },
	{ JOB_WAITING_GUEST, JOB_QUEUED, "the attempt failed before its command ran" },
	{ JOB_RUNNING, JOB_QUEUED, "the attempt was lost and is tried again" },
	{ JOB_STOPPING, JOB_QUEUED, "the attempt is over and the job is tried again" },
	{ 0, 0, NULL },
};

const struct state_edge operation_edges[] = {
	{ OPERATION_ACCEPTED, OPERATION_RUNNING, "its turn came" },
	{ OPERATION_ACCEPTED, OPERATION_CANCELLED, "cancelled before it began" },
	{ OPERATION_ACCEPTED, OPERATION_FAILED, "could not begin" },
	{ OPERATION_RUNNING, OPERATION_DONE, "read back and right" },
	{ OPERATION_RUNNING, OPERATION_FAILED, "failed and undone" },
	{ OPERATION_RUNNING, OPERATION_CANCELLED, "cancelled and undone" },
	{ 0, 0, NULL },
};

const char *state_edge_cause(const struct state_edge *edges, int from, int to)
{
	if (from == to)
		return NULL;
	for (const struct state_edge *e = edges; e->cause; e++)
		if ((e->from == -1 || e->from == from) && e->to == to)
			return e->cause;
	return NULL;
}
