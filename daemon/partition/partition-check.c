/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Refuses layouts that a card cannot have, before anything is written; each refusal says what would
 * do. */
#include "partition/partition-inner.h"

#include <stdio.h>

#define NAME_SIZE 128

/* "Flex 170 at 0000:03:00.0" */
static const char *gpu_name(const struct gpu_facts *gpu, char buf[static NAME_SIZE])
{
	snprintf(buf, NAME_SIZE, "%.100s at %s", gpu->model ? gpu->model : "GPU",
		 PCI_ADDRESS_STR(&gpu->address));
	return buf;
}

static int refuse(struct rpc_error *error, const char *reason, const char *field, const char *hint)
{
	return rpc_error_detail(error, reason, field, hint);
}

/* The helper's own words when it has some: it saw the files. */
static int check_capable(const struct gpu_facts *gpu, struct rpc_error *error)
{
	char name[NAME_SIZE];

	gpu_name(gpu, name);
	if (!gpu->sriov_capable) {
		rpc_error_set(error, RPC_UNSUPPORTED, "%s cannot be cut: %s", name,
			      gpu->reason ? gpu->reason : "the kernel shows no SR-IOV on it");
		return refuse(error, "no_sriov", NULL, "`gpuvf doctor` shows what the kernel says");
	}
	if (!gpu->driver) {
		rpc_error_set(error, RPC_UNSUPPORTED, "%s cannot be cut: %s", name,
			      gpu->reason ? gpu->reason : "no driver is bound to it");
		return refuse(error, "no_driver", NULL, "load xe or i915 for this card");
	}
	if (gpu->total_vfs == 0 || gpu->vf_control == VF_CONTROL_NONE) {
		rpc_error_set(error, RPC_UNSUPPORTED, "%s cannot be cut: %s", name,
			      gpu->reason ? gpu->reason : "its driver allows no VFs");
		return refuse(error, "vfs_off", NULL, "see the driver's max_vfs parameter");
	}
	return 0;
}

static int check_count(const struct gpu_facts *gpu, const struct layout *layout,
		       struct rpc_error *error)
{
	_cleanup_free_ char *hint = NULL;
	char name[NAME_SIZE];

	if (layout->n_vfs <= gpu->total_vfs)
		return 0;

	hint = xasprintf("ask for at most %u", gpu->total_vfs);
	rpc_error_set(error, RPC_NO_FIT, "%s has at most %u VFs, %zu were asked for",
		      gpu_name(gpu, name), gpu->total_vfs, layout->n_vfs);
	return refuse(error, "too_many_vfs", "vfs", hint);
}

static bool asks_vram(const struct layout_vf *vf)
{
	return vf->vram.kind == AMOUNT_BYTES || vf->vram.kind == AMOUNT_PERCENT;
}

static bool asks_schedule(const struct layout_vf *vf)
{
	return vf->exec_quantum_ms.known || vf->preempt_timeout_us.known;
}

static int check_offered(const struct gpu_facts *gpu, const struct layout *layout,
			 struct rpc_error *error)
{
	bool plain = gpu->vf_control == VF_CONTROL_GENERIC;
	const char *why = plain ? "the driver offers the number of VFs only" :
				  "the driver does not let it be written";
	char name[NAME_SIZE];
	size_t i;

	gpu_name(gpu, name);
	for (i = 0; i < layout->n_vfs; i++) {
		const struct layout_vf *vf = &layout->vfs[i];

		if (asks_vram(vf) && (plain || !gpu_can_set(gpu, VF_ATTR_VRAM))) {
			rpc_error_set(error, RPC_UNSUPPORTED, "%s takes no VRAM quota: %s", name,
				      why);
			return refuse(error, "no_vram_quota", "vram",
				      "leave vram out: the driver shares it equally");
		}
		if (asks_schedule(vf) && (plain || !gpu_can_set(gpu, VF_ATTR_EXEC_QUANTUM))) {
			rpc_error_set(error, RPC_UNSUPPORTED,
				      "%s takes no exec quantum and no preempt timeout: %s", name,
				      why);
			return refuse(error, "no_scheduling",
				      vf->exec_quantum_ms.known ? "exec_quantum"
								: "preempt_timeout",
				      "leave both out");
		}
	}
	return 0;
}

/* One VF with a quota ends the driver's sharing: the others would come up without VRAM. */
static int check_all_or_none(const struct gpu_facts *gpu, const struct layout *layout,
			     struct rpc_error *error)
{
	size_t asking = 0, i;
	char name[NAME_SIZE];

	for (i = 0; i < layout->n_vfs; i++)
		asking += asks_vram(&layout->vfs[i]);
	if (asking == 0 || asking == layout->n_vfs)
		return 0;

	rpc_error_set(error, RPC_UNSUPPORTED,
		      "%s: %zu of %zu VFs ask for VRAM, the others would get none",
		      gpu_name(gpu, name), asking, layout->n_vfs);
	return refuse(error, "vram_all_or_none", "vram", "give vram to every VF, or to none");
}

/* The way out is a size when all ask the same, else the sum. */
static int refuse_sum(const struct gpu_facts *gpu, const struct layout *layout, uint64_t sum,
		      uint64_t capacity, struct rpc_error *error)
{
	uint64_t each = capacity / layout->n_vfs / PARTITION_VRAM_GRAIN * PARTITION_VRAM_GRAIN;
	char name[NAME_SIZE], sum_text[32], capacity_text[32], each_text[32];
	_cleanup_free_ char *hint = NULL;

	hint = xasprintf("at most %s for each of %zu VFs",
			 size_format_exact(each, each_text, sizeof(each_text)), layout->n_vfs);
	rpc_error_set(error, RPC_NO_FIT, "%s has %s of VRAM for VFs, %zu VFs ask for %s together",
		      gpu_name(gpu, name),
		      size_format(capacity, capacity_text, sizeof(capacity_text)), layout->n_vfs,
		      size_format(sum, sum_text, sizeof(sum_text)));
	return refuse(error, "vram_exceeded", "vram", hint);
}

static int check_vram(const struct gpu_facts *gpu, const struct layout *layout,
		      struct rpc_error *error)
{
	struct known capacity = partition_capacity(gpu);
	char name[NAME_SIZE];
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < layout->n_vfs; i++) {
		const struct layout_vf *vf = &layout->vfs[i];
		uint64_t bytes = partition_vram(gpu, vf);

		if (vf->vram.kind == AMOUNT_PERCENT && !capacity.known) {
			rpc_error_set(error, RPC_UNSUPPORTED,
				      "%s does not tell how much VRAM is free, so a share of it is "
				      "unknown",
				      gpu_name(gpu, name));
			return refuse(error, "vram_unknown", "vram",
				      "write a size such as \"4GiB\"");
		}
		if (asks_vram(vf) && bytes == 0) {
			rpc_error_set(error, RPC_NO_FIT,
				      "%s: the share of vf%zu is less than 2 MiB",
				      gpu_name(gpu, name), i + 1);
			return refuse(error, "vram_too_small", "vram",
				      "VRAM comes in pieces of 2 MiB");
		}
		if (__builtin_add_overflow(sum, bytes, &sum))
			sum = UINT64_MAX;
	}
	if (capacity.known && sum > capacity.value)
		return refuse_sum(gpu, layout, sum, capacity.value, error);
	return 0;
}

int partition_check(const struct gpu_facts *gpu, const struct layout *layout,
		    struct rpc_error *error)
{
	int r;

	if (layout->n_vfs == 0)
		return 0;
	r = check_capable(gpu, error);
	if (r == 0)
		r = check_count(gpu, layout, error);
	if (r == 0)
		r = check_offered(gpu, layout, error);
	if (r == 0)
		r = check_all_or_none(gpu, layout, error);
	return r < 0 ? r : check_vram(gpu, layout, error);
}
