/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel of the made-up machine: GPUs, their VFs and the rules of sysfs.  A pure model: no I/O, no clock, no
 * process; every rule is one of docs/reference "Intel GPU SR-IOV on Linux" (section in the code), the ones that are
 * only inferred there are marked (inferred).  Driven by sim-machine.c and by unit tests. */
#pragma once

#include "core/facts.h"
#include "machine/sim-document.h"

#define SIM_VF_OFFSET 1 /* §4: all supported cards have offset 1, stride 1 */
#define SIM_VF_STRIDE 1

/* Who has a VF open. */
struct sim_holder {
	const char *vm; /* borrowed name of the domain, NULL = a process of the host */
	int pid;
};

/* What a function has been given, by tile.  Of the PF: its scheduling values, and what it keeps besides the least. */
struct sim_given {
	uint64_t values[SIM_TILES_MAX][VF_ATTRIBUTE_MAX];
};

struct sim_vf {
	struct pci_address address;
	char driver[SIM_DRIVER_MAX + 1]; /* "" = none */
	bool vfio;	    /* that driver gives it to VFIO */
	bool override_vfio; /* driver_override = that driver */
	int iommu_group;   /* -1 = none */
	struct sim_holder holder;
	bool held;
	unsigned resets;
	bool used; /* gpuvf gave it to a VM that has let go; not reset since */
	struct sim_given given; /* belongs to the driver's vfN and exists without the VF */
};

/* How often each thing was written, by whom ever and whatever came of it: for tests. */
struct sim_writes {
	unsigned of[SIM_WRITE];	    /* by enum sim_point */
	unsigned numvfs_while_held; /* writes that the kernel does not refuse and never answers */
	unsigned numvfs_while_reserved; /* by gpuvf, while the definition of a VM that is off names a VF that went */
	unsigned attached_without_reset; /* by gpuvf, after another had it */
	unsigned vf_attributes;
	unsigned pf_attributes;
	unsigned bulk_attributes;
};

struct sim_gpu {
	struct sim_gpu_spec spec; /* strings borrowed from the document */
	char name[24];		  /* "gpu0" in the order of the document: of faults and control, not the daemon's */
	bool present;
	const char *driver; /* bound now: borrowed, NULL = none */
	unsigned total_vfs; /* sriov_totalvfs as it is now */
	bool autoprobe;
	bool disabling; /* a 0 was written while a VF was held: the device lock is taken */
	bool wedged;	/* the driver gave up on the card, until it is bound again */
	bool guarded;	/* something keeps VFs from being enabled, such as an open debugfs file */
	bool custom;	/* xe: debugfs was written, nothing is shared automatically */
	bool auto_off;	/* i915: the same */
	bool auto_shared; /* i915: what VFs have was shared automatically */
	bool if_idle;	/* the policy sched_if_idle */
	unsigned num_vfs;
	int iommu_group;
	struct sim_given pf;
	struct sim_vf *vfs; /* spec.hardware_vfs slots, [0] is vf1 */
	struct sim_writes writes;
};

struct sim_kernel {
	struct sim_gpu *gpus;
	size_t n_gpus;
	uint64_t groups[64]; /* IOMMU groups in use, a bit each */
};

int sim_kernel_init(struct sim_kernel *k, const struct sim_document *document);
void sim_kernel_done(struct sim_kernel *k);

/* By address of the PF; NULL when there is no such GPU now. */
struct sim_gpu *sim_kernel_find(struct sim_kernel *k, const struct pci_address *address);
/* "gpu0" or a PCI address, present or not. */
struct sim_gpu *sim_kernel_find_name(struct sim_kernel *k, const char *name);
/* The GPU and VF behind the address of an enabled VF; NULL when there is none. */
struct sim_vf *sim_kernel_find_vf(struct sim_kernel *k, const struct pci_address *address,
				  struct sim_gpu **ret_gpu);
/* vfN with N from 1 while it is enabled, else NULL. */
struct sim_vf *sim_gpu_vf(struct sim_gpu *g, unsigned index);
/* Where vfN, N from 1, is or would be. */
struct pci_address sim_gpu_vf_address(const struct sim_gpu *g, unsigned index);

/* The whole card, as for giving it to one VM. */
static inline bool sim_gpu_on_vfio(const struct sim_gpu *g)
{
	return g->driver && (streq(g->driver, "vfio-pci") || streq(g->driver, g->spec.vfio_driver));
}

unsigned sim_gpu_held(const struct sim_gpu *g); /* how many of its VFs are held */
bool sim_gpu_has_sriov_hook(const struct sim_gpu *g);

/* Writes of sysfs.  Each returns 0 or the negative errno that the kernel gives.  fewer: the driver
 * enables so many less than asked.  -EINPROGRESS from set_numvfs: the write hangs, because a VF is held;
 * sim_kernel_settle() ends it. */
int sim_gpu_set_numvfs(struct sim_kernel *k, struct sim_gpu *g, uint64_t n, unsigned fewer);
int sim_gpu_set_autoprobe(struct sim_gpu *g, uint64_t value);
int sim_gpu_bind_vfio(struct sim_gpu *g, unsigned vf);
int sim_gpu_unbind(struct sim_gpu *g, unsigned vf);
/* What libvirt does with a managed device that a VM has let go: no override, off VFIO, probed again. */
void sim_gpu_give_back(struct sim_gpu *g, struct sim_vf *vf);
int sim_gpu_reset_vf(struct sim_gpu *g, unsigned vf);

/* Somebody opens or closes the VF's VFIO group or DRM node. */
void sim_vf_hold(struct sim_vf *vf, const char *vm, int pid);
void sim_vf_release(struct sim_vf *vf);

/* gpuvf hands the VF to a VM: counted when that comes before the reset. */
void sim_kernel_count_attach(struct sim_kernel *k, const struct pci_address *vf);

/* Finishes a disable that waited, once nothing is held.  Returns true when it did. */
bool sim_kernel_settle(struct sim_kernel *k, struct sim_gpu *g);

/* The card is pulled out (its VFs with it), or put back with its driver bound. */
void sim_gpu_set_present(struct sim_kernel *k, struct sim_gpu *g, bool present);
/* The PF's driver lets it go, with all VFs, or takes it. */
void sim_gpu_set_bound(struct sim_kernel *k, struct sim_gpu *g, bool bound);

/* A write that is one of those: another count for "writes". */
void sim_gpu_count_write(struct sim_gpu *g, int point);

/* ---- sim-facts.c */
/* As a helper would read it that may use debugfs, or not.  Returns new, NULL when memory is out. */
struct gpu_facts *sim_gpu_facts(const struct sim_gpu *g, bool debugfs);
json_t *sim_gpu_writes(const struct sim_gpu *g); /* returns new */
/* Indexes of VFs that a VM had from gpuvf and that were not reset since.  Returns new. */
json_t *sim_gpu_not_reset(const struct sim_gpu *g);
/* What the driver knows, by VF and tile, whether or not somebody can read it.  Returns new. */
json_t *sim_gpu_given(const struct sim_gpu *g);
