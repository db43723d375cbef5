// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The PCI drivers named "xe" and "i915": bind the PF and, where the host lets them, the VFs; enable
 * and disable VFs by the rules of R 2.3 and 3.3.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "testgpu.h"

/* R 2.3: enabling adds device links, the VF the consumer and the PF the supplier. */
static void add_device_links(struct testgpu *gpu, unsigned int num)
{
	struct pci_dev *vf;
	unsigned int i;

	for (i = 1; i <= num; i++) {
		vf = tree_vf_device(gpu, i);
		if (!vf || !device_link_add(&vf->dev, &gpu->pf->dev, DL_FLAG_AUTOREMOVE_CONSUMER))
			pci_notice(gpu->pf, "no device link for VF%u\n", i);
		pci_dev_put(vf);
	}
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
		/* R, trap 13: in automatic mode nothing is left behind. */
		rules_release(gpu, num);
		gpu->numvfs = 0;
		return ret;
	}
	resets_note_enable(gpu);
	add_device_links(gpu, num);
	tree_link_vfs(gpu, num);
	pci_info(gpu->pf, "Enabled %u of %u VFs\n", num, gpu->totalvfs);
	return num;
}

/* R 2.3: unlink, core disable, release of automatic provisioning. */
static void disable_vfs(struct testgpu *gpu)
{
	unsigned int num = gpu->numvfs;

	if (!num)
		return;
	tree_unlink_vfs(gpu, num);
	/* R 6.2: never returns while somebody holds a VF; the device lock is held meanwhile. */
	mutex_unlock(&gpu->lock);
	pci_disable_sriov(gpu->pf);
	mutex_lock(&gpu->lock);
	rules_release(gpu, num);
	gpu->numvfs = 0;
	pci_info(gpu->pf, "Disabled %u VFs\n", num);
}

static int sriov_configure(struct pci_dev *pdev, int num)
{
	struct testgpu *gpu = testgpu_of_bus(pdev->bus);
	int ret;

	/* R 1.2: a driver without an SR-IOV hook. It is one driver for all cards, so it has one. */
	if (gpu && !gpu->hook) {
		/* … so that it says what the kernel says of one that has none. */
		pci_info(pdev, "driver does not support SR-IOV configuration via sysfs\n");
		return -ENOENT;
	}
	/* R 2.3: the device did not come up in PF mode. */
	if (!gpu || gpu->pf != pdev)
		return -ENODEV;
	ret = faults_check_write(gpu, "sriov_numvfs");
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

static void forget_pf(struct testgpu *gpu)
{
	struct function *functions = gpu->functions;

	debug_remove(gpu);
	tree_remove(gpu);
	gpu->card = NULL;
	gpu->pf = NULL;
	gpu->functions = NULL;
	kfree(functions);
}

/* What is the PF's own before its card is there. */
static int prepare_pf(struct testgpu *gpu, struct pci_dev *pdev)
{
	int hardware = pci_sriov_get_totalvfs(pdev);

	gpu->numvfs = 0;
	gpu->custom = false;
	gpu->auto_off = false;
	gpu->auto_shared = false;
	/* R 2.9: a reload of the driver is one of the ways back. */
	gpu->wedged = false;
	gpu->totalvfs = 0;
	if (!gpu->hook)
		return 0;
	/* R 2.2, 3.1: with max_vfs 0 the PF falls back to native mode, sriov_totalvfs becomes 0. */
	gpu->totalvfs = min3((unsigned int)hardware, gpu->max_vfs, testgpu_max_vfs);
	if (hardware && gpu->totalvfs < hardware)
		pci_sriov_set_totalvfs(pdev, gpu->totalvfs);
	if (!gpu->totalvfs)
		return 0;
	gpu->functions = kcalloc(gpu->totalvfs + 1, sizeof(*gpu->functions), GFP_KERNEL);
	if (!gpu->functions)
		return -ENOMEM;
	gpu->pf = pdev;
	return gpu->flavour == FLAVOUR_XE && gpu->admin ? admin_create(gpu) : 0;
}

/* And what hangs on the card: like the drivers, after the card is registered. */
static int finish_pf(struct testgpu *gpu, struct pci_dev *pdev)
{
	int ret = 0;

	gpu->card = pci_get_drvdata(pdev);
	if (!gpu->pf)
		return 0;
	if (gpu->flavour == FLAVOUR_I915)
		ret = i915_create(gpu);
	else
		debug_create(gpu);
	return ret;
}

static int probe(struct pci_dev *pdev, enum flavour flavour)
{
	struct testgpu *gpu = testgpu_of_bus(pdev->bus);
	int ret;

	if (!gpu || gpu->flavour != flavour)
		return -ENODEV;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	if (pdev->is_virtfn)
		return drm_card_add(gpu, pdev);
	control_add(gpu);
	/* "driver=no" of a scenario: not bound at first, open to an explicit bind after. */
	if (!gpu->bound) {
		gpu->bound = true;
		return -ENODEV;
	}
	ret = prepare_pf(gpu, pdev);
	if (!ret)
		ret = drm_card_add(gpu, pdev);
	if (!ret)
		ret = finish_pf(gpu, pdev);
	if (ret) {
		forget_pf(gpu);
		drm_card_remove(pdev);
	}
	return ret;
}

static int xe_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return probe(pdev, FLAVOUR_XE);
}

static int i915_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return probe(pdev, FLAVOUR_I915);
}

static void unbind(struct pci_dev *pdev)
{
	struct testgpu *gpu = testgpu_of_bus(pdev->bus);

	if (!pdev->is_virtfn && gpu) {
		/* R 3.3, trap 7: with the PF's driver go all VFs. */
		mutex_lock(&gpu->lock);
		disable_vfs(gpu);
		mutex_unlock(&gpu->lock);
		forget_pf(gpu);
	}
	drm_card_remove(pdev);
}

static const struct pci_device_id ids[] = {
	{ PCI_DEVICE(TESTGPU_INTEL, PCI_ANY_ID), PCI_BASE_CLASS_DISPLAY << 16, 0xff0000 },
	{ }
};

static struct pci_driver xe_driver = {
	.name = "xe",
	.id_table = ids,
	.probe = xe_probe,
	.remove = unbind,
	.sriov_configure = sriov_configure,
};

static struct pci_driver i915_driver = {
	.name = "i915",
	.id_table = ids,
	.probe = i915_probe,
	.remove = unbind,
	.sriov_configure = sriov_configure,
};

int drivers_register(void)
{
	int ret;

	ret = pci_register_driver(&xe_driver);
	if (ret)
		return ret;
	ret = pci_register_driver(&i915_driver);
	if (ret)
		pci_unregister_driver(&xe_driver);
	return ret;
}

void drivers_unregister(void)
{
	pci_unregister_driver(&i915_driver);
	pci_unregister_driver(&xe_driver);
}
