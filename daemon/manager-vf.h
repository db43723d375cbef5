/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the manager does with VFs: leases, the way to a VM and back, and what ends or renews a lease by itself. */
#pragma once

#include "manager-objects.h"

/* ---- manager-vf.c ---- */
struct vf *vf_find(struct manager *m, const char *name_or_address);
struct vf *vf_find_address(struct manager *m, const struct pci_address *address);
void vf_set_state(struct manager *m, struct vf *vf, enum vf_state state, const char *reason);
void vf_store(struct manager *m, struct vf *vf);
void vf_free(struct vf *vf);
/* Leases a free VF; the caller has checked that it is free, and sets its state next, which stores both. */
void vf_lease(struct manager *m, struct vf *vf, enum lease_owner owner, const struct vm *vm,
	      uint64_t job, uid_t uid, bool live, bool config);
/* The one that a row tells of, which its VM's stored definition has: the same epoch, end and user.  live: its guest, too. */
void vf_lease_again(struct manager *m, struct vf *vf, const struct vm *vm, const json_t *row, bool live);
void vf_lease_end(struct manager *m, struct vf *vf);
/* The state and the end of the lease, if it has one, in one row. */
void vf_let_go(struct manager *m, struct vf *vf, enum vf_state state, const char *reason);
/* Passes the lease of a VF that stays where it is on, to a job or (LEASE_KEPT) to whatever comes next. */
void vf_lease_pass(struct manager *m, struct vf *vf, enum lease_owner owner, uint64_t job);
struct job *lease_job(struct manager *m, const struct lease *lease); /* NULL = no job's */
/* The one that runs on it or is about to, also where its VM has the VF anyway; NULL = none. */
struct job *vf_job(struct manager *m, const struct vf *vf);
char *vf_alias(const struct vf *vf); /* returns new */
const struct vf_facts *vf_facts_of(const struct vf *vf);
/* The VF that the operation is about, when nothing else is under way with it; fails the operation by itself. */
struct vf *operation_vf(struct manager *m, struct operation *op);
bool vf_fits(const struct vf *vf, const char *profile, uint64_t vram_bytes);
int vf_lease_from_row(struct manager *m, struct vf *vf, const json_t *row);
json_t *vf_row(const struct vf *vf);			    /* as it is stored; returns new */
char *vf_row_id(const struct gpu *gpu, unsigned index); /* returns new */
void vf_row_off(json_t *row); /* of a VM that is off: its stored definition alone has it, and no memory is left */

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
bool vf_keeps_side(const struct vf *vf); /* it is on its way out of one side, and stays its VM's on the other */
enum lease_side operation_side(const struct operation *op); /* of an assign or release of one side; else both */
/* Powers its VM off first, whose guest has no say then.  A detach that is under way is waited for. */
void handover_power_off(struct manager *m, struct vf *vf, handover_fn fn, void *userdata);
/* Hears of the end of what is under way with the VF.  False: nothing is, or somebody hears of it already. */
bool handover_join(struct vf *vf, handover_fn fn, void *userdata);
bool handover_can_join(const struct vf *vf);
const char *handover_word(const struct vf *vf); /* of what is under way with it: the scope that began it; NULL = none */
const char *handover_operation(const struct vf *vf); /* … the name of the operation; NULL = none */
bool vm_is_managed(struct manager *m, const struct vm *vm); /* libvirt binds its VFs, by the policy */
/* Puts a fresh VF on VFIO.  False: there is nothing to do, and fn never runs. */
bool handover_bind(struct manager *m, struct vf *vf, handover_fn fn, void *userdata);
/* The same with one that nobody asked about: it stays free when that fails. */
bool handover_bind_idle(struct manager *m, struct vf *vf, handover_fn fn, void *userdata);
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
/* ---- manager-kept.c: what its VM did not let go of ---- */
void vf_is_kept(struct manager *m, struct vf *vf, const char *why); /* until its state changes; NULL: it is not */
char *kept_text(struct manager *m, const struct vf *vf); /* NULL = nothing is wrong; returns new */
char *kept_way_out(const struct vf *vf);		 /* returns new */

char *power_off_hint(const struct vf *vf); /* the way out of a guest that does not let go, and what it breaks; returns new */
void power_off_note(struct manager *m, struct operation *op, const struct vf *vf); /* accepted: its rows */
/* The VM still runs as it did when the operation was accepted: not one that somebody started since. */
bool power_off_is_due(struct manager *m, const struct operation *op, const struct vf *vf);

/* ---- manager-assign.c, manager-release.c ---- */
void assign_resume(struct manager *m, struct operation *op);
void release_resume(struct manager *m, struct operation *op);

/* The smallest that fits, of one GPU (only) or any; NULL = none. */
struct vf *assign_pick_free(struct manager *m, const struct gpu *only, const char *profile, uint64_t vram_bytes, uid_t uid,
			    const struct vm *vm);

/* ---- manager-expiry.c: leases with an end ---- */
void expiry_pump(struct manager *m); /* takes back those whose time is over */
/* From now on so long, 0 = without end; undone when it cannot be stored. */
int expiry_move(struct manager *m, struct vf *vf, uint64_t for_usec, struct rpc_error *error);
/* at: of the boot clock, 0 = none. */
uint64_t expiry_wall(uint64_t at); /* wall clock, to the second; 0 = none */
json_t *expiry_row(uint64_t at);
uint64_t expiry_from_row(const json_t *row); /* boot clock of now */
void lease_set_end(struct lease *lease, uint64_t for_usec); /* from now; 0 = none */
json_t *lease_end_row(const struct lease *lease);
void lease_end_from_row(struct lease *lease, const json_t *row); /* NULL: none */
bool expiry_is_of_this_boot(const json_t *row);
bool lease_was_never_confirmed(const struct vf *vf); /* and the time for that is over */

/* ---- manager-fixed.c: VFs that the policy assigns to VMs ---- */
void fixed_pump(struct manager *m);
/* Were the VF taken from its VM, the policy would give the VM one again at once: by this assignment; NULL = it would not. */
const char *fixed_gives_again(struct manager *m, const struct vf *vf);
void fixed_try_again(struct vm *vm); /* something changed: whatever failed may go well now */
void fixed_resume(struct manager *m, struct vf *vf); /* leased by an earlier daemon, not attached */
void fixed_failed(struct manager *m, struct vm *vm, const char *why); /* told, and tried again later */
void vm_tries_later(struct manager *m, struct vm_tries *tries); /* not before a pause, longer each time; then pumps */
/* Why it goes on trying, NULL = well again; in the log with these words, and in an event with this member, when that changed. */
void vm_tries_tell(struct manager *m, struct vm *vm, struct vm_tries *tries, const char *member, const char *words,
		   const char *why);

/* ---- manager-missing.c: VFs that stored definitions name and their VMs cannot have ---- */
bool alias_is_ours(const char *alias); /* NULL: no */
bool alias_is_of_policy(const char *alias);
const struct domain_hostdev *vm_missing_vf(struct manager *m, const struct vm *vm); /* the first; NULL = none */
char *vm_missing_text(struct manager *m, const struct vm *vm); /* why it will not start; returns new, or NULL */
/* The first that another has, or is to have, and that VF; NULL = none.  Of two that are off the first to name it has it. */
const struct domain_hostdev *vm_taken_vf(struct manager *m, const struct vm *vm, struct vf **ret);
char *vm_taken_text(struct manager *m, const struct vm *vm); /* who has it, and the ways out; returns new, or NULL */
bool vm_mend_missing(struct manager *m, struct vm *vm); /* true: one that the policy gave is being taken out */
/* Takes a hostdev out of its stored definition.  tries: &vm->fixed or &vm->follow, busy until then. */
void vm_take_out(struct manager *m, struct vm *vm, const struct domain_hostdev *dev, struct vm_tries *tries);

/* ---- manager-lost.c: leases of VFs that are not there, and that stored definitions of VMs name still ---- */
json_t *lost_row(const struct vf *vf); /* of one that vanishes; NULL: its lease ends with it; returns new */
bool lost_waits(struct manager *m, const struct gpu *gpu, unsigned index, const json_t *row); /* it is not over */
/* With their card.  all: other rows of it, too; else those of stored definitions. */
void lost_move(struct manager *m, const struct gpu *gpu, const struct pci_address *to, bool all);
/* Those that nobody let go yet, of that VM and of that VF (each NULL = any): [{vf, vm, vm_uuid, epoch}]; returns new,
 * NULL = there is none. */
json_t *lost_leases(struct manager *m, const struct vm *vm, const char *only);
/* The VM of this one is not to have it any more: it is taken out of its definition.  name: "gpu0/vf1". */
void lost_forget(struct manager *m, const char *name);
bool lost_has(struct manager *m, const struct vm *vm, const char *alias); /* one of that VM's, with this alias */
char *lost_text(struct manager *m, const struct vm *vm); /* why the VM does not have one, and the way out; new, or NULL */
void lost_store(struct manager *m); /* all of them */
uint64_t lost_next_end(struct manager *m); /* of those that have an end to come, by the boot clock; UINT64_MAX = none */
void lost_pump(struct manager *m);

/* ---- manager-displaced.c: leases of VMs that are off, whose VF another VM took by hand ---- */
/* Another VM takes it now: its lease waits, if its VM's stored definition names it by that.  Before its lease is another. */
void displaced_keep(struct vf *vf);
bool displaced_is_of(const struct vf *vf, const struct vm *vm); /* the lease that waits for the VF is that VM's */
/* A free VF is its VM's again, under the lease that waited.  False: none did, or its VM's definition names it no more. */
bool displaced_returns(struct manager *m, struct vf *vf);
json_t *displaced_take(struct vf *vf); /* it does not wait here any more; returns its row, or NULL: new */
/* All leases that wait and that nobody let go yet: lost_leases(), and of a VM (only = NULL) those that another took, which
 * waiting_is_displaced() tells apart.  Returns new, NULL = there is none. */
json_t *waiting_leases(struct manager *m, const struct vm *vm, const char *only);
bool waiting_is_displaced(const json_t *lease);
/* One of them is not to be had any more: its VF is taken out of its VM's definition. */
void waiting_forget(struct manager *m, const json_t *lease);
uint64_t displaced_end(const struct vf *vf); /* of the lease that waits, by the boot clock; 0 = none is to come */
void displaced_pump(struct manager *m);

/* ---- manager-follow.c: a stored definition follows its VM's VF to another address, or to another VF ---- */
const struct domain_hostdev *vm_stored_alias(const struct vm *vm, const char *alias); /* NULL = it has none */
/* What the stored definition names in the place of this VF; NULL = nothing. */
const struct domain_hostdev *follow_stale(const struct vm *vm, const struct vf *vf);
/* The hostdev is of a lease of that VM, and the address is not that VF's, or not any more. */
bool follow_is_stale(struct manager *m, const struct vm *vm, const struct domain_hostdev *dev);
bool follow_waits(struct manager *m, struct vm *vm, struct vf *vf); /* the VM's definition is yet to name this VF */
void follow_failed(struct manager *m, struct vm *vm, const char *why); /* told, and tried again later; NULL: it went well */
bool follow_may(const struct vm *vm); /* its stored definition can be changed now */
char *follow_text(struct manager *m, const struct vm *vm); /* what it is yet to name, and why not now; new, or NULL */
void follow_vm_gone(struct manager *m, const struct vm *vm);
void follow_pump(struct manager *m);

/* ---- manager-bind.c: free VFs of managed GPUs keep off the host's drivers ---- */
char *bind_text(const struct vf *vf); /* why it could not be put on VFIO; NULL = it could, or nobody tried; returns new */
void bind_forget(struct vf *vf);
void bind_pump(struct manager *m);

/* ---- manager-reset.c ---- */
void reset_resume(struct manager *m, struct operation *op); /* vf.reset and vf.heal of an earlier daemon */
