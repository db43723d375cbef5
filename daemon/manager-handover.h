/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One VF on its way to a VM or back.  Only the files of the handover know it: manager-handover.c (turns, questions, the end),
 * manager-attach.c, manager-detach.c, manager-side.c, manager-gate.c.  One VF and one VM at a time; other VFs of the GPU go on. */
#pragma once

#include "manager-state.h"

struct handover {
	struct manager *m;
	struct vf *vf;
	char vm_uuid[37];
	const char *word; /* for the audit trail: the scope that began it, "daemon:expiry"; NULL = none */
	char operation[24]; /* … and the operation whose doing it is; "" = none */
	uint64_t epoch; /* a result for another lease is dropped */
	bool vm_claimed;
	bool managed; /* of an attach: libvirt binds it, by the policy */
	bool scrubbed; /* at the gate: the driver took its VRAM as it was asked */
	void (*cleared)(struct handover *h); /* … and this comes next */
	bool idle; /* of a bind that nobody asked for: the VF stays as it is when that fails */
	bool rebind; /* at the gate: it is to be on VFIO at its end */
	enum lease_side side; /* that libvirt is asked for: of those that the lease names … */
	bool one_side; /* … or one that it gets or loses, while it stays (manager-side.c) */
	struct stored *stored; /* it goes on when its state is in the store */
	struct known user_before; /* of an attach: last user and VM, which it stays when no guest has seen the VF */
	char vm_before[37];
	struct rpc_error error; /* of an attach that is being taken back */
	handover_fn fn;
	void *userdata;
	handover_fn also; /* somebody else who waits for its end, or NULL */
	void *also_userdata;
	bool powered_off; /* its VM, by us: a detach that got no answer has one now */
	void (*go)(struct handover *h); /* what it does when the VM's turn comes, or its state is in the store … */
	void (*not_stored)(struct handover *h); /* … or could not be put there */
	struct handover *next_waiting;	/* in vm->waiting */
};

struct handover *handover_new(struct manager *m, struct vf *vf, handover_fn fn, void *userdata); /* NULL: no memory */
/* Ends it: tells whoever waits, and frees it.  error: NULL = it went well; borrowed. */
void handover_finish(struct handover *h, const struct rpc_error *error);
void handover_finish_host(struct handover *h, const struct host_reply *reply, const char *what);
/* True when the VF is gone from the host; the handover has ended then. */
bool handover_vanished(struct handover *h);
/* From now on it is this operation's doing; NULL: nobody's.  Borrows. */
void handover_set_operation(struct handover *h, const char *operation);
void handover_vm_release(struct handover *h); /* the next that waits for its VM has its turn */
/* Runs go when no other attach or detach of the VM is under way. */
void handover_on_turn(struct handover *h, void (*go)(struct handover *h));
/* Runs go when what was put into the store so far is durable, and not_stored when the store failed. */
void handover_when_stored(struct handover *h, void (*go)(struct handover *h), void (*not_stored)(struct handover *h));
/* Asks the host of its VF, vf 0: of its GPU; when even the question fails, the answer says so. */
void handover_ask_host(struct handover *h, enum host_op op, unsigned vf, host_reply_fn fn);
void handover_ask_hv(struct handover *h, enum hv_op op, hv_reply_fn fn);
/* libvirt attaches to both sides or to none.  "It is there already" may be true of one side alone, so each is
 * asked for by itself then.  True when it was asked again. */
bool handover_other_side(struct handover *h, const struct hv_reply *reply, enum hv_op op, hv_reply_fn fn);
/* After a detach, under the alias that we gave it: the domain has it still, under another one.  True once: from then on
 * it is asked for by its address. */
bool handover_is_put_back(struct handover *h, const struct hv_reply *reply);
void handover_note_stored(struct handover *h, bool there); /* the stored definition names it, or does not any more */

/* manager-attach.c: what the answer to an attach says of the VM, and no event does */
void handover_note_vm(struct handover *h, const struct hv_reply *reply);

/* manager-side.c */
void handover_side_attach(struct handover *h); /* the VM's turn came, and the VF is ready for it */

/* manager-detach.c */
/* Of a guest that does not let go: the way out, in the hint. */
void handover_hint_force(const struct handover *h, const struct hv_reply *reply, struct rpc_error *error);
void handover_ask_detach(struct handover *h); /* … of libvirt, and on to the gate */
/* `detaching`, with what is waited for; ask, of libvirt, when that is durable. */
void handover_detach_live(struct handover *h, void (*ask)(struct handover *h));

/* manager-gate.c */
void handover_quarantine(struct handover *h, const struct host_reply *reply, const char *what); /* … and ends it */
void handover_reset_vf(struct handover *h, void (*then)(struct handover *h)); /* a failure quarantines it */
void handover_bind_vfio(struct handover *h, void (*then)(struct handover *h)); /* the same */
void handover_probe(struct handover *h); /* the end of the gate, and of h */
void handover_gate(struct handover *h);	 /* closed → reset → probe (→ bound again) (→ cleared) → free */
void handover_gate_passed(struct handover *h);

/* manager-scrub.c: nobody has it, and it was reset.  Runs then when its memory was cleared, or was not to be; a VF that
 * does not get back what was taken from it is quarantined. */
void handover_scrub(struct handover *h, void (*then)(struct handover *h));
