/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PF is given to nobody: with it go all VFs, from under other VMs too.  Refuses it where a VF is asked for, and
 * knows the VMs to which somebody else has given it.  Before libvirt has answered only the PF's driver tells. */
#include "manager-state.h"

/* One that runs with it goes before one whose stored definition alone names it. */
static const struct vm *vm_with_pf(struct manager *m, const struct gpu *gpu, const struct domain_hostdev **ret_dev)
{
	const struct vm *found = NULL;
	struct vm *vm, *tmp;

	HASH_ITER(hh, m->vms, vm, tmp)
		for (size_t i = 0; i < vm->facts->n_hostdevs; i++) {
			const struct domain_hostdev *dev = &vm->facts->hostdevs[i];

			if (!pci_address_equal(&dev->address, &gpu->address) || (found && !dev->live))
				continue;
			found = vm;
			*ret_dev = dev;
			if (dev->live)
				return found;
		}
	return found;
}

bool pf_is_given(struct manager *m, const struct gpu *gpu)
{
	const struct domain_hostdev *dev;

	return vm_with_pf(m, gpu, &dev) != NULL;
}

json_t *pf_view(struct manager *m, const struct gpu *gpu)
{
	const struct domain_hostdev *dev = NULL;
	const struct vm *vm = vm_with_pf(m, gpu, &dev);

	return vm ? json_pack("{s:s,s:s,s:b,s:b}", "vm", vm->facts->name, "vm_uuid", vm->uuid, "live", (int)dev->live,
			      "config", (int)dev->config)
		  : json_null();
}

char *pf_text(struct manager *m, const struct gpu *gpu)
{
	const struct domain_hostdev *dev = NULL;
	const struct vm *vm = vm_with_pf(m, gpu, &dev);

	if (!vm)
		return NULL;
	if (dev->live)
		return xasprintf("VM %s runs with the GPU itself: nobody can have a VF of it", vm->facts->name);
	return xasprintf("the stored definition of VM %s names the GPU itself: when it starts, every VF vanishes",
			 vm->facts->name);
}

int pf_refuse_cut(struct manager *m, const struct gpu *gpu, bool stored, struct rpc_error *error)
{
	const struct domain_hostdev *dev = NULL;
	const struct vm *vm = vm_with_pf(m, gpu, &dev);
	_cleanup_free_ char *text = pf_text(m, gpu), *hint = NULL;

	if (!vm || !(dev->live || stored))
		return 0;
	hint = xasprintf("%stake %s out of its definition (virsh edit %s)", dev->live ? "shut the VM down, and " : "",
			 PCI_ADDRESS_STR(&gpu->address), vm->facts->name);
	rpc_error_set(error, RPC_CONFLICT, "%s is not cut: %s", gpu->name, strempty(text));
	return rpc_error_detail(error, "passed_through", "gpu", hint);
}

char *pf_named_text(struct manager *m, const char *name)
{
	const struct gpu *gpu = gpu_find(m, name);

	return gpu ? xasprintf("%s is the GPU %s itself and no VF: with it every VF would go", name, gpu->name) : NULL;
}

int pf_refuse_name(struct manager *m, const char *name, struct rpc_error *error)
{
	_cleanup_free_ char *text = pf_named_text(m, name);

	if (!text) {
		rpc_error_set(error, RPC_NOT_FOUND, "no VF \"%s\"", name);
		return rpc_error_detail(error, "no_vf", "vf", "see `gpuvf list vfs`");
	}
	rpc_error_set(error, RPC_CONFLICT, "%s", text);
	return rpc_error_detail(error, "pf", "vf", "name one of its VFs (gpuvf list vfs), or --gpu for any of them");
}
