/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which waiting job starts now, in which VM, on which VF: pure, from a snapshot.  Called by the
 * manager's pump, which fills the snapshot, acts on the decisions and calls again when something
 * ended.  Knows no store, no libvirt and no clock.
 *
 * Order: queue priority, then the job's own (higher first), then submitted_at, then id (lower
 * first). Each job takes the VM that kept a VF for it, else the one with the fewest running jobs (then the lower name) that can take it
 * now, and there the smallest free VF that fits; among equal ones a VF of a GPU that is in use
 * already, then the lower address, then the lower index.  A job that cannot be placed blocks
 * nobody.  For one that a job which runs keeps out, that may be stopped, where its queue says so
 * (preempt.c). */
#pragma once

#include "lib/pci-address.h"
#include "policy/policy.h"

#define SCHED_NONE SIZE_MAX

/* Why a job waits.  A closed list; the text beside it has the numbers. */
enum sched_wait {
	SCHED_PLACED,	      /* it does not wait */
	SCHED_WAIT_QUEUE_LIMIT, /* the queue's limit of running jobs */
	SCHED_WAIT_USER_LIMIT,	/* the queue's limit of running jobs of one user */
	SCHED_WAIT_NO_VM,	/* no VM is open to this job */
	SCHED_WAIT_VM_OFF,	/* the open ones do not run */
	SCHED_WAIT_VM_WEDGED,	/* … calls of libvirt about them do not return */
	SCHED_WAIT_VM_QUARANTINED,
	SCHED_WAIT_NO_AGENT, /* … run, but their guest agent does not answer */
	SCHED_WAIT_VM_BUSY,  /* … have no free slot */
	SCHED_WAIT_NO_PORT,  /* … have no free PCIe port to plug a VF into */
	SCHED_WAIT_NO_MEMORY, /* … would pin more of the host's memory for a VF than it has */
	SCHED_WAIT_NO_FIT,   /* no VF that exists has what the job asks for */
	SCHED_WAIT_VF_BUSY,  /* VFs that fit exist, all in use */
	SCHED_WAIT_VM_START, /* a VM is started for it, or is about to be */
	SCHED_WAIT_GPU,	     /* … or on a GPU that is draining, being cut again or wedged */
	SCHED_WAIT_PREEMPT,  /* a job is stopped for it, or is to be */
	SCHED_WAIT_MAX,
};
DECLARE_ENUM_TABLE(sched_wait, enum sched_wait);

/* Every VF that exists.  Names are borrowed. */
struct sched_vf {
	const char *name; /* "gpu0/vf1" */
	struct pci_address gpu;
	unsigned index;
	enum vf_state state;
	bool gpu_ready; /* the GPU's state is ready */
	bool gpu_draining; /* no job comes to any of its VFs, not to one that a VM holds either */
	struct known vram_bytes;
	const char *profile; /* NULL = made without one */
	size_t vm;	     /* the VM that holds it: index in vms, or SCHED_NONE */
	bool has_job;	     /* a job uses it or is about to */
	bool kept;	     /* the last job of `uid` left it in its VM for the next one */
	uint32_t uid;
	struct known only_for; /* its last user: nobody else gets it before the next re-cut; of one that is in use:
				* once it has come back */
};

/* What is known of the host's memory for a VF in a VM, where a job is stopped for a place there. */
enum sched_memory {
	SCHED_MEMORY_SUFFICED,
	SCHED_MEMORY_LACKED, /* it had not enough when that was tried last: nobody is stopped for it */
	SCHED_MEMORY_UNSURE, /* … but that is long ago: one may be, to see */
};

struct sched_vm {
	const char *name;
	bool running;
	bool agent; /* its guest agent answers */
	bool quarantined;
	bool wedged; /* calls of libvirt about it do not return */
	bool can_start; /* it is off, and we may start it */
	bool starting;	/* … are at it */
	bool saved;	/* … but it would start without what its stored definition says */
	unsigned slots;
	unsigned used;	/* jobs that are there now */
	int free_ports; /* −1 = unknown: not a reason to wait */
	bool no_memory; /* … nor has the host the memory that a VF for it would pin */
	enum sched_memory memory;
	enum vm_vf_mode mode; /* assigned: jobs run on the VFs that the VM holds already */
};

struct sched_queue {
	const char *name;
	unsigned running;
	unsigned limit_running; /* 0 = none */
	unsigned limit_running_per_user;
	const size_t *preempts; /* queues whose jobs make way for its own */
	size_t n_preempts;
	unsigned priority;
	uint64_t min_runtime_usec; /* its own jobs are left alone for so long */
};

/* Jobs of one user that run in a queue. */
struct sched_usage {
	size_t queue;
	uint32_t uid;
	unsigned running;
};

struct sched_job {
	uint64_t id;
	size_t queue; /* index in queues */
	uint32_t uid;
	unsigned queue_priority;
	int64_t priority;
	uint64_t submitted_at;
	unsigned vfs;	     /* 0 or 1 */
	uint64_t vram_bytes; /* 0 = the smallest will do */
	const char *profile; /* NULL = any */
	const size_t *vms;   /* indexes of the VMs that policy, queue and document open to it */
	size_t n_vms;
};

/* A job that has a place. */
struct sched_holder {
	uint64_t id;
	size_t queue; /* SCHED_NONE: not in the policy any more, nobody stops it */
	int64_t priority;
	uint32_t uid;
	size_t vm;    /* SCHED_NONE = none that is known */
	size_t vf;    /* … likewise */
	bool assigned; /* the VF is its VM's, and stays there */
	bool running;  /* its command runs, its guest answers, and nothing ends it yet: it may be stopped */
	uint64_t ran_usec; /* … for so long */
	bool leaving;  /* its end is under way, and what it has comes back by itself */
	uint64_t preempted_for; /* id of the job for which it is stopped; 0 = it is not */
};

/* Everything is borrowed and left as it is. */
struct sched_snapshot {
	const struct sched_job *jobs; /* those that wait, in any order */
	size_t n_jobs;
	const struct sched_vm *vms;
	size_t n_vms;
	const struct sched_vf *vfs;
	size_t n_vfs;
	const struct sched_queue *queues;
	size_t n_queues;
	const struct sched_usage *usages;
	size_t n_usages;
	const struct sched_holder *holders;
	size_t n_holders;
};

struct sched_decision {
	size_t job; /* index in the snapshot */
	enum sched_wait wait;
	size_t vm;  /* when placed, or to be started for it (SCHED_WAIT_VM_START), else SCHED_NONE */
	size_t vf;  /* when placed on one, else SCHED_NONE */
	size_t victim; /* holder that is to be stopped for it now, else SCHED_NONE */
	bool promised; /* it will be placed when somebody's end, which is under way, is over */
	size_t unsure_vm;  /* VM in which it will see whether there is memory, in the victim's stead, else SCHED_NONE */
	size_t lacking_vm; /* … in which it would have somebody stopped, were there memory, else SCHED_NONE */
	char *text; /* why it waits, with the numbers; NULL when placed */
};

struct sched_result {
	struct sched_decision *decisions; /* one for each job, best first */
	size_t n_decisions;
	size_t n_placed;
	uint64_t again_usec; /* so long, and one that has not run its min_runtime could be stopped; 0 = none is waited for */
};

/* Returns 0 with new *ret, or -ENOMEM. */
int sched_decide(const struct sched_snapshot *snapshot, struct sched_result **ret);

struct sched_result *sched_result_free(struct sched_result *r);
DEFINE_CLEANUP(struct sched_result *, sched_result_free);
