/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A made-up host and hypervisor in one process, for tests of the manager: one GPU, some VMs, answers that
 * come later on the loop, are held back until the test lets them go, or fail as the test says. */
#pragma once

#include <systemd/sd-event.h>

#include "host/host-ops.h"
#include "hypervisor/hypervisor-ops.h"

#define FAKE_VMS 4
#define FAKE_PF "0000:03:00.0"

struct fake_call;

struct fake_actors {
	struct host host; /* first member of what the manager gets */
	struct hypervisor hv;
	sd_event *event;
	sd_event_source *source;
	struct fake_call *calls;
	unsigned host_held, hv_held; /* bit per op: its answers wait */
	int host_fault[HOST_OP_MAX];	      /* the op fails so */
	unsigned host_fault_after[HOST_OP_MAX]; /* … after so many that go well */
	bool host_fault_once; /* … and once only */
	bool settling; /* drivers may be about to come */
	enum hv_failure hv_fault[HV_OP_MAX];
	bool hv_fault_once;
	unsigned n_host[HOST_OP_MAX], n_hv[HV_OP_MAX]; /* asked so far */
	uint64_t hv_deadline[HV_OP_MAX]; /* of the last that was asked so; 0 = the operation's own */
	char log[4096]; /* what was asked of the host to change: "set-numvfs 4;…" */
	struct gpu_facts *gpu; /* NULL = no card */
	struct gpu_facts *scan[2]; /* as the last scan told */
	struct gpu_facts *other; /* a second one, whose VFs nobody writes; NULL = none */
	struct vf_holder *holders; /* what a look for processes shows; the test's */
	size_t n_holders;
	uint64_t quota[8];
	uint64_t quota_most; /* a VF gets no more VRAM; 0 = as much as is asked for */
	struct domain_facts *vms[FAKE_VMS];
};

void fake_actors_init(struct fake_actors *f, sd_event *event);
void fake_actors_done(struct fake_actors *f); /* what is held is never answered */
void fake_forget(struct fake_actors *f); /* the daemon died: its questions are nobody's */
/* Answers what was held; ops as bits. */
void fake_release(struct fake_actors *f, unsigned host_ops, unsigned hv_ops);
size_t fake_waiting(const struct fake_actors *f); /* calls without an answer */

void fake_add_vm(struct fake_actors *f, unsigned n, const char *name, enum vm_state state);
/* Another card, in that slot, cut into n VFs. */
void fake_add_other(struct fake_actors *f, const char *pf, const char *serial, unsigned n);
void fake_move_gpu(struct fake_actors *f, const char *pf); /* with its VFs; while no daemon runs */
void fake_set_hostdev(struct fake_actors *f, unsigned vm, unsigned vf, bool live, bool config);
/* The kernel's side without the manager: VFs come or go. */
void fake_set_vfs(struct fake_actors *f, unsigned n);

void fake_host_event(struct fake_actors *f, enum host_event_type type, const char *attribute);
void fake_hv_event(struct fake_actors *f, enum hv_event_type type, unsigned vm);
