/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What libpci tells: which functions are there, what they are called, what their configuration
 * space shows.  Used in the helper process only. */
#pragma once

#include "host/sysfs.h"

struct pci_found {
	struct pci_address address;
	unsigned device_id;
	unsigned class_code; /* 24 bits */
	char *name;	     /* by pci.ids; NULL = not there, or core/model-table.h has a name */
};

/* The PFs of Intel GPUs: vendor 8086, class 03xx, not a VF.  Reads no configuration space, so
 * that a card that does not answer cannot stop the scan.  Returns 0 with new *ret, or a negative
 * errno. */
int pci_scan_gpus(struct sysfs *s, struct pci_found **ret, size_t *ret_n);
void pci_found_free(struct pci_found *found, size_t n);

/* One function by its address.  -ENODEV when it is not there or no PF of an Intel GPU. */
int pci_scan_gpu(struct sysfs *s, const struct pci_address *address, struct pci_found *ret);

/* From the extended capabilities.  They are readable for root only: without, *ret_sriov is
 * unknown (-1) and *ret_serial NULL.  Returns 0 or a negative errno. */
int pci_read_capabilities(struct sysfs *s, const struct pci_address *address, int *ret_sriov,
			  char **ret_serial);

/* Whether the function answers configuration reads.  A VF shows ffff as its vendor by the
 * standard, so command and class are looked at.  Returns 0, -EIO, or a negative errno. */
int pci_check_answers(struct sysfs *s, const struct pci_address *address);
