// SPDX-License-Identifier: GPL-2.0-or-later
/* A DRM device for each function that a driver binds, so that /dev/dri has real nodes; on request
 * with a connector that has a display; and the event of a wedged device. */
#include <drm/drm_connector.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_ioctl.h>
#include <drm/drm_managed.h>
#include <drm/drm_mode_config.h>
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

#define CARD_DRIVER(_name, _features) { \
	.driver_features = DRIVER_RENDER | (_features), \
	.fops = &card_fops, \
	.name = _name, \
	.desc = "Emulated Intel GPU of the gpuvf testbed", \
	.date = "20260101", \
	.major = 1, \
	.minor = 0, \
}

/* By flavour, without and with display. */
static const struct drm_driver card_drivers[][2] = {
	[FLAVOUR_XE] = { CARD_DRIVER("xe", 0), CARD_DRIVER("xe", DRIVER_MODESET) },
	[FLAVOUR_I915] = { CARD_DRIVER("i915", 0), CARD_DRIVER("i915", DRIVER_MODESET) },
};

static enum drm_connector_status detect(struct drm_connector *connector, bool force)
{
	return connector_status_connected;
}

static const struct drm_connector_funcs connector_funcs = {
	.detect = detect,
	.destroy = drm_connector_cleanup,
};

/* One connector that says "connected": enough for who asks whether a screen hangs on the card. */
static int add_display(struct drm_device *card)
{
	struct drm_connector *connector;
	int ret;

	/* What is managed goes in reverse order: the connector's memory after the connector. */
	connector = drmm_kzalloc(card, sizeof(*connector), GFP_KERNEL);
	if (!connector)
		return -ENOMEM;
	ret = drmm_mode_config_init(card);
	if (ret)
		return ret;
	ret = drm_connector_init(card, connector, &connector_funcs,
				 DRM_MODE_CONNECTOR_DisplayPort);
	if (!ret)
		connector->status = connector_status_connected;
	return ret;
}

int drm_card_add(struct testgpu *gpu, struct pci_dev *pdev)
{
	bool display = gpu->display && !pdev->is_virtfn;
	struct drm_device *card;
	int ret = 0;

	card = drm_dev_alloc(&card_drivers[gpu->flavour][display], &pdev->dev);
	if (IS_ERR(card))
		return PTR_ERR(card);
	if (display)
		ret = add_display(card);
	if (!ret)
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

/* R 2.9: "change" on the drm device with WEDGED= and a list. */
int drm_card_wedge(struct testgpu *gpu, const char *recovery)
{
	char event[64];
	char *envp[] = { event, NULL };

	if (!gpu->card)
		return -ENODEV;
	snprintf(event, sizeof(event), "WEDGED=%s", recovery);
	gpu->wedged = true;
	return kobject_uevent_env(&gpu->card->primary->kdev->kobj, KOBJ_CHANGE, envp);
}
