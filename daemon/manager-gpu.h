/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the manager does with GPUs: reading, cutting, draining, tuning, and who holds VFs of one. */
#pragma once

#include "manager-objects.h"

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
void gpu_end_lease_of_absent(struct manager *m, struct gpu *gpu, unsigned index); /* that one, now */
/* It is there from now on, without VFs, and so are its rows: all, or those of stored definitions only. */
void gpu_readdress(struct manager *m, struct gpu *gpu, const struct pci_address *to, bool all);
/* Another card is in its slot: its name waits for its own.  Stored, or the next daemon would look for it there. */
void gpu_displaced(struct manager *m, struct gpu *gpu, bool all);
/* Sets the state that it has when nothing is under way. */
void gpu_calm(struct manager *m, struct gpu *gpu);
struct gpu *gpu_new(struct manager *m, unsigned number, const struct pci_address *address); /* NULL = no memory */
char *gpu_given_up_reason(const struct gpu *gpu); /* new */
void gpu_driver_bound(struct gpu *gpu); /* what is known of an earlier binding means nothing, and its layout is due */

/* ---- manager-moved.c: cards that are in another slot ---- */
void cards_moved(struct manager *m, const struct host_reply *scan); /* before its facts are taken over */

/* ---- manager-host.c: the host's word ---- */
void gpu_refresh(struct manager *m, struct gpu *gpu); /* asks for it; gpu_update() follows */
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
bool gpu_will_be_healed(struct manager *m, const struct gpu *gpu); /* … soon, whoever holds its VFs */
bool gpu_is_calm(const struct gpu *gpu); /* it is there, and no layout is due or under way */
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
struct operation *apply_operation(const struct gpu *gpu); /* of the one under way, borrowed; NULL = none is */
/* The layout that was wanted before the operation is wanted again. */
void apply_restore_ownership(struct manager *m, struct gpu *gpu, const struct operation *op);

/* ---- manager-half-cut.c ---- */
void half_cut_set(struct manager *m, struct gpu *gpu, const char *reason, const struct layout *before); /* and wedged */
void half_cut_check(struct manager *m, struct gpu *gpu); /* the kernel may show that somebody put it right */
void half_cut_look(struct manager *m, struct gpu *gpu);	 /* the same, where nobody looked for a while, or otherwise */
void half_cut_over(struct manager *m, struct gpu *gpu, const char *why); /* if it was; its state is its caller's */
json_t *half_cut_row(const struct gpu *gpu); /* returns new */
void half_cut_from_row(struct gpu *gpu, const json_t *row);
void half_cut_done(struct gpu *gpu); /* frees what it has */

/* ---- manager-plan.c ---- */
/* An accepted apply: waits for what it has to wait for, then apply_start(). */
void apply_go(struct manager *m, struct operation *op);

/* ---- manager-holders.c ---- */
/* Names of those who hold VFs of the GPU, as new JSON array; NULL = nobody. */
json_t *gpu_holders(struct manager *m, const struct gpu *gpu);
json_t *vf_holders(struct manager *m, const struct vf *vf); /* of one VF, likewise */
/* The same by lease, "gpu0/vf1#EPOCH" → text: a holder whose state changes is the same one.  Returns new. */
json_t *gpu_leases(struct manager *m, const struct gpu *gpu);

/* ---- manager-reuse.c: memory between users ---- */
#define NOBODYS_JOB UINT64_MAX /* no uid: a VM had it last, so no job gets it */
struct known vf_only_for(struct manager *m, const struct vf *vf); /* the only user whose jobs may have it */
bool vf_is_open_to(struct manager *m, const struct vf *vf, uid_t uid, const struct vm *vm); /* vm: NULL = a job's */
void vf_note_user(struct vf *vf); /* its state is new */
void vf_forget_user(struct vf *vf); /* nothing of what it had is in its memory any more */
bool vf_wants_scrub(struct manager *m, const struct vf *vf); /* by the policy, where there is a way */
int refuse_reuse(struct manager *m, const struct vf *vf, struct rpc_error *error);
/* The free VFs (of one GPU) that this user cannot have; NULL = none; returns new. */
char *reuse_text(struct manager *m, const struct gpu *only, uid_t uid, const struct vm *vm);
json_t *memory_view(struct manager *m, const struct vf *vf); /* returns new */
/* Whether whoever is given one of its VFs next may find in its memory what the last user left there: nothing clears it
 * that is known, or that runs between users, and the policy keeps no VF for its last user.  ret_known, borrowed: what is
 * known of that memory; ret_cure, borrowed: what to write into the policy. */
bool gpu_mixes_users(struct manager *m, const struct gpu *gpu, const char **ret_known, const char **ret_cure);

/* ---- manager-scrub.c: ways to clear a VF's memory ---- */
#define SCRUB_GUEST_MEMORY "guest-memory" /* the mechanism of a card without memory of its own */
struct scrub {
	const char *mechanism; /* NULL = none that is known */
	const char *what;      /* … and what is known of it */
	const char *probed;    /* what of the driver's files says so; NULL = nothing does */
	bool at_gate;	       /* it needs no re-cut */
	const char *why_not;   /* … and if it does, why */
};
/* Of the card as these facts show it, NULL = not known. The texts are constant, or the GPU's. */
struct scrub scrub_of(const struct gpu *gpu, const struct gpu_facts *facts);
bool vf_is_being_scrubbed(const struct vf *vf); /* it has less VRAM than it will have in a moment */

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
