/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VFs that stored definitions of VMs name and that the VM cannot have: the host does not have them, after somebody else
 * cut the card or a boot with another layout, or another has them.  Such a VM would not start.  What the policy assigned
 * is taken out, so that the VM gets another one; what gpuvf assign gave follows (manager-lost.c), or waits for whoever
 * took it (manager-displaced.c); what somebody put there by hand is told, and stays his. */
#include "manager-state.h"

#include <stdio.h>

bool alias_is_ours(const char *alias)
{
	return alias && strncmp(alias, ALIAS_PREFIX, strlen(ALIAS_PREFIX)) == 0;
}

bool alias_is_of_policy(const char *alias)
{
	return alias && strncmp(alias, ALIAS_POLICY_PREFIX, strlen(ALIAS_POLICY_PREFIX)) == 0;
}

/* The GPU whose VF it was, or would be: by our alias, which holds when a card was moved; else by the address.  NULL: none
 * of ours. */
static struct gpu *gpu_of_missing(struct manager *m, const struct domain_hostdev *dev)
{
	static const char *const prefixes[] = { ALIAS_POLICY_PREFIX, ALIAS_PREFIX }; /* the longer one first */
	struct gpu *gpu, *tmp;
	unsigned number;

	for (size_t i = 0; i < ARRAY_SIZE(prefixes) && dev->alias; i++)
		if (strncmp(dev->alias, prefixes[i], strlen(prefixes[i])) == 0 &&
		    sscanf(dev->alias + strlen(prefixes[i]), "%u-", &number) == 1) {
			_cleanup_free_ char *name = xasprintf("gpu%u", number);

			return name ? gpu_find(m, name) : NULL;
		}
	HASH_ITER(hh, m->gpus, gpu, tmp)
		if (gpu->facts && gpu_may_have_vf(gpu->facts, &dev->address))
			return gpu;
	return NULL;
}

/* One that is away, hangs or is being cut may have it again in a moment. One that is half cut may, too, but not by
 * itself: it is told. */
static bool stays_as_it_is(const struct gpu *gpu)
{
	return gpu->facts && (gpu->state == GPU_READY || gpu->state == GPU_UNMANAGED ||
			      (gpu->state == GPU_WEDGED && gpu->half_cut && !gpu->stuck));
}

static bool is_missing(struct manager *m, const struct vm *vm, const struct domain_hostdev *dev)
{
	const struct gpu *gpu;

	if (!m->ready || !dev->config || dev->live)
		return false;
	if (follow_is_stale(m, vm, dev))
		return true;
	if (vf_find_address(m, &dev->address))
		return false;
	gpu = gpu_of_missing(m, dev);
	return gpu && stays_as_it_is(gpu);
}

const struct domain_hostdev *vm_missing_vf(struct manager *m, const struct vm *vm)
{
	for (size_t i = 0; i < vm->facts->n_hostdevs; i++)
		if (is_missing(m, vm, &vm->facts->hostdevs[i]))
			return &vm->facts->hostdevs[i];
	return NULL;
}

char *vm_missing_text(struct manager *m, const struct vm *vm)
{
	const struct domain_hostdev *dev = vm_missing_vf(m, vm);
	char *text = m->ready ? follow_text(m, vm) : NULL;

	if (m->ready && !text)
		text = lost_text(m, vm);
	if (text)
		return text;
	return dev ? xasprintf("its stored definition names %s, a VF that is not there: it will not start",
			       PCI_ADDRESS_STR(&dev->address))
		   : NULL;
}

/* ---- another has it ---- */

const struct domain_hostdev *vm_taken_vf(struct manager *m, const struct vm *vm, struct vf **ret)
{
	for (size_t i = 0; m->ready && i < vm->facts->n_hostdevs; i++) {
		const struct domain_hostdev *dev = &vm->facts->hostdevs[i];
		struct vf *vf = dev->config && !dev->live ? vf_find_address(m, &dev->address) : NULL;

		if (!vf || vf->lease.owner == LEASE_NONE || streq(vf->lease.vm_uuid, vm->uuid) ||
		    follow_is_stale(m, vm, dev))
			continue;
		*ret = vf;
		return dev;
	}
	return NULL;
}

/* Who has it, and how that ends. */
static char *taker_text(struct manager *m, const struct vf *vf)
{
	const struct job *job = lease_job(m, &vf->lease);
	_cleanup_free_ char *process = vf_is_in_process(vf) ? process_text(vf) : NULL;
	const char *name = strempty(vf->lease.vm_name);

	if (process)
		return xasprintf("which a process of the host has: it will not start before that is over; %s", process);
	if (vf->lease.owner == LEASE_JOB)
		return xasprintf("which %s %llu in VM %s has: it will not start before that is over", job_word(job),
				 (unsigned long long)vf->lease.job, name);
	if (vf->state == VF_RESERVED)
		return xasprintf("which is reserved for VM %s, whose definition names it, too: only one of them can run with it "
				 "(gpuvf release %s takes it from the other)", name, vf->name);
	return xasprintf("which VM %s has: it will not start (gpuvf release %s takes it from there)", name, vf->name);
}

char *vm_taken_text(struct manager *m, const struct vm *vm)
{
	struct vf *vf = NULL;
	const struct domain_hostdev *dev = vm_taken_vf(m, vm, &vf);
	_cleanup_free_ char *taker = dev ? taker_text(m, vf) : NULL, *out = NULL;
	const char *name = vm->facts->name;

	if (!dev)
		return NULL;
	if (displaced_is_of(vf, vm) && vm_holds_vf(m, vm)) /* assign would say that it has one, and release mean all */
		out = xasprintf("its lease waits until the VF is free (virsh edit %s takes it out)%s%s", name,
				vm->follow.failure ? "; " : "", strempty(vm->follow.failure));
	else if (displaced_is_of(vf, vm))
		out = xasprintf("its lease waits until the VF is free (gpuvf assign %s gives another, gpuvf release %s takes it "
				"out)%s%s", name, name, vm->follow.failure ? "; " : "", strempty(vm->follow.failure));
	else
		out = xasprintf("virsh edit %s takes it out", name);
	return xasprintf("its stored definition names %s (%s), %s; %s", PCI_ADDRESS_STR(&dev->address), vf->name,
			 strempty(taker), strempty(out));
}

/* ---- mending ---- */

struct taking {
	struct manager *m;
	char uuid[37];
	struct pci_address address;
	bool of_policy;
};

static void on_taken_out(void *userdata, const struct hv_reply *reply)
{
	_cleanup_free_ struct taking *t = userdata;
	struct manager *m = t->m;
	struct vm *vm = vm_find_uuid(m, t->uuid);
	bool taken_out = true;
	const char *why = reply->message ? reply->message : "a VF that it does not have cannot be taken out of its definition";

	if (!vm)
		return;
	(t->of_policy ? &vm->fixed : &vm->follow)->busy = false;
	if (reply->failure == HV_OK || reply->failure == HV_ALREADY)
		vm_note_stored(vm, &t->address, NULL, false);
	else
		taken_out = false;
	if (!t->of_policy)
		follow_failed(m, vm, taken_out ? NULL : why);
	else if (!taken_out)
		fixed_failed(m, vm, why);
	manager_pump(m);
}

void vm_take_out(struct manager *m, struct vm *vm, const struct domain_hostdev *dev, struct vm_tries *tries)
{
	struct hv_request request = { .op = HV_DETACH, .uuid = vm->uuid, .config = true, .address = dev->address,
				      .alias = dev->alias };
	struct taking *t = calloc(1, sizeof(*t));

	if (!t)
		return;
	log_vm(vm->facts->name, LOG_NOTICE, 0, "%s is not there, or another's: it is taken out of the definition of VM %s",
	       PCI_ADDRESS_STR(&dev->address), vm->facts->name);
	t->m = m;
	t->address = dev->address;
	t->of_policy = tries == &vm->fixed;
	snprintf(t->uuid, sizeof(t->uuid), "%s", vm->uuid);
	tries->busy = true;
	if (m->hypervisor->ops->request(m->hypervisor, &request, on_taken_out, t) < 0)
		on_taken_out(t, &(struct hv_reply){ .failure = HV_FAILED });
}

bool vm_mend_missing(struct manager *m, struct vm *vm)
{
	const struct domain_hostdev *dev = vm_missing_vf(m, vm);
	const struct gpu *gpu = dev ? gpu_of_missing(m, dev) : NULL;
	struct vf *vf;

	if (!dev)
		dev = vm_taken_vf(m, vm, &vf);
	/* What puts a half-cut card right may bring the VF back. */
	if (!dev || !alias_is_of_policy(dev->alias) || follow_is_stale(m, vm, dev) || (gpu && gpu->half_cut))
		return vm->fixed.busy;
	if (!vm->fixed.busy && !vm->wedged.reason && vm->fixed.retry_at <= now_boottime())
		vm_take_out(m, vm, dev, &vm->fixed);
	return true;
}
