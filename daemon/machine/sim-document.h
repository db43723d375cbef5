/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The simulation document (docs: interface, "Simulation document"): strict JSON that says which GPUs and
 * VMs the made-up machine has and what goes wrong in it.  "count" is expanded here: one entry per GPU and per VM. */
#pragma once

#include "core/facts.h"
#include "machine/sim-fault.h"

/* What answers on a VM's agent channel. */
enum sim_agent_kind {
	SIM_AGENT_CONNECTED,
	SIM_AGENT_NO_EXEC,	/* answers, but guest-exec is disabled by its configuration */
	SIM_AGENT_DISCONNECTED, /* a channel and nobody behind it */
	SIM_AGENT_NONE,		/* no channel in the domain */
	SIM_AGENT_KIND_MAX,
};
DECLARE_ENUM_TABLE(sim_agent_kind, enum sim_agent_kind);

struct sim_gpu_spec {
	char *model;
	char *serial;
	char *driver; /* NULL = none bound */
	struct pci_address address;
	unsigned device_id;
	unsigned class_code;
	unsigned total_vfs;
	uint64_t vram_bytes; /* 0 = none of its own */
	int numa_node;
	bool sriov;
	bool sriov_admin;
	bool vram_quota;
	bool display;
	bool iommu;
};

struct sim_vm_spec {
	char *name;
	enum vm_state state;
	enum sim_agent_kind agent;
	unsigned ports;
	bool persistent;
	bool guest_driver;
};

struct sim_document {
	struct sim_gpu_spec *gpus;
	size_t n_gpus;
	struct sim_vm_spec *vms;
	size_t n_vms;
	struct sim_faults faults;
	uint64_t linger_usec;
};

/* Reads the text.  Returns 0, -ENOMEM, or -EINVAL with new *ret_message: "FILE:LINE:COL: /pointer: what (hint)". */
int sim_document_parse(const char *file, const char *text, size_t size, struct sim_document **ret,
		       char **ret_message);
int sim_document_load(const char *path, struct sim_document **ret, char **ret_message);

struct sim_document *sim_document_free(struct sim_document *d);
DEFINE_CLEANUP(struct sim_document *, sim_document_free);

/* true, false, "no-exec", "disconnected" → kind, or -EINVAL. */
int sim_agent_kind_from_json(const json_t *json);
