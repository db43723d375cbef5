/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an errno of the kernel means for what was asked of it: cause and cure in words.  Pure. */
#pragma once

#include "core/facts.h"

enum kernel_asked {
	KERNEL_ASKED_NUMVFS,  /* another number of VFs */
	KERNEL_ASKED_QUOTA,   /* a hard resource */
	KERNEL_ASKED_SCHED,   /* a scheduling value */
	KERNEL_ASKED_RESTORE, /* back to automatic provisioning */
	KERNEL_ASKED_MAX,
};

/* error is negative, as from the kernel.  NULL = nothing is known beyond the errno's own text. */
const char *kernel_words(enum kernel_asked asked, enum vf_control way, int error);
