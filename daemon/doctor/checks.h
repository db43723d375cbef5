/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The judges, by the file they live in; check-table.c lists them. */
#pragma once

#include "doctor/examination.h"

/* check-host.c */
void check_examination(struct consultation *c);
void check_gpus_found(struct consultation *c);
void check_iommu(struct consultation *c);
void check_vfio_driver(struct consultation *c);
void check_kernel_parameters(struct consultation *c);
void check_versions(struct consultation *c);
void check_suspend(struct consultation *c);
void check_socket_permissions(struct consultation *c);

/* check-security.c */
void check_debugfs(struct consultation *c);
void check_secure_boot(struct consultation *c);
void check_mandatory_access(struct consultation *c);

/* check-libvirt.c */
void check_libvirt(struct consultation *c);
void check_libvirt_daemons(struct consultation *c);
void check_libvirt_memlock(struct consultation *c);
void check_qemu_conf(struct consultation *c);

/* check-gpu.c */
void check_gpu_answers(struct consultation *c);
void check_sriov_capability(struct consultation *c);
void check_gpu_driver(struct consultation *c);
void check_driver_force_probe(struct consultation *c);
void check_driver_without_sriov(struct consultation *c);
void check_mmio_space(struct consultation *c);
void check_gpu_wedged(struct consultation *c);
void check_console_gpu(struct consultation *c);
void check_vf_control(struct consultation *c);
void check_runtime_pm(struct consultation *c);

/* check-vfs-off.c: why sriov_totalvfs is 0 */
void check_vfs_allowed(struct consultation *c);
void check_vfs_off_max_vfs(struct consultation *c);
void check_vfs_off_configfs(struct consultation *c);
void check_vfs_off_guc(struct consultation *c);
void check_vfs_off_wedged(struct consultation *c);
void check_vfs_off_bars(struct consultation *c);

/* check-vf.c */
void check_vf_host_driver(struct consultation *c);
void check_vf_autoprobe(struct consultation *c);
void check_iommu_group(struct consultation *c);
void check_pf_passed_through(struct consultation *c);

/* check-vm.c */
void check_vm_agent(struct consultation *c);
void check_vm_free_port(struct consultation *c);
void check_vm_port_window(struct consultation *c);
void check_vm_memory(struct consultation *c);
void check_vm_numa(struct consultation *c);
void check_vm_managed(struct consultation *c);

/* known-bad.c */
void check_known_bad(struct consultation *c);

/* ---- what several of them ask (check-gpu.c) ---- */

/* The driver that is bound, or NULL. */
const char *gpu_driver(const struct consultation *c);
/* Number of VFs that exist, by their links. */
unsigned gpu_vfs(const struct subject *gpu);
/* Whether the driver that is bound gives it to VFIO. */
bool gpu_on_vfio(const struct consultation *c);
/* A line of the kernel log that says that this GPU is wedged. */
const struct note *gpu_wedged_line(const struct consultation *c);

/* A line of a PCI resource file. */
struct bar {
	uint64_t start, end, flags;
};
#define BARS_STANDARD 0 /* 0…5 */
#define BARS_IOV 7      /* 7…12: of all VFs together, on a PF */
#define BARS 6
#define BAR_FLAG_UNSET 0x20000000u /* the kernel's IORESOURCE_UNSET: it has no address */

/* False when the file has no such line. */
bool bar_read(const char *resource, unsigned line, struct bar *ret);
