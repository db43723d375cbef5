/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vf.tune: scheduling values of a VF, or of all VFs of a GPU, while they are in use: what is asked for, and what
 * refuses it before anything is written.  Which values can be changed is the way's word (facts->can).  The doing is
 * manager-tune-run.c. */
#include "manager-tune.h"

const struct tunable tunables[TUNABLES] = {
	{ VF_ATTR_EXEC_QUANTUM, "exec_quantum_ms", "--quantum" },
	{ VF_ATTR_PREEMPT_TIMEOUT, "preempt_timeout_us", "--preempt-timeout" },
	{ VF_ATTR_PRIORITY, "priority", "--priority" },
};

json_t *tune_values_json(const struct known *values)
{
	json_t *json = json_object();

	for (size_t i = 0; i < (size_t)TUNABLES; i++) {
		const struct known *value = &values[tunables[i].attribute];

		if (!value->known)
			continue;
		if (tunables[i].attribute == VF_ATTR_PRIORITY)
			json_put_string(json, tunables[i].member,
					vf_priority_to_string((enum vf_priority)value->value));
		else
			json_put_uint(json, tunables[i].member, value->value);
	}
	return json;
}

static int refuse_cut(const struct gpu *gpu, struct rpc_error *error)
{
	rpc_error_set(error, RPC_CONFLICT, "%s is being cut, or waits to be", gpu->name);
	return rpc_error_detail(error, "recutting", "gpu", "wait until that is done (gpuvf show)");
}

/* What stands in the way of any change at this moment.  Of an earlier daemon's tunes each goes in its turn. */
int tune_check_gpu(const struct gpu *gpu, unsigned vf, struct rpc_error *error)
{
	if (gpu->stuck || !gpu->facts) {
		rpc_error_set(error, gpu->stuck ? RPC_WEDGED : RPC_NOT_FOUND, "%s: %s", gpu->name,
			      gpu->reason ? gpu->reason : "the card is gone");
		return -ECANCELED;
	}
	if (gpu->apply || gpu->apply_accepted || gpu_has_inherited_apply(gpu->m, gpu))
		return refuse_cut(gpu, error);
	if (gpu->n_vfs == 0 || vf > gpu->n_vfs || gpu->n_vfs != gpu->facts->n_vfs) {
		rpc_error_set(error, RPC_CONFLICT, "%s has no VF that could be tuned", gpu->name);
		return rpc_error_detail(error, "no_vfs", "gpu", "cut it first: gpuvf apply GPU --vfs N");
	}
	return 0;
}

static void tune_committed(struct manager *m, void *userdata)
{
	tune_go(m, userdata);
}

static void tune_not_committed(struct manager *m, void *userdata)
{
	operation_drop(m, userdata);
}

/* Hard resources are taken, so that the refusal can say why. */
static int refuse_fixed(const struct vf_tune_params *p, const char *subject, struct rpc_error *error)
{
	const struct {
		const char *member;
		uint64_t value;
	} fixed[] = {
		{ "vram_bytes", p->vram_bytes },
		{ "ggtt_bytes", p->ggtt_bytes },
		{ "contexts", p->contexts },
		{ "doorbells", p->doorbells },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		if (fixed[i].value == TUNE_ABSENT)
			continue;
		rpc_error_set(error, RPC_UNSUPPORTED, "%s of %s is fixed while the VF is there", fixed[i].member, subject);
		return rpc_error_detail(error, "fixed", fixed[i].member,
					"gpuvf apply cuts the GPU again, with another layout");
	}
	return 0;
}

/* Can the way in use change it so?  For a VF alone (all: for all together). */
static int check_ability(const struct gpu *gpu, const char *subject, bool all, size_t tunable,
			 struct rpc_error *error)
{
	const struct vf_ability *can = &gpu->facts->can[tunables[tunable].attribute];
	const char *name = vf_attribute_to_string(tunables[tunable].attribute);
	_cleanup_free_ char *hint = NULL;

	if (can->access == VF_ACCESS_WRITE || (all && can->access == VF_ACCESS_BULK))
		return 0;
	if (can->access == VF_ACCESS_BULK) {
		hint = xasprintf("all VFs together: gpuvf tune %s %s %s", gpu->name, tunables[tunable].option,
				 tunables[tunable].attribute == VF_ATTR_PRIORITY ? "normal" : "T");
		rpc_error_set(error, RPC_UNSUPPORTED, "%s of %s alone is read-only%s%s", name, subject,
			      can->why ? ": " : "", strempty(can->why));
		return rpc_error_detail(error, "bulk_only", tunables[tunable].member, hint);
	}
	rpc_error_set(error, RPC_UNSUPPORTED, "%s of %s cannot be changed in the way in use (%s)%s%s", name, subject,
		      vf_control_to_string(gpu->facts->vf_control), can->why ? ": " : "", strempty(can->why));
	return rpc_error_detail(error, "no_such_knob", tunables[tunable].member, "gpuvf show GPU tells what can be set");
}

static int read_values(const struct vf_tune_params *p, struct known *values, struct rpc_error *error)
{
	if (p->exec_quantum != TUNE_ABSENT && p->exec_quantum % USEC_PER_MSEC != 0) {
		rpc_error_set(error, RPC_INVALID_PARAMS, "exec_quantum_ms: must be whole milliseconds");
		return rpc_error_detail(error, NULL, "exec_quantum_ms", "such as 20, or \"20ms\"");
	}
	if (p->exec_quantum != TUNE_ABSENT)
		values[VF_ATTR_EXEC_QUANTUM] = (struct known){ true, p->exec_quantum / USEC_PER_MSEC };
	if (p->preempt_timeout != TUNE_ABSENT)
		values[VF_ATTR_PREEMPT_TIMEOUT] = (struct known){ true, p->preempt_timeout };
	if (p->priority >= 0)
		values[VF_ATTR_PRIORITY] = (struct known){ true, (uint64_t)p->priority };
	for (size_t i = 0; i < (size_t)TUNABLES; i++)
		if (values[tunables[i].attribute].known)
			return 0;
	rpc_error_set(error, RPC_INVALID_PARAMS, "nothing to change: give a value");
	return rpc_error_detail(error, NULL, "exec_quantum_ms", "exec_quantum_ms, preempt_timeout_us or priority");
}

static int check_tune(struct manager *m, const struct vf_tune_params *p, struct gpu **ret_gpu,
		      struct vf **ret_vf, struct known *values, struct rpc_error *error)
{
	const char *subject = p->vf ? p->vf : p->gpu;
	int r;

	if (!p->vf == !p->gpu) {
		rpc_error_set(error, RPC_INVALID_PARAMS, "give either vf, or gpu for all of its VFs");
		return rpc_error_detail(error, NULL, p->vf ? "gpu" : "vf", NULL);
	}
	*ret_vf = p->vf ? vf_find(m, p->vf) : NULL;
	*ret_gpu = *ret_vf ? (*ret_vf)->gpu : p->gpu ? gpu_find(m, p->gpu) : NULL;
	if (!*ret_gpu) {
		rpc_error_set(error, RPC_NOT_FOUND, "no %s \"%s\"", p->vf ? "VF" : "GPU", subject);
		return rpc_error_detail(error, p->vf ? "no_vf" : "no_gpu", p->vf ? "vf" : "gpu",
					p->vf ? "see `gpuvf list vfs`" : "see `gpuvf list gpus`");
	}
	r = refuse_fixed(p, subject, error);
	if (r == 0)
		r = read_values(p, values, error);
	if (r == 0)
		r = gpu_has_inherited(m, *ret_gpu) ? refuse_cut(*ret_gpu, error)
						   : tune_check_gpu(*ret_gpu, *ret_vf ? (*ret_vf)->index : 0, error);
	for (size_t i = 0; i < (size_t)TUNABLES && r == 0; i++)
		if (values[tunables[i].attribute].known)
			r = check_ability(*ret_gpu, subject, !p->vf, i, error);
	return r;
}

void manager_vf_tune(struct manager *m, const struct caller *caller, const struct vf_tune_params *p,
		     struct reply *reply)
{
	struct known values[VF_ATTRIBUTE_MAX] = { 0 };
	struct rpc_error error = { 0 };
	struct operation *op;
	struct gpu *gpu = NULL;
	struct vf *vf = NULL;

	if (manager_refuses_changes(m, reply))
		return;
	if (check_tune(m, p, &gpu, &vf, values, &error) < 0) {
		reply_error_done(reply, &error);
		return;
	}
	op = operation_new(m, "vf.tune", vf ? vf->name : gpu->name, caller->uid,
			   json_pack("{s:s,s:I,s:o}", "gpu", gpu->name, "vf", (json_int_t)(vf ? vf->index : 0), "values",
				     tune_values_json(values)));
	if (!op) {
		reply_refuse(reply, RPC_INTERNAL_ERROR, "out of memory");
		return;
	}
	outbox_add(m, tune_committed, tune_not_committed, op);
	operation_reply(m, op, USEC_INFINITY, reply);
}
