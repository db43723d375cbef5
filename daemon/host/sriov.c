/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sriov_numvfs and its surroundings.  The kernel does not refuse to take VFs away from a VM: it
 * hangs.  So everything is checked here, as late as possible. */
#include "host/sriov.h"

#include "host/gpu-read.h"
#include "host/holders.h"
#include "host/pci-scan.h"

/* What an errno of sriov_numvfs means: PCI core first, then xe. */
static const struct {
	int error;
	const char *words;
} numvfs_errors[] = {
	{ EBUSY, "VFs are already on, or something holds the driver's guard (an open debugfs file, "
		 "a GPU debugger)" },
	{ ECANCELED, "the card never got ready or is wedged: see the kernel log" },
	{ EIO, "the PCI core could not enable the VFs: see the kernel log" },
	{ ENODEV, "the driver did not come up in PF mode: see the kernel log" },
	{ ENOENT, "the driver that is bound cannot do SR-IOV" },
	{ ENOKEY, "some VF got only part of its resources" },
	{ ENOMEM, "no room for the VFs' BARs: enable \"Above 4G decoding\" in the firmware, or boot "
		  "with pci=realloc" },
	{ ENOSPC, "the card has nothing left to share among that many VFs" },
	{ ERANGE, "more VFs than the driver allows" },
	{ EUCLEAN, "resources of an earlier set-up are left on some VF: restore_auto_provisioning in "
		   "debugfs clears them" },
};

static char *numvfs_words(int r)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numvfs_errors); i++)
		if (numvfs_errors[i].error == -r)
			return strdup(numvfs_errors[i].words);
	return NULL;
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
			reply->message = numvfs_words(r);
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
