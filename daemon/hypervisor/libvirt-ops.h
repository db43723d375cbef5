/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The blocking libvirt calls behind each hypervisor operation.  They run on worker threads, on
 * copies; the loop's side is libvirt.c. */
#pragma once

#include <libvirt/libvirt.h>

#include "hypervisor/hypervisor-ops.h"

/* One operation with everything it needs and its reply: belongs to one thread at a time. */
struct libvirt_op {
	enum hv_op op;
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct pci_address address;
	char *alias;
	bool live, config, managed, barrier;
	char *command;          /* text of the agent's command */
	uint64_t deadline_usec; /* on the boot clock */
	struct hv_reply reply;
	bool pending; /* HV_DETACH: libvirt asked the guest, which has not let go yet */
};

int libvirt_op_init(struct libvirt_op *op, const struct hv_request *request);
void libvirt_op_done(struct libvirt_op *op);

/* Fills op->reply (and pending).  connection NULL = HV_DISCONNECTED. */
void libvirt_op_run(struct libvirt_op *op, virConnectPtr connection);

/* What an error of libvirt means to our callers. */
enum hv_failure libvirt_failure(enum hv_op op, int code, const char *message);
