// SPDX-License-Identifier: GPL-2.0-or-later
/* A DRM device for each function that the driver binds, so that /dev/dri has real nodes. */
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_ioctl.h>
#include <linux/module.h>

#include "testgpu.h"

static const struct file_operations card_fops = {
	.owner = THIS_MODULE,
	.open = drm_open,
	.release = drm_release,
	.unlocked_ioctl = drm_ioctl,
	.compat_ioctl = drm_compat_ioctl,
	.poll = drm_poll,
	.read = drm_read,
	.llseek = noop_llseek,
};

static const struct drm_driver card_driver = {
	.driver_features = DRIVER_RENDER,
	.fops = &card_fops,
	.name = "xe",
	.desc = "Emulated Intel GPU of the gpuvf testbed",
	.date = "20260101",
	.major = 1,
	.minor = 0,
};

int drm_card_add(struct pci_dev *pdev)
{
	struct drm_device *card = drm_dev_alloc(&card_driver, &pdev->dev);
	int ret;

	if (IS_ERR(card))
		return PTR_ERR(card);
	ret = drm_dev_register(card, 0);
	if (ret) {
		drm_dev_put(card);
		return ret;
	}
	pci_set_drvdata(pdev, card);
	return 0;
}

void drm_card_remove(struct pci_dev *pdev)
{
	struct drm_device *card = pci_get_drvdata(pdev);

	if (!card)
		return;
	drm_dev_unplug(card);
	drm_dev_put(card);
	pci_set_drvdata(pdev, NULL);
}
