/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel events of PCI functions and DRM devices, gathered into "read this GPU again".  Runs in
 * the daemon; looks at events only, never at attributes. */
#pragma once

#include "host/host-ops.h"

struct udev_monitor_watch;

/* fn gets HOST_EVENT_CHANGED, _BOUND, _WEDGED, _REMOVED, _RESCAN and _SETTLED, on the loop.  Returns 0 or a negative errno. */
int udev_monitor_watch_new(struct sd_event *event, host_event_fn fn, void *userdata,
			   struct udev_monitor_watch **ret);
struct udev_monitor_watch *udev_monitor_watch_free(struct udev_monitor_watch *w);
DEFINE_CLEANUP(struct udev_monitor_watch *, udev_monitor_watch_free);

/* Which addresses belong to which GPU: the only way to understand a VF's "remove". */
int udev_monitor_watch_learn(struct udev_monitor_watch *w, const struct gpu_facts *facts);

/* Whether udev is still busy with what it was told before, loading drivers for one.  HOST_EVENT_SETTLED comes
 * once when it no longer is. */
bool udev_monitor_watch_settling(struct udev_monitor_watch *w);

/* Tells again, later, which of the cards that were learnt had been given up by their driver before we
 * listened: udev keeps it (udev-rules/). */
void udev_monitor_watch_recall(struct udev_monitor_watch *w);
