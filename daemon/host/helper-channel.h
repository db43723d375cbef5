/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One helper process and its queue of requests, as the loop sees it.  One request is on its way
 * at a time; each has a deadline from when it was sent.  Past it the channel is stuck:
 * everything queued is answered -EBUSY until the late answer comes or the process ends.  Used by
 * helper.c alone. */
#pragma once

#include "host/host-ops.h"

struct helper_channel;

/* What all channels of a host share; borrowed. */
struct helper_channel_setup {
	struct sd_event *event;
	const char *program;	/* NULL = ourselves */
	const char *sysfs_root; /* NULL = the real one */
	bool allow_debugfs;
	/* stuck: the attribute, or NULL for "not any more". */
	void (*on_stuck)(void *userdata, struct helper_channel *channel, const char *attribute);
	void *userdata;
};

/* gpu NULL: the channel for scans. */
int helper_channel_new(const struct helper_channel_setup *setup, const struct pci_address *gpu,
		       struct helper_channel **ret);
/* Drops what is queued without answering it.  A process that hangs is left behind. */
struct helper_channel *helper_channel_free(struct helper_channel *c);
DEFINE_CLEANUP(struct helper_channel *, helper_channel_free);

const struct pci_address *helper_channel_gpu(const struct helper_channel *c);

/* Copies the request; fn runs exactly once, on the loop, never before this returns. */
int helper_channel_request(struct helper_channel *c, const struct host_request *request,
			   host_reply_fn fn, void *userdata);

/* Somebody else's process hangs on this GPU (left over by a dead daemon): the channel counts as
 * stuck until as many unblock() as block() were called. */
int helper_channel_block(struct helper_channel *c, const char *attribute);
void helper_channel_unblock(struct helper_channel *c);

/* Where it hangs; NULL = it does not. */
const char *helper_channel_stuck(const struct helper_channel *c);
