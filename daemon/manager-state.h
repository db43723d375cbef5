/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the manager's own files share: the objects of the core as they are now, and who may change them.
 * Nobody outside manager*.c includes this. */
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
	uid_t uid;	      /* who asked */
	uint64_t since;	      /* wall clock */
	uint64_t confirm_by;  /* boot clock: it ends then unless its holder has shown; 0 = it has */
	int domain_id;	      /* libvirt's number of the run of the VM that has it; -1 = none has */
	uint64_t expires;     /* boot clock; 0 = it has no end */
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
	bool bound;		   /* on VFIO, by the last facts */
	bool inherited;		   /* its row is an earlier daemon's, not yet compared with libvirt */
	bool doubtful;		   /* a VM may have had it since its last reset: an earlier daemon did not come to say */
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
	char *given_up;	     /* the driver says that the device is broken: its ways out; NULL = it does not */
	bool looking, look_again; /* a look for processes is on its way; something happened since it was asked for */
	uint64_t looked_at;	  /* boot clock: the last was asked for then */
	bool reading, read_again; /* a read is on its way; an event came since it was asked for */
	bool apply_accepted; /* one waits for its commit, for holders to leave, or for a last look */
	struct gpu_drain drain;
	bool undo_failed;    /* wedged by us: only a layout that is right mends it */
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

struct vm {
	char uuid[37];
	struct domain_facts *facts;
	bool device_busy;	/* one attach or detach at a time … */
	struct handover *waiting; /* … the others wait for their turn, in order */
	unsigned failed_starts; /* jobs in a row whose guest never became ready */
	char *quarantine;	/* why no job is placed here; NULL = fine */
	struct wedged wedged;
	struct vm_pool pool;
	struct { /* what the policy assigns to it (manager-fixed.c) */
		char *failure;	   /* why it does not have that; NULL = it has */
		uint64_t retry_at; /* boot clock */
		unsigned failures; /* in a row */
		bool mending;	   /* a VF that is gone is on its way out of its definition */
	} fixed;
	struct { /* the host had not what a job's VF would have pinned (manager-pool.c) */
		char *failure;	   /* with the numbers; NULL = it had */
		uint64_t retry_at; /* boot clock: no VF is plugged in for a job before */
		unsigned failures; /* in a row */
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
	bool cancel;	     /* asked for: ends as soon as it can */
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
	bool inherited;	     /* an earlier daemon placed it, and nobody follows it yet */
	struct job_audited audited;
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
	json_t *lease_rows; /* as loaded: "address/index" → row, until the GPU was scanned */
	json_t *stuck_early; /* of cards that have no name yet: address → attribute; NULL = none */
	struct look *looks; /* calls that wait for a card to be read */
	bool scan_pending, scan_again; /* … and something happened since it was asked for */
	sd_event_source *expiry_timer; /* the next end of a lease */
	sd_event_source *process_timer; /* looks again while a process holds a VF */
	sd_event_source *fixed_timer; /* tries assignments of the policy again */
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

/* ---- manager.c ---- */
int request_load(void *manager, const char *id, const json_t *doc);
void manager_serve(struct manager *m); /* the host was scanned: callers may come */
void manager_remember_request(struct manager *m, const char *key, json_t *row); /* takes row */
void manager_pump(struct manager *m); /* asks for a look at what can be done now */

/* ---- manager-outbox.c: durable first, then seen, then done ---- */
int outbox_begin(struct manager *m);
void outbox_end(struct manager *m);
/* Rows of the open batch. */
void outbox_put(struct manager *m, enum store_kind kind, const char *id, json_t *doc); /* takes */
void outbox_put_text(struct manager *m, enum store_kind kind, const char *id, char *text); /* takes; JSON */
void outbox_delete(struct manager *m, enum store_kind kind, const char *id);
void outbox_delete_before(struct manager *m, enum store_kind kind, const char *id);
void outbox_prune_audit(struct manager *m, const char *before);
/* After COMMIT: on_commit; when nothing was written: on_fail.  Each may be NULL; exactly one runs. */
void outbox_add(struct manager *m, void (*on_commit)(struct manager *m, void *userdata),
		void (*on_fail)(struct manager *m, void *userdata), void *userdata);
bool outbox_is_empty(const struct manager *m); /* nothing waits for its COMMIT */
/* Answers after COMMIT; when it fails, with `degraded`.  Takes result. */
void outbox_reply(struct manager *m, struct reply *reply, json_t *result);
void outbox_reply_error(struct manager *m, struct reply *reply, const struct rpc_error *error);
void outbox_flush(struct manager *m); /* at the end of the daemon */
void store_everything(struct manager *m); /* writes every object once more: rows of failed batches are lost */
/* True, and the reply was given, when no change can be taken now. */
bool manager_refuses_changes(struct manager *m, struct reply *reply);

/* ---- manager-event.c ---- */
int events_new(struct manager *m);
void events_free(struct manager *m);
int events_load(struct manager *m);
void events_write(struct manager *m); /* those of the open batch go into it, which is about to close */
void events_not_committed(struct manager *m); /* the open batch is given up */
void events_skip_to(struct manager *m, uint64_t seq); /* the next event has this number, or a higher one */
/* Emits after COMMIT.  more (may be NULL) is taken: its members are added. */
void manager_emit(struct manager *m, const char *type, const char *subject, json_t *more);
void manager_emit_owned(struct manager *m, const char *type, const char *subject, uid_t owner,
			json_t *more);
void manager_emit_audit(struct manager *m, const char *row); /* the event of a row of the trail, as text */

/* ---- manager-audit.c: who changed what ---- */
enum audit_outcome { AUDIT_CHANGED, AUDIT_ACCEPTED, AUDIT_FAILED, AUDIT_CANCELLED, AUDIT_REFUSED, AUDIT_OUTCOME_MAX };
DECLARE_ENUM_TABLE(audit_outcome, enum audit_outcome);

struct audit_change {
	const char *subject;
	const char *operation; /* NULL: the one under way about the subject, if any */
	enum audit_outcome outcome;
	json_t *before, *after; /* compact views, taken; NULL = there was nothing */
	const char *error;
	const char *word; /* "daemon:job" …: the method when nobody asked for it */
	uint64_t left_out;
	/* Nothing was written: the subject is in the trail as it was before. */
	void (*undo)(struct manager *m, const char *subject, const json_t *before);
};

int audit_new(struct manager *m);
uint64_t audit_next(const struct manager *m);
void audit_skip_to(struct manager *m, uint64_t number); /* the next row has this number, or a higher one */
void audit_free(struct manager *m);
void audit_write(struct manager *m, const struct audit_change *change); /* into the open batch */
/* Nothing of the open batches was written.  Before the changes themselves are undone: a change back to what is in
 * the trail is none, one to something else is told as it is stored. */
void audit_not_committed(struct manager *m);
void audit_operation_begun(struct manager *m, struct operation *op);
/* What the daemon changes from now on is told as its doing under this word ("daemon:recover"); NULL = by each
 * change's own.  Returns the word before. */
const char *audit_scope(struct manager *m, const char *word);

/* ---- manager-audit-view.c: called by each object's store function; a difference is a row ---- */
void audit_vf(struct manager *m, struct vf *vf);
void audit_gpu(struct manager *m, struct gpu *gpu, const char *word);
void audit_job(struct manager *m, struct job *job);
void audit_vf_known(struct vf *vf); /* as it is now it is in the trail already */
void audit_job_known(struct job *job);
void audit_vm(struct manager *m, const struct vm *vm, const char *quarantine_before, const char *word);
void audit_policy(struct manager *m, const char *before); /* its revision */
void audit_operation(struct manager *m, const struct operation *op); /* it has ended */
json_t *audit_operation_view(const struct operation *op); /* returns new */
void audit_operation_cancel(struct manager *m, const struct operation *op);

/* ---- manager-audit-list.c ---- */
void audit_prune_begin(struct manager *m);
void audit_prune_sometimes(struct manager *m, uint64_t number);

/* ---- manager-gpu.c ---- */
struct gpu *gpu_find(struct manager *m, const char *name_or_address);
/* The same, when the card is there; refuses by itself. */
struct gpu *gpu_present(struct manager *m, const char *name_or_address, struct reply *reply);
struct gpu *gpu_find_address(struct manager *m, const struct pci_address *address);
void gpu_set_state(struct manager *m, struct gpu *gpu, enum gpu_state state, const char *reason);
void gpu_store(struct manager *m, struct gpu *gpu);
int gpu_load(void *manager, const char *id, const json_t *doc);
void gpu_free(struct manager *m, struct gpu *gpu);
/* Takes facts: the kernel's word replaces ours. */
void gpu_update(struct manager *m, struct gpu_facts *facts);
void gpu_absent(struct manager *m, struct gpu *gpu);
void gpu_vfs_are_gone(struct manager *m, struct gpu *gpu); /* 0 was written: the next are others */
/* The leases of an earlier daemon whose VFs the kernel does not show: they wait until the wanted layout stands, and end
 * when it does not bring them back. */
void gpu_end_leases_of_absent(struct manager *m, struct gpu *gpu);
void gpu_refresh(struct manager *m, struct gpu *gpu); /* asks the host; gpu_update() follows */
/* Sets the state that it has when nothing is under way. */
void gpu_calm(struct manager *m, struct gpu *gpu);
void manager_scan(struct manager *m);
void manager_on_host_event(void *manager, const struct host_event *event);

/* ---- manager-wanted.c ---- */
/* The wanted layout: manual, else the policy's; NULL = nobody wants anything.  Returns new. */
struct layout *gpu_wanted(struct manager *m, const struct gpu *gpu);
/* "manual", "policy", or NULL. */
const char *gpu_layout_source(struct manager *m, const struct gpu *gpu);
/* Its state when nothing is under way: draining when it is drained, ready when somebody manages it, else
 * unmanaged. */
enum gpu_state gpu_calm_state(struct manager *m, const struct gpu *gpu);
/* Notes which profile each VF was made of. */
void gpu_name_profiles(struct manager *m, struct gpu *gpu, const struct layout *layout);
void gpu_check_drift(struct manager *m, struct gpu *gpu);
void gpu_drift_absent(struct manager *m, struct gpu *gpu); /* its card is going; facts are still there */
json_t *drift_view(struct manager *m, const struct gpu *gpu); /* returns new */
void wanted_pump(struct manager *m); /* makes layouts that are due, heals what may be healed */
bool gpu_has_inherited_apply(struct manager *m, const struct gpu *gpu); /* an earlier daemon's is not taken up */
bool gpu_has_inherited(struct manager *m, const struct gpu *gpu);	/* … or a tune of it */
bool wanted_settled(struct manager *m); /* nothing of that is left to do or under way */
void wanted_ended(struct manager *m, struct gpu *gpu, const struct rpc_error *error); /* NULL: it went well */
void wanted_not_stored(struct manager *m, struct gpu *gpu); /* … because the store failed: it is due again */
void wanted_forget(struct gpu *gpu); /* failures and appointments */

/* ---- manager-sleep.c ---- */
void sleep_follow(struct manager *m);
void sleep_pump(struct manager *m); /* takes logind's lock, or lets it go */
json_t *sleep_view(struct manager *m); /* returns new */

/* ---- manager-apply.c ---- */
/* Starts the re-cut of an operation whose row is committed. */
void apply_start(struct manager *m, struct operation *op);
/* Takes up the one of an earlier daemon. */
void apply_resume(struct manager *m, struct operation *op);
/* Puts fresh VFs on VFIO; gpu->binding until that is done. */
void apply_bind_vfs(struct manager *m, struct gpu *gpu);
void apply_unstuck(struct manager *m, struct gpu *gpu); /* what hung has returned: its apply goes on */
void apply_drop(struct gpu *gpu); /* the daemon ends */
/* The layout that was wanted before the operation is wanted again. */
void apply_restore_ownership(struct manager *m, struct gpu *gpu, const struct operation *op);

/* ---- manager-plan.c ---- */
/* An accepted apply: waits for what it has to wait for, then apply_start(). */
void apply_go(struct manager *m, struct operation *op);

/* ---- manager-holders.c ---- */
/* Names of those who hold VFs of the GPU, as new JSON array; NULL = nobody. */
json_t *gpu_holders(struct manager *m, const struct gpu *gpu);
/* The same by lease, "gpu0/vf1#EPOCH" → text: a holder whose state changes is the same one.  Returns new. */
json_t *gpu_leases(struct manager *m, const struct gpu *gpu);

/* ---- manager-reuse.c: memory between users ---- */
#define NOBODYS_JOB UINT64_MAX /* no uid: a VM had it last, so no job gets it */
struct known vf_only_for(struct manager *m, const struct vf *vf); /* the only user whose jobs may have it */
bool vf_is_open_to(struct manager *m, const struct vf *vf, uid_t uid, const struct vm *vm); /* vm: NULL = a job's */
void vf_note_user(struct vf *vf); /* its state is new */
int refuse_reuse(struct manager *m, const struct vf *vf, struct rpc_error *error);
/* The free VFs (of one GPU) that this user cannot have; NULL = none; returns new. */
char *reuse_text(struct manager *m, const struct gpu *only, uid_t uid, const struct vm *vm);
json_t *memory_view(struct manager *m, const struct vf *vf); /* returns new */

/* ---- manager-pf.c: the GPU itself is no VF, and is given to nobody ---- */
bool pf_is_given(struct manager *m, const struct gpu *gpu); /* some VM has it, or its definition names it */
json_t *pf_view(struct manager *m, const struct gpu *gpu); /* which; null = none; returns new */
char *pf_text(struct manager *m, const struct gpu *gpu);   /* … in words; NULL = none; returns new */
/* 0 = nobody has it.  stored: a VM's definition counts too; libvirt tells of no change of that, so what is known may be
 * old unless it was just asked. */
int pf_refuse_cut(struct manager *m, const struct gpu *gpu, bool stored, struct rpc_error *error);
char *pf_named_text(struct manager *m, const char *name); /* a GPU where a VF is meant; NULL = it is none; returns new */
int pf_refuse_name(struct manager *m, const char *name, struct rpc_error *error); /* of what is no VF */

/* ---- manager-process.c: VFs that a process of the host has open ---- */
bool vf_is_in_process(const struct vf *vf);
char *process_text(const struct vf *vf); /* "media-server (pid 7, uid 0) has … open"; returns new */
char *processes_text(struct manager *m, const struct gpu *only); /* of all (of one GPU); NULL = none; returns new */
int refuse_process(const struct vf *vf, struct rpc_error *error); /* of a VF that is in one */
json_t *process_view(const struct vf *vf); /* null when there is none; returns new.  Also its row */
void process_from_row(struct vf *vf, const json_t *row);
void process_forget(struct vf *vf); /* the lease is another's, or over */
void process_arm(struct manager *m);
void processes_look(struct manager *m, struct gpu *gpu);
/* Somebody asks what this GPU, or NULL: any, and its VFs are like: looks, unless it did a moment ago.  The answer is
 * given meanwhile. */
void processes_asked(struct manager *m, const struct gpu *only);
void processes_note(struct manager *m, struct gpu *gpu, const struct host_reply *reply); /* what a look said */
/* The VF, which nobody has yet, is a process's by this look: then it becomes `held`, and is nobody else's. */
bool process_takes(struct manager *m, struct vf *vf, const struct host_reply *reply);

/* ---- manager-drain.c ---- */
bool gpu_is_draining(const struct gpu *gpu);
/* The operation waits for the holders from now on, and nobody new comes; undone by drain_over(). */
void drain_take(struct manager *m, struct gpu *gpu, enum drain_for what, struct operation *op);
void drain_over(struct manager *m, struct gpu *gpu, enum drain_for what);
/* True when the committed operation has to wait: it is called back when the last holder has left. */
bool drain_waits(struct manager *m, struct gpu *gpu, enum drain_for what, struct operation *op);
void drains_advance(struct manager *m); /* looks who has left meanwhile */
void drain_go(struct manager *m, struct operation *op); /* a committed gpu.drain */
void drains_load(struct manager *m); /* those that an earlier daemon accepted */
json_t *drain_row(const struct gpu *gpu); /* returns new */
void drain_from_row(struct gpu *gpu, const json_t *row);
json_t *drain_view(struct manager *m, const struct gpu *gpu); /* returns new */
char *drain_reason(const struct gpu *gpu); /* in one line; returns new */
void drain_done(struct gpu *gpu); /* frees what it has */

/* ---- manager-tune.c ---- */
void tune_go(struct manager *m, struct operation *op); /* a committed vf.tune */
void tunes_drop(struct gpu *gpu); /* the daemon ends */

/* ---- manager-weight.c: time slices by the weight of queues ---- */
void weights_update(struct manager *m);
/* What the VFs have for their jobs' weight goes before what the layout names. */
void weights_expect(const struct gpu *gpu, struct layout *layout);
/* The wanted layout with that: what the kernel should show.  Returns new; NULL = nobody wants anything. */
struct layout *gpu_expected(struct manager *m, const struct gpu *gpu);

/* ---- manager-question.c: answers that need a look at the host first ---- */
struct question {
	struct manager *m;
	struct reply *reply;
	json_t *answer; /* grows with what comes; given when nothing is left … */
	json_t *(*finish)(struct question *q); /* … or what this makes of it: returns new; NULL = no memory */
	size_t left;
	struct asked *asked;   /* what the host was asked and has not answered */
	struct question *next; /* in manager->questions */
};

typedef void (*question_fn)(struct question *q, const char *gpu, const struct host_reply *reply);
/* Takes answer.  NULL: refused already.  Its maker asks what there is to ask, then question_less(). */
struct question *question_new(struct manager *m, struct reply *reply, json_t *answer);
void question_ask(struct question *q, const struct gpu *gpu, enum host_op op, question_fn fn);
void question_less(struct question *q);
void questions_end(struct manager *m);

/* ---- manager-look.c ---- */
void looks_end(struct manager *m); /* the daemon ends */

/* ---- manager-plan.c ---- */
/* gpu.apply, once the card was read. */
void apply_decide(struct manager *m, const struct caller *caller, const struct gpu_apply_params *p,
		  struct reply *reply);
/* The daemon's own apply of the wanted layout: an operation like any other, so that it is known and taken up
 * again when the daemon dies in it; wanted_ended() follows.  Borrows layout. */
void apply_wanted(struct manager *m, struct gpu *gpu, const struct layout *layout, const char *method);

/* ---- manager-vf.c ---- */
struct vf *vf_find(struct manager *m, const char *name_or_address);
struct vf *vf_find_address(struct manager *m, const struct pci_address *address);
void vf_set_state(struct manager *m, struct vf *vf, enum vf_state state, const char *reason);
void vf_store(struct manager *m, struct vf *vf);
void vf_free(struct vf *vf);
/* Leases a free VF; the caller has checked that it is free, and sets its state next, which stores both. */
void vf_lease(struct manager *m, struct vf *vf, enum lease_owner owner, const struct vm *vm,
	      uint64_t job, uid_t uid, bool live, bool config);
void vf_lease_end(struct manager *m, struct vf *vf);
/* The state and the end of the lease, if it has one, in one row. */
void vf_let_go(struct manager *m, struct vf *vf, enum vf_state state, const char *reason);
/* Passes the lease of a VF that stays where it is on, to a job or (LEASE_KEPT) to whatever comes next. */
void vf_lease_pass(struct manager *m, struct vf *vf, enum lease_owner owner, uint64_t job);
struct job *lease_job(struct manager *m, const struct lease *lease); /* NULL = no job's */
char *vf_alias(const struct vf *vf); /* returns new */
const struct vf_facts *vf_facts_of(const struct vf *vf);
/* The VF that the operation is about, when nothing else is under way with it; fails the operation by itself. */
struct vf *operation_vf(struct manager *m, struct operation *op);
bool vf_fits(const struct vf *vf, const char *profile, uint64_t vram_bytes);
int vf_lease_from_row(struct manager *m, struct vf *vf, const json_t *row);

/* q35 takes a VF in ports only, which are made before the start; pc in any free slot of its buses. */
#define NO_PORT_HINT "take a device out, or, in its XML, add a pcie-root-port (q35) or pci-bridge (pc) and restart it"

/* ---- manager-handover.c, -attach.c, -detach.c, -side.c, -gate.c: a VF on its way to a VM and back ---- */
/* error is NULL on success; borrowed. */
typedef void (*handover_fn)(struct manager *m, struct vf *vf, void *userdata,
			    const struct rpc_error *error);
void handover_attach(struct manager *m, struct vf *vf, handover_fn fn, void *userdata);
void handover_detach(struct manager *m, struct vf *vf, handover_fn fn, void *userdata);
void handover_reset(struct manager *m, struct vf *vf, handover_fn fn, void *userdata);
/* Its VM gets it on the other side as well, or keeps it on the other side only (manager-side.c). */
void handover_add_side(struct manager *m, struct vf *vf, enum lease_side side, handover_fn fn, void *userdata);
void handover_take_side(struct manager *m, struct vf *vf, enum lease_side side, handover_fn fn, void *userdata);
bool lease_has_side(const struct vf *vf, enum lease_side side);
enum lease_side operation_side(const struct operation *op); /* of an assign or release of one side; else both */
/* Powers its VM off first, whose guest has no say then.  A detach that is under way is waited for. */
void handover_power_off(struct manager *m, struct vf *vf, handover_fn fn, void *userdata);
/* Hears of the end of what is under way with the VF.  False: nothing is, or somebody hears of it already. */
bool handover_join(struct vf *vf, handover_fn fn, void *userdata);
bool handover_can_join(const struct vf *vf);
/* Puts a fresh VF on VFIO.  False: there is nothing to do, and fn never runs. */
bool handover_bind(struct manager *m, struct vf *vf, handover_fn fn, void *userdata);
void handover_vm_gone(struct vm *vm); /* lets those go on that wait for it */
void handover_drop(struct vf *vf);    /* the daemon ends */
void rpc_error_from_hv(struct rpc_error *error, const struct hv_reply *reply, const char *what);
void rpc_error_from_host(struct rpc_error *error, const struct host_reply *reply, const char *what);
json_t *host_holders_texts(const struct host_reply *reply); /* "vf1: qemu (pid 7) has … open"; returns new */

/* ---- manager-power-off.c: release --force ---- */
/* Refuses what cannot be forced, and what it breaks as long as nobody said yes to that.  vf is held by its VM. */
int power_off_check(struct manager *m, const struct vf *vf, const struct vf_release_params *p,
		    struct rpc_error *error);
bool power_off_may_take(const struct vf *vf); /* it is in a running guest */
void power_off_note(struct manager *m, struct operation *op, const struct vf *vf); /* accepted: its rows */
/* The VM still runs as it did when the operation was accepted: not one that somebody started since. */
bool power_off_is_due(struct manager *m, const struct operation *op, const struct vf *vf);

/* ---- manager-assign.c, manager-release.c ---- */
void assign_resume(struct manager *m, struct operation *op);
void release_resume(struct manager *m, struct operation *op);

struct vf *assign_pick_free(struct manager *m, const char *profile, uint64_t vram_bytes, uid_t uid,
			    const struct vm *vm); /* NULL = none */

/* ---- manager-expiry.c: leases with an end ---- */
void expiry_pump(struct manager *m); /* takes back those whose time is over */
/* From now on so long, 0 = without end; undone when it cannot be stored. */
int expiry_move(struct manager *m, struct vf *vf, uint64_t for_usec, struct rpc_error *error);
/* at: of the boot clock, 0 = none. */
uint64_t expiry_wall(uint64_t at); /* wall clock, to the second; 0 = none */
json_t *expiry_row(uint64_t at);
uint64_t expiry_from_row(const json_t *row); /* boot clock of now */
bool lease_was_never_confirmed(const struct vf *vf); /* and the time for that is over */

/* ---- manager-fixed.c: VFs that the policy assigns to VMs ---- */
void fixed_pump(struct manager *m);
void fixed_try_again(struct vm *vm); /* something changed: whatever failed may go well now */
void fixed_resume(struct manager *m, struct vf *vf); /* leased by an earlier daemon, not attached */
void fixed_failed(struct manager *m, struct vm *vm, const char *why); /* told, and tried again later */

/* ---- manager-missing.c: VFs that stored definitions name and the host does not have ---- */
bool alias_is_ours(const char *alias); /* NULL: no */
bool alias_is_of_policy(const char *alias);
const struct domain_hostdev *vm_missing_vf(struct manager *m, const struct vm *vm); /* the first; NULL = none */
char *vm_missing_text(struct manager *m, const struct vm *vm); /* why it will not start; returns new, or NULL */
bool vm_mend_missing(struct manager *m, struct vm *vm); /* true: one that the policy gave is being taken out */

/* ---- manager-reset.c ---- */
void reset_resume(struct manager *m, struct operation *op); /* vf.reset and vf.heal of an earlier daemon */

/* ---- manager-vm.c ---- */
struct vm *vm_find(struct manager *m, const char *name_or_uuid);
struct vm *vm_find_uuid(struct manager *m, const char *uuid);
void vm_free(struct manager *m, struct vm *vm);
void vm_update(struct manager *m, const struct domain_facts *facts);
/* What the VM's hostdevs mean for the VFs: adopted, confirmed, lost. */
void vm_compare_hostdevs(struct manager *m, struct vm *vm, bool sure); /* sure: this is libvirt's present word */
bool vf_is_live(struct manager *m, const struct vf *vf); /* in the running guest of any VM, by libvirt's last word */
bool vf_is_elsewhere(struct manager *m, const struct vf *vf); /* live in another VM than its lease's */
void vm_adopt_vf(struct manager *m, struct vf *vf); /* a free VF that some VM names is held by it */
/* We wrote the hostdev into its stored definition, or out of it: libvirt may tell of that late or never. */
/* NULL: the domain does not have it. */
const struct domain_hostdev *domain_hostdev_at(const struct domain_facts *facts, const struct pci_address *address);
void vm_note_stored(struct vm *vm, const struct pci_address *address, const char *alias, bool there);
void vm_gone(struct manager *m, const char *uuid);

/* ---- libvirt (manager-hypervisor.c) ---- */

void hypervisor_asked(struct manager *m); /* from now on its first word can come */
void hypervisor_pump(struct manager *m);  /* ends the wait for it */
int refuse_without_libvirt(struct manager *m, struct rpc_error *error); /* 0 = it is there */
const char *hypervisor_away_text(const struct manager *m); /* while it is not connected: why */
void manager_on_hv_event(void *manager, const struct hv_event *event);

/* ---- manager-survey.c: what others write into stored definitions, of which no event tells ---- */
int survey_new(struct manager *m);
void survey_free(struct manager *m);
void survey_asked(struct manager *m); /* somebody asks what is free: looks, unless it did a moment ago */

/* ---- manager-wedged.c: calls of libvirt that do not return ---- */
void wedged_done(struct wedged *w);
json_t *wedged_view(const struct wedged *w); /* {reason, since}, or null; returns new */
int refuse_wedged(const struct vm *vm, struct rpc_error *error);
void wedged_follow(struct manager *m, const struct hv_event *event); /* STUCK, UNSTUCK */
void wedged_hypervisor_answered(struct manager *m);
void wedged_connection_lost(struct manager *m); /* … and with it whatever hung */
void wedged_troubles(struct manager *m, json_t *troubles); /* adds to those of daemon.status */

/* ---- manager-pool.c: VMs started on demand and shut down when idle, and what keeps jobs out of one ---- */
void pool_store(struct manager *m, struct vm *vm);
void pool_load(struct manager *m, struct vm *vm); /* of a VM that was just seen: what its row says */
void pool_forget_rows(struct manager *m);
void pool_vm_gone(struct manager *m, struct vm *vm);
void vm_failed_start(struct manager *m, struct vm *vm, const char *reason);
void vm_open(struct manager *m, struct vm *vm, const char *word); /* jobs are placed there again */
void vm_no_memory(struct vm *vm, const char *why); /* NULL: there was enough */
bool vm_lacks_memory(const struct vm *vm);
const char *pool_state(const struct vm *vm); /* "starting", "stopping", NULL */
uint64_t pool_ready_usec(struct manager *m);
bool pool_may_start(const struct vm *vm, const struct policy_vm_rule *rule);
void pool_start(struct manager *m, struct vm *vm); /* a job waits for it; again does nothing */
void pool_follow(struct manager *m, struct vm *vm, enum vm_state before); /* its facts are new */
void pool_pump(struct manager *m);

/* ---- manager-operation.c ---- */
struct operation *operation_new(struct manager *m, const char *method, const char *subject,
				uid_t uid, json_t *input);
struct operation *operation_find(struct manager *m, const char *name);
bool operation_is_apply(const struct operation *op); /* cuts a GPU, whoever asked */
void operation_store(struct manager *m, struct operation *op);
/* Of a release: those that are left; borrows names.  Not stored. */
void operation_set_input_vfs(struct operation *op, json_t *names);
int operation_load(void *manager, const char *id, const json_t *doc);
void operation_begin(struct manager *m, struct operation *op);
void operation_done(struct manager *m, struct operation *op, json_t *result); /* takes result */
void operation_failed(struct manager *m, struct operation *op, const struct rpc_error *error);
/* It hangs in the kernel: who waits is told why, but it is not over; operation_goes_on() when it returns. */
void operation_hangs(struct manager *m, struct operation *op, const struct rpc_error *error);
void operation_goes_on(struct manager *m, struct operation *op);
void operation_drop(struct manager *m, struct operation *op); /* undo of one that was not committed */
void operation_free(struct manager *m, struct operation *op);
void operations_forget_old(struct manager *m);
/* Answers when the operation ends, at the latest after wait_usec (0 = as soon as it is committed). */
void operation_reply(struct manager *m, struct operation *op, uint64_t wait_usec,
		     struct reply *reply);
json_t *operation_to_json(const struct operation *op);

/* ---- manager-job*.c, manager-run.c, manager-place.c ---- */
struct job *job_new(struct manager *m, uint64_t id); /* NULL = no memory */
struct job *job_find(struct manager *m, const char *id);
void job_set_state(struct manager *m, struct job *job, enum job_state state, const char *reason);
void job_store(struct manager *m, struct job *job);
int job_load(void *manager, const char *id, const json_t *doc);
void job_free(struct manager *m, struct job *job);
void jobs_forget_old(struct manager *m);
json_t *job_to_json(const struct job *job, bool all);
/* The job that a caller may act on; refuses by itself (NULL). */
struct job *job_for(struct manager *m, const struct caller *caller, const char *id, struct reply *reply);
json_t *job_attempt(const struct job *job); /* the present one, borrowed, or NULL */
int job_attempt_dir(struct manager *m, const struct job *job, unsigned attempt, bool create);
/* The files as they were at submit: in/0, in/1, … */
int job_snapshot_files(struct manager *m, struct job *job);
void job_run(struct manager *m, struct job *job); /* its VF is leased and committed: attach and go on */
void job_resume(struct manager *m, struct job *job); /* after a restart, once its VM is known */
void job_stop(struct manager *m, struct job *job);   /* cancel: wherever it is now */
void job_vm_off(struct manager *m, struct job *job); /* its VM is confirmed off */
void job_vf_back(struct manager *m, const char *vf_name); /* one that the runner is done with ends now */
bool job_place(struct manager *m); /* one round of the scheduler; true = something was placed */
void job_unplace(struct job *job); /* its attempt was none */

/* ---- manager-upload.c: files of jobs that are too large for one message ---- */
int uploads_new(struct manager *m); /* forgets those of an earlier daemon */
void uploads_free(struct manager *m);
int upload_size(struct manager *m, const char *id, uid_t uid, uint64_t *ret); /* -ENOENT: not this user's */
/* Moves the content to dirfd/name; the upload is over.  Returns 0 or a negative errno. */
int upload_move(struct manager *m, const char *id, uid_t uid, int dirfd, const char *name);

/* ---- manager-load.c ---- */
int manager_load(struct manager *m);
bool row_is_aside(struct manager *m, const char *kind, const char *id);
void aside_view(struct manager *m, json_t *troubles); /* adds to the troubles of daemon.status */
void job_hold_restored(struct manager *m, struct job *job); /* one from a copy does not go on by itself */

/* ---- manager-recover.c ---- */
/* libvirt has listed its domains: compares store, kernel and libvirt, and goes on with what was
 * accepted. */
void manager_recover(struct manager *m);
void recover_late_vf(struct manager *m, struct vf *vf); /* shown by the kernel after that */

/* ---- manager-doctor.c ---- */
struct findings;
/* What only the daemon can know; the examination tells the rest. */
struct daemon_check {
	const char *id;
	const char *what;
	void (*judge)(struct manager *m, const char *id, struct findings *findings);
};
extern const struct daemon_check daemon_checks[]; /* ended by a row without an id */
void doctor_end(struct manager *m);

/* ---- manager-policy.c ---- */
int manager_load_policy(struct manager *m);
void policy_reload_end(struct manager *m);

/* ---- manager-fits.c ---- */
/* {PROFILE: {free_now, after_recut}}; returns new. */
json_t *gpu_fits_view(struct manager *m, const struct gpu *gpu);

/* ---- manager-view.c: JSON of objects as the API shows them; all return new ---- */
json_t *gpu_view(struct manager *m, const struct gpu *gpu);
json_t *vf_view(struct manager *m, const struct vf *vf);
json_t *vm_view(struct manager *m, const struct vm *vm);
/* Answers with one page of an array that holds everything: takes items.  Refuses a bad cursor. */
void page_reply(struct manager *m, struct reply *reply, json_t *items,
		const struct page_params *page);
void view_reply(struct manager *m, struct reply *reply, json_t *result); /* takes result */
char *user_name(uid_t uid); /* digits: names are resolved off the loop; returns new */
