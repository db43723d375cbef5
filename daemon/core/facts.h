/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel says of a GPU, its VFs and who holds them; and what libvirt says of a domain.
 * Facts come from the helper, from libvirt or from the made-up machine; nothing here is a wish. */
#pragma once

#include "core/states.h"
#include "lib/json.h"
#include "lib/pci-address.h"

/* The way in which a GPU lets itself be cut; found by probing, never by version. */
enum vf_control {
	VF_CONTROL_NONE,       /* no SR-IOV here */
	VF_CONTROL_XE,	       /* sriov_admin/ of xe */
	VF_CONTROL_XE_DEBUGFS, /* debugfs of xe, old or new layout; only with allow_debugfs */
	VF_CONTROL_I915,       /* prelim_iov/ or iov/ of the out-of-tree i915 */
	VF_CONTROL_GENERIC,    /* sriov_numvfs only */
	VF_CONTROL_MAX,
};
DECLARE_ENUM_TABLE(vf_control, enum vf_control);

/* What a VF can be given.  The names are ours, each way maps them to its files. The first
 * VF_RESOURCE_MAX are hard resources: shared out of a stock and fixed while the VF is enabled. */
enum vf_attribute {
	VF_ATTR_VRAM,		 /* bytes over all tiles */
	VF_ATTR_GGTT,		 /* bytes of the graphics address table */
	VF_ATTR_CONTEXTS,	 /* GuC contexts */
	VF_ATTR_DOORBELLS,
	VF_RESOURCE_MAX,
	VF_ATTR_EXEC_QUANTUM = VF_RESOURCE_MAX, /* ms, 0 = no limit */
	VF_ATTR_PREEMPT_TIMEOUT,		/* µs, 0 = no limit */
	VF_ATTR_PRIORITY,			/* enum vf_priority */
	VF_ATTRIBUTE_MAX,
};
DECLARE_ENUM_TABLE(vf_attribute, enum vf_attribute);

enum vf_priority { VF_PRIORITY_LOW, VF_PRIORITY_NORMAL, VF_PRIORITY_HIGH, VF_PRIORITY_MAX };
DECLARE_ENUM_TABLE(vf_priority, enum vf_priority);

/* How far a way lets an attribute be set. */
enum vf_access {
	VF_ACCESS_NONE,	 /* the way has no such attribute */
	VF_ACCESS_READ,	 /* shown, not settable */
	VF_ACCESS_BULK,	 /* settable for all VFs at once only */
	VF_ACCESS_WRITE, /* settable per VF */
	VF_ACCESS_MAX,
};
DECLARE_ENUM_TABLE(vf_access, enum vf_access);

struct vf_ability {
	enum vf_access access;
	char *why; /* why no more than that, in words; NULL where nothing is missing */
};

/* A number that may be unknown: JSON null, never 0. */
struct known {
	bool known;
	uint64_t value;
};

struct vf_facts {
	unsigned index; /* from 1: the kernel's vf1 is virtfn0 */
	struct pci_address address;
	char *driver;	     /* NULL = none bound */
	bool vfio;	     /* that driver gives it to VFIO: vfio-pci or a variant of it */
	int iommu_group;     /* -1 = none */
	struct known values[VF_ATTRIBUTE_MAX]; /* what it has been given, by enum vf_attribute */
};

/* The stock of one hard resource. */
struct resource_facts {
	struct known free;	/* what VFs can still get, over all tiles */
	struct known max_quota; /* the largest single quota that would be given now */
	struct known spare;	/* kept for the PF, not in free */
	uint64_t standing;	/* in quotas of VFs that are not enabled: comes back with HOST_RESTORE_AUTO */
	uint64_t grain;		/* quotas come in multiples of this; 0 = unknown */
};

struct gpu_facts {
	struct pci_address address;
	unsigned device_id;
	unsigned class_code; /* 24 bits */
	char *model;	     /* from our table, else pci.ids, else "8086:xxxx" */
	char *serial;	     /* NULL = the card shows none */
	char *driver;	     /* NULL = none bound */
	bool vfio;	     /* likewise: the whole card is on its way into one VM */
	enum vf_control vf_control;
	bool sriov_capable; /* the sriov_* files exist */
	unsigned total_vfs; /* what the driver allows now */
	unsigned num_vfs;
	unsigned vf_offset, vf_stride; /* the routing ID of VF n is the PF's + offset + (n − 1) × stride; 0 = unknown */
	bool autoprobe;
	int numa_node;		    /* -1 = unknown */
	bool display;		    /* drives the console or a connected screen */
	struct known vram_bytes;    /* of the card */
	unsigned tiles;		    /* 1 or more; quotas of hard resources are per tile */
	struct vf_ability can[VF_ATTRIBUTE_MAX];
	char *control_note; /* why this way and not a richer one; NULL = it is the richest */
	/* True: somebody set quotas by hand, so the driver shares nothing by itself and keeps them when VFs
	 * go, until automatic provisioning is restored. */
	bool custom_provisioning;
	struct resource_facts resources[VF_RESOURCE_MAX];
	bool iommu;		    /* the PF has an IOMMU group */
	char *power;		    /* the kernel's word: "active", "suspended" …; NULL = it has none */
	char *survivability;	    /* what the driver says in survivability_mode; NULL = not in it */
	char *reason;		    /* why it cannot be cut, in words; NULL = it can */
	struct vf_facts *vfs;	    /* n_vfs = num_vfs entries, index 1… */
	size_t n_vfs;
};

/* A process that has a VF's VFIO group, VFIO device or DRM node open. */
struct vf_holder {
	unsigned vf;
	int pid;
	struct known started; /* clock ticks since boot: a pid is trusted only together with it */
	struct known uid;
	char *command; /* comm of the process */
	char *path;    /* the node it holds */
};

/* Whether a VF of the GPU has this address, or had it if it were there.  PCI Express SR-IOV, 3.3.8 to 3.3.10. */
bool gpu_may_have_vf(const struct gpu_facts *f, const struct pci_address *address);

static inline bool gpu_can_set(const struct gpu_facts *f, enum vf_attribute attribute)
{
	return f->can[attribute].access == VF_ACCESS_WRITE;
}

/* True when the way can set it for all VFs together at least. */
static inline bool gpu_can_set_all(const struct gpu_facts *f, enum vf_attribute attribute)
{
	return f->can[attribute].access >= VF_ACCESS_BULK;
}

void vf_facts_done(struct vf_facts *vf);
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
	/* Of two readings of a domain the one with the greater number began later: answers may overtake each other.
	 * 0: a hypervisor whose answers come in the order of its readings. */
	uint64_t reading;
	char *name;
	enum vm_state state;
	bool persistent;
	bool saved; /* off, and its next start restores a managed-save image instead of reading its stored definition */
	int id; /* libvirt's, -1 when off */
	enum vm_agent agent;
	uint64_t memory_bytes; /* of the guest, or of its next start; its first VF pins it; 0 = unknown */
	int free_ports; /* PCIe ports that take a hot-plug; -1 = unknown */
	/* Prepended to /sys and /var paths in the guest: "" for a real VM, a directory of the made-up
	 * machine in the simulation, where a guest's files are files of the host. */
	char *guest_root;
	struct domain_hostdev *hostdevs;
	size_t n_hostdevs;
	bool hostdevs_unknown; /* its XML could not be read: none, or those that were seen before */
};

struct domain_facts *domain_facts_free(struct domain_facts *f);
DEFINE_CLEANUP(struct domain_facts *, domain_facts_free);
struct domain_facts *domain_facts_copy(const struct domain_facts *f);
json_t *domain_facts_to_json(const struct domain_facts *f);
int domain_facts_from_json(const json_t *json, struct domain_facts **ret);
