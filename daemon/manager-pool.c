/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMs that the policy lets us start for a job that waits, and shut down when they have had none for a while; and
 * what keeps jobs out of a VM.  Which VMs run because we started them is stored: no other is ever shut down.
 * Asked by the pump; nothing here waits. */
#include "manager-state.h"

#define FAILED_STARTS_MAX 3 /* architecture §6.7: after three in a row a VM no longer eats the queue */
#define RETRY_USEC (2 * USEC_PER_SEC) /* after a start that failed, doubled each time: what passes by itself passes soon */
#define STOP_USEC (120 * USEC_PER_SEC) /* … until a job is stopped to see: likewise */
#define MEMORY_DOUBLED_MAX 5 /* no event tells that the host has memory again: it is looked once a minute in the end */
#define IMAGE_USEC (10 * USEC_PER_SEC) /* no event tells that a managed-save image was removed */
#define SHUTDOWN_USEC (120 * USEC_PER_SEC) /* systemd gives services of a guest 90 s to end */

/* ---- what is stored ---- */

static bool is_plain(const struct vm *vm)
{
	return !vm->pool.ours && !vm->quarantine && vm->failed_starts == 0;
}

void pool_store(struct manager *m, struct vm *vm)
{
	_cleanup_free_ char *id = xasprintf("vm/%s", vm->uuid);

	if (!id || (is_plain(vm) && !vm->pool.stored))
		return;
	vm->pool.stored = !is_plain(vm);
	if (!vm->pool.stored)
		outbox_delete(m, STORE_META, id);
	else
		outbox_put(m, STORE_META, id,
			   json_pack("{s:b,s:I,s:I,s:s?}", "started", (int)vm->pool.ours, "id",
				     (json_int_t)vm->pool.id, "failed_starts", (json_int_t)vm->failed_starts,
				     "quarantine", vm->quarantine));
}

void pool_load(struct manager *m, struct vm *vm)
{
	json_t *row = json_object_get(m->vm_rows, vm->uuid);

	vm->pool.id = -1;
	if (!row)
		return;
	vm->pool.stored = true;
	vm->pool.ours = json_get_bool(row, "started", false);
	vm->pool.id = (int)json_integer_value(json_object_get(row, "id"));
	vm->failed_starts = (unsigned)json_get_uint(row, "failed_starts", 0);
	(void)free_and_strdup(&vm->quarantine, json_get_string(row, "quarantine"));
	json_object_del(m->vm_rows, vm->uuid);
}

/* Rows of VMs that are gone. */
void pool_forget_rows(struct manager *m)
{
	const char *uuid;
	json_t *row;

	json_object_foreach(m->vm_rows, uuid, row) {
		_cleanup_free_ char *id = xasprintf("vm/%s", uuid);

		if (id)
			outbox_delete(m, STORE_META, id);
	}
	json_object_clear(m->vm_rows);
}

void pool_vm_gone(struct manager *m, struct vm *vm)
{
	vm->pool.timer = sd_event_source_disable_unref(vm->pool.timer);
	free(vm->pool.failure);
	vm->pool.failure = NULL;
	if (m->ending || !vm->pool.stored)
		return;
	vm->pool.ours = false;
	free(vm->quarantine);
	vm->quarantine = NULL;
	vm->failed_starts = 0;
	pool_store(m, vm);
}

/* ---- what keeps jobs out ---- */

/* A VM whose guest does not become ready is tried three times, then left out until it is mended. */
void vm_failed_start(struct manager *m, struct vm *vm, const char *reason)
{
	vm->failed_starts++;
	if (vm->failed_starts >= FAILED_STARTS_MAX && !vm->quarantine) {
		vm->quarantine = xasprintf("%u jobs in a row could not start here; the last: %s", vm->failed_starts,
					   strempty(reason));
		log_vm(vm->facts->name, LOG_WARNING, 0, "VM %s takes no more jobs: %s", vm->facts->name,
		       strempty(vm->quarantine));
		audit_vm(m, vm, NULL, "daemon:job");
		manager_emit(m, "vm.changed", vm->facts->name, json_pack("{s:s?}", "quarantine", vm->quarantine));
	}
	pool_store(m, vm);
}

void vm_open(struct manager *m, struct vm *vm, const char *word)
{
	_cleanup_free_ char *before = TAKE_PTR(vm->quarantine);

	vm->failed_starts = 0;
	vm_no_memory(vm, NULL);
	if (before)
		audit_vm(m, vm, before, word);
	pool_store(m, vm);
}

static uint64_t memory_stop_at(const struct vm *vm)
{
	return now_boottime() + (STOP_USEC << MIN_OF(vm->memory.stops, MEMORY_DOUBLED_MAX));
}

/* Neither the job's fault nor the VM's, and it passes.  Asked again after a while, the longer the more often it was
 * so. */
void vm_no_memory(struct vm *vm, const char *why)
{
	(void)free_and_strdup(&vm->memory.failure, why);
	vm->memory.retry_at = why ? now_boottime() + (RETRY_USEC << MIN_OF(vm->memory.failures, MEMORY_DOUBLED_MAX)) : 0;
	vm->memory.failures = why ? vm->memory.failures + 1 : 0;
	vm->memory.stops = why ? vm->memory.stops : 0;
	vm->memory.stop_at = why ? memory_stop_at(vm) : 0;
}

void vm_stopped_for(struct vm *vm)
{
	vm->memory.stops++;
	vm->memory.stop_at = memory_stop_at(vm);
}

bool vm_lacks_memory(const struct vm *vm)
{
	return vm->memory.failure && vm->memory.retry_at > now_boottime();
}

/* ---- shared by start and stop ---- */

struct pool_call {
	struct manager *m;
	char uuid[37];
};

const char *pool_state(const struct vm *vm)
{
	return vm->pool.starting ? "starting" : vm->pool.stopping ? "stopping" : NULL;
}

static void tell(struct manager *m, struct vm *vm)
{
	manager_emit(m, "vm.changed", vm->facts->name,
		     json_pack("{s:s?,s:s?}", "pool_state", pool_state(vm), "pool_reason", vm->pool.failure));
}

static void audit_power(struct manager *m, struct vm *vm, const char *before, const char *after)
{
	audit_write(m, &(struct audit_change){ .subject = vm->facts->name,
					       .before = json_pack("{s:s}", "power", before),
					       .after = json_pack("{s:s}", "power", after),
					       .word = "daemon:pool" });
}

/* Whatever its definition has: that may change before libvirt reads it, and a longer deadline costs only who waits for
 * an answer that does not come. */
static uint64_t start_deadline(const struct vm *vm)
{
	return hv_pinning_deadline(HV_START, vm->facts->memory_bytes);
}

static void ask(struct manager *m, const char *uuid, enum hv_op op, hv_reply_fn fn)
{
	const struct vm *vm = op == HV_START ? vm_find_uuid(m, uuid) : NULL;
	struct hv_request request = { .op = op, .uuid = uuid, .deadline_usec = vm ? start_deadline(vm) : 0 };
	struct pool_call *call = calloc(1, sizeof(*call));
	struct hv_reply failed = { .failure = HV_FAILED };

	if (!call)
		return; /* its deadline tells */
	call->m = m;
	snprintf(call->uuid, sizeof(call->uuid), "%s", uuid);
	if (m->hypervisor->ops->request(m->hypervisor, &request, fn, call) < 0)
		fn(call, &failed);
}

/* libvirt may have done it all the same: the VM itself tells, or the deadline. */
static bool is_unsure(enum hv_failure failure)
{
	return failure == HV_TIMEOUT || failure == HV_DISCONNECTED;
}

/* ---- starting ---- */

static void start_over(struct vm *vm, const char *why)
{
	vm->pool.starting = false;
	(void)free_and_strdup(&vm->pool.failure, why);
	if (vm->facts->state == VM_OFF)
		vm->pool.ours = false;
	log_vm(vm->facts->name, LOG_WARNING, 0, "VM %s could not be started for a job: %s", vm->facts->name,
	       strempty(why));
}

static void start_failed(struct manager *m, struct vm *vm, const char *why)
{
	vm->pool.retry_at = now_boottime() + (RETRY_USEC << MIN_OF(vm->failed_starts, FAILED_STARTS_MAX));
	start_over(vm, why);
	vm_failed_start(m, vm, why);
	tell(m, vm);
	manager_pump(m);
}

/* The host has no memory to spare for it: the VM is not to blame, and is left out for a while. */
static void start_postponed(struct manager *m, struct vm *vm, const char *why)
{
	vm_no_memory(vm, why);
	start_over(vm, why);
	pool_store(m, vm);
	tell(m, vm);
}

static void on_start(void *userdata, const struct hv_reply *reply)
{
	_cleanup_free_ struct pool_call *call = userdata;
	struct manager *m = call->m;
	struct vm *vm = vm_find_uuid(m, call->uuid);
	struct rpc_error error = { 0 };

	if (!vm || !vm->pool.starting)
		return;
	if (reply->failure == HV_OK || is_unsure(reply->failure)) {
		vm->pool.until = now_boottime() + pool_ready_usec(m);
	} else if (reply->failure == HV_ALREADY) {
		/* Somebody was faster, and it is theirs; unless we asked before and did not hear the answer. */
		vm->pool.starting = false;
		vm->pool.ours = vm->pool.asked_before;
		pool_store(m, vm);
	} else {
		rpc_error_from_hv(&error, reply, reply->failure == HV_NO_MEMORY ? "it is not started"
										 : "libvirt does not start it");
		if (reply->failure == HV_NO_MEMORY)
			start_postponed(m, vm, error.message);
		else
			start_failed(m, vm, error.message);
		rpc_error_done(&error);
	}
	manager_pump(m);
}

static void start_committed(struct manager *m, void *userdata)
{
	_cleanup_free_ char *uuid = userdata;
	struct vm *vm = vm_find_uuid(m, uuid);

	if (vm && vm->pool.starting)
		ask(m, uuid, HV_START, on_start);
}

static void start_not_committed(struct manager *m, void *userdata)
{
	_cleanup_free_ char *uuid = userdata;
	struct vm *vm = vm_find_uuid(m, uuid);

	if (vm)
		vm->pool.starting = vm->pool.ours = false;
}

uint64_t pool_ready_usec(struct manager *m)
{
	return json_get_uint(json_object_get(m->config, "deadlines"), "guest_ready_usec", 300 * USEC_PER_SEC);
}

bool pool_may_start(struct manager *m, const struct vm *vm, const struct policy_vm_rule *rule)
{
	struct vf *taken;

	return rule && rule->start == VM_START_ON_DEMAND && vm->facts->state == VM_OFF &&
	       vm->facts->persistent && !vm->quarantine && !vm->wedged.reason && !vm->pool.starting && !vm->pool.stopping &&
	       !vm_lacks_memory(vm) && vm->pool.retry_at <= now_boottime() && !vm_missing_vf(m, vm) &&
	       !vm_taken_vf(m, vm, &taken);
}

void pool_start(struct manager *m, struct vm *vm)
{
	if (!pool_may_start(m, vm, policy_match_vm(m->policy, vm->facts->name)))
		return;
	log_vm(vm->facts->name, LOG_NOTICE, 0, "VM %s is started for a job that waits", vm->facts->name);
	vm->pool.asked_before = vm->pool.ours;
	vm->pool.starting = vm->pool.ours = true;
	vm->pool.id = -1;
	vm->pool.until = now_boottime() + start_deadline(vm) + pool_ready_usec(m);
	audit_power(m, vm, "off", "starting");
	pool_store(m, vm);
	tell(m, vm);
	outbox_add(m, start_committed, start_not_committed, strdup(vm->uuid));
}

/* ---- stopping ---- */

static void stop_failed(struct manager *m, struct vm *vm, const char *why)
{
	vm->pool.stopping = false;
	vm->pool.idle_since = now_boottime(); /* and once more after the same time */
	(void)free_and_strdup(&vm->pool.failure, why);
	log_vm(vm->facts->name, LOG_WARNING, 0, "VM %s has nothing to do and does not shut down: %s", vm->facts->name,
	       strempty(why));
	tell(m, vm);
	manager_pump(m);
}

static void on_stop(void *userdata, const struct hv_reply *reply)
{
	_cleanup_free_ struct pool_call *call = userdata;
	struct manager *m = call->m;
	struct vm *vm = vm_find_uuid(m, call->uuid);
	struct rpc_error error = { 0 };

	if (!vm || !vm->pool.stopping || reply->failure == HV_OK || is_unsure(reply->failure) ||
	    reply->failure == HV_NOT_RUNNING || reply->failure == HV_NO_DOMAIN)
		return; /* its going off is an event */
	rpc_error_from_hv(&error, reply, "libvirt does not ask the guest");
	stop_failed(m, vm, error.message);
	rpc_error_done(&error);
}

static void stop_committed(struct manager *m, void *userdata)
{
	_cleanup_free_ char *uuid = userdata;
	struct vm *vm = vm_find_uuid(m, uuid);

	if (vm && vm->pool.stopping)
		ask(m, uuid, HV_SHUTDOWN, on_stop);
}

static void stop_not_committed(struct manager *m, void *userdata)
{
	_cleanup_free_ char *uuid = userdata;
	struct vm *vm = vm_find_uuid(m, uuid);

	if (vm)
		vm->pool.stopping = false;
}

static void stop(struct manager *m, struct vm *vm)
{
	log_vm(vm->facts->name, LOG_NOTICE, 0, "VM %s had nothing to do for as long as its rule says: it is shut down",
	       vm->facts->name);
	vm->pool.stopping = true;
	vm->pool.idle_since = 0;
	vm->pool.until = now_boottime() + SHUTDOWN_USEC;
	audit_power(m, vm, "running", "stopping");
	tell(m, vm);
	outbox_add(m, stop_committed, stop_not_committed, strdup(vm->uuid));
}

/* Neither a job, nor one that waits for its memory, nor a VF that somebody gave it by hand, and nothing on its way in or
 * out. */
static bool is_idle(struct manager *m, const struct vm *vm)
{
	struct gpu *gpu, *tmp_gpu;
	struct job *job, *tmp;

	if (vm->device_busy || vm->wedged.reason || vm_lacks_memory(vm))
		return false;
	HASH_ITER(hh, m->jobs, job, tmp)
		if (job->state >= JOB_STARTING && job->state < JOB_ENDED && streq(job->vm_uuid, vm->uuid))
			return false;
	HASH_ITER(hh, m->gpus, gpu, tmp_gpu)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (gpu->vfs[i]->lease.owner != LEASE_NONE && gpu->vfs[i]->lease.owner != LEASE_POLICY &&
			    streq(gpu->vfs[i]->lease.vm_uuid, vm->uuid))
				return false;
	return true;
}

/* ---- what libvirt shows ---- */

/* The run of the domain that we began is over, or was never. */
static void not_ours(struct manager *m, struct vm *vm)
{
	vm->pool.ours = vm->pool.stopping = false;
	vm->pool.idle_since = 0;
	vm->pool.id = -1;
	pool_store(m, vm);
}

static void ready(struct manager *m, struct vm *vm)
{
	vm->pool.starting = false;
	free(vm->pool.failure);
	vm->pool.failure = NULL;
	log_vm(vm->facts->name, LOG_INFO, 0, "VM %s is there, its agent answers", vm->facts->name);
	tell(m, vm);
}

void pool_follow(struct manager *m, struct vm *vm, enum vm_state before)
{
	const struct domain_facts *f = vm->facts;

	if (f->state == VM_OFF) {
		if (vm->pool.starting && before != VM_OFF && before != VM_GONE) {
			start_failed(m, vm, "it went off again before its guest agent answered");
		} else if (!vm->pool.starting && vm->pool.ours && vm->pool.id >= 0) {
			free(vm->pool.failure);
			vm->pool.failure = NULL;
			not_ours(m, vm);
			tell(m, vm);
		}
		return;
	}
	if (vm->pool.ours && f->id >= 0 && vm->pool.id != f->id) {
		if (vm->pool.id >= 0) { /* meanwhile somebody stopped and started it */
			not_ours(m, vm);
		} else {
			vm->pool.id = f->id;
			pool_store(m, vm);
		}
	}
	if (vm->pool.starting && f->state == VM_RUNNING && f->agent == VM_AGENT_CONNECTED)
		ready(m, vm);
}

/* ---- the pump's look ---- */

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
	manager_pump(userdata);
	return 0;
}

static void arm(struct manager *m, struct vm *vm, uint64_t at)
{
	vm->pool.timer = sd_event_source_disable_unref(vm->pool.timer);
	if (at != UINT64_MAX)
		(void)sd_event_add_time(m->event, &vm->pool.timer, CLOCK_BOOTTIME, at, USEC_PER_MSEC, on_time, m);
}

static void look_at_idle(struct manager *m, struct vm *vm, uint64_t now, uint64_t *next)
{
	const struct policy_vm_rule *rule = policy_match_vm(m->policy, vm->facts->name);
	uint64_t patience = rule ? rule->stop_idle_usec : 0;

	if (!vm->pool.ours || vm->pool.starting || vm->pool.stopping || patience == 0 ||
	    vm->facts->state != VM_RUNNING || !is_idle(m, vm)) {
		vm->pool.idle_since = 0;
		return;
	}
	if (vm->pool.idle_since == 0)
		vm->pool.idle_since = now;
	if (now >= vm->pool.idle_since + patience)
		stop(m, vm);
	else
		*next = MIN_OF(*next, vm->pool.idle_since + patience);
}

static void on_image(void *userdata, const struct hv_reply *reply)
{
	_cleanup_free_ struct pool_call *call = userdata;

	if (reply->failure == HV_OK && reply->n_domains == 1)
		vm_update(call->m, reply->domains[0]);
	manager_pump(call->m);
}

/* Only its image keeps it from being started for a job. */
static void look_at_image(struct manager *m, struct vm *vm, uint64_t now, uint64_t *next)
{
	const struct policy_vm_rule *rule = vm->facts->saved && m->jobs ? policy_match_vm(m->policy, vm->facts->name) : NULL;

	if (!rule || rule->vf != VM_VF_ASSIGNED || !pool_may_start(m, vm, rule))
		return;
	if (now >= vm->pool.image_at) {
		vm->pool.image_at = now + IMAGE_USEC;
		ask(m, vm->uuid, HV_GET, on_image);
	}
	*next = MIN_OF(*next, vm->pool.image_at);
}

static void look(struct manager *m, struct vm *vm, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	if (vm->pool.starting && now >= vm->pool.until)
		start_failed(m, vm, vm->facts->state == VM_OFF ? "libvirt did not start it in time" :
								  "its guest agent did not answer in time");
	if (vm->pool.stopping && now >= vm->pool.until)
		stop_failed(m, vm, "the guest was asked and is still there");
	if (vm->pool.retry_at <= now)
		vm->pool.retry_at = 0;
	look_at_idle(m, vm, now, &next);
	look_at_image(m, vm, now, &next);
	if (vm->pool.starting || vm->pool.stopping)
		next = MIN_OF(next, vm->pool.until);
	if (vm->pool.retry_at > 0)
		next = MIN_OF(next, vm->pool.retry_at);
	if (vm->memory.retry_at > now)
		next = MIN_OF(next, vm->memory.retry_at);
	if (vm->memory.stop_at > now)
		next = MIN_OF(next, vm->memory.stop_at);
	if (next != UINT64_MAX || vm->pool.timer)
		arm(m, vm, next);
}

void pool_pump(struct manager *m)
{
	uint64_t now = now_boottime();
	struct vm *vm, *tmp;

	if (m->degraded || !m->hypervisor_connected || m->sleeping)
		return;
	HASH_ITER(hh, m->vms, vm, tmp)
		look(m, vm, now);
}
