/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VFs that the policy says VMs shall have ("assignments"): given as soon as one is free, held in the stored
 * definition of a VM that is off, and taken back when the policy no longer says so and the VM does not have them in
 * its guest.  Asked by the pump; a VM where that fails is left alone for a while and says why. */
#include "manager-state.h"

#define RETRY_USEC (5 * USEC_PER_SEC) /* after a failure, doubled each time up to 64 times that */
#define RETRY_DOUBLED_MAX 6

/* ---- what is in the way ---- */

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata);

/* For the first of those that wait.  By the clock itself: a time from now on would be over before it. */
static void arm(struct manager *m)
{
	uint64_t now = now_boottime(), next = UINT64_MAX;
	struct vm *vm, *tmp;

	HASH_ITER(hh, m->vms, vm, tmp) {
		if (vm->fixed.retry_at > now)
			next = MIN_OF(next, vm->fixed.retry_at);
		if (vm->follow.retry_at > now)
			next = MIN_OF(next, vm->follow.retry_at);
		if (vm->barrier.retry_at > now)
			next = MIN_OF(next, vm->barrier.retry_at);
	}
	m->fixed_timer = sd_event_source_disable_unref(m->fixed_timer);
	if (next != UINT64_MAX)
		(void)sd_event_add_time(m->event, &m->fixed_timer, CLOCK_BOOTTIME, next, USEC_PER_MSEC, on_retry, m);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	arm(m);
	manager_pump(m);
	return 0;
}

void vm_tries_later(struct manager *m, struct vm_tries *tries)
{
	tries->retry_at = now_boottime() + (RETRY_USEC << MIN_OF(tries->failures, RETRY_DOUBLED_MAX));
	tries->failures++;
	arm(m);
}

void vm_tries_tell(struct manager *m, struct vm *vm, struct vm_tries *tries, const char *member, const char *words,
		   const char *why)
{
	if (streq_ptr(tries->failure, why))
		return;
	(void)free_and_strdup(&tries->failure, why);
	if (why)
		log_vm(vm->facts->name, LOG_WARNING, 0, "VM %s %s: %s", vm->facts->name, words, why);
	manager_emit(m, "vm.changed", vm->facts->name, json_pack("{s:s?}", member, why));
}

static void tell(struct manager *m, struct vm *vm, const char *failure)
{
	vm_tries_tell(m, vm, &vm->fixed, "assignment_reason", "does not have what the policy assigns to it", failure);
}

void fixed_failed(struct manager *m, struct vm *vm, const char *why)
{
	vm_tries_later(m, &vm->fixed);
	tell(m, vm, why);
}

static void done(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	_cleanup_free_ char *uuid = userdata;
	struct vm *vm = vm_find_uuid(m, uuid);

	if (!vm || m->ending)
		return;
	if (error) {
		fixed_failed(m, vm, error->message);
	} else {
		vm->fixed.failures = 0;
		manager_pump(m);
	}
}

/* ---- giving ---- */

void fixed_resume(struct manager *m, struct vf *vf)
{
	handover_attach(m, vf, done, strdup(vf->lease.vm_uuid));
}

static void give_committed(struct manager *m, void *userdata)
{
	_cleanup_free_ char *name = userdata;
	struct vf *vf = vf_find(m, name);

	if (vf && vf->lease.owner == LEASE_POLICY && vf->state == VF_LEASED && !vf->handover)
		fixed_resume(m, vf);
}

static void give_not_committed(struct manager *m, void *userdata)
{
	_cleanup_free_ char *name = userdata;
	struct vf *vf = vf_find(m, name);

	if (vf && vf->lease.owner == LEASE_POLICY && vf->state == VF_LEASED) {
		vf->state = VF_FREE;
		vf_lease_end(m, vf);
	}
}

static void give(struct manager *m, struct vm *vm, struct vf *vf, bool live, bool config)
{
	vf_lease(m, vf, LEASE_POLICY, vm, 0, m->own_uid, live, config);
	vf_set_state(m, vf, VF_LEASED, NULL);
	outbox_add(m, give_committed, give_not_committed, strdup(vf->name));
}

static char *why_not_named(struct manager *m, const struct vm *vm, const struct policy_assignment *a, const struct vf *vf)
{
	_cleanup_free_ char *pf = vf ? NULL : pf_named_text(m, a->vf);

	if (pf)
		return xasprintf("%s (%s)", pf, a->label);
	if (vf && vf->state == VF_FREE && !vf_is_open_to(m, vf, m->own_uid, vm)) {
		struct rpc_error error = { 0 };
		char *text;

		refuse_reuse(m, vf, &error);
		text = xasprintf("%s (%s)", strempty(error.message), a->label);
		rpc_error_done(&error);
		return text;
	}
	if (!vf)
		return xasprintf("%s does not exist (%s)", a->vf, a->label);
	if (vf_is_in_process(vf))
		return xasprintf("%s is held: %s (%s)", vf->name, strempty(vf->reason), a->label);
	return xasprintf("%s is %s%s%s (%s)", vf->name, vf_state_to_string(vf->state),
			 vf->lease.vm_name ? ", held by VM " : "", strempty(vf->lease.vm_name), a->label);
}

/* NULL, and new ret_why, when there is none. */
static struct vf *find_free(struct manager *m, const struct vm *vm, const struct policy_assignment *a, char **ret_why)
{
	struct vf *vf = a->vf ? vf_find(m, a->vf) : assign_pick_free(m, NULL, a->profile, a->vram_bytes, m->own_uid, vm);

	if (a->vf && (!vf || vf->state != VF_FREE || !vf_is_open_to(m, vf, m->own_uid, vm) || vf->handover || gpu_is_draining(vf->gpu) ||
		      (vf->gpu->state != GPU_READY && vf->gpu->state != GPU_UNMANAGED))) {
		*ret_why = why_not_named(m, vm, a, vf);
		return NULL;
	}
	if (!vf)
		*ret_why = xasprintf("no VF that fits is free (%s)", a->label);
	return vf;
}

/* Returns new: why the VM cannot have it now; NULL = it gets it, or nothing is to be done. */
static char *acquire(struct manager *m, struct vm *vm, const struct policy_assignment *a)
{
	bool running = vm->facts->state == VM_RUNNING || vm->facts->state == VM_PAUSED;
	bool live = running && a->mode != ASSIGNMENT_CONFIG;
	bool config = vm->facts->persistent && a->mode != ASSIGNMENT_LIVE;
	char *why = NULL;
	struct vf *vf;

	if (vm->wedged.reason)
		return xasprintf("it is wedged: %s (%s)", vm->wedged.reason, a->label);
	if (live && vm->facts->free_ports == 0) {
		if (!config)
			return xasprintf("it has no free PCIe port to plug a VF into (%s)", a->label);
		live = false; /* from its next start */
	}
	if (!live && !config)
		return a->mode == ASSIGNMENT_LIVE
			       ? NULL
			       : xasprintf("it is transient and has no stored definition (%s)", a->label);
	vf = find_free(m, vm, a, &why);
	if (vf)
		give(m, vm, vf, live, config);
	return why;
}

/* ---- what it has ---- */

/* The VFs that VMs have and that are no job's, found once for all VMs: most VFs of a large host are nobody's. */
struct leased {
	struct vf **vfs;
	size_t n;
	bool by_policy; /* an assignment may have given one of them, whatever the policy says now */
};

static bool is_had(const struct vf *vf)
{
	return vf->lease.owner != LEASE_NONE && vf->lease.owner != LEASE_JOB && vf->lease.owner != LEASE_KEPT &&
	       (vf->state != VF_DETACHING || vf_keeps_side(vf)) && vf->state != VF_RESETTING && vf->state != VF_QUARANTINED;
}

static int find_leased(struct manager *m, struct leased *ret)
{
	struct gpu *gpu, *tmp;
	size_t max = 0;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		max += gpu->n_vfs;
	*ret = (struct leased){ .vfs = calloc(MAX_OF(max, (size_t)1), sizeof(*ret->vfs)) };
	if (!ret->vfs)
		return -ENOMEM;
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (is_had(gpu->vfs[i])) {
				ret->vfs[ret->n++] = gpu->vfs[i];
				ret->by_policy |= gpu->vfs[i]->lease.owner != LEASE_VM;
			}
	return 0;
}

static bool fits(struct manager *m, const struct vf *vf, const struct policy_assignment *a)
{
	return a->vf ? vf == vf_find(m, a->vf) : vf_fits(vf, a->profile, a->vram_bytes);
}

/* One that we gave it before the host was booted was adopted since. */
static bool is_ours(const struct vm *vm, const struct vf *vf)
{
	const struct domain_hostdev *dev;

	if (vf->lease.owner == LEASE_POLICY)
		return true;
	dev = vf->lease.owner == LEASE_FOREIGN ? domain_hostdev_at(vm->facts, &vf->address) : NULL;
	return dev && alias_is_of_policy(dev->alias);
}

static void take_over(struct manager *m, const struct vm *vm, struct vf *vf)
{
	if (vf->lease.owner == LEASE_POLICY || !is_ours(vm, vf))
		return;
	vf->lease.adopted = true;
	vf_lease_pass(m, vf, LEASE_POLICY, 0);
}

/* Those that no assignment speaks of any more: back, unless the guest has them. */
static void give_back(struct manager *m, const struct vm *vm, struct vf *vf)
{
	if (is_ours(vm, vf) && vf->state == VF_RESERVED && !vf->handover && !vm->wedged.reason)
		handover_detach(m, vf, done, strdup(vf->lease.vm_uuid));
}

static size_t collect(const struct leased *leased, const struct vm *vm, struct vf **held, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < leased->n && n < max; i++)
		if (streq(leased->vfs[i]->lease.vm_uuid, vm->uuid))
			held[n++] = leased->vfs[i];
	return n;
}

#define HELD_MAX 256 /* more PCI devices than a guest can have on one bus */

/* A VM that is off makes way for a drain, and gets another VF. */
static bool makes_way(const struct vm *vm, const struct vf *vf)
{
	return vf->state == VF_RESERVED && gpu_is_draining(vf->gpu) && is_ours(vm, vf);
}

static struct vf *claim(struct manager *m, const struct vm *vm, struct vf **held, size_t n,
			const struct policy_assignment *a)
{
	for (size_t i = 0; i < n; i++)
		if (held[i] && fits(m, held[i], a) && !makes_way(vm, held[i])) {
			struct vf *vf = held[i];

			held[i] = NULL;
			return vf;
		}
	return NULL;
}

/* How many assignments the VM has nothing for; ret_of: whose VF it is, if any's. */
static size_t unmet(struct manager *m, const struct vm *vm, struct vf **held, size_t n, const struct vf *vf,
		    const struct policy_assignment **ret_of)
{
	size_t left = 0;

	for (size_t i = 0; i < m->policy->n_assignments; i++) {
		const struct policy_assignment *a = &m->policy->assignments[i];
		struct vf *claimed = glob_match(a->vm, vm->facts->name) ? claim(m, vm, held, n, a) : NULL;

		left += glob_match(a->vm, vm->facts->name) && !claimed;
		if (claimed && claimed == vf)
			*ret_of = a;
	}
	return left;
}

const char *fixed_gives_again(struct manager *m, const struct vf *vf)
{
	const struct vm *vm = vm_find_uuid(m, vf->lease.vm_uuid);
	const struct policy_assignment *of = NULL, *unused = NULL;
	struct vf *held[HELD_MAX], *others[HELD_MAX];
	size_t n, n_others = 0, left;
	struct leased leased;

	/* On a GPU that is drained none is given. */
	if (!vm || vf->lease.owner != LEASE_POLICY || gpu_is_draining(vf->gpu) || find_leased(m, &leased) < 0)
		return NULL;
	n = collect(&leased, vm, held, HELD_MAX);
	free(leased.vfs);
	for (size_t i = 0; i < n; i++)
		if (held[i] != vf)
			others[n_others++] = held[i];
	left = unmet(m, vm, held, n, vf, &of);
	return of && unmet(m, vm, others, n_others, NULL, &unused) > left ? of->label : NULL;
}

static void look(struct manager *m, struct vm *vm, const struct leased *leased)
{
	_cleanup_free_ char *why = NULL;
	struct vf *held[HELD_MAX];
	bool concerned = m->policy->n_assignments > 0 || leased->by_policy;
	size_t n = concerned ? collect(leased, vm, held, HELD_MAX) : 0;
	bool waits = vm->fixed.retry_at > now_boottime();

	if (vm_mend_missing(m, vm))
		return;
	for (size_t i = 0; i < m->policy->n_assignments; i++) {
		const struct policy_assignment *a = &m->policy->assignments[i];
		struct vf *vf;

		if (!glob_match(a->vm, vm->facts->name))
			continue;
		vf = claim(m, vm, held, n, a);
		if (vf && vf->kept)
			vf_is_kept(m, vf, NULL); /* it is to have it */
		if (vf)
			take_over(m, vm, vf);
		else if (!waits && !why)
			why = acquire(m, vm, a);
	}
	for (size_t i = 0; i < n && !waits; i++)
		if (held[i])
			give_back(m, vm, held[i]);
	if (!waits)
		tell(m, vm, why);
}

void fixed_pump(struct manager *m)
{
	struct leased leased;
	struct vm *vm, *tmp;

	if (m->degraded || !m->hypervisor_connected || m->sleeping || !m->ready)
		return;
	if (find_leased(m, &leased) < 0)
		return; /* the next pump looks again */
	HASH_ITER(hh, m->vms, vm, tmp)
		if (vm->facts->state == VM_OFF || vm->facts->state == VM_RUNNING || vm->facts->state == VM_PAUSED)
			look(m, vm, &leased);
	free(leased.vfs);
}

void fixed_try_again(struct vm *vm)
{
	vm->fixed.retry_at = vm->follow.retry_at = 0;
	vm->fixed.failures = vm->follow.failures = 0;
}
