/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Barriers of recovery (manager-recover.c): a cheap modifying job on the domain of each VM that we had touched, so
 * that what an earlier daemon, or we on a connection that is gone, asked of libvirt has ended before we look.  Where it
 * fails nobody knows that: the VM counts as wedged, its leases stay as they were found, nothing of it is recovered,
 * given or taken, and it is asked again: after a pause, and at once when something is heard of it.  The rest of the host
 * goes on.  A VM whose call has returned too late is asked in the same way what it has now (manager-wedged.c). */
#include "manager-state.h"

/* One question.  Not the VM itself: it may be gone when the answer comes. */
struct barrier {
	struct manager *m;
	char uuid[37];
	bool of_round; /* recovery waits for it */
};

bool barrier_holds(struct manager *m, const char *uuid)
{
	const struct vm *vm = vm_find_uuid(m, uuid);

	return vm && (vm->barrier.failure || vm->facts->hostdevs_unknown);
}

bool barrier_forget(struct vm *vm)
{
	bool held = vm->barrier.failure != NULL;

	free(vm->barrier.failure);
	vm->barrier = (struct vm_tries){ .busy = vm->barrier.busy };
	return held;
}

void barrier_soon(struct manager *m, struct vm *vm)
{
	if (!vm || !vm->barrier.failure)
		return;
	vm->barrier.retry_at = 0;
	manager_pump(m);
}

static void failed(struct manager *m, struct vm *vm, const char *why)
{
	char *text = xasprintf("it is not known whether earlier calls of libvirt about it are over: %s", why);

	vm_tries_later(m, &vm->barrier);
	if (!text || streq_ptr(vm->barrier.failure, text)) {
		free(text);
		return;
	}
	free(vm->barrier.failure);
	vm->barrier.failure = text;
	wedged_unsure(m, vm);
}

static void passed(struct manager *m, struct vm *vm)
{
	if (vm->stuck)
		return; /* by another call, since: it is asked once more when that has returned */
	if (!barrier_forget(vm) && !vm->wedged.reason)
		return; /* there never was a doubt */
	wedged_sure(m, vm);
	if (m->hypervisor_connected)
		recover_vm(m, vm);
}

static void answered(struct manager *m, struct vm *vm, const struct hv_reply *reply)
{
	vm->barrier.busy = false;
	switch (reply->failure) {
	case HV_OK:
		for (size_t i = 0; i < reply->n_domains; i++)
			vm_update(m, reply->domains[i]);
		passed(m, vm);
		break;
	case HV_NO_DOMAIN: /* which is an answer */
		vm_gone(m, vm->uuid);
		break;
	default: /* libvirt away, too: when it is back all are asked anew */
		failed(m, vm, reply->message ? reply->message : hv_failure_to_string(reply->failure));
	}
}

static void on_answer(void *userdata, const struct hv_reply *reply)
{
	struct barrier *b = userdata;
	struct manager *m = b->m;
	struct vm *vm = m->ending ? NULL : vm_find_uuid(m, b->uuid);
	bool of_round = b->of_round;

	free(b);
	if (vm)
		answered(m, vm, reply);
	if (of_round)
		barrier_down(m);
	else if (!m->ending)
		manager_pump(m);
}

static void ask(struct manager *m, struct vm *vm, bool of_round)
{
	struct hv_request request = { .op = HV_GET, .uuid = vm->uuid, .barrier = true };
	const struct hv_reply refused = { .failure = HV_FAILED, .message = (char *)"it could not be asked" };
	struct barrier *b = calloc(1, sizeof(*b));

	if (b) {
		b->m = m;
		b->of_round = of_round;
		snprintf(b->uuid, sizeof(b->uuid), "%s", vm->uuid);
	}
	vm->barrier.busy = true;
	if (b && m->hypervisor->ops->request(m->hypervisor, &request, on_answer, b) == 0) {
		m->barriers += of_round;
		return;
	}
	free(b);
	answered(m, vm, &refused);
}

static bool touched(struct manager *m, const struct vm *vm)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (gpu->vfs[i]->lease.owner != LEASE_NONE &&
			    streq(gpu->vfs[i]->lease.vm_uuid, vm->uuid))
				return true;
	return false;
}

void barriers_ask(struct manager *m)
{
	struct vm *vm, *tmp;

	HASH_ITER(hh, m->vms, vm, tmp)
		if (vm->facts->state != VM_OFF && touched(m, vm))
			ask(m, vm, true);
		else if (barrier_forget(vm))
			wedged_sure(m, vm);
}

void barrier_ask(struct manager *m, struct vm *vm)
{
	if (vm->barrier.busy)
		return; /* that answer will do */
	if (m->hypervisor_connected && !m->recovering)
		ask(m, vm, false);
	else if (!vm->barrier.failure)
		wedged_sure(m, vm); /* recovery looks at all of them */
}

/* One whose last question hangs in libvirt is asked when that has returned. */
void barriers_pump(struct manager *m)
{
	struct vm *vm, *tmp;

	if (!m->hypervisor_connected || m->recovering || m->sleeping)
		return;
	HASH_ITER(hh, m->vms, vm, tmp)
		if (vm->barrier.failure && !vm->barrier.busy && !vm->stuck && vm->barrier.retry_at <= now_boottime())
			ask(m, vm, false);
}
