/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt of the made-up machine: domains, their hostdevs and libvirt's refusals, in libvirt's words.  A pure
 * model over sim-kernel: no I/O.  Driven by sim-machine.c and by unit tests. */
#pragma once

#include "hypervisor/hypervisor-ops.h"
#include "machine/sim-kernel.h"

struct sim_hostdev {
	struct pci_address address;
	char *alias;   /* NULL in a persistent definition that was given none */
	unsigned port; /* live ones: the port it sits in, from 0 */
	bool managed;  /* libvirt binds it and gives it back */
	bool lapsed;   /* in a definition: the VF that it was written for is elsewhere, or was taken (sim-reserved.h) */
};

struct sim_hostdevs {
	struct sim_hostdev *items;
	size_t n;
};

struct sim_vm {
	struct sim_vm_spec spec; /* name borrowed from the document; state is where it began */
	char uuid[37];
	enum vm_state state; /* VM_GONE = undefined */
	int id;		     /* -1 = off */
	enum sim_agent_kind agent;
	char *guest_root;
	struct sim_hostdevs live;
	struct sim_hostdevs config;
	bool saved;		 /* it is off and has a managed-save image */
	uint64_t resident_bytes; /* of its memory, while it runs */
	unsigned aliases; /* of libvirt's own making: hostdev0, hostdev1, … */
};

struct sim_hypervisor {
	struct sim_vm *vms;
	size_t n_vms;
	int last_id;
	struct known memory_available; /* of the host */
	int pid; /* whom the kernel sees as the holder of an attached VF */
	bool connected;
};

/* guests_dir: where the guests' roots are, "STATE_DIR/guests".  Running VMs are started, with no device. */
int sim_hypervisor_init(struct sim_hypervisor *hv, const struct sim_document *document,
			const char *guests_dir, int pid);
void sim_hypervisor_done(struct sim_hypervisor *hv);

struct sim_vm *sim_hypervisor_find(struct sim_hypervisor *hv, const char *uuid);
struct sim_vm *sim_hypervisor_find_name(struct sim_hypervisor *hv, const char *name);
static inline bool sim_vm_is_active(const struct sim_vm *vm)
{
	return vm->state == VM_RUNNING || vm->state == VM_PAUSED || vm->state == VM_CRASHED;
}

/* Live and persistent as asked, all or nothing.  ret_hostdev: the live one, borrowed, or NULL.  Returns HV_OK or a
 * failure with new *ret_message in libvirt's words. */
enum hv_failure sim_vm_attach(struct sim_hypervisor *hv, struct sim_kernel *k, struct sim_vm *vm,
			      const struct hv_request *request, struct sim_hostdev **ret_hostdev,
			      char **ret_message);

/* Checks first, so that a detach of something that is not there changes nothing. */
enum hv_failure sim_vm_detach_check(const struct sim_vm *vm, const struct hv_request *request,
				    char **ret_message);
/* After the check; the guest lets go.  ret_gone: the live one that left, to be released by sim_hostdev_done(). */
void sim_vm_detach(struct sim_kernel *k, struct sim_vm *vm, const struct hv_request *request,
		   struct sim_hostdev *ret_gone);
void sim_hostdev_done(struct sim_hostdev *h);

/* Starting plugs in what the persistent definition names; that must be there and, but for managed ones, on VFIO.  A
 * managed-save image is restored instead, and with it no device: a VM that has one is not saved. */
/* What the daemon's libvirt layer looks at before it asks for a start. */
enum hv_failure sim_vm_start_check(const struct sim_hypervisor *hv, const struct sim_vm *vm, char **ret_message);
enum hv_failure sim_vm_start(struct sim_hypervisor *hv, struct sim_kernel *k, struct sim_vm *vm,
			     char **ret_message);
/* Off, by whatever reason: everything that was plugged in is free again. */
void sim_vm_stop(struct sim_hypervisor *hv, struct sim_kernel *k, struct sim_vm *vm);

struct domain_facts *sim_vm_facts(const struct sim_vm *vm); /* returns new, NULL when memory is out */
