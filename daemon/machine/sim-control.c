/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the machine answers about itself and what somebody else does in it: the "machine" requests
 * of tests, of `gpuvf-machine --ask` and of the daemon's client. Each answers with an object; a
 * refusal is {"error": "…"}. */
#include "machine/sim-control-internal.h"

#define CONTROL_FIELD(member, type, ...)                                                           \
	{                                                                                          \
#member, type, offsetof(struct sim_control_members, member), ##__VA_ARGS__                     \
	}
static const struct json_field control_fields[] = {
	{"op", JSON_FIELD_IGNORED, 0},
	CONTROL_FIELD(gpu, JSON_FIELD_STRING, .summary = "\"gpu0\" or a PCI address"),
	CONTROL_FIELD(vm, JSON_FIELD_STRING, .summary = "name of a VM"),
	CONTROL_FIELD(address, JSON_FIELD_STRING),
	CONTROL_FIELD(alias, JSON_FIELD_STRING),
	CONTROL_FIELD(vf, JSON_FIELD_UINT, .min = 1, .max = 63),
	CONTROL_FIELD(value, JSON_FIELD_UINT),
	CONTROL_FIELD(tile, JSON_FIELD_UINT, .min = 1, .max = SIM_TILES_MAX),
	CONTROL_FIELD(attribute, JSON_FIELD_ENUM, .names = vf_attribute_names, .names_max = VF_ATTRIBUTE_MAX),
	CONTROL_FIELD(debugfs, JSON_FIELD_BOOL),
	CONTROL_FIELD(silent, JSON_FIELD_BOOL, .summary = "its event gets lost"),
	CONTROL_FIELD(live, JSON_FIELD_BOOL),
	CONTROL_FIELD(config, JSON_FIELD_BOOL),
	CONTROL_FIELD(fault, JSON_FIELD_OBJECT),
	CONTROL_FIELD(agent, JSON_FIELD_ANY),
	{NULL},
};
#undef CONTROL_FIELD

json_t *sim_control_done(void)
{
	return json_pack("{s:b}", "ok", 1);
}

/* Takes message. */
json_t *sim_control_refuse(char *message)
{
	json_t *reply = json_pack("{s:s}", "error", strempty(message));

	free(message);
	return reply;
}

/* ---- questions ---------------------------------------------------------------------------------
 */

static json_t *gpu_state(struct sim_machine *m, const struct sim_gpu *g)
{
	_cleanup_(gpu_facts_freep) struct gpu_facts *facts = sim_gpu_facts(g, true);
	json_t *json = facts ? gpu_facts_to_json(facts) : json_object();

	(void)json_put_string(json, "name", g->name);
	(void)json_put_bool(json, "present", g->present);
	(void)json_put_bool(json, "locked", sim_machine_gpu_locked(m, g));
	(void)json_put_uint(json, "held", sim_gpu_held(g));
	(void)json_put(json, "not_reset", sim_gpu_not_reset(g));
	(void)json_put(json, "writes", sim_gpu_writes(g));
	(void)json_put(json, "given", sim_gpu_given(g));
	return json;
}

static bool is_managed(const struct sim_vm *vm, const struct pci_address *address)
{
	for (size_t i = 0; i < vm->live.n; i++)
		if (vm->live.items[i].managed && pci_address_equal(&vm->live.items[i].address, address))
			return true;
	for (size_t i = 0; i < vm->config.n; i++)
		if (vm->config.items[i].managed && pci_address_equal(&vm->config.items[i].address, address))
			return true;
	return false;
}

static json_t *vm_state(struct sim_machine *m, const struct sim_vm *vm)
{
	_cleanup_(domain_facts_freep) struct domain_facts *facts = sim_vm_facts(vm);
	const struct sim_guest *guest = m->guests[vm - m->hypervisor.vms];
	json_t *json = facts ? domain_facts_to_json(facts) : json_object(), *hostdev;
	size_t i;

	json_array_foreach(json_object_get(json, "hostdevs"), i, hostdev)
		(void)json_put_bool(hostdev, "managed", is_managed(vm, &facts->hostdevs[i].address));
	(void)json_put_string(json, "agent_kind", sim_agent_kind_to_string(vm->agent));
	(void)json_put_uint_known(json, "pid", guest, guest ? (uint64_t)sim_guest_pid(guest) : 0);
	return json;
}

static json_t *tasks_state(const struct sim_machine *m)
{
	static const char *const waits[] = {"runs",    "delay", "release", "lock",
					    "disable", "close", "agent", "turn"};
	json_t *list = json_array();

	for (const struct sim_task *t = m->tasks; t; t = t->next) {
		if (t->part == SIM_PART_MACHINE)
			continue;
		(void)json_array_append_new(list, json_pack("{s:s, s:O, s:b}", "waits_for",
							    waits[t->wait], "request", t->json,
							    "answered", !t->fn));
	}
	return list;
}

static json_t *op_state(struct sim_control *x)
{
	struct sim_machine *m = x->m;
	json_t *gpus = json_array(), *vms = json_array();

	for (size_t i = 0; i < m->kernel.n_gpus; i++)
		(void)json_array_append_new(gpus, gpu_state(m, &m->kernel.gpus[i]));
	for (size_t i = 0; i < m->hypervisor.n_vms; i++)
		(void)json_array_append_new(vms, vm_state(m, &m->hypervisor.vms[i]));
	return json_pack("{s:b, s:i, s:b, s:o, s:o, s:o, s:o}", "ok", 1, "pid", (int)getpid(),
			 "libvirt", m->hypervisor.connected, "gpus", gpus, "vms", vms, "tasks",
			 tasks_state(m), "faults", sim_faults_to_json(&m->document->faults));
}

static json_t *op_writes(struct sim_control *x)
{
	struct sim_machine *m = x->m;
	json_t *reply = sim_control_done();

	for (size_t i = 0; i < m->kernel.n_gpus; i++)
		(void)json_put(reply, m->kernel.gpus[i].name, sim_gpu_writes(&m->kernel.gpus[i]));
	return reply;
}

static json_t *op_ping(struct sim_control *x)
{
	return sim_control_done();
}

static json_t *op_stop(struct sim_control *x)
{
	x->m->stopping = true;
	return json_pack("{s:b, s:i}", "ok", 1, "pid", (int)getpid());
}

/* ---- faults ------------------------------------------------------------------------------------
 */

static json_t *op_fault(struct sim_control *x)
{
	_cleanup_(json_fault_done) struct json_fault fault = {0};

	if (!x->c.fault)
		return sim_control_refuse(strdup("\"fault\" is missing: {\"on\": …}"));
	if (sim_faults_add(&x->m->document->faults, x->c.fault, "/fault", &fault) < 0)
		return sim_control_refuse(xasprintf("%s: %s%s%s%s", strempty(fault.pointer),
					strempty(fault.what), fault.hint ? " (" : "",
					strempty(fault.hint), fault.hint ? ")" : ""));
	return sim_control_done();
}

static json_t *op_clear_faults(struct sim_control *x)
{
	sim_faults_clear(&x->m->document->faults);
	return sim_control_done();
}

static bool wanted(const struct sim_control *x, const struct sim_task *t)
{
	return (!x->gpu || t->gpu == x->gpu) && (!x->vm || t->vm == x->vm);
}

/* Lets go of the VFs whose removal the kernel waits for, as guests do that follow vfio's request.
 */
static void release_held(struct sim_machine *m, const struct sim_gpu *g)
{
	for (size_t i = 0; i < m->hypervisor.n_vms; i++) {
		struct sim_vm *vm = &m->hypervisor.vms[i];

		for (size_t j = vm->live.n; j-- > 0 && g->disabling;) {
			struct hv_request request = {.live = true,
						     .address = vm->live.items[j].address};
			struct sim_gpu *of = NULL;

			if (sim_kernel_find_vf(&m->kernel, &request.address, &of) && of == g)
				sim_domain_detach(m, vm, &request);
		}
	}
}

static json_t *op_release_hang(struct sim_control *x)
{
	struct sim_machine *m = x->m;
	int released = 0;

	for (struct sim_task *t = m->tasks, *next; t; t = next) {
		next = t->next;
		if (t->wait != SIM_WAIT_RELEASE && !(t->wait == SIM_WAIT_DELAY && t->hung))
			continue;
		if (!wanted(x, t))
			continue;
		t->timer = sd_event_source_disable_unref(t->timer);
		t->wait = SIM_WAIT_NONE;
		if (t->part == SIM_PART_HOST)
			sim_host_run(t);
		else
			sim_domain_run(t);
		released++;
		next = m->tasks;
	}
	for (size_t i = 0; i < m->kernel.n_gpus; i++) {
		struct sim_gpu *g = &m->kernel.gpus[i];

		if (g->disabling && (!x->gpu || x->gpu == g) && !x->vm) {
			release_held(m, g);
			released++;
		}
	}
	return json_pack("{s:b, s:i}", "ok", 1, "released", released);
}

/* ---- somebody else at the domains ---------------------------------------------------------------
 */

static json_t *outcome(enum hv_failure failure, char *message)
{
	json_t *reply;

	if (failure == HV_OK) {
		free(message);
		return sim_control_done();
	}
	reply = sim_control_refuse(message);
	(void)json_put_string(reply, "failure", hv_failure_to_string(failure));
	return reply;
}

static json_t *op_domain_start(struct sim_control *x)
{
	char *message = NULL;
	enum hv_failure failure = sim_domain_start(x->m, x->vm, &message);

	return outcome(failure, message);
}

static json_t *op_domain_stop(struct sim_control *x)
{
	if (!sim_vm_is_active(x->vm))
		return sim_control_refuse(strdup("the domain is not running"));
	sim_domain_stop(x->m, x->vm);
	return sim_control_done();
}

static json_t *set_paused(struct sim_control *x, enum vm_state from, enum vm_state to)
{
	if (x->vm->state != from)
		return sim_control_refuse(xasprintf("the domain is %s", vm_state_to_string(x->vm->state)));
	x->vm->state = to;
	sim_domain_event(x->m, HV_EVENT_DOMAIN, x->vm, NULL, NULL);
	return sim_control_done();
}

static json_t *op_domain_pause(struct sim_control *x)
{
	return set_paused(x, VM_RUNNING, VM_PAUSED);
}

/* The guest panics and its QEMU is kept. */
static json_t *op_domain_crash(struct sim_control *x)
{
	if (x->vm->state != VM_RUNNING)
		return sim_control_refuse(xasprintf("the domain is %s", vm_state_to_string(x->vm->state)));
	sim_domain_crash(x->m, x->vm);
	return sim_control_done();
}

static json_t *op_domain_resume(struct sim_control *x)
{
	return set_paused(x, VM_PAUSED, VM_RUNNING);
}

/* virsh managedsave */
static json_t *op_domain_save(struct sim_control *x)
{
	if (!sim_vm_is_active(x->vm))
		return sim_control_refuse(strdup("the domain is not running"));
	if (!x->vm->spec.persistent)
		return sim_control_refuse(strdup("cannot do managed save for transient domain"));
	if (x->vm->live.n > 0)
		return sim_control_refuse(strdup("domain has assigned non-USB host devices"));
	x->vm->saved = true;
	sim_domain_stop(x->m, x->vm);
	return sim_control_done();
}

/* virsh managedsave-remove: libvirt sends no event. */
static json_t *op_domain_unsave(struct sim_control *x)
{
	if (!x->vm->saved)
		return sim_control_refuse(strdup("the domain has no managed-save image"));
	x->vm->saved = false;
	return sim_control_done();
}

static json_t *op_domain_undefine(struct sim_control *x)
{
	if (sim_vm_is_active(x->vm))
		return sim_control_refuse(strdup("the domain is running"));
	x->vm->state = VM_GONE;
	x->vm->saved = false;
	sim_domain_event(x->m, HV_EVENT_DOMAIN_GONE, x->vm, NULL, NULL);
	return sim_control_done();
}

static json_t *op_domain_define(struct sim_control *x)
{
	if (x->vm->state != VM_GONE)
		return sim_control_refuse(strdup("the domain is there already"));
	x->vm->state = VM_OFF;
	x->vm->spec.persistent = true;
	sim_domain_event(x->m, HV_EVENT_DOMAIN, x->vm, NULL, NULL);
	return sim_control_done();
}

static json_t *op_agent(struct sim_control *x)
{
	int kind = x->c.agent ? sim_agent_kind_from_json(x->c.agent) : -EINVAL;

	if (kind < 0)
		return sim_control_refuse(
			strdup("\"agent\" must be true, false, \"no-exec\" or \"disconnected\""));
	x->vm->agent = kind;
	sim_domain_event(x->m, HV_EVENT_DOMAIN, x->vm, NULL, NULL);
	return sim_control_done();
}

/* Without a VF the GPU itself is meant, which only a stored definition can name here. */
static bool hostdev_request(struct sim_control *x, struct hv_request *ret, json_t **ret_refusal)
{
	bool pf = !x->c.vf && x->c.config && !x->c.live;
	struct sim_vf *vf = pf ? NULL : sim_control_vf(x, ret_refusal);

	if (!pf && !vf)
		return false;
	*ret = (struct hv_request){.address = pf ? x->gpu->spec.address : vf->address,
				   .alias = x->c.alias,
				   .live = x->c.live || !x->c.config,
				   .config = x->c.config,
				   .managed = true};
	return true;
}

/* virsh attach-device with managed='yes': libvirt binds the VF itself, and gives it back to the host's driver.  No event
 * tells of a stored definition that was changed so. */
static json_t *op_foreign_attach(struct sim_control *x)
{
	struct hv_request request;
	json_t *refusal = NULL;
	char *message = NULL;
	enum hv_failure failure;

	if (!hostdev_request(x, &request, &refusal))
		return refusal;
	failure = sim_domain_attach(x->m, x->vm, &request, &message);
	return outcome(failure, message);
}

static json_t *op_foreign_detach(struct sim_control *x)
{
	struct hv_request request;
	json_t *refusal = NULL;
	char *message = NULL;
	enum hv_failure failure;

	if (!hostdev_request(x, &request, &refusal))
		return refusal;
	failure = sim_vm_detach_check(x->vm, &request, &message);
	if (failure == HV_OK)
		sim_domain_detach(x->m, x->vm, &request);
	return outcome(failure, message);
}

static json_t *op_libvirt_down(struct sim_control *x)
{
	if (!x->m->hypervisor.connected)
		return sim_control_refuse(strdup("it is down already"));
	x->m->hypervisor.connected = false;
	sim_turn_orphan(x->m);
	sim_domain_event(x->m, HV_EVENT_LOST_CONNECTION, NULL, NULL, "libvirtd is away");
	return sim_control_done();
}

static json_t *op_libvirt_up(struct sim_control *x)
{
	if (x->m->hypervisor.connected)
		return sim_control_refuse(strdup("it is up already"));
	x->m->hypervisor.connected = true;
	sim_domain_event(x->m, HV_EVENT_CONNECTED, NULL, NULL, NULL);
	return sim_control_done();
}

/* Somebody else on the host takes memory or gives it back. */
static json_t *op_memory_available(struct sim_control *x)
{
	x->m->hypervisor.memory_available = (struct known){true, x->c.value};
	return sim_control_done();
}

/* ---- dispatch ----------------------------------------------------------------------------------
 */

enum { NEEDS_GPU = 1, NEEDS_VM = 2, NEEDS_VF = 4, NEEDS_VALUE = 8, NEEDS_ATTRIBUTE = 16 };

static const struct control_op {
	const char *name;
	unsigned needs;
	json_t *(*run)(struct sim_control *x);
} ops[] = {
	/* keep sorted */
	{"agent", NEEDS_VM, op_agent},
	{"bind-driver", NEEDS_GPU, sim_control_bind_driver},
	{"clear-faults", 0, op_clear_faults},
	{"close", NEEDS_GPU | NEEDS_VF, sim_control_close},
	{"domain-crash", NEEDS_VM, op_domain_crash},
	{"domain-define", NEEDS_VM, op_domain_define},
	{"domain-pause", NEEDS_VM, op_domain_pause},
	{"domain-resume", NEEDS_VM, op_domain_resume},
	{"domain-save", NEEDS_VM, op_domain_save},
	{"domain-start", NEEDS_VM, op_domain_start},
	{"domain-stop", NEEDS_VM, op_domain_stop},
	{"domain-undefine", NEEDS_VM, op_domain_undefine},
	{"domain-unsave", NEEDS_VM, op_domain_unsave},
	{"fault", 0, op_fault},
	{"foreign-attach", NEEDS_VM | NEEDS_GPU, op_foreign_attach},
	{"foreign-detach", NEEDS_VM | NEEDS_GPU, op_foreign_detach},
	{"guard", NEEDS_GPU | NEEDS_VALUE, sim_control_guard},
	{"hold", NEEDS_GPU | NEEDS_VF, sim_control_hold},
	{"libvirt-down", 0, op_libvirt_down},
	{"libvirt-up", 0, op_libvirt_up},
	{"memory-available", NEEDS_VALUE, op_memory_available},
	{"move-gpu", NEEDS_GPU, sim_control_move_gpu},
	{"overflow", 0, sim_control_overflow},
	{"ping", 0, op_ping},
	{"plug-gpu", NEEDS_GPU, sim_control_plug_gpu},
	{"reboot", 0, sim_control_reboot},
	{"release-hang", 0, op_release_hang},
	{"set-attribute", NEEDS_GPU | NEEDS_ATTRIBUTE | NEEDS_VALUE, sim_control_set_attribute},
	{"set-numvfs", NEEDS_GPU | NEEDS_VALUE, sim_control_set_numvfs},
	{"state", 0, op_state},
	{"stop", 0, op_stop},
	{"unbind-driver", NEEDS_GPU, sim_control_unbind_driver},
	{"unhold", NEEDS_GPU | NEEDS_VF, sim_control_unhold},
	{"unplug-gpu", NEEDS_GPU, sim_control_unplug_gpu},
	{"wedge", NEEDS_GPU, sim_control_wedge},
	{"writes", 0, op_writes},
};

static char *op_names(void)
{
	const char *names[ARRAY_SIZE(ops)];

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		names[i] = ops[i].name;
	return enum_list(names, ARRAY_SIZE(ops));
}

/* Finds what the op is about.  Returns a refusal, or NULL. */
static json_t *resolve(struct sim_control *x, unsigned needs, const json_t *request)
{
	if (x->c.gpu) {
		x->gpu = sim_kernel_find_name(&x->m->kernel, x->c.gpu);
		if (!x->gpu)
			return sim_control_refuse(xasprintf("there is no GPU \"%.64s\"", x->c.gpu));
	}
	if (x->c.vm) {
		x->vm = sim_hypervisor_find_name(&x->m->hypervisor, x->c.vm);
		if (!x->vm)
			return sim_control_refuse(xasprintf("there is no VM \"%.64s\"", x->c.vm));
	}
	if (needs & NEEDS_GPU && !x->gpu)
		return sim_control_refuse(strdup("\"gpu\" is missing"));
	if (needs & NEEDS_VM && !x->vm)
		return sim_control_refuse(strdup("\"vm\" is missing"));
	if (needs & NEEDS_VF && !x->c.vf)
		return sim_control_refuse(strdup("\"vf\" is missing: it counts from 1"));
	if (needs & NEEDS_VALUE && !json_object_get(request, "value"))
		return sim_control_refuse(strdup("\"value\" is missing"));
	if (needs & NEEDS_ATTRIBUTE && !json_object_get(request, "attribute"))
		return sim_control_refuse(strdup("\"attribute\" is missing: such as \"vram_quota\""));
	return NULL;
}

static json_t *run_op(struct sim_machine *m, const struct control_op *op, const json_t *request)
{
	_cleanup_(json_fault_done) struct json_fault fault = {0};
	struct sim_control x = {.m = m};
	json_t *reply;

	if (json_fields_decode(request, "", control_fields, &x.c, &fault) < 0)
		return sim_control_refuse(xasprintf("%s: %s", strempty(fault.pointer), strempty(fault.what)));
	reply = resolve(&x, op->needs, request);
	if (!reply)
		reply = op->run(&x);
	json_fields_done(control_fields, &x.c);
	return reply;
}

void sim_control_run(struct sim_task *t)
{
	const char *name = strempty(json_get_string(t->json, "op"));
	_cleanup_free_ char *names = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		if (!streq(ops[i].name, name))
			continue;
		sim_task_answer(t, run_op(t->m, &ops[i], t->json));
		return;
	}
	names = op_names();
	sim_task_answer(t, sim_control_refuse(xasprintf("there is no operation \"%.64s\" (one of: %s)", name,
					    strempty(names))));
}
