// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Makes an emulated NVMe function look like an Intel GPU: config reads on its bus are patched, then
 * the function is removed and found again. The SR-IOV capability below stays the emulator's own.
 */
#include <linux/module.h>

#include "testgpu.h"

/* The dword at `where` as the card is to show it. Runs under the PCI config lock. */
static u32 patched(const struct testgpu *gpu, unsigned int devfn, int where, u32 value)
{
	bool is_pf = devfn == 0;

	switch (where) {
	case PCI_VENDOR_ID:
		/* A VF's own id registers read as all ones, by the SR-IOV specification. */
		return is_pf ? (u32)gpu->device << 16 | TESTGPU_INTEL : value;
	case PCI_CLASS_REVISION:
		return gpu->pci_class << 8 | (value & 0xff);
	case PCI_SUBSYSTEM_VENDOR_ID:
		return (u32)gpu->device << 16 | TESTGPU_INTEL;
	}
	/* R 4.2: VFs carry the device id of the PF. */
	if (is_pf && gpu->sriov_cap && where == ((gpu->sriov_cap + PCI_SRIOV_VF_DID) & ~3))
		return (u32)gpu->device << 16 | (value & 0xffff);
	return value;
}

static int disguised_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *val)
{
	struct testgpu *gpu = testgpu_of_bus(bus);
	u32 value;
	int ret;

	ret = gpu->real_ops->read(bus, devfn, where & ~3, 4, &value);
	/* The root port forwards to one device: nothing there reads as all ones. */
	if (ret || value == ~0u) {
		if (devfn == 0 || (where & ~3) != PCI_CLASS_REVISION)
			return gpu->real_ops->read(bus, devfn, where, size, val);
	}
	value = patched(gpu, devfn, where & ~3, value) >> (8 * (where & 3));
	*val = size == 4 ? value : value & ((1u << (8 * size)) - 1);
	return PCIBIOS_SUCCESSFUL;
}

static int disguised_write(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 val)
{
	struct testgpu *gpu = testgpu_of_bus(bus);
	unsigned int vfid = testgpu_vfid(gpu, devfn);

	/* A function-level reset: counted, and R 2.4: it alone revives a stopped VF. */
	if (gpu->pcie_cap && where == gpu->pcie_cap + PCI_EXP_DEVCTL && size >= 2 &&
	    (val & PCI_EXP_DEVCTL_BCR_FLR)) {
		if (!resets_note(gpu, devfn))
			return PCIBIOS_SUCCESSFUL;
		if (vfid && gpu->functions && vfid <= gpu->totalvfs) {
			WRITE_ONCE(gpu->functions[vfid].stopped, false);
			WRITE_ONCE(gpu->functions[vfid].paused, false);
		}
	}
	return gpu->real_ops->write(bus, devfn, where, size, val);
}

static struct pci_ops disguised_ops = {
	.read = disguised_read,
	.write = disguised_write,
};

static struct pci_bus *bus_below(unsigned int slot)
{
	struct pci_dev *port = pci_get_domain_bus_and_slot(0, 0, PCI_DEVFN(slot, 0));
	struct pci_bus *bus = port ? port->subordinate : NULL;

	pci_dev_put(port);
	return bus;
}

static void find_again(struct testgpu *gpu, struct pci_dev *old)
{
	pci_stop_and_remove_bus_device_locked(old);
	pci_dev_put(old);
	pci_lock_rescan_remove();
	pci_rescan_bus(gpu->bus);
	pci_unlock_rescan_remove();
}

int disguise_put_on(struct testgpu *gpu)
{
	struct pci_bus *bus = bus_below(gpu->slot);
	struct pci_dev *dev = bus ? pci_get_slot(bus, 0) : NULL;

	if (!dev)
		return -ENODEV;
	gpu->sriov_cap = pci_find_ext_capability(dev, PCI_EXT_CAP_ID_SRIOV);
	gpu->pcie_cap = dev->pcie_cap;
	if (gpu->sriov_cap) {
		pci_read_config_word(dev, gpu->sriov_cap + PCI_SRIOV_VF_OFFSET, &gpu->vf_offset);
		pci_read_config_word(dev, gpu->sriov_cap + PCI_SRIOV_VF_STRIDE, &gpu->vf_stride);
	}
	gpu->real_ops = bus->ops;
	gpu->bus = bus;
	pci_bus_set_ops(bus, &disguised_ops);
	find_again(gpu, dev);
	return 0;
}

void disguise_take_off(struct testgpu *gpu)
{
	struct pci_dev *dev = pci_get_slot(gpu->bus, 0);

	pci_bus_set_ops(gpu->bus, gpu->real_ops);
	if (dev)
		find_again(gpu, dev);
	gpu->bus = NULL;
}
