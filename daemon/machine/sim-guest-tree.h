/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files by which a made-up guest shows its hardware: GUEST_ROOT/sys/bus/pci and its boot id.  The launcher looks
 * there as it looks into a real guest's /sys. */
#pragma once

#include "lib/macros.h"

/* Makes the tree of a guest that has just been started, without devices: /sys, /proc and /run are new, the rest
 * stays as it was.  Returns 0 or a negative errno. */
int sim_guest_tree_boot(const char *root, bool has_driver);
/* A guest that is off shows nothing. */
void sim_guest_tree_off(const char *root);

struct sim_guest_device {
	unsigned port;
	unsigned device_id;
	unsigned class_code;
	bool bars;   /* its memory has addresses */
	bool driver; /* a driver took it: driver link and render node */
};

int sim_guest_tree_plug(const char *root, const struct sim_guest_device *device);
void sim_guest_tree_unplug(const char *root, unsigned port);
