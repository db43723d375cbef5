/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VFs that were to be taken back from a VM that did not let go of them: at a release, at the end of their lease, after
 * a job.  They stay with the VM, and that is told by daemon.status and the doctor until they leave it or are wanted
 * there again.  Noted by the detach (manager-detach.c), stored with the lease. */
#include "manager-state.h"

void vf_is_kept(struct manager *m, struct vf *vf, const char *why)
{
	(void)free_and_strdup(&vf->kept, why);
	if (vf->lease.owner != LEASE_NONE)
		vf_store(m, vf);
}

char *kept_text(struct manager *m, const struct vf *vf)
{
	const struct vm *vm = vm_find_uuid(m, vf->lease.vm_uuid);

	/* Of a VM that is wedged that is told, with its own ways out. */
	if (!vf->kept || vf->handover || (vm && vm->wedged.reason))
		return NULL;
	return xasprintf("VM %s has it although %s: %s", strempty(vf->lease.vm_name),
			 vf->lease.expires && vf->lease.expires <= now_boottime() ? "the time of its lease is over"
										   : "it was to be taken back",
			 vf->kept);
}

char *kept_way_out(const struct vf *vf)
{
	_cleanup_free_ char *force = power_off_may_take(vf) ? power_off_hint(vf) : NULL;

	return xasprintf("stop what uses it in the guest, then gpuvf release %s%s%s%s", vf->name, force ? "; else " : "",
			 strempty(force), vf->lease.expires ? "; at the end of its lease it is asked again by itself" : "");
}
