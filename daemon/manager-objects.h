/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The objects of the core as they are now: GPUs, VFs and their leases, VMs, operations, jobs, and the manager that has
 * them.  Nobody outside manager*.c includes this. */
#pragma once

#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>
#include <uthash.h>

#include "host/host-ops.h"
#include "hypervisor/hypervisor-ops.h"
#include "lib/clock.h"
#include "log/log.h"
#include "manager.h"
#include "partition/partition.h"
#include "policy/job-document.h"
#include "policy/layout.h"
#include "store/store.h"

#define EVENTS_KEPT 10000	/* interface §3: the last 10,000 can be resumed */
#define ALIAS_PREFIX "ua-gpuvf-" /* libvirt keeps aliases that begin with ua- */
#define ALIAS_POLICY_PREFIX ALIAS_PREFIX "policy-"

enum lease_owner {
	LEASE_NONE,
	LEASE_VM,      /* assigned by hand to a VM */
	LEASE_JOB,     /* for one attempt of a job */
	LEASE_KEPT,    /* no job's any more: waits in its VM for the next one of the same user */
	LEASE_POLICY,  /* the policy assigns one to the VM */
	LEASE_FOREIGN, /* somebody else attached it, or a process has it open; we only watch */
	LEASE_OWNER_MAX,
};
DECLARE_ENUM_TABLE(lease_owner, enum lease_owner);

/* Of a VM: its running guest and its stored definition. */
enum lease_side { BOTH_SIDES, LIVE_SIDE, CONFIG_SIDE, LEASE_SIDE_MAX };
DECLARE_ENUM_TABLE(lease_side, enum lease_side);

struct lease {
	enum lease_owner owner;
	uint64_t epoch;	      /* counts every lease of this VF; stands in the hostdev's alias */
	uint64_t job;	      /* of LEASE_JOB */
	char vm_uuid[37];
	char *vm_name;
	bool live, config;    /* where the hostdev is, or shall be */
	bool adopted;	      /* … and bears another alias than this lease's */
	bool chosen;	      /* which VF it is was left to us (vf.assign without vf): another like it does as well */
	uint64_t vram;	      /* of one that was chosen: bytes, when it was given; 0 = not known */
	char *instead;	      /* alias of the hostdev in whose place it is to be written into its VM's stored definition
			       * (manager-follow.c); NULL = that is as it should be */
	uid_t uid;	      /* who asked */
	uint64_t since;	      /* wall clock */
	uint64_t confirm_by;  /* boot clock: it ends then unless its holder has shown; 0 = it has */
	int domain_id;	      /* libvirt's number of the run of the VM that has it; -1 = none has */
	uint64_t expires;     /* boot clock; 0 = it has no end */
	uint64_t expires_said; /* … by the wall clock when it was set: for the audit trail, whatever the date does */
	uint64_t expiry_retry_at; /* … when the guest did not let go */
	unsigned expiry_failures; /* in a row */
	struct vf_holder process; /* of VF_HELD: whose it is instead of a VM's */
	sd_event_source *watch;	  /* … tells of its end; NULL = looks alone do */
};

/* A time slice that follows the weight of its job's queue (manager-weight.c); stored with the lease. */
struct vf_weighted {
	bool on;
	uint64_t value;	     /* that it has for it, ms */
	struct known before; /* what it had, for its way back */
	bool writing;
	bool failed;	     /* … to set it to `tried` */
	uint64_t tried;
};

/* A free VF of a managed GPU that was found off VFIO (manager-bind.c). */
struct vf_unbound {
	unsigned tries;	   /* to bind it, since it was found so */
	uint64_t retry_at; /* boot clock: not tried before */
	char *driver;	   /* that it had; NULL = none */
	char *failure;	   /* of the last; NULL = it went well, or is under way */
};

struct vf {
	struct gpu *gpu;
	unsigned index; /* from 1 */
	char *name;	/* "gpu0/vf1" */
	struct pci_address address;
	enum vf_state state;
	char *reason;
	char *profile;
	struct lease lease;
	struct vf_weighted weighted;
	struct handover *handover; /* attach, detach or reset in progress; NULL = none */
	struct known last_user;	   /* uid of the last that may have written to its memory; unknown = nobody since it was made */
	char last_vm[37];	   /* uuid, when it was given to a VM and not to a job */
	struct known vram_taken;   /* its VRAM quota, which was taken from it to be cleared, and that it gets back */
	uint64_t scrubbed_at;	   /* wall clock: its memory was cleared after its last user; 0 = it was not */
	char *kept;		   /* why its VM did not let go of it; NULL = it was not asked to, or it is on its way */
	bool bound;		   /* on VFIO, by the last facts */
	struct vf_unbound unbound;
	bool inherited;		   /* its row is an earlier daemon's, not yet compared with libvirt */
	bool doubtful;		   /* a VM may have had it since its last reset: an earlier daemon did not come to say */
	json_t *displaced;	   /* row of the lease that waits for it while another VM has it (manager-displaced.c); NULL = none */
	json_t *audited;	   /* as the audit trail has it; NULL: free */
};

/* What waits until nobody holds a VF of a GPU any more. */
enum drain_for { DRAIN_FOR_GOOD, DRAIN_FOR_APPLY, DRAIN_FOR_MAX };

/* Nobody new gets a VF of the GPU (manager-drain.c). */
struct gpu_drain {
	bool asked; /* by gpu.drain: until gpu.undrain; stored with the GPU */
	uid_t uid;
	uint64_t since;
	char *operations[DRAIN_FOR_MAX]; /* names of those that wait; NULL = none */
	bool waits[DRAIN_FOR_MAX];	 /* they are committed: their turn may come */
	json_t *holders;		 /* as told last: "gpu0/vf1#EPOCH" → text */
};

struct gpu {
	struct manager *m; /* what comes back from the host comes with the GPU only */
	char *name; /* "gpu0" */
	unsigned number;
	struct pci_address address;
	char *serial;
	enum gpu_state state;
	char *reason;
	struct gpu_facts *facts; /* NULL: never read since start */
	struct layout *manual;	 /* last manual layout, NULL = none: the policy's rule decides */
	uid_t manual_uid;
	uint64_t manual_at;
	struct apply *apply; /* re-cut in progress */
	struct tune *tunes;  /* writes of vf.tune in progress */
	char *stuck;	     /* attribute whose access does not return; NULL = none */
	char *scrub_refused; /* why its driver does not clear VFs without a re-cut, as it answered; NULL = it did not say so */
	char *given_up;	     /* the driver says that the device is broken: its ways out; NULL = it does not */
	bool looking, look_again; /* a look for processes is on its way; something happened since it was asked for */
	uint64_t looked_at;	  /* boot clock: the last was asked for then */
	bool reading, read_again; /* a read is on its way; an event came since it was asked for */
	bool apply_accepted; /* one waits for its commit, for holders to leave, or for a last look */
	struct gpu_drain drain;
	char *half_cut;	     /* why it is wedged by us: an undo failed; NULL = it did not; stored (manager-half-cut.c) */
	struct layout *half_cut_before; /* where that undo was to lead; NULL = not known */
	char *drift;	     /* what differs from what is wanted; NULL = nothing */
	uint64_t drift_since;
	bool due; /* a driver was bound since the wanted layout was last looked at */
	bool unreadable; /* what was wanted by hand is lost: nothing is made before somebody says it anew */
	unsigned binding; /* fresh VFs on their way to VFIO, by call */
	struct { /* attempts that nobody asked for (manager-wanted.c) */
		bool running;
		unsigned failures;   /* in a row */
		char *failure;	     /* of the last */
		uint64_t retry_at;   /* boot clock: not before; 0 = at once */
		uint64_t settled_at; /* drift is not healed before */
		sd_event_source *timer;
	} own;
	json_t *audited;   /* as the audit trail has it; NULL: not seen since start */
	struct vf **vfs;
	size_t n_vfs;
	UT_hash_handle hh; /* by name */
};

/* A VM that we may start and shut down (manager-pool.c). */
struct vm_pool {
	bool ours;	   /* it runs because we started it; stored */
	bool stored;	   /* it has a row */
	bool asked_before; /* … when it was to be started, and nobody knew what had come of that */
	int id;		   /* libvirt's of that run; -1 = not known yet */
	bool starting, stopping;
	uint64_t until;	   /* boot clock: the deadline of either */
	uint64_t retry_at; /* … not to be started before; 0 = at once */
	uint64_t image_at; /* … its managed-save image is looked for again then */
	uint64_t idle_since; /* … 0 = it is not idle */
	char *failure;	   /* of the last start or stop */
	sd_event_source *timer;
};

/* Calls of libvirt that do not return (manager-wedged.c). */
struct wedged {
	char *reason; /* NULL = all return */
	uint64_t since; /* wall clock */
};

/* What is tried again after a failure, each time after a longer pause (manager-fixed.c). */
struct vm_tries {
	char *failure;	   /* of the last; NULL = it went well */
	uint64_t retry_at; /* boot clock */
	unsigned failures; /* in a row */
	bool busy;	   /* its stored definition is being changed */
};

struct vm {
	char uuid[37];
	struct domain_facts *facts;
	bool device_busy;	/* one attach or detach at a time … */
	struct handover *waiting; /* … the others wait for their turn, in order */
	unsigned failed_starts; /* jobs in a row whose guest never became ready */
	char *quarantine;	/* why no job is placed here; NULL = fine */
	struct wedged wedged;
	bool stuck; /* a call that was ours has not returned yet */
	struct vm_tries barrier; /* failure: it is not known whether earlier calls about it are over (manager-barrier.c) */
	struct vm_pool pool;
	struct vm_tries fixed;	/* to give it what the policy assigns to it */
	struct vm_tries follow; /* to make its stored definition name VFs that are there (manager-follow.c) */
	struct { /* the host had not what a job's VF would have pinned (manager-pool.c) */
		char *failure;	   /* with the numbers; NULL = it had */
		uint64_t retry_at; /* boot clock: no VF is plugged in for a job before */
		unsigned failures; /* in a row */
		uint64_t stop_at;  /* boot clock: no job is stopped for a place in it before */
		unsigned stops;	   /* jobs that were since it had not */
	} memory;
	UT_hash_handle hh;	/* by uuid */
};

struct operation {
	uint64_t id;
	char *name; /* "op/7" */
	char *method;
	char *subject;
	uid_t uid;
	enum operation_state state;
	json_t *result;		/* what the method's answer adds; NULL = nothing yet */
	struct rpc_error error; /* of a failed one */
	json_t *input;		/* what it needs to go on after a restart */
	const char *input_gpu;	/* borrowed from it: the GPU that it is about; NULL = none */
	const json_t *input_vfs; /* likewise: names of VFs */
	pid_t pid;		/* who asked, for the audit trail; 0 = not known */
	bool own;		/* nobody asked: the daemon's own */
	bool shows;		/* the audit trail has what it changed */
	uint64_t created_at, ended_at;
	struct waiter *waiters;
	bool cancel;
	struct {
		bool known;
		uid_t uid;
		pid_t pid;
	} cancelled_by;
	bool inherited; /* an earlier daemon accepted it, and nobody acts on it yet */
	UT_hash_handle hh; /* by name */
	UT_hash_handle hh_open; /* the same, of those under way */
};

/* A job as the audit trail has it. */
struct job_audited {
	bool known; /* false: it has no row yet */
	bool cancel;
	enum job_state state;
	unsigned attempt;
	uint64_t time_limit; /* of a session */
	uint64_t preempted_for;
};

struct job {
	struct manager *manager; /* its runner's callbacks come with the job only */
	uint64_t id;
	char *name; /* the id as text: key and log subject */
	struct job_document *document;
	uid_t uid;
	gid_t *gids; /* of the submitter when it submitted: VM rules look at them */
	size_t n_gids;
	char *user;
	char *queue;
	enum job_state state;
	enum job_result result;
	char *reason;
	int64_t priority;
	uint64_t submitted_at, started_at, ended_at;
	bool cancel;	     /* asked for: ends as soon as it can … */
	bool cancel_stored;  /* … which is done once that is durable: until then it may be as if nobody had asked */
	uint64_t time_limit; /* µs of each attempt, from its start; 0 = none */
	uint64_t ends;	     /* boot clock: of a session that is ready; 0 = it is not */
	bool booted;	     /* … and the host was booted since */
	unsigned attempt;    /* from 1; 0 = none yet */
	json_t *attempts;    /* array of objects, the last is the present one */
	char vm_uuid[37];    /* of the present attempt */
	char *vm_name;
	char *vf_name;	     /* of the present attempt */
	bool has_exit_code;
	int exit_code;
	char *signal;
	json_t *progress;    /* {step,total,loss,vram_peak_bytes}, or NULL */
	struct runner *runner;
	bool vf_assigned;    /* runs on a VF that the VM holds anyway: not ours to detach */
	bool ending;	     /* a session whose end is not durable yet: its VF does not go back before */
	bool inherited;	     /* an earlier daemon placed it, and nobody follows it yet */
	struct job_audited audited;
	struct {
		unsigned failures;
		uint64_t at; /* boot clock: it is tried again then; 0 = it is followed, or is to be for the first time */
	} rejoin;	     /* its runner could not be made (manager-rejoin.c) */
	bool restored;	     /* from a copy of the state: may have run since, and is not begun by itself */
	UT_hash_handle hh;   /* by name */
};

struct manager {
	/* set-up */
	sd_event *event;
	struct host *host;
	struct hypervisor *hypervisor;
	struct store *store;
	char *state_dir;
	char *policy_dir;
	char *policy_fallback;
	const json_t *config;
	bool simulated;
	uid_t own_uid;
	gid_t socket_gid;
	const char *sysfs_root, *libvirt_uri, *socket, *data_dir; /* the doctor's; NULL as in the options */
	struct doctor_run *doctor; /* one is under way */
	int jobs_fd; /* STATE_DIR/jobs */
	struct uploads *uploads;
	char *instance; /* random, made once per store: names attempts in guests */
	struct manager_start start;
	bool serving; /* the host was scanned once */
	bool ready;   /* … and every layout that could be made was made, or the time for it was over */
	sd_event_source *ready_deadline;
	struct sleep_lock *sleep; /* NULL = this host's sleep is not ours */
	bool sleeping; /* the host is about to suspend, or was not looked at since */
	bool woken;    /* … and the look is under way */
	uint64_t started_at;
	sd_event_source *store_source;

	/* state */
	struct policy *policy;
	json_t *policy_errors; /* of the last load that was refused; NULL = none */
	struct reload *reload; /* the policy is being loaded */
	struct gpu *gpus;
	struct vm *vms;
	struct operation *operations;
	struct operation *open_operations; /* those of them that have not ended: few beside all that are kept */
	struct job *jobs;
	uint64_t next_gpu, next_operation, next_job, next_epoch;
	bool hypervisor_connected; /* and listed: what we know of domains is true */
	char *hypervisor_reason;
	struct wedged hypervisor_wedged;
	bool hypervisor_probed; /* a list that tells whether it answers is on its way */
	bool hypervisor_awaited; /* neither since the start: calls that need it wait */
	sd_event_source *hypervisor_deadline;
	void (*hypervisor_known)(void *userdata); /* that is over */
	void *hypervisor_known_userdata;
	json_t *vm_rows; /* as loaded: uuid → row, until the VM is seen */
	json_t *lease_rows; /* of VFs that are not there, "address/index" → row: not scanned yet, or lost (manager-lost.c) */
	json_t *stuck_early; /* of cards that have no name yet: address → attribute; NULL = none */
	struct look *looks; /* calls that wait for a card to be read */
	bool scan_pending, scan_again; /* … and something happened since it was asked for */
	sd_event_source *expiry_timer; /* the next end of a lease */
	sd_event_source *session_timer; /* … of a session */
	sd_event_source *preempt_timer; /* a job will have run long enough to be preempted */
	sd_event_source *rejoin_timer; /* tries to follow jobs again */
	sd_event_source *process_timer; /* looks again while a process holds a VF */
	sd_event_source *fixed_timer; /* tries assignments of the policy, and changes of definitions, again */
	sd_event_source *bind_timer; /* tries to put free VFs on VFIO again */
	struct {
		sd_event_source *timer;
		uint64_t at; /* boot clock: the last was asked for then */
		bool under_way;
	} survey; /* of what no event of libvirt tells */
	sd_event_source *list_retry; /* asks again for the list of domains */
	sd_event_source *scan_retry; /* looks again after a scan that failed */
	unsigned scan_failures;	     /* in a row */
	bool scanned;		     /* one has succeeded since the start */
	bool recovering;
	bool recovery_void; /* libvirt went away meanwhile: what was learned counts for nothing */
	bool recover_again; /* … and it was listed again since */
	unsigned barriers; /* of recovery, not yet answered */
	bool ending;
	char *stored_boot_id;
	bool booted; /* the host was, since the daemon before */
	json_t *aside;	   /* rows that cannot be read: [{kind, id, at, why}] */
	bool restored;	   /* the state was put back from a copy, and nobody has settled what that means */
	bool skip_numbers; /* numbers may have been used that nobody knows of */
	uint64_t event_floor, audit_floor;
	json_t *requests; /* "uid/request_id" → row: first answers of mutating calls, oldest first */

	/* outbox */
	struct outbox *outbox;
	char *degraded; /* why nothing can be stored; NULL = fine */

	/* pump */
	sd_event_source *pump_source;

	struct question *questions;

	/* events */
	struct event_log *events;

	/* audit trail */
	struct audit *audit;
	sd_event_source *prune_source;
};

#define OPERATION_APPLY "gpu.apply"
#define OPERATION_HEAL "gpu.heal" /* nobody's call: the daemon's own */
