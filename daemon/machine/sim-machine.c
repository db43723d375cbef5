/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of a request: arrival, latency, faults, device lock, effect, answer. */
#include "machine/sim-machine-internal.h"

#include "machine/machine-message.h"
#include "machine/sim-opener.h"

const char *const sim_part_names[SIM_PART_MAX] = {
	[SIM_PART_HOST] = "host",
	[SIM_PART_HYPERVISOR] = "hypervisor",
	[SIM_PART_MACHINE] = "machine",
};
DEFINE_ENUM_TABLE(sim_part, enum sim_part, SIM_PART_MAX);

static void task_link(struct sim_task *t)
{
	struct sim_machine *m = t->m;

	t->prev = m->last;
	if (m->last)
		m->last->next = t;
	else
		m->tasks = t;
	m->last = t;
}

void sim_task_end(struct sim_task *t)
{
	struct sim_machine *m = t->m;
	const struct sim_vm *vm = t->vm;
	bool settles = t->locks || t->part == SIM_PART_HYPERVISOR, was_stuck = t->stuck;

	if (t->wait == SIM_WAIT_AGENT && t->vm && m->guests[t->vm - m->hypervisor.vms])
		sim_guest_forget(m->guests[t->vm - m->hypervisor.vms], t);
	if (t->prev)
		t->prev->next = t->next;
	else
		m->tasks = t->next;
	if (t->next)
		t->next->prev = t->prev;
	else
		m->last = t->prev;
	sd_event_source_disable_unref(t->timer);
	sd_event_source_disable_unref(t->deadline);
	free(t->fault.message);
	json_decref(t->fault.answer);
	json_decref(t->json);
	free(t);
	if (was_stuck && !sim_domain_is_stuck(m, vm))
		sim_domain_event(m, HV_EVENT_UNSTUCK, vm, NULL, NULL);
	if (settles)
		sim_machine_settle(m);
}

void sim_task_answer_early(struct sim_task *t, json_t *reply)
{
	sim_reply_fn fn = TAKE_PTR(t->fn);

	if (fn && t->fault.kill == SIM_KILL_NONE) {
		fn(t->userdata, reply);
		return;
	}
	if (fn)
		t->m->on_kill(t->userdata);
	json_decref(reply);
}

void sim_task_answer(struct sim_task *t, json_t *reply)
{
	sim_task_answer_early(t, reply);
	sim_task_end(t);
}

static void task_run(struct sim_task *t)
{
	t->wait = SIM_WAIT_NONE;
	if (t->part == SIM_PART_HOST)
		sim_host_run(t);
	else
		sim_domain_run(t);
}

static int on_delay_over(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct sim_task *t = userdata;

	t->timer = sd_event_source_disable_unref(t->timer);
	task_run(t);
	return 0;
}

int sim_task_deadline(struct sim_task *t, uint64_t usec, sd_event_time_handler_t fn)
{
	return sd_event_add_time_relative(t->m->event, &t->deadline, CLOCK_MONOTONIC, usec, 1000,
					  fn, t);
}

/* Which requests wait for the device lock while somebody else holds it (reference §1.2): those that
 * read or write what it guards. A scan reads links only. */
static bool needs_lock(const struct sim_task *t)
{
	return t->gpu && t->host.op != HOST_SCAN && t->host.op != HOST_HOLDERS &&
	       t->host.op != HOST_WAIT_CLOSED;
}

bool sim_machine_gpu_locked(const struct sim_machine *m, const struct sim_gpu *g)
{
	if (g->disabling)
		return true;
	for (const struct sim_task *t = m->tasks; t; t = t->next)
		if (t->gpu == g && t->locks)
			return true;
	return false;
}

/* Takes the fault's words along: the list may change while the task waits. */
static uint64_t meet_fault(struct sim_task *t, enum sim_point point)
{
	const char *vm = t->vm ? t->vm->spec.name : NULL;
	char address[PCI_ADDRESS_STRLEN];
	const struct sim_fault *f;

	if (sim_point_is_agent(point))
		f = sim_faults_take_command(&t->m->document->faults, point, vm, t->hv.command);
	else
		f = sim_faults_take(&t->m->document->faults, point, t->gpu ? t->gpu->name : NULL,
				    t->gpu ? pci_address_format(&t->gpu->spec.address, address) : NULL, vm);
	if (!f)
		return 0;
	t->fault.error = f->error;
	t->fault.fewer = f->fewer;
	t->fault.kill = f->kill;
	t->fault.message = f->message ? strdup(f->message) : NULL;
	t->fault.answer = json_incref(f->answer);
	t->hung = f->hang_usec > 0;
	return f->hang_usec;
}

/* A dead guest never says that it let go. */
static bool waits_for_the_dead(const struct sim_task *t)
{
	return t->vm && t->vm->state == VM_CRASHED && t->part != SIM_PART_HOST && t->hv.op == HV_DETACH && t->hv.live;
}

void sim_task_go(struct sim_task *t, enum sim_point point)
{
	uint64_t delay = t->m->document->faults.latency_usec[point], hang;

	if (needs_lock(t) && sim_machine_gpu_locked(t->m, t->gpu)) {
		t->wait = SIM_WAIT_LOCK;
		return;
	}
	if (sim_turn_waits(t)) {
		sim_turn_wait(t);
		return;
	}
	hang = meet_fault(t, point);
	if (waits_for_the_dead(t))
		hang = USEC_INFINITY;
	if (t->fault.kill == SIM_KILL_BEFORE) {
		sim_task_answer(t, NULL);
		return;
	}
	if (delay == 0 && hang == 0) {
		task_run(t);
		return;
	}
	t->locks = needs_lock(t) && (hang > 0 || t->host.op == HOST_SET_NUMVFS);
	t->wait = hang == USEC_INFINITY ? SIM_WAIT_RELEASE : SIM_WAIT_DELAY;
	if (hang == USEC_INFINITY)
		return;
	if (sd_event_add_time_relative(t->m->event, &t->timer, CLOCK_MONOTONIC, delay + hang, 1000,
				       on_delay_over, t) < 0)
		task_run(t);
}

/* Runs what became possible.  A task may end others, so the walk begins again after each. */
void sim_machine_settle(struct sim_machine *m)
{
	for (size_t i = 0; i < m->kernel.n_gpus; i++)
		if (sim_kernel_settle(&m->kernel, &m->kernel.gpus[i]))
			sim_machine_host_event(m, HOST_EVENT_CHANGED, &m->kernel.gpus[i]);
	for (struct sim_task *t = m->tasks, *next; t; t = next) {
		next = t->next;
		switch (t->wait) {
		case SIM_WAIT_DISABLE:
			if (t->gpu->disabling)
				continue;
			break;
		case SIM_WAIT_CLOSE: {
			const struct sim_vf *vf = sim_gpu_vf(t->gpu, t->host.vf);

			if (vf && vf->held)
				continue;
			break;
		}
		case SIM_WAIT_LOCK:
			if (sim_machine_gpu_locked(m, t->gpu))
				continue;
			break;
		case SIM_WAIT_TURN:
			if (sim_turn_waits(t))
				continue;
			sim_domain_turn(t);
			next = m->tasks;
			continue;
		case SIM_WAIT_NONE:
		case SIM_WAIT_DELAY:
		case SIM_WAIT_RELEASE:
		case SIM_WAIT_AGENT:
			continue;
		}
		sim_host_settled(t);
		next = m->tasks;
	}
}

void sim_machine_tell(struct sim_machine *m, const struct host_event *event)
{
	_cleanup_json_ json_t *json = machine_host_event_to_json(event);

	if (json)
		m->on_event(m->userdata, json);
}

void sim_machine_host_event(struct sim_machine *m, enum host_event_type type,
			    const struct sim_gpu *g)
{
	const struct host_event event = {.type = type, .gpu = g->spec.address};

	sim_machine_tell(m, &event);
}

static json_t *refuse_request(void)
{
	return json_pack("{s:s}", "error", "not a request that this machine knows");
}

void sim_machine_request(struct sim_machine *m, enum sim_part part, const json_t *request,
			 bool debugfs, sim_reply_fn fn, void *userdata)
{
	struct sim_task *t = calloc(1, sizeof(*t));

	if (!t) {
		fn(userdata, refuse_request());
		return;
	}
	*t = (struct sim_task){
		.m = m, .part = part, .debugfs = debugfs, .fn = fn, .userdata = userdata};
	t->json = json_incref((json_t *)request);
	task_link(t);
	switch (part) {
	case SIM_PART_HOST:
		if (host_request_from_json(request, &t->host) < 0)
			sim_task_answer(t, refuse_request());
		else
			sim_host_begin(t);
		return;
	case SIM_PART_HYPERVISOR:
		if (hv_request_from_json(request, &t->hv) < 0)
			sim_task_answer(t, refuse_request());
		else
			sim_domain_begin(t);
		return;
	case SIM_PART_MACHINE:
		sim_control_run(t);
		return;
	case SIM_PART_MAX:
		break;
	}
	sim_task_answer(t, refuse_request());
}

int sim_machine_new(struct sd_event *event, struct sim_document *document, const char *guests_dir,
		    sim_event_fn on_event, sim_kill_fn on_kill, void *userdata,
		    struct sim_machine **ret)
{
	_cleanup_(sim_machine_freep) struct sim_machine *m = calloc(1, sizeof(*m));
	int r;

	if (!m) {
		sim_document_free(document);
		return -ENOMEM;
	}
	m->event = sd_event_ref(event);
	m->document = document;
	m->on_event = on_event;
	m->on_kill = on_kill;
	m->userdata = userdata;
	m->guests = calloc(document->n_vms + 1, sizeof(*m->guests));
	if (!m->guests)
		return -ENOMEM;
	r = sim_kernel_init(&m->kernel, document);
	if (r < 0)
		return r;
	r = sim_hypervisor_init(&m->hypervisor, document, guests_dir, getpid());
	if (r < 0)
		return r;
	for (size_t i = 0; i < m->hypervisor.n_vms; i++) {
		r = sim_domain_boot(m, &m->hypervisor.vms[i]);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(m);
	return 0;
}

struct sim_machine *sim_machine_free(struct sim_machine *m)
{
	if (!m)
		return NULL;
	while (m->tasks) {
		m->tasks->fn = NULL;
		m->tasks->locks = m->tasks->stuck = false;
		m->tasks->part = SIM_PART_MACHINE; /* nothing settles any more */
		sim_task_end(m->tasks);
	}
	sim_openers_free(m);
	for (size_t i = 0; m->guests && i < m->hypervisor.n_vms; i++)
		sim_guest_free(m->guests[i]);
	free(m->guests);
	sim_hypervisor_done(&m->hypervisor);
	sim_kernel_done(&m->kernel);
	sim_document_free(m->document);
	sd_event_unref(m->event);
	free(m);
	return NULL;
}

void sim_machine_greet(struct sim_machine *m, sim_event_fn fn, void *userdata)
{
	struct hv_event event = { .type = m->hypervisor.connected ? HV_EVENT_CONNECTED :
								    HV_EVENT_LOST_CONNECTION,
				  .reason = m->hypervisor.connected ? NULL : "libvirtd is away" };
	_cleanup_json_ json_t *json = machine_hv_event_to_json(&event);

	if (json)
		fn(userdata, json);
}

uint64_t sim_machine_linger(const struct sim_machine *m)
{
	return m->document->linger_usec;
}

bool sim_machine_stopping(const struct sim_machine *m)
{
	return m->stopping;
}
