/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of one user's data the next holder of a VF may find in its memory (architecture, "what must hold", 5).  A VF
 * remembers its last user until it goes with a re-cut, or its memory was cleared (manager-scrub.c); where the policy
 * says "reuse": "same-user", or "scrubbed", it is given to that user only.  "scrubbed" has the gate clear it, where the
 * card offers a way; where it offers none, the two are the same. */
#include "manager-state.h"

static enum vf_reuse reuse_of(struct manager *m, const struct gpu *gpu)
{
	const struct policy_gpu_rule *rule = gpu->facts ? policy_match_gpu(m->policy, gpu->facts) : NULL;

	return rule ? rule->reuse : VF_REUSE_ANY;
}

static bool is_kept(struct manager *m, const struct vf *vf)
{
	return vf->last_user.known && reuse_of(m, vf->gpu) != VF_REUSE_ANY;
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
	vf->scrubbed_at = 0;
	vf->last_user = (struct known){ true, lease->uid };
	snprintf(vf->last_vm, sizeof(vf->last_vm), "%s", is_vms ? lease->vm_uuid : "");
}

void vf_forget_user(struct vf *vf)
{
	vf->last_user = (struct known){ 0 };
	vf->last_vm[0] = '\0';
}

bool vf_wants_scrub(struct manager *m, const struct vf *vf)
{
	return vf->last_user.known && reuse_of(m, vf->gpu) == VF_REUSE_SCRUBBED && scrub_of(vf->gpu, vf->gpu->facts).at_gate;
}

static char *closed_text(struct manager *m, const struct vf *vf)
{
	const struct vm *vm = vm_find_uuid(m, vf->last_vm);
	_cleanup_free_ char *whose = vf->last_vm[0] ? xasprintf("VM %s, which had it last", vm ? vm->facts->name : vf->last_vm) :
						      xasprintf("its last user (uid %llu)",
								(unsigned long long)vf->last_user.value);

	return xasprintf("%s is kept for %s, until %s: \"reuse\": \"%s\"", vf->name, strempty(whose),
			 vf_wants_scrub(m, vf) ? "its next reset, which clears it, or the next re-cut" : "the next re-cut",
			 vf_reuse_to_string(reuse_of(m, vf->gpu)));
}

int refuse_reuse(struct manager *m, const struct vf *vf, struct rpc_error *error)
{
	_cleanup_free_ char *text = closed_text(m, vf);

	rpc_error_set(error, RPC_CONFLICT, "%s", text);
	return rpc_error_detail(error, "last_user", "vf",
				vf_wants_scrub(m, vf) ? "have it cleared (gpuvf reset VF), or name another VF" :
							"name another VF, or cut its GPU anew (gpuvf apply --vfs 0, then as before)");
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

bool gpu_mixes_users(struct manager *m, const struct gpu *gpu, const char **ret_known, const char **ret_cure)
{
	struct scrub scrub = scrub_of(gpu, gpu->facts);

	if (gpu->n_vfs == 0 || reuse_of(m, gpu) != VF_REUSE_ANY || streq_ptr(scrub.mechanism, SCRUB_GUEST_MEMORY))
		return false;
	*ret_known = scrub.what;
	*ret_cure = scrub.at_gate ? "a rule of gpus with \"reuse\": \"scrubbed\" has it cleared after each user"
				  : "a rule of gpus with \"reuse\": \"same-user\" keeps each VF for its last user until the "
				    "next re-cut; leave it where all who share the GPU may see each other's data";
	return true;
}

json_t *memory_view(struct manager *m, const struct vf *vf)
{
	struct scrub scrub = scrub_of(vf->gpu, vf->gpu->facts);
	json_t *view = json_pack("{s:s,s:s?,s:s,s:s?,s:s?}", "reuse", vf_reuse_to_string(reuse_of(m, vf->gpu)), "mechanism",
				 scrub.mechanism, "what", scrub.what, "probed", scrub.probed, "only_by_recut", scrub.why_not);

	json_put_time(view, "scrubbed_at", vf->scrubbed_at);
	json_put_uint_known(view, "last_uid", vf->last_user.known, vf->last_user.value);
	json_put_string(view, "last_vm", vf->last_vm[0] ? vf->last_vm : NULL);
	return view;
}
