/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of one user's data the next holder of a VF may find in its memory (architecture, "what must hold", 5).  A VF
 * remembers its last user until it goes with a re-cut; where the policy says "reuse": "same-user", it is given to that
 * user only.  What is known of the ways to clear memory is said, and what is not known as well. */
#include "core/model-table.h"
#include "manager-state.h"

/* What clears a VF's memory, by the way in which its GPU is cut. */
struct scrub {
	const char *mechanism; /* NULL = none that is known */
	const char *what;
};

static struct scrub scrub_of(const struct gpu *gpu)
{
	const struct gpu_model *model = gpu->facts ? gpu_model_find(gpu->facts->device_id) : NULL;

	if (model && model->integrated)
		return (struct scrub){ "guest-memory", "the card has no memory of its own: a VF uses the memory of its VM" };
	switch (gpu->facts ? gpu->facts->vf_control : VF_CONTROL_NONE) {
	case VF_CONTROL_I915:
		return (struct scrub){ "recut", "i915 clears the pages when a VF is given VRAM, so with each re-cut; that a "
						"reset clears them is not known" };
	case VF_CONTROL_XE:
	case VF_CONTROL_XE_DEBUGFS:
		return (struct scrub){ NULL, "not known: neither that xe clears VRAM when a VF is given it, nor that a "
					     "reset does" };
	case VF_CONTROL_GENERIC:
	case VF_CONTROL_NONE:
	case VF_CONTROL_MAX:
		break;
	}
	return (struct scrub){ NULL, "not known" };
}

static enum vf_reuse reuse_of(struct manager *m, const struct gpu *gpu)
{
	const struct policy_gpu_rule *rule = gpu->facts ? policy_match_gpu(m->policy, gpu->facts) : NULL;

	return rule ? rule->reuse : VF_REUSE_ANY;
}

static bool is_kept(struct manager *m, const struct vf *vf)
{
	return vf->last_user.known && reuse_of(m, vf->gpu) == VF_REUSE_SAME_USER;
}

struct known vf_only_for(struct manager *m, const struct vf *vf)
{
	if (!is_kept(m, vf))
		return (struct known){ 0 };
	return vf->last_vm[0] ? (struct known){ true, NOBODYS_JOB } : vf->last_user;
}

bool vf_is_open_to(struct manager *m, const struct vf *vf, uid_t uid, const struct vm *vm)
{
	if (!is_kept(m, vf))
		return true;
	if (vf->last_vm[0])
		return vm && streq(vf->last_vm, vm->uuid);
	return vf->last_user.value == uid;
}

/* Whoever it was given to may have written to it from here on: a job's user, or, of a VF that was given to a VM, all who
 * work in that VM.  Whoever gave it there is none of them. */
void vf_note_user(struct vf *vf)
{
	const struct lease *lease = &vf->lease;
	bool is_vms = lease->owner == LEASE_VM || lease->owner == LEASE_POLICY ||
		      (lease->owner == LEASE_FOREIGN && !vf_is_in_process(vf));

	if (vf->state != VF_ATTACHING && vf->state != VF_ATTACHED && vf->state != VF_HELD)
		return;
	vf->last_user = (struct known){ true, lease->uid };
	snprintf(vf->last_vm, sizeof(vf->last_vm), "%s", is_vms ? lease->vm_uuid : "");
}

static char *closed_text(struct manager *m, const struct vf *vf)
{
	const struct vm *vm = vm_find_uuid(m, vf->last_vm);

	if (vf->last_vm[0])
		return xasprintf("%s is kept for VM %s, which had it last, until the next re-cut: \"reuse\": \"same-user\"",
				 vf->name, vm ? vm->facts->name : vf->last_vm);
	return xasprintf("%s is kept for its last user (uid %llu) until the next re-cut: \"reuse\": \"same-user\"", vf->name,
			 (unsigned long long)vf->last_user.value);
}

int refuse_reuse(struct manager *m, const struct vf *vf, struct rpc_error *error)
{
	_cleanup_free_ char *text = closed_text(m, vf);

	rpc_error_set(error, RPC_CONFLICT, "%s", text);
	return rpc_error_detail(error, "last_user", "vf", "name another VF, or cut its GPU anew (gpuvf apply --vfs 0, then as before)");
}

char *reuse_text(struct manager *m, const struct gpu *only, uid_t uid, const struct vm *vm)
{
	_cleanup_free_ char *first = NULL;
	struct gpu *gpu, *tmp;
	size_t more = 0;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs && (!only || only == gpu); i++) {
			if (gpu->vfs[i]->state != VF_FREE || vf_is_open_to(m, gpu->vfs[i], uid, vm))
				continue;
			if (first)
				more++;
			else
				first = closed_text(m, gpu->vfs[i]);
		}
	if (!first || more == 0)
		return TAKE_PTR(first);
	return xasprintf("%s; %zu more are kept so", first, more);
}

json_t *memory_view(struct manager *m, const struct vf *vf)
{
	struct scrub scrub = scrub_of(vf->gpu);
	json_t *view = json_pack("{s:s,s:s?,s:s}", "reuse", vf_reuse_to_string(reuse_of(m, vf->gpu)), "mechanism",
				 scrub.mechanism, "what", scrub.what);

	json_put_uint_known(view, "last_uid", vf->last_user.known, vf->last_user.value);
	json_put_string(view, "last_vm", vf->last_vm[0] ? vf->last_vm : NULL);
	return view;
}
