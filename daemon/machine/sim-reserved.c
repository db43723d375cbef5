/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/sim-reserved.h"

static bool holds(const struct sim_vm *vm, const struct pci_address *vf)
{
	for (size_t i = 0; i < vm->config.n; i++)
		if (!vm->config.items[i].lapsed && pci_address_equal(&vm->config.items[i].address, vf))
			return true;
	return false;
}

bool sim_reserved_has(const struct sim_hypervisor *hv, const struct sim_gpu *g)
{
	for (unsigned v = 0; v < g->num_vfs; v++)
		for (size_t i = 0; i < hv->n_vms; i++)
			if (hv->vms[i].state == VM_OFF && holds(&hv->vms[i], &g->vfs[v].address))
				return true;
	return false;
}

static void lapse(struct sim_vm *vm, const struct pci_address *vf)
{
	for (size_t i = 0; i < vm->config.n; i++)
		if (pci_address_equal(&vm->config.items[i].address, vf))
			vm->config.items[i].lapsed = true;
}

void sim_reserved_lapse(struct sim_hypervisor *hv, const struct sim_gpu *g, unsigned n)
{
	for (unsigned index = n + 1; index <= g->total_vfs; index++) {
		struct pci_address vf = sim_gpu_vf_address(g, index);

		for (size_t i = 0; i < hv->n_vms; i++)
			lapse(&hv->vms[i], &vf);
	}
}
