/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sriov_numvfs and its surroundings.  The kernel does not refuse to take VFs away from a VM: it
 * hangs.  So everything is checked here, as late as possible. */
#include "host/sriov.h"

#include "host/gpu-read.h"
#include "host/holders.h"
#include "host/kernel-words.h"
#include "host/pci-scan.h"
#include "host/vf-control.h"

/* Why the kernel refused, by the way in which the card is steered. */
static char *numvfs_words(struct sysfs *s, const char *gpu, int error)
{
	_cleanup_(vf_surface_done) struct vf_surface c = {0};
	const char *words;

	(void)vf_control_find(s, gpu, &c);
	sysfs_announce(s, "sriov_numvfs"); /* what failed, not where we looked */
	words = kernel_words(KERNEL_ASKED_NUMVFS, c.ops ? c.ops->kind : VF_CONTROL_NONE, error);

	return words ? strdup(words) : NULL;
}

int sriov_set_autoprobe(struct sysfs *s, const struct host_request *request,
			struct host_reply *reply)
{
	const char *gpu = PCI_ADDRESS_STR(&request->gpu);
	int r;

	r = sysfs_write_uint(s, request->value, SYSFS_PCI "/sriov_drivers_autoprobe", gpu);
	if (r < 0)
		return r;
	r = sysfs_read_uint(s, &reply->value.value, SYSFS_PCI "/sriov_drivers_autoprobe", gpu);
	if (r < 0)
		return r;

	reply->value.known = true;
	return 0;
}

int sriov_refuse_held(struct sysfs *s, const struct pci_address *gpu, unsigned vf,
		      struct host_reply *reply)
{
	char at[SYSFS_NAME_MAX];
	int r;

	memcpy(at, s->at, sizeof(at));
	r = holders_find(s, gpu, vf, &reply->holders, &reply->n_holders);
	sysfs_announce(s, at); /* what was refused, not where we looked */
	if (r == -EACCES)
		reply->message = strdup("other processes' descriptors may not be read, so nobody knows "
					"whether a VF is in use: CAP_SYS_PTRACE is needed");
	if (r < 0)
		return r;

	return reply->n_holders > 0 ? -EBUSY : 0;
}

/* Everything that can be said before the write. */
static int check_numvfs(struct sysfs *s, const struct host_request *request, uint64_t now,
			struct host_reply *reply)
{
	const char *gpu = PCI_ADDRESS_STR(&request->gpu);
	uint64_t total;
	int r;

	if (now > 0 && request->value > 0) {
		reply->message = xasprintf("%llu VFs are on: their number changes only through 0",
					   (unsigned long long)now);
		return -EBUSY;
	}
	if (request->value > 0) {
		bool driver = sysfs_exists(s, SYSFS_PCI "/driver", gpu);

		r = sysfs_read_uint(s, &total, SYSFS_PCI "/sriov_totalvfs", gpu);
		if (r < 0)
			return r;
		sysfs_announce(s, "sriov_numvfs");
		if (!driver) {
			reply->message = strdup("no driver is bound to the card");
			return -ENOENT;
		}
		if (request->value > total) {
			reply->message = xasprintf("the driver allows at most %llu VFs",
						   (unsigned long long)total);
			return -ERANGE;
		}
	}
	return 0;
}

int sriov_set_numvfs(struct sysfs *s, const struct host_request *request, struct host_reply *reply)
{
	const char *gpu = PCI_ADDRESS_STR(&request->gpu);
	uint64_t now;
	int r;

	r = sysfs_read_uint(s, &now, SYSFS_PCI "/sriov_numvfs", gpu);
	if (r < 0)
		return r;

	if (now != request->value) {
		r = check_numvfs(s, request, now, reply);
		if (r < 0)
			return r;
		/* the last thing before the write */
		r = request->value == 0 ? sriov_refuse_held(s, &request->gpu, 0, reply) : 0;
		if (r < 0)
			return r;
		r = sysfs_write_uint(s, request->value, SYSFS_PCI "/sriov_numvfs", gpu);
		if (r < 0) {
			reply->message = numvfs_words(s, gpu, r);
			return r;
		}
		r = sysfs_read_uint(s, &now, SYSFS_PCI "/sriov_numvfs", gpu);
		if (r < 0)
			return r;
	}

	reply->value = (struct known){ true, now };
	return 0;
}

int sriov_reset_vf(struct sysfs *s, const struct host_request *request, struct host_reply *reply)
{
	struct pci_address vf;
	int r;

	r = gpu_vf_address(s, &request->gpu, request->vf, &vf);
	if (r < 0)
		return r;
	if (!sysfs_exists(s, SYSFS_PCI "/reset", PCI_ADDRESS_STR(&vf))) {
		reply->message = strdup("the function offers no reset");
		return -EOPNOTSUPP;
	}
	r = sriov_refuse_held(s, &request->gpu, request->vf, reply);
	if (r < 0)
		return r;
	r = sysfs_write(s, "1", SYSFS_PCI "/reset", PCI_ADDRESS_STR(&vf));
	if (r < 0)
		return r;

	return pci_check_answers(s, &vf);
}

int sriov_restore_auto(struct sysfs *s, const struct host_request *request,
		       struct host_reply *reply)
{
	_cleanup_(vf_surface_done) struct vf_surface c = {0};
	const char *gpu = PCI_ADDRESS_STR(&request->gpu);
	const char *words;
	uint64_t now, total;
	int r;

	r = sysfs_read_uint(s, &now, SYSFS_PCI "/sriov_numvfs", gpu);
	if (r == 0)
		r = sysfs_read_uint(s, &total, SYSFS_PCI "/sriov_totalvfs", gpu);
	if (r == 0)
		r = vf_control_find(s, gpu, &c);
	if (r < 0)
		return r;

	sysfs_announce(s, "restore_auto_provisioning");
	if (now > 0)
		r = -EBUSY;
	else
		r = c.ops && c.ops->restore_auto ? c.ops->restore_auto(s, &c, (unsigned)total)
						 : -EOPNOTSUPP;
	words = kernel_words(KERNEL_ASKED_RESTORE, c.ops ? c.ops->kind : VF_CONTROL_NONE, r);
	if (words)
		reply->message = strdup(words);
	return r;
}
