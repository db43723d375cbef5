/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel says of a GPU, its VFs and who holds them; and what libvirt says of a domain.
 * Facts come from the helper, from libvirt or from the made-up machine; nothing here is a wish. */
#pragma once

#include "core/states.h"
#include "lib/json.h"
#include "lib/pci-address.h"

/* The way in which a GPU lets itself be cut; found by probing, never by version. */
enum vf_control {
	VF_CONTROL_NONE,    /* no SR-IOV here */
	VF_CONTROL_XE,	    /* sriov_admin/ of xe */
	VF_CONTROL_GENERIC, /* sriov_numvfs only */
	VF_CONTROL_MAX,
};
DECLARE_ENUM_TABLE(vf_control, enum vf_control);

/* A number that may be unknown: JSON null, never 0. */
struct known {
	bool known;
	uint64_t value;
};

struct vf_facts {
	unsigned index; /* from 1: the kernel's vf1 is virtfn0 */
	struct pci_address address;
	char *driver;	     /* NULL = none bound */
	int iommu_group;     /* -1 = none */
	struct known vram_bytes;
	struct known exec_quantum_ms;
	struct known preempt_timeout_us;
	char *priority; /* "low", "normal", "high", or NULL = unknown */
};

struct gpu_facts {
	struct pci_address address;
	unsigned device_id;
	unsigned class_code; /* 24 bits */
	char *model;	     /* from our table, else pci.ids, else "8086:xxxx" */
	char *serial;	     /* NULL = the card shows none */
	char *driver;	     /* NULL = none bound */
	enum vf_control vf_control;
	bool sriov_capable; /* the sriov_* files exist */
	unsigned total_vfs; /* what the driver allows now */
	unsigned num_vfs;
	bool autoprobe;
	int numa_node;		    /* -1 = unknown */
	bool display;		    /* drives the console or a connected screen */
	struct known vram_bytes;    /* of the card */
	struct known vram_free_bytes; /* what VFs can still get; unknown where nothing tells */
	bool can_vram;		    /* vram_quota exists and is writable */
	bool can_schedule;	    /* exec quantum and preempt timeout are writable */
	bool iommu;		    /* the PF has an IOMMU group */
	char *reason;		    /* why it cannot be cut, in words; NULL = it can */
	struct vf_facts *vfs;	    /* n_vfs = num_vfs entries, index 1… */
	size_t n_vfs;
};

/* A process that has a VF's VFIO group, VFIO device or DRM node open. */
struct vf_holder {
	unsigned vf;
	int pid;
	char *command; /* comm of the process */
	char *path;    /* the node it holds */
};

struct gpu_facts *gpu_facts_free(struct gpu_facts *f);
DEFINE_CLEANUP(struct gpu_facts *, gpu_facts_free);
struct gpu_facts *gpu_facts_copy(const struct gpu_facts *f); /* returns new, NULL = no memory */
json_t *gpu_facts_to_json(const struct gpu_facts *f);	     /* returns new */
int gpu_facts_from_json(const json_t *json, struct gpu_facts **ret); /* strict; -EINVAL */

/* One PCI hostdev of a domain. */
struct domain_hostdev {
	struct pci_address address; /* on the host */
	char *alias;		    /* "ua-gpuvf-…" or libvirt's own; NULL in a persistent XML without */
	bool live;
	bool config;
};

struct domain_facts {
	char uuid[37];
	char *name;
	enum vm_state state;
	bool persistent;
	int id; /* libvirt's, -1 when off */
	enum vm_agent agent;
	int free_ports; /* PCIe ports that take a hot-plug; -1 = unknown */
	/* Prepended to /sys and /var paths in the guest: "" for a real VM, a directory of the made-up
	 * machine in the simulation, where a guest's files are files of the host. */
	char *guest_root;
	struct domain_hostdev *hostdevs;
	size_t n_hostdevs;
};

struct domain_facts *domain_facts_free(struct domain_facts *f);
DEFINE_CLEANUP(struct domain_facts *, domain_facts_free);
struct domain_facts *domain_facts_copy(const struct domain_facts *f);
json_t *domain_facts_to_json(const struct domain_facts *f);
int domain_facts_from_json(const json_t *json, struct domain_facts **ret);
