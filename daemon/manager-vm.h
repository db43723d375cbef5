/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the manager knows of VMs and of libvirt. */
#pragma once

#include "manager-objects.h"

/* ---- manager-vm.c ---- */
struct vm *vm_find(struct manager *m, const char *name_or_uuid);
struct vm *vm_find_uuid(struct manager *m, const char *uuid);
void vm_free(struct manager *m, struct vm *vm);
void vm_update(struct manager *m, const struct domain_facts *facts);
/* What the VM's hostdevs mean for the VFs: adopted, confirmed, lost. */
bool vm_holds_vf(struct manager *m, const struct vm *vm); /* some lease is its own */
void vm_compare_hostdevs(struct manager *m, struct vm *vm, bool sure); /* sure: this is libvirt's present word */
bool vf_is_live(struct manager *m, const struct vf *vf); /* in the running guest of any VM, by libvirt's last word */
bool vf_is_elsewhere(struct manager *m, const struct vf *vf); /* live in another VM than its lease's */
void vm_adopt_vf(struct manager *m, struct vf *vf); /* a free VF that some VM names is held by it */
/* The same by stored definitions alone: directly after a guest let go, what is known of guests may be older than that. */
void vm_adopt_stored(struct manager *m, struct vf *vf);
/* Its stored definition names the VF, which its guest does not have.  Not what is to follow its own VF elsewhere. */
bool vm_names_vf(struct manager *m, const struct vm *vm, const struct vf *vf);
/* NULL: the domain does not have it. */
const struct domain_hostdev *domain_hostdev_at(const struct domain_facts *facts, const struct pci_address *address);
/* We wrote the hostdev into its stored definition, or out of it: libvirt may tell of that late or never. */
void vm_note_stored(struct vm *vm, const struct pci_address *address, const char *alias, bool there);
void vm_gone(struct manager *m, const char *uuid);

unsigned vfs_in_vm(struct manager *m, const char *uuid); /* attached to it now (manager-runner.c) */
void vm_has_fewer_vfs(struct manager *m, const char *uuid); /* its guest need not show those that left, to be ready */

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
extern const char wedged_way_out[]; /* of a VM */
int refuse_wedged(const struct vm *vm, struct rpc_error *error);
void wedged_follow(struct manager *m, const struct hv_event *event); /* STUCK, UNSTUCK */
void wedged_hypervisor_answered(struct manager *m);
void wedged_connection_lost(struct manager *m); /* … and with it whatever hung */
void wedged_troubles(struct manager *m, json_t *troubles); /* adds to those of daemon.status */
void wedged_unsure(struct manager *m, struct vm *vm); /* its barrier failed: by that reason */
void wedged_sure(struct manager *m, struct vm *vm); /* … and was answered since */

/* ---- manager-barrier.c ---- */
bool barrier_holds(struct manager *m, const char *vm_uuid); /* nothing of that VM is recovered, given or taken */
bool barrier_forget(struct vm *vm); /* true: it held */
void barrier_soon(struct manager *m, struct vm *vm); /* something was heard of the VM (NULL: of none): it may answer now */
void barrier_ask(struct manager *m, struct vm *vm); /* now, if it can be */
void barriers_ask(struct manager *m); /* of recovery: each ends in barrier_down(), unless it did not begin */
void barriers_pump(struct manager *m);

/* ---- manager-pool.c: VMs started on demand and shut down when idle, and what keeps jobs out of one ---- */
void pool_store(struct manager *m, struct vm *vm);
void pool_load(struct manager *m, struct vm *vm); /* of a VM that was just seen: what its row says */
void pool_forget_rows(struct manager *m);
void pool_vm_gone(struct manager *m, struct vm *vm);
void vm_failed_start(struct manager *m, struct vm *vm, const char *reason);
void vm_open(struct manager *m, struct vm *vm, const char *word); /* jobs are placed there again */
void vm_no_memory(struct vm *vm, const char *why); /* NULL: there was enough */
bool vm_lacks_memory(const struct vm *vm);
void vm_stopped_for(struct vm *vm); /* a job makes way for one that sees whether it has memory again */
const char *pool_state(const struct vm *vm); /* "starting", "stopping", NULL */
uint64_t pool_ready_usec(struct manager *m);
bool pool_may_start(struct manager *m, const struct vm *vm, const struct policy_vm_rule *rule);
void pool_start(struct manager *m, struct vm *vm); /* a job waits for it; again does nothing */
void pool_follow(struct manager *m, struct vm *vm, enum vm_state before); /* its facts are new */
void pool_pump(struct manager *m);
