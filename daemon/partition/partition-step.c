/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Single steps of a plan: a host request, its words, and what the card shows before and after. */
#include "partition/partition-inner.h"

#include <stdio.h>

struct partition_plan *partition_plan_free(struct partition_plan *p)
{
	size_t i;

	if (!p)
		return NULL;
	for (i = 0; i < p->n_steps; i++)
		free(p->steps[i].text);
	free(p->steps);
	for (i = 0; i < p->n_notes; i++)
		free(p->notes[i]);
	free(p->notes);
	free(p);
	return NULL;
}

int partition_add_step(struct partition_plan *p, struct partition_step step, char *text)
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

int partition_add_autoprobe(struct partition_plan *p, const struct gpu_facts *gpu, bool value)
{
	struct partition_step step = {
		.request = { .op = HOST_SET_AUTOPROBE, .gpu = gpu->address, .value = value },
		.file = "sriov_drivers_autoprobe",
		.before = { true, !value },
		.expect = true,
		.exactly = value,
	};

	return partition_add_step(p, step, xasprintf("write %d to sriov_drivers_autoprobe", value));
}

int partition_add_numvfs(struct partition_plan *p, const struct gpu_facts *gpu, unsigned now,
			 unsigned value)
{
	struct partition_step step = {
		.request = { .op = HOST_SET_NUMVFS, .gpu = gpu->address, .value = value },
		.file = "sriov_numvfs",
		.before = { true, now },
		.expect = true,
		.exactly = value,
	};

	if (value == 0 && now > 0)
		p->removes_vfs = true;
	return partition_add_step(p, step, xasprintf("write %u to sriov_numvfs (now %u)", value, now));
}

int partition_add_restore(struct partition_plan *p, const struct gpu_facts *gpu, bool optional)
{
	struct partition_step step = {
		.request = { .op = HOST_RESTORE_AUTO, .gpu = gpu->address },
		.file = "restore_auto_provisioning",
		.before = { gpu->custom_provisioning, 0 },
		.optional = optional,
	};

	return partition_add_step(p, step,
				  strdup("restore automatic provisioning: quotas set by hand are given back"));
}

int partition_add_quota(struct partition_plan *p, const struct gpu_facts *gpu, unsigned vf,
			unsigned tile, enum vf_attribute attribute, struct known before, uint64_t value)
{
	struct partition_step step = {
		.request = { .op = HOST_SET_VF_ATTR, .gpu = gpu->address, .vf = vf, .tile = tile,
			     .attribute = attribute, .value = value },
		.file = vf_attribute_to_string(attribute),
		.before = before,
		.expect = true,
		.at_least = value,
	};
	char size[32], on_tile[32] = "", in_words[48] = "";

	if (attribute == VF_ATTR_VRAM || attribute == VF_ATTR_GGTT)
		snprintf(in_words, sizeof(in_words), " (%s)", size_format(value, size, sizeof(size)));
	if (tile > 0)
		snprintf(on_tile, sizeof(on_tile), " on tile %u", tile - 1);
	return partition_add_step(p, step,
				  xasprintf("write %llu to %s of vf%u%s%s", (unsigned long long)value,
					    step.file, vf, on_tile, in_words));
}

static json_t *value_to_json(const struct partition_step *step, struct known value, const char *mode)
{
	if (!value.known)
		return json_null();
	if (step->request.op == HOST_RESTORE_AUTO)
		return json_string(mode);
	if ((step->request.op == HOST_SET_VF_ATTR || step->request.op == HOST_SET_BULK_ATTR) &&
	    step->request.attribute == VF_ATTR_PRIORITY)
		return json_string(vf_priority_to_string((enum vf_priority)value.value));
	return json_integer((json_int_t)value.value);
}

json_t *partition_step_to_json(const struct partition_step *step)
{
	_cleanup_json_ json_t *o = json_object();
	struct known after = { true, step->request.value };
	unsigned vf = step->request.vf, tile = step->request.tile;

	if (!o || json_put_string(o, "text", step->text) < 0 ||
	    json_put_string(o, "attribute", step->file) < 0 ||
	    json_put_uint_known(o, "vf", vf > 0, vf) < 0 ||
	    json_put_uint_known(o, "tile", tile > 0, tile > 0 ? tile - 1 : 0) < 0 ||
	    json_put(o, "before", value_to_json(step, step->before, "custom")) < 0 ||
	    json_put(o, "after", value_to_json(step, after, "auto")) < 0)
		return NULL;
	return TAKE_PTR(o);
}
