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

/* vram_quota of sriov_admin: reference §2.4. */
enum sim_quota_file { SIM_QUOTA_ABSENT, SIM_QUOTA_READ_ONLY, SIM_QUOTA_WRITABLE, SIM_QUOTA_FILE_MAX };
DECLARE_ENUM_TABLE(sim_quota_file, enum sim_quota_file);

/* Layout of xe's debugfs: §2.7. */
enum sim_debugfs { SIM_DEBUGFS_NONE, SIM_DEBUGFS_OLD, SIM_DEBUGFS_NEW, SIM_DEBUGFS_MAX };
DECLARE_ENUM_TABLE(sim_debugfs, enum sim_debugfs);

/* Where i915's tree is: §3.2. */
enum sim_tree { SIM_TREE_NONE, SIM_TREE_PRELIM_IOV, SIM_TREE_IOV, SIM_TREE_BOTH, SIM_TREE_MAX };
DECLARE_ENUM_TABLE(sim_tree, enum sim_tree);

#define SIM_TILES_MAX 2

#define SIM_DRIVER_MAX 32 /* bytes of a driver's name */

struct sim_gpu_spec {
	char *model;
	char *serial;
	char *driver; /* the one that takes it; NULL = none does */
	char *vfio_driver; /* the one that gives its VFs to VFIO */
	struct pci_address address;
	unsigned device_id;
	unsigned class_code;
	unsigned hardware_vfs;
	unsigned total_vfs;  /* what its driver allows of them */
	unsigned tiles;
	uint64_t vram_bytes; /* 0 = none of its own */
	uint64_t stock[VF_RESOURCE_MAX]; /* of each tile; not VRAM */
	int numa_node;
	int vram_quota; /* enum sim_quota_file */
	int debugfs;	/* enum sim_debugfs */
	int tree;	/* enum sim_tree */
	bool bound;	/* from the start on */
	bool hook;	/* the driver can do SR-IOV */
	bool sriov;
	bool sriov_admin;
	bool euclean; /* §2.3: a kernel that enables nothing in automatic mode while a VF has something */
	bool live_quotas; /* of i915: it changes quotas of VFs that are on, as its source has it */
	bool lockdown;
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
	bool saved;
	uint64_t memory_bytes; /* of the guest; 0 = not known: any attach has what it needs */
	uint64_t resident_bytes; /* what QEMU has of it after a start */
};

struct sim_document {
	struct sim_gpu_spec *gpus;
	size_t n_gpus;
	struct sim_vm_spec *vms;
	size_t n_vms;
	struct sim_faults faults;
	uint64_t job_lock_usec; /* libvirt's patience with a call that has a domain's job lock */
	struct known memory_available; /* of the host, with the running VMs running */
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
