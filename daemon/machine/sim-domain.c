/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to the made-up libvirt, and what they mean for the guests: their devices, files and
 * agents. */
#include "machine/sim-machine-internal.h"

#include "lib/units.h"
#include "machine/machine-message.h"
#include "machine/sim-guest-tree.h"

#define AGENT_TEXT_MAX ((size_t)4 << 20) /* the longest string that libvirt's protocol carries */

static const enum sim_point points[HV_OP_MAX] = {
	[HV_LIST] = SIM_LIST,     [HV_GET] = SIM_GET,     [HV_ATTACH] = SIM_ATTACH,
	[HV_DETACH] = SIM_DETACH, [HV_AGENT] = SIM_AGENT, /* or the command's own */
	[HV_START] = SIM_START,   [HV_SHUTDOWN] = SIM_SHUTDOWN, [HV_DESTROY] = SIM_DESTROY,
};

static void send_reply(struct sim_task *t, struct hv_reply *reply)
{
	json_t *json = hv_reply_to_json(reply);

	hv_reply_done(reply);
	sim_task_answer(t, json);
}

void sim_domain_fail(struct sim_task *t, enum hv_failure failure, char *message)
{
	struct hv_reply reply = {.failure = failure, .message = message};

	send_reply(t, &reply);
}

/* What a fault has libvirt answer, as if it had been asked and had failed somewhere in between. */
static void send_fault(struct sim_task *t)
{
	struct hv_reply reply = {
		.failure = (enum hv_failure)t->fault.error,
		.message = strdup(t->fault.message ? t->fault.message : "internal error: made up"),
	};

	reply.tried = t->hv.op == HV_ATTACH && t->hv.live &&
		      hv_attach_may_have_begun(reply.failure, reply.message);
	send_reply(t, &reply);
}

void sim_domain_event(struct sim_machine *m, enum hv_event_type type, const struct sim_vm *vm,
		      const char *alias, const char *reason)
{
	_cleanup_(domain_facts_freep) struct domain_facts *facts = NULL;
	struct hv_event event = {
		.type = type, .uuid = vm ? vm->uuid : NULL, .alias = alias, .reason = reason};
	_cleanup_json_ json_t *json = NULL;

	if (type == HV_EVENT_DOMAIN)
		event.domain = facts = sim_vm_facts(vm);
	json = machine_hv_event_to_json(&event);
	if (json)
		m->on_event(m->userdata, json);
}

/* libvirt has changed the driver of a device that it manages. */
static void tell_driver(struct sim_machine *m, const struct sim_hostdev *h)
{
	struct sim_gpu *gpu = NULL;

	if (h->managed && sim_kernel_find_vf(&m->kernel, &h->address, &gpu))
		sim_machine_host_event(m, HOST_EVENT_CHANGED, gpu);
}

static void tell_drivers(struct sim_machine *m, const struct sim_hostdevs *list)
{
	for (size_t i = 0; i < list->n; i++)
		tell_driver(m, &list->items[i]);
}

/* ---- guests ------------------------------------------------------------------------------------
 */

static struct sim_guest **guest_slot(struct sim_machine *m, const struct sim_vm *vm)
{
	return &m->guests[vm - m->hypervisor.vms];
}

static bool guest_fault(struct sim_machine *m, const struct sim_vm *vm, enum sim_point point)
{
	return sim_faults_take(&m->document->faults, point, NULL, NULL, vm->spec.name) != NULL;
}

/* The guest finds a new function, as far as the faults let it.  A guest without it is a matter of
 * the guest: libvirt has said yes already. */
static void show_device(struct sim_machine *m, const struct sim_vm *vm, const struct sim_hostdev *h)
{
	struct sim_gpu *gpu = NULL;
	struct sim_guest_device device;

	if (!sim_kernel_find_vf(&m->kernel, &h->address, &gpu) ||
	    guest_fault(m, vm, SIM_GUEST_DEVICE))
		return;
	device = (struct sim_guest_device){
		.port = h->port,
		.device_id = gpu->spec.device_id,
		.class_code = gpu->spec.class_code,
		.bars = !guest_fault(m, vm, SIM_GUEST_BARS),
		.driver = vm->spec.guest_driver && !guest_fault(m, vm, SIM_GUEST_DRIVER),
	};
	device.driver =
		device.driver && device.bars; /* no driver takes a function without memory */
	(void)sim_guest_tree_plug(vm->guest_root, &device);
}

int sim_domain_boot(struct sim_machine *m, struct sim_vm *vm)
{
	int r;

	if (!sim_vm_is_active(vm)) {
		sim_guest_tree_off(vm->guest_root);
		return 0;
	}
	r = sim_guest_tree_boot(vm->guest_root, vm->spec.guest_driver);
	for (size_t i = 0; r >= 0 && i < vm->live.n; i++)
		show_device(m, vm, &vm->live.items[i]);
	return r;
}

enum hv_failure sim_domain_start(struct sim_machine *m, struct sim_vm *vm, char **ret_message)
{
	enum hv_failure failure;

	failure = sim_vm_start(&m->hypervisor, &m->kernel, vm, ret_message);
	if (failure != HV_OK)
		return failure;
	if (sim_domain_boot(m, vm) < 0) {
		sim_vm_stop(&m->hypervisor, &m->kernel, vm);
		*ret_message = xasprintf("internal error: cannot write below %s", vm->guest_root);
		return HV_FAILED;
	}
	tell_drivers(m, &vm->live);
	sim_domain_event(m, HV_EVENT_DOMAIN, vm, NULL, NULL);
	return HV_OK;
}

/* A guest that is off holds on to nothing: libvirt's calls that waited for it return. */
static void end_hung_calls(struct sim_machine *m, const struct sim_vm *vm)
{
	for (struct sim_task *t = m->tasks, *next; t; t = next) {
		next = t->next;
		if (t->vm != vm || (t->hv.op != HV_DETACH && t->hv.op != HV_ATTACH) || t->wait != SIM_WAIT_RELEASE)
			continue;
		t->wait = SIM_WAIT_NONE;
		sim_domain_run(t);
		next = m->tasks; /* its answer may have ended others */
	}
}

void sim_domain_stop(struct sim_machine *m, struct sim_vm *vm)
{
	struct sim_guest **guest = guest_slot(m, vm);

	*guest = sim_guest_free(*guest);
	tell_drivers(m, &vm->live);
	sim_vm_stop(&m->hypervisor, &m->kernel, vm);
	sim_guest_tree_off(vm->guest_root);
	sim_domain_event(m, vm->state == VM_GONE ? HV_EVENT_DOMAIN_GONE : HV_EVENT_DOMAIN, vm, NULL,
			 NULL);
	sim_machine_settle(m);
	end_hung_calls(m, vm);
}

void sim_domain_crash(struct sim_machine *m, struct sim_vm *vm)
{
	struct sim_guest **guest = guest_slot(m, vm);

	*guest = sim_guest_free(*guest);
	vm->state = VM_CRASHED;
	sim_domain_event(m, HV_EVENT_DOMAIN, vm, NULL, NULL);
}

/* ---- hostdevs ----------------------------------------------------------------------------------
 */

enum hv_failure sim_domain_attach(struct sim_machine *m, struct sim_vm *vm,
				  const struct hv_request *request, char **ret_message)
{
	struct sim_hostdev *live = NULL;
	enum hv_failure failure;

	failure = sim_vm_attach(&m->hypervisor, &m->kernel, vm, request, &live, ret_message);
	if (failure == HV_OK && live) {
		show_device(m, vm, live);
		tell_driver(m, live);
		sim_domain_event(m, HV_EVENT_DEVICE_ADDED, vm, live->alias, NULL);
		sim_domain_event(m, HV_EVENT_DOMAIN, vm, NULL, NULL);
	}
	return failure;
}

void sim_domain_detach(struct sim_machine *m, struct sim_vm *vm, const struct hv_request *request)
{
	struct sim_hostdev gone;

	sim_vm_detach(&m->kernel, vm, request, &gone);
	if (request->live) {
		tell_driver(m, &gone);
		sim_guest_tree_unplug(vm->guest_root, gone.port);
		sim_domain_event(m, HV_EVENT_DEVICE_REMOVED, vm, gone.alias, NULL);
		sim_domain_event(m, HV_EVENT_DOMAIN, vm, NULL, NULL);
	}
	sim_hostdev_done(&gone);
	sim_machine_settle(m);
}

static void run_attach(struct sim_task *t)
{
	char *message = NULL;
	enum hv_failure failure;

	failure = sim_domain_attach(t->m, t->vm, &t->hv, &message);
	sim_domain_fail(t, failure, message);
}

static void run_detach(struct sim_task *t)
{
	struct sim_machine *m = t->m;
	struct sim_vm *vm = t->vm;
	struct hv_request request = t->hv;
	char *message = NULL;
	enum hv_failure failure;

	failure = sim_vm_detach_check(vm, &request, &message);
	if (failure == HV_OK)
		sim_domain_detach(m, vm, &request);
	sim_domain_fail(t, failure, message);
}

/* ---- on and off ---------------------------------------------------------------------------------
 */

static void run_start(struct sim_task *t)
{
	char *message = NULL;
	enum hv_failure failure = HV_ALREADY;

	if (sim_vm_is_active(t->vm))
		message = strdup("Requested operation is not valid: domain is already running");
	else
		failure = sim_vm_start_check(&t->m->hypervisor, t->vm, &message);
	if (failure == HV_OK)
		failure = sim_domain_start(t->m, t->vm, &message);
	sim_domain_fail(t, failure, message);
}

static void power_off(struct sim_task *t, bool asks_guest)
{
	struct sim_machine *m = t->m;
	struct sim_vm *vm = t->vm;

	if (!sim_vm_is_active(vm)) {
		sim_domain_fail(t, HV_NOT_RUNNING,
			     strdup("Requested operation is not valid: domain is not running"));
		return;
	}
	sim_domain_fail(t, HV_OK, NULL);
	if (!asks_guest || vm->state != VM_CRASHED)
		sim_domain_stop(m, vm);
}

/* A guest that is asked goes off at once, unless it is dead. */
static void run_shutdown(struct sim_task *t)
{
	power_off(t, true);
}

static void run_destroy(struct sim_task *t)
{
	power_off(t, false);
}

/* ---- agent -------------------------------------------------------------------------------------
 */

static const char *command_name(const struct sim_task *t)
{
	return strempty(json_get_string(t->hv.command, "execute"));
}

static char *agent_words(const struct sim_task *t, const char *error)
{
	return xasprintf("internal error: unable to execute QEMU agent command '%s': %s",
			 command_name(t), error);
}

static void on_agent(void *userdata, json_t *result, const char *error)
{
	struct sim_task *t = userdata;
	struct hv_reply reply = {.result = result};
	_cleanup_free_ char *text = NULL;

	t->wait = SIM_WAIT_NONE;
	if (!result && !error) {
		sim_domain_fail(
			t, HV_AGENT_UNRESPONSIVE,
			strdup("Guest agent is not responding: QEMU guest agent is not connected"));
		return;
	}
	if (error) {
		bool disabled = strstr(error, "has been disabled") != NULL;

		sim_domain_fail(t, disabled ? HV_AGENT_DISABLED : HV_AGENT_REFUSED,
			     agent_words(t, error));
		return;
	}
	text = json_text(result);
	if (!text || strlen(text) > AGENT_TEXT_MAX) {
		json_decref(result);
		sim_domain_fail(
			t, HV_FAILED,
			strdup("Unable to encode message payload: the agent's answer is too long"));
		return;
	}
	send_reply(t, &reply);
}

static void run_agent(struct sim_task *t)
{
	struct sim_guest **guest = guest_slot(t->m, t->vm);
	int r = 0;

	if (t->fault.answer) {
		struct hv_reply reply = {.result = json_incref(t->fault.answer)};

		send_reply(t, &reply);
		return;
	}
	if (!*guest)
		r = sim_guest_new(t->m->event, t->vm->guest_root, guest);
	if (r >= 0)
		r = sim_guest_command(*guest, t->hv.command, t->vm->agent == SIM_AGENT_NO_EXEC,
				      on_agent, t);
	if (r < 0)
		on_agent(t, NULL, NULL);
	else
		t->wait = SIM_WAIT_AGENT;
}

/* What libvirt says before it even asks the guest. */
static enum hv_failure check_agent(const struct sim_vm *vm, const char **ret_message)
{
	if (!sim_vm_is_active(vm)) {
		*ret_message = "Requested operation is not valid: domain is not running";
		return HV_NOT_RUNNING;
	}
	if (vm->agent == SIM_AGENT_NONE) {
		*ret_message = "argument unsupported: QEMU guest agent is not configured";
		return HV_AGENT_ABSENT;
	}
	if (vm->agent == SIM_AGENT_DISCONNECTED || vm->state != VM_RUNNING) {
		*ret_message = "Guest agent is not responding: QEMU guest agent is not connected";
		return HV_AGENT_UNRESPONSIVE;
	}
	return HV_OK;
}

/* ---- the request -------------------------------------------------------------------------------
 */

static void run_list(struct sim_task *t)
{
	struct sim_hypervisor *hv = &t->m->hypervisor;
	struct hv_reply reply = {0};

	reply.domains = calloc(hv->n_vms + 1, sizeof(*reply.domains));
	for (size_t i = 0; reply.domains && i < hv->n_vms; i++) {
		if (hv->vms[i].state == VM_GONE)
			continue;
		reply.domains[reply.n_domains] = sim_vm_facts(&hv->vms[i]);
		if (reply.domains[reply.n_domains])
			reply.n_domains++;
	}
	send_reply(t, &reply);
}

static void run_get(struct sim_task *t)
{
	struct hv_reply reply = {.domains = calloc(1, sizeof(*reply.domains))};

	if (reply.domains && (reply.domains[0] = sim_vm_facts(t->vm)))
		reply.n_domains = 1;
	send_reply(t, &reply);
}

static void (*const runners[HV_OP_MAX])(struct sim_task *t) = {
	[HV_LIST] = run_list,     [HV_GET] = run_get,     [HV_ATTACH] = run_attach,
	[HV_DETACH] = run_detach, [HV_AGENT] = run_agent,
	[HV_START] = run_start,   [HV_SHUTDOWN] = run_shutdown, [HV_DESTROY] = run_destroy,
};

void sim_domain_run(struct sim_task *t)
{
	const char *message = NULL;
	enum hv_failure failure = HV_OK;

	if (t->hv.op != HV_AGENT) /* the guest may still take its time */
		t->deadline = sd_event_source_disable_unref(t->deadline);
	if (t->vm && t->vm->state == VM_GONE) {
		sim_domain_fail(t, HV_NO_DOMAIN, strdup("Domain not found"));
		return;
	}
	if (t->fault.error > HV_OK) {
		send_fault(t);
		return;
	}
	if (t->hv.op == HV_AGENT)
		failure = check_agent(t->vm, &message);
	if (failure != HV_OK)
		sim_domain_fail(t, failure, strdup(message));
	else
		runners[t->hv.op](t);
}

bool sim_domain_is_stuck(const struct sim_machine *m, const struct sim_vm *vm)
{
	for (const struct sim_task *t = m->tasks; t; t = t->next)
		if (t->stuck && t->vm == vm)
			return true;
	return false;
}

/* Its call has not returned.  Of a detach that hangs, libvirt has asked the guest and it is the guest that hangs. */
static void tell_stuck(struct sim_task *t)
{
	bool news = !sim_domain_is_stuck(t->m, t->vm);

	t->stuck = true;
	if (news)
		sim_domain_event(t->m, HV_EVENT_STUCK, t->vm, NULL,
				 t->hv.op == HV_DETACH ? "libvirt did not ask the guest for the device in time"
						       : hv_op_late_text(t->hv.op));
}

static enum sim_point point_of(const struct sim_task *t)
{
	int own;

	if (t->hv.op != HV_AGENT)
		return points[t->hv.op];
	own = sim_point_from_string(command_name(t));
	return own >= 0 && sim_point_is_agent(own) ? (enum sim_point)own : SIM_AGENT;
}

void sim_domain_turn(struct sim_task *t)
{
	t->timer = sd_event_source_disable_unref(t->timer);
	t->wait = SIM_WAIT_NONE;
	if (t->orphan) /* of a connection that is no more */
		sim_domain_fail(t, HV_DISCONNECTED, strdup("Cannot recv data: libvirtd is away"));
	else
		sim_task_go(t, point_of(t));
}

/* libvirt gives up waiting; what was asked for may still happen. */
static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct sim_task *t = userdata;
	struct hv_reply reply = {.failure = HV_TIMEOUT};

	t->deadline = sd_event_source_disable_unref(t->deadline);
	if (t->hv.op == HV_AGENT) {
		sim_domain_fail(
			t, HV_AGENT_UNRESPONSIVE,
			strdup("Guest agent is not responding: Guest agent not available for now"));
		return 0;
	}
	if (t->hv.op != HV_DETACH || t->wait == SIM_WAIT_TURN)
		tell_stuck(t);
	reply.message = strdup(t->hv.op == HV_DETACH ? "Timed out during operation: the guest did not react"
						     : hv_op_late_text(t->hv.op));
	sim_task_answer_early(t, hv_reply_to_json(&reply));
	hv_reply_done(&reply);
	return 0;
}

void sim_domain_begin(struct sim_task *t)
{
	uint64_t limit = t->hv.deadline_usec ? t->hv.deadline_usec : hv_op_deadline(t->hv.op);

	if (!t->m->hypervisor.connected) {
		sim_domain_fail(t, HV_DISCONNECTED, strdup("Cannot recv data: libvirtd is away"));
		return;
	}
	if (t->hv.op != HV_LIST) {
		t->vm = sim_hypervisor_find(&t->m->hypervisor, t->hv.uuid);
		if (!t->vm) {
			sim_domain_fail(
				t, HV_NO_DOMAIN,
				xasprintf("Domain not found: no domain with matching uuid '%s'",
					  t->hv.uuid));
			return;
		}
	}
	if (sim_task_deadline(t, limit, on_deadline) < 0) {
		sim_domain_fail(t, HV_FAILED, strdup("Out of memory"));
		return;
	}
	sim_task_go(t, point_of(t));
}
