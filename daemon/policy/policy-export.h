/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts back into a policy document: what gpu.export prints and what, put into policies.d, makes the
 * same layouts again.  Pure. */
#pragma once

#include "policy/layout.h"
#include "policy/policy.h"

struct policy_export_card {
	struct pci_address address;
	const struct layout *layout; /* borrowed */
	const struct policy_gpu_rule *rule; /* its heal and reuse are kept; NULL = no rule matches; borrowed */
};

/* {"version": 1, "profiles": […], "layouts": […], "gpus": [{"match": {"address": …}, "layout": NAME, …}]}.
 *
 * Equal shapes share a profile, equal layouts a layout. Names are kept where they are still free for what
 * they meant; a VF without a profile gets one that is called after its layout when it wants anything, and
 * layouts by hand are called after their card.  Loading the document and resolving the card's rule gives
 * a layout whose VFs want the same, in the same order. Returns 0 with new JSON, or -ENOMEM. */
int policy_export(const struct policy_export_card *cards, size_t n, json_t **ret);
