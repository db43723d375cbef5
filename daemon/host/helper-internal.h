/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the helpers' host share: the host itself, and its scans.  Seen by helper.c and
 * helper-scan.c alone. */
#pragma once

#include <systemd/sd-event.h>

#include "host/helper-channel.h"
#include "host/udev-monitor.h"

struct scan;
struct closed_wait;
struct leftover_watch;

struct host_helper {
	struct host host; /* first */
	sd_event *event;
	char *program;
	char *sysfs_root;
	struct helper_channel_setup setup;
	struct helper_channel *scanner;
	struct helper_channel **channels;
	size_t n_channels;
	struct scan *scans;
	struct closed_wait *waits;
	struct leftover_watch *leftovers;
	struct udev_monitor_watch *monitor;
	sd_event_source *announce; /* tells of left-overs once the loop runs */
};

/* The channel to the GPU's own helper; made when it is first asked for. */
int helper_channel_of(struct host_helper *h, const struct pci_address *gpu,
		      struct helper_channel **ret);

/* Begins a HOST_SCAN.  Returns 0, and then fn runs once, or a negative errno. */
int helper_scan_begin(struct host_helper *h, const struct host_request *request, host_reply_fn fn,
		      void *userdata);
/* Drops all scans without answering them. */
void helper_scan_drop(struct host_helper *h);
