/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls of libvirt that do not return.  A VM of which one does not is `wedged`: nobody gives it a VF or takes one from
 * it, and no job is placed there, until the late answer comes or the connection is a new one; other VMs go on.  Whether
 * it is libvirt itself that hangs, a list of its domains tells: it is asked for when a VM becomes wedged.  A host where
 * nothing is asked of libvirt does not notice.  Deadlines and late answers are the hypervisor's (HV_EVENT_STUCK). */
#include "manager-state.h"

static void wedge(struct wedged *w, char *reason)
{
	free(w->reason);
	w->reason = reason;
	w->since = now_realtime();
}

void wedged_done(struct wedged *w)
{
	free(w->reason);
	*w = (struct wedged){ 0 };
}

json_t *wedged_view(const struct wedged *w)
{
	json_t *view = w->reason ? json_pack("{s:s}", "reason", w->reason) : json_null();

	if (w->reason)
		json_put_time(view, "since", w->since);
	return view;
}

const char wedged_way_out[] = "wait until libvirt answers (gpuvf show VM), power the VM off, with release --force or virsh "
			      "destroy, or restart libvirtd (virtqemud)";

int refuse_wedged(const struct vm *vm, struct rpc_error *error)
{
	rpc_error_set(error, RPC_WEDGED, "VM %s is wedged: %s", vm->facts->name, vm->wedged.reason);
	return rpc_error_detail(error, "wedged", "vm", wedged_way_out);
}

static void tell(struct manager *m, const struct vm *vm)
{
	manager_emit(m, "vm.changed", vm->facts->name, json_pack("{s:o}", "wedged", wedged_view(&vm->wedged)));
}

/* ---- libvirt itself ---- */

static void hypervisor_stuck(struct manager *m, const char *reason)
{
	if (m->hypervisor_wedged.reason)
		return;
	wedge(&m->hypervisor_wedged, xasprintf("libvirt does not answer: %s", reason));
	log_warning(0, "%s", strempty(m->hypervisor_wedged.reason));
}

void wedged_hypervisor_answered(struct manager *m)
{
	if (m->hypervisor_wedged.reason)
		log_notice("libvirt answers again");
	wedged_done(&m->hypervisor_wedged);
}

static void on_probed(void *userdata, const struct hv_reply *reply)
{
	struct manager *m = userdata;

	m->hypervisor_probed = false;
	if (reply->failure == HV_OK) /* its list may be older than events that came since: of no use for more */
		wedged_hypervisor_answered(m);
}

static void probe(struct manager *m)
{
	struct hv_request list = { .op = HV_LIST };

	if (!m->hypervisor_probed && !m->hypervisor_wedged.reason)
		m->hypervisor_probed = m->hypervisor->ops->request(m->hypervisor, &list, on_probed, m) == 0;
}

/* ---- a VM ---- */

static void vm_stuck(struct manager *m, struct vm *vm, const char *reason)
{
	vm->stuck = true;
	if (vm->barrier.failure)
		return; /* which says more */
	wedge(&vm->wedged, xasprintf("a call of libvirt about it does not return: %s", reason));
	log_vm(vm->facts->name, LOG_WARNING, 0, "VM %s is wedged: %s", vm->facts->name, strempty(vm->wedged.reason));
	tell(m, vm);
	probe(m);
}

void wedged_unsure(struct manager *m, struct vm *vm)
{
	wedge(&vm->wedged, strdup(vm->barrier.failure));
	log_vm(vm->facts->name, LOG_WARNING, 0, "VM %s is wedged: %s", vm->facts->name, strempty(vm->wedged.reason));
	tell(m, vm);
}

void wedged_sure(struct manager *m, struct vm *vm)
{
	if (!vm->wedged.reason)
		return;
	wedged_done(&vm->wedged);
	log_vm(vm->facts->name, LOG_NOTICE, 0, "the calls of libvirt about VM %s have returned", vm->facts->name);
	fixed_try_again(vm);
	tell(m, vm);
}

/* What came of them nobody was told: it is so until libvirt has said what the VM has now. */
static void vm_unstuck(struct manager *m, struct vm *vm)
{
	vm->stuck = false;
	if (vm->wedged.reason)
		barrier_ask(m, vm);
}

void wedged_follow(struct manager *m, const struct hv_event *event)
{
	struct vm *vm = vm_find_uuid(m, event->uuid);

	if (!event->uuid && event->type == HV_EVENT_STUCK)
		hypervisor_stuck(m, strempty(event->reason));
	else if (!event->uuid)
		wedged_hypervisor_answered(m);
	else if (vm && event->type == HV_EVENT_STUCK)
		vm_stuck(m, vm, strempty(event->reason));
	else if (vm)
		vm_unstuck(m, vm);
}

void wedged_connection_lost(struct manager *m)
{
	struct vm *vm, *tmp;

	wedged_done(&m->hypervisor_wedged);
	HASH_ITER(hh, m->vms, vm, tmp) {
		(void)barrier_forget(vm); /* asked anew when libvirt is back */
		vm->stuck = false;
		wedged_sure(m, vm);
	}
}

/* ---- daemon.status ---- */

static void add_trouble(json_t *troubles, const char *subject, const struct wedged *w)
{
	json_t *trouble;

	if (!w->reason)
		return;
	trouble = json_pack("{s:s,s:s,s:s}", "subject", subject, "what", "wedged", "reason", w->reason);
	json_put_time(trouble, "since", w->since);
	json_array_append_new(troubles, trouble);
}

void wedged_troubles(struct manager *m, json_t *troubles)
{
	struct vm *vm, *tmp;

	add_trouble(troubles, "libvirt", &m->hypervisor_wedged);
	HASH_ITER(hh, m->vms, vm, tmp)
		add_trouble(troubles, vm->facts->name, &vm->wedged);
}
