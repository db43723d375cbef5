/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The states of GPU, VF, VM, job and operation, their names (log, JSON, SQLite and the command line use the
 * same words) and the legal edges, each with its cause.  Plain data: no I/O. */
#pragma once

#include "lib/enum-table.h"

enum gpu_state {
	GPU_ABSENT,    /* the card is gone; its name is kept */
	GPU_UNMANAGED, /* no rule and no manual layout: we only look */
	GPU_READY,
	GPU_DRAINING, /* no new holders of its VFs */
	GPU_RECUTTING,
	GPU_WEDGED, /* an access does not return, or an undo failed */
	GPU_STATE_MAX,
};
DECLARE_ENUM_TABLE(gpu_state, enum gpu_state);

enum vf_state {
	VF_FREE,
	VF_LEASED,
	VF_ATTACHING,
	VF_ATTACHED,
	VF_DETACHING,
	VF_RESETTING,
	VF_RESERVED,	/* only in the persistent XML of a VM that is off */
	VF_HELD,	/* a process of the host that is no VM has it open */
	VF_QUARANTINED, /* failed a check; nobody gets it before `heal` */
	VF_GONE,
	VF_STATE_MAX,
};
DECLARE_ENUM_TABLE(vf_state, enum vf_state);

enum vm_state {
	VM_OFF,
	VM_RUNNING,
	VM_PAUSED,
	VM_OTHER,
	VM_CRASHED, /* its guest is dead, its QEMU was kept (on_crash preserve), and keeps its devices */
	VM_GONE,
	VM_STATE_MAX,
};
DECLARE_ENUM_TABLE(vm_state, enum vm_state);

enum vm_agent {
	VM_AGENT_UNKNOWN,
	VM_AGENT_ABSENT,       /* no channel in the domain's XML */
	VM_AGENT_DISCONNECTED, /* a channel, but nobody answers in the guest */
	VM_AGENT_CONNECTED,
	VM_AGENT_MAX,
};
DECLARE_ENUM_TABLE(vm_agent, enum vm_agent);

enum job_state {
	JOB_HELD,
	JOB_QUEUED,
	JOB_STARTING,	   /* a VF is leased and is being attached */
	JOB_WAITING_GUEST, /* attached; the guest does not show the device yet */
	JOB_RUNNING,
	JOB_UNREACHABLE, /* the agent is silent: its fate is unknown */
	JOB_STOPPING,	 /* the command ended or was told to; outputs, detach, reset */
	JOB_ENDED,
	JOB_STATE_MAX,
};
DECLARE_ENUM_TABLE(job_state, enum job_state);

/* Apart from the state; a result once set stays.  The last one is an attempt's only. */
enum job_result {
	JOB_RESULT_NONE,
	JOB_SUCCEEDED,
	JOB_FAILED,
	JOB_CANCELLED,
	JOB_TIMEOUT,
	JOB_OOM,
	JOB_LOST,
	JOB_PREEMPTED,
	JOB_RESULT_MAX,
};
DECLARE_ENUM_TABLE(job_result, enum job_result);

enum operation_state {
	OPERATION_ACCEPTED,
	OPERATION_RUNNING,
	OPERATION_DONE,
	OPERATION_FAILED,
	OPERATION_CANCELLED,
	OPERATION_STATE_MAX,
};
DECLARE_ENUM_TABLE(operation_state, enum operation_state);

/* An edge of one of the machines.  from -1 = any. */
struct state_edge {
	int from;
	int to;
	const char *cause;
};

/* The tables, each ended by {.cause = NULL}. */
extern const struct state_edge gpu_edges[];
extern const struct state_edge vf_edges[];
extern const struct state_edge job_edges[];
extern const struct state_edge operation_edges[];

/* The cause of the edge from → to, or NULL when it is not in the table. */
const char *state_edge_cause(const struct state_edge *edges, int from, int to);
