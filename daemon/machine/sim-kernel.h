/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel of the made-up machine: GPUs, their VFs and the rules of sysfs.  A pure model: no I/O, no clock, no
 * process; every rule is one of docs/reference "Intel GPU SR-IOV on Linux" (section in the code), the ones that are
 * only inferred there are marked (inferred).  Driven by sim-machine.c and by unit tests. */
#pragma once

#include "core/facts.h"
#include "machine/sim-document.h"

/* Who has a VF open. */
struct sim_holder {
	const char *vm; /* borrowed name of the domain, NULL = a process of the host */
	int pid;
};

struct sim_vf {
	struct pci_address address;
	char driver[16];   /* "" = none */
	bool override_vfio; /* driver_override = vfio-pci */
	int iommu_group;   /* -1 = none */
	struct sim_holder holder;
	bool held;
	unsigned resets;
	/* These belong to vfN of sriov_admin and exist without the VF. */
	uint64_t quota_bytes; /* 0 = none set */
	uint64_t share_bytes; /* what automatic sharing gave while enabled */
	uint64_t exec_quantum_ms;
	uint64_t preempt_timeout_us;
};

/* How often each file was written, by whom ever: for tests. */
struct sim_writes {
	unsigned numvfs;
	unsigned numvfs_while_held; /* writes that the kernel does not refuse and never answers */
	unsigned autoprobe;
	unsigned vf_attributes;
	unsigned pf_attributes;
	unsigned binds;
	unsigned resets;
};

struct sim_gpu {
	struct sim_gpu_spec spec; /* strings borrowed from the document */
	char name[24];		  /* "gpu0" in the order of the document: of faults and control, not the daemon's */
	bool present;
	bool autoprobe;
	bool disabling; /* a 0 was written while a VF was held: the device lock is taken */
	unsigned num_vfs;
	int iommu_group;
	uint64_t pf_exec_quantum_ms;
	uint64_t pf_preempt_timeout_us;
	struct sim_vf *vfs; /* spec.total_vfs slots, [0] is vf1 */
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

unsigned sim_gpu_held(const struct sim_gpu *g); /* how many of its VFs are held */
bool sim_gpu_has_sriov_hook(const struct sim_gpu *g);

/* Writes of sysfs.  Each returns 0 or the negative errno that the kernel gives.  fewer: the driver
 * enables so many less than asked.  -EINPROGRESS from set_numvfs: the write hangs, because a VF is held;
 * sim_kernel_settle() ends it. */
int sim_gpu_set_numvfs(struct sim_kernel *k, struct sim_gpu *g, uint64_t n, unsigned fewer);
int sim_gpu_set_autoprobe(struct sim_gpu *g, uint64_t value);
/* vf 0 = the PF's own profile.  ret_value: as it reads back. */
int sim_gpu_set_attribute(struct sim_gpu *g, unsigned vf, enum vf_attribute attribute, uint64_t value,
			  uint64_t *ret_value);
int sim_gpu_bind_vfio(struct sim_gpu *g, unsigned vf);
int sim_gpu_unbind(struct sim_gpu *g, unsigned vf);
int sim_gpu_reset_vf(struct sim_gpu *g, unsigned vf);

/* Somebody opens or closes the VF's VFIO group or DRM node. */
void sim_vf_hold(struct sim_vf *vf, const char *vm, int pid);
void sim_vf_release(struct sim_vf *vf);

/* Finishes a disable that waited, once nothing is held.  Returns true when it did. */
bool sim_kernel_settle(struct sim_kernel *k, struct sim_gpu *g);

/* The card is pulled out (its VFs with it), or put back. */
void sim_gpu_set_present(struct sim_kernel *k, struct sim_gpu *g, bool present);

/* As a helper would read it.  Returns new, NULL when memory is out. */
struct gpu_facts *sim_gpu_facts(const struct sim_gpu *g);
json_t *sim_gpu_writes(const struct sim_gpu *g); /* returns new */
