/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Handing a VF over: attach (nobody has it open → bind to VFIO → libvirt), and the gate that every VF passes on its way back:
 * detach → closed → reset → probe (→ bound again, where libvirt gave it to the host) → free.  One VF and one VM at a time;
 * other VFs of the GPU go on. */
#include "manager-state.h"

/* Outlives its handover when the daemon ends. */
struct stored {
	struct handover *handover; /* NULL = it is over */
};

struct handover {
	struct manager *m;
	struct vf *vf;
	char vm_uuid[37];
	uint64_t epoch; /* a result for another lease is dropped */
	bool vm_claimed;
	bool managed; /* of an attach: libvirt binds it, by the policy */
	bool rebind; /* at the gate: it is to be on VFIO at its end */
	enum { BOTH_SIDES, LIVE_SIDE, CONFIG_SIDE } side; /* of what the lease names */
	struct stored *stored; /* it goes on when its state is in the store */
	struct rpc_error error; /* of an attach that is being taken back */
	handover_fn fn;
	void *userdata;
	handover_fn also; /* somebody else who waits for its end, or NULL */
	void *also_userdata;
	bool powered_off; /* its VM, by us: a detach that got no answer has one now */
	void (*go)(struct handover *h); /* what it does when the VM's turn comes */
	struct handover *next_waiting;	/* in vm->waiting */
};

/* ---- shared ---- */

static struct handover *handover_new(struct manager *m, struct vf *vf, handover_fn fn, void *userdata)
{
	struct handover *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	*h = (struct handover){ .m = m, .vf = vf, .epoch = vf->lease.epoch, .fn = fn,
				.userdata = userdata };
	memcpy(h->vm_uuid, vf->lease.vm_uuid, sizeof(h->vm_uuid));
	vf->handover = h;
	return h;
}

static bool vanished(struct handover *h);

/* The next that waits for this VM has its turn. */
static void vm_next(struct vm *vm)
{
	struct handover *h = vm->waiting;

	while (h) {
		vm->waiting = h->next_waiting;
		h->next_waiting = NULL;
		if (!vanished(h)) {
			vm->device_busy = h->vm_claimed = true;
			h->go(h);
			return;
		}
		h = vm->waiting;
	}
}

static void vm_release(struct handover *h)
{
	struct vm *vm = vm_find_uuid(h->m, h->vm_uuid);
	bool claimed = h->vm_claimed;

	h->vm_claimed = false;
	if (!claimed || !vm || h->m->ending)
		return;
	vm->device_busy = false;
	vm_next(vm);
}

void handover_vm_gone(struct vm *vm)
{
	struct handover *h = TAKE_PTR(vm->waiting);

	while (h) {
		struct handover *next = h->next_waiting;

		h->next_waiting = NULL;
		if (!vanished(h))
			h->go(h); /* libvirt will say that the VM is gone */
		h = next;
	}
}

/* One attach or detach per VM: QEMU does them one after the other, and a stubborn guest blocks itself only. */
static bool vm_claim(struct handover *h)
{
	struct vm *vm = vm_find_uuid(h->m, h->vm_uuid);

	if (!vm)
		return true; /* libvirt will say that it is gone */
	if (vm->device_busy)
		return false;
	vm->device_busy = h->vm_claimed = true;
	return true;
}

static void finish(struct handover *h, const struct rpc_error *error)
{
	struct manager *m = h->m;
	struct vf *vf = h->vf;

	vm_release(h);
	if (h->stored)
		h->stored->handover = NULL;
	vf->handover = NULL;
	h->fn(m, vf, h->userdata, h->error.code ? &h->error : error);
	if (h->also)
		h->also(m, vf, h->also_userdata, error);
	rpc_error_done(&h->error);
	free(h);
	if (!vf->gpu) /* it vanished from the kernel meanwhile */
		vf_free(vf);
	manager_pump(m);
}

static void finish_host(struct handover *h, const struct host_reply *reply, const char *what)
{
	struct rpc_error error = { 0 };

	rpc_error_from_host(&error, reply, what);
	finish(h, &error);
	rpc_error_done(&error);
}

void handover_drop(struct vf *vf)
{
	struct rpc_error error = { 0 };

	if (!vf->handover)
		return;
	rpc_error_set(&error, RPC_INTERNAL_ERROR, "the daemon is ending; the next one goes on");
	finish(vf->handover, &error);
	rpc_error_done(&error);
}

static bool vanished(struct handover *h)
{
	struct rpc_error error = { 0 };

	if (h->vf->gpu)
		return false;
	rpc_error_set(&error, RPC_NOT_FOUND, "%s is gone from the host", h->vf->name);
	finish(h, &error);
	rpc_error_done(&error);
	return true;
}

/* Asks the host; when even the question fails, the answer says so. */
static void ask_host(struct handover *h, enum host_op op, host_reply_fn fn)
{
	struct host_request request = { .op = op, .gpu = h->vf->gpu->address, .vf = h->vf->index };
	struct host_reply reply = { 0 };

	reply.r = h->m->host->ops->request(h->m->host, &request, fn, h);
	if (reply.r < 0)
		fn(h, &reply);
}

/* Who has VFs of its GPU open. */
static void ask_all_holders(struct handover *h, host_reply_fn fn)
{
	struct host_request request = { .op = HOST_HOLDERS, .gpu = h->vf->gpu->address };
	struct host_reply reply = { 0 };

	reply.r = h->m->host->ops->request(h->m->host, &request, fn, h);
	if (reply.r < 0)
		fn(h, &reply);
}

static void ask_hv(struct handover *h, enum hv_op op, hv_reply_fn fn)
{
	_cleanup_free_ char *alias = vf_alias(h->vf);
	const struct vm *vm = vm_find_uuid(h->m, h->vm_uuid);
	struct hv_request request = {
		.op = op,
		.uuid = h->vm_uuid,
		.address = h->vf->address,
		.alias = h->vf->lease.owner == LEASE_FOREIGN || h->vf->lease.adopted ? NULL : alias,
		.live = h->vf->lease.live && h->side != CONFIG_SIDE,
		.config = h->vf->lease.config && h->side != LIVE_SIDE,
		.managed = op == HV_ATTACH && h->managed,
		.deadline_usec = op == HV_ATTACH && vm ? hv_attach_deadline(vm->facts->memory_bytes) : 0,
	};

	if (h->m->hypervisor->ops->request(h->m->hypervisor, &request, fn, h) < 0) {
		struct hv_reply reply = { .failure = HV_FAILED };

		fn(h, &reply);
	}
}

static void note_stored(struct handover *h, bool there)
{
	_cleanup_free_ char *alias = there ? vf_alias(h->vf) : NULL;
	struct vm *vm = h->vf->lease.config ? vm_find_uuid(h->m, h->vm_uuid) : NULL;

	if (vm)
		vm_note_stored(vm, &h->vf->address, alias, there);
}

/* What the answer to an attach says of the VM, and no event does: its memory is pinned, or its managed-save image is
 * there, or was removed. */
static void note_vm(struct handover *h, const struct hv_reply *reply)
{
	struct vm *vm = vm_find_uuid(h->m, h->vm_uuid);
	bool done = reply->failure == HV_OK;

	if (vm && h->vf->lease.live && done)
		vm_no_memory(vm, NULL);
	else if (vm && !h->vf->lease.live && (done || reply->failure == HV_SAVED))
		vm->facts->saved = !done;
}

/* libvirt attaches to both sides or to none.  "It is there already" may be true of one side alone, so each is
 * asked for by itself then.  True when it was asked again. */
static bool other_side(struct handover *h, const struct hv_reply *reply, enum hv_op op, hv_reply_fn fn)
{
	bool done = reply->failure == HV_OK || reply->failure == HV_ALREADY;

	if (!h->vf->lease.live || !h->vf->lease.config || !done || h->side == CONFIG_SIDE ||
	    (h->side == BOTH_SIDES && reply->failure == HV_OK))
		return false;
	h->side = h->side == BOTH_SIDES ? LIVE_SIDE : CONFIG_SIDE;
	ask_hv(h, op, fn);
	return true;
}

/* ---- the gate ---- */

static void quarantine(struct handover *h, const struct host_reply *reply, const char *what)
{
	_cleanup_free_ char *reason = xasprintf("%s: %s%s%s", what, strempty(reply->attribute),
						reply->attribute ? ": " : "",
						reply->message ? reply->message : strerror(-reply->r));

	vf_set_state(h->m, h->vf, VF_QUARANTINED, reason);
	vf_lease_end(h->m, h->vf);
	vf_store(h->m, h->vf);
	finish_host(h, reply, what);
}

/* Who looks now sees it, and not what was read before. */
static void note_bound(struct vf *vf, const struct host_reply *reply)
{
	struct gpu_facts *facts = vf->gpu->facts;

	vf->bound = true;
	if (!facts || vf->index > facts->n_vfs)
		return;
	facts->vfs[vf->index - 1].vfio = true;
	(void)free_and_strdup(&facts->vfs[vf->index - 1].driver, reply->driver);
}

static void gate_passed(struct handover *h)
{
	if (h->vf->state != VF_QUARANTINED)
		vf_set_state(h->m, h->vf, VF_FREE, NULL);
	vf_lease_end(h->m, h->vf);
	if (h->error.code)
		vm_adopt_vf(h->m, h->vf); /* it was to be attached, and somebody else may have been faster */
}

static void on_bound_again(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (vanished(h))
		return;
	if (reply->r < 0 && !(reply->r == -EBUSY && reply->n_holders > 0)) {
		quarantine(h, reply, "the VF could not be bound to VFIO again");
		return;
	}
	gate_passed(h);
	if (reply->r == 0)
		note_bound(h->vf, reply);
	else
		(void)process_takes(h->m, h->vf, reply); /* a process found it with the host's driver */
	finish(h, NULL);
}

/* libvirt gives a VF of managed='yes' back to the host when it leaves its VM.  One that was on the host already, and
 * from there a process's, stays there. */
static bool lost_vfio(const struct handover *h, const struct host_reply *reply)
{
	const struct gpu_facts *facts = reply->n_facts > 0 ? reply->facts[0] : NULL;

	return h->rebind && facts && h->vf->index <= facts->n_vfs && !facts->vfs[h->vf->index - 1].vfio;
}

static void on_probed(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (vanished(h))
		return;
	if (reply->r < 0) {
		quarantine(h, reply, "the VF does not answer after its reset");
		return;
	}
	if (lost_vfio(h, reply)) {
		ask_host(h, HOST_BIND_VFIO, on_bound_again);
		return;
	}
	gate_passed(h);
	finish(h, NULL);
}

static void on_reset(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (vanished(h))
		return;
	if (reply->r < 0) {
		quarantine(h, reply, "the VF could not be reset");
		return;
	}
	h->vf->doubtful = false;
	ask_host(h, HOST_PROBE_VF, on_probed);
}

static void on_closed(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (vanished(h))
		return;
	if (reply->r < 0)
		quarantine(h, reply, "the VF is still open after it was detached");
	else
		ask_host(h, HOST_RESET_VF, on_reset);
}

static void gate(struct handover *h)
{
	vm_release(h);
	h->rebind = h->vm_uuid[0] || h->vf->state == VF_QUARANTINED;
	vf_set_state(h->m, h->vf, VF_RESETTING, NULL);
	ask_host(h, HOST_WAIT_CLOSED, on_closed);
}

void handover_reset(struct manager *m, struct vf *vf, handover_fn fn, void *userdata)
{
	struct handover *h = handover_new(m, vf, fn, userdata);

	if (h)
		gate(h);
}

/* ---- detach ---- */

static void on_detached(void *userdata, const struct hv_reply *reply)
{
	struct handover *h = userdata;
	struct rpc_error error = { 0 };

	if (vanished(h) || other_side(h, reply, HV_DETACH, on_detached))
		return;
	switch (reply->failure) {
	case HV_NOT_RUNNING:
		if (h->vf->lease.config) {
			/* Off now, but its persistent XML may name the VF still. */
			h->vf->lease.live = false;
			ask_hv(h, HV_DETACH, on_detached);
			return;
		}
		gate(h);
		return;
	case HV_OK:
	case HV_ALREADY:
	case HV_NO_DOMAIN:
		note_stored(h, false);
		gate(h); /* a VM that is off or gone holds nothing: the gate looks for itself */
		return;
	default:
		break;
	}
	if (h->powered_off) {
		h->powered_off = false;
		ask_hv(h, HV_DETACH, on_detached);
		return;
	}
	rpc_error_from_hv(&error, reply, "the VF could not be detached");
	/* Still in the guest, as far as anybody knows: it stays with its holder. */
	if (h->vf->state == VF_DETACHING)
		vf_set_state(h->m, h->vf, VF_ATTACHED, error.message);
	finish(h, &error);
	rpc_error_done(&error);
}

/* A store that fails does not keep a guest from letting go. */
static void on_stored(struct manager *m, void *userdata)
{
	struct stored *stored = userdata;
	struct handover *h = stored->handover;

	free(stored);
	if (!h)
		return;
	h->stored = NULL;
	if (!vanished(h))
		h->go(h);
}

/* Durable first: who finds an older row after a crash, and the VF in no VM, would take it for one that never was
 * in any, and not reset it. */
static void when_stored(struct handover *h, void (*go)(struct handover *h))
{
	h->go = go;
	h->stored = calloc(1, sizeof(*h->stored));
	if (!h->stored) {
		go(h);
		return;
	}
	h->stored->handover = h;
	outbox_add(h->m, on_stored, on_stored, h->stored);
}

static void ask_detach(struct handover *h)
{
	ask_hv(h, HV_DETACH, on_detached);
}

static void detach_now(struct handover *h)
{
	if (h->vf->state == VF_RESERVED) {
		ask_detach(h);
		return;
	}
	vf_set_state(h->m, h->vf, VF_DETACHING, NULL);
	when_stored(h, ask_detach);
}

/* Runs go when no other attach or detach of the VM is under way. */
static void on_turn(struct handover *h, void (*go)(struct handover *h))
{
	struct handover **at;

	h->go = go;
	if (vm_claim(h)) {
		go(h);
		return;
	}
	at = &vm_find_uuid(h->m, h->vm_uuid)->waiting;
	while (*at)
		at = &(*at)->next_waiting;
	*at = h;
}

void handover_detach(struct manager *m, struct vf *vf, handover_fn fn, void *userdata)
{
	struct handover *h = handover_new(m, vf, fn, userdata);

	if (h)
		on_turn(h, detach_now);
}

/* ---- by force: the VM is powered off, then the VF goes the same way ---- */

/* Of a detach that is under way: it may be over before the VM is off. */
struct power_off {
	struct manager *m;
	char *vf_name;
	uint64_t epoch;
};

static bool is_off(const struct hv_reply *reply)
{
	return reply->failure == HV_OK || reply->failure == HV_NOT_RUNNING || reply->failure == HV_NO_DOMAIN;
}

static void not_powered_off(struct rpc_error *error, const struct vf *vf, const struct hv_reply *reply)
{
	_cleanup_free_ char *what = xasprintf("VM %s could not be powered off", strempty(vf->lease.vm_name));

	rpc_error_from_hv(error, reply, strempty(what));
}

static void on_powered_off(void *userdata, const struct hv_reply *reply)
{
	struct handover *h = userdata;
	struct rpc_error error = { 0 };

	if (vanished(h))
		return;
	if (is_off(reply)) {
		ask_detach(h); /* off it has no say; its persistent XML may name the VF still */
		return;
	}
	not_powered_off(&error, h->vf, reply);
	vf_set_state(h->m, h->vf, VF_ATTACHED, error.message);
	finish(h, &error);
	rpc_error_done(&error);
}

static void power_off_now(struct handover *h)
{
	ask_hv(h, HV_DESTROY, on_powered_off);
}

/* The detach that was under way goes on, and tells whoever waits for it. */
static void on_powered_off_meanwhile(void *userdata, const struct hv_reply *reply)
{
	struct power_off *p = userdata;
	struct vf *vf = vf_find(p->m, p->vf_name);
	struct handover *h = vf && vf->lease.epoch == p->epoch ? vf->handover : NULL;
	struct rpc_error error = { 0 };
	handover_fn also = h ? h->also : NULL;

	if (h && is_off(reply)) {
		h->powered_off = true;
	} else if (also) {
		h->also = NULL;
		not_powered_off(&error, vf, reply);
		also(p->m, vf, h->also_userdata, &error);
		rpc_error_done(&error);
	}
	free(p->vf_name);
	free(p);
}

static void power_off_meanwhile(struct handover *h)
{
	struct hv_request request = { .op = HV_DESTROY, .uuid = h->vm_uuid };
	struct hv_reply failed = { .failure = HV_FAILED };
	struct power_off *p = calloc(1, sizeof(*p));

	if (!p)
		return; /* the detach has a deadline */
	*p = (struct power_off){ .m = h->m, .vf_name = strdup(h->vf->name), .epoch = h->epoch };
	if (h->m->hypervisor->ops->request(h->m->hypervisor, &request, on_powered_off_meanwhile, p) < 0)
		on_powered_off_meanwhile(p, &failed);
}

bool handover_can_join(const struct vf *vf)
{
	return vf->handover && !vf->handover->also;
}

bool handover_join(struct vf *vf, handover_fn fn, void *userdata)
{
	if (!handover_can_join(vf))
		return false;
	vf->handover->also = fn;
	vf->handover->also_userdata = userdata;
	return true;
}

/* Waits for no turn: who has it may be the one that hangs. */
void handover_power_off(struct manager *m, struct vf *vf, handover_fn fn, void *userdata)
{
	struct handover *h;

	if (handover_join(vf, fn, userdata)) {
		power_off_meanwhile(vf->handover);
		return;
	}
	h = handover_new(m, vf, fn, userdata);
	if (!h)
		return;
	vf_set_state(m, vf, VF_DETACHING, "its VM is being powered off");
	when_stored(h, power_off_now);
}

/* ---- attach ---- */

static void on_attached(void *userdata, const struct hv_reply *reply)
{
	struct handover *h = userdata;
	struct rpc_error error = { 0 };

	if (vanished(h) || other_side(h, reply, HV_ATTACH, on_attached))
		return;
	note_vm(h, reply);
	if (reply->failure == HV_OK || reply->failure == HV_ALREADY) {
		note_stored(h, true);
		vf_set_state(h->m, h->vf, h->vf->lease.live ? VF_ATTACHED : VF_RESERVED, NULL);
		finish(h, NULL);
		return;
	}
	rpc_error_from_hv(&error, reply, "the VF could not be attached");
	if (reply->failure == HV_TIMEOUT || reply->failure == HV_DISCONNECTED) {
		/* Nobody knows whether the guest has it: take it back the long way. */
		vf_set_state(h->m, h->vf, VF_DETACHING, error.message);
		rpc_error_move(&h->error, &error);
		h->side = BOTH_SIDES;
		ask_hv(h, HV_DETACH, on_detached);
		return;
	}
	rpc_error_move(&h->error, &error);
	if (h->managed && h->vf->lease.live) {
		/* No guest has seen it, but libvirt may have given it to the host after its own attempt. */
		h->rebind = true;
		ask_host(h, HOST_PROBE_VF, on_probed);
		return;
	}
	gate_passed(h);
	finish(h, NULL);
}

static void attach_now(struct handover *h)
{
	if (h->vf->lease.live)
		vf_set_state(h->m, h->vf, VF_ATTACHING, NULL);
	ask_hv(h, HV_ATTACH, on_attached);
}

static void on_bound(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (vanished(h))
		return;
	if (reply->r < 0) {
		/* Free again it would be the next one's trouble, and the next one's. */
		quarantine(h, reply, "the VF could not be bound to VFIO");
		return;
	}
	note_bound(h->vf, reply);
	on_turn(h, attach_now);
}

static void bind_if_needed(struct handover *h)
{
	if (h->vf->bound || h->managed)
		on_turn(h, attach_now);
	else
		ask_host(h, HOST_BIND_VFIO, on_bound);
}

static void on_reset_first(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (vanished(h))
		return;
	if (reply->r < 0) {
		quarantine(h, reply, "the VF could not be reset");
		return;
	}
	h->vf->doubtful = false;
	bind_if_needed(h);
}

/* Nobody has it open.  A look that failed keeps nobody out: the bind looks again, and the kernel opens a VFIO group
 * once only. */
static void nobody_has_it(struct handover *h)
{
	if (h->vf->doubtful)
		ask_host(h, HOST_RESET_VF, on_reset_first);
	else
		bind_if_needed(h);
}

static void on_looked_around(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;
	struct rpc_error error = { 0 };

	if (vanished(h))
		return;
	if (reply->r >= 0)
		processes_note(h->m, h->vf->gpu, reply);
	if (reply->r < 0 || !process_takes(h->m, h->vf, reply)) {
		nobody_has_it(h);
		return;
	}
	refuse_process(h->vf, &error);
	finish(h, &error);
	rpc_error_done(&error);
}

/* Whether whoever has it open is a VM, its other VFs tell. */
static void on_looked(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (vanished(h))
		return;
	if (reply->r >= 0 && reply->n_holders > 0)
		ask_all_holders(h, on_looked_around);
	else
		nobody_has_it(h);
}

/* By the policy of now: what libvirt makes of the hostdev later is in its XML. */
static bool is_managed(const struct handover *h)
{
	const struct vm *vm = vm_find_uuid(h->m, h->vm_uuid);
	const struct policy_vm_rule *rule = vm ? policy_match_vm(h->m->policy, vm->facts->name) : NULL;

	return rule && rule->managed == VM_MANAGED_YES;
}

void handover_attach(struct manager *m, struct vf *vf, handover_fn fn, void *userdata)
{
	struct handover *h = handover_new(m, vf, fn, userdata);

	if (!h)
		return;
	h->managed = is_managed(h);
	ask_host(h, HOST_HOLDERS, on_looked);
}

/* ---- a fresh VF ---- */

static void on_fresh_bound(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (vanished(h))
		return;
	if (reply->r < 0) {
		quarantine(h, reply, "the VF could not be bound to VFIO");
		return;
	}
	note_bound(h->vf, reply);
	finish(h, NULL);
}

bool handover_bind(struct manager *m, struct vf *vf, handover_fn fn, void *userdata)
{
	struct handover *h;

	if (vf->bound || vf->handover || vf->state != VF_FREE)
		return false;
	h = handover_new(m, vf, fn, userdata);
	if (!h)
		return false;
	ask_host(h, HOST_BIND_VFIO, on_fresh_bound);
	return true;
}
