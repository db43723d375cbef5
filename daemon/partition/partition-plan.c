/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of a cut.  One place knows the order in which a card wants its writes. */
#include "partition/partition-inner.h"

#include <stdio.h>

#include "lib/hash.h"

struct partition_plan *partition_plan_free(struct partition_plan *p)
{
	size_t i;

	if (!p)
		return NULL;
	for (i = 0; i < p->n_steps; i++)
		free(p->steps[i].text);
	free(p->steps);
	free(p);
	return NULL;
}

/* Takes text. */
static int add_step(struct partition_plan *p, struct partition_step step, char *text)
{
	struct partition_step *steps;

	steps = text ? reallocarray(p->steps, p->n_steps + 1, sizeof(*steps)) : NULL;
	if (!steps) {
		free(text);
		return -ENOMEM;
	}
	step.text = text;
	p->steps = steps;
	p->steps[p->n_steps++] = step;
	return 0;
}

static int add_autoprobe(struct partition_plan *p, const struct gpu_facts *gpu, bool value)
{
	struct partition_step step = {
		.request = { .op = HOST_SET_AUTOPROBE, .gpu = gpu->address, .value = value },
		.expect = true,
		.exactly = value,
	};

	return add_step(p, step, xasprintf("write %d to sriov_drivers_autoprobe", value));
}

static int add_numvfs(struct partition_plan *p, const struct gpu_facts *gpu, unsigned now,
		      unsigned value)
{
	struct partition_step step = {
		.request = { .op = HOST_SET_NUMVFS, .gpu = gpu->address, .value = value },
		.expect = true,
		.exactly = value,
	};

	if (value == 0 && now > 0)
		p->removes_vfs = true;
	return add_step(p, step, xasprintf("write %u to sriov_numvfs (now %u)", value, now));
}

static int add_vram(struct partition_plan *p, const struct gpu_facts *gpu, unsigned vf,
		    uint64_t bytes)
{
	struct partition_step step = {
		.request = { .op = HOST_SET_VF_ATTR, .gpu = gpu->address, .vf = vf,
			     .attribute = VF_ATTR_VRAM, .value = bytes },
		.expect = true,
		.at_least = bytes,
	};
	char size[32];

	return add_step(p, step,
			xasprintf("write %llu to vram_quota of vf%u (%s)",
				  (unsigned long long)bytes, vf,
				  size_format(bytes, size, sizeof(size))));
}

/* Nothing when there is no wish, or when it is so already (present may be NULL). */
static int add_number(struct partition_plan *p, const struct gpu_facts *gpu, unsigned vf,
		      enum vf_attribute attribute, struct known wanted, const struct known *present)
{
	struct partition_step step = {
		.request = { .op = HOST_SET_VF_ATTR, .gpu = gpu->address, .vf = vf,
			     .attribute = attribute, .value = wanted.value },
		.expect = true,
		.exactly = wanted.value,
	};

	if (!wanted.known || (present && present->known && present->value == wanted.value))
		return 0;
	return add_step(p, step,
			xasprintf("write %llu to %s of vf%u", (unsigned long long)wanted.value,
				  vf_attribute_to_string(attribute), vf));
}

static int add_schedule(struct partition_plan *p, const struct gpu_facts *gpu,
			const struct layout *layout, bool fresh)
{
	size_t i;
	int r = 0;

	for (i = 0; i < layout->n_vfs && r == 0; i++) {
		const struct layout_vf *wanted = &layout->vfs[i];
		const struct vf_facts *is = fresh ? NULL : &gpu->vfs[i];
		unsigned vf = (unsigned)i + 1;

		r = add_number(p, gpu, vf, VF_ATTR_EXEC_QUANTUM, wanted->exec_quantum_ms,
			       is ? &is->values[VF_ATTR_EXEC_QUANTUM] : NULL);
		if (r == 0)
			r = add_number(p, gpu, vf, VF_ATTR_PREEMPT_TIMEOUT, wanted->preempt_timeout_us,
				       is ? &is->values[VF_ATTR_PREEMPT_TIMEOUT] : NULL);
	}
	return r;
}

/* Autoprobe off, through 0, quotas, enable, scheduling values. */
static int add_cut(struct partition_plan *p, const struct gpu_facts *gpu,
		   const struct layout *layout)
{
	uint64_t bytes;
	size_t i;
	int r = 0;

	if (gpu->autoprobe && layout->n_vfs > 0)
		r = add_autoprobe(p, gpu, false);
	if (r == 0 && gpu->num_vfs > 0)
		r = add_numvfs(p, gpu, gpu->num_vfs, 0);
	if (r < 0 || layout->n_vfs == 0)
		return r;

	for (i = 0; i < layout->n_vfs && r == 0; i++) {
		bytes = partition_vram(gpu, &layout->vfs[i]);
		if (bytes > 0)
			r = add_vram(p, gpu, (unsigned)i + 1, bytes);
	}
	if (r == 0)
		r = add_numvfs(p, gpu, 0, (unsigned)layout->n_vfs);
	return r < 0 ? r : add_schedule(p, gpu, layout, true);
}

static void hash_number(struct hash *h, uint64_t n)
{
	hash_add(h, &n, sizeof(n));
}

static void hash_known(struct hash *h, struct known n)
{
	hash_number(h, n.known);
	hash_number(h, n.known ? n.value : 0);
}

/* What the plan was made from: a card that changed since gives another hash. */
static int set_hash(struct partition_plan *p, const struct gpu_facts *gpu,
		    const struct layout *layout)
{
	_cleanup_json_ json_t *json = layout_to_json(layout);
	_cleanup_free_ char *text = json ? json_text(json) : NULL;
	struct hash h;
	size_t i, a;

	if (!text)
		return -ENOMEM;
	hash_init(&h);
	hash_add_string(&h, PCI_ADDRESS_STR(&gpu->address));
	hash_add_string(&h, gpu->driver);
	hash_number(&h, gpu->total_vfs);
	hash_number(&h, gpu->num_vfs);
	hash_known(&h, partition_capacity(gpu));
	for (i = 0; i < gpu->n_vfs; i++) {
		for (a = 0; a < VF_ATTRIBUTE_MAX; a++)
			hash_known(&h, gpu->vfs[i].values[a]);
	}
	hash_add_string(&h, text);
	for (i = 0; i < p->n_steps; i++)
		hash_add_string(&h, p->steps[i].text);
	hash_hex(&h, p->hash);
	return 0;
}

static int fill_plan(struct partition_plan *p, const struct gpu_facts *gpu,
		     const struct layout *layout)
{
	_cleanup_free_ char *why = NULL;
	int r;

	/* Scheduling values may change while VFs run; count and VRAM may not. */
	if (partition_shape_matches(gpu, layout, &why))
		r = add_schedule(p, gpu, layout, false);
	else
		r = add_cut(p, gpu, layout);
	return r < 0 ? r : set_hash(p, gpu, layout);
}

int partition_plan_make(const struct gpu_facts *gpu, const struct layout *layout,
			struct partition_plan **ret, struct rpc_error *ret_error)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
	int r;

	r = partition_check(gpu, layout, ret_error);
	if (r < 0)
		return r;

	p = calloc(1, sizeof(*p));
	if (!p || fill_plan(p, gpu, layout) < 0)
		return rpc_error_set(ret_error, RPC_INTERNAL_ERROR, "out of memory");
	*ret = TAKE_PTR(p);
	return 0;
}
