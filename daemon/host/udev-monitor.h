/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel events of PCI functions and DRM devices, gathered into "read this GPU again".  Runs in
 * the daemon; looks at events only, never at attributes. */
#pragma once

#include "host/host-ops.h"

struct udev_monitor_watch;

/* fn gets HOST_EVENT_CHANGED, _REMOVED and _RESCAN, on the loop.  Returns 0 or a negative errno. */
int udev_monitor_watch_new(struct sd_event *event, host_event_fn fn, void *userdata,
			   struct udev_monitor_watch **ret);
struct udev_monitor_watch *udev_monitor_watch_free(struct udev_monitor_watch *w);
DEFINE_CLEANUP(struct udev_monitor_watch *, udev_monitor_watch_free);

/* Which addresses belong to which GPU: the only way to understand a VF's "remove". */
int udev_monitor_watch_learn(struct udev_monitor_watch *w, const struct gpu_facts *facts);
