/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager as rpc/ and main.c see it: one function per method, each answered exactly once through
 * its reply, now or later.  A reply that tells of a change comes only after the change was committed.
 * Everything runs on the loop's thread. */
#pragma once

#include "lib/jsonrpc.h"
#include "policy/policy.h"

struct host;
struct hypervisor;
struct manager;
struct sd_event;
struct sleep_lock;
struct store;

/* ---- Set-up ------------------------------------------------------------------------------------ */

/* When the host may not suspend (gpuvfd.json, inhibit_sleep). */
enum inhibit_sleep {
	INHIBIT_SLEEP_HELD,    /* while VFs are in use */
	INHIBIT_SLEEP_ENABLED, /* while there are VFs */
	INHIBIT_SLEEP_NEVER,   /* nobody is asked */
	INHIBIT_SLEEP_MAX,
};
DECLARE_ENUM_TABLE(inhibit_sleep, enum inhibit_sleep);

struct manager_options {
	struct sd_event *event;	       /* borrowed */
	struct host *host;	       /* borrowed: outlives the manager */
	struct hypervisor *hypervisor; /* borrowed */
	struct store *store;	       /* borrowed */
	struct sleep_lock *sleep;      /* borrowed; NULL = this host's sleep is not ours */
	const char *state_dir;
	const char *policy_dir;
	const char *policy_fallback;
	const json_t *config; /* the configuration with defaults filled in, borrowed */
	bool simulated;
	uid_t own_uid;
	gid_t socket_gid; /* (gid_t)-1 = none */
	/* For the doctor, which looks by itself; borrowed. */
	const char *sysfs_root;	 /* NULL = the real one */
	const char *libvirt_uri; /* NULL = the default */
	const char *socket;	 /* NULL = not known */
	const char *data_dir;	 /* NULL = the installed one */
};

/* Loads state and policy.  A bad policy at start is logged and the daemon runs with none of its rules (nothing is
 * cut, nobody but root may act) rather than not at all.  Returns 0 or a negative errno. */
int manager_new(const struct manager_options *options, struct manager **ret);
/* Each is called once, in this order, on the loop. */
struct manager_start {
	void (*serving)(void *userdata); /* the host was scanned: callers can be answered */
	/* … and the wanted layouts were made of the GPUs that had no VFs, or the time for that is over.  Only now
	 * may libvirt be asked: its start may wait for us. */
	void (*ready)(void *userdata);
	void *userdata;
};
int manager_start(struct manager *m, const struct manager_start *start);
struct manager *manager_free(struct manager *m);
DEFINE_CLEANUP(struct manager *, manager_free);

/* ---- Answers ------------------------------------------------------------------------------------ */

/* Embedded by whoever waits for an answer; it must live until done ran. */
struct reply {
	/* Takes result; error is NULL on success.  Called exactly once. */
	void (*done)(struct reply *reply, json_t *result, const struct rpc_error *error);
	char *request_key;  /* "UID/REQUEST_ID" of a mutating call that gave one, else NULL; owned */
	char *request_body; /* hash of method and params that came with it; owned */
};

void reply_result(struct reply *reply, json_t *result); /* takes result; NULL = out of memory */
void reply_error(struct reply *reply, const struct rpc_error *error);
void reply_error_done(struct reply *reply, struct rpc_error *error); /* … and frees what the error holds */
void reply_refuse(struct reply *reply, enum rpc_code code, const char *format, ...) _printf_(3, 4);

/* For a mutating call with a request_id: sets reply's request members.  Returns true when the call needs no
 * handler any more, because the same request was answered before (the first answer is given again), is still
 * being answered, or came with another body (conflict). */
bool manager_request_seen(struct manager *m, const struct caller *caller, const char *request_id,
			  const char *method, const json_t *params, struct reply *reply);

/* Around the handler of a mutating call: what changes in between is the caller's doing. */
void manager_call_begin(struct manager *m, const struct caller *caller, const char *method);
void manager_call_end(struct manager *m);
/* A mutating call was refused because the caller lacks the right; subject may be NULL. */
void manager_audit_refused(struct manager *m, uid_t uid, pid_t pid, const char *method, const char *subject,
			   const char *why);

/* True until libvirt has said that it is there, and its domains, or that it is not, or was silent for too long: a
 * call that needs it does better to wait than to be refused right after the start.  The second is about calls that
 * need it only where a GPU (name or address) has VFs. */
bool manager_awaits_hypervisor(const struct manager *m);
bool manager_gpu_awaits_hypervisor(struct manager *m, const char *gpu);
/* known is called once, from the loop, when that ends; the last one given counts. */
/* SIGHUP, sent by `who` (uid and pid): as policy.reload; what came of it is logged. */
void manager_policy_signal(struct manager *m, const struct caller *who);
void manager_on_hypervisor_known(struct manager *m, void (*known)(void *userdata), void *userdata);

/* Sets caller->role (and name) from uid and gids by the policy in force. */
void manager_caller_update(struct manager *m, struct caller *caller);

/* ---- Events -------------------------------------------------------------------------------------- */

struct manager_event {
	uint64_t seq;
	const char *type;     /* "gpu.changed" … (interface §3) */
	const json_t *json;   /* {seq, at, type, subject, …}, borrowed */
	bool owned;	      /* a job's or operation's: only its owner and operators see the details */
	uid_t owner;
	const json_t *public_json; /* what others see of an owned event; NULL = nothing */
};

/* False: no more of a replay. */
typedef bool (*manager_event_fn)(void *userdata, const struct manager_event *event);

/* Observers are told after the commit, in order of seq.  Returns an id for unsubscribe, or a negative errno. */
int manager_subscribe(struct manager *m, manager_event_fn fn, void *userdata);
void manager_unsubscribe(struct manager *m, int id);
uint64_t manager_event_next(const struct manager *m); /* the seq that the next event will have */
/* Calls fn for kept events with seq ≥ since (UINT64_MAX = none).  Returns the first seq that is still kept. */
uint64_t manager_events_replay(struct manager *m, uint64_t since, manager_event_fn fn,
			       void *userdata);

/* ---- Parameters ------------------------------------------------------------------------------------
 * Filled by the field tables of rpc/; strings may be NULL when the member was absent. */

struct none_params {
	char unused;
};

struct page_params { /* part of every list; after is the opaque `next` of the page before */
	uint64_t limit; /* 0 = 500; at most 1000 */
	char *after;
};

struct doctor_params { /* of one GPU, one VM, or of everything */
	char *gpu;
	char *vm;
};

struct gpu_list_params {
	struct page_params page;
	char *gpu;
	int state; /* enum gpu_state, -1 = any */
};

struct name_params { /* gpu.get {gpu}, vf.get {vf}, vm.get {vm}, operation.get {operation} … */
	char *name;
};

struct gpu_plan_params {
	char *gpu;	/* name or address */
	json_t *layout; /* see policy/layout.h; NULL = the wanted one (policy's, or the last manual) */
};

struct gpu_apply_params {
	char *gpu;
	json_t *layout;
	char *plan;    /* hash that gpu.plan gave */
	bool policy;   /* drop the manual layout, take the policy's */
	bool drain;    /* wait until holders have left */
	bool yes_display;
	uint64_t wait_usec; /* member wait_seconds; 0 = answer at once */
};

struct gpu_some_params { /* gpu.assert, gpu.export */
	char *gpu; /* NULL = all */
};

struct gpu_drain_params {
	char *gpu;
	uint64_t wait_usec;
};

struct vf_list_params {
	struct page_params page;
	char *gpu;
	int state; /* enum vf_state, -1 */
	char *profile;
	char *vm;
};

enum assign_mode { ASSIGN_AUTO, ASSIGN_LIVE, ASSIGN_CONFIG, ASSIGN_BOTH, ASSIGN_MODE_MAX };
DECLARE_ENUM_TABLE(assign_mode, enum assign_mode);

#define FOR_ABSENT UINT64_MAX /* the end of the lease stays as it is: a new one has none */

struct vf_assign_params {
	char *vm; /* name or uuid */
	char *vf; /* "gpu0/vf1" or an address */
	char *gpu;
	char *profile;
	uint64_t vram_bytes; /* 0 = any */
	bool add;
	int mode; /* enum assign_mode */
	uint64_t for_usec; /* 0 = without end; FOR_ABSENT */
	uint64_t wait_usec;
};

struct vf_release_params {
	char *vf;
	char *vm;
	bool all;
	int mode;
	bool force;
	bool yes_power_off; /* to what force breaks */
	struct known if_epoch;
	uint64_t wait_usec;
};

#define TUNE_ABSENT UINT64_MAX /* that value was not given */

struct vf_tune_params {
	char *vf;  /* either one VF … */
	char *gpu; /* … or all of a GPU */
	uint64_t vram_bytes, ggtt_bytes, contexts, doorbells; /* refused: fixed while a VF is there */
	uint64_t exec_quantum, preempt_timeout; /* µs */
	int priority; /* enum vf_priority, -1 = not given */
};

struct vf_reset_params { /* vf.reset, vf.heal */
	char *vf;
	uint64_t wait_usec;
};

struct vm_list_params {
	struct page_params page;
	int state; /* enum vm_state, -1 */
};

struct policy_check_params {
	json_t *files; /* [{name, text}] */
};

struct job_upload_params {
	char *upload; /* NULL = begin a new one */
	uint64_t offset;
	char *data; /* base64 */
};

struct job_submit_params {
	json_t *job;
	bool dry_run;
};

struct job_list_params {
	struct page_params page;
	char *user;  /* NULL = the caller's own, "*" = everybody's */
	char *queue;
	int state;   /* enum job_state, -1 */
	bool ended;  /* with ended ones */
	uint64_t since_usec; /* submitted at or after, 0 = any */
};

struct job_logs_params {
	char *id;
	int stream;	/* 0 stdout, 1 stderr */
	uint64_t attempt; /* 0 = the last */
	uint64_t offset;
	uint64_t limit; /* bytes, 0 = 64 KiB; at most 256 KiB */
};

struct job_file_params {
	char *id;
	char *path; /* NULL or "" = list the collected files: {items: [{path, size}]} */
	uint64_t attempt;
	uint64_t offset;
	uint64_t limit;
};

struct job_cancel_params {
	char *id;
};

struct job_extend_params {
	char *id;
	uint64_t time_usec;
};

struct audit_list_params {
	struct page_params page;
	uint64_t since_usec, until_usec; /* 0 = any */
	uint64_t uid; /* UINT64_MAX = any */
	char *method;
	char *subject;
};

struct operation_list_params {
	struct page_params page;
	int state; /* enum operation_state, -1 */
};

/* ---- Methods ---------------------------------------------------------------------------------------- */

#define MANAGER_METHOD(name, params)                                                               \
	void manager_##name(struct manager *m, const struct caller *caller,                        \
			    const struct params *p, struct reply *reply)

MANAGER_METHOD(daemon_doctor, doctor_params);
MANAGER_METHOD(daemon_status, none_params);

MANAGER_METHOD(gpu_list, gpu_list_params);
MANAGER_METHOD(gpu_get, name_params);
MANAGER_METHOD(gpu_plan, gpu_plan_params);
MANAGER_METHOD(gpu_apply, gpu_apply_params);
MANAGER_METHOD(gpu_assert, gpu_some_params);
MANAGER_METHOD(gpu_export, gpu_some_params);
MANAGER_METHOD(gpu_drain, gpu_drain_params);
MANAGER_METHOD(gpu_undrain, name_params);

MANAGER_METHOD(vf_list, vf_list_params);
MANAGER_METHOD(vf_get, name_params);
MANAGER_METHOD(vf_assign, vf_assign_params);
MANAGER_METHOD(vf_release, vf_release_params);
MANAGER_METHOD(vf_heal, vf_reset_params);
MANAGER_METHOD(vf_reset, vf_reset_params);
MANAGER_METHOD(vf_tune, vf_tune_params);

MANAGER_METHOD(vm_list, vm_list_params);
MANAGER_METHOD(vm_get, name_params);
MANAGER_METHOD(vm_heal, name_params);

MANAGER_METHOD(profile_list, none_params);
MANAGER_METHOD(queue_list, none_params);

MANAGER_METHOD(policy_show, none_params);
MANAGER_METHOD(policy_check, policy_check_params);
MANAGER_METHOD(policy_reload, none_params);

MANAGER_METHOD(job_upload, job_upload_params);
MANAGER_METHOD(job_submit, job_submit_params);
MANAGER_METHOD(job_list, job_list_params);
MANAGER_METHOD(job_get, name_params);
MANAGER_METHOD(job_logs, job_logs_params);
MANAGER_METHOD(job_file, job_file_params);
MANAGER_METHOD(job_cancel, job_cancel_params);
MANAGER_METHOD(job_extend, job_extend_params);
MANAGER_METHOD(job_hold, name_params);
MANAGER_METHOD(job_unhold, name_params);

MANAGER_METHOD(audit_list, audit_list_params);

MANAGER_METHOD(operation_list, operation_list_params);
MANAGER_METHOD(operation_get, name_params);
MANAGER_METHOD(operation_cancel, name_params);
