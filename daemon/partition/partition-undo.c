/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way back after a plan that failed half-way: what has to be given back before the layout before can
 * be made again (trap 13 of the reference). */
#include "partition/partition-inner.h"

/* A step that took, or the one that failed and may have. */
static bool was_tried(const struct partition_plan *forward, size_t n_done, size_t i)
{
	return i < forward->n_steps && i <= n_done;
}

static bool tried_to_enable(const struct partition_plan *forward, size_t n_done)
{
	size_t i;

	for (i = 0; was_tried(forward, n_done, i); i++)
		if (forward->steps[i].request.op == HOST_SET_NUMVFS && forward->steps[i].request.value > 0)
			return true;
	return false;
}

static bool is_quota(const struct host_request *request)
{
	return (request->op == HOST_SET_VF_ATTR || request->op == HOST_SET_BULK_ATTR) &&
	       request->attribute < VF_RESOURCE_MAX;
}

static bool tried_a_quota(const struct partition_plan *forward, size_t n_done)
{
	size_t i;

	for (i = 0; was_tried(forward, n_done, i); i++)
		if (is_quota(&forward->steps[i].request))
			return true;
	return false;
}

static bool sets_quotas(const struct layout *l)
{
	size_t i, a;

	for (i = 0; i < l->n_vfs; i++)
		for (a = 0; a < VF_RESOURCE_MAX; a++)
			if (l->vfs[i].shape.wanted[a].kind != AMOUNT_UNSET)
				return true;
	return false;
}

/* The card as it is once its VFs are off and nothing is left of their quotas.  Returns new. */
static struct gpu_facts *emptied(const struct gpu_facts *now)
{
	struct gpu_facts *f = gpu_facts_copy(now);
	size_t i, a;

	if (!f)
		return NULL;
	for (a = 0; a < VF_RESOURCE_MAX; a++) {
		f->resources[a].free = partition_capacity(now, (enum vf_attribute)a);
		f->resources[a].standing = 0;
		f->resources[a].max_quota = (struct known){ 0 }; /* holes grow with what is given back */
	}
	for (i = 0; i < f->n_vfs; i++)
		vf_facts_done(&f->vfs[i]);
	f->n_vfs = 0;
	f->num_vfs = 0;
	f->custom_provisioning = false;
	return f;
}

static bool is_overwritten(const struct layout *before, const struct host_request *request)
{
	return request->op == HOST_SET_VF_ATTR && request->vf <= before->n_vfs &&
	       before->vfs[request->vf - 1].shape.wanted[request->attribute].kind == AMOUNT_BYTES;
}

/* One by one, the last one first.  Failing does no harm where the value is written again, and says
 * nothing where it is not known that it was written. */
static int clear_quota(struct partition_plan *p, const struct gpu_facts *now, const struct layout *before,
		       const struct partition_step *done, bool took)
{
	bool optional = !took || is_overwritten(before, &done->request);
	struct known written = { took, done->request.value };
	struct partition_step step = *done;
	int r;

	if (done->request.op == HOST_SET_BULK_ATTR) {
		step.request.value = 0;
		step.before = written;
		r = partition_add_step(p, step, xasprintf("write 0 to %s of all VFs", done->file));
	} else {
		r = partition_add_quota(p, now, done->request.vf, done->request.tile,
					done->request.attribute, written, 0);
	}
	if (r == 0)
		p->steps[p->n_steps - 1].optional = optional;
	return r;
}

static int give_back_quotas(struct partition_plan *p, const struct gpu_facts *now,
			    const struct layout *before, const struct partition_plan *forward, size_t n_done)
{
	size_t i = MIN_OF(n_done + 1, forward->n_steps);
	int r = 0;

	if (partition_keeps_quotas(now) || (partition_is_moded(now) && tried_a_quota(forward, n_done)))
		return partition_add_restore(p, now, sets_quotas(before));
	while (i-- > 0 && r == 0)
		if (is_quota(&forward->steps[i].request))
			r = clear_quota(p, now, before, &forward->steps[i], i < n_done);
	return r;
}

/* A card without VFs is as it was only when its next VFs would meet the same. */
static int put_autoprobe_back(struct partition_plan *p, const struct gpu_facts *now,
			      const struct layout *before, const struct partition_plan *forward,
			      size_t n_done)
{
	size_t i;
	int r;

	if (before->n_vfs > 0 || now->autoprobe)
		return 0;
	for (i = 0; was_tried(forward, n_done, i); i++)
		if (forward->steps[i].request.op == HOST_SET_AUTOPROBE) {
			r = partition_add_autoprobe(p, now, !forward->steps[i].request.value);
			if (r == 0)
				p->steps[p->n_steps - 1].optional = true;
			return r;
		}
	return 0;
}

static int fill(struct partition_plan *p, const struct gpu_facts *now, const struct layout *before,
		const struct partition_plan *forward, size_t n_done, struct rpc_error *error)
{
	_cleanup_(partition_wants_done) struct partition_wants w = { 0 };
	_cleanup_(gpu_facts_freep) struct gpu_facts *empty = NULL;
	const struct gpu_facts *from = now;
	int r = 0;

	if (now->num_vfs == 0 || tried_to_enable(forward, n_done)) {
		empty = emptied(now);
		if (!empty)
			return -ENOMEM;
		from = empty;
		if (now->num_vfs > 0)
			r = partition_add_numvfs(p, now, now->num_vfs, 0);
		if (r == 0)
			r = give_back_quotas(p, now, before, forward, n_done);
	}
	if (r == 0)
		r = partition_check(from, before, &w, error);
	if (r == 0)
		r = partition_fill_plan(p, from, before, &w);
	if (r == 0)
		r = put_autoprobe_back(p, now, before, forward, n_done);
	return r < 0 ? r : partition_set_hash(p, now, before);
}

int partition_undo_make(const struct gpu_facts *now, const struct layout *before,
			const struct partition_plan *forward, size_t n_done,
			struct partition_plan **ret, struct rpc_error *ret_error)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = calloc(1, sizeof(*p));
	int r = p ? fill(p, now, before, forward, n_done, ret_error) : -ENOMEM;

	if (r == -ENOMEM)
		return rpc_error_set(ret_error, RPC_INTERNAL_ERROR, "out of memory");
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}
