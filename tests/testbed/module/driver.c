// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The PCI driver named "xe": binds the PF and, where the host lets it, the VFs; enables and
 * disables VFs by the rules of R 2.3.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "testgpu.h"

/* R 2.3: enabling adds device links, the VF the consumer and the PF the supplier. */
static void add_device_links(struct testgpu *gpu, unsigned int num)
{
	struct pci_dev *vf = NULL;

	while ((vf = pci_get_device(TESTGPU_INTEL, PCI_ANY_ID, vf)))
		if (vf->is_virtfn && pci_physfn(vf) == gpu->pf &&
		    !device_link_add(&vf->dev, &gpu->pf->dev, DL_FLAG_AUTOREMOVE_CONSUMER))
			pci_notice(gpu->pf, "no device link for %s\n", pci_name(vf));
}

static int enable_vfs(struct testgpu *gpu, unsigned int num)
{
	int ret;

	/* R 2.3: VFs already on. The PCI core says so before; this guards the driver's own paths. */
	if (gpu->numvfs)
		return -EBUSY;
	ret = rules_provision(gpu, num);
	if (ret)
		return ret;
	gpu->numvfs = num;
	mutex_unlock(&gpu->lock);
	ret = pci_enable_sriov(gpu->pf, num);
	mutex_lock(&gpu->lock);
	if (ret) {
		/* R, trap 13: xe in automatic mode leaves nothing behind. */
		rules_release(gpu, num);
		gpu->numvfs = 0;
		return ret;
	}
	add_device_links(gpu, num);
	admin_link_vfs(gpu, num);
	pci_info(gpu->pf, "Enabled %u of %u VFs\n", num, gpu->totalvfs);
	return num;
}

/* R 2.3: unlink, core disable, release of automatic provisioning. */
static void disable_vfs(struct testgpu *gpu)
{
	unsigned int num = gpu->numvfs;

	if (!num)
		return;
	admin_unlink_vfs(gpu, num);
	/* R 6.2: never returns while somebody holds a VF; the device lock is held meanwhile. */
	mutex_unlock(&gpu->lock);
	pci_disable_sriov(gpu->pf);
	mutex_lock(&gpu->lock);
	rules_release(gpu, num);
	gpu->numvfs = 0;
	pci_info(gpu->pf, "Disabled %u VFs\n", num);
}

static int xe_sriov_configure(struct pci_dev *pdev, int num)
{
	struct testgpu *gpu = testgpu_of_bus(pdev->bus);
	int ret;

	/* R 2.3: the device did not come up in PF mode. */
	if (!gpu || gpu->pf != pdev)
		return -ENODEV;
	ret = faults_check(gpu, "sriov_numvfs");
	if (ret < 0)
		return ret;
	/* R 1.2: a driver may enable fewer than asked, and the write still succeeds. */
	if (ret == FAULT_FEWER && num > 1)
		num--;
	if (num > gpu->totalvfs)
		return -ERANGE;
	mutex_lock(&gpu->lock);
	if (num)
		ret = enable_vfs(gpu, num);
	else
		disable_vfs(gpu);
	mutex_unlock(&gpu->lock);
	return num ? ret : 0;
}

static int probe_pf(struct testgpu *gpu, struct pci_dev *pdev)
{
	int hardware = pci_sriov_get_totalvfs(pdev);
	int ret;

	/* R 2.2: with max_vfs 0 the PF falls back to native mode, sriov_totalvfs becomes 0. */
	gpu->totalvfs = min_t(unsigned int, hardware, testgpu_max_vfs);
	if (hardware && gpu->totalvfs < hardware)
		pci_sriov_set_totalvfs(pdev, gpu->totalvfs);
	if (!gpu->totalvfs)
		return 0;
	gpu->profiles = kcalloc(gpu->totalvfs + 1, sizeof(*gpu->profiles), GFP_KERNEL);
	if (!gpu->profiles)
		return -ENOMEM;
	gpu->numvfs = 0;
	gpu->pf = pdev;
	ret = admin_create(gpu);
	if (ret) {
		gpu->pf = NULL;
		kfree(gpu->profiles);
		gpu->profiles = NULL;
	}
	return ret;
}

static int xe_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct testgpu *gpu = testgpu_of_bus(pdev->bus);
	int ret;

	if (!gpu)
		return -ENODEV;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	if (!pdev->is_virtfn) {
		/* "driver=no" of a scenario: not bound at first, open to an explicit bind after. */
		if (!gpu->start_bound) {
			gpu->start_bound = true;
			return -ENODEV;
		}
		ret = probe_pf(gpu, pdev);
		if (ret)
			return ret;
		faults_debugfs_add(gpu);
	}
	return drm_card_add(pdev);
}

static void xe_remove(struct pci_dev *pdev)
{
	struct testgpu *gpu = testgpu_of_bus(pdev->bus);

	drm_card_remove(pdev);
	if (pdev->is_virtfn || !gpu || gpu->pf != pdev)
		return;
	/* R 3.3, trap 7: with the PF's driver go all VFs. */
	mutex_lock(&gpu->lock);
	disable_vfs(gpu);
	mutex_unlock(&gpu->lock);
	admin_destroy(gpu);
	gpu->pf = NULL;
	kfree(gpu->profiles);
	gpu->profiles = NULL;
}

static const struct pci_device_id xe_ids[] = {
	{ PCI_DEVICE(TESTGPU_INTEL, PCI_ANY_ID), PCI_BASE_CLASS_DISPLAY << 16, 0xff0000 },
	{ }
};

static struct pci_driver xe_driver = {
	.name = "xe",
	.id_table = xe_ids,
	.probe = xe_probe,
	.remove = xe_remove,
	.sriov_configure = xe_sriov_configure,
};

int driver_register_xe(void)
{
	return pci_register_driver(&xe_driver);
}

void driver_unregister_xe(void)
{
	pci_unregister_driver(&xe_driver);
}
