/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which VFs a vf.release means, those that are not there included, and what it is refused for.  Asked by manager-release.c,
 * which does it. */
#include "manager-release.h"

/* ---- what is left ---- */

void release_add_kept(json_t *kept, const struct vf *vf, bool anew)
{
	if (vf->lease.owner != LEASE_NONE)
		json_array_append_new(kept, json_pack("{s:s,s:s,s:s?,s:b,s:b,s:b}", "vf", vf->name, "state",
						      vf_state_to_string(vf->state), "vm", vf->lease.vm_name, "live",
						      (int)vf->lease.live, "config", (int)vf->lease.config, "anew",
						      (int)anew));
}

void release_add_gone(json_t *kept, const char *name, const char *vm, bool config)
{
	json_array_append_new(kept, json_pack("{s:s,s:s,s:s?,s:b,s:b,s:b}", "vf", name, "state",
					      vf_state_to_string(VF_GONE), "vm", vm, "live", 0, "config", (int)config,
					      "anew", 0));
}

bool release_is_settled(const struct vf *vf)
{
	return !vf->handover && (vf->state == VF_ATTACHED || vf->state == VF_RESERVED);
}

/* ---- refusals ---- */

bool release_is_used(struct manager *m, const struct vf *vf, enum lease_side side)
{
	return vf->lease.owner == LEASE_JOB || (side != CONFIG_SIDE && vf_job(m, vf));
}

static const char *used_word(struct manager *m, const struct vf *vf, unsigned long long *ret_id)
{
	const struct job *job = vf->lease.owner == LEASE_JOB ? lease_job(m, &vf->lease) : vf_job(m, vf);

	*ret_id = vf->lease.owner == LEASE_JOB ? vf->lease.job : job->id;
	return job_word(job);
}

/* Appends to a text of which the parts stand apart by ", ": takes part. */
static void text_add(char **text, char *part)
{
	char *before = *text;

	*text = before ? xasprintf("%s, %s", before, strempty(part)) : strdup(strempty(part));
	free(before);
	free(part);
}

int release_refuse_job(struct manager *m, const struct vf *first, const struct vf *only, enum lease_side side,
		       struct rpc_error *error)
{
	_cleanup_free_ char *used = NULL, *cancels = NULL, *others = NULL, *hint = NULL;
	struct gpu *gpu, *tmp;
	unsigned n = 0;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++) {
			const struct vf *vf = gpu->vfs[i];
			unsigned long long id;
			const char *word;

			if (vf->lease.owner == LEASE_NONE || !streq(vf->lease.vm_uuid, first->lease.vm_uuid) ||
			    (only && only != vf))
				continue;
			if (release_is_used(m, vf, side)) {
				word = used_word(m, vf, &id);
				text_add(&used, xasprintf("%s%s by %s %llu", vf->name, n++ ? "" : " is used", word, id));
				text_add(&cancels, xasprintf("gpuvf cancel %llu", id));
			} else if (release_is_settled(vf)) {
				text_add(&others, xasprintf("gpuvf release %s", vf->name));
			}
		}
	rpc_error_set(error, RPC_CONFLICT, "%s", strempty(used));
	hint = xasprintf("%s %s%s%s", strempty(cancels), n > 1 ? "end them" : "ends it",
			 others ? "; what no job uses goes by its name: " : "", strempty(others));
	return rpc_error_detail(error, "job", NULL, strempty(hint));
}

int release_refuse_busy(const struct vf *vf, struct rpc_error *error)
{
	bool forced = vf->state == VF_DETACHING && power_off_may_take(vf);
	_cleanup_free_ char *force = forced ? power_off_hint(vf) : NULL, *hint = NULL;

	rpc_error_set(error, RPC_CONFLICT, "%s is %s", vf->name, vf_state_to_string(vf->state));
	hint = xasprintf("wait until that is done (gpuvf show %s)%s%s", vf->name, force ? "; else " : "", strempty(force));
	return rpc_error_detail(error, "busy", NULL, hint);
}

static enum lease_side side_of_mode(int mode)
{
	return mode == ASSIGN_LIVE ? LIVE_SIDE : mode == ASSIGN_CONFIG ? CONFIG_SIDE : BOTH_SIDES;
}

static int check_epoch(const struct vf_release_params *p, const char *vf, const char *vm, uint64_t epoch,
		       struct rpc_error *error)
{
	if (!p->if_epoch.known || p->if_epoch.value == epoch)
		return 0;
	rpc_error_set(error, RPC_CONFLICT, "%s is now held by VM %s under lease epoch %llu, not %llu", vf, strempty(vm),
		      (unsigned long long)epoch, (unsigned long long)p->if_epoch.value);
	return rpc_error_detail(error, "epoch", "if_epoch", "look again: it was given to somebody else");
}

static int releasable(struct manager *m, const struct vf *vf, const struct vf_release_params *p,
		      struct rpc_error *error)
{
	const struct vm *vm = vm_find_uuid(m, vf->lease.vm_uuid);

	if (check_epoch(p, vf->name, vf->lease.vm_name, vf->lease.epoch, error) < 0)
		return -ECANCELED;
	if (p->force && side_of_mode(p->mode) != BOTH_SIDES && lease_has_side(vf, BOTH_SIDES)) {
		rpc_error_set(error, RPC_UNSUPPORTED, "%s is in the VM's %s as well; by force it is released from both at once",
			      vf->name, p->mode == ASSIGN_LIVE ? "persistent XML" : "running guest");
		return rpc_error_detail(error, NULL, "mode", "leave the mode out, or force");
	}
	if (vf_is_in_process(vf)) {
		(void)refuse_process(vf, error);
		return rpc_error_detail(error, NULL, NULL, "end that process: the VF comes back by itself");
	}
	if (p->force && power_off_may_take(vf))
		return 0;
	if (vm && vm->wedged.reason)
		return refuse_wedged(vm, error);
	if (release_is_used(m, vf, side_of_mode(p->mode)))
		return release_refuse_job(m, vf, p->vf ? vf : NULL, side_of_mode(p->mode), error);
	return release_is_settled(vf) ? 0 : release_refuse_busy(vf, error);
}

/* Of what the policy gave to its VM: taken away it is given again, or another in its place, before anybody looks. */
static int refuse_assigned(struct manager *m, const struct vf *vf, struct rpc_error *error)
{
	rpc_error_set(error, RPC_CONFLICT, "%s is VM %s's by the policy, which would give it one again at once: %s", vf->name,
		      strempty(vf->lease.vm_name), strempty(fixed_gives_again(m, vf)));
	return rpc_error_detail(error, "assigned", "vf",
				"take that assignment out of its file and say gpuvf policy reload: then the VM gives it back when "
				"it is off, or gpuvf release takes it; gpuvf drain GPU has its VMs get VFs of other GPUs");
}

/* Not by force, and not one side of two: the VM keeps it on the other. */
static bool is_assigned(struct manager *m, const struct vf *vf, const struct vf_release_params *p)
{
	bool half = side_of_mode(p->mode) != BOTH_SIDES && lease_has_side(vf, BOTH_SIDES);

	return !half && !(p->force && power_off_may_take(vf)) && fixed_gives_again(m, vf);
}

/* ---- which ones ---- */

/* Those of a VM, or one by name, that are not there or that another VM took: their leases wait for them. */
static int collect_lost(struct manager *m, const struct vf_release_params *p, const struct vm *vm, struct release *r,
			struct rpc_error *error)
{
	json_t *one;
	size_t i;

	r->lost = waiting_leases(m, vm, p->vf);
	json_array_foreach(r->lost, i, one) {
		const char *name = json_get_string(one, "vf"), *holder = json_get_string(one, "vm");

		if (r->side == LIVE_SIDE && waiting_is_displaced(one))
			continue; /* nor in its guest */
		if (r->side == LIVE_SIDE)
			release_add_gone(r->kept, name, holder, true); /* no guest has it: nothing to do */
		else if (check_epoch(p, name, holder, json_get_uint(one, "epoch", 0), error) < 0)
			return -ECANCELED;
	}
	if (r->side == LIVE_SIDE) {
		json_decref(r->lost);
		r->lost = NULL;
	}
	return 0;
}

/* The VFs that are there; ret_kept: of those that the policy's assignments keep with the VM, one, and how many there are. */
static int collect_present(struct manager *m, const struct vf_release_params *p, const struct vm *vm, struct release *r,
			   const struct vf **ret_kept, size_t *ret_n_kept, struct rpc_error *error)
{
	struct vf *only = p->vf ? vf_find(m, p->vf) : NULL;
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++) {
			struct vf *vf = gpu->vfs[i];

			if (vf->lease.owner == LEASE_NONE || (p->vf && only != vf) ||
			    (vm && !streq(vf->lease.vm_uuid, vm->uuid)))
				continue;
			if (r->side != BOTH_SIDES && !lease_has_side(vf, r->side) && release_is_settled(vf)) {
				release_add_kept(r->kept, vf, false);
				continue; /* not there: nothing to do */
			}
			if (releasable(m, vf, p, error) < 0)
				return -ECANCELED;
			if (is_assigned(m, vf, p)) {
				(*ret_n_kept)++;
				*ret_kept = vf;
				release_add_kept(r->kept, vf, false);
			} else {
				r->vfs[r->n++] = vf;
			}
		}
	return 0;
}

static int refuse_several(const struct vf_release_params *p, size_t n, size_t n_lost, struct rpc_error *error)
{
	_cleanup_free_ char *gone = n_lost > 0 ? xasprintf(", %zu of them not there, or another VM's", n_lost) : NULL;

	rpc_error_set(error, RPC_CONFLICT, "VM %s holds %zu VFs%s", p->vm, n, strempty(gone));
	return rpc_error_detail(error, "several", "vm", "name the VF, or say --all");
}

/* Refuses names that mean nothing. */
static int check_names(struct manager *m, const struct vf_release_params *p, struct rpc_error *error)
{
	if (p->vm && !vm_find(m, p->vm) && gpu_find(m, p->vm)) {
		(void)pf_refuse_name(m, p->vm, error);
		return rpc_error_detail(error, NULL, "vm", "name one of its VFs (gpuvf list vfs), or the VM that has it");
	}
	if (p->vm && !vm_find(m, p->vm)) {
		rpc_error_set(error, RPC_NOT_FOUND, "no VM \"%s\"", p->vm);
		return rpc_error_detail(error, "no_vm", "vm", "see `gpuvf list vms`");
	}
	if (p->vf && !vf_find(m, p->vf)) {
		_cleanup_json_ json_t *lost = lost_leases(m, NULL, p->vf);

		return lost ? 0 : pf_refuse_name(m, p->vf, error);
	}
	return 0;
}

int release_collect(struct manager *m, const struct vf_release_params *p, struct release *r, const struct vf **ret_kept,
		    struct rpc_error *error)
{
	const struct vm *vm = p->vm ? vm_find(m, p->vm) : NULL;
	struct gpu *gpu, *tmp;
	size_t all = 0, kept = 0, lost;

	if (check_names(m, p, error) < 0)
		return -ECANCELED;
	HASH_ITER(hh, m->gpus, gpu, tmp)
		all += gpu->n_vfs;
	r->side = side_of_mode(p->mode);
	r->vfs = calloc(all + 1, sizeof(*r->vfs));
	r->kept = json_array();
	if (!r->vfs || !r->kept)
		return rpc_error_set(error, RPC_INTERNAL_ERROR, "out of memory");
	if (collect_present(m, p, vm, r, ret_kept, &kept, error) < 0 || collect_lost(m, p, vm, r, error) < 0)
		return -ECANCELED;
	lost = json_array_size(r->lost);
	if (r->n == 0 && kept > 0 && lost == 0)
		return refuse_assigned(m, *ret_kept, error);
	if (r->n + kept + lost > 1 && !p->all)
		return refuse_several(p, r->n + kept + lost, lost, error);
	return 0;
}
