/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Turning VFs on and off, and resetting one.  Used in the helper process only; fills replies, so
 * that every refusal carries its words. */
#pragma once

#include "host/host-ops.h"
#include "host/sysfs.h"

int sriov_set_autoprobe(struct sysfs *s, const struct host_request *request,
			struct host_reply *reply);

/* 0 → N or N → 0 only.  Going to 0 looks for holders directly before the write and refuses with
 * them.  The reply's value is the number read back, which may be lower than asked. */
int sriov_set_numvfs(struct sysfs *s, const struct host_request *request, struct host_reply *reply);

/* Refuses with the holders in the reply when somebody has the VF open. */
int sriov_refuse_held(struct sysfs *s, const struct pci_address *gpu, unsigned vf,
		      struct host_reply *reply);

/* Function-level reset; afterwards the function must answer. */
int sriov_reset_vf(struct sysfs *s, const struct host_request *request, struct host_reply *reply);

/* Back to automatic provisioning; -EBUSY while VFs are on. */
int sriov_restore_auto(struct sysfs *s, const struct host_request *request,
		       struct host_reply *reply);
